//! A file system in memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Access, Disk, DiskFile, DiskLock, Listed, LockKind};
use crate::tree::{Entry, Id, Tree};

/// A whole file system in memory, for a cache that leaves nothing behind, and for tests.
///
/// Clones share it, so that two of them are to each other what two processes on one disk are. Paths mean the same with
/// and without a leading `/`; only the root is there at first.
#[derive(Clone, Debug)]
pub struct MemDisk {
    // Any thread may own a file of it; every call is a short copy under the lock.
    tree: Arc<Mutex<Tree>>,
    max_bytes: u64,
}

struct MemFile {
    tree: Arc<Mutex<Tree>>,
    id: Id,
    access: Access,
    max_bytes: u64,
}

struct MemLock {
    tree: Arc<Mutex<Tree>>,
    id: Id,
    path: PathBuf,
}

impl MemDisk {
    /// An empty file system that never gets full.
    pub fn new() -> Self {
        Self::bounded(u64::MAX)
    }

    /// An empty file system with room for `max_bytes`, in pages of 4 KiB.
    pub fn bounded(max_bytes: u64) -> Self {
        Self {
            tree: Arc::new(Mutex::new(Tree::new())),
            max_bytes,
        }
    }

    #[cfg(feature = "sim")]
    pub(crate) fn found(tree: Tree) -> Self {
        Self {
            tree: Arc::new(Mutex::new(tree)),
            max_bytes: u64::MAX,
        }
    }

    #[cfg(feature = "sim")]
    pub(crate) fn tree(&self) -> &Mutex<Tree> {
        &self.tree
    }
}

impl Default for MemDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let id = find_or_make(&mut self.tree.lock(), path, access)?;
        Ok(Arc::new(MemFile {
            tree: self.tree.clone(),
            id,
            access,
            max_bytes: self.max_bytes,
        }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        if tree.directory(path).is_ok() {
            return Ok(());
        }
        let (directory, name) = tree.locate(path)?;
        if tree.entry(directory, name).is_some() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let made = Entry::Directory(tree.new_id());
        tree.link(directory, name, made);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let tree = self.tree.lock();
        Ok(tree.list(tree.directory(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let (from, from_name) = tree.locate(from)?;
        let (to, to_name) = tree.locate(to)?;
        let entry = tree.entry(from, from_name).ok_or(io::ErrorKind::NotFound)?;
        if let (Entry::Directory(_), _) | (_, Some(Entry::Directory(_))) =
            (entry, tree.entry(to, to_name))
        {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        tree.link(to, to_name, entry);
        if (from, from_name) != (to, to_name) {
            tree.unlink(from, from_name, entry);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let (directory, name) = tree.locate(path)?;
        match tree.entry(directory, name) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Entry::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
            Some(entry) => {
                tree.unlink(directory, name, entry);
                Ok(())
            }
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let id = tree.directory(path)?;
        if !tree.is_empty_directory(id) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (directory, name) = tree.locate(path)?;
        tree.unlink(directory, name, Entry::Directory(id));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.tree.lock().directory(path).map(drop)
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut tree = self.tree.lock();
        let id = find_or_make(&mut tree, path, Access::Create)?;
        if !tree.try_lock(id, kind) {
            tree.closed(id);
            return Ok(None);
        }
        Ok(Some(Box::new(MemLock {
            tree: self.tree.clone(),
            id,
            path: path.to_path_buf(),
        })))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.max_bytes.saturating_sub(self.tree.lock().used()))
    }
}

/// Opens a file, and makes it if it is to be made.
fn find_or_make(tree: &mut Tree, path: &Path, access: Access) -> io::Result<Id> {
    let id = match tree.find(path, access)? {
        Some(id) => id,
        None => {
            let (directory, name) = tree.locate(path)?;
            let id = tree.new_id();
            tree.link(directory, name, Entry::File(id));
            id
        }
    };
    tree.opened(id);
    Ok(id)
}

impl MemFile {
    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::Read => Err(io::ErrorKind::PermissionDenied.into()),
            Access::Write | Access::Create => Ok(()),
        }
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.tree.lock().read(self.id, offset, buf))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        if offset.checked_add(bytes.len() as u64).is_none() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut tree = self.tree.lock();
        if self.max_bytes < u64::MAX {
            let needed = tree.needed(self.id, offset, bytes.len());
            if needed > self.max_bytes.saturating_sub(tree.used()) {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        tree.write(self.id, offset, bytes);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.tree.lock().len(self.id))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.tree.lock().set_len(self.id, len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskLock for MemLock {
    fn is_in_force(&self) -> bool {
        let found = self.tree.lock().find(&self.path, Access::Read);
        found.is_ok_and(|id| id == Some(self.id))
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        self.tree.lock().closed(self.id);
    }
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut tree = self.tree.lock();
        tree.unlock(self.id);
        tree.closed(self.id);
    }
}
