//! Bytes kept in a file, reached by positional reads and writes.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Driver, Place, StorageError};

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
        Ok(Self { file, path: None })
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
        })
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

    /// A second name could be anybody's: writing here would change a file outside our folder.
    #[cfg(unix)]
    fn refuse_second_name(&self, path: &Path) -> Result<(), StorageError> {
        use std::os::unix::fs::MetadataExt;
        let found = self
            .file
            .metadata()
            .map_err(|error| StorageError::io("examine", Place::file(path), error))?;
        if found.nlink() > 1 {
            return Err(StorageError::NotAFile {
                path: path.to_path_buf(),
                what: "a file with several names",
            });
        }
        Ok(())
    }

    #[cfg(not(unix))]
    #[allow(clippy::unnecessary_wraps)]
    fn refuse_second_name(&self, _path: &Path) -> Result<(), StorageError> {
        Ok(())
    }
}

impl Driver for FileDriver {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match read_once(&self.file, offset, buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match write_once(&self.file, offset, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        // The bytes before the name: a name that survives must never lead to bytes that don't.
        self.file.sync_all()?;
        sync_directory_of(path)
    }

    fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

/// Makes the entry of `path` in its directory durable.
#[cfg(unix)]
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Windows writes directory entries through and can't open a directory to sync it.
#[cfg(not(unix))]
pub(crate) fn sync_directory_of(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn not_a_file(path: &Path, found: &std::fs::Metadata) -> StorageError {
    let what = match found.file_type() {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a symbolic link",
        _ => "a pipe, socket or device",
    };
    StorageError::NotAFile {
        path: path.to_path_buf(),
        what,
    }
}

/// Readable by the user alone, no symbolic link followed, and no waiting for the other end of a pipe.
#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
}

#[cfg(windows)]
fn private(options: &mut OpenOptions) {
    use std::os::windows::fs::OpenOptionsExt;
    // FILE_FLAG_OPEN_REPARSE_POINT: a link is opened itself, and then refused as not a regular file.
    options.custom_flags(0x0020_0000);
}

#[cfg(not(any(unix, windows)))]
fn private(_options: &mut OpenOptions) {}

/// Opening a pipe must not wait for its other end: it is opened only to be refused.
#[cfg(unix)]
fn unblocked(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(libc::O_NONBLOCK);
}

#[cfg(not(unix))]
fn unblocked(_options: &mut OpenOptions) {}

#[cfg(unix)]
fn read_once(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(unix)]
fn write_once(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

// Windows moves the handle's position as a side effect; nothing here reads that position.
#[cfg(windows)]
fn read_once(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

#[cfg(windows)]
fn write_once(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

#[cfg(not(any(unix, windows)))]
fn read_once(_file: &File, _offset: u64, _buf: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(unix, windows)))]
fn write_once(_file: &File, _offset: u64, _bytes: &[u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
