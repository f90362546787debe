//! The movie box: tracks, their timing and descriptions, and what fragments inherit (ISO/IEC 14496-12 §8.2 to §8.6, §8.8).
//!
//! The box is walked in the stream, so that what we don't need (pictures, the tables of video tracks) is never held.
//! Each container has its own function that knows its children; a box is only entered in its place, which bounds the
//! depth whatever the bytes say.

use super::boxes::{BoxHeader, Bytes, FourCode};
use super::error::Mp4Error;
use super::fragment::TrackDefaults;
use super::sample_entry::{AudioEntry, parse_entries};
use super::sample_table::{SampleTable, TableBoxes};
use super::stream::Stream;
use super::tags::{self, Tags};
use crate::{TrackMetadata, memory};

const MAX_MOOV: u64 = 64 << 20;
const MAX_BOXES: u32 = 10_000;
const MAX_TRACKS: u32 = 256;
const MAX_TABLE: u64 = 32 << 20;
const MAX_DESCRIPTION: u64 = 1 << 20;
const MAX_SMALL: u64 = 64 << 10;

/// One entry of an edit list (§8.6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// How long it plays, in units of [`MovieFacts::timescale`](super::Mp4Facts::movie_timescale). 0 in a fragmented file
    /// means: to the end of the media.
    pub duration: u64,
    /// Where it begins in the media, in units of the track's timescale; -1 is silence.
    pub media_time: i64,
    /// Whether it plays at the normal rate; a rate of 0 holds one instant.
    pub normal_rate: bool,
}

/// The audio track that is played: the first one whose codec has a name here, else the first one.
#[derive(Clone, Debug)]
pub(super) struct AudioTrack {
    pub id: u32,
    pub timescale: u32,
    /// From the media header, in units of `timescale`; 0 and all ones are unknown.
    pub duration: Option<u64>,
    pub language: Option<String>,
    /// Never empty.
    pub entries: Vec<AudioEntry>,
    pub edits: Vec<Edit>,
    pub table: SampleTable,
}

impl AudioTrack {
    /// The entry a fragment or chunk names; they are counted from 1, and 0 stands for the first.
    pub fn entry(&self, description: u32) -> Option<&AudioEntry> {
        self.entries.get((description as usize).saturating_sub(1))
    }

    /// A duration in another timescale, in units of this track's.
    pub fn rescale(&self, duration: u64, timescale: u32) -> Option<u64> {
        let scaled = u128::from(duration) * u128::from(self.timescale);
        scaled
            .checked_div(timescale.into())
            .and_then(|scaled| u64::try_from(scaled).ok())
    }
}

#[derive(Debug)]
pub(super) struct Movie {
    pub timescale: u32,
    /// In units of `timescale`.
    pub duration: Option<u64>,
    /// There is a movie extends box: fragments follow.
    pub extends: bool,
    /// Of all fragments together, in units of `timescale` (§8.8.2).
    pub fragment_duration: Option<u64>,
    pub defaults: TrackDefaults,
    pub tracks: u32,
    /// The track has edits, wherever they are now.
    pub edited: bool,
    pub audio: AudioTrack,
    pub metadata: TrackMetadata,
    pub itunsmpb: Option<String>,
}

/// Reads the movie box whose header is given.
pub(super) fn read_movie(stream: &mut Stream<'_>, moov: &BoxHeader) -> Result<Movie, Mp4Error> {
    let end = moov.end.or_else(|| stream.byte_len());
    let end = end.ok_or_else(|| Mp4Error::malformed(moov.kind, "its size is open"))?;
    let mut walk = Walk {
        stream,
        boxes: 0,
        found: Found::default(),
    };
    let mut pos = moov.body;
    let mut size = 0;
    while let Some(child) = walk.next(&mut pos, end)? {
        // Covers may have any size: they are passed over.
        if !child.is(b"udta") && !child.is(b"meta") {
            size += pos.saturating_sub(child.start);
        }
        if size > MAX_MOOV {
            return Err(Mp4Error::Limit {
                what: "the size of a moov box",
                limit: MAX_MOOV,
            });
        }
        walk.movie_child(&child)?;
    }
    walk.found.finish()
}

/// What was found so far.
#[derive(Default)]
struct Found {
    timescale: u32,
    duration: Option<u64>,
    extends: bool,
    fragment_duration: Option<u64>,
    defaults: Vec<(u32, TrackDefaults)>,
    tracks: u32,
    audio: Option<AudioTrack>,
    /// Why an audio track could not be read, told if there is no other.
    refused: Option<Mp4Error>,
    tags: Tags,
}

impl Found {
    fn finish(mut self) -> Result<Movie, Mp4Error> {
        let audio = match (self.audio, self.refused) {
            (Some(audio), _) => audio,
            (None, Some(refused)) => return Err(refused),
            (None, None) => {
                return Err(Mp4Error::NoAudio {
                    tracks: self.tracks,
                });
            }
        };
        let defaults = self.defaults.iter().find(|(id, _)| *id == audio.id);
        Ok(Movie {
            timescale: self.timescale,
            duration: self.duration,
            extends: self.extends,
            fragment_duration: self.fragment_duration,
            defaults: defaults.map_or_else(TrackDefaults::default, |(_, defaults)| *defaults),
            tracks: self.tracks,
            edited: !audio.edits.is_empty(),
            audio,
            itunsmpb: self.tags.take_itunsmpb(),
            metadata: self.tags.into_metadata(),
        })
    }
}

struct Walk<'w, 's> {
    stream: &'w mut Stream<'s>,
    boxes: u32,
    found: Found,
}

/// One `trak` while it is read.
#[derive(Default)]
struct TrackBoxes {
    id: u32,
    timescale: u32,
    duration: Option<u64>,
    language: Option<String>,
    handler: Option<FourCode>,
    edits: Vec<Edit>,
    entries: Vec<AudioEntry>,
    table: TableBoxes,
}

impl Walk<'_, '_> {
    /// The box at `pos`, which is moved past it.
    fn next(&mut self, pos: &mut u64, end: u64) -> Result<Option<BoxHeader>, Mp4Error> {
        // A 32-bit zero ends QuickTime's lists; anything shorter than a header is padding.
        let Some(header) = self.stream.header_at(*pos, Some(end))? else {
            if end.saturating_sub(*pos) >= 8 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            return Ok(None);
        };
        self.boxes += 1;
        if self.boxes > MAX_BOXES {
            return Err(Mp4Error::Limit {
                what: "the number of boxes in a moov box",
                limit: MAX_BOXES.into(),
            });
        }
        // `header_at` refuses boxes without an end inside a parent.
        *pos = header.end.unwrap_or(end);
        Ok(Some(header))
    }

    fn small(&mut self, header: &BoxHeader) -> Result<Vec<u8>, Mp4Error> {
        self.stream.body(header, MAX_SMALL)
    }

    fn movie_child(&mut self, child: &BoxHeader) -> Result<(), Mp4Error> {
        match &child.kind.0 {
            b"mvhd" => {
                let body = self.small(child)?;
                let mut bytes = Bytes::new(child.kind, &body);
                (self.found.timescale, self.found.duration) = timing(&mut bytes)?;
            }
            b"trak" => self.track(child)?,
            b"mvex" => self.extends(child)?,
            b"udta" => self.user_data(child)?,
            // QuickTime and some ISO files put it here directly.
            b"meta" => self.metadata(child)?,
            _ => {}
        }
        Ok(())
    }

    /// MovieExtendsBox (§8.8.1 to §8.8.3).
    fn extends(&mut self, mvex: &BoxHeader) -> Result<(), Mp4Error> {
        self.found.extends = true;
        let end = mvex.end.unwrap_or(mvex.body);
        let mut pos = mvex.body;
        while let Some(child) = self.next(&mut pos, end)? {
            match &child.kind.0 {
                b"mehd" => {
                    let body = self.small(&child)?;
                    let mut bytes = Bytes::new(child.kind, &body);
                    let (version, _) = bytes.full_box()?;
                    self.found.fragment_duration = known(bytes.u32_or_u64(version)?, version);
                }
                b"trex" => {
                    let body = self.small(&child)?;
                    let defaults = TrackDefaults::parse(Bytes::new(child.kind, &body))?;
                    memory::push(&mut self.found.defaults, defaults)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn track(&mut self, trak: &BoxHeader) -> Result<(), Mp4Error> {
        self.found.tracks += 1;
        if self.found.tracks > MAX_TRACKS {
            return Err(Mp4Error::Limit {
                what: "the number of tracks",
                limit: MAX_TRACKS.into(),
            });
        }
        let named = |audio: &AudioTrack| audio.entries.iter().all(|entry| entry.codec.is_some());
        if self.found.audio.as_ref().is_some_and(named) {
            return Ok(());
        }
        match self.audio_track(trak) {
            Ok(Some(track)) if self.found.audio.is_none() || named(&track) => {
                self.found.audio = Some(track);
            }
            Ok(_) => {}
            Err(error @ (Mp4Error::Io(_) | Mp4Error::NoMemory(_))) => return Err(error),
            // A broken commentary track does not take the music away.
            Err(error) => drop(self.found.refused.get_or_insert(error)),
        }
        Ok(())
    }

    fn audio_track(&mut self, trak: &BoxHeader) -> Result<Option<AudioTrack>, Mp4Error> {
        let mut track = TrackBoxes::default();
        self.descend(trak, &mut track, Self::track_child)?;
        if track.handler.is_none_or(|handler| handler.0 != *b"soun") || track.entries.is_empty() {
            return Ok(None);
        }
        if track.timescale == 0 {
            return Err(Mp4Error::malformed(FourCode(*b"mdhd"), "a timescale of 0"));
        }
        let encrypted = track.entries.iter().find_map(|entry| entry.protection);
        if let Some(scheme) = encrypted {
            return Err(Mp4Error::Encrypted { scheme });
        }
        for entry in &mut track.entries {
            // Rates over 65,535 Hz don't fit the entry of most codecs; the timescale is the rate then (§12.2.3).
            let rate = *entry.params.sample_rate.get_or_insert(track.timescale);
            if rate == 0 {
                return Err(Mp4Error::Unsupported {
                    what: "a sample rate of 0",
                });
            }
        }
        Ok(Some(AudioTrack {
            id: track.id,
            timescale: track.timescale,
            duration: track.duration,
            language: track.language,
            table: SampleTable::build(track.table, &track.entries)?,
            entries: track.entries,
            edits: track.edits,
        }))
    }

    /// Hands each child of `parent` to `child`.
    fn descend(
        &mut self,
        parent: &BoxHeader,
        track: &mut TrackBoxes,
        child: fn(&mut Self, &BoxHeader, &mut TrackBoxes) -> Result<(), Mp4Error>,
    ) -> Result<(), Mp4Error> {
        let end = parent.end.unwrap_or(parent.body);
        let mut pos = parent.body;
        while let Some(header) = self.next(&mut pos, end)? {
            child(self, &header, track)?;
        }
        Ok(())
    }

    fn track_child(&mut self, header: &BoxHeader, track: &mut TrackBoxes) -> Result<(), Mp4Error> {
        match &header.kind.0 {
            b"tkhd" => {
                let body = self.small(header)?;
                let mut bytes = Bytes::new(header.kind, &body);
                let (version, _) = bytes.full_box()?;
                bytes.skip(if version == 0 { 8 } else { 16 })?;
                track.id = bytes.u32()?;
            }
            b"edts" => self.descend(header, track, Self::edit_child)?,
            b"mdia" => self.descend(header, track, Self::media_child)?,
            _ => {}
        }
        Ok(())
    }

    fn edit_child(&mut self, header: &BoxHeader, track: &mut TrackBoxes) -> Result<(), Mp4Error> {
        if header.is(b"elst") {
            let body = self.small(header)?;
            track.edits = parse_edits(Bytes::new(header.kind, &body))?;
        }
        Ok(())
    }

    fn media_child(&mut self, header: &BoxHeader, track: &mut TrackBoxes) -> Result<(), Mp4Error> {
        match &header.kind.0 {
            b"mdhd" => {
                let body = self.small(header)?;
                let mut bytes = Bytes::new(header.kind, &body);
                (track.timescale, track.duration) = timing(&mut bytes)?;
                track.language = bytes.u16().ok().and_then(language);
            }
            b"hdlr" => {
                // The name behind the type can be anything, even kilobytes of it.
                let body = self.stream.body_prefix(header, 12)?;
                let mut bytes = Bytes::new(header.kind, &body);
                bytes.skip(8)?;
                track.handler = Some(bytes.code()?);
            }
            // Without a handler so far it may be audio.
            b"minf" if track.handler.is_none_or(|handler| handler.0 == *b"soun") => {
                self.descend(header, track, Self::media_information_child)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn media_information_child(
        &mut self,
        header: &BoxHeader,
        track: &mut TrackBoxes,
    ) -> Result<(), Mp4Error> {
        if header.is(b"stbl") {
            self.descend(header, track, Self::table_child)
        } else {
            Ok(())
        }
    }

    fn table_child(&mut self, header: &BoxHeader, track: &mut TrackBoxes) -> Result<(), Mp4Error> {
        if header.is(b"stsd") {
            let body = self.stream.body(header, MAX_DESCRIPTION)?;
            track.entries = parse_entries(Bytes::new(header.kind, &body))?;
        } else if TableBoxes::KINDS.contains(&header.kind.0) {
            let body = self.stream.body(header, MAX_TABLE)?;
            track.table.take(header.kind, body)?;
        } else if header.is(b"ctts") {
            let body = self.stream.body_prefix(header, 16)?;
            let offset = first_offset(Bytes::new(header.kind, &body));
            track.table.composition = offset.unwrap_or(0);
        }
        Ok(())
    }

    fn user_data(&mut self, udta: &BoxHeader) -> Result<(), Mp4Error> {
        let end = udta.end.unwrap_or(udta.body);
        let mut pos = udta.body;
        // Tags are a courtesy: damage in them ends them and nothing else.
        while let Some(child) = no_harm(self.next(&mut pos, end))? {
            if child.is(b"meta") {
                self.metadata(&child)?;
            } else if child.kind.0.starts_with(b"\xa9") && is_text(&child) {
                let body = self.stream.body(&child, tags::MAX_TEXT)?;
                self.found
                    .tags
                    .take_user_text(Bytes::new(child.kind, &body));
            }
        }
        Ok(())
    }

    /// MetaBox (§8.11.1), of which only Apple's item list is read.
    fn metadata(&mut self, meta: &BoxHeader) -> Result<(), Mp4Error> {
        let end = meta.end.unwrap_or(meta.body);
        // A full box in ISO files, a plain one in QuickTime's: there the first child's size stands where the version is.
        let prefix = self.stream.body_prefix(meta, 8)?;
        let plain = prefix.get(4..8) == Some(b"hdlr") || prefix.get(4..8) == Some(b"keys");
        let mut pos = meta.body.saturating_add(if plain { 0 } else { 4 });
        while let Some(child) = no_harm(self.next(&mut pos, end))? {
            if child.is(b"keys") && is_text(&child) {
                let body = self.stream.body(&child, tags::MAX_TEXT)?;
                drop(self.found.tags.take_keys(Bytes::new(child.kind, &body)));
            } else if child.is(b"ilst") {
                self.items(&child)?;
            }
        }
        Ok(())
    }

    fn items(&mut self, ilst: &BoxHeader) -> Result<(), Mp4Error> {
        let end = ilst.end.unwrap_or(ilst.body);
        let mut pos = ilst.body;
        let longest = self.stream.longest_tag();
        while let Some(item) = no_harm(self.next(&mut pos, end))? {
            let length = item.body_len().unwrap_or(u64::MAX);
            if item.is(b"covr") && length > longest {
                let head = self.stream.body_prefix(&item, tags::PICTURE_HEAD)?;
                self.found.tags.take_picture_head(&head, length);
            } else if item.is(b"covr") || is_text(&item) {
                let body = self.stream.body(&item, longest)?;
                self.found.tags.take(Bytes::new(item.kind, &body));
            }
        }
        Ok(())
    }
}

/// Not too long for one.
fn is_text(item: &BoxHeader) -> bool {
    item.body_len().is_some_and(|len| len <= tags::MAX_TEXT)
}

/// Everything but a failed read becomes the end.
fn no_harm(next: Result<Option<BoxHeader>, Mp4Error>) -> Result<Option<BoxHeader>, Mp4Error> {
    match next {
        Err(error @ (Mp4Error::Io(_) | Mp4Error::NoMemory(_) | Mp4Error::Limit { .. })) => {
            Err(error)
        }
        Err(_) => Ok(None),
        found => found,
    }
}

/// Timescale and duration of a movie or media header (§8.2.2, §8.4.2).
fn timing(bytes: &mut Bytes<'_>) -> Result<(u32, Option<u64>), Mp4Error> {
    let (version, _) = bytes.full_box()?;
    bytes.skip(if version == 0 { 8 } else { 16 })?;
    let timescale = bytes.u32()?;
    let duration = bytes.u32_or_u64(version)?;
    Ok((timescale, known(duration, version)))
}

/// All ones mean: unknown (§8.2.2.3). So does 0, in files that are written before their length is known.
fn known(duration: u64, version: u8) -> Option<u64> {
    let unknown = if version == 0 {
        u64::from(u32::MAX)
    } else {
        u64::MAX
    };
    (duration != 0 && duration < unknown).then_some(duration)
}

/// Three letters of 5 bits (§8.4.2.3).
fn language(packed: u16) -> Option<String> {
    let letters = [packed >> 10 & 31, packed >> 5 & 31, packed & 31];
    let text: String = letters
        .iter()
        .filter_map(|letter| char::from_u32(u32::from(*letter) + 0x60))
        .collect();
    (text.bytes().all(|byte| byte.is_ascii_lowercase()) && text != "und").then_some(text)
}

fn parse_edits(mut bytes: Bytes<'_>) -> Result<Vec<Edit>, Mp4Error> {
    let (version, _) = bytes.full_box()?;
    let count = bytes.u32()? as usize;
    let entry_len = if version == 0 { 12 } else { 20 };
    if count
        .checked_mul(entry_len)
        .is_none_or(|len| len > bytes.rest().len())
    {
        return Err(bytes.fail("more entries than bytes"));
    }
    let mut edits = memory::room(count)?;
    for _ in 0..count {
        let duration = bytes.u32_or_u64(version)?;
        let media_time = if version == 0 {
            bytes.i32()?.into()
        } else {
            bytes.u64()? as i64
        };
        let normal_rate = bytes.u32()? == 0x1_0000;
        edits.push(Edit {
            duration,
            media_time,
            normal_rate,
        });
    }
    Ok(edits)
}

/// The composition offset of the first sample (§8.6.1.3), if there is one. Those of the others mean nothing for audio, which plays
/// sample after sample. In either version they are taken for signed, as writers do.
fn first_offset(mut ctts: Bytes<'_>) -> Option<i32> {
    ctts.full_box().ok()?;
    let count = ctts.u32().ok()?;
    ctts.skip(4).ok()?;
    ctts.i32().ok().filter(|_| count > 0)
}
