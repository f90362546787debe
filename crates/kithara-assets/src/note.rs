//! Small notes that change often: two numbers, in place, without a sync.

use std::io;
use std::path::Path;

use kithara_storage::{Access, Disk};
use sha2::{Digest, Sha256};

/// One of the two slots of a note: `magic | turn | two numbers | check`, little-endian.
const SLOT: usize = 40;

/// The slots lie in sectors of their own, so that a torn write hits one only.
const STEP: u64 = 512;

const MAGIC: [u8; 8] = *b"kthrnot1";

/// Two numbers that are written by turns into two slots: whatever happens to a write, what was written before is still
/// there. A note that can't be read at all is as one that was never written: nothing but the order of eviction and the date of
/// the next revalidation depends on notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Note {
    turn: u64,
    numbers: [u64; 2],
}

impl Note {
    fn to_bytes(self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..8].copy_from_slice(&MAGIC);
        let numbers = [self.turn, self.numbers[0], self.numbers[1]];
        for (place, number) in bytes[8..32].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let check = Sha256::digest(&bytes[..32]);
        bytes[32..].copy_from_slice(&check[..8]);
        bytes
    }

    fn from_bytes(bytes: &[u8; SLOT]) -> Option<Self> {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let note = Self {
            turn: number(8),
            numbers: [number(16), number(24)],
        };
        (note.to_bytes() == *bytes).then_some(note)
    }

    fn read(disk: &dyn Disk, path: &Path) -> Self {
        let Ok(file) = disk.open(path, Access::Read) else {
            return Self::default();
        };
        let slot = |turn: u64| {
            let mut bytes = [0; SLOT];
            let count = file.read_at(turn * STEP, &mut bytes).ok()?;
            Self::from_bytes(&bytes).filter(|_| count == SLOT)
        };
        let slots = [slot(0), slot(1)];
        slots
            .into_iter()
            .flatten()
            .max_by_key(|note| note.turn)
            .unwrap_or_default()
    }

    fn write(disk: &dyn Disk, path: &Path, numbers: [u64; 2]) -> io::Result<()> {
        let turn = Self::read(disk, path).turn.wrapping_add(1);
        let note = Self { turn, numbers };
        disk.open(path, Access::Create)?
            .write_at(turn % 2 * STEP, &note.to_bytes())
    }
}

/// What is noted of a title.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// The store's logical clock at its last use.
    pub(crate) used: u64,
    /// When it was last found unchanged at its origin, in seconds since 1970.
    pub(crate) validated_at: Option<u64>,
}

impl Used {
    /// What is noted; nothing if there is no readable note.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Self {
        let note = Note::read(disk, path);
        Self {
            used: note.numbers[0],
            validated_at: note.numbers[1].checked_sub(1),
        }
    }

    pub(crate) fn write(&self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        let validated_at = self.validated_at.map_or(0, |at| at.saturating_add(1));
        Note::write(disk, path, [self.used, validated_at])
    }
}

/// Lets the store's logical clock tick; what it shows now. It counts uses, so that nobody who sets the time changes what
/// was used last.
pub(crate) fn tick(disk: &dyn Disk, path: &Path, at_least: u64) -> io::Result<u64> {
    let now = Note::read(disk, path).numbers[0].max(at_least) + 1;
    Note::write(disk, path, [now, 0])?;
    Ok(now)
}

#[cfg(test)]
mod tests {
    use kithara_storage::MemDisk;

    use super::*;

    #[test]
    fn a_torn_or_flipped_note_reads_as_the_one_before() {
        let disk = MemDisk::new();
        let path = Path::new("/note");
        for used in 1..6 {
            let before = Used::read(&disk, path);
            let now = Used {
                used,
                validated_at: Some(used * 100),
            };
            now.write(&disk, path).unwrap();
            assert_eq!(Used::read(&disk, path), now);
            let file = disk.open(path, Access::Write).unwrap();
            let slot = used % 2 * STEP;
            for at in 0..SLOT as u64 {
                let mut byte = [0];
                file.read_at(slot + at, &mut byte).unwrap();
                file.write_at(slot + at, &[byte[0] ^ 0x10]).unwrap();
                assert_eq!(Used::read(&disk, path), before, "byte {at}");
                file.write_at(slot + at, &byte).unwrap();
            }
        }
    }

    #[test]
    fn the_clock_only_goes_forward() {
        let disk = MemDisk::new();
        let path = Path::new("/clock");
        assert_eq!(tick(&disk, path, 0).unwrap(), 1);
        assert_eq!(tick(&disk, path, 0).unwrap(), 2);
        assert_eq!(tick(&disk, path, 70).unwrap(), 71);
        disk.remove_file(path).unwrap();
        assert_eq!(tick(&disk, path, 71).unwrap(), 72);
    }
}
