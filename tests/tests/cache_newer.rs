//! A cache folder that a newer version of the library has taken over: this one goes on beside it.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::fs;
use std::path::{Path, PathBuf};

use kithara::assets::{Reason, StoreEvent};
use kithara_tests::server::FaultServer;
use sha2::{Digest, Sha256};

use cache::*;
use network::*;

/// Makes the folder one of this version: the marker's layout is the same in all versions.
fn take_over(dir: &Path, version: u32) {
    fs::create_dir_all(dir.join("titles")).unwrap();
    fs::write(
        dir.join("titles/first"),
        "bytes that only the future understands",
    )
    .unwrap();
    let mut marker = b"kthrcach".to_vec();
    marker.extend_from_slice(&version.to_le_bytes());
    let check = Sha256::digest(&marker);
    marker.extend_from_slice(&check[..8]);
    fs::write(dir.join("kithara.cache"), marker).unwrap();
}

/// What lies in the folder, but for our own folder in it.
fn theirs(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = files(dir);
    all.retain(|(path, _)| !path.starts_with(dir.join("v1")));
    all
}

#[test]
fn what_was_played_beside_a_newer_cache_plays_again_unasked_and_the_newer_one_is_as_it_was() {
    let server = FaultServer::start();
    let (bytes, expected) = long(2);
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav").to_string();
    let dir = tempfile::tempdir().unwrap();
    // Titles of this version lie there too: the newer one has taken them over.
    commit(
        dir.path(),
        &server.url("/a.wav?title=old").to_string(),
        &expected,
    );
    take_over(dir.path(), 2);
    let before = theirs(dir.path());
    let noticed = StoreEvent::NewerFormat { version: 2 };

    let cache = Cache::at(dir.path());
    assert_eq!(cache.told(), [noticed]);
    Listener::open(cache.config(&url)).plays_exactly(&expected, "for the first time");
    cache.store.pin(&parse(&url)).unwrap();
    let told = cache.end();
    assert_eq!(told.iter().filter(|event| **event == noticed).count(), 1);
    let committed = |event: &StoreEvent| matches!(event, StoreEvent::Committed { .. });
    assert!(told.iter().any(committed), "{told:?}");
    assert_eq!(theirs(dir.path()), before);

    // The program starts anew, and the network is gone.
    drop(server);
    plays_unasked(dir.path(), &url, &expected);
    let cache = Cache::at(dir.path());
    assert!(cache.store.is_pinned(&parse(&url)));
    assert_eq!(cache.store.usage().assets, 1);
    assert_eq!(cache.end(), [noticed]);
    assert_eq!(theirs(dir.path()), before);
}

#[test]
fn beside_two_newer_caches_a_title_plays_from_memory_and_nothing_changes() {
    let server = FaultServer::start();
    let (bytes, expected) = long(1);
    server.serve("/a.wav", wav(&bytes));
    let dir = tempfile::tempdir().unwrap();
    take_over(dir.path(), 3);
    take_over(&dir.path().join("v1"), 2);
    let before = files(dir.path());
    let cache = Cache::at(dir.path());
    let url = server.url("/a.wav").to_string();
    Listener::open(cache.config(&url)).plays_exactly(&expected, "from memory");
    let reason = Reason::NewerFormat;
    assert_eq!(cache.end(), [StoreEvent::MemoryOnly { reason }]);
    assert_eq!(files(dir.path()), before);
}
