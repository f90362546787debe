//! A process that may open few files: titles play, and what can't be kept for want of a descriptor is told.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/child.rs"]
mod child;
#[path = "support/network.rs"]
mod network;

use std::fs::File;
use std::path::Path;

use kithara::ResourceConfig;
use kithara::assets::{Facts, Keep, Reason, StoreEvent};
use kithara::net::{NetOptions, RetryPolicy};
use kithara::storage::ResourceExt;
use kithara_tests::server::FaultServer;

use cache::*;
use child::Other;
use network::*;

const LIMIT: u64 = 64;
/// Each takes two locks while it is open, so that these are more than the process may have.
const TITLES: usize = 40;

/// Lets this process have so few files and sockets open.
fn may_open(files: u64) {
    let limit = libc::rlimit {
        rlim_cur: files,
        rlim_max: files,
    };
    #[allow(unsafe_code)]
    // SAFETY: the call reads a live limit.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0 };
    assert!(set);
}

/// What the child does: opens one title after another, plays it, and keeps it open; then all of them once more.
fn play_with_few(role: &str) {
    may_open(LIMIT);
    let (dir, url) = role.split_once(' ').unwrap();
    let expected = long(2).1;
    let cache = Cache::at(Path::new(dir));
    // One client for all, as in a program: its connections are taken again. Another one can't be opened: that the one there
    // is comes back is worth waiting for.
    let client = client(NetOptions::default(), RetryPolicy::default());
    let config = |title: usize| {
        ResourceConfig::new(format!("{url}?title={title}"))
            .unwrap()
            .with_store(cache.store.clone())
            .with_client(client.clone())
            .with_look_ahead_bytes(LOOK_AHEAD)
    };
    let mut open: Vec<_> = (0..TITLES)
        .map(|title| {
            let mut listener = Listener::open(config(title));
            listener.play().unwrap();
            assert_same(&listener.pcm, &expected, &format!("title {title}"));
            listener
        })
        .collect();
    let refused = cache.count(|event| matches!(event, StoreEvent::Bypassed { .. }));
    assert!(
        (1..TITLES).contains(&refused),
        "some are kept and some are not, and that is told: {:?}",
        cache.told()
    );
    for (title, listener) in open.iter_mut().enumerate() {
        listener.pcm.clear();
        listener
            .seek(std::time::Duration::ZERO, kithara::SeekMode::Exact)
            .unwrap();
        listener.play().unwrap();
        assert_same(&listener.pcm, &expected, &format!("title {title}, again"));
    }
    drop(open);
    cache.end();
    // With room again, nothing is left of the want.
    let cache = Cache::at(Path::new(dir));
    let again = format!("{url}?title={}", TITLES - 1);
    for _ in 0..2 {
        Listener::open(cache.config(&again)).plays_exactly(&expected, "once there is room");
    }
    let kept = cache.stored(&again).total();
    assert!(kept > 0 && cache.count(|event| matches!(event, StoreEvent::Bypassed { .. })) == 0);
    cache.end();
}

#[test]
fn a_process_that_may_open_few_files_plays_every_title_and_says_which_it_cannot_keep() {
    const TEST: &str =
        "a_process_that_may_open_few_files_plays_every_title_and_says_which_it_cannot_keep";
    if let Some(role) = child::role() {
        return play_with_few(&role);
    }
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&long(2).0));
    let dir = tempfile::tempdir().unwrap();
    let role = format!("{} {}", dir.path().display(), server.url("/a.wav"));
    Other::start(TEST, &role).passes();
}

/// What the child does: has as many files of one title open as it may, and then something that must not be kept.
fn forget_with_few(dir: &str) {
    may_open(LIMIT);
    let cache = Cache::at(Path::new(dir));
    let kept: Vec<_> = (0..LIMIT)
        .map(|number| {
            let entry = cache
                .store
                .open(&cache.store.named("title", &number.to_string()));
            entry.identify(Facts::default(), Keep::Yes).unwrap();
            entry.write(0, &[1; 1000]).unwrap();
            cache.store.settle();
            entry
        })
        .collect();
    let entry = cache
        .store
        .open(&cache.store.named("title", "not to be kept"));
    entry.identify(Facts::default(), Keep::No).unwrap();
    cache.store.settle();
    // What the store has left of what the process may open, others take.
    let others: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    entry.write(0, &[2; 1000]).unwrap();
    cache.store.settle();
    // In a file without a name, not in memory.
    assert_eq!(
        entry.snapshot().not_kept,
        Some(Reason::NoStore),
        "{:?}",
        cache.told()
    );
    assert_eq!(entry.snapshot().memory_only, None, "{:?}", cache.told());
    drop(others);
    for entry in &kept {
        let mut buf = [0; 1000];
        assert_eq!(entry.resource().read_at(0, &mut buf).unwrap(), 1000);
        assert_eq!(buf, [1; 1000]);
    }
    assert_eq!(cache.told(), []);
}

#[test]
fn what_must_not_be_kept_finds_room_for_its_file_among_those_of_the_cache() {
    const TEST: &str = "what_must_not_be_kept_finds_room_for_its_file_among_those_of_the_cache";
    if let Some(role) = child::role() {
        return forget_with_few(&role);
    }
    let dir = tempfile::tempdir().unwrap();
    Other::start(TEST, &dir.path().display().to_string()).passes();
}
