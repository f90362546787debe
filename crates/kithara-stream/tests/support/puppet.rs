//! A plan that wishes what a test says and tells it what it hears, and an origin of many small resources.

#![allow(dead_code)] // Each test uses some of it.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use kithara_net::{
    Attempts, Body, Bytes, Net, NetError, RedactedUrl, Request, Response, ResponseHead, Url,
};
use kithara_stream::assets::AssetStore;
use kithara_stream::{
    Backend, BackendConfig, CommandSender, EventSink, Fetch, FetchId, Input, MediaInfo, PartKind,
    Plan, Priority, ResourceId, Run, RunFacts, Source, StreamError, Terms, Wish, commands,
};
use parking_lot::Mutex;
use tokio::sync::watch;

/// What a puppet tells: what it heard, or that it has wished for everything up to here.
#[derive(Clone, Debug)]
pub enum Told {
    Heard(Box<Input>),
    Mark(u64),
}

pub type Wishes = Vec<Wish<Told>>;

/// What a puppet is told.
pub enum Pull {
    /// To wish for this now.
    Now(Wishes),
    /// To wish for this when the listener seeks, or rejects something, the next time.
    WhenAsked(Wishes),
    /// To die.
    Panic,
}

#[derive(Default)]
struct Puppet {
    wishes: VecDeque<Wish<Told>>,
    when_asked: Wishes,
}

impl Plan for Puppet {
    type Event = Told;
    type Command = Pull;

    fn handle(&mut self, _now: Duration, input: Input) {
        if matches!(input, Input::Seek { .. } | Input::Rejected { .. }) {
            self.wishes.extend(self.when_asked.drain(..));
        }
        self.wishes
            .push_back(Wish::Event(Told::Heard(Box::new(input))));
    }

    fn handle_command(&mut self, _now: Duration, command: Pull) {
        match command {
            Pull::Now(wishes) => self.wishes.extend(wishes),
            Pull::WhenAsked(wishes) => self.when_asked = wishes,
            Pull::Panic => panic!("the plan panics"),
        }
    }

    fn poll(&mut self) -> Option<Wish<Told>> {
        self.wishes.pop_front()
    }

    fn deadline(&self) -> Option<Duration> {
        None
    }
}

/// A puppet on the real driver.
pub struct Stage {
    pub origin: Arc<Origin>,
    pub backend: Backend,
    strings: CommandSender<Pull>,
    told: mpsc::Receiver<Told>,
    /// Heard, but not asked for yet.
    heard: VecDeque<Input>,
    marks: u64,
}

impl Stage {
    pub fn new() -> Self {
        Self::with_store(None)
    }

    pub fn with_store(store: Option<AssetStore>) -> Self {
        let origin = Arc::new(Origin::default());
        let (strings, pulled) = commands();
        let (sender, told) = mpsc::channel();
        let events = EventSink::default().inspect(move |event: &Told| {
            // The test may have ended.
            let _ = sender.send(event.clone());
        });
        let net: Arc<dyn Net> = Arc::<Origin>::clone(&origin);
        let config = BackendConfig::new(net)
            .with_store(store)
            .with_events(events);
        let backend =
            Backend::start_with(Puppet::default(), config, pulled).expect("the I/O thread runs");
        Self {
            origin,
            backend,
            strings,
            told,
            heard: VecDeque::new(),
            marks: 0,
        }
    }

    /// Returns once these wishes are performed.
    pub fn wish(&mut self, mut wishes: Wishes) {
        self.marks += 1;
        wishes.push(Wish::Event(Told::Mark(self.marks)));
        self.strings.send(Pull::Now(wishes));
        loop {
            match self.told.recv().expect("the driver lives") {
                Told::Mark(mark) if mark == self.marks => return,
                Told::Mark(_) => {}
                Told::Heard(input) => self.heard.push_back(*input),
            }
        }
    }

    /// What is wished for when the listener seeks, or rejects something, the next time.
    pub fn wish_when_asked(&mut self, wishes: Wishes) {
        self.strings.send(Pull::WhenAsked(wishes));
        self.wish(Vec::new());
    }

    /// Lets the plan panic.
    pub fn panic(&self) {
        self.strings.send(Pull::Panic);
    }

    /// The next fact that `choose` takes; those before it are forgotten.
    pub fn hear<T>(&mut self, choose: impl Fn(Input) -> Option<T>) -> T {
        loop {
            let input = match self.heard.pop_front() {
                Some(input) => input,
                None => match self.told.recv().expect("the driver lives") {
                    Told::Heard(input) => *input,
                    Told::Mark(_) => continue,
                },
            };
            if let Some(chosen) = choose(input) {
                return chosen;
            }
        }
    }

    /// All that was heard until now, and not asked for.
    pub fn heard(&mut self) -> Vec<Input> {
        self.wish(Vec::new());
        self.heard.drain(..).collect()
    }

    /// Waits for the end of a transfer: where what it has stored ends, or why it failed.
    pub fn outcome(&mut self, id: u64) -> Result<u64, StreamError> {
        self.hear(|input| match input {
            Input::Done { fetch, end } if fetch == FetchId(id) => Some(Ok(end)),
            Input::Failed { fetch, error } if fetch == FetchId(id) => Some(Err(error)),
            _ => None,
        })
    }

    /// Fetches all of a resource that the origin serves under its number, and declares it whole.
    pub fn bring(&mut self, number: u64) {
        self.wish(vec![Wish::Fetch(fetch(number))]);
        let len = self.outcome(number).expect("it comes");
        let resource = ResourceId(number);
        self.wish(vec![Wish::Complete { resource, len }]);
    }

    pub fn run(&mut self) -> Run {
        self.backend.next_run().expect("no failure").expect("a run")
    }
}

pub fn url(number: u64) -> Url {
    Url::parse(&format!("http://fake.test/{number}?token=secret")).expect("a URL")
}

/// A transfer of all of the resource of this number, under the same number.
pub fn fetch(number: u64) -> Fetch {
    Fetch {
        id: FetchId(number),
        resource: ResourceId(number),
        url: url(number),
        range: 0..u64::MAX,
        credit: u64::MAX,
        overlap: 0,
        if_range: None,
        attempts: Attempts::default(),
        priority: Priority::Foreground,
        terms: Terms::default(),
    }
}

/// A run of resources that follow.
pub fn publish() -> Wish<Told> {
    Wish::Publish(RunFacts {
        extends: true,
        ..RunFacts::whole(ResourceId(u64::MAX), MediaInfo::default(), None, false)
    })
}

pub fn extend(number: u64) -> Wish<Told> {
    let resource = ResourceId(number);
    Wish::Extend {
        resource,
        kind: PartKind::Media,
    }
}

/// All the bytes of a reader, and why it ended if that was no end.
pub fn read_all(run: &mut Run) -> (Vec<u8>, Option<StreamError>) {
    let mut read = Vec::new();
    let ended = run.bytes.read_to_end(&mut read);
    let why = ended.err().map(|error| failure(&error));
    (read, why)
}

pub fn failure(error: &std::io::Error) -> StreamError {
    StreamError::from_io(error).expect("a stream error is inside")
}

/// Serves resources by number, in chunks of random sizes.
#[derive(Default)]
pub struct Origin {
    served: Mutex<HashMap<String, Served>>,
    pub asked: Mutex<Vec<Request>>,
    /// How many bytes of bodies were taken.
    pub taken: Arc<AtomicU64>,
    random: AtomicU64,
}

#[derive(Clone)]
pub struct Served {
    pub bytes: Vec<u8>,
    /// Whether ranges are ignored.
    pub whole: bool,
    /// Whether the length is told.
    pub announced: bool,
    /// The body is held back behind so many bytes.
    pub open: Arc<watch::Sender<u64>>,
}

impl Origin {
    /// Serves these bytes under a number; the answer holds the body back.
    pub fn serve(&self, number: u64, bytes: impl Into<Vec<u8>>) -> Arc<watch::Sender<u64>> {
        let open = Arc::new(watch::Sender::new(u64::MAX));
        let served = Served {
            bytes: bytes.into(),
            whole: false,
            announced: true,
            open: Arc::clone(&open),
        };
        self.serve_as(number, served);
        open
    }

    pub fn serve_as(&self, number: u64, served: Served) {
        let path = url(number).path().to_owned();
        self.served.lock().insert(path, served);
    }

    pub fn change(&self, number: u64, change: impl FnOnce(&mut Served)) {
        let mut served = self.served.lock();
        change(served.get_mut(url(number).path()).expect("it is served"));
    }

    /// What was asked for, as the server heard it.
    pub fn asked(&self) -> Vec<(u64, Option<u64>)> {
        let asked = self.asked.lock();
        let range = |request: &Request| {
            let range = request.range.expect("a range");
            (range.start, range.end)
        };
        asked.iter().map(range).collect()
    }

    /// Something between 1 and `most`.
    pub fn random(&self, most: u64) -> u64 {
        let step = |seed: u64| seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let seed = self.random.load(Ordering::Relaxed);
        self.random.store(step(seed), Ordering::Relaxed);
        1 + (step(seed) >> 33) % most
    }
}

#[async_trait]
impl Net for Origin {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let served = self.served.lock().get(request.url.path()).cloned();
        self.asked.lock().push(request.clone());
        let Some(served) = served else {
            return Err(NetError::Broken {
                url: RedactedUrl::new(&request.url),
                source: "nothing is served there".into(),
            });
        };
        let len = served.bytes.len() as u64;
        let range = request.range.filter(|_| !served.whole);
        let sent = match range {
            Some(range) => range.start.min(len)..range.end.unwrap_or(len).min(len),
            None => 0..len,
        };
        let mut head = match range {
            Some(_) => ResponseHead::partial(&request.url, sent.start, sent.end, Some(len)),
            None => ResponseHead::whole(&request.url, len),
        };
        if !served.announced {
            (head.end, head.total) = (None, None);
        }
        let body = self.body(served, sent);
        Ok(Response { head, body })
    }
}

impl Origin {
    fn body(&self, served: Served, mut sent: Range<u64>) -> Body {
        let mut chunks = VecDeque::new();
        while !sent.is_empty() {
            let end = sent.end.min(sent.start + self.random(700));
            chunks.push_back(sent.start..end);
            sent.start = end;
        }
        let state = (chunks, served, Arc::clone(&self.taken));
        let chunks = futures_util::stream::unfold(state, |(mut chunks, served, taken)| async {
            let chunk: Range<u64> = chunks.pop_front()?;
            let mut open = served.open.subscribe();
            let _ = open.wait_for(|open| *open >= chunk.end).await;
            taken.fetch_add(chunk.end - chunk.start, Ordering::SeqCst);
            let bytes = &served.bytes[chunk.start as usize..chunk.end as usize];
            let bytes = Bytes::copy_from_slice(bytes);
            Some((Ok(bytes), (chunks, served, taken)))
        });
        Body::from_stream(chunks)
    }
}
