//! Everything that is done to a file system.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading an existing file.
    Read,
    /// Reading and writing an existing file.
    Write,
    /// Reading and writing; the file is made, readable by the user alone, if it isn't there. Nothing is emptied.
    Create,
}

/// Whether a lock can be had together with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// With other shared ones.
    Shared,
    /// Alone.
    Exclusive,
}

/// What a name in a directory leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, a pipe, a socket or a device.
    Other,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name, without the directory.
    pub name: OsString,
    /// What it leads to; links are not followed.
    pub kind: ListedKind,
    /// The length of a regular file in bytes.
    pub len: u64,
}

/// Everything the cache does to a file system, so that it can be done to another one: [`RealDisk`](crate::RealDisk),
/// [`MemDisk`](crate::MemDisk), and for tests, behind feature `sim`, `SimDisk`.
///
/// Every call may block; none belongs on an audio thread. A missing file or directory is
/// [`NotFound`](io::ErrorKind::NotFound), a full disk [`StorageFull`](io::ErrorKind::StorageFull).
pub trait Disk: Send + Sync + 'static {
    /// Opens a regular file that has only this name.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for anything else at this name: a symbolic link (which is not
    /// followed), a directory, pipe, socket or device, a file with a second name.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a directory, for the user alone. Does nothing if it is there; a symbolic link to one is an error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<Listed>>;

    /// Lets the new name lead to the file, in one step, instead of what it led to before.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file (or of a link, never what it leads to). Who has it open can still read it.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Returns once the names in this directory would survive a power failure. Nothing to do where that can't be asked
    /// for.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Locks a file, which is made if it isn't there, or returns `None` at once if somebody else's lock forbids it. The
    /// lock is let go when it is dropped, and when the process ends, however it does.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) where this file system has no locks; otherwise as
    /// [`open`](Self::open).
    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Box<dyn DiskLock>>>;

    /// How many more bytes this user can store in the file system of `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file without a position: any number of threads may read and write it.
#[allow(clippy::len_without_is_empty)] // Nobody asks a file on a disk whether it is empty.
pub trait DiskFile: Send + Sync {
    /// Reads at most `buf.len()` bytes; 0 at and behind the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes`, growing the file as needed. When it fails, some of them may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// The length of the file in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file, or lets it grow by a hole of zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns once the bytes (not the name) would survive a power failure.
    fn sync(&self) -> io::Result<()>;
}

/// A lock that is held until it is dropped.
pub trait DiskLock: Send + Sync {
    /// Whether the path that was locked still leads to what was locked. If somebody has taken the file away it doesn't, and
    /// the lock keeps nobody out any more.
    fn is_in_force(&self) -> bool;
}

/// Whether the process, or the system, has as many files open as it may: closing one helps.
///
/// ```
/// assert!(!kithara_storage::too_many_open(&std::io::ErrorKind::NotFound.into()));
/// ```
pub fn too_many_open(error: &io::Error) -> bool {
    #[cfg(unix)]
    let codes = [libc::EMFILE, libc::ENFILE];
    // ERROR_TOO_MANY_OPEN_FILES.
    #[cfg(not(unix))]
    let codes = [4];
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}
