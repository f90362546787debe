//! Fetching for later: the same plan, without a reader, until there is enough.

use kithara_stream::Wish;

use super::{FilePlan, LEAST_LOOK_AHEAD, State};
use crate::FileEvent;

impl FilePlan {
    /// Ends a prefetch that has as much as was asked for.
    pub(super) fn finish_if_prefetched(&mut self) {
        let Some(amount) = self.amount.filter(|_| self.origin.is_some()) else {
            return;
        };
        let under_way = matches!(self.state, State::Fetching | State::Complete);
        let enough = amount.bytes().max(LEAST_LOOK_AHEAD).min(self.end());
        if !under_way || self.coverage.next_gap(0, enough).is_some() {
            return;
        }
        self.abort(|_| true);
        self.state = State::Served;
        self.report_progress(0);
        self.event(FileEvent::PrefetchDone {
            stored: self.coverage.total(),
            len: self.told_len(),
        });
        self.wishes.push_back(Wish::End);
    }
}
