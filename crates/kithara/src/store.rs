//! Which cache keeps what a title fetches.

use std::sync::{Mutex, PoisonError};

use kithara_assets::{AssetError, AssetStore, AssetStoreBuilder, Reason, StoreOptions};

/// Which cache keeps what a title fetches.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// The one all resources of the process share, in the user's cache folder.
    Shared,
    /// The caller's.
    Given(AssetStore),
    /// None: bytes lie in an unnamed temporary file until the resource ends.
    None,
}

impl Store {
    /// May block on the disk the first time. Fails where the caller has a store of his own in the shared folder, with other
    /// options: that one he passes on, or does without.
    pub(crate) fn open(self) -> Result<Option<AssetStore>, AssetError> {
        match self {
            Self::Shared => shared_store().map(Some),
            Self::Given(store) => Ok(Some(store)),
            Self::None => Ok(None),
        }
    }

    /// The store, if there is one. Where there should be, but is not, `tell` is told why nothing is kept.
    pub(crate) fn opened(self, tell: impl FnOnce(Reason)) -> Option<AssetStore> {
        self.open().unwrap_or_else(|error| {
            tracing::warn!(target: "kithara", %error, "nothing is cached");
            tell(Reason::Unusable);
            None
        })
    }
}

/// Made by the first remote resource and kept, because a second store in the same folder would be in its way. Where that
/// fails, the next one tries again.
fn shared_store() -> Result<AssetStore, AssetError> {
    // Held while the store is made: who comes meanwhile waits for that anyway.
    static SHARED: Mutex<Option<AssetStore>> = Mutex::new(None);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let store = match shared.take() {
        Some(store) => store,
        None => AssetStoreBuilder::new(StoreOptions::default()).build()?,
    };
    Ok(shared.insert(store).clone())
}
