//! What a read says about itself.

use std::fmt;
use std::time::Duration;

/// What [`try_read`](crate::PcmReader::try_read) wrote and why it wrote no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    /// Whole frames of audio at the front of the buffer; what follows them is silence, into which what was cut off
    /// [dies away](crate::AudioConfig::with_fades).
    pub frames: usize,
    /// The state after those frames.
    pub state: ReadState,
}

/// What a reader finds when it looks for the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadState {
    /// The buffer was filled.
    Playing,
    /// A seek has not landed yet.
    Seeking,
    /// The next frame is not decoded yet.
    Buffering,
    /// Paused by [`AudioControl::pause`](crate::AudioControl::pause).
    Paused,
    /// Every frame was read. A seek starts anew.
    Ended,
    /// Failed or closed; a blocking read or an event tells the error. A seek may start anew.
    Failed,
}

impl ReadState {
    const ALL: [Self; 6] = [
        Self::Playing,
        Self::Seeking,
        Self::Buffering,
        Self::Paused,
        Self::Ended,
        Self::Failed,
    ];

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Self {
        Self::ALL
            .get(usize::from(code))
            .copied()
            .unwrap_or(Self::Failed)
    }
}

/// Names one seek, so that its outcome can be told from those of others. Later seeks have other ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeekId(pub(crate) u64);

impl fmt::Display for SeekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counters since open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AudioStats {
    /// How often `try_read` ran dry while playing.
    pub underruns: u64,
    /// Frames handed out, silence excluded.
    pub frames_read: u64,
    /// Decoded audio that waits to be read, as of the last read.
    pub buffered: Duration,
    /// How often the decode thread woke from waiting for its reader.
    pub wakes: u64,
}
