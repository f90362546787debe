//! Reads media playlists (RFC 8216 §4.3.2, §4.3.3): what each tag does to the segments behind it.

use std::ops::Range;
use std::time::Duration;

use crate::attributes::Tag;
use crate::data::DateRange;
use crate::date::ProgramTime;
use crate::error::{Limit, PlaylistError, Problem};
use crate::limits::{KEPT, LONGEST, PlaylistLimits};
use crate::lines::{Content, Lines};
use crate::media::{Facts, MediaPlaylist, PlaylistType, Start};
use crate::note::Oddity;
use crate::playlist::ParseContext;
use crate::protection::Keeper;
use crate::segments::{Flags, New, Segments};
use crate::survey::{Kind, Survey, kind_of};
use crate::value::{Seconds, byte_range, duration, integer, seconds};
use crate::variables::{Definitions, Variables};

/// The newest version of the protocol whose tags were looked at.
const NEWEST: u64 = 12;

/// What the tags so far say about the next segment.
#[derive(Debug, Default)]
struct Next {
    duration: Option<Length>,
    /// The length of a range, its start if that is said, and the line.
    range: Option<(u64, Option<u64>, u32)>,
    discontinuity: bool,
    gap: bool,
    time: Option<ProgramTime>,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Micros(u64),
    Unbounded,
    Unknown,
}

#[derive(Debug)]
pub(crate) struct MediaReader<'a> {
    context: &'a ParseContext<'a>,
    limits: PlaylistLimits,
    variables: Definitions,
    keeper: Keeper,
    segments: Segments,
    facts: Facts,
    next: Next,
}

impl<'a> MediaReader<'a> {
    pub(crate) fn read(
        lines: Lines<'_>,
        survey: &Survey,
        context: &'a ParseContext<'a>,
    ) -> Result<MediaPlaylist, PlaylistError> {
        let limits = context.limits;
        let (count, text) = (survey.references, survey.reference_bytes);
        let (target_micros, told) = survey.target();
        let mut reader = Self {
            context,
            limits,
            variables: Definitions::new(limits.bytes),
            keeper: Keeper::new(limits.keys),
            segments: Segments::with_room(count.min(limits.segments), text.min(limits.bytes))?,
            facts: Facts {
                version: 1,
                target_micros,
                expected_micros: survey.expected(),
                ..Facts::default()
            },
            next: Next::default(),
        };
        if !told {
            reader.facts.notes.add(0, Oddity::NoTargetDuration);
        }
        for line in lines {
            let line = line?;
            match line.content {
                Content::Reference(text) => reader.handle_reference(line.number, &text)?,
                Content::Tag(name, value) => reader.handle_tag(line.number, name, &value)?,
            }
        }
        reader.finish()
    }

    fn finish(mut self) -> Result<MediaPlaylist, PlaylistError> {
        // Both are counted on from numbers that the server chose.
        let count = self.segments.entries().len() as u64;
        let jumps = self.segments.discontinuities() as u64;
        for (first, more, tag) in [
            (self.facts.media_sequence, count, "EXT-X-MEDIA-SEQUENCE"),
            (
                self.facts.discontinuity_sequence,
                jumps,
                "EXT-X-DISCONTINUITY-SEQUENCE",
            ),
        ] {
            let problem = Problem::Overflow;
            let overflow = PlaylistError::Tag {
                line: 0,
                tag,
                problem,
            };
            first.checked_add(more).ok_or(overflow)?;
        }
        self.segments.shrink();
        let shelf = self.keeper.into_shelf();
        Ok(MediaPlaylist::new(self.facts, self.segments, shelf))
    }

    fn handle_tag(&mut self, line: u32, name: &str, value: &str) -> Result<(), PlaylistError> {
        match name {
            "EXTINF" => self.next.duration = Some(length(value)),
            "EXT-X-BYTERANGE" => self.handle_range(line, value)?,
            "EXT-X-DISCONTINUITY" => {
                self.next.discontinuity = true;
                self.segments.discontinue()?;
            }
            "EXT-X-GAP" => self.next.gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => {
                self.next.time = ProgramTime::parse(value).or(self.next.time);
                if self.next.time.is_none() {
                    self.facts.notes.add(line, Oddity::Date);
                }
            }
            "EXT-X-KEY"
            | "EXT-X-MAP"
            | "EXT-X-DATERANGE"
            | "EXT-X-START"
            | "EXT-X-SERVER-CONTROL"
            | "EXT-X-SKIP"
            | "EXT-X-DEFINE" => {
                self.handle_attributes(line, name, value)?;
            }
            _ => self.handle_header(line, name, value)?,
        }
        Ok(())
    }

    /// Tags about the playlist as a whole.
    fn handle_header(&mut self, line: u32, name: &str, value: &str) -> Result<(), PlaylistError> {
        let facts = &mut self.facts;
        match name {
            "EXT-X-MEDIA-SEQUENCE" => {
                let problem = Problem::Invalid("number");
                let tag = "EXT-X-MEDIA-SEQUENCE";
                let invalid = PlaylistError::Tag { line, tag, problem };
                // Vectors are made of it, so that it is not guessed.
                facts.media_sequence = integer(value).ok_or(invalid)?;
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => match integer(value) {
                Some(number) => facts.discontinuity_sequence = number,
                None => facts.notes.add(line, Oddity::DiscontinuitySequence),
            },
            "EXT-X-PLAYLIST-TYPE" if value.eq_ignore_ascii_case("VOD") => {
                facts.playlist_type = Some(PlaylistType::Vod);
            }
            "EXT-X-PLAYLIST-TYPE" if value.eq_ignore_ascii_case("EVENT") => {
                facts.playlist_type = Some(PlaylistType::Event);
            }
            "EXT-X-ENDLIST" => facts.has_end = true,
            "EXT-X-I-FRAMES-ONLY" => facts.i_frames_only = true,
            "EXT-X-INDEPENDENT-SEGMENTS" => facts.independent_segments = true,
            "EXT-X-ALLOW-CACHE" => facts.forbids_cache = value.eq_ignore_ascii_case("NO"),
            "EXT-X-VERSION" => {
                facts.version = integer(value).unwrap_or(1);
                if !(1..=NEWEST).contains(&facts.version) {
                    facts.notes.add(line, Oddity::Version);
                }
            }
            _ if kind_of(name) == Some(Kind::Multivariant) => {
                facts.notes.add(line, Oddity::OtherKind);
            }
            // Low latency, bit rates, and what is not known: nothing that a listener needs.
            _ => {}
        }
        Ok(())
    }

    /// Tags with attributes.
    fn handle_attributes(
        &mut self,
        line: u32,
        name: &str,
        value: &str,
    ) -> Result<(), PlaylistError> {
        let (variables, facts) = (&self.variables, &mut self.facts);
        match name {
            "EXT-X-KEY" => {
                let tag = Tag::read(line, "EXT-X-KEY", value, variables)?;
                self.keeper.handle_key(&tag, &mut facts.notes)
            }
            "EXT-X-MAP" => {
                let tag = Tag::read(line, "EXT-X-MAP", value, variables)?;
                self.keeper.handle_map(&tag)
            }
            "EXT-X-DATERANGE" => {
                let tag = Tag::read(line, "EXT-X-DATERANGE", value, variables)?;
                let range = DateRange::read(&tag)?;
                match range.filter(|_| facts.date_ranges.len() < KEPT) {
                    Some(range) => facts.date_ranges.push(range),
                    None => facts.notes.add(line, Oddity::Data),
                }
                Ok(())
            }
            "EXT-X-START" => {
                let tag = Tag::read(line, "EXT-X-START", value, variables)?;
                facts.start = start(&tag);
                if facts.start.is_none() {
                    facts.notes.add(line, Oddity::Start);
                }
                Ok(())
            }
            "EXT-X-SERVER-CONTROL" => {
                let tag = Tag::read(line, "EXT-X-SERVER-CONTROL", value, variables)?;
                facts.hold_back = tag.get("HOLD-BACK").and_then(duration);
                Ok(())
            }
            "EXT-X-SKIP" => self.handle_skip(line, value),
            _ => self.handle_define(line, value),
        }
    }

    /// A list that begins with what an older one of it had: only the numbers of those are known.
    fn handle_skip(&mut self, line: u32, value: &str) -> Result<(), PlaylistError> {
        let tag = Tag::read(line, "EXT-X-SKIP", value, &self.variables)?;
        let count = tag.get("SKIPPED-SEGMENTS").and_then(integer);
        self.facts.notes.add(line, Oddity::Skipped);
        if self.segments.entries().is_empty() {
            let sequence = self.facts.media_sequence.checked_add(count.unwrap_or(0));
            self.facts.media_sequence = sequence.ok_or_else(|| tag.wrong(Problem::Overflow))?;
        }
        Ok(())
    }

    fn handle_define(&mut self, line: u32, value: &str) -> Result<(), PlaylistError> {
        let none = Variables::default();
        let imports = self.context.parent.unwrap_or(&none);
        let query = self.context.query;
        self.variables.define(line, value, imports, query)
    }

    fn handle_range(&mut self, line: u32, value: &str) -> Result<(), PlaylistError> {
        let value = value.trim_matches('"');
        let range = byte_range(value).filter(|(length, _)| *length > 0);
        let (length, start) = range.ok_or_else(|| bad_range(line, Problem::Invalid("range")))?;
        self.next.range = Some((length, start, line));
        Ok(())
    }

    /// The end of what is said about a segment.
    fn handle_reference(&mut self, line: u32, text: &str) -> Result<(), PlaylistError> {
        if self.segments.entries().len() >= self.limits.segments {
            return Err(PlaylistError::TooLarge {
                limit: Limit::Segments,
                most: self.limits.segments as u64,
                line,
            });
        }
        let reference = self.variables.replace(line, "URI", text)?;
        if reference.trim().is_empty() {
            let problem = Problem::Empty;
            let tag = "URI";
            return Err(PlaylistError::Tag { line, tag, problem });
        }
        let next = std::mem::take(&mut self.next);
        let length = next.duration.unwrap_or(Length::Unknown);
        match length {
            Length::Micros(_) => {}
            Length::Unbounded => self.facts.notes.add(line, Oddity::NegativeDuration),
            Length::Unknown => self.facts.notes.add(line, Oddity::NoDuration),
        }
        let micros = match length {
            Length::Micros(micros) => micros,
            Length::Unbounded | Length::Unknown => self.facts.target_micros,
        };
        let new = New {
            micros,
            range: self.range(&reference, next.range)?,
            protection: self.keeper.protection,
            map: self.keeper.map,
            flags: Flags {
                discontinuity: next.discontinuity,
                gap: next.gap,
                unbounded: matches!(length, Length::Unbounded),
            },
            time: next.time,
        };
        self.segments.push(line, &reference, new, self.limits.bytes)
    }

    /// A range without a start follows the range before, of the same resource.
    fn range(
        &self,
        reference: &str,
        told: Option<(u64, Option<u64>, u32)>,
    ) -> Result<Option<Range<u64>>, PlaylistError> {
        let Some((length, start, line)) = told else {
            return Ok(None);
        };
        let before = || {
            let (last, range) = self.segments.last()?;
            range.filter(|_| last == reference).map(|range| range.end)
        };
        let start = start.or_else(before);
        let start = start.ok_or_else(|| bad_range(line, Problem::NoRangeBefore))?;
        let end = start.checked_add(length);
        let end = end.ok_or_else(|| bad_range(line, Problem::Overflow))?;
        Ok(Some(start..end))
    }
}

fn bad_range(line: u32, problem: Problem) -> PlaylistError {
    PlaylistError::Tag {
        line,
        tag: "EXT-X-BYTERANGE",
        problem,
    }
}

/// The duration in front of an EXTINF's title.
fn length(value: &str) -> Length {
    match seconds(value.split(',').next().unwrap_or_default().trim()) {
        Some(Seconds::Micros(micros)) => Length::Micros(micros),
        Some(Seconds::Negative(0)) => Length::Micros(0),
        Some(Seconds::Negative(_)) => Length::Unbounded,
        None => Length::Unknown,
    }
}

/// EXT-X-START, in either kind of playlist.
pub(crate) fn start(tag: &Tag<'_>) -> Option<Start> {
    let (micros, from_end) = match seconds(tag.get("TIME-OFFSET")?)? {
        Seconds::Micros(micros) => (micros, false),
        Seconds::Negative(micros) => (micros, true),
    };
    Some(Start {
        offset: Duration::from_micros(micros.min(LONGEST)),
        from_end,
        precise: tag.says_yes("PRECISE"),
    })
}
