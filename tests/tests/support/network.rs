//! What the network tests share: a quick client, a title played to its end, and the fault-free run to compare with.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kithara::audio::AudioEvent;
use kithara::file::FileEvent;
use kithara::net::{
    Body, HttpClient, Net, NetError, NetExt, NetOptions, Request, Response, RetryPolicy, Timeouts,
};
use kithara::{Error, Events, RecvError, Resource, ResourceConfig, ResourceEvent, TryRecvError};
use kithara_tests::fixtures::long_wav;
use kithara_tests::server::{FaultServer, LoggedRequest, Script};

/// Far more than anything here takes; reached only by something that hangs.
const HANG: Duration = Duration::from_secs(60);

pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * 1024;
/// The most that a response which is given up may have on its way.
const OVERSHOOT: u64 = 512 * KIB;
/// The smallest look-ahead there is.
pub const LOOK_AHEAD: u64 = 256 * KIB;

/// A policy whose waits are too short to notice.
pub fn quick() -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    policy.base = Duration::from_millis(1);
    policy.max = Duration::from_millis(8);
    policy.span = Duration::ZERO;
    policy
}

/// Options whose clocks all run out after `limit`.
pub fn impatient(limit: Duration) -> NetOptions {
    let mut options = NetOptions::default();
    options.timeouts = Timeouts {
        connect: limit,
        first_byte: limit,
        stall: limit,
        throughput: None,
    };
    options
}

/// Options whose clocks run out for nobody.
pub fn patient() -> NetOptions {
    impatient(Duration::from_secs(3600))
}

/// Clocks of which only the one of a body runs out soon. A server that is held up before it answers trips none.
pub fn stalls_after(limit: Duration) -> Timeouts {
    Timeouts {
        stall: limit,
        throughput: None,
        ..Timeouts::default()
    }
}

/// Clocks of which only the one of the head runs out soon.
pub fn first_byte_after(limit: Duration) -> Timeouts {
    Timeouts {
        first_byte: limit,
        throughput: None,
        ..Timeouts::default()
    }
}

pub fn timed(timeouts: Timeouts) -> NetOptions {
    let mut options = NetOptions::default();
    options.timeouts = timeouts;
    options
}

struct InTurn {
    clients: Vec<HttpClient>,
    asked: AtomicUsize,
}

/// A client of which each request has the clocks of its number, and every later one the last. So a clock that must run
/// out runs for the request that stalls, and trips no other one whose server was held up. Each has connections of its own.
pub fn in_turn<const N: usize>(clocks: [Timeouts; N]) -> Arc<dyn Net> {
    let client = |timeouts| HttpClient::new(timed(timeouts)).expect("a client");
    Arc::new(InTurn {
        clients: clocks.map(client).into(),
        asked: AtomicUsize::new(0),
    })
}

#[async_trait]
impl Net for InTurn {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let client = &self.clients[number.min(self.clients.len() - 1)];
        client.fetch(request).await
    }
}

/// A title at `url` with a client that retries quickly what `net` could not get.
pub fn config_on(url: &str, net: Arc<dyn Net>) -> ResourceConfig {
    ResourceConfig::new(url)
        .expect("a URL")
        .without_store()
        .with_client(Arc::new(net.with_retry(quick())))
}

pub fn client(options: NetOptions, policy: RetryPolicy) -> Arc<dyn Net> {
    Arc::new(
        HttpClient::new(options)
            .expect("a client")
            .with_retry(policy),
    )
}

/// A title at `url` with a client of its own that retries quickly.
pub fn config(url: &str) -> ResourceConfig {
    config_with(url, NetOptions::default())
}

pub fn config_with(url: &str, options: NetOptions) -> ResourceConfig {
    ResourceConfig::new(url)
        .expect("a URL")
        .without_store()
        // What is read without waiting is compared as well.
        .with_fades(Duration::ZERO)
        .with_client(client(options, quick()))
}

/// A resource, what it reports, and what was read of it so far.
pub struct Listener {
    pub resource: Resource,
    pub pcm: Vec<f32>,
    events: Events<ResourceEvent>,
    heard: Vec<ResourceEvent>,
}

impl Listener {
    pub fn open(config: ResourceConfig) -> Self {
        Self::try_open(config).unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub fn try_open(config: ResourceConfig) -> Result<Self, Error> {
        let events = config.events();
        Ok(Self {
            resource: Resource::blocking(config)?,
            pcm: Vec::new(),
            events,
            heard: Vec::new(),
        })
    }

    /// Reads to the end, or to the failure that is there instead.
    pub fn play(&mut self) -> Result<(), Error> {
        self.read_samples(usize::MAX)
    }

    /// Reads this many samples more, or to the end.
    pub fn read_samples(&mut self, count: usize) -> Result<(), Error> {
        let mut left = count;
        let mut buf = vec![0.0; 8192 * usize::from(self.resource.spec().channels.get())];
        while left > 0 {
            let room = buf.len().min(left);
            let read = self.resource.read(&mut buf[..room])?;
            if read == 0 {
                return Ok(());
            }
            self.pcm.extend_from_slice(&buf[..read]);
            left -= read;
            self.listen();
        }
        Ok(())
    }

    /// Plays to the end and holds what was read to the fault-free run.
    pub fn plays_exactly(mut self, expected: &[f32], what: &str) -> Vec<ResourceEvent> {
        self.play()
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_same(&self.pcm, expected, what);
        self.events()
    }

    /// Plays to the failure; everything before it must be the beginning of the fault-free run.
    pub fn fails_after_exact_prefix(&mut self, expected: &[f32], what: &str) -> Error {
        let Err(error) = self.play() else {
            panic!(
                "{what}: played {} of {} samples and ended",
                self.pcm.len(),
                expected.len()
            )
        };
        assert!(self.pcm.len() <= expected.len(), "{what}");
        assert_same(&self.pcm, &expected[..self.pcm.len()], what);
        error
    }

    /// Everything reported so far.
    pub fn events(&mut self) -> Vec<ResourceEvent> {
        self.listen();
        self.heard.clone()
    }

    /// Waits until it is reported that `wanted` happened.
    pub fn hears(&mut self, what: &str, wanted: impl Fn(&ResourceEvent) -> bool) {
        let begun = Instant::now();
        while !self.heard.iter().any(&wanted) {
            assert!(begun.elapsed() < HANG, "{what}: {:?}", self.heard);
            std::thread::yield_now();
            self.listen();
        }
    }

    /// Lets go of the resource; everything it ever reported.
    pub fn closes(self) -> Vec<ResourceEvent> {
        let Self {
            resource,
            mut events,
            mut heard,
            ..
        } = self;
        drop(resource);
        loop {
            match events.recv_blocking() {
                Ok(event) => heard.push(event),
                Err(RecvError::Lagged(missed)) => panic!("{missed} events were missed"),
                Err(RecvError::Closed) => return heard,
            }
        }
    }

    fn listen(&mut self) {
        loop {
            match self.events.try_recv() {
                Ok(event) => self.heard.push(event),
                Err(TryRecvError::Lagged(missed)) => panic!("{missed} events were missed"),
                Err(_) => return,
            }
        }
    }

    /// Seeks, waits for the report, and tells where it landed, in frames, and whether that is exact.
    pub fn seek(
        &mut self,
        to: Duration,
        mode: kithara::SeekMode,
    ) -> Result<(u64, bool), kithara::audio::AudioError> {
        self.listen();
        let wish = self.resource.seek(to, mode).expect("it is open");
        loop {
            let event = self.events.recv_blocking().expect("the resource lives");
            self.heard.push(event.clone());
            match event {
                ResourceEvent::Audio(AudioEvent::SeekDone {
                    id, landed, exact, ..
                }) if id == wish => {
                    return Ok((self.resource.spec().frames(landed), exact));
                }
                ResourceEvent::Audio(AudioEvent::SeekFailed { id, error, .. }) if id == wish => {
                    return Err(error);
                }
                _ => {}
            }
        }
    }
}

/// Equal sample by sample, bit by bit. Prints the first difference instead of a million samples.
pub fn assert_same(got: &[f32], expected: &[f32], what: &str) {
    let differs = |(mine, theirs): (&f32, &f32)| mine.to_bits() != theirs.to_bits();
    if let Some(at) = got.iter().zip(expected).position(differs) {
        panic!(
            "{what}: sample {at} is {} and not {}",
            got[at], expected[at]
        );
    }
    assert_eq!(got.len(), expected.len(), "{what}: samples");
}

/// A file that takes several requests, and its samples.
pub fn long(seconds: u32) -> (Vec<u8>, Vec<f32>) {
    let bytes = long_wav(seconds).bytes;
    let pcm = local(&bytes, "wav");
    (bytes, pcm)
}

pub fn wav(bytes: &[u8]) -> Script {
    Script::file(bytes.to_vec()).media_type("audio/wav")
}

/// What these bytes decode to when nothing goes wrong.
pub fn local(bytes: &[u8], extension: &str) -> Vec<f32> {
    let mut file = tempfile::Builder::new()
        .suffix(&format!(".{extension}"))
        .tempfile()
        .expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    let path = file.path().to_str().expect("a UTF-8 path");
    let mut listener = Listener::open(ResourceConfig::new(path).expect("a path"));
    listener.play().expect("sound media");
    listener.pcm
}

pub fn retries(events: &[ResourceEvent]) -> usize {
    file_events(events)
        .filter(|event| matches!(event, FileEvent::Retrying { .. }))
        .count()
}

pub fn file_events(events: &[ResourceEvent]) -> impl Iterator<Item = &FileEvent> {
    events.iter().filter_map(|event| match event {
        ResourceEvent::File(event) => Some(event),
        _ => None,
    })
}

/// What a plan asked for, and what it was given: everything given is stored.
#[derive(Clone, Debug, Default)]
pub struct Tap {
    log: Arc<Mutex<Vec<Taken>>>,
}

/// One request of a plan.
#[derive(Clone, Debug)]
pub struct Taken {
    pub asked: Range<u64>,
    pub given: Range<u64>,
    /// What of it had been given before it was asked for.
    pub had: Vec<Range<u64>>,
}

struct Tapped {
    net: Arc<dyn Net>,
    log: Arc<Mutex<Vec<Taken>>>,
}

impl Tap {
    pub fn on(&self, net: Arc<dyn Net>) -> Arc<dyn Net> {
        let log = Arc::clone(&self.log);
        Arc::new(Tapped { net, log })
    }

    pub fn log(&self) -> Vec<Taken> {
        self.log.lock().expect("no panic").clone()
    }

    /// How many requests were given less than they asked for of a file of `len` bytes: the client gave them up. Only its own
    /// side knows: a server has long sent, into its kernel's buffers, what nobody will ever take.
    pub fn given_up(&self, len: u64) -> u64 {
        let less = |taken: &&Taken| taken.given.end < taken.asked.end.min(len);
        self.log().iter().filter(less).count() as u64
    }

    /// What a server sent twice is no more than what responses that were given up may have had on their way.
    pub fn assert_overshoot(&self, requests: &[LoggedRequest], len: u64) {
        let (twice, given_up) = (bytes_sent_twice(requests), self.given_up(len));
        assert!(
            twice <= given_up * OVERSHOOT,
            "{twice} bytes twice, {given_up} requests given up: {:?}, {requests:?}",
            self.log()
        );
    }

    /// No byte is asked for that was stored when it was asked for. One that another request was bringing may be.
    pub fn assert_nothing_stored_is_asked_for(&self) {
        for taken in self.log() {
            assert!(taken.had.is_empty(), "{taken:?}");
        }
    }

    /// No byte that is given is ever asked for by another request, before or after.
    pub fn assert_no_byte_twice(&self) {
        let log = self.log();
        for (number, later) in log.iter().enumerate() {
            for earlier in &log[..number] {
                let both = later.asked.start.max(earlier.given.start)
                    ..later.asked.end.min(earlier.given.end);
                assert!(
                    both.is_empty(),
                    "asked for the stored bytes {both:?}: {log:?}"
                );
            }
        }
    }
}

#[async_trait]
impl Net for Tapped {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let asked = request.range.map_or(0..u64::MAX, |range| {
            range.start..range.end.unwrap_or(u64::MAX)
        });
        let number = {
            let mut log = self.log.lock().expect("no panic");
            let given = asked.start..asked.start;
            let had = log.iter().map(|earlier| {
                asked.start.max(earlier.given.start)..asked.end.min(earlier.given.end)
            });
            let had = had.filter(|both| !both.is_empty()).collect();
            log.push(Taken { asked, given, had });
            log.len() - 1
        };
        let Response { head, body } = self.net.fetch(request).await?;
        self.log.lock().expect("no panic")[number].given = head.start..head.start;
        let log = Arc::clone(&self.log);
        let bytes =
            futures_util::stream::try_unfold((body, log), move |(mut body, log)| async move {
                let Some(bytes) = body.chunk().await? else {
                    return Ok(None);
                };
                log.lock().expect("no panic")[number].given.end += bytes.len() as u64;
                Ok(Some((bytes, (body, log))))
            });
        let body = Body::from_stream(bytes);
        Ok(Response { head, body })
    }
}

/// How many of the file's bytes came more than once. Only what an aborted response had on its way may.
pub fn bytes_sent_twice(requests: &[LoggedRequest]) -> u64 {
    let sent = |request: &LoggedRequest| {
        let start = request.range.map_or(0, |range| range.0);
        start..start + request.sent_body
    };
    let mut ranges: Vec<_> = requests.iter().map(sent).collect();
    ranges.sort_by_key(|range| range.start);
    let (mut reached, mut twice) = (0, 0);
    for range in ranges {
        twice += range.end.min(reached).saturating_sub(range.start);
        reached = reached.max(range.end);
    }
    twice
}

/// The failure stays, costs nothing, and a seek tries again.
pub fn assert_sticky(listener: &mut Listener, server: &FaultServer, error: &Error) {
    let before = server.requests().len();
    for _ in 0..50 {
        let again = listener
            .resource
            .read(&mut [0.0; 64])
            .expect_err("it has failed");
        assert_eq!(again.kind(), error.kind());
        assert_eq!(again.to_string(), error.to_string());
    }
    assert_eq!(
        server.requests().len(),
        before,
        "a failed resource asked again"
    );
}
