//! Disks that are full, slow, broken or taken away while a title plays: the samples stay those of a faultless run.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};

use kithara::assets::{Reason, StoreEvent};
use kithara::file::FileEvent;
use kithara::{ResourceConfig, ResourceEvent};
use kithara_storage::{CallKind, MemDisk, SimDisk};
use kithara_tests::server::{FaultServer, LoggedRequest};

use cache::*;
use network::*;

/// A title, and what it sounds like.
static TITLE: LazyLock<(Vec<u8>, Vec<f32>)> = LazyLock::new(|| long(4));

/// The title at a server of its own.
struct World {
    server: FaultServer,
    url: String,
}

impl World {
    fn new() -> Self {
        let server = FaultServer::start();
        server.serve("/a.wav", wav(&TITLE.0));
        let url = server.url("/a.wav");
        Self { server, url }
    }

    fn config(&self, cache: &Cache) -> ResourceConfig {
        cache.config(&self.url).with_look_ahead_bytes(LOOK_AHEAD)
    }

    /// Plays it exactly, whatever the disk does.
    fn play(&self, cache: &Cache, what: &str) -> Vec<ResourceEvent> {
        Listener::open(self.config(cache)).plays_exactly(&TITLE.1, what)
    }

    /// How many bytes were served meanwhile.
    fn served(&self, play: impl FnOnce()) -> u64 {
        let before = self.server.body_bytes_sent();
        play();
        self.server.body_bytes_sent() - before
    }
}

fn not_kept(events: &[ResourceEvent]) -> usize {
    count_file(events, |event| matches!(event, FileEvent::NotKept { .. }))
}

/// Lets the `nth` call of this kind fail, and every later one if `forever`; tells whether it came to that.
fn fail_nth(
    disk: &SimDisk,
    kind: CallKind,
    nth: u64,
    error: ErrorKind,
    forever: bool,
) -> Arc<AtomicU64> {
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    disk.on_call(move |call| {
        if call.kind != kind {
            return Ok(());
        }
        let number = counter.fetch_add(1, Ordering::Relaxed);
        match number == nth || (forever && number > nth) {
            true => Err(error.into()),
            false => Ok(()),
        }
    });
    calls
}

/// Every call of this kind fails in turn while the title is fetched and played, then while it is played from the cache.
/// Afterwards the disk is well again, and whatever is found there is right.
fn sweep(kind: CallKind, error: ErrorKind, forever: bool) {
    let world = World::new();
    let mut reached = true;
    let mut nth = 0;
    while reached {
        let disk = SimDisk::new();
        let calls = fail_nth(&disk, kind, nth, error, forever);
        let what = format!("{kind:?} {nth} fails with {error:?}, forever: {forever}");
        let cache = Cache::on(disk.clone());
        let events = world.play(&cache, &what);
        assert!(not_kept(&events) <= 1, "{what}: {events:?}");
        world.play(&cache, &format!("{what}, again"));
        let told = cache.end();
        let once = |wanted: fn(&StoreEvent) -> bool| told.iter().filter(|e| wanted(e)).count();
        let memory = once(|event| matches!(event, StoreEvent::MemoryOnly { .. }));
        assert!(memory <= 1, "{what}: {told:?}");
        reached = calls.load(Ordering::Relaxed) > nth;

        disk.on_call(|_| Ok(()));
        let cache = Cache::on(disk.clone());
        world.play(&cache, &format!("{what}, then it is well"));
        cache.end();
        let cache = Cache::on(disk);
        let served = world.served(|| drop(world.play(&cache, &format!("{what}, stored"))));
        assert_eq!(served, 0, "{what}: it is stored in the end");
        cache.end();
        // Few at first, where the steps differ.
        nth += if nth < 16 { 1 } else { 5 };
    }
    assert!(nth > 3, "{kind:?}: {nth} calls failed");
    println!("{kind:?} with {error:?}: {nth} places");
}

#[test]
fn a_disk_that_is_full_at_any_write_is_not_heard() {
    sweep(CallKind::Write, ErrorKind::StorageFull, false);
    sweep(CallKind::Write, ErrorKind::StorageFull, true);
}

#[test]
fn a_write_that_fails_is_not_heard() {
    sweep(CallKind::Write, ErrorKind::Other, false);
    sweep(CallKind::Write, ErrorKind::PermissionDenied, true);
}

#[test]
fn a_sync_that_fails_is_not_heard_and_its_file_is_not_trusted() {
    sweep(CallKind::Sync, ErrorKind::Other, false);
    sweep(CallKind::Sync, ErrorKind::Other, true);
}

#[test]
fn a_file_that_cannot_be_opened_renamed_or_locked_is_not_heard() {
    sweep(CallKind::Open, ErrorKind::PermissionDenied, false);
    for kind in [CallKind::Rename, CallKind::Lock, CallKind::CreateDir] {
        sweep_short(kind);
    }
}

/// Calls of which there are few.
fn sweep_short(kind: CallKind) {
    let world = World::new();
    for nth in 0..6 {
        for forever in [false, true] {
            let disk = SimDisk::new();
            fail_nth(&disk, kind, nth, ErrorKind::PermissionDenied, forever);
            let what = format!("{kind:?} {nth} is forbidden, forever: {forever}");
            let cache = Cache::on(disk.clone());
            assert!(not_kept(&world.play(&cache, &what)) <= 1, "{what}");
            cache.end();
            disk.on_call(|_| Ok(()));
            let cache = Cache::on(disk);
            world.play(&cache, &format!("{what}, then it is well"));
            cache.end();
        }
    }
}

#[test]
fn stored_bytes_that_cannot_be_read_are_fetched_again() {
    fail_reads(false);
}

/// It takes what it is given, and gives nothing back.
#[test]
fn a_disk_that_cannot_be_read_any_more_is_not_heard() {
    fail_reads(true);
}

/// Each read in turn fails while a stored title plays.
fn fail_reads(forever: bool) {
    let world = World::new();
    let disk = SimDisk::new();
    let cache = Cache::on(disk.clone());
    world.play(&cache, "well");
    cache.end();
    let mut reached = true;
    let mut nth = 0;
    while reached {
        let calls = fail_nth(&disk, CallKind::Read, nth, ErrorKind::Other, forever);
        let what = format!("read {nth} fails, forever: {forever}");
        let cache = Cache::on(disk.clone());
        world.play(&cache, &what);
        cache.end();
        reached = calls.load(Ordering::Relaxed) > nth;
        disk.on_call(|_| Ok(()));
        let cache = Cache::on(disk.clone());
        world.play(&cache, &format!("{what}, then it is well"));
        cache.end();
        nth += 1;
    }
    assert!(nth > 6, "{nth} reads failed");
    let cache = Cache::on(disk);
    let served = world.served(|| drop(world.play(&cache, "in the end")));
    assert_eq!(served, 0);
}

#[test]
fn a_title_larger_than_the_disk_plays_and_one_event_says_that_it_is_not_kept() {
    let world = World::new();
    let len = TITLE.0.len() as u64;
    for room in [0, 4096, 40_000, 100_000, len / 2, len - 50_000] {
        let disk = MemDisk::bounded(room);
        let what = format!("room for {room} bytes");
        let cache = Cache::on(disk.clone());
        let mut listener = Listener::open(world.config(&cache));
        listener
            .play()
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_same(&listener.pcm, &TITLE.1, &what);
        // What comes last may be heard before the disk has no room for it.
        listener.hears(&what, |event| {
            matches!(event, ResourceEvent::File(FileEvent::NotKept { .. }))
        });
        let (events, told) = (listener.closes(), cache.end());
        let full = |event: &StoreEvent| {
            matches!(
                event,
                StoreEvent::Full { .. }
                    | StoreEvent::MemoryOnly { .. }
                    | StoreEvent::Bypassed { .. }
            )
        };
        assert!(told.iter().any(full), "{what}: {told:?}");
        assert_eq!(not_kept(&events), 1, "{what}: {events:?} {told:?}");
        let cache = Cache::on(disk);
        world.play(&cache, &format!("{what}, again"));
        cache.end();
    }
}

/// Lets nobody write until it is opened.
#[derive(Clone, Default)]
struct Stuck(Arc<(Mutex<bool>, Condvar)>);

impl Stuck {
    fn on(disk: &SimDisk) -> Self {
        let stuck = Self::default();
        let hook = stuck.clone();
        disk.on_call(move |call| {
            if call.kind == CallKind::Write {
                let (open, changed) = &*hook.0;
                let mut open = open.lock().unwrap();
                while !*open {
                    open = changed.wait(open).unwrap();
                }
            }
            Ok(())
        });
        stuck
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// What is fetched ahead of a slow reader has to lie in memory, which must not push out what was fetched before.
#[test]
fn a_long_look_ahead_on_a_slow_disk_fetches_nothing_twice() {
    let disk = SimDisk::new();
    Cache::on(disk.clone()).end();
    let stuck = Stuck::on(&disk);
    let (bytes, expected) = long(120);
    let server = FaultServer::start();
    server.serve("/long.wav", wav(&bytes));
    let cache = Cache::on(disk);
    let config = cache.config(&server.url("/long.wav"));
    let mut listener = Listener::open(config.with_look_ahead_bytes(64 * MIB));
    listener.read_samples(1000).unwrap();
    let sent = |requests: &[LoggedRequest]| requests.iter().map(|r| r.sent_body).sum::<u64>();
    server.wait_until("it fetches ahead", |requests| sent(requests) >= 3 * MIB);
    for _ in 0..20 {
        let before = server.requests().len();
        // Two requests' worth, so that another one is due.
        listener.read_samples(400_000).unwrap();
        server.wait_until("it goes on", |requests| {
            requests.len() > before || sent(requests) >= bytes.len() as u64
        });
    }
    assert_same(
        &listener.pcm,
        &expected[..8_001_000],
        "as far as it was heard",
    );
    let twice = bytes_sent_twice(&server.requests());
    assert!(twice <= MIB, "{twice} bytes twice");
    stuck.open();
}

/// The slowest disk there is: no write ever ends while the title plays.
#[test]
fn a_disk_slower_than_the_network_is_not_heard_and_is_passed_by() {
    let disk = SimDisk::new();
    Cache::on(disk.clone()).end();
    let stuck = Stuck::on(&disk);
    // More than memory holds.
    let (bytes, expected) = long(90);
    let server = FaultServer::start();
    server.serve("/long.wav", wav(&bytes));
    let url = server.url("/long.wav");
    let cache = Cache::on(disk.clone());
    let config = cache.config(&url);
    let events = Listener::open(config).plays_exactly(&expected, "no write ends");
    assert!(not_kept(&events) <= 1);
    let slow = |event: &StoreEvent| {
        matches!(
            event,
            StoreEvent::Bypassed {
                reason: Reason::Slow
            }
        )
    };
    assert_eq!(cache.count(slow), 1, "{:?}", cache.told());
    assert_eq!(bytes_sent_twice(&server.requests()), 0);
    stuck.open();
    cache.end();
    // What was written at last is right.
    let cache = Cache::on(disk);
    Listener::open(cache.config(&url)).plays_exactly(&expected, "afterwards");
    cache.end();
}

#[test]
fn a_short_title_on_a_stuck_disk_is_stored_once_it_moves() {
    let world = World::new();
    let disk = SimDisk::new();
    Cache::on(disk.clone()).end();
    let stuck = Stuck::on(&disk);
    let cache = Cache::on(disk.clone());
    let events = world.play(&cache, "no write ends");
    assert_eq!(not_kept(&events), 0, "memory has room for it");
    stuck.open();
    cache.end();
    let cache = Cache::on(disk);
    let served = world.served(|| drop(world.play(&cache, "stored")));
    assert_eq!(served, 0);
}
