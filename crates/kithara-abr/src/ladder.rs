//! The variants in order of what they take, and which of them have failed.

use std::time::Duration;

use crate::variant::Variant;

/// One variant and until when it is left alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rung {
    pub(crate) variant: Variant,
    excluded_until: Option<Duration>,
}

impl Rung {
    pub(crate) fn bps(&self) -> u64 {
        self.variant.bandwidth_bps
    }

    pub(crate) fn is_excluded(&self, now: Duration) -> bool {
        self.excluded_until.is_some_and(|until| now < until)
    }
}

/// Never empty; the lowest first, those that take the same as the caller listed them.
#[derive(Clone, Debug)]
pub(crate) struct Ladder(Vec<Rung>);

impl Ladder {
    pub(crate) fn new(variants: &[Variant]) -> Option<Self> {
        let rung = |variant: &Variant| Rung {
            variant: *variant,
            excluded_until: None,
        };
        let mut rungs: Vec<_> = variants.iter().map(rung).collect();
        rungs.sort_by_key(Rung::bps);
        (!rungs.is_empty()).then_some(Self(rungs))
    }

    pub(crate) fn exclude(&mut self, index: usize, until: Duration) {
        for rung in &mut self.0 {
            if rung.variant.variant_index == index {
                rung.excluded_until = Some(until);
            }
        }
    }

    pub(crate) fn find(&self, index: usize) -> Option<&Rung> {
        let mut rungs = self.0.iter();
        rungs.find(|rung| rung.variant.variant_index == index)
    }

    pub(crate) fn lowest(&self) -> &Rung {
        self.0.first().expect("a ladder is never empty")
    }

    /// Those that may be chosen now, under a cap.
    pub(crate) fn allowed(
        &self,
        now: Duration,
        cap: u64,
    ) -> impl DoubleEndedIterator<Item = &Rung> {
        // A cap below everything leaves the lowest that works.
        let working = move |rung: &&Rung| !rung.is_excluded(now);
        let lowest = self.0.iter().find(working).map_or(0, Rung::bps);
        let cap = cap.max(lowest);
        self.0
            .iter()
            .filter(working)
            .filter(move |rung| rung.bps() <= cap)
    }

    /// When the first of those that are left alone may be tried again.
    pub(crate) fn next_retry(&self, now: Duration) -> Option<Duration> {
        let excluded = self.0.iter().filter(|rung| rung.is_excluded(now));
        excluded.filter_map(|rung| rung.excluded_until).min()
    }
}
