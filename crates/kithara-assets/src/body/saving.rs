//! The keeper's side of a body.

use std::ops::Range;
use std::sync::Arc;

use kithara_storage::{CheckedFile, StorageResource};

use super::standing::{Base, NOBODY};
use super::{Body, wake};
use crate::desk::Command;
use crate::event::{Reason, StoreEvent};
use crate::facts::{Facts, Keep};
use crate::window::Stretch;

/// What the keeper has to do for a body.
pub(crate) enum Task {
    /// Its place is taken: let go of its files, and remove them.
    Abandon,
    Save(Stretch),
    Commit(u64),
    KeepIndex(Arc<[u8]>),
    /// Nobody is left.
    Retire,
    Nothing,
}

impl Body {
    /// Puts the body into the keeper's queue, unless it is there or there is nothing to do.
    pub(super) fn call_keeper(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let idle = state.queued || !state.needs_keeper();
        state.queued |= !idle;
        drop(state);
        if !idle {
            self.desk.send(Command::Attend(self.clone()));
        }
    }

    /// What is to be done next.
    pub(crate) fn next_task(&self) -> Task {
        let mut state = self.state.lock();
        state.queued = false;
        if state.retired {
            return Task::Retire;
        }
        if state.superseded {
            if !std::mem::replace(&mut state.abandoned, true) {
                return Task::Abandon;
            }
            let deserted = state.members.is_empty() && state.expected == 0;
            return if deserted {
                Task::Retire
            } else {
                Task::Nothing
            };
        }
        if state.bypass.is_none() {
            if let Some(stretch) = state.window.next() {
                state.queued = true;
                return Task::Save(stretch);
            }
            if let Some(end) = state.end.filter(|_| state.complete) {
                return Task::Commit(end);
            }
            if state.has_new_index()
                && let Some(index) = state.index.clone()
            {
                state.index_is_new = false;
                return Task::KeepIndex(index);
            }
        }
        if state.members.is_empty() && state.expected == 0 {
            return Task::Retire;
        }
        Task::Nothing
    }

    /// Seals everything, for a caller who wants it on disk now.
    pub(crate) fn seal(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            let len = state.coverage.end();
            state.window.seal(0..len);
            state.queued = true;
        }
        // Also where somebody else is about to: the caller's own question must not come before that.
        self.desk.send(Command::Attend(self.clone()));
    }

    /// Where saved bytes are read from now on.
    pub(crate) fn rest_on(&self, checked: Arc<CheckedFile>) {
        self.state.lock().base = Base::Checked(checked);
    }

    pub(crate) fn rest_on_temporary(&self, resource: StorageResource) {
        self.state.lock().base = Base::Temporary(resource);
    }

    pub(crate) fn saved(&self, range: Range<u64>) {
        let wakers = {
            let mut state = self.state.lock();
            state.stored.insert(range.clone());
            state.window.saved(range);
            match state.look_at_the_pace() {
                true => state.changed_for_others(NOBODY),
                false => Vec::new(),
            }
        };
        wake(wakers);
    }

    /// The stretch was not saved, and nothing more will be.
    pub(crate) fn bypass(&self, offset: Option<u64>, reason: Reason) {
        let (wakers, first) = {
            let mut state = self.state.lock();
            if let Some(offset) = offset {
                state.window.not_saved(offset);
            }
            let first = state.bypass.is_none();
            state.bypass.get_or_insert(reason);
            state.make_room();
            (state.changed_for_others(NOBODY), first)
        };
        wake(wakers);
        // It may have been passed by meanwhile, for another reason, and that was told.
        if first {
            self.listener.tell(StoreEvent::Bypassed { reason });
        }
    }

    /// The same, where the store as a whole has told.
    pub(crate) fn bypass_quietly(&self, reason: Reason) {
        self.state.lock().bypass = Some(reason);
    }

    /// Another process fills this resource: what is fetched here is for this process alone.
    pub(crate) fn share(&self) {
        self.forget(Reason::SharedByProcess);
    }

    /// Its bytes are for this process alone, in a temporary file.
    pub(crate) fn forget(&self, reason: Reason) {
        let mut state = self.state.lock();
        state.keep = Keep::No;
        state.forbidden = Some(reason);
    }

    /// Takes the place of another one in a store that has no folder, and so nowhere to keep anything.
    pub(crate) fn take_after(&self, other: &Body) {
        let forbidden = other.state.lock().forbidden;
        if let Some(reason @ Reason::NoFolder) = forbidden {
            self.forget(reason);
        }
    }

    /// The stretch was not saved, and stays as it is until more of its block comes.
    pub(crate) fn not_saved(&self, offset: u64) {
        self.state.lock().window.not_saved(offset);
    }

    /// The files are whole.
    pub(crate) fn committed(&self) {
        self.state.lock().complete = false;
    }

    /// Bytes it was thought to have on disk aren't there.
    pub(crate) fn missing(&self, lost: Range<u64>) {
        self.lose(&lost);
    }

    /// What tells the bytes of this body from all others ever stored under its key.
    pub(crate) fn generation(&self) -> u64 {
        *self.generation.get_or_init(fresh_generation)
    }

    pub(crate) fn keep(&self) -> Keep {
        self.state.lock().keep
    }

    pub(crate) fn facts(&self) -> Facts {
        self.state.lock().facts.clone().unwrap_or_default()
    }
}

/// A number that was never used: a counter could repeat itself after a crash, and then the sums of one download would
/// vouch for the bytes of another.
fn fresh_generation() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::SystemTime::now())
}
