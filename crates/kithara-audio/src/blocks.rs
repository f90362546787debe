//! Audio as a sequence of blocks.

use kithara_decode::PcmChunk;

use crate::{Audio, AudioError, PcmReader};

/// How many frames a block holds, except the last before an end, an error or a seek.
const BLOCK_FRAMES: usize = 4096;

/// The rest of a title, block by block; see [`Audio::blocks`].
#[derive(Debug)]
pub struct Blocks<'a> {
    audio: &'a mut Audio,
    failed: bool,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(audio: &'a mut Audio) -> Self {
        Self {
            audio,
            failed: false,
        }
    }

    fn block(&mut self) -> Result<Option<PcmChunk>, AudioError> {
        let channels = usize::from(self.audio.spec().channels.get());
        let mut pcm = self.audio.pool().get_owned();
        let samples = BLOCK_FRAMES * channels;
        // As many as the input has channels.
        pcm.clear();
        pcm.try_reserve(samples)
            .map_err(|error| AudioError::no_memory(&error))?;
        pcm.resize(samples, 0.0);
        let samples = self.audio.read(&mut pcm)?;
        pcm.truncate(samples);
        // The read may have gone over to another layout, or to another place: it tells afterwards.
        let (spec, frame) = (self.audio.spec(), self.audio.began());
        Ok((samples > 0).then_some(PcmChunk { pcm, spec, frame }))
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<PcmChunk, AudioError>;

    /// Blocks until there is a block. After an error, `None`.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let block = self.block().transpose();
        self.failed = matches!(block, Some(Err(_)));
        block
    }
}
