//! A factor that goes to its target in a straight line.

use std::num::NonZeroU32;
use std::time::Duration;

/// A factor for each frame to come. Pure arithmetic; it ends exactly on its target and never turns on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    target: f32,
    /// What it is away from the target, for each frame that is left.
    slope: f32,
    left: usize,
}

impl Ramp {
    pub(crate) fn steady(factor: f32) -> Self {
        Self {
            target: factor,
            slope: 0.0,
            left: 0,
        }
    }

    /// Goes to `target`, from wherever it is, within `frames`. On its way there already, it goes on.
    pub(crate) fn aim(&mut self, target: f32, frames: usize) {
        if target != self.target {
            let away = self.value() - target;
            (self.target, self.left) = (target, frames);
            self.slope = if frames > 0 {
                away / frames as f32
            } else {
                0.0
            };
        }
    }

    /// The factor of the last frame.
    pub(crate) fn value(&self) -> f32 {
        self.target + self.slope * self.left as f32
    }

    /// The factor of the next frame.
    pub(crate) fn step(&mut self) -> f32 {
        self.left = self.left.saturating_sub(1);
        self.value()
    }

    /// How many frames it takes to the target.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Shapes the next frames: interleaved samples, whole frames. What is multiplied by 1 stays bit for bit.
    pub(crate) fn apply(&mut self, pcm: &mut [f32], channels: usize) {
        let moving = self.left.min(pcm.len() / channels);
        let (moving, steady) = pcm.split_at_mut(moving * channels);
        for frame in moving.chunks_exact_mut(channels) {
            scale(frame, self.step());
        }
        scale(steady, self.target);
    }

    /// Shapes the next frames, of which each plane holds one channel.
    pub(crate) fn apply_planar(&mut self, planes: &mut [&mut [f32]], frames: usize) {
        let before = *self;
        for plane in planes {
            *self = before;
            self.apply(&mut plane[..frames], 1);
        }
    }
}

/// How many frames a time takes.
pub(crate) fn frames(time: Duration, rate: NonZeroU32) -> usize {
    let frames = time.as_nanos() * u128::from(rate.get()) / 1_000_000_000;
    usize::try_from(frames).unwrap_or(usize::MAX)
}

fn scale(pcm: &mut [f32], factor: f32) {
    if factor == 0.0 {
        pcm.fill(0.0);
    } else if factor != 1.0 {
        for sample in pcm {
            *sample *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The factors of the next frames.
    fn factors(ramp: &mut Ramp, frames: usize) -> Vec<f32> {
        let mut ones = vec![1.0; frames];
        ramp.apply(&mut ones, 1);
        ones
    }

    #[test]
    fn it_ends_exactly_on_its_target_without_a_step_or_a_turn() {
        for (from, to) in [(0.0, 1.0), (1.0, 0.0), (0.3, 0.1), (1.0, 4.0), (0.7, 0.7)] {
            for frames in [1, 2, 3, 7, 441, 480, 1920, 48_000] {
                let mut ramp = Ramp::steady(from);
                ramp.aim(to, frames);
                let mut line = vec![from];
                line.extend(factors(&mut ramp, frames + 10));
                assert!(line[frames..].iter().all(|factor| *factor == to));
                let (low, high) = if from < to { (from, to) } else { (to, from) };
                let bound = (high - low) / frames as f32 + f32::EPSILON * 4.0;
                for pair in line.windows(2) {
                    let step = (pair[1] - pair[0]) * (to - from).signum();
                    assert!((0.0..=bound).contains(&step), "{from} to {to}: {step}");
                }
            }
        }
    }

    #[test]
    fn a_new_target_is_gone_to_from_wherever_it_is() {
        let mut ramp = Ramp::steady(0.0);
        ramp.aim(1.0, 100);
        let mut line = factors(&mut ramp, 50);
        // Told again, it does not begin anew.
        ramp.aim(1.0, 100);
        line.extend(factors(&mut ramp, 10));
        assert_eq!(ramp.left(), 40);
        ramp.aim(0.0, 100);
        line.extend(factors(&mut ramp, 101));
        for pair in line.windows(2) {
            assert!((pair[1] - pair[0]).abs() <= 0.01 + f32::EPSILON);
        }
        assert_eq!(line.last(), Some(&0.0));
    }

    #[test]
    fn planes_are_shaped_as_interleaved_frames_are() {
        let mut interleaved = vec![0.5; 60];
        let (mut left, mut right) = ([0.5; 30], [0.5; 40]);
        let mut one = Ramp::steady(1.0);
        one.aim(0.25, 20);
        let mut other = one;
        one.apply(&mut interleaved, 2);
        other.apply_planar(&mut [&mut left, &mut right], 30);
        for (index, frame) in interleaved.chunks(2).enumerate() {
            assert_eq!(frame, [left[index], right[index]]);
        }
        assert_eq!(right[30..], [0.5; 10]);
        assert_eq!((one.left(), one.value()), (other.left(), other.value()));
    }

    #[test]
    fn a_factor_of_one_leaves_every_bit_and_one_of_zero_leaves_silence() {
        let odd = [-0.0, f32::NAN, f32::MIN_POSITIVE / 4.0, f32::INFINITY];
        let mut pcm = odd;
        Ramp::steady(1.0).apply(&mut pcm, 2);
        assert_eq!(pcm.map(f32::to_bits), odd.map(f32::to_bits));
        Ramp::steady(0.0).apply(&mut pcm, 2);
        assert_eq!(pcm.map(f32::to_bits), [0; 4]);
    }
}
