//! Several processes on one cache folder, and processes that are killed.
//!
//! `KITHARA_KILLS` sets how many are.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/child.rs"]
mod child;
#[path = "support/network.rs"]
mod network;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kithara::assets::StoreEvent;
use kithara::file::Amount;
use kithara::{ErrorKind, Resource, SeekMode};
use kithara_tests::fixtures::long_wav;
use kithara_tests::server::{FaultServer, Gate};

use cache::*;
use child::Other;
use network::*;

const SECONDS: u32 = 12;

/// A child is told the folder and the URL in a line.
fn role_of(dir: &Path, url: &str) -> String {
    format!("{} {url}", dir.display())
}

/// What a child does: plays, a little here, a little there, then all of it.
fn play_in(role: &str) {
    let (dir, url) = role.split_once(' ').unwrap();
    let expected = local(&long_wav(SECONDS).bytes, "wav");
    let cache = Cache::at(Path::new(dir));
    let config = cache.config(url).with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    listener.read_samples(50_000).unwrap();
    for second in [8, 4, 0] {
        let to = Duration::from_secs(second);
        let (frame, _) = listener.seek(to, SeekMode::Exact).unwrap();
        assert_eq!(frame, second * 44_100);
        listener.pcm.clear();
        listener.read_samples(50_000).unwrap();
        let at = frame as usize * 2;
        assert_same(&listener.pcm, &expected[at..at + 50_000], "in a child");
    }
    listener.plays_exactly(&expected, "in a child");
    cache.end();
}

#[test]
fn two_processes_play_from_one_folder_and_a_third_finds_it_whole() {
    const TEST: &str = "two_processes_play_from_one_folder_and_a_third_finds_it_whole";
    if let Some(role) = child::role() {
        return play_in(&role);
    }
    let (bytes, expected) = long(SECONDS);
    let server = FaultServer::start();
    for (path, held_at) in [("/a.wav", 300_000), ("/b.wav", 0), ("/c.wav", 1_500_000)] {
        let gate = Gate::new();
        server.serve(path, wav(&bytes).hold_at(held_at, &gate));
        let url = server.url(path);
        let dir = tempfile::tempdir().unwrap();
        let role = role_of(dir.path(), &url);
        let children = [Other::start(TEST, &role), Other::start(TEST, &role)];
        // Both are at it before either gets on.
        server.wait_until("both ask", |requests| {
            let of = requests.iter().filter(|request| request.path == path);
            of.map(|request| request.connection_id)
                .collect::<std::collections::BTreeSet<_>>()
                .len()
                >= 2
        });
        gate.open();
        for child in children {
            child.passes();
        }
        plays_unasked(dir.path(), &url, &expected);
    }
}

#[test]
fn what_another_process_fetches_plays_here_and_whoever_must_have_it_kept_hears_that_it_is_busy() {
    const TEST: &str = "what_another_process_fetches_plays_here_and_whoever_must_have_it_kept_hears_that_it_is_busy";
    if let Some(role) = child::role() {
        return play_in(&role);
    }
    let (bytes, expected) = long(SECONDS);
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(300_000, &gate));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let child = Other::start(TEST, &role_of(dir.path(), &url));
    gate.wait_held();
    // It has begun to store it, which it does under its lock only.
    let begun = Instant::now();
    while resources(dir.path()).is_empty() {
        assert!(begun.elapsed() < HANG, "nothing is stored");
        thread::yield_now();
    }
    let cache = Cache::at(dir.path());
    let error = Resource::prefetch_blocking(cache.config(&url), Amount::All)
        .expect_err("it is not kept here");
    assert_eq!(error.kind(), ErrorKind::CacheBusy, "{error:?}");
    gate.open();
    Listener::open(cache.config(&url)).plays_exactly(&expected, "beside it");
    let told = cache.end();
    assert!(told.contains(&StoreEvent::SharedByProcess), "{told:?}");
    child.passes();
    plays_unasked(dir.path(), &url, &expected);
}

#[test]
fn a_process_beside_one_that_has_stored_a_title_plays_it_without_a_request() {
    const TEST: &str = "a_process_beside_one_that_has_stored_a_title_plays_it_without_a_request";
    if let Some(role) = child::role() {
        return play_in(&role);
    }
    let (bytes, expected) = long(SECONDS);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &url, &expected);
    let asked = server.requests().len();
    let cache = Cache::at(dir.path());
    let mut listener = Listener::open(cache.config(&url));
    listener.read_samples(1000).unwrap();
    Other::start(TEST, &role_of(dir.path(), &url)).passes();
    listener.play().unwrap();
    assert_same(&listener.pcm, &expected, "beside it");
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn a_killed_process_leaves_a_cache_that_lacks_only_what_it_lacks() {
    const TEST: &str = "a_killed_process_leaves_a_cache_that_lacks_only_what_it_lacks";
    if let Some(role) = child::role() {
        return play_in(&role);
    }
    let kills: u64 = std::env::var("KITHARA_KILLS").map_or(20, |count| count.parse().unwrap());
    let (bytes, expected) = long(SECONDS);
    let len = bytes.len() as u64;
    let server = FaultServer::start();
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(1);
    let mut found = 0;
    for kill in 0..kills {
        let path = format!("/{kill}.wav");
        let url = server.url(&path);
        server.serve(&path, wav(&bytes));
        let moment = dice.below(len);
        let child = Other::start(TEST, &role_of(dir.path(), &url));
        server.wait_until("it fetches", |requests| {
            let of = requests.iter().filter(|request| request.path == path);
            of.map(|request| request.sent_body).sum::<u64>() >= moment
        });
        drop(child);

        let before = server.requests().len();
        let cache = Cache::at(dir.path());
        let stored = cache.stored(&url);
        let tap = Tap::default();
        let what = format!("after kill {kill} at {moment}");
        let listener = Listener::open(cache.tapped(&url, &tap));
        listener.plays_exactly(&expected, &what);
        assert_not_asked(&tap, &stored, &what);
        tap.assert_no_byte_twice();
        let sent: u64 = server.requests()[before..]
            .iter()
            .filter(|request| request.path == path)
            .map(|request| request.sent_body)
            .sum();
        assert!(sent <= len - stored.total() + 512 * KIB, "{what}: {sent}");
        found += stored.total();
        assert!(
            cache.told().iter().all(is_peace),
            "{what}: {:?}",
            cache.told()
        );
        cache.end();
        plays_unasked(dir.path(), &url, &expected);
        let cache = Cache::at(dir.path());
        assert!(cache.store.remove(&parse(&url)).unwrap(), "{what}");
        cache.end();
    }
    println!(
        "{kills} kills, {found} of {} bytes kept through them",
        kills * len
    );
    assert!(found > 0 || kills < 5);
}

/// Nothing went wrong: the dead hold no locks.
fn is_peace(event: &StoreEvent) -> bool {
    matches!(
        event,
        StoreEvent::Committed { .. } | StoreEvent::Damaged { .. }
    )
}
