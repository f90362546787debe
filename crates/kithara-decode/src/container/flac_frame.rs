//! The parts of FLAC needed to find a place in a stream and to tell damage (RFC 9639 §8.2, §9).

use symphonia::core::checksum::Crc16Ansi;
use symphonia::core::io::Monitor;

use crate::fault::{Fault, Result};

/// The stream information block.
#[derive(Clone, Debug)]
pub(crate) struct StreamInfo {
    pub(crate) block: [u8; 34],
    pub(crate) sample_rate: u32,
    pub(crate) channels: u32,
    pub(crate) total: Option<u64>,
    /// Frames of every block but the last, where that is constant.
    block_frames: u64,
    max_block: u64,
    bits: u32,
}

impl StreamInfo {
    pub(crate) fn parse(block: &[u8]) -> Result<Self> {
        let block: [u8; 34] = block
            .get(..34)
            .and_then(|block| block.try_into().ok())
            .ok_or_else(|| Fault::corrupt("a short stream information block"))?;
        let packed = u64::from_be_bytes(crate::codec::array(&block, 10));
        let total = packed & 0xf_ffff_ffff;
        let info = Self {
            block,
            sample_rate: (packed >> 44) as u32,
            channels: (packed >> 41 & 7) as u32 + 1,
            bits: (packed >> 36 & 31) as u32 + 1,
            total: (total > 0).then_some(total),
            block_frames: u16::from_be_bytes([block[0], block[1]]).into(),
            max_block: u16::from_be_bytes([block[2], block[3]]).into(),
        };
        if info.max_block < 16 || info.bits < 4 {
            return Err(Fault::corrupt("the stream information makes no sense"));
        }
        Ok(info)
    }

    /// Frames of every block but the last, if that is constant.
    pub(crate) fn constant_block(&self) -> Option<u64> {
        (self.block_frames == self.max_block).then_some(self.max_block)
    }

    /// The most bytes of a frame: samples as they are, and what is around them.
    pub(crate) fn longest_frame(&self) -> usize {
        // A difference of two channels takes a bit more.
        let bits = self.max_block * u64::from(self.channels * (self.bits + 1));
        bits as usize / 8 + 1024
    }

    /// Bytes per PCM frame, as music usually takes.
    pub(crate) fn usual_bytes(&self) -> f64 {
        f64::from(self.channels * self.bits) / 8.0 * 0.6
    }

    /// Bytes per PCM frame over a stretch.
    pub(crate) fn mean_bytes(&self, bytes: u64, frames: u64) -> f64 {
        bytes as f64 / frames.max(1) as f64
    }
}

/// The most bytes of a header.
pub(crate) const MAX_HEADER: usize = 16;

/// What a FLAC frame is of the stream, in PCM frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The first.
    pub(crate) frame: u64,
    /// How many.
    pub(crate) frames: u32,
}

/// The first frame header in a window, and where it is.
pub(crate) fn find(window: &[u8], info: &StreamInfo) -> Option<(usize, Place)> {
    (0..window.len().saturating_sub(1))
        .filter(|at| window[*at] == 0xff && window[at + 1] & 0xfe == 0xf8)
        .find_map(|at| Some((at, place(&window[at..], info)?)))
}

/// The place of the FLAC frame whose header these bytes are; `None` where they are none.
pub(crate) fn place(frame: &[u8], info: &StreamInfo) -> Option<Place> {
    let header = Header::parse(frame).filter(|header| header.channels == info.channels)?;
    // The numbers count samples where the block size varies, and blocks where it does not.
    let first = if header.varies {
        header.number
    } else {
        header.number.checked_mul(info.block_frames)?
    };
    let place = Place {
        frame: first,
        frames: header.frames,
    };
    info.total
        .is_none_or(|total| first < total)
        .then_some(place)
}

/// How many PCM frames the FLAC frame holds whose header these bytes are.
pub(crate) fn frames(frame: &[u8]) -> Option<u32> {
    Header::parse(frame).map(|header| header.frames)
}

/// Whether a FLAC frame is the one that was written, by the sum at its end (§9.3).
pub(crate) fn is_intact(frame: &[u8]) -> bool {
    let mut crc = Crc16Ansi::new(0);
    // Of the sum itself too, which leaves nothing.
    crc.process_buf_bytes(frame);
    crc.crc() == 0
}

/// The header of a frame (§9.1).
struct Header {
    channels: u32,
    /// Whether the blocks vary in size.
    varies: bool,
    number: u64,
    frames: u32,
}

impl Header {
    fn parse(frame: &[u8]) -> Option<Self> {
        let head = frame.get(..4)?;
        if head[0] != 0xff || head[1] & 0xfe != 0xf8 {
            return None;
        }
        let (size, rate) = (head[2] >> 4, head[2] & 15);
        let (assignment, depth) = (head[3] >> 4, head[3] >> 1 & 7);
        if size == 0 || rate == 15 || assignment > 10 || depth == 3 || head[3] & 1 != 0 {
            return None;
        }
        let (number, width) = coded_number(&frame[4..])?;
        let at = 4 + width;
        let (frames, size_width) = match size {
            1 => (192, 0),
            2..=5 => (576 << (size - 2), 0),
            6 => (u32::from(*frame.get(at)?) + 1, 1),
            7 => (
                u32::from(*frame.get(at)?) * 256 + u32::from(*frame.get(at + 1)?) + 1,
                2,
            ),
            _ => (256 << (size - 8), 0),
        };
        let rate_width = match rate {
            12 => 1,
            13 | 14 => 2,
            _ => 0,
        };
        let end = at + size_width + rate_width;
        if crc8(frame.get(..end)?) != *frame.get(end)? {
            return None;
        }
        Some(Self {
            channels: if assignment > 7 {
                2
            } else {
                u32::from(assignment) + 1
            },
            varies: head[1] & 1 == 1,
            number,
            frames,
        })
    }
}

/// A number coded like UTF-8, and its bytes.
fn coded_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let width = match first.leading_ones() {
        0 => return Some((first.into(), 1)),
        ones @ 2..=7 => ones as usize,
        _ => return None,
    };
    let start = u64::from(first) & ((1 << (7 - width)) - 1);
    let value = bytes.get(1..width)?.iter().try_fold(start, |value, byte| {
        (byte & 0xc0 == 0x80).then_some(value << 6 | u64::from(byte & 0x3f))
    })?;
    Some((value, width))
}

/// CRC-8 with the polynomial x⁸ + x² + x + 1.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| {
            if crc & 0x80 != 0 {
                crc << 1 ^ 0x07
            } else {
                crc << 1
            }
        })
    })
}
