//! A seeded simulated world: a link, an origin, a disk and a listener with hand-moved time, in which a [`Plan`] runs
//! without a socket, a thread or a clock.
//!
//! The same seed gives the same run, to the byte and to the step. What is checked in every step is what no plan may ever
//! do: ask for a stored byte, read beyond its credit, or speak of a transfer that is over.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_net::{NetError, RangeSupport, RedactedUrl, ResponseHead};
use kithara_storage::Coverage;
use url::Url;

use crate::{Demand, Fetch, FetchId, Input, Plan, ResourceId, StreamError, Wish};

/// Time moves in steps of this length.
const STEP: Duration = Duration::from_millis(5);
/// Nothing a listener does takes longer than this; a plan that stands still is caught by it.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// The link between listener and origin.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// From a request to its response headers.
    pub latency: Duration,
    /// Shared by all transfers.
    pub bytes_per_second: u64,
    /// How often a connection breaks, per mebibyte carried.
    pub losses_per_mib: f64,
    /// How often a connection falls silent for [`stall`](Self::stall), per mebibyte carried.
    pub stalls_per_mib: f64,
    /// How long a silence lasts.
    pub stall: Duration,
    /// From when and until when nothing passes: every connection breaks, and no other can be made.
    pub outage: Option<(Duration, Duration)>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(40),
            bytes_per_second: 1_000_000,
            losses_per_mib: 0.0,
            stalls_per_mib: 0.0,
            stall: Duration::from_secs(3),
            outage: None,
        }
    }
}

/// The server and its file.
#[derive(Clone, Debug)]
pub struct OriginFile {
    /// The length of the file.
    pub len: u64,
    /// Whether it serves byte ranges.
    pub ranges: bool,
    /// Whether it says how long the file is.
    pub announces_length: bool,
    /// From this request on (from 0), the file has another entity tag and one byte more.
    pub changes_at_request: Option<usize>,
    /// Every request from this one on is refused for good.
    pub fails_from_request: Option<usize>,
}

/// A file of `len` bytes on a server that does everything right.
impl OriginFile {
    /// A polite server.
    pub fn polite(len: u64) -> Self {
        Self {
            len,
            ranges: true,
            announces_length: true,
            changes_at_request: None,
            fails_from_request: None,
        }
    }
}

/// What the listener does, one after another.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    /// Reads this many bytes at this many bytes per second.
    Read {
        /// How many.
        bytes: u64,
        /// How fast; `u64::MAX` for at once.
        rate: u64,
    },
    /// Jumps to a byte.
    Jump(u64),
    /// The listener seeks to a time: what had failed is tried again.
    Retry,
    /// Does nothing.
    Pause(Duration),
}

/// The whole world.
#[derive(Clone, Debug)]
pub struct World {
    /// Decides every loss and stall.
    pub seed: u64,
    /// The link.
    pub link: Link,
    /// The server.
    pub origin: OriginFile,
    /// The n-th write to the disk fails (from 0).
    pub disk_fails_at_write: Option<u64>,
}

impl World {
    /// A world in which nothing goes wrong.
    pub fn calm(len: u64) -> Self {
        Self {
            seed: 1,
            link: Link::default(),
            origin: OriginFile::polite(len),
            disk_fails_at_write: None,
        }
    }
}

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
}

/// Lets a plan live in a world while a listener makes its moves.
pub fn play<P: Plan>(plan: P, world: &World, moves: &[Move]) -> Outcome<P::Event> {
    let mut stage = Stage::new(plan, world.clone());
    stage.hear(Input::Tick);
    for next in moves {
        stage.make(*next);
    }
    stage.outcome()
}

struct Stage<P: Plan> {
    plan: P,
    world: World,
    now: Duration,
    dice: Dice,
    carriers: Vec<Carrier>,
    position: u64,
    announced: u64,
    wanted: bool,
    known_len: Option<u64>,
    writes: u64,
    failure: Option<StreamError>,
    refused: Option<StreamError>,
    out: Outcome<P::Event>,
}

/// A transfer in the simulated network.
struct Carrier {
    id: FetchId,
    resource: ResourceId,
    range: Range<u64>,
    at: u64,
    credit: u64,
    /// Silent until then: latency, a stall, a back-off.
    ready_at: Duration,
    headed: bool,
    request: usize,
    attempts: u32,
}

enum Fate {
    Carried(u64),
    Broke,
    Silent,
}

impl<P: Plan> Stage<P> {
    fn new(plan: P, world: World) -> Self {
        Self {
            plan,
            dice: Dice(world.seed.max(1)),
            world,
            now: Duration::ZERO,
            carriers: Vec::new(),
            position: 0,
            announced: 0,
            wanted: false,
            known_len: None,
            writes: 0,
            failure: None,
            refused: None,
            out: Outcome {
                requests: Vec::new(),
                asked_again: 0,
                carried_again: 0,
                coverage: Coverage::default(),
                farthest_ahead: 0,
                waited: Duration::ZERO,
                most_transfers: 0,
                open_transfers: 0,
                events: Vec::new(),
                refusals: Vec::new(),
                ended_at: Duration::ZERO,
                completed: false,
            },
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
            resource: ResourceId(0),
            position,
            wanted,
        }));
    }

    fn step(&mut self) {
        self.now += STEP;
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
            return self.give_up(index);
        }
        let changed = origin
            .changes_at_request
            .is_some_and(|from| request >= from);
        let len = origin.len + u64::from(changed);
        let url = some_url();
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
        if !origin.announces_length {
            head.total = None;
            head.end = head.end.filter(|_| origin.ranges);
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
        if carrier.attempts > 6 {
            return self.give_up(index);
        }
        let delay = Duration::from_millis(250 << carrier.attempts.min(5));
        carrier.ready_at = self.now + delay + self.world.link.latency;
        let (fetch, attempt) = (carrier.id, carrier.attempts);
        self.hear(Input::Retrying {
            fetch,
            attempt,
            delay,
            error: Arc::new(broken()),
        });
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
        carrier.attempts = 0;
        let (id, over) = (carrier.id, carrier.at >= carrier.range.end);
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
            self.out.carried_again += bytes - (self.out.coverage.total() - before);
            self.hear(Input::Progress { fetch: id, stored });
        }
        let running = self.carriers.iter().position(|one| one.id == id);
        if let (true, Some(index)) = (over, running) {
            self.carriers.remove(index);
            self.hear(Input::Done { fetch: id });
        }
    }

    fn hear(&mut self, input: Input) {
        self.plan.handle(self.now, input);
        while let Some(wish) = self.plan.poll() {
            self.perform(wish);
        }
    }

    fn perform(&mut self, wish: Wish<P::Event>) {
        match wish {
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
            Wish::Publish(facts) => self.known_len = facts.len,
            Wish::Length { len, .. } => self.known_len = Some(len),
            Wish::Complete { len, .. } => {
                assert!(
                    self.out.coverage.is_complete(len),
                    "declared complete with gaps"
                );
                self.out.completed = true;
            }
            Wish::Refuse { error, .. } => self.refused = Some(error),
            Wish::End => {}
            Wish::Event(event) => self.out.events.push(event),
            Wish::Fail(error) => {
                self.carriers.clear();
                self.failure = Some(error);
            }
        }
    }

    fn open(&mut self, fetch: Fetch) {
        assert!(
            fetch.range.start < fetch.range.end,
            "nothing is asked for: {fetch:?}"
        );
        if fetch.range.end != u64::MAX {
            let mut free = 0;
            let mut from = fetch.range.start;
            while let Some(gap) = self.out.coverage.next_gap(from, fetch.range.end) {
                free += gap.end - gap.start;
                from = gap.end;
            }
            self.out.asked_again += fetch.range.end - fetch.range.start - free;
        }
        self.carriers.push(Carrier {
            id: fetch.id,
            resource: fetch.resource,
            range: fetch.range.clone(),
            at: fetch.range.start,
            credit: fetch.credit,
            ready_at: self.now + self.world.link.latency,
            headed: false,
            request: self.out.requests.len(),
            attempts: 0,
        });
        self.out.requests.push(fetch.range);
        self.out.most_transfers = self.out.most_transfers.max(self.carriers.len());
    }
}

impl Carrier {
    fn moves(&self, now: Duration) -> bool {
        debug_assert_eq!(self.resource, ResourceId(0));
        self.headed && now >= self.ready_at && self.at < self.credit.min(self.range.end)
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
