//! Who holds a title: counted in the process, one lock per process on disk.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kithara_storage::{Disk, DiskLock, LockKind};
use parking_lot::Mutex;

use crate::AssetId;
use crate::layout::Layout;

/// Keeps a title from being removed, here and in other processes. Clones are counted; the last one lets go.
#[derive(Clone)]
pub struct LeaseGuard {
    pub(crate) hold: Arc<Hold>,
    _user: Arc<()>,
}

impl LeaseGuard {
    /// The title that is held.
    pub fn asset(&self) -> AssetId {
        self.hold.asset
    }
}

impl fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LeaseGuard").field(&self.hold.asset).finish()
    }
}

/// What this process holds of one title. It exists as long as anybody here uses the title, or the keeper has something of
/// it in its queue.
pub(crate) struct Hold {
    pub(crate) asset: AssetId,
    /// One is ours; each guard has another.
    users: Arc<()>,
    locks: Arc<Locks>,
    /// What the title's `used` file says, once somebody has read or changed it.
    pub(crate) validated_at: Mutex<Option<u64>>,
    /// Somebody has the turn to ask the origin.
    asked: AtomicBool,
}

/// The turn to ask a title's origin whether it still has the same: one at a time has it, until it is dropped.
#[derive(Debug)]
pub struct Turn(Arc<Hold>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.asked.store(false, Ordering::Release);
    }
}

/// The locks of one title. Holds that follow each other share them: one that is just going away must not shut out the next.
#[derive(Default)]
pub(crate) struct Locks {
    // Taken by whoever opens the title first, or by the keeper when it makes the title's folder: both need the answer at
    // once, and taking a lock twice would lock us out ourselves.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    holds: usize,
    /// Shared with other processes: nobody removes the title.
    lease: Option<Box<dyn DiskLock>>,
    /// For this process alone: nobody else writes the title's files.
    fill: Option<Box<dyn DiskLock>>,
}

impl Held {
    fn are_in_force(&self) -> bool {
        let mut locks = [&self.lease, &self.fill].into_iter().flatten();
        locks.all(|lock| lock.is_in_force())
    }
}

impl Locks {
    /// Whether a hold has them.
    pub(crate) fn are_wanted(&self) -> bool {
        self.held.lock().holds > 0
    }

    /// Lets another store write the title's files.
    pub(crate) fn stop_filling(&self) {
        self.held.lock().fill = None;
    }
}

impl Hold {
    pub(crate) fn new(asset: AssetId, locks: Arc<Locks>) -> Self {
        locks.held.lock().holds += 1;
        Self {
            asset,
            users: Arc::default(),
            locks,
            validated_at: Mutex::new(None),
            asked: AtomicBool::new(false),
        }
    }

    /// The turn to ask the origin, unless somebody else has it.
    pub(crate) fn turn(self: &Arc<Self>) -> Option<Turn> {
        let taken = self.asked.swap(true, Ordering::Acquire);
        (!taken).then(|| Turn(self.clone()))
    }

    /// One more user of the title.
    pub(crate) fn guard(self: &Arc<Self>) -> LeaseGuard {
        LeaseGuard {
            hold: self.clone(),
            _user: self.users.clone(),
        }
    }

    /// Whether anybody uses the title. What the keeper still has in its queue is no use.
    pub(crate) fn is_used(&self) -> bool {
        Arc::strong_count(&self.users) > 1
    }

    /// Lets other processes have the title, as when the last traces of its use here disappear.
    pub(crate) fn let_go(&self) {
        let mut held = self.locks.held.lock();
        (held.lease, held.fill) = (None, None);
    }

    /// Lets go of the locks if somebody has taken their files away, or put others in their place: they keep nobody out any
    /// more.
    pub(crate) fn check(&self) {
        if !self.locks.held.lock().are_in_force() {
            self.let_go();
        }
    }

    /// Whether the title's folder is still the one that this process holds. If somebody has cleaned up meanwhile, what lies
    /// there now is another process's.
    pub(crate) fn is_in_force(&self) -> bool {
        let held = self.locks.held.lock();
        held.lease.is_some() && held.are_in_force()
    }

    /// The same, and this process alone writes the title's files.
    pub(crate) fn may_fill(&self) -> bool {
        let held = self.locks.held.lock();
        held.fill.is_some() && held.are_in_force()
    }

    /// Sees to it that no other process removes the title; `false` if one is doing that.
    pub(crate) fn lease(&self, disk: &dyn Disk, layout: &Layout) -> io::Result<bool> {
        let path = layout.asset(self.asset).join(Layout::LEASE);
        let mut held = self.locks.held.lock();
        if held.lease.is_none() {
            held.lease = disk.lock(&path, LockKind::Shared)?;
        }
        Ok(held.lease.is_some())
    }

    /// Whether the title has a folder, and nobody removes it.
    pub(crate) fn is_leased(&self) -> bool {
        self.locks.held.lock().lease.is_some()
    }

    /// Sees to it that no other process writes the title's files; `false` if one does.
    pub(crate) fn fill(&self, disk: &dyn Disk, layout: &Layout) -> io::Result<bool> {
        let path = layout.asset(self.asset).join(Layout::FILL);
        let mut held = self.locks.held.lock();
        if held.fill.is_none() {
            held.fill = disk.lock(&path, LockKind::Exclusive)?;
        }
        Ok(held.fill.is_some())
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.asset).finish()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.locks.held.lock();
        held.holds -= 1;
        if held.holds == 0 {
            (held.lease, held.fill) = (None, None);
        }
    }
}
