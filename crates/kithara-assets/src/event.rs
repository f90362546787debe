//! What a store tells about itself.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Why bytes are not kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The environment names no place for a cache.
    NoFolder,
    /// The folder can't be made, read or written, or something else has its name.
    Unusable,
    /// A newer version of this library made the folder, and the one in it that is meant for this version; or it stored this
    /// title.
    NewerFormat,
    /// The folder, or the disk, is full of what must not be removed, or the title is larger than both; or what may not be kept
    /// takes as much as it may.
    Full,
    /// The disk is slower than the network.
    Slow,
    /// The disk failed.
    Failed,
    /// The file system has no locks, so that two processes could not be kept apart.
    NoLocks,
    /// The origin forbids it.
    NoStore,
    /// Another process is filling this title.
    SharedByProcess,
}

/// What a store tells about itself. Nothing here stops the music; no URL is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreEvent {
    /// From now on nothing is kept on disk. Told once.
    MemoryOnly {
        /// Why.
        reason: Reason,
    },
    /// A newer version of this library made the folder. What it keeps there is left alone and not counted; what this
    /// version keeps lies beside it, in a folder of its own that the next run finds again. Told once.
    NewerFormat {
        /// The version of the format found.
        version: u32,
    },
    /// What is being fetched for one title isn't kept on disk, for now.
    Bypassed {
        /// Why.
        reason: Reason,
    },
    /// There is no room, and nothing may be removed to make it; or a title is larger than what could be made.
    Full {
        /// How many bytes there would have been.
        needed: u64,
        /// How many there may be.
        limit: u64,
    },
    /// Titles were removed to make room.
    Evicted {
        /// How many bytes they took.
        bytes: u64,
        /// How many titles.
        assets: usize,
    },
    /// Stored bytes were found to be missing or damaged. They are fetched again.
    Damaged {
        /// How many.
        bytes: u64,
    },
    /// A resource is whole, and would survive a power failure.
    Committed {
        /// Its length.
        bytes: u64,
    },
    /// Another process is filling this title: what it has committed is read, the rest fetched for this process alone.
    SharedByProcess,
}

/// Whom to tell; what it panics with goes no further. Called by the keeper, by whoever opens or writes, never on an audio thread, and never with a lock held.
#[derive(Clone)]
pub(crate) struct Listener(pub(crate) Arc<dyn Fn(StoreEvent) + Send + Sync>);

impl Listener {
    pub(crate) fn none() -> Self {
        Self(Arc::new(|_| {}))
    }

    pub(crate) fn tell(&self, event: StoreEvent) {
        tracing::debug!(target: "kithara_assets", ?event);
        // Whose panic it is, is not the one who would be taken down: the keeper, or whoever writes.
        let told = catch_unwind(AssertUnwindSafe(|| (self.0)(event)));
        if told.is_err() {
            tracing::error!(target: "kithara_assets", "the listener panicked");
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
