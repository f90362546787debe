//! Which bytes of a resource are present.

use std::fmt;
use std::ops::Range;

use rangemap::RangeSet;

/// Which bytes of a resource are present: a set of byte ranges, neighbours merged.
///
/// An empty range is contained in every coverage, and inserting or removing one changes nothing. A range whose start
/// lies behind its end counts as empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    ranges: RangeSet<u64>,
}

impl Coverage {
    /// No byte is present.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first `len` bytes are present.
    pub fn whole(len: u64) -> Self {
        let mut coverage = Self::new();
        coverage.insert(0..len);
        coverage
    }

    /// Adds bytes.
    pub fn insert(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.ranges.insert(range);
        }
    }

    /// Takes bytes away.
    pub fn remove(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.ranges.remove(range);
        }
    }

    /// Whether all bytes of `range` are present.
    #[allow(clippy::needless_pass_by_value)] // Ranges of integers read best by value: `contains(0..8)`.
    pub fn contains(&self, range: Range<u64>) -> bool {
        range.is_empty() || self.covered_from(range.start) >= range.end
    }

    /// The first missing stretch of `from..limit`, cut at `limit`.
    pub fn next_gap(&self, from: u64, limit: u64) -> Option<Range<u64>> {
        if from >= limit {
            return None;
        }
        self.ranges.gaps(&(from..limit)).next()
    }

    /// All missing stretches of `range`, in order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut from = range.start;
        std::iter::from_fn(move || {
            let gap = self.next_gap(from, range.end)?;
            from = gap.end;
            Some(gap)
        })
    }

    /// The end of the contiguous stretch in which `offset` lies; `offset` itself if that byte is missing.
    pub fn covered_from(&self, offset: u64) -> u64 {
        self.ranges.get(&offset).map_or(offset, |range| range.end)
    }

    /// Whether the first `len` bytes are all present.
    pub fn is_complete(&self, len: u64) -> bool {
        self.contains(0..len)
    }

    /// The present ranges in order, none touching the next.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().cloned()
    }

    /// How many bytes are present.
    pub fn total(&self) -> u64 {
        self.ranges
            .iter()
            .map(|range| range.end - range.start)
            .sum()
    }

    /// The end of the last present byte; 0 if there is none.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.end)
    }

    /// Whether no byte is present.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl fmt::Debug for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ranges.iter()).finish()
    }
}

impl FromIterator<Range<u64>> for Coverage {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut coverage = Self::new();
        for range in ranges {
            coverage.insert(range);
        }
        coverage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_answered_as_by_a_list_of_bytes() {
        const LEN: u64 = 64;
        // A linear congruential generator (Knuth's constants) is random enough to mix the edges.
        let mut seed = 1_u64;
        let mut below = |limit: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % limit
        };
        let mut coverage = Coverage::new();
        let mut present = [false; LEN as usize];
        for _ in 0..3000 {
            let (start, end) = (below(LEN), below(LEN + 1));
            let insert = below(5) < 3;
            if insert {
                coverage.insert(start..end);
            } else {
                coverage.remove(start..end);
            }
            (start..end).for_each(|at| present[at as usize] = insert);
            let is = |at: &u64| present[*at as usize];

            assert_eq!(coverage.total(), (0..LEN).filter(is).count() as u64);
            assert_eq!(coverage.is_empty(), coverage.total() == 0);
            assert_eq!(
                coverage.end(),
                (0..LEN).rfind(is).map_or(0, |last| last + 1)
            );
            let listed: Vec<u64> = coverage.iter().flatten().collect();
            assert_eq!(listed, (0..LEN).filter(is).collect::<Vec<_>>());
            let (from, to) = (below(LEN), below(LEN + 1));
            assert_eq!(coverage.contains(from..to), (from..to).all(|at| is(&at)));
            assert_eq!(coverage.is_complete(to), (0..to).all(|at| is(&at)));
            assert_eq!(
                coverage.covered_from(from),
                (from..LEN).find(|at| !is(at)).unwrap_or(LEN)
            );
            let gap = (from..to)
                .find(|at| !is(at))
                .map(|start| start..(start..to).find(is).unwrap_or(to));
            assert_eq!(coverage.next_gap(from, to), gap);
            let missing: Vec<u64> = coverage.gaps(from..to).flatten().collect();
            assert_eq!(missing, (from..to).filter(|at| !is(at)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn neighbours_become_one_range() {
        let coverage: Coverage = [0..5, 10..15, 5..10].into_iter().collect();
        assert_eq!(format!("{coverage:?}"), "{0..15}");
        assert_eq!(coverage, Coverage::whole(15));
    }

    #[test]
    fn the_last_offset_of_all_is_no_trouble() {
        let coverage = Coverage::whole(u64::MAX);
        assert_eq!(
            (coverage.covered_from(7), coverage.total()),
            (u64::MAX, u64::MAX)
        );
        assert_eq!(coverage.next_gap(u64::MAX, u64::MAX), None);
    }
}
