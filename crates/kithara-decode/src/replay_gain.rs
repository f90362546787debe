//! How loud a title is, as its tags say.

/// How much louder or softer a title is to be played, as its tags say. Gains are in decibels, relative to the loudness
/// ReplayGain 2.0 aims at (-18 LUFS); those of R128 tags (RFC 7845 §5.2.1, -23 LUFS) are converted. Peaks are linear, 1.0 is
/// full scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReplayGain {
    /// For the track by itself.
    pub track_gain: Option<f32>,
    /// The largest sample of the track.
    pub track_peak: Option<f32>,
    /// For the track as part of its album.
    pub album_gain: Option<f32>,
    /// The largest sample of the album.
    pub album_peak: Option<f32>,
}
