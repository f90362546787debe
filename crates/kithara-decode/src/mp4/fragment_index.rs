//! Where fragments begin: from the file's own segment index, and as they are met (ISO/IEC 14496-12 §8.16.3).

use super::boxes::Bytes;
use super::error::Mp4Error;
use crate::memory;

/// One entry is 16 bytes; when the index is full, every other one is dropped.
const MAX_ENTRIES: usize = 32_768;

/// Media time, in units of the track's timescale, to the offset of a box from which that time can be reached by going
/// forward. Both ascend.
#[derive(Debug, Default)]
pub(super) struct FragmentIndex {
    entries: Vec<(u64, u64)>,
    /// Fragments met since the last one that was kept.
    skipped: u32,
    /// Only every n-th fragment is kept, after the index was full.
    every: u32,
    /// Time and offset where the media ends that a segment index covers.
    end: Option<(u64, u64)>,
}

impl FragmentIndex {
    /// Time and offset of the end of what a segment index covers, which may be the file or one segment of many.
    pub fn end(&self) -> Option<(u64, u64)> {
        self.end
    }

    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Notes a fragment that was met while reading on. Those inside what is known already add nothing.
    pub fn note(&mut self, time: u64, offset: u64) {
        let newer = self
            .entries
            .last()
            .is_none_or(|(last_time, last)| offset > *last && time >= *last_time);
        if !newer {
            return;
        }
        self.skipped += 1;
        if self.skipped < self.every {
            return;
        }
        self.skipped = 0;
        if self.entries.len() >= MAX_ENTRIES {
            let mut keep = false;
            self.entries.retain(|_| {
                keep = !keep;
                keep
            });
            self.every = self.every.max(1).saturating_mul(2);
        }
        // Without memory it is as if it had not been met.
        let _ = memory::push(&mut self.entries, (time, offset));
    }

    /// The last entry at or before `time`.
    pub fn before(&self, time: u64) -> Option<(u64, u64)> {
        let after = self.entries.partition_point(|(start, _)| *start <= time);
        self.entries.get(after.checked_sub(1)?).copied()
    }

    /// The last entry whose offset is below `offset`: for when an entry promised a time that isn't there.
    pub fn below(&self, offset: u64) -> Option<(u64, u64)> {
        let after = self.entries.partition_point(|(_, start)| *start < offset);
        self.entries.get(after.checked_sub(1)?).copied()
    }

    /// Takes a `sidx` box that begins before the first fragment and ends at `anchor`. Hierarchical ones are left alone:
    /// the walk over the fragments is exact without them.
    pub fn take_sidx(
        &mut self,
        mut sidx: Bytes<'_>,
        anchor: u64,
        timescale: u32,
    ) -> Result<(), Mp4Error> {
        let (version, _) = sidx.full_box()?;
        sidx.skip(4)?;
        let own_timescale = sidx.u32()?;
        let mut time = sidx.u32_or_u64(version)?;
        let mut offset = anchor
            .checked_add(sidx.u32_or_u64(version)?)
            .ok_or_else(|| sidx.fail("an offset overflow"))?;
        sidx.skip(2)?;
        let count = sidx.u16()?;
        let rescale = |time: u64| {
            let scaled = u128::from(time) * u128::from(timescale);
            scaled
                .checked_div(own_timescale.into())
                .and_then(|scaled| u64::try_from(scaled).ok())
        };
        let mut found = memory::room(usize::from(count).min(sidx.rest().len() / 12))?;
        for _ in 0..count {
            let reference = sidx.u32()?;
            let duration = sidx.u32()?;
            sidx.skip(4)?;
            if reference >> 31 != 0 {
                return Ok(());
            }
            let Some(start) = rescale(time) else {
                return Ok(());
            };
            memory::push(&mut found, (start, offset))?;
            let next = time
                .checked_add(duration.into())
                .zip(offset.checked_add((reference & 0x7fff_ffff).into()));
            (time, offset) = next.ok_or_else(|| sidx.fail("an offset overflow"))?;
        }
        // One that begins inside what is known would break the order.
        let in_order = match (self.entries.last(), found.first()) {
            (Some((last_time, last)), Some((time, offset))) => time >= last_time && offset > last,
            _ => true,
        };
        if in_order && self.entries.len() + found.len() <= MAX_ENTRIES {
            memory::extend(&mut self.entries, &found)?;
            self.end = rescale(time).map(|time| (time, offset));
        }
        Ok(())
    }
}
