//! A transfer in the simulated network.

use std::ops::Range;
use std::time::Duration;

use crate::FetchId;

/// A transfer in the simulated network.
pub(super) struct Carrier {
    pub(super) id: FetchId,
    pub(super) range: Range<u64>,
    pub(super) at: u64,
    pub(super) credit: u64,
    /// Silent until then: latency, a stall, a back-off.
    pub(super) ready_at: Duration,
    pub(super) headed: bool,
    pub(super) request: usize,
    /// The first byte asked for.
    pub(super) asked: u64,
    /// Bytes before this one are compared with stored ones.
    pub(super) compared: u64,
    /// It stores nothing.
    pub(super) only_compares: bool,
    pub(super) attempts: u32,
    /// The count at which the plan wants to hear of it.
    pub(super) until: u32,
}

pub(super) enum Fate {
    Carried(u64),
    Broke,
    Silent,
}

impl Carrier {
    pub(super) fn moves(&self, now: Duration) -> bool {
        self.headed && now >= self.ready_at && self.at < self.credit.min(self.range.end)
    }
}
