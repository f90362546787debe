//! Lines of a playlist: found in one pass, whatever is in them.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::error::{Limit, PlaylistError};
use crate::limits::{LINE_BYTES, PlaylistLimits};

/// One line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// From 1 on.
    pub(crate) number: u32,
    pub(crate) content: Content<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// `#EXT...`: the name without `#`, and what follows the colon.
    Tag(&'a str, Cow<'a, str>),
    Reference(Cow<'a, str>),
}

/// Checks that the bytes can be a playlist (RFC 8216 §4.1), as far as their front and size show it, and gives its lines.
pub(crate) fn lines(bytes: &[u8], limits: PlaylistLimits) -> Result<Lines<'_>, PlaylistError> {
    if bytes.len() > limits.bytes {
        return Err(PlaylistError::TooLarge {
            limit: Limit::Bytes,
            most: limits.bytes as u64,
            line: 0,
        });
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return Err(PlaylistError::NotAPlaylist {
            what: "UTF-16 text",
        });
    }
    if !is_playlist(text) {
        return Err(PlaylistError::NotAPlaylist { what: called(text) });
    }
    if text.contains(&0) {
        return Err(PlaylistError::NotAPlaylist {
            what: "binary data",
        });
    }
    Ok(Lines {
        rest: text,
        number: 0,
    })
}

/// Whether what begins like this is an HLS or M3U playlist, whatever its name and media type say.
///
/// A byte-order mark and blank lines may come before the `#EXTM3U` that all of them begin with.
#[must_use]
pub fn is_playlist(front: &[u8]) -> bool {
    let front = front.strip_prefix(b"\xef\xbb\xbf").unwrap_or(front);
    let Some(after) = front.trim_ascii_start().strip_prefix(b"#EXTM3U") else {
        return false;
    };
    // What is called `#EXTM3UX` is another thing.
    after.first().is_none_or(u8::is_ascii_whitespace)
}

/// Whether a media type is that of a playlist (RFC 8216 §4, and what servers made of it before). Parameters are ignored.
#[must_use]
pub fn is_playlist_media_type(media_type: &str) -> bool {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    [
        "application/vnd.apple.mpegurl",
        "application/x-mpegurl",
        "application/mpegurl",
        "audio/mpegurl",
        "audio/x-mpegurl",
    ]
    .iter()
    .any(|known| bare.eq_ignore_ascii_case(known))
}

/// What it is, if it is no playlist.
fn called(text: &[u8]) -> &'static str {
    let front = text.trim_ascii_start();
    if front.is_empty() {
        "nothing"
    } else if front.starts_with(b"<") {
        "a web page"
    } else if front.contains(&0) {
        "binary data"
    } else {
        "something without #EXTM3U"
    }
}

/// The lines of a playlist, without those that are blank or comments.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
    number: u32,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, PlaylistError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let (line, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            self.rest = rest.get(1..).unwrap_or_default();
            self.number = self.number.saturating_add(1);
            if line.len() > LINE_BYTES {
                return Some(Err(self.too_long()));
            }
            if let Some(content) = content(line.trim_ascii()) {
                let number = self.number;
                return Some(Ok(Line { number, content }));
            }
        }
        None
    }
}

impl Lines<'_> {
    fn too_long(&self) -> PlaylistError {
        PlaylistError::TooLarge {
            limit: Limit::LineBytes,
            most: LINE_BYTES as u64,
            line: self.number,
        }
    }
}

fn content(line: &[u8]) -> Option<Content<'_>> {
    let Some(marked) = line.strip_prefix(b"#") else {
        return (!line.is_empty()).then(|| Content::Reference(encoded(line)));
    };
    if !marked.starts_with(b"EXT") {
        return None;
    }
    let colon = marked.iter().position(|byte| *byte == b':');
    let (name, value) = marked.split_at(colon.unwrap_or(marked.len()));
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let name = str::from_utf8(name.trim_ascii_end()).ok()?;
    Some(Content::Tag(name, String::from_utf8_lossy(value)))
}

/// A reference in some older encoding names bytes of a path: they are kept as such.
fn encoded(line: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(line) {
        return Cow::Borrowed(text);
    }
    let mut text = String::new();
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing into a string can't fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<(u32, String)>, PlaylistError> {
        let shown = |line: Line<'_>| match line.content {
            Content::Tag(name, value) => (line.number, format!("{name}={value}")),
            Content::Reference(text) => (line.number, text.into_owned()),
        };
        lines(text, PlaylistLimits::default())?
            .map(|line| line.map(shown))
            .collect()
    }

    #[test]
    fn lines_are_found_however_they_end() {
        let expected = vec![
            (1, "EXTM3U=".to_owned()),
            (2, "EXT-X-VERSION=3".to_owned()),
            (5, "a b.ts".to_owned()),
        ];
        for text in [
            "#EXTM3U\n#EXT-X-VERSION:3\n# remark\n\na b.ts",
            "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#\r\n\r\na b.ts\r\n",
            "\u{feff}#EXTM3U \n#EXT-X-VERSION: 3 \n\t\n#remark\n  a b.ts\t\n\n",
        ] {
            assert_eq!(read(text.as_bytes()).as_ref(), Ok(&expected), "{text:?}");
        }
        let lines = read(b"\n \n#EXTM3U").map(|lines| lines.len());
        assert_eq!(lines, Ok(1), "blank lines before it");
    }

    #[test]
    fn bytes_of_other_encodings_stay_what_they_are_in_references() {
        let text = b"#EXTM3U\n#EXTINF:1,caf\xe9\ncaf\xe9.ts\n";
        let lines = read(text).unwrap_or_default();
        assert_eq!(lines[2].1, "caf%E9.ts");
        assert_eq!(lines[1].1, "EXTINF=1,caf\u{fffd}");
    }

    #[test]
    fn what_is_no_playlist_is_called_what_it_is() {
        let utf16: Vec<u8> = "\u{feff}#EXTM3U\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let headless: Vec<u8> = "#EXTM3U\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (text, what) in [
            (&b""[..], "nothing"),
            (b" \n\n", "nothing"),
            (b"\xef\xbb\xbf", "nothing"),
            (b"<!DOCTYPE html><html>", "a web page"),
            (b"\n<html>", "a web page"),
            (&utf16, "UTF-16 text"),
            (&headless, "binary data"),
            (b"#EXTM3U\nseg\0.ts\n", "binary data"),
            (b"#EXTM3U8\n", "something without #EXTM3U"),
            (b"#EXTINF:1,\na.ts", "something without #EXTM3U"),
            (b"Forbidden", "something without #EXTM3U"),
        ] {
            assert_eq!(
                read(text),
                Err(PlaylistError::NotAPlaylist { what }),
                "{what}"
            );
        }
    }

    #[test]
    fn sizes_are_limited() {
        let mut text = b"#EXTM3U\n".to_vec();
        text.extend(vec![b'a'; LINE_BYTES]);
        assert_eq!(read(&text).map(|lines| lines.len()), Ok(2));
        text.push(b'a');
        let too_long = PlaylistError::TooLarge {
            limit: Limit::LineBytes,
            most: LINE_BYTES as u64,
            line: 2,
        };
        assert_eq!(read(&text), Err(too_long));
        let mut text = b"#EXTM3U\n".to_vec();
        text.resize(4 << 20, b'\n');
        assert_eq!(read(&text).map(|lines| lines.len()), Ok(1));
        text.push(b'\n');
        let refused = read(&text).err();
        assert!(matches!(
            refused,
            Some(PlaylistError::TooLarge {
                limit: Limit::Bytes,
                ..
            })
        ));
    }

    #[test]
    fn media_types_of_playlists_are_known() {
        for known in [
            "application/vnd.apple.mpegurl",
            "Audio/MPEGURL; charset=utf-8",
        ] {
            assert!(is_playlist_media_type(known));
        }
        for other in [
            "",
            "audio/mpeg",
            "text/html",
            "application/vnd.apple.mpegurlx",
        ] {
            assert!(!is_playlist_media_type(other));
        }
    }
}
