//! What can be wrong with a playlist.

use std::fmt;

use crate::drop_reason::Dropped;

/// Why a playlist can't be played. It names lines and tags, never what they hold: that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaylistError {
    /// It is something else.
    #[error("no playlist, but {what}")]
    NotAPlaylist {
        /// What it looks like.
        what: &'static str,
    },
    /// It is larger than it may be.
    #[error("line {line}: more than {most} {limit}")]
    TooLarge {
        /// What there is too much of.
        limit: Limit,
        /// How much there may be of it.
        most: u64,
        /// Where the limit was passed, from 1 on; 0 if that is nowhere in particular.
        line: u32,
    },
    /// A tag, or a reference, that nothing can be made of and nothing can be played without.
    #[error("line {line}, {tag}: {problem}")]
    Tag {
        /// Where, from 1 on.
        line: u32,
        /// The tag's name, without `#`; `URI` for a line that is a reference.
        tag: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A variant leads to a multivariant playlist. Only media playlists may follow one.
    #[error("a multivariant playlist inside a multivariant playlist")]
    Nested,
    /// There is nothing to listen to in it.
    #[error("no variant to listen to{}", Reasons(.dropped))]
    NoVariants {
        /// What there was, and why it was left out.
        dropped: Vec<Dropped>,
    },
    /// There is no memory for it.
    #[error("no memory for {bytes} bytes of a playlist")]
    NoMemory {
        /// How many bytes could not be had.
        bytes: u64,
    },
}

/// What is wrong with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// This attribute is not there.
    Missing(&'static str),
    /// This attribute, or the value of the tag, is no such thing.
    Invalid(&'static str),
    /// A number or a sum is larger than anything can be.
    Overflow,
    /// It uses a variable that nothing defines.
    UndefinedVariable,
    /// A byte range without a start, behind no range of the same resource.
    NoRangeBefore,
    /// It is empty.
    Empty,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "no {what}"),
            Self::Invalid(what) => write!(f, "the {what} is none"),
            Self::Overflow => f.write_str("a number is too large"),
            Self::UndefinedVariable => f.write_str("a variable that nothing defines"),
            Self::NoRangeBefore => f.write_str("a range without a start, behind no other"),
            Self::Empty => f.write_str("empty"),
        }
    }
}

/// What there can be too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of the playlist.
    Bytes,
    /// Bytes of one line, before and after its variables are replaced.
    LineBytes,
    /// Bytes of references with all variables replaced.
    ReferenceBytes,
    /// Bytes of all text with its variables replaced.
    ReplacedBytes,
    /// Attributes of one tag.
    Attributes,
    /// Segments.
    Segments,
    /// Variants and renditions.
    Variants,
    /// Different keys.
    Keys,
    /// Key formats in force at once.
    KeyFormats,
    /// Different init sections.
    InitSections,
    /// Variables.
    Variables,
    /// Years of playing time.
    Years,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::LineBytes => "bytes in a line",
            Self::ReferenceBytes => "bytes of references",
            Self::ReplacedBytes => "bytes of text with variables replaced",
            Self::Attributes => "attributes",
            Self::Segments => "segments",
            Self::Variants => "variants and renditions",
            Self::Keys => "keys",
            Self::KeyFormats => "key formats at once",
            Self::InitSections => "init sections",
            Self::Variables => "variables",
            Self::Years => "years",
        })
    }
}

/// The reasons, as far as anybody reads.
struct Reasons<'a>(&'a [Dropped]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, dropped) in self.0.iter().take(4).enumerate() {
            let joint = if index == 0 { ": " } else { ", " };
            write!(f, "{joint}{}", dropped.reason)?;
        }
        if self.0.len() > 4 {
            f.write_str(", ...")
        } else {
            Ok(())
        }
    }
}
