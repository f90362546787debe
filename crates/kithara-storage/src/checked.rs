//! Reading extents, none without checking its sum.

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::extents::{Extent, Extents};
use crate::format::{EXTENT, extent_sum};
use crate::{Coverage, DiskFile, Kept, too_many_open};

/// Reads what was stored, and gives out no byte whose sum it hasn't checked.
///
/// Each extent is read and checked whole. The last two are kept, so that reading in small steps checks each only once.
/// Reading may block on the disk, and is not for an audio thread. Any number of threads may read, also while bytes
/// are being saved or repaired.
pub struct CheckedFile {
    file: Arc<dyn DiskFile>,
    generation: u64,
    /// The keeper of the files changes it, readers look: a message would have to be answered at every read.
    extents: RwLock<Extents>,
    /// Shared by the readers, most recently used first. Held to copy from memory only, never while the disk is read.
    recent: Mutex<[Option<Recent>; 2]>,
}

struct Recent {
    extent: Extent,
    bytes: Vec<u8>,
}

impl CheckedFile {
    pub(crate) fn new(file: Arc<dyn DiskFile>, generation: u64, extents: Extents) -> Self {
        Self {
            file,
            generation,
            extents: RwLock::new(extents),
            recent: Mutex::default(),
        }
    }

    /// Reads at most `buf.len()` bytes, none behind the end of the extent (64 KiB at most) in which `offset` lies. 0
    /// means that nothing is stored there.
    ///
    /// [`Kept::Lost`] names the extent that isn't what was written, whatever became of it: flipped, a hole, cut off, or
    /// refused by the disk. A partial file forgets it, and asked again has nothing there.
    ///
    /// # Errors
    /// For want of memory, or of a file descriptor ([`too_many_open`](crate::too_many_open)): the bytes are as they were,
    /// and can be read once there is room.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Kept> {
        if buf.is_empty() {
            return Ok(Kept::Bytes(0));
        }
        loop {
            let Some(extent) = self.extents.read().at(offset) else {
                return Ok(Kept::Bytes(0));
            };
            if let Some(count) = self.read_extent(&extent, offset, buf)? {
                return Ok(Kept::Bytes(count));
            }
            // It may have been saved anew meanwhile: then the sum looked for was the old one.
            let mut extents = self.extents.write();
            if extents.at(offset) == Some(extent) {
                extents.forget_overlapping(&extent.range());
                return Ok(Kept::Lost(extent.range()));
            }
        }
    }

    /// Which bytes are stored, as far as is known without reading them.
    pub fn coverage(&self) -> Coverage {
        self.extents.read().coverage()
    }

    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn extents(&self) -> &RwLock<Extents> {
        &self.extents
    }

    /// Copies from an extent that is as it was written; `None` if it isn't.
    fn read_extent(
        &self,
        extent: &Extent,
        offset: u64,
        buf: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let len = extent.len as usize;
        let skip = (offset - extent.start) as usize;
        let count = buf.len().min(len - skip);
        if skip == 0 && buf.len() >= len {
            // All of it is wanted: no detour.
            return Ok(self.is_true(extent, &mut buf[..len])?.then_some(len));
        }
        let spare = {
            let mut recent = self.recent.lock();
            if recent[1]
                .as_ref()
                .is_some_and(|kept| kept.extent == *extent)
            {
                recent.swap(0, 1);
            }
            match &recent[0] {
                Some(kept) if kept.extent == *extent => {
                    buf[..count].copy_from_slice(&kept.bytes[skip..skip + count]);
                    return Ok(Some(count));
                }
                _ => recent[1].take(),
            }
        };
        let mut bytes = spare.map(|kept| kept.bytes).unwrap_or_default();
        bytes.clear();
        bytes
            .try_reserve_exact(EXTENT)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(len, 0);
        if !self.is_true(extent, &mut bytes)? {
            return Ok(None);
        }
        buf[..count].copy_from_slice(&bytes[skip..skip + count]);
        let mut recent = self.recent.lock();
        recent.swap(0, 1);
        recent[0] = Some(Recent {
            extent: *extent,
            bytes,
        });
        Ok(Some(count))
    }

    /// Fills `bytes` with the extent, and tells whether it is what was written.
    fn is_true(&self, extent: &Extent, bytes: &mut [u8]) -> io::Result<bool> {
        let all = can_read(&*self.file, extent.start, bytes)?;
        Ok(all && extent_sum(self.generation, extent.start, bytes) == extent.sum)
    }
}

impl std::fmt::Debug for CheckedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckedFile")
            .field("generation", &self.generation)
            .field("coverage", &self.coverage())
            .finish_non_exhaustive()
    }
}

/// Fills `buf`; `false` if the file ends first, or the disk can't read it: a disk that can't has damaged the file as much as
/// one that reads other bytes.
///
/// # Errors
/// Only for want of a file descriptor, which says nothing about the file.
pub(crate) fn can_read(file: &dyn DiskFile, offset: u64, buf: &mut [u8]) -> io::Result<bool> {
    Ok(unless_no_room(read_exactly(file, offset, buf))?.unwrap_or(false))
}

/// What a call came to; `None` if the disk refused it.
///
/// # Errors
/// Only for want of a file descriptor.
pub(crate) fn unless_no_room<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if too_many_open(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Fills `buf`; `false` if the file ends first.
fn read_exactly(file: &dyn DiskFile, offset: u64, buf: &mut [u8]) -> io::Result<bool> {
    let mut got = 0;
    while got < buf.len() {
        match file.read_at(offset + got as u64, &mut buf[got..])? {
            0 => return Ok(false),
            count => got += count,
        }
    }
    Ok(true)
}
