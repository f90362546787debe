//! What is fetched before anybody listens: there when it is wanted, and never in the way.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::thread;

use kithara::file::{Amount, FileEvent};
use kithara::{ErrorKind, Resource, ResourceConfig, ResourceEvent};
use kithara_tests::server::{FaultServer, Gate, Script};

use cache::*;
use network::*;

#[test]
fn a_title_whose_head_was_fetched_starts_without_a_request() {
    const HEAD: u64 = 700 * 1024;
    let (bytes, expected) = long(20);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let config = cache.config(&url);
    let mut events = config.events();
    let done = Resource::prefetch_blocking(config, Amount::Head(HEAD)).unwrap();
    assert!(done.stored >= HEAD, "{done:?}");
    assert!(done.stored < HEAD + 512 * KIB, "{done:?}");
    assert_eq!(done.len, Some(bytes.len() as u64));
    let mut told = 0;
    while let Ok(event) = events.try_recv() {
        told += usize::from(matches!(
            event,
            ResourceEvent::File(FileEvent::PrefetchDone { .. })
        ));
    }
    assert_eq!(told, 1);
    cache.end();

    let asked = server.requests().len();
    let cache = Cache::at(dir.path());
    let tap = Tap::default();
    let mut listener = Listener::open(cache.tapped(&url, &tap));
    listener.read_samples(30_000).unwrap();
    assert_same(&listener.pcm, &expected[..30_000], "the head");
    assert_eq!(server.requests().len(), asked);
    listener.plays_exactly(&expected, "and all the rest");
    assert!(tap.log().iter().all(|taken| taken.asked.start >= HEAD));
    tap.assert_no_byte_twice();
}

#[test]
fn a_title_that_was_fetched_whole_plays_with_its_server_gone() {
    let (bytes, expected) = long(20);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let tap = Tap::default();
    let done = Resource::prefetch_blocking(cache.tapped(&url, &tap), Amount::All).unwrap();
    assert_eq!(done.stored, bytes.len() as u64);
    assert!(given(&tap).is_complete(bytes.len() as u64));
    tap.assert_no_byte_twice();
    cache.end();
    // Once more costs nothing.
    let cache = Cache::at(dir.path());
    let tap = Tap::default();
    let done = Resource::prefetch_blocking(cache.tapped(&url, &tap), Amount::All).unwrap();
    assert_eq!(done.stored, bytes.len() as u64);
    assert!(tap.log().is_empty(), "{:?}", tap.log());
    cache.end();
    drop(server);
    plays_unasked(dir.path(), &url, &expected);
}

/// `ahead` is what the title that plays is served, in one response at a pace that leaves the other all the time it could
/// want.
#[test]
fn a_prefetch_moves_only_while_nothing_that_plays_does() {
    // What the two kernels hold of a response that nobody reads.
    const IN_KERNELS: u64 = 256 * KIB;
    let (playing, expected) = long(2);
    let (next, next_expected) = long(30);
    let server = FaultServer::start();
    server.serve("/next.wav", wav(&next));
    server.serve("/playing.wav", wav(&playing).throttle(200_000));
    let (url, next_url) = (server.url("/playing.wav"), server.url("/next.wav"));
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let foreground = cache.config(&url);
    let player = thread::spawn(move || {
        let mut listener = Listener::open(foreground);
        listener.play().unwrap();
        listener.pcm
    });
    server.wait_until("the title plays", |requests| {
        requests.iter().any(|request| request.sent_body > 50_000)
    });
    let background = cache.config(&next_url);
    let prefetch = thread::spawn(move || Resource::prefetch_blocking(background, Amount::All));
    let mut behind = None;
    server.wait_until("all of it is served", |requests| {
        let whole = requests.iter().any(|request| {
            request.path == "/playing.wav" && request.sent_body == playing.len() as u64
        });
        let sent = |path| {
            let of = requests.iter().filter(move |request| request.path == path);
            of.map(|request| request.sent_body).sum::<u64>()
        };
        if !whole {
            behind = Some(sent("/next.wav"));
        }
        whole
    });
    let behind = behind.expect("it is served little by little");
    assert!(behind <= IN_KERNELS, "{behind} bytes were served meanwhile");
    assert_same(&player.join().unwrap(), &expected, "what plays");
    let done = prefetch.join().unwrap().unwrap();
    assert_eq!(done.stored, next.len() as u64, "it gets its turn");
    Listener::open(cache.config(&next_url)).plays_exactly(&next_expected, "the next one");
}

/// What plays takes the whole link all the time, so that the prefetch, which has begun, gets nothing.
#[test]
fn a_title_is_not_made_to_wait_for_its_prefetch_that_stands_aside() {
    let (playing, _) = long(30);
    let (next, next_expected) = long(4);
    let server = FaultServer::start();
    let (gate, answer) = (Gate::new(), Gate::new());
    server.serve("/playing.wav", wav(&playing).hold_at(300_000, &gate));
    server.serve_sequence(
        "/next.wav",
        [wav(&next).hold_at(100_000, &answer), wav(&next)],
    );
    let (url, next_url) = (server.url("/playing.wav"), server.url("/next.wav"));
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let background = cache.config(&next_url);
    let prefetch = thread::spawn(move || Resource::prefetch_blocking(background, Amount::All));
    answer.wait_held();
    let mut first = Listener::open(cache.config(&url));
    first.read_samples(40_000).unwrap();
    gate.wait_held();
    // Its connection goes on, and nobody reads it.
    answer.open();
    Listener::open(cache.config(&next_url)).plays_exactly(&next_expected, "beside the first");
    assert!(
        !gate.is_open() && gate.holding() > 0,
        "the first is still on its way"
    );
    gate.open();
    drop(first);
    let done = prefetch.join().unwrap().unwrap();
    assert_eq!(done.stored, next.len() as u64);
}

#[test]
fn a_prefetch_of_a_title_that_changed_fetches_the_new_one() {
    let (old, _) = long(10);
    let new = other(&old);
    let expected = local(&new, "wav");
    let server = FaultServer::start();
    let url = server.url("/a.wav");
    server.serve("/a.wav", wav(&old).without_validators().etag("\"old\""));
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let head = Amount::Head(700 * KIB);
    Resource::prefetch_blocking(cache.config(&url), head).unwrap();
    server.serve("/a.wav", wav(&new).without_validators().etag("\"new\""));
    let done = Resource::prefetch_blocking(cache.config(&url), Amount::All).unwrap();
    assert_eq!(done.stored, new.len() as u64);
    cache.end();
    plays_unasked(dir.path(), &url, &expected);
}

#[test]
fn a_prefetch_that_is_dropped_keeps_what_came() {
    let (bytes, expected) = long(20);
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(1_000_000, &gate));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let cancel = kithara::CancellationToken::new();
    let config = cache.config(&url).with_cancel(cancel.clone());
    let prefetch = thread::spawn(move || Resource::prefetch_blocking(config, Amount::All));
    gate.wait_held();
    cancel.cancel();
    let error = prefetch.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
    cache.end();
    gate.open();
    let cache = Cache::at(dir.path());
    let stored = cache.stored(&url);
    assert!(stored.total() >= 700_000, "{stored:?}");
    let tap = Tap::default();
    Listener::open(cache.tapped(&url, &tap)).plays_exactly(&expected, "the rest");
    assert_not_asked(&tap, &stored, "after a cancelled prefetch");
}

#[test]
fn a_title_opened_while_it_is_being_fetched_takes_what_is_there_and_the_rest_as_it_comes() {
    let (bytes, expected) = long(20);
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(1_000_000, &gate));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    // One for both of them.
    let tap = Tap::default();
    let config = cache.tapped(&url, &tap);
    let prefetch = thread::spawn(move || Resource::prefetch_blocking(config, Amount::All));
    gate.wait_held();
    let mut listener = Listener::open(cache.tapped(&url, &tap));
    listener.read_samples(200_000).unwrap();
    gate.open();
    listener.plays_exactly(&expected, "while it comes");
    let done = prefetch.join().unwrap().unwrap();
    assert_eq!(done.stored, bytes.len() as u64);
    tap.assert_no_byte_twice();
    tap.assert_overshoot(&server.requests(), bytes.len() as u64);
    cache.end();
    plays_unasked(dir.path(), &url, &expected);
}

/// What would not be there later is not fetched for later.
#[test]
fn a_prefetch_that_nothing_would_be_kept_of_says_so() {
    let (bytes, _) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes).header("Cache-Control", "no-store"));
    server.serve("/gone.wav", Script::of_status(404));
    let url = server.url("/a.wav");
    let error = |config: ResourceConfig| {
        let fetched = Resource::prefetch_blocking(config, Amount::All);
        fetched.expect_err("nothing is kept").kind()
    };
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    assert_eq!(error(cache.config(&url)), ErrorKind::Storage);
    assert_eq!(error(config(&url)), ErrorKind::Storage, "without a cache");
    let gone = cache.config(&server.url("/gone.wav"));
    assert_eq!(error(gone), ErrorKind::Http(404));
    assert!(server.body_bytes_sent() < bytes.len() as u64);
}
