//! Whether the first bytes of a body are a web page or a playlist rather than media.

/// What the beginning of a body looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// Not like markup.
    Fine,
    /// Like HTML or XML.
    Markup,
    /// Like a playlist (RFC 8216 §4.3.1.1).
    Playlist,
    /// Too little to tell.
    Unclear,
}

/// What every playlist of HLS, and many others, begin with.
const PLAYLIST: &[u8] = b"#EXTM3U";

/// Only so much white space before the first character is looked through.
const MAX_BLANK: usize = 1024;

/// Judges the beginning of a body. No audio container begins with a `<` that a letter, `!`, `?` or `/` follows.
pub(crate) fn sniff(start: &[u8]) -> Looks {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    if start.len() < BOM.len() && BOM.starts_with(start) {
        return Looks::Unclear;
    }
    if is_utf16_markup(start) {
        return Looks::Markup;
    }
    let text = start.strip_prefix(BOM).unwrap_or(start);
    let blank = text
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    if blank > MAX_BLANK {
        return Looks::Fine;
    }
    match text.get(blank..).unwrap_or_default() {
        [] | [b'<'] => Looks::Unclear,
        [b'<', b'!' | b'?' | b'/' | b'a'..=b'z' | b'A'..=b'Z', ..] => Looks::Markup,
        front if front.starts_with(PLAYLIST) => Looks::Playlist,
        front if PLAYLIST.starts_with(front) => Looks::Unclear,
        _ => Looks::Fine,
    }
}

/// A byte-order mark and `<` in UTF-16; `FF FE 3C` is no valid MPEG audio header (reserved sampling rate).
fn is_utf16_markup(start: &[u8]) -> bool {
    start.starts_with(b"\xff\xfe<\0") || start.starts_with(b"\xfe\xff\0<")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_and_playlists_are_told_from_audio_by_their_first_bytes() {
        let cases: [(&[u8], Looks); 27] = [
            (b"<!DOCTYPE html>", Looks::Markup),
            (b"<html>", Looks::Markup),
            (b"\r\n\t <HTML>", Looks::Markup),
            (b"\xef\xbb\xbf\n<head>", Looks::Markup),
            (b"<?xml version=\"1.0\"?>", Looks::Markup),
            (b"<!-- hi -->", Looks::Markup),
            (b"\xff\xfe<\0h\0", Looks::Markup),
            (b"\xfe\xff\0<\0h", Looks::Markup),
            (b"", Looks::Unclear),
            (b"<", Looks::Unclear),
            (b"  ", Looks::Unclear),
            (b"\xef", Looks::Unclear),
            (b"\xef\xbb\xbf<", Looks::Unclear),
            (b"ID3\x04", Looks::Fine),
            (b"fLaC", Looks::Fine),
            (b"RIFF", Looks::Fine),
            (b"OggS", Looks::Fine),
            (b"\xff\xfb\x90\x00", Looks::Fine),
            (b"\xff\xf1", Looks::Fine),
            (b"\0\0\0\x20ftyp", Looks::Fine),
            (b"\x1aE\xdf\xa3", Looks::Fine),
            (b"<\x00", Looks::Fine),
            (b"#EXTM3U", Looks::Playlist),
            (b"\xef\xbb\xbf\n#EXTM3U\r\n", Looks::Playlist),
            (b"#EXTM", Looks::Unclear),
            (b"#EXTINF", Looks::Fine),
            (b"\xff\xfe\x90\x00", Looks::Fine),
        ];
        for (start, expected) in cases {
            assert_eq!(sniff(start), expected, "{start:?}");
        }
        assert_eq!(sniff(&[b' '; 2000]), Looks::Fine);
    }
}
