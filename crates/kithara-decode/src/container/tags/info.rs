//! Short lists of texts: RIFF's and CAF's.

use super::Tag;
use crate::TrackMetadata;

/// A `LIST` chunk of the kind `INFO`.
pub(crate) fn riff_info(list: &[u8], metadata: &mut TrackMetadata) {
    let Some(mut rest) = list.strip_prefix(b"INFO") else {
        return;
    };
    let mut tag = Tag::default();
    while rest.len() >= 8 {
        let length = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        let value = &rest[8..];
        let value = &value[..value.len().min(length)];
        let name: &[u8] = match &rest[..4] {
            b"INAM" => b"TITLE",
            b"IART" => b"ARTIST",
            b"IPRD" => b"ALBUM",
            b"IAAR" => b"ALBUMARTIST",
            b"IMUS" => b"COMPOSER",
            b"IPRT" | b"ITRK" | b"TRCK" => b"TRACK",
            b"IFRM" => b"TRACKTOTAL",
            b"IGNR" => b"GENRE",
            b"ICRD" => b"DATE",
            b"ICMT" => b"COMMENT",
            _ => b"",
        };
        tag.bytes(name, ended(value));
        let next = 8usize.saturating_add(length).saturating_add(length & 1);
        rest = rest.get(next..).unwrap_or_default();
    }
    tag.fill(metadata);
}

/// The body of an `info` chunk of CAF: a count, then names and values, each with a zero behind it.
pub(crate) fn caf_info(info: &[u8], metadata: &mut TrackMetadata) {
    let mut tag = Tag::default();
    let mut fields = info.get(4..).unwrap_or_default().split(|byte| *byte == 0);
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        tag.bytes(name, value);
    }
    tag.fill(metadata);
}

/// Up to the first zero.
fn ended(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}
