//! When a live playlist is loaded again, and when it has stood still for too long (RFC 8216 §6.3.4).

use std::time::Duration;

/// Never sooner than this after the last request.
const LEAST: Duration = Duration::from_secs(1);
/// Nor later, or a list that says that its segments last for years would never be looked at again;
const MOST: Duration = Duration::from_secs(120);
/// and nothing new is expected as late as never.
const LONGEST: Duration = Duration::from_secs(600);
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

/// What a list says of its own pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Its target duration: how often it is asked for.
    pub(crate) target: Duration,
    /// How often something new can be expected: segments may be longer than the target, which they must not.
    pub(crate) expected: Duration,
}

impl Pace {
    fn clamped(self) -> Self {
        Self {
            target: self.target.clamp(LEAST, MOST),
            expected: self.expected.clamp(LEAST, LONGEST),
        }
    }
}

/// The clock of a playlist that changes. Times are durations since any moment that is the same for all calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reload {
    pace: Pace,
    /// When the last request for it began.
    requested: Duration,
    /// When it was last seen to change.
    changed: Duration,
    /// How often it has not, since then.
    unchanged: u32,
}

impl Reload {
    pub(crate) fn new(pace: Pace, requested: Duration, now: Duration) -> Self {
        Self {
            pace: pace.clamped(),
            requested,
            changed: now,
            unchanged: 0,
        }
    }

    /// An answer came.
    pub(crate) fn handle_answer(
        &mut self,
        pace: Pace,
        requested: Duration,
        changed_at: Option<Duration>,
    ) {
        (self.pace, self.requested) = (pace.clamped(), requested);
        match changed_at {
            Some(now) => (self.changed, self.unchanged) = (now, 0),
            None => self.unchanged = self.unchanged.saturating_add(1),
        }
    }

    /// No answer came.
    pub(crate) fn handle_failure(&mut self, requested: Duration) {
        self.handle_answer(self.pace, requested, None);
    }

    /// How often something new is expected.
    pub(crate) fn expected(&self) -> Duration {
        self.pace.expected
    }

    /// When to ask again: a target duration after the last request began, half of that if nothing had changed.
    pub(crate) fn next(&self) -> Duration {
        let hurried = (1..=HURRIED).contains(&self.unchanged);
        let wait = if hurried {
            self.pace.target / 2
        } else {
            self.pace.target
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
        let half = self.expected() / 2;
        self.changed.saturating_add(half.saturating_mul(7))
    }

    pub(crate) fn lost_at(&self) -> Duration {
        let wait = self.expected().saturating_mul(10);
        self.changed.saturating_add(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn pace(millis: u64) -> Pace {
        Pace {
            target: at(millis),
            expected: at(millis),
        }
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
            // Nor as late as never.
            (121_000, 0, 120_000),
            (u64::MAX, 1, 60_000),
        ] {
            let mut reload = Reload::new(pace(target), at(100), at(300));
            reload.unchanged = unchanged;
            assert_eq!(reload.next(), at(100 + wait), "{target}, {unchanged}");
        }
    }

    #[test]
    fn a_change_begins_everything_anew() {
        let mut reload = Reload::new(pace(4_000), at(0), at(200));
        reload.handle_answer(pace(4_000), at(4_000), None);
        reload.handle_failure(at(6_000));
        assert_eq!((reload.unchanged, reload.next()), (2, at(8_000)));
        assert_eq!(reload.late_at(), at(14_200));
        reload.handle_answer(pace(2_000), at(8_000), Some(at(8_500)));
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

    #[test]
    fn segments_that_are_longer_than_they_may_be_make_nothing_late() {
        let long = Pace {
            target: at(1_000),
            expected: at(12_000),
        };
        let reload = Reload::new(long, at(0), at(0));
        assert_eq!(reload.next(), at(1_000));
        assert_eq!(
            (reload.late_at(), reload.lost_at()),
            (at(42_000), at(120_000))
        );
        // Of a thing that never comes it is known some time.
        let absurd = Reload::new(pace(u64::MAX), at(0), at(0));
        assert_eq!(absurd.lost_at(), at(6_000_000));
    }
}
