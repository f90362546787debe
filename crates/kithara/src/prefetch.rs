//! Fetching a title before anybody listens to it.

use kithara_file::{Amount, Prefetched};

use crate::resource::{begins_anew, start};
use crate::{Error, Resource, ResourceConfig};

impl Resource {
    /// Fetches the head of a title, or all of it, into the cache, so that it starts at once later, or plays without a
    /// network. It never slows what plays: its transfers move only while no other transfer of the process does.
    ///
    /// Works on any executor; dropping the future ends it, and what has come is kept. Progress is told to
    /// [`ResourceConfig::events`]. What came last may still be on its way to the disk when it is done;
    /// [`AssetStore::settle`](kithara_assets::AssetStore::settle) waits for that. A file on this machine is there already. If
    /// the title changes at its origin meanwhile, it begins anew.
    ///
    /// ```no_run
    /// # async fn fetch() -> Result<(), kithara::Error> {
    /// use kithara::file::Amount;
    /// use kithara::prelude::*;
    ///
    /// let next = ResourceConfig::new("https://example.com/next.flac")?;
    /// Resource::prefetch(next, Amount::Head(512 * 1024)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What ended the transfer; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an HLS stream that is one by its name or
    /// a hint, or on this machine; [`ErrorKind::Storage`](crate::ErrorKind::Storage),
    /// [`StorageFull`](crate::ErrorKind::StorageFull) or [`CacheBusy`](crate::ErrorKind::CacheBusy) if nothing of it
    /// would be kept.
    pub async fn prefetch(config: ResourceConfig, amount: Amount) -> Result<Prefetched, Error> {
        let (title, _start) = start(config)?;
        let mut restarts = 0;
        loop {
            let prefetch = title.prefetch(amount).await?;
            match prefetch.done().await.map_err(Error::from) {
                Err(error) if begins_anew(&error, &mut restarts) => {}
                done => return done,
            }
        }
    }

    /// [`prefetch`](Self::prefetch) for callers without an async runtime: blocks the calling thread.
    ///
    /// # Errors
    /// Those of [`prefetch`](Self::prefetch).
    pub fn prefetch_blocking(config: ResourceConfig, amount: Amount) -> Result<Prefetched, Error> {
        pollster::block_on(Self::prefetch(config, amount))
    }
}
