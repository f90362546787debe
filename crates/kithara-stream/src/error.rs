//! Why a stream could not go on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kithara_assets::Reason;
use kithara_net::NetError;
use kithara_storage::StorageError;

/// Why bytes could not be had. Cheap to clone: the same failure is told to every reader that asks again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The reader's [`Interrupt`](crate::Interrupt) was raised; nothing is wrong with the stream.
    #[error("the read was interrupted")]
    Interrupted,

    /// The run ends here, in the middle of its media: the next one has what follows.
    #[error("the rest of the run will not come")]
    CutOff,

    /// A document is larger than it may be.
    #[error("{name} has more than {most} bytes")]
    TooLarge {
        /// The redacted URL.
        name: String,
        /// The most it may have.
        most: usize,
    },

    /// The bytes could not be transformed into what is stored.
    #[error("{name}: {what}")]
    Transform {
        /// The redacted URL.
        name: String,
        /// Why.
        what: String,
    },

    /// A protocol found something in its documents with which it cannot go on.
    #[error("{0}")]
    Protocol(#[source] Arc<dyn std::error::Error + Send + Sync>),

    /// The stream was closed by its owner.
    #[error("the stream was closed")]
    Closed,

    /// The caller's cancellation token was cancelled.
    #[error("the stream was cancelled")]
    Cancelled,

    /// The transfer failed for good.
    #[error("the transfer failed")]
    Net(#[source] Arc<NetError>),

    /// A local file could not be opened or read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },

    /// The path names something that is not a regular file.
    #[error("{} is {what}, not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },

    /// The server cannot serve byte ranges, and the bytes at this offset are not on their way.
    #[error("{name}: the server does not support ranges; byte {offset} cannot be reached")]
    RangeUnsupported {
        /// The redacted URL.
        name: String,
        /// The byte asked for.
        offset: u64,
    },

    /// The resource changed at its origin while it was read.
    #[error("{name} changed while it was read ({what})")]
    ContentChanged {
        /// The redacted URL or path.
        name: String,
        /// Which property changed.
        what: String,
    },

    /// The bytes end before the length that was announced.
    #[error("{name} ends at byte {got} of {expected}")]
    Truncated {
        /// The redacted URL or path.
        name: String,
        /// The announced length.
        expected: u64,
        /// The bytes that exist.
        got: u64,
    },

    /// What the server sent is not media.
    #[error("{name}: {what}")]
    WrongContent {
        /// The redacted URL.
        name: String,
        /// What it is instead.
        what: String,
    },

    /// It is media, but there is nothing to be heard in it.
    #[error("there is no sound in {name}")]
    NoSound {
        /// The redacted URL.
        name: String,
    },

    /// It is whole as it was sent, but plays for less time than its playlist says: it was cut where it comes from.
    #[error("{name} ends early")]
    EndsEarly {
        /// The redacted URL.
        name: String,
    },

    /// Some of it is stored and some is not, and what is not cannot be fetched.
    #[error("{name}: byte {offset} is not stored and cannot be fetched")]
    Missing {
        /// The redacted URL.
        name: String,
        /// The first byte that is missing.
        offset: u64,
        /// Why it cannot be fetched.
        #[source]
        source: Arc<NetError>,
    },

    /// What was stored of it is no longer what was written, and cannot be fetched again.
    #[error("{name}: stored byte {offset} is damaged and cannot be fetched again")]
    Damaged {
        /// The redacted URL.
        name: String,
        /// The first byte that is damaged.
        offset: u64,
        /// Why it cannot be fetched.
        #[source]
        source: Arc<NetError>,
    },

    /// It was to be fetched for later, but nothing of it would be kept.
    #[error("{name} cannot be kept")]
    NotKept {
        /// The redacted URL.
        name: String,
        /// Why; `None` where there is no cache.
        reason: Option<Reason>,
    },

    /// The bytes could not be kept or read back.
    #[error("the stored bytes failed")]
    Storage(#[source] Arc<StorageError>),

    /// A library thread could not be started or died.
    #[error("{what}")]
    Worker {
        /// Which, and why.
        what: String,
    },
}

impl StreamError {
    /// Takes a stream error out of the [`io::Error`] in which a reader carried it.
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().cloned()
    }

    /// The driver ended without saying why, which it does only if it panicked.
    pub(crate) fn driver_gone() -> Self {
        Self::Worker {
            what: "the stream's driver is gone".into(),
        }
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Io { source, .. } => source.kind(),
            StreamError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            // Never `Interrupted`: std and demuxers retry on that kind, and would spin.
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
