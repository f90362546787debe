//! What becomes of parts: the store's answers, and the bytes that come.

use std::time::Duration;

use kithara_stream::assets::{Facts, Keep};
use kithara_stream::net::{NetError, ResponseHead};
use kithara_stream::{FetchId, ResourceId, Stored, StreamError, Wish};

use super::item::{Item, Owner, Part, State};
use super::{HlsPlan, shown};
use crate::HlsEvent;
use crate::event::SegmentSource;

/// No segment has more bytes: 64 MiB are minutes of sound that nobody has compressed.
const SEGMENT_BYTES: u64 = 64 << 20;
/// No init section has more.
const INIT_BYTES: u64 = 1 << 20;

/// Whether a range was asked for that begins where its file has ended.
fn is_behind_end(error: &NetError) -> bool {
    matches!(
        error.root(),
        NetError::RangeNotSatisfiable { total, .. } if *total != Some(0)
    )
}

fn most_of(owner: Owner) -> u64 {
    match owner {
        Owner::Item(_) => SEGMENT_BYTES,
        Owner::Init(_) => INIT_BYTES,
    }
}

impl HlsPlan {
    pub(super) fn owner_of(&self, fetch: FetchId) -> Option<Owner> {
        let item = self.line.by_fetch(fetch).map(Owner::Item);
        item.or_else(|| self.inits.by_fetch(fetch).map(Owner::Init))
    }

    /// The item that a part is of, or is needed by first.
    pub(super) fn index_of(&self, owner: Owner) -> Option<usize> {
        match owner {
            Owner::Item(index) => Some(index),
            Owner::Init(init) => {
                let needs = |item: &Item| item.init == Some(init);
                self.line.items.iter().position(needs)
            }
        }
    }

    pub(super) fn part(&self, owner: Owner) -> &Part {
        match owner {
            Owner::Item(index) => &self.line.items[index].part,
            Owner::Init(index) => &self.inits.parts[index],
        }
    }

    pub(super) fn part_mut(&mut self, owner: Owner) -> &mut Part {
        match owner {
            Owner::Item(index) => &mut self.line.items[index].part,
            Owner::Init(index) => &mut self.inits.parts[index],
        }
    }

    pub(super) fn part_of(&mut self, fetch: FetchId) -> Option<&mut Part> {
        let owner = self.owner_of(fetch)?;
        Some(self.part_mut(owner))
    }

    /// How a part stands in the store.
    pub(super) fn handle_stored(&mut self, resource: ResourceId, stored: &Stored) {
        let item = self.line.by_resource(resource).map(Owner::Item);
        let init = || self.inits.by_resource(resource).map(Owner::Init);
        let Some(owner) = item.or_else(init) else {
            return;
        };
        if let Some(reason) = stored.not_kept
            && !self.part(owner).source.is_file()
            && !std::mem::replace(&mut self.told.not_kept, true)
        {
            self.event(HlsEvent::NotKept { reason });
        }
        let front = stored.coverage.covered_from(0);
        let part = self.part_mut(owner);
        part.kept &= stored.not_kept.is_none() || part.source.is_file();
        if stored.end.is_some_and(|end| front >= end) {
            if part.is_whole() {
                return;
            }
            part.stored = front;
            part.state = State::Whole;
            let transfer = part.transfer.take();
            if let Some(transfer) = transfer {
                self.wish(Wish::Abort(transfer.id));
            }
            return self.part_whole(owner, front, Duration::ZERO, SegmentSource::Cache);
        }
        if let Owner::Item(index) = owner
            && self.leave_lead_in(index)
        {
            return;
        }
        let part = self.part_mut(owner);
        // Its end may be known to nobody else.
        let ended = part.is_whole() && front >= part.stored;
        if ended || part.transfer.is_some() {
            return;
        }
        let opening = part.state == State::Opening;
        let others = stored.others.total() > 0;
        if others {
            part.stored = front;
            part.state = State::Elsewhere;
        } else if opening && stored.coverage.total() > 0 {
            // Begun once, and by nobody any more. What is left of it may be of another version: it is not gone on with.
            self.open_anew(owner);
        } else {
            part.stored = front;
            part.state = State::Wanted;
        }
    }

    pub(super) fn open_anew(&mut self, owner: Owner) {
        let old = self.part(owner);
        let (resource, source) = (old.resource, old.source.clone());
        self.wish(Wish::Discard { resource });
        self.wish(Wish::Leave { resource });
        *self.part_mut(owner) = self.open(source);
    }

    pub(super) fn handle_taken(&mut self, fetch: FetchId) {
        // How it stands is told next.
        if let Some(part) = self.part_of(fetch) {
            part.transfer = None;
            part.state = State::Elsewhere;
        }
    }

    pub(super) fn handle_head(&mut self, fetch: FetchId, head: &ResponseHead) {
        let (now, keeps_all) = (self.now, self.policy.ignore_no_store);
        let Some(owner) = self.owner_of(fetch) else {
            return;
        };
        if head.end.is_some_and(|end| end > most_of(owner)) {
            return self.too_large(owner);
        }
        let part = self.part_mut(owner);
        let plain = part.source.is_clear();
        let whole = plain && part.source.range.is_none();
        let Some(transfer) = &mut part.transfer else {
            return;
        };
        let latency = now.saturating_sub(transfer.since);
        transfer.latency = Some(latency);
        transfer.proven = head.length_proof || !plain;
        transfer.total = head.end.filter(|_| plain);
        transfer.watch.handle_head(now, head.end);
        let facts = Facts {
            total: head.total.filter(|_| whole),
            etag: head
                .validators
                .etag
                .as_ref()
                .map(|tag| tag.as_str().to_owned()),
            last_modified: head.validators.last_modified.clone(),
            media_type: head.media_type.clone(),
        };
        let keep = if head.no_store && !keeps_all {
            Keep::No
        } else {
            Keep::Yes
        };
        part.kept &= keep == Keep::Yes;
        let resource = part.resource;
        self.pace.handle_latency(latency);
        self.wish(Wish::Identify {
            resource,
            facts,
            keep,
        });
    }

    pub(super) fn handle_progress(&mut self, fetch: FetchId, until: u64) {
        let now = self.now;
        let Some(owner) = self.owner_of(fetch) else {
            return;
        };
        if until > most_of(owner) {
            return self.too_large(owner);
        }
        let part = self.part_mut(owner);
        let is_file = part.source.is_file();
        (part.spent, part.again) = (0, false);
        part.stored = part.stored.max(until);
        self.end_wait(owner);
        let part = self.part_mut(owner);
        if let Some(transfer) = &mut part.transfer {
            let brought = until.saturating_sub(transfer.from);
            let more = brought.saturating_sub(transfer.brought);
            transfer.brought = brought;
            transfer.watch.handle_progress(now, until);
            let since = transfer.since;
            if !is_file {
                self.count(since, more);
            }
        }
        if let Owner::Item(_) = owner {
            self.look_at_speed();
        }
    }

    pub(super) fn handle_done(&mut self, fetch: FetchId, end: u64) {
        let now = self.now;
        let Some(owner) = self.owner_of(fetch) else {
            return;
        };
        let part = self.part_mut(owner);
        let Some(transfer) = part.transfer.take() else {
            return;
        };
        let wanted = part.source.range.as_ref();
        let expected = wanted
            .filter(|_| part.source.is_clear())
            .map_or(1, |range| range.end - range.start);
        if end < expected {
            let error = StreamError::Truncated {
                name: shown(&part.source.url),
                expected,
                got: end,
            };
            part.state = State::Wanted;
            return self.part_failed(owner, error);
        }
        part.stored = end;
        part.state = State::Whole;
        let is_file = part.source.is_file();
        let (resource, bytes) = (part.resource, part.bytes);
        let (len, proven) = (end, transfer.proven);
        self.wish(Wish::Length {
            resource,
            len,
            proven,
        });
        if proven {
            self.wish(Wish::Complete { resource, len });
        }
        let elapsed = now.saturating_sub(transfer.since);
        self.pace.handle_transfer(elapsed);
        if !is_file {
            self.sample(transfer.since);
        }
        self.part_whole(owner, end, elapsed, SegmentSource::Network);
        if !proven {
            self.end_shared(bytes, end);
        }
    }

    /// Ends what came to the last byte of its range before the transfer was dropped: nothing is left to be asked for.
    pub(super) fn end_parts(&mut self) {
        while let Some(owner) = self.first_part(|part| part.unended_len().is_some()) {
            let part = self.part_mut(owner);
            let Some(len) = part.unended_len() else {
                return;
            };
            (part.state, part.stored) = (State::Whole, len);
            let (resource, proven) = (part.resource, true);
            self.wish(Wish::Length {
                resource,
                len,
                proven,
            });
            self.wish(Wish::Complete { resource, len });
            self.part_whole(owner, len, Duration::ZERO, SegmentSource::Cache);
        }
    }

    /// What ends where nothing proves it ends there for all who share it, who would not hear of it.
    fn end_shared(&mut self, of: ResourceId, len: u64) {
        for index in 0..self.line.items.len() {
            let part = &mut self.line.items[index].part;
            if part.is_whole() || part.transfer.is_some() || part.bytes != of {
                continue;
            }
            (part.state, part.stored) = (State::Whole, len);
            let (resource, proven) = (part.resource, false);
            self.wish(Wish::Length {
                resource,
                len,
                proven,
            });
            let owner = Owner::Item(index);
            self.part_whole(owner, len, Duration::ZERO, SegmentSource::Cache);
        }
    }

    /// A part has more bytes than any may have.
    fn too_large(&mut self, owner: Owner) {
        let part = self.part_mut(owner);
        let name = shown(&part.source.url);
        part.state = State::Wanted;
        if let Some(transfer) = part.transfer.take() {
            self.wish(Wish::Abort(transfer.id));
        }
        let most = most_of(owner) as usize;
        self.part_failed(owner, StreamError::TooLarge { name, most });
    }

    pub(super) fn part_whole(
        &mut self,
        owner: Owner,
        bytes: u64,
        elapsed: Duration,
        source: SegmentSource,
    ) {
        let Owner::Item(index) = owner else { return };
        let item = &self.line.items[index];
        if item.leads_in {
            return;
        }
        let source = match item.part.source.is_file() {
            true => SegmentSource::Disk,
            false => source,
        };
        let (variant, sequence) = (item.variant, item.sequence);
        if let Some(abr) = &mut self.abr {
            abr.handle_segment();
        }
        self.event(HlsEvent::SegmentLoaded {
            variant,
            sequence,
            bytes,
            elapsed,
            source,
        });
    }

    pub(super) fn handle_failed(&mut self, fetch: FetchId, error: StreamError) {
        if let Some(load) = self.loads.remove(&fetch) {
            return self.load_failed(load, error);
        }
        let Some(owner) = self.owner_of(fetch) else {
            return;
        };
        let part = self.part_mut(owner);
        let plain = part
            .source
            .range
            .as_ref()
            .filter(|_| part.source.is_clear());
        if plain.is_some_and(|range| part.stored >= range.end - range.start) {
            // What failed is what came behind it.
            let end = part.stored;
            return self.handle_done(fetch, end);
        }
        part.transfer = None;
        part.state = State::Wanted;
        part.spent += 1;
        let error = match (&error, &part.source.range) {
            (StreamError::Net(net), Some(range)) if is_behind_end(net) => StreamError::Truncated {
                name: shown(&part.source.url),
                expected: range.end - range.start,
                got: part.stored,
            },
            _ => error,
        };
        self.part_failed(owner, error);
    }

    pub(super) fn part_failed(&mut self, owner: Owner, error: StreamError) {
        let part = self.part_mut(owner);
        let once_more = super::failing::is_refusal(&error) || super::failing::is_page(&error);
        if once_more && !std::mem::replace(&mut part.again, true) {
            // Some servers refuse what they have only just been given, or have a page in its place for a moment.
            return;
        }
        // Nobody needs the init section any more.
        let Some(index) = self.index_of(owner) else {
            return;
        };
        let error = self.segment_error(index, owner, super::failing::lasting(error));
        self.item_failed(index, error);
    }
}
