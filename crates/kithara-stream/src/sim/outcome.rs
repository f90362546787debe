//! What came of a life in a simulated world.

use std::ops::Range;
use std::time::Duration;

use kithara_assets::{Facts, Keep};
use kithara_storage::Coverage;

use crate::StreamError;

/// What happened.
#[derive(Debug)]
pub struct Outcome<E> {
    /// The ranges asked for, in order; the end is `u64::MAX` where all the rest was.
    pub requests: Vec<Range<u64>>,
    /// Bytes asked for although they were stored.
    pub asked_again: u64,
    /// Bytes carried that were stored already.
    pub carried_again: u64,
    /// What is stored.
    pub coverage: Coverage,
    /// The farthest the store ever ran ahead of the listener.
    pub farthest_ahead: u64,
    /// How long the listener waited for bytes.
    pub waited: Duration,
    /// Transfers open at most at the same time.
    pub most_transfers: usize,
    /// Requests at most, retries among them, without a byte or a seek in between.
    pub most_barren: u32,
    /// Transfers still open at the end.
    pub open_transfers: usize,
    /// What the plan reported.
    pub events: Vec<E>,
    /// What the listener was told when it could not have a byte, with that byte.
    pub refusals: Vec<(u64, StreamError)>,
    /// When the last move was done.
    pub ended_at: Duration,
    /// Whether the resource was declared complete.
    pub completed: bool,
    /// What was said of the origin, in order.
    pub identified: Vec<(Facts, Keep)>,
    /// Bytes stored of a file that was rewritten meanwhile.
    pub mixed: u64,
    /// How often the stored bytes were found to be the origin's.
    pub validated: u32,
    /// How often the stored bytes were discarded.
    pub discarded: u32,
    /// How many resources the plan let go of.
    pub left: u32,
    /// How often they were said to be older than the origin's.
    pub outdated: u32,
    /// Bytes asked for again on purpose, to compare them.
    pub compared: u64,
    /// When the run was published.
    pub published_at: Option<Duration>,
    /// When the plan said that no further run would come.
    pub told_end_at: Option<Duration>,
    /// Requests that were not made because others bring the bytes.
    pub taken: u32,
    /// Requests that anything else in the process goes before.
    pub in_background: usize,
}

impl<E> Default for Outcome<E> {
    fn default() -> Self {
        Self {
            requests: Vec::new(),
            asked_again: 0,
            carried_again: 0,
            coverage: Coverage::default(),
            farthest_ahead: 0,
            waited: Duration::ZERO,
            most_transfers: 0,
            most_barren: 0,
            open_transfers: 0,
            events: Vec::new(),
            refusals: Vec::new(),
            ended_at: Duration::ZERO,
            completed: false,
            identified: Vec::new(),
            mixed: 0,
            validated: 0,
            discarded: 0,
            left: 0,
            outdated: 0,
            compared: 0,
            published_at: None,
            told_end_at: None,
            taken: 0,
            in_background: 0,
        }
    }
}
