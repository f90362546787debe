//! A plan at work on the real driver, with a fake network: runs, demand, refusal, failure, revival, cancellation.

use std::collections::VecDeque;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kithara_net::{Body, Bytes, Net, NetError, RedactedUrl, Request, Response, ResponseHead};
use kithara_stream::{
    Backend, BackendConfig, Fetch, FetchId, Input, MediaInfo, Plan, Priority, ResourceId, RunCause,
    RunFacts, SeekRoute, Source, StreamError, Wish,
};
use tokio_util::sync::CancellationToken;

const LEN: u64 = 1000;

fn byte_at(offset: u64) -> u8 {
    (offset % 251) as u8
}

/// Serves ranges of a resource whose every byte is known; can be told to fail or to hang.
#[derive(Default)]
struct FakeNet {
    asked: AtomicU64,
    failing: std::sync::atomic::AtomicBool,
    hanging: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Net for FakeNet {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hanging.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.failing.load(Ordering::SeqCst) {
            return Err(NetError::Broken {
                url: RedactedUrl::new(&request.url),
                source: "the fake link is down".into(),
            });
        }
        let range = request.range.expect("the plan asks for ranges");
        let end = range.end.unwrap_or(LEN).min(LEN);
        let bytes: Vec<u8> = (range.start..end).map(byte_at).collect();
        Ok(Response {
            head: ResponseHead::partial(&request.url, range.start, end, Some(LEN)),
            body: Body::from_bytes(Bytes::from(bytes)),
        })
    }
}

/// Fetches the hundred bytes around whatever is wanted; refuses byte 900.
#[derive(Default)]
struct Hundreds {
    wishes: VecDeque<Wish<&'static str>>,
    next: u64,
    panic_on_demand: bool,
    /// Whether a seek starts a new run.
    run_per_seek: bool,
}

impl Hundreds {
    fn fetch(&mut self, start: u64) {
        let id = FetchId(self.next);
        self.next += 1;
        let start = start - start % 100;
        self.wishes.push_back(Wish::Fetch(Fetch {
            id,
            resource: ResourceId(0),
            url: "http://fake.test/a".parse().expect("a URL"),
            range: start..start + 100,
            credit: start + 100,
            overlap: 0,
            if_range: None,
            attempts: kithara_net::Attempts::default(),
            priority: Priority::Foreground,
            terms: kithara_stream::Terms::default(),
        }));
    }

    fn publish(&mut self, cause: RunCause) {
        let facts = RunFacts::whole(ResourceId(0), MediaInfo::default(), Some(LEN), true);
        self.wishes
            .push_back(Wish::Publish(RunFacts { cause, ..facts }));
    }
}

impl Plan for Hundreds {
    type Event = &'static str;
    type Command = std::convert::Infallible;

    fn handle(&mut self, _now: Duration, input: Input) {
        match input {
            Input::Tick => {
                let resource = ResourceId(0);
                self.wishes.push_back(Wish::Length {
                    resource,
                    len: LEN,
                    proven: true,
                });
                self.publish(RunCause::Start);
            }
            Input::Demand(demand) => {
                assert!(!self.panic_on_demand, "the plan panics");
                let Some(wanted) = demand.wanted else { return };
                if wanted.start == 900 {
                    let (resource, offset) = (ResourceId(0), wanted.start);
                    let error = StreamError::RangeUnsupported {
                        name: "fake".into(),
                        offset,
                    };
                    return self.wishes.push_back(Wish::Refuse {
                        resource,
                        offset,
                        error,
                    });
                }
                self.fetch(wanted.start);
            }
            Input::Seek { .. } if self.run_per_seek => self.publish(RunCause::Seek),
            Input::Failed { error, .. } => self.wishes.push_back(Wish::Fail(error)),
            Input::Done { .. } => self.wishes.push_back(Wish::Event("done")),
            _ => {}
        }
    }

    fn poll(&mut self) -> Option<Wish<&'static str>> {
        self.wishes.pop_front()
    }

    fn deadline(&self) -> Option<Duration> {
        None
    }
}

struct World {
    net: Arc<FakeNet>,
    cancel: CancellationToken,
    backend: Backend,
}

fn start(plan: Hundreds) -> World {
    let net = Arc::new(FakeNet::default());
    let cancel = CancellationToken::new();
    let serving: Arc<dyn Net> = Arc::<FakeNet>::clone(&net);
    let backend = Backend::start(
        plan,
        BackendConfig::new(serving).with_cancel(cancel.clone()),
    )
    .expect("the I/O thread runs");
    World {
        net,
        cancel,
        backend,
    }
}

fn failure(read: std::io::Result<usize>) -> StreamError {
    StreamError::from_io(&read.expect_err("no bytes")).expect("a stream error is inside")
}

#[test]
fn wanted_bytes_are_fetched_and_read_as_they_are() {
    let mut world = start(Hundreds::default());
    let mut run = world.backend.next_run().unwrap().expect("a run");
    for at in [0, 99, 100, 555, 3, 899] {
        let mut byte = [0];
        run.bytes.seek(SeekFrom::Start(at)).unwrap();
        run.bytes.read_exact(&mut byte).unwrap();
        assert_eq!(byte[0], byte_at(at));
    }
    assert_eq!(
        world.net.asked.load(Ordering::SeqCst),
        4,
        "0, 100, 500 and 800"
    );
    run.bytes.seek(SeekFrom::Start(LEN)).unwrap();
    assert_eq!(
        run.bytes.read(&mut [0; 8]).unwrap(),
        0,
        "the announced end is the end"
    );
}

#[test]
fn a_refused_byte_fails_its_reader_and_nothing_else() {
    let mut world = start(Hundreds::default());
    let mut run = world.backend.next_run().unwrap().expect("a run");
    run.bytes.seek(SeekFrom::Start(900)).unwrap();
    for _ in 0..3 {
        let error = failure(run.bytes.read(&mut [0; 1]));
        assert!(
            matches!(error, StreamError::RangeUnsupported { offset: 900, .. }),
            "{error}"
        );
    }
    run.bytes.seek(SeekFrom::Start(10)).unwrap();
    run.bytes.read_exact(&mut [0; 1]).unwrap();
}

#[test]
fn a_failure_lasts_until_a_seek_and_asks_for_nothing_meanwhile() {
    let mut world = start(Hundreds::default());
    let mut run = world.backend.next_run().unwrap().expect("a run");
    run.bytes.read_exact(&mut [0; 100]).unwrap();
    world.net.failing.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = failure(run.bytes.read(&mut [0; 1]));
        assert!(matches!(error, StreamError::Net(_)), "{error}");
    }
    assert_eq!(world.net.asked.load(Ordering::SeqCst), 2);
    run.bytes.seek(SeekFrom::Start(50)).unwrap();
    run.bytes
        .read_exact(&mut [0; 50])
        .expect("what is stored stays readable");
    world.net.failing.store(false, Ordering::SeqCst);
    assert_eq!(
        world.backend.seek(Duration::ZERO).unwrap(),
        SeekRoute::WithinRun
    );
    run.bytes
        .read_exact(&mut [0; 1])
        .expect("the seek tries again");
}

#[test]
fn a_seek_is_answered_by_a_new_run_where_the_plan_publishes_one() {
    let mut world = start(Hundreds {
        run_per_seek: true,
        ..Hundreds::default()
    });
    let first = world.backend.next_run().unwrap().expect("a run");
    assert_eq!(first.cause, RunCause::Start);
    assert_eq!(
        world.backend.seek(Duration::from_secs(1)).unwrap(),
        SeekRoute::NewRun
    );
    let second = world.backend.next_run().unwrap().expect("another run");
    assert_eq!(second.cause, RunCause::Seek);
}

#[test]
fn an_interrupt_ends_a_blocked_read_and_the_read_can_go_on_later() {
    let mut world = start(Hundreds::default());
    let mut run = world.backend.next_run().unwrap().expect("a run");
    world.net.hanging.store(true, Ordering::SeqCst);
    let interrupt = world.backend.interrupt();
    let net = Arc::clone(&world.net);
    let raiser = std::thread::spawn(move || {
        while net.asked.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        interrupt.raise();
    });
    let error = failure(run.bytes.read(&mut [0; 1]));
    assert!(matches!(error, StreamError::Interrupted), "{error}");
    raiser.join().unwrap();
    world.backend.interrupt().clear();
    run.bytes.seek(SeekFrom::Start(100)).unwrap();
    world.net.hanging.store(false, Ordering::SeqCst);
    run.bytes
        .read_exact(&mut [0; 1])
        .expect("another place is asked for");
}

#[test]
fn an_interrupt_ends_the_wait_for_a_run() {
    let mut world = start(Hundreds {
        run_per_seek: true,
        ..Hundreds::default()
    });
    drop(world.backend.next_run().unwrap());
    let interrupt = world.backend.interrupt();
    let raiser = std::thread::spawn(move || interrupt.raise());
    assert!(matches!(
        world.backend.next_run(),
        Err(StreamError::Interrupted)
    ));
    raiser.join().unwrap();
}

#[test]
fn a_cancelled_stream_says_so_to_a_blocked_reader_and_ever_after() {
    let mut world = start(Hundreds::default());
    let mut run = world.backend.next_run().unwrap().expect("a run");
    world.net.hanging.store(true, Ordering::SeqCst);
    let (net, cancel) = (Arc::clone(&world.net), world.cancel.clone());
    let canceller = std::thread::spawn(move || {
        while net.asked.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        cancel.cancel();
    });
    for _ in 0..2 {
        let error = failure(run.bytes.read(&mut [0; 1]));
        assert!(matches!(error, StreamError::Cancelled), "{error}");
    }
    canceller.join().unwrap();
    assert!(matches!(
        world.backend.seek(Duration::ZERO),
        Err(StreamError::Cancelled)
    ));
}

#[test]
fn a_plan_that_panics_is_a_worker_failure_and_not_an_end() {
    let mut world = start(Hundreds {
        panic_on_demand: true,
        ..Hundreds::default()
    });
    let mut run = world.backend.next_run().unwrap().expect("a run");
    let error = failure(run.bytes.read(&mut [0; 1]));
    assert!(matches!(error, StreamError::Worker { .. }), "{error}");
    assert!(matches!(
        world.backend.seek(Duration::ZERO),
        Err(StreamError::Worker { .. })
    ));
    let mut other = start(Hundreds::default());
    let mut run = other.backend.next_run().unwrap().expect("a run");
    run.bytes
        .read_exact(&mut [0; 1])
        .expect("other streams on the same thread go on");
}
