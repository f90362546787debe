//! A seeded simulated world: a link, an origin, a store and a listener with hand-moved time, in which a [`Plan`] runs
//! without a socket, a thread or a clock.
//!
//! The same seed gives the same run, to the byte and to the step. What is checked in every step is what no plan may ever
//! do: ask for a stored byte, read beyond its credit, or speak of a transfer that is over.

mod carrier;
mod outcome;
mod store;
mod world;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_net::{Etag, NetError, RangeSupport, RedactedUrl, ResponseHead};
use kithara_storage::Coverage;
use url::Url;

use self::carrier::{Carrier, Fate};
pub use self::outcome::Outcome;
pub use self::store::{Happening, Shelf};
pub use self::world::{Link, Move, OriginFile, World};

use crate::{Demand, Fetch, FetchId, Input, Plan, Priority, ResourceId, StreamError, Wish};

/// Time moves in steps of this length.
const STEP: Duration = Duration::from_millis(5);
/// Without ranges the network layer resumes no further from the front.
const RESUMED: u64 = 1024 * 1024;
/// Nothing a listener does takes longer than this; a plan that stands still is caught by it.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Lets a plan live in a world while a listener makes its moves.
pub fn play<P: Plan>(plan: P, world: &World, moves: &[Move]) -> Outcome<P::Event> {
    play_stored(plan, world, Shelf::default(), moves)
}

/// The same with a store that others use too.
pub fn play_stored<P: Plan>(
    plan: P,
    world: &World,
    shelf: Shelf,
    moves: &[Move],
) -> Outcome<P::Event> {
    let mut stage = Stage::new(plan, world.clone(), shelf);
    stage.hear(Input::Tick);
    for next in moves {
        stage.make(*next);
    }
    stage.outcome()
}

struct Stage<P: Plan> {
    plan: P,
    world: World,
    /// What the plan fetches.
    resource: ResourceId,
    shelf: Shelf,
    /// Facts that came of performing wishes.
    answers: VecDeque<Input>,
    now: Duration,
    dice: Dice,
    carriers: Vec<Carrier>,
    position: u64,
    announced: u64,
    wanted: bool,
    known_len: Option<u64>,
    writes: u64,
    /// Requests, retries among them, since the last byte.
    barren: u32,
    failure: Option<StreamError>,
    refused: Option<StreamError>,
    out: Outcome<P::Event>,
}

impl<P: Plan> Stage<P> {
    fn new(plan: P, world: World, shelf: Shelf) -> Self {
        Self {
            plan,
            dice: Dice(world.seed.max(1)),
            world,
            resource: ResourceId(0),
            shelf,
            answers: VecDeque::new(),
            now: Duration::ZERO,
            carriers: Vec::new(),
            position: 0,
            announced: 0,
            wanted: false,
            known_len: None,
            writes: 0,
            barren: 0,
            failure: None,
            refused: None,
            out: Outcome::default(),
        }
    }

    fn outcome(mut self) -> Outcome<P::Event> {
        self.out.open_transfers = self.carriers.len();
        self.out.ended_at = self.now;
        self.out
    }

    fn make(&mut self, next: Move) {
        match next {
            Move::Read { bytes, rate } => self.read(bytes, rate),
            Move::Jump(to) => self.position = to,
            Move::Retry => {
                self.failure = None;
                self.barren = 0;
                self.hear(Input::Seek { to: Duration::ZERO });
            }
            Move::Pause(time) => {
                let until = self.now + time;
                while self.now < until {
                    self.step();
                }
            }
        }
    }

    fn read(&mut self, bytes: u64, rate: u64) {
        let mut target = self.position.saturating_add(bytes);
        let mut allowance = 0.0;
        while self.position < target {
            if let Some(len) = self.known_len {
                target = target.min(len);
            }
            allowance += rate as f64 * STEP.as_secs_f64();
            let reach = if rate == u64::MAX {
                target
            } else {
                target.min(self.position.saturating_add(allowance as u64))
            };
            let end = self.out.coverage.covered_from(self.position).min(reach);
            if end > self.position {
                allowance -= (end - self.position) as f64;
                self.pass(end);
            } else if reach > self.position && !self.block() {
                return;
            }
            if self.position < target {
                self.step();
            }
        }
    }

    fn pass(&mut self, to: u64) {
        self.position = to;
        if self.wanted || self.announced.abs_diff(to) >= 32 * 1024 {
            self.wanted = false;
            self.announced = to;
            self.demand(None);
        }
    }

    /// Waits for the byte at the position; `false` if it cannot be had.
    fn block(&mut self) -> bool {
        if !self.wanted || self.announced != self.position {
            self.wanted = true;
            self.announced = self.position;
            self.refused = None;
            self.demand(Some(self.position..self.position + 1));
        }
        if let Some(error) = self.refused.take().or_else(|| self.failure.clone()) {
            self.out.refusals.push((self.position, error));
            self.wanted = false;
            return false;
        }
        self.out.waited += STEP;
        assert!(
            self.now < LIMIT,
            "the listener waits for ever for byte {}",
            self.position
        );
        true
    }

    fn demand(&mut self, wanted: Option<Range<u64>>) {
        let position = self.position;
        self.hear(Input::Demand(Demand {
            resource: self.resource,
            position,
            wanted,
        }));
    }

    fn step(&mut self) {
        self.now += STEP;
        if self.shelf.pass(self.now, &mut self.out.coverage) {
            self.tell_stored();
        }
        if self.plan.deadline().is_some_and(|at| at <= self.now) {
            self.hear(Input::Tick);
        }
        let active = self
            .carriers
            .iter()
            .filter(|one| one.moves(self.now))
            .count();
        let share = self.world.link.bytes_per_second as f64 * STEP.as_secs_f64();
        let share = (share / active.max(1) as f64).max(1.0) as u64;
        let ids: Vec<FetchId> = self.carriers.iter().map(|one| one.id).collect();
        for id in ids {
            self.carry(id, share);
        }
        let ahead = self.out.coverage.covered_from(self.position) - self.position;
        self.out.farthest_ahead = self.out.farthest_ahead.max(ahead);
    }

    fn carry(&mut self, id: FetchId, share: u64) {
        let Some(index) = self.carriers.iter().position(|one| one.id == id) else {
            return;
        };
        if self.now < self.carriers[index].ready_at {
            return;
        }
        let out = |(from, until)| (from..until).contains(&self.now);
        if self.world.link.outage.is_some_and(out) {
            return self.break_connection(index);
        }
        if !self.carriers[index].headed {
            return self.answer(index);
        }
        match self.fate(index, share) {
            Fate::Silent => {}
            Fate::Broke => self.break_connection(index),
            Fate::Carried(bytes) => self.deliver(index, bytes),
        }
    }

    fn answer(&mut self, index: usize) {
        let (origin, request) = (self.world.origin.clone(), self.carriers[index].request);
        let carrier = &mut self.carriers[index];
        carrier.headed = true;
        let (id, asked) = (carrier.id, carrier.range.clone());
        if origin
            .fails_from_request
            .is_some_and(|from| request >= from)
        {
            self.carriers.remove(index);
            return self.fail(id, StreamError::Net(Arc::new(refused())));
        }
        let changed = origin
            .changes_at_request
            .is_some_and(|from| request >= from);
        let len = origin.len + u64::from(changed);
        let url = some_url();
        let tag = origin
            .etag
            .map(|tag| if changed { "\"changed\"" } else { tag });
        let mut head = ResponseHead::whole(&url, len);
        if origin.ranges && asked.start < len {
            let end = asked.end.min(len);
            head = ResponseHead::partial(&url, asked.start, end, Some(len));
        } else if origin.ranges {
            let url = RedactedUrl::new(&url);
            let total = Some(len);
            let error = NetError::RangeNotSatisfiable { url, total };
            self.carriers.remove(index);
            return self.fail(id, StreamError::Net(Arc::new(error)));
        } else {
            head.ranges = RangeSupport::No;
        }
        carrier.at = head.start;
        carrier.range = head.start..head.end.unwrap_or(len);
        head.validators.etag = tag.and_then(Etag::parse);
        head.no_store = origin.no_store;
        if !origin.announces_length {
            head.total = None;
            head.end = head.end.filter(|_| origin.ranges);
            head.length_proof = origin.proves_end;
        }
        self.hear(Input::Head { fetch: id, head });
    }

    fn fate(&mut self, index: usize, share: u64) -> Fate {
        let link = self.world.link;
        let carrier = &mut self.carriers[index];
        let room = carrier
            .credit
            .min(carrier.range.end)
            .saturating_sub(carrier.at);
        let bytes = share.min(room);
        if bytes == 0 && carrier.at < carrier.range.end {
            return Fate::Silent;
        }
        let mib = bytes as f64 / (1024.0 * 1024.0);
        if self.dice.happens(link.losses_per_mib * mib) {
            return Fate::Broke;
        }
        if self.dice.happens(link.stalls_per_mib * mib) {
            carrier.ready_at = self.now + link.stall;
        }
        Fate::Carried(bytes)
    }

    /// What the network layer does with a broken connection: wait, then resume where it broke.
    fn break_connection(&mut self, index: usize) {
        let carrier = &mut self.carriers[index];
        carrier.attempts += 1;
        if carrier.attempts > 6 || carrier.attempts >= carrier.until {
            return self.give_up(index);
        }
        let delay = Duration::from_millis(250 << carrier.attempts.min(5));
        carrier.ready_at = self.now + delay + self.world.link.latency;
        let (fetch, attempt) = (carrier.id, carrier.attempts);
        let out_of_reach = !self.world.origin.ranges && carrier.headed && carrier.at > RESUMED;
        self.hear(Input::Retrying {
            fetch,
            attempt,
            delay,
            error: Arc::new(broken()),
        });
        let known = self.carriers.iter().position(|one| one.id == fetch);
        if let Some(index) = known.filter(|_| out_of_reach) {
            let (url, offset) = (RedactedUrl::new(&some_url()), self.carriers[index].at);
            self.carriers.remove(index);
            let error = NetError::RangeUnsupported { url, offset };
            return self.fail(fetch, StreamError::Net(Arc::new(error)));
        }
        // Unless the plan would rather not.
        if let Some(carrier) = self.carriers.iter().find(|one| one.id == fetch) {
            let range = carrier.at..carrier.range.end;
            self.ask();
            self.hear(Input::Sent { fetch, range });
        }
    }

    /// One more request goes out.
    fn ask(&mut self) {
        self.barren += 1;
        self.out.most_barren = self.out.most_barren.max(self.barren);
    }

    fn give_up(&mut self, index: usize) {
        let carrier = self.carriers.remove(index);
        self.fail(carrier.id, StreamError::Net(Arc::new(broken())));
    }

    fn fail(&mut self, fetch: FetchId, error: StreamError) {
        self.hear(Input::Failed { fetch, error });
    }

    fn deliver(&mut self, index: usize, bytes: u64) {
        let carrier = &mut self.carriers[index];
        let stored = carrier.at..carrier.at + bytes;
        carrier.at = stored.end;
        if carrier.at > carrier.asked {
            carrier.attempts = 0;
        }
        let (id, over) = (carrier.id, carrier.at >= carrier.range.end);
        let rewritten = self.world.origin.rewritten_at_request;
        let compared = self.carriers[index].compared;
        if rewritten.is_some_and(|from| self.carriers[index].request >= from) {
            if stored.start < compared {
                self.carriers.remove(index);
                let (name, what) = ("simulated".into(), "its bytes".into());
                return self.fail(id, StreamError::ContentChanged { name, what });
            }
            self.out.mixed += bytes;
        }
        if self.carriers[index].only_compares {
            if stored.end >= compared {
                self.carriers.remove(index);
                let end = stored.end;
                self.hear(Input::Done { fetch: id, end });
            }
            return;
        }
        let end = stored.end;
        if bytes > 0 {
            let write = self.writes;
            self.writes += 1;
            if self.world.disk_fails_at_write == Some(write) {
                self.carriers.retain(|one| one.id != id);
                let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
                let error = StreamError::Io {
                    path: "simulated disk".into(),
                    source: Arc::new(source),
                };
                return self.fail(id, error);
            }
            let before = self.out.coverage.total();
            self.out.coverage.insert(stored.clone());
            let new = self.out.coverage.total() - before;
            let again = compared.saturating_sub(stored.start).min(bytes);
            self.out.carried_again += bytes - new - again.min(bytes - new);
            if new > 0 {
                self.barren = 0;
            }
            let dropped = self.shelf.make_room(&stored, &mut self.out.coverage);
            self.hear(Input::Progress { fetch: id, stored });
            if dropped {
                self.tell_stored();
            }
        }
        let running = self.carriers.iter().position(|one| one.id == id);
        if let (true, Some(index)) = (over, running) {
            self.carriers.remove(index);
            self.hear(Input::Done { fetch: id, end });
        }
    }

    fn hear(&mut self, input: Input) {
        self.answers.push_back(input);
        while let Some(input) = self.answers.pop_front() {
            self.plan.handle(self.now, input);
            while let Some(wish) = self.plan.poll() {
                self.perform(wish);
            }
        }
    }

    fn tell_stored(&mut self) {
        self.hear(self.stored());
    }

    fn stored(&self) -> Input {
        Input::Stored {
            resource: self.resource,
            stored: self.shelf.stored(&self.out.coverage),
        }
    }

    fn perform(&mut self, wish: Wish<P::Event>) {
        match wish {
            Wish::Open { .. } => {
                self.out.coverage = self.shelf.coverage.clone();
                self.answers.push_back(self.stored());
            }
            Wish::Identify { facts, keep, .. } => {
                let told = (facts.clone(), keep);
                self.out.identified.push(told);
                if !self.shelf.identify(facts, keep, &self.out.coverage) {
                    self.answers.push_back(self.stored());
                }
            }
            Wish::Validated { .. } => self.out.validated += 1,
            Wish::Outdated { .. } => self.out.outdated += 1,
            Wish::Discard { .. } => self.out.discarded += 1,
            Wish::Leave { .. } => self.out.left += 1,
            Wish::Fetch(fetch) => self.open(fetch),
            Wish::Credit { fetch, until } => {
                let known = self.carriers.iter_mut().find(|one| one.id == fetch);
                known.expect("credit is given to a running transfer").credit = until;
            }
            Wish::Abort(fetch) => {
                let before = self.carriers.len();
                self.carriers.retain(|one| one.id != fetch);
                assert!(self.carriers.len() < before, "{fetch:?} was over already");
            }
            Wish::Publish(facts) => {
                self.known_len = facts.len;
                self.out.published_at = Some(self.now);
            }
            Wish::Length { len, proven, .. } => {
                self.known_len = Some(len);
                if proven {
                    self.shelf.end = Some(len);
                }
            }
            Wish::Complete { len, .. } => {
                assert!(
                    self.out.coverage.is_complete(len),
                    "declared complete with gaps"
                );
                self.out.completed = true;
            }
            Wish::Share { .. }
            | Wish::Load(_)
            | Wish::Recall { .. }
            | Wish::Remember { .. }
            | Wish::Extend { .. }
            | Wish::Close
            | Wish::CutOff { .. } => {
                panic!("a plan of one file has one resource and no documents")
            }
            Wish::Refuse { error, .. } => self.refused = Some(error),
            Wish::End => self.out.told_end_at = Some(self.now),
            Wish::Event(event) => self.out.events.push(event),
            Wish::Fail(error) => {
                self.carriers.clear();
                self.failure = Some(error);
            }
        }
    }

    fn open(&mut self, mut fetch: Fetch) {
        if fetch.resource != self.resource {
            assert!(self.carriers.is_empty(), "it fetches one thing at a time");
            self.resource = fetch.resource;
            self.shelf = Shelf::default();
            self.out.coverage = Coverage::default();
        }
        assert!(
            fetch.range.start < fetch.range.end,
            "nothing is asked for: {fetch:?}"
        );
        let compared = fetch.range.start + fetch.overlap;
        let overlap = fetch.range.start..compared;
        assert!(
            self.out.coverage.contains(overlap),
            "what is not stored cannot be compared: {fetch:?}"
        );
        if compared < fetch.range.end && self.others_bring(compared, &mut fetch.range) {
            self.out.taken += 1;
            self.shelf.tell();
            self.answers.push_back(Input::Taken { fetch: fetch.id });
            let stored = self.stored();
            return self.answers.push_back(stored);
        }
        self.out.compared += fetch.overlap;
        self.out.in_background += usize::from(fetch.priority == Priority::Background);
        if fetch.range.end != u64::MAX {
            let mut free = 0;
            let mut from = compared;
            while let Some(gap) = self.out.coverage.next_gap(from, fetch.range.end) {
                free += gap.end - gap.start;
                from = gap.end;
            }
            self.out.asked_again += fetch.range.end - compared - free;
        }
        self.carriers.push(Carrier {
            id: fetch.id,
            range: fetch.range.clone(),
            at: fetch.range.start,
            credit: fetch.credit,
            ready_at: self.now + self.world.link.latency,
            headed: false,
            request: self.out.requests.len(),
            asked: fetch.range.start,
            compared,
            only_compares: compared >= fetch.range.end,
            attempts: fetch.attempts.spent,
            until: fetch.attempts.until,
        });
        let (id, range) = (fetch.id, fetch.range.clone());
        self.answers.push_back(Input::Begun {
            fetch: id,
            range: range.clone(),
        });
        self.answers.push_back(Input::Sent { fetch: id, range });
        self.ask();
        self.out.requests.push(fetch.range);
        self.out.most_transfers = self.out.most_transfers.max(self.carriers.len());
    }
}

impl<P: Plan> Stage<P> {
    /// Whether others bring `first`; if not, `range` is cut where they do.
    fn others_bring(&self, first: u64, range: &mut Range<u64>) -> bool {
        let others = self.shelf.claimed();
        if let Some(free) = others.next_gap(first, range.end)
            && free.start == first
        {
            range.end = if free.end < range.end {
                free.end
            } else {
                range.end
            };
            return false;
        }
        true
    }
}

fn some_url() -> Url {
    Url::parse("http://origin.test/title").expect("a constant URL parses")
}

fn broken() -> NetError {
    NetError::Broken {
        url: RedactedUrl::new(&some_url()),
        source: "the simulated link was lost".into(),
    }
}

fn refused() -> NetError {
    NetError::Http {
        url: RedactedUrl::new(&some_url()),
        status: 404,
        retry_after: None,
    }
}

/// A xorshift generator: the same seed throws the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn happens(&mut self, probability: f64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let unit = (self.0 >> 11) as f64 / (1u64 << 53) as f64;
        unit < probability
    }
}
