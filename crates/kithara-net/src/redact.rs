//! What may be printed of a URL and of text a server sent.

use std::fmt;
use std::sync::Arc;

use url::{Host, Url};

/// The most bytes of anything a server chose that end up in a message.
const MAX_TEXT: usize = 200;

/// A URL with everything taken out that may be a secret: scheme, host, port and the path up to its last `/`.
///
/// User, password, query, fragment and the file name never enter the value, so that no way of printing it can show
/// them. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedactedUrl(Arc<str>);

impl RedactedUrl {
    /// Redacts `url`.
    pub fn new(url: &Url) -> Self {
        let host = match url.host() {
            Some(Host::Ipv6(address)) => format!("[{address}]"),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        // An opaque path (`data:`, `javascript:`) is content, not a place.
        let folder = match url.path().rfind('/') {
            Some(at) if !url.cannot_be_a_base() => &url.path()[..=at],
            _ => "",
        };
        Self(escaped(&format!("{}://{host}{port}{folder}?...", url.scheme())).into())
    }

    /// The redacted text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Url> for RedactedUrl {
    fn from(url: &Url) -> Self {
        Self::new(url)
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Server text made safe for a log line: control and non-ASCII characters escaped, cut to 200 bytes.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let before = out.len();
        match character {
            ' '..='~' => out.push(character),
            _ => out.extend(character.escape_default()),
        }
        if out.len() > MAX_TEXT - 3 {
            out.truncate(before);
            out.push_str("...");
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_url_holds_no_secret() {
        let cases = [
            (
                "https://user:canary@h.example/a/b.mp3?canary#canary",
                "https://h.example/a/?...",
            ),
            (
                "https://h.example:8443/canary.mp3",
                "https://h.example:8443/?...",
            ),
            ("http://[::1]:80/x/canary?canary", "http://[::1]/x/?..."),
            ("http://127.1:8080/canary", "http://127.0.0.1:8080/?..."),
            ("data:text/plain,canary", "data://?..."),
            ("javascript:canary/canary/canary", "javascript://?..."),
            ("file:///music/canary.mp3", "file:///music/?..."),
        ];
        for (url, expected) in cases {
            let redacted = RedactedUrl::new(&Url::parse(url).unwrap());
            assert_eq!(redacted.to_string(), expected, "{url}");
            assert_eq!(format!("{redacted:?}"), expected, "{url}");
        }
    }

    #[test]
    fn server_text_cannot_break_a_line_and_is_cut() {
        assert_eq!(
            escaped("a\r\nb\u{1b}[31m\u{202e}"),
            "a\\r\\nb\\u{1b}[31m\\u{202e}"
        );
        for length in [0, 1, 196, 197, 198, 200, 1000, 200_000] {
            assert!(escaped(&"x".repeat(length)).len() <= MAX_TEXT, "{length}");
            assert!(escaped(&"\n".repeat(length)).len() <= MAX_TEXT, "{length}");
        }
        assert_eq!(escaped(&"x".repeat(197)).len(), 197);
        let long = Url::parse(&format!("https://h.example/{}/f", "p/".repeat(5000))).unwrap();
        assert!(RedactedUrl::new(&long).as_str().len() <= MAX_TEXT);
    }
}
