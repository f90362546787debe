//! From a `file` URL to a path, for both kinds of systems, without looking at the disk.

use std::path::PathBuf;

use url::Url;

use crate::headers::percent_decoded;
use crate::policy::PolicyRule;

/// How a system writes paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Unix,
    Windows,
}

impl Style {
    const HERE: Self = match cfg!(windows) {
        true => Self::Windows,
        false => Self::Unix,
    };
}

/// Names that Windows takes for devices, in every folder and with every extension.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// The path that a `file` URL means on this system (RFC 8089). Query and fragment are no part of it.
///
/// Refused are other machines, and what could mean another place than it looks like: separators and steps upwards that were
/// hidden by percent-encoding, NULs, and on Windows devices, streams and names that the system would change.
pub(crate) fn of(url: &Url) -> Result<PathBuf, PolicyRule> {
    let bytes = in_style(url, Style::HERE)?;
    #[cfg(unix)]
    return Ok(std::os::unix::ffi::OsStringExt::from_vec(bytes))
        .map(|path: std::ffi::OsString| path.into());
    #[cfg(not(unix))]
    return String::from_utf8(bytes)
        .map(PathBuf::from)
        .map_err(|_| PolicyRule::Folder);
}

fn in_style(url: &Url, style: Style) -> Result<Vec<u8>, PolicyRule> {
    if url.host().is_some() {
        return Err(PolicyRule::Machine);
    }
    let segments = url.path().split('/').filter(|segment| !segment.is_empty());
    let mut path = Vec::new();
    for (place, segment) in segments.enumerate() {
        let name = percent_decoded(segment);
        let fits = match style {
            Style::Unix => is_plain(&name),
            Style::Windows if place == 0 => is_drive(&name),
            Style::Windows => is_plain(&name) && is_windows_name(&name),
        };
        if !fits {
            return Err(PolicyRule::Folder);
        }
        if style == Style::Unix {
            path.push(b'/');
        } else if place > 0 {
            path.push(b'\\');
        }
        path.extend_from_slice(&name);
    }
    match path.is_empty() {
        true => Err(PolicyRule::Folder),
        false => Ok(path),
    }
}

/// Whether it is the name of something in a folder.
fn is_plain(name: &[u8]) -> bool {
    !matches!(name, b"." | b"..") && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
}

fn is_drive(name: &[u8]) -> bool {
    matches!(name, [letter, b':'] if letter.is_ascii_alphabetic())
}

/// Whether Windows means by it what it says.
fn is_windows_name(name: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(name) else {
        return false;
    };
    let odd = |character: char| character < ' ' || "\\:*?\"<>|".contains(character);
    let stem = text.split('.').next().unwrap_or_default().trim_end();
    let stem = stem.to_uppercase();
    let number = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    let numbered = number.is_some_and(|number| match number.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        _ => matches!(number, "¹" | "²" | "³"),
    });
    !text.contains(odd) && !text.ends_with(['.', ' ']) && !numbered && !DEVICES.contains(&&*stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    use PolicyRule::{Folder, Machine};

    /// What a reference in a playlist at `base` means.
    fn check(style: Style, base: &str, cases: &[(&str, Result<&str, PolicyRule>)]) {
        let base = Url::parse(base).expect("a literal URL");
        for (reference, expected) in cases {
            // What is no URL at all is refused before.
            let Ok(url) = base.join(reference) else {
                assert!(expected.is_err(), "{reference}");
                continue;
            };
            assert_eq!(url.scheme(), "file", "{reference}");
            let path = in_style(&url, style);
            let path = path.map(|path| String::from_utf8_lossy(&path).into_owned());
            assert_eq!(path.as_deref(), expected.as_deref(), "{reference}");
        }
    }

    #[test]
    fn a_unix_path_is_what_the_url_says_and_no_more() {
        let cases = [
            ("a.ts", Ok("/music/album/a.ts")),
            ("./sub/a.ts", Ok("/music/album/sub/a.ts")),
            ("a%20b%C3%A9.ts", Ok("/music/album/a bé.ts")),
            ("a b.ts?query#fragment", Ok("/music/album/a b.ts")),
            ("a%3Fb%23c.ts", Ok("/music/album/a?b#c.ts")),
            ("a%25.ts", Ok("/music/album/a%.ts")),
            ("a%zz.ts", Ok("/music/album/a%zz.ts")),
            ("a%5Cb.ts", Ok("/music/album/a\\b.ts")),
            ("sub//a.ts", Ok("/music/album/sub/a.ts")),
            ("file:///x/a.ts", Ok("/x/a.ts")),
            ("FILE:/x/a.ts", Ok("/x/a.ts")),
            ("file:a.ts", Ok("/music/album/a.ts")),
            ("file://localhost/x/a.ts", Ok("/x/a.ts")),
            // Steps upwards are taken by whoever parses the URL.
            ("../a.ts", Ok("/music/a.ts")),
            ("%2e%2E/a.ts", Ok("/music/a.ts")),
            (".%2e/a.ts", Ok("/music/a.ts")),
            ("..\\a.ts", Ok("/music/a.ts")),
            ("../../../../../a.ts", Ok("/a.ts")),
            ("/etc/passwd", Ok("/etc/passwd")),
            ("\\etc\\passwd", Ok("/etc/passwd")),
            ("~/a.ts", Ok("/music/album/~/a.ts")),
            // What would be steps or separators once decoded.
            ("%2e%2e%2fa.ts", Err(Folder)),
            ("..%2fa.ts", Err(Folder)),
            ("sub%2Fa.ts", Err(Folder)),
            ("%2Fetc%2Fpasswd", Err(Folder)),
            ("a.ts%00.mp3", Err(Folder)),
            ("/", Err(Folder)),
            ("\\\\?\\x", Err(Folder)),
            ("//host/x", Err(Machine)),
            ("\\\\host\\x", Err(Machine)),
            ("/\\host/x", Err(Machine)),
            ("\\/host/x", Err(Machine)),
            ("file://host/x", Err(Machine)),
            ("file:\\\\host\\x", Err(Machine)),
            ("file://127.0.0.1/x", Err(Machine)),
            ("file://[::1]/x", Err(Machine)),
            ("FiLe:\t//host/x", Err(Machine)),
        ];
        check(Style::Unix, "file:///music/album/index.m3u8", &cases);
    }

    #[test]
    fn a_windows_path_has_a_drive_and_plain_names() {
        let cases = [
            ("a.ts", Ok("C:\\music\\album\\a.ts")),
            ("a%20b.ts", Ok("C:\\music\\album\\a b.ts")),
            ("../a.ts", Ok("C:\\music\\a.ts")),
            ("/x/a.ts", Ok("C:\\x\\a.ts")),
            ("\\x\\a.ts", Ok("C:\\x\\a.ts")),
            ("file:///d:/x/a.ts", Ok("d:\\x\\a.ts")),
            ("file:///d|/x/a.ts", Err(Folder)),
            ("/d:/x/a.ts", Ok("d:\\x\\a.ts")),
            ("conquest.ts", Ok("C:\\music\\album\\conquest.ts")),
            ("com10.ts", Ok("C:\\music\\album\\com10.ts")),
            ("..%5C..%5Ca.ts", Err(Folder)),
            ("%5C%5Chost%5Cx", Err(Folder)),
            ("%5C%5C%3F%5CC:%5Cx", Err(Folder)),
            ("./a.ts:stream", Err(Folder)),
            ("sub/c:/a.ts", Err(Folder)),
            ("a.ts.", Err(Folder)),
            ("a.ts%20", Err(Folder)),
            ("...", Err(Folder)),
            ("NUL", Err(Folder)),
            ("nul.ts", Err(Folder)),
            ("con .ts", Err(Folder)),
            ("COM1", Err(Folder)),
            ("lpt%C2%B9.ts", Err(Folder)),
            ("conin$", Err(Folder)),
            ("a%FF.ts", Err(Folder)),
            ("a%00.ts", Err(Folder)),
            ("file:///x/a.ts", Err(Folder)),
            ("//host/x", Err(Machine)),
            ("\\\\host\\x", Err(Machine)),
            ("\\\\?\\C:\\x", Err(Folder)),
            // What is left of these when the URL is parsed is a path of this machine.
            ("\\\\.\\C:\\x", Ok("C:\\x")),
            ("file://host/C:/x", Ok("C:\\x")),
            ("file://host/x", Err(Machine)),
        ];
        check(Style::Windows, "file:///C:/music/album/index.m3u8", &cases);
    }
}
