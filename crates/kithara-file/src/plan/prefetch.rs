//! Fetching for later: the same plan, without a reader, until there is enough.

use kithara_stream::Wish;

use super::{FilePlan, State};
use crate::FileEvent;

impl FilePlan {
    /// Ends a prefetch that has as much as was asked for.
    pub(super) fn finish_if_prefetched(&mut self) {
        let under_way = matches!(self.state, State::Fetching | State::Complete);
        let enough = self.origin.is_some() && self.next_missing().is_none();
        if self.amount.is_none() || !under_way || !enough {
            return;
        }
        self.abort(|_| true);
        self.state = State::Served;
        self.report_progress(0);
        self.event(FileEvent::PrefetchDone {
            stored: self.coverage.total(),
            len: self.origin.as_ref().and_then(|origin| origin.total),
        });
        self.wishes.push_back(Wish::End);
    }
}
