//! Vorbis comments (Vorbis I §5), which FLAC and Opus use as well.

use super::{Tag, base64, picture, text};
use crate::TrackMetadata;
use crate::metadata::PictureKind;

/// Encoded characters that are enough for all that stands before a picture's bytes.
const GLANCE: usize = 1024;

/// A comment block: vendor, then `NAME=value` pairs, lengths in little endian. It may be only the front of one.
pub(crate) fn vorbis_comment(block: &[u8], metadata: &mut TrackMetadata) {
    let mut tag = Tag::default();
    let mut media_type = None;
    let mut rest = block;
    let count = prefixed(&mut rest).filter(|vendor| vendor.is_whole());
    let Some((count, tail)) = count.and_then(|_| rest.split_at_checked(4)) else {
        return;
    };
    rest = tail;
    for _ in 0..u32::from_le_bytes([count[0], count[1], count[2], count[3]]) {
        let Some(pair) = prefixed(&mut rest) else {
            break;
        };
        let Some(equals) = pair.front.iter().take(64).position(|byte| *byte == b'=') else {
            continue;
        };
        let (name, value) = (&pair.front[..equals], &pair.front[equals + 1..]);
        let whole = pair.length - equals - 1;
        if name.eq_ignore_ascii_case(b"METADATA_BLOCK_PICTURE") {
            coded_picture(value, whole, &mut tag);
        } else if name.eq_ignore_ascii_case(b"COVERARTMIME") {
            media_type = Some(text(value));
        } else if name.eq_ignore_ascii_case(b"COVERART") {
            bare_picture(value, whole, media_type.as_deref(), &mut tag);
        } else if pair.is_whole() {
            tag.bytes(name, value);
        }
    }
    tag.fill(metadata);
}

/// A block of a FLAC picture.
fn coded_picture(value: &[u8], whole: usize, tag: &mut Tag) {
    let is_whole = value.len() == whole;
    let front = if is_whole {
        value
    } else {
        &value[..value.len().min(GLANCE)]
    };
    // Without memory for all of it, there is for what it is.
    let decoded =
        base64::decode(front).or_else(|_| base64::decode(&value[..value.len().min(GLANCE)]));
    if let Ok(block) = decoded {
        picture::block(&block, whole as u64 / 4 * 3, tag);
    }
}

/// The picture alone, as old writers did it.
fn bare_picture(value: &[u8], whole: usize, media_type: Option<&str>, tag: &mut Tag) {
    let media_type = picture::media_type(media_type.unwrap_or_default());
    match base64::decode(value) {
        Ok(bytes) if value.len() == whole => tag.picture(PictureKind::Front, &media_type, &bytes),
        _ => tag.passed_over(PictureKind::Front, &media_type, whole as u64 / 4 * 3),
    }
}

/// A value, or as much of it as there is.
struct Prefixed<'a> {
    front: &'a [u8],
    length: usize,
}

impl Prefixed<'_> {
    fn is_whole(&self) -> bool {
        self.front.len() == self.length
    }
}

/// A value behind its length of four bytes; `None` where not even that is whole.
fn prefixed<'a>(rest: &mut &'a [u8]) -> Option<Prefixed<'a>> {
    let (head, body) = rest.split_at_checked(4)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let (front, tail) = body.split_at(body.len().min(length));
    *rest = tail;
    Some(Prefixed { front, length })
}
