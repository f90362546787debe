//! What containers say about a title.
//!
//! Each kind of tag has a file of its own that takes it apart and gives what it finds to a [`Tag`], under the names that
//! Vorbis comments use. A tag is a courtesy: what is wrong in it ends it, and nothing else.

mod ape;
mod base64;
mod chunks;
mod genres;
mod id3v1;
mod id3v2;
mod info;
mod matroska;
mod picture;
mod reading;
mod tail;
mod vorbis;

pub(crate) use self::chunks::{chunk, chunks_behind};
pub(crate) use self::id3v2::{id3_bytes, id3v2};
pub(crate) use self::info::caf_info;
pub(crate) use self::matroska::{matroska_attachment, matroska_attachments, matroska_tags};
pub(crate) use self::picture::flac_picture;
pub(crate) use self::reading::{is_near, take, whole};
pub(crate) use self::tail::tail;
pub(crate) use self::vorbis::vorbis_comment;

use crate::metadata::{Picture, PictureKind};
use crate::trim::GaplessComment;
use crate::{ReplayGain, TrackMetadata, limits, memory};

/// The longest text kept.
const MAX_TEXT: usize = 4096;
/// The longest name of a tag looked at: none of those that are known is longer.
const MAX_NAME: usize = 64;
/// Between values of one field.
const JOINT: &str = "; ";
/// Pictures of a title.
const MAX_PICTURES: usize = 16;
/// No track, disc or total is larger.
const MAX_NUMBER: u32 = 100_000;
/// Gains and peaks beyond these are no measurements: in decibels, and relative to full scale.
const MAX_GAIN: f32 = 64.0;
const MAX_PEAK: f32 = 1000.0;
/// From the loudness that R128 tags aim at (-23 LUFS) to that of ReplayGain 2.0 (-18 LUFS).
const R128_OFFSET: f32 = 5.0;

/// What one tag says. In it values of one field are joined; of two tags the first to name a field is believed.
#[derive(Default)]
pub(crate) struct Tag {
    fields: TrackMetadata,
    /// A comment with a heading: only where there is none without.
    description: Option<String>,
    /// What R128 tags say (RFC 7845 §5.2.1), which goes before ReplayGain's.
    r128: ReplayGain,
    for_players: ForPlayers,
}

/// What a tag says of the bytes behind it, for who plays them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ForPlayers {
    /// When they play, in 90ths of a millisecond (RFC 8216 §3.4).
    pub(crate) transport_time: Option<u64>,
    /// iTunes' gapless comment.
    pub(crate) gapless: Option<GaplessComment>,
}

impl ForPlayers {
    /// The same, and what an earlier tag says, where this one says nothing.
    pub(crate) fn or(self, earlier: Self) -> Self {
        Self {
            transport_time: self.transport_time.or(earlier.transport_time),
            gapless: self.gapless.or(earlier.gapless),
        }
    }
}

impl Tag {
    /// A value under a name that Vorbis comments, APE tags and Matroska share, in any case, with or without spaces and
    /// underscores.
    pub(crate) fn named(&mut self, name: &[u8], value: &str) {
        let value = trimmed(value);
        if value.is_empty() {
            return;
        }
        let name: String = name
            .iter()
            .take(MAX_NAME)
            .copied()
            .map(char::from)
            .collect();
        let name = name.replace([' ', '_'], "").to_ascii_uppercase();
        let fields = &mut self.fields;
        match name.as_str() {
            "TITLE" => join(&mut fields.title, value),
            "ARTIST" => join(&mut fields.artist, value),
            "ALBUM" => join(&mut fields.album, value),
            "ALBUMARTIST" => join(&mut fields.album_artist, value),
            "COMPOSER" => join(&mut fields.composer, value),
            "GENRE" => genres::named(value, |genre| join(&mut fields.genre, genre)),
            "DATE" | "YEAR" | "DATERELEASED" => set(&mut fields.date, value),
            "COMMENT" | "COMMENTS" => set(&mut fields.comment, value),
            "DESCRIPTION" => set(&mut self.description, value),
            "TRACKNUMBER" | "TRACK" | "PARTNUMBER" => {
                numbers(value, &mut fields.track, &mut fields.track_total);
            }
            "TRACKTOTAL" | "TOTALTRACKS" | "TOTALPARTS" => number(value, &mut fields.track_total),
            "DISCNUMBER" | "DISC" | "DISKNUMBER" => {
                numbers(value, &mut fields.disc, &mut fields.disc_total);
            }
            "DISCTOTAL" | "TOTALDISCS" => number(value, &mut fields.disc_total),
            "REPLAYGAINTRACKGAIN" => gain(value, &mut fields.replay_gain.track_gain),
            "REPLAYGAINTRACKPEAK" => peak(value, &mut fields.replay_gain.track_peak),
            "REPLAYGAINALBUMGAIN" => gain(value, &mut fields.replay_gain.album_gain),
            "REPLAYGAINALBUMPEAK" => peak(value, &mut fields.replay_gain.album_peak),
            "R128TRACKGAIN" => r128(value, &mut self.r128.track_gain),
            "R128ALBUMGAIN" => r128(value, &mut self.r128.album_gain),
            _ => {}
        }
    }

    /// A value of unknown encoding under such a name.
    pub(crate) fn bytes(&mut self, name: &[u8], value: &[u8]) {
        self.named(name, &text(value));
    }

    /// A gain in decibels and a peak, of the album or of the track.
    pub(crate) fn gain(&mut self, album: bool, decibels: f32, loudest: Option<f32>) {
        let gains = &mut self.fields.replay_gain;
        let (gain, peak) = if album {
            (&mut gains.album_gain, &mut gains.album_peak)
        } else {
            (&mut gains.track_gain, &mut gains.track_peak)
        };
        *gain = gain.or(Some(decibels).filter(|gain| gain.abs() <= MAX_GAIN));
        *peak = peak.or(loudest.filter(|peak| is_peak(*peak)));
    }

    /// An encoded picture, of which a copy is kept if there is memory for it and it is not too large.
    pub(crate) fn picture(&mut self, kind: PictureKind, media_type: &str, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let held = (bytes.len() as u64 <= limits::TAG_BYTES).then(|| memory::copy(bytes));
        self.push(match held {
            Some(Ok(bytes)) => Picture::new(kind, media_type, bytes),
            _ => Picture::passed_over(kind, media_type, bytes.len() as u64),
        });
    }

    /// A picture that is there, but was not read.
    pub(crate) fn passed_over(&mut self, kind: PictureKind, media_type: &str, length: u64) {
        self.push(Picture::passed_over(kind, media_type, length));
    }

    fn push(&mut self, picture: Picture) {
        if self.fields.pictures.len() < MAX_PICTURES {
            self.fields.pictures.push(picture);
        }
    }

    /// Adds what no earlier tag said.
    pub(crate) fn fill(mut self, metadata: &mut TrackMetadata) {
        let own = &mut self.fields;
        own.comment = own.comment.take().or(self.description);
        for (field, value) in [
            (&mut metadata.title, &mut own.title),
            (&mut metadata.artist, &mut own.artist),
            (&mut metadata.album, &mut own.album),
            (&mut metadata.album_artist, &mut own.album_artist),
            (&mut metadata.composer, &mut own.composer),
            (&mut metadata.genre, &mut own.genre),
            (&mut metadata.date, &mut own.date),
            (&mut metadata.comment, &mut own.comment),
        ] {
            *field = field.take().or_else(|| value.take());
        }
        for (field, value) in [
            (&mut metadata.track, own.track),
            (&mut metadata.track_total, own.track_total),
            (&mut metadata.disc, own.disc),
            (&mut metadata.disc_total, own.disc_total),
        ] {
            *field = field.or(value);
        }
        let (gains, more) = (&mut metadata.replay_gain, own.replay_gain);
        gains.track_gain = gains
            .track_gain
            .or(self.r128.track_gain)
            .or(more.track_gain);
        gains.album_gain = gains
            .album_gain
            .or(self.r128.album_gain)
            .or(more.album_gain);
        gains.track_peak = gains.track_peak.or(more.track_peak);
        gains.album_peak = gains.album_peak.or(more.album_peak);
        for picture in self.fields.pictures {
            add(picture, &mut metadata.pictures);
        }
    }
}

/// A title that stands by itself.
pub(crate) fn title(value: &[u8], metadata: &mut TrackMetadata) {
    let mut tag = Tag::default();
    tag.bytes(b"TITLE", value);
    tag.fill(metadata);
}

/// Adds what another place says of the same title, where nothing is said yet.
pub(crate) fn fill(fields: TrackMetadata, metadata: &mut TrackMetadata) {
    let tag = Tag {
        fields,
        ..Tag::default()
    };
    tag.fill(metadata);
}

/// Adds a picture that is not there yet, without its bytes if there are too many already.
fn add(picture: Picture, pictures: &mut Vec<Picture>) {
    if pictures.len() >= MAX_PICTURES || pictures.contains(&picture) {
        return;
    }
    let lengths = |picture: &Picture| picture.bytes().map_or(0, |bytes| bytes.len() as u64);
    let held: u64 = pictures.iter().map(lengths).sum();
    pictures.push(if held + lengths(&picture) > limits::TAG_BYTES {
        Picture::passed_over(picture.kind(), picture.media_type(), picture.byte_len())
    } else {
        picture
    });
}

/// Text that should be UTF-8, and is taken for Latin-1 where it is not; the front of it if it is long.
pub(crate) fn text(bytes: &[u8]) -> String {
    let bytes = front(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// At most as many bytes as are kept of a text, and no part of a character that was cut there.
fn front(bytes: &[u8]) -> &[u8] {
    let Some(bytes) = bytes
        .get(..MAX_TEXT)
        .filter(|front| front.len() < bytes.len())
    else {
        return bytes;
    };
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

/// Without what does not show at both ends.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}')
}

/// At most so many bytes of it, in whole characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn set(field: &mut Option<String>, value: &str) {
    field.get_or_insert_with(|| cut(value, MAX_TEXT).to_owned());
}

/// Adds a value to those that are there.
fn join(field: &mut Option<String>, value: &str) {
    let Some(text) = field else {
        return set(field, value);
    };
    if text.split(JOINT).any(|known| known == value) {
        return;
    }
    let room = MAX_TEXT.saturating_sub(text.len() + JOINT.len());
    let value = cut(value, room);
    if !value.is_empty() {
        text.push_str(JOINT);
        text.push_str(value);
    }
}

fn number(text: &str, field: &mut Option<u32>) {
    let value = text.trim().parse().ok();
    *field = field.or(value.filter(|number| (1..=MAX_NUMBER).contains(number)));
}

/// A number, and how many there are behind a slash.
fn numbers(text: &str, field: &mut Option<u32>, total: &mut Option<u32>) {
    let (first, second) = text.split_once('/').unwrap_or((text, ""));
    number(first, field);
    number(second, total);
}

/// A number as people write it, without its unit.
fn decimal(text: &str) -> Option<f32> {
    let unit = text.len().checked_sub(2).and_then(|at| text.get(at..));
    let figures = match unit {
        Some(unit) if unit.eq_ignore_ascii_case("db") => &text[..text.len() - 2],
        _ => text,
    };
    figures.trim().replace(',', ".").parse().ok()
}

fn gain(text: &str, field: &mut Option<f32>) {
    let value = decimal(text).filter(|gain| gain.abs() <= MAX_GAIN);
    *field = field.or(value);
}

fn peak(text: &str, field: &mut Option<f32>) {
    *field = field.or(decimal(text).filter(|peak| is_peak(*peak)));
}

/// A track of silence has none that says anything.
fn is_peak(value: f32) -> bool {
    value > 0.0 && value <= MAX_PEAK
}

/// In units of a 256th of a decibel.
fn r128(text: &str, field: &mut Option<f32>) {
    let value: Option<i16> = text.parse().ok();
    *field = field.or(value.map(|gain| f32::from(gain) / 256.0 + R128_OFFSET));
}
