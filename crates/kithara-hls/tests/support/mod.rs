//! Playlists as text, and what is read from them as text.

#![allow(dead_code)] // Each test file uses some of it.

use std::fmt::Write as _;
use std::time::Duration;

use kithara_hls::{
    Encryption, InitSection, MediaPlaylist, ParseContext, Playlist, PlaylistError, Problem, Segment,
};

/// A media playlist of these lines, behind `#EXTM3U`.
pub fn media(lines: &str) -> Result<MediaPlaylist, PlaylistError> {
    let text = format!("#EXTM3U\n{lines}");
    match Playlist::parse(text.as_bytes(), &ParseContext::default())? {
        Playlist::Media(playlist) => Ok(playlist),
        Playlist::Multivariant(_) => panic!("a multivariant playlist: {lines}"),
    }
}

/// What a tag is refused for.
pub fn refusal(lines: &str) -> (u32, &'static str, Problem) {
    match media(lines) {
        Err(PlaylistError::Tag { line, tag, problem }) => (line, tag, problem),
        other => panic!("{other:?}: {lines}"),
    }
}

/// Seconds and fractions of one.
pub fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Each segment as a line: `number start+duration reference`, and what else is true of it.
pub fn shown(playlist: &MediaPlaylist) -> String {
    let lines = playlist.segments().map(|segment| line(&segment));
    lines.collect::<Vec<_>>().join("\n")
}

fn line(segment: &Segment<'_>) -> String {
    let mut text = format!(
        "{} {}+{} {}",
        segment.sequence,
        segment.start.as_secs_f64(),
        segment.duration.as_secs_f64(),
        segment.reference
    );
    let mut add = |part: String| write!(text, " {part}").expect("text has room");
    if let Some(range) = &segment.range {
        add(format!("{}..{}", range.start, range.end));
    }
    if segment.encryption != Encryption::Clear {
        add(encryption(segment.encryption));
    }
    if let Some(init) = &segment.init {
        add(section(init));
    }
    if segment.discontinuity || segment.discontinuity_sequence > 0 {
        let mark = if segment.discontinuity { "!" } else { "" };
        add(format!("d{}{mark}", segment.discontinuity_sequence));
    }
    if segment.gap {
        add("gap".to_owned());
    }
    if segment.unbounded {
        add("unbounded".to_owned());
    }
    if let Some(time) = segment.time {
        add(format!("t{}", time.unix_micros() as f64 / 1e6));
    }
    text
}

fn encryption(encryption: Encryption<'_>) -> String {
    match encryption {
        Encryption::Clear => "clear".to_owned(),
        Encryption::Aes128 { key, iv } => {
            let number = u128::from_be_bytes(*iv.bytes());
            format!("{}:{number:x}", key.as_str())
        }
        Encryption::Unsupported { method } => format!("<{method}>"),
        _ => "?".to_owned(),
    }
}

fn section(init: &InitSection<'_>) -> String {
    let mut text = format!("[{} {}", init.index, init.reference.as_str());
    if let Some(range) = &init.range {
        write!(text, " {}..{}", range.start, range.end).expect("text has room");
    }
    if init.encryption != Encryption::Clear {
        write!(text, " {}", encryption(init.encryption)).expect("text has room");
    }
    text + "]"
}
