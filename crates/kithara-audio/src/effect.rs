//! What changes the sound on its way to the reader.

use std::fmt;
use std::sync::Arc;

use kithara_decode::PcmSpec;
use parking_lot::Mutex;

use crate::gain::Gain;
use crate::timeline::{Moment, Speed};

/// The longest block an effect is given, in frames.
const MAX_FRAMES: usize = 4096;

/// Changes the samples of a title before they are queued for the reader: a filter, an equaliser, a meter.
///
/// The effects of a title are called by its decode thread, one after another in the order in which they were given, and
/// dropped there. They see what is decoded, in the layout the reader gets, once: **ahead of the playhead** by whatever is
/// buffered, two seconds by default. So what a user turns is heard that much later; what must be heard at once is the
/// [volume](crate::AudioControl::set_volume).
///
/// An effect gives back as many frames as it is given, so it cannot delay the end, and a delay of its own shifts the sound
/// against [`position`](crate::AudioControl::position). It may take locks, but each time it waits is time the buffer drains;
/// if it keeps to what it was told in [`prepare`](Self::prepare), it need not allocate either. A panic in it ends its
/// title with [`AudioError::Worker`](crate::AudioError::Worker), and no other.
///
/// ```
/// use kithara_audio::{AudioConfig, AudioEffect};
/// use kithara_decode::PcmSpec;
///
/// /// Lets through what is lower than `hertz`, six decibels an octave.
/// struct LowPass {
///     hertz: f32,
///     share: f32,
///     last: Vec<f32>,
/// }
///
/// impl AudioEffect for LowPass {
///     fn prepare(&mut self, spec: PcmSpec, _max_frames: usize) {
///         let step = std::f32::consts::TAU * self.hertz / spec.sample_rate.get() as f32;
///         self.share = step / (step + 1.0);
///         self.last.clear();
///         self.last.resize(usize::from(spec.channels.get()), 0.0);
///     }
///
///     fn process(&mut self, pcm: &mut [f32], _frame: u64) {
///         for frame in pcm.chunks_exact_mut(self.last.len()) {
///             for (sample, last) in frame.iter_mut().zip(&mut self.last) {
///                 *last += self.share * (*sample - *last);
///                 *sample = *last;
///             }
///         }
///     }
///
///     fn reset(&mut self) {
///         self.last.fill(0.0);
///     }
/// }
///
/// let filter = LowPass { hertz: 200.0, share: 1.0, last: Vec::new() };
/// let config = AudioConfig::new().with_effect(Box::new(filter));
/// # let _ = config;
/// ```
pub trait AudioEffect: Send {
    /// Told before the first block, and again before the first of another layout, which follows none: the layout of the
    /// blocks, and how many frames one holds at most. What memory the effect needs, it takes here.
    fn prepare(&mut self, spec: PcmSpec, max_frames: usize);

    /// Changes a block in place: interleaved samples, whole frames, at least one. Without a [`reset`](Self::reset) in
    /// between it follows the block before it without a gap in what is heard. `frame` is its first frame's place in the
    /// title, counted at the rate of the layout; at another [speed](crate::AudioControl::set_speed) than the title's a block
    /// takes more or less of the title than it has frames.
    fn process(&mut self, pcm: &mut [f32], frame: u64);

    /// What was given before is not followed by what comes: somebody sought, or changed the speed. Forget it.
    fn reset(&mut self);
}

/// Where an effect waits for its title to be opened.
// A lock because neither who opens nor the decode thread is an audio thread.
type Place = Arc<Mutex<Option<Box<dyn AudioEffect>>>>;

/// The effects of a title that is not open yet. Clones share them, but not what is added later.
#[derive(Clone, Default)]
pub(crate) struct Effects {
    places: Vec<Place>,
}

/// An effect that serves a title.
struct Serving {
    effect: Box<dyn AudioEffect>,
    place: Place,
}

impl Effects {
    pub(crate) fn add(&mut self, effect: Box<dyn AudioEffect>) {
        self.places.push(Arc::new(Mutex::new(Some(effect))));
    }

    fn take(&self) -> Vec<Serving> {
        let serve = |place: &Place| {
            let effect = place.lock().take()?;
            let place = Arc::clone(place);
            Some(Serving { effect, place })
        };
        self.places.iter().filter_map(serve).collect()
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} effects", self.places.len())
    }
}

/// What every block passes once it has the layout of the reader.
pub(crate) struct Chain {
    /// Comes first, so that effects see titles that are equally loud.
    gain: Option<Gain>,
    effects: Vec<Serving>,
    /// That of the blocks, once it is known.
    spec: Option<PcmSpec>,
}

impl Chain {
    /// Takes the effects: they serve one title.
    pub(crate) fn new(gain: Option<Gain>, effects: &Effects) -> Self {
        Self {
            gain,
            effects: effects.take(),
            spec: None,
        }
    }

    /// Whether blocks may go by as they are.
    pub(crate) fn is_empty(&self) -> bool {
        self.gain.is_none() && self.effects.is_empty()
    }

    /// The layout of the blocks to come.
    pub(crate) fn prepare(&mut self, spec: PcmSpec) {
        self.spec = Some(spec);
        self.each(|effect| effect.prepare(spec, MAX_FRAMES));
    }

    /// What comes does not follow what was given before, and may be of another layout.
    pub(crate) fn restart(&mut self, spec: PcmSpec) {
        if self.spec == Some(spec) {
            self.each(|effect| effect.reset());
        } else {
            self.prepare(spec);
        }
    }

    /// A block of any size, interleaved, that begins at `place`.
    pub(crate) fn process(&mut self, pcm: &mut [f32], mut place: Moment, speed: Speed) {
        let Some(spec) = self.spec.filter(|_| !self.is_empty()) else {
            return;
        };
        let size = MAX_FRAMES * usize::from(spec.channels.get());
        for part in pcm.chunks_mut(size) {
            self.each(|effect| effect.process(part, place.frame()));
            place = place.after(MAX_FRAMES as u64, speed);
        }
    }

    /// The title could not be opened: the effects wait for another attempt.
    pub(crate) fn give_back(self) {
        for Serving { effect, place } in self.effects {
            *place.lock() = Some(effect);
        }
    }

    fn each(&mut self, mut part: impl FnMut(&mut dyn AudioEffect)) {
        if let Some(gain) = &mut self.gain {
            part(gain);
        }
        for serving in &mut self.effects {
            part(&mut *serving.effect);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};

    use super::*;

    /// Checks that blocks follow each other and are no longer than promised; adds what it is told.
    struct Watcher {
        adds: f32,
        max: usize,
        next: Option<u64>,
    }

    impl AudioEffect for Watcher {
        fn prepare(&mut self, spec: PcmSpec, max_frames: usize) {
            self.max = max_frames * usize::from(spec.channels.get());
        }

        fn process(&mut self, pcm: &mut [f32], frame: u64) {
            assert!(!pcm.is_empty() && pcm.len() <= self.max && pcm.len().is_multiple_of(2));
            assert!(self.next.is_none_or(|next| next == frame));
            self.next = Some(frame + pcm.len() as u64 / 2);
            pcm.iter_mut().for_each(|sample| *sample += self.adds);
        }

        fn reset(&mut self) {
            self.next = None;
        }
    }

    #[test]
    fn a_block_of_any_size_passes_every_effect_in_order_and_in_bounded_pieces() {
        let watcher = |adds| -> Box<dyn AudioEffect> {
            Box::new(Watcher {
                adds,
                max: 0,
                next: None,
            })
        };
        let mut effects = Effects::default();
        effects.add(watcher(1.0));
        let clone = effects.clone();
        effects.add(watcher(0.25));
        let mut chain = Chain::new(Gain::new(2.0), &effects);
        let spec = PcmSpec {
            sample_rate: NonZeroU32::MIN,
            channels: NonZeroU16::new(2).unwrap(),
        };
        chain.prepare(spec);
        let mut frame = 7;
        for frames in [1, MAX_FRAMES, MAX_FRAMES + 1, 3 * MAX_FRAMES - 5, 0, 2] {
            let mut pcm = vec![3.0; frames * 2];
            chain.process(&mut pcm, Moment::at(frame), Speed::NORMAL);
            assert!(pcm.iter().all(|sample| *sample == 3.0 * 2.0 + 1.25));
            frame += frames as u64;
        }
        chain.restart(spec);
        chain.process(&mut [0.0; 2], Moment::at(1 << 40), Speed::NORMAL);
        assert!(Chain::new(None, &effects).effects.is_empty(), "they serve");
        chain.give_back();
        assert_eq!(Chain::new(None, &clone).effects.len(), 1);
        assert_eq!(Chain::new(None, &effects).effects.len(), 1);
    }
}
