//! Every call that the store makes to its disk fails once, with each error, in each scenario.

#![allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kithara_assets::{AssetStore, Keep, StoreOptions};
use kithara_storage::{Access, Disk, SimDisk};

use support::*;

const TOTAL: u64 = EXTENT + 500;

/// Something a program does; what it reads on the way is checked there. Returns whether "a" was promised to be pinned.
type Scenario = fn(&Arc<dyn Disk>) -> bool;

const SCENARIOS: [(&str, Scenario); 8] = [
    ("play", play),
    ("partial and restart", restart),
    ("commit and open again", commit),
    ("evict", evict),
    ("pin", pin),
    ("two entries", two),
    ("repair", repair),
    ("discard", discard),
];

fn small() -> StoreOptions {
    let mut options = options();
    options.max_bytes = 150_000;
    options
}

/// A store that may have to do without its disk.
fn open(disk: &Arc<dyn Disk>) -> AssetStore {
    store_with(disk, small(), &Told::default())
}

/// Where in the folder a title lies.
fn layout(store: &AssetStore, name: &str) -> String {
    let id = store.asset(&url(name)).to_string();
    format!("{}/{}", &id[..2], &id[2..])
}

/// Plays a whole resource as somebody with a network does: what is missing is fetched, and all of it is right.
fn listen(store: &AssetStore, name: &str, content: u64) {
    let entry = store.open(&key(store, name));
    while entry.identify(facts(content, TOTAL), Keep::Yes).is_err() {
        entry.discard();
    }
    for _ in 0..20 {
        for gap in missing(&entry, TOTAL) {
            entry.write(gap.start, &bytes(content, gap)).unwrap();
        }
        if assert_true(&entry, content, TOTAL) == TOTAL {
            entry.complete(TOTAL).unwrap();
            return;
        }
    }
    panic!("it does not come to an end");
}

fn play(disk: &Arc<dyn Disk>) -> bool {
    let store = open(disk);
    listen(&store, "a", 1);
    store.settle();
    false
}

fn restart(disk: &Arc<dyn Disk>) -> bool {
    let store = open(disk);
    write(&store, "a", 1, TOTAL, &[0..1000, 2000..EXTENT + 10]);
    drop(store);
    let store = open(disk);
    listen(&store, "a", 1);
    store.settle();
    false
}

fn commit(disk: &Arc<dyn Disk>) -> bool {
    let store = open(disk);
    listen(&store, "a", 1);
    drop(store);
    let store = open(disk);
    listen(&store, "a", 1);
    store.settle();
    false
}

fn evict(disk: &Arc<dyn Disk>) -> bool {
    let store = open(disk);
    for number in 0..4 {
        listen(&store, &format!("{number}"), number);
        store.settle();
    }
    false
}

fn pin(disk: &Arc<dyn Disk>) -> bool {
    let store = open(disk);
    let pinned = store.pin(&url("a")).is_ok();
    listen(&store, "a", 1);
    store.settle();
    pinned
}

fn two(disk: &Arc<dyn Disk>) -> bool {
    let store = open(disk);
    let one = write(&store, "a", 1, TOTAL, &[]);
    let other = write(&store, "a", 1, TOTAL, &[]);
    one.write(0, &bytes(1, 0..EXTENT)).unwrap();
    other.write(EXTENT, &bytes(1, EXTENT..TOTAL)).unwrap();
    store.settle();
    drop(one);
    assert_true(&other, 1, TOTAL);
    drop(other);
    listen(&store, "a", 1);
    store.settle();
    false
}

fn repair(disk: &Arc<dyn Disk>) -> bool {
    let store = open(disk);
    listen(&store, "a", 1);
    store.settle();
    let path = format!("/cache/{}", layout(&store, "a"));
    drop(store);
    let store = open(disk);
    // Somebody flips a bit of what is committed, if it was.
    let whole = disk.list(path.as_ref()).unwrap_or_default();
    if let Some(whole) = whole.iter().find(|one| one.name.len() == 32)
        && let Ok(file) = disk.open(&Path::new(&path).join(&whole.name), Access::Write)
    {
        let _ = file.write_at(77, &[0]);
    }
    listen(&store, "a", 1);
    store.settle();
    false
}

fn discard(disk: &Arc<dyn Disk>) -> bool {
    let store = open(disk);
    write(&store, "a", 1, TOTAL, &[0..EXTENT + 5]);
    store.settle();
    listen(&store, "a", 2);
    drop(store);
    let store = open(disk);
    listen(&store, "a", 2);
    store.settle();
    false
}

#[test]
fn whichever_call_fails_what_is_read_is_right_and_the_store_opens_again() {
    let errors = [
        ErrorKind::StorageFull,
        ErrorKind::Other,
        ErrorKind::PermissionDenied,
    ];
    let runs = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (name, scenario) in SCENARIOS {
            let runs = &runs;
            scope.spawn(move || {
                let healthy = SimDisk::new();
                let disk: Arc<dyn Disk> = Arc::new(healthy.clone());
                scenario(&disk);
                let calls = healthy.calls();
                assert!(calls > 20, "{name}: {calls}");
                for error in errors {
                    for nth in 0..calls {
                        fail(name, scenario, nth, error, false);
                        fail(name, scenario, nth, error, true);
                        runs.fetch_add(2, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    println!("{runs:?} runs with one failure, or all from one on");
}

fn fail(name: &str, scenario: Scenario, nth: u64, error: ErrorKind, forever: bool) {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    if forever {
        sim.fail_from(nth, error);
    } else {
        sim.fail_nth(nth, error);
    }
    let pinned = scenario(&disk);
    sim.heal();
    let what = format!("{name}: call {nth}, {error:?}, forever: {forever}");
    after(&disk, pinned, &what);
}

/// The disk is well again: the store opens, nothing in it is wrong, and everything works.
fn after(disk: &Arc<dyn Disk>, pinned: bool, what: &str) {
    let told = Told::default();
    let store = store_with(disk, small(), &told);
    assert!(!pinned || store.is_pinned(&url("a")), "{what}");
    assert!(!store.is_memory_only(), "{what}");
    for name in ["a", "0", "1", "2", "3"] {
        let entry = store.open(&key(&store, name));
        let etag = entry.snapshot().facts.and_then(|facts| facts.etag);
        match etag.map(|etag| etag.trim_matches('"').parse().unwrap()) {
            Some(content) => drop(assert_true(&entry, content, TOTAL)),
            None => assert!(entry.snapshot().coverage.is_empty(), "{what}"),
        }
    }
    listen(&store, "a", 2);
    store.settle();
    let stored = store.info(store.asset(&url("a")));
    let complete = stored.is_some_and(|stored| stored.complete);
    assert!(complete, "{what}: {:?} {:?}", told.all(), store.list());
    assert_whole(&store, "a", 2, TOTAL);
    assert!(store.usage().bytes <= 150_000, "{what}");
}
