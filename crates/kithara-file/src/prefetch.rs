//! Fetching a title before anybody listens to it.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};

use kithara_stream::{Backend, BackendConfig, LocalSource, MediaInfo, Source, StreamError};

use crate::{FileConfig, FileEvent, FilePlan, FileSrc};

/// How much of a title to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// At least this many bytes from its start.
    Head(u64),
    /// All of it.
    All,
}

impl Amount {
    /// So many bytes from its start.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Head(bytes) => bytes,
            Self::All => u64::MAX,
        }
    }
}

/// What a prefetch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetched {
    /// How many bytes of the title are stored.
    pub stored: u64,
    /// Its length in bytes, if something proves it. Without that it may be longer than what is stored, and the next open
    /// asks the server for what follows.
    pub len: Option<u64>,
}

/// A title on its way into the cache. Dropping it ends that; what has come is kept.
#[must_use = "dropping it ends the prefetch"]
pub struct Prefetch {
    /// `None` for a file on this machine.
    backend: Option<Backend>,
    outcome: Arc<OnceLock<Prefetched>>,
}

impl fmt::Debug for Prefetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetch")
            .field("outcome", &self.outcome.get())
            .finish_non_exhaustive()
    }
}

/// Fetches a title into its [store](FileConfig::with_store) before anybody listens to it, without slowing what plays: its
/// transfers move only while no other transfer of the process does. Progress goes to the config's events.
///
/// Returns at once. A file on this machine is there already, and is opened to see that.
///
/// # Errors
/// [`StreamError::NotKept`] without a store; [`StreamError::Worker`] if the I/O thread cannot be started;
/// [`StreamError::Io`] and [`StreamError::NotAFile`] for what is no file on this machine.
pub fn prefetch(config: FileConfig, amount: Amount) -> Result<Prefetch, StreamError> {
    let outcome = Arc::new(OnceLock::new());
    let info = MediaInfo {
        hint: config.hint.clone(),
        ..MediaInfo::default()
    };
    let (url, net) = match config.src.clone() {
        FileSrc::Remote(url, net) => (url, net),
        FileSrc::Local(path) => return local(&path, &outcome),
    };
    let key = config.key(&url);
    let plan = FilePlan::new(url, info, config.policy)
        .with_key(key)
        .with_amount(amount);
    if key.is_none() {
        return Err(plan.not_kept(None));
    }
    let told = Arc::clone(&outcome);
    let events = config.events.inspect(move |event| {
        if let FileEvent::PrefetchDone { stored, len } = event {
            let (stored, len) = (*stored, *len);
            // It is done once.
            let _ = told.set(Prefetched { stored, len });
        }
    });
    let config = BackendConfig::new(net)
        .with_store(config.store)
        .with_events(events)
        .with_cancel(config.cancel);
    Ok(Prefetch {
        backend: Some(Backend::start(plan, config)?),
        outcome,
    })
}

fn local(
    path: &std::path::Path,
    outcome: &Arc<OnceLock<Prefetched>>,
) -> Result<Prefetch, StreamError> {
    // Whatever could not be opened later is not there.
    let mut source = LocalSource::new(path, MediaInfo::default());
    let len = source.next_run()?.and_then(|run| run.bytes.byte_len());
    let stored = len.unwrap_or_default();
    let _ = outcome.set(Prefetched { stored, len });
    Ok(Prefetch {
        backend: None,
        outcome: Arc::clone(outcome),
    })
}

impl Prefetch {
    /// Waits until as much as was asked for is stored. What was stored last may still be on its way to the disk: see
    /// [`AssetStore::settle`](kithara_stream::assets::AssetStore::settle).
    ///
    /// # Errors
    /// What ended the transfer: [`StreamError::Net`], [`StreamError::ContentChanged`], [`StreamError::Cancelled`];
    /// [`StreamError::NotKept`] if the origin, or the disk, lets nothing be kept.
    pub async fn done(mut self) -> Result<Prefetched, StreamError> {
        if let Some(backend) = &mut self.backend {
            poll_fn(|cx| backend.poll_run(cx)).await?;
        }
        self.outcome.get().copied().ok_or(StreamError::Closed)
    }

    /// [`done`](Self::done) for a thread: blocks.
    ///
    /// # Errors
    /// As [`done`](Self::done).
    pub fn wait(mut self) -> Result<Prefetched, StreamError> {
        if let Some(backend) = &mut self.backend {
            backend.next_run()?;
        }
        self.outcome.get().copied().ok_or(StreamError::Closed)
    }
}
