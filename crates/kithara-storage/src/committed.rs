//! A whole resource in one file: its bytes, their sums, the label and a footer.

use std::ops::Range;
use std::sync::Arc;

use crate::checked::{CheckedFile, can_read, unless_no_room};
use crate::extents::Extents;
use crate::format::{EXTENT, FILE_MAGIC, FOOTER, Footer, STAMP, Stamp, extent_sum, u64_at};
use crate::resource_files::{Names, open_existing};
use crate::{Disk, Place, StorageError};

/// A resource that is stored whole.
#[derive(Debug)]
pub struct Committed {
    names: Arc<Names>,
    checked: Arc<CheckedFile>,
    label: Vec<u8>,
    len: u64,
}

impl Committed {
    pub(crate) fn open(disk: &dyn Disk, names: &Arc<Names>) -> Result<Option<Self>, StorageError> {
        let place = || Place::file(&names.whole);
        let failed = |error| StorageError::io("read", place(), error);
        let Some(file) = open_existing(disk, &names.whole)? else {
            return Ok(None);
        };
        let Some(file_len) = unless_no_room(file.len()).map_err(failed)? else {
            return Ok(None);
        };
        let mut bytes = [0; FOOTER];
        let Some(footer_at) = file_len.checked_sub(FOOTER as u64) else {
            return Ok(None);
        };
        if !can_read(&*file, footer_at, &mut bytes).map_err(failed)? {
            return Ok(None);
        }
        let mut stamp = [0; STAMP];
        stamp.copy_from_slice(&bytes[FOOTER - STAMP..]);
        match Stamp::read(FILE_MAGIC, &stamp) {
            Stamp::Ours => {}
            Stamp::Foreign => return Ok(None),
            Stamp::Newer(version) => {
                let place = place();
                return Err(StorageError::NewerFormat { version, place });
            }
        }
        let Some(footer) = Footer::read(&bytes, file_len) else {
            return Ok(None);
        };
        let table_len = footer.table_len();
        let mut table = Vec::new();
        table
            .try_reserve_exact(table_len)
            .map_err(|_| StorageError::TooLarge {
                len: table_len as u64,
                max_len: 0,
                place: place(),
            })?;
        table.resize(table_len, 0);
        let table_at = footer_at - table_len as u64;
        if !can_read(&*file, table_at, &mut table).map_err(failed)? || !footer.fits(&table) {
            return Ok(None);
        }
        let (sums, label) = table.split_at(table_len - footer.label_len);
        let extents = Extents::Tiled {
            len: footer.len,
            sums: sums.chunks_exact(8).map(|sum| u64_at(sum, 0)).collect(),
        };
        Ok(Some(Self {
            names: names.clone(),
            checked: Arc::new(CheckedFile::new(file, footer.generation, extents)),
            label: label.to_vec(),
            len: footer.len,
        }))
    }

    /// What a partial resource has become.
    pub(crate) fn new(
        names: Arc<Names>,
        checked: Arc<CheckedFile>,
        label: Vec<u8>,
        len: u64,
    ) -> Self {
        Self {
            names,
            checked,
            label,
            len,
        }
    }

    /// Writes a whole extent anew that was lost: its bytes must be the ones that were committed.
    ///
    /// Blocks on the disk; not for an audio thread. If it fails the extent stays lost, and may be repaired again.
    ///
    /// # Errors
    /// [`StorageError::Differs`] if these are other bytes, or not exactly one extent: the resource has changed at its
    /// origin. [`StorageError::Io`], [`StorageError::Full`].
    pub fn repair(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let place = || Place {
            path: Some(self.names.whole.clone()),
            offset: Some(offset),
        };
        let end = offset.saturating_add(bytes.len() as u64);
        let recorded = self.checked.extents().read().at(offset);
        let same = recorded.is_some_and(|extent| {
            extent.range() == (offset..end)
                && extent_sum(self.generation(), offset, bytes) == extent.sum
        });
        if !same {
            return Err(StorageError::Differs {
                range: offset..end,
                place: place(),
            });
        }
        // In place and unsynced: whatever a crash leaves of it has the recorded sum, or is lost as before.
        self.checked
            .file()
            .write_at(offset, bytes)
            .map_err(|error| StorageError::io("repair", place(), error))
    }

    /// The extent in which `offset` lies: what is lost and repaired together.
    pub fn extent_at(&self, offset: u64) -> Option<Range<u64>> {
        let start = offset - offset % EXTENT as u64;
        (offset < self.len).then(|| start..self.len.min(start + EXTENT as u64))
    }

    /// What its owner wrote about it when it was committed.
    pub fn label(&self) -> &[u8] {
        &self.label
    }

    /// The generation with which it was begun.
    pub fn generation(&self) -> u64 {
        self.checked.generation()
    }

    /// The length of the resource in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How to read it.
    pub fn checked(&self) -> Arc<CheckedFile> {
        self.checked.clone()
    }
}
