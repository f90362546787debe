//! A panic in what the caller supplies to a store, a rule for keys, a disk, a listener: it ends no more than the title it was
//! supplied for, or keeps it from being kept, and the store still ends.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/fuse.rs"]
mod fuse;
#[path = "support/network.rs"]
mod network;

use std::sync::Arc;

use kithara::assets::KeyRule;
use kithara::file::Amount;
use kithara::net::Url;
use kithara::{AssetStoreBuilder, ErrorKind, Resource};
use kithara_storage::SimDisk;
use kithara_tests::server::FaultServer;

use cache::*;
use fuse::{Fuse, within};
use network::*;

#[test]
fn a_rule_for_keys_that_panics_ends_the_open_it_was_asked_for() {
    let (bytes, expected) = long(2);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let fuse = Fuse::new(0);
    let burning = Arc::clone(&fuse);
    let mut options = options(dir.path());
    options.key_rule = KeyRule::Custom(Arc::new(move |url: &Url| {
        burning.burn();
        url.path().to_owned()
    }));
    let cache = Cache::build(AssetStoreBuilder::new(options));

    let config = cache.config(&url);
    let error = within("the open", || Listener::try_open(config).err().unwrap());
    assert_eq!(error.kind(), ErrorKind::Worker, "{error:?}");
    assert!(fuse.has_blown());
    fuse.mend();
    let config = cache.config(&url);
    let error = within("the prefetch", || {
        Resource::prefetch_blocking(config, Amount::All).unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Worker, "{error:?}");
    assert!(server.requests().is_empty(), "asked for without a name");

    for _ in 0..2 {
        Listener::open(cache.config(&url)).plays_exactly(&expected, "with a rule that works");
    }
    cache.end();
    assert_eq!(server.body_bytes_sent(), bytes.len() as u64, "it is kept");
}

/// Plays to the end, or to the failure that is there instead; exactly, in both cases.
fn ends(mut listener: Listener, expected: &[f32], what: &str) -> Option<ErrorKind> {
    let ended = listener.play().err().map(|error| error.kind());
    let whole = if ended.is_some() {
        listener.pcm.len()
    } else {
        expected.len()
    };
    assert_same(&listener.pcm, &expected[..whole], what);
    ended
}

/// Plays a title beside another that had begun, and ends the store; how many of the two came to harm.
fn two_titles(cache: Cache, urls: &[String; 2], expected: &[f32], what: &str) -> usize {
    let open = |url: &str| {
        let config = cache.config(url).with_look_ahead_bytes(LOOK_AHEAD);
        Listener::try_open(config).map_err(|error| error.kind())
    };
    let play = |opened: Result<Listener, ErrorKind>| match opened {
        Ok(listener) => ends(listener, expected, what),
        Err(kind) => Some(kind),
    };
    let mut first = open(&urls[0]);
    if let Ok(listener) = &mut first {
        // If it fails, it will tell so again.
        let _ = listener.read_samples(64);
    }
    let ended = [play(open(&urls[1])), play(first)];
    cache.end();
    let failed = ended.into_iter().flatten();
    failed
        .inspect(|kind| assert_eq!(*kind, ErrorKind::Worker, "{what}"))
        .count()
}

/// Every call of a disk in turn, while one title is played beside another.
#[test]
fn a_disk_that_panics_ends_the_titles_that_meet_it_at_most_and_holds_nothing_up() {
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    for path in ["/a.wav", "/b.wav"] {
        server.serve(path, wav(&bytes));
    }
    let urls = ["/a.wav", "/b.wav"].map(|path| server.url(path));
    let expected: Arc<[f32]> = expected.into();
    let play = |cache, what: &str| {
        let (urls, expected, name) = (urls.clone(), Arc::clone(&expected), what.to_owned());
        within(what, move || two_titles(cache, &urls, &expected, &name))
    };
    let mut reached = true;
    let mut nth = 0;
    while reached {
        // Once, and from then on always.
        for harm in [1, 2] {
            let (disk, fuse) = (SimDisk::new(), Fuse::new(nth));
            let what = format!("call {nth} panics, of two titles {harm}");
            let cache = Cache::on(disk.clone());
            let burning = Arc::clone(&fuse);
            disk.on_call(move |_| {
                assert!(harm == 1 || !burning.has_blown(), "it panics again");
                burning.burn();
                Ok(())
            });
            assert!(play(cache, &what) <= harm, "{what}");
            reached = fuse.has_blown();

            // Whatever was stored by then is right.
            disk.on_call(|_| Ok(()));
            let harmed = play(Cache::on(disk), &format!("after {what}"));
            assert_eq!(harmed, 0, "{what}");
        }
        nth += 1 + nth / 16;
    }
    assert!(nth > 20, "{nth} calls");
}

#[test]
fn a_listener_of_a_store_that_panics_each_time_costs_nothing() {
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let listener = |_| panic!("the caller's own code panics");
    let builder = AssetStoreBuilder::new(options(dir.path())).with_events(Arc::new(listener));
    let store = builder.build().unwrap();
    let config = config(&url).with_store(store.clone());
    within("the listener", move || {
        Listener::open(config).plays_exactly(&expected, "told to somebody who panics");
        store.settle();
    });
    plays_unasked(dir.path(), &url, &long(3).1);
}
