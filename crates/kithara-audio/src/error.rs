//! Why no more audio can be read.

use std::collections::TryReserveError;
use std::sync::Arc;

use kithara_decode::DecodeError;
use kithara_stream::StreamError;

/// Why no more audio can be read. Cheap to clone: it is told again on every read until a seek.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The bytes could not be had.
    #[error("the audio bytes cannot be had")]
    Stream(#[source] StreamError),

    /// The bytes could not be decoded.
    #[error("the audio cannot be decoded")]
    Decode(#[source] DecodeError),

    /// The buffer given to a read cannot hold one frame.
    #[error("a buffer of {samples} samples cannot hold a frame of {channels}")]
    BufferTooSmall {
        /// What the buffer holds; for planar reads, the shortest plane.
        samples: usize,
        /// What one frame needs.
        channels: usize,
    },

    /// A planar read was given the wrong number of planes.
    #[error("{planes} planes were given for {channels} channels")]
    WrongPlanes {
        /// How many planes were given.
        planes: usize,
        /// How many channels there are.
        channels: usize,
    },

    /// The audio was closed by its owner.
    #[error("the audio was closed")]
    Closed,

    /// The decode thread could not be started, found no memory, died, or is stuck in a codec. Other audio is unaffected.
    #[error("{what}")]
    Worker {
        /// What happened. Shared, because a seek on an audio thread may be told.
        what: Arc<str>,
    },
}

impl AudioError {
    /// There is no room for decoded audio.
    pub(crate) fn no_memory(error: &TryReserveError) -> Self {
        Self::Worker {
            what: format!("no memory for decoded audio: {error}").into(),
        }
    }
}

impl From<StreamError> for AudioError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// A stream error keeps its kind on its way through a decoder.
impl From<DecodeError> for AudioError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Stream(error) => Self::Stream(error),
            other => Self::Decode(other),
        }
    }
}
