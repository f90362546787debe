//! What must not be taken for the whole title: ends that nothing proves, streams that are never the same twice. And the
//! store that everybody shares, where it cannot be had.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/child.rs"]
mod child;
#[path = "support/network.rs"]
mod network;

use std::path::Path;

use kithara::assets::{Reason, StoreEvent};
use kithara::file::{Amount, FileEvent};
use kithara::net::NetOptions;
use kithara::{AssetStoreBuilder, ErrorKind, Resource, ResourceConfig, StoreOptions};
use kithara_tests::fixtures::fixture;
use kithara_tests::server::{FaultServer, Script};

use cache::*;
use network::*;

fn mp3(bytes: &[u8]) -> Script {
    Script::file(bytes.to_vec()).media_type("audio/mpeg")
}

/// A connection that ends before the title does, and nothing that says so.
#[test]
fn a_title_that_may_have_been_cut_off_is_asked_for_again_at_the_next_open() {
    let whole = fixture("mp3-cbr-notag.mp3").bytes();
    let expected = local(&whole, "mp3");
    let cut = &whole[..whole.len() / 2];
    let server = FaultServer::start();
    let url = server.url("/a.mp3");
    let open_ended = |bytes| {
        let script = mp3(bytes).without_ranges().http10().without_length();
        script.etag("\"the same\"")
    };
    let dir = tempfile::tempdir().unwrap();
    server.serve("/a.mp3", open_ended(cut));
    let cache = Cache::at(dir.path());
    let mut listener = Listener::open(cache.config(&url));
    listener.play().unwrap();
    let unproven = |event: &FileEvent| matches!(event, FileEvent::EndUnproven { .. });
    assert_eq!(count_file(&listener.events(), unproven), 1);
    drop(listener);
    // For later it is not whole either.
    let fetched = Resource::prefetch_blocking(cache.config(&url), Amount::All).unwrap();
    assert_eq!(fetched.len, None, "{fetched:?}");
    let told = cache.end();
    let committed = |event: &StoreEvent| matches!(event, StoreEvent::Committed { .. });
    assert!(!told.iter().any(committed), "{told:?}");

    server.serve("/a.mp3", mp3(&whole).etag("\"the same\""));
    let cache = Cache::at(dir.path());
    assert_eq!(cache.stored(&url).total(), cut.len() as u64, "it is kept");
    Listener::open(cache.config(&url)).plays_exactly(&expected, "all of it");
    cache.end();
    plays_unasked(dir.path(), &url, &expected);
}

#[test]
fn a_stream_without_an_end_or_a_name_is_heard_anew_each_time() {
    let once = fixture("mp3-cbr-notag.mp3");
    let (bytes, expected) = (once.bytes(), local(&once.bytes(), "mp3"));
    let server = FaultServer::start();
    let url = server.url("/radio");
    let radio = Script::endless(bytes).media_type("audio/mpeg");
    server.serve("/radio", radio.without_validators());
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let hear = || {
        let config = cache.config(&url).with_look_ahead_bytes(LOOK_AHEAD);
        let mut listener = Listener::open(config);
        listener.read_samples(expected.len()).unwrap();
        assert_same(&listener.pcm, &expected, "the first round");
        listener
    };
    let mut first = hear();
    let not_kept = |event: &FileEvent| matches!(event, FileEvent::NotKept { .. });
    assert_eq!(count_file(&first.events(), not_kept), 1);
    let second = hear();
    assert_eq!(server.requests().len(), 2, "one is no part of the other");
    drop(first);
    drop(second);
    hear();
    assert_eq!(server.requests().len(), 3);
    let error = Resource::prefetch_blocking(cache.config(&url), Amount::All).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    cache.end();
    let cache = Cache::at(dir.path());
    assert!(cache.stored(&url).is_empty());
}

/// Requests that broke, were redirected, asked only whether the title is the same, or were never made.
#[test]
fn what_is_counted_is_the_requests_that_were_made() {
    let (bytes, expected) = long(10);
    let dir = tempfile::tempdir().unwrap();
    let server = FaultServer::start();
    server.serve("/a.wav", Script::redirect(302, "/b.wav"));
    let cuts = [100_000, 300_000, 1_000_000].map(|at| wav(&bytes).reset_at(at));
    server.serve_sequence("/b.wav", cuts.into_iter().chain([wav(&bytes)]));
    let url = server.url("/a.wav");
    for play in ["from the server", "from the cache"] {
        let mut options = options(dir.path());
        options.revalidate = kithara::assets::Revalidate::Always;
        let cache = Cache::build(AssetStoreBuilder::new(options));
        let before = server.requests_for("/b.wav").len();
        let mut listener = Listener::open(cache.config(&url));
        listener.play().unwrap();
        assert_same(&listener.pcm, &expected, play);
        listener.hears(play, |event| {
            let kithara::ResourceEvent::File(event) = event else {
                return false;
            };
            matches!(
                event,
                FileEvent::DownloadComplete { .. } if play == "from the server"
            ) || matches!(event, FileEvent::Fresh)
        });
        let made = server.requests_for("/b.wav").len() - before;
        let counted = listener.resource.control().stats().requests;
        assert_eq!(counted, made as u64, "{play}");
        assert!(made >= if play == "from the cache" { 1 } else { 4 });
        let told = |event: &FileEvent| matches!(event, FileEvent::Requested { .. });
        assert_eq!(count_file(&listener.events(), told), made, "{play}");
        drop(listener);
        cache.end();
    }
}

#[test]
fn a_shared_store_that_cannot_be_had_is_told_and_tried_again() {
    if let Some(home) = child::role() {
        return with_a_cache_home(Path::new(&home));
    }
    let home = tempfile::tempdir().unwrap();
    let role = home.path().to_str().unwrap();
    let test = "a_shared_store_that_cannot_be_had_is_told_and_tried_again";
    child::Other::start(test, role).passes();
}

fn with_a_cache_home(home: &Path) {
    // SAFETY: this process runs this test only, and nothing else in it has begun.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("XDG_CACHE_HOME", home);
    }
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let shared = || {
        let config = ResourceConfig::new(url.as_str()).unwrap();
        config.with_client(client(NetOptions::default(), quick()))
    };
    let mut other = StoreOptions::at(home.join("kithara"));
    other.max_assets = 7;
    let theirs = Cache::build(AssetStoreBuilder::new(other));
    let not_kept = |event: &FileEvent| {
        let reason = Reason::Unusable;
        matches!(event, FileEvent::NotKept { reason: told } if *told == reason)
    };
    let events = Listener::open(shared()).plays_exactly(&expected, "beside another store");
    assert_eq!(count_file(&events, not_kept), 1, "{events:?}");
    theirs.end();
    let events = Listener::open(shared()).plays_exactly(&expected, "in the shared store");
    assert_eq!(count_file(&events, not_kept), 0, "{events:?}");
    let asked = server.requests().len();
    Listener::open(shared()).plays_exactly(&expected, "from the shared store");
    assert_eq!(server.requests().len(), asked);
}
