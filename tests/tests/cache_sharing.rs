//! Several readers of one title in one process: one download, and nobody depends on anybody else.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use kithara::{AssetStoreBuilder, ErrorKind, ResourceConfig, SeekMode, StoreOptions};
use kithara_storage::MemDisk;
use kithara_tests::server::{FaultServer, Gate, LoggedRequest, Script};

use cache::*;
use network::*;

fn sent(requests: &[LoggedRequest]) -> u64 {
    requests.iter().map(|request| request.sent_body).sum()
}

/// Plays to the end without keeping what was heard: there may be many of them.
fn play_beside_others(config: ResourceConfig, expected: &[f32]) {
    let mut listener = Listener::open(config);
    let mut at = 0;
    loop {
        listener.read_samples(40_000).unwrap();
        let heard = listener.pcm.len();
        if heard == 0 {
            break;
        }
        assert_same(&listener.pcm, &expected[at..at + heard], "one of many");
        at += heard;
        listener.pcm.clear();
    }
    assert_eq!(at, expected.len());
}

#[test]
fn a_hundred_opens_of_one_title_are_one_download() {
    const READERS: usize = 100;
    let (bytes, expected) = long(6);
    let expected = Arc::<[f32]>::from(expected);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let tap = Tap::default();
    let start = Arc::new(Barrier::new(READERS));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let config = cache.tapped(&url, &tap);
            let (expected, start) = (Arc::clone(&expected), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                play_beside_others(config, &expected);
            })
        })
        .collect();
    for reader in readers {
        reader.join().unwrap();
    }
    tap.assert_no_byte_twice();
    assert!(given(&tap).is_complete(bytes.len() as u64));
    assert_eq!(sent(&server.requests()), bytes.len() as u64);
    cache.end();
    plays_unasked(dir.path(), &url, &expected);
}

#[test]
fn one_that_goes_away_in_the_middle_takes_nobody_with_it() {
    const HELD_AT: u64 = 500_000;
    let (bytes, expected) = long(15);
    let expected = Arc::<[f32]>::from(expected);
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(HELD_AT, &gate));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let tap = Tap::default();
    let mut first = Listener::open(cache.tapped(&url, &tap));
    // It brings what is held.
    first.read_samples(100_000).unwrap();
    gate.wait_held();
    let others: Vec<_> = (0..3)
        .map(|_| {
            let config = cache.tapped(&url, &tap);
            let expected = Arc::clone(&expected);
            thread::spawn(move || play_beside_others(config, &expected))
        })
        .collect();
    drop(first);
    gate.open();
    for other in others {
        other.join().unwrap();
    }
    tap.assert_no_byte_twice();
    tap.assert_overshoot(&server.requests(), bytes.len() as u64);
    cache.end();
    plays_unasked(dir.path(), &url, &expected);
}

#[test]
fn one_that_reads_elsewhere_gets_its_bytes_while_another_waits() {
    const HELD_AT: u64 = 400_000;
    let (bytes, expected) = long(20);
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(HELD_AT, &gate));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let tap = Tap::default();
    let waiting = cache.tapped(&url, &tap);
    let held = expected.clone();
    let waiting = thread::spawn(move || play_beside_others(waiting, &held));
    gate.wait_held();
    let mut listener = Listener::open(cache.tapped(&url, &tap));
    for second in [12, 8, 16] {
        let to = Duration::from_secs(second);
        let (frame, _) = listener.seek(to, SeekMode::Fast).unwrap();
        assert_eq!(frame, second * 44_100);
        listener.pcm.clear();
        listener.read_samples(50_000).unwrap();
        let at = frame as usize * 2;
        assert_same(&listener.pcm, &expected[at..at + 50_000], "elsewhere");
    }
    assert!(!gate.is_open() && gate.holding() > 0, "the other one waits");
    gate.open();
    waiting.join().unwrap();
    drop(listener);
    tap.assert_no_byte_twice();
    tap.assert_overshoot(&server.requests(), bytes.len() as u64);
}

#[test]
fn one_whose_transfer_fails_leaves_the_others_theirs() {
    const HELD_AT: u64 = 400_000;
    let (bytes, expected) = long(20);
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(HELD_AT, &gate));
    // One title under two signatures, one of which is refused, however often it is asked for.
    server.serve("/a.wav?token=bad", Script::of_status(403));
    let (good, bad) = (
        server.url("/a.wav?token=good"),
        server.url("/a.wav?token=bad"),
    );
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let tap = Tap::default();
    let sound = cache.tapped(&good, &tap);
    let whole = expected.clone();
    let sound = thread::spawn(move || play_beside_others(sound, &whole));
    gate.wait_held();
    let mut refused = Listener::open(cache.tapped(&bad, &Tap::default()));
    let asked = |server: &FaultServer| {
        let bad = |request: &&LoggedRequest| request.path.ends_with("bad");
        server.requests().iter().filter(bad).count()
    };
    // Where nothing is stored and nobody fetches.
    let error = refused
        .seek(Duration::from_secs(15), SeekMode::Fast)
        .map_err(kithara::Error::from)
        .expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Http(403), "{error:?}");
    assert!(asked(&server) > 0, "it asked for itself");
    assert!(!gate.is_open() && gate.holding() > 0, "the other one waits");
    // What the other one brought is its as well.
    let (frame, _) = refused.seek(Duration::ZERO, SeekMode::Fast).unwrap();
    assert_eq!(frame, 0);
    refused.pcm.clear();
    refused.read_samples(50_000).unwrap();
    assert_same(&refused.pcm, &expected[..50_000], "refused, but stored");
    gate.open();
    sound.join().unwrap();
    drop(refused);
    tap.assert_no_byte_twice();
    assert!(given(&tap).is_complete(bytes.len() as u64));
    cache.end();
    plays_unasked(dir.path(), &good, &expected);
}

#[test]
fn an_old_version_is_heard_to_its_stored_end_beside_the_new_one() {
    let (old, old_pcm) = long(15);
    let new = other(&old);
    let new_pcm = local(&new, "wav");
    let server = FaultServer::start();
    let url = server.url("/a.wav");
    server.serve("/a.wav", wav(&old));
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let first = cache.config(&url).with_look_ahead_bytes(LOOK_AHEAD);
    let mut first = Listener::open(first);
    first.read_samples(50_000).unwrap();
    // The transfer under way goes on; whatever is asked for from now on is another file.
    server.serve("/a.wav", wav(&new));
    // This one may find a front of the old one, and then says so; the next one finds none.
    let mut second = None;
    for _ in 0..2 {
        let config = cache.config(&url).with_look_ahead_bytes(LOOK_AHEAD);
        let mut listener = Listener::open(config);
        let end = listener.play().map_err(|error| error.kind());
        match end {
            Ok(()) => second = Some(listener.pcm),
            Err(kind) => {
                assert_eq!(kind, ErrorKind::ContentChanged);
                assert!(old_pcm.starts_with(&listener.pcm), "of the old one only");
            }
        }
    }
    assert_same(&second.expect("the new one"), &new_pcm, "the new one");
    let error = first.fails_after_exact_prefix(&old_pcm, "the old one");
    assert_eq!(error.kind(), ErrorKind::ContentChanged, "{error:?}");
    drop(first);
    cache.end();
    plays_unasked(dir.path(), &url, &new_pcm);
}

#[test]
fn a_store_in_memory_plays_again_without_a_request_and_forgets_with_its_end() {
    let (bytes, expected) = long(5);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let build = || Cache::build(AssetStoreBuilder::new(StoreOptions::in_memory(64 * MIB)));
    let cache = build();
    for _ in 0..3 {
        Listener::open(cache.config(&url)).plays_exactly(&expected, "in memory");
    }
    assert_eq!(sent(&server.requests()), bytes.len() as u64);
    cache.end();
    let cache = build();
    Listener::open(cache.config(&url)).plays_exactly(&expected, "another memory");
    assert_eq!(sent(&server.requests()), 2 * bytes.len() as u64);
}

/// Clones of a disk in memory are to each other what two processes are.
#[test]
fn two_stores_on_one_disk_play_side_by_side_and_one_of_them_keeps() {
    const HELD_AT: u64 = 300_000;
    let (bytes, expected) = long(10);
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(HELD_AT, &gate));
    let url = server.url("/a.wav");
    let disk = MemDisk::new();
    let (one, two) = (Cache::on(disk.clone()), Cache::on(disk.clone()));
    let config = one.config(&url);
    let filling = expected.clone();
    let first = thread::spawn(move || {
        Listener::open(config).plays_exactly(&filling, "the one that fills");
    });
    gate.wait_held();
    one.store.settle();
    let config = two.config(&url);
    let beside = expected.clone();
    let second = thread::spawn(move || {
        let events = Listener::open(config).plays_exactly(&beside, "the one beside it");
        let told = |event: &kithara::file::FileEvent| {
            matches!(
                event,
                kithara::file::FileEvent::NotKept {
                    reason: kithara::assets::Reason::SharedByProcess
                }
            )
        };
        assert_eq!(count_file(&events, told), 1, "{events:?}");
    });
    server.wait_until("both ask", |requests| requests.len() >= 2);
    gate.open();
    first.join().unwrap();
    second.join().unwrap();
    one.end();
    two.end();
    let asked = server.requests().len();
    let cache = Cache::on(disk);
    Listener::open(cache.config(&url)).plays_exactly(&expected, "a third");
    assert_eq!(server.requests().len(), asked);
}
