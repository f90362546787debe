//! Committed bytes read through a memory mapping.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use mmap_io::{MemoryMappedFile, MmapIoError, MmapMode};

use crate::{Driver, FileDriver, Kept, Place, StorageError};

/// Reads a committed file through a memory mapping; writing is refused.
///
/// Only for files in a folder of our own: if another process cuts a mapped file short, reading it ends the whole program
/// with a signal (SIGBUS), where [`FileDriver`] reports an error. For the same reason nothing is ever written through a
/// mapping: a full disk would do the same. On Windows the file can't be deleted while it is mapped.
#[derive(Debug)]
pub struct MmapDriver {
    /// `None` for an empty file, which can't be mapped.
    map: Option<MemoryMappedFile>,
    path: PathBuf,
}

impl MmapDriver {
    /// Maps the file at `path`, which must be a regular file with no second name; symbolic links aren't followed.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let file = FileDriver::create(path, crate::OpenMode::ReadOnly)?;
        if file.len()? == 0 {
            return Ok(Self {
                map: None,
                path: path.to_path_buf(),
            });
        }
        let map = MemoryMappedFile::from_file(file.into_file(), MmapMode::ReadOnly, path)
            .map_err(|error| StorageError::io("map", Place::file(path), into_io(error)))?;
        Ok(Self {
            map: Some(map),
            path: path.to_path_buf(),
        })
    }

    /// The mapped length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.map.as_ref().map_or(0, MemoryMappedFile::len)
    }
}

impl Driver for MmapDriver {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Kept> {
        let Some(map) = &self.map else {
            return Ok(Kept::Lost(offset..u64::MAX));
        };
        let left = usize::try_from(map.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = buf.len().min(left);
        map.read_into(offset, &mut buf[..count]).map_err(into_io)?;
        Ok(Kept::Bytes(count))
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<Vec<Range<u64>>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn commit(&self, _final_len: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

fn into_io(error: MmapIoError) -> io::Error {
    match error {
        MmapIoError::Io(error) => error,
        other => io::Error::other(other),
    }
}
