//! Why a variant is not offered.

use std::fmt;

use crate::text::Shown;

/// A variant that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Dropped {
    /// The line of its tag, from 1 on.
    pub line: u32,
    /// Why.
    pub reason: DropReason,
}

impl Dropped {
    pub(crate) fn new(line: u32, reason: DropReason) -> Self {
        Self { line, reason }
    }
}

/// Why a variant is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It has pictures and no sound.
    VideoOnly,
    /// It has single pictures for fast winding.
    IFramesOnly,
    /// It carries pictures along with its sound, and others carry the sound alone.
    CarriesVideo,
    /// No reference follows its tag, or an empty one.
    NoReference,
    /// Its bandwidth is none.
    Bandwidth,
    /// Its audio is in a group of renditions that isn't there.
    GroupMissing,
    /// All its audio is of a codec that this library can't decode.
    Codec(String),
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VideoOnly => f.write_str("video only"),
            Self::IFramesOnly => f.write_str("I-frames only"),
            Self::CarriesVideo => f.write_str("with video, where others have none"),
            Self::NoReference => f.write_str("no reference"),
            Self::Bandwidth => f.write_str("no bandwidth"),
            Self::GroupMissing => f.write_str("no such group of renditions"),
            Self::Codec(codec) => write!(f, "the codec {} is not supported", Shown(codec)),
        }
    }
}
