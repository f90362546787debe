//! A file system in memory: directories, files and their names, without any lock of its own.

use std::collections::BTreeMap;
#[cfg(feature = "sim")]
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use crate::disk::{Access, Listed, ListedKind, LockKind};

const PAGE: usize = 4096;

/// What a name leads to is known by a number, which is never used twice.
pub(crate) type Id = u64;

/// The directory at the root, which is always there.
pub(crate) const ROOT: Id = 0;

/// A whole file system. Copying it is cheap: the pages are shared until they are written.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    directories: BTreeMap<Id, BTreeMap<OsString, Entry>>,
    files: BTreeMap<Id, FileBytes>,
    /// How often each file is open. One without a name goes with the last.
    open: BTreeMap<Id, usize>,
    locks: BTreeMap<Id, Locked>,
    next: Id,
}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    File(Id),
    Directory(Id),
}

#[derive(Clone, Copy, Debug)]
enum Locked {
    Shared(usize),
    Exclusive,
}

/// The bytes of a file; pages that aren't there are holes of zeros.
#[derive(Clone, Debug, Default)]
struct FileBytes {
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    len: u64,
    /// How many names lead to it.
    names: usize,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self {
            directories: BTreeMap::from([(ROOT, BTreeMap::new())]),
            files: BTreeMap::new(),
            open: BTreeMap::new(),
            locks: BTreeMap::new(),
            next: ROOT + 1,
        }
    }

    /// Without what died with the machine: open files, files without names, and locks.
    #[cfg(feature = "sim")]
    pub(crate) fn after_crash(mut self) -> Self {
        self.open.clear();
        self.locks.clear();
        let mut found = BTreeSet::from([ROOT]);
        let mut to_visit = vec![ROOT];
        while let Some(directory) = to_visit.pop() {
            let names = self.directories.get(&directory).into_iter().flatten();
            for (_, entry) in names {
                match entry {
                    Entry::File(id) => drop(found.insert(*id)),
                    Entry::Directory(id) if found.insert(*id) => to_visit.push(*id),
                    Entry::Directory(_) => {}
                }
            }
        }
        self.files.retain(|id, _| found.contains(id));
        self.directories.retain(|id, _| found.contains(id));
        self
    }

    /// The first number that nothing has had.
    #[cfg(feature = "sim")]
    pub(crate) fn first_free(&self) -> Id {
        self.next
    }

    /// Gives new things no number below `first_free`.
    #[cfg(feature = "sim")]
    pub(crate) fn reserve(&mut self, first_free: Id) {
        self.next = self.next.max(first_free);
    }

    /// Makes a file or directory without a name, kept as if it were open.
    #[cfg(feature = "sim")]
    pub(crate) fn make(&mut self, entry: Entry) {
        match entry {
            Entry::File(id) => {
                self.files.entry(id).or_default();
                self.opened(id);
            }
            Entry::Directory(id) => drop(self.directories.entry(id).or_default()),
        }
    }

    // ---- names ----

    /// The directory in which `path` stands, and its name there.
    pub(crate) fn locate<'a>(&self, path: &'a Path) -> io::Result<(Id, &'a OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = self.directory(path.parent().unwrap_or(Path::new("")))?;
        Ok((directory, name))
    }

    pub(crate) fn directory(&self, path: &Path) -> io::Result<Id> {
        let mut at = ROOT;
        for component in path.components() {
            match component {
                Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
                Component::ParentDir => return Err(io::ErrorKind::InvalidInput.into()),
                Component::Normal(name) => match self.entry(at, name) {
                    None => return Err(io::ErrorKind::NotFound.into()),
                    Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                    Some(Entry::Directory(id)) => at = id,
                },
            }
        }
        Ok(at)
    }

    pub(crate) fn entry(&self, directory: Id, name: &OsStr) -> Option<Entry> {
        self.directories.get(&directory)?.get(name).copied()
    }

    /// A number for something new.
    pub(crate) fn new_id(&mut self) -> Id {
        self.next += 1;
        self.next - 1
    }

    /// Lets a name lead to `entry`, which begins to exist if it didn't; what the name led to before loses it.
    pub(crate) fn link(&mut self, directory: Id, name: &OsStr, entry: Entry) {
        let Some(names) = self.directories.get_mut(&directory) else {
            return;
        };
        let before = names.insert(name.to_owned(), entry);
        match entry {
            Entry::File(id) => self.files.entry(id).or_default().names += 1,
            Entry::Directory(id) => drop(self.directories.entry(id).or_default()),
        }
        if let Some(Entry::File(id)) = before {
            self.lose_name(id);
        }
    }

    /// Takes a name away, if it leads to `entry`.
    pub(crate) fn unlink(&mut self, directory: Id, name: &OsStr, entry: Entry) {
        let Some(names) = self.directories.get_mut(&directory) else {
            return;
        };
        if names.get(name) == Some(&entry) {
            names.remove(name);
            match entry {
                Entry::File(id) => self.lose_name(id),
                Entry::Directory(id) => drop(self.directories.remove(&id)),
            }
        }
    }

    pub(crate) fn is_empty_directory(&self, id: Id) -> bool {
        self.directories.get(&id).is_none_or(BTreeMap::is_empty)
    }

    pub(crate) fn list(&self, directory: Id) -> Vec<Listed> {
        let names = self.directories.get(&directory).into_iter().flatten();
        let listed = names.map(|(name, entry)| {
            let (kind, len) = match entry {
                Entry::File(id) => (ListedKind::File, self.len(*id)),
                Entry::Directory(_) => (ListedKind::Directory, 0),
            };
            let name = name.clone();
            Listed { name, kind, len }
        });
        listed.collect()
    }

    // ---- open files ----

    /// The file to open at a path: one that is there, or `None` if one is to be made.
    pub(crate) fn find(&self, path: &Path, access: Access) -> io::Result<Option<Id>> {
        let (directory, name) = self.locate(path)?;
        match self.entry(directory, name) {
            Some(Entry::File(id)) => Ok(Some(id)),
            Some(Entry::Directory(_)) => Err(io::ErrorKind::InvalidInput.into()),
            None if access == Access::Create => Ok(None),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(crate) fn opened(&mut self, id: Id) {
        *self.open.entry(id).or_default() += 1;
    }

    pub(crate) fn closed(&mut self, id: Id) {
        if let Some(count) = self.open.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&id);
                self.forget_unused(id);
            }
        }
    }

    fn lose_name(&mut self, id: Id) {
        if let Some(file) = self.files.get_mut(&id) {
            file.names -= 1;
            self.forget_unused(id);
        }
    }

    fn forget_unused(&mut self, id: Id) {
        let named = self.files.get(&id).is_some_and(|file| file.names > 0);
        if !named && !self.open.contains_key(&id) {
            self.files.remove(&id);
        }
    }

    // ---- locks ----

    pub(crate) fn try_lock(&mut self, id: Id, kind: LockKind) -> bool {
        match (self.locks.get_mut(&id), kind) {
            (None, LockKind::Exclusive) => drop(self.locks.insert(id, Locked::Exclusive)),
            (None, LockKind::Shared) => drop(self.locks.insert(id, Locked::Shared(1))),
            (Some(Locked::Shared(holders)), LockKind::Shared) => *holders += 1,
            _ => return false,
        }
        true
    }

    pub(crate) fn unlock(&mut self, id: Id) {
        match self.locks.get_mut(&id) {
            Some(Locked::Shared(holders)) if *holders > 1 => *holders -= 1,
            _ => drop(self.locks.remove(&id)),
        }
    }

    // ---- bytes ----

    pub(crate) fn len(&self, id: Id) -> u64 {
        self.files.get(&id).map_or(0, |file| file.len)
    }

    /// How many bytes of memory the files take.
    pub(crate) fn used(&self) -> u64 {
        let pages: usize = self.files.values().map(|file| file.pages.len()).sum();
        (pages * PAGE) as u64
    }

    /// How many bytes of memory a write would add.
    pub(crate) fn needed(&self, id: Id, offset: u64, len: usize) -> u64 {
        let pages = offset / PAGE as u64..(offset + len as u64).div_ceil(PAGE as u64);
        let file = self.files.get(&id);
        let kept = file.map_or(0, |file| file.pages.range(pages.clone()).count() as u64);
        (pages.end - pages.start - kept) * PAGE as u64
    }

    pub(crate) fn read(&self, id: Id, offset: u64, buf: &mut [u8]) -> usize {
        let Some(file) = self.files.get(&id) else {
            return 0;
        };
        let left = file.len.saturating_sub(offset);
        let count = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < count {
            let at = offset + done as u64;
            let start = (at % PAGE as u64) as usize;
            let step = (count - done).min(PAGE - start);
            match file.pages.get(&(at / PAGE as u64)) {
                Some(page) => buf[done..done + step].copy_from_slice(&page[start..start + step]),
                None => buf[done..done + step].fill(0),
            }
            done += step;
        }
        count
    }

    pub(crate) fn write(&mut self, id: Id, offset: u64, bytes: &[u8]) {
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let start = (at % PAGE as u64) as usize;
            let step = (bytes.len() - done).min(PAGE - start);
            let page = file
                .pages
                .entry(at / PAGE as u64)
                .or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[start..start + step].copy_from_slice(&bytes[done..done + step]);
            done += step;
        }
        file.len = file.len.max(offset + bytes.len() as u64);
    }

    pub(crate) fn set_len(&mut self, id: Id, len: u64) {
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        if len < file.len {
            let _behind = file.pages.split_off(&len.div_ceil(PAGE as u64));
            // What lies behind the end in the last page must be zeros if the file grows again.
            if let Some(page) = file.pages.get_mut(&(len / PAGE as u64)) {
                Arc::make_mut(page)[(len % PAGE as u64) as usize..].fill(0);
            }
        }
        file.len = len;
    }
}
