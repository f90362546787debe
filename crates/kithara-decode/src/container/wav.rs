//! RIFF WAVE and RF64 (EBU Tech 3306): the chunks before the audio.

use kithara_stream::{AudioCodec, ContainerFormat};
use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::*;

use super::blocks::{Blocks, Layout};
use super::tags;
use crate::TrackMetadata;
use crate::codec::{self, PcmCoding};
use crate::demux::{Demux, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::limits;
use crate::trim::Trim;

/// Chunks looked at before the audio.
const MAX_CHUNKS: usize = 10_000;

/// The `fmt ` chunk.
struct Format {
    tag: u16,
    channels: u16,
    rate: u32,
    block_align: u16,
    bits: u16,
    /// ADPCM: frames of a block, as the file says.
    block_frames: Option<u16>,
}

/// Opens the audio of a WAVE file; the input stands at its first byte.
pub(crate) fn open(mut input: Input) -> Result<(Track, Box<dyn Demux>)> {
    let origin = input.pos();
    let head: [u8; 12] = input.array()?;
    let wide = &head[..4] != b"RIFF";
    let mut format = None;
    let mut wide_data = None;
    let mut fact = None;
    let mut metadata = TrackMetadata::default();
    for _ in 0..MAX_CHUNKS {
        let head: [u8; 8] = input.array().map_err(|fault| match fault {
            Fault::Truncated(_) if format.is_some() => Fault::corrupt("no data chunk"),
            other => other,
        })?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let body = input.pos();
        match &head[..4] {
            b"ds64" if wide => {
                let ds64: [u8; 24] = input.array()?;
                wide_data = Some(u64::from_le_bytes(codec::array(&ds64, 8)));
            }
            b"fmt " => format = Some(read_format(&mut input, length)?),
            b"fact" if length >= 4 => fact = Some(u32::from_le_bytes(input.array()?)),
            b"data" => {
                let format = format
                    .ok_or_else(|| Fault::corrupt("the data chunk comes before the format"))?;
                let bytes = match (length, wide_data) {
                    (u32::MAX, Some(bytes)) => Some(bytes),
                    // Written by something that could not go back and fill it in.
                    (u32::MAX | 0, _) => None,
                    (length, _) => Some(u64::from(length)),
                };
                if let Some(bytes) = bytes {
                    let behind = body.saturating_add(bytes).saturating_add(bytes & 1);
                    tags::chunks_behind(&mut input, behind, u32::from_le_bytes, &mut metadata);
                }
                let bytes = bytes.or_else(|| Some(input.len()?.saturating_sub(body)));
                let (mut track, demux) = open_data(input, &format, body, bytes, metadata)?;
                track.trim = compressed_length(track.codec, fact);
                return Ok((track, demux));
            }
            name => tags::chunk(&mut input, codec::array(name, 0), length, &mut metadata)?,
        }
        // Chunks are padded to even lengths.
        let next = body + u64::from(length) + u64::from(length & 1);
        input.seek(next.max(origin));
    }
    Err(Fault::TooLarge {
        what: "the number of chunks",
        limit: MAX_CHUNKS as u64,
    })
}

fn read_format(input: &mut Input, length: u32) -> Result<Format> {
    if length < 16 {
        return Err(Fault::corrupt("the format chunk is too short"));
    }
    let fmt = input.peek(length.min(40) as usize)?;
    if fmt.len() < 16 {
        return Err(Fault::Truncated(None));
    }
    let word = |at: usize| u16::from_le_bytes([fmt[at], fmt[at + 1]]);
    let mut format = Format {
        tag: word(0),
        channels: word(2),
        rate: u32::from_le_bytes(codec::array(fmt, 4)),
        block_align: word(12),
        bits: word(14),
        block_frames: (fmt.len() >= 20).then(|| word(18)),
    };
    // WAVE_FORMAT_EXTENSIBLE: the first two bytes of the sub-format are the old tag.
    if format.tag == 0xfffe && fmt.len() >= 26 {
        format.tag = word(24);
    }
    Ok(format)
}

fn open_data(
    input: Input,
    format: &Format,
    start: u64,
    bytes: Option<u64>,
    metadata: TrackMetadata,
) -> Result<(Track, Box<dyn Demux>)> {
    let (id, codec) = coding(format)?;
    let spec = limits::spec(format.rate, format.channels.into())?;
    let channels = u64::from(format.channels);
    let (block_bytes, block_frames) = match codec {
        AudioCodec::Adpcm => adpcm_block(id, format)?,
        // Containers are whole bytes: 12 bits lie in 16.
        _ => (channels * u64::from(format.bits.div_ceil(8)), 1),
    };
    // Wider containers are not told apart: 24 bits in 32 are integers to some writers and floats to others.
    // Smaller blocks than a frame there are none: writers that filled in something else, or nothing, are passed over.
    let align = u64::from(format.block_align);
    if align > block_bytes {
        return Err(Fault::unsupported(format!(
            "WAVE audio of {} bits in blocks of {align} bytes",
            format.bits
        )));
    }
    let layout = Layout {
        start,
        bytes,
        block_bytes,
        block_frames,
        promised: None,
    };
    let params = codec::pcm_params(&PcmCoding {
        id,
        spec,
        packet_frames: layout.packet_blocks() * block_frames,
        block_frames,
    });
    let track = Track {
        trim: None,
        container: ContainerFormat::Wav,
        codec,
        params,
        frames: layout.frames(),
        duration: None,
        metadata,
        stamp: None,
        notices: Vec::new(),
    };
    Ok((track, Box::new(Blocks::new(input, layout))))
}

/// The last block of ADPCM is filled up; the fact chunk knows with how much. Of PCM it says nothing that the bytes don't.
fn compressed_length(codec: AudioCodec, fact: Option<u32>) -> Option<Trim> {
    let frames =
        fact.filter(|frames| codec == AudioCodec::Adpcm && (1..u32::MAX).contains(frames))?;
    Some(Trim {
        front: 0,
        total: Some(frames.into()),
    })
}

fn coding(format: &Format) -> Result<(AudioCodecId, AudioCodec)> {
    let id = match (format.tag, format.bits) {
        (1, 8) => CODEC_ID_PCM_U8,
        (1, 9..=16) => CODEC_ID_PCM_S16LE,
        (1, 17..=24) => CODEC_ID_PCM_S24LE,
        (1, 25..=32) => CODEC_ID_PCM_S32LE,
        (3, 32) => CODEC_ID_PCM_F32LE,
        (3, 64) => CODEC_ID_PCM_F64LE,
        (6, 8) => CODEC_ID_PCM_ALAW,
        (7, 8) => CODEC_ID_PCM_MULAW,
        (2, 4) => return Ok((CODEC_ID_ADPCM_MS, AudioCodec::Adpcm)),
        (0x11, 4) => return Ok((CODEC_ID_ADPCM_IMA_WAV, AudioCodec::Adpcm)),
        (tag, bits) => return Err(Fault::unsupported(unsupported_name(tag, bits))),
    };
    Ok((id, AudioCodec::Pcm))
}

fn unsupported_name(tag: u16, bits: u16) -> String {
    let name = match tag {
        0x50 => "MP2",
        0x55 => "MP3",
        0xff | 0x1600 | 0x1610 => "AAC",
        0x161..=0x163 => "Windows Media Audio",
        0x2000 => "AC-3",
        0x2001 => "DTS",
        0x31 => "GSM 6.10",
        _ => return format!("WAVE format {tag:#06x} of {bits} bits"),
    };
    format!("{name} in WAVE")
}

/// Bytes and frames of an ADPCM block (Microsoft, *Multiple Media Standards Update*).
fn adpcm_block(id: AudioCodecId, format: &Format) -> Result<(u64, u64)> {
    let channels = u64::from(format.channels);
    let align = u64::from(format.block_align);
    let (head, first) = if id == CODEC_ID_ADPCM_MS {
        (7, 2)
    } else {
        (4, 1)
    };
    if channels == 0 || channels > 2 || align <= head * channels {
        return Err(Fault::corrupt("an ADPCM block that holds no audio"));
    }
    let frames = (align - head * channels) * 2 / channels + first;
    match format.block_frames {
        Some(stated) if u64::from(stated) != frames && stated != 0 => Err(Fault::corrupt(format!(
            "ADPCM blocks of {stated} frames in {align} bytes"
        ))),
        _ => Ok((align, frames)),
    }
}
