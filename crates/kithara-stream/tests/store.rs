//! A plan at work on the real driver with a real store: what is kept, shared, lost, compared and given up.

// What was asked for is a list of ranges, also of one.
#![allow(clippy::single_range_in_vec_init)]

#[path = "support/origin.rs"]
mod origin;

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kithara_net::{Attempts, Net};
use kithara_stream::assets::{
    AssetStore, AssetStoreBuilder, Facts, Keep, ResourceKey, StoreOptions,
};
use kithara_stream::{
    Backend, BackendConfig, Fetch, FetchId, Input, MediaInfo, Plan, Priority, Run, RunFacts,
    Source, Stored, StreamError, Wish,
};

use origin::*;

/// Opens, publishes, and fetches in one go whatever is missing and nobody else brings.
struct Greedy {
    key: ResourceKey,
    overlap: u64,
    discard: bool,
    outdated: bool,
    /// Lets go of the resource once it is whole.
    leave: bool,
    /// Once the server has answered, no more than this is wanted.
    lowered: Option<u64>,
    priority: Priority,
    wishes: VecDeque<Wish<Stored>>,
    busy: bool,
    next: u64,
    published: bool,
    identified: bool,
    /// A transfer has ended, and what follows from that was wished for.
    done: Arc<AtomicBool>,
}

impl Greedy {
    fn new(store: &AssetStore) -> Self {
        Self {
            key: store.key(&url(), &url()),
            overlap: 0,
            discard: false,
            outdated: false,
            leave: false,
            lowered: None,
            priority: Priority::Foreground,
            wishes: VecDeque::new(),
            busy: false,
            next: 0,
            published: false,
            identified: false,
            done: Arc::default(),
        }
    }

    fn heard_stored(&mut self, stored: &Stored) {
        self.wishes.push_back(Wish::Event(stored.clone()));
        if !std::mem::replace(&mut self.published, true) {
            self.publish();
        }
        let gap = stored.coverage.next_gap(0, LEN);
        let taken = |gap: &Range<u64>| stored.others.covered_from(gap.start) > gap.start;
        if self.busy && self.priority == Priority::Background && gap.as_ref().is_some_and(taken) {
            self.busy = false;
            self.wishes.push_back(Wish::Abort(FetchId(self.next)));
        }
        let Some(gap) = gap.filter(|_| !self.busy) else {
            return;
        };
        let free = stored.others.next_gap(gap.start, gap.end);
        if let Some(free) = free.filter(|free| free.start == gap.start) {
            self.fetch(free);
        }
    }

    fn fetch(&mut self, free: Range<u64>) {
        self.busy = true;
        self.next += 1;
        let overlap = self.overlap.min(free.start);
        self.wishes.push_back(Wish::Fetch(Fetch {
            id: FetchId(self.next),
            resource: RESOURCE,
            url: url(),
            range: free.start - overlap..free.end,
            credit: free.end,
            overlap,
            if_range: None,
            attempts: Attempts::default(),
            priority: self.priority,
            terms: kithara_stream::Terms::default(),
        }));
    }

    fn publish(&mut self) {
        let facts = RunFacts::whole(RESOURCE, MediaInfo::default(), Some(LEN), true);
        self.wishes.push_back(Wish::Publish(facts));
    }
}

impl Plan for Greedy {
    type Event = Stored;
    type Command = std::convert::Infallible;

    fn handle(&mut self, _now: Duration, input: Input) {
        let resource = RESOURCE;
        match input {
            Input::Tick => self.wishes.push_back(Wish::Open {
                resource,
                key: self.key,
            }),
            Input::Stored { stored, .. } => self.heard_stored(&stored),
            Input::Taken { .. } => self.busy = false,
            Input::Head { head, .. } if !self.identified => {
                self.identified = true;
                let facts = Facts {
                    total: head.total,
                    etag: head.validators.etag.map(|tag| tag.as_str().to_owned()),
                    ..Facts::default()
                };
                let keep = Keep::Yes;
                self.wishes.push_back(Wish::Identify {
                    resource,
                    facts,
                    keep,
                });
                self.wishes.push_back(Wish::Length {
                    resource,
                    len: LEN,
                    proven: true,
                });
                self.wishes.push_back(Wish::Validated { resource });
                if let Some(until) = self.lowered {
                    let fetch = FetchId(self.next);
                    self.wishes.push_back(Wish::Credit { fetch, until });
                }
            }
            Input::Done { .. } => {
                self.busy = false;
                self.wishes.push_back(Wish::Complete { resource, len: LEN });
                if self.discard {
                    self.wishes.push_back(Wish::Discard { resource });
                }
                if self.outdated {
                    self.wishes.push_back(Wish::Outdated { resource });
                }
                if self.leave {
                    self.wishes.push_back(Wish::Leave { resource });
                }
                self.done.store(true, Ordering::SeqCst);
            }
            Input::Failed { error, .. } => {
                self.busy = false;
                self.wishes.push_back(Wish::Fail(error));
            }
            _ => {}
        }
    }

    fn poll(&mut self) -> Option<Wish<Stored>> {
        self.wishes.pop_front()
    }

    fn deadline(&self) -> Option<Duration> {
        None
    }
}

fn start(plan: Greedy, store: &AssetStore, net: &Arc<FakeNet>) -> Backend {
    let net: Arc<dyn Net> = Arc::<FakeNet>::clone(net);
    let config = BackendConfig::new(net).with_store(Some(store.clone()));
    Backend::start(plan, config).expect("the I/O thread runs")
}

/// Returns once everything was done that the end of a transfer brought with it. All bytes can be read before that.
fn until_done(backend: &mut Backend, done: &AtomicBool) {
    while !done.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    // The I/O thread answers in a later turn.
    Source::seek(backend, Duration::ZERO).expect("it runs");
}

fn run(backend: &mut Backend) -> Run {
    backend.next_run().expect("no failure").expect("a run")
}

fn read_all(run: &mut Run) -> Result<Vec<u8>, StreamError> {
    let mut read = Vec::new();
    match run.bytes.read_to_end(&mut read) {
        Ok(_) => Ok(read),
        Err(error) => Err(StreamError::from_io(&error).expect("a stream error is inside")),
    }
}

/// Which content these bytes are; nothing is printed at such length.
fn content_of(read: Result<Vec<u8>, StreamError>) -> Result<u8, String> {
    let read = read.map_err(|error| format!("{error:?}"))?;
    match (0..=9).find(|number| read == content(*number)) {
        Some(number) => Ok(number),
        None => Err(format!("{} bytes of something else", read.len())),
    }
}

#[test]
fn what_was_fetched_once_is_read_without_a_request_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let net = FakeNet::new(1);
    {
        let store = store(dir.path());
        let plan = Greedy::new(&store);
        let done = plan.done.clone();
        let mut backend = start(plan, &store, &net);
        assert_eq!(content_of(read_all(&mut run(&mut backend))), Ok(1));
        assert_eq!(net.asked(), [0..LEN]);
        until_done(&mut backend, &done);
        store.settle();
        let info = store.info(store.asset(&url())).expect("it is stored");
        assert!(info.complete, "{info:?}");
    }
    net.gone.store(true, Ordering::SeqCst);
    let store = store(dir.path());
    let mut backend = start(Greedy::new(&store), &store, &net);
    assert_eq!(content_of(read_all(&mut run(&mut backend))), Ok(1));
    assert_eq!(net.asked().len(), 1);
}

#[test]
fn many_streams_of_one_resource_are_one_download() {
    let dir = tempfile::tempdir().unwrap();
    let (store, net) = (store(dir.path()), FakeNet::new(2));
    net.open.send_replace(false);
    let mut backends: Vec<Backend> = (0..20)
        .map(|_| start(Greedy::new(&store), &store, &net))
        .collect();
    let readers: Vec<_> = backends
        .iter_mut()
        .map(|backend| {
            let mut run = run(backend);
            std::thread::spawn(move || read_all(&mut run).unwrap())
        })
        .collect();
    net.open.send_replace(true);
    for reader in readers {
        assert_eq!(content_of(Ok(reader.join().unwrap())), Ok(2));
    }
    assert_eq!(net.asked(), [0..LEN], "the plan's one request, once");
}

#[test]
fn when_the_one_who_fetches_goes_away_another_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, net) = (store(dir.path()), FakeNet::new(3));
    net.open.send_replace(false);
    let mut first = start(Greedy::new(&store), &store, &net);
    drop(run(&mut first));
    while net.asked().is_empty() {
        std::thread::yield_now();
    }
    let mut second = start(Greedy::new(&store), &store, &net);
    let mut run = run(&mut second);
    assert_eq!(net.asked().len(), 1, "it waits for the first");
    drop(first);
    while net.asked().len() < 2 {
        std::thread::yield_now();
    }
    net.open.send_replace(true);
    assert_eq!(content_of(read_all(&mut run)), Ok(3));
}

#[test]
fn a_flipped_byte_is_noticed_and_fetched_again_under_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let net = FakeNet::new(4);
    {
        let store = store(dir.path());
        leave(&store, 4, 0..200_000);
    }
    flip(dir.path(), content(4)[70_000..70_100].to_vec().as_slice());
    let store = store(dir.path());
    let mut backend = start(Greedy::new(&store), &store, &net);
    assert_eq!(content_of(read_all(&mut run(&mut backend))), Ok(4));
    let asked = net.asked();
    assert_eq!(asked[0], 200_000..LEN, "what was missing");
    assert_eq!(asked[1..], [65_536..131_072], "the block that was damaged");
}

#[test]
fn bytes_that_differ_from_the_stored_ones_are_told_and_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    leave(&store, 5, 0..100_000);
    let plan = || Greedy {
        overlap: 64,
        // As if the server told no version.
        identified: true,
        ..Greedy::new(&store)
    };
    let mut backend = start(plan(), &store, &FakeNet::new(6));
    let error = read_all(&mut run(&mut backend)).unwrap_err();
    assert!(
        matches!(&error, StreamError::ContentChanged { .. }),
        "{error:?}"
    );
    assert!(!format!("{error} {error:?}").contains("secret"));
    drop(backend);
    // The same content passes, and is joined.
    let same = FakeNet::new(5);
    let mut backend = start(plan(), &store, &same);
    assert_eq!(content_of(read_all(&mut run(&mut backend))), Ok(5));
    assert_eq!(same.asked(), [100_000 - 64..LEN]);
}

#[test]
fn what_was_discarded_is_not_given_to_the_next_and_stays_with_its_reader() {
    let dir = tempfile::tempdir().unwrap();
    let (store, old, new) = (store(dir.path()), FakeNet::new(7), FakeNet::new(8));
    let plan = Greedy {
        discard: true,
        ..Greedy::new(&store)
    };
    let done = plan.done.clone();
    let mut backend = start(plan, &store, &old);
    let mut first = run(&mut backend);
    assert_eq!(content_of(read_all(&mut first)), Ok(7));
    until_done(&mut backend, &done);
    store.settle();
    let mut again = start(Greedy::new(&store), &store, &new);
    assert_eq!(content_of(read_all(&mut run(&mut again))), Ok(8));
    first.bytes.seek(std::io::SeekFrom::Start(0)).unwrap();
    assert_eq!(
        content_of(read_all(&mut first)),
        Ok(7),
        "it is still the old one"
    );
    drop(backend);
    drop(first);
    // Closing happens on the I/O thread: another stream's answer comes after it.
    let mut last = start(Greedy::new(&store), &store, &new);
    assert_eq!(content_of(read_all(&mut run(&mut last))), Ok(8));
}

#[test]
fn a_background_transfer_stands_aside_while_another_moves_and_helps_who_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other_dir) = (store(dir.path()), tempfile::tempdir().unwrap());
    let other = AssetStoreBuilder::new(StoreOptions::at(other_dir.path()))
        .build()
        .unwrap();
    let (busy, idle) = (FakeNet::new(9), FakeNet::new(0));
    busy.open.send_replace(false);
    let mut foreground = start(Greedy::new(&other), &other, &busy);
    drop(run(&mut foreground));
    while busy.asked().is_empty() {
        std::thread::yield_now();
    }
    let plan = Greedy {
        priority: Priority::Background,
        ..Greedy::new(&store)
    };
    let mut background = start(plan, &store, &idle);
    drop(run(&mut background));
    // A third stream's whole life gives the I/O thread every opportunity.
    let (third_dir, third_net) = (tempfile::tempdir().unwrap(), FakeNet::new(1));
    let third = AssetStoreBuilder::new(StoreOptions::at(third_dir.path()))
        .build()
        .unwrap();
    let mut passing = start(Greedy::new(&third), &third, &third_net);
    assert_eq!(content_of(read_all(&mut run(&mut passing))), Ok(1));
    assert!(idle.asked().is_empty(), "the other one still moves");
    // Somebody wants to hear what the background brings: he is not made to wait for the first.
    let mut listener = start(Greedy::new(&store), &store, &idle);
    assert_eq!(content_of(read_all(&mut run(&mut listener))), Ok(0));
    assert_eq!(idle.asked(), [0..LEN]);
    drop(foreground);
}

#[test]
fn what_a_transfer_may_not_bring_for_now_is_left_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let (store, net) = (store(dir.path()), FakeNet::new(3));
    let lowered = Some(100_000);
    let plan = Greedy {
        lowered,
        ..Greedy::new(&store)
    };
    let mut first = start(plan, &store, &net);
    let mut front = run(&mut first);
    front
        .bytes
        .read_exact(&mut vec![0; 100_000])
        .expect("it may bring these");
    let mut second = start(Greedy::new(&store), &store, &net);
    assert_eq!(content_of(read_all(&mut run(&mut second))), Ok(3));
    assert_eq!(net.asked(), [0..LEN, 100_000..LEN]);
}

#[test]
fn what_a_plan_has_let_go_of_may_be_removed_while_it_goes_on() {
    for leave in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (store, net) = (store(dir.path()), FakeNet::new(3));
        let plan = Greedy {
            leave,
            ..Greedy::new(&store)
        };
        let done = plan.done.clone();
        let mut backend = start(plan, &store, &net);
        assert_eq!(content_of(read_all(&mut run(&mut backend))), Ok(3));
        until_done(&mut backend, &done);
        store.settle();
        assert_eq!(store.remove(&url()).is_ok(), leave);
        drop(backend);
    }
}

/// What an entry of the title knows of being outdated.
fn known_as_outdated(dir: &Path) -> bool {
    let store = store(dir);
    let (events, mut told) = kithara_stream::events(8);
    let net: Arc<dyn Net> = FakeNet::new(0);
    let config = BackendConfig::new(net)
        .with_store(Some(store.clone()))
        .with_events(events);
    let backend = Backend::start(Greedy::new(&store), config).expect("the I/O thread runs");
    let stored: Stored = told.recv_blocking().expect("it lives");
    drop(backend);
    stored.outdated
}

#[test]
fn what_is_outdated_is_known_after_a_restart_until_its_origin_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let (net, entry) = (FakeNet::new(3), |store: &AssetStore| {
        store.open(&store.key(&url(), &url()))
    });
    {
        let store = store(dir.path());
        let plan = Greedy {
            outdated: true,
            ..Greedy::new(&store)
        };
        let done = plan.done.clone();
        let mut backend = start(plan, &store, &net);
        assert_eq!(content_of(read_all(&mut run(&mut backend))), Ok(3));
        until_done(&mut backend, &done);
        store.settle();
    }
    assert!(known_as_outdated(dir.path()));
    {
        let store = store(dir.path());
        entry(&store).validated(1_700_000_000);
        store.settle();
    }
    assert!(!known_as_outdated(dir.path()));
}
