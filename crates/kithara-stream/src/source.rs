//! What a decode thread reads from: runs in order, each a stretch of bytes.

use std::io::{Read, Seek};
use std::time::Duration;

use crate::{Interrupt, MediaInfo, StreamError};

/// The bytes of one run, read by blocking calls.
///
/// A failed read carries a [`StreamError`] inside the [`std::io::Error`]; [`StreamError::from_io`] takes it out again.
/// `Ok(0)` means the true end of the bytes, never "nothing yet".
pub trait ByteSource: Read + Seek + Send + Sync {
    /// The length in bytes, if the origin has said.
    fn byte_len(&self) -> Option<u64>;

    /// Whether a seek backwards, or forwards past what has arrived, can succeed.
    fn is_seekable(&self) -> bool;

    /// Whether reading far from what was read before costs a round trip, so that a demuxer should not wander.
    fn is_remote(&self) -> bool;
}

/// Bytes in memory.
impl<T: AsRef<[u8]> + Send + Sync> ByteSource for std::io::Cursor<T> {
    fn byte_len(&self) -> Option<u64> {
        Some(self.get_ref().as_ref().len() as u64)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        false
    }
}

/// Why a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunCause {
    /// The first run of a stream.
    Start,
    /// A seek that the run before could not serve.
    Seek,
    /// Another variant was chosen.
    VariantSwitch,
    /// The playlist announced a discontinuity.
    Discontinuity,
}

/// A stretch of media that one decoder reads from first byte to end without reconfiguration.
pub struct Run {
    /// The media time of its first frame.
    pub start: Duration,
    /// What is known of it before decoding.
    pub info: MediaInfo,
    /// Why it began.
    pub cause: RunCause,
    /// Its bytes.
    pub bytes: Box<dyn ByteSource>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("start", &self.start)
            .field("info", &self.info)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

/// Where a seek to a media time must be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekRoute {
    /// In the current run: its decoder seeks.
    WithinRun,
    /// In a new run, which the next [`Source::next_run`] returns.
    NewRun,
}

/// A title as a sequence of runs, pulled by the decode thread.
pub trait Source: Send + 'static {
    /// Waits for the next run; `None` is the end of the title. Fails with [`StreamError::Interrupted`] once
    /// [`interrupt`](Self::interrupt) was raised.
    fn next_run(&mut self) -> Result<Option<Run>, StreamError>;

    /// Asks for the media at `to`.
    fn seek(&mut self, to: Duration) -> Result<SeekRoute, StreamError>;

    /// The interrupt shared by this source and the bytes of all its runs.
    fn interrupt(&self) -> Interrupt;
}
