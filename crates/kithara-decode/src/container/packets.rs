//! Packets of varying size that a table in the file lists.

use crate::SeekMode;
use crate::demux::{Arrival, Demux, Packet};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::memory;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableEntry {
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
}

/// Where each packet begins, in bytes and in frames; one line more than packets.
#[derive(Debug)]
pub(crate) struct PacketTable {
    lines: Vec<(u64, u64)>,
}

impl PacketTable {
    /// A table of packets that lie one behind the other from `start`.
    pub(crate) fn with_capacity(packets: usize, start: u64) -> Result<Self> {
        let mut lines = memory::room(packets.saturating_add(1))?;
        lines.push((start, 0));
        Ok(Self { lines })
    }

    pub(crate) fn push(&mut self, entry: TableEntry) -> Result<()> {
        let (offset, frame) = self.end();
        let line = (
            offset.saturating_add(entry.bytes),
            frame.saturating_add(entry.frames),
        );
        Ok(memory::push(&mut self.lines, line)?)
    }

    /// The frames of all packets.
    pub(crate) fn frames(&self) -> u64 {
        self.end().1
    }

    /// Reads the packets; after a seek the decoder is given `primers` packets to settle.
    pub(crate) fn packets(self, input: Input, primers: u64) -> TablePackets {
        TablePackets {
            input,
            table: self,
            next: 0,
            primers,
        }
    }

    fn end(&self) -> (u64, u64) {
        self.lines.last().copied().unwrap_or_default()
    }
}

/// The packets of a table.
pub(crate) struct TablePackets {
    input: Input,
    table: PacketTable,
    next: usize,
    primers: u64,
}

impl Demux for TablePackets {
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        let lines = &self.table.lines;
        let (Some((offset, frame)), Some((end, next))) =
            (lines.get(self.next), lines.get(self.next + 1))
        else {
            return Ok(None);
        };
        let (bytes, frames) = ((end - offset) as usize, (next - frame) as u32);
        let (offset, frame) = (*offset, *frame);
        self.input.seek(offset);
        let data = self.input.take(bytes).map_err(|fault| match fault {
            Fault::Truncated(_) => Fault::Truncated(Some(self.table.frames())),
            other => other,
        })?;
        self.next += 1;
        Ok(Some(Packet::new(data, Some(frame), frames)))
    }

    fn seek(&mut self, target: u64, _mode: SeekMode) -> Result<Arrival> {
        // Of the packets only: the last line is the end.
        let packets = &self.table.lines[..self.table.lines.len() - 1];
        let behind = packets.partition_point(|(_, frame)| *frame <= target);
        self.next = behind
            .saturating_sub(1)
            .saturating_sub(self.primers as usize);
        let frame = self
            .table
            .lines
            .get(self.next)
            .map_or(0, |(_, frame)| *frame);
        Ok(Arrival { frame, exact: true })
    }
}
