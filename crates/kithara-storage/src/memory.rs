//! Bytes kept in memory.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;

use parking_lot::RwLock;

use crate::{Coverage, Driver, Kept};

const PAGE: usize = 64 * 1024;

/// Keeps the bytes in memory, in pages of 64 KiB: growing copies nothing, and a write far behind the others costs only
/// the pages it touches.
#[derive(Debug)]
pub struct MemDriver {
    // The writer adds pages while readers copy from others; each holds the lock only to copy a page.
    pages: RwLock<Pages>,
    max_pages: usize,
}

#[derive(Debug)]
struct Page {
    bytes: Box<[u8]>,
    /// Which of them were written, by their offsets in the resource: a page that went and came again for some bytes
    /// must not be asked for the others.
    written: Coverage,
}

#[derive(Debug, Default)]
struct Pages {
    kept: BTreeMap<u64, Page>,
    /// The numbers of the pages kept, in the order in which they were first written.
    order: VecDeque<u64>,
}

impl MemDriver {
    /// Keeps nothing yet, and will keep everything.
    pub fn new() -> Self {
        Self {
            pages: RwLock::default(),
            max_pages: usize::MAX,
        }
    }

    /// Keeps at most `max_bytes`, rounded down to pages of 64 KiB, but always one: the pages written longest ago go first.
    pub fn bounded(max_bytes: usize) -> Self {
        Self {
            pages: RwLock::default(),
            max_pages: (max_bytes / PAGE).max(1),
        }
    }
}

impl Default for MemDriver {
    fn default() -> Self {
        Self::new()
    }
}

/// The page in which `offset` lies, and where in it.
fn locate(offset: u64) -> (u64, usize) {
    (offset / PAGE as u64, (offset % PAGE as u64) as usize)
}

/// The bytes of a page.
fn bytes_of(number: u64) -> Range<u64> {
    let start = number * PAGE as u64;
    start..start.saturating_add(PAGE as u64)
}

impl Pages {
    /// The page to write into, and what had to go for it.
    fn make(&mut self, number: u64, max_pages: usize) -> (&mut Page, Option<Range<u64>>) {
        let mut gone = None;
        if !self.kept.contains_key(&number) {
            if self.kept.len() >= max_pages
                && let Some(oldest) = self.order.pop_front()
            {
                self.kept.remove(&oldest);
                gone = Some(bytes_of(oldest));
            }
            self.order.push_back(number);
        }
        let page = self.kept.entry(number).or_insert_with(|| Page {
            bytes: vec![0; PAGE].into_boxed_slice(),
            written: Coverage::new(),
        });
        (page, gone)
    }
}

impl Driver for MemDriver {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Kept> {
        let (number, start) = locate(offset);
        let pages = self.pages.read();
        let Some(page) = pages.kept.get(&number) else {
            return Ok(Kept::Lost(bytes_of(number)));
        };
        let written = (page.written.covered_from(offset) - offset) as usize;
        let count = buf.len().min(written);
        if count == 0 && !buf.is_empty() {
            let gap = page.written.next_gap(offset, bytes_of(number).end);
            return Ok(Kept::Lost(gap.unwrap_or(offset..offset)));
        }
        buf[..count].copy_from_slice(&page.bytes[start..start + count]);
        Ok(Kept::Bytes(count))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<Vec<Range<u64>>> {
        let mut written = 0;
        let mut gone = Vec::new();
        while written < bytes.len() {
            let (number, start) = locate(offset + written as u64);
            let count = (bytes.len() - written).min(PAGE - start);
            let mut pages = self.pages.write();
            let (page, made_room) = pages.make(number, self.max_pages);
            page.bytes[start..start + count].copy_from_slice(&bytes[written..written + count]);
            let offset = offset + written as u64;
            page.written.insert(offset..offset + count as u64);
            gone.extend(made_room);
            written += count;
        }
        Ok(gone)
    }

    fn commit(&self, final_len: u64) -> io::Result<()> {
        // Whole pages only: what lies behind the end in the last one isn't covered, and so never read.
        let behind = final_len.div_ceil(PAGE as u64);
        let mut pages = self.pages.write();
        let _behind = pages.kept.split_off(&behind);
        pages.order.retain(|number| *number < behind);
        Ok(())
    }
}
