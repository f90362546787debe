//! A first look over a playlist: what kind it is, and what has to be known before its first segment.

use crate::error::PlaylistError;
use crate::limits::LONGEST;
use crate::lines::{Content, Lines};
use crate::value::{Seconds, seconds};

/// The two kinds of playlists (RFC 8216 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Multivariant,
    Media,
}

/// What one pass over the lines shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Survey {
    /// The kind of the first tag that belongs to one kind only.
    kind: Option<Kind>,
    pub(crate) references: usize,
    pub(crate) reference_bytes: usize,
    /// What EXT-X-TARGETDURATION says, in whole seconds, if it says something that can be.
    target: Option<u64>,
    /// The longest duration of a segment, in microseconds.
    longest: u64,
}

/// Without anything to go by.
const FALLBACK_TARGET: u64 = 10;
const MICROS: u64 = 1_000_000;

impl Survey {
    pub(crate) fn of(lines: Lines<'_>) -> Result<Self, PlaylistError> {
        let mut survey = Self::default();
        for line in lines {
            match line?.content {
                Content::Reference(text) => {
                    survey.references += 1;
                    survey.reference_bytes += text.len();
                }
                Content::Tag(name, value) => survey.handle_tag(name, &value),
            }
        }
        Ok(survey)
    }

    /// `None` for a playlist without a single entry or tag of either kind.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let plain = (self.references > 0).then_some(Kind::Media);
        self.kind.or(plain)
    }

    /// Microseconds of a target duration, and whether the playlist said so itself.
    pub(crate) fn target(&self) -> (u64, bool) {
        let longest = self.longest.div_ceil(MICROS);
        let longest = if longest == 0 {
            FALLBACK_TARGET
        } else {
            longest
        };
        (
            self.target.unwrap_or(longest) * MICROS,
            self.target.is_some(),
        )
    }

    /// Microseconds of the target duration, or of the longest segment if that, rounded, is longer.
    pub(crate) fn expected(&self) -> u64 {
        let (target, _) = self.target();
        let rounded = self.longest.saturating_add(MICROS / 2) / MICROS;
        if rounded * MICROS > target {
            self.longest.div_ceil(MICROS) * MICROS
        } else {
            target
        }
    }

    fn handle_tag(&mut self, name: &str, value: &str) {
        self.kind = self.kind.or(kind_of(name));
        let micros = |text: &str| match seconds(text.trim()) {
            Some(Seconds::Micros(micros)) if (1..=LONGEST).contains(&micros) => Some(micros),
            _ => None,
        };
        match name {
            "EXT-X-TARGETDURATION" => {
                // A fraction of a second is no integer, but no mystery either.
                self.target = micros(value).map(|micros| micros.div_ceil(MICROS));
            }
            "EXTINF" => {
                let duration = value.split(',').next().unwrap_or_default();
                self.longest = self.longest.max(micros(duration).unwrap_or(0));
            }
            _ => {}
        }
    }
}

/// The kind that a tag belongs to, if it is one only.
pub(crate) fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "EXT-X-STREAM-INF"
        | "EXT-X-I-FRAME-STREAM-INF"
        | "EXT-X-MEDIA"
        | "EXT-X-SESSION-DATA"
        | "EXT-X-SESSION-KEY"
        | "EXT-X-CONTENT-STEERING" => Kind::Multivariant,
        "EXTINF"
        | "EXT-X-TARGETDURATION"
        | "EXT-X-MEDIA-SEQUENCE"
        | "EXT-X-DISCONTINUITY-SEQUENCE"
        | "EXT-X-DISCONTINUITY"
        | "EXT-X-ENDLIST"
        | "EXT-X-PLAYLIST-TYPE"
        | "EXT-X-I-FRAMES-ONLY"
        | "EXT-X-ALLOW-CACHE"
        | "EXT-X-KEY"
        | "EXT-X-MAP"
        | "EXT-X-BYTERANGE"
        | "EXT-X-GAP"
        | "EXT-X-BITRATE"
        | "EXT-X-PROGRAM-DATE-TIME"
        | "EXT-X-DATERANGE"
        | "EXT-X-PART-INF"
        | "EXT-X-PART"
        | "EXT-X-SERVER-CONTROL"
        | "EXT-X-SKIP"
        | "EXT-X-PRELOAD-HINT"
        | "EXT-X-RENDITION-REPORT" => Kind::Media,
        _ => return None,
    })
}
