//! Decoded audio: blocks of interleaved samples and what describes them.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use kithara_bufpool::PcmBuf;

/// How PCM is laid out: frames per second and samples per frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PcmSpec {
    /// Frames per second.
    pub sample_rate: NonZeroU32,
    /// Samples per frame, interleaved in the order of the source's channels.
    pub channels: NonZeroU16,
}

impl PcmSpec {
    /// The frame at this time, rounded to the nearest.
    pub fn frames(&self, time: Duration) -> u64 {
        let rate = u128::from(self.sample_rate.get());
        let frames = (time.as_nanos() * rate + 500_000_000) / 1_000_000_000;
        u64::try_from(frames).unwrap_or(u64::MAX)
    }

    /// The time at which this frame begins.
    pub fn time(&self, frame: u64) -> Duration {
        let rate = u64::from(self.sample_rate.get());
        let nanos = (frame % rate) * 1_000_000_000 / rate;
        Duration::from_secs(frame / rate) + Duration::from_nanos(nanos)
    }
}

/// A block of decoded audio. Its memory goes back to the pool when it is dropped.
#[derive(Debug)]
pub struct PcmChunk {
    /// Interleaved samples, whole frames, never empty.
    pub pcm: PcmBuf,
    /// Their layout.
    pub spec: PcmSpec,
    /// The position of the first frame in the media of the run: its frame 0 is the first of the source, as far as
    /// [`GaplessMode`](crate::GaplessMode) lets the decoder know.
    pub frame: u64,
}

impl PcmChunk {
    /// How many frames it holds.
    pub fn frames(&self) -> usize {
        self.pcm.len() / usize::from(self.spec.channels.get())
    }
}

/// What a seek may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeekMode {
    /// Few reads. Exact wherever the format's structure allows it; [`Landing::exact`] tells.
    #[default]
    Fast,
    /// The exact frame, whatever must be read to find it.
    Exact,
}

/// Where a seek landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landing {
    /// The frame with which the next chunk starts.
    pub frame: u64,
    /// Whether that position is certain. `false` means: by table or bit rate.
    pub exact: bool,
}

/// Something a listener may want to know that did not stop the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A packet could not be decoded; silence of its exact length took its place.
    PacketSkipped {
        /// Where the silence begins.
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
    /// A backend did not decode, or failed on its way; the next one does.
    BackendRefused {
        /// Its name.
        backend: String,
        /// What it said.
        reason: String,
    },
}
