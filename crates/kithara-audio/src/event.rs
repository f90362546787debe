//! What happens to a title while it is decoded and read.

use std::time::Duration;

use kithara_decode::{MediaDuration, PcmSpec};
use kithara_stream::MediaInfo;

use crate::{AudioError, SeekId};

/// Something that happened. Reported by the decode thread, never by the thread that reads.
///
/// While the decode thread waits for bytes it reports nothing; what the reader noticed meanwhile follows when it goes
/// on. [`AudioControl::state`](crate::AudioControl::state) tells the state at any moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AudioEvent {
    /// A run was opened and is about to be decoded.
    FormatDetected {
        /// Its layout.
        spec: PcmSpec,
        /// Container and codec as found in its bytes.
        info: MediaInfo,
    },
    /// The duration became known or was refined.
    DurationChanged {
        /// What it is now.
        duration: Option<MediaDuration>,
    },
    /// A seek landed: the next frame read is at `landed`. A seek that a newer one overtook reports nothing.
    SeekDone {
        /// Which seek.
        id: SeekId,
        /// What was asked for.
        target: Duration,
        /// The time of the first frame.
        landed: Duration,
        /// Whether `landed` is certain.
        exact: bool,
    },
    /// A seek failed; reads fail with the same error until the next seek.
    SeekFailed {
        /// Which seek.
        id: SeekId,
        /// What was asked for.
        target: Duration,
        /// Why it failed.
        error: AudioError,
    },
    /// The reader ran dry while playing.
    Underrun {
        /// How often that happened since open.
        count: u64,
    },
    /// The reader found nothing to read.
    Buffering,
    /// The reader is being served again.
    Playing,
    /// A packet could not be decoded; silence of its exact length took its place.
    PacketSkipped {
        /// Where the silence begins, in frames of the run.
        frame: u64,
        /// How long it is, in frames.
        frames: u64,
    },
    /// Bytes that are not audio were skipped.
    JunkSkipped {
        /// The offset of the first.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// The reader has read the last frame.
    EndOfStream,
    /// Decoding failed; reads fail with this error after the frames before it.
    Error(AudioError),
}
