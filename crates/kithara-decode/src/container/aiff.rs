//! AIFF and AIFF-C: the chunks before the audio.

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

/// Chunks looked at before the audio.
const MAX_CHUNKS: usize = 10_000;

/// The `COMM` chunk.
struct Common {
    channels: u16,
    frames: u32,
    bits: u16,
    rate: u32,
    coding: [u8; 4],
}

/// Opens the audio of an AIFF file; the input stands at its first byte.
pub(crate) fn open(mut input: Input) -> Result<(Track, Box<dyn Demux>)> {
    let head: [u8; 12] = input.array()?;
    let compressed = &head[8..] == b"AIFC";
    let mut common = None;
    let mut sound = None;
    let mut metadata = TrackMetadata::default();
    for _ in 0..MAX_CHUNKS {
        let head: [u8; 8] = input.array()?;
        let length = u32::from_be_bytes(codec::array(&head, 4));
        let body = input.pos();
        match &head[..4] {
            b"COMM" => common = Some(read_common(&mut input, length, compressed)?),
            b"SSND" => {
                let ssnd: [u8; 8] = input.array()?;
                let offset = u64::from(u32::from_be_bytes(codec::array(&ssnd, 0)));
                sound = Some((
                    body + 8 + offset,
                    u64::from(length).saturating_sub(8 + offset),
                ));
            }
            name => tags::chunk(&mut input, codec::array(name, 0), length, &mut metadata)?,
        }
        let next = body + u64::from(length) + u64::from(length & 1);
        // The format may come after the sound: then, and only then, it is fetched from there.
        if let (Some(common), Some((start, bytes))) = (&common, sound) {
            tags::chunks_behind(&mut input, next, u32::from_be_bytes, &mut metadata);
            return open_sound(input, common, start, bytes, metadata);
        }
        input.seek(next);
    }
    Err(Fault::TooLarge {
        what: "the number of chunks",
        limit: MAX_CHUNKS as u64,
    })
}

fn read_common(input: &mut Input, length: u32, compressed: bool) -> Result<Common> {
    let needed = if compressed { 22 } else { 18 };
    if length < needed {
        return Err(Fault::corrupt("the common chunk is too short"));
    }
    let comm = input.take(needed as usize)?;
    Ok(Common {
        channels: u16::from_be_bytes(codec::array(comm, 0)),
        frames: u32::from_be_bytes(codec::array(comm, 2)),
        bits: u16::from_be_bytes(codec::array(comm, 6)),
        rate: extended(&codec::array(comm, 8)),
        coding: if compressed {
            codec::array(comm, 18)
        } else {
            *b"NONE"
        },
    })
}

/// An 80-bit extended float as a whole number of hertz; 0 where it is none.
fn extended(bytes: &[u8; 10]) -> u32 {
    let exponent = i32::from(u16::from_be_bytes([bytes[0], bytes[1]])) - 16383;
    let mantissa = u64::from_be_bytes(codec::array(bytes, 2));
    match exponent {
        // The mantissa's top bit is the integer part.
        0..=31 => u32::try_from(mantissa >> (63 - exponent)).unwrap_or(0),
        _ => 0,
    }
}

fn open_sound(
    input: Input,
    common: &Common,
    start: u64,
    bytes: u64,
    metadata: TrackMetadata,
) -> Result<(Track, Box<dyn Demux>)> {
    let (id, width) = coding(common)?;
    let spec = limits::spec(common.rate, common.channels.into())?;
    let block_bytes = u64::from(common.channels) * width;
    // The common chunk counts the frames, unless it was never filled in; padding may follow them.
    let promised = Some(u64::from(common.frames)).filter(|frames| *frames > 0);
    let layout = Layout {
        start,
        bytes: Some(promised.map_or(bytes, |frames| bytes.min(frames * block_bytes))),
        block_bytes,
        block_frames: 1,
        promised,
    };
    let params = codec::pcm_params(&PcmCoding {
        id,
        spec,
        packet_frames: layout.packet_blocks(),
        block_frames: 1,
    });
    let track = Track {
        trim: None,
        container: ContainerFormat::Aiff,
        codec: AudioCodec::Pcm,
        params,
        frames: layout.frames(),
        duration: None,
        metadata,
        stamp: None,
        notices: Vec::new(),
    };
    Ok((track, Box::new(Blocks::new(input, layout))))
}

fn coding(common: &Common) -> Result<(AudioCodecId, u64)> {
    Ok(match (&common.coding, common.bits) {
        (b"NONE" | b"none" | b"twos", 1..=8) => (CODEC_ID_PCM_S8, 1),
        (b"NONE" | b"none" | b"twos", 9..=16) => (CODEC_ID_PCM_S16BE, 2),
        (b"NONE" | b"none" | b"twos" | b"in24", 17..=24) => (CODEC_ID_PCM_S24BE, 3),
        (b"NONE" | b"none" | b"twos" | b"in32", 25..=32) => (CODEC_ID_PCM_S32BE, 4),
        (b"sowt", 9..=16) => (CODEC_ID_PCM_S16LE, 2),
        (b"sowt" | b"42ni", 17..=24) => (CODEC_ID_PCM_S24LE, 3),
        (b"sowt" | b"23ni", 25..=32) => (CODEC_ID_PCM_S32LE, 4),
        (b"raw ", 8) => (CODEC_ID_PCM_U8, 1),
        (b"fl32" | b"FL32", _) => (CODEC_ID_PCM_F32BE, 4),
        (b"fl64" | b"FL64", _) => (CODEC_ID_PCM_F64BE, 8),
        (b"alaw" | b"ALAW", _) => (CODEC_ID_PCM_ALAW, 1),
        (b"ulaw" | b"ULAW", _) => (CODEC_ID_PCM_MULAW, 1),
        (coding, bits) => {
            return Err(Fault::unsupported(format!(
                "AIFF coding {:?} of {bits} bits",
                String::from_utf8_lossy(coding)
            )));
        }
    })
}
