//! How much a plan holds.

use super::HlsPlan;

/// How much an [`HlsPlan`] holds beside its playlists. None of it grows with the length of a stream, or with how long it plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holdings {
    /// The segment that is read, and those laid out in front of the reader.
    pub segments: usize,
    /// Segments behind the reader that a decoder may still stand in.
    pub passed: usize,
    /// Segments that came whole, were let go of, and are kept by no store: what a seek finds again.
    pub aside: usize,
    /// Init sections.
    pub init_sections: usize,
    /// Keys, and where those are that are still to come.
    pub keys: usize,
    /// Playlists and keys on their way.
    pub documents: usize,
    /// Variants that could not be had lately, and where.
    pub failures: usize,
    /// Segments that came and did not decode.
    pub rejections: usize,
}

impl HlsPlan {
    /// How much it holds now.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        Holdings {
            segments: self.line.items.len(),
            passed: self.line.passed.len(),
            aside: self.aside.len(),
            init_sections: self.inits.parts.len(),
            keys: self.keys.len(),
            documents: self.loads.len(),
            failures: self.gaps.len(),
            rejections: self.rejections.len(),
        }
    }
}
