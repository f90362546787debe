//! How well the sample rate is converted.

/// How well the sample rate is converted. `docs/resampling.md` has the measured numbers.
///
/// Between two fixed rates the default is a filter in the frequency domain, which is the best and the cheapest but for its
/// larger look-ahead. At another speed, and between rates without a common measure, it takes a windowed
/// sinc in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResamplerQuality {
    /// Cubic interpolation, without a filter: loses treble and lets aliases through. For previews.
    Fast,
    /// A windowed sinc of 64 points.
    Normal,
    /// A windowed sinc of 128 points.
    Good,
    /// A filter of about a thousand points in the frequency domain; a windowed sinc of 256 points where that can't be.
    #[default]
    High,
    /// A filter of about four thousand points in the frequency domain; a windowed sinc of 512 points where that can't be.
    Maximum,
}
