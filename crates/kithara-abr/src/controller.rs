//! The rule.

use std::time::Duration;

use crate::abandon::{SegmentWatch, sooner};
use crate::decision::{AbrDecision, AbrReason};
use crate::estimator::{Estimator, ThroughputEstimator, ThroughputSample};
use crate::ladder::{Ladder, Rung};
use crate::options::{AbrMode, AbrOptions};
use crate::variant::Variant;

/// Chooses the variant of each next segment.
///
/// Times are durations since any moment that is the same for all calls. Nothing here blocks, and nothing allocates after the
/// constructor.
///
/// ```
/// use std::time::Duration;
/// use kithara_abr::{AbrController, AbrOptions, SampleSource, ThroughputSample, Variant};
///
/// let variant = |variant_index, bandwidth_bps| Variant { variant_index, bandwidth_bps };
/// let ladder = [variant(0, 64_000), variant(1, 320_000)];
/// let mut abr = AbrController::new(AbrOptions::default(), &ladder).expect("two variants");
/// let first = abr.decide(Duration::ZERO, Duration::ZERO);
/// abr.apply(Duration::ZERO, &first);
/// abr.handle_sample(&ThroughputSample {
///     bytes: 200_000,
///     elapsed: Duration::from_secs(16),
///     source: SampleSource::Network,
/// });
/// // 100 kbit/s carry 64, not 320.
/// assert_eq!(abr.decide(Duration::from_secs(16), Duration::ZERO).target_variant_index, 0);
/// ```
#[derive(Clone, Debug)]
pub struct AbrController<E = ThroughputEstimator> {
    options: AbrOptions,
    estimator: E,
    ladder: Ladder,
    /// The index of what is being played.
    current: Option<usize>,
    last_switch: Option<Duration>,
    /// A segment was given up, and none has become whole since.
    abandoned: bool,
}

impl AbrController {
    /// With the library's estimator. `None` if there are no variants.
    #[must_use]
    pub fn new(options: AbrOptions, variants: &[Variant]) -> Option<Self> {
        Self::with_estimator(options, variants, ThroughputEstimator::new())
    }
}

impl<E: Estimator> AbrController<E> {
    /// With another estimator. `None` if there are no variants.
    #[must_use]
    pub fn with_estimator(options: AbrOptions, variants: &[Variant], estimator: E) -> Option<Self> {
        Some(Self {
            options,
            estimator,
            ladder: Ladder::new(variants)?,
            current: None,
            last_switch: None,
            abandoned: false,
        })
    }

    /// A transfer ended, or was given up.
    pub fn handle_sample(&mut self, sample: &ThroughputSample) {
        self.estimator.handle_sample(sample);
    }

    /// A segment is whole, whatever it came from: the next one may be given up again.
    pub fn handle_segment(&mut self) {
        self.abandoned = false;
    }

    /// A variant brings errors: it is left alone for [`AbrOptions::exclusion`].
    pub fn handle_failure(&mut self, now: Duration, variant_index: usize) {
        let until = now.saturating_add(self.options.exclusion);
        self.ladder.exclude(variant_index, until);
    }

    /// Lets somebody else choose. The next [`decide`](Self::decide) follows it.
    pub fn set_mode(&mut self, mode: AbrMode) {
        self.options.mode = mode;
    }

    /// Remembers that a decision was followed. One that was not is simply not applied.
    pub fn apply(&mut self, now: Duration, decision: &AbrDecision) {
        if decision.changed && self.current.is_some() {
            self.last_switch = Some(now);
        }
        self.abandoned |= decision.reason == AbrReason::Abandoned;
        self.current = Some(decision.target_variant_index);
    }

    /// Which variant the next segment is to be of, with that much media in front of the playhead.
    #[must_use]
    pub fn decide(&self, now: Duration, buffered: Duration) -> AbrDecision {
        let (target, reason) = self.choose(now, buffered);
        self.decision(target, reason)
    }

    /// Whether to give up a segment that comes too slowly, and what to fetch in its place. `None`: let it come.
    ///
    /// `until_end` is how long the playhead takes to the end of that segment. It is given up when it would not be whole by
    /// then and the same stretch of a lower variant is there sooner; after that no other is, until one has become whole. So
    /// at most one segment is fetched twice.
    #[must_use]
    pub fn abandon(
        &self,
        now: Duration,
        until_end: Duration,
        segment: &SegmentWatch,
    ) -> Option<AbrDecision> {
        let manual = matches!(self.options.mode, AbrMode::Manual(_));
        let early = segment.age(now) < self.options.min_time_before_abandon;
        let current = self.ladder.find(self.current?)?;
        if manual || early || self.abandoned {
            return None;
        }
        let lower = self.ladder.allowed(now, self.cap());
        let lower = lower.rev().filter(|rung| rung.bps() < current.bps());
        let ladder = lower.map(|rung| rung.variant);
        let target = sooner(segment, now, until_end, current.bps(), ladder)?;
        Some(self.decision(target.variant_index, AbrReason::Abandoned))
    }

    /// When a variant that failed may be tried again; `None` if none is waiting for that.
    #[must_use]
    pub fn next_retry(&self, now: Duration) -> Option<Duration> {
        self.ladder.next_retry(now)
    }

    /// What is being played: the index of the last decision that was applied.
    #[must_use]
    pub fn current(&self) -> Option<usize> {
        self.current
    }

    /// Who chooses.
    #[must_use]
    pub fn mode(&self) -> AbrMode {
        self.options.mode
    }

    /// Bits per second to count on.
    #[must_use]
    pub fn throughput(&self) -> Option<u64> {
        self.estimator.bits_per_second()
    }

    fn decision(&self, target: usize, reason: AbrReason) -> AbrDecision {
        AbrDecision {
            target_variant_index: target,
            reason,
            changed: self.current != Some(target),
        }
    }

    fn choose(&self, now: Duration, buffered: Duration) -> (usize, AbrReason) {
        if let AbrMode::Manual(index) = self.options.mode
            && self.ladder.find(index).is_some()
        {
            return (index, AbrReason::ManualOverride);
        }
        let Some(current) = self.current.and_then(|index| self.ladder.find(index)) else {
            return (self.first(now), AbrReason::Initial);
        };
        let index = current.variant.variant_index;
        if self.ladder.allowed(now, self.cap()).next().is_none() {
            return (index, AbrReason::NoneAvailable);
        }
        if current.is_excluded(now) {
            return (self.instead_of(now, current), AbrReason::Failed);
        }
        let mut allowed = self.ladder.allowed(now, self.cap());
        if !allowed.any(|rung| rung.variant.variant_index == index) {
            return (self.instead_of(now, current), AbrReason::Capped);
        }
        match self.estimator.bits_per_second() {
            None => (index, AbrReason::NoEstimate),
            Some(estimate) => self.compare(now, buffered, current, estimate),
        }
    }

    /// What is played works and is allowed: is another better?
    fn compare(
        &self,
        now: Duration,
        buffered: Duration,
        current: &Rung,
        estimate: u64,
    ) -> (usize, AbrReason) {
        let index = current.variant.variant_index;
        let Some(best) = self.best(now, estimate, self.cap()) else {
            return (index, AbrReason::NoneAvailable);
        };
        let target = best.variant.variant_index;
        if best.bps() > current.bps() {
            let since = self.last_switch.map(|last| now.saturating_sub(last));
            if since.is_some_and(|since| since < self.options.min_switch_interval) {
                (index, AbrReason::MinInterval)
            } else if buffered < self.options.min_buffer_for_up_switch {
                (index, AbrReason::BufferTooLowForUpSwitch)
            } else {
                (target, AbrReason::UpSwitch)
            }
        } else if best.bps() < current.bps() && self.is_too_much(buffered, current, estimate) {
            (target, AbrReason::DownSwitch)
        } else {
            (index, AbrReason::AlreadyOptimal)
        }
    }

    fn is_too_much(&self, buffered: Duration, current: &Rung, estimate: u64) -> bool {
        let low = buffered <= self.options.low_buffer;
        let ratio = if low {
            self.options
                .low_buffer_ratio
                .max(self.options.down_switch_ratio)
        } else {
            self.options.down_switch_ratio
        };
        (estimate as f64) < current.bps() as f64 * ratio
    }

    /// The first variant of all.
    fn first(&self, now: Duration) -> usize {
        let wanted = match self.options.mode {
            AbrMode::Auto(start) => start.and_then(|index| self.ladder.find(index)),
            AbrMode::Manual(_) | AbrMode::Capped(_) => None,
        };
        let wanted = wanted.filter(|rung| !rung.is_excluded(now));
        let known = self.estimator.bits_per_second();
        let estimate = known.unwrap_or(self.options.initial_bps);
        let chosen = wanted.or_else(|| self.best(now, estimate, self.cap()));
        chosen
            .unwrap_or_else(|| self.ladder.lowest())
            .variant
            .variant_index
    }

    /// In place of one that failed or is above the cap: what the network carries, but nothing higher unless there is nothing
    /// else.
    fn instead_of(&self, now: Duration, current: &Rung) -> usize {
        let known = self.estimator.bits_per_second();
        // With nothing known, what was played so far was carried.
        let estimate = known.unwrap_or(u64::MAX);
        let cap = self.cap().min(current.bps());
        let chosen = self.best(now, estimate, cap);
        chosen.unwrap_or(current).variant.variant_index
    }

    /// The highest that the throughput carries with room to spare, or else the lowest; `None` if all are left alone. Of those
    /// that take the same, what is being played comes first.
    fn best(&self, now: Duration, estimate: u64, cap: u64) -> Option<&Rung> {
        let carried =
            |rung: &&Rung| rung.bps() as f64 * self.options.up_switch_ratio <= estimate as f64;
        let mut allowed = self.ladder.allowed(now, cap);
        let lowest = self.ladder.allowed(now, cap).next();
        let highest = allowed.rfind(carried).or(lowest)?;
        let same = self.ladder.allowed(now, cap);
        let mut same = same.filter(|rung| rung.bps() == highest.bps()).peekable();
        let first = same.peek().copied();
        same.find(|rung| Some(rung.variant.variant_index) == self.current)
            .or(first)
    }

    fn cap(&self) -> u64 {
        match self.options.mode {
            AbrMode::Capped(bps) => bps,
            AbrMode::Auto(_) | AbrMode::Manual(_) => u64::MAX,
        }
    }
}
