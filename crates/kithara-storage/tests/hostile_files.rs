//! Files written by anybody: no panic, no wrong byte, and no more memory than the file itself could need.
//!
//! The forged ones have correct checks: they are built here as docs/cache-format.md draws them.
#![allow(clippy::unwrap_used)] // A test's helpers fail as the test itself does.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kithara_storage::{MemDisk, StorageError, Stored};
use support::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, noting the largest block the calling thread asks for.
struct Noting;

// SAFETY: every call goes to the system's allocator unchanged, which keeps the contract. Noting touches only a cell of the
// calling thread that needs no initialisation and no destructor, and so never allocates itself.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`, and this is the same call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` with this layout, because nothing else allocates here.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static NOTING: Noting = Noting;

/// Opens and reads whatever is there. Returns how many bytes were given out.
fn open_and_read(disk: &MemDisk, most: usize) -> u64 {
    LARGEST.set(0);
    let opened = files(disk).open();
    let largest = LARGEST.get();
    assert!(largest <= most, "{largest} bytes at once");
    let checked = match opened {
        Ok(None) | Err(StorageError::NewerFormat { .. }) => return 0,
        Ok(Some(Stored::Partial(partial))) => partial.checked(),
        Ok(Some(Stored::Committed(committed))) => committed.checked(),
        Err(error) => panic!("{error:?}"),
    };
    read_all(&checked, 1, 5000).0.total()
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn stamp(magic: &[u8; 8], version: u32) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend(version.to_le_bytes());
    let check = xxh3_64_with_seed(&bytes, 0) as u32;
    bytes.extend(check.to_le_bytes());
    bytes
}

/// A footer with a correct check, whatever it says.
fn footer(len: u64, label_len: u32, table_sum: u64) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    put(&mut bytes, 0, len);
    put(&mut bytes, 8, GENERATION);
    bytes[16..20].copy_from_slice(&label_len.to_le_bytes());
    put(&mut bytes, 24, table_sum);
    let check = xxh3_64_with_seed(&bytes[..32], 0);
    put(&mut bytes, 32, check);
    bytes.extend(stamp(b"kthr-cas", 1));
    bytes
}

/// A log with correct checks and these records.
fn log(label: &[u8], records: &[(u64, u32, u64)]) -> Vec<u8> {
    let mut bytes = stamp(b"kthr-log", 1);
    bytes.resize(48, 0);
    put(&mut bytes, 16, GENERATION);
    bytes[24..28].copy_from_slice(&(label.len() as u32).to_le_bytes());
    put(&mut bytes, 32, xxh3_64_with_seed(label, GENERATION));
    let check = xxh3_64_with_seed(&bytes[..40], 0);
    put(&mut bytes, 40, check);
    bytes.extend(label);
    for (start, len, sum) in records {
        let mut record = [0; 32];
        put(&mut record, 0, *start);
        record[8..12].copy_from_slice(&len.to_le_bytes());
        put(&mut record, 16, *sum);
        let check = xxh3_64_with_seed(&record[..24], GENERATION);
        put(&mut record, 24, check);
        bytes.extend(record);
    }
    bytes
}

#[test]
fn the_files_are_byte_for_byte_as_they_are_drawn() {
    let disk = MemDisk::new();
    let bytes = bytes_of(1, 0..BLOCK + 100);
    let sums = [0, BLOCK].map(|start| {
        let end = (start + BLOCK).min(BLOCK + 100);
        let extent = &bytes[start as usize..end as usize];
        (
            start,
            (end - start) as u32,
            xxh3_64_with_seed(extent, GENERATION.wrapping_add(start)),
        )
    });
    let part = partial(&disk, 0..BLOCK + 100);
    assert_eq!(contents(&disk, "/name.log"), log(LABEL, &sums));
    assert_eq!(contents(&disk, "/name.part"), bytes);
    part.commit(BLOCK + 100, LABEL)
        .map_err(|(_, error)| error)
        .unwrap();
    let mut table: Vec<u8> = sums.iter().flat_map(|sum| sum.2.to_le_bytes()).collect();
    table.extend(LABEL);
    let end = footer(
        BLOCK + 100,
        LABEL.len() as u32,
        xxh3_64_with_seed(&table, GENERATION),
    );
    assert_eq!(contents(&disk, "/name"), [bytes, table, end].concat());
}

#[test]
fn a_forged_footer_is_believed_only_if_the_file_is_what_it_describes() {
    let lens = [
        0,
        1,
        99,
        BLOCK,
        1 << 36,
        (1 << 36) + 1,
        1 << 60,
        u64::MAX - 8,
        u64::MAX,
    ];
    let labels = [0, 1, 4096, 4097, 1 << 31, u32::MAX];
    for len in lens {
        for label_len in labels {
            let disk = MemDisk::new();
            let mut bytes = bytes_of(1, 0..200);
            bytes.extend(footer(len, label_len, 0));
            replace(&disk, "/name", &bytes);
            assert_eq!(open_and_read(&disk, 10_000), 0, "{len} {label_len}");
        }
    }
}

#[test]
fn an_enormous_file_of_holes_costs_no_more_than_its_table() {
    // The largest that can be described, with a table that is a hole, and so has the wrong sum.
    let disk = MemDisk::new();
    let len: u64 = 1 << 36;
    let file_len = len + (len / BLOCK) * 8 + 56;
    let file = kithara_storage::Disk::open(
        &disk,
        std::path::Path::new("/name"),
        kithara_storage::Access::Create,
    )
    .unwrap();
    file.set_len(file_len).unwrap();
    file.write_at(file_len - 56, &footer(len, 0, 1)).unwrap();
    assert_eq!(open_and_read(&disk, 8 << 20), 0);
    // A log of exabytes: a million records are looked at, in steps.
    let disk = MemDisk::new();
    partial(&disk, 0..100);
    let file = kithara_storage::Disk::open(
        &disk,
        std::path::Path::new("/name.log"),
        kithara_storage::Access::Write,
    )
    .unwrap();
    file.set_len(1 << 60).unwrap();
    assert_eq!(open_and_read(&disk, 100_000), 100);
    let mut opened = open_partial(&disk).unwrap();
    let refused = opened.save(500, b"more").unwrap_err();
    assert!(
        matches!(refused, StorageError::TooLarge { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_forged_record_counts_only_if_it_is_possible_and_gives_out_only_what_has_its_sum() {
    let starts = [
        0,
        1,
        BLOCK - 1,
        BLOCK,
        u64::MAX - 70_000,
        u64::MAX - 1,
        u64::MAX,
    ];
    let lens = [0, 1, 2, 65_535, 65_536, 65_537, u32::MAX];
    for start in starts {
        for len in lens {
            let disk = MemDisk::new();
            replace(&disk, "/name.part", &bytes_of(1, 0..3000));
            replace(&disk, "/name.log", &log(LABEL, &[(start, len, 0); 3]));
            assert_eq!(open_and_read(&disk, 100_000), 0, "{start} {len}");
        }
    }
}

#[test]
fn files_changed_at_random_are_read_without_a_wrong_byte() {
    const INTERESTING: [u64; 8] = [0, 1, 0xFF, 1 << 16, 1 << 20, 1 << 36, 1 << 63, u64::MAX];
    let disk = MemDisk::new();
    let mut written = partial(&disk, 0..0);
    for number in 0..20 {
        save(&mut written, 1, number * 100..number * 100 + 100);
    }
    let (part, log) = (contents(&disk, "/name.part"), contents(&disk, "/name.log"));
    written
        .commit(2000, LABEL)
        .map_err(|(_, error)| error)
        .unwrap();
    let whole = contents(&disk, "/name");
    let (mut random, mut given) = (Random(1), 0);
    for round in 0..20_000 {
        let disk = MemDisk::new();
        let (path, original) = match round % 3 {
            0 => ("/name", &whole),
            1 => ("/name.log", &log),
            _ => ("/name.part", &part),
        };
        let mut changed = original.clone();
        for _ in 0..1 + random.below(3) {
            let len = changed.len() as u64;
            let at = random.below(len.max(1)) as usize;
            match random.below(6) {
                _ if len < 9 => changed.push(random.next() as u8),
                0 => changed[at] ^= 1 << random.below(8),
                1 => changed.truncate(at),
                2 => put(
                    &mut changed,
                    at.min(len as usize - 8),
                    INTERESTING[random.below(8) as usize],
                ),
                3 => changed.extend_from_within(at..),
                4 => drop(changed.drain(..at)),
                _ => changed.rotate_left(at),
            }
        }
        if path != "/name" {
            replace(&disk, "/name.part", &part);
            replace(&disk, "/name.log", &log);
        }
        replace(&disk, path, &changed);
        given += open_and_read(&disk, 100_000);
    }
    assert!(given > 0, "some survive");
}
