//! Which stretches of a file were written, and what their sums were.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::Coverage;
use crate::format::EXTENT;

/// A stretch of bytes within one block of 64 KiB, and its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) len: u32,
    pub(crate) sum: u64,
}

impl Extent {
    /// Not empty, not across a multiple of 64 KiB, not past the last offset.
    pub(crate) fn is_possible(&self) -> bool {
        let room = EXTENT as u64 - self.start % EXTENT as u64;
        self.len > 0
            && u64::from(self.len) <= room
            && self.start.checked_add(u64::from(self.len)).is_some()
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + u64::from(self.len)
    }
}

/// The extents of one file, none overlapping another.
#[derive(Debug)]
pub(crate) enum Extents {
    /// Of a partial file: wherever something was written.
    Scattered(BTreeMap<u64, Extent>),
    /// Of a committed file: one per 64 KiB, the last as short as need be.
    Tiled { len: u64, sums: Vec<u64> },
}

impl Extents {
    /// The extent in which `offset` lies.
    pub(crate) fn at(&self, offset: u64) -> Option<Extent> {
        match self {
            Self::Scattered(extents) => {
                let (_, extent) = extents.range(..=offset).next_back()?;
                extent.range().contains(&offset).then_some(*extent)
            }
            Self::Tiled { len, sums } => {
                let number = offset / EXTENT as u64;
                let sum = *sums.get(usize::try_from(number).ok()?)?;
                let start = number * EXTENT as u64;
                let len = len.saturating_sub(start).min(EXTENT as u64) as u32;
                (offset - start < u64::from(len)).then_some(Extent { start, len, sum })
            }
        }
    }

    /// Adds an extent; what it overlaps can't be checked any more and is forgotten whole.
    pub(crate) fn put(&mut self, extent: Extent) {
        self.forget_overlapping(&extent.range());
        if let Self::Scattered(extents) = self {
            extents.insert(extent.start, extent);
        }
    }

    /// Forgets every extent of a partial file that shares a byte with `range`.
    pub(crate) fn forget_overlapping(&mut self, range: &Range<u64>) {
        if let Self::Scattered(extents) = self {
            // An extent is at most 64 KiB long, and they don't overlap: only the one before the range can reach into it.
            let before = extents.range(..range.start).next_back();
            let reaching = before.filter(|(_, extent)| extent.range().end > range.start);
            let mut starts: Vec<u64> = reaching.map(|(start, _)| *start).into_iter().collect();
            starts.extend(extents.range(range.clone()).map(|(start, _)| *start));
            for start in starts {
                extents.remove(&start);
            }
        }
    }

    /// Forgets what reaches past the end of the file.
    pub(crate) fn forget_behind(&mut self, end: u64) {
        if let Self::Scattered(extents) = self {
            extents.retain(|_, extent| extent.range().end <= end);
        }
    }

    pub(crate) fn coverage(&self) -> Coverage {
        match self {
            Self::Scattered(extents) => extents.values().map(Extent::range).collect(),
            Self::Tiled { len, .. } => Coverage::whole(*len),
        }
    }
}
