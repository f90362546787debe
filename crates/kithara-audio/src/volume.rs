//! How loud a title is handed out.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use std::num::NonZeroU32;

use crate::ramp::{Ramp, frames};

/// How long a change of volume takes.
const RAMP: Duration = Duration::from_millis(10);

/// The loudest there is, about 24 decibels.
const LOUDEST: f32 = 16.0;

/// What controls want: set and read from any thread.
#[derive(Debug)]
pub(crate) struct Loudness {
    /// The bits of a number between 0 and [`LOUDEST`].
    volume: AtomicU32,
    muted: AtomicBool,
}

impl Default for Loudness {
    fn default() -> Self {
        Self {
            volume: AtomicU32::new(1.0_f32.to_bits()),
            muted: AtomicBool::new(false),
        }
    }
}

impl Loudness {
    /// What is no number is silence, which hurts nobody.
    pub(crate) fn set_volume(&self, volume: f32) {
        let volume = if volume.is_nan() { 0.0 } else { volume };
        let volume = volume.clamp(0.0, LOUDEST);
        self.volume.store(volume.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn volume(&self) -> f32 {
        f32::from_bits(self.volume.load(Ordering::Relaxed))
    }

    pub(crate) fn set_muted(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    pub(crate) fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }

    /// What samples are multiplied by.
    fn factor(&self) -> f32 {
        if self.is_muted() { 0.0 } else { self.volume() }
    }
}

/// What the reader does about it: follows in ramps, so that no change is a step.
#[derive(Debug)]
pub(crate) struct Volume {
    ramp: Ramp,
    frames: usize,
    /// Nothing was handed out from which a change would be a step.
    silent: bool,
}

impl Volume {
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        Self {
            ramp: Ramp::steady(1.0),
            frames: frames(RAMP, rate),
            silent: true,
        }
    }

    /// What follows has another rate.
    pub(crate) fn set_rate(&mut self, rate: NonZeroU32) {
        self.frames = frames(RAMP, rate);
    }

    /// What follows comes out of silence: it begins with the volume it is to have.
    pub(crate) fn silence(&mut self) {
        self.silent = true;
    }

    /// Shapes the next frames, interleaved. Costs two loads at full volume, and leaves every bit as it is.
    pub(crate) fn apply(&mut self, wanted: &Loudness, pcm: &mut [f32], channels: usize) {
        self.aim(wanted);
        self.ramp.apply(pcm, channels);
    }

    /// Shapes the next frames, of which each plane holds one channel.
    pub(crate) fn apply_planar(
        &mut self,
        wanted: &Loudness,
        planes: &mut [&mut [f32]],
        frames: usize,
    ) {
        self.aim(wanted);
        self.ramp.apply_planar(planes, frames);
    }

    fn aim(&mut self, wanted: &Loudness) {
        let factor = wanted.factor();
        if std::mem::take(&mut self.silent) {
            self.ramp = Ramp::steady(factor);
        } else {
            self.ramp.aim(factor, self.frames);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        Volume::new(NonZeroU32::new(48_000).unwrap())
    }

    #[test]
    fn only_what_is_a_sane_volume_is_kept() {
        let wanted = Loudness::default();
        for (set, kept) in [
            (0.5, 0.5),
            (0.0, 0.0),
            (-0.0, 0.0),
            (-1.0, 0.0),
            (2.0, 2.0),
            (1e9, LOUDEST),
            (f32::INFINITY, LOUDEST),
            (f32::NEG_INFINITY, 0.0),
            (f32::NAN, 0.0),
        ] {
            wanted.set_volume(set);
            assert_eq!(wanted.volume(), kept, "{set}");
        }
    }

    #[test]
    fn a_change_takes_ten_milliseconds_and_one_out_of_silence_none() {
        let (mut volume, wanted) = (volume(), Loudness::default());
        wanted.set_volume(0.5);
        let mut pcm = [1.0; 1000];
        volume.apply(&wanted, &mut pcm, 1);
        assert_eq!(pcm, [0.5; 1000]);
        wanted.set_muted(true);
        let mut pcm = [1.0; 1000];
        volume.apply(&wanted, &mut pcm, 1);
        assert!(pcm[478] > 0.0 && pcm[479..].iter().all(|sample| *sample == 0.0));
        wanted.set_muted(false);
        volume.silence();
        let mut pcm = [1.0; 1000];
        volume.apply(&wanted, &mut pcm, 1);
        assert_eq!(pcm, [0.5; 1000]);
    }
}
