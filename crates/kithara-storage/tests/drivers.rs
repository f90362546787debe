//! Every driver against a plain model, and what happens when the disk refuses.
#![allow(clippy::unwrap_used)] // A test's helpers fail as the test itself does.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use kithara_storage::{
    Driver, Interrupt, Kept, MemDriver, OpenMode, ResourceExt, ResourceStatus, ResourceWriter,
    StorageError, StorageResource, WaitOutcome,
};

/// A small generator of repeatable randomness (SplitMix64).
struct Random(u64);

impl Random {
    fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// The bytes the resources hold, told apart at any offset.
fn pattern(range: Range<u64>) -> Vec<u8> {
    range
        .map(|offset| (offset.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

/// Where the random ranges begin: they cross a page of the memory driver and leave a hole in a file.
const BASE: u64 = 64 * 1024 - 1500;
const SPAN: u64 = 3000;

type Pair = (ResourceWriter, StorageResource);

/// One resource per driver that can be written, with the file in which it can be found afterwards.
fn each_driver(directory: &Path, mut check: impl FnMut(Pair, Option<&Path>)) {
    let path = directory.join("resource");
    check(StorageResource::memory(), None);
    check(StorageResource::temporary(None).unwrap(), None);
    check(
        StorageResource::create(&path, OpenMode::ReadWrite).unwrap(),
        Some(&path),
    );
}

/// What was written first at each offset of the span, and nothing where nothing was.
struct Model(Vec<Option<u8>>);

impl Model {
    fn write(&mut self, range: Range<u64>, bytes: &[u8]) {
        for (kept, new) in self.0[range.start as usize..range.end as usize]
            .iter_mut()
            .zip(bytes)
        {
            kept.get_or_insert(*new);
        }
    }

    fn contiguous(&self, from: u64) -> Vec<u8> {
        self.0[from as usize..]
            .iter()
            .map_while(|byte| *byte)
            .collect()
    }
}

fn check_reads(random: &mut Random, resource: &StorageResource, model: &Model) {
    let from = random.below(SPAN);
    let expected = model.contiguous(from);
    let mut buf = vec![0xEE; random.below(400) as usize];
    let got = resource.read_at(BASE + from, &mut buf).unwrap();
    assert_eq!(got, expected.len().min(buf.len()));
    assert_eq!(buf[..got], expected[..got]);
    assert!(
        buf[got..].iter().all(|byte| *byte == 0xEE),
        "nothing is written behind what was read"
    );
    let covered_to = BASE + from + expected.len() as u64;
    assert_eq!(resource.covered_from(BASE + from), covered_to);
    let asked = BASE + from..BASE + from + random.below(200);
    let polled = resource.poll_range(&mut Context::from_waker(Waker::noop()), asked.clone());
    assert_eq!(
        matches!(polled, Poll::Ready(Ok(WaitOutcome::Ready))),
        asked.end <= covered_to
    );
    assert_eq!(polled.is_pending(), asked.end > covered_to);
}

fn whole(resource: &StorageResource) -> Vec<u8> {
    let mut bytes = vec![0; resource.committed_len().unwrap() as usize];
    assert_eq!(resource.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

#[test]
fn random_writes_read_back_as_the_model_says_and_commit_whole() {
    let directory = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        each_driver(directory.path(), |(mut writer, resource), path| {
            let mut random = Random::seeded(seed);
            let mut model = Model(vec![None; SPAN as usize]);
            for _ in 0..150 {
                let start = random.below(SPAN);
                let range = start..(start + random.below(120)).min(SPAN);
                let bytes: Vec<u8> = range.clone().map(|_| random.next() as u8).collect();
                writer.write_at(BASE + range.start, &bytes).unwrap();
                model.write(range, &bytes);
                check_reads(&mut random, &resource, &model);
            }
            let gaps: Vec<_> = resource.coverage().gaps(0..BASE + SPAN).collect();
            for gap in gaps {
                writer.write_at(gap.start, &pattern(gap)).unwrap();
            }
            writer.commit(BASE + SPAN).unwrap();
            let mut expected = pattern(0..BASE + SPAN);
            for (at, byte) in model.0.iter().enumerate() {
                expected[BASE as usize + at] = byte.unwrap_or(expected[BASE as usize + at]);
            }
            assert!(whole(&resource) == expected, "seed {seed}");
            if let Some(path) = path {
                assert!(
                    whole(&StorageResource::open(path).unwrap()) == expected,
                    "seed {seed}, opened again"
                );
                #[cfg(feature = "mmap")]
                assert!(
                    whole(&StorageResource::open_mapped(path).unwrap()) == expected,
                    "seed {seed}, mapped"
                );
            }
        });
    }
}

#[test]
fn four_readers_see_only_true_bytes_while_they_arrive_in_random_order() {
    const PIECE: u64 = 1024;
    const PIECES: u64 = 200;
    const LEN: u64 = PIECE * PIECES;
    let directory = tempfile::tempdir().unwrap();
    let truth = pattern(0..LEN);
    each_driver(directory.path(), |(mut writer, resource), _| {
        std::thread::scope(|scope| {
            for seed in 1..=4 {
                let (resource, truth) = (resource.clone(), &truth);
                scope.spawn(move || {
                    let mut random = Random::seeded(seed);
                    let mut buf = [0; 3000];
                    for _ in 0..300 {
                        // Sometimes what happens to be there, sometimes waiting for it.
                        let start = random.below(LEN + 100);
                        let range = start..start + 1 + random.below(buf.len() as u64);
                        let wanted = (range.end.min(LEN).saturating_sub(start)) as usize;
                        let waited = random.below(2) == 0;
                        if waited {
                            let outcome = resource.wait_range(range, &Interrupt::new()).unwrap();
                            assert_eq!(outcome == WaitOutcome::Eof, start >= LEN);
                        }
                        let got = resource.read_at(start, &mut buf[..wanted]).unwrap();
                        assert!(!waited || got == wanted);
                        assert!(
                            got == 0 || buf[..got] == truth[start as usize..start as usize + got]
                        );
                    }
                });
            }
            let mut order: Vec<u64> = (0..PIECES).collect();
            Random::seeded(99).shuffle(&mut order);
            for (count, piece) in order.into_iter().enumerate() {
                writer
                    .write_at(piece * PIECE, &pattern(piece * PIECE..(piece + 1) * PIECE))
                    .unwrap();
                if count == 100 {
                    writer.end_at(LEN);
                }
            }
            writer.commit(LEN).unwrap();
        });
    });
}

/// Keeps its bytes in memory, and fails one call.
struct Failing {
    kept: MemDriver,
    calls: AtomicUsize,
    fail_at: usize,
    kind: io::ErrorKind,
}

impl Failing {
    fn pair(fail_at: usize, kind: io::ErrorKind) -> Pair {
        let driver = Self {
            kept: MemDriver::new(),
            calls: AtomicUsize::new(0),
            fail_at,
            kind,
        };
        StorageResource::with_driver(Box::new(driver))
    }

    fn call(&self) -> io::Result<()> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if number == self.fail_at {
            Err(self.kind.into())
        } else {
            Ok(())
        }
    }
}

impl Driver for Failing {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Kept> {
        self.kept.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<Vec<Range<u64>>> {
        // A full disk takes some of the bytes before it refuses.
        self.kept.write_at(offset, &bytes[..bytes.len() / 2])?;
        self.call()?;
        self.kept.write_at(offset, bytes)
    }

    fn commit(&self, final_len: u64) -> io::Result<()> {
        self.call()?;
        self.kept.commit(final_len)
    }
}

#[test]
fn whichever_call_finds_the_disk_full_nothing_false_becomes_readable_and_the_rest_goes_on() {
    const PIECES: u64 = 8;
    for fail_at in 1..=PIECES as usize + 1 {
        let (mut writer, resource) = Failing::pair(fail_at, io::ErrorKind::StorageFull);
        let mut refused = 0;
        let mut full = |result: Result<(), StorageError>| match result {
            Ok(()) => false,
            Err(StorageError::Full { .. }) => {
                refused += 1;
                true
            }
            Err(other) => panic!("{other:?}"),
        };
        for piece in 0..PIECES {
            let range = piece * 100..piece * 100 + 100;
            let before = resource.coverage();
            if full(writer.write_at(range.start, &pattern(range.clone()))) {
                assert_eq!(resource.coverage(), before);
                assert_eq!(resource.read_at(range.start, &mut [0; 10]).unwrap(), 0);
                writer.write_at(range.start, &pattern(range)).unwrap();
            }
        }
        if full(writer.commit(PIECES * 100)) {
            assert!(matches!(resource.status(), ResourceStatus::Active));
            writer.commit(PIECES * 100).unwrap();
        }
        assert_eq!(refused, 1);
        assert_eq!(whole(&resource), pattern(0..PIECES * 100));
    }
}

#[test]
fn other_io_errors_keep_their_cause_and_say_where() {
    let (mut writer, _resource) = Failing::pair(1, io::ErrorKind::PermissionDenied);
    let error = writer.write_at(300, b"x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write byte 300 of unnamed storage"
    );
    let StorageError::Io { source, place, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (source.kind(), place.offset),
        (io::ErrorKind::PermissionDenied, Some(300))
    );
}

#[test]
fn bytes_cut_off_by_somebody_else_are_lost_and_can_be_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("resource");
    let (mut writer, resource) = StorageResource::create(&path, OpenMode::Auto).unwrap();
    writer.write_at(0, &pattern(0..1000)).unwrap();
    writer.write_at(2000, &pattern(2000..3000)).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(400)
        .unwrap();
    let mut buf = [0; 600];
    let error = resource.read_at(100, &mut buf).unwrap_err();
    let StorageError::Lost { range, place } = error else {
        panic!("{error:?}")
    };
    assert_eq!((range, place.path), (400..700, Some(path.clone())));
    // The file ends there: nothing behind can be trusted, however it looks once the file has grown again.
    assert_eq!(
        (resource.coverage().total(), resource.covered_from(0)),
        (400, 400)
    );
    assert_eq!(resource.read_at(100, &mut buf).unwrap(), 300);
    writer.write_at(400, &pattern(400..3000)).unwrap();
    writer.commit(3000).unwrap();
    assert_eq!(whole(&resource), pattern(0..3000));
}

#[test]
fn bytes_lost_from_a_finished_file_are_an_error_and_not_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("finished");
    std::fs::write(&path, pattern(0..1000)).unwrap();
    let resource = StorageResource::open(&path).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(400)
        .unwrap();
    assert!(matches!(
        resource.read_at(400, &mut [0; 10]),
        Err(StorageError::Lost { .. })
    ));
    let error = resource
        .wait_range(300..500, &Interrupt::new())
        .unwrap_err();
    let StorageError::Lost { range, place } = error else {
        panic!("{error:?}")
    };
    assert_eq!((range, place.path), (400..500, Some(path)));
    assert_eq!(
        resource.wait_range(1000..1001, &Interrupt::new()).unwrap(),
        WaitOutcome::Eof
    );
}

#[test]
fn a_write_far_behind_the_others_costs_little_memory() {
    let (mut writer, resource) = StorageResource::memory();
    writer.write_at(1 << 50, b"far").unwrap();
    let mut buf = [0; 8];
    assert_eq!(
        (resource.read_at(1 << 50, &mut buf).unwrap(), &buf[..3]),
        (3, &b"far"[..])
    );
    assert_eq!(resource.read_at(0, &mut buf).unwrap(), 0);
}
