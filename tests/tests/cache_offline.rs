//! Without a network: what is stored plays exactly, and what is not is named. What is pinned stays.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::path::Path;
use std::time::Duration;

use kithara::assets::{AssetError, AssetStoreBuilder, StoreEvent};
use kithara::file::FileEvent;
use kithara::{Error, ErrorKind, SeekMode};
use kithara_tests::server::{FaultServer, Script, Step};

use cache::*;
use network::*;

/// Nobody answers, as far as the client can tell.
fn gone() -> Script {
    Script::raw([Step::Reset])
}

/// Plays some of the title and ends the store; how many bytes of it are stored from the front.
fn begin(dir: &Path, url: &str) -> u64 {
    let cache = Cache::at(dir);
    let config = cache.config(url).with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    listener.read_samples(300_000).unwrap();
    drop(listener);
    cache.end();
    let cache = Cache::at(dir);
    let front = cache.stored(url).covered_from(0);
    cache.end();
    front
}

/// The samples of a 16-bit file that lie in its first bytes, whole frames only.
fn samples_in(bytes: u64) -> usize {
    ((bytes - 44) / 4 * 2) as usize
}

/// The error names the first byte that is missing.
fn assert_names(error: &Error, byte: u64) {
    assert_eq!(error.kind(), ErrorKind::Network, "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("byte {byte} ")), "{text}");
}

#[test]
fn half_a_title_plays_to_its_last_stored_frame_names_what_is_missing_and_goes_on_later() {
    let (bytes, expected) = long(20);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let front = begin(dir.path(), &url);
    assert!((600_000..bytes.len() as u64).contains(&front));

    server.serve("/a.wav", gone());
    let cache = Cache::at(dir.path());
    let tap = Tap::default();
    let mut listener = Listener::open(cache.tapped(&url, &tap));
    let error = listener.fails_after_exact_prefix(&expected, "offline");
    assert_eq!(listener.pcm.len(), samples_in(front), "all that is stored");
    assert_names(&error, front);
    assert_sticky(&mut listener, &server, &error);
    // What is stored can still be gone back to.
    listener.seek(Duration::ZERO, SeekMode::Exact).unwrap();
    listener.pcm.clear();
    let error = listener.fails_after_exact_prefix(&expected, "offline, again");
    assert_eq!(listener.pcm.len(), samples_in(front), "all that is stored");
    assert_names(&error, front);

    server.serve("/a.wav", wav(&bytes));
    let asked = tap.log().len();
    listener
        .seek(Duration::from_secs(2), SeekMode::Exact)
        .unwrap();
    listener.pcm.clear();
    listener.play().unwrap();
    assert_same(&listener.pcm, &expected[2 * 88_200..], "online again");
    let first = &tap.log()[asked];
    assert_eq!(first.asked.start, front, "from the missing byte on");
    drop(listener);
    cache.end();
    plays_unasked(dir.path(), &url, &expected);
}

#[test]
fn a_title_with_a_gap_says_so_where_the_gap_is_and_plays_behind_it() {
    let (bytes, expected) = long(20);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let front = begin(dir.path(), &url);
    let cache = Cache::at(dir.path());
    let config = cache.config(&url).with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    listener
        .seek(Duration::from_secs(15), SeekMode::Exact)
        .unwrap();
    listener.pcm.clear();
    listener.play().unwrap();
    assert_same(&listener.pcm, &expected[15 * 88_200..], "the end");
    drop(listener);
    cache.end();

    drop(server);
    let cache = Cache::at(dir.path());
    let stored = cache.stored(&url);
    let gap = stored.covered_from(0);
    assert!(gap >= front && stored.contains(bytes.len() as u64 - 100_000..bytes.len() as u64));
    let mut listener = Listener::open(cache.config(&url));
    listener
        .seek(Duration::from_secs(15), SeekMode::Exact)
        .unwrap();
    listener.play().unwrap();
    assert_same(&listener.pcm, &expected[15 * 88_200..], "behind the gap");
    listener.seek(Duration::ZERO, SeekMode::Exact).unwrap();
    listener.pcm.clear();
    let error = listener.fails_after_exact_prefix(&expected, "up to the gap");
    assert_eq!(listener.pcm.len(), samples_in(gap), "all that is stored");
    assert_names(&error, gap);
}

#[test]
fn what_was_never_stored_fails_as_ever_when_its_server_is_gone() {
    let server = FaultServer::start();
    server.serve("/a.wav", gone());
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let error = Listener::try_open(cache.config(&server.url("/a.wav"))).err();
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Network));
    cache.end();
    assert!(resources(dir.path()).is_empty());
}

/// A store in which few titles have room.
fn small(dir: &Path, max_bytes: u64) -> Cache {
    let mut options = options(dir);
    options.max_bytes = max_bytes;
    Cache::build(AssetStoreBuilder::new(options))
}

#[test]
fn a_pinned_title_stays_while_others_come_and_go() {
    let (bytes, expected) = long(2);
    let server = FaultServer::start();
    let url = |number: u32| server.url(&format!("/{number}.wav"));
    for number in 0..8 {
        server.serve(&format!("/{number}.wav"), wav(&bytes));
    }
    let dir = tempfile::tempdir().unwrap();
    let budget = bytes.len() as u64 * 3;
    let mut evicted = 0;
    for number in 0..8 {
        let cache = small(dir.path(), budget);
        Listener::open(cache.config(&url(number))).plays_exactly(&expected, "each");
        if number == 0 {
            cache.store.pin(&parse(&url(0))).unwrap();
        }
        let told = cache.end();
        evicted += told
            .iter()
            .filter(|event| matches!(event, StoreEvent::Evicted { .. }))
            .count();
        let cache = small(dir.path(), budget);
        assert!(cache.store.is_pinned(&parse(&url(0))), "after {number}");
        let used = cache.store.usage();
        assert!(used.bytes <= budget, "{used:?}");
        cache.end();
    }
    assert!(evicted >= 4, "{evicted}");
    let asked = server.requests().len();
    let cache = small(dir.path(), budget);
    Listener::open(cache.config(&url(0))).plays_exactly(&expected, "the pinned one");
    assert_eq!(server.requests().len(), asked);
    // The one played last is there too, the one after the pinned one is not.
    Listener::open(cache.config(&url(7))).plays_exactly(&expected, "the last one");
    assert_eq!(server.requests().len(), asked);
    Listener::open(cache.config(&url(1))).plays_exactly(&expected, "an old one");
    assert!(server.requests().len() > asked);
}

#[test]
fn more_pins_than_there_is_room_for_are_refused_with_numbers() {
    let (bytes, expected) = long(2);
    let len = bytes.len() as u64;
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    server.serve("/b.wav", wav(&bytes));
    let (a, b) = (server.url("/a.wav"), server.url("/b.wav"));
    let dir = tempfile::tempdir().unwrap();
    let limit = len * 2 - 20_000;
    let cache = small(dir.path(), len * 3);
    Listener::open(cache.config(&a)).plays_exactly(&expected, "one");
    Listener::open(cache.config(&b)).plays_exactly(&expected, "another");
    cache.end();
    let cache = small(dir.path(), limit);
    cache.store.pin(&parse(&a)).unwrap();
    match cache.store.pin(&parse(&b)) {
        Err(AssetError::PinnedTooMuch {
            needed,
            limit: told,
        }) => {
            assert_eq!(told, limit);
            assert!((2 * len..2 * len + 20_000).contains(&needed), "{needed}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!cache.store.is_pinned(&parse(&b)));
    // The rest plays all the same, from memory where there is no room.
    server.serve("/c.wav", wav(&bytes));
    let c = server.url("/c.wav");
    let events = Listener::open(cache.config(&c)).plays_exactly(&expected, "a third");
    drop(events);
    cache.end();
    let cache = small(dir.path(), limit);
    let asked = server.requests().len();
    Listener::open(cache.config(&a)).plays_exactly(&expected, "the pinned one");
    assert_eq!(server.requests().len(), asked);
    assert!(cache.store.usage().bytes <= limit);
}

#[test]
fn a_removed_title_is_fetched_again_and_an_open_one_is_not_removed() {
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &url, &expected);
    let cache = Cache::at(dir.path());
    let mut listener = Listener::open(cache.config(&url));
    listener.read_samples(1000).unwrap();
    let removed = cache.store.remove(&parse(&url));
    assert!(matches!(removed, Err(AssetError::InUse)), "{removed:?}");
    assert_eq!(cache.store.clear().in_use, 1);
    listener.play().unwrap();
    assert_same(&listener.pcm, &expected, "cleared meanwhile");
    let found = |event: &FileEvent| matches!(event, FileEvent::Found { complete: true, .. });
    assert_eq!(count_file(&listener.events(), found), 1);
    drop(listener);
    cache.end();
    let cache = Cache::at(dir.path());
    assert!(cache.store.remove(&parse(&url)).unwrap());
    let asked = server.requests().len();
    Listener::open(cache.config(&url)).plays_exactly(&expected, "anew");
    assert!(server.requests().len() > asked);
}
