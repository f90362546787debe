//! Text that containers carry about a title.

use crate::TrackMetadata;

/// The longest text kept.
const MAX_TEXT: usize = 4096;
/// The longest name of a tag looked at.
const MAX_NAME: usize = 64;

/// Text of at most `length` bytes, without the zeros and spaces around it.
pub(crate) fn text(bytes: &[u8], length: usize) -> Option<String> {
    let bytes = &bytes[..bytes.len().min(length).min(MAX_TEXT)];
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(['\0', ' ', '\n', '\r']).to_owned();
    (!text.is_empty()).then_some(text)
}

/// Sets a field unless an earlier tag did.
pub(crate) fn set(field: &mut Option<String>, value: Option<String>) {
    if field.is_none() {
        *field = value;
    }
}

/// A `LIST` chunk of the kind `INFO`.
pub(crate) fn riff_info(list: &[u8], metadata: &mut TrackMetadata) {
    let Some(mut rest) = list.strip_prefix(b"INFO") else {
        return;
    };
    while rest.len() >= 8 {
        let length = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        let value = text(&rest[8..], length);
        match &rest[..4] {
            b"INAM" => set(&mut metadata.title, value),
            b"IART" => set(&mut metadata.artist, value),
            b"IPRD" => set(&mut metadata.album, value),
            b"IPRT" | b"ITRK" => set(&mut metadata.track, value),
            b"IGNR" => set(&mut metadata.genre, value),
            b"ICRD" => set(&mut metadata.date, value),
            b"ICMT" => set(&mut metadata.comment, value),
            _ => {}
        }
        let next = 8usize.saturating_add(length).saturating_add(length & 1);
        rest = rest.get(next..).unwrap_or_default();
    }
}

/// A Vorbis comment block: vendor, then `NAME=value` pairs, lengths in little endian.
pub(crate) fn vorbis_comment(block: &[u8], metadata: &mut TrackMetadata) {
    let mut rest = block;
    if prefixed(&mut rest).is_none() {
        return;
    }
    let Some((count, tail)) = rest.split_at_checked(4) else {
        return;
    };
    let count = u32::from_le_bytes([count[0], count[1], count[2], count[3]]);
    rest = tail;
    for _ in 0..count {
        let Some(pair) = prefixed(&mut rest) else {
            return;
        };
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let value = text(&pair[equals + 1..], MAX_TEXT);
        named(&pair[..equals], value, metadata);
    }
}

/// A tag by the name Vorbis comments, APE tags and Matroska share, in any case.
pub(crate) fn named(name: &[u8], value: Option<String>, metadata: &mut TrackMetadata) {
    // None of those that are known is longer.
    let name = &name[..name.len().min(MAX_NAME)];
    match String::from_utf8_lossy(name).to_ascii_uppercase().as_str() {
        "TITLE" => set(&mut metadata.title, value),
        "ARTIST" => set(&mut metadata.artist, value),
        "ALBUM" => set(&mut metadata.album, value),
        "ALBUMARTIST" | "ALBUM_ARTIST" | "ALBUM ARTIST" => set(&mut metadata.album_artist, value),
        "TRACKNUMBER" | "TRACK" | "PART_NUMBER" => set(&mut metadata.track, value),
        "GENRE" => set(&mut metadata.genre, value),
        "DATE" | "YEAR" | "DATE_RELEASED" => set(&mut metadata.date, value),
        "COMMENT" | "DESCRIPTION" => set(&mut metadata.comment, value),
        _ => {}
    }
}

/// A value behind its length of four bytes.
fn prefixed<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (head, body) = rest.split_at_checked(4)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let (value, tail) = body.split_at_checked(length)?;
    *rest = tail;
    Some(value)
}
