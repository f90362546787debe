//! One reader's and fetcher's hands on one resource.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use kithara_storage::{Coverage, StorageError, StorageResource};
use parking_lot::Mutex;

use crate::body::Seat;
use crate::desk::Command;
use crate::store::Inner;
use crate::{Conflict, Facts, IndexSlot, Keep, LeaseGuard, Reason, ResourceKey, Turn};

/// What there is to do for a resource that was just opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// All of it is stored.
    Ready,
    /// Bytes are missing, and nobody else in this process has it open: the gap is yours.
    Fill,
    /// Bytes are missing, and somebody else in this process has it open. What he has claimed he brings; the rest is yours.
    Join,
}

/// How a resource stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What can be read now.
    pub coverage: Coverage,
    /// What other entries are bringing. What those that [stand back](Entry::stand_back) are bringing counts only for an
    /// entry that stands back too.
    pub others: Coverage,
    /// What the origin said about these bytes, if anything was ever heard of it.
    pub facts: Option<Facts>,
    /// Tells these bytes from those before [`Entry::discard`].
    pub generation: u64,
    /// The length in bytes, if it is known.
    pub end: Option<u64>,
    /// Another entry found that the origin has changed: these bytes are no longer kept, and the next
    /// [`Entry::discard`] leads to the new ones.
    pub superseded: bool,
    /// Nothing is saved any more, or the disk is falling behind: so many bytes are held in memory for this entry at most,
    /// its share of what is held for all, and the oldest go first. `None` as long as there is no such bound.
    pub memory_only: Option<u64>,
    /// Why its bytes are forgotten with the last entry, if they are.
    pub not_kept: Option<Reason>,
}

/// One reader's and fetcher's hands on one resource: it reads, claims what it is going to fetch, and writes it.
///
/// Two entries of one key share their bytes. Each has a [`resource`](Self::resource) of its own, though: failing or
/// closing one does nothing to the other. Nothing here waits for the disk, except where it says so; nothing is for an
/// audio thread. Dropping it gives back its claims and its lease; what it wrote is saved.
pub struct Entry {
    store: Arc<Inner>,
    key: ResourceKey,
    lease: LeaseGuard,
    // The seat changes when the origin's content does; the entry is the only owner, but may be called from two threads.
    seat: Mutex<Seat>,
}

impl Entry {
    pub(crate) fn new(store: Arc<Inner>, key: ResourceKey, seat: Seat) -> Self {
        Self {
            store,
            key,
            lease: seat.body.hold.guard(),
            seat: Mutex::new(seat),
        }
    }

    /// Another entry of the same bytes, as if the resource had been opened again; also where no key leads to them.
    pub fn another(&self) -> Self {
        let body = self.seat().body;
        body.expect();
        let seat = body.sit_down();
        Self::new(Arc::clone(&self.store), self.key, seat)
    }

    fn seat(&self) -> Seat {
        self.seat.lock().clone()
    }

    /// Which resource it is.
    pub fn key(&self) -> ResourceKey {
        self.key
    }

    /// What there is to do.
    pub fn state(&self) -> EntryState {
        self.seat().body.entry_state()
    }

    /// What keeps the title from being removed; a clone of it may outlive the entry.
    pub fn lease(&self) -> &LeaseGuard {
        &self.lease
    }

    /// What readers read. Reading may block on the disk. It is committed if all of it is stored.
    ///
    /// Another one after [`discard`](Self::discard).
    pub fn resource(&self) -> StorageResource {
        self.seat.lock().resource.clone()
    }

    /// Where readers of [`resource`](Self::resource) keep what they find out about where things lie in it.
    ///
    /// Another one after [`discard`](Self::discard).
    pub fn index_slot(&self) -> IndexSlot {
        IndexSlot::new(self.seat().body)
    }

    /// How the resource stands now.
    pub fn snapshot(&self) -> Snapshot {
        let seat = self.seat();
        seat.body.snapshot(seat.member)
    }

    /// Ready once something has happened that this entry did not do itself: another one has claimed, given back,
    /// brought or discarded something, or bytes were lost. Then take a new [`snapshot`](Self::snapshot).
    ///
    /// Remembers the last task only. Claims of others tell only those that lose theirs by them.
    pub fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let seat = self.seat();
        seat.body.poll_changed(seat.member, cx)
    }

    /// Says what the origin has told of the resource; before its first byte is written.
    ///
    /// With [`Keep::No`] its bytes are kept in a temporary file without a name, and forgotten with the last entry, unless
    /// some were allowed to be kept before.
    ///
    /// # Errors
    /// The [`Conflict`] with what is known of the bytes that are stored. They are then another content: see
    /// [`discard`](Self::discard).
    pub fn identify(&self, facts: Facts, keep: Keep) -> Result<(), Conflict> {
        let seat = self.seat();
        seat.body.identify(seat.member, facts, keep)
    }

    /// Claims what of `range` is neither stored nor claimed by another entry, from its start on to the first byte that
    /// is; empty if that is its first byte. What is written is no longer claimed. What was claimed by one that [stands
    /// back](Self::stand_back) is taken over.
    pub fn claim(&self, range: Range<u64>) -> Range<u64> {
        let seat = self.seat();
        seat.body.claim(seat.member, range)
    }

    /// From now on this entry's claims, also those it has, are no obstacle to entries that don't stand back: they
    /// [claim](Self::claim) over them, and this one is told by [`poll_changed`](Self::poll_changed) that it has lost
    /// them. It respects everybody's. For what nobody waits for.
    pub fn stand_back(&self) {
        let seat = self.seat();
        seat.body.stand_back(seat.member);
    }

    /// Gives back what of `range` this entry has claimed, and tells the others.
    pub fn release(&self, range: Range<u64>) {
        let seat = self.seat();
        seat.body.release(seat.member, range);
    }

    /// Takes in bytes, which can be read at once, by the other entries too. What is there already stays as it is.
    ///
    /// Doesn't wait for the disk: the bytes are held in memory until the store's keeper has saved them.
    ///
    /// # Errors
    /// [`StorageError::PastEnd`] behind a known end; [`StorageError::Closed`] if this entry's resource was closed.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let seat = self.seat();
        seat.body.write(&seat, offset, bytes)
    }

    /// The same, but what is there already is compared first, which may block on the disk: how to tell that a server
    /// without validators still sends the same content.
    ///
    /// # Errors
    /// [`StorageError::Differs`], or [`StorageError::Io`] if what is there can't be read for now, and nothing is taken in;
    /// otherwise as [`write`](Self::write).
    pub fn write_checked(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let seat = self.seat();
        seat.body.compare(offset, bytes)?;
        seat.body.write(&seat, offset, bytes)
    }

    /// Says that the resource is `len` bytes long and that they are all there: the keeper commits it.
    ///
    /// # Errors
    /// [`StorageError::Incomplete`] names the first gap.
    pub fn complete(&self, len: u64) -> Result<(), StorageError> {
        let seat = self.seat();
        seat.body.complete(&seat, len)
    }

    /// The origin has another content now: what is stored is dropped, and this entry begins anew with nothing. Take the
    /// new [`resource`](Self::resource) and [`identify`](Self::identify) it.
    ///
    /// Bytes of the two never meet: readers of the old resource, of this entry and of others, keep to the old one. If
    /// another entry has discarded it before, this one joins that.
    pub fn discard(&self) {
        let mut seat = self.seat.lock();
        let old = seat.clone();
        *seat = self.store.registry.replace(&old.body, &self.store);
        if old.body.stands_back(old.member) {
            seat.body.stand_back(seat.member);
        }
        drop(seat);
        old.body.supersede();
        old.body.leave(old.member);
    }

    /// Tells this entry's readers that nothing more will come, and why. What is there stays readable. Its claims are given
    /// back; other entries and their readers go on.
    pub fn fail(&self, error: Arc<dyn Error + Send + Sync>) {
        let seat = self.seat();
        seat.body.release(seat.member, 0..u64::MAX);
        seat.gate.lock().fail(error);
    }

    /// Goes on after [`fail`](Self::fail). What could not be read for want of a file descriptor is there again.
    pub fn reactivate(&self) {
        let seat = self.seat();
        seat.gate.lock().reactivate();
        seat.body.take_up_again();
    }

    /// Says how long the resource is, while bytes of it are still missing.
    pub fn end_at(&self, len: u64) {
        self.seat().body.end_at(len);
    }

    /// Says that this entry's readers are at the end there, whether or not the resource goes on: where nothing proves how
    /// long it is. Other entries, and whoever opens it next, don't hear of it. What [`end_at`](Self::end_at) says later, of
    /// any entry, goes before.
    pub fn end_here(&self, len: u64) {
        let seat = self.seat();
        seat.body.end_here(&seat, len);
    }

    /// Says that the title was found unchanged at its origin at this time, in seconds since 1970.
    pub fn validated(&self, at_unix: u64) {
        *self.lease.hold.validated_at.lock() = Some(at_unix);
        self.store
            .desk
            .send(Command::Validated(self.lease.hold.clone(), at_unix));
    }

    /// The turn to ask the origin whether the title is unchanged, unless another entry in this process has it: where
    /// several are opened at once, one question is enough. It ends when it is dropped.
    pub fn turn(&self) -> Option<Turn> {
        self.lease.hold.turn()
    }

    /// When the title was last found unchanged at its origin, in seconds since 1970.
    pub fn validated_at(&self) -> Option<u64> {
        *self.lease.hold.validated_at.lock()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let seat = self.seat.get_mut();
        seat.body.leave(seat.member);
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
