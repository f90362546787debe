//! Whatever becomes of the files, a byte given out is the right one.
#![allow(clippy::unwrap_used)] // A test's helpers fail as the test itself does.

mod support;

use std::slice::from_ref;

use kithara_storage::{Kept, MemDisk, StorageError, Stored};
use support::*;

const STEPS: [usize; 2] = [1000, 200_000];

/// Reads what is left of the resource, whatever it is; every byte given out is checked. Returns how many were.
fn what_is_left(disk: &MemDisk) -> u64 {
    let checked = match files(disk).open() {
        Ok(Some(Stored::Partial(partial))) => partial.checked(),
        Ok(Some(Stored::Committed(committed))) => committed.checked(),
        Ok(None) => return 0,
        Err(error) => panic!("{error:?}"),
    };
    read_all(&checked, 1, 200_000).0.total()
}

#[test]
fn a_flipped_bit_anywhere_in_a_committed_resource_costs_its_extent_and_no_other() {
    const LEN: u64 = 3 * BLOCK + 1234;
    for step in STEPS {
        let mut random = Random(7);
        for number in 0..4 {
            let block = number * BLOCK..LEN.min((number + 1) * BLOCK);
            for _ in 0..20 {
                let disk = MemDisk::new();
                committed(&disk, LEN);
                let at = block.start + random.below(block.end - block.start);
                change(&disk, "/name", at, |byte| *byte ^= 1 << random.below(8));
                let opened = open_committed(&disk).unwrap();
                let (got, lost) = read_all(&opened.checked(), 1, step);
                assert_eq!(lost.iter().collect::<Vec<_>>(), from_ref(&block));
                assert_eq!(got.total(), LEN - (block.end - block.start));
                assert_eq!(opened.extent_at(at), Some(block.clone()));
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_a_partial_resource_costs_its_extent_until_it_is_saved_anew() {
    const LEN: u64 = 3 * BLOCK;
    let disk = MemDisk::new();
    partial(&disk, 100..LEN);
    for at in [100, BLOCK - 1, BLOCK, 2 * BLOCK + 77, LEN - 1] {
        change(&disk, "/name.part", at, |byte| *byte ^= 0x10);
        let mut opened = open_partial(&disk).unwrap();
        let (_, lost) = read_all(&opened.checked(), 1, 1000);
        let block = at - at % BLOCK;
        let extent = block.max(100)..block + BLOCK;
        assert_eq!(lost.iter().collect::<Vec<_>>(), from_ref(&extent));
        assert!(!opened.coverage().contains(at..at + 1), "it is forgotten");
        let read = opened.checked().read_at(at, &mut [0; 8]).unwrap();
        assert_eq!(read, Kept::Bytes(0));
        save(&mut opened, 1, extent);
        assert_eq!(read_all(&opened.checked(), 1, 1000).0.total(), LEN - 100);
    }
    let whole = open_partial(&disk).unwrap();
    assert_eq!(read_all(&whole.checked(), 1, 1000).0.total(), LEN - 100);
}

#[test]
fn a_flipped_bit_in_table_label_footer_or_log_is_never_believed() {
    const LEN: u64 = BLOCK + 500;
    let disk = MemDisk::new();
    committed(&disk, LEN);
    let whole = contents(&disk, "/name");
    for at in LEN as usize..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            replace(&disk, "/name", &flipped);
            assert!(files(&disk).open().unwrap().is_none(), "bit {bit} of {at}");
        }
    }
    let disk = MemDisk::new();
    partial(&disk, 0..LEN);
    let log = contents(&disk, "/name.log");
    for at in 0..log.len() {
        for bit in 0..8 {
            let mut flipped = log.clone();
            flipped[at] ^= 1 << bit;
            replace(&disk, "/name.log", &flipped);
            let header = at < log.len() - 2 * 32;
            let left = what_is_left(&disk);
            assert!(left == if header { 0 } else { left.min(LEN - 500) });
            assert!(header || left > 0, "the other record still counts");
        }
    }
}

#[test]
fn a_committed_resource_cut_at_any_length_is_absent() {
    const LEN: u64 = 300;
    let disk = MemDisk::new();
    committed(&disk, LEN);
    let whole = contents(&disk, "/name");
    for len in 0..whole.len() {
        replace(&disk, "/name", &whole[..len]);
        assert!(files(&disk).open().unwrap().is_none(), "{len} bytes");
    }
    let mut longer = whole.clone();
    longer.push(0);
    replace(&disk, "/name", &longer);
    assert!(files(&disk).open().unwrap().is_none(), "one byte more");
    replace(&disk, "/name", &whole);
    assert_eq!(what_is_left(&disk), LEN);
}

#[test]
fn a_partial_resource_cut_at_any_length_keeps_the_extents_before() {
    let disk = MemDisk::new();
    let mut small = files(&disk).begin(LABEL, GENERATION).unwrap();
    for number in 0..30 {
        save(&mut small, 1, number * 10..number * 10 + 10);
    }
    let whole = contents(&disk, "/name.part");
    for len in 0..whole.len() {
        replace(&disk, "/name.part", &whole[..len]);
        let left = len as u64 / 10 * 10;
        assert_eq!(open_partial(&disk).unwrap().coverage().total(), left);
        assert_eq!(what_is_left(&disk), left);
    }
}

#[test]
fn a_file_cut_short_under_its_reader_is_lost_from_there_on() {
    const LEN: u64 = 4 * BLOCK;
    let mut random = Random(3);
    for _ in 0..50 {
        let disk = MemDisk::new();
        let open = committed(&disk, LEN);
        let cut = random.below(LEN);
        replace(&disk, "/name", &bytes_of(1, 0..cut));
        let (got, lost) = read_all(&open.checked(), 1, 4096);
        assert_eq!(got.total(), cut - cut % BLOCK);
        assert_eq!(lost.total(), LEN - got.total());
    }
}

#[test]
fn holes_and_swapped_blocks_are_noticed() {
    const LEN: u64 = 4 * BLOCK;
    for path in ["/name", "/name.part"] {
        for (from, to) in [(0, 1), (1, 0), (2, 3), (3, 0)] {
            let disk = MemDisk::new();
            let kept = partial(&disk, 0..LEN);
            if path == "/name" {
                kept.commit(LEN, LABEL).map_err(|(_, error)| error).unwrap();
            }
            let mut bytes = contents(&disk, path);
            let at = |number: usize| number * BLOCK as usize..(number + 1) * BLOCK as usize;
            let moved = bytes[at(from)].to_vec();
            bytes[at(to)].copy_from_slice(&moved);
            replace(&disk, path, &bytes);
            assert_eq!(what_is_left(&disk), LEN - BLOCK, "{from} over {to}");
            bytes[at(from)].fill(0);
            replace(&disk, path, &bytes);
            assert_eq!(what_is_left(&disk), LEN - 2 * BLOCK, "{from} is a hole");
        }
    }
}

#[test]
fn identical_blocks_that_changed_places_are_identical_and_blocks_of_another_generation_are_not_taken()
 {
    let disk = MemDisk::new();
    let mut old = files(&disk).begin(LABEL, GENERATION).unwrap();
    save(&mut old, 1, 0..2 * BLOCK);
    let (part, log) = (contents(&disk, "/name.part"), contents(&disk, "/name.log"));
    let mut new = files(&disk).begin(LABEL, GENERATION + 1).unwrap();
    save(&mut new, 2, BLOCK..3 * BLOCK);
    let new_log = contents(&disk, "/name.log");
    // The old bytes under the new log: nothing of it is the new version.
    replace(&disk, "/name.part", &part);
    let opened = open_partial(&disk).unwrap();
    assert_eq!(read_all(&opened.checked(), 2, 1000).0.total(), 0);
    // Old records in the new log, and new ones in the old log: none counts.
    let records = log.len() - 2 * 32;
    for (base, other) in [(&new_log, &log), (&log, &new_log)] {
        let mut mixed = base[..records].to_vec();
        mixed.extend_from_slice(&other[records..]);
        replace(&disk, "/name.log", &mixed);
        assert!(open_partial(&disk).unwrap().coverage().is_empty());
    }
}

#[test]
fn a_newer_format_is_left_alone_and_a_stamp_with_a_flipped_bit_is_no_newer_format() {
    for (path, stamp_from_end) in [("/name", true), ("/name.log", false)] {
        let disk = MemDisk::new();
        if stamp_from_end {
            committed(&disk, 100);
        } else {
            partial(&disk, 0..100);
        }
        let mut bytes = contents(&disk, path);
        let at = if stamp_from_end { bytes.len() - 16 } else { 0 };
        bytes[at + 8] = 2;
        replace(&disk, path, &bytes);
        assert!(files(&disk).open().unwrap().is_none(), "its check says so");
        let check = xxhash_rust::xxh3::xxh3_64(&bytes[at..at + 12]) as u32;
        bytes[at + 12..at + 16].copy_from_slice(&check.to_le_bytes());
        replace(&disk, path, &bytes);
        let error = files(&disk).open().unwrap_err();
        assert!(
            matches!(error, StorageError::NewerFormat { version: 2, .. }),
            "{error:?}"
        );
        assert_eq!(contents(&disk, path), bytes);
    }
}
