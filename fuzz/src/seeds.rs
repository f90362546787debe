//! Inputs to begin with: the fixtures, and a few texts.

use std::fs;
use std::path::Path;

/// Larger fixtures bring nothing that smaller ones don't.
const LARGEST: u64 = 120 * 1024;

/// Every small fixture, with the two bytes of flags that [`decode`](crate::decode) begins with.
pub fn files() -> Vec<Vec<u8>> {
    with_flags(&[
        "mp3", "mp2", "mp1", "flac", "wav", "aiff", "aifc", "caf", "m4a", "mp4", "mov", "aac",
        "ogg", "oga", "opus", "webm", "mkv", "mka", "ts", "wv",
    ])
}

/// The MP4 files.
pub fn mp4() -> Vec<Vec<u8>> {
    with_flags(&["m4a", "mp4", "mov"])
}

/// The MPEG audio files.
pub fn mpeg_audio() -> Vec<Vec<u8>> {
    with_flags(&["mp3", "mp2", "mp1"])
}

/// What a person may type.
pub fn sources() -> Vec<Vec<u8>> {
    let texts = [
        "https://user:word@example.com:8443/a/b%20c.mp3?x=1#y",
        "http://[::1%25eth0]/a.m3u8",
        "file:///a/b.flac",
        "file:/a/b.flac",
        "file://localhost/%00",
        "C:\\music\\a.mp3",
        "../a b.flac",
        "ftp://x",
        "//host/share",
        "data:audio/mpeg;base64,AAAA",
        "http://xn--nxasmq6b/\u{202e}",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What a server may answer: a byte for the status, a byte of flags, then header values by line, in the order of
/// [`http_head`](crate::http_head).
pub fn answers() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 7] = [
        b"\x01\x00bytes 0-9/100\n10\n\"tag\"\n\nWed, 01 Jan 2025 00:00:00 GMT\naudio/mpeg\nbytes",
        b"\x00\x00\n100\nW/\"tag\"\n\n\naudio/flac; charset=x\nnone",
        b"\x02\x00bytes */100\n0",
        b"\x03\x00\n0\n\n120",
        b"\x03\x00\n0\n\nSun, 06 Nov 2094 08:49:37 GMT",
        b"\x00\x01HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
        b"\x00\x01ICY 200 OK\r\nicy-metaint: 16\r\n\r\naaaaaaaaaaaaaaaa\x01StreamTitle=''; ",
    ];
    texts.iter().map(|text| text.to_vec()).collect()
}

/// Nothing in particular.
pub fn noise() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..64)
        .map(|length| (0..16 + length * 4).map(|_| byte()).collect())
        .collect()
}

fn with_flags(extensions: &[&str]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let folders = [folder.join("tags"), folder];
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("the fixtures are in the repository"));
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    // The order of a folder is not fixed, and a seeded run is.
    paths.sort();
    let wanted = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let small = fs::metadata(path).is_ok_and(|facts| facts.len() <= LARGEST);
        small && extension.is_some_and(|extension| extensions.contains(&extension))
    };
    let flagged = |(index, path): (usize, _)| {
        let mut bytes = vec![0, (index * 37) as u8];
        bytes.extend(fs::read(path).ok()?);
        Some(bytes)
    };
    let paths = paths.into_iter().filter(|path| wanted(path));
    paths.enumerate().filter_map(flagged).collect()
}
