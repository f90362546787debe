//! When a live playlist is loaded again, and when it has stood still for too long (RFC 8216 §6.3.4).

use std::time::Duration;

/// Never sooner than this after the last request.
const LEAST: Duration = Duration::from_secs(1);
/// So many times in a row an unchanged playlist is asked for after half a target duration, and then after a whole one.
const HURRIED: u32 = 3;

/// How long a live playlist has stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// Not for long.
    Fresh,
    /// For three and a half target durations: whoever listens should know.
    Late,
    /// For ten: nothing will come any more.
    Lost,
}

/// The clock of a playlist that changes. Times are durations since any moment that is the same for all calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reload {
    target: Duration,
    /// When the last request for it began.
    requested: Duration,
    /// When it was last seen to change.
    changed: Duration,
    /// How often it has not, since then.
    unchanged: u32,
}

impl Reload {
    pub(crate) fn new(target: Duration, requested: Duration, now: Duration) -> Self {
        Self {
            target,
            requested,
            changed: now,
            unchanged: 0,
        }
    }

    /// An answer came.
    pub(crate) fn handle_answer(
        &mut self,
        target: Duration,
        requested: Duration,
        changed_at: Option<Duration>,
    ) {
        (self.target, self.requested) = (target, requested);
        match changed_at {
            Some(now) => (self.changed, self.unchanged) = (now, 0),
            None => self.unchanged = self.unchanged.saturating_add(1),
        }
    }

    /// No answer came.
    pub(crate) fn handle_failure(&mut self, requested: Duration) {
        self.handle_answer(self.target, requested, None);
    }

    /// When to ask again: a target duration after the last request began, half of that if nothing had changed.
    pub(crate) fn next(&self) -> Duration {
        let hurried = (1..=HURRIED).contains(&self.unchanged);
        let wait = if hurried {
            self.target / 2
        } else {
            self.target
        };
        self.requested.saturating_add(wait.max(LEAST))
    }

    pub(crate) fn freshness(&self, now: Duration) -> Freshness {
        if now >= self.lost_at() {
            Freshness::Lost
        } else if now >= self.late_at() {
            Freshness::Late
        } else {
            Freshness::Fresh
        }
    }

    /// When it becomes late, and when it becomes lost.
    pub(crate) fn late_at(&self) -> Duration {
        let half = self.target.max(LEAST) / 2;
        self.changed.saturating_add(half.saturating_mul(7))
    }

    pub(crate) fn lost_at(&self) -> Duration {
        let wait = self.target.max(LEAST).saturating_mul(10);
        self.changed.saturating_add(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn it_is_asked_for_again_after_a_target_duration_or_half_of_it() {
        for (target, unchanged, wait) in [
            (6_000, 0, 6_000),
            (6_000, 1, 3_000),
            (6_000, 3, 3_000),
            (6_000, 4, 6_000),
            (6_000, u32::MAX, 6_000),
            (1_000, 0, 1_000),
            // Never sooner than a second.
            (1_000, 1, 1_000),
            (0, 0, 1_000),
            (0, 1, 1_000),
        ] {
            let mut reload = Reload::new(at(target), at(100), at(300));
            reload.unchanged = unchanged;
            assert_eq!(reload.next(), at(100 + wait), "{target}, {unchanged}");
        }
    }

    #[test]
    fn a_change_begins_everything_anew() {
        let mut reload = Reload::new(at(4_000), at(0), at(200));
        reload.handle_answer(at(4_000), at(4_000), None);
        reload.handle_failure(at(6_000));
        assert_eq!((reload.unchanged, reload.next()), (2, at(8_000)));
        assert_eq!(reload.late_at(), at(14_200));
        reload.handle_answer(at(2_000), at(8_000), Some(at(8_500)));
        assert_eq!((reload.unchanged, reload.next()), (0, at(10_000)));
        for (now, expected) in [
            (8_500, Freshness::Fresh),
            (15_499, Freshness::Fresh),
            (15_500, Freshness::Late),
            (28_499, Freshness::Late),
            (28_500, Freshness::Lost),
        ] {
            assert_eq!(reload.freshness(at(now)), expected, "{now}");
        }
    }
}
