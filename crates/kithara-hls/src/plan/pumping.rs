//! What is fetched now: the parts in front of the reader, nearest first, as far as there is room.

use std::sync::Arc;
use std::time::Duration;

use kithara_abr::SegmentWatch;
use kithara_stream::net::Attempts;
use kithara_stream::{DEMAND_STEP, Demand, Fetch, Priority, ResourceId, Terms, Transform, Wish};

use super::item::{Cipher, Item, Owner, Part, State, Transfer};
use super::{HlsPlan, Stage};
use crate::HlsEvent;
use crate::decryption::Decryption;

/// What a segment in front of the reader may spend while there is something else to do about it.
pub(super) const AHEAD: u32 = 3;

/// No more segments are in front of the reader, however short they are.
const SEGMENTS: usize = 64;

/// How long requests take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    latency: Duration,
    transfer: Duration,
}

impl Pace {
    pub(super) fn handle_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    pub(super) fn handle_transfer(&mut self, elapsed: Duration) {
        self.transfer = elapsed;
    }

    /// Most of the time of a request is waiting: several at once are no slower each.
    fn is_latent(self) -> bool {
        self.latency > self.transfer / 2 && self.latency > Duration::from_millis(20)
    }
}

impl HlsPlan {
    /// Whether more may be laid.
    pub(super) fn has_room(&self) -> bool {
        let (at_end, (read, position)) = match self.may_be_at_end() {
            true => (1, (Duration::ZERO, 0)),
            false => (0, (self.read_of_item(), self.position_in_item())),
        };
        let items = self.line.items.iter().skip(self.line.reader + at_end);
        // Not what lies between: that may be a gap.
        let heard = items.clone().filter(|item| !item.leads_in);
        let laid: Duration = heard.map(|item| item.duration).sum();
        let ahead = laid.saturating_sub(read);
        let stored: u64 = items.clone().map(|item| item.part.stored).sum();
        let unread = stored.saturating_sub(position);
        let first = items.clone().next().is_none();
        let unfinished = items.filter(|item| !item.part.is_whole() && !item.leads_in);
        first
            || ahead < self.policy.look_ahead
                && unread < self.policy.look_ahead_bytes
                && self.line.items.len() - self.line.reader < SEGMENTS
                && unfinished.count() < self.at_once()
    }

    /// How many segments are fetched at once.
    fn at_once(&self) -> usize {
        match self.pace.is_latent() {
            true => self.policy.parallel.max(1),
            false => 1,
        }
    }

    /// Starts what is to be fetched.
    pub(super) fn pump(&mut self) {
        if self.stage == Stage::Failed {
            return;
        }
        let most = self.at_once();
        let mut active = 0;
        let mut index = 0;
        while let Some(item) = self.line.items.get(index) {
            let init = item.init.map(Owner::Init);
            let wanted = item.part.state == State::Wanted;
            if !item.part.is_whole() && !item.leads_in {
                active += 1;
            }
            if active > most {
                return;
            }
            let idle = wanted && item.part.transfer.is_none();
            if let Some(init) = init {
                self.start(init);
            }
            if idle {
                self.start(Owner::Item(index));
            }
            index += 1;
        }
    }

    /// The first part of which that is so.
    pub(super) fn first_part(&self, is_so: impl Fn(&Part) -> bool) -> Option<Owner> {
        let items = self.line.items.iter().enumerate();
        let owners = items.flat_map(|(index, item)| {
            let init = item.init.map(Owner::Init);
            init.into_iter().chain([Owner::Item(index)])
        });
        let mut found = owners.filter(|owner| is_so(self.part(*owner)));
        found.next()
    }

    /// Starts the transfer of a part, if it needs one.
    fn start(&mut self, owner: Owner) {
        let part = self.part(owner);
        if part.state != State::Wanted || part.transfer.is_some() {
            return;
        }
        let id = self.fetch_id();
        let now = self.now;
        let attempts = self.attempts(owner);
        let part = self.part(owner);
        let (resource, source, from) = (part.resource, part.source.clone(), part.stored);
        let content = match owner {
            Owner::Item(index) => self.line.items[index].duration,
            Owner::Init(_) => Duration::ZERO,
        };
        let transform = match &source.cipher {
            Cipher::Clear => None,
            Cipher::Aes128(key, iv) => {
                Some(Arc::new(Decryption::new(self.keys.slot(*key), *iv)) as Arc<dyn Transform>)
            }
            Cipher::Callers(transform) => Some(Arc::clone(transform)),
        };
        let key = source.key();
        let waits_for_key = key.is_some_and(|key| !self.keys.is_here(key));
        let shift = source.range.as_ref().map_or(0, |range| range.start);
        let end = source
            .range
            .as_ref()
            .map_or(u64::MAX, |range| range.end - range.start);
        self.part_mut(owner).transfer = Some(Transfer {
            id,
            since: now,
            watch: SegmentWatch::new(now, content),
            from,
            brought: 0,
            latency: None,
            total: None,
            proven: false,
            waits_for_key,
        });
        if let (Owner::Item(index), 0) = (owner, from) {
            let item = &self.line.items[index];
            let (variant, sequence) = (item.variant, item.sequence);
            let (at, duration) = (item.start, item.duration);
            self.event(HlsEvent::SegmentStarted {
                variant,
                sequence,
                at,
                duration,
            });
        }
        self.wish(Wish::Fetch(Fetch {
            id,
            resource,
            url: source.url,
            range: from..end,
            credit: if waits_for_key { from } else { u64::MAX },
            overlap: 0,
            if_range: None,
            attempts,
            priority: Priority::Foreground,
            terms: Terms {
                shift,
                exact: source.range.is_some(),
                transform,
                zone: Some(source.zone),
            },
        }));
        if let Some(key) = key {
            self.need_key(key);
        }
    }

    /// What a transfer may spend: little where another variant could have it, or nobody needs it yet.
    fn attempts(&self, owner: Owner) -> Attempts {
        let index = self.index_of(owner);
        let patient = index.is_some_and(|index| {
            let start = self.line.heard_at(index).start;
            let alone = !self.is_automatic() || self.gaps.is_patient(start);
            self.is_read(index) && alone
        });
        Attempts {
            spent: self.part(owner).spent,
            until: if patient { u32::MAX } else { AHEAD },
            waited: index.map_or(Duration::ZERO, |index| {
                self.waited(self.line.heard_at(index).start)
            }),
        }
    }

    /// Whether the reader waits for this item.
    pub(super) fn is_read(&self, index: usize) -> bool {
        let reader = self.line.reader;
        match self.line.items.get(reader) {
            Some(item) if item.part.resource == self.demand.resource => {
                // At its end it waits for the next.
                let waits_for = reader + usize::from(item.part.is_whole());
                self.demand.wanted.is_some() && index <= waits_for
            }
            // It is on its way there.
            _ => index <= reader,
        }
    }

    pub(super) fn handle_demand(&mut self, demand: Demand) {
        self.last_demand = self.now;
        let item = self.line.by_resource(demand.resource);
        let reader = item.or_else(|| {
            let init = self.inits.by_resource(demand.resource)?;
            let begins = |item: &Item| item.begins.is_some() && item.init == Some(init);
            let items = self.line.items.iter().enumerate().skip(self.line.reader);
            let mut begun = items.filter(|(_, item)| begins(item));
            begun.next().map(|(index, _)| index)
        });
        self.demand = demand;
        let Some(reader) = reader else { return };
        self.line.reader = reader;
        while self.line.reader > 0 {
            if let Some(transfer) = self.line.pass() {
                self.wish(Wish::Abort(transfer.id));
            }
        }
        while let Some(item) = self.line.pop_passed() {
            self.let_go(item);
        }
        let waits = |owner| self.part(owner).state == State::Postponed;
        let has_one = |index: &usize| self.owners(*index).into_iter().flatten().any(waits);
        let first = (0..self.line.items.len()).find(has_one);
        if let Some(index) = first.filter(|index| self.is_read(*index)) {
            if let Some(error) = self.gaps.take_doom(self.line.heard_at(index).start) {
                return self.fail(error);
            }
            for owner in self.owners(index).into_iter().flatten() {
                let part = self.part_mut(owner);
                if part.state == State::Postponed {
                    part.state = State::Wanted;
                }
            }
        }
    }

    /// The parts of an item.
    pub(super) fn owners(&self, index: usize) -> [Option<Owner>; 2] {
        let init = self.line.items[index].init.map(Owner::Init);
        [init, Some(Owner::Item(index))]
    }

    /// Lets go of an item and everything behind it. Whoever reads there is told that it goes on elsewhere.
    pub(super) fn drop_from(&mut self, index: usize) {
        // With what leads into it, unless the reader may be there already.
        let before = index.checked_sub(1).filter(|before| {
            let item = self.line.items.get(*before);
            let is_heard_of = *before < self.line.announced;
            item.is_some_and(|item| item.leads_in && !(is_heard_of && self.is_there(item)))
        });
        let index = before.unwrap_or(index);
        let from = self.first_told(index);
        let (rest, heard) = self.line.split_off(index);
        if heard {
            self.wish(Wish::CutOff { from });
            self.line.open_run = false;
        }
        for item in rest {
            self.let_go(item);
        }
    }

    /// The first resource of an item that was announced to the reader.
    fn first_told(&self, index: usize) -> Option<ResourceId> {
        let item = self.line.items.get(index)?;
        let is_told = index < self.line.announced;
        let init = item.init.filter(|_| item.begins.is_some());
        match init.and_then(|init| self.inits.parts.get(init)) {
            Some(init) if is_told || self.line.init_told => Some(init.resource),
            _ => is_told.then_some(item.part.resource),
        }
    }

    /// Drops all transfers; what they brought stays.
    pub(super) fn drop_fetches(&mut self) {
        let items = self.line.items.iter_mut().map(|item| &mut item.part);
        for part in items.chain(&mut self.inits.parts) {
            if part.transfer.take().is_some() {
                part.state = State::Wanted;
            }
        }
    }

    /// The moment that is read now.
    pub(super) fn playhead(&self) -> Duration {
        let item = self.line.items.get(self.line.reader);
        let begin = item.map_or(self.cursor.at, |item| match item.leads_in {
            true => item.end(),
            false => item.start,
        });
        begin + self.read_of_item()
    }

    /// Where the reader stands in the item that is being read.
    fn position_in_item(&self) -> u64 {
        let item = self.line.items.get(self.line.reader);
        let reads = |item: &&Item| item.part.resource == self.demand.resource;
        item.filter(reads).map_or(0, |_| self.demand.position)
    }

    /// Whether the reader may have read all of its item. It says so only where it waits for more of the same run; for another run
    /// it waits without a word.
    fn may_be_at_end(&self) -> bool {
        let item = self.line.items.get(self.line.reader);
        item.is_some_and(|item| {
            let is_near = item.part.stored < self.demand.position.saturating_add(DEMAND_STEP);
            item.part.resource == self.demand.resource && item.part.is_whole() && is_near
        })
    }

    /// How much of the item that is being read is read, more or less.
    fn read_of_item(&self) -> Duration {
        let Some(item) = self.line.items.get(self.line.reader) else {
            return Duration::ZERO;
        };
        if self.demand.resource != item.part.resource || item.leads_in {
            return Duration::ZERO;
        }
        let len = item.part.len().unwrap_or(0).max(1);
        let position = self.demand.position.min(len);
        let fraction = position as f64 / len as f64;
        item.duration.mul_f64(fraction)
    }

    /// How much can be read from the playhead on.
    pub(super) fn buffered(&self) -> Duration {
        let items = self.line.items.iter().skip(self.line.reader);
        let whole = items.take_while(|item| self.is_there(item)).last();
        whole.map_or(Duration::ZERO, |item| {
            item.end().saturating_sub(self.playhead())
        })
    }
}
