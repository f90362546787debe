//! The gain that makes titles equally loud, from what their tags say.

use kithara_decode::{PcmSpec, ReplayGain};

use crate::AudioEffect;

/// What tags and a preamplifier may add up to, in decibels. No honest title needs more, and a lie must not hurt.
const LOUDEST: f32 = 20.0;
const SOFTEST: f32 = -60.0;

/// Which of a title's gains is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplayGainMode {
    /// None: every sample stays as it is.
    #[default]
    Off,
    /// That of the track, so that each track is equally loud; that of its album where only that is known.
    Track,
    /// That of the album, so that its tracks keep their differences; that of the track where only that is known.
    Album,
}

/// How far a gain may lift a title towards full scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeakGuard {
    /// The largest sample that the tags name is never lifted above full scale, and a title whose tags name none is never
    /// amplified.
    #[default]
    Strict,
    /// The largest sample that the tags name is never lifted above full scale; where they name none, as with most Opus
    /// files, the gain is applied as it is.
    WhereKnown,
    /// The gain is applied as it is.
    Off,
}

/// How the loudness tags of a title (ReplayGain 2.0, RFC 7845 §5.2.1) are applied: a constant factor, fixed at open.
///
/// Titles without such tags are left as they are. Gains that are not numbers count as missing, and so do peaks that are
/// not above zero; tag and preamplifier together do no more than 20 dB up and 60 dB down.
///
/// ```
/// use kithara_audio::{ReplayGainMode, ReplayGainOptions};
/// use kithara_decode::ReplayGain;
///
/// let tags = ReplayGain {
///     track_gain: Some(6.0),
///     track_peak: Some(0.8),
///     ..ReplayGain::default()
/// };
/// let options = ReplayGainOptions::new(ReplayGainMode::Track).with_preamp(1.0);
/// assert_eq!(options.factor(&tags), 1.0 / 0.8); // seven decibels would be 2.24
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReplayGainOptions {
    mode: ReplayGainMode,
    preamp: f32,
    guard: PeakGuard,
}

impl ReplayGainOptions {
    /// No preamplifier, [`PeakGuard::Strict`].
    pub fn new(mode: ReplayGainMode) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    /// Decibels on top of what the tags say, because their reference is softer than most music is. Default 0; what is no
    /// number is 0.
    #[must_use]
    pub fn with_preamp(mut self, decibels: f32) -> Self {
        self.preamp = if decibels.is_finite() { decibels } else { 0.0 };
        self
    }

    /// How far a title may be lifted.
    #[must_use]
    pub fn with_guard(mut self, guard: PeakGuard) -> Self {
        self.guard = guard;
        self
    }

    /// What the samples of a title with these tags are multiplied by. May be called on an audio thread.
    pub fn factor(&self, tags: &ReplayGain) -> f32 {
        let gains = [tags.track_gain, tags.album_gain].map(|gain| gain.filter(|db| db.is_finite()));
        let peaks = [tags.track_peak, tags.album_peak]
            .map(|peak| peak.filter(|peak| *peak > 0.0 && peak.is_finite()));
        let pick = |[track, album]: [Option<f32>; 2]| match self.mode {
            ReplayGainMode::Off => None,
            ReplayGainMode::Track => track.or(album),
            ReplayGainMode::Album => album.or(track),
        };
        let Some(gain) = pick(gains) else {
            return 1.0;
        };
        let decibels = (gain + self.preamp).clamp(SOFTEST, LOUDEST);
        let factor = 10.0_f32.powf(decibels / 20.0);
        match (self.guard, pick(peaks)) {
            (PeakGuard::Off, _) | (PeakGuard::WhereKnown, None) => factor,
            (_, Some(peak)) => factor.min(1.0 / peak),
            (PeakGuard::Strict, None) => factor.min(1.0),
        }
    }
}

impl From<ReplayGainMode> for ReplayGainOptions {
    fn from(mode: ReplayGainMode) -> Self {
        Self::new(mode)
    }
}

/// Multiplies every sample by a constant.
#[derive(Debug)]
pub(crate) struct Gain {
    factor: f32,
}

impl Gain {
    /// `None` if it would change nothing.
    pub(crate) fn new(factor: f32) -> Option<Self> {
        (factor != 1.0).then_some(Self { factor })
    }
}

impl AudioEffect for Gain {
    fn prepare(&mut self, _spec: PcmSpec, _max_frames: usize) {}

    fn process(&mut self, pcm: &mut [f32], _frame: u64) {
        for sample in pcm {
            *sample *= self.factor;
        }
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(track: [Option<f32>; 2], album: [Option<f32>; 2]) -> ReplayGain {
        ReplayGain {
            track_gain: track[0],
            track_peak: track[1],
            album_gain: album[0],
            album_peak: album[1],
        }
    }

    fn decibels(db: f32) -> f32 {
        10.0_f32.powf(db / 20.0)
    }

    #[test]
    fn no_guarded_title_is_lifted_above_full_scale() {
        use PeakGuard::{Off as Unguarded, Strict, WhereKnown};
        use ReplayGainMode::{Album, Off, Track};
        let none = [None, None];
        let both = tags([Some(6.0), Some(0.9)], [Some(-3.0), Some(1.2)]);
        let track = tags([Some(6.0), Some(0.25)], none);
        let album = tags(none, [Some(2.0), Some(0.9)]);
        let unpeaked = tags([Some(6.0), None], [Some(-3.0), None]);
        let louder = |db: f32| decibels(6.0 + db);
        for (mode, preamp, guard, tags, expected) in [
            // Nothing asked for, or nothing known.
            (Off, 6.0, Unguarded, both, 1.0),
            (Track, 6.0, Unguarded, ReplayGain::default(), 1.0),
            (Album, 0.0, Strict, tags(none, [None, Some(0.5)]), 1.0),
            // Each its own, or else the other's.
            (Track, 0.0, Unguarded, both, louder(0.0)),
            (Album, 0.0, Unguarded, both, decibels(-3.0)),
            (Album, 0.0, Unguarded, track, louder(0.0)),
            (Track, 0.0, Unguarded, album, decibels(2.0)),
            // Up to the peak and no further.
            (Track, 0.0, Strict, both, 1.0 / 0.9),
            (Track, 0.0, Strict, track, louder(0.0)),
            (Track, 9.0, Strict, track, 4.0),
            (Track, 0.0, Strict, album, 1.0 / 0.9),
            (Album, 0.0, Strict, both, decibels(-3.0)),
            (Album, 3.0, WhereKnown, both, 1.0 / 1.2),
            // A peak above full scale pulls down even what is not amplified.
            (Track, 0.0, Strict, tags([Some(0.0), Some(2.0)], none), 0.5),
            // Without a peak.
            (Track, 0.0, Strict, unpeaked, 1.0),
            (Track, -9.0, Strict, unpeaked, louder(-9.0)),
            (Track, 0.0, WhereKnown, unpeaked, louder(0.0)),
            (Album, 0.0, Strict, unpeaked, decibels(-3.0)),
            // Lies.
            (Track, 0.0, Strict, tags([Some(f32::NAN), None], none), 1.0),
            (
                Track,
                0.0,
                Strict,
                tags([Some(6.0), Some(f32::NAN)], none),
                1.0,
            ),
            (Track, 0.0, Strict, tags([Some(6.0), Some(0.0)], none), 1.0),
            (Track, 0.0, Strict, tags([Some(6.0), Some(-1.0)], none), 1.0),
            (Track, f32::NAN, Unguarded, track, louder(0.0)),
            (
                Track,
                f32::MAX,
                Unguarded,
                tags([Some(f32::MAX), None], none),
                decibels(20.0),
            ),
            (
                Track,
                0.0,
                Strict,
                tags([Some(900.0), Some(1e-9)], none),
                decibels(20.0),
            ),
            (
                Track,
                0.0,
                Strict,
                tags([Some(-900.0), None], none),
                decibels(-60.0),
            ),
        ] {
            let options = ReplayGainOptions::new(mode)
                .with_preamp(preamp)
                .with_guard(guard);
            let found = options.factor(&tags);
            assert!(
                (found - expected).abs() <= expected * 1e-6,
                "{options:?}, {tags:?}: {found} and not {expected}"
            );
        }
    }

    #[test]
    fn a_guarded_peak_comes_to_full_scale_at_most() {
        for step in 1_u16..2000 {
            let peak = f32::from(step) / 1000.0;
            let options = ReplayGainOptions::new(ReplayGainMode::Track).with_preamp(12.0);
            let factor = options.factor(&tags([Some(3.0), Some(peak)], [None, None]));
            assert!(factor * peak <= 1.0 + f32::EPSILON, "{peak}: {factor}");
        }
    }

    #[test]
    fn a_factor_of_one_is_no_effect() {
        assert!(Gain::new(1.0).is_none());
        let off = ReplayGainOptions::default();
        let loud = tags([Some(-9.0), Some(1.0)], [None, None]);
        assert!(Gain::new(off.factor(&loud)).is_none());
    }
}
