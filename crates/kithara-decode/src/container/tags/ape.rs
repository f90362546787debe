//! APE tags, versions 1 and 2, as they stand at the end of a file.

use super::{Tag, picture, text};
use crate::TrackMetadata;
use crate::metadata::PictureKind;

/// The size of a footer, and of a header.
pub(super) const FOOTER: usize = 32;
/// Items of a tag.
const MAX_ITEMS: u32 = 10_000;
/// What an item holds, in its flags.
const KIND: u32 = 6;
const TEXT: u32 = 0;
const BINARY: u32 = 2;

/// What a footer says: the bytes of the items and of itself.
pub(super) fn size(footer: &[u8]) -> Option<u64> {
    let size = footer
        .strip_prefix(b"APETAGEX")
        .and_then(|rest| rest.get(4..8))?;
    let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]);
    (size as usize >= FOOTER).then_some(size.into())
}

/// The items of a tag, whose footer is at the end of these bytes.
pub(super) fn ape(bytes: &[u8], metadata: &mut TrackMetadata) {
    let Some((mut rest, footer)) = bytes.split_last_chunk::<FOOTER>() else {
        return;
    };
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let count = word(&footer[16..20]).min(MAX_ITEMS);
    // Values of version 1 are in Latin-1, and texts all.
    let first = word(&footer[8..12]) < 2000;
    let mut tag = Tag::default();
    for _ in 0..count {
        let Some((head, body)) = rest.split_at_checked(8) else {
            break;
        };
        let (length, flags) = (word(&head[..4]) as usize, word(&head[4..]));
        let Some(end) = body.iter().take(256).position(|byte| *byte == 0) else {
            break;
        };
        let name = &body[..end];
        let Some((value, tail)) = body[end + 1..].split_at_checked(length) else {
            break;
        };
        match flags & KIND {
            TEXT => texts(name, value, &mut tag),
            BINARY if !first => cover(name, value, &mut tag),
            _ => {}
        }
        rest = tail;
    }
    tag.fill(metadata);
}

/// Values with a zero between.
fn texts(name: &[u8], value: &[u8], tag: &mut Tag) {
    for value in value.split(|byte| *byte == 0).take(64) {
        tag.bytes(name, value);
    }
}

/// A file name, a zero, the file.
fn cover(name: &[u8], value: &[u8], tag: &mut Tag) {
    let name = name.to_ascii_lowercase();
    let (Some(what), Some(end)) = (
        name.strip_prefix(b"cover art ("),
        value.iter().take(1024).position(|byte| *byte == 0),
    ) else {
        return;
    };
    let kind = match what {
        b"front)" => PictureKind::Front,
        b"back)" => PictureKind::Back,
        _ => PictureKind::Other,
    };
    let file = text(&value[..end]);
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    tag.picture(kind, &picture::media_type(extension), &value[end + 1..]);
}
