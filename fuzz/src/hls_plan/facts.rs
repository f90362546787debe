//! A driver that tells a plan anything, in any order, about what is on its way and about what is not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kithara::net::{Bytes, NetError, Purpose, RedactedUrl, ResponseHead, Url};
use kithara_hls::{HlsCommand, HlsEvent, HlsPlan};
use kithara_stream::{
    Demand, FetchId, Input, Plan, Rejection, ResourceId, RunCause, Stored, StreamError, Wish,
};

use super::playlists::{KEY, Stream};
use crate::script::Script;

/// Facts heard in one input.
const MOST_FACTS: usize = 400;
/// What a plan may want at once.
const MOST_WISHES: usize = 1_000;

pub(super) fn under_facts(script: &mut Script<'_>) {
    let stream = Stream::new(script);
    let path = if script.byte() & 1 == 0 {
        "m.m3u8"
    } else {
        "v0.m3u8"
    };
    let config = super::configure(super::nowhere(path), script);
    let mut stage = Stage {
        plan: HlsPlan::new(&config),
        stream,
        now: Duration::ZERO,
        running: Vec::new(),
        loads: Vec::new(),
        named: BTreeSet::new(),
        known: Vec::new(),
        left: Vec::new(),
        announced: Vec::new(),
        run: Run::None,
        fate: Fate::Open,
    };
    stage.hear(Input::Tick);
    for _ in 0..MOST_FACTS {
        if script.is_over() {
            return;
        }
        stage.now += Duration::from_millis(script.number(40_000));
        if script.chance(12) {
            let command = HlsCommand::Mode(super::mode(script));
            stage.plan.handle_command(stage.now, command);
            stage.carry_out();
            continue;
        }
        let input = stage.fact(script);
        stage.hear(input);
    }
}

struct Stage {
    plan: HlsPlan,
    stream: Stream,
    now: Duration,
    running: Vec<Running>,
    loads: Vec<(FetchId, Url, Purpose)>,
    /// Every transfer and document there ever was.
    named: BTreeSet<FetchId>,
    /// Resources that were not left.
    known: Vec<ResourceId>,
    /// Nobody has these any more.
    left: Vec<ResourceId>,
    /// What the reader has heard of, newest last.
    announced: Vec<ResourceId>,
    run: Run,
    fate: Fate,
}

/// The newest run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    None,
    Open,
    Over,
}

/// What becomes of the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Ended,
    Failed,
}

struct Running {
    id: FetchId,
    resource: ResourceId,
    at: u64,
    end: u64,
    credit: u64,
    /// Bytes and their end follow the headers, never the other way round.
    headed: bool,
}

impl Stage {
    fn fact(&mut self, script: &mut Script<'_>) -> Input {
        let choice = script.choice(16);
        let beyond = usize::from(script.chance(16));
        let index = script.choice(self.running.len() + beyond);
        if choice < 4 && !self.loads.is_empty() {
            return self.document(script);
        }
        let Some(one) = self.running.get_mut(index) else {
            return self.of_the_listener(choice, script);
        };
        let fetch = one.id;
        match choice {
            4 | 5 => {
                let total = one.end.min(script.number(1 << 20));
                let mut head = ResponseHead::whole(&url("s"), total.max(one.at));
                if script.chance(60) {
                    (head.end, head.total) = (None, None);
                }
                head.length_proof = !script.chance(60);
                one.headed = true;
                Input::Head { fetch, head }
            }
            6..=8 if one.headed => {
                let room = one.end.min(one.credit).saturating_sub(one.at);
                let start = one.at;
                one.at += script.number(1 << 18).min(room);
                if script.chance(60) && room < 1 << 20 {
                    one.at = start + room;
                }
                let stored = start..one.at;
                Input::Progress { fetch, stored }
            }
            9 if one.headed => {
                let end = one.at;
                self.running.remove(index);
                Input::Done { fetch, end }
            }
            10 => {
                self.running.remove(index);
                Input::Failed {
                    fetch,
                    error: failure(script),
                }
            }
            11 if !one.headed => {
                self.running.remove(index);
                Input::Taken { fetch }
            }
            _ => self.of_the_listener(choice, script),
        }
    }

    fn of_the_listener(&mut self, choice: usize, script: &mut Script<'_>) -> Input {
        let fetch = FetchId(script.number(1_000));
        match choice {
            0..=6 => Input::Demand(self.demand(script)),
            7 => {
                // Without a run there is nothing to seek in: a failure is still why.
                if self.run != Run::None {
                    self.fate = Fate::Open;
                }
                self.announced.clear();
                let to = Duration::from_millis(script.number(100_000));
                Input::Seek { to }
            }
            8 => {
                let resource = self.announced.first().copied().unwrap_or_default();
                let what = "noise".to_owned();
                let why = match script.number(5) {
                    0 => Rejection::Damaged { what },
                    1 => Rejection::Headless,
                    2 => Rejection::Short,
                    _ => Rejection::Silent,
                };
                Input::Rejected { resource, why }
            }
            9 => Input::Retrying {
                fetch,
                attempt: script.byte().into(),
                delay: Duration::from_millis(script.number(1 << 20)),
                error: Arc::new(NetError::BodyFailed),
            },
            10 | 11 => self.stored(script),
            _ => Input::Tick,
        }
    }

    /// A document comes, or does not.
    fn document(&mut self, script: &mut Script<'_>) -> Input {
        let (fetch, url, purpose) = self.loads.remove(script.choice(self.loads.len()));
        if script.chance(30) {
            let error = failure(script);
            return Input::Failed { fetch, error };
        }
        let variant = |path: &str| path.as_bytes().get(2).map_or(0, |digit| digit - b'0');
        let bytes = match (purpose, url.path()) {
            _ if script.chance(20) => b"noise".to_vec(),
            (Purpose::Key, _) => KEY.to_vec(),
            (_, "/m.m3u8") => self.stream.entry().into_bytes(),
            (_, path) => {
                let variant = variant(path).into();
                self.stream.list(variant, self.now.as_secs()).into_bytes()
            }
        };
        Input::Loaded {
            fetch,
            head: ResponseHead::whole(&url, bytes.len() as u64),
            bytes: Bytes::from(bytes),
        }
    }

    fn demand(&mut self, script: &mut Script<'_>) -> Demand {
        // Forward, and one by one more often than not.
        let ahead = if script.chance(40) {
            script.choice(8)
        } else {
            script.choice(2)
        };
        let ahead = ahead.min(self.announced.len().saturating_sub(1));
        self.announced.drain(..ahead);
        let resource = self.announced.first().copied().unwrap_or_default();
        let position = script.number(1 << 20);
        let blocked = script.byte() & 1 == 1;
        Demand {
            resource,
            position,
            wanted: blocked.then(|| position..position + 1),
        }
    }

    /// Others have brought something, bring it, or have given it up.
    fn stored(&mut self, script: &mut Script<'_>) -> Input {
        let at = script.choice(self.known.len());
        let resource = self.known.get(at).copied().unwrap_or_default();
        let mut stored = Stored::default();
        let transfer = self.running.iter().find(|one| one.resource == resource);
        let own = transfer.map_or(0, |one| one.at);
        let front = own.max(script.number(1 << 17));
        stored.coverage.insert(0..front);
        if script.chance(80) {
            stored
                .others
                .insert(front..front + 1 + script.number(1 << 20));
        }
        stored.end = script.chance(80).then(|| front + script.number(3));
        Input::Stored { resource, stored }
    }

    fn hear(&mut self, input: Input) {
        self.plan.handle(self.now, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        let mut wishes = 0;
        while let Some(wish) = self.plan.poll() {
            wishes += 1;
            assert!(wishes <= MOST_WISHES, "a flood of wishes");
            self.perform(wish);
        }
        if self.plan.deadline().is_some_and(|at| at <= self.now) {
            self.plan.handle(self.now, Input::Tick);
            while let Some(wish) = self.plan.poll() {
                self.perform(wish);
            }
            let next = self.plan.deadline();
            assert!(
                next.is_none_or(|at| at > self.now),
                "a deadline that was heard stays: {next:?} at {:?}, {:?}",
                self.now,
                self.plan
            );
        }
        let holds = self.plan.holdings();
        assert!(
            holds.segments <= 65 && holds.passed <= 64 && holds.documents <= 64,
            "{holds:?}"
        );
        assert!(holds.init_sections <= 80 && holds.keys <= 192, "{holds:?}");
        assert!(holds.failures <= 64, "{holds:?}");
        let moves = self.running.iter().any(|one| one.credit > one.at);
        let comes = moves || !self.loads.is_empty() || self.plan.deadline().is_some();
        assert!(
            comes || self.rests(),
            "nothing is asked for: {:?}",
            self.plan
        );
    }

    /// Whether nothing has to come: the stream is over, others bring what is missing, or nobody has read what is there.
    fn rests(&self) -> bool {
        self.fate != Fate::Open || self.run != Run::None
    }

    fn perform(&mut self, wish: Wish<HlsEvent>) {
        let is_running = |id: FetchId| self.running.iter().any(|one| one.id == id);
        match wish {
            Wish::Fetch(fetch) => {
                let (start, end) = (fetch.range.start, fetch.range.end);
                assert!(start < end, "no bytes are asked for: {start}..{end}");
                assert!(self.named.insert(fetch.id), "a name is used twice");
                let busy = self
                    .running
                    .iter()
                    .any(|one| one.resource == fetch.resource);
                assert!(!busy, "two transfers of one part: {fetch:?}");
                self.know(fetch.resource);
                self.running.push(Running {
                    id: fetch.id,
                    resource: fetch.resource,
                    at: start,
                    end,
                    credit: fetch.credit,
                    headed: false,
                });
            }
            Wish::Load(load) => {
                assert!(self.named.insert(load.id), "a name is used twice");
                self.loads.push((load.id, load.url, load.purpose));
            }
            Wish::Credit { fetch, until } => {
                assert!(is_running(fetch), "credit for what is over");
                let of_it = self.running.iter_mut().filter(|one| one.id == fetch);
                of_it.for_each(|one| one.credit = until);
            }
            Wish::Abort(id) => {
                assert!(self.named.contains(&id), "an abort of what never was");
                self.running.retain(|one| one.id != id);
                self.loads.retain(|(load, ..)| *load != id);
            }
            Wish::Share { resource, of } => {
                assert!(!self.left.contains(&of), "it shares what was left");
                self.know(of);
                self.know(resource);
            }
            Wish::Leave { resource } => {
                self.left.push(resource);
                self.known.retain(|one| *one != resource);
                self.running.retain(|one| one.resource != resource);
            }
            Wish::Publish(facts) => {
                let free = self.run != Run::Open || facts.cause == RunCause::Seek;
                assert!(free, "a run is closed before the next begins");
                let open = facts.extends;
                self.run = if open { Run::Open } else { Run::Over };
            }
            Wish::Extend { resource, .. } => {
                assert!(self.run == Run::Open, "it extends a run that is over");
                self.know(resource);
                self.announced.push(resource);
            }
            Wish::Close | Wish::CutOff { .. } => {
                assert!(self.run != Run::None, "there is no run");
                self.run = Run::Over;
                // What is read next is of the next run.
                self.fate = Fate::Open;
            }
            Wish::End => self.fate = Fate::Ended,
            Wish::Fail(_) => {
                self.running.clear();
                self.loads.clear();
                self.fate = Fate::Failed;
            }
            _ => {}
        }
    }

    fn know(&mut self, resource: ResourceId) {
        if !self.known.contains(&resource) {
            self.known.push(resource);
        }
    }
}

fn url(path: &str) -> Url {
    Url::parse(&format!("http://o.test/{path}")).expect("a constant URL")
}

fn failure(script: &mut Script<'_>) -> StreamError {
    let name = || RedactedUrl::new(&url("s"));
    let status = |status| NetError::Http {
        url: name(),
        status,
        retry_after: None,
    };
    let error = match script.choice(7) {
        0 => status(404),
        1 => status(403),
        2 => status(503),
        3 => NetError::RangeNotSatisfiable {
            url: name(),
            total: Some(0),
        },
        4 => {
            let (name, what) = (name().to_string(), "noise".to_owned());
            return StreamError::Transform { name, what };
        }
        5 => NetError::Truncated {
            url: name(),
            expected: 10,
            got: 5,
        },
        _ => NetError::BodyFailed,
    };
    StreamError::Net(Arc::new(error))
}
