//! Every interleaving of one change and the waits it must end: a lost wake-up would leave a thread parked for good, which
//! loom reports as a deadlock.
//!
//! `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p kithara-storage --test gate_loom --release`
#![cfg(loom)]

use std::sync::Arc;

use kithara_storage::{
    Coverage, Driver, Interrupt, Kept, ResourceExt, ResourceWriter, StorageError, StorageResource,
    WaitOutcome,
};
use loom::thread;

type Answer = Result<WaitOutcome, StorageError>;

/// A reader waits for bytes 0..4 while `change` happens on another thread; then `check` sees the answer.
fn model(
    change: impl Fn(&mut ResourceWriter, &Interrupt) + Copy + Send + Sync + 'static,
    check: impl Fn(&Answer) -> bool + Copy + Send + Sync + 'static,
) {
    loom::model(move || {
        let (mut writer, resource) = StorageResource::memory();
        let interrupt = Interrupt::new();
        let reader = thread::spawn({
            let interrupt = interrupt.clone();
            move || resource.wait_range(0..4, &interrupt)
        });
        change(&mut writer, &interrupt);
        // Kept until the reader is done, so that only the change can have ended its wait.
        let answer = reader.join().unwrap();
        assert!(check(&answer), "{answer:?}");
        drop(writer);
    });
}

#[test]
fn a_write_ends_the_wait() {
    model(
        |writer, _| writer.write_at(0, b"four").unwrap(),
        |answer| matches!(answer, Ok(WaitOutcome::Ready)),
    );
}

#[test]
fn two_writes_end_the_wait_for_both_halves() {
    model(
        |writer, _| {
            writer.write_at(2, b"ur").unwrap();
            writer.write_at(0, b"fo").unwrap();
        },
        |answer| matches!(answer, Ok(WaitOutcome::Ready)),
    );
}

#[test]
fn the_end_ends_the_wait() {
    model(
        |writer, _| writer.end_at(0),
        |answer| matches!(answer, Ok(WaitOutcome::Eof)),
    );
}

#[test]
fn a_commit_ends_the_wait() {
    model(
        |writer, _| {
            writer.write_at(0, b"fo").unwrap();
            writer.commit(2).unwrap();
        },
        |answer| matches!(answer, Ok(WaitOutcome::Ready)),
    );
}

#[test]
fn a_failure_ends_the_wait() {
    model(
        |writer, _| writer.fail(Arc::new(std::fmt::Error)),
        |answer| matches!(answer, Err(StorageError::Failed { .. })),
    );
}

#[test]
fn a_failure_that_is_taken_back_leaves_no_reader_behind() {
    model(
        |writer, _| {
            writer.fail(Arc::new(std::fmt::Error));
            writer.reactivate();
            writer.write_at(0, b"four").unwrap();
        },
        |answer| {
            matches!(
                answer,
                Ok(WaitOutcome::Ready) | Err(StorageError::Failed { .. })
            )
        },
    );
}

#[test]
fn a_close_ends_the_wait() {
    model(
        |writer, _| writer.resource().close(),
        |answer| matches!(answer, Err(StorageError::Closed)),
    );
}

#[test]
fn an_interrupt_ends_the_wait() {
    model(
        |_, interrupt| interrupt.raise(),
        |answer| matches!(answer, Ok(WaitOutcome::Interrupted)),
    );
}

#[test]
fn an_interrupt_raised_again_after_it_was_cleared_ends_the_wait() {
    model(
        |_, interrupt| {
            interrupt.raise();
            interrupt.clear();
            interrupt.raise();
        },
        |answer| matches!(answer, Ok(WaitOutcome::Interrupted)),
    );
}

#[test]
fn an_interrupt_and_a_write_at_once_end_the_wait() {
    model(
        |writer, interrupt| {
            interrupt.raise();
            writer.write_at(0, b"four").unwrap();
        },
        |answer| matches!(answer, Ok(WaitOutcome::Ready | WaitOutcome::Interrupted)),
    );
}

#[test]
fn waking_everybody_loses_nobody() {
    model(
        |writer, _| {
            writer.resource().interrupt_all();
            writer.write_at(0, b"four").unwrap();
        },
        |answer| matches!(answer, Ok(WaitOutcome::Ready)),
    );
}

#[test]
fn a_writer_that_vanishes_ends_the_wait() {
    loom::model(|| {
        let (writer, resource) = StorageResource::memory();
        let reader = thread::spawn(move || resource.wait_range(0..4, &Interrupt::new()));
        drop(writer);
        assert!(matches!(
            reader.join().unwrap(),
            Err(StorageError::Abandoned { .. })
        ));
    });
}

#[test]
fn two_readers_of_different_ranges_are_both_let_go() {
    loom::model(|| {
        let (mut writer, resource) = StorageResource::memory();
        let readers = [0..2, 1..4].map(|range| {
            let resource = resource.clone();
            thread::spawn(move || resource.wait_range(range, &Interrupt::new()))
        });
        writer.write_at(0, b"fo").unwrap();
        writer.write_at(2, b"ur").unwrap();
        for reader in readers {
            assert!(matches!(reader.join().unwrap(), Ok(WaitOutcome::Ready)));
        }
        drop(writer);
    });
}

#[test]
fn one_reader_interrupted_leaves_the_other_waiting_for_its_bytes() {
    loom::model(|| {
        let (mut writer, resource) = StorageResource::memory();
        let interrupt = Interrupt::new();
        let other = thread::spawn({
            let resource = resource.clone();
            move || resource.wait_range(0..4, &Interrupt::new())
        });
        let interrupted = thread::spawn({
            let interrupt = interrupt.clone();
            move || resource.wait_range(4..8, &interrupt)
        });
        interrupt.raise();
        writer.write_at(0, b"four").unwrap();
        assert!(matches!(
            interrupted.join().unwrap(),
            Ok(WaitOutcome::Interrupted)
        ));
        assert!(matches!(other.join().unwrap(), Ok(WaitOutcome::Ready)));
        drop(writer);
    });
}

#[test]
fn a_task_that_is_pending_is_woken() {
    loom::model(|| {
        let (mut writer, resource) = StorageResource::memory();
        let task = thread::spawn(move || {
            loom::future::block_on(std::future::poll_fn(|cx| resource.poll_range(cx, 0..4)))
        });
        writer.write_at(0, b"four").unwrap();
        assert!(matches!(task.join().unwrap(), Ok(WaitOutcome::Ready)));
        drop(writer);
    });
}

/// Its bytes are lost until they are written again.
struct LosesAll(std::sync::atomic::AtomicBool);

impl Driver for LosesAll {
    fn read_at(&self, _offset: u64, buf: &mut [u8]) -> std::io::Result<Kept> {
        Ok(match self.0.load(std::sync::atomic::Ordering::SeqCst) {
            true => Kept::Bytes(buf.len()),
            false => Kept::Lost(0..4),
        })
    }

    fn write_at(&self, _: u64, _: &[u8]) -> std::io::Result<Vec<std::ops::Range<u64>>> {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok(Vec::new())
    }

    fn commit(&self, _final_len: u64) -> std::io::Result<()> {
        Ok(())
    }
}

fn committed_but_lost() -> (ResourceWriter, StorageResource) {
    StorageResource::with_stored(
        Box::new(LosesAll(false.into())),
        Coverage::whole(4),
        Some(4),
    )
}

#[test]
fn who_finds_bytes_lost_and_waits_gets_them_when_they_are_brought_again() {
    loom::model(|| {
        let (mut writer, resource) = committed_but_lost();
        let lost = resource.read_at(0, &mut [0; 4]);
        assert!(matches!(lost, Err(StorageError::Lost { .. })));
        let reader = thread::spawn(move || resource.wait_range(0..4, &Interrupt::new()));
        writer.write_at(0, b"four").unwrap();
        writer.commit(4).unwrap();
        assert!(matches!(reader.join().unwrap(), Ok(WaitOutcome::Ready)));
        drop(writer);
    });
}

#[test]
fn bytes_found_lost_during_a_commit_can_be_brought_again() {
    loom::model(|| {
        let driver = Box::new(LosesAll(false.into()));
        let (mut writer, resource) = StorageResource::with_stored(driver, Coverage::whole(4), None);
        let reader = thread::spawn({
            let resource = resource.clone();
            move || resource.read_at(0, &mut [0; 4])
        });
        // Whether that was before, meanwhile or after.
        let _ = writer.commit(4);
        assert!(matches!(
            reader.join().unwrap(),
            Err(StorageError::Lost { .. })
        ));
        writer.write_at(0, b"four").unwrap();
        writer.commit(4).unwrap();
        assert!(matches!(
            resource.wait_range(0..4, &Interrupt::new()),
            Ok(WaitOutcome::Ready)
        ));
    });
}

#[test]
fn who_finds_bytes_lost_just_as_the_writer_goes_never_waits_for_ever() {
    loom::model(|| {
        let (writer, resource) = committed_but_lost();
        let reader = thread::spawn(move || {
            let lost = resource.read_at(0, &mut [0; 4]);
            assert!(matches!(lost, Err(StorageError::Lost { .. })));
            resource.wait_range(0..4, &Interrupt::new())
        });
        drop(writer);
        assert!(matches!(
            reader.join().unwrap(),
            Err(StorageError::Lost { .. })
        ));
    });
}
