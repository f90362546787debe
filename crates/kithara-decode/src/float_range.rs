//! Samples that no loudspeaker should be given.

/// What becomes of floating-point samples that are no numbers, or are beyond all measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FloatRange {
    /// What is not a number becomes 0; infinities and what exceeds a thousand times full scale become full scale, with
    /// their sign. Everything else stays as it is, also what exceeds full scale by less: that is a loud recording.
    #[default]
    Finite,
    /// Nothing: every sample is delivered as it is written.
    AsWritten,
}

/// A thousand times full scale, 60 dB above it: no recording, but a sign of damage or of another sample format.
const LARGEST: f32 = 1000.0;
/// All bits of a sample but its sign. They order samples by size, with infinity above all numbers and NaN above that.
const SIZE: u32 = 0x7FFF_FFFF;

/// Replaces what [`FloatRange::Finite`] does not let through.
pub(crate) fn tame(samples: &mut [f32]) {
    if is_tame(samples) {
        return;
    }
    for sample in samples {
        if sample.is_nan() {
            *sample = 0.0;
        } else if sample.abs() > LARGEST {
            *sample = sample.signum();
        }
    }
}

/// One pass without branches, because nearly everything is.
fn is_tame(samples: &[f32]) -> bool {
    let limit = LARGEST.to_bits();
    // The highest bit is set in a difference below zero.
    let seen = samples.iter().fold(0, |seen, sample| {
        seen | limit.wrapping_sub(sample.to_bits() & SIZE)
    });
    seen & !SIZE == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_sound_is_replaced() {
        for (sample, expected) in [
            (0.0, 0.0),
            (1.0, 1.0),
            (-7.5, -7.5),
            (1000.0, 1000.0),
            (f32::MIN_POSITIVE / 2.0, f32::MIN_POSITIVE / 2.0),
            (1000.1, 1.0),
            (-1e30, -1.0),
            (f32::INFINITY, 1.0),
            (f32::NEG_INFINITY, -1.0),
            (f32::NAN, 0.0),
            (-f32::NAN, 0.0),
        ] {
            for place in [0, 7, 99] {
                let mut samples = [0.25; 100];
                samples[place] = sample;
                tame(&mut samples);
                assert_eq!(samples[place], expected, "{sample} at {place}");
                samples[place] = 0.25;
                assert_eq!(samples, [0.25; 100], "beside {sample}");
            }
        }
    }
}
