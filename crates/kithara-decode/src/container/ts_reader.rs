//! The audio of a transport stream as bytes, with the places where times are stated and where something is missing.

use std::collections::VecDeque;

use super::ts_packet::{
    PACKET, PesFront, SYNC, Sections, StreamKind, TsPacket, audio, map_pid, pes_front,
};
use crate::demux::note;
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{Notice, limits, memory};

/// The longest header of a PES packet.
const MAX_PES_HEADER: usize = 9 + 255;
/// Bytes read through before the tables must have come.
const MAX_SEARCH: u64 = 1024 * 1024;
/// Consumed bytes kept before the buffer is compacted.
const COMPACT: usize = 32 * 1024;
/// The PID of the table that leads to all others.
const PAT: u16 = 0;

/// A place where a PES packet's data begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// In the audio, counted from where reading began.
    pub(super) at: u64,
    /// When the first frame that begins here plays, modulo 2³³.
    pub(super) time: Option<u64>,
    /// Where the transport packet lies.
    pub(super) offset: u64,
}

#[derive(Debug)]
enum Pes {
    /// Nothing is of use before the next PES packet.
    Waiting,
    /// Its header, as far as it has come, and where its first packet lies.
    Header(Vec<u8>, u64),
    Data,
}

pub(super) struct TsReader {
    pub(super) input: Input,
    /// From a packet to the next, and the bytes of other things before each.
    step: u64,
    lead: u64,
    /// Where the next packet begins.
    next: u64,
    map: Option<u16>,
    sections: Sections,
    pid: Option<(u16, StreamKind)>,
    continuity: Option<u8>,
    /// What the last packet of audio carried.
    last: Vec<u8>,
    pes: Pes,
    buffer: Vec<u8>,
    taken: usize,
    /// The place of the buffer's first byte in the audio.
    base: u64,
    marks: VecDeque<Mark>,
    /// Places in the audio where bytes are missing.
    gaps: VecDeque<u64>,
    /// Places in the audio where that of another part of the bytes begins, and where in the bytes that is.
    origins: VecDeque<(u64, u64)>,
    /// The bytes end inside a packet.
    cut: bool,
    notices: Vec<Notice>,
}

impl TsReader {
    /// Finds out how far packets are apart, and what the audio is.
    pub(super) fn open(mut input: Input) -> Result<(Self, StreamKind)> {
        let window = input.peek(4 + 192 * 2 + 1)?;
        let long = |at: usize| window.get(at).is_some_and(|byte| *byte == SYNC);
        // With a time of four bytes before each, as on discs.
        let lead = if !(long(0) && long(PACKET)) && long(4) {
            4
        } else {
            0
        };
        let mut reader = Self {
            step: PACKET as u64 + lead,
            lead,
            next: input.pos(),
            input,
            map: None,
            sections: Sections::default(),
            pid: None,
            continuity: None,
            last: Vec::new(),
            pes: Pes::Waiting,
            buffer: Vec::new(),
            taken: 0,
            base: 0,
            marks: VecDeque::new(),
            gaps: VecDeque::new(),
            origins: VecDeque::new(),
            cut: false,
            notices: Vec::new(),
        };
        let start = reader.next;
        loop {
            if let Some((_, kind)) = reader.pid {
                return Ok((reader, kind));
            }
            let more = reader.fill()?;
            if !more && reader.is_part() {
                // What follows may have more in it.
                return Err(reader.nothing());
            }
            if reader.next - start > MAX_SEARCH || !more {
                return Err(Fault::unsupported("MPEG-TS without audio"));
            }
        }
    }

    /// Begins anew at a packet.
    pub(super) fn restart(&mut self, offset: u64) {
        self.next = offset;
        self.continuity = None;
        self.pes = Pes::Waiting;
        self.buffer.clear();
        (self.taken, self.base, self.cut) = (0, 0, false);
        self.marks.clear();
        self.gaps.clear();
        self.origins.clear();
    }

    /// A frame begins at the position: fails if there was none in a part of the bytes before it.
    pub(super) fn hear(&mut self) -> Result<()> {
        match self.origin() {
            Some(byte) => self.input.hear(byte),
            None => Ok(()),
        }
    }

    /// What is at the position is no audio.
    pub(super) fn meet_junk(&mut self) {
        if let Some(byte) = self.origin() {
            self.input.meet_junk(byte);
        }
    }

    /// What is at the position is why nothing follows.
    pub(super) fn blame(&self) {
        if let Some(byte) = self.origin() {
            self.input.parts().blame(byte);
        }
    }

    /// A byte of the part that holds the position, if there are several.
    fn origin(&self) -> Option<u64> {
        let pos = self.pos();
        let mut begun = self.origins.iter().rev();
        Some(begun.find(|(at, _)| *at <= pos)?.1)
    }

    /// Why there is no audio in bytes that ended.
    fn nothing(&mut self) -> Fault {
        self.input.finish(false).err().unwrap_or(Fault::Silent)
    }

    /// The audio at the position, as far as it was read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// The position in the audio.
    pub(super) fn pos(&self) -> u64 {
        self.base + self.taken as u64
    }

    /// So many bytes at the position, which were read, and moves behind them.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let from = self.taken;
        self.skip(count);
        &self.buffer[from..self.taken]
    }

    /// Goes forward within what was read.
    pub(super) fn skip(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.buffer.len());
        let pos = self.pos();
        while self.gaps.front().is_some_and(|gap| *gap <= pos) {
            self.gaps.pop_front();
        }
        while self.origins.get(1).is_some_and(|(at, _)| *at <= pos) {
            self.origins.pop_front();
        }
    }

    /// The next place where bytes are missing, from the position on.
    pub(super) fn gap(&self) -> Option<u64> {
        self.gaps.front().copied()
    }

    /// The last mark at or before the position, if it was not taken yet.
    pub(super) fn take_mark(&mut self) -> Option<Mark> {
        let pos = self.pos();
        let mut last = None;
        while self.marks.front().is_some_and(|mark| mark.at <= pos) {
            last = self.marks.pop_front();
        }
        last
    }

    /// The marks that lie ahead.
    pub(super) fn marks(&self) -> impl DoubleEndedIterator<Item = &Mark> {
        self.marks.iter()
    }

    /// The first place not before an offset where a packet begins, if all lie as those behind `first` do.
    pub(super) fn grid(&self, first: u64, offset: u64) -> u64 {
        first + offset.saturating_sub(first).next_multiple_of(self.step)
    }

    /// Reads on to the next place where a PES packet's data begin, and moves there; `None` if there is none before the
    /// packet at `end`.
    pub(super) fn next_mark(&mut self, end: u64) -> Result<Option<Mark>> {
        while self.marks.is_empty() {
            if self.next >= end || !self.fill()? {
                return Ok(None);
            }
        }
        let mark = self.marks.pop_front();
        if let Some(mark) = mark {
            self.skip(mark.at.saturating_sub(self.pos()) as usize);
        }
        Ok(mark)
    }

    /// The bytes of the whole, if that is known.
    pub(super) fn len(&self) -> Option<u64> {
        self.input.len()
    }

    /// Whether the bytes are a stretch out of a title.
    pub(super) fn is_part(&self) -> bool {
        self.input.is_part()
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Takes one packet; whether there was one.
    pub(super) fn fill(&mut self) -> Result<bool> {
        let Some(bytes) = self.packet()? else {
            return Ok(false);
        };
        let offset = self.next;
        self.next += self.step;
        let Some(packet) = TsPacket::parse(&bytes) else {
            // Its loss shows in the count.
            return Ok(true);
        };
        if packet.pid == PAT || Some(packet.pid) == self.map {
            self.handle_table(&packet);
        } else if self.pid.is_some_and(|(pid, _)| pid == packet.pid) {
            self.handle_audio(&packet, offset)?;
        }
        Ok(true)
    }

    /// The next packet, wherever it begins; `None` at the end.
    fn packet(&mut self) -> Result<Option<[u8; PACKET]>> {
        loop {
            self.input.progress();
            self.input.seek(self.next + self.lead);
            let bytes = self.input.peek(PACKET)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let is_sync = bytes[0] == SYNC;
            let packet = bytes.first_chunk().copied();
            match packet.filter(|_| is_sync) {
                Some(packet) if !self.skip_cut()? => return Ok(Some(packet)),
                Some(_) => {}
                None if packet.is_none() => {
                    self.cut = is_sync;
                    if !is_sync {
                        self.input.meet_junk(self.next);
                    }
                    return Ok(None);
                }
                None if !self.skip_junk()? => return Ok(None),
                None => {}
            }
        }
    }

    /// Goes to the next part of the bytes if that begins with a packet in the middle of the one at hand; whether it does.
    fn skip_cut(&mut self) -> Result<bool> {
        let end = self.input.part_end(self.next);
        if end >= self.next + self.step {
            return Ok(false);
        }
        self.input.seek(end + self.lead);
        let behind = self.input.peek(self.step as usize + 1)?;
        let is_sync = |at: usize| behind.get(at).is_none_or(|byte| *byte == SYNC);
        let is_cut = !behind.is_empty() && is_sync(0) && is_sync(self.step as usize);
        if is_cut {
            self.lose();
            self.next = end;
        }
        Ok(is_cut)
    }

    /// Something is between the packets, or bytes of one are missing: goes to the next packet, or to the next part of the bytes;
    /// whether there is one.
    fn skip_junk(&mut self) -> Result<bool> {
        let (step, wanted) = (self.step as usize, limits::SNIFF_BYTES + 2 * PACKET + 8);
        let offset = self.next;
        self.input.meet_junk(offset);
        let window = self.input.peek_in_part(wanted)?;
        let is_sync = |at: usize| window.get(at).is_some_and(|byte| *byte == SYNC);
        let last = window.len().saturating_sub(PACKET);
        // Followed by others, as far as can be seen.
        let follows = |at: usize| at >= window.len() || is_sync(at);
        let fits = |at: &usize| is_sync(*at) && (1..5).all(|count| follows(at + count * step));
        let (found, seen) = ((1..=last).find(fits), window.len());
        let left = self.input.part_end(offset);
        let left = (left != u64::MAX).then(|| left - offset);
        let Some(junk) = found.map(|junk| junk as u64).or(left) else {
            if seen < wanted {
                return Ok(false);
            }
            self.input.parts().blame(offset);
            return Err(Fault::corrupt("more than 64 KiB are no transport stream"));
        };
        self.next += junk;
        let bytes = junk;
        note(&mut self.notices, Notice::JunkSkipped { offset, bytes });
        Ok(true)
    }

    fn handle_table(&mut self, packet: &TsPacket<'_>) {
        // One at a time: both are short, and a packet between two parts of one is rare and costs a repetition.
        if packet.starts {
            self.sections = Sections::default();
        }
        let Some(section) = self.sections.push(packet) else {
            return;
        };
        if packet.pid == PAT {
            self.map = map_pid(section).or(self.map);
        } else if let Some(found) = audio(section).filter(|found| self.pid != Some(*found)) {
            // Another of the same kind takes over; a change of kind is found by its bytes.
            self.pid = Some(found);
            self.lose();
            self.continuity = None;
        }
    }

    fn handle_audio(&mut self, packet: &TsPacket<'_>, offset: u64) -> Result<()> {
        if packet.scrambled {
            return Err(Fault::unsupported("encrypted MPEG-TS"));
        }
        if packet.payload.is_empty() {
            return Ok(());
        }
        let last = self.continuity.replace(packet.continuity);
        // Where segments are joined the count may begin anew with the number that was last: only the same bytes are the same.
        let repeated = last == Some(packet.continuity) && self.last == packet.payload;
        if repeated && !packet.may_jump {
            // The same once more (§2.4.3.3).
            return Ok(());
        }
        self.last.clear();
        memory::extend(&mut self.last, packet.payload)?;
        self.note_origin(offset);
        let follows = last.is_none_or(|last| (last + 1) & 15 == packet.continuity);
        if !follows {
            self.lose();
        }
        if packet.starts {
            self.pes = Pes::Header(Vec::new(), offset);
        }
        match &mut self.pes {
            Pes::Waiting => Ok(()),
            Pes::Data => self.append(packet.payload),
            Pes::Header(held, offset) => {
                held.extend_from_slice(packet.payload);
                let (held, offset) = (std::mem::take(held), *offset);
                self.handle_front(held, offset)
            }
        }
    }

    /// Audio of a part of the bytes begins.
    fn note_origin(&mut self, offset: u64) {
        let Some(part) = self.input.parts().around(offset) else {
            return;
        };
        let is_new = |(_, before): &(u64, u64)| !part.contains(before);
        if self.origins.back().is_none_or(is_new) {
            let end = self.base + self.buffer.len() as u64;
            self.origins.push_back((end, offset));
        }
    }

    fn handle_front(&mut self, held: Vec<u8>, offset: u64) -> Result<()> {
        match pes_front(&held) {
            PesFront::Unfinished if held.len() <= MAX_PES_HEADER => {
                self.pes = Pes::Header(held, offset);
                Ok(())
            }
            PesFront::Unfinished | PesFront::Foreign => {
                self.lose();
                Ok(())
            }
            PesFront::Header(length, time) => {
                let at = self.base + self.buffer.len() as u64;
                // Of empty ones the last counts.
                if self.marks.back().is_some_and(|mark| mark.at == at) {
                    self.marks.pop_back();
                }
                self.marks.push_back(Mark { at, time, offset });
                self.pes = Pes::Data;
                self.append(&held[length..])
            }
        }
    }

    /// What comes next does not continue what came before.
    fn lose(&mut self) {
        self.pes = Pes::Waiting;
        let end = self.base + self.buffer.len() as u64;
        if self.gaps.back() != Some(&end) {
            self.gaps.push_back(end);
        }
    }

    fn append(&mut self, data: &[u8]) -> Result<()> {
        if self.taken >= COMPACT {
            self.buffer.drain(..self.taken);
            self.base += self.taken as u64;
            self.taken = 0;
        }
        memory::extend(&mut self.buffer, data)?;
        Ok(())
    }
}
