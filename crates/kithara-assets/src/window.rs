//! Bytes that are in memory because they are not on disk yet, or cannot be.

use std::collections::BTreeMap;
use std::ops::Range;

use kithara_storage::{Coverage, EXTENT};

/// What one resource may hold in memory at most, in bytes. A disk that lets more wait gets nothing more.
pub(crate) const WINDOW: usize = 8 << 20;

/// From here on no more is to be fetched ahead than memory can hold, in bytes.
pub(crate) const SLOW: usize = 4 << 20;

/// Bytes of one resource that are not on disk yet: blocks of [`EXTENT`] bytes, each dropped once all it holds is saved.
#[derive(Debug, Default)]
pub(crate) struct Window {
    blocks: BTreeMap<u64, Block>,
    stamp: u64,
}

#[derive(Debug)]
struct Block {
    data: Box<[u8]>,
    /// Which bytes of it mean something, as offsets in the resource.
    present: Coverage,
    /// It is full, or nothing more is expected for it soon: the keeper may save it.
    ready: bool,
    /// When its first byte arrived: the oldest goes first, to the disk or to make room.
    stamp: u64,
    /// The keeper is writing a part of it.
    saving: bool,
}

/// A stretch to be saved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Stretch {
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes.len() as u64
    }
}

/// The bytes of a block.
fn bounds(number: u64) -> Range<u64> {
    let start = number * EXTENT as u64;
    start..start.saturating_add(EXTENT as u64)
}

impl Window {
    /// Takes bytes in, over those it may hold for the same place.
    pub(crate) fn put(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let number = offset / EXTENT as u64;
            let bounds = bounds(number);
            let at = (offset - bounds.start) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(EXTENT - at));
            self.stamp += 1;
            let block = self.blocks.entry(number).or_insert_with(|| Block {
                data: vec![0; EXTENT].into_boxed_slice(),
                present: Coverage::new(),
                ready: false,
                stamp: self.stamp,
                saving: false,
            });
            block.data[at..at + now.len()].copy_from_slice(now);
            block.present.insert(offset..offset + now.len() as u64);
            block.ready |= block.present.contains(bounds.clone());
            offset += now.len() as u64;
            bytes = later;
        }
    }

    /// Says that nothing more is expected soon for the blocks that `range` touches.
    pub(crate) fn seal(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let numbers = range.start / EXTENT as u64..=(range.end - 1) / EXTENT as u64;
        for block in self.blocks.range_mut(numbers) {
            block.1.ready = true;
        }
    }

    /// The oldest stretch that is ready, copied; it stays here until it is [`saved`](Self::saved).
    pub(crate) fn next(&mut self) -> Option<Stretch> {
        let ready = |block: &&mut Block| block.ready && !block.saving;
        let block = self
            .blocks
            .values_mut()
            .filter(ready)
            .min_by_key(|block| block.stamp)?;
        let range = block.present.iter().next()?;
        block.saving = true;
        let at = (range.start % EXTENT as u64) as usize;
        let len = (range.end - range.start) as usize;
        Some(Stretch {
            offset: range.start,
            bytes: block.data[at..at + len].to_vec(),
        })
    }

    /// Whether [`next`](Self::next) would find something.
    pub(crate) fn has_next(&self) -> bool {
        self.blocks
            .values()
            .any(|block| block.ready && !block.saving)
    }

    /// Whether something is to be saved, or is being saved.
    pub(crate) fn is_awaited(&self) -> bool {
        self.blocks.values().any(|block| block.ready)
    }

    /// The stretch is on disk.
    pub(crate) fn saved(&mut self, range: Range<u64>) {
        let number = range.start / EXTENT as u64;
        if let Some(block) = self.blocks.get_mut(&number) {
            block.saving = false;
            block.present.remove(range);
            if block.present.is_empty() {
                self.blocks.remove(&number);
            }
        }
    }

    /// The stretch could not be saved: it stays, and is not offered again until something calls for it.
    pub(crate) fn not_saved(&mut self, offset: u64) {
        if let Some(block) = self.blocks.get_mut(&(offset / EXTENT as u64)) {
            block.saving = false;
            block.ready = false;
        }
    }

    /// Drops the oldest blocks until no more than `limit` bytes are held; what is gone.
    pub(crate) fn shrink(&mut self, limit: usize) -> Vec<Range<u64>> {
        let mut gone = Vec::new();
        while self.bytes() > limit {
            let oldest = self
                .blocks
                .iter()
                .filter(|(_, block)| !block.saving)
                .min_by_key(|(_, block)| block.stamp)
                .map(|(number, _)| *number);
            let Some(block) = oldest.and_then(|number| self.blocks.remove(&number)) else {
                break;
            };
            gone.extend(block.present.iter());
        }
        gone
    }

    /// Copies what is held contiguously from `offset`, at most to the end of its block; how many bytes.
    pub(crate) fn get(&self, offset: u64, buf: &mut [u8]) -> usize {
        let Some(block) = self.blocks.get(&(offset / EXTENT as u64)) else {
            return 0;
        };
        let held = (block.present.covered_from(offset) - offset) as usize;
        let count = held.min(buf.len());
        let at = (offset % EXTENT as u64) as usize;
        buf[..count].copy_from_slice(&block.data[at..at + count]);
        count
    }

    /// How much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.len() * EXTENT
    }

    /// Which bytes it holds.
    pub(crate) fn coverage(&self) -> Coverage {
        self.blocks
            .values()
            .flat_map(|block| block.present.iter())
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
mod tests {
    use super::*;

    const BLOCK: u64 = EXTENT as u64;

    fn fill(window: &mut Window, range: Range<u64>) {
        let bytes: Vec<u8> = range.clone().map(|at| at as u8).collect();
        window.put(range.start, &bytes);
    }

    #[test]
    fn full_blocks_are_saved_oldest_first_and_then_forgotten() {
        let mut window = Window::default();
        fill(&mut window, BLOCK - 10..2 * BLOCK);
        fill(&mut window, 0..BLOCK - 10);
        fill(&mut window, 5 * BLOCK..5 * BLOCK + 7);
        for expected in [0..BLOCK, BLOCK..2 * BLOCK] {
            let stretch = window.next().unwrap();
            assert_eq!(stretch.range(), expected);
            assert!(
                (expected.start..)
                    .zip(&stretch.bytes)
                    .all(|(at, byte)| *byte == at as u8)
            );
            window.saved(expected);
        }
        assert_eq!(window.next(), None, "a block that grows is not saved");
        assert_eq!(
            window.coverage(),
            [5 * BLOCK..5 * BLOCK + 7].into_iter().collect()
        );
        window.seal(0..5 * BLOCK + 7);
        assert_eq!(window.next().unwrap().range(), 5 * BLOCK..5 * BLOCK + 7);
        // It grows while it is being saved: only what was saved is forgotten.
        fill(&mut window, 5 * BLOCK + 7..5 * BLOCK + 9);
        window.saved(5 * BLOCK..5 * BLOCK + 7);
        assert_eq!(
            window.coverage(),
            [5 * BLOCK + 7..5 * BLOCK + 9].into_iter().collect()
        );
        let mut buf = [0; 4];
        assert_eq!(window.get(5 * BLOCK + 7, &mut buf), 2);
        assert_eq!(window.get(5 * BLOCK, &mut buf), 0);
    }

    #[test]
    fn the_oldest_make_room_but_never_what_is_being_saved() {
        let mut window = Window::default();
        for number in [3, 1, 2] {
            fill(&mut window, number * BLOCK..(number + 1) * BLOCK);
        }
        assert_eq!(window.next().unwrap().offset, 3 * BLOCK);
        assert_eq!(window.shrink(2 * EXTENT), vec![BLOCK..2 * BLOCK]);
        assert_eq!(window.shrink(0), vec![2 * BLOCK..3 * BLOCK]);
        assert_eq!(window.bytes(), EXTENT);
        window.not_saved(3 * BLOCK);
        assert_eq!(window.shrink(0), vec![3 * BLOCK..4 * BLOCK]);
    }
}
