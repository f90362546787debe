//! What was odd about a playlist that plays all the same.

/// The most that are kept of one playlist.
const MOST: usize = 64;

/// Something odd, and where. For the listener's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PlaylistNote {
    /// From 1 on.
    pub line: u32,
    /// What.
    pub oddity: Oddity,
}

/// What can be odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Oddity {
    /// A duration that is negative: the entry has no end that anybody knows, and counts as one target duration.
    NegativeDuration,
    /// A duration that is no number, or none at all: it counts as one target duration.
    NoDuration,
    /// A target duration that is none: the longest segment stands in for it.
    NoTargetDuration,
    /// A version that this library has not heard of.
    Version,
    /// A key in a format of some other system.
    KeyFormat,
    /// A date that is none.
    Date,
    /// A date range, or session data, without what it needs, or one too many.
    Data,
    /// A discontinuity sequence that is no number.
    DiscontinuitySequence,
    /// A start that is no number.
    Start,
    /// A rendition without what it needs.
    Rendition,
    /// A reference behind no tag that says what it is, in a multivariant playlist.
    StrayReference,
    /// A tag of the other kind of playlist.
    OtherKind,
    /// A segment list with some left out, which nobody has asked for.
    Skipped,
}

/// A bounded list of notes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    kept: Vec<PlaylistNote>,
    more: usize,
}

impl Notes {
    pub(crate) fn add(&mut self, line: u32, oddity: Oddity) {
        if self.kept.len() < MOST {
            self.kept.push(PlaylistNote { line, oddity });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn kept(&self) -> &[PlaylistNote] {
        &self.kept
    }

    pub(crate) fn more(&self) -> usize {
        self.more
    }
}
