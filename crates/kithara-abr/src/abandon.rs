//! When a segment that comes slowly is given up for one that is there sooner.

use std::collections::VecDeque;
use std::time::Duration;

use crate::variant::Variant;

/// How far back the speed of a transfer is measured.
const WINDOW: Duration = Duration::from_secs(2);
/// How often what has come is noted.
const STEP: Duration = Duration::from_millis(250);

/// A segment on its way: what is needed to say when it will be there.
#[derive(Clone, Debug)]
pub struct SegmentWatch {
    started: Duration,
    /// From the request to the response headers: what another request would take first.
    latency: Duration,
    content: Duration,
    size: Option<u64>,
    received: u64,
    /// When how many bytes were there: at most one for each step, and as far back as the window.
    notes: VecDeque<(Duration, u64)>,
}

impl SegmentWatch {
    /// A segment of `content` time that was asked for now.
    #[must_use]
    pub fn new(now: Duration, content: Duration) -> Self {
        Self {
            started: now,
            latency: Duration::ZERO,
            content,
            size: None,
            received: 0,
            notes: VecDeque::with_capacity(
                WINDOW.as_millis() as usize / STEP.as_millis() as usize + 2,
            ),
        }
    }

    /// The response headers came, with the size if they say so.
    pub fn handle_head(&mut self, now: Duration, size: Option<u64>) {
        self.latency = now.saturating_sub(self.started);
        self.size = size;
        self.note(now);
    }

    /// So many bytes are there by now, all in all.
    pub fn handle_progress(&mut self, now: Duration, received: u64) {
        self.received = self.received.max(received);
        self.note(now);
    }

    /// Since it was asked for.
    #[must_use]
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.started)
    }

    /// Bits per second of the last two seconds.
    #[must_use]
    pub fn recent_bps(&self, now: Duration) -> u64 {
        let from = now.saturating_sub(WINDOW);
        let before = self.notes.iter().rev().find(|(at, _)| *at <= from);
        let (at, bytes) = before
            .or(self.notes.front())
            .copied()
            .unwrap_or((self.started, 0));
        let millis = now.saturating_sub(at).as_millis().max(1);
        let bits = u128::from(self.received - bytes) * 8;
        u64::try_from(bits * 1000 / millis).unwrap_or(u64::MAX)
    }

    fn note(&mut self, now: Duration) {
        if self.notes.back().is_some_and(|(at, _)| now < *at + STEP) {
            return;
        }
        // The newest of those that are too old stays: the window begins there.
        let old = now.saturating_sub(WINDOW);
        while self.notes.get(1).is_some_and(|(at, _)| *at <= old) {
            self.notes.pop_front();
        }
        self.notes.push_back((now, self.received));
    }
}

/// Of the lower variants, the highest first, the one to fetch instead: the highest that is there in time, or else the lowest if
/// that is sooner than what is on its way. `None` if what is on its way is in time, or nothing is sooner.
///
/// In time is what is whole when the playhead comes to its end: it is played while it comes.
pub(crate) fn sooner(
    segment: &SegmentWatch,
    now: Duration,
    until_end: Duration,
    bps: u64,
    lower: impl Iterator<Item = Variant>,
) -> Option<Variant> {
    // A transfer that stands still tells nothing but this: less is sooner.
    let speed = u128::from(segment.recent_bps(now).max(1));
    let time_of = |bits: u128| bits.saturating_mul(1000) / speed;
    let bits_of = |bps: u64| u128::from(bps).saturating_mul(segment.content.as_millis()) / 1000;
    let size = segment
        .size
        .map_or(bits_of(bps), |size| u128::from(size) * 8);
    let left = time_of(size.saturating_sub(u128::from(segment.received) * 8));
    if left <= until_end.as_millis() {
        return None;
    }
    let mut last = None;
    for variant in lower {
        let needed =
            time_of(bits_of(variant.bandwidth_bps)).saturating_add(segment.latency.as_millis());
        if needed < left {
            last = Some(variant);
            if needed <= until_end.as_millis() {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    const LADDER: [Variant; 3] = [
        Variant {
            variant_index: 2,
            bandwidth_bps: 320_000,
        },
        Variant {
            variant_index: 1,
            bandwidth_bps: 128_000,
        },
        Variant {
            variant_index: 0,
            bandwidth_bps: 64_000,
        },
    ];

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A segment of 10 s and 1 Mbit/s that has brought `kilobytes` when it is `seconds` old, evenly, with so many
    /// milliseconds to the headers and seconds until it has been played: what is fetched instead?
    fn check(kilobytes: u64, seconds: u64, latency: u64, until_end: u64) -> Option<usize> {
        let mut watch = SegmentWatch::new(at(0), at(10_000));
        watch.handle_head(at(latency), Some(1_250_000));
        for step in 1..=seconds * 10 {
            watch.handle_progress(at(step * 100), kilobytes * 1000 * step / (seconds * 10));
        }
        let now = at(seconds * 1000);
        let target = sooner(
            &watch,
            now,
            at(until_end * 1000),
            1_000_000,
            LADDER.into_iter(),
        );
        target.map(|variant| variant.variant_index)
    }

    #[test]
    fn a_segment_is_given_up_only_for_what_is_there_sooner() {
        for (kilobytes, seconds, latency, until_end, instead) in [
            // 500 of 1250 kB in 2 s: 3 more seconds, in time.
            (500, 2, 50, 3, None),
            // 1.5 s too late; 400 kB of the next lower take 1.6 s: sooner, and in time for 2 s.
            (500, 2, 50, 2, Some(2)),
            // With one second left the one below is in time: 160 kB, 0.64 s.
            (500, 2, 50, 1, Some(1)),
            // With none at all, the lowest.
            (500, 2, 50, 0, Some(0)),
            // Nearly there: 100 kB more are sooner than 400 or 160, and 80 kB not with a round trip of two seconds.
            (1150, 2, 10, 0, Some(0)),
            (1150, 2, 2000, 0, None),
            (1200, 2, 50, 0, None),
            // A crawl of 10 kB/s: nothing is in time, the lowest is soonest.
            (20, 2, 50, 4, Some(0)),
            // And with much in hand, the highest that is.
            (20, 2, 50, 45, Some(2)),
            // Nothing comes at all: less is sooner.
            (0, 2, 50, 4, Some(0)),
        ] {
            let found = check(kilobytes, seconds, latency, until_end);
            assert_eq!(
                found, instead,
                "{kilobytes} kB, {latency} ms, {until_end} s"
            );
        }
    }

    #[test]
    fn the_speed_is_that_of_the_last_two_seconds() {
        let mut watch = SegmentWatch::new(at(0), at(10_000));
        watch.handle_head(at(100), None);
        watch.handle_progress(at(1000), 1_000_000);
        for step in 0..=200 {
            watch.handle_progress(at(1000 + step * 50), 1_000_000 + step * 50);
        }
        let speed = watch.recent_bps(at(11_000));
        assert!((7_000..9_000).contains(&speed), "{speed}");
        assert!(watch.notes.len() <= 10, "{}", watch.notes.len());
        // Nothing any more.
        assert_eq!(watch.recent_bps(at(60_000)), 0);
    }

    #[test]
    fn a_size_that_nobody_told_is_that_of_the_variant() {
        let mut watch = SegmentWatch::new(at(0), at(10_000));
        watch.handle_progress(at(1000), 40_000);
        watch.handle_progress(at(3000), 120_000);
        // 320 kbit/s: 3.2 Mbit, of which 0.96 are there; 7 more seconds.
        let lower = || LADDER[1..].iter().copied();
        assert_eq!(sooner(&watch, at(3000), at(7000), 320_000, lower()), None);
        let target = sooner(&watch, at(3000), at(6000), 320_000, lower());
        assert_eq!(target, Some(LADDER[1]));
    }

    #[test]
    fn no_number_breaks_it() {
        let mut watch = SegmentWatch::new(Duration::MAX, Duration::MAX);
        watch.handle_head(at(0), Some(u64::MAX));
        watch.handle_progress(at(0), u64::MAX);
        watch.handle_progress(at(1), 0);
        let top = Variant {
            variant_index: 0,
            bandwidth_bps: u64::MAX,
        };
        let _ = sooner(&watch, at(2), Duration::MAX, u64::MAX, [top].into_iter());
        let _ = sooner(&watch, Duration::MAX, at(0), 0, [top].into_iter());
    }
}
