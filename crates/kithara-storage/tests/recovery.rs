//! What a log that was cut, mixed up or repeated still says.
#![allow(clippy::unwrap_used)] // A test's helpers fail as the test itself does.

mod support;

use kithara_storage::{EXTENT, Kept, MAX_LABEL, MemDisk, StorageError};
use support::*;

const RECORD: usize = 32;

#[test]
fn a_log_cut_at_any_byte_tells_of_every_extent_before_and_can_be_continued() {
    const EXTENTS: u64 = 12;
    let disk = MemDisk::new();
    partial(&disk, 0..0);
    let mut written = open_partial(&disk).unwrap();
    for number in 0..EXTENTS {
        save(&mut written, 1, number * 50..number * 50 + 50);
    }
    let log = contents(&disk, "/name.log");
    let header = log.len() - EXTENTS as usize * RECORD;
    for len in 0..=log.len() {
        replace(&disk, "/name.log", &log[..len]);
        let Some(mut opened) = open_partial(&disk) else {
            assert!(len < header, "{len}");
            continue;
        };
        let whole = (len - header) as u64 / (RECORD as u64);
        assert_eq!(opened.coverage().total(), whole * 50, "{len}");
        assert_eq!((opened.label(), opened.generation()), (LABEL, GENERATION));
        // It goes on behind the last whole record, whatever is left of the next.
        save(&mut opened, 1, 5000..5100);
        let again = open_partial(&disk).unwrap();
        assert_eq!(
            read_all(&again.checked(), 1, 64).0.total(),
            whole * 50 + 100
        );
    }
}

#[test]
fn records_in_any_order_repeated_or_missing_never_tell_a_lie() {
    const EXTENTS: usize = 20;
    let disk = MemDisk::new();
    let mut written = partial(&disk, 0..0);
    let mut random = Random(11);
    for _ in 0..EXTENTS {
        // Some overlap, of the same bytes.
        let start = random.below(1000);
        save(&mut written, 1, start..start + 1 + random.below(100));
    }
    let log = contents(&disk, "/name.log");
    let header = log.len() - EXTENTS * RECORD;
    for _ in 0..300 {
        let mut mixed = log[..header].to_vec();
        for _ in 0..random.below(40) {
            let at = header + random.below(EXTENTS as u64) as usize * RECORD;
            let mut record = log[at..at + RECORD].to_vec();
            if random.below(5) == 0 {
                record[random.below(RECORD as u64) as usize] ^= 1 << random.below(8);
            }
            mixed.extend_from_slice(&record);
        }
        replace(&disk, "/name.log", &mixed);
        let opened = open_partial(&disk).unwrap();
        let (_, lost) = read_all(&opened.checked(), 1, 64);
        assert!(lost.is_empty(), "the bytes are all there: {lost:?}");
    }
}

#[test]
fn the_later_of_two_extents_counts_and_the_earlier_is_not_taken_for_it() {
    let disk = MemDisk::new();
    let mut written = partial(&disk, 0..100);
    save(&mut written, 2, 50..150);
    for opened in [written.checked(), open_partial(&disk).unwrap().checked()] {
        assert_eq!(format!("{:?}", opened.coverage()), "{50..150}");
        assert_eq!(read_all(&opened, 2, 64).0.total(), 100);
    }
    // Without the later record the earlier one tells of bytes that are no longer there.
    let log = contents(&disk, "/name.log");
    replace(&disk, "/name.log", &log[..log.len() - RECORD]);
    let opened = open_partial(&disk).unwrap();
    let read = opened.checked().read_at(0, &mut [0; 10]).unwrap();
    assert_eq!(read, Kept::Lost(0..100));
}

#[test]
fn an_extent_that_is_none_is_refused_and_changes_nothing() {
    let disk = MemDisk::new();
    let mut written = partial(&disk, 0..10);
    let refused = [
        (BLOCK - 1, 2),
        (0, EXTENT + 1),
        (u64::MAX, 1),
        (u64::MAX - 1, 2),
    ];
    for (offset, len) in refused {
        let error = written.save(offset, &vec![1; len]).unwrap_err();
        assert!(matches!(error, StorageError::PastEnd { .. }), "{error:?}");
    }
    written.save(5000, &[]).unwrap();
    assert_eq!(written.coverage().total(), 10);
    let error = files(&disk).begin(&vec![0; MAX_LABEL + 1], 1).unwrap_err();
    assert!(matches!(error, StorageError::TooLarge { .. }), "{error:?}");
    assert!(files(&disk).begin(&vec![0; MAX_LABEL], 1).is_ok());
}

#[test]
fn extents_of_any_size_become_one_committed_file_that_can_be_repaired() {
    const LEN: u64 = 2 * BLOCK + 700;
    let mut random = Random(5);
    for _ in 0..10 {
        let disk = MemDisk::new();
        let mut written = partial(&disk, 0..0);
        let (mut at, mut ranges) = (0, Vec::new());
        while at < LEN {
            let end = LEN.min(at + 1 + random.below(30_000));
            ranges.extend(pieces(at..end));
            at = end;
        }
        while !ranges.is_empty() {
            let range = ranges.swap_remove(random.below(ranges.len() as u64) as usize);
            save(&mut written, 1, range);
        }
        // What lies behind the end goes.
        save(&mut written, 9, LEN..LEN + 10);
        let reader = written.checked();
        let whole = written
            .commit(LEN, b"two")
            .map_err(|(_, error)| error)
            .unwrap();
        assert_eq!(read_all(&reader, 1, 9000).0.total(), LEN);
        change(&disk, "/name", BLOCK + 9, |byte| *byte ^= 1);
        for mut opened in [open_committed(&disk).unwrap(), whole] {
            assert_eq!((opened.label(), opened.len()), (&b"two"[..], LEN));
            let again = opened.checked().read_at(BLOCK, &mut vec![0; EXTENT]);
            assert_eq!(again.unwrap(), Kept::Lost(BLOCK..2 * BLOCK));
            let other = opened.repair(BLOCK, &bytes_of(2, BLOCK..2 * BLOCK));
            assert!(matches!(other, Err(StorageError::Differs { .. })));
            let half = opened.repair(BLOCK, &bytes_of(1, BLOCK..BLOCK + 100));
            assert!(matches!(half, Err(StorageError::Differs { .. })));
            opened
                .repair(BLOCK, &bytes_of(1, BLOCK..2 * BLOCK))
                .unwrap();
            assert_eq!(read_all(&opened.checked(), 1, 9000).0.total(), LEN);
            change(&disk, "/name", BLOCK + 9, |byte| *byte ^= 1);
        }
    }
}

#[test]
fn a_resource_without_bytes_is_whole() {
    let disk = MemDisk::new();
    assert!(committed(&disk, 0).is_empty());
    assert!(open_committed(&disk).unwrap().is_empty());
}

#[test]
fn what_is_missing_or_damaged_is_not_committed() {
    let disk = MemDisk::new();
    let (partial, error) = partial(&disk, 10..100).commit(100, LABEL).unwrap_err();
    assert!(matches!(&error, StorageError::Incomplete { gap, .. } if *gap == (0..10)));
    let mut partial = partial;
    save(&mut partial, 1, 0..10);
    change(&disk, "/name.part", 3, |byte| *byte ^= 1);
    let (mut partial, error) = partial.commit(100, LABEL).unwrap_err();
    assert!(matches!(&error, StorageError::Lost { range, .. } if *range == (0..10)));
    save(&mut partial, 1, 0..10);
    partial
        .commit(100, LABEL)
        .map_err(|(_, error)| error)
        .unwrap();
    assert!(!exists(&disk, "/name.log") && !exists(&disk, "/name.part"));
}

#[test]
fn who_reads_the_old_files_goes_on_when_they_are_replaced() {
    let disk = MemDisk::new();
    let old = committed(&disk, 3000).checked();
    let mut new = files(&disk).begin(b"new", GENERATION + 1).unwrap();
    save(&mut new, 2, 0..3000);
    new.commit(3000, b"new")
        .map_err(|(_, error)| error)
        .unwrap();
    assert_eq!(read_all(&old, 1, 100).0.total(), 3000);
    let opened = open_committed(&disk).unwrap();
    assert_eq!(opened.generation(), GENERATION + 1);
    assert_eq!(read_all(&opened.checked(), 2, 100).0.total(), 3000);
    files(&disk).remove().unwrap();
    assert!(files(&disk).open().unwrap().is_none());
    files(&disk).remove().unwrap();
}
