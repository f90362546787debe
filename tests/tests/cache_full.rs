//! A disk of 16 MiB that really is full: titles play on, and what is stored stays what it is.
//!
//! Where this process may mount one, it is a file system of its own, in a namespace of a child; elsewhere a disk in memory
//! of that size. What it was is printed.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::path::Path;

use kithara::assets::StoreEvent;
use kithara::storage::{Access, Disk, MemDisk};
use kithara_tests::server::FaultServer;

use cache::*;
use network::*;

const SIZE: u64 = 16 << 20;
/// Two titles of this length are more than fit.
const SECONDS: u32 = 55;
/// What the parent tells its child.
const DIR: &str = "KITHARA_TEST_DISK";

/// A disk, as this test needs it.
trait Small {
    fn cache(&self) -> Cache;
    /// Takes all the room that is left, as somebody else's file.
    fn fill_up(&self);
}

struct Mounted<'a>(&'a Path);

impl Small for Mounted<'_> {
    fn cache(&self) -> Cache {
        Cache::at(&self.0.join("cache"))
    }

    fn fill_up(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.0.join("somebody's")).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[1; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}

struct InMemory(MemDisk);

impl Small for InMemory {
    fn cache(&self) -> Cache {
        Cache::on(self.0.clone())
    }

    fn fill_up(&self) {
        let file = self.0.open("/somebody's".as_ref(), Access::Create).unwrap();
        let full = (0..).find(|block| file.write_at(block * 4096, &[1; 4096]).is_err());
        assert!(full.is_some());
    }
}

fn is_committed(event: &StoreEvent) -> bool {
    matches!(event, StoreEvent::Committed { .. })
}

fn is_for_want_of_room(event: &StoreEvent) -> bool {
    matches!(
        event,
        StoreEvent::Full { .. } | StoreEvent::Bypassed { .. } | StoreEvent::Evicted { .. }
    )
}

fn play_on(disk: &dyn Small) {
    let (bytes, expected) = long(SECONDS);
    assert!(bytes.len() as u64 > SIZE / 2 && (bytes.len() as u64) < SIZE - (2 << 20));
    let server = FaultServer::start();
    let url = |name: &str| server.url(&format!("/{name}.wav"));
    for name in ["a", "b", "c"] {
        server.serve(&format!("/{name}.wav"), wav(&bytes));
    }
    let play = |name: &str, what: &str| {
        let cache = disk.cache();
        let tap = Tap::default();
        Listener::open(cache.tapped(&url(name), &tap)).plays_exactly(&expected, what);
        (cache, tap.log().len())
    };
    let (cache, _) = play("a", "with room");
    cache.store.pin(&parse(&url("a"))).unwrap();
    assert!(cache.end().iter().any(is_committed));
    let (cache, _) = play("b", "without room, and nothing may go");
    let told = cache.end();
    assert!(
        told.iter().any(is_for_want_of_room) && !told.iter().any(is_committed),
        "{told:?}"
    );
    let (cache, asked) = play("a", "pinned and stored");
    assert_eq!(asked, 0);
    cache.store.unpin(&parse(&url("a"))).unwrap();
    cache.end();
    let (cache, _) = play("b", "in the place of another");
    let told = cache.end();
    assert!(
        told.iter().any(is_for_want_of_room) && told.iter().any(is_committed),
        "{told:?}"
    );

    // Somebody else takes what room there is, while a title plays that was to be kept.
    let cache = disk.cache();
    assert!(cache.store.remove(&parse(&url("b"))).unwrap());
    let config = cache.config(&url("c")).with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    listener.read_samples(200_000).unwrap();
    cache.store.settle();
    disk.fill_up();
    listener.play().unwrap();
    assert_same(&listener.pcm, &expected, "while the disk fills up");
    drop(listener);
    let told = cache.end();
    assert!(
        told.iter().any(is_for_want_of_room) && !told.iter().any(is_committed),
        "{told:?}"
    );
    let (cache, asked) = play("c", "on a disk that is full");
    assert!(asked > 0, "it could not be kept");
    cache.end();
}

/// Runs this test in a child that has a disk of its own there; what it printed, if there can be such a child.
#[cfg(target_os = "linux")]
fn with_mounted(test: &str) -> Option<String> {
    const MOUNTED: &str = "kithara: mounted";
    let dir = tempfile::tempdir().unwrap();
    let script =
        format!("mount -t tmpfs -o size={SIZE} none \"${DIR}\" && echo {MOUNTED} && exec \"$@\"");
    let child = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir.path())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&[child.stdout, child.stderr].concat()).into_owned();
    if !text.contains(MOUNTED) {
        println!("no file system of our own: {}", text.trim());
        return None;
    }
    assert!(child.status.success(), "{text}");
    Some(text)
}

#[cfg(not(target_os = "linux"))]
fn with_mounted(_test: &str) -> Option<String> {
    None
}

#[test]
fn on_a_disk_that_really_is_full_titles_play_on_and_what_is_stored_stays() {
    const TEST: &str = "on_a_disk_that_really_is_full_titles_play_on_and_what_is_stored_stays";
    if let Some(dir) = std::env::var_os(DIR) {
        return play_on(&Mounted(Path::new(&dir)));
    }
    match with_mounted(TEST) {
        Some(_) => println!("on a file system of 16 MiB"),
        None => {
            println!("on a disk of 16 MiB in memory");
            play_on(&InMemory(MemDisk::bounded(SIZE)));
        }
    }
}
