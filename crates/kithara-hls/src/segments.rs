//! Segments, packed: what a long playlist costs is its references and 40 bytes for each of them.

use std::ops::Range;

use crate::date::ProgramTime;
use crate::error::{Limit, PlaylistError};
use crate::limits::{LONGEST, YEARS};

/// One segment. What it has in common with others is somewhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Microseconds from the start of the playlist.
    pub(crate) start: u64,
    range_start: u64,
    /// 0: all of the resource.
    range_length: u64,
    text_start: u32,
    text_length: u32,
    pub(crate) protection: u16,
    pub(crate) map: u16,
    flags: u8,
}

/// What is true of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) discontinuity: bool,
    pub(crate) gap: bool,
    pub(crate) unbounded: bool,
}

/// A segment that is being read.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) micros: u64,
    pub(crate) range: Option<Range<u64>>,
    pub(crate) protection: u16,
    pub(crate) map: u16,
    pub(crate) flags: Flags,
    pub(crate) time: Option<ProgramTime>,
}

/// All segments of a media playlist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    entries: Vec<Entry>,
    text: String,
    times: Vec<(u32, ProgramTime)>,
    /// The index of the segment behind each discontinuity.
    discontinuities: Vec<u32>,
    /// Microseconds from the start of the playlist to its end.
    end: u64,
}

impl Entry {
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            discontinuity: self.flags & 1 != 0,
            gap: self.flags & 2 != 0,
            unbounded: self.flags & 4 != 0,
        }
    }

    pub(crate) fn range(&self) -> Option<Range<u64>> {
        // The sum was checked when the segment was read.
        (self.range_length > 0).then(|| self.range_start..self.range_start + self.range_length)
    }
}

impl Flags {
    fn bits(self) -> u8 {
        u8::from(self.discontinuity) | u8::from(self.gap) << 1 | u8::from(self.unbounded) << 2
    }
}

impl Segments {
    /// With room for what is to come.
    pub(crate) fn with_room(count: usize, text: usize) -> Result<Self, PlaylistError> {
        let mut segments = Self::default();
        let entries = segments.entries.try_reserve_exact(count);
        entries.map_err(|_| no_memory(count.saturating_mul(size_of::<Entry>())))?;
        let room = segments.text.try_reserve_exact(text);
        room.map_err(|_| no_memory(text))?;
        Ok(segments)
    }

    /// Appends a segment. `most_text` is how many bytes all references may take.
    pub(crate) fn push(
        &mut self,
        line: u32,
        reference: &str,
        new: New,
        most_text: usize,
    ) -> Result<(), PlaylistError> {
        let (text_start, text_length) = self.keep(line, reference, most_text)?;
        let start = self.end;
        self.end = start.saturating_add(new.micros);
        if self.end > LONGEST {
            return Err(PlaylistError::TooLarge {
                limit: Limit::Years,
                most: YEARS,
                line,
            });
        }
        let index = self.entries.len() as u32;
        reserve(&mut self.times, usize::from(new.time.is_some()))?;
        self.times.extend(new.time.map(|time| (index, time)));
        reserve(&mut self.entries, 1)?;
        let range = new.range.unwrap_or(0..0);
        self.entries.push(Entry {
            start,
            range_start: range.start,
            range_length: range.end - range.start,
            text_start,
            text_length,
            protection: new.protection,
            map: new.map,
            flags: new.flags.bits(),
        });
        Ok(())
    }

    /// The next segment comes after a discontinuity.
    pub(crate) fn discontinue(&mut self) -> Result<(), PlaylistError> {
        let index = self.entries.len() as u32;
        reserve(&mut self.discontinuities, 1)?;
        self.discontinuities.push(index);
        Ok(())
    }

    /// No more will come.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.text.shrink_to_fit();
        self.times.shrink_to_fit();
        self.discontinuities.shrink_to_fit();
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn text(&self, entry: &Entry) -> &str {
        let start = entry.text_start as usize;
        let text = self.text.get(start..start + entry.text_length as usize);
        text.expect("an entry points at its own reference")
    }

    /// The last segment's reference and range.
    pub(crate) fn last(&self) -> Option<(&str, Option<Range<u64>>)> {
        let last = self.entries.last()?;
        Some((self.text(last), last.range()))
    }

    /// Microseconds from the start to the end of the playlist.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Microseconds from the start of the playlist to the end of a segment.
    pub(crate) fn end_of(&self, index: usize) -> u64 {
        let next = index.checked_add(1).and_then(|next| self.entries.get(next));
        next.map_or(self.end, |next| next.start)
    }

    /// Discontinuities at or before the front of a segment.
    pub(crate) fn discontinuities_before(&self, index: usize) -> usize {
        self.discontinuities
            .partition_point(|at| *at as usize <= index)
    }

    /// All discontinuities.
    pub(crate) fn discontinuities(&self) -> usize {
        self.discontinuities.len()
    }

    /// The date at the front of a segment: its own, or the last one before it, with the playing time since; none across a
    /// discontinuity.
    pub(crate) fn time(&self, index: usize) -> Option<ProgramTime> {
        let behind = self.times.partition_point(|(at, _)| *at as usize <= index);
        let (at, time) = self.times.get(behind.checked_sub(1)?)?;
        let at = *at as usize;
        if self.discontinuities_before(at) != self.discontinuities_before(index) {
            return None;
        }
        let since = self.entries.get(index)?.start - self.entries.get(at)?.start;
        Some(time.after(std::time::Duration::from_micros(since)))
    }

    /// What they take in memory.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.text.capacity()
            + self.times.capacity() * size_of::<(u32, ProgramTime)>()
            + self.discontinuities.capacity() * size_of::<u32>()
    }

    /// Where the reference is kept: with the segment before, if that has the same.
    fn keep(
        &mut self,
        line: u32,
        reference: &str,
        most: usize,
    ) -> Result<(u32, u32), PlaylistError> {
        let last = self.entries.last();
        if let Some(last) = last.filter(|last| self.text(last) == reference) {
            return Ok((last.text_start, last.text_length));
        }
        let start = self.text.len();
        if start + reference.len() > most {
            return Err(PlaylistError::TooLarge {
                limit: Limit::ReferenceBytes,
                most: most as u64,
                line,
            });
        }
        let room = self.text.try_reserve(reference.len());
        room.map_err(|_| no_memory(start + reference.len()))?;
        self.text.push_str(reference);
        // At most 64 MiB.
        Ok((start as u32, reference.len() as u32))
    }
}

fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<(), PlaylistError> {
    let needed = vec
        .len()
        .saturating_add(more)
        .saturating_mul(size_of::<T>());
    vec.try_reserve(more).map_err(|_| no_memory(needed))
}

fn no_memory(bytes: usize) -> PlaylistError {
    PlaylistError::NoMemory {
        bytes: bytes as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_forty_bytes() {
        assert_eq!(size_of::<Entry>(), 40);
    }
}
