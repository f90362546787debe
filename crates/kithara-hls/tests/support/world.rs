//! A simulated world for one stream: an origin, a link, and a listener who reads at his own pace; time is moved by hand.
//!
//! The plan is the real one. What no plan may ever do is checked in every step: two transfers of one part, bytes asked for
//! that are there, parts of a run that is over.

#![allow(dead_code)] // Each test file uses some of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kithara_hls::{HlsCommand, HlsConfig, HlsEvent, HlsPlan};
use kithara_stream::net::{
    Net, NetError, RedactedUrl, Request, Response, ResponseHead, TimeoutPhase, Url,
};
use kithara_stream::{
    Coverage, Fetch, FetchId, Input, Load, Plan, Rejection, ResourceId, RunFacts, Stored,
    StreamError, Transforming, Wish,
};

#[path = "listener.rs"]
mod listener;

const STEP: Duration = Duration::from_millis(20);

/// What a server says.
#[derive(Clone, Debug)]
pub enum Answer {
    Bytes(Vec<u8>),
    Status(u16),
    /// Nothing, until the network layer gives up.
    Silence,
    /// The body breaks off after so many bytes.
    Broken(Vec<u8>, usize),
}

/// The origin: the path (behind `http://o.test/`), how often that was asked for before, and the time.
pub type Origin = Box<dyn FnMut(&str, usize, Duration) -> Answer>;

/// What was read of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub path: String,
    pub run: usize,
    pub whole: bool,
}

/// No network: the plan's wishes are carried out here.
struct Nowhere;

#[async_trait::async_trait]
impl Net for Nowhere {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        unreachable!("{request:?}")
    }
}

struct Carrier {
    id: FetchId,
    resource: Option<ResourceId>,
    path: String,
    url: Url,
    credit: u64,
    offset: u64,
    /// What is still to come, once the server has answered.
    body: Option<(Vec<u8>, usize, Option<usize>)>,
    headed: bool,
    wake: Duration,
    spent: u32,
    until: u32,
    transform: Option<Box<dyn Transforming>>,
    most: usize,
    range: std::ops::Range<u64>,
    shift: u64,
}

#[derive(Default)]
struct Run {
    facts: Option<RunFacts>,
    parts: Vec<ResourceId>,
    closed: bool,
    cut: bool,
}

/// The world, and what has come of it.
pub struct World {
    plan: HlsPlan,
    origin: Origin,
    pub latency: Duration,
    /// Bytes per second, at a time.
    pub rate: Box<dyn Fn(Duration) -> f64>,
    /// What comes at a byte every ten seconds, whatever the link.
    pub crawls: Option<String>,
    /// Whether answers announce how long they are.
    pub tells_length: bool,
    /// Media seconds per second that are read; infinite for one who reads as fast as he can.
    pub pace: f64,
    /// How long a segment plays, by its path.
    pub length: Box<dyn Fn(&str) -> f64>,
    pub now: Duration,
    carriers: Vec<Carrier>,
    asked: BTreeMap<String, usize>,
    /// Every request, with its time.
    pub requests: Vec<(String, Duration)>,
    resources: BTreeMap<ResourceId, (String, Vec<u8>, Option<u64>)>,
    /// Resources that are the same bytes as another.
    shared: BTreeMap<ResourceId, ResourceId>,
    runs: Vec<Run>,
    /// Where the reader is: run, part, byte; and when it may read on.
    place: (usize, usize, u64),
    /// What it may read by now, in media seconds.
    allowance: f64,
    announced: (ResourceId, u64, bool),
    pub heard: Vec<Heard>,
    pub events: Vec<HlsEvent>,
    pub failure: Option<StreamError>,
    pub ended: bool,
    pub waited: Duration,
    inputs: VecDeque<Input>,
}

impl World {
    pub fn new(
        path: &str,
        configure: impl FnOnce(HlsConfig) -> HlsConfig,
        origin: impl FnMut(&str, usize, Duration) -> Answer + 'static,
    ) -> Self {
        let url = Url::parse(&format!("http://o.test/{path}")).expect("a URL");
        let config = configure(HlsConfig::new(url, Arc::new(Nowhere)));
        let mut world = Self {
            plan: HlsPlan::new(&config),
            origin: Box::new(origin),
            latency: Duration::from_millis(40),
            rate: Box::new(|_| 1e6),
            crawls: None,
            tells_length: true,
            pace: 1.0,
            length: Box::new(|_| 4.0),
            now: Duration::ZERO,
            carriers: Vec::new(),
            asked: BTreeMap::new(),
            requests: Vec::new(),
            resources: BTreeMap::new(),
            shared: BTreeMap::new(),
            runs: Vec::new(),
            place: (0, 0, 0),
            allowance: 0.0,
            announced: (ResourceId(u64::MAX), 0, false),
            heard: Vec::new(),
            events: Vec::new(),
            failure: None,
            ended: false,
            waited: Duration::ZERO,
            inputs: VecDeque::new(),
        };
        world.hear(Input::Tick);
        world
    }

    /// Lives until the listener has heard the end, or a failure, or for so long.
    pub fn play(&mut self, limit: Duration) -> &mut Self {
        let until = self.now + limit;
        while self.now < until && !self.is_over() {
            self.step();
        }
        self
    }

    /// Whether the listener has come to the end, or to a failure.
    pub fn is_over(&self) -> bool {
        let (run, part, _) = self.place;
        let read = run >= self.runs.len()
            || run + 1 == self.runs.len()
                && self.runs[run].closed
                && part >= self.runs[run].parts.len();
        (self.ended && read) || (self.failure.is_some() && self.is_blocked())
    }

    /// What the plan holds.
    pub fn holdings(&self) -> kithara_hls::Holdings {
        self.plan.holdings()
    }

    /// Time passes for a listener who has come to a failure.
    pub fn rest(&mut self) {
        self.step();
    }

    pub fn seek(&mut self, to: Duration) -> Option<&RunFacts> {
        self.failure = None;
        self.ended = false;
        let before = self.runs.len();
        self.hear(Input::Seek { to });
        assert!(self.runs.len() > before, "a seek begins a run at once");
        self.place = (before, 0, 0);
        self.allowance = 0.0;
        self.runs[before].facts.as_ref()
    }

    /// What was read last does not decode; whatever comes of it is the next run.
    pub fn reject(&mut self) {
        let (run, part, _) = self.place;
        let resource = self.runs[run].parts[part];
        let before = self.runs.len();
        let what = "noise".to_owned();
        let why = Rejection::Damaged { what };
        self.hear(Input::Rejected { resource, why });
        self.ended = false;
        self.place = (before, 0, 0);
        self.allowance = 0.0;
    }

    pub fn command(&mut self, command: HlsCommand) {
        self.plan.handle_command(self.now, command);
        self.perform_all();
    }

    /// The facts of all runs, in order.
    pub fn run_facts(&self) -> Vec<&RunFacts> {
        self.runs
            .iter()
            .filter_map(|run| run.facts.as_ref())
            .collect()
    }

    /// The paths of all parts that were read to their end, in order.
    pub fn played(&self) -> Vec<&str> {
        let whole = self.heard.iter().filter(|heard| heard.whole);
        whole.map(|heard| heard.path.as_str()).collect()
    }

    /// How often something was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.asked.get(path).copied().unwrap_or(0)
    }

    fn is_blocked(&self) -> bool {
        self.announced.2
    }

    fn step(&mut self) {
        self.now += STEP;
        if self.plan.deadline().is_some_and(|at| at <= self.now) {
            self.hear(Input::Tick);
            let next = self.plan.deadline();
            assert!(
                next.is_none_or(|at| at > self.now),
                "a deadline that was heard stays: {next:?} at {:?}",
                self.now
            );
        }
        self.carry();
        self.read();
    }

    fn carry(&mut self) {
        let moving = self
            .carriers
            .iter()
            .filter(|one| one.body.is_some())
            .count()
            .max(1);
        let mut budget = (self.rate)(self.now) * STEP.as_secs_f64() / moving as f64;
        budget = budget.max(0.0);
        for id in self.carriers.iter().map(|one| one.id).collect::<Vec<_>>() {
            self.carry_one(id, budget as usize);
        }
    }

    fn carry_one(&mut self, id: FetchId, budget: usize) {
        let Some(index) = self.carriers.iter().position(|one| one.id == id) else {
            return;
        };
        if self.carriers[index].wake > self.now {
            return;
        }
        if self.carriers[index].body.is_none() {
            return self.answer(index);
        }
        if !std::mem::replace(&mut self.carriers[index].headed, true)
            && self.carriers[index].resource.is_some()
        {
            let head = self.head(index);
            return self.hear(Input::Head { fetch: id, head });
        }
        let carrier = &mut self.carriers[index];
        let crawls = self.crawls.as_ref() == Some(&carrier.path);
        let budget = if crawls {
            self.now.as_millis().is_multiple_of(10_000).into()
        } else {
            budget
        };
        let room = carrier.credit.saturating_sub(carrier.offset);
        let (bytes, at, breaks) = carrier.body.as_mut().expect("an answer");
        let end = breaks.unwrap_or(bytes.len());
        let take = (end - *at).min(budget).min(room as usize);
        let piece = bytes[*at..*at + take].to_vec();
        *at += take;
        let (done, broken) = (*at == end, *at == end && breaks.is_some());
        let Some(resource) = carrier.resource else {
            if done && !broken {
                return self.loaded(index);
            }
            if broken {
                self.broke(index);
            }
            return;
        };
        let mut stored = Vec::new();
        let mut wrong = None;
        match &mut carrier.transform {
            None => stored = piece,
            Some(transform) if take > 0 => wrong = transform.update(&piece, &mut stored).err(),
            Some(_) => {}
        }
        if done
            && !broken
            && let Some(transform) = &mut carrier.transform
        {
            wrong = wrong.or(transform.finish(&mut stored).err());
        }
        let start = carrier.offset;
        carrier.offset += stored.len() as u64;
        let end = carrier.offset;
        let name = carrier.path.clone();
        let bytes = self.bytes_of(resource);
        let entry = self.resources.get_mut(&bytes).expect("it was begun");
        assert_eq!(
            entry.1.len() as u64,
            start,
            "{name}: bytes in order, each once"
        );
        entry.1.extend_from_slice(&stored);
        if end > start {
            self.hear(Input::Progress {
                fetch: id,
                stored: start..end,
            });
        }
        let Some(index) = self.carriers.iter().position(|one| one.id == id) else {
            return;
        };
        if let Some(what) = wrong {
            self.carriers.remove(index);
            let error = StreamError::Transform { name, what };
            return self.hear(Input::Failed { fetch: id, error });
        }
        if broken {
            self.broke(index);
        } else if done {
            self.carriers.remove(index);
            self.hear(Input::Done { fetch: id, end });
            self.tell_others(resource);
        }
    }

    /// Where the bytes of a resource are.
    fn bytes_of(&self, resource: ResourceId) -> ResourceId {
        self.shared.get(&resource).copied().unwrap_or(resource)
    }

    /// How a resource stands that has its bytes in common with others.
    fn stored(&self, resource: ResourceId) -> Input {
        let bytes = self.bytes_of(resource);
        let (have, end) = match self.resources.get(&bytes) {
            Some((_, bytes, end)) => (bytes.len() as u64, *end),
            None => (0, None),
        };
        let own = |one: &Carrier| one.resource == Some(resource);
        let of_it = |one: &&Carrier| one.resource.is_some_and(|own| self.bytes_of(own) == bytes);
        let others = self.carriers.iter().filter(of_it).any(|one| !own(one));
        let mut stored = Stored {
            end,
            ..Stored::default()
        };
        stored.coverage.insert(0..have);
        if others {
            stored.others.insert(have..u64::MAX);
        }
        Input::Stored { resource, stored }
    }

    /// Those who share the bytes of a resource hear that they have come.
    fn tell_others(&mut self, resource: ResourceId) {
        let bytes = self.bytes_of(resource);
        let sharing = self.shared.iter().filter(|(_, of)| **of == bytes);
        let all: Vec<_> = sharing.map(|(one, _)| *one).chain([bytes]).collect();
        for one in all.into_iter().filter(|one| *one != resource) {
            let input = self.stored(one);
            self.hear(input);
        }
    }

    /// The server answers a request.
    fn answer(&mut self, index: usize) {
        let path = self.carriers[index].path.clone();
        let count = self.asked.entry(path.clone()).or_default();
        *count += 1;
        let before = *count - 1;
        self.requests.push((path.clone(), self.now));
        let answer = (self.origin)(&path, before, self.now);
        let carrier = &mut self.carriers[index];
        let cut = |bytes: Vec<u8>| {
            let from = (carrier.shift + carrier.range.start).min(bytes.len() as u64) as usize;
            let to = carrier
                .shift
                .saturating_add(carrier.range.end)
                .min(bytes.len() as u64);
            bytes[from..to as usize].to_vec()
        };
        match answer {
            Answer::Bytes(bytes) => {
                let bytes = if carrier.resource.is_some() {
                    cut(bytes)
                } else {
                    bytes
                };
                carrier.body = Some((bytes, 0, None));
            }
            Answer::Broken(bytes, at) => carrier.body = Some((cut(bytes), 0, Some(at))),
            Answer::Status(status) => self.refused(index, |url| NetError::Http {
                url,
                status,
                retry_after: None,
            }),
            Answer::Silence => {
                carrier.wake = self.now + Duration::from_secs(10);
                self.refused(index, |url| NetError::Timeout {
                    url,
                    phase: TimeoutPhase::FirstByte,
                });
            }
        }
    }

    fn broke(&mut self, index: usize) {
        let (bytes, at, _) = self.carriers[index].body.take().expect("a body");
        self.carriers[index].headed = false;
        let (expected, got) = (bytes.len() as u64, at as u64);
        // What follows is asked for next.
        let offset = self.carriers[index].offset;
        self.carriers[index].range.start = offset;
        self.refused(index, |url| NetError::Truncated { url, expected, got });
    }

    /// As the network layer does: again after a while if that may help, else a failure.
    fn refused(&mut self, index: usize, error: impl FnOnce(RedactedUrl) -> NetError) {
        let carrier = &mut self.carriers[index];
        let error = error(RedactedUrl::new(&carrier.url));
        carrier.spent += 1;
        let (id, attempt) = (carrier.id, carrier.spent);
        if error.is_retryable() && carrier.spent < carrier.until.min(7) {
            let delay = Duration::from_millis(250 << carrier.spent.min(5));
            carrier.wake = carrier.wake.max(self.now) + delay;
            let error = Arc::new(error);
            return self.hear(Input::Retrying {
                fetch: id,
                attempt,
                delay,
                error,
            });
        }
        let carrier = self.carriers.remove(index);
        let error = StreamError::Net(Arc::new(error));
        self.hear(Input::Failed { fetch: id, error });
        if let Some(resource) = carrier.resource {
            self.tell_others(resource);
        }
    }

    fn loaded(&mut self, index: usize) {
        let head = self.head(index);
        let carrier = self.carriers.remove(index);
        let (bytes, ..) = carrier.body.expect("an answer");
        let fetch = carrier.id;
        if bytes.len() > carrier.most {
            let (name, most) = (carrier.path, carrier.most);
            let error = StreamError::TooLarge { name, most };
            return self.hear(Input::Failed { fetch, error });
        }
        let bytes = bytes.into();
        self.hear(Input::Loaded { fetch, head, bytes });
    }

    fn head(&self, index: usize) -> ResponseHead {
        let carrier = &self.carriers[index];
        let len = carrier
            .body
            .as_ref()
            .map_or(0, |(bytes, ..)| bytes.len() as u64);
        let mut head = ResponseHead::whole(&carrier.url, len);
        if !self.tells_length {
            (head.end, head.total) = (None, None);
        }
        head
    }

    fn hear(&mut self, input: Input) {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            self.plan.handle(self.now, input);
            self.perform_all();
        }
    }

    fn perform_all(&mut self) {
        while let Some(wish) = self.plan.poll() {
            self.perform(wish);
        }
        let holds = self.plan.holdings();
        assert!(holds.segments <= 64 && holds.passed <= 64, "{holds:?}");
        assert!(holds.documents <= 64, "{holds:?}");
        assert!(holds.init_sections <= 80, "{holds:?}");
        assert!(holds.keys <= 128 && holds.failures <= 64, "{holds:?}");
    }

    fn perform(&mut self, wish: Wish<HlsEvent>) {
        match wish {
            Wish::Open { resource, .. } => {
                let stored = Stored {
                    coverage: Coverage::default(),
                    ..Stored::default()
                };
                self.inputs.push_back(Input::Stored { resource, stored });
            }
            Wish::Share { resource, of } => {
                let of = self.bytes_of(of);
                self.shared.insert(resource, of);
                let input = self.stored(resource);
                self.inputs.push_back(input);
            }
            Wish::Load(load) => self.load(load),
            Wish::Fetch(fetch) => self.fetch(fetch),
            Wish::Credit { fetch, until } => {
                let known = self.carriers.iter_mut().find(|one| one.id == fetch);
                known.expect("credit for what is on its way").credit = until;
            }
            Wish::Abort(fetch) => {
                let of = |one: &Carrier| one.id == fetch;
                let Some(index) = self.carriers.iter().position(of) else {
                    return;
                };
                let carrier = self.carriers.remove(index);
                let bytes = carrier.resource.map(|resource| self.bytes_of(resource));
                let sharing = self.shared.iter().filter(|(_, of)| Some(**of) == bytes);
                for one in sharing.map(|(one, _)| *one).collect::<Vec<_>>() {
                    let input = self.stored(one);
                    self.inputs.push_back(input);
                }
            }
            Wish::Publish(facts) => {
                let open = self.runs.last().is_none_or(|run| run.closed || run.cut);
                let seeks = facts.cause == kithara_stream::RunCause::Seek;
                assert!(open || seeks, "a run is closed before the next begins");
                let closed = !facts.extends;
                let facts = Some(facts);
                self.runs.push(Run {
                    facts,
                    closed,
                    ..Run::default()
                });
            }
            Wish::Extend { resource, .. } => {
                let run = self.runs.last_mut().expect("a run to extend");
                assert!(!run.closed && !run.cut, "a part of a run that is over");
                run.parts.push(resource);
                let name = String::new();
                self.resources
                    .entry(self.shared.get(&resource).copied().unwrap_or(resource))
                    .or_insert((name, Vec::new(), None));
            }
            Wish::Close => self.runs.last_mut().expect("a run").closed = true,
            Wish::CutOff => self.runs.last_mut().expect("a run").cut = true,
            Wish::Length { resource, len, .. } => {
                let bytes = self.bytes_of(resource);
                self.resources.get_mut(&bytes).expect("it was begun").2 = Some(len);
            }
            Wish::Complete { resource, len } => {
                let (path, bytes, _) = &self.resources[&self.bytes_of(resource)];
                assert_eq!(bytes.len() as u64, len, "{path}");
            }
            Wish::Recall { .. } | Wish::Remember { .. } => panic!("there is no store"),
            Wish::Leave { .. }
            | Wish::Identify { .. }
            | Wish::Discard { .. }
            | Wish::Validated { .. }
            | Wish::Outdated { .. } => {}
            Wish::Refuse { error, .. } | Wish::Fail(error) => {
                self.carriers.clear();
                self.failure = Some(error);
            }
            Wish::End => self.ended = true,
            Wish::Event(event) => self.events.push(event),
        }
    }

    fn load(&mut self, load: Load) {
        self.carriers.push(Carrier {
            id: load.id,
            resource: None,
            path: path_of(&load.url),
            url: load.url,
            credit: u64::MAX,
            offset: 0,
            body: None,
            headed: true,
            wake: self.now + self.latency,
            spent: load.attempts.spent,
            until: load.attempts.until,
            transform: None,
            most: load.most,
            range: 0..u64::MAX,
            shift: 0,
        });
    }

    fn fetch(&mut self, fetch: Fetch) {
        let busy = self
            .carriers
            .iter()
            .any(|one| one.resource == Some(fetch.resource));
        assert!(!busy, "two transfers of one part: {fetch:?}");
        let bytes = self.bytes_of(fetch.resource);
        let of_it = |one: &Carrier| one.resource.is_some_and(|own| self.bytes_of(own) == bytes);
        if self.carriers.iter().any(of_it) {
            self.inputs.push_back(Input::Taken { fetch: fetch.id });
            let input = self.stored(fetch.resource);
            return self.inputs.push_back(input);
        }
        let path = path_of(&fetch.url);
        let entry = self.resources.entry(bytes).or_default();
        entry.0.clone_from(&path);
        assert_eq!(
            entry.1.len() as u64,
            fetch.range.start,
            "{path}: from where it stopped"
        );
        let mut range = fetch.range.clone();
        let transform = fetch.terms.transform.as_ref().map(|transform| {
            range.start = transform.source_start(range.start);
            transform.begin(fetch.range.start)
        });
        self.carriers.push(Carrier {
            id: fetch.id,
            resource: Some(fetch.resource),
            path,
            url: fetch.url,
            credit: fetch.credit,
            offset: fetch.range.start,
            body: None,
            headed: false,
            wake: self.now + self.latency,
            spent: fetch.attempts.spent,
            until: fetch.attempts.until,
            transform,
            most: usize::MAX,
            range,
            shift: fetch.terms.shift,
        });
    }
}

fn path_of(url: &Url) -> String {
    url.path().trim_start_matches('/').to_owned()
}
