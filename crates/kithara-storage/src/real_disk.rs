//! The file systems of this machine.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Access, Disk, DiskFile, DiskLock, Listed, ListedKind, LockKind};
use crate::positional::{has_second_name, private, read_at, sync_directory, what_else, write_at};

/// How often a lock file may be replaced under our hands before it counts as taken: each time, somebody else was quicker.
const LOCK_ATTEMPTS: usize = 16;

/// The file systems of this machine.
///
/// Files are made readable by the user alone, links at their names are not followed, and what isn't a regular file with
/// one name is refused. Locks belong to the open file: they die with the process, and two in one process exclude each
/// other as those of two processes do.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

struct RealFile(File);

struct RealLock {
    file: File,
    path: PathBuf,
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(open(path, access)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if std::fs::symlink_metadata(path)?.is_dir() {
                    Ok(())
                } else {
                    Err(io::ErrorKind::NotADirectory.into())
                }
            }
            done => done,
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let found = match entry.metadata() {
                Ok(found) => found,
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let (kind, len) = match found.file_type() {
                kind if kind.is_file() => (ListedKind::File, found.len()),
                kind if kind.is_dir() => (ListedKind::Directory, 0),
                _ => (ListedKind::Other, 0),
            };
            listed.push(Listed {
                name: entry.file_name(),
                kind,
                len,
            });
        }
        Ok(listed)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_directory(path)
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Box<dyn DiskLock>>> {
        for _ in 0..LOCK_ATTEMPTS {
            let file = open(path, Access::Create)?;
            let locked = match kind {
                LockKind::Shared => file.try_lock_shared(),
                LockKind::Exclusive => file.try_lock(),
            };
            match locked {
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(unsupported(error)),
                // A lock on a file that was removed in between locks nothing that others see.
                Ok(()) if leads_to(path, &file)? => {
                    let path = path.to_path_buf();
                    return Ok(Some(Box::new(RealLock { file, path })));
                }
                Ok(()) => {}
            }
        }
        Ok(None)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        fs4::available_space(path)
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_at(&self.0, offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_at(&self.0, offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|found| found.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl DiskLock for RealLock {
    fn is_in_force(&self) -> bool {
        // What can't be looked at is as it was.
        leads_to(&self.path, &self.file).unwrap_or(true)
    }
}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Closing the file isn't enough: a child that is just being started has it open too, until it runs its program.
        // If it fails, closing will do.
        let _ = self.file.unlock();
    }
}

fn open(path: &Path, access: Access) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(access != Access::Read);
    if access == Access::Create {
        options.create(true);
    }
    private(&mut options);
    let file = options.open(path).map_err(|error| {
        // Each platform has its own words for a link that isn't followed, and for opening a directory.
        match std::fs::symlink_metadata(path).map(|found| what_else(&found)) {
            Ok(Some(what)) => refused(what),
            _ => error,
        }
    })?;
    let found = file.metadata()?;
    match what_else(&found) {
        Some(what) => Err(refused(what)),
        None if has_second_name(&found) => Err(refused("a file with several names")),
        None => Ok(file),
    }
}

fn refused(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Whether the name still leads to the open file.
#[cfg(unix)]
fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Elsewhere a file that is open keeps its name, or at least nobody else gets it.
#[cfg(not(unix))]
fn leads_to(path: &Path, _file: &File) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map(|_| true),
    }
}

/// Some network file systems say "no locks available" where others say that they have none.
fn unsupported(error: io::Error) -> io::Error {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ENOLCK) {
        return io::ErrorKind::Unsupported.into();
    }
    error
}
