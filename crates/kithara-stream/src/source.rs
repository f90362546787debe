//! What a decode thread reads from: runs in order, each a stretch of bytes.

use std::io::{Read, Seek};
use std::sync::Arc;
use std::time::Duration;

use crate::{Interrupt, MediaDuration, MediaInfo, Parts, Rejection, ResourceId, StreamError};

/// The bytes of one run, read by blocking calls.
///
/// A failed read carries a [`StreamError`] inside the [`std::io::Error`]; [`StreamError::from_io`] takes it out again.
/// `Ok(0)` means the true end of the bytes, never "nothing yet".
pub trait ByteSource: Read + Seek + Send + Sync {
    /// The length in bytes, if the origin has said.
    fn byte_len(&self) -> Option<u64>;

    /// Whether a seek backwards, or forwards past what has arrived, can succeed.
    fn is_seekable(&self) -> bool;

    /// Whether reading far from what was read before costs a round trip, so that a demuxer should not wander. It may cease
    /// to: once all has come.
    fn is_remote(&self) -> bool;

    /// What a demuxer has kept of where things lie in these very bytes, in this process or an earlier one; `None` if nothing.
    ///
    /// A hint that may be wrong: each place is to be checked against the bytes.
    fn load_index(&self) -> Option<Arc<[u8]>> {
        None
    }

    /// Whether there is anywhere to keep such a hint.
    fn keeps_index(&self) -> bool {
        false
    }

    /// Keeps such a hint, at most 1 MiB, instead of the one before. Never waits.
    fn keep_index(&self, _index: Vec<u8>) {}

    /// The resources that the bytes are made of, if there are several. One read returns bytes of one of them.
    fn parts(&self) -> Parts {
        Parts::default()
    }
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
    /// The same variant goes on: what came of it did not decode, and is had once more.
    Again,
    /// The playlist announced a discontinuity.
    Discontinuity,
    /// What lies between the run before and this one cannot be had, and silence stands for it.
    Gap,
    /// The same, and it is left out: the position jumps.
    Skip,
}

/// What the frames of a run are counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Its first frame is at [`Run::start`], to the frame.
    #[default]
    Own,
    /// Its media says itself when it plays. [`Run::start`] is what others say, and may be off by a little.
    Stamped {
        /// Times of media with the same number are of the same clock.
        clock: u64,
    },
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
    /// What its frames are counted from.
    pub timing: Timing,
    /// How long the title is, as far as the protocol knows; `None` leaves it to the media.
    pub title: Option<MediaDuration>,
    /// There is nothing to decode: silence up to this media time.
    pub silence: Option<Duration>,
}

impl Run {
    /// A run that counts its own frames and knows no more of the title than its media.
    pub fn new(
        start: Duration,
        info: MediaInfo,
        cause: RunCause,
        bytes: Box<dyn ByteSource>,
    ) -> Self {
        Self {
            start,
            info,
            cause,
            bytes,
            timing: Timing::Own,
            title: None,
            silence: None,
        }
    }
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

    /// One of the [parts](ByteSource::parts) of a run does not decode, for this reason; all that comes before it was decoded. A
    /// source that has the same stretch in another form, or a rule for what stands for it, goes on with its next run (`true`), or
    /// says there why not; any other has nothing to say.
    fn reject(&mut self, part: ResourceId, why: Rejection) -> Result<bool, StreamError> {
        let _ = (part, why);
        Ok(false)
    }

    /// The interrupt shared by this source and the bytes of all its runs.
    fn interrupt(&self) -> Interrupt;
}
