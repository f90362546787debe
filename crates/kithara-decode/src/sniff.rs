//! What a run is, by its first bytes. No claim of a server or a file name weighs more.

use kithara_stream::{ContainerFormat, MediaInfo};

use crate::container::adts::AdtsSyntax;
use crate::container::frames;
use crate::container::mpeg_header::{MpegHeader, MpegSyntax};

/// What bytes turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sniffed {
    /// A container that can be opened; its first byte lies at this offset of the bytes given.
    Container(ContainerFormat, usize),
    /// Media of a kind that is known but not supported, by name.
    Unsupported(&'static str),
    /// Not media at all, by name.
    NotMedia(&'static str),
}

/// Finds out what bytes are; `None` if they look like nothing known. The bytes begin behind any ID3v2 tag. `at_end` says
/// that there are no more.
///
/// Bare MPEG audio and ADTS are found behind up to as many bytes of something else as are given, proven by several
/// headers in a row.
pub fn sniff(bytes: &[u8], at_end: bool) -> Option<Sniffed> {
    signature(bytes)
        .or_else(|| text(bytes))
        .or_else(|| bare(bytes, at_end))
}

/// By the marks that stand at fixed places.
fn signature(bytes: &[u8]) -> Option<Sniffed> {
    use Sniffed::{NotMedia, Unsupported};
    let container = |container| Some(Sniffed::Container(container, 0));
    let at = |offset: usize, mark: &[u8]| {
        bytes
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(mark))
    };
    if (at(0, b"RIFF") || at(0, b"RF64") || at(0, b"BW64")) && at(8, b"WAVE") {
        return container(ContainerFormat::Wav);
    }
    if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) {
        return container(ContainerFormat::Aiff);
    }
    if is_transport_stream(bytes) {
        return container(ContainerFormat::MpegTs);
    }
    let boxes: [&[u8]; 8] = [
        b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"wide", b"skip",
    ];
    if boxes.iter().any(|kind| at(4, kind)) {
        let fragmented = [&b"moof"[..], b"mvex"];
        let fragmented = fragmented
            .iter()
            .any(|kind| bytes.windows(4).any(|word| word == *kind));
        return container(if fragmented {
            ContainerFormat::Fmp4
        } else {
            ContainerFormat::Mp4
        });
    }
    let marks: [(&[u8], Sniffed); 28] = [
        (b"fLaC", Sniffed::Container(ContainerFormat::Flac, 0)),
        (b"OggS", Sniffed::Container(ContainerFormat::Ogg, 0)),
        (b"caff", Sniffed::Container(ContainerFormat::Caf, 0)),
        (
            b"\x1a\x45\xdf\xa3",
            Sniffed::Container(ContainerFormat::Mkv, 0),
        ),
        (b"wvpk", Unsupported("WavPack")),
        (b"MAC ", Unsupported("Monkey's Audio")),
        (b"\x0b\x77", Unsupported("AC-3")),
        (
            b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
            Unsupported("ASF (Windows Media)"),
        ),
        (b"TTA1", Unsupported("TTA")),
        (b"MPCK", Unsupported("Musepack")),
        (b"MP+", Unsupported("Musepack")),
        (b"DSD ", Unsupported("DSF")),
        (b"FRM8", Unsupported("DSDIFF")),
        (b".snd", Unsupported("AU")),
        (b"MThd", Unsupported("MIDI")),
        (b"FLV\x01", Unsupported("FLV")),
        (b"ADIF", Unsupported("AAC in ADIF")),
        (b"#!AMR", Unsupported("AMR")),
        (b"\x7f\xfe\x80\x01", Unsupported("DTS")),
        (b".RMF", Unsupported("RealMedia")),
        (b"RIFF", Unsupported("RIFF without WAVE")),
        (b"\x89PNG", NotMedia("a PNG picture")),
        (b"\xff\xd8\xff\xe0", NotMedia("a JPEG picture")),
        (b"\xff\xd8\xff\xe1", NotMedia("a JPEG picture")),
        (b"GIF8", NotMedia("a GIF picture")),
        (b"%PDF", NotMedia("a PDF document")),
        (b"PK\x03\x04", NotMedia("a ZIP archive")),
        (b"\x1f\x8b\x08", NotMedia("gzip data")),
    ];
    marks
        .iter()
        .find(|(mark, _)| bytes.starts_with(mark))
        .map(|(_, sniffed)| *sniffed)
}

/// Packets of 188 bytes, or of 192 with a time before each, that begin with 0x47.
fn is_transport_stream(bytes: &[u8]) -> bool {
    [(0, 188), (4, 192)].into_iter().any(|(first, step)| {
        let marks = bytes.iter().skip(first).step_by(step).take(5);
        marks.clone().count() >= 3 && marks.into_iter().all(|byte| *byte == 0x47)
    })
}

/// Text of the kinds that servers send instead of media.
fn text(bytes: &[u8]) -> Option<Sniffed> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let bytes = bytes.trim_ascii_start();
    let head: Vec<u8> = bytes.iter().take(512).map(u8::to_ascii_lowercase).collect();
    let contains = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    if head.starts_with(b"<!doctype html")
        || head.starts_with(b"<html")
        || head.starts_with(b"<") && contains(b"<html")
    {
        return Some(Sniffed::NotMedia("an HTML page"));
    }
    if head.starts_with(b"#extm3u") {
        // A media playlist must say how long its segments are, a master playlist what there is to choose from (RFC 8216 §4.3).
        let is_hls = contains(b"#ext-x-");
        return Some(Sniffed::Unsupported(if is_hls {
            "an HLS playlist"
        } else {
            "an M3U playlist"
        }));
    }
    if head.starts_with(b"[playlist]") {
        return Some(Sniffed::NotMedia("a PLS playlist"));
    }
    if head.starts_with(b"<?xml") || head.starts_with(b"<smil") || head.starts_with(b"<asx") {
        return Some(Sniffed::NotMedia("an XML document"));
    }
    let plain = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if head.len() >= 8 && head.iter().all(plain) {
        return Some(Sniffed::NotMedia("plain text"));
    }
    None
}

/// By frames of MPEG audio or ADTS that follow each other.
fn bare(bytes: &[u8], at_end: bool) -> Option<Sniffed> {
    let mpeg = frames::find::<MpegSyntax>(bytes, at_end).map(|at| (at, ContainerFormat::MpegAudio));
    // What lies behind a proven frame need not be searched again.
    let rest = mpeg.map_or(bytes.len(), |(at, _)| (at + 4096).min(bytes.len()));
    let adts =
        frames::find::<AdtsSyntax>(&bytes[..rest], at_end).map(|at| (at, ContainerFormat::Adts));
    let first = mpeg.into_iter().chain(adts).min_by_key(|(at, _)| *at);
    first.map(|(at, container)| Sniffed::Container(container, at))
}

/// Whether the bytes begin like MPEG audio in the free format, whose frames have no stated length.
pub(crate) fn is_free_format(bytes: &[u8]) -> bool {
    MpegHeader::parse(bytes).is_some_and(|header| header.bit_rate == 0)
}

/// What the media type, the extension and the hint claim, in this order.
pub(crate) fn claimed(info: &MediaInfo) -> impl Iterator<Item = &'static str> {
    [&info.media_type, &info.extension, &info.hint]
        .into_iter()
        .flatten()
        .filter_map(|claim| claim_name(claim))
}

fn claim_name(claim: &str) -> Option<&'static str> {
    Some(match claim.to_ascii_lowercase().trim_start_matches('.') {
        "audio/mpeg" | "audio/mp3" | "audio/x-mp3" | "mp3" | "mp2" | "mp1" | "mpga" => "MPEG audio",
        "audio/aac" | "audio/aacp" | "audio/x-aac" | "aac" | "adts" => "ADTS",
        "audio/flac" | "audio/x-flac" | "flac" => "FLAC",
        "audio/wav" | "audio/wave" | "audio/x-wav" | "audio/vnd.wave" | "wav" | "wave" => "WAV",
        "audio/aiff" | "audio/x-aiff" | "aif" | "aiff" | "aifc" => "AIFF",
        "audio/ogg" | "application/ogg" | "video/ogg" | "ogg" | "oga" | "ogv" => "Ogg",
        "audio/opus" | "opus" => "Opus",
        "audio/x-caf" | "caf" => "CAF",
        "audio/mp4" | "audio/x-m4a" | "video/mp4" | "m4a" | "mp4" | "m4b" | "mov" | "m4s" => "MP4",
        "audio/webm" | "video/webm" | "audio/x-matroska" | "video/x-matroska" | "webm" | "mkv"
        | "mka" => "Matroska",
        "video/mp2t" | "ts" | "m2ts" => "MPEG-TS",
        "audio/x-wavpack" | "wv" => "WavPack",
        "audio/ac3" | "ac3" => "AC-3",
        "audio/x-ms-wma" | "wma" => "ASF (Windows Media)",
        "ape" => "Monkey's Audio",
        _ => return None,
    })
}
