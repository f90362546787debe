//! Stored bytes that turn out to be lost, with and without somebody to bring them again.
#![allow(clippy::unwrap_used)] // A test's helpers fail as the test itself does.

mod support;

use std::io;
use std::ops::Range;
use std::slice::from_ref;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use kithara_storage::{
    Coverage, Driver, EXTENT, Interrupt, Kept, MemDisk, MemDriver, ResourceExt, ResourceStatus,
    StorageError, StorageResource, Stored, WaitOutcome,
};
use parking_lot::Mutex;
use support::*;

/// Keeps the bytes of one resource in its files.
struct InFiles {
    stored: Mutex<Option<Stored>>,
    told: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Driver for InFiles {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Kept> {
        let checked = match &*self.stored.lock() {
            Some(Stored::Partial(partial)) => partial.checked(),
            Some(Stored::Committed(committed)) => committed.checked(),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        checked.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<Vec<Range<u64>>> {
        match &mut *self.stored.lock() {
            Some(Stored::Partial(partial)) => partial.save(offset, bytes),
            Some(Stored::Committed(committed)) => committed.repair(offset, bytes),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        .map_err(io::Error::other)?;
        Ok(Vec::new())
    }

    fn commit(&self, final_len: u64) -> io::Result<()> {
        let mut stored = self.stored.lock();
        *stored = match stored.take() {
            Some(Stored::Partial(partial)) => {
                let committed = partial.commit(final_len, LABEL);
                Some(Stored::Committed(
                    committed.map_err(|(_, error)| io::Error::other(error))?,
                ))
            }
            whole => whole,
        };
        Ok(())
    }

    fn lost(&self, range: Range<u64>) {
        self.told.lock().push(range);
    }
}

type Told = Arc<Mutex<Vec<Range<u64>>>>;

fn stored(
    disk: &MemDisk,
    end: Option<u64>,
) -> (kithara_storage::ResourceWriter, StorageResource, Told) {
    let stored = files(disk).open().unwrap().unwrap();
    let coverage = match &stored {
        Stored::Partial(partial) => partial.coverage(),
        Stored::Committed(committed) => Coverage::whole(committed.len()),
    };
    let told = Told::default();
    let driver = InFiles {
        stored: Mutex::new(Some(stored)),
        told: told.clone(),
    };
    let (writer, resource) = StorageResource::with_stored(Box::new(driver), coverage, end);
    (writer, resource, told)
}

fn poll(resource: &StorageResource, range: Range<u64>) -> Poll<Result<WaitOutcome, StorageError>> {
    resource.poll_range(&mut Context::from_waker(Waker::noop()), range)
}

/// Reads a range as a reader does that goes on when it is told to wait.
fn read(resource: &StorageResource, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let mut got = 0;
    while got < bytes.len() {
        got += resource.read_at(range.start + got as u64, &mut bytes[got..])?;
    }
    Ok(bytes)
}

#[test]
fn coverage_of_an_earlier_run_is_read_at_once_and_the_rest_is_waited_for() {
    const LEN: u64 = 2 * BLOCK;
    let disk = MemDisk::new();
    partial(&disk, 1000..LEN);
    let (mut writer, resource, _) = stored(&disk, Some(LEN));
    assert!(matches!(resource.status(), ResourceStatus::Active));
    assert_eq!(read(&resource, 1000..LEN).unwrap(), bytes_of(1, 1000..LEN));
    assert!(poll(&resource, 0..10).is_pending());
    assert!(matches!(
        poll(&resource, LEN..LEN + 1),
        Poll::Ready(Ok(WaitOutcome::Eof))
    ));
    writer.write_at(0, &bytes_of(1, 0..1000)).unwrap();
    writer.commit(LEN).unwrap();
    assert!(open_committed(&disk).is_some());
    assert_eq!(read(&resource, 0..LEN).unwrap(), bytes_of(1, 0..LEN));
}

#[test]
fn a_range_lost_in_the_middle_is_waited_for_brought_again_and_committed_again() {
    const LEN: u64 = 3 * BLOCK + 10;
    let disk = MemDisk::new();
    committed(&disk, LEN);
    let (mut writer, resource, told) = stored(&disk, Some(LEN));
    assert_eq!(resource.committed_len(), Some(LEN));
    change(&disk, "/name", BLOCK + 5, |byte| *byte ^= 1);
    let lost = BLOCK..2 * BLOCK;
    let error = read(&resource, 0..LEN).unwrap_err();
    assert!(
        matches!(&error, StorageError::Lost { range, .. } if *range == lost),
        "{error:?}"
    );
    assert_eq!(*told.lock(), from_ref(&lost), "told once the gate knew");
    // It is active again, what is left can be read, and its end stays.
    assert!(matches!(resource.status(), ResourceStatus::Active));
    assert_eq!(resource.committed_len(), None);
    let gaps: Vec<_> = resource.coverage().gaps(0..LEN).collect();
    assert_eq!(gaps, from_ref(&lost));
    assert!(matches!(
        poll(&resource, LEN..LEN + 1),
        Poll::Ready(Ok(WaitOutcome::Eof))
    ));
    assert!(matches!(
        poll(&resource, 0..BLOCK),
        Poll::Ready(Ok(WaitOutcome::Ready))
    ));
    assert!(poll(&resource, BLOCK..BLOCK + 1).is_pending());
    writer.end_at(5);
    assert!(poll(&resource, 6..7).is_ready(), "its end is not corrected");
    let refused = writer.commit(LEN).unwrap_err();
    assert!(matches!(refused, StorageError::Incomplete { gap, .. } if gap == lost));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| resource.wait_range(BLOCK..LEN, &Interrupt::new()));
        writer.write_at(BLOCK, &bytes_of(1, lost)).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), WaitOutcome::Ready);
    });
    assert_eq!(read(&resource, 0..LEN).unwrap(), bytes_of(1, 0..LEN));
    let other = writer.commit(BLOCK).unwrap_err();
    assert!(matches!(other, StorageError::ReadOnly), "{other:?}");
    writer.commit(LEN).unwrap();
    assert_eq!(resource.committed_len(), Some(LEN));
    assert!(matches!(
        writer.write_at(0, b"x"),
        Err(StorageError::ReadOnly)
    ));
}

/// While something is written, a reader finds the first ten bytes lost.
struct LosesMeanwhile(Arc<Mutex<Option<StorageResource>>>);

impl Driver for LosesMeanwhile {
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<Kept> {
        Ok(Kept::Lost(0..10))
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<Vec<Range<u64>>> {
        let reader = self.0.lock().take();
        if let Some(reader) = reader {
            reader.read_at(0, &mut [0]).unwrap_err();
        }
        Ok(Vec::new())
    }

    fn commit(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_found_lost_during_a_write_beside_it_is_not_covered_by_that_write() {
    let reader = Arc::<Mutex<Option<StorageResource>>>::default();
    let stored = std::iter::once(0..10).collect();
    let (mut writer, resource) =
        StorageResource::with_stored(Box::new(LosesMeanwhile(reader.clone())), stored, None);
    *reader.lock() = Some(resource.clone());
    writer.write_at(0, &[7; 30]).unwrap();
    assert_eq!(resource.coverage(), std::iter::once(10..30).collect());
}

#[test]
fn without_a_writer_what_is_lost_is_said_to_be_lost() {
    const LEN: u64 = 2 * BLOCK;
    let disk = MemDisk::new();
    committed(&disk, LEN);
    for before in [true, false] {
        let (writer, resource, _) = stored(&disk, Some(LEN));
        let mut writer = Some(writer);
        if before {
            writer = None;
        }
        change(&disk, "/name", 5, |byte| *byte ^= 1);
        read(&resource, 0..LEN).unwrap_err();
        assert_eq!(poll(&resource, 0..1).is_pending(), !before);
        drop(writer);
        let error = resource.wait_range(0..LEN, &Interrupt::new()).unwrap_err();
        assert!(
            matches!(&error, StorageError::Lost { range, .. } if *range == (0..BLOCK)),
            "{error:?}"
        );
        assert_eq!(resource.committed_len(), Some(LEN));
        change(&disk, "/name", 5, |byte| *byte ^= 1);
    }
}

#[test]
fn bounded_memory_lets_the_oldest_go_and_says_so() {
    let driver = MemDriver::bounded(2 * BLOCK as usize);
    let (mut writer, resource) = StorageResource::with_driver(Box::new(driver));
    writer.write_at(0, &bytes_of(1, 0..2 * BLOCK)).unwrap();
    writer.write_at(10 * BLOCK, b"new").unwrap();
    let kept: Vec<_> = resource.coverage().iter().collect();
    assert_eq!(kept, [BLOCK..2 * BLOCK, 10 * BLOCK..10 * BLOCK + 3]);
    assert_eq!(
        read(&resource, BLOCK..2 * BLOCK).unwrap(),
        bytes_of(1, BLOCK..2 * BLOCK)
    );
    // More than fits: the end of it stays.
    writer
        .write_at(20 * BLOCK, &bytes_of(1, 0..5 * BLOCK))
        .unwrap();
    let kept: Vec<_> = resource.coverage().iter().collect();
    assert_eq!(kept, from_ref(&(23 * BLOCK..25 * BLOCK)));
    let error = writer.commit(25 * BLOCK).unwrap_err();
    assert!(matches!(error, StorageError::Incomplete { .. }));
    // What went may be written again.
    writer.write_at(0, b"again").unwrap();
    assert_eq!(read(&resource, 0..5).unwrap(), b"again");
}

#[test]
fn a_page_of_bounded_memory_that_went_and_came_again_has_only_what_it_came_for() {
    let driver = MemDriver::bounded(2 * BLOCK as usize);
    let half = BLOCK / 2;
    driver.write_at(5 * BLOCK + half, &[5; EXTENT / 2]).unwrap();
    driver.write_at(9 * BLOCK, &[9; EXTENT]).unwrap();
    // Page 4 pushes page 5 out, which comes again in the same call, for its first half.
    let gone = driver
        .write_at(4 * BLOCK, &[4; EXTENT + EXTENT / 2])
        .unwrap();
    assert_eq!(gone, [5 * BLOCK..6 * BLOCK, 9 * BLOCK..10 * BLOCK]);
    let read = |offset| driver.read_at(offset, &mut [0; 10]).unwrap();
    assert_eq!(read(5 * BLOCK), Kept::Bytes(10));
    assert_eq!(
        read(5 * BLOCK + half),
        Kept::Lost(5 * BLOCK + half..6 * BLOCK)
    );
}

#[test]
fn four_readers_of_bounded_memory_see_true_bytes_or_none() {
    const LEN: u64 = 40 * BLOCK;
    let driver = MemDriver::bounded(4 * BLOCK as usize);
    let (mut writer, resource) = StorageResource::with_driver(Box::new(driver));
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let resource = resource.clone();
            scope.spawn(move || {
                let (mut random, mut buf) = (Random(seed), [0; 3000]);
                for _ in 0..3000 {
                    let at = random.below(LEN);
                    if let Ok(got) = resource.read_at(at, &mut buf) {
                        assert!(buf[..got] == bytes_of(1, at..at + got as u64));
                    }
                }
            });
        }
        for range in pieces(0..LEN) {
            writer.write_at(range.start, &bytes_of(1, range)).unwrap();
        }
    });
}

#[test]
fn an_extent_saved_anew_under_its_readers_is_the_old_or_the_new_one_and_never_lost() {
    const VERSIONS: u64 = 300;
    const LEN: u64 = 20_000;
    let disk = MemDisk::new();
    let mut written = partial(&disk, 0..LEN);
    let truths: Vec<_> = (1..=VERSIONS)
        .map(|version| bytes_of(version, 0..LEN))
        .collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    let seen = Mutex::new(std::collections::BTreeSet::new());
    std::thread::scope(|scope| {
        let readers = [(); 3].map(|()| {
            let (checked, done, truths, seen) = (written.checked(), &done, &truths, &seen);
            scope.spawn(move || {
                let mut buf = vec![0; LEN as usize];
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    match checked.read_at(0, &mut buf).unwrap() {
                        Kept::Bytes(0) => {}
                        Kept::Bytes(count) => {
                            assert_eq!(count, buf.len());
                            let version = truths.iter().position(|truth| *truth == buf);
                            seen.lock().insert(version.expect("a mixture"));
                        }
                        Kept::Lost(range) => panic!("{range:?} is only being written"),
                    }
                }
            })
        });
        // On a busy machine the readers begin late.
        let mut saved = 0;
        while saved < VERSIONS || seen.lock().len() < 2 {
            written
                .save(0, &truths[(saved % VERSIONS) as usize])
                .unwrap();
            saved += 1;
            if readers
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
            {
                break;
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
