//! Places on the timeline of a title, and how fast it goes by.
//!
//! A *title frame* is a moment of the title, counted at the output's rate: the time times that rate. At the normal speed
//! it is a frame the reader gets. At another speed the reader's frames stand further apart or closer together than the
//! title's, so a place has a fraction as well.

use std::num::NonZeroU32;
use std::time::Duration;

use kithara_decode::PcmSpec;

const MILLION: u32 = 1_000_000;
const NANOS: u128 = 1_000_000_000;

/// How fast the title goes by, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Speed(u32);

impl Speed {
    pub(crate) const NORMAL: Self = Self(MILLION);

    /// The speed closest to `factor` between a quarter and four times the normal one; none for what is not a number.
    pub(crate) fn nearest(factor: f64) -> Option<Self> {
        let millionths = (factor.clamp(0.25, 4.0) * f64::from(MILLION)).round();
        (!factor.is_nan()).then_some(Self(millionths as u32))
    }

    pub(crate) fn from_millionths(millionths: u32) -> Self {
        Self(millionths.clamp(MILLION / 4, MILLION * 4))
    }

    pub(crate) fn millionths(self) -> u32 {
        self.0
    }

    pub(crate) fn factor(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }

    pub(crate) fn is_normal(self) -> bool {
        self == Self::NORMAL
    }
}

/// What the reader gets: a layout, and how fast the title goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) spec: PcmSpec,
    pub(crate) speed: Speed,
}

impl Output {
    pub(crate) fn channels(&self) -> usize {
        usize::from(self.spec.channels.get())
    }
}

/// A place on the timeline of a title: a title frame and millionths of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    frame: u64,
    millionths: u32,
}

impl Moment {
    pub(crate) fn at(frame: u64) -> Self {
        Self {
            frame,
            millionths: 0,
        }
    }

    /// The title frame that has begun.
    pub(crate) fn frame(self) -> u64 {
        self.frame
    }

    /// The place `frames` of the reader's later. Frames wrap, as those of a damaged file may.
    pub(crate) fn after(self, frames: u64, speed: Speed) -> Self {
        if speed.is_normal() {
            return Self {
                frame: self.frame.wrapping_add(frames),
                ..self
            };
        }
        let passed = u128::from(frames) * u128::from(speed.0) + u128::from(self.millionths);
        Self {
            frame: self
                .frame
                .wrapping_add((passed / u128::from(MILLION)) as u64),
            millionths: (passed % u128::from(MILLION)) as u32,
        }
    }

    /// How far it is behind `other`, which is not after it.
    pub(crate) fn since(self, other: Self) -> Self {
        let distance = self.in_millionths().saturating_sub(other.in_millionths());
        Self {
            frame: u64::try_from(distance / u128::from(MILLION)).unwrap_or(u64::MAX),
            millionths: (distance % u128::from(MILLION)) as u32,
        }
    }

    /// How many of the reader's frames there are from here on before `end`.
    pub(crate) fn frames_before(self, end: Self, speed: Speed) -> u64 {
        let distance = end.in_millionths().saturating_sub(self.in_millionths());
        u64::try_from(distance.div_ceil(u128::from(speed.0))).unwrap_or(u64::MAX)
    }

    /// The first place at another rate that is not before this one: less than a millionth of a frame after it.
    pub(crate) fn at_rate(self, from: NonZeroU32, to: NonZeroU32) -> Self {
        if from == to {
            return self;
        }
        // Below 2^64 * 2^20 * 2^32.
        let millionths =
            (self.in_millionths() * u128::from(to.get())).div_ceil(u128::from(from.get()));
        Self {
            frame: u64::try_from(millionths / u128::from(MILLION)).unwrap_or(u64::MAX),
            millionths: (millionths % u128::from(MILLION)) as u32,
        }
    }

    /// The time at which it is, in nanoseconds.
    pub(crate) fn nanos(self, rate: NonZeroU32) -> u64 {
        let rate = u64::from(rate.get());
        let part = (self.frame % rate) * u64::from(MILLION) + u64::from(self.millionths);
        (self.frame / rate)
            .saturating_mul(1_000_000_000)
            .saturating_add(part * 1000 / rate)
    }

    pub(crate) fn time(self, rate: NonZeroU32) -> Duration {
        Duration::from_nanos(self.nanos(rate))
    }

    pub(crate) fn in_millionths(self) -> u128 {
        u128::from(self.frame) * u128::from(MILLION) + u128::from(self.millionths)
    }
}

/// The title frame nearest to the frame `frame` of a run that begins at `start` and has `from` frames a second; half a
/// frame counts as one.
pub(crate) fn title_frame(start: Duration, frame: u64, from: NonZeroU32, to: NonZeroU32) -> u64 {
    let (from, to) = (u128::from(from.get()), u128::from(to.get()));
    let moment = start
        .as_nanos()
        .checked_mul(from)
        .and_then(|start| start.checked_add(u128::from(frame) * NANOS))
        .and_then(|moment| moment.checked_mul(to));
    let Some(moment) = moment else {
        return u64::MAX;
    };
    let unit = from * NANOS;
    u64::try_from((moment + unit / 2) / unit).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(hertz: u32) -> NonZeroU32 {
        NonZeroU32::new(hertz).expect("a rate")
    }

    #[test]
    fn lengths_are_rounded_to_the_nearest_frame_without_a_float() {
        for (from, to, frames, expected) in [
            (44_100, 48_000, 44_100, 48_000),
            (44_100, 48_000, 1, 1),
            (48_000, 44_100, 1, 1),
            (96_000, 48_000, 1, 1),
            (96_000, 48_000, 3, 2),
            (192_000, 48_000, 1, 0),
            (48_000, 48_000, u64::from(u32::MAX), u64::from(u32::MAX)),
            (8_000, 768_000, 1 << 40, 96 << 40),
        ] {
            let found = title_frame(Duration::ZERO, frames, rate(from), rate(to));
            assert_eq!(found, expected, "{frames} frames from {from} to {to}");
        }
    }

    #[test]
    fn a_run_ends_where_the_next_one_begins() {
        for frames in (1..2_000_000).step_by(7919) {
            let (from, to) = (rate(44_100), rate(48_000));
            let end = title_frame(Duration::ZERO, frames, from, to);
            let next = Duration::from_nanos((frames * 1_000_000_000).div_ceil(44_100));
            assert_eq!(end, title_frame(next, 0, from, to), "after {frames}");
        }
    }

    #[test]
    fn a_place_goes_on_exactly_at_any_speed() {
        for millionths in [250_000, 333_333, 1_000_000, 1_059_463, 4_000_000] {
            let speed = Speed::from_millionths(millionths);
            let mut place = Moment::at(7);
            for _ in 0..1000 {
                place = place.after(3, speed);
            }
            assert_eq!(place, Moment::at(7).after(3000, speed));
            assert_eq!(Moment::at(7).frames_before(place, speed), 3000);
        }
    }

    #[test]
    fn a_place_is_the_same_time_at_any_rate() {
        let (from, to) = (rate(44_100), rate(48_000));
        assert_eq!(Moment::at(44_100).at_rate(from, to), Moment::at(48_000));
        assert_eq!(Moment::at(147).at_rate(from, to), Moment::at(160));
        let place = Moment::at(1).at_rate(from, to);
        assert_eq!((place.frame(), place.millionths), (1, 88_436));
        assert_eq!(place.nanos(to), 22_675);
    }

    #[test]
    fn a_speed_stays_within_its_bounds_and_what_is_no_number_is_none() {
        for (factor, expected) in [
            (1.0, 1.0),
            (0.0, 0.25),
            (-3.0, 0.25),
            (f64::INFINITY, 4.0),
            (1.25, 1.25),
        ] {
            assert_eq!(Speed::nearest(factor).map(Speed::factor), Some(expected));
        }
        assert_eq!(Speed::nearest(f64::NAN), None);
    }
}
