//! The stream under a demuxer: absolute positions, few far jumps, and reads that can be repeated after an interruption.

use std::io::{self, Read, Seek, SeekFrom};

use kithara_stream::Parts;
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadBytes, SeekBuffered};

use super::Mp4Options;
use super::boxes::{BoxHeader, FourCode};
use super::error::Mp4Error;
use crate::container::tags;
use crate::fault::Silent;
use crate::{Guard, memory};

/// Memory is taken in steps of this size, as the bytes arrive: a size field alone never makes us allocate.
const STEP: usize = 64 * 1024;

/// Gaps up to this length are read through rather than jumped over. Over a network whoever fetches decides on longer ones:
/// only it knows whether a request is worth it.
const READ_THROUGH: u64 = 64 * 1024;
/// Between packets of interleaved media far away: a request for each would cost more than this many bytes.
const READ_THROUGH_INTERLEAVED: u64 = 256 * 1024;

pub(super) struct Stream<'s> {
    mss: MediaSourceStream<'s>,
    remote: bool,
    part: bool,
    read_through: u64,
    parts: Parts,
    /// Where the box of the file begins that was met last.
    last: u64,
    guard: Guard,
    /// What a failed [`read_at`](Self::read_at) had already got, so that an interrupted read goes on where it stopped
    /// even if the source can't go back.
    partial: Option<Partial>,
}

struct Partial {
    pos: u64,
    bytes: Vec<u8>,
}

impl<'s> Stream<'s> {
    pub fn new(mss: MediaSourceStream<'s>, options: Mp4Options) -> Self {
        Self {
            mss,
            remote: options.remote,
            part: options.part,
            read_through: READ_THROUGH,
            parts: options.parts,
            last: 0,
            guard: options.guard,
            partial: None,
        }
    }

    pub fn into_inner(self) -> MediaSourceStream<'s> {
        self.mss
    }

    /// Told with every packet that was read: whatever lay before the first, covers and padding, was no interleaved media.
    pub fn plays(&mut self) {
        if self.remote {
            self.read_through = READ_THROUGH_INTERLEAVED;
        }
    }

    /// Longer items of tags are passed over.
    pub fn longest_tag(&self) -> u64 {
        tags::whole(self.remote, self.is_seekable())
    }

    /// Whether what boxes say of the whole is no promise for these bytes.
    pub fn is_part(&self) -> bool {
        self.part
    }

    pub fn is_seekable(&self) -> bool {
        self.mss.is_seekable()
    }

    pub fn byte_len(&self) -> Option<u64> {
        self.mss.byte_len()
    }

    pub fn pos(&self) -> u64 {
        self.mss.pos()
    }

    /// A packet begins at `pos`: fails if there was none in a part of the bytes before it.
    pub fn hear(&self, pos: u64) -> io::Result<()> {
        self.parts.hear(pos).map_err(|_| Silent.into())
    }

    /// No packet follows: fails if there was none in the last part.
    pub fn finish(&self) -> io::Result<()> {
        self.parts.finish(false).map_err(|_| Silent.into())
    }

    /// The box met last is why nothing follows.
    pub fn blame(&self) {
        self.parts.blame(self.last);
    }

    /// Where the box of the file begins that was met last.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Bytes up to `pos` belong to what was found at `from`: the same part of the bytes must hold both.
    pub fn keep_within(&self, from: u64, pos: u64) -> io::Result<()> {
        match self.parts.around(from) {
            Some(part) if pos > part.end => {
                self.parts.blame(from);
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            _ => Ok(()),
        }
    }

    /// Where the part ends in which the last box was met, by reading on; `None` if nothing follows it.
    pub fn part_end(&mut self) -> io::Result<Option<u64>> {
        loop {
            let Some(part) = self.parts.around(self.last) else {
                return Ok(None);
            };
            if part.end != u64::MAX {
                return Ok(Some(part.end));
            }
            match self.read_over(1) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            }
        }
    }

    /// Moves to `pos`. Fails with `UnexpectedEof` if the bytes end before it, with `Unsupported` if it lies behind what
    /// an unseekable source still remembers.
    pub fn goto(&mut self, pos: u64) -> io::Result<()> {
        self.guard.progress();
        if i64::try_from(pos).is_err() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.mss.seek_buffered(pos) == pos {
            return self.keep_within(self.last, pos);
        }
        let here = self.mss.pos();
        if pos > here && (pos - here <= self.read_through || !self.mss.is_seekable()) {
            return self.read_over(pos - here);
        }
        if !self.mss.is_seekable() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the source cannot go back",
            ));
        }
        if self.mss.byte_len().is_some_and(|len| pos > len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // One byte short, and read that: a seek succeeds past the end of a file, and a box whose body is skipped must not
        // seem whole when it was cut.
        self.mss.seek(SeekFrom::Start(pos.saturating_sub(1)))?;
        if pos > 0 {
            self.mss.read_byte()?;
        }
        Ok(())
    }

    /// In steps, because `ignore_bytes` jumps over long ones.
    fn read_over(&mut self, mut len: u64) -> io::Result<()> {
        while len > 0 {
            let step = len.min(STEP as u64);
            self.mss.ignore_bytes(step)?;
            self.keep_within(self.last, self.mss.pos())?;
            len -= step;
        }
        Ok(())
    }

    /// The header of the box at `pos`; `None` if the bytes end exactly there or `parent_end` is reached.
    pub fn header_at(
        &mut self,
        pos: u64,
        parent_end: Option<u64>,
    ) -> Result<Option<BoxHeader>, Mp4Error> {
        if parent_end.is_some_and(|end| pos.saturating_add(8) > end) {
            return Ok(None);
        }
        self.goto(pos)?;
        let mut bytes = [0; 16];
        let (first, second) = bytes.split_at_mut(8);
        let got = self.fill(first)?;
        if got > 0 && parent_end.is_none() {
            self.last = pos;
        }
        match got {
            0 => return Ok(None),
            8 => {}
            _ => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
        if first.starts_with(&[0, 0, 0, 1]) && self.fill(second)? < 8 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let header = BoxHeader::parse(pos, &bytes)?;
        self.keep_within(self.last, header.body)?;
        if parent_end.is_none() && self.part {
            header.check_plausible()?;
        }
        if let Some(parent_end) = parent_end
            && header.end.is_none_or(|end| end > parent_end)
        {
            return Err(Mp4Error::malformed(
                header.kind,
                "longer than the box around it",
            ));
        }
        Ok(Some(header))
    }

    /// Reads until `out` is full or the bytes end; returns how many there were.
    fn fill(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.mss.read(rest)? {
                0 => break,
                n => filled += n,
            }
        }
        Ok(filled)
    }

    /// Exactly `len` bytes from `pos`. May be repeated with the same arguments after any failure.
    pub fn read_at(&mut self, pos: u64, len: usize) -> Result<Vec<u8>, Mp4Error> {
        self.read_in(Vec::new(), pos, len)
    }

    /// The same in memory that was used before.
    fn read_in(&mut self, mut used: Vec<u8>, pos: u64, len: usize) -> Result<Vec<u8>, Mp4Error> {
        let mut bytes = match self.partial.take() {
            Some(partial) if partial.pos == pos && partial.bytes.len() <= len => partial.bytes,
            _ => {
                used.clear();
                used
            }
        };
        let result = self.append(pos, len, &mut bytes);
        match result {
            Ok(()) => Ok(bytes),
            Err(error) => {
                self.partial = Some(Partial { pos, bytes });
                Err(error)
            }
        }
    }

    fn append(&mut self, pos: u64, len: usize, bytes: &mut Vec<u8>) -> Result<(), Mp4Error> {
        self.goto(pos.saturating_add(bytes.len() as u64))?;
        while bytes.len() < len {
            let had = bytes.len();
            let step = (len - had).min(STEP);
            if bytes.capacity() < had + step {
                // Twice as much each time, but no more than all: a box of the whole is not another allocation.
                let all = had.saturating_mul(2).clamp(had + step, len);
                memory::reserve_exact(bytes, all - had)?;
            }
            bytes.resize(had + step, 0);
            let before = self.mss.pos();
            let result = self.mss.read(bytes.get_mut(had..).unwrap_or_default());
            // A failed read has still moved what was buffered into `bytes`; the position tells how much.
            let got = usize::try_from(self.mss.pos().saturating_sub(before))
                .unwrap_or(step)
                .min(step);
            bytes.truncate(had + got);
            self.keep_within(self.last, self.mss.pos())?;
            if result? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(())
    }

    /// The body of `header`, if it isn't longer than `limit`.
    pub fn body(&mut self, header: &BoxHeader, limit: u64) -> Result<Vec<u8>, Mp4Error> {
        self.body_in(Vec::new(), header, limit)
    }

    /// The same in memory that was used before.
    pub fn body_in(
        &mut self,
        used: Vec<u8>,
        header: &BoxHeader,
        limit: u64,
    ) -> Result<Vec<u8>, Mp4Error> {
        let len = header
            .body_len()
            .ok_or_else(|| Mp4Error::malformed(header.kind, "its size is open"))?;
        let over = || Mp4Error::Limit {
            what: box_name(header.kind),
            limit,
        };
        let len = usize::try_from(len)
            .ok()
            .filter(|_| len <= limit)
            .ok_or_else(over)?;
        self.read_in(used, header.body, len)
    }

    /// The first `max` bytes of the body of `header`, or all if there are fewer.
    pub fn body_prefix(&mut self, header: &BoxHeader, max: usize) -> Result<Vec<u8>, Mp4Error> {
        let len = header.body_len().unwrap_or(u64::MAX);
        self.read_at(
            header.body,
            usize::try_from(len).map_or(max, |len| len.min(max)),
        )
    }
}

/// The name a limit is reported under.
fn box_name(kind: FourCode) -> &'static str {
    match &kind.0 {
        b"moof" => "the size of a moof box",
        b"moov" => "the size of a moov box",
        b"sidx" => "the size of a sidx box",
        b"stsd" => "the size of an stsd box",
        b"stsz" | b"stz2" | b"stts" | b"stsc" | b"stco" | b"co64" => {
            "the size of a sample table box"
        }
        _ => "the size of a box",
    }
}
