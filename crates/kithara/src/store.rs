//! Which cache keeps what a title fetches.

use std::sync::OnceLock;

use kithara_assets::{AssetStore, AssetStoreBuilder, StoreOptions};

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
    /// May block on the disk the first time.
    pub(crate) fn open(self) -> Option<AssetStore> {
        match self {
            Self::Shared => shared_store(),
            Self::Given(store) => Some(store),
            Self::None => None,
        }
    }
}

/// Made by the first remote resource and kept, because a second store in the same folder would be in its way.
fn shared_store() -> Option<AssetStore> {
    static SHARED: OnceLock<Option<AssetStore>> = OnceLock::new();
    let build = || {
        let built = AssetStoreBuilder::new(StoreOptions::default()).build();
        // The caller has a store of his own there, with other options: that one he passes on, or does without.
        built
            .inspect_err(|error| tracing::warn!(target: "kithara", %error, "nothing is cached"))
            .ok()
    };
    SHARED.get_or_init(build).clone()
}
