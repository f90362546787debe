//! A resource of which some is stored: bytes at their offsets in one file, and a log of what was written in another.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::checked::{CheckedFile, can_read, unless_no_room};
use crate::extents::{Extent, Extents};
use crate::format::{
    EXTENT, Footer, HEADER, Header, LOG_MAGIC, MAX_EXTENTS, MAX_LABEL, RECORD, STAMP, Stamp,
    extent_sum, read_record, write_record,
};
use crate::resource_files::{Names, open_existing};
use crate::{
    Access, Committed, Coverage, Disk, DiskFile, Kept, Place, StorageError,
    positional::directory_of, too_many_open,
};

/// How many records are read at once.
const RECORDS_AT_ONCE: usize = 2048;

/// A resource that is stored in part.
///
/// A crash at any moment leaves a file of which every byte given out is still true: a record that didn't make it is
/// fetched again, bytes that didn't make it don't have the sum of their record.
pub struct Partial {
    disk: Arc<dyn Disk>,
    names: Arc<Names>,
    log: Arc<dyn DiskFile>,
    checked: Arc<CheckedFile>,
    label: Vec<u8>,
    /// The number of the next record.
    next_record: u64,
    /// A sync has failed: nobody knows what the file holds.
    distrusted: bool,
}

impl Partial {
    /// Makes both files, which must not be there.
    pub(crate) fn begin(
        disk: &Arc<dyn Disk>,
        names: &Arc<Names>,
        label: &[u8],
        generation: u64,
    ) -> Result<Self, StorageError> {
        check_label(names, label)?;
        let failed = |action: &'static str, path: &Path| {
            let place = Place::file(path);
            move |error| StorageError::io(action, place, error)
        };
        let part = disk
            .open(&names.part, Access::Create)
            .map_err(failed("make", &names.part))?;
        let log = disk
            .open(&names.log, Access::Create)
            .map_err(failed("make", &names.log))?;
        let mut bytes = Header::new(generation, label).write().to_vec();
        bytes.extend_from_slice(label);
        log.write_at(0, &bytes)
            .map_err(failed("write", &names.log))?;
        let extents = Extents::Scattered(BTreeMap::new());
        Ok(Self {
            disk: disk.clone(),
            names: names.clone(),
            log,
            checked: Arc::new(CheckedFile::new(part, generation, extents)),
            label: label.to_vec(),
            next_record: 0,
            distrusted: false,
        })
    }

    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        names: &Arc<Names>,
    ) -> Result<Option<Self>, StorageError> {
        let Some(log) = open_existing(&**disk, &names.log)? else {
            return Ok(None);
        };
        let Some((header, label)) = read_header(&*log, names)? else {
            return Ok(None);
        };
        let Some(part) = open_existing(&**disk, &names.part)? else {
            return Ok(None);
        };
        let failed = |error| StorageError::io("read", Place::file(&names.log), error);
        let part_len = unless_no_room(part.len()).map_err(failed)?;
        let log_len = unless_no_room(log.len()).map_err(failed)?;
        let (Some(part_len), Some(log_len)) = (part_len, log_len) else {
            return Ok(None);
        };
        let records = log_len.saturating_sub(records_at(&label)) / RECORD as u64;
        let mut extents = read_records(&*log, &header, records.min(MAX_EXTENTS)).map_err(failed)?;
        extents.forget_behind(part_len);
        Ok(Some(Self {
            disk: disk.clone(),
            names: names.clone(),
            log,
            checked: Arc::new(CheckedFile::new(part, header.generation, extents)),
            label,
            next_record: records,
            distrusted: false,
        }))
    }

    /// Stores one extent: at most 64 KiB that don't cross a multiple of 64 KiB.
    ///
    /// Extents stored before that share a byte with it no longer count, not even their other bytes. Blocks on the disk;
    /// not for an audio thread. When it fails nothing more is covered than before, and it may be repeated.
    ///
    /// # Errors
    /// [`StorageError::Full`], [`StorageError::Io`], [`StorageError::PastEnd`] for more than one extent,
    /// [`StorageError::TooLarge`] after a million extents, [`StorageError::Distrusted`] after a failed sync.
    pub fn save(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.check_trusted()?;
        let len = bytes.len();
        let extent = Extent {
            start: offset,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            sum: extent_sum(self.generation(), offset, bytes),
        };
        if !extent.is_possible() {
            let end = (offset - offset % EXTENT as u64).saturating_add(EXTENT as u64);
            return Err(StorageError::PastEnd {
                offset,
                len: len as u64,
                end,
            });
        }
        if self.next_record >= MAX_EXTENTS {
            return Err(StorageError::TooLarge {
                len: self.next_record + 1,
                max_len: MAX_EXTENTS,
                place: Place::file(&self.names.log),
            });
        }
        let names = self.names.clone();
        let failed = |path: &Path, at| {
            let path = Some(path.to_path_buf());
            let place = Place {
                path,
                offset: Some(at),
            };
            |error| StorageError::io("write", place, error)
        };
        // Readers first: from here on, the sum they would look for may be wrong.
        let extents = self.checked.extents();
        extents.write().forget_overlapping(&extent.range());
        // Then the bytes, then the record, so that a process that is killed in between leaves no record of bytes it
        // didn't write. A power cut may turn this round: then the sum tells.
        self.checked
            .file()
            .write_at(offset, bytes)
            .map_err(failed(&names.part, offset))?;
        let at = records_at(&self.label) + self.next_record * RECORD as u64;
        self.log
            .write_at(at, &write_record(self.generation(), &extent))
            .map_err(failed(&names.log, at))?;
        self.next_record += 1;
        extents.write().put(extent);
        Ok(())
    }

    /// Makes it a committed resource of `len` bytes, all of which must be covered: one file, under its final name, that
    /// is whole. When it returns that would survive a power failure. What readers hold goes on reading.
    ///
    /// Blocks on the disk; not for an audio thread.
    ///
    /// # Errors
    /// With the partial resource back: [`StorageError::Incomplete`], [`StorageError::Lost`],
    /// [`StorageError::TooLarge`] for a label longer than 4 KiB; [`StorageError::Full`] and [`StorageError::Io`], after
    /// which [`is_distrusted`](Self::is_distrusted) tells whether a sync failed: then the files must be removed.
    #[allow(clippy::result_large_err)] // Once per resource, and the caller needs it back.
    pub fn commit(mut self, len: u64, label: &[u8]) -> Result<Committed, (Self, StorageError)> {
        match self.try_commit(len, label) {
            Ok(sums) => {
                *self.checked.extents().write() = Extents::Tiled { len, sums };
                let label = label.to_vec();
                Ok(Committed::new(self.names, self.checked, label, len))
            }
            Err(error) => Err((self, error)),
        }
    }

    /// The order must not change.
    fn try_commit(&mut self, len: u64, label: &[u8]) -> Result<Vec<u64>, StorageError> {
        self.check_trusted()?;
        check_label(&self.names, label)?;
        let sums = self.tile(len)?;
        let mut table: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        table.extend_from_slice(label);
        let footer = Footer::new(len, self.generation(), &table, label.len()).write();
        table.extend_from_slice(&footer);
        let names = self.names.clone();
        let failed = |action| {
            let place = Place::file(&names.part);
            move |error| StorageError::io(action, place, error)
        };
        let part = self.checked.file();
        // 1. What lies behind the end goes, and the sums, the label and the footer take its place. Until the rename nobody
        //    looks for them, and the log still tells all.
        part.set_len(len).map_err(failed("cut"))?;
        part.write_at(len, &table).map_err(failed("write"))?;
        // 2. All of it is durable before the final name leads to it. A sync that failed must not be tried again: the
        //    system may have dropped the bytes already, and would then report success.
        if let Err(error) = part.sync() {
            // Without a descriptor nobody has asked for it yet.
            self.distrusted = !too_many_open(&error);
            return Err(failed("sync")(error));
        }
        // 3. The final name leads to it, in one step.
        self.disk
            .rename(&names.part, &names.whole)
            .map_err(failed("rename"))?;
        // 4. The final name is durable before the log, from which the part could be continued, is gone, and before anyone
        //    is told.
        if let Err(error) = self.disk.sync_dir(directory_of(&names.whole)) {
            // The same here, if the name can be taken back.
            self.distrusted =
                !too_many_open(&error) || self.disk.rename(&names.whole, &names.part).is_err();
            return Err(failed("sync the directory of")(error));
        }
        // 5. The log is of no more use. Should it stay, nobody looks at it while there is a whole file.
        let _litter = self.disk.remove_file(&names.log);
        Ok(sums)
    }

    /// One sum for each 64 KiB. Where several extents make up one block they are read, checked and summed together.
    fn tile(&self, len: u64) -> Result<Vec<u64>, StorageError> {
        if let Some(gap) = self.coverage().next_gap(0, len) {
            return Err(StorageError::Incomplete {
                gap,
                final_len: len,
            });
        }
        let blocks = len.div_ceil(EXTENT as u64);
        let mut sums = Vec::new();
        if blocks > MAX_EXTENTS || sums.try_reserve_exact(blocks as usize).is_err() {
            return Err(StorageError::TooLarge {
                len: blocks,
                max_len: MAX_EXTENTS,
                place: Place::file(&self.names.part),
            });
        }
        for number in 0..blocks {
            let start = number * EXTENT as u64;
            let end = len.min(start + EXTENT as u64);
            let extent = self.checked.extents().read().at(start);
            sums.push(match extent {
                Some(extent) if extent.range() == (start..end) => extent.sum,
                _ => self.sum_again(start, (end - start) as usize)?,
            });
        }
        Ok(sums)
    }

    fn sum_again(&self, start: u64, len: usize) -> Result<u64, StorageError> {
        let mut block = vec![0; len];
        let mut got = 0;
        while got < len {
            let at = start + got as u64;
            let place = || Place {
                path: Some(self.names.part.clone()),
                offset: Some(at),
            };
            let read = self.checked.read_at(at, &mut block[got..]);
            match read.map_err(|error| StorageError::io("read", place(), error))? {
                Kept::Bytes(0) => {
                    return Err(StorageError::Incomplete {
                        gap: at..start + len as u64,
                        final_len: start + len as u64,
                    });
                }
                Kept::Bytes(count) => got += count,
                Kept::Lost(range) => {
                    let place = place();
                    return Err(StorageError::Lost { range, place });
                }
            }
        }
        Ok(extent_sum(self.generation(), start, &block))
    }

    /// What its owner wrote about it when it was begun.
    pub fn label(&self) -> &[u8] {
        &self.label
    }

    /// The generation with which it was begun.
    pub fn generation(&self) -> u64 {
        self.checked.generation()
    }

    /// Which bytes are stored, as far as is known without reading them.
    pub fn coverage(&self) -> Coverage {
        self.checked.coverage()
    }

    /// How to read what is stored.
    pub fn checked(&self) -> Arc<CheckedFile> {
        self.checked.clone()
    }

    /// Whether a sync has failed: these files must be removed, and nothing more is saved in them.
    pub fn is_distrusted(&self) -> bool {
        self.distrusted
    }

    fn check_trusted(&self) -> Result<(), StorageError> {
        if self.distrusted {
            let place = Place::file(&self.names.part);
            return Err(StorageError::Distrusted { place });
        }
        Ok(())
    }
}

impl std::fmt::Debug for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partial")
            .field("path", &self.names.part)
            .field("checked", &self.checked)
            .finish_non_exhaustive()
    }
}

fn check_label(names: &Names, label: &[u8]) -> Result<(), StorageError> {
    if label.len() > MAX_LABEL {
        return Err(StorageError::TooLarge {
            len: label.len() as u64,
            max_len: MAX_LABEL as u64,
            place: Place::file(&names.log),
        });
    }
    Ok(())
}

/// Where in the log the records begin.
fn records_at(label: &[u8]) -> u64 {
    (HEADER + label.len()) as u64
}

fn read_header(
    log: &dyn DiskFile,
    names: &Names,
) -> Result<Option<(Header, Vec<u8>)>, StorageError> {
    let mut bytes = [0; HEADER];
    let mut stamp = [0; STAMP];
    let failed = |error| StorageError::io("read", Place::file(&names.log), error);
    // The stamp alone first: the header of a newer version may be shorter than ours.
    if !can_read(log, 0, &mut stamp).map_err(failed)? {
        return Ok(None);
    }
    match Stamp::read(LOG_MAGIC, &stamp) {
        Stamp::Ours => {}
        Stamp::Foreign => return Ok(None),
        Stamp::Newer(version) => {
            let place = Place::file(&names.log);
            return Err(StorageError::NewerFormat { version, place });
        }
    }
    if !can_read(log, 0, &mut bytes).map_err(failed)? {
        return Ok(None);
    }
    let Some(header) = Header::read(&bytes) else {
        return Ok(None);
    };
    let mut label = vec![0; header.label_len];
    let all = can_read(log, HEADER as u64, &mut label).map_err(failed)?;
    Ok((all && header.fits(&label)).then_some((header, label)))
}

/// The extents recorded; a record that is torn or damaged, and one that can't be read, is as one that was never written.
fn read_records(log: &dyn DiskFile, header: &Header, records: u64) -> io::Result<Extents> {
    let mut extents = Extents::Scattered(BTreeMap::new());
    let mut chunk = vec![0; RECORDS_AT_ONCE.min(records as usize) * RECORD];
    let mut number = 0;
    while number < records {
        let count = (records - number).min(RECORDS_AT_ONCE as u64);
        let at = (HEADER + header.label_len) as u64 + number * RECORD as u64;
        let chunk = &mut chunk[..count as usize * RECORD];
        if can_read(log, at, chunk)? {
            for record in chunk.as_chunks::<RECORD>().0 {
                if let Some(extent) = read_record(header.generation, record) {
                    extents.put(extent);
                }
            }
        }
        number += count;
    }
    Ok(extents)
}
