//! Tags and attachments of Matroska (RFC 9559 §5.1.6, §5.1.8; RFC 9559 §21 and the Matroska tag specification for names).

use super::{Tag, picture, text};
use crate::TrackMetadata;
use crate::container::ebml;
use crate::metadata::PictureKind;

const TAG: u32 = 0x7373;
const TARGETS: u32 = 0x63c0;
const LEVEL: u32 = 0x68ca;
const TRACK_UID: u32 = 0x63c5;
const EDITION_UID: u32 = 0x63c9;
const CHAPTER_UID: u32 = 0x63c4;
const ATTACHMENT_UID: u32 = 0x63c6;
const SIMPLE_TAG: u32 = 0x67c8;
const TAG_NAME: u32 = 0x45a3;
const TAG_STRING: u32 = 0x4487;
const FILE: u32 = 0x61a7;
const FILE_NAME: u32 = 0x466e;
const FILE_TYPE: u32 = 0x4660;
const FILE_DATA: u32 = 0x465c;
/// The level of an album; above it are collections, below it parts of tracks.
const ALBUM: u64 = 50;

/// The body of a `Tags` element, or its front. Tags of another track than the one with this UID are not ours.
pub(crate) fn matroska_tags(body: &[u8], track: Option<u64>, metadata: &mut TrackMetadata) {
    let (mut own, mut album) = (Tag::default(), Tag::default());
    for (_, tag) in ebml::children(body).filter(|(id, _)| *id == TAG) {
        let targets = ebml::children(tag).find(|(id, _)| *id == TARGETS);
        let targets = targets.map_or(&b""[..], |(_, targets)| targets);
        let level = ebml::children(targets).find(|(id, _)| *id == LEVEL);
        let level = level.map(|(_, value)| ebml::unsigned(value));
        if !is_ours(targets, track) || level.is_some_and(|level| level > ALBUM) {
            continue;
        }
        for (_, simple) in ebml::children(tag).filter(|(id, _)| *id == SIMPLE_TAG) {
            let field = |wanted| ebml::children(simple).find(|(id, _)| *id == wanted);
            if let (Some((_, name)), Some((_, value))) = (field(TAG_NAME), field(TAG_STRING)) {
                // Where no level is stated, names are meant as in Vorbis comments.
                if level == Some(ALBUM) {
                    album.bytes(of_album(name), value);
                } else {
                    own.bytes(of_track(name), value);
                }
            }
        }
    }
    own.fill(metadata);
    album.fill(metadata);
    if metadata.artist.is_none() {
        metadata.artist.clone_from(&metadata.album_artist);
    }
}

/// Whether what a tag is of is the track, or all there is.
fn is_ours(targets: &[u8], track: Option<u64>) -> bool {
    let mut tracks = ebml::children(targets)
        .filter(|(id, value)| *id == TRACK_UID && ebml::unsigned(value) != 0)
        .map(|(_, value)| ebml::unsigned(value))
        .peekable();
    let is_of_track = tracks.peek().is_none() || tracks.any(|uid| Some(uid) == track);
    let is_of_part = ebml::children(targets).any(|(id, value)| {
        matches!(id, EDITION_UID | CHAPTER_UID | ATTACHMENT_UID) && ebml::unsigned(value) != 0
    });
    is_of_track && !is_of_part
}

fn of_track(name: &[u8]) -> &[u8] {
    match name {
        b"REPLAYGAIN_GAIN" => b"REPLAYGAIN_TRACK_GAIN",
        b"REPLAYGAIN_PEAK" => b"REPLAYGAIN_TRACK_PEAK",
        other => other,
    }
}

fn of_album(name: &[u8]) -> &[u8] {
    match name {
        b"TITLE" => b"ALBUM",
        b"ARTIST" => b"ALBUMARTIST",
        b"PART_NUMBER" => b"DISCNUMBER",
        b"REPLAYGAIN_GAIN" => b"REPLAYGAIN_ALBUM_GAIN",
        b"REPLAYGAIN_PEAK" => b"REPLAYGAIN_ALBUM_PEAK",
        other => other,
    }
}

/// The body of an `Attachments` element, or its front.
pub(crate) fn matroska_attachments(body: &[u8], metadata: &mut TrackMetadata) {
    for part in ebml::parts(body).filter(|part| part.id == FILE) {
        matroska_attachment(part.front, metadata);
    }
}

/// The body of an attached file, or its front.
pub(crate) fn matroska_attachment(body: &[u8], metadata: &mut TrackMetadata) {
    let (mut name, mut written) = (String::new(), String::new());
    let mut data = None;
    for part in ebml::parts(body) {
        match part.id {
            FILE_NAME => name = text(part.front).to_ascii_lowercase(),
            FILE_TYPE => written = text(part.front).to_ascii_lowercase(),
            FILE_DATA => data = Some(part),
            _ => {}
        }
    }
    let Some(data) = data.filter(|_| written.starts_with("image/")) else {
        return;
    };
    // `cover` and `small_cover` are the names that the specification gives (§21.1).
    let kind = if name.starts_with("cover.") {
        PictureKind::Front
    } else {
        PictureKind::Other
    };
    let media_type = picture::media_type(&written);
    let mut tag = Tag::default();
    if data.front.len() as u64 == data.size {
        tag.picture(kind, &media_type, data.front);
    } else {
        tag.passed_over(kind, &media_type, data.size);
    }
    tag.fill(metadata);
}
