//! What readers of a resource have found out about where things lie in it.

use std::fmt;
use std::sync::Arc;

use kithara_storage::MAX_INDEX;

use crate::body::Body;

/// Where readers of a resource keep what they have found out about where things lie in its bytes: bytes of their own that
/// mean nothing to the store, at most 1 MiB, the same for all who read the resource.
///
/// They belong to these bytes only: with other ones, after [`Entry::discard`](crate::Entry::discard), there is another
/// slot. They come back with what is stored, in a later process too, but nothing vouches for them beyond a sum: whoever uses
/// them checks each against the bytes. Damaged or lost, they are as if never kept. Nothing here waits for the disk; nothing
/// is for an audio thread.
#[derive(Clone)]
pub struct IndexSlot {
    body: Arc<Body>,
}

impl IndexSlot {
    pub(crate) fn new(body: Arc<Body>) -> Self {
        Self { body }
    }

    /// What was kept last, here or by an earlier process; `None` if nothing was.
    pub fn load(&self) -> Option<Arc<[u8]>> {
        self.body.index()
    }

    /// Keeps this instead of what was kept before, and lets the store's keeper save it behind. More than 1 MiB is not kept.
    pub fn keep(&self, index: impl Into<Arc<[u8]>>) {
        let index = index.into();
        if index.len() <= MAX_INDEX {
            self.body.keep_index(index);
        }
    }
}

impl fmt::Debug for IndexSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexSlot")
            .field("bytes", &self.load().map(|index| index.len()))
            .finish()
    }
}
