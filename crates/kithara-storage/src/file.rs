//! Bytes kept in a file, reached by positional reads and writes.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::positional::{
    directory_of, has_second_name, private, read_at, sync_directory, unblocked, what_else, write_at,
};
use crate::{Driver, Kept, Place, StorageError};

/// How [`StorageResource::create`](crate::StorageResource::create) treats the file at its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// Use the file that is there, or make one. Bytes found in it stay, but count as missing until written.
    #[default]
    Auto,
    /// Begin anew: make the file, or empty the one that is there.
    ReadWrite,
    /// Use the file that is there, as a finished resource: the writer's writes are refused.
    ReadOnly,
}

/// Keeps the bytes in a file, reached by positional reads and writes: the default.
///
/// Readers and the writer share one descriptor without a common position, so none disturbs another. When the disk is
/// full, or somebody cuts the file short, that is an error and never a signal.
#[derive(Debug)]
pub struct FileDriver {
    file: File,
    /// `None` for a file without a name, whose bytes nobody can find after a crash.
    path: Option<PathBuf>,
    /// Where the bytes end that were written so far.
    end: AtomicU64,
}

impl FileDriver {
    /// A file without a name.
    pub(crate) fn temporary(dir: Option<&Path>) -> Result<Self, StorageError> {
        let file = match dir {
            Some(dir) => tempfile::tempfile_in(dir),
            None => tempfile::tempfile(),
        };
        let place = || Place {
            path: Some(dir.map_or_else(std::env::temp_dir, Path::to_path_buf)),
            offset: None,
        };
        let file =
            file.map_err(|error| StorageError::io("make a temporary file in", place(), error))?;
        Ok(Self {
            file,
            path: None,
            end: AtomicU64::new(0),
        })
    }

    /// A private file at `path`.
    pub(crate) fn create(path: &Path, mode: OpenMode) -> Result<Self, StorageError> {
        let mut options = OpenOptions::new();
        options.read(true);
        if mode != OpenMode::ReadOnly {
            // Never `truncate` here: what is found must be looked at before it is emptied.
            options.write(true).create(true).truncate(false);
        }
        private(&mut options);
        let file = options
            .open(path)
            .map_err(|error| match std::fs::symlink_metadata(path) {
                Ok(found) if !found.is_file() => not_a_file(path, &found),
                _ => StorageError::io("open", Place::file(path), error),
            })?;
        let driver = Self::regular(file, path)?;
        driver.refuse_second_name(path)?;
        if mode == OpenMode::ReadWrite {
            driver
                .file
                .set_len(0)
                .map_err(|error| StorageError::io("empty", Place::file(path), error))?;
        }
        Ok(driver)
    }

    /// An existing file, read only.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let mut options = OpenOptions::new();
        options.read(true);
        unblocked(&mut options);
        let file = options
            .open(path)
            .map_err(|error| match std::fs::metadata(path) {
                Ok(found) if !found.is_file() => not_a_file(path, &found),
                _ => StorageError::io("open", Place::file(path), error),
            })?;
        Self::regular(file, path)
    }

    fn regular(file: File, path: &Path) -> Result<Self, StorageError> {
        let found = file
            .metadata()
            .map_err(|error| StorageError::io("examine", Place::file(path), error))?;
        if !found.is_file() {
            return Err(not_a_file(path, &found));
        }
        Ok(Self {
            file,
            path: Some(path.to_path_buf()),
            end: AtomicU64::new(0),
        })
    }

    /// What somebody has cut off of what was written. Writing behind it would turn it into zeros.
    fn cut_off(&self) -> io::Result<Range<u64>> {
        let end = self.end.load(Ordering::Relaxed);
        let len = match self.path {
            Some(_) => self.file.metadata()?.len(),
            // Nobody else can reach it.
            None => end,
        };
        Ok(len.min(end)..end)
    }

    /// The length of the file in bytes.
    pub(crate) fn len(&self) -> Result<u64, StorageError> {
        let place = || Place {
            path: self.path.clone(),
            offset: None,
        };
        self.file
            .metadata()
            .map(|found| found.len())
            .map_err(|error| StorageError::io("examine", place(), error))
    }

    /// The file itself.
    #[cfg(feature = "mmap")]
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    fn refuse_second_name(&self, path: &Path) -> Result<(), StorageError> {
        let found = self
            .file
            .metadata()
            .map_err(|error| StorageError::io("examine", Place::file(path), error))?;
        if has_second_name(&found) {
            return Err(StorageError::NotAFile {
                path: path.to_path_buf(),
                what: "a file with several names",
            });
        }
        Ok(())
    }
}

impl Driver for FileDriver {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Kept> {
        Ok(match read_at(&self.file, offset, buf)? {
            // A file that ends here has nothing behind either.
            0 if !buf.is_empty() => Kept::Lost(offset..u64::MAX),
            count => Kept::Bytes(count),
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<Vec<Range<u64>>> {
        let written = offset..offset + bytes.len() as u64;
        let gone = self.cut_off()?;
        write_at(&self.file, offset, bytes)?;
        self.end.fetch_max(written.end, Ordering::Relaxed);
        let before = gone.start..gone.end.min(written.start);
        let behind = gone.start.max(written.end)..gone.end;
        let lost = [before, behind].into_iter().filter(|lost| !lost.is_empty());
        Ok(lost.collect())
    }

    fn commit(&self, final_len: u64) -> io::Result<()> {
        if self.cut_off()?.start < final_len.min(self.end.load(Ordering::Relaxed)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.set_len(final_len)?;
        let Some(path) = &self.path else {
            return Ok(());
        };
        // The bytes before the name: a name that survives must never lead to bytes that don't.
        self.file.sync_all()?;
        sync_directory(directory_of(path))
    }

    fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

fn not_a_file(path: &Path, found: &std::fs::Metadata) -> StorageError {
    StorageError::NotAFile {
        path: path.to_path_buf(),
        what: what_else(found).unwrap_or("a regular file"),
    }
}
