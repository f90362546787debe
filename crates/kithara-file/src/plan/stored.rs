//! What the store says: bytes of earlier times, and bytes that others bring.

use std::ops::Range;
use std::time::Duration;

use kithara_stream::assets::{Facts, Keep, Reason};
use kithara_stream::net::ResponseHead;
use kithara_stream::{Coverage, ResourceId, Stored, StreamError, Wish};

use super::{FilePlan, PROGRESS_STEP, State};
use crate::FileEvent;
use crate::origin::Origin;

/// Stored bytes compared where new ones are joined to them and nothing else tells one version from another.
const OVERLAP: u64 = 64;

impl FilePlan {
    pub(super) fn open(&mut self) {
        let Some(key) = self.key else { return };
        self.state = State::Opening;
        let resource = self.resource;
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
            outdated,
            ..
        } = stored;
        if coverage.total() > self.coverage.total() {
            self.patience.restart(now);
        }
        // What memory had no room for is not damaged.
        if memory_only.is_none() {
            for stored in self.coverage.iter() {
                coverage
                    .gaps(stored)
                    .for_each(|lost| self.damaged.insert(lost));
            }
        }
        self.coverage = coverage;
        self.others = others;
        self.memory_only = memory_only;
        if self.key.is_some()
            && let Some(reason) = not_kept
        {
            self.tell_not_kept(reason);
        }
        let facts = self.unless_it_could_be_anything(facts);
        let opening = self.state == State::Opening;
        if opening {
            self.state = State::Fetching;
            self.tell_found(facts.as_ref(), end);
        }
        let was_unknown = self.origin.is_none();
        if let Some(facts) = facts {
            self.believe(&facts, end);
        }
        if opening && outdated && self.is_whole() {
            return self.doubt(now);
        }
        if was_unknown && self.origin.is_some() {
            self.publish();
        }
        match self.state {
            State::Fetching if opening => self.begin_stored(due),
            // Some of it was lost.
            State::Complete if !self.is_whole() => self.state = State::Fetching,
            _ => {}
        }
        self.leave_to_others();
        self.report_progress(PROGRESS_STEP);
        self.schedule(now);
    }

    /// Facts without a version or a length may be those of a stream that is never the same twice. Bytes that others hear of
    /// such are theirs; this one hears its own, and nobody shares them.
    fn unless_it_could_be_anything(&mut self, facts: Option<Facts>) -> Option<Facts> {
        let nameless =
            |facts: &&Facts| self.has_bytes() && !Origin::stored(facts, None).can_be_told();
        if self.origin.is_some() || facts.as_ref().is_none_or(|facts| !nameless(&facts)) {
            return facts;
        }
        self.tell_not_kept(Reason::NoStore);
        self.abort(|_| true);
        let resource = self.resource;
        self.wishes.push_back(Wish::Leave { resource });
        self.resource = ResourceId(resource.0 + 1);
        self.key = None;
        self.coverage = Coverage::default();
        self.others = Coverage::default();
        self.memory_only = None;
        None
    }

    fn has_bytes(&self) -> bool {
        !self.coverage.is_empty() || !self.others.is_empty()
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
        let has_bytes = self.has_bytes();
        let Some(origin) = &mut self.origin else {
            // An empty file is no reason not to ask, nor are facts without a byte.
            if has_bytes && end != Some(0) {
                self.origin = Some(Origin::stored(facts, end));
            }
            return;
        };
        let conflict = origin.facts().conflict(facts);
        // What somebody can prove goes before what this one took for the end.
        if end.is_some() && origin.told_total().is_none() {
            origin.total = end;
            origin.end_unproven = facts.total.is_none();
        }
        if let Some(conflict) = conflict
            && self.state != State::Failed
        {
            self.changed(conflict.to_string());
        }
    }

    /// Where all of it was there already there is nothing to ask, unless it is time to.
    pub(super) fn begin_stored(&mut self, due: bool) {
        self.state = State::Fetching;
        if !self.is_whole() {
            return;
        }
        self.state = State::Complete;
        self.report_progress(0);
        if let Some(len) = self.told_len() {
            self.event(FileEvent::DownloadComplete { len });
        }
        if due && self.amount.is_none() {
            self.revalidate();
        }
    }

    /// The origin has described the file that is read: that is what is kept beside its bytes.
    pub(super) fn identify(&mut self, head: &ResponseHead) {
        let told = self.origin.as_ref().is_some_and(Origin::can_be_told);
        let forbidden = head.no_store && !self.policy.ignore_no_store;
        self.keep = match told && !forbidden {
            true => Keep::Yes,
            // Nothing could tell it from something else.
            false => Keep::No,
        };
        self.tell_facts();
        let first = !std::mem::replace(&mut self.heard, true);
        if self.key.is_none() {
            return;
        }
        if first {
            let resource = self.resource;
            self.wishes.push_back(Wish::Validated { resource });
        }
        // What was allowed to be kept before stays.
        if self.keep == Keep::No && self.coverage.is_empty() {
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
            let resource = self.resource;
            self.wishes.push_back(Wish::Discard { resource });
        }
        let name = self.info.name.clone();
        self.fail(StreamError::ContentChanged { name, what });
    }

    /// What to tell of a failure. Of a file that could be played so far without the network, what is missing of it.
    pub(super) fn explained(&self, error: StreamError) -> StreamError {
        match error {
            StreamError::Net(source) if !self.heard && self.was_stored() => {
                let wanted = self.demand.wanted.as_ref();
                let from = wanted.map_or(self.demand.position, |wanted| wanted.start);
                let (name, offset) = (self.info.name.clone(), self.coverage.covered_from(from));
                match self.damaged.covered_from(offset) > offset {
                    true => StreamError::Damaged {
                        name,
                        offset,
                        source,
                    },
                    false => StreamError::Missing {
                        name,
                        offset,
                        source,
                    },
                }
            }
            other => other,
        }
    }

    fn was_stored(&self) -> bool {
        !self.coverage.is_empty() || !self.damaged.is_empty()
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
        // Within one play a range can be asked for without that; what starts over from the front has been away.
        let joins =
            |origin: &Origin| !origin.has_version() && (self.key.is_some() || !origin.ranges);
        if !self.origin.as_ref().is_some_and(joins) {
            return 0;
        }
        let before = start.saturating_sub(OVERLAP)..start;
        let last_gap = self.coverage.gaps(before.clone()).last();
        start - last_gap.map_or(before.start, |gap| gap.end)
    }

    /// What others take over from a transfer for which nobody waits, or bring while it stands aside, is left to them.
    fn leave_to_others(&mut self) {
        if self.amount.is_none() {
            return;
        }
        let in_order = self.origin.as_ref().is_some_and(|origin| !origin.ranges);
        let (coverage, others) = (self.coverage.clone(), self.others.clone());
        let taken: Coverage = coverage.iter().chain(others.iter()).collect();
        self.abort(|transfer| {
            let next = transfer.coming.start.max(transfer.asked.start);
            let next = coverage.covered_from(next);
            let end = transfer.coming.end;
            let in_vain = next >= end || taken.contains(next..end);
            // A response from the front comes from the front again: it goes on while it has anything to bring. Whoever
            // listens takes one step after another over from it, and would end it at each of them.
            let meets = |other: Range<u64>| other.start < end && next < other.end;
            let gives_way = !in_order && others.iter().any(meets);
            (in_vain || gives_way) && transfer.left() > 0
        });
    }
}
