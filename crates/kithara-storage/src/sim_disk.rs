//! A disk for tests: it notes what is done to it, fails on command, and can be found as a power cut would leave it.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::crash_images::{CrashImage, Op, Recording};
use crate::disk::{Access, Disk, DiskFile, DiskLock, Listed, LockKind};
use crate::mem_disk::MemDisk;
use crate::tree::{Entry, Id, Tree};

/// One call of a [`Disk`] or [`DiskFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // They are the names of the methods.
pub enum CallKind {
    Open,
    CreateDir,
    List,
    Rename,
    RemoveFile,
    RemoveDir,
    SyncDir,
    Lock,
    FreeBytes,
    Read,
    Write,
    Len,
    SetLen,
    Sync,
}

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// How many calls were made before.
    pub number: u64,
    /// Which call it is.
    pub kind: CallKind,
    /// The path it is about; for an open file, the one it was opened under.
    pub path: &'a Path,
}

type Hook = Arc<dyn Fn(&Call<'_>) -> io::Result<()> + Send + Sync>;

/// A file system in memory that notes what is done to it, fails on command, and shows what a power cut would leave.
///
/// Clones share it. What it does depends on the calls alone: no clock, no randomness.
#[derive(Clone)]
pub struct SimDisk {
    mem: MemDisk,
    // Any thread may own a file; what is done and what is noted must be in the same order, so both happen under it.
    state: Arc<Mutex<State>>,
}

struct State {
    /// What was there at the beginning, all of it safe.
    base: Tree,
    ops: Vec<Op>,
    calls: u64,
    fail: Option<Fail>,
    hook: Option<Hook>,
}

#[derive(Clone, Copy)]
struct Fail {
    at: u64,
    kind: io::ErrorKind,
    forever: bool,
}

impl SimDisk {
    /// An empty disk that never gets full.
    pub fn new() -> Self {
        Self::on(MemDisk::new())
    }

    /// An empty disk with room for `max_bytes`, in pages of 4 KiB.
    pub fn bounded(max_bytes: u64) -> Self {
        Self::on(MemDisk::bounded(max_bytes))
    }

    pub(crate) fn found(tree: Tree) -> Self {
        Self::on(MemDisk::found(tree))
    }

    fn on(mem: MemDisk) -> Self {
        let base = mem.tree().lock().clone();
        Self {
            mem,
            state: Arc::new(Mutex::new(State {
                base,
                ops: Vec::new(),
                calls: 0,
                fail: None,
                hook: None,
            })),
        }
    }

    /// Lets the `nth` call from now (0: the next one) fail, once. A write that fails has written its first half; a sync
    /// that fails has made nothing safe, and what it was asked for never will be.
    pub fn fail_nth(&self, nth: u64, kind: io::ErrorKind) {
        self.fail(nth, kind, false);
    }

    /// Lets the `nth` call from now, and every call after it, fail.
    pub fn fail_from(&self, nth: u64, kind: io::ErrorKind) {
        self.fail(nth, kind, true);
    }

    fn fail(&self, nth: u64, kind: io::ErrorKind, forever: bool) {
        let mut state = self.state.lock();
        let at = state.calls + nth;
        state.fail = Some(Fail { at, kind, forever });
    }

    /// Nothing fails any more because of [`fail_nth`](Self::fail_nth) or [`fail_from`](Self::fail_from).
    pub fn heal(&self) {
        self.state.lock().fail = None;
    }

    /// Calls `hook` before every call: it may take its time (a slow disk), or refuse. It must not call the disk.
    pub fn on_call(&self, hook: impl Fn(&Call<'_>) -> io::Result<()> + Send + Sync + 'static) {
        self.state.lock().hook = Some(Arc::new(hook));
    }

    /// How many calls have been made.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// How many operations that change the disk, or make changes safe, have been made: the moment it is now.
    pub fn moment(&self) -> usize {
        self.state.lock().ops.len()
    }

    /// From here on everything done so far is safe, and no longer part of any crash image. Moments count from 0 again.
    pub fn settle(&self) {
        let mut state = self.state.lock();
        state.base = self.mem.tree().lock().clone().after_crash();
        state.ops.clear();
    }

    /// Shows `visit` what a power cut at each of `moments` could leave: at most `limit` images for each moment, all there
    /// are if there are no more. Returns how many it were. The same calls give the same images every time.
    pub fn crash_images(
        &self,
        moments: RangeInclusive<usize>,
        limit: usize,
        visit: impl FnMut(&CrashImage),
    ) -> usize {
        self.some_crash_images(moments, limit, |_| true, visit)
    }

    /// The same, but of the images of a moment, which are numbered from 0, only those that are `wanted`. Number 0 is the one
    /// with everything there that was done.
    pub fn some_crash_images(
        &self,
        moments: RangeInclusive<usize>,
        limit: usize,
        mut wanted: impl FnMut(usize) -> bool,
        mut visit: impl FnMut(&CrashImage),
    ) -> usize {
        let recording = {
            let state = self.state.lock();
            Recording {
                base: state.base.clone(),
                ops: state.ops.clone(),
                first_free: self.mem.tree().lock().first_free(),
            }
        };
        recording.each_image(&moments, limit, &mut wanted, &mut visit)
    }

    /// Counts the call, and fails it if it is to fail.
    fn call(&self, kind: CallKind, path: &Path) -> io::Result<()> {
        let (number, failed, hook) = {
            let mut state = self.state.lock();
            let number = state.calls;
            state.calls += 1;
            let failed = state
                .fail
                .filter(|fail| fail.at == number || (fail.forever && fail.at < number));
            (number, failed, state.hook.clone())
        };
        if let Some(fail) = failed {
            return Err(fail.kind.into());
        }
        let call = Call { number, kind, path };
        hook.map_or(Ok(()), |hook| hook(&call))
    }

    /// Opens or locks a file, and notes if that made it.
    fn making<T>(
        &self,
        path: &Path,
        access: Access,
        make: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<(T, Id)> {
        let mut state = self.state.lock();
        let was_there = self.mem.tree().lock().find(path, access)?.is_some();
        let made = make()?;
        let tree = self.mem.tree().lock();
        let (directory, name) = tree.locate(path)?;
        let entry = tree.entry(directory, name).ok_or(io::ErrorKind::NotFound)?;
        if !was_there {
            state
                .ops
                .push(Op::Link((directory, name.to_owned()), entry));
        }
        match entry {
            Entry::File(id) | Entry::Directory(id) => Ok((made, id)),
        }
    }

    /// Removes a name, and notes it.
    fn removing(&self, path: &Path, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock();
        let found = {
            let tree = self.mem.tree().lock();
            let (directory, name) = tree.locate(path)?;
            let name = (directory, name.to_owned());
            tree.entry(directory, &name.1).map(|entry| (name, entry))
        };
        remove()?;
        state
            .ops
            .extend(found.map(|(name, entry)| Op::Unlink(name, entry)));
        Ok(())
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimDisk")
            .field("calls", &state.calls)
            .field("ops", &state.ops.len())
            .finish_non_exhaustive()
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        self.call(CallKind::Open, path)?;
        let (file, id) = self.making(path, access, || self.mem.open(path, access))?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
            id,
            path: path.to_path_buf(),
        }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call(CallKind::CreateDir, path)?;
        let mut state = self.state.lock();
        if self.mem.tree().lock().directory(path).is_ok() {
            return Ok(());
        }
        self.mem.create_dir(path)?;
        let tree = self.mem.tree().lock();
        let (directory, name) = tree.locate(path)?;
        let made = Entry::Directory(tree.directory(path)?);
        state.ops.push(Op::Link((directory, name.to_owned()), made));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        self.call(CallKind::List, path)?;
        self.mem.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(CallKind::Rename, from)?;
        let mut state = self.state.lock();
        self.mem.rename(from, to)?;
        let tree = self.mem.tree().lock();
        let (from, old) = tree.locate(from)?;
        let (to, new) = tree.locate(to)?;
        let entry = tree.entry(to, new).ok_or(io::ErrorKind::NotFound)?;
        let names = ((from, old.to_owned()), (to, new.to_owned()));
        state.ops.push(Op::Rename(names.0, names.1, entry));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(CallKind::RemoveFile, path)?;
        self.removing(path, || self.mem.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call(CallKind::RemoveDir, path)?;
        self.removing(path, || self.mem.remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(CallKind::SyncDir, path)?;
        let mut state = self.state.lock();
        let directory = self.mem.tree().lock().directory(path)?;
        state.ops.push(Op::SyncDirectory(directory));
        Ok(())
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.call(CallKind::Lock, path)?;
        let (lock, _) = self.making(path, Access::Create, || self.mem.lock(path, kind))?;
        Ok(lock)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.call(CallKind::FreeBytes, path)?;
        self.mem.free_bytes(path)
    }
}

struct SimFile {
    disk: SimDisk,
    file: Arc<dyn DiskFile>,
    id: Id,
    path: PathBuf,
}

impl SimFile {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        self.file.write_at(offset, bytes)?;
        state.ops.push(Op::Write(self.id, offset, bytes.into()));
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.disk.call(CallKind::Read, &self.path)?;
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let called = self.disk.call(CallKind::Write, &self.path);
        let count = if called.is_ok() {
            bytes.len()
        } else {
            bytes.len() / 2
        };
        self.write(offset, &bytes[..count])?;
        called
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call(CallKind::Len, &self.path)?;
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.call(CallKind::SetLen, &self.path)?;
        let mut state = self.disk.state.lock();
        self.file.set_len(len)?;
        state.ops.push(Op::SetLen(self.id, len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let called = self.disk.call(CallKind::Sync, &self.path);
        let op = match called {
            Ok(()) => Op::Sync(self.id),
            Err(_) => Op::FailedSync(self.id),
        };
        self.disk.state.lock().ops.push(op);
        called
    }
}
