//! Why a stream cannot go on.

use std::sync::Arc;
use std::time::Duration;

use kithara_drm::DrmError;
use kithara_stream::StreamError;

use crate::PlaylistError;

/// Why HLS cannot be played, or not any further. Every URL in it is redacted; it holds no key, and no text of a playlist.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HlsError {
    /// A playlist could not be loaded.
    #[error("the playlist {name} could not be loaded")]
    Load {
        /// The redacted URL.
        name: String,
        /// Why.
        #[source]
        source: StreamError,
    },

    /// A playlist cannot be played.
    #[error("the playlist {name} cannot be played")]
    Playlist {
        /// The redacted URL.
        name: String,
        /// Why.
        #[source]
        source: PlaylistError,
    },

    /// A playlist refers to something that is no URL.
    #[error("the playlist {name} refers to something that is no URL, as its {what}")]
    Reference {
        /// The redacted URL of the playlist.
        name: String,
        /// What it should be.
        what: &'static str,
    },

    /// A playlist has no segments, and never will.
    #[error("the playlist {name} has no segments")]
    Empty {
        /// The redacted URL.
        name: String,
    },

    /// A segment cannot be decoded without an init section, and its playlist names none (EXT-X-MAP).
    #[error(
        "segment {sequence}, {segment}, needs an init section, and the playlist {name} names none"
    )]
    NoInitSection {
        /// The redacted URL of the playlist.
        name: String,
        /// The media sequence number.
        sequence: u64,
        /// The redacted URL of the segment.
        segment: String,
    },

    /// A segment, or its init section, could not be had, from no variant.
    #[error("segment {sequence} of variant {variant}, {name}, could not be had")]
    Segment {
        /// The variant that was tried last.
        variant: usize,
        /// The media sequence number.
        sequence: u64,
        /// The redacted URL.
        name: String,
        /// Why.
        #[source]
        source: StreamError,
    },

    /// A segment is not there, as the playlist says (EXT-X-GAP), or is no longer.
    #[error("segment {sequence} of variant {variant} is not there")]
    Missing {
        /// The variant.
        variant: usize,
        /// The media sequence number.
        sequence: u64,
    },

    /// A key could not be had.
    #[error("the key {name} of segment {sequence} could not be had")]
    KeyLoad {
        /// The redacted URL.
        name: String,
        /// The media sequence number.
        sequence: u64,
        /// Why.
        #[source]
        source: StreamError,
    },

    /// What came in place of a key is none.
    #[error("the key {name} of segment {sequence} is none")]
    Key {
        /// The redacted URL.
        name: String,
        /// The media sequence number.
        sequence: u64,
        /// What is wrong with it.
        #[source]
        source: DrmError,
    },

    /// The caller's hook refused a key.
    #[error("the key {name} of segment {sequence} was refused: {reason}")]
    KeyRefused {
        /// The redacted URL.
        name: String,
        /// The media sequence number.
        sequence: u64,
        /// What the hook said.
        reason: Arc<str>,
    },

    /// A segment is encrypted in a way that is not decrypted here.
    #[error("segment {sequence} is encrypted with {method}, which is not supported")]
    Encryption {
        /// The media sequence number.
        sequence: u64,
        /// The method, as the playlist names it.
        method: String,
    },

    /// A live playlist has stood still for ten target durations.
    #[error("the live playlist {name} has not changed for {} s", still.as_secs())]
    Stuck {
        /// The redacted URL.
        name: String,
        /// For how long.
        still: Duration,
    },
}

impl HlsError {
    /// The failure below, where a transfer was what failed.
    #[must_use]
    pub fn transfer(&self) -> Option<&StreamError> {
        match self {
            Self::Load { source, .. }
            | Self::Segment { source, .. }
            | Self::KeyLoad { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Takes it out of the [`StreamError`] in which a stream carried it.
    #[must_use]
    pub fn from_stream(error: &StreamError) -> Option<&Self> {
        match error {
            StreamError::Protocol(inner) => inner.downcast_ref(),
            _ => None,
        }
    }
}

impl From<HlsError> for StreamError {
    fn from(error: HlsError) -> Self {
        Self::Protocol(Arc::new(error))
    }
}
