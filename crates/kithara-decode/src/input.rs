//! Buffered reading of a run's bytes, in the few shapes demuxers need.

use std::io::SeekFrom;
use std::ops::Range;
use std::time::Duration;

use kithara_stream::{ByteSource, Parts, Unheard};

use crate::fault::{Fault, Result};
use crate::{Guard, memory};

/// The first read after a jump; later reads double up to [`MAX_STEP`].
const MIN_STEP: usize = 4 * 1024;
const MAX_STEP: usize = 32 * 1024;
/// Consumed bytes kept before the window is compacted.
const COMPACT: usize = 64 * 1024;

/// The bytes of a run with a read window. Seeking is free until the next read.
pub(crate) struct Input {
    source: Box<dyn ByteSource>,
    guard: Guard,
    window: Vec<u8>,
    /// Offset in the source of the window's first byte.
    start: u64,
    pos: u64,
    /// Where the source's own cursor stands.
    cursor: u64,
    step: usize,
    end: Option<u64>,
    /// They are a stretch out of a title, whose headers may speak of all of it.
    part: bool,
    /// What they are made of.
    parts: Parts,
    /// Where something was met last that is no media.
    junk: Option<u64>,
    /// The frame behind the packet that was heard last, and how many there are in a second.
    reached: (u64, u32),
}

impl Input {
    pub(crate) fn new(source: Box<dyn ByteSource>, guard: Guard) -> Self {
        Self {
            parts: source.parts(),
            source,
            guard,
            window: Vec::new(),
            start: 0,
            pos: 0,
            cursor: 0,
            step: MIN_STEP,
            end: None,
            part: false,
            junk: None,
            reached: (0, 1),
        }
    }

    /// Says whether the bytes are only a stretch out of what their headers describe.
    pub(crate) fn part_of_title(mut self, part: bool) -> Self {
        self.part = part;
        self
    }

    pub(crate) fn is_part(&self) -> bool {
        self.part
    }

    /// What the bytes are made of.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Where the part ends that holds this byte, as far as is known.
    pub(crate) fn part_end(&self, byte: u64) -> u64 {
        self.parts.around(byte).map_or(u64::MAX, |part| part.end)
    }

    /// A packet begins at this byte: fails if there was none in a part before it.
    pub(crate) fn hear(&mut self, byte: u64) -> Result<()> {
        self.parts.hear(byte).map_err(|silent| self.silent(&silent))
    }

    /// The packet that was heard last has these frames, of so many a second.
    pub(crate) fn play(&mut self, frames: Range<u64>, rate: u32) {
        let rate = rate.max(1);
        let time = |count: u64| {
            let nanos = u128::from(count) * 1_000_000_000 / u128::from(rate);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        self.reached = (frames.end, rate);
        let length = time(frames.end - frames.start);
        self.parts.play(time(frames.start), length);
    }

    /// No packet follows: fails if there was none in the last part, or too few for the last of a title. Whether the bytes end within
    /// one is `torn`.
    pub(crate) fn finish(&mut self, torn: bool) -> Result<()> {
        self.parts.finish(torn).map_err(|unheard| match unheard {
            Unheard::All(part) => self.silent(&part),
            Unheard::Rest(time) => {
                let (reached, rate) = self.reached;
                let missing = time.as_nanos() * u128::from(rate) / 1_000_000_000;
                let missing = u64::try_from(missing).unwrap_or(u64::MAX);
                Fault::Truncated(Some(reached.saturating_add(missing)))
            }
        })
    }

    /// What is at this byte is no media.
    pub(crate) fn meet_junk(&mut self, byte: u64) {
        self.junk = Some(byte);
    }

    fn silent(&self, part: &Range<u64>) -> Fault {
        match self.junk.filter(|junk| part.contains(junk)) {
            Some(_) => Fault::WrongContent("something else in its place".to_owned()),
            None => Fault::Silent,
        }
    }

    /// The length: as announced, or as found at the end.
    pub(crate) fn len(&self) -> Option<u64> {
        self.end.or_else(|| self.source.byte_len())
    }

    pub(crate) fn is_remote(&self) -> bool {
        self.source.is_remote()
    }

    pub(crate) fn is_seekable(&self) -> bool {
        self.source.is_seekable()
    }

    /// What was kept of where things lie in these bytes.
    pub(crate) fn load_index(&self) -> Option<std::sync::Arc<[u8]>> {
        self.source.load_index()
    }

    /// Whether there is anywhere to keep it.
    pub(crate) fn keeps_index(&self) -> bool {
        self.source.keeps_index()
    }

    pub(crate) fn keep_index(&self, index: Vec<u8>) {
        self.source.keep_index(index);
    }

    pub(crate) fn pos(&self) -> u64 {
        self.pos
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Marks for the watchdog that a header was passed.
    pub(crate) fn progress(&self) {
        self.guard.progress();
    }

    /// Moves to an offset. Nothing is read and nothing can fail until the next read.
    pub(crate) fn seek(&mut self, pos: u64) {
        self.pos = pos;
    }

    pub(crate) fn skip(&mut self, count: u64) {
        self.pos = self.pos.saturating_add(count);
    }

    /// `count` bytes at the position, fewer only at the end. Does not move.
    pub(crate) fn peek(&mut self, count: usize) -> Result<&[u8]> {
        self.want(count)?;
        let (from, to) = self.bounds();
        Ok(&self.window[from..to.min(from + count)])
    }

    /// The same, but nothing of the next part.
    pub(crate) fn peek_in_part(&mut self, count: usize) -> Result<&[u8]> {
        let end = |input: &Self| {
            let left = input.part_end(input.pos).saturating_sub(input.pos);
            usize::try_from(left).map_or(count, |left| left.min(count))
        };
        let mut look = 1;
        // Step by step: where it ends is known once that was read.
        while look <= end(self) && self.peek(look)?.len() == look {
            let (from, to) = self.bounds();
            look = to - from + 1;
        }
        let look = end(self);
        self.peek(look)
    }

    /// Exactly `count` bytes at the position, and moves behind them.
    pub(crate) fn take(&mut self, count: usize) -> Result<&[u8]> {
        self.want(count)?;
        let (from, to) = self.bounds();
        if to - from < count {
            return Err(Fault::Truncated(None));
        }
        self.pos += count as u64;
        Ok(&self.window[from..from + count])
    }

    /// Up to `count` bytes at the position, and moves behind them. Fewer where the source ends or fails; a failure is
    /// told once nothing is left before it.
    pub(crate) fn take_some(&mut self, count: usize) -> Result<&[u8]> {
        let wanted = self.want(count);
        let (from, to) = self.bounds();
        if to == from {
            wanted?;
        }
        let got = (to - from).min(count);
        self.pos += got as u64;
        Ok(&self.window[from..from + got])
    }

    /// Up to `count` bytes at the position, in memory of their own, and moves behind them. Fewer where the source ends or there
    /// is no memory for more: it is for what sound does not depend on.
    pub(crate) fn take_copy(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut copy = Vec::new();
        while (copy.len() as u64) < count {
            let left = count - copy.len() as u64;
            let step = usize::try_from(left).map_or(MAX_STEP, |left| left.min(MAX_STEP));
            let part = self.take_some(step)?;
            if part.is_empty() || memory::extend(&mut copy, part).is_err() {
                break;
            }
        }
        Ok(copy)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// Reads past the window, for readers with buffers of their own. 0 is the end.
    pub(crate) fn read_direct(&mut self, pos: u64, out: &mut [u8]) -> std::io::Result<usize> {
        // What the sniffer read is not read twice.
        if let Some(from) = pos.checked_sub(self.start)
            && let Some(held) = usize::try_from(from)
                .ok()
                .and_then(|from| self.window.get(from..))
            && !held.is_empty()
        {
            let count = held.len().min(out.len());
            out[..count].copy_from_slice(&held[..count]);
            return Ok(count);
        }
        self.go_to(pos)?;
        let _reading = self.guard.reading();
        let count = self.source.read(out)?;
        self.cursor += count as u64;
        if count == 0 && !out.is_empty() {
            self.end = Some(pos);
        }
        Ok(count)
    }

    fn bounds(&self) -> (usize, usize) {
        let from = usize::try_from(self.pos.saturating_sub(self.start)).unwrap_or(usize::MAX);
        (from.min(self.window.len()), self.window.len())
    }

    fn want(&mut self, count: usize) -> Result<()> {
        let held_to = self.start + self.window.len() as u64;
        if self.pos < self.start || self.pos > held_to {
            self.window.clear();
            self.start = self.pos;
            self.step = MIN_STEP;
        }
        let mut from = (self.pos - self.start) as usize;
        if from >= COMPACT {
            self.window.drain(..from);
            self.start = self.pos;
            from = 0;
        }
        while self.window.len() - from < count {
            let step = self
                .step
                .max(count - (self.window.len() - from))
                .min(MAX_STEP);
            if self.grow(step)? == 0 {
                break;
            }
            self.step = (self.step * 2).min(MAX_STEP);
        }
        Ok(())
    }

    fn grow(&mut self, step: usize) -> Result<usize> {
        let at = self.start + self.window.len() as u64;
        self.go_to(at)?;
        let old = self.window.len();
        memory::reserve(&mut self.window, step)?;
        self.window.resize(old + step, 0);
        let read = {
            let _reading = self.guard.reading();
            self.source.read(&mut self.window[old..])
        };
        let count = *read.as_ref().unwrap_or(&0);
        self.window.truncate(old + count);
        self.cursor += count as u64;
        if read? == 0 {
            self.end = Some(at);
        }
        Ok(count)
    }

    fn go_to(&mut self, pos: u64) -> std::io::Result<()> {
        if self.cursor == pos {
            return Ok(());
        }
        let _reading = self.guard.reading();
        if self.source.is_seekable() {
            self.cursor = self.source.seek(SeekFrom::Start(pos))?;
        } else if pos > self.cursor {
            let mut sink = [0; 4096];
            while self.cursor < pos {
                let step = (pos - self.cursor).min(sink.len() as u64) as usize;
                let count = self.source.read(&mut sink[..step])?;
                if count == 0 {
                    self.end = Some(self.cursor);
                    break;
                }
                self.cursor += count as u64;
            }
        }
        if self.cursor == pos {
            return Ok(());
        }
        if self.end.is_some_and(|end| pos >= end) {
            // Beyond the end there is nothing to read; the next read says so.
            return Ok(());
        }
        Err(std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "the source cannot seek backwards",
        ))
    }
}
