//! What doesn't fit: temporary files stop growing at their limit, and a title too large for the store drives nobody out.

#![allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::sync::Arc;

use kithara_assets::{
    AssetStore, AssetStoreBuilder, EntryState, Facts, Keep, Reason, StoreEvent, StoreOptions,
};
use kithara_storage::{Disk, MemDisk, ResourceExt};
use parking_lot::Mutex;

use support::*;

const MIB: u64 = 1 << 20;
/// What one resource may hold in memory.
const WINDOW: u64 = 8 * MIB;

/// What temporary files take is measured for the whole process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn full(event: &StoreEvent) -> bool {
    let reason = Reason::Full;
    *event == StoreEvent::Bypassed { reason }
}

fn told_full(event: &StoreEvent) -> bool {
    matches!(event, StoreEvent::Full { .. })
}

/// Writes and reads this many bytes of something that may not be kept, where a mebibyte may lie in temporary files.
fn not_kept(len: u64, total: Option<u64>) {
    let _alone = ALONE.lock();
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::at(dir.path());
    (options.min_free, options.max_bytes) = (0, MIB);
    let told = Told::default();
    let store = AssetStoreBuilder::new(options)
        .with_events(told.listener())
        .build()
        .unwrap();
    let entry = store.open(&key(&store, "a"));
    let facts = Facts {
        total,
        ..Facts::default()
    };
    entry.identify(facts, Keep::No).unwrap();
    let mut buf = vec![0; EXTENT as usize];
    for start in (0..len).step_by(EXTENT as usize) {
        let stretch = bytes(1, start..start + EXTENT);
        entry.write(start, &stretch).unwrap();
        // It is read as it comes, whatever becomes of it later.
        assert_eq!(
            entry.resource().read_at(start, &mut buf).unwrap(),
            buf.len()
        );
        assert!(buf == stretch, "at {start}");
        store.settle();
    }
    let seen = entry.snapshot();
    assert_eq!(seen.not_kept, Some(Reason::Full));
    assert_eq!(seen.memory_only, Some(WINDOW), "who fetches is held back");
    assert!(seen.coverage.contains(0..MIB), "what was saved stays");
    assert!(seen.coverage.contains(len - WINDOW..len));
    assert_eq!(seen.coverage.total(), MIB + WINDOW);
    assert_eq!(assert_true(&entry, 1, len), MIB + WINDOW);
    #[cfg(target_os = "linux")]
    assert_eq!(nameless_bytes(), MIB);
    assert_eq!(told.count(full), 1, "{:?}", told.all());
    assert_eq!(told.all().len(), 1, "{:?}", told.all());
    drop(entry);
    store.settle();
    assert_eq!(store.usage().assets, 0);
    // The next one has all of it again.
    let entry = store.open(&key(&store, "b"));
    entry.identify(Facts::default(), Keep::No).unwrap();
    entry.write(0, &bytes(1, 0..EXTENT)).unwrap();
    store.settle();
    assert_eq!(entry.snapshot().not_kept, Some(Reason::NoStore));
}

#[test]
fn an_endless_stream_stops_growing_at_the_limit() {
    not_kept(20 * MIB, None);
}

#[test]
fn what_may_not_be_kept_stops_growing_at_the_limit() {
    not_kept(20 * MIB, Some(30 * MIB));
}

#[test]
fn two_streams_share_what_temporary_files_may_take() {
    let _alone = ALONE.lock();
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::at(dir.path());
    (options.min_free, options.max_bytes) = (0, 10 * EXTENT);
    let store = AssetStoreBuilder::new(options).build().unwrap();
    let entries = ["a", "b"].map(|name| store.open(&key(&store, name)));
    for start in (0..8 * EXTENT).step_by(EXTENT as usize) {
        for entry in &entries {
            entry.identify(Facts::default(), Keep::No).unwrap();
            entry
                .write(start, &bytes(1, start..start + EXTENT))
                .unwrap();
            store.settle();
        }
    }
    #[cfg(target_os = "linux")]
    assert_eq!(nameless_bytes(), 10 * EXTENT);
    for entry in &entries {
        assert_eq!(entry.snapshot().not_kept, Some(Reason::Full));
        assert_eq!(assert_true(entry, 1, 8 * EXTENT), 8 * EXTENT);
    }
}

const SMALL: u64 = 100_000;

/// A store of these limits on a disk where three small titles are stored, and what it tells.
fn three(disk: &Arc<dyn Disk>, max_bytes: u64) -> (AssetStore, Told) {
    let mut limited = options();
    limited.max_bytes = MIB;
    let store = store_with(disk, limited.clone(), &Told::default());
    (0..3).for_each(|title| fill(&store, &format!("{title}"), title, SMALL));
    drop(store);
    let told = Told::default();
    limited.max_bytes = max_bytes;
    (store_with(disk, limited, &told), told)
}

/// A title of this length is written, read, and costs the small ones nothing.
fn too_large(store: &AssetStore, told: &Told, total: u64) {
    let entry = write(store, "large", 9, total, &[]);
    for gap in missing(&entry, total) {
        for start in gap.clone().step_by(EXTENT as usize) {
            let range = start..(start + EXTENT).min(gap.end);
            entry.write(range.start, &bytes(9, range)).unwrap();
            store.settle();
        }
    }
    // Memory has room for all of it.
    assert_eq!(assert_true(&entry, 9, total), total);
    assert_eq!(entry.snapshot().not_kept, Some(Reason::Full));
    assert_eq!(told.count(told_full), 1, "{:?}", told.all());
    assert_eq!(told.count(full), 1, "{:?}", told.all());
    assert_eq!(told.all().len(), 2, "{:?}", told.all());
    for title in 0..3 {
        assert_whole(store, &format!("{title}"), title, SMALL);
    }
}

#[test]
fn a_title_larger_than_the_store_removes_nobody() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let (store, told) = three(&disk, MIB);
    too_large(&store, &told, 2 * MIB);
    assert_eq!(store.usage().assets, 3, "nothing of it is kept");
    let limit = MIB;
    let of_two = |event: &StoreEvent| match event {
        StoreEvent::Full { needed, limit: of } => *needed > 2 * MIB && *of == limit,
        _ => false,
    };
    assert_eq!(told.count(of_two), 1, "{:?}", told.all());
}

#[test]
fn a_title_larger_than_the_disk_removes_nobody() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::bounded(MIB));
    let (store, told) = three(&disk, u64::MAX);
    too_large(&store, &told, 2 * MIB);
    assert_eq!(store.usage().assets, 3, "nothing of it is kept");
}

#[test]
fn a_title_larger_than_what_pins_leave_removes_nobody() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let (store, told) = three(&disk, MIB);
    store.pin(&url("0")).unwrap();
    too_large(&store, &told, MIB - SMALL);
    assert_eq!(store.usage().assets, 3, "nothing of it is kept");
    // What would have been in its way is pinned no longer.
    store.unpin(&url("0")).unwrap();
    fill(&store, "other", 8, MIB - SMALL);
    store.settle();
    assert_eq!(store.open(&key(&store, "other")).state(), EntryState::Ready);
    assert_eq!(store.open(&key(&store, "other")).snapshot().not_kept, None);
    assert_eq!(told.count(told_full), 1, "{:?}", told.all());
}

#[test]
fn a_part_whose_rest_would_no_longer_fit_removes_nobody() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let total = 900_000;
    let store = store_on(&disk);
    drop(write(&store, "large", 9, total, &[0..200_000]));
    drop(store);
    let (store, told) = three(&disk, 600_000);
    too_large(&store, &told, total);
    let stored = store.info(store.asset(&url("large"))).unwrap().bytes;
    assert!(stored < 600_000 - 3 * SMALL, "{stored}");
}

#[test]
fn what_a_lower_limit_has_no_room_for_goes_also_where_nothing_new_is_kept() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let (store, told) = three(&disk, 2 * SMALL + SMALL / 2);
    let entry = write(&store, "large", 9, MIB, &[0..EXTENT]);
    store.settle();
    assert_eq!(entry.snapshot().not_kept, Some(Reason::Full));
    assert_eq!(store.usage().assets, 2, "{:?}", told.all());
    assert_eq!(told.count(told_full), 1, "{:?}", told.all());
}
