//! How large a playlist may be.

/// Limits on one playlist. Each of them, passed, is [`PlaylistError::TooLarge`](crate::PlaylistError::TooLarge).
///
/// What is set above a hard ceiling counts as the ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaylistLimits {
    /// Bytes after any content encoding. 4 MiB, at most 64 MiB. The references, with their variables replaced, take no more
    /// than that either.
    pub bytes: usize,
    /// Segments. 100,000, at most 1,000,000.
    pub segments: usize,
    /// Variants and renditions together. 256, at most 4,096.
    pub variants: usize,
    /// Different keys, and different init sections. 4,096, at most 65,000.
    pub keys: usize,
}

/// Bytes of one line.
pub(crate) const LINE_BYTES: usize = 64 * 1024;
/// Attributes of one tag.
pub(crate) const ATTRIBUTES: usize = 64;
/// Key formats in force at once.
pub(crate) const KEY_FORMATS: usize = 8;
/// Variables of one playlist.
pub(crate) const VARIABLES: usize = 256;
/// Date ranges and session data that are kept; further ones are noted and let go.
pub(crate) const KEPT: usize = 1_000;
/// Playing time.
pub(crate) const YEARS: u64 = 10;
/// In microseconds.
pub(crate) const LONGEST: u64 = YEARS * 366 * 24 * 3600 * 1_000_000;

impl Default for PlaylistLimits {
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            segments: 100_000,
            variants: 256,
            keys: 4_096,
        }
    }
}

impl PlaylistLimits {
    /// No more than the hard ceilings.
    pub(crate) fn capped(self) -> Self {
        Self {
            bytes: self.bytes.min(64 << 20),
            segments: self.segments.min(1_000_000),
            variants: self.variants.min(4_096),
            keys: self.keys.min(65_000),
        }
    }
}
