//! MPEG audio, layers I to III: tags, the Xing and VBRI headers, and what they say of the length.

use kithara_stream::ContainerFormat;
use std::time::Duration;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};

use super::frames::{Frames, Promise, Rate, Syntax};
use super::mpeg_header::{MpegHeader, MpegSyntax};
use crate::demux::{Demux, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::trim::{GaplessComment, Trim};
use crate::{MediaDuration, TrackMetadata, codec, limits};

/// Frames by which every decoder of layer III is late: those of its filter bank, and one. LAME's tag does not count them.
const DECODER_DELAY: u64 = 528 + 1;

/// Frames by which the length of a title without a description is misjudged, because of tags at its end.
const LEEWAY: u64 = 44_100;

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
    /// Frames of PCM that the encoder put in front and behind.
    delay: Option<(u64, u64)>,
}

impl LengthHeader {
    /// A header that disagrees with the file about its size was made for another file.
    fn lies(&self, audio: Option<u64>) -> bool {
        match (self.bytes, audio) {
            (Some(bytes), Some(audio)) => bytes.abs_diff(audio) > audio / 8 + 65_536,
            _ => false,
        }
    }

    /// What is to be taken off at the ends, of so many decoded frames where that is known.
    fn trim(&self, decoded: Option<u64>) -> Option<Trim> {
        let (delay, padding) = self.delay?;
        let front = delay + DECODER_DELAY;
        match decoded {
            // What the decoder is late with comes out of the padding.
            Some(decoded) => Trim::between(front, padding.saturating_sub(DECODER_DELAY), decoded),
            None => Some(Trim { front, total: None }),
        }
    }
}

/// Opens MPEG audio whose first frame is at the input's position.
///
/// The comment is what a tag in front says of both ends; the frame of description goes before it.
pub(crate) fn open(
    mut input: Input,
    metadata: TrackMetadata,
    comment: Option<GaplessComment>,
) -> Result<(Track, Box<dyn Demux>)> {
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
    // What it says is said of a file, and this is a part of a title or of many of them.
    let length = length.map(|length| match input.is_part() {
        true => LengthHeader::default(),
        false => length,
    });
    let (constant, mean) = look_ahead(&mut input, first)?;
    let audio = input.len().map(|len| len.saturating_sub(first));
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
    let lies = length.lies(audio);
    let duration = duration(
        total.map(|total| (spec.time(total), lies)),
        audio,
        mean * f64::from(spec.sample_rate.get()) / per_frame as f64,
    );
    let params = params(&header);
    let decoded = total.filter(|_| !lies);
    let comment = comment.filter(|_| header.layer == 3 && !input.is_part());
    let trim = match (length.delay, comment) {
        (None, Some(comment)) => {
            let guess = audio.map(|audio| (audio as f64 / mean) as u64 * per_frame);
            commented(comment, decoded, guess)
        }
        _ => length.trim(decoded),
    };
    let frames = Frames::<MpegSyntax>::new(input, first, rate, promise)?;
    let track = Track {
        trim,
        container: ContainerFormat::MpegAudio,
        codec: header.codec(),
        params,
        frames: None,
        duration,
        metadata,
        stamp: None,
        notices: Vec::new(),
    };
    Ok((track, Box::new(frames)))
}

/// What iTunes' comment takes off, of so many decoded frames or about so many. Its delay is counted as LAME's: what the
/// decoder is late with comes on top, out of the padding. One that was made for another title, and copied with its tags, is
/// not believed.
fn commented(comment: GaplessComment, decoded: Option<u64>, guess: Option<u64>) -> Option<Trim> {
    let sum = comment.delay.checked_add(comment.padding)?;
    let sum = sum.checked_add(comment.total)?;
    let fits = match (decoded, guess) {
        (Some(decoded), _) => sum == decoded,
        (None, Some(guess)) => sum.abs_diff(guess) <= guess / 8 + LEEWAY,
        (None, None) => true,
    };
    fits.then_some(Trim {
        front: comment.delay.saturating_add(DECODER_DELAY),
        total: Some(comment.total),
    })
}

pub(crate) fn params(header: &MpegHeader) -> AudioCodecParameters {
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

/// The length, given what a header says of it and whether that lies, the bytes of audio, and how many of those go into a
/// second.
fn duration(
    stated: Option<(Duration, bool)>,
    audio: Option<u64>,
    per_second: f64,
) -> Option<MediaDuration> {
    match stated {
        Some((time, false)) => Some(MediaDuration::Exact(time)),
        Some((time, true)) => Some(MediaDuration::Estimate(time)),
        None => {
            let time = Duration::try_from_secs_f64(audio? as f64 / per_second).ok()?;
            Some(MediaDuration::Estimate(time))
        }
    }
}

/// Whether the frames that are at hand all have one bit rate, and their mean size. Of a part of a title nobody asks for places,
/// and the first will do.
fn look_ahead(input: &mut Input, first: u64) -> Result<(bool, f64)> {
    input.seek(first);
    let look = if input.is_part() { 4 } else { 8 * 1024 };
    let window = input.peek(look)?;
    let (mut at, mut count, mut constant) = (0usize, 0u32, true);
    let mut bit_rate = None;
    while let Some(head) = window.get(at..).and_then(MpegSyntax::parse) {
        constant &= *bit_rate.get_or_insert(head.bit_rate) == head.bit_rate;
        at += head.bytes;
        count += 1;
    }
    Ok((constant, (at as f64 / f64::from(count.max(1))).max(1.0)))
}

/// Whether a frame holds a description of its file instead of sound.
pub(super) fn is_description(frame: &[u8]) -> bool {
    MpegHeader::parse(frame).is_some_and(|header| length_header(&header, frame).is_some())
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
    xing.and_then(|tag| xing_header(frame, tag))
        .or_else(|| vbri_header(frame.get(36..)?))
}

/// Reads the tag, which stands in this frame.
fn xing_header(frame: &[u8], tag: &[u8]) -> Option<LengthHeader> {
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
    // Behind the table and the quality LAME goes on, and others in its way.
    let table = if flags & 4 != 0 { 100 } else { 0 };
    let quality = if flags & 8 != 0 { 4 } else { 0 };
    Some(LengthHeader {
        delay: lame_delay(frame, tag.get(at + table + quality..).unwrap_or_default()),
        frames,
        bytes,
        toc: if bytes.is_some() { toc } else { Vec::new() },
        constant: tag.starts_with(b"Info"),
    })
}

/// Delay and padding from LAME's part of the tag (Gabriel Bouvigne, *MP3 Info Tag revision 1*), if its sum holds or one that
/// writes it is named. Twice nothing is what writers leave that know of no delay: there is none without.
fn lame_delay(frame: &[u8], lame: &[u8]) -> Option<(u64, u64)> {
    let both = be(lame, 21, 3)?;
    let stated = be(lame, 34, 2)?;
    // All that comes before the sum, which was just seen to be there.
    let covered = frame.get(..frame.len() - lame.len() + 34)?;
    let writers: [&[u8]; 4] = [b"LAME", b"Lavf", b"Lavc", b"L3.9"];
    let named = writers.iter().any(|name| lame.starts_with(name));
    (both != 0 && (named || stated == u64::from(crc16(covered))))
        .then_some((both >> 12, both & 0xfff))
}

/// The sum LAME writes: x¹⁶ + x¹⁵ + x² + 1, the lowest bit first.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xa001 } else { 0 }
        })
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
        // Its own field of delay is described nowhere, and no known player takes off what it says.
        delay: None,
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
