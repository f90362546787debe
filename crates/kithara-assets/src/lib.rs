//! The cache: resources of titles on disk, shared between readers and processes, whole or clearly partial after a crash.
//!
//! ```text
//!   Entry ──claim, write──┐                          ┌── StorageResource ◄── readers
//!   Entry ──claim, write──┤        the body          │   (one gate per entry)
//!                         ▼   of one generation      │
//!                    window in memory ───────────────┤
//!                         │  whole stretches         │
//!                      keeper ──► NAME.part + NAME.log, or NAME, whole
//!                    (one thread)     every stretch with its sum
//! ```
//!
//! [`AssetStore::open`] answers with an [`Entry`]: ready, yours to fill, or being filled by somebody else in this process,
//! whom you join. What an entry writes can be read at once, by all; the store's one keeper thread saves it behind, so that a
//! slow, full, failing or missing disk never touches the music. Everything read from disk is checked against its sum first;
//! so whatever a crash leaves behind is noticed, and fetched again.
//!
//! A title is kept from being removed by a counted [`LeaseGuard`] while it is open, and by [`AssetStore::pin`] for good. What
//! was unused for longest goes first. Several processes may share a folder: locks that die with them keep them apart.
//!
//! It knows neither HTTP nor codecs: what an origin said of its bytes is a handful of [`Facts`], and whether to ask it
//! again is [`Revalidate`]. No URL is stored: names are hashes, of what a [`KeyRule`] makes of a URL. Nothing here is for an
//! audio thread.
//!
//! Start reading at [`AssetStore`] and [`Entry`], then `body.rs` and `keeper.rs`.
//!
//! ```
//! use kithara_assets::{AssetStoreBuilder, EntryState, Facts, Keep, StoreOptions};
//! use kithara_storage::ResourceExt;
//! use url::Url;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = AssetStoreBuilder::new(StoreOptions::in_memory(1 << 20)).build()?;
//! let url = Url::parse("https://example.org/song.mp3?token=secret")?;
//! let entry = store.open(&store.key(&url, &url));
//! assert_eq!(entry.state(), EntryState::Fill);
//! entry.identify(Facts { total: Some(5), ..Facts::default() }, Keep::Yes)?;
//! let mine = entry.claim(0..5);
//! entry.write(mine.start, b"bytes")?;
//! entry.complete(5)?;
//!
//! let mut buf = [0; 5];
//! assert_eq!(entry.resource().read_at(0, &mut buf)?, 5);
//! drop(entry);
//! store.settle();
//! assert_eq!(store.usage().assets, 1);
//! # Ok(())
//! # }
//! ```

mod body;
mod builder;
mod desk;
mod entry;
mod error;
mod event;
mod eviction;
mod facts;
mod housekeeping;
mod index_slot;
mod info;
mod keeper;
mod key;
mod layout;
mod lease;
mod ledger;
mod marker;
mod note;
mod options;
mod pool;
mod registry;
mod store;
mod temporary;
mod unnamed;
mod window;

pub use builder::AssetStoreBuilder;
pub use entry::{Entry, EntryState, Snapshot};
pub use error::AssetError;
pub use event::{Reason, StoreEvent};
pub use facts::{Conflict, Facts, Keep};
pub use index_slot::IndexSlot;
pub use info::{AssetInfo, Cleared, Usage};
pub use key::{AssetId, ResourceKey};
pub use lease::{LeaseGuard, Turn};
pub use options::{KeyRule, Location, Revalidate, StoreOptions};
pub use store::AssetStore;
