//! ID3v1 and 1.1: the last 128 bytes of a file.

use super::{Tag, genres};
use crate::TrackMetadata;

/// The size of a tag.
pub(super) const BYTES: usize = 128;

/// Whether these bytes, up to the end of the file, are one.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.len() == BYTES && bytes.starts_with(b"TAG")
}

/// Reads it if it is one.
pub(super) fn id3v1(bytes: &[u8], metadata: &mut TrackMetadata) {
    if !is_one(bytes) {
        return;
    }
    let mut tag = Tag::default();
    let mut field = |name: &[u8], from: usize, length: usize| {
        let value = &bytes[from..from + length];
        let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
        tag.bytes(name, value);
    };
    field(b"TITLE", 3, 30);
    field(b"ARTIST", 33, 30);
    field(b"ALBUM", 63, 30);
    field(b"DATE", 93, 4);
    field(b"COMMENT", 97, 28);
    // Since 1.1 the last byte of the comment is a number where the one before is zero.
    if bytes[125] == 0 {
        tag.named(b"TRACK", &bytes[126].to_string());
    }
    if let Some(genre) = genres::by_number(bytes[127].into()) {
        tag.named(b"GENRE", genre);
    }
    tag.fill(metadata);
}
