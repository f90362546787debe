//! Audio in blocks of constant size: PCM and ADPCM, whatever file they lie in. Seeking is arithmetic.

use crate::SeekMode;
use crate::demux::{Arrival, Demux, Packet};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::limits;

/// Frames of a packet of PCM.
const PACKET_FRAMES: u64 = 1152;

/// Where blocks lie and what they hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The offset of the first block.
    pub(crate) start: u64,
    /// The bytes of all blocks; `None` where the file does not know.
    pub(crate) bytes: Option<u64>,
    pub(crate) block_bytes: u64,
    pub(crate) block_frames: u64,
    /// The frames the file promises, where that does not follow from `bytes`.
    pub(crate) promised: Option<u64>,
}

impl Layout {
    /// As promised, else those of whole blocks; a torn last one does not count.
    pub(crate) fn frames(&self) -> Option<u64> {
        let held = || Some((self.bytes? / self.block_bytes).saturating_mul(self.block_frames));
        self.promised.or_else(held)
    }

    pub(crate) fn packet_blocks(&self) -> u64 {
        (PACKET_FRAMES / self.block_frames)
            .min(limits::PACKET_BYTES / self.block_bytes)
            .max(1)
    }
}

/// The blocks of a file, several to a packet.
pub(crate) struct Blocks {
    input: Input,
    layout: Layout,
    /// The next block.
    block: u64,
}

impl Blocks {
    pub(crate) fn new(mut input: Input, layout: Layout) -> Self {
        input.seek(layout.start);
        Self {
            input,
            layout,
            block: 0,
        }
    }
}

impl Demux for Blocks {
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        let Layout {
            bytes,
            block_bytes,
            block_frames,
            promised,
            ..
        } = self.layout;
        let left = bytes.map_or(u64::MAX, |bytes| {
            (bytes / block_bytes).saturating_sub(self.block)
        });
        let blocks = left.min(self.layout.packet_blocks());
        if blocks == 0 {
            return match promised {
                Some(frames) if self.block.saturating_mul(block_frames) < frames => {
                    Err(Fault::Truncated(promised))
                }
                _ => Ok(None),
            };
        }
        let at = self.input.pos();
        let got = loop {
            let got =
                self.input.take_some((blocks * block_bytes) as usize)?.len() as u64 / block_bytes;
            self.input.seek(at);
            if got > 0 {
                break got;
            }
            match self.input.peek(block_bytes as usize)?.len() as u64 {
                // A failed read that succeeds when it is repeated.
                whole if whole == block_bytes => {}
                // An unknown length ends where the bytes do.
                _ if bytes.is_none() => return Ok(None),
                _ => return Err(Fault::Truncated(self.layout.frames())),
            }
        };
        let first = self.block;
        self.block += got;
        let data = self.input.take((got * block_bytes) as usize)?;
        Ok(Some(Packet::new(
            data,
            Some(first * block_frames),
            (got * block_frames) as u32,
        )))
    }

    fn seek(&mut self, target: u64, _mode: SeekMode) -> Result<Arrival> {
        let mut block = target / self.layout.block_frames;
        if let Some(bytes) = self.layout.bytes {
            block = block.min(bytes / self.layout.block_bytes);
        }
        self.block = block;
        let offset = block.saturating_mul(self.layout.block_bytes);
        self.input.seek(self.layout.start.saturating_add(offset));
        Ok(Arrival {
            frame: block * self.layout.block_frames,
            exact: true,
        })
    }
}
