//! The files of one resource: which are there, and how to begin and to remove them.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::index_file::{self, MAX_INDEX};
use crate::{Access, Committed, Disk, DiskFile, Partial, Place, StorageError};

/// The files in which one resource is kept: the committed `NAME`, or `NAME.part` with its `NAME.log`; beside them
/// perhaps `NAME.index`, which is needed by nobody.
///
/// Nothing here is for an audio thread: every call blocks on the disk. Who calls anything but [`open`](Self::open) must
/// be the only one to do so: the cache sees to that with a lock.
#[derive(Clone)]
pub struct ResourceFiles {
    disk: Arc<dyn Disk>,
    names: Arc<Names>,
}

/// What is stored of a resource.
#[derive(Debug)]
pub enum Stored {
    /// Some of it, or all but without the last step.
    Partial(Partial),
    /// All of it.
    Committed(Committed),
}

/// The names of the files.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) whole: PathBuf,
    pub(crate) part: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) index: PathBuf,
}

impl ResourceFiles {
    /// The files named after `path`, whose directory must exist. Nothing is done yet.
    pub fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        let with = |suffix: &str| {
            let mut name = OsString::from(path.as_os_str());
            name.push(suffix);
            PathBuf::from(name)
        };
        let names = Names {
            part: with(".part"),
            log: with(".log"),
            index: with(".index"),
            whole: path,
        };
        Self {
            disk,
            names: Arc::new(names),
        }
    }

    /// What is there. Reads the footer or the log, not the bytes.
    ///
    /// Files that are damaged where they must not be, or aren't ours, count as absent: [`begin`](Self::begin) replaces
    /// them, [`remove`](Self::remove) removes them. Links and the like at these names count as absent too and are never
    /// followed.
    ///
    /// # Errors
    /// [`StorageError::NewerFormat`]: leave these files alone. [`StorageError::Io`] if they can't be opened, or not be read
    /// for want of a file descriptor: they may be whole,
    /// [`StorageError::TooLarge`] if there is no memory for what they list.
    pub fn open(&self) -> Result<Option<Stored>, StorageError> {
        if let Some(committed) = Committed::open(&*self.disk, &self.names)? {
            return Ok(Some(Stored::Committed(committed)));
        }
        let partial = Partial::open(&self.disk, &self.names)?;
        Ok(partial.map(Stored::Partial))
    }

    /// Begins anew, with nothing stored; drops what was there. Who reads the old files goes on reading them.
    ///
    /// The label is the owner's (what identifies this version of the resource), at most 4 KiB. The generation must differ
    /// from that of whatever was stored here before: bytes and sums of different generations never mix.
    ///
    /// # Errors
    /// [`StorageError::Full`], [`StorageError::Io`]; [`StorageError::TooLarge`] for a label longer than 4 KiB.
    pub fn begin(&self, label: &[u8], generation: u64) -> Result<Partial, StorageError> {
        self.remove()?;
        Partial::begin(&self.disk, &self.names, label, generation)
    }

    /// Removes the files that are there. What isn't a file at these names, but a link, loses only its name.
    ///
    /// # Errors
    /// [`StorageError::Io`] if one of them could not be removed; the others are.
    pub fn remove(&self) -> Result<(), StorageError> {
        let Names {
            whole,
            part,
            log,
            index,
        } = &*self.names;
        let mut all = Ok(());
        for path in [log, part, whole, index] {
            match self.disk.remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    all = Err(StorageError::io("remove", Place::file(path), error));
                }
                _ => {}
            }
        }
        all
    }

    /// What was kept of where things lie in the bytes of this generation; `None` if there is nothing, or it is damaged or of
    /// another generation. A hint: nothing vouches for it but its own sum.
    ///
    /// # Errors
    /// [`StorageError::Io`] if it is there and can't be read for now.
    pub fn index(&self, generation: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let path = &self.names.index;
        index_file::read(&*self.disk, path, generation)
            .map_err(|error| StorageError::io("read", Place::file(path), error))
    }

    /// Keeps what was found out of where things lie in the bytes of this generation, at most [`MAX_INDEX`] bytes of it,
    /// instead of what was kept before. Nothing is synced: whatever becomes of it, it is there as a whole or not at all.
    ///
    /// # Errors
    /// [`StorageError::TooLarge`], [`StorageError::Full`], [`StorageError::Io`].
    pub fn keep_index(&self, generation: u64, index: &[u8]) -> Result<(), StorageError> {
        if index.len() > MAX_INDEX {
            return Err(StorageError::TooLarge {
                len: index.len() as u64,
                max_len: MAX_INDEX as u64,
                place: Place::file(&self.names.index),
            });
        }
        let path = &self.names.index;
        index_file::write(&*self.disk, path, generation, index)
            .map_err(|error| StorageError::io("write", Place::file(path), error))
    }

    /// The name under which the resource is found once it is committed.
    pub fn path(&self) -> &Path {
        &self.names.whole
    }
}

impl std::fmt::Debug for ResourceFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ResourceFiles")
            .field(&self.names.whole)
            .finish()
    }
}

/// Opens an existing file for writing, or at least for reading. `None` if there is none, or something that is refused.
pub(crate) fn open_existing(
    disk: &dyn Disk,
    path: &Path,
) -> Result<Option<Arc<dyn DiskFile>>, StorageError> {
    let opened = match disk.open(path, Access::Write) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            disk.open(path, Access::Read)
        }
        opened => opened,
    };
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(StorageError::io("open", Place::file(path), error)),
    }
}
