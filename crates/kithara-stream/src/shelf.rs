//! The resources of one title, as its driver holds them in the store.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use kithara_assets::{AssetStore, Entry, EntryState, Facts, Keep, ResourceKey, Revalidate, Turn};
use kithara_net::Redirects;
use kithara_storage::StorageError;
use tokio::task::JoinHandle;

use crate::{ResourceId, Stored, StreamError};

/// Noted in place of when a title was last found unchanged: it was found changed since.
const OUTDATED: u64 = 0;

/// The resources of one title. Nothing here waits for the disk; opening happens on a thread of its own.
pub(crate) struct Shelf {
    store: Option<AssetStore>,
    held: BTreeMap<ResourceId, Held>,
    opening: Vec<(ResourceId, ResourceKey, JoinHandle<Entry>)>,
}

struct Held {
    entry: Entry,
    /// `None` if it is nobody else's.
    key: Option<ResourceKey>,
    /// It is this one's turn to ask whether the origin still has the same.
    turn: Option<Turn>,
    /// What its requests were redirected.
    redirects: Redirects,
}

impl Held {
    /// Whether this one is to ask now: what is whole, and due, and asked for by nobody else.
    fn is_due(&mut self, rule: Revalidate, now: u64) -> bool {
        let ready = self.entry.state() == EntryState::Ready;
        if !ready || !rule.is_due(self.entry.validated_at(), now) {
            return false;
        }
        self.turn = self.turn.take().or_else(|| self.entry.turn());
        self.turn.is_some()
    }
}

impl Shelf {
    pub(crate) fn new(store: Option<AssetStore>) -> Self {
        Self {
            store,
            held: BTreeMap::new(),
            opening: Vec::new(),
        }
    }

    /// What keeps the bytes, if anything does.
    pub(crate) fn store(&self) -> Option<&AssetStore> {
        self.store.as_ref()
    }

    /// Opens a resource; [`poll_changed`](Self::poll_changed) tells when that is done. Without a store it is done at once.
    pub(crate) fn open(&mut self, id: ResourceId, key: ResourceKey) -> bool {
        let Some(store) = self.store.clone().filter(|_| !self.held.contains_key(&id)) else {
            return true;
        };
        let opening = tokio::task::spawn_blocking(move || store.open(&key));
        self.opening.push((id, key, opening));
        false
    }

    /// Another hand on the bytes of a resource.
    pub(crate) fn share(&mut self, id: ResourceId, of: ResourceId) -> Result<(), StreamError> {
        let entry = self.entry(of)?.another();
        let key = self.held[&of].key;
        self.hold(id, entry, key);
        Ok(())
    }

    /// The next resource that was opened, or changed by somebody else.
    pub(crate) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<ResourceId> {
        for index in 0..self.opening.len() {
            let (id, key, opening) = &mut self.opening[index];
            if let Poll::Ready(opened) = Pin::new(opening).poll(cx) {
                let (id, key) = (*id, *key);
                self.opening.swap_remove(index);
                // A store that panics is none.
                if let Ok(entry) = opened {
                    self.hold(id, entry, Some(key));
                }
                return Poll::Ready(id);
            }
        }
        for (id, held) in &self.held {
            if held.entry.poll_changed(cx).is_ready() {
                return Poll::Ready(*id);
            }
        }
        Poll::Pending
    }

    fn hold(&mut self, id: ResourceId, entry: Entry, key: Option<ResourceKey>) {
        let held = Held {
            entry,
            key,
            turn: None,
            redirects: Redirects::new(),
        };
        self.held.insert(id, held);
    }

    /// A resource; one that was not opened is a temporary one.
    pub(crate) fn entry(&mut self, id: ResourceId) -> Result<&Entry, StreamError> {
        if !self.held.contains_key(&id) {
            let entry = Entry::temporary().map_err(|error| StreamError::Worker {
                what: error.to_string(),
            })?;
            self.hold(id, entry, None);
        }
        Ok(&self.held[&id].entry)
    }

    /// A resource, if there is one by that name yet.
    pub(crate) fn get(&self, id: ResourceId) -> Option<&Entry> {
        self.held.get(&id).map(|held| &held.entry)
    }

    /// What the requests of a resource were redirected, if it was opened.
    pub(crate) fn redirects(&self, id: ResourceId) -> Redirects {
        self.held
            .get(&id)
            .map_or_else(Redirects::new, |held| held.redirects.clone())
    }

    /// How a resource stands.
    pub(crate) fn stored(&mut self, id: ResourceId) -> Result<Stored, StreamError> {
        let now = unix_now();
        let rule = self.store.as_ref().map(|store| store.options().revalidate);
        self.entry(id)?;
        let held = self.held.get_mut(&id).expect("it was just opened");
        let due = rule.is_some_and(|rule| held.is_due(rule, now));
        let entry = &held.entry;
        let seen = entry.snapshot();
        Ok(Stored {
            coverage: seen.coverage,
            others: seen.others,
            facts: seen.facts,
            end: seen.end,
            superseded: seen.superseded,
            memory_only: seen.memory_only,
            not_kept: seen.not_kept,
            due,
            outdated: entry.validated_at() == Some(OUTDATED),
        })
    }

    /// Notes what the origin told; `false` if the store knows otherwise.
    pub(crate) fn identify(
        &mut self,
        id: ResourceId,
        facts: Facts,
        keep: Keep,
    ) -> Result<bool, StreamError> {
        Ok(self.entry(id)?.identify(facts, keep).is_ok())
    }

    /// The origin has answered, or won't: somebody else may ask.
    pub(crate) fn asked(&mut self, id: ResourceId) {
        if let Some(held) = self.held.get_mut(&id) {
            held.turn = None;
        }
    }

    pub(crate) fn validated(&self, id: ResourceId) {
        if let Some(held) = self.held.get(&id) {
            held.entry.validated(unix_now());
        }
    }

    pub(crate) fn outdated(&self, id: ResourceId) {
        if let Some(held) = self.held.get(&id) {
            held.entry.validated(OUTDATED);
        }
    }

    /// Takes bytes in.
    pub(crate) fn write(
        &mut self,
        id: ResourceId,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StreamError> {
        self.entry(id)?.write(offset, bytes).map_err(stored)
    }

    /// Declares a resource whole; `false` if it isn't any more.
    pub(crate) fn complete(&mut self, id: ResourceId, len: u64) -> Result<bool, StreamError> {
        match self.entry(id)?.complete(len) {
            Ok(()) => Ok(true),
            Err(StorageError::Incomplete { .. }) => Ok(false),
            Err(error) => Err(stored(error)),
        }
    }

    pub(crate) fn release(&self, id: ResourceId, range: std::ops::Range<u64>) {
        if let Some(held) = self.held.get(&id) {
            held.entry.release(range);
        }
    }

    /// Sees to it that nobody else gets these bytes.
    pub(crate) fn discard(&self, id: ResourceId) {
        let held = self.held.get(&id);
        if let Some(held) = held.filter(|held| !held.entry.snapshot().superseded)
            && let (Some(store), Some(key)) = (&self.store, held.key)
        {
            // By another hand: this one's readers are on the old bytes and stay there. It is open, so this doesn't look
            // at the disk.
            store.open(&key).discard();
        }
    }

    /// Lets go of a resource. Who still reads it keeps the bytes.
    pub(crate) fn leave(&mut self, id: ResourceId) {
        self.opening.retain(|(opening, ..)| *opening != id);
        self.held.remove(&id);
    }

    /// What is stored stays readable; whoever waits for more is told why there is none.
    pub(crate) fn fail(&self, error: &StreamError) {
        for held in self.held.values() {
            held.entry.fail(Arc::new(error.clone()));
        }
    }

    pub(crate) fn reactivate(&self) {
        for held in self.held.values() {
            held.entry.reactivate();
        }
    }
}

fn stored(error: StorageError) -> StreamError {
    StreamError::Storage(Arc::new(error))
}

fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 is wrong either way.
    since.map_or(1, |since| since.as_secs().max(OUTDATED + 1))
}
