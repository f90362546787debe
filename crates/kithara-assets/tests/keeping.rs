//! What is kept, for how long, and what goes.

#![allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kithara_assets::{AssetError, AssetStoreBuilder, EntryState, Facts, Keep, Reason, StoreEvent};
use kithara_storage::{Access, CallKind, Disk, LockKind, MemDisk, ResourceExt, SimDisk};

use support::*;

fn disk() -> Arc<dyn Disk> {
    Arc::new(MemDisk::new())
}

#[test]
fn a_restart_leaves_exactly_the_missing_ranges_missing() {
    const TOTAL: u64 = 10 * EXTENT + 123;
    let disk = disk();
    let mut model = kithara_storage::Coverage::new();
    let mut dice = Dice(3);
    for _ in 0..12 {
        let store = store_on(&disk);
        let entry = store.open(&key(&store, "a"));
        assert_eq!(entry.snapshot().coverage, model);
        assert_eq!(assert_true(&entry, 1, TOTAL), model.total());
        entry.identify(facts(1, TOTAL), Keep::Yes).unwrap();
        for _ in 0..4 {
            let from = dice.below(TOTAL);
            let range = from..(from + 1 + dice.below(90_000)).min(TOTAL);
            entry.write(range.start, &bytes(1, range.clone())).unwrap();
            model.insert(range);
        }
        if dice.below(2) == 0 {
            store.settle();
        }
    }
    let store = store_on(&disk);
    fill(&store, "a", 1, TOTAL);
    drop(store);
    let store = store_on(&disk);
    assert_whole(&store, "a", 1, TOTAL);
}

#[test]
fn what_the_origin_said_is_kept_with_the_bytes() {
    let disk = disk();
    let told = Facts {
        total: Some(2 * EXTENT),
        etag: Some("\"e\"".into()),
        last_modified: Some("Mon, 01 Jan 2024 00:00:00 GMT".into()),
        media_type: Some("audio/mpeg".into()),
    };
    let store = store_on(&disk);
    let entry = store.open(&key(&store, "a"));
    entry.identify(told.clone(), Keep::Yes).unwrap();
    entry.write(0, &bytes(1, 0..10)).unwrap();
    entry.validated(1_700_000_000);
    drop((entry, store));
    let store = store_on(&disk);
    let entry = store.open(&key(&store, "a"));
    assert_eq!(entry.snapshot().facts, Some(told.clone()));
    assert_eq!(entry.snapshot().end, Some(2 * EXTENT));
    assert_eq!(entry.validated_at(), Some(1_700_000_000));
    entry.write(10, &bytes(1, 10..2 * EXTENT)).unwrap();
    entry.complete(2 * EXTENT).unwrap();
    entry.validated(1_600_000_000);
    drop((entry, store));
    let store = store_on(&disk);
    let entry = store.open(&key(&store, "a"));
    assert_eq!(
        (entry.state(), entry.snapshot().facts),
        (EntryState::Ready, Some(told))
    );
    assert_eq!(
        entry.validated_at(),
        Some(1_600_000_000),
        "a clock may go back"
    );
}

#[test]
fn a_whole_resource_whose_commit_did_not_happen_is_committed_the_next_time() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    sim.on_call(|call| match call.kind {
        CallKind::Rename => Err(std::io::ErrorKind::Other.into()),
        _ => Ok(()),
    });
    let store = store_on(&disk);
    fill(&store, "a", 1, 3 * EXTENT);
    store.settle();
    assert!(!store.list()[0].complete);
    drop(store);
    sim.on_call(|_| Ok(()));
    let store = store_on(&disk);
    let entry = store.open(&key(&store, "a"));
    assert_eq!(entry.state(), EntryState::Ready);
    store.settle();
    drop(entry);
    assert!(store.list()[0].complete);
    assert_whole(&store, "a", 1, 3 * EXTENT);
}

#[test]
fn a_reader_that_outlives_its_store_hinders_no_later_one() {
    let (disk, told) = (disk(), Told::default());
    let store = store_on(&disk);
    let entry = write(&store, "a", 1, 3 * EXTENT, &[0..EXTENT]);
    let reader = entry.resource();
    drop((entry, store));
    let store = store_with(&disk, options(), &told);
    let entry = store.open(&key(&store, "a"));
    assert_eq!(assert_true(&entry, 1, 3 * EXTENT), EXTENT);
    assert_eq!(
        told.count(|event| matches!(event, StoreEvent::SharedByProcess)),
        0
    );
    let mut buf = [0; 10];
    assert_eq!(reader.read_at(5, &mut buf).unwrap(), 10);
    assert_eq!(buf[..], bytes(1, 5..15));
    drop(entry);
    let removed = store.remove(&url("a"));
    assert!(matches!(removed, Err(AssetError::InUse)), "{removed:?}");
}

/// What hears of a store, and looks when it goes whether anything is still locked.
struct End(Arc<dyn Disk>, std::path::PathBuf, Arc<AtomicBool>);

impl Drop for End {
    fn drop(&mut self) {
        let lock = self.0.lock(&self.1, LockKind::Exclusive).unwrap();
        self.2.store(lock.is_some(), Ordering::SeqCst);
    }
}

#[test]
fn nothing_is_locked_any_more_when_nobody_is_told_any_more() {
    let disk = disk();
    let store = store_on(&disk);
    fill(&store, "a", 1, 100);
    let id = store.asset(&url("a")).to_string();
    drop(store);
    let path = format!("/cache/{}/{}/lease", &id[..2], &id[2..]);
    let free = Arc::new(AtomicBool::new(false));
    let end = End(disk.clone(), path.into(), free.clone());
    let hears = move |_| {
        let _ = &end;
    };
    let builder = AssetStoreBuilder::new(options()).with_disk(disk.clone());
    let store = builder.with_events(Arc::new(hears)).build().unwrap();
    let reader = store.open(&key(&store, "a")).resource();
    drop(store);
    // Its keeper has ended when there is another one.
    drop(store_on(&disk));
    assert!(!free.load(Ordering::SeqCst));
    drop(reader);
    assert!(free.load(Ordering::SeqCst));
}

#[test]
fn opening_what_is_whole_writes_nothing_and_looks_at_its_own_folder_only() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let store = store_on(&disk);
    for name in ["a", "b", "c"] {
        fill(&store, name, 1, 100);
    }
    drop(store);
    let store = store_on(&disk);
    let folder = format!("/{}", &store.asset(&url("a")).to_string()[2..]);
    let here = std::thread::current().id();
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let log = seen.clone();
    sim.on_call(move |call| {
        if std::thread::current().id() == here {
            log.lock()
                .push((call.kind, call.path.to_string_lossy().into_owned()));
        }
        Ok(())
    });
    let entry = store.open(&key(&store, "a"));
    assert_eq!(assert_true(&entry, 1, 100), 100);
    sim.on_call(|_| Ok(()));
    let changes = |kind: &CallKind| {
        matches!(
            kind,
            CallKind::Write | CallKind::SetLen | CallKind::Rename | CallKind::Sync | CallKind::List
        )
    };
    for (kind, path) in seen.lock().iter() {
        assert!(!changes(kind), "{kind:?} {path}");
        assert!(
            *kind == CallKind::CreateDir || path.contains(&folder),
            "{kind:?} {path}"
        );
    }
}

#[test]
fn the_budget_holds_and_the_longest_unused_go_first() {
    let (disk, told) = (disk(), Told::default());
    let mut options = options();
    options.max_bytes = 1_000_000;
    let store = store_with(&disk, options.clone(), &told);
    let size = 90_000;
    for number in 0..30 {
        fill(&store, &format!("{number}"), number, size);
        store.settle();
        // The first one is used again and again.
        assert_whole(&store, "0", 0, size);
        store.settle();
        assert!(store.usage().bytes <= options.max_bytes);
    }
    assert!(told.count(|event| matches!(event, StoreEvent::Evicted { .. })) > 0);
    assert_whole(&store, "29", 29, size);
    assert_whole(&store, "0", 0, size);
    assert_eq!(store.open(&key(&store, "1")).state(), EntryState::Fill);
    // A smaller limit takes effect when something is stored next.
    drop(store);
    options.max_bytes = 300_000;
    let store = store_with(&disk, options, &told);
    fill(&store, "new", 77, size);
    store.settle();
    assert!(store.usage().bytes <= 300_000);
    assert_whole(&store, "new", 77, size);
}

#[test]
fn the_number_of_titles_is_bounded_too() {
    let disk = disk();
    let mut options = options();
    options.max_assets = 5;
    let store = store_with(&disk, options, &Told::default());
    for number in 0..20 {
        fill(&store, &format!("{number}"), number, 100);
        store.settle();
        assert!(store.usage().assets <= 5);
    }
    assert_whole(&store, "19", 19, 100);
}

#[test]
fn what_is_open_or_leased_is_never_removed() {
    let (disk, told) = (disk(), Told::default());
    let mut options = options();
    options.max_bytes = 400_000;
    let store = store_with(&disk, options, &told);
    fill(&store, "open", 1, 100_000);
    fill(&store, "leased", 2, 100_000);
    let entry = store.open(&key(&store, "open"));
    let lease = store.open(&key(&store, "leased")).lease().clone();
    for number in 0..10 {
        fill(&store, &format!("{number}"), number, 100_000);
        store.settle();
    }
    assert!(matches!(store.remove(&url("open")), Err(AssetError::InUse)));
    assert_eq!(store.clear().in_use, 2);
    assert_eq!(assert_true(&entry, 1, 100_000), 100_000);
    drop(lease);
    assert!(store.remove(&url("leased")).unwrap());
    assert!(!store.remove(&url("leased")).unwrap());
    drop(entry);
    store.settle();
    assert_eq!(store.clear().removed, 1);
    assert_eq!(store.usage().bytes, 0);
}

#[test]
fn pins_hold_through_pressure_and_restart() {
    let disk = disk();
    let mut options = options();
    options.max_bytes = 500_000;
    let store = store_with(&disk, options.clone(), &Told::default());
    store.pin(&url("before")).unwrap();
    fill(&store, "before", 1, 100_000);
    fill(&store, "after", 2, 100_000);
    store.settle();
    store.pin(&url("after")).unwrap();
    drop(store);
    let store = store_with(&disk, options, &Told::default());
    for number in 0..10 {
        fill(&store, &format!("{number}"), number, 100_000);
        store.settle();
    }
    assert!(store.is_pinned(&url("before")) && store.is_pinned(&url("after")));
    assert!(!store.is_pinned(&url("9")));
    let cleared = store.clear();
    assert_eq!(cleared.pinned, 2);
    assert_whole(&store, "before", 1, 100_000);
    assert_whole(&store, "after", 2, 100_000);
    store.settle();
    store.unpin(&url("before")).unwrap();
    assert_eq!(store.clear().removed, 1);
    assert_eq!(store.list().len(), 1);
    assert!(store.list()[0].pinned && store.list()[0].complete);
}

#[test]
fn a_pin_that_fails_leaves_none_behind_and_takes_none_away() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let store = store_on(&disk);
    for pinned in [false, true] {
        sim.on_call(|call| match call.kind {
            CallKind::SyncDir => Err(std::io::ErrorKind::Other.into()),
            _ => Ok(()),
        });
        assert!(matches!(store.pin(&url("a")), Err(AssetError::Storage(_))));
        assert_eq!(store.is_pinned(&url("a")), pinned);
        sim.on_call(|_| Ok(()));
        store.pin(&url("a")).unwrap();
    }
    assert!(store.is_pinned(&url("a")));
}

#[test]
fn pins_over_the_limit_are_refused_with_numbers_and_what_does_not_fit_is_played_from_memory() {
    let (disk, told) = (disk(), Told::default());
    let mut options = options();
    options.max_bytes = 300_000;
    let store = store_with(&disk, options.clone(), &told);
    // Its length is known from its facts; a tenth of it is stored.
    let entry = write(&store, "b", 2, 150_000, &[0..15_000]);
    store.settle();
    fill(&store, "a", 1, 200_000);
    store.settle();
    store.pin(&url("a")).unwrap();
    let refused = |store: &kithara_assets::AssetStore| match store.pin(&url("b")) {
        Err(AssetError::PinnedTooMuch { needed, limit }) => (needed, limit),
        other => panic!("{other:?}"),
    };
    let (needed, limit) = refused(&store);
    assert!(
        (350_000..352_000).contains(&needed) && limit == 300_000,
        "{needed}"
    );
    drop(entry);
    store.settle();
    assert!(refused(&store).0 >= 350_000, "also when nobody has it open");
    assert!(!store.is_pinned(&url("b")));
    store.unpin(&url("a")).unwrap();
    store.pin(&url("b")).unwrap();
    store.pin(&url("a")).unwrap_err();
    drop(store);

    // The limit has shrunk below what is pinned: the pin holds, and new titles are played from memory.
    options.max_bytes = 10_000;
    let store = store_with(&disk, options, &told);
    fill(&store, "c", 3, 50_000);
    let entry = store.open(&key(&store, "b"));
    assert!(assert_true(&entry, 2, 150_000) > 0);
    drop(entry);
    store.settle();
    assert!(store.is_pinned(&url("b")));
    assert!(told.count(|event| matches!(event, StoreEvent::Full { limit: 10_000, .. })) > 0);
    assert!(
        told.count(|event| matches!(
            event,
            StoreEvent::Bypassed {
                reason: Reason::Full
            }
        )) > 0
    );
}

#[test]
fn a_full_disk_is_emptied_of_what_is_unused_and_then_bypassed() {
    let (disk, told) = (Arc::new(SimDisk::bounded(1_000_000)), Told::default());
    let shared: Arc<dyn Disk> = disk.clone();
    let store = store_with(&shared, options(), &told);
    for number in 0..20 {
        fill(&store, &format!("{number}"), number, 150_000);
        store.settle();
        assert_whole(&store, &format!("{number}"), number, 150_000);
    }
    assert_eq!(
        told.count(|event| matches!(event, StoreEvent::Full { .. })),
        0
    );
    // More than the disk: what fits is kept, the rest is in memory, and all of it can be read.
    let total = 2_000_000;
    let entry = write(&store, "long", 99, total, &[0..total]);
    store.settle();
    assert_eq!(assert_true(&entry, 99, total), total);
    assert!(told.count(|event| matches!(event, StoreEvent::Full { .. })) > 0);
    assert!(entry.snapshot().memory_only.is_some());
    assert_eq!(entry.resource().coverage().total(), total);
}

#[test]
fn the_floor_of_free_disk_is_left_to_others() {
    let (disk, told) = (Arc::new(MemDisk::bounded(2_000_000)), Told::default());
    let shared: Arc<dyn Disk> = disk.clone();
    let mut options = options();
    options.min_free = 1_000_000;
    let store = store_with(&shared, options, &told);
    for number in 0..20 {
        fill(&store, &format!("{number}"), number, 150_000);
        store.settle();
        let free = disk.free_bytes(std::path::Path::new("/cache")).unwrap();
        assert!(free >= 900_000, "{free}");
    }
    assert_whole(&store, "19", 19, 150_000);
    assert!(told.count(|event| matches!(event, StoreEvent::Evicted { .. })) > 0);
}

#[test]
fn a_flipped_bit_and_a_hole_are_noticed_fetched_again_and_repaired() {
    const TOTAL: u64 = 3 * EXTENT + 50;
    let disk = Arc::new(MemDisk::new());
    let shared: Arc<dyn Disk> = disk.clone();
    let told = Told::default();
    let store = store_with(&shared, options(), &told);
    fill(&store, "a", 1, TOTAL);
    store.settle();
    drop(store);
    let path = committed(&disk);
    let file = disk.open(&path, Access::Write).unwrap();
    for (at, length) in [(5, 1), (2 * EXTENT, EXTENT), (3 * EXTENT + 7, 1)] {
        file.write_at(at, &vec![0; length as usize]).unwrap();
        let store = store_with(&shared, options(), &told);
        let entry = store.open(&key(&store, "a"));
        let kept = assert_true(&entry, 1, TOTAL);
        assert!(kept < TOTAL);
        let gaps = missing(&entry, TOTAL);
        assert_eq!(gaps.len(), 1);
        assert_eq!(kept, TOTAL - (gaps[0].end - gaps[0].start));
        entry
            .write(gaps[0].start, &bytes(1, gaps[0].clone()))
            .unwrap();
        entry.complete(TOTAL).unwrap();
        assert_eq!(assert_true(&entry, 1, TOTAL), TOTAL);
        drop((entry, store));
        let store = store_with(&shared, options(), &told);
        assert_whole(&store, "a", 1, TOTAL);
    }
    assert_eq!(
        told.count(|event| matches!(event, StoreEvent::Damaged { .. })),
        3
    );
}

#[test]
fn bytes_that_can_be_saved_nowhere_keep_no_title_from_being_removed() {
    const TOTAL: u64 = 2 * EXTENT;
    let disk = Arc::new(MemDisk::new());
    let shared: Arc<dyn Disk> = disk.clone();
    let store = store_on(&shared);
    // A lost extent of which only a part comes again.
    fill(&store, "a", 1, TOTAL);
    store.settle();
    let file = disk.open(&committed(&disk), Access::Write).unwrap();
    file.write_at(5, &[0]).unwrap();
    let entry = store.open(&key(&store, "a"));
    assert_eq!(assert_true(&entry, 1, TOTAL), EXTENT);
    entry.write(100, &bytes(1, 100..2000)).unwrap();
    drop(entry);
    store.settle();
    let entry = store.open(&key(&store, "a"));
    assert_true(&entry, 1, TOTAL);
    assert_eq!(missing(&entry, TOTAL), [0..EXTENT], "it was let go");
    drop(entry);
    store.settle();
    assert!(store.remove(&url("a")).unwrap());
    // More than there turned out to be.
    let entry = write(&store, "b", 1, EXTENT, &[0..TOTAL + 10]);
    entry.complete(EXTENT).unwrap();
    store.settle();
    drop(entry);
    store.settle();
    assert!(store.remove(&url("b")).unwrap());
}

/// The only committed file.
fn committed(disk: &MemDisk) -> std::path::PathBuf {
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from("/cache")];
    while let Some(folder) = folders.pop() {
        for one in disk.list(&folder).unwrap() {
            let path = folder.join(&one.name);
            if one.kind == kithara_storage::ListedKind::Directory {
                folders.push(path);
            } else if one.name.len() == 32 {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn a_slow_disk_delays_no_write_and_memory_stays_bounded() {
    let sim = SimDisk::new();
    let (disk, told): (Arc<dyn Disk>, _) = (Arc::new(sim.clone()), Told::default());
    let store = store_with(&disk, options(), &told);
    // The disk stands still until it is told to go on.
    let (open, gate) = (
        Arc::new(parking_lot::Mutex::new(false)),
        Arc::new(parking_lot::Condvar::new()),
    );
    let (hook_open, hook_gate) = (open.clone(), gate.clone());
    sim.on_call(move |call| {
        if call.kind == CallKind::Write {
            let mut open = hook_open.lock();
            while !*open {
                hook_gate.wait(&mut open);
            }
        }
        Ok(())
    });
    let total = 40 << 20;
    let entry = store.open(&key(&store, "a"));
    entry.identify(facts(1, total), Keep::Yes).unwrap();
    // 40 MiB are written while not one write of the disk ends.
    for at in (0..total).step_by(EXTENT as usize) {
        entry
            .write(at, &vec![byte(1, at); EXTENT as usize])
            .unwrap();
        let held = entry.snapshot().coverage.total();
        assert!(held <= (8 << 20) + EXTENT, "{held}");
    }
    let coverage = entry.snapshot().coverage;
    assert_eq!(
        coverage.covered_from(total - (7 << 20)),
        total,
        "the newest are there"
    );
    let slow = |event: &StoreEvent| {
        matches!(
            event,
            StoreEvent::Bypassed {
                reason: Reason::Slow
            }
        )
    };
    assert_eq!(told.count(slow), 1);
    *open.lock() = true;
    gate.notify_all();
    store.settle();
    let mut buf = [0; 8];
    let resource = entry.resource();
    for range in coverage.iter() {
        for at in range.step_by(EXTENT as usize) {
            assert!(resource.read_at(at, &mut buf).unwrap() > 0);
            assert_eq!(buf[0], byte(1, at - at % EXTENT));
        }
    }
}
