//! A media playlist: the segments of one variant, and what is said about all of them.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::data::DateRange;
use crate::date::ProgramTime;
use crate::note::{Notes, PlaylistNote};
use crate::protection::{Encryption, InitSection, Shelf};
use crate::reload::Pace;
use crate::segments::Segments;

/// Whether, and how, a playlist changes (EXT-X-PLAYLIST-TYPE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaylistType {
    /// Not at all.
    Vod,
    /// Segments are only added.
    Event,
}

/// Where to begin (EXT-X-START).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    /// How far from the start of the playlist, or from its end.
    pub offset: Duration,
    /// Whether the offset is counted back from the end.
    pub from_end: bool,
    /// Whether to begin at that very moment and not with its segment.
    pub precise: bool,
}

/// What is true of the playlist as a whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) version: u64,
    pub(crate) target_micros: u64,
    pub(crate) expected_micros: u64,
    pub(crate) media_sequence: u64,
    pub(crate) discontinuity_sequence: u64,
    pub(crate) playlist_type: Option<PlaylistType>,
    pub(crate) has_end: bool,
    pub(crate) i_frames_only: bool,
    pub(crate) independent_segments: bool,
    pub(crate) forbids_cache: bool,
    pub(crate) start: Option<Start>,
    pub(crate) hold_back: Option<Duration>,
    pub(crate) date_ranges: Vec<DateRange>,
    pub(crate) notes: Notes,
}

/// The segments of one variant, in order, at most 128 bytes of memory for each of usual length.
///
/// Times are counted from the start of the first segment that is listed.
#[derive(Clone)]
pub struct MediaPlaylist {
    facts: Facts,
    segments: Segments,
    shelf: Shelf,
}

/// One segment.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment<'a> {
    /// Its media sequence number.
    pub sequence: u64,
    /// Where it begins, counted from the start of the playlist.
    pub start: Duration,
    /// How long it is said to be.
    pub duration: Duration,
    /// Where it is: as the playlist has it, not yet resolved or judged. It may carry a token, and is in no print.
    pub reference: &'a str,
    /// Which bytes of that; all of them if `None`.
    pub range: Option<Range<u64>>,
    /// How it is encrypted.
    pub encryption: Encryption<'a>,
    /// What a decoder needs first, if anything.
    pub init: Option<InitSection<'a>>,
    /// Whether it is not the continuation of the segment before.
    pub discontinuity: bool,
    /// How many discontinuities there have been, this one's included, since the stream began.
    pub discontinuity_sequence: u64,
    /// Whether the server doesn't have it (EXT-X-GAP): it is not to be fetched.
    pub gap: bool,
    /// Whether nobody knows how long it is: an endless one, whose duration here means nothing.
    pub unbounded: bool,
    /// The world's time at its start, if that is said of it or of one before it.
    pub time: Option<ProgramTime>,
}

impl MediaPlaylist {
    pub(crate) fn new(facts: Facts, segments: Segments, shelf: Shelf) -> Self {
        Self {
            facts,
            segments,
            shelf,
        }
    }

    /// No more will come, as another list of the same stream says.
    pub(crate) fn end(&mut self) {
        self.facts.has_end = true;
    }

    /// How many segments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.entries().len()
    }

    /// Whether there are none, as when a live stream begins.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A segment by its place in the list, from 0 on.
    #[must_use]
    pub fn segment(&self, index: usize) -> Option<Segment<'_>> {
        let entry = self.segments.entries().get(index)?;
        let sequence = self.facts.media_sequence + index as u64;
        let before = self.segments.discontinuities_before(index) as u64;
        let flags = entry.flags();
        Some(Segment {
            sequence,
            start: Duration::from_micros(entry.start),
            duration: Duration::from_micros(self.segments.end_of(index) - entry.start),
            reference: self.segments.text(entry),
            range: entry.range(),
            encryption: self.shelf.encryption(entry.protection, sequence),
            init: self.shelf.init_section(entry.map),
            discontinuity: flags.discontinuity,
            discontinuity_sequence: self.facts.discontinuity_sequence + before,
            gap: flags.gap,
            unbounded: flags.unbounded,
            time: self.segments.time(index),
        })
    }

    /// All segments in order.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = Segment<'_>> {
        (0..self.len()).map(|index| self.segment(index).expect("an index within the list"))
    }

    /// The place in the list of a media sequence number.
    #[must_use]
    pub fn index_of(&self, sequence: u64) -> Option<usize> {
        let index = sequence.checked_sub(self.facts.media_sequence)?;
        let index = usize::try_from(index).ok()?;
        (index < self.len()).then_some(index)
    }

    /// The place in the list of the segment that is playing at a time; `None` at the end and beyond. Logarithmic.
    #[must_use]
    pub fn index_at(&self, time: Duration) -> Option<usize> {
        let micros = u64::try_from(time.as_micros()).ok()?;
        if micros >= self.segments.end() {
            return None;
        }
        // The last that begins no later: one without length gives way to the one behind it.
        let entries = self.segments.entries();
        let behind = entries.partition_point(|entry| entry.start <= micros);
        behind.checked_sub(1)
    }

    /// The first media sequence number.
    #[must_use]
    pub fn first_sequence(&self) -> u64 {
        self.facts.media_sequence
    }

    /// The media sequence number that the segment behind the last one will have.
    #[must_use]
    pub fn end_sequence(&self) -> u64 {
        self.facts.media_sequence + self.len() as u64
    }

    /// The number of discontinuities before the list began.
    #[must_use]
    pub fn discontinuity_sequence(&self) -> u64 {
        self.facts.discontinuity_sequence
    }

    /// How long all segments are together.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_micros(self.segments.end())
    }

    /// How long a segment is at most, more or less. Whole seconds, never 0.
    #[must_use]
    pub fn target_duration(&self) -> Duration {
        Duration::from_micros(self.facts.target_micros)
    }

    /// How often it is to be asked for, and how often something new can be expected: the target duration, or the longest segment
    /// where a list has longer ones than it says (RFC 8216 §4.3.3.1 forbids that, and servers do it).
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            target: self.target_duration(),
            expected: Duration::from_micros(self.facts.expected_micros),
        }
    }

    /// Whether nothing will be added or change: an end is announced, or it is of a type that never changes.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.facts.has_end || self.facts.playlist_type == Some(PlaylistType::Vod)
    }

    /// Whether, and how, it is said to change.
    #[must_use]
    pub fn playlist_type(&self) -> Option<PlaylistType> {
        self.facts.playlist_type
    }

    /// Where to begin, if that is said.
    #[must_use]
    pub fn start(&self) -> Option<Start> {
        self.facts.start
    }

    /// How far behind the live edge the server wants players to stay, if it says so.
    #[must_use]
    pub fn hold_back(&self) -> Option<Duration> {
        self.facts.hold_back
    }

    /// Whether each segment can be decoded without those before it.
    #[must_use]
    pub fn has_independent_segments(&self) -> bool {
        self.facts.independent_segments
    }

    /// Whether it lists single pictures, which are no sound.
    #[must_use]
    pub fn is_i_frames_only(&self) -> bool {
        self.facts.i_frames_only
    }

    /// Whether its segments may be kept (EXT-X-ALLOW-CACHE, which newer versions no longer know).
    #[must_use]
    pub fn allows_cache(&self) -> bool {
        !self.facts.forbids_cache
    }

    /// The protocol version it states; 1 if none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.facts.version
    }

    /// What is said about stretches of the world's time.
    #[must_use]
    pub fn date_ranges(&self) -> &[DateRange] {
        &self.facts.date_ranges
    }

    /// What is odd about it, at most 64 things.
    #[must_use]
    pub fn notes(&self) -> &[PlaylistNote] {
        self.facts.notes.kept()
    }

    /// How many more odd things there are.
    #[must_use]
    pub fn further_notes(&self) -> usize {
        self.facts.notes.more()
    }

    /// Bytes of memory that its segments take.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.segments.heap_bytes() + self.shelf.heap_bytes()
    }
}

impl fmt::Debug for MediaPlaylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaPlaylist")
            .field("segments", &self.len())
            .field("first_sequence", &self.first_sequence())
            .field("duration", &self.duration())
            .field("target_duration", &self.target_duration())
            .field("is_ended", &self.is_ended())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("sequence", &self.sequence)
            .field("start", &self.start)
            .field("duration", &self.duration)
            .field("range", &self.range)
            .field("encryption", &self.encryption)
            .field("gap", &self.gap)
            .finish_non_exhaustive()
    }
}
