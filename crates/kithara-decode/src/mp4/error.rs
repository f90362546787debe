//! Why an MP4 cannot be demuxed.

use std::io;

use symphonia::core::errors::Error as SymphoniaError;

use super::boxes::FourCode;
use crate::memory::NoMemory;

/// Why an MP4 cannot be demuxed, or not any further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Mp4Error {
    /// A read failed, or (kind [`io::ErrorKind::UnexpectedEof`]) the bytes ended inside a box or a sample.
    #[error("the bytes cannot be read")]
    Io(#[source] io::Error),

    /// The bytes are not a sequence of ISO boxes with a movie in it.
    #[error("no movie box within the first {boxes} boxes")]
    NoMovie {
        /// The boxes that were looked at.
        boxes: u32,
    },

    /// A movie fragment comes before any movie box: it belongs to a file whose beginning is somewhere else.
    #[error("a fragment without its movie box")]
    Headless,

    /// The movie box follows the media, and the source can't seek to it.
    #[error("the movie box follows the media, and the source cannot seek")]
    MovieAtEnd,

    /// There is no track with a sound handler and a sample description.
    #[error("no audio among {tracks} tracks")]
    NoAudio {
        /// The tracks there are.
        tracks: u32,
    },

    /// The audio is encrypted (ISO/IEC 23001-7, or FairPlay's predecessor).
    #[error("encrypted audio (scheme {scheme})")]
    Encrypted {
        /// The scheme: `cenc`, `cbcs`, …
        scheme: FourCode,
    },

    /// Well-formed, but outside what can be played.
    #[error("{what} is not supported")]
    Unsupported {
        /// What.
        what: &'static str,
    },

    /// A box contradicts itself or its surroundings.
    #[error("box {kind}: {why}")]
    Malformed {
        /// The box.
        kind: FourCode,
        /// How.
        why: &'static str,
    },

    /// A size or count exceeds a limit.
    #[error("{what} exceeds the limit of {limit}")]
    Limit {
        /// What.
        what: &'static str,
        /// The limit.
        limit: u64,
    },

    /// There is no memory for what the boxes hold.
    #[error(transparent)]
    NoMemory(#[from] NoMemory),
}

impl Mp4Error {
    pub(super) fn malformed(kind: FourCode, why: &'static str) -> Self {
        Self::Malformed { kind, why }
    }
}

impl From<io::Error> for Mp4Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// For the `FormatReader` methods, whose error type is symphonia's. The box is logged, because its error has no room.
impl From<Mp4Error> for SymphoniaError {
    fn from(error: Mp4Error) -> Self {
        if !matches!(error, Mp4Error::Io(_) | Mp4Error::NoMemory(_)) {
            tracing::debug!(%error, "mp4");
        }
        match error {
            Mp4Error::Io(error) => Self::IoError(error),
            Mp4Error::NoMemory(error) => {
                Self::IoError(io::Error::new(io::ErrorKind::OutOfMemory, error))
            }
            Mp4Error::Malformed { why, .. } => Self::DecodeError(why),
            Mp4Error::Limit { what, .. } => Self::LimitError(what),
            Mp4Error::Unsupported { what } => Self::Unsupported(what),
            Mp4Error::Encrypted { .. } => Self::Unsupported("encrypted audio"),
            Mp4Error::NoAudio { .. } => Self::Unsupported("an MP4 without audio"),
            Mp4Error::NoMovie { .. } => Self::DecodeError("no movie box"),
            Mp4Error::Headless => Self::DecodeError("a fragment without its movie box"),
            Mp4Error::MovieAtEnd => {
                Self::Unsupported("a movie box after the media of a source that cannot seek")
            }
        }
    }
}
