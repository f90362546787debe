//! Which filter converts one rate into another, how large it is, and where its frames lie. Nothing is built here.

use std::num::NonZeroU32;

use crate::ResamplerQuality;
use crate::timeline::{Moment, Speed};

/// A filter in the frequency domain is not made larger than this, in input or output frames, for the sake of a ratio
/// of large numbers: a sinc takes its place.
const LARGEST_SPREAD: u64 = 4;
/// Input frames a sinc or a polynomial takes at a time, where that yields no more than about as many output frames.
const SINC_BLOCK: u64 = 1024;
/// How many frames of silence are tried to put the filter's frames on those of the title.
const OFFSETS: i128 = 4096;

/// From which rate to which, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) from: NonZeroU32,
    pub(crate) to: NonZeroU32,
    pub(crate) speed: Speed,
}

impl Rates {
    /// Whether every frame stays as it is.
    pub(crate) fn are_same(&self) -> bool {
        self.from == self.to && self.speed.is_normal()
    }

    /// Output frames for an input frame.
    pub(crate) fn ratio(&self) -> f64 {
        f64::from(self.to.get()) / (f64::from(self.from.get()) * self.speed.factor())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Fourier,
    Sinc { points: usize, cubic: bool },
    Cubic,
}

/// A filter and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) rates: Rates,
    pub(super) filter: Filter,
    /// Input frames it takes at a time.
    pub(super) block: usize,
    /// Input frames by which what goes in comes out late, and as many it must have seen before an output frame is right.
    pub(super) delay: u64,
}

impl Plan {
    pub(super) fn new(rates: Rates, quality: ResamplerQuality) -> Self {
        let (fourier, points, cubic) = match quality {
            ResamplerQuality::Fast => return Self::cubic(rates),
            ResamplerQuality::Normal => (None, 64, false),
            ResamplerQuality::Good => (None, 128, false),
            ResamplerQuality::High => (Some(1024), 256, true),
            ResamplerQuality::Maximum => (Some(4096), 512, true),
        };
        fourier
            .and_then(|size| Self::fourier(rates, size))
            .unwrap_or(Self {
                rates,
                filter: Filter::Sinc { points, cubic },
                block: sinc_block(rates),
                delay: points as u64 / 2,
            })
    }

    fn cubic(rates: Rates) -> Self {
        Self {
            rates,
            filter: Filter::Cubic,
            block: sinc_block(rates),
            delay: 2,
        }
    }

    /// A block is a multiple of the smallest number of input frames that makes whole output frames; an even one, so that
    /// the middle of the filter is a frame.
    fn fourier(rates: Rates, size: u64) -> Option<Self> {
        let (from, to) = (u64::from(rates.from.get()), u64::from(rates.to.get()));
        let common = greatest_common_divisor(from, to);
        let (unit_in, unit_out) = (from / common, to / common);
        let smaller = unit_in.min(unit_out);
        if !rates.speed.is_normal() || 2 * smaller > LARGEST_SPREAD * size {
            return None;
        }
        let units = size.div_ceil(smaller).next_multiple_of(2);
        Some(Self {
            rates,
            filter: Filter::Fourier,
            block: usize::try_from(units * unit_in).ok()?,
            delay: units * unit_in / 2,
        })
    }

    /// Where to begin, so that an output frame lies at `wanted` if the first input frame is the frame `first` of its run:
    /// both as counted from the same moment.
    pub(super) fn begin(&self, first: u64, wanted: Moment) -> Beginning {
        let million = 1_000_000;
        let (from, to) = (
            i128::from(self.rates.from.get()),
            i128::from(self.rates.to.get()),
        );
        // Units of an input frame over `to` and a million.
        let unit = to * million;
        let place = i128::try_from(wanted.in_millionths()).unwrap_or(i128::MAX / (1 << 40));
        let ahead = place * from - i128::from(first) * unit + i128::from(self.delay) * unit;
        let step = from * i128::from(self.rates.speed.millionths());
        // A sinc or polynomial takes its first step before its first frame.
        let stepped = i128::from(self.filter != Filter::Fourier);
        // Never a frame from before the first.
        let least = (step * stepped - ahead).max(0).div_euclid(unit);
        let best = (least..=least.saturating_add(OFFSETS))
            .filter(|silence| ahead + silence * unit >= step * stepped)
            .map(|silence| (off_by(ahead + silence * unit, step), silence))
            .scan(false, |found, next| {
                (!std::mem::replace(found, next.0 == 0)).then_some(next)
            })
            .min();
        let silence = best.map_or(least, |(_, silence)| silence);
        let frames = (ahead + silence * unit + step / 2).div_euclid(step) - stepped;
        Beginning {
            silence: u64::try_from(silence).unwrap_or(0),
            dropped: u64::try_from(frames).unwrap_or(0),
        }
    }
}

/// How a conversion begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// Frames of silence put in before the first input frame.
    pub(super) silence: u64,
    /// Output frames that come before the wanted one.
    pub(super) dropped: u64,
}

/// How far `place` is from a multiple of `step`.
fn off_by(place: i128, step: i128) -> i128 {
    let rest = place.rem_euclid(step);
    rest.min(step - rest)
}

fn sinc_block(rates: Rates) -> usize {
    // At least what rubato needs to yield a frame, at most about as many output frames as input frames.
    let block = (SINC_BLOCK as f64 / rates.ratio().max(1.0)) as usize;
    block.max(64)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(from: u32, to: u32, factor: f64) -> Rates {
        let rate = |hertz| NonZeroU32::new(hertz).expect("a rate");
        Rates {
            from: rate(from),
            to: rate(to),
            speed: Speed::nearest(factor).expect("a speed"),
        }
    }

    const ALL: [ResamplerQuality; 5] = [
        ResamplerQuality::Fast,
        ResamplerQuality::Normal,
        ResamplerQuality::Good,
        ResamplerQuality::High,
        ResamplerQuality::Maximum,
    ];

    #[test]
    fn every_beginning_between_common_rates_lies_on_a_frame() {
        for (from, to) in [
            (44_100, 48_000),
            (48_000, 44_100),
            (22_050, 192_000),
            (192_000, 8_000),
        ] {
            for quality in ALL {
                let plan = Plan::new(rates(from, to, 1.0), quality);
                for wanted in [0u64, 1, 159, 48_000, 1_000_003] {
                    let exact = u128::from(wanted) * u128::from(from) / u128::from(to);
                    let first = (exact as u64).saturating_sub(plan.delay);
                    let begin = plan.begin(first, Moment::at(wanted));
                    // The dropped frames and the step they begin with are this many input frames, times `to`.
                    let stepped = u64::from(plan.filter != Filter::Fourier);
                    let passed = u128::from(begin.dropped + stepped) * u128::from(from);
                    let ahead = u128::from(wanted) * u128::from(from)
                        + u128::from(begin.silence + plan.delay) * u128::from(to)
                        - u128::from(first) * u128::from(to);
                    assert_eq!(passed, ahead, "{from} to {to}, {quality:?}, frame {wanted}");
                }
            }
        }
    }

    #[test]
    fn rates_without_a_common_measure_and_other_speeds_take_a_sinc() {
        for (rates, fourier) in [
            (rates(44_100, 48_000, 1.0), true),
            (rates(11_025, 192_000, 1.0), true),
            (rates(44_101, 48_000, 1.0), false),
            (rates(44_100, 48_000, 1.01), false),
            (rates(48_000, 48_000, 0.5), false),
        ] {
            let plan = Plan::new(rates, ResamplerQuality::High);
            assert_eq!(plan.filter == Filter::Fourier, fourier, "{rates:?}");
        }
    }

    #[test]
    fn no_rates_and_no_place_overflow() {
        for (from, to) in [
            (8_000, 768_000),
            (768_000, 8_000),
            (767_999, 768_000),
            (1, u32::MAX),
        ] {
            for quality in ALL {
                for factor in [0.25, 1.0, 4.0] {
                    let plan = Plan::new(rates(from, to, factor), quality);
                    assert!(plan.block > 0);
                    for frame in [0, 1 << 40, u64::MAX] {
                        plan.begin(frame, Moment::at(0));
                        plan.begin(0, Moment::at(frame));
                        plan.begin(frame, Moment::at(frame));
                    }
                }
            }
        }
    }
}
