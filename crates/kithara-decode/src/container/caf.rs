//! Core Audio Format (Apple, *Core Audio Format Specification 1.0*).

use kithara_stream::{AudioCodec, ContainerFormat};
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::*;

use super::blocks::{Blocks, Layout};
use super::packets::{PacketTable, TableEntry};
use super::tags;
use crate::aac::AacConfig;
use crate::codec::{self, PcmCoding};
use crate::demux::{Demux, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::trim::Trim;
use crate::{MediaDuration, TrackMetadata, limits, memory};

/// Chunks looked at.
const MAX_CHUNKS: usize = 10_000;

/// The `desc` chunk.
#[derive(Clone, Copy)]
struct Description {
    rate: f64,
    format: [u8; 4],
    flags: u32,
    packet_bytes: u32,
    packet_frames: u32,
    channels: u32,
    bits: u32,
}

/// What the chunks before (and, where the packets have no constant size, behind) the audio say.
#[derive(Default)]
struct Chunks {
    description: Option<Description>,
    cookie: Option<Vec<u8>>,
    /// Offset and length of the audio.
    data: Option<(u64, Option<u64>)>,
    /// Offset and length of the packet table.
    table: Option<(u64, u64)>,
    metadata: TrackMetadata,
}

/// Opens the audio of a CAF file; the input stands at its first byte.
pub(crate) fn open(mut input: Input) -> Result<(Track, Box<dyn Demux>)> {
    let head: [u8; 8] = input.array()?;
    if head[4..6] != [0, 1] {
        return Err(Fault::unsupported("this version of CAF"));
    }
    let mut chunks = read_chunks(&mut input)?;
    drop(read_info_behind(&mut input, &mut chunks));
    let description = chunks
        .description
        .ok_or_else(|| Fault::corrupt("no audio description"))?;
    if description.packet_bytes != 0 && description.packet_frames != 0 {
        open_blocks(input, &description, chunks)
    } else {
        open_packets(input, &description, chunks)
    }
}

fn read_chunks(input: &mut Input) -> Result<Chunks> {
    let mut chunks = Chunks::default();
    for _ in 0..MAX_CHUNKS {
        if chunks.is_enough() {
            return Ok(chunks);
        }
        let head: [u8; 12] = match input.array() {
            Ok(head) => head,
            // Cut off behind the audio: constant packets need nothing from there.
            Err(Fault::Truncated(_)) if chunks.data.is_some() => return Ok(chunks),
            Err(fault) => return Err(fault),
        };
        let length = i64::from_be_bytes(codec::array(&head, 4));
        let body = input.pos();
        if &head[..4] == b"data" {
            let length = u64::try_from(length).ok();
            chunks.data = Some((body + 4, length.map(|length| length.saturating_sub(4))));
            if length.is_none() {
                return Ok(chunks);
            }
        }
        let length =
            u64::try_from(length).map_err(|_| Fault::corrupt("a chunk of negative size"))?;
        match &head[..4] {
            b"desc" => chunks.description = Some(read_description(input)?),
            b"kuki" if length <= 64 * 1024 => {
                chunks.cookie = Some(memory::copy(input.take(length as usize)?)?);
            }
            b"pakt" => chunks.table = Some((body, length)),
            b"info" => tags::caf_info(&tags::take(input, length)?, &mut chunks.metadata),
            _ => {}
        }
        input.seek(body.saturating_add(length));
    }
    Err(Fault::TooLarge {
        what: "the number of chunks",
        limit: MAX_CHUNKS as u64,
    })
}

impl Chunks {
    fn is_enough(&self) -> bool {
        let constant = self
            .description
            .is_some_and(|desc| desc.packet_bytes != 0 && desc.packet_frames != 0);
        self.data.is_some() && (constant || self.table.is_some())
    }
}

fn read_description(input: &mut Input) -> Result<Description> {
    let desc: [u8; 32] = input.array()?;
    let word = |at: usize| u32::from_be_bytes(codec::array(&desc, at));
    Ok(Description {
        rate: f64::from_be_bytes(codec::array(&desc, 0)),
        format: codec::array(&desc, 8),
        flags: word(12),
        packet_bytes: word(16),
        packet_frames: word(20),
        channels: word(24),
        bits: word(28),
    })
}

/// Texts may stand behind the audio: they are looked for where that costs nothing, and what is wrong there is nobody's
/// business.
fn read_info_behind(input: &mut Input, chunks: &mut Chunks) -> Result<()> {
    let Some((start, Some(bytes))) = chunks.data.filter(|_| tags::is_near(input)) else {
        return Ok(());
    };
    input.seek(start.saturating_add(bytes));
    for _ in 0..MAX_CHUNKS {
        let head: [u8; 12] = input.array()?;
        let length = u64::from_be_bytes(codec::array(&head, 4));
        let body = input.pos();
        if head.starts_with(b"info") {
            tags::caf_info(&tags::take(input, length)?, &mut chunks.metadata);
        }
        input.seek(body.saturating_add(length));
    }
    Ok(())
}

fn rate(description: &Description) -> u32 {
    // NaN and everything out of range become 0, which no limit accepts.
    if (1.0..1e9).contains(&description.rate) {
        description.rate.round() as u32
    } else {
        0
    }
}

fn open_blocks(
    input: Input,
    desc: &Description,
    chunks: Chunks,
) -> Result<(Track, Box<dyn Demux>)> {
    let spec = limits::spec(rate(desc), desc.channels)?;
    let (start, bytes) = chunks.data.ok_or_else(|| Fault::corrupt("no audio data"))?;
    let float = desc.flags & 1 != 0;
    let little = desc.flags & 2 != 0;
    let width = desc.packet_bytes / desc.channels.max(1) / desc.packet_frames;
    let (id, codec) = match (&desc.format, float, little, width) {
        (b"lpcm", false, true, 1) | (b"lpcm", false, false, 1) => {
            (CODEC_ID_PCM_S8, AudioCodec::Pcm)
        }
        (b"lpcm", false, true, 2) => (CODEC_ID_PCM_S16LE, AudioCodec::Pcm),
        (b"lpcm", false, false, 2) => (CODEC_ID_PCM_S16BE, AudioCodec::Pcm),
        (b"lpcm", false, true, 3) => (CODEC_ID_PCM_S24LE, AudioCodec::Pcm),
        (b"lpcm", false, false, 3) => (CODEC_ID_PCM_S24BE, AudioCodec::Pcm),
        (b"lpcm", false, true, 4) => (CODEC_ID_PCM_S32LE, AudioCodec::Pcm),
        (b"lpcm", false, false, 4) => (CODEC_ID_PCM_S32BE, AudioCodec::Pcm),
        (b"lpcm", true, true, 4) => (CODEC_ID_PCM_F32LE, AudioCodec::Pcm),
        (b"lpcm", true, false, 4) => (CODEC_ID_PCM_F32BE, AudioCodec::Pcm),
        (b"lpcm", true, true, 8) => (CODEC_ID_PCM_F64LE, AudioCodec::Pcm),
        (b"lpcm", true, false, 8) => (CODEC_ID_PCM_F64BE, AudioCodec::Pcm),
        (b"alaw", _, _, 1) => (CODEC_ID_PCM_ALAW, AudioCodec::Pcm),
        (b"ulaw", _, _, 1) => (CODEC_ID_PCM_MULAW, AudioCodec::Pcm),
        (b"ima4", ..) => (CODEC_ID_ADPCM_IMA_QT, AudioCodec::Adpcm),
        _ => return Err(unsupported(desc)),
    };
    let frame_bytes = u64::from(width) * u64::from(desc.channels);
    let whole = match codec {
        // 64 samples of four bits behind a head of two bytes, for each channel.
        AudioCodec::Adpcm => desc.packet_frames == 64 && desc.packet_bytes == 34 * desc.channels,
        _ => u64::from(desc.packet_bytes) == frame_bytes * u64::from(desc.packet_frames),
    };
    if !whole {
        return Err(Fault::unsupported(format!(
            "CAF coding {:?} with {} bytes for {} frames",
            String::from_utf8_lossy(&desc.format),
            desc.packet_bytes,
            desc.packet_frames
        )));
    }
    let layout = Layout {
        start,
        bytes: bytes.or_else(|| Some(input.len()?.saturating_sub(start))),
        block_bytes: desc.packet_bytes.into(),
        block_frames: desc.packet_frames.into(),
        promised: None,
    };
    let too_large = |limit| Fault::TooLarge {
        what: "a packet",
        limit,
    };
    if layout.block_bytes > limits::PACKET_BYTES {
        return Err(too_large(limits::PACKET_BYTES));
    }
    // The decoder has memory for a packet from the beginning.
    if layout.block_frames > limits::PACKET_FRAMES {
        return Err(too_large(limits::PACKET_FRAMES));
    }
    let params = codec::pcm_params(&PcmCoding {
        id,
        spec,
        packet_frames: layout.packet_blocks() * layout.block_frames,
        block_frames: layout.block_frames,
    });
    let track = Track {
        trim: None,
        container: ContainerFormat::Caf,
        codec,
        params,
        frames: layout.frames(),
        duration: None,
        metadata: chunks.metadata,
        stamp: None,
        notices: Vec::new(),
    };
    Ok((track, Box::new(Blocks::new(input, layout))))
}

fn unsupported(desc: &Description) -> Fault {
    Fault::unsupported(format!(
        "CAF coding {:?} of {} bits",
        String::from_utf8_lossy(&desc.format),
        desc.bits
    ))
}

fn open_packets(
    mut input: Input,
    desc: &Description,
    chunks: Chunks,
) -> Result<(Track, Box<dyn Demux>)> {
    let spec = limits::spec(rate(desc), desc.channels)?;
    let (start, _) = chunks.data.ok_or_else(|| Fault::corrupt("no audio data"))?;
    let mut params = AudioCodecParameters::new();
    let codec = match &desc.format {
        b"alac" => {
            let cookie = chunks
                .cookie
                .ok_or_else(|| Fault::corrupt("ALAC without its cookie"))?;
            params
                .for_codec(CODEC_ID_ALAC)
                .with_extra_data(codec::config(&[&cookie])?);
            AudioCodec::Alac
        }
        b"aac " | b"aach" | b"aacp" => {
            let cookie = chunks
                .cookie
                .ok_or_else(|| Fault::corrupt("AAC without its cookie"))?;
            let bytes = AacConfig::find(&cookie).unwrap_or_default();
            let config =
                AacConfig::parse(bytes).ok_or_else(|| Fault::corrupt("no AAC configuration"))?;
            params = config.params(bytes)?;
            config.codec()
        }
        _ => return Err(unsupported(desc)),
    };
    let Some((at, length)) = chunks.table else {
        return Err(Fault::Truncated(None));
    };
    let (table, ends) = read_table(&mut input, desc, (at, length), start)?;
    input.seek(start);
    let track = Track {
        trim: ends.trim(table.frames()),
        container: ContainerFormat::Caf,
        codec,
        params,
        frames: ends.decoded(codec, table.frames()),
        duration: Some(MediaDuration::Estimate(spec.time(table.frames()))),
        metadata: chunks.metadata,
        stamp: None,
        notices: Vec::new(),
    };
    let primers = u64::from(codec != AudioCodec::Alac);
    Ok((track, Box::new(table.packets(input, primers))))
}

fn read_table(
    input: &mut Input,
    desc: &Description,
    at: (u64, u64),
    start: u64,
) -> Result<(PacketTable, Ends)> {
    input.seek(at.0);
    let head: [u8; 24] = input.array()?;
    let ends = Ends::parse(&head);
    let count = u64::from_be_bytes(codec::array(&head, 0));
    let left = at.1.saturating_sub(24);
    // Each packet takes at least one byte of the table.
    if count > left.min(limits::TABLE_ENTRIES) {
        return Err(Fault::TooLarge {
            what: "the packet table",
            limit: left.min(limits::TABLE_ENTRIES),
        });
    }
    let mut table = PacketTable::with_capacity(count as usize, start)?;
    for _ in 0..count {
        let bytes = match desc.packet_bytes {
            0 => read_number(input)?,
            constant => constant.into(),
        };
        let frames = match desc.packet_frames {
            0 => read_number(input)?,
            constant => constant.into(),
        };
        if bytes > limits::PACKET_BYTES || frames > limits::PACKET_BYTES {
            return Err(Fault::TooLarge {
                what: "a packet",
                limit: limits::PACKET_BYTES,
            });
        }
        table.push(TableEntry { bytes, frames })?;
    }
    Ok((table, ends))
}

/// What the head of a packet table says of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    /// Frames of the source.
    valid: u64,
    /// Frames before and behind those.
    priming: u64,
    remainder: u64,
}

impl Ends {
    /// Less than nothing is nothing.
    fn parse(head: &[u8; 24]) -> Self {
        let word = |at| u64::try_from(i32::from_be_bytes(codec::array(head, at))).unwrap_or(0);
        Self {
            valid: u64::try_from(i64::from_be_bytes(codec::array(head, 8))).unwrap_or(0),
            priming: word(16),
            remainder: word(20),
        }
    }

    /// Of so many frames in whole packets. Writers that know nothing call all of them valid.
    fn trim(&self, frames: u64) -> Option<Trim> {
        let signalled = self.priming > 0 || self.remainder > 0;
        let fewer = (1..frames).contains(&self.valid);
        match self.valid {
            total @ 1.. if signalled || fewer => Some(Trim {
                front: self.priming,
                total: Some(total),
            }),
            0 if signalled => Trim::between(self.priming, self.remainder, frames),
            _ => None,
        }
    }

    /// What whole packets decode to. The last one of ALAC is as short as it says itself.
    fn decoded(&self, codec: AudioCodec, frames: u64) -> Option<u64> {
        match (codec, self.remainder) {
            (AudioCodec::Alac, 0) => None,
            (AudioCodec::Alac, remainder) => frames.checked_sub(remainder),
            _ => Some(frames),
        }
    }
}

/// A number in groups of seven bits, the highest first.
fn read_number(input: &mut Input) -> Result<u64> {
    let mut value = 0u64;
    for _ in 0..9 {
        let byte = input.take(1)?[0];
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Fault::corrupt("a number of the packet table has no end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_table_tells_the_ends_as_far_as_they_make_sense() {
        let head = |valid: i64, priming: i32, remainder: i32| {
            let mut head = [0; 24];
            head[8..16].copy_from_slice(&valid.to_be_bytes());
            head[16..20].copy_from_slice(&priming.to_be_bytes());
            head[20..24].copy_from_slice(&remainder.to_be_bytes());
            head
        };
        // Of 90112 frames in whole packets.
        for (valid, priming, remainder, trim) in [
            (88_200, 1024, 888, Some((1024, 88_200))),
            (90_112, 0, 0, None),
            (0, 0, 0, None),
            (88_200, 0, 0, Some((0, 88_200))),
            (0, 1024, 888, Some((1024, 88_200))),
            (0, i32::MAX, i32::MAX, None),
            (i64::MIN, i32::MIN, i32::MIN, None),
            // Clamped where the frames are counted.
            (i64::MAX, 1024, -5, Some((1024, i64::MAX as u64))),
        ] {
            let ends = Ends::parse(&head(valid, priming, remainder));
            let found = ends
                .trim(90_112)
                .map(|trim| (trim.front, trim.total.unwrap_or(0)));
            assert_eq!(found, trim, "{valid} {priming} {remainder}");
        }
    }
}
