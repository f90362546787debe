//! What a decode thread drives: one decoder per run.

use std::sync::Arc;
use std::time::Duration;

use kithara_bufpool::{PcmPool, pcm_pool};
use kithara_stream::{AudioCodec, ByteSource, MediaInfo};

use crate::{
    BackendPreference, CodecBackend, Continuation, DecodeError, FloatRange, GaplessMode, Guard,
    Landing, MediaDuration, Notice, PcmChunk, PcmSpec, SeekMode, Stamp, TrackMetadata,
};

/// Decodes one run, block by block.
///
/// Every call may block in the byte source. None is for an audio thread.
pub trait InnerDecoder: Send {
    /// The layout of every chunk; it never changes within a run.
    fn spec(&self) -> PcmSpec;

    /// Container and codec as found in the bytes, with the claims that came with the run.
    fn info(&self) -> &MediaInfo;

    /// What the container says of the title, as far as that was known when the run was opened; it does not change. Far away
    /// ([`ByteSource::is_remote`]) that is what comes by in front of the audio, near by also what stands at the end.
    fn metadata(&self) -> &TrackMetadata;

    /// When frame 0 plays by the media's own clock: the decode time of the first fragment of MP4, less what its edit list takes
    /// off; the first stated time of a transport stream; the time in front of packed audio (RFC 8216 §3.4). `None` where the
    /// media doesn't say.
    fn stamp(&self) -> Option<Stamp> {
        None
    }

    /// Whether it goes on with what the decoder of the run before remembers ([`DecoderFactory::open_after`]).
    fn continues(&self) -> bool {
        false
    }

    /// What it leaves to the decoder of the next run; `None` if it has not come to the end of its own, or keeps frames back.
    fn retire(self: Box<Self>) -> Option<Continuation> {
        None
    }

    /// How long the run is; `None` where nothing tells. Of a part of a title only the end tells.
    fn duration(&self) -> Option<MediaDuration>;

    /// The next block of frames; `None` is the proven end.
    ///
    /// An error is repeated until a [`seek`](Self::seek); only after a failed read the next call tries again, at the
    /// frame where it stopped.
    fn next_chunk(&mut self) -> Result<Option<PcmChunk>, DecodeError>;

    /// Goes to a time. The next chunk starts exactly at the frame of the [`Landing`]; beyond the end it is the end.
    fn seek(&mut self, to: Duration, mode: SeekMode) -> Result<Landing, DecodeError>;

    /// What was noticed since the last call. Costs nothing when there is nothing.
    fn take_notices(&mut self) -> Vec<Notice>;
}

/// Which codec a run must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodecSelector {
    /// Whatever the bytes say.
    #[default]
    Auto,
    /// This one; anything else is [`DecodeError::Unsupported`].
    Exact(AudioCodec),
}

/// What a decoder is opened with.
#[derive(Clone, Debug)]
pub struct DecoderOptions {
    /// Which codec is accepted.
    pub codec: CodecSelector,
    /// Decoders that may stand in for the built-in ones.
    pub backends: Vec<Arc<dyn CodecBackend>>,
    /// Which of them are asked, and in which order.
    pub preference: BackendPreference,
    /// Which frames at the ends are not part of the source.
    pub gapless: GaplessMode,
    /// What becomes of samples that are no sound.
    pub floats: FloatRange,
    /// Where the memory of chunks comes from.
    pub pool: PcmPool,
    /// The watch over the thread that decodes.
    pub guard: Guard,
}

/// Any codec, the built-in decoders, what the media says of its ends, finite samples, the pool of the process, a watch that tells
/// nobody.
impl Default for DecoderOptions {
    fn default() -> Self {
        Self {
            codec: CodecSelector::Auto,
            backends: Vec::new(),
            preference: BackendPreference::default(),
            gapless: GaplessMode::default(),
            floats: FloatRange::default(),
            pool: pcm_pool().clone(),
            guard: Guard::default(),
        }
    }
}

/// Opens decoders.
#[derive(Clone, Copy, Debug)]
pub struct DecoderFactory;

impl DecoderFactory {
    /// Finds out what the bytes are and opens a decoder on them. Blocks in the byte source.
    ///
    /// The container is chosen from the bytes, then the media type, the extension and the hint of `info`.
    ///
    /// # Errors
    /// [`DecodeError::Empty`], [`DecodeError::WrongContent`] and [`DecodeError::Unsupported`] name what the bytes are;
    /// [`DecodeError::Stream`] if they cannot be read; [`DecodeError::Worker`] if a demuxer panicked or too many
    /// decoders of the process are stuck.
    pub fn open(
        bytes: Box<dyn ByteSource>,
        info: &MediaInfo,
        options: &DecoderOptions,
    ) -> Result<Box<dyn InnerDecoder>, DecodeError> {
        crate::contained::open(bytes, info, options, None)
    }

    /// The same for a run that may follow on another. If that was decoded to its end, the new one begins there by the clock of the
    /// media, and both have one codec in one configuration, the decoder goes on with what it remembers, so that they decode as
    /// one stream; if not, it opens afresh. [`InnerDecoder::continues`] tells which.
    ///
    /// # Errors
    /// The same.
    pub fn open_after(
        bytes: Box<dyn ByteSource>,
        info: &MediaInfo,
        options: &DecoderOptions,
        before: Box<dyn InnerDecoder>,
    ) -> Result<Box<dyn InnerDecoder>, DecodeError> {
        crate::contained::open(bytes, info, options, before.retire())
    }
}
