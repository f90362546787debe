//! What the caller names: a URL or a path.

use std::fmt;
use std::path::{Path, PathBuf};

use kithara_net::RedactedUrl;
use url::Url;

use crate::Error;

/// Where a title is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceSrc {
    /// An `http` or `https` URL.
    Url(Url),
    /// A path on this machine, absolute or relative to the current directory.
    Path(PathBuf),
}

/// Prints a URL without user information, file name and query.
impl fmt::Display for ResourceSrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => RedactedUrl::new(url).fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Debug for ResourceSrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ResourceSrc {
    /// Reads what a person would type: an `http`, `https` or `file` URL, or a path.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for an empty text or a URL that does not parse,
    /// [`ErrorKind::Policy`](crate::ErrorKind::Policy) for any other scheme and for a `file` URL with a host.
    pub fn parse(input: &str) -> Result<Self, Error> {
        if input.trim().is_empty() {
            return Err(Error::config("the source is empty"));
        }
        let Some(scheme) = scheme(input) else {
            return Ok(Self::Path(PathBuf::from(input)));
        };
        match scheme.as_str() {
            "http" | "https" => Url::parse(input)
                .map(Self::Url)
                .map_err(|error| Error::config(format!("the URL does not parse: {error}"))),
            "file" => file_path(input).map(Self::Path),
            other => Err(Error::scheme(other)),
        }
    }
}

/// The scheme of a URL, lower case, by its `://`. A Windows path or a name with a colon has none.
fn scheme(input: &str) -> Option<String> {
    let (scheme, _) = input.split_once("://").or_else(|| {
        // `file:/path` is a URL as well, and nothing else without `//` is what a person means by one.
        input
            .split_once(':')
            .filter(|(scheme, rest)| scheme.eq_ignore_ascii_case("file") && rest.starts_with('/'))
    })?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (!scheme.is_empty() && scheme.bytes().all(valid)).then(|| scheme.to_ascii_lowercase())
}

/// The local path of a `file` URL (RFC 8089). One with a host names another machine and is refused.
fn file_path(input: &str) -> Result<PathBuf, Error> {
    let url = Url::parse(input)
        .map_err(|error| Error::config(format!("the file URL does not parse: {error}")))?;
    if url
        .host_str()
        .is_some_and(|host| !host.is_empty() && host != "localhost")
    {
        return Err(Error::scheme("file URL with a host"));
    }
    url.to_file_path()
        .map_err(|()| Error::config("the file URL names no path of this machine"))
}

impl TryFrom<&str> for ResourceSrc {
    type Error = Error;

    fn try_from(input: &str) -> Result<Self, Error> {
        Self::parse(input)
    }
}

impl From<Url> for ResourceSrc {
    fn from(url: Url) -> Self {
        Self::Url(url)
    }
}

impl From<PathBuf> for ResourceSrc {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

/// How a title is going to be opened, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceType {
    /// A file fetched over HTTP.
    RemoteFile,
    /// A file on this machine.
    LocalFile,
    /// An HLS playlist, at a URL or on this machine.
    HlsStream,
}

impl SourceType {
    /// Judges by the name alone: `.m3u8` is HLS, everything else is a file. What turns out to be a playlist by its first bytes is
    /// opened as HLS nevertheless.
    pub fn detect(src: &ResourceSrc) -> Self {
        let (name, file) = match src {
            ResourceSrc::Url(url) => (Path::new(url.path()), Self::RemoteFile),
            ResourceSrc::Path(path) => (path.as_path(), Self::LocalFile),
        };
        let playlist = name
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("m3u8"));
        if playlist { Self::HlsStream } else { file }
    }

    /// Whether a hint says that it is a playlist.
    pub(crate) fn is_playlist_hint(hint: &str) -> bool {
        let plain = hint.trim_start_matches('.').to_ascii_lowercase();
        matches!(plain.as_str(), "hls" | "m3u8") || is_playlist_media_type(&plain)
    }
}

/// Those that are in use (RFC 8216 §4).
fn is_playlist_media_type(media_type: &str) -> bool {
    #[cfg(feature = "hls")]
    return kithara_hls::is_playlist_media_type(media_type);
    #[cfg(not(feature = "hls"))]
    return media_type.ends_with("mpegurl");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn what_a_person_types_is_understood() {
        for (input, printed, kind) in [
            (
                "https://example.com/a/song.mp3?token=1",
                "https://example.com/a/?...",
                SourceType::RemoteFile,
            ),
            (
                "HTTP://EXAMPLE.com/a/Live.M3U8",
                "http://example.com/a/",
                SourceType::HlsStream,
            ),
            ("song.flac", "song.flac", SourceType::LocalFile),
            (
                "../music/a b.flac",
                "../music/a b.flac",
                SourceType::LocalFile,
            ),
            ("/abs/list.m3u8", "/abs/list.m3u8", SourceType::HlsStream),
            (
                "file:///abs/a%20b.flac",
                "/abs/a b.flac",
                SourceType::LocalFile,
            ),
            ("file:/abs/x.wav", "/abs/x.wav", SourceType::LocalFile),
            (
                "file://localhost/abs/x.wav",
                "/abs/x.wav",
                SourceType::LocalFile,
            ),
            (
                "C:\\music\\a.mp3",
                "C:\\music\\a.mp3",
                SourceType::LocalFile,
            ),
            ("12:30 live.mp3", "12:30 live.mp3", SourceType::LocalFile),
        ] {
            let src = ResourceSrc::parse(input).expect(input);
            assert!(src.to_string().starts_with(printed), "{input}: {src}");
            assert_eq!(SourceType::detect(&src), kind, "{input}");
        }
    }

    #[test]
    fn what_cannot_be_opened_is_refused_by_name() {
        for (input, kind) in [
            ("", ErrorKind::Config),
            ("  ", ErrorKind::Config),
            ("http://", ErrorKind::Config),
            ("https://exa mple/", ErrorKind::Config),
            ("ftp://example.com/a.mp3", ErrorKind::Policy),
            ("data://x", ErrorKind::Policy),
            ("javascript://alert", ErrorKind::Policy),
            ("file://server/share/a.mp3", ErrorKind::Policy),
        ] {
            let error = ResourceSrc::parse(input).expect_err(input);
            assert_eq!(error.kind(), kind, "{input}: {error}");
        }
    }

    #[test]
    fn a_printed_source_keeps_its_secrets() {
        let src = ResourceSrc::parse("https://me:pass@example.com/a?key=canary#canary").unwrap();
        let printed = format!("{src} {src:?}");
        assert!(
            !printed.contains("pass") && !printed.contains("canary"),
            "{printed}"
        );
    }

    #[test]
    fn hints_name_playlists_in_several_ways() {
        for hint in [
            "hls",
            "M3U8",
            ".m3u8",
            "application/vnd.apple.mpegurl",
            "Audio/X-MpegURL",
        ] {
            assert!(SourceType::is_playlist_hint(hint), "{hint}");
        }
        for hint in ["", "mp3", "audio/mpeg", "m3u8.mp3"] {
            assert!(!SourceType::is_playlist_hint(hint), "{hint}");
        }
    }
}
