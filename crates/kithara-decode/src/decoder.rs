//! What a decode thread drives: one decoder per run.

use std::time::Duration;

use kithara_bufpool::PcmPool;
use kithara_stream::{AudioCodec, ByteSource, MediaInfo};

use crate::{
    DecodeError, Guard, Landing, MediaDuration, Notice, PcmChunk, PcmSpec, SeekMode, TrackMetadata,
};

/// Decodes one run, block by block.
///
/// Every call may block in the byte source. None is for an audio thread.
pub trait InnerDecoder: Send {
    /// The layout of every chunk; it never changes within a run.
    fn spec(&self) -> PcmSpec;

    /// Container and codec as found in the bytes, with the claims that came with the run.
    fn info(&self) -> &MediaInfo;

    /// Tags, as far as the container's reader came past them.
    fn metadata(&self) -> &TrackMetadata;

    /// How long the run is; `None` where nothing tells.
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
    /// Where the memory of chunks comes from.
    pub pool: PcmPool,
    /// The watch over the thread that decodes.
    pub guard: Guard,
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
        crate::contained::open(bytes, info, options)
    }
}
