//! Temporary files without a name, for what may not be kept: what they may take is bounded like everything else.

use std::io;

use kithara_storage::{Disk, RealDisk, ResourceWriter, StorageError, StorageResource};

use crate::StoreOptions;
use crate::store::Folder;
use crate::window::Stretch;

/// What a resource of which nobody knows the length may take, in bytes: an hour at 128 kbit/s, for seeks back.
const WITHOUT_LENGTH: u64 = 64 << 20;

/// The disk is asked again how much room it has after so many bytes: others fill it too.
const ASKED_EVERY: u64 = 4 << 20;

/// A temporary file without a name. It goes with whoever reads it last.
pub(crate) struct Unnamed {
    writer: ResourceWriter,
    saved: u64,
}

impl Unnamed {
    /// A new file, and who reads it. Opened beside those of the store's folder, so that none of them is in its way.
    pub(crate) fn make(folder: Option<&Folder>) -> io::Result<(Self, StorageResource)> {
        let open = || StorageResource::temporary(None).map_err(into_io);
        let (writer, resource) = match folder {
            Some(folder) => folder.disk.beside(open),
            None => open(),
        }?;
        Ok((Self { writer, saved: 0 }, resource))
    }

    pub(crate) fn save(&mut self, stretch: &Stretch) -> Result<(), StorageError> {
        self.writer.write_at(stretch.offset, &stretch.bytes)?;
        self.saved = self.saved.saturating_add(stretch.bytes.len() as u64);
        Ok(())
    }

    /// How many bytes it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.saved
    }
}

/// What the temporary files of a store may take.
pub(crate) struct Allowance {
    max_bytes: u64,
    min_free: u64,
    /// What may still be saved before the disk is asked again.
    known_free: u64,
}

impl Allowance {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        Self {
            max_bytes: options.max_bytes,
            min_free: options.min_free,
            known_free: 0,
        }
    }

    /// Whether `more` bytes may be saved in a file that has `own` of a resource of `total` bytes, where all files together
    /// have `all`. They count as saved.
    pub(crate) fn take(&mut self, all: u64, own: u64, total: Option<u64>, more: u64) -> bool {
        let within = |bytes: u64, limit| bytes.saturating_add(more) <= limit;
        let permitted = within(all, self.max_bytes)
            && (total.is_some() || within(own, WITHOUT_LENGTH))
            && self.is_free(more);
        if permitted {
            self.known_free = self.known_free.saturating_sub(more);
        }
        permitted
    }

    fn is_free(&mut self, more: u64) -> bool {
        if self.known_free < more {
            let free = RealDisk.free_bytes(&std::env::temp_dir());
            // A disk that doesn't tell will say so when it is full.
            let spare = free.unwrap_or(u64::MAX).saturating_sub(self.min_free);
            self.known_free = spare.min(ASKED_EVERY);
        }
        self.known_free >= more
    }
}

/// What the system said.
fn into_io(error: StorageError) -> io::Error {
    match error {
        StorageError::Io { source, .. } | StorageError::Full { source, .. } => source,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_temporary_files_may_take_is_bounded() {
        // The limit, what is left to others; all, of this one, its length, more; whether it may.
        let cases = [
            ((10 * MIB, 0), (9 * MIB, 0, Some(MIB), MIB), true),
            ((10 * MIB, 0), (9 * MIB, 0, Some(MIB), MIB + 1), false),
            ((10 * MIB, 0), (u64::MAX, 0, Some(MIB), 1), false),
            ((u64::MAX, 0), (64 * MIB, 63 * MIB, None, MIB), true),
            ((u64::MAX, 0), (64 * MIB, 63 * MIB, None, MIB + 1), false),
            ((u64::MAX, 0), (64 * MIB, 64 * MIB, Some(MIB), MIB), true),
            ((u64::MAX, u64::MAX), (0, 0, Some(MIB), 1), false),
        ];
        for ((max_bytes, min_free), (all, own, total, more), expected) in cases {
            let mut options = StoreOptions::default();
            (options.max_bytes, options.min_free) = (max_bytes, min_free);
            let taken = Allowance::new(&options).take(all, own, total, more);
            assert_eq!(
                taken, expected,
                "{max_bytes} {min_free} {all} {own} {total:?} {more}"
            );
        }
    }
}
