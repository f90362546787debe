//! What the store says: bytes of earlier times, and bytes that others bring.

use std::ops::Range;
use std::time::Duration;

use kithara_stream::assets::{Facts, Keep, Reason};
use kithara_stream::net::ResponseHead;
use kithara_stream::{Coverage, Discard, Stored, StreamError, Wish};

use super::{FilePlan, PROGRESS_STEP, RESOURCE, State};
use crate::FileEvent;
use crate::origin::Origin;

/// Stored bytes compared where new ones are joined to them and nothing else tells one version from another.
const OVERLAP: u64 = 64;

impl FilePlan {
    pub(super) fn open(&mut self) {
        let Some(key) = self.key else { return };
        self.state = State::Opening;
        let resource = RESOURCE;
        self.wishes.push_back(Wish::Open { resource, key });
    }

    pub(super) fn heard_stored(&mut self, now: Duration, stored: Stored) {
        let Stored {
            coverage,
            others,
            facts,
            end,
            memory_only,
            not_kept,
            due,
            ..
        } = stored;
        self.coverage = coverage;
        self.others = others;
        self.memory_only = memory_only;
        if self.key.is_some()
            && let Some(reason) = not_kept
        {
            self.tell_not_kept(reason);
        }
        let opening = self.state == State::Opening;
        if opening {
            self.state = State::Fetching;
            self.tell_found(facts.as_ref(), end);
        }
        if let Some(facts) = facts {
            self.believe(&facts, end);
        }
        match self.state {
            State::Fetching if opening && self.is_whole() => self.begin_whole(now, due),
            // Some of it was lost.
            State::Complete if !self.is_whole() => self.state = State::Fetching,
            _ => {}
        }
        self.leave_to_others();
        self.report_progress(PROGRESS_STEP);
        self.schedule(now);
    }

    fn tell_found(&mut self, facts: Option<&Facts>, end: Option<u64>) {
        let len = end.or(facts.and_then(|facts| facts.total));
        self.event(FileEvent::Found {
            stored: self.coverage.total(),
            len,
            complete: len.is_some_and(|len| self.coverage.is_complete(len)),
        });
    }

    /// Takes what the store knows of the file, or notices that it is another one.
    fn believe(&mut self, facts: &Facts, end: Option<u64>) {
        let Some(origin) = &mut self.origin else {
            // An empty file is no reason not to ask, nor are facts without a byte.
            let has_bytes = !self.coverage.is_empty() || !self.others.is_empty();
            if has_bytes && end != Some(0) {
                self.origin = Some(Origin::stored(facts, end));
                self.publish();
            }
            return;
        };
        let conflict = origin.facts().conflict(facts);
        origin.total = origin.total.or(end);
        if let Some(conflict) = conflict
            && self.state != State::Failed
        {
            self.changed(conflict.to_string());
        }
    }

    /// All of it was there already: there is nothing to ask, unless it is time to.
    fn begin_whole(&mut self, now: Duration, due: bool) {
        self.state = State::Complete;
        self.report_progress(0);
        self.event(FileEvent::DownloadComplete { len: self.end() });
        if due && self.amount.is_none() {
            self.revalidate(now);
        }
    }

    /// The origin has described the file that is read: that is what is kept beside its bytes.
    pub(super) fn identify(&mut self, head: &ResponseHead) {
        let Some(origin) = self.origin.as_ref().filter(|_| self.key.is_some()) else {
            self.heard = true;
            return;
        };
        let keep = match head.no_store && !self.policy.ignore_no_store {
            true => Keep::No,
            false => Keep::Yes,
        };
        let (resource, facts) = (RESOURCE, origin.facts());
        self.wishes.push_back(Wish::Identify {
            resource,
            facts,
            keep,
        });
        if !self.heard {
            self.heard = true;
            self.wishes.push_back(Wish::Validated { resource });
        }
        // What was allowed to be kept before stays.
        if keep == Keep::No && self.coverage.is_empty() {
            self.tell_not_kept(Reason::NoStore);
        }
    }

    fn tell_not_kept(&mut self, reason: Reason) {
        if self.told_not_kept {
            return;
        }
        self.told_not_kept = true;
        self.event(FileEvent::NotKept { reason });
        if self.amount.is_some() {
            self.abort(|_| true);
            self.fail(self.not_kept(Some(reason)));
        }
    }

    /// The error of fetching for later what will not be there later.
    pub(crate) fn not_kept(&self, reason: Option<Reason>) -> StreamError {
        let name = self.info.name.clone();
        StreamError::NotKept { name, reason }
    }

    /// The origin has another file: its bytes and ours must not meet.
    pub(super) fn changed(&mut self, what: String) {
        self.event(FileEvent::Changed { what: what.clone() });
        if self.key.is_some() {
            // Before anybody is told, so that who opens it again for that reason begins anew.
            self.wishes.push_back(Wish::Discard {
                resource: RESOURCE,
                when: Discard::Now,
            });
        }
        let name = self.info.name.clone();
        self.fail(StreamError::ContentChanged { name, what });
    }

    /// What to tell of a failure. Of a file that could be played so far without the network, what is missing of it.
    pub(super) fn explained(&self, error: StreamError) -> StreamError {
        match error {
            StreamError::Net(source) if !self.heard && !self.coverage.is_empty() => {
                let wanted = self.demand.wanted.as_ref();
                let from = wanted.map_or(self.demand.position, |wanted| wanted.start);
                StreamError::Missing {
                    name: self.info.name.clone(),
                    offset: self.coverage.covered_from(from),
                    source,
                }
            }
            other => other,
        }
    }

    /// Whether another stream is bringing this byte.
    pub(super) fn others_bring(&self, byte: u64) -> bool {
        self.others.covered_from(byte) > byte
    }

    /// The front of `range` that nobody else brings.
    pub(super) fn left_by_others(&self, range: Range<u64>) -> Range<u64> {
        let free = self.others.next_gap(range.start, range.end);
        free.filter(|free| free.start == range.start)
            .unwrap_or(range)
    }

    /// How many stored bytes before `start` to ask for again: none where validators tell one version from another.
    pub(super) fn overlap_before(&self, start: u64) -> u64 {
        let nameless = |origin: &Origin| !origin.has_version();
        if self.key.is_none() || !self.origin.as_ref().is_some_and(nameless) {
            return 0;
        }
        let before = start.saturating_sub(OVERLAP)..start;
        let last_gap = self.coverage.gaps(before.clone()).last();
        start - last_gap.map_or(before.start, |gap| gap.end)
    }

    /// Coverage that others have brought while a transfer stood aside for them is not fetched after all.
    fn leave_to_others(&mut self) {
        if self.amount.is_none() {
            return;
        }
        let taken: Coverage = self.coverage.iter().chain(self.others.iter()).collect();
        self.abort(|transfer| {
            let next = transfer.coming.start.max(transfer.asked.start);
            transfer.head_at.is_some() && taken.contains(next..transfer.coming.end)
        });
    }
}
