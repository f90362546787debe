//! Resources on small disks, and the one question asked of all of them: is every byte given out the right one?
#![allow(dead_code, clippy::unwrap_used)] // Each test takes what it needs, and fails as a test does.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kithara_storage::{
    Access, CheckedFile, Committed, Coverage, Disk, EXTENT, Kept, Partial, ResourceFiles, Stored,
};

pub const BLOCK: u64 = EXTENT as u64;
pub const GENERATION: u64 = 0x0123_4567_89AB_CDEF;
pub const LABEL: &[u8] = b"etag \"one\"";

/// A small generator of repeatable randomness (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The bytes of a version of the resource, told apart at any offset and from those of any other version.
pub fn bytes_of(version: u64, range: Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((range.end - range.start) as usize + 16);
    // Eight at a time: these tests make a great many.
    for word in range.start / 8..range.end.div_ceil(8) {
        let mixed = (word ^ (version << 40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 32)).to_le_bytes());
    }
    bytes.drain(..(range.start % 8) as usize);
    bytes.truncate((range.end - range.start) as usize);
    bytes
}

/// The files of the one resource on a disk.
pub fn files(disk: &(impl Disk + Clone)) -> ResourceFiles {
    ResourceFiles::new(Arc::new(disk.clone()), PathBuf::from("/name"))
}

/// Stores a range, an extent at a time.
pub fn save(partial: &mut Partial, version: u64, range: Range<u64>) {
    for piece in pieces(range) {
        partial
            .save(piece.start, &bytes_of(version, piece))
            .unwrap();
    }
}

/// A range cut at the boundaries of extents.
pub fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let end = range.end.min(start - start % BLOCK + BLOCK);
        let piece = start..end;
        start = end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A partial resource of which a range is stored.
pub fn partial(disk: &(impl Disk + Clone), range: Range<u64>) -> Partial {
    let mut partial = files(disk).begin(LABEL, GENERATION).unwrap();
    save(&mut partial, 1, range);
    partial
}

pub fn committed(disk: &(impl Disk + Clone), len: u64) -> Committed {
    partial(disk, 0..len)
        .commit(len, LABEL)
        .map_err(|(_, error)| error)
        .unwrap()
}

pub fn open_committed(disk: &(impl Disk + Clone)) -> Option<Committed> {
    match files(disk).open().unwrap()? {
        Stored::Committed(committed) => Some(committed),
        Stored::Partial(_) => None,
    }
}

pub fn open_partial(disk: &(impl Disk + Clone)) -> Option<Partial> {
    match files(disk).open().unwrap()? {
        Stored::Partial(partial) => Some(partial),
        Stored::Committed(_) => None,
    }
}

/// Reads everything, in steps of `step`, and panics if a byte is not that of `version`. Returns what was given out and what
/// was lost.
pub fn read_all(checked: &CheckedFile, version: u64, step: usize) -> (Coverage, Coverage) {
    let (mut got, mut lost) = (Coverage::new(), Coverage::new());
    let mut buf = vec![0; step];
    let ranges: Vec<_> = checked.coverage().iter().collect();
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            match checked.read_at(at, &mut buf).unwrap() {
                Kept::Bytes(0) => panic!("byte {at} was covered and not lost"),
                Kept::Bytes(count) => {
                    let end = at + count as u64;
                    assert!(
                        buf[..count] == bytes_of(version, at..end),
                        "wrong in {at}..{end}"
                    );
                    got.insert(at..end);
                    at = end;
                }
                Kept::Lost(range) => {
                    assert!(range.contains(&at), "{range:?} does not contain {at}");
                    at = range.end;
                    lost.insert(range);
                }
            }
        }
    }
    (got, lost)
}

pub fn contents(disk: &impl Disk, path: &str) -> Vec<u8> {
    let file = disk.open(Path::new(path), Access::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

pub fn replace(disk: &impl Disk, path: &str, bytes: &[u8]) {
    let file = disk.open(Path::new(path), Access::Create).unwrap();
    file.set_len(0).unwrap();
    file.write_at(0, bytes).unwrap();
}

/// Changes a few bytes in place.
pub fn change(disk: &impl Disk, path: &str, offset: u64, change: impl FnOnce(&mut u8)) {
    let file = disk.open(Path::new(path), Access::Write).unwrap();
    let mut byte = [0];
    file.read_at(offset, &mut byte).unwrap();
    change(&mut byte[0]);
    file.write_at(offset, &byte).unwrap();
}

pub fn exists(disk: &impl Disk, path: &str) -> bool {
    disk.open(Path::new(path), Access::Read).is_ok()
}
