//! The one place every block passes on its way from a decoder to the reader.
//!
//! Resampling, remixing and effects belong here: between what a run's decoder yields and the layout fixed at open.

use kithara_decode::{PcmChunk, PcmSpec};

use crate::AudioError;

/// The block in the layout `spec`, on the timeline of the title.
#[derive(Debug)]
pub(super) struct Block {
    chunk: PcmChunk,
    /// Samples at the front that were dropped or delivered.
    done: usize,
    /// The frame of the title that the first remaining sample belongs to.
    frame: u64,
}

impl Block {
    pub(super) fn frame(&self) -> u64 {
        self.frame
    }

    pub(super) fn samples(&self) -> &[f32] {
        &self.chunk.pcm[self.done..]
    }

    /// Takes whole frames off the front.
    pub(super) fn advance(&mut self, samples: usize) {
        let channels = usize::from(self.chunk.spec.channels.get());
        let samples = samples.min(self.samples().len());
        self.done += samples;
        self.frame += (samples / channels) as u64;
    }

    /// Drops what comes before `frame`.
    pub(super) fn trim_to(&mut self, frame: u64) {
        let early = frame.saturating_sub(self.frame);
        let channels = usize::from(self.chunk.spec.channels.get());
        self.advance(
            usize::try_from(early)
                .unwrap_or(usize::MAX)
                .saturating_mul(channels),
        );
    }
}

/// Brings a decoded chunk into the layout `spec`; its run begins at the frame `base` of the title.
///
/// # Errors
/// [`AudioError::SpecChanged`]: nothing is converted yet.
pub(super) fn conform(chunk: PcmChunk, spec: PcmSpec, base: u64) -> Result<Block, AudioError> {
    if chunk.spec != spec {
        return Err(AudioError::SpecChanged {
            from: spec,
            to: chunk.spec,
        });
    }
    Ok(Block {
        frame: base.saturating_add(chunk.frame),
        chunk,
        done: 0,
    })
}
