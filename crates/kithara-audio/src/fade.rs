//! What keeps the real-time edge free of clicks: sound neither begins nor stops in a step.
//!
//! What begins in the middle of a title fades in. What a pause ends fades out, in frames of its own. What is cut off without
//! such frames, by a seek or because nothing is there, fades out by its last frame alone, which is held and let die away.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::ramp::{Ramp, frames};

/// How many channels have a last frame that can be held: all that a decoder yields.
const CHANNELS: usize = 32;

/// The fades of what `try_read` hands out.
#[derive(Debug)]
pub(crate) struct Fades {
    /// How long one takes; nothing for none.
    length: Duration,
    /// The same in frames.
    frames: usize,
    gain: Ramp,
    /// The last that was handed out was a frame, and one that is heard.
    sounding: bool,
    /// It.
    last: [f32; CHANNELS],
    /// What dies away: a frame that was the last before a cut, and how loud it still is.
    tail: [f32; CHANNELS],
    decay: Ramp,
}

impl Fades {
    pub(crate) fn new(rate: NonZeroU32, length: Duration) -> Self {
        Self {
            length,
            frames: frames(length, rate),
            gain: Ramp::steady(0.0),
            sounding: false,
            last: [0.0; CHANNELS],
            tail: [0.0; CHANNELS],
            decay: Ramp::steady(0.0),
        }
    }

    /// What follows has another rate.
    pub(crate) fn set_rate(&mut self, rate: NonZeroU32) {
        self.frames = frames(self.length, rate);
    }

    /// Whether what follows is heard as the continuation of something.
    pub(crate) fn is_sounding(&self) -> bool {
        self.sounding
    }

    /// Whether a pause has something to fade out.
    pub(crate) fn outlasts_pause(&self) -> bool {
        self.sounding && self.frames > 0
    }

    /// How many of the next `frames` are to be handed out, before they are [shaped](Self::shape). `first` if they begin
    /// the title: there it is the music that begins, and nothing is added to that.
    pub(crate) fn begin(&mut self, frames: usize, paused: bool, first: bool) -> usize {
        if self.frames == 0 {
            return frames;
        }
        if paused && self.sounding {
            self.gain.aim(0.0, self.frames);
            return frames.min(self.gain.left());
        }
        if !self.sounding {
            self.gain = Ramp::steady(if first { 1.0 } else { 0.0 });
        }
        self.gain.aim(1.0, self.frames);
        frames
    }

    /// Shapes the next frames, interleaved, at least one.
    pub(crate) fn shape(&mut self, pcm: &mut [f32], channels: usize) {
        self.sounding = true;
        if self.frames == 0 {
            return;
        }
        self.gain.apply(pcm, channels);
        self.add_tail(pcm, channels);
        // Faded out by a pause.
        self.sounding = self.gain.left() > 0 || self.gain.value() > 0.0;
        let last = &pcm[pcm.len() - channels..];
        for (kept, sample) in self.last.iter_mut().zip(last) {
            *kept = *sample;
        }
    }

    /// What was handed out last is not continued.
    pub(crate) fn cut(&mut self) {
        if std::mem::take(&mut self.sounding) && self.frames > 0 {
            self.tail = self.last;
            self.decay = Ramp::steady(1.0);
            self.decay.aim(0.0, self.frames);
        }
    }

    /// Fills what no frame is there for. Where the title `ended` by itself nothing was cut off.
    pub(crate) fn silence(&mut self, out: &mut [f32], channels: usize, ended: bool) {
        out.fill(0.0);
        if out.len() < channels {
            return;
        }
        if ended {
            self.sounding = false;
        }
        self.cut();
        self.add_tail(out, channels);
    }

    /// Frames were read by somebody who wants every sample as it is. What follows them goes on as it is.
    pub(crate) fn stand_aside(&mut self) {
        self.sounding = true;
        self.last = [0.0; CHANNELS];
        self.gain = Ramp::steady(1.0);
        self.decay = Ramp::steady(0.0);
    }

    fn add_tail(&mut self, pcm: &mut [f32], channels: usize) {
        let frames = self.decay.left().min(pcm.len() / channels);
        for frame in pcm.chunks_exact_mut(channels).take(frames) {
            let level = self.decay.step();
            for (sample, tail) in frame.iter_mut().zip(&self.tail) {
                *sample += tail * level;
            }
        }
    }
}
