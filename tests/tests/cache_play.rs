//! What was fetched once is never fetched again: across seeks, drops and restarts; and what is stored plays at once.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use kithara::assets::{AssetStoreBuilder, Revalidate, StoreEvent};
use kithara::file::FileEvent;
use kithara::storage::Coverage;
use kithara::{ResourceConfig, SeekMode};
use kithara_storage::{CallKind, SimDisk};
use kithara_tests::server::{FaultServer, Gate, Script};

use cache::*;
use network::*;

/// Reads here and there, as listeners do, and lets go in the middle.
fn listen_around(config: ResourceConfig, expected: &[f32]) {
    let mut listener = Listener::open(config);
    listener.read_samples(150_000).unwrap();
    assert_same(&listener.pcm, &expected[..150_000], "the front");
    for second in [20, 6, 13] {
        let to = Duration::from_secs(second);
        let (frame, exact) = listener.seek(to, SeekMode::Fast).unwrap();
        assert_eq!((frame, exact), (second * 44_100, true));
        listener.pcm.clear();
        listener.read_samples(60_000).unwrap();
        let at = frame as usize * 2;
        let what = format!("after the seek to {second} s");
        assert_same(&listener.pcm, &expected[at..at + 60_000], &what);
    }
}

#[test]
fn playing_seeking_restarting_and_playing_again_fetches_each_byte_once() {
    let (bytes, expected) = long(30);
    let len = bytes.len() as u64;
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let first = Tap::default();
    let cache = Cache::at(dir.path());
    listen_around(cache.tapped(&url, &first), &expected);
    cache.end();
    first.assert_no_byte_twice();

    let cache = Cache::at(dir.path());
    let stored = cache.stored(&url);
    assert!(!stored.is_complete(len), "something is left to fetch");
    let second = Tap::default();
    let listener = Listener::open(cache.tapped(&url, &second));
    let events = listener.plays_exactly(&expected, "after a restart");
    let found = |event: &FileEvent| {
        matches!(event, FileEvent::Found { stored: found, len: Some(total), complete: false }
            if *found == stored.total() && *total == len)
    };
    assert_eq!(count_file(&events, found), 1, "{events:?}");
    second.assert_no_byte_twice();
    assert_not_asked(&second, &stored, "after a restart");
    let both: Coverage = given(&first).iter().chain(given(&second).iter()).collect();
    assert!(both.is_complete(len), "{both:?} of {len}");
    first.assert_overshoot(&server.requests(), len);
    cache.end();
    plays_unasked(dir.path(), &url, &expected);
}

#[test]
fn a_stored_title_plays_with_its_server_gone() {
    let (bytes, expected) = long(5);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &url, &expected);
    drop(server);
    plays_unasked(dir.path(), &url, &expected);
    // In any order, too.
    let cache = Cache::at(dir.path());
    listen_to_the_end(cache.config(&url), &expected);
}

fn listen_to_the_end(config: ResourceConfig, expected: &[f32]) {
    let mut listener = Listener::open(config);
    for second in [4, 1] {
        listener
            .seek(Duration::from_secs(second), SeekMode::Exact)
            .unwrap();
        listener.pcm.clear();
        listener.play().unwrap();
        let at = second as usize * 88_200;
        assert_same(&listener.pcm, &expected[at..], "after a seek");
    }
}

/// Stands in the way of whatever changes a disk.
#[derive(Clone, Default)]
struct Barrier(Arc<(Mutex<bool>, Condvar)>);

impl Barrier {
    fn pass(&self) {
        let (open, changed) = &*self.0;
        let mut open = open.lock().unwrap();
        while !*open {
            open = changed.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

#[test]
fn no_write_lies_on_the_way_to_the_first_sound_of_a_stored_title() {
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let disk = SimDisk::new();
    let cache = Cache::on(disk.clone());
    Listener::open(cache.config(&url)).plays_exactly(&expected, "for the first time");
    let told = cache.end();
    let committed = |event: &StoreEvent| matches!(event, StoreEvent::Committed { .. });
    assert!(told.iter().any(committed), "{told:?}");
    let asked = server.requests().len();

    let barrier = Barrier::default();
    let hook = barrier.clone();
    disk.on_call(move |call| {
        if matches!(
            call.kind,
            CallKind::Write
                | CallKind::SetLen
                | CallKind::Sync
                | CallKind::SyncDir
                | CallKind::Rename
                | CallKind::RemoveFile
                | CallKind::RemoveDir
        ) {
            hook.pass();
        }
        Ok(())
    });
    let before = disk.moment();
    let cache = Cache::on(disk.clone());
    let mut listener = Listener::open(cache.config(&url));
    listener.read_samples(20_000).unwrap();
    assert_eq!(disk.moment(), before, "the disk was changed");
    listener.plays_exactly(&expected, "while no write gets through");
    barrier.open();
    assert_eq!(server.requests().len(), asked);
    cache.end();
    // And yet it is noted that the title was used.
    assert!(disk.moment() > before);
}

#[test]
fn a_restart_asks_for_exactly_what_is_missing_if_it_is_still_the_same() {
    let (bytes, expected) = long(30);
    let len = bytes.len() as u64;
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes).etag("\"one\""));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    listen_around(cache.tapped(&url, &Tap::default()), &expected);
    cache.end();
    let before = server.requests().len();

    let cache = Cache::at(dir.path());
    let stored = cache.stored(&url);
    let missing: Vec<_> = stored.gaps(0..len).collect();
    assert!(missing.len() >= 3, "{missing:?}");
    let tap = Tap::default();
    Listener::open(cache.tapped(&url, &tap)).plays_exactly(&expected, "what was missing");
    let asked: Coverage = given(&tap);
    assert_eq!(asked.iter().collect::<Vec<_>>(), missing);
    let requests = &server.requests()[before..];
    for request in requests {
        assert_eq!(request.header("if-range"), Some("\"one\""), "{request:?}");
    }
    let sent: u64 = requests.iter().map(|request| request.sent_body).sum();
    assert_eq!(sent, len - stored.total());
}

#[test]
fn what_may_not_be_kept_is_played_and_leaves_nothing() {
    let (bytes, expected) = long(5);
    let server = FaultServer::start();
    let needle = &bytes[100_000..100_064];
    for (path, name, value) in [
        ("/a.wav", "Cache-Control", "no-store"),
        ("/b.wav", "Cache-Control", "max-age=60, No-Store"),
        ("/c.wav", "Vary", "*"),
    ] {
        server.serve(path, wav(&bytes).header(name, value));
        let url = server.url(path);
        let dir = tempfile::tempdir().unwrap();
        for time in 1..=2 {
            let cache = Cache::at(dir.path());
            let events = Listener::open(cache.config(&url)).plays_exactly(&expected, value);
            let told = |event: &FileEvent| matches!(event, FileEvent::NotKept { .. });
            assert_eq!(count_file(&events, told), 1, "{value}: {events:?}");
            cache.store.settle();
            assert_eq!(cache.store.usage().bytes, 0, "{value}");
            cache.end();
            assert_eq!(resources(dir.path()), Vec::<std::path::PathBuf>::new());
            for (path, content) in files(dir.path()) {
                let leaked = content.windows(64).any(|window| window == needle);
                assert!(!leaked, "{value}: {}", path.display());
            }
            let sent: u64 = server.requests_for(path).iter().map(|r| r.sent_body).sum();
            assert_eq!(sent, time * bytes.len() as u64, "fetched anew");
        }
    }
}

#[test]
fn what_may_not_be_kept_is_kept_all_the_same_if_the_caller_says_so() {
    let (bytes, expected) = long(5);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes).header("Cache-Control", "no-store"));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let cache = Cache::at(dir.path());
        let config = cache.config(&url).ignoring_no_store();
        Listener::open(config).plays_exactly(&expected, "kept");
        cache.end();
    }
    let requests = server.requests_for("/a.wav");
    let sent: u64 = requests.iter().map(|request| request.sent_body).sum();
    assert_eq!(sent, bytes.len() as u64, "fetched once");
}

#[test]
fn another_signature_is_the_same_title_and_another_namespace_is_not() {
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &server.url("/a.wav?v=2&token=first"), &expected);
    let asked = server.requests().len();
    for query in [
        "v=2&token=second",
        "v=2&X-Amz-Signature=abc&X-Amz-Date=20300101T000000Z",
        "sig=1&se=2030-01-01&v=2",
        "v=2#fragment",
    ] {
        plays_unasked(
            dir.path(),
            &server.url(&format!("/a.wav?{query}")),
            &expected,
        );
    }
    assert_eq!(server.requests().len(), asked);
    // What tells titles apart still does.
    commit(dir.path(), &server.url("/a.wav?v=3&token=first"), &expected);
    assert!(server.requests().len() > asked);
    let asked = server.requests().len();
    let mut other = options(dir.path());
    other.namespace = "another user".to_owned();
    let cache = Cache::build(AssetStoreBuilder::new(other));
    Listener::open(cache.config(&server.url("/a.wav?v=2")))
        .plays_exactly(&expected, "another user");
    assert!(server.requests().len() > asked);
    cache.end();
    plays_unasked(dir.path(), &server.url("/a.wav?v=2"), &expected);
}

/// A mapping of a file whose blocks are missing, or that somebody cuts, ends the process.
#[cfg(target_os = "linux")]
#[test]
fn nothing_of_the_cache_is_mapped_into_memory() {
    let (bytes, expected) = long(12);
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(1_000_000, &gate));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().canonicalize().unwrap();
    let unmapped = || {
        assert!(!resources(&folder).is_empty(), "there is something to map");
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let of_cache = |line: &&str| line.contains(folder.to_str().unwrap());
        assert_eq!(maps.lines().find(of_cache), None);
    };
    for _ in ["fetched", "played from the cache"] {
        let cache = Cache::at(&folder);
        let mut listener = Listener::open(cache.config(&url));
        listener.read_samples(400_000).unwrap();
        cache.store.settle();
        unmapped();
        gate.open();
        listener.play().unwrap();
        assert_same(&listener.pcm, &expected, "to its end");
        unmapped();
        drop(listener);
        cache.end();
    }
}

/// How a script differs from a polite one.
type How = fn(Script) -> Script;

/// A server that says neither how long the file is nor serves ranges fills the cache all the same.
#[test]
fn a_title_without_a_length_or_ranges_is_stored_too() {
    let (bytes, expected) = long(5);
    let server = FaultServer::start();
    let served: [(&str, How); 3] = [
        ("/a.wav", Script::chunked),
        ("/b.wav", Script::without_ranges),
        ("/c.wav", |script| script.without_ranges().chunked()),
    ];
    for (path, how) in served {
        server.serve(path, how(wav(&bytes)));
        let dir = tempfile::tempdir().unwrap();
        commit(dir.path(), &server.url(path), &expected);
        plays_unasked(dir.path(), &server.url(path), &expected);
    }
}

#[test]
fn however_many_open_a_title_that_is_due_its_origin_is_asked_once() {
    let (bytes, expected) = long(1);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &url, &expected);
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_head(&gate));
    let asked = server.requests().len();
    let mut options = options(dir.path());
    options.revalidate = Revalidate::Always;
    let cache = Cache::build(AssetStoreBuilder::new(options));
    let listeners: Vec<_> = (0..20)
        .map(|_| Listener::open(cache.config(&url)))
        .collect();
    gate.wait_held();
    for listener in listeners {
        listener.plays_exactly(&expected, "while the origin is being asked");
    }
    gate.open();
    cache.end();
    let requests = &server.requests()[asked..];
    assert_eq!(requests.len(), 1, "{requests:?}");
}
