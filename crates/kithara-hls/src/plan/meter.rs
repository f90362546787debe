//! What the network brings, over all transfers at once.

use std::time::Duration;

use kithara_abr::{SampleSource, ThroughputSample};

/// Transfers side by side share one line, so none of them alone says what it carries: each moment counts once, with all that it
/// brought. What is too little to tell anything is told with what comes next; otherwise small segments would never tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    bytes: u64,
    elapsed: Duration,
    /// Until when the time was counted.
    counted: Duration,
}

impl Meter {
    /// So many bytes more came, of any transfer, the first of those under way having been asked for at `since`.
    pub(super) fn handle_bytes(&mut self, now: Duration, since: Duration, bytes: u64) {
        let elapsed = now.saturating_sub(since.max(self.counted));
        self.elapsed = self.elapsed.saturating_add(elapsed);
        self.bytes = self.bytes.saturating_add(bytes);
        self.counted = now;
    }

    /// A transfer has ended: what came since the last sample, if that tells.
    pub(super) fn sample(&mut self) -> Option<ThroughputSample> {
        let sample = ThroughputSample {
            bytes: self.bytes,
            elapsed: self.elapsed,
            source: SampleSource::Network,
        };
        if !sample.tells() {
            return None;
        }
        (self.bytes, self.elapsed) = (0, Duration::ZERO);
        Some(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The kilobytes and milliseconds of the samples that come of (now, since, bytes since the last).
    fn check(ends: &[(u64, u64, u64)], expected: &[(u64, u128)]) {
        let mut meter = Meter::default();
        let mut samples = Vec::new();
        for (now, since, bytes) in ends {
            meter.handle_bytes(at(*now), at(*since), *bytes);
            let sample = meter.sample();
            samples.extend(sample.map(|sample| (sample.bytes, sample.elapsed.as_millis())));
        }
        assert_eq!(samples, expected, "{ends:?}");
    }

    #[test]
    fn transfers_side_by_side_are_one_line() {
        // One after another, with a pause between them.
        check(
            &[(1000, 0, 50_000), (3000, 2000, 50_000)],
            &[(50_000, 1000), (50_000, 1000)],
        );
        // Three at once, of which each brought a third until the first was there.
        check(
            &[(3000, 0, 300_000), (3100, 0, 10_000), (3200, 0, 10_000)],
            &[(300_000, 3000), (20_000, 200)],
        );
    }

    #[test]
    fn small_segments_tell_together() {
        check(
            &[(500, 0, 10_000), (2500, 2000, 10_000), (4500, 4000, 10_000)],
            &[(20_000, 1000)],
        );
    }
}
