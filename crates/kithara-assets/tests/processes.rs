//! Several processes with one folder: two `Arc`s of one disk are to each other what two processes are.

#![allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::path::Path;
use std::sync::Arc;

use kithara_assets::{AssetError, EntryState, Keep, StoreEvent};
use kithara_storage::{CallKind, Disk, ListedKind, MemDisk, SimDisk};

use support::*;

const TOTAL: u64 = 2 * EXTENT + 9;

#[test]
fn a_second_process_reads_what_is_committed_and_fetches_the_rest_for_itself() {
    let disk = MemDisk::new();
    let (here, there): (Arc<dyn Disk>, Arc<dyn Disk>) = (Arc::new(disk.clone()), Arc::new(disk));
    let (told, first) = (Told::default(), store_on(&here));
    let second = store_with(&there, options(), &told);
    fill(&first, "whole", 1, TOTAL);
    first.settle();
    let filling = write(&first, "half", 2, TOTAL, &[0..EXTENT]);
    first.settle();
    assert_whole(&second, "whole", 1, TOTAL);
    let entry = second.open(&key(&second, "half"));
    assert_eq!(entry.snapshot().coverage.total(), 0);
    let shared = |event: &StoreEvent| matches!(event, StoreEvent::SharedByProcess);
    assert_eq!(told.count(shared), 1);
    // The origin has changed since: each process has what it fetched, and only one of them stores it.
    entry.identify(facts(3, TOTAL), Keep::Yes).unwrap();
    entry.write(0, &bytes(3, 0..TOTAL)).unwrap();
    entry.complete(TOTAL).unwrap();
    second.settle();
    assert_eq!(assert_true(&entry, 3, TOTAL), TOTAL);
    assert_eq!(assert_true(&filling, 2, TOTAL), EXTENT);
    // What one has open, the other doesn't remove.
    assert!(matches!(
        second.remove(&url("half")),
        Err(AssetError::InUse)
    ));
    let open = first.open(&key(&first, "whole"));
    assert!(matches!(
        second.remove(&url("whole")),
        Err(AssetError::InUse)
    ));
    drop((open, entry, filling));
    first.settle();
    assert!(second.remove(&url("whole")).unwrap());
    // What it had fetched for itself is gone by then.
    second.settle();
    let entry = second.open(&key(&second, "half"));
    assert_eq!(
        assert_true(&entry, 2, TOTAL),
        EXTENT,
        "the other one has let go"
    );
}

#[test]
fn what_one_process_gives_up_is_not_taken_from_another_that_has_begun_anew() {
    let disk = MemDisk::new();
    let (here, there): (Arc<dyn Disk>, Arc<dyn Disk>) = (Arc::new(disk.clone()), Arc::new(disk));
    let (first, second) = (store_on(&here), store_on(&there));
    fill(&first, "a", 1, TOTAL);
    first.settle();
    let old = first.open(&key(&first, "a"));
    assert_eq!(old.state(), EntryState::Ready);
    // The origin has changed, and both find out.
    let new = second.open(&key(&second, "a"));
    new.discard();
    new.identify(facts(2, TOTAL), Keep::Yes).unwrap();
    new.write(0, &bytes(2, 0..EXTENT)).unwrap();
    second.settle();
    old.discard();
    first.settle();
    assert_eq!(assert_true(&new, 2, TOTAL), EXTENT);
    new.write(EXTENT, &bytes(2, EXTENT..TOTAL)).unwrap();
    new.complete(TOTAL).unwrap();
    drop((new, second));
    assert_whole(&store_on(&there), "a", 2, TOTAL);
}

#[test]
fn a_title_whose_folder_somebody_removed_is_made_durable_anew() {
    let sim = SimDisk::new();
    let (here, there): (Arc<dyn Disk>, Arc<dyn Disk>) =
        (Arc::new(sim.clone()), Arc::new(sim.clone()));
    let (first, second) = (store_on(&here), store_on(&there));
    let shelf = format!("/cache/{}", &first.asset(&url("a")).to_string()[..2]);
    let synced = Arc::new(parking_lot::Mutex::new(0));
    let counted = synced.clone();
    sim.on_call(move |call| {
        let anchors = call.kind == CallKind::SyncDir && call.path == Path::new(&shelf);
        *counted.lock() += u32::from(anchors);
        Ok(())
    });
    for times in 1..3 {
        fill(&first, "a", 1, TOTAL);
        first.settle();
        assert_eq!(*synced.lock(), times);
        assert!(second.remove(&url("a")).unwrap());
    }
    for times in 3..5 {
        first.pin(&url("a")).unwrap();
        assert_eq!(*synced.lock(), times);
        assert!(second.remove(&url("a")).unwrap());
    }
}

/// One begins, somebody cleans up, another begins the same anew; then both go on with "a", the first one first. "b" it gives
/// up, and of "c" it stores all, of which the other has a part.
fn clean_up_between(here: &Arc<dyn Disk>, there: &Arc<dyn Disk>, clean_up: impl Fn()) {
    let (first, second) = (store_on(here), store_on(there));
    let mine = write(&first, "a", 1, TOTAL, &[0..EXTENT]);
    let whole = write(&first, "c", 1, TOTAL, &[0..EXTENT]);
    let given_up = write(&first, "b", 1, TOTAL, &[0..EXTENT]);
    first.settle();
    clean_up();
    let theirs = write(&second, "a", 1, TOTAL, &[0..EXTENT]);
    let kept = write(&second, "b", 2, TOTAL, &[0..EXTENT]);
    let part = write(&second, "c", 1, TOTAL, &[0..EXTENT]);
    second.settle();
    for entry in [&mine, &whole, &theirs] {
        for gap in missing(entry, TOTAL) {
            entry.write(gap.start, &bytes(1, gap)).unwrap();
        }
        entry.complete(TOTAL).unwrap();
        first.settle();
    }
    given_up.discard();
    first.settle();
    second.settle();
    assert_eq!(assert_true(&mine, 1, TOTAL), TOTAL);
    assert_eq!(assert_true(&theirs, 1, TOTAL), TOTAL);
    assert_eq!(assert_true(&kept, 2, TOTAL), EXTENT);
    assert_eq!(assert_true(&part, 1, TOTAL), EXTENT);
    drop((mine, theirs, given_up, kept, whole, part));
    drop((first, second));
    let again = store_on(there);
    assert_whole(&again, "a", 1, TOTAL);
    let entry = again.open(&key(&again, "b"));
    assert_eq!(assert_true(&entry, 2, TOTAL), EXTENT);
    let entry = again.open(&key(&again, "c"));
    assert_eq!(assert_true(&entry, 1, TOTAL), EXTENT);
}

#[test]
fn what_another_process_stores_where_somebody_cleaned_up_is_its_own() {
    let disk = MemDisk::new();
    let (here, there): (Arc<dyn Disk>, Arc<dyn Disk>) =
        (Arc::new(disk.clone()), Arc::new(disk.clone()));
    clean_up_between(&here, &there, || remove_all(&disk, Path::new("/cache")));
}

/// As a cleaner does, folders too.
fn remove_all(disk: &dyn Disk, path: &Path) {
    for one in disk.list(path).unwrap() {
        let path = path.join(&one.name);
        match one.kind {
            ListedKind::Directory => remove_all(disk, &path),
            _ => disk.remove_file(&path).unwrap(),
        }
    }
    disk.remove_dir(path).unwrap();
}
