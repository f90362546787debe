//! MPEG audio, layers I to III: tags, the Xing and VBRI headers, and what they say of the length.

use kithara_stream::ContainerFormat;
use std::time::Duration;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};

use super::frames::{Frames, Promise, Rate, Syntax};
use super::mpeg_header::{MpegHeader, MpegSyntax};
use super::tags;
use crate::demux::{Demux, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{MediaDuration, TrackMetadata, codec, limits};

/// The size of an ID3v2 tag from its ten-byte header, header and footer included (ID3v2.4 §3.1).
pub(crate) fn id3_bytes(head: &[u8]) -> u64 {
    let size = head[6..10]
        .iter()
        .fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    let footer = if head[5] & 0x10 != 0 { 10 } else { 0 };
    10 + size + footer
}

/// What a Xing, Info or VBRI header says.
#[derive(Clone, Debug, Default)]
struct LengthHeader {
    /// Frames of MPEG audio.
    frames: Option<u64>,
    /// Bytes, from the frame that carries the header.
    bytes: Option<u64>,
    /// Offsets at equal steps of time, from the same place.
    toc: Vec<u64>,
    constant: bool,
}

/// Opens MPEG audio whose first frame is at the input's position.
pub(crate) fn open(mut input: Input, metadata: TrackMetadata) -> Result<(Track, Box<dyn Demux>)> {
    let origin = input.pos();
    let frame = input.peek(4)?.to_vec();
    let header = MpegHeader::parse(&frame).ok_or_else(|| Fault::corrupt("no MPEG audio frame"))?;
    let spec = limits::spec(header.sample_rate, header.channels.into())?;
    let first_frame = input.peek(header.bytes)?.to_vec();
    let length = length_header(&header, &first_frame);
    let first = origin
        + if length.is_some() {
            header.bytes as u64
        } else {
            0
        };
    let (constant, mean) = look_ahead(&mut input, first)?;
    let length = length.unwrap_or(LengthHeader {
        constant,
        ..LengthHeader::default()
    });

    let per_frame = u64::from(header.frames);
    let total = length.frames.map(|frames| frames.saturating_mul(per_frame));
    let promise = Promise {
        frames: total,
        end: length.bytes.map(|bytes| origin.saturating_add(bytes)),
    };
    let rate = rate(
        &length,
        total,
        first - origin,
        mean / f64::from(header.frames),
    );
    let audio = input.len().map(|len| len.saturating_sub(first));
    let duration = duration(
        &length,
        total.map(|total| spec.time(total)),
        audio,
        mean * f64::from(spec.sample_rate.get()) / per_frame as f64,
    );
    let params = params(&header);
    let frames = Frames::<MpegSyntax>::new(input, first, rate, promise)?;
    let track = Track {
        container: ContainerFormat::MpegAudio,
        codec: header.codec(),
        params,
        frames: None,
        duration,
        metadata,
        notices: Vec::new(),
    };
    Ok((track, Box::new(frames)))
}

fn params(header: &MpegHeader) -> AudioCodecParameters {
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(match header.layer {
            1 => CODEC_ID_MP1,
            2 => CODEC_ID_MP2,
            _ => CODEC_ID_MP3,
        })
        .with_sample_rate(header.sample_rate)
        .with_channels(codec::channels(header.channels));
    params
}

fn rate(length: &LengthHeader, total: Option<u64>, skipped: u64, mean: f64) -> Rate {
    match total {
        _ if length.constant => Rate::Constant,
        Some(frames) if length.toc.len() > 1 && frames > 0 => Rate::Table {
            toc: length
                .toc
                .iter()
                .map(|offset| offset.saturating_sub(skipped))
                .collect(),
            frames,
        },
        Some(frames) if frames > 0 && length.bytes.is_some() => {
            Rate::Mean(length.bytes.unwrap_or(0) as f64 / frames as f64)
        }
        _ => Rate::Mean(mean),
    }
}

/// The length, given what a header says of it, the bytes of audio, and how many of those go into a second.
fn duration(
    length: &LengthHeader,
    stated: Option<Duration>,
    audio: Option<u64>,
    per_second: f64,
) -> Option<MediaDuration> {
    let Some(time) = stated else {
        let time = Duration::try_from_secs_f64(audio? as f64 / per_second).ok()?;
        return Some(MediaDuration::Estimate(time));
    };
    // A header that disagrees with the file about its size was made for another file.
    let lies = match (length.bytes, audio) {
        (Some(bytes), Some(audio)) => bytes.abs_diff(audio) > audio / 8 + 65_536,
        _ => false,
    };
    Some(if lies {
        MediaDuration::Estimate(time)
    } else {
        MediaDuration::Exact(time)
    })
}

/// Whether the frames that are at hand all have one bit rate, and their mean size.
fn look_ahead(input: &mut Input, first: u64) -> Result<(bool, f64)> {
    input.seek(first);
    let window = input.peek(8 * 1024)?;
    let (mut at, mut count, mut constant) = (0usize, 0u32, true);
    let mut bit_rate = None;
    while let Some(head) = window.get(at..).and_then(MpegSyntax::parse) {
        constant &= *bit_rate.get_or_insert(head.bit_rate) == head.bit_rate;
        at += head.bytes;
        count += 1;
    }
    Ok((constant, (at as f64 / f64::from(count.max(1))).max(1.0)))
}

fn length_header(header: &MpegHeader, frame: &[u8]) -> Option<LengthHeader> {
    if header.layer != 3 {
        return None;
    }
    let crc = if frame.get(1)? & 1 == 0 { 2 } else { 0 };
    let xing = [4 + header.side_bytes(), 4 + crc + header.side_bytes()]
        .into_iter()
        .filter_map(|at| frame.get(at..))
        .find(|tag| tag.starts_with(b"Xing") || tag.starts_with(b"Info"));
    xing.and_then(xing_header)
        .or_else(|| vbri_header(frame.get(36..)?))
}

fn xing_header(tag: &[u8]) -> Option<LengthHeader> {
    let mut at = 8;
    let flags = be(tag, 4, 4)?;
    let mut next = |flag: u64| {
        (flags & flag != 0).then(|| {
            at += 4;
            be(tag, at - 4, 4)
        })
    };
    let frames = next(1).flatten();
    let bytes = next(2).flatten();
    let toc = match tag.get(at..at + 100) {
        Some(toc) if flags & 4 != 0 => toc
            .iter()
            .map(|part| u64::from(*part) * bytes.unwrap_or(0) / 256)
            .chain(bytes)
            .collect(),
        _ => Vec::new(),
    };
    Some(LengthHeader {
        frames,
        bytes,
        toc: if bytes.is_some() { toc } else { Vec::new() },
        constant: tag.starts_with(b"Info"),
    })
}

/// The header of Fraunhofer's encoders: always 32 bytes behind the frame's.
fn vbri_header(tag: &[u8]) -> Option<LengthHeader> {
    if !tag.starts_with(b"VBRI") {
        return None;
    }
    let (bytes, frames) = (be(tag, 10, 4)?, be(tag, 14, 4)?);
    let (entries, scale, width) = (be(tag, 18, 2)?, be(tag, 20, 2)?, be(tag, 22, 2)? as usize);
    let mut toc = vec![0];
    let mut offset = 0u64;
    for entry in 0..entries as usize {
        let Some(step) = (1..=4)
            .contains(&width)
            .then(|| be(tag, 26 + entry * width, width))
            .flatten()
        else {
            break;
        };
        offset = offset.saturating_add(step * scale);
        toc.push(offset);
    }
    Some(LengthHeader {
        frames: Some(frames),
        bytes: Some(bytes),
        toc,
        constant: false,
    })
}

fn be(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + width)?;
    Some(
        bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

/// Text frames of an ID3v2.3 or 2.4 tag, as far as they stand before the first picture.
pub(crate) fn id3_text(tag: &[u8], metadata: &mut TrackMetadata) {
    let Some(head) = tag.get(..10).filter(|head| head[3] == 3 || head[3] == 4) else {
        return;
    };
    let mut rest = &tag[10..];
    while rest.len() > 10 && rest[0].is_ascii_uppercase() {
        let size = if head[3] == 4 {
            rest[4..8]
                .iter()
                .fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f))
        } else {
            u32::from_be_bytes(codec::array(rest, 4)) as usize
        };
        let Some(body) = rest.get(10..10usize.saturating_add(size)) else {
            return;
        };
        let value = || id3_string(body);
        match &rest[..4] {
            b"TIT2" => tags::set(&mut metadata.title, value()),
            b"TPE1" => tags::set(&mut metadata.artist, value()),
            b"TALB" => tags::set(&mut metadata.album, value()),
            b"TPE2" => tags::set(&mut metadata.album_artist, value()),
            b"TRCK" => tags::set(&mut metadata.track, value()),
            b"TCON" => tags::set(&mut metadata.genre, value()),
            b"TDRC" | b"TYER" => tags::set(&mut metadata.date, value()),
            _ => {}
        }
        rest = &rest[10 + size..];
    }
}

fn id3_string(body: &[u8]) -> Option<String> {
    let (encoding, text) = body.split_first()?;
    let units = |from_bytes: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units = bytes
            .chunks_exact(2)
            .map(|pair| from_bytes([pair[0], pair[1]]));
        char::decode_utf16(units.take(2048))
            .map(|unit| unit.unwrap_or('\u{fffd}'))
            .collect::<String>()
    };
    let string = match encoding {
        0 => text
            .iter()
            .take(4096)
            .map(|byte| char::from(*byte))
            .collect(),
        1 if text.starts_with(&[0xfe, 0xff]) => units(u16::from_be_bytes, &text[2..]),
        1 => units(
            u16::from_le_bytes,
            text.strip_prefix(&[0xff, 0xfe]).unwrap_or(text),
        ),
        2 => units(u16::from_be_bytes, text),
        _ => return tags::text(text, text.len()),
    };
    tags::text(string.as_bytes(), string.len())
}
