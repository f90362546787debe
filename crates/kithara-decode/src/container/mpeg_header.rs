//! The header of an MPEG audio frame (ISO/IEC 11172-3 §2.4.1.3, ISO/IEC 13818-3 §2.4.1.3).

use kithara_stream::AudioCodec;

use super::frames::{FrameHead, Syntax};
use super::mpeg;

/// The syntax of bare MPEG audio frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MpegSyntax;

/// Kilobits per second by index, for MPEG-1 layers I to III and MPEG-2 layer I and layers II and III.
const BIT_RATES: [[u16; 15]; 5] = [
    [
        0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
    ],
    [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ],
    [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ],
    [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
    ],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// What the four bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MpegHeader {
    pub(crate) mpeg1: bool,
    pub(crate) layer: u8,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
    /// Bits per second; 0 is the free format.
    pub(crate) bit_rate: u32,
    pub(crate) bytes: usize,
    pub(crate) frames: u32,
    key: u32,
}

impl MpegHeader {
    /// Reads a header; `None` where there is none.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let word = u32::from_be_bytes(head.get(..4)?.try_into().ok()?);
        let (version, layer) = (word >> 19 & 3, word >> 17 & 3);
        let (rate_index, bit_index) = (word >> 10 & 3, word >> 12 & 15);
        // Emphasis 2 is reserved too, and rules out much that is not a header.
        if word >> 21 != 0x7ff
            || version == 1
            || layer == 0
            || rate_index == 3
            || bit_index == 15
            || word & 3 == 2
        {
            return None;
        }
        let (mpeg1, layer) = (version == 3, 4 - layer as u8);
        let divider = [4, 0, 2, 1][version as usize];
        let sample_rate = [44_100, 48_000, 32_000][rate_index as usize] / divider;
        let table = match (mpeg1, layer) {
            (true, layer) => usize::from(layer) - 1,
            (false, 1) => 3,
            (false, _) => 4,
        };
        let bit_rate = u32::from(BIT_RATES[table][bit_index as usize]) * 1000;
        let padding = word >> 9 & 1;
        let mono = word >> 6 & 3 == 3;
        let (frames, bytes) = match (layer, mpeg1) {
            (1, _) => (384, (12 * bit_rate / sample_rate + padding) * 4),
            (2, _) | (_, true) => (1152, 144 * bit_rate / sample_rate + padding),
            _ => (576, 72 * bit_rate / sample_rate + padding),
        };
        Some(Self {
            mpeg1,
            layer,
            sample_rate,
            channels: if mono { 1 } else { 2 },
            bit_rate,
            bytes: bytes as usize,
            frames,
            key: version << 8 | u32::from(layer) << 4 | rate_index << 1 | u32::from(mono),
        })
    }

    pub(crate) fn codec(&self) -> AudioCodec {
        match self.layer {
            1 => AudioCodec::Mp1,
            2 => AudioCodec::Mp2,
            _ => AudioCodec::Mp3,
        }
    }

    /// How many frames before a wanted one a decoder must be given.
    pub(crate) fn settle(&self) -> u64 {
        match self.layer {
            3 => layer3_settle(self.sample_rate, self.channels),
            _ => 2,
        }
    }

    /// Bytes of a layer III frame behind its header up to the end of the side information.
    pub(crate) fn side_bytes(&self) -> usize {
        side_bytes(self.mpeg1, self.channels)
    }
}

/// How many frames of layer III before a wanted one a decoder must be given, whatever rates they have.
///
/// A frame may use main data of frames before it, up to 511 bytes (255 in MPEG-2: ISO/IEC 11172-3 §2.4.2.7, 13818-3
/// §2.4.1.7), and those frames may all be of the lowest rate; then two more settle the overlap and the filter bank.
pub(crate) fn layer3_settle(sample_rate: u32, channels: u16) -> u64 {
    let (lowest, slots, reservoir) = match sample_rate {
        32_000.. => (32_000, 144, 511usize),
        _ => (8_000, 72, 255),
    };
    let side = side_bytes(sample_rate >= 32_000, channels);
    // Header and check before the side information.
    let bytes = (slots * lowest / sample_rate.max(1)) as usize;
    let data = bytes.saturating_sub(6 + side).max(1);
    3 + reservoir.div_ceil(data) as u64
}

fn side_bytes(mpeg1: bool, channels: u16) -> usize {
    match (mpeg1, channels) {
        (true, 1) | (false, 2) => 17,
        (true, _) => 32,
        (false, _) => 9,
    }
}

impl Syntax for MpegSyntax {
    const HEAD: usize = 4;

    fn parse(head: &[u8]) -> Option<FrameHead> {
        let header = MpegHeader::parse(head)?;
        (header.bit_rate != 0).then_some(FrameHead {
            bytes: header.bytes,
            frames: header.frames,
            key: header.key,
            bit_rate: header.bit_rate,
            sample_rate: header.sample_rate,
            data_at: 0,
        })
    }

    fn settle(head: &[u8]) -> u64 {
        MpegHeader::parse(head).map_or(2, |header| header.settle())
    }

    fn is_description(frame: &[u8]) -> bool {
        mpeg::is_description(frame)
    }
}
