//! A process that may open no more files: what is stored stays stored, whatever is tried meanwhile.

#![cfg(unix)]
#![allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::io;
use std::sync::Arc;

use kithara_assets::{AssetStore, EntryState, Keep, StoreEvent};
use kithara_storage::{CallKind, Disk, ResourceExt, SimDisk, StorageError, too_many_open};

use support::*;

const TOTAL: u64 = EXTENT + 500;
const EMFILE: i32 = 24;

/// Calls that open something, also where it is closed again at once; a read may find its file closed by the pool.
fn opens(kind: CallKind) -> bool {
    use CallKind::{Len, List, Lock, Open, Read, SyncDir};
    matches!(kind, Open | List | Lock | SyncDir | Read | Len)
}

/// From the `nth` call on, and for so many calls, the process has no room for a file.
fn no_room(disk: &SimDisk, nth: u64, calls: u64) {
    let range = disk.calls() + nth..disk.calls().saturating_add(nth).saturating_add(calls);
    disk.on_call(
        move |call| match opens(call.kind) && range.contains(&call.number) {
            true => Err(io::Error::from_raw_os_error(EMFILE)),
            false => Ok(()),
        },
    );
}

#[test]
fn what_cannot_be_read_for_want_of_a_descriptor_is_no_damage() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let store = store_on(&disk);
    fill(&store, "whole", 1, TOTAL);
    write(&store, "part", 1, TOTAL, &[0..EXTENT]);
    drop(store);
    let told = Told::default();
    let store = store_with(&disk, options(), &told);
    let entries = ["whole", "part"].map(|name| store.open(&key(&store, name)));
    store.settle();
    no_room(&sim, 0, u64::MAX);
    for entry in &entries {
        let mut buf = [0; 100];
        // What can't be compared is not taken for compared.
        let other = entry.write_checked(0, &bytes(2, 0..100));
        assert!(
            matches!(&other, Err(StorageError::Io { source, .. }) if too_many_open(source)),
            "{other:?}"
        );
        // It counts as missing, so that somebody brings it, and is played from memory then.
        let read = entry.resource().read_at(70, &mut buf);
        assert!(matches!(read, Err(StorageError::Lost { .. })), "{read:?}");
        assert_eq!(
            entry.snapshot().coverage.next_gap(0, EXTENT),
            Some(0..EXTENT)
        );
        entry.write(70, &bytes(1, 70..100)).unwrap();
        assert_eq!(entry.resource().read_at(70, &mut buf).unwrap(), 30);
    }
    no_room(&sim, 0, 0);
    // Who comes, and who goes on, finds all of it.
    let newcomer = store.open(&key(&store, "whole"));
    assert_eq!(newcomer.state(), EntryState::Ready);
    assert_eq!(assert_true(&newcomer, 1, TOTAL), TOTAL);
    entries[1].reactivate();
    assert_eq!(assert_true(&entries[0], 1, TOTAL), TOTAL);
    assert_eq!(assert_true(&entries[1], 1, TOTAL), EXTENT);
    assert_eq!(
        told.count(|event| matches!(event, StoreEvent::Damaged { .. })),
        0
    );
}

/// What somebody does who knows nothing of descriptors: plays what is there, fetches what isn't, pins again.
fn carry_on(store: &AssetStore) {
    for name in ["whole", "part", "new"] {
        let entry = store.open(&key(store, name));
        let mut buf = [0; 5000];
        // It plays, or what is there counts as missing for now.
        match entry.resource().read_at(0, &mut buf) {
            Ok(count) => assert!(buf[..count] == bytes(1, 0..count as u64)),
            Err(error) => assert!(matches!(error, StorageError::Lost { .. }), "{error:?}"),
        }
        entry.identify(facts(1, TOTAL), Keep::Yes).unwrap();
        for gap in missing(&entry, TOTAL) {
            entry.write(gap.start, &bytes(1, gap)).unwrap();
        }
        entry.complete(TOTAL).unwrap();
        // It may have been refused.
        let _ = store.pin(&url(name));
        store.settle();
    }
}

#[test]
fn whichever_calls_find_no_descriptor_nothing_that_was_stored_is_lost() {
    let stored = || {
        let sim = SimDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let store = store_on(&disk);
        fill(&store, "whole", 1, TOTAL);
        store.pin(&url("whole")).unwrap();
        write(&store, "part", 1, TOTAL, &[0..EXTENT]);
        drop(store);
        let store = store_on(&disk);
        (sim, disk, store)
    };
    let (sim, _, store) = stored();
    let before = sim.calls();
    carry_on(&store);
    drop(store);
    let calls = sim.calls() - before;
    assert!(calls > 50, "{calls}");
    for nth in 0..calls {
        for count in [1, 5, u64::MAX / 2] {
            let (sim, disk, store) = stored();
            no_room(&sim, nth, count);
            carry_on(&store);
            drop(store);
            sim.on_call(|_| Ok(()));
            let store = store_on(&disk);
            assert_whole(&store, "whole", 1, TOTAL);
            assert!(store.is_pinned(&url("whole")), "call {nth}, {count}");
            let part = store.open(&key(&store, "part"));
            let kept = assert_true(&part, 1, TOTAL);
            assert!(kept >= EXTENT, "call {nth}, {count}: {kept}");
        }
    }
}
