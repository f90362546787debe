//! A simulated world for one stream: an origin, a link, and a listener who reads at his own pace; time is moved by hand.
//!
//! The plan is the real one. What no plan may ever do is checked in every step: two transfers of one part, bytes asked for
//! that are there, parts of a run that is over, a flood of wishes, and nothing at all while the listener waits.

#![allow(dead_code)] // Each test file uses some of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kithara_hls::{HlsCommand, HlsConfig, HlsEvent, HlsPlan};
use kithara_stream::net::{Net, NetError, Request, Response, Url};
use kithara_stream::{
    Coverage, Input, Plan, Rejection, ResourceId, RunFacts, Stored, StreamError, Wish,
};

use self::link::Carrier;

#[path = "link.rs"]
mod link;
#[path = "listener.rs"]
mod listener;

const STEP: Duration = Duration::from_millis(20);
/// Nothing is heard of that makes a plan wish for more than this at once.
const MOST_WISHES: usize = 1_000;
/// Nobody waits longer while nothing is on its way: a live playlist is loaded again before that.
const LONGEST_REST: Duration = Duration::from_secs(120);

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

/// A part that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub path: String,
    pub run: usize,
}

/// No network: the plan's wishes are carried out here.
struct Nowhere;

#[async_trait::async_trait]
impl Net for Nowhere {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        unreachable!("{request:?}")
    }
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
    /// Wishes, so far.
    performed: usize,
    /// The resource that was thrown away last.
    discarded: Option<ResourceId>,
    /// The listener has read all there is.
    waits: bool,
    /// Since when something was on its way, or nobody waited for it.
    cared_for: Duration,
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
            performed: 0,
            discarded: None,
            waits: false,
            cared_for: Duration::ZERO,
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
        let read = match self.runs.get(run) {
            None => true,
            Some(_) if run + 1 < self.runs.len() => false,
            Some(last) => last.closed && part >= last.parts.len() || last.cut && self.waits,
        };
        (self.ended && read) || (self.failure.is_some() && self.is_blocked())
    }

    /// Whether there is a run that the listener reads, or has read.
    pub fn is_open(&self) -> bool {
        self.place.0 < self.runs.len()
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
        let before = self.runs.len();
        self.go_to(to);
        assert!(self.runs.len() > before, "a seek begins a run at once");
        self.runs[before].facts.as_ref()
    }

    /// Seeks where there may be nothing: whatever comes of it is the next run.
    pub fn go_to(&mut self, to: Duration) {
        (self.failure, self.ended) = (None, false);
        let before = self.runs.len();
        self.hear(Input::Seek { to });
        self.read_from(before);
    }

    /// What is read does not decode; whatever comes of it is the next run.
    pub fn reject(&mut self) {
        self.reject_behind(0);
    }

    /// What was read so many parts ago does not decode. If nothing comes of it, the listener is told that, and reads on.
    pub fn reject_behind(&mut self, parts: usize) {
        let (run, part, _) = self.place;
        let read = self.runs.get(run).map_or(&[][..], |run| &run.parts);
        let last = part.min(read.len().saturating_sub(1));
        let Some(resource) = read.get(last.saturating_sub(parts)).copied() else {
            return;
        };
        let before = self.runs.len();
        self.discarded = None;
        let (failure, ended) = (self.failure.take(), std::mem::take(&mut self.ended));
        let what = "noise".to_owned();
        let why = Rejection::Damaged { what };
        self.hear(Input::Rejected { resource, why });
        if self.discarded == Some(resource) {
            return self.read_from(before);
        }
        (self.failure, self.ended) = (failure, ended);
    }

    /// Everything told before is forgotten.
    fn read_from(&mut self, run: usize) {
        self.place = (run, 0, 0);
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
        self.heard.iter().map(|heard| heard.path.as_str()).collect()
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
        self.look_after_the_listener();
    }

    /// Whoever waits is told why, or something is on its way.
    fn look_after_the_listener(&mut self) {
        let told = self.failure.is_some() || self.is_over();
        // What it waited for may have been said just now.
        let run = self.runs.get(self.place.0);
        let is_passed = run.is_some_and(|run| run.closed || run.cut);
        let next_part = run.and_then(|run| run.parts.get(self.place.1));
        let is_there = next_part.is_some_and(|part| {
            let (_, bytes, end) = &self.resources[&self.bytes_of(*part)];
            bytes.len() as u64 > self.place.2 || end.is_some()
        });
        let goes_on = is_there || is_passed && self.place.0 + 1 < self.runs.len();
        if told || goes_on || !self.waits || self.carriers.iter().any(Carrier::is_under_way) {
            self.cared_for = self.now;
            return;
        }
        let rested = self.now - self.cared_for;
        let comes = self.plan.deadline().is_some() && rested < LONGEST_REST;
        assert!(
            comes,
            "nothing is asked for, and the listener waits at {:?}: {:?} after {:?}, {:?}",
            self.now, self.plan, self.requests, self.events
        );
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

    fn hear(&mut self, input: Input) {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            self.plan.handle(self.now, input);
            self.perform_all();
        }
    }

    fn perform_all(&mut self) {
        let before = self.performed;
        while let Some(wish) = self.plan.poll() {
            self.performed += 1;
            assert!(self.performed - before < MOST_WISHES, "a flood of wishes");
            self.perform(wish);
        }
        let holds = self.plan.holdings();
        assert!(holds.segments <= 64 && holds.passed <= 64, "{holds:?}");
        assert!(holds.documents <= 64 && holds.aside <= 32, "{holds:?}");
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
            Wish::CutOff { from } => {
                let run = self.runs.last_mut().expect("a run");
                run.cut = true;
                let first = run.parts.iter().position(|part| Some(*part) == from);
                run.parts.truncate(first.unwrap_or(run.parts.len()));
            }
            Wish::Length { resource, len, .. } => {
                let bytes = self.bytes_of(resource);
                self.resources.get_mut(&bytes).expect("it was begun").2 = Some(len);
            }
            Wish::Complete { resource, len } => {
                let (path, bytes, _) = &self.resources[&self.bytes_of(resource)];
                assert_eq!(bytes.len() as u64, len, "{path}");
            }
            Wish::Recall { .. } | Wish::Remember { .. } => panic!("there is no store"),
            Wish::Discard { resource } => self.discarded = Some(resource),
            Wish::Leave { .. }
            | Wish::Identify { .. }
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
}
