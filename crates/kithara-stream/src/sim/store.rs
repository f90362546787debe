//! The store of a simulated world: what an earlier run left in it, and what others do to it.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use kithara_assets::{Facts, Keep, Reason};
use kithara_storage::Coverage;

use crate::Stored;

/// Something that happens to a resource without the plan's doing.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Another stream is going to bring these bytes.
    Claimed(Range<u64>),
    /// It told what the origin says of the resource.
    Identified(Facts),
    /// It brought these bytes.
    Brought(Range<u64>),
    /// It doesn't bring these bytes after all.
    Left(Range<u64>),
    /// These bytes are gone from the disk.
    Lost(Range<u64>),
    /// Nothing is saved any more; so many bytes are held in memory.
    MemoryOnly(u64),
    /// The disk falls behind; no more than so many bytes are to be held in memory.
    Slow(u64),
    /// It has caught up.
    CaughtUp,
}

/// One resource in the store.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// What an earlier run left.
    pub coverage: Coverage,
    /// What it had heard of the origin.
    pub facts: Option<Facts>,
    /// Its length, if that is known.
    pub end: Option<u64>,
    /// Whether it is time to ask the origin.
    pub due: bool,
    /// Whether the origin was found to have another content.
    pub outdated: bool,
    /// What others claim.
    pub others: Coverage,
    /// What others claim, and nobody has told yet: claims tell nobody.
    pub untold: Coverage,
    /// What is going to happen, in order of time.
    pub happenings: VecDeque<(Duration, Happening)>,
    memory_only: Option<u64>,
    slow: Option<u64>,
    forgotten: bool,
    /// What came when, for the store that holds only so much.
    order: VecDeque<Range<u64>>,
}

impl Shelf {
    /// The file that [`OriginFile::polite`](super::OriginFile::polite) describes, of which these ranges are stored.
    pub fn of(len: u64, ranges: &[Range<u64>]) -> Self {
        Self {
            coverage: ranges.iter().cloned().collect(),
            facts: Some(Facts {
                total: Some(len),
                etag: Some("\"v1\"".into()),
                ..Facts::default()
            }),
            end: Some(len),
            ..Self::default()
        }
    }

    /// At this time, this happens.
    #[must_use]
    pub fn then(mut self, millis: u64, what: Happening) -> Self {
        let at = Duration::from_millis(millis);
        self.happenings.push_back((at, what));
        self
    }

    /// What others claim, told or not.
    pub(super) fn claimed(&self) -> Coverage {
        self.others.iter().chain(self.untold.iter()).collect()
    }

    /// Whoever ran into a claim hears of it.
    pub(super) fn tell(&mut self) {
        self.others = self.claimed();
        self.untold = Coverage::new();
    }

    pub(super) fn stored(&self, coverage: &Coverage) -> Stored {
        Stored {
            coverage: coverage.clone(),
            others: self.others.clone(),
            facts: self.facts.clone(),
            end: self.end,
            superseded: false,
            memory_only: self.memory_only.or(self.slow),
            not_kept: self
                .memory_only
                .map(|_| Reason::Failed)
                .or(self.forgotten.then_some(Reason::NoStore)),
            due: self.due,
            outdated: self.outdated,
        }
    }

    pub(super) fn identify(&mut self, facts: Facts, keep: Keep, coverage: &Coverage) -> bool {
        if let Some(known) = &self.facts {
            return known.conflict(&facts).is_none();
        }
        self.forgotten = keep == Keep::No && coverage.is_empty();
        self.facts = Some(facts);
        true
    }

    /// Lets happen what is due; whether anything did.
    pub(super) fn pass(&mut self, now: Duration, coverage: &mut Coverage) -> bool {
        let mut changed = false;
        while self.happenings.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, what)) = self.happenings.pop_front() else {
                break;
            };
            changed = true;
            match what {
                Happening::Claimed(range) => self.others.insert(range),
                Happening::Identified(facts) => self.facts = Some(facts),
                Happening::Brought(range) => {
                    self.others.remove(range.clone());
                    coverage.insert(range);
                }
                Happening::Left(range) => self.others.remove(range),
                Happening::Lost(range) => coverage.remove(range),
                Happening::MemoryOnly(bytes) => self.memory_only = Some(bytes),
                Happening::Slow(bytes) => self.slow = Some(bytes),
                Happening::CaughtUp => self.slow = None,
            }
        }
        changed
    }

    /// Notes that bytes came; whether others had to go.
    pub(super) fn make_room(&mut self, came: &Range<u64>, coverage: &mut Coverage) -> bool {
        self.order.push_back(came.clone());
        let Some(limit) = self.memory_only else {
            return false;
        };
        let mut dropped = false;
        while coverage.total() > limit {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            coverage.remove(oldest);
            dropped = true;
        }
        dropped
    }
}
