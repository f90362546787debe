//! How fast the network is: two averages over what was fetched.

use std::time::Duration;

/// Fewer bytes than this tell about round trips, not about throughput.
const LEAST_BYTES: u64 = 16_000;
/// What took less is taken to have taken this long: clocks and kernel buffers can't tell.
const LEAST_TIME: Duration = Duration::from_millis(1);
/// One transfer counts for no more than this, or a single long one would be all that is remembered.
const MOST_TIME: Duration = Duration::from_secs(60);
/// Half-lives in seconds of transfer: one follows changes, one outlasts flickers.
const FAST: f64 = 2.0;
const SLOW: f64 = 10.0;

/// Where the bytes of a sample came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleSource {
    /// Over the network.
    Network,
    /// From the cache: says nothing about the network.
    Cache,
}

/// One transfer, whole or given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThroughputSample {
    /// Body bytes that came.
    pub bytes: u64,
    /// From the first of them to the last.
    pub elapsed: Duration,
    /// Where they came from.
    pub source: SampleSource,
}

impl ThroughputSample {
    /// Whether its bytes are enough to tell about throughput, and not only about round trips: 16,000.
    #[must_use]
    pub fn tells(&self) -> bool {
        self.bytes >= LEAST_BYTES
    }
}

/// Turns samples into bits per second.
///
/// [`ThroughputEstimator`] is the library's; a caller who knows more about its network brings another.
pub trait Estimator {
    /// A transfer ended.
    fn handle_sample(&mut self, sample: &ThroughputSample);

    /// What to count on, in bits per second; `None` while nothing is known.
    fn bits_per_second(&self) -> Option<u64>;
}

/// The lower of two averages over the network's samples, weighted by how long each took.
///
/// The fast one halves the past every 2 seconds of transfer, the slow one every 10, so that a drop shows at once and a rise
/// when it lasts. Transfers of less than 16,000 bytes and those from the cache are ignored.
#[derive(Clone, Debug, Default)]
pub struct ThroughputEstimator {
    fast: Average,
    slow: Average,
}

impl ThroughputEstimator {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Estimator for ThroughputEstimator {
    fn handle_sample(&mut self, sample: &ThroughputSample) {
        if sample.source == SampleSource::Cache || !sample.tells() {
            return;
        }
        let seconds = sample.elapsed.max(LEAST_TIME).as_secs_f64();
        let rate = sample.bytes as f64 * 8.0 / seconds;
        let weight = seconds.min(MOST_TIME.as_secs_f64());
        self.fast.add(rate, weight, FAST);
        self.slow.add(rate, weight, SLOW);
    }

    fn bits_per_second(&self) -> Option<u64> {
        let lower = self.fast.value(FAST)?.min(self.slow.value(SLOW)?);
        // Saturates at the ends of u64.
        Some(lower as u64)
    }
}

/// An exponentially weighted average that begins at nothing, and knows how much of it is that nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    sum: f64,
    seconds: f64,
}

impl Average {
    fn add(&mut self, rate: f64, seconds: f64, half_life: f64) {
        let past = 0.5_f64.powf(seconds / half_life);
        self.sum = self.sum * past + rate * (1.0 - past);
        self.seconds += seconds;
    }

    fn value(&self, half_life: f64) -> Option<f64> {
        let known = 1.0 - 0.5_f64.powf(self.seconds / half_life);
        (known > 0.0).then(|| self.sum / known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kilobits: u64, millis: u64) -> ThroughputSample {
        ThroughputSample {
            bytes: kilobits * 125,
            elapsed: Duration::from_millis(millis),
            source: SampleSource::Network,
        }
    }

    /// Samples of kilobits and milliseconds, and the range of kilobits per second that is to be counted on after them.
    fn check(samples: &[(u64, u64)], expected: std::ops::RangeInclusive<u64>) {
        let mut estimator = ThroughputEstimator::new();
        for (kilobits, millis) in samples {
            estimator.handle_sample(&sample(*kilobits, *millis));
        }
        let kilobits = estimator.bits_per_second().expect("samples came") / 1000;
        assert!(expected.contains(&kilobits), "{samples:?}: {kilobits}");
    }

    #[test]
    fn a_drop_counts_at_once_and_a_rise_when_it_lasts() {
        // The first sample is all there is to know, however short it was.
        check(&[(200, 50)], 3990..=4000);
        // Steady.
        check(&[(1000, 1000); 30], 999..=1000);
        // From 4000 to 400: after four seconds the fast average has forgotten three quarters.
        check(&[(4000, 1000), (4000, 1000), (1600, 4000)], 800..=1300);
        check(
            &[(4000, 1000), (4000, 1000), (1600, 4000), (1600, 4000)],
            400..=650,
        );
        // From 400 to 4000: after four seconds the slow one still holds back.
        check(&[(4000, 10_000), (16_000, 4000)], 1200..=2400);
        check(&[(4000, 10_000), (80_000, 20_000)], 3000..=3600);
        // One flicker in a steady stream moves little.
        check(
            &[(1000, 1000), (1000, 1000), (1000, 1000), (1000, 100)],
            999..=1350,
        );
    }

    #[test]
    fn the_weight_of_a_sample_is_its_time() {
        // Many small fast ones in between don't outweigh the seconds that were slow.
        let mut samples = vec![(5000, 10_000)];
        samples.extend([(200, 20); 10]);
        check(&samples, 500..=1300);
    }

    #[test]
    fn what_says_nothing_about_the_network_is_ignored() {
        let mut estimator = ThroughputEstimator::new();
        let cached = ThroughputSample {
            source: SampleSource::Cache,
            ..sample(100_000, 1)
        };
        let tiny = ThroughputSample {
            bytes: 15_999,
            ..sample(0, 1000)
        };
        for ignored in [cached, tiny] {
            estimator.handle_sample(&ignored);
            assert_eq!(estimator.bits_per_second(), None);
        }
        estimator.handle_sample(&sample(800, 1000));
        for ignored in [cached, tiny] {
            estimator.handle_sample(&ignored);
            let kilobits = estimator.bits_per_second().map(|bits| bits / 1000);
            assert!(matches!(kilobits, Some(799..=800)), "{kilobits:?}");
        }
    }

    #[test]
    fn no_sample_breaks_it() {
        let mut estimator = ThroughputEstimator::new();
        for bytes in [16_000, u64::MAX] {
            for elapsed in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
                estimator.handle_sample(&ThroughputSample {
                    bytes,
                    elapsed,
                    source: SampleSource::Network,
                });
                assert!(estimator.bits_per_second().is_some());
            }
        }
        // And it finds back.
        for _ in 0..100 {
            estimator.handle_sample(&sample(60_000, 60_000));
        }
        let found = estimator.bits_per_second();
        assert!(matches!(found, Some(999_000..=1_001_000)), "{found:?}");
    }
}
