//! A process that may open no more files: what is stored is as it was, and found once there is room.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // A test's helpers fail as the test itself does.

mod support;

use std::io;
use std::sync::Arc;

use kithara_storage::{CallKind, Kept, SimDisk, StorageError, Stored, too_many_open};
use support::*;

const LEN: u64 = BLOCK + 300;
const EMFILE: i32 = 24;

/// Whether the resource is stored whole or as a part.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Part,
    Whole,
}

fn stored(form: Form) -> SimDisk {
    let disk = SimDisk::new();
    let mut partial = files(&disk).begin(LABEL, GENERATION).unwrap();
    save(&mut partial, 1, 0..LEN);
    if form == Form::Whole {
        partial.commit(LEN, LABEL).unwrap();
    }
    disk
}

/// From the `nth` call on, the process has no room for a file.
fn no_room_from(disk: &SimDisk, nth: u64) {
    let from = disk.calls() + nth;
    disk.on_call(move |call| match call.number >= from {
        true => Err(io::Error::from_raw_os_error(EMFILE)),
        false => Ok(()),
    });
}

fn room_again(disk: &SimDisk) {
    disk.on_call(|_| Ok(()));
}

fn checked(stored: &Stored) -> Arc<kithara_storage::CheckedFile> {
    match stored {
        Stored::Partial(partial) => partial.checked(),
        Stored::Committed(committed) => committed.checked(),
    }
}

#[test]
fn what_cannot_be_opened_for_want_of_a_descriptor_is_not_absent() {
    for form in [Form::Part, Form::Whole] {
        let mut refused = 0;
        for nth in 0.. {
            let disk = stored(form);
            no_room_from(&disk, nth);
            let opened = files(&disk).open();
            room_again(&disk);
            match opened {
                Err(StorageError::Io { source, .. }) => assert!(too_many_open(&source)),
                Ok(Some(opened)) => {
                    assert_eq!(
                        checked(&opened).coverage().total(),
                        LEN,
                        "{form:?}, call {nth}"
                    );
                    break;
                }
                other => panic!("{form:?}, call {nth}: {other:?}"),
            }
            refused += 1;
            let found = files(&disk).open().unwrap().unwrap();
            assert_eq!(read_all(&checked(&found), 1, 5000).0.total(), LEN);
        }
        assert!(refused > 3, "{form:?}: {refused}");
    }
}

#[test]
fn what_cannot_be_read_for_want_of_a_descriptor_is_not_lost() {
    for form in [Form::Part, Form::Whole] {
        let disk = stored(form);
        let found = files(&disk).open().unwrap().unwrap();
        let checked = checked(&found);
        no_room_from(&disk, 0);
        // A whole extent at once, and a part of one.
        for len in [BLOCK as usize, 100] {
            let error = checked.read_at(0, &mut vec![0; len]).unwrap_err();
            assert!(too_many_open(&error), "{form:?}: {error}");
        }
        room_again(&disk);
        assert_eq!(checked.coverage().total(), LEN);
        let (read, lost) = read_all(&checked, 1, 5000);
        assert_eq!((read.total(), lost.total()), (LEN, 0), "{form:?}");
        // Any other refusal is what it was: the bytes are not to be had.
        disk.on_call(|_| Err(io::ErrorKind::Other.into()));
        let fresh = files(&disk);
        assert!(matches!(fresh.open(), Err(StorageError::Io { .. })));
        let read = checked.read_at(0, &mut [0; BLOCK as usize]);
        assert_eq!(read.unwrap(), Kept::Lost(0..BLOCK));
    }
}

#[test]
fn a_commit_without_a_descriptor_costs_nothing_and_may_be_repeated() {
    for nth in 0.. {
        let disk = stored(Form::Part);
        let Some(Stored::Partial(partial)) = files(&disk).open().unwrap() else {
            panic!("it was stored in part");
        };
        let from = disk.calls() + nth;
        disk.on_call(move |call| match call.kind {
            // A file of a pool may have been closed; these open one.
            CallKind::Sync | CallKind::SyncDir if call.number >= from => {
                Err(io::Error::from_raw_os_error(EMFILE))
            }
            _ => Ok(()),
        });
        let committed = partial.commit(LEN, LABEL);
        room_again(&disk);
        let Err((partial, error)) = committed else {
            assert!(nth > 3, "nothing was refused");
            return;
        };
        assert!(matches!(error, StorageError::Io { source, .. } if too_many_open(&source)));
        assert!(!partial.is_distrusted(), "call {nth}");
        let found = files(&disk).open().unwrap().unwrap();
        assert_eq!(read_all(&checked(&found), 1, 5000).0.total(), LEN);
        partial.commit(LEN, LABEL).unwrap();
        let found = files(&disk).open().unwrap();
        assert!(matches!(found, Some(Stored::Committed(_))), "call {nth}");
    }
}
