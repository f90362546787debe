//! From one number of channels to another, by the usual matrices.

use std::num::NonZeroU16;

/// Minus three decibels: what a channel gives to each of two others that share it.
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// Where a channel is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    FrontLeft,
    FrontRight,
    FrontCenter,
    LowFrequency,
    BackLeft,
    BackRight,
    BackCenter,
    SideLeft,
    SideRight,
}

use Place::{
    BackCenter, BackLeft, BackRight, FrontCenter, FrontLeft, FrontRight, LowFrequency, SideLeft,
    SideRight,
};

/// What so many channels are, in the order of WAVE files (`WAVEFORMATEXTENSIBLE`); nothing is known of other numbers.
fn places(channels: usize) -> &'static [Place] {
    match channels {
        1 => &[FrontCenter],
        2 => &[FrontLeft, FrontRight],
        3 => &[FrontLeft, FrontRight, FrontCenter],
        4 => &[FrontLeft, FrontRight, BackLeft, BackRight],
        5 => &[FrontLeft, FrontRight, FrontCenter, BackLeft, BackRight],
        6 => &[
            FrontLeft,
            FrontRight,
            FrontCenter,
            LowFrequency,
            BackLeft,
            BackRight,
        ],
        7 => &[
            FrontLeft,
            FrontRight,
            FrontCenter,
            LowFrequency,
            BackCenter,
            SideLeft,
            SideRight,
        ],
        8 => &[
            FrontLeft,
            FrontRight,
            FrontCenter,
            LowFrequency,
            BackLeft,
            BackRight,
            SideLeft,
            SideRight,
        ],
        _ => &[],
    }
}

/// How much of each input channel goes into each output channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix {
    inputs: usize,
    /// One row of `inputs` factors for each output channel.
    factors: Vec<f32>,
}

impl Matrix {
    /// From `inputs` channels to `outputs`; none if they are as many.
    ///
    /// A channel that has its place in the output goes there unchanged. One that has not is divided among the nearest, as
    /// ITU-R BS.775 and ATSC A/52 do it: the centre to left and right at -3 dB, each surround to the front of its side at
    /// -3 dB; what is below all of them (LFE) is left out. One channel goes into both of two unchanged. If that could come
    /// to more than full scale, the whole is turned down until it can't.
    pub(crate) fn between(inputs: NonZeroU16, outputs: NonZeroU16) -> Option<Self> {
        let (inputs, outputs) = (usize::from(inputs.get()), usize::from(outputs.get()));
        if inputs == outputs {
            return None;
        }
        let mut matrix = Self {
            inputs,
            factors: vec![0.0; inputs * outputs],
        };
        let (from, to) = (places(inputs), places(outputs));
        if from.is_empty() || to.is_empty() {
            for input in 0..inputs {
                matrix.add(input % outputs, input, 1.0);
            }
        } else {
            for (input, place) in from.iter().enumerate() {
                matrix.place(input, *place, 1.0, to);
            }
            if inputs == 1 && !to.contains(&FrontCenter) {
                // Unchanged into both, so that it comes back the same where two become one.
                matrix
                    .factors
                    .iter_mut()
                    .for_each(|factor| *factor = factor.ceil());
            }
        }
        matrix.turn_down();
        Some(matrix)
    }

    /// Appends the frames of `samples`, interleaved, to `out`.
    pub(crate) fn apply(&self, samples: &[f32], out: &mut Vec<f32>) {
        match (self.inputs, self.factors.as_slice()) {
            (1, [left, right]) => {
                out.extend(samples.iter().flat_map(|only| [only * left, only * right]));
            }
            (2, [left, right]) => out.extend(
                samples
                    .chunks_exact(2)
                    .map(|pair| pair[0] * left + pair[1] * right),
            ),
            _ => {
                for frame in samples.chunks_exact(self.inputs) {
                    out.extend(self.factors.chunks_exact(self.inputs).map(|row| {
                        row.iter()
                            .zip(frame)
                            .map(|(factor, sample)| factor * sample)
                            .sum::<f32>()
                    }));
                }
            }
        }
    }

    fn add(&mut self, output: usize, input: usize, factor: f32) {
        self.factors[output * self.inputs + input] += factor;
    }

    /// Gives `factor` of an input channel to where it is heard in the output.
    fn place(&mut self, input: usize, place: Place, factor: f32, to: &[Place]) {
        if let Some(output) = to.iter().position(|other| *other == place) {
            return self.add(output, input, factor);
        }
        for (nearest, share) in nearest(place, to) {
            self.place(input, *nearest, factor * share, to);
        }
    }

    /// Divides by the largest sum of a row, if that is more than one.
    fn turn_down(&mut self) {
        let largest = self
            .factors
            .chunks_exact(self.inputs)
            .map(|row| row.iter().sum::<f32>())
            .fold(1.0, f32::max);
        if largest > 1.0 {
            self.factors
                .iter_mut()
                .for_each(|factor| *factor /= largest);
        }
    }
}

/// What stands in for a place that the output `to` has not. It leads to a place of the output, or nowhere.
fn nearest(place: Place, to: &[Place]) -> &'static [(Place, f32)] {
    let has = |place| to.contains(&place);
    match place {
        // One channel is both sides, or either.
        FrontLeft | FrontRight if has(FrontCenter) => &[(FrontCenter, HALF_POWER)],
        FrontCenter => &[(FrontLeft, HALF_POWER), (FrontRight, HALF_POWER)],
        BackLeft if has(SideLeft) => &[(SideLeft, 1.0)],
        BackRight if has(SideRight) => &[(SideRight, 1.0)],
        SideLeft if has(BackLeft) => &[(BackLeft, 1.0)],
        SideRight if has(BackRight) => &[(BackRight, 1.0)],
        BackLeft | SideLeft => &[(FrontLeft, HALF_POWER)],
        BackRight | SideRight => &[(FrontRight, HALF_POWER)],
        BackCenter => &[(BackLeft, HALF_POWER), (BackRight, HALF_POWER)],
        LowFrequency | FrontLeft | FrontRight => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(inputs: u16, outputs: u16) -> Matrix {
        let count = |channels| NonZeroU16::new(channels).expect("channels");
        Matrix::between(count(inputs), count(outputs)).expect("a matrix")
    }

    fn remix(frame: &[f32], outputs: u16) -> Vec<f32> {
        let mut out = Vec::new();
        matrix(frame.len() as u16, outputs).apply(frame, &mut out);
        out
    }

    fn check(frame: &[f32], expected: &[f32]) {
        let found = remix(frame, expected.len() as u16);
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
        assert!(
            found.iter().zip(expected).all(near),
            "{frame:?} became {found:?}, not {expected:?}"
        );
    }

    #[test]
    fn channels_go_where_the_standards_put_them() {
        let half = HALF_POWER;
        check(&[0.5], &[0.5, 0.5]);
        check(&[0.6, 0.2], &[0.4]);
        check(&[0.5], &[0.0, 0.0, 0.5, 0.0, 0.0, 0.0]);
        check(&[0.1, 0.2], &[0.1, 0.2, 0.0, 0.0, 0.0, 0.0]);
        check(&[0.1, 0.2], &[0.1, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        // 5.1 to stereo: the front, the centre and the surround of a side, and no LFE.
        let sum = 1.0 + 2.0 * half;
        check(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0], &[1.0 / sum, 0.0]);
        check(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], &[half / sum; 2]);
        check(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0], &[0.0, 0.0]);
        check(&[0.0, 0.0, 0.0, 0.0, 0.0, 1.0], &[0.0, half / sum]);
        check(
            &[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
            &[half / (1.0 + 3.0 * half); 2],
        );
        // 5.1 to one: BS.775 has 0.7071, 1 and 0.5.
        let sum = 2.0 + 2.0 * half;
        check(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0], &[half / sum]);
        check(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], &[1.0 / sum]);
        check(&[0.0, 0.0, 0.0, 0.0, 1.0, 0.0], &[0.5 / sum]);
        // Seven and eight to six: what is at the side joins what is at the back.
        check(
            &[0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.5, 0.0],
            &[0.0, 0.0, 0.0, 0.25, 0.25, 0.0],
        );
        // Four to two.
        check(&[0.0, 0.0, 1.0, 0.0], &[half / (1.0 + half), 0.0]);
    }

    #[test]
    fn no_number_of_channels_can_exceed_full_scale_or_lose_a_front_channel() {
        for inputs in 1..=32 {
            for outputs in (1..=32).filter(|outputs| *outputs != inputs) {
                let matrix = matrix(inputs, outputs);
                let mut out = Vec::new();
                matrix.apply(&vec![1.0; usize::from(inputs) * 3], &mut out);
                assert_eq!(out.len(), usize::from(outputs) * 3);
                let loudest = out
                    .iter()
                    .fold(0.0f32, |loudest, sample| loudest.max(*sample));
                assert!(
                    (0.0..=1.0 + 1e-6).contains(&loudest),
                    "{inputs} to {outputs}"
                );
                let first = matrix
                    .factors
                    .chunks_exact(matrix.inputs)
                    .any(|row| row[0] > 0.0);
                assert!(first, "{inputs} to {outputs}");
            }
        }
    }

    #[test]
    fn as_many_channels_stay_as_they_are() {
        assert_eq!(Matrix::between(NonZeroU16::MIN, NonZeroU16::MIN), None);
    }
}
