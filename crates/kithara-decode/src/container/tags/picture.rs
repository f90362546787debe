//! Pictures as FLAC describes them (RFC 9639 §8.8), and what is common to all.

use super::{MAX_NAME, Tag};
use crate::TrackMetadata;
use crate::metadata::PictureKind;

/// A block of a FLAC picture of `whole` bytes, or its front.
pub(crate) fn flac_picture(front: &[u8], whole: u64, metadata: &mut TrackMetadata) {
    let mut tag = Tag::default();
    block(front, whole, &mut tag);
    tag.fill(metadata);
}

/// The same, within a tag.
pub(super) fn block(front: &[u8], whole: u64, tag: &mut Tag) {
    let mut rest = front;
    let Some((kind, written, length)) = head(&mut rest) else {
        return;
    };
    if written == b"-->" {
        // An address of one.
        return;
    }
    let media_type = media_type(&super::text(written));
    match usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length))
    {
        Some(bytes) => tag.picture(kind, &media_type, bytes),
        None if (front.len() - rest.len()) as u64 + length <= whole => {
            tag.passed_over(kind, &media_type, length);
        }
        None => {}
    }
}

/// What stands before the bytes: what it shows, its media type as written, its length.
fn head<'a>(rest: &mut &'a [u8]) -> Option<(PictureKind, &'a [u8], u64)> {
    let kind = kind(number(rest)?);
    let length = number(rest)?;
    let written = part(rest, length)?;
    let length = number(rest)?;
    // The description; then width, height, depth and colours.
    part(rest, length)?;
    part(rest, 16)?;
    Some((kind, written, number(rest)?.into()))
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (four, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u32::from_be_bytes(*four))
}

fn part<'a>(rest: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (part, tail) = rest.split_at_checked(length as usize)?;
    *rest = tail;
    Some(part)
}

/// By the numbers of ID3 (ID3v2.4 frames §4.14).
pub(super) fn kind(number: u32) -> PictureKind {
    match number {
        3 => PictureKind::Front,
        4 => PictureKind::Back,
        _ => PictureKind::Other,
    }
}

/// A media type as written, if it is one of a picture, or the last part of one.
pub(super) fn media_type(written: &str) -> String {
    let written = written.trim_matches('\0').trim().to_ascii_lowercase();
    let part = written.strip_prefix("image/").unwrap_or(&written);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    match part {
        "jpg" => "image/jpeg".to_owned(),
        _ if !part.is_empty() && part.len() <= MAX_NAME && part.chars().all(is_name) => {
            format!("image/{part}")
        }
        _ => "application/octet-stream".to_owned(),
    }
}
