//! What happens to a title while it is decoded and read.

use std::time::Duration;

use kithara_decode::{MediaDuration, PcmSpec};
use kithara_stream::MediaInfo;

use crate::{AudioError, SeekId};

/// Why silence stands for media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SilenceCause {
    /// It was announced that there is none, or that it cannot be had.
    Gap,
    /// The times of the media leave it out.
    Hole,
}

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
    /// What comes next was decoded in another layout than what came before. It is told before the first of its frames can
    /// be read; they are converted, so what is read has the same layout as ever.
    FormatChanged {
        /// The layout before.
        from: PcmSpec,
        /// The layout of what comes next.
        to: PcmSpec,
        /// Where it begins in the title.
        at: Duration,
    },
    /// Another output was wished for: a read that begins now, and not before `from`, yields frames of it. A read yields
    /// frames of one output only; [`spec`](crate::PcmReader::spec) tells which.
    OutputChanged {
        /// The layout from now on.
        spec: PcmSpec,
        /// How fast the title goes by from now on.
        speed: f64,
        /// The first place in the title at which the reader may go over to it.
        from: Duration,
    },
    /// The duration became known or was refined: at the end it is exact, if every frame was counted on the way there.
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
    /// There is no media for a stretch of the title, and silence stands for it.
    SilenceInserted {
        /// Where in the title it begins.
        at: Duration,
        /// How long it is.
        duration: Duration,
        /// Why there is none.
        cause: SilenceCause,
    },
    /// Another variant goes on with the title, to the frame.
    Spliced {
        /// Where in the title it begins.
        at: Duration,
        /// Whether the first milliseconds lead from the old sound to the new one, because nothing prepared the decoder: it has
        /// another configuration, and its media begins right there.
        ramp: bool,
    },
    /// Bytes that are not audio were skipped.
    JunkSkipped {
        /// The offset of the first.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// A [backend](kithara_decode::CodecBackend) did not decode a run, or failed on its way; the next one does.
    BackendRefused {
        /// Its name.
        backend: String,
        /// What it said.
        reason: String,
    },
    /// The reader has read the last frame.
    EndOfStream,
    /// Decoding failed; reads fail with this error after the frames before it.
    Error(AudioError),
}
