//! A disk that refuses, once or for good.
#![allow(clippy::unwrap_used)] // A test's helpers fail as the test itself does.

mod support;

use std::io;
use std::sync::Arc;

use kithara_storage::{CallKind, Kept, SimDisk, StorageError, Stored};
use parking_lot::Mutex;
use support::*;

const LEN: u64 = BLOCK + 300;
const KINDS: [io::ErrorKind; 3] = [
    io::ErrorKind::StorageFull,
    io::ErrorKind::Other,
    io::ErrorKind::PermissionDenied,
];

/// How far the story of one resource came.
#[derive(Debug, Default)]
struct Told {
    committed: bool,
    /// Something was refused, lost or not found.
    noticed: bool,
}

/// Stores, commits, opens, reads, damages and repairs; goes on after whatever fails.
fn story(disk: &SimDisk) -> Told {
    let mut told = Told::default();
    if let Err(error) = store(disk, &mut told) {
        assert!(!matches!(error, StorageError::NewerFormat { .. }));
        told.noticed = true;
    }
    let Ok(Some(Stored::Committed(mut opened))) = files(disk).open() else {
        told.noticed = true;
        return told;
    };
    // In a real life somebody else does this; here it may fail as well, and then nothing is damaged.
    if let Ok(file) = kithara_storage::Disk::open(
        disk,
        std::path::Path::new("/name"),
        kithara_storage::Access::Write,
    ) {
        told.noticed |= file.write_at(9, b"damage").is_err();
    }
    let (_, lost) = read_all(&opened.checked(), 1, 5000);
    told.noticed |= lost.total() != BLOCK;
    for range in lost.iter().flat_map(pieces) {
        if opened.repair(range.start, &bytes_of(1, range)).is_err() {
            told.noticed = true;
        }
    }
    told.noticed |= read_all(&opened.checked(), 1, 5000).0.total() < LEN;
    told
}

fn store(disk: &SimDisk, told: &mut Told) -> Result<(), StorageError> {
    let mut partial = files(disk).begin(LABEL, GENERATION)?;
    for range in [0..100, 100..BLOCK, BLOCK..LEN] {
        let before = partial.coverage();
        if let Err(error) = partial.save(range.start, &bytes_of(1, range.clone())) {
            assert!(matches!(
                error,
                StorageError::Full { .. } | StorageError::Io { .. }
            ));
            assert_eq!(partial.coverage(), before, "nothing more is covered");
            told.noticed = true;
            partial.save(range.start, &bytes_of(1, range))?;
        }
    }
    let (partial, error) = match partial.commit(LEN, LABEL) {
        Ok(_) => {
            told.committed = true;
            return Ok(());
        }
        Err(back) => back,
    };
    told.noticed = true;
    if partial.is_distrusted() {
        assert!(matches!(
            partial.commit(LEN, LABEL),
            Err((_, StorageError::Distrusted { .. }))
        ));
        files(disk).remove()?;
        assert!(files(disk).open()?.is_none());
        return Err(error);
    }
    let mut partial = partial;
    // What the failure cost is fetched again.
    let gaps: Vec<_> = partial.coverage().gaps(0..LEN).flat_map(pieces).collect();
    for gap in gaps {
        partial.save(gap.start, &bytes_of(1, gap))?;
    }
    told.committed = partial.commit(LEN, LABEL).is_ok();
    Ok(())
}

#[test]
fn whichever_call_fails_every_byte_is_right_and_what_was_committed_is_there() {
    let healthy = SimDisk::new();
    let told = story(&healthy);
    assert!(told.committed && !told.noticed, "{told:?}");
    let calls = healthy.calls();
    let mut sweeps = 0;
    for kind in KINDS {
        for nth in 0..calls {
            let disk = SimDisk::new();
            disk.fail_nth(nth, kind);
            let told = story(&disk);
            disk.heal();
            match files(&disk).open().unwrap() {
                Some(Stored::Committed(whole)) => {
                    read_all(&whole.checked(), 1, 5000);
                }
                Some(Stored::Partial(partial)) => {
                    assert!(!told.committed, "call {nth}");
                    read_all(&partial.checked(), 1, 5000);
                }
                None => assert!(!told.committed, "call {nth}"),
            }
            sweeps += 1;
        }
    }
    println!("{sweeps} single failures over {calls} calls");
    assert!(calls > 25, "the story is told to its end");
}

#[test]
fn a_disk_that_fails_for_good_at_any_call_never_gives_out_a_wrong_byte() {
    let healthy = SimDisk::new();
    story(&healthy);
    for kind in KINDS {
        for nth in 0..healthy.calls() {
            let disk = SimDisk::new();
            disk.fail_from(nth, kind);
            let told = story(&disk);
            assert!(told.noticed || nth + 1 >= healthy.calls(), "call {nth}");
            disk.heal();
            let found = files(&disk).open().unwrap();
            assert!(!told.committed || matches!(found, Some(Stored::Committed(_))));
        }
    }
}

#[test]
fn the_steps_of_a_commit_keep_their_order() {
    let disk = SimDisk::new();
    let partial = partial(&disk, 0..500);
    let steps = Arc::new(Mutex::new(Vec::new()));
    disk.on_call({
        let steps = steps.clone();
        move |call| {
            let path = call.path.to_string_lossy().into_owned();
            steps.lock().push((call.kind, path));
            Ok(())
        }
    });
    partial
        .commit(500, LABEL)
        .map_err(|(_, error)| error)
        .unwrap();
    let expected = [
        (CallKind::SetLen, "/name.part"),
        (CallKind::Write, "/name.part"),
        (CallKind::Sync, "/name.part"),
        (CallKind::Rename, "/name.part"),
        (CallKind::SyncDir, "/"),
        (CallKind::RemoveFile, "/name.log"),
    ]
    .map(|(kind, path)| (kind, path.to_owned()));
    assert_eq!(*steps.lock(), expected);
}

#[test]
fn a_file_whose_sync_failed_is_never_taken_for_good() {
    for failing in [CallKind::Sync, CallKind::SyncDir] {
        let disk = SimDisk::new();
        let partial = partial(&disk, 0..500);
        disk.on_call(move |call| match call.kind == failing {
            true => Err(io::ErrorKind::Other.into()),
            false => Ok(()),
        });
        let (mut partial, error) = partial.commit(500, LABEL).unwrap_err();
        assert!(matches!(error, StorageError::Io { .. }), "{error:?}");
        assert!(partial.is_distrusted());
        // The second sync would succeed, as it does on a system that has dropped the bytes.
        disk.on_call(|_| Ok(()));
        let refused = partial.save(0, b"more").unwrap_err();
        assert!(matches!(refused, StorageError::Distrusted { .. }));
        // Meanwhile readers go on with what can be checked.
        let reader = partial.checked();
        assert_eq!(read_all(&reader, 1, 100).0.total(), 500);
        let (_, refused) = partial.commit(500, LABEL).unwrap_err();
        assert!(matches!(refused, StorageError::Distrusted { .. }));
        files(&disk).remove().unwrap();
        assert!(files(&disk).open().unwrap().is_none());
        assert_eq!(read_all(&reader, 1, 100).0.total(), 500);
    }
}

#[test]
fn a_full_disk_takes_nothing_more_and_loses_nothing() {
    let disk = SimDisk::bounded(190 * 1024);
    let mut partial = partial(&disk, 0..2 * BLOCK);
    let error = partial
        .save(2 * BLOCK, &bytes_of(1, 2 * BLOCK..3 * BLOCK))
        .unwrap_err();
    assert!(matches!(error, StorageError::Full { .. }), "{error:?}");
    assert_eq!(read_all(&partial.checked(), 1, 5000).0.total(), 2 * BLOCK);
    let opened = open_partial(&disk).unwrap();
    assert_eq!(read_all(&opened.checked(), 1, 5000).0.total(), 2 * BLOCK);
}

#[test]
fn a_block_the_disk_cannot_read_is_lost_and_not_an_error() {
    let disk = SimDisk::new();
    let opened = committed(&disk, LEN);
    disk.on_call(|call| match call.kind {
        CallKind::Read => Err(io::ErrorKind::Other.into()),
        _ => Ok(()),
    });
    let read = opened.checked().read_at(70, &mut [0; 10]).unwrap();
    assert_eq!(read, Kept::Lost(0..BLOCK));
    disk.on_call(|_| Ok(()));
    assert_eq!(read_all(&opened.checked(), 1, 100).0.total(), LEN);
}
