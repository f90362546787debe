//! A bounded number of open files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use kithara_storage::{Access, Disk, DiskFile, DiskLock, Listed, LockKind, too_many_open};
use parking_lot::Mutex;

use crate::StoreOptions;

/// How many files the pool may have open, whatever it is told, and whatever else wants to.
const FEWEST: usize = 4;

/// Another disk, with at most so many of its files open at a time. The one unused for longest is closed, and opened again
/// when somebody wants to read or write it.
///
/// Where the process itself may open no more, the pool gives up files of its own for the one that is wanted; but a few stay
/// for its own use, whatever else wants to stay open: else nothing of what is stored could be read any more.
///
/// Opening by name again may lead to another file than before: then the sums of its bytes don't fit, which is noticed as any
/// other damage. A file whose name the pool itself takes away stays open, beyond the limit, until nobody wants it any more.
pub(crate) struct HandlePool {
    disk: Arc<dyn Disk>,
    limit: usize,
    /// Goes without locks where the disk has none.
    unlocked: bool,
    // Used by whoever reads or writes a file, held to look things up only.
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// All files in use, open or closed, by number.
    all: BTreeMap<u64, Weak<Pooled>>,
    /// The open ones by the time of their last use, oldest first. A file that is dropped takes itself out.
    files: BTreeMap<u64, Weak<Pooled>>,
    clock: u64,
}

struct Pooled {
    disk: Arc<dyn Disk>,
    access: Access,
    limit: usize,
    pool: Arc<Mutex<Open>>,
    // Any thread may find the file closed and open it again, or be the one to close it.
    slot: Mutex<Slot>,
    number: u64,
    me: Weak<Pooled>,
}

/// What a file is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Look,
    Change,
}

struct Slot {
    path: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    /// Its place in the pool.
    used: u64,
    /// Written to since the last sync: closing it must not hide that a write failed.
    dirty: bool,
    /// A sync while closing it failed: whoever syncs it must hear of that.
    broken: bool,
    /// Its name was taken away: closed, it would be lost.
    unlinked: bool,
}

impl HandlePool {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: &StoreOptions) -> Self {
        Self {
            disk,
            limit: options.open_handles.max(FEWEST),
            unlocked: options.sole_user,
            open: Arc::default(),
        }
    }

    /// Opens something that isn't the pool's and stays open, if need be in the place of files of the pool.
    pub(crate) fn beside<T>(&self, open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        with_room(&self.open, Stay::Open, open)
    }

    /// Does something with each file that has this name.
    fn for_each(&self, path: &Path, mut act: impl FnMut(&Pooled)) {
        // Not under the pool's lock: the last one to let go of a file takes it out of the pool.
        let all: Vec<_> = self
            .open
            .lock()
            .all
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        for pooled in all {
            let slot = pooled.slot.lock();
            let named = slot.path == path && !slot.unlinked;
            drop(slot);
            if named {
                act(&pooled);
            }
        }
    }
}

impl Pooled {
    /// The file, opened again if need be, and noted as just used.
    fn file(&self, purpose: Purpose) -> io::Result<Arc<dyn DiskFile>> {
        // Room is made without our own slot in hand: two who close each other's files would wait for ever.
        let is_closed = self.slot.lock().file.is_none();
        if is_closed {
            make_room(&self.pool, self.limit);
        }
        with_room(&self.pool, Stay::Pooled, || self.open_slot(purpose))
    }

    fn open_slot(&self, purpose: Purpose) -> io::Result<Arc<dyn DiskFile>> {
        let mut slot = self.slot.lock();
        if slot.broken {
            return Err(io::Error::other("a write to this file was lost"));
        }
        let file = match &slot.file {
            Some(file) => file.clone(),
            None if slot.unlinked => return Err(io::ErrorKind::NotFound.into()),
            None => {
                // It is there: opening it must not make another one.
                let access = match self.access {
                    Access::Create => Access::Write,
                    access => access,
                };
                let file = self.disk.open(&slot.path, access)?;
                slot.file = Some(file.clone());
                file
            }
        };
        // Before it can be closed again: a change must never go unnoticed.
        slot.dirty |= purpose == Purpose::Change;
        let mut open = self.pool.lock();
        open.files.remove(&slot.used);
        open.clock += 1;
        slot.used = open.clock;
        if !slot.unlinked {
            open.files.insert(slot.used, self.me.clone());
        }
        Ok(file)
    }

    /// Its name is about to go: stays open from now on.
    fn unlink(&self) {
        let file = self.file(Purpose::Look).ok();
        let mut slot = self.slot.lock();
        // It may have been closed again in between.
        slot.file = slot.file.take().or(file);
        slot.unlinked = true;
        self.pool.lock().files.remove(&slot.used);
    }

    fn close(&self) {
        let mut slot = self.slot.lock();
        if slot.unlinked {
            return;
        }
        let Some(file) = slot.file.take() else {
            return;
        };
        if slot.dirty {
            slot.broken = file.sync().is_err();
            slot.dirty = slot.broken;
        }
    }
}

/// Closes what has been unused for longest, so that one more can be opened.
fn make_room(pool: &Mutex<Open>, limit: usize) {
    while pool.lock().files.len() >= limit {
        close_oldest(pool, 0);
    }
}

/// Closes what has been unused for longest, unless no more than `keep` are open; whether one was.
fn close_oldest(pool: &Mutex<Open>, keep: usize) -> bool {
    let oldest = {
        let mut open = pool.lock();
        match open.files.len() > keep {
            true => open.files.pop_first(),
            false => None,
        }
    };
    if let Some(file) = oldest.as_ref().and_then(|(_, file)| file.upgrade()) {
        file.close();
    }
    oldest.is_some()
}

/// Whether what takes the place of a file of the pool gives it back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// It is in the pool itself, or closed again at once.
    Pooled,
    /// It stays open as long as somebody wants it.
    Open,
}

/// Opens something; where the process or the system has as many files open as it may, in the place of files of the pool.
fn with_room<T>(
    pool: &Mutex<Open>,
    stay: Stay,
    mut open: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let keep = match stay {
        Stay::Pooled => 0,
        Stay::Open => FEWEST,
    };
    loop {
        match open() {
            Err(error) if too_many_open(&error) && close_oldest(pool, keep) => {}
            done => return done,
        }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let used = self.slot.get_mut().used;
        let mut open = self.pool.lock();
        open.files.remove(&used);
        open.all.remove(&self.number);
    }
}

impl DiskFile for Pooled {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file(Purpose::Look)?.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(Purpose::Change)?.write_at(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file(Purpose::Look)?.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file(Purpose::Change)?.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file(Purpose::Look)?.sync()?;
        self.slot.lock().dirty = false;
        Ok(())
    }
}

impl Disk for HandlePool {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        make_room(&self.open, self.limit);
        let file = with_room(&self.open, Stay::Pooled, || self.disk.open(path, access))?;
        let used = {
            let mut open = self.open.lock();
            open.clock += 1;
            open.clock
        };
        let pooled = Arc::new_cyclic(|me| Pooled {
            disk: self.disk.clone(),
            access,
            limit: self.limit,
            pool: self.open.clone(),
            slot: Mutex::new(Slot {
                path: path.to_path_buf(),
                file: Some(file),
                used,
                dirty: false,
                broken: false,
                unlinked: false,
            }),
            number: used,
            me: me.clone(),
        });
        let mut open = self.open.lock();
        open.files.insert(used, Arc::downgrade(&pooled));
        open.all.insert(used, Arc::downgrade(&pooled));
        Ok(pooled)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        with_room(&self.open, Stay::Pooled, || self.disk.list(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        self.for_each(from, |pooled| pooled.slot.lock().path = to.to_path_buf());
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        // Before the name goes: what is closed can still be opened.
        self.for_each(path, Pooled::unlink);
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // It opens the folder for that.
        with_room(&self.open, Stay::Pooled, || self.disk.sync_dir(path))
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Box<dyn DiskLock>>> {
        match with_room(&self.open, Stay::Open, || self.disk.lock(path, kind)) {
            Err(error) if self.unlocked && error.kind() == io::ErrorKind::Unsupported => {
                // That the file is there means something too.
                with_room(&self.open, Stay::Pooled, || {
                    self.disk.open(path, Access::Create)
                })?;
                Ok(Some(Box::new(NoLock {
                    disk: self.disk.clone(),
                    path: path.to_path_buf(),
                })))
            }
            locked => locked,
        }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
}

/// What stands for a lock where there are none and nobody to keep out.
struct NoLock {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl DiskLock for NoLock {
    fn is_in_force(&self) -> bool {
        let found = self.disk.open(&self.path, Access::Read);
        !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use kithara_storage::{CallKind, MemDisk, SimDisk};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A disk that counts how many of its files are open, and opens no more than a process may.
    struct Counting {
        disk: MemDisk,
        open: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        allowed: usize,
    }

    struct Counted(Arc<dyn DiskFile>, Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::Relaxed);
        }
    }

    impl DiskFile for Counted {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read_at(offset, buf)
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.0.write_at(offset, bytes)
        }

        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }

        fn sync(&self) -> io::Result<()> {
            self.0.sync()
        }
    }

    impl Counting {
        /// What opening one more comes to, also where it is closed again at once.
        fn room(&self) -> io::Result<()> {
            const EMFILE: i32 = if cfg!(unix) { 24 } else { 4 };
            match self.open.load(Ordering::Relaxed) < self.allowed {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(EMFILE)),
            }
        }
    }

    impl Disk for Counting {
        fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
            self.room()?;
            let file = self.disk.open(path, access)?;
            let now = self.open.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(now, Ordering::Relaxed);
            Ok(Arc::new(Counted(file, self.open.clone())))
        }

        fn create_dir(&self, path: &Path) -> io::Result<()> {
            self.disk.create_dir(path)
        }

        fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
            self.room()?;
            self.disk.list(path)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.disk.rename(from, to)
        }

        fn remove_file(&self, path: &Path) -> io::Result<()> {
            self.disk.remove_file(path)
        }

        fn remove_dir(&self, path: &Path) -> io::Result<()> {
            self.disk.remove_dir(path)
        }

        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            self.room()?;
            self.disk.sync_dir(path)
        }

        fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Box<dyn DiskLock>>> {
            self.room()?;
            self.disk.lock(path, kind)
        }

        fn free_bytes(&self, path: &Path) -> io::Result<u64> {
            self.disk.free_bytes(path)
        }
    }

    fn four() -> StoreOptions {
        StoreOptions {
            open_handles: 4,
            ..StoreOptions::default()
        }
    }

    #[test]
    fn a_thousand_files_are_used_with_four_open() {
        use_a_thousand(&four(), usize::MAX);
    }

    #[test]
    fn a_thousand_files_are_used_where_the_process_may_open_four() {
        use_a_thousand(&StoreOptions::default(), 4);
    }

    fn use_a_thousand(options: &StoreOptions, allowed: usize) {
        let most = Arc::new(AtomicUsize::new(0));
        let pool = HandlePool::new(
            Arc::new(Counting {
                disk: MemDisk::new(),
                open: Arc::default(),
                most: most.clone(),
                allowed,
            }),
            options,
        );
        let path = |number: u64| PathBuf::from(format!("/{number}"));
        let files: Vec<_> = (0..1000)
            .map(|number| pool.open(&path(number), Access::Create).unwrap())
            .collect();
        for (number, file) in (0..).zip(&files) {
            file.write_at(0, &u64::to_le_bytes(number)).unwrap();
        }
        pool.rename(&path(3), Path::new("/three")).unwrap();
        for (number, file) in (0..).zip(&files) {
            let mut bytes = [0; 8];
            file.read_at(0, &mut bytes).unwrap();
            assert_eq!(u64::from_le_bytes(bytes), number);
        }
        drop(files);
        assert!(pool.open.lock().files.is_empty() && pool.open.lock().all.is_empty());
        assert!(most.load(Ordering::Relaxed) <= 4, "{most:?}");
    }

    #[test]
    fn folders_are_looked_at_synced_and_locked_where_the_process_may_open_no_more() {
        let pool = HandlePool::new(
            Arc::new(Counting {
                disk: MemDisk::new(),
                open: Arc::default(),
                most: Arc::default(),
                allowed: 6,
            }),
            &StoreOptions::default(),
        );
        let files = [0, 1, 2, 3, 4, 5].map(|number| {
            let path = PathBuf::from(format!("/{number}"));
            pool.open(&path, Access::Create).unwrap()
        });
        // All are open again.
        let fill = || {
            for file in &files {
                file.len().unwrap();
            }
        };
        fill();
        pool.sync_dir(Path::new("/")).unwrap();
        fill();
        assert_eq!(pool.list(Path::new("/")).unwrap().len(), 6);
        fill();
        let lock = pool.lock(Path::new("/lock"), LockKind::Exclusive).unwrap();
        assert!(lock.is_some());
    }

    #[test]
    fn what_stays_open_beside_the_pool_leaves_it_a_few_files() {
        let open = Arc::<AtomicUsize>::default();
        let disk = Arc::new(Counting {
            disk: MemDisk::new(),
            open: open.clone(),
            most: Arc::default(),
            allowed: 10,
        });
        let pool = HandlePool::new(disk.clone(), &StoreOptions::default());
        let files: Vec<_> = (0..20)
            .map(|number| {
                let path = PathBuf::from(format!("/{number}"));
                pool.open(&path, Access::Create).unwrap()
            })
            .collect();
        let mut others = Vec::new();
        while let Ok(other) = pool.beside(|| disk.open(Path::new("/other"), Access::Create)) {
            others.push(other);
        }
        assert_eq!(others.len(), 10 - FEWEST);
        let locked = || pool.lock(Path::new("/lock"), LockKind::Exclusive);
        assert!(locked().is_err_and(|error| too_many_open(&error)));
        for file in &files {
            file.write_at(0, b"bytes").unwrap();
        }
        drop(others);
        assert!(locked().unwrap().is_some());
    }

    #[test]
    fn a_write_lost_while_a_file_was_closed_is_told_to_who_syncs_it() {
        let sim = SimDisk::new();
        let pool = HandlePool::new(Arc::new(sim.clone()), &four());
        let file = pool.open(Path::new("/0"), Access::Create).unwrap();
        file.write_at(0, b"bytes").unwrap();
        sim.on_call(|call| match call.kind {
            CallKind::Sync => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        });
        let others: Vec<_> = (1..9)
            .map(|number| {
                let path = PathBuf::from(format!("/{number}"));
                pool.open(&path, Access::Create).unwrap()
            })
            .collect();
        sim.on_call(|_| Ok(()));
        file.sync().unwrap_err();
        drop(others);
    }
}
