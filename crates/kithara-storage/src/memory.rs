//! Bytes kept in memory.

use std::collections::BTreeMap;
use std::io;

use parking_lot::RwLock;

use crate::Driver;

const PAGE: usize = 64 * 1024;

/// Keeps the bytes in memory, in pages of 64 KiB: growing copies nothing, and a write far behind the others costs only
/// the pages it touches.
#[derive(Debug, Default)]
pub struct MemDriver {
    // The writer adds pages while readers copy from others; each holds the lock only to copy a page.
    pages: RwLock<BTreeMap<u64, Box<[u8]>>>,
}

impl MemDriver {
    /// Keeps nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The page in which `offset` lies, and where in it.
fn locate(offset: u64) -> (u64, usize) {
    (offset / PAGE as u64, (offset % PAGE as u64) as usize)
}

impl Driver for MemDriver {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let (number, start) = locate(offset);
        let pages = self.pages.read();
        let Some(page) = pages.get(&number) else {
            return Ok(0);
        };
        let count = buf.len().min(PAGE - start);
        buf[..count].copy_from_slice(&page[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            let (number, start) = locate(offset + written as u64);
            let count = (bytes.len() - written).min(PAGE - start);
            let mut pages = self.pages.write();
            let page = pages
                .entry(number)
                .or_insert_with(|| vec![0; PAGE].into_boxed_slice());
            page[start..start + count].copy_from_slice(&bytes[written..written + count]);
            written += count;
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        // Whole pages only: what lies behind the end in the last one isn't covered, and so never read.
        let _behind = self.pages.write().split_off(&len.div_ceil(PAGE as u64));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
