//! Where a stream of an Ogg file ends, and what comes behind it: nothing, or the next link of a chain (RFC 3533 §4).

use super::ogg_packets::Packets;
use super::ogg_page::{self, Page};
use crate::demux::Behind;
use crate::fault::{Fault, Result};
use crate::{Notice, limits};

/// What is looked at of the end of a file, in which its last page begins.
const TAIL: usize = 2 * limits::SNIFF_BYTES;
/// Into so many stretches a file is divided by looking whether it is one link.
const STRETCHES: u64 = 4;

/// The last granule of a stream, and whether it is that of the page that says it is the last.
pub(super) type End = Option<(i64, bool)>;

impl Packets {
    /// The end of the stream, where looking there is free. The packets stand anywhere then.
    pub(super) fn find_end(&mut self) -> Result<End> {
        if self.input.is_remote() || !self.input.is_seekable() {
            return Ok(None);
        }
        let Some(len) = self.input.len() else {
            return Ok(None);
        };
        if let Some(end) = self.end_of_only_link(len)? {
            self.behind = Behind::Nothing;
            return Ok(end);
        }
        self.input.seek(self.first);
        self.walk()
    }

    /// The offset behind the link, as far as that is known.
    pub(super) fn end_offset(&self) -> Option<u64> {
        match self.behind {
            Behind::Link(offset) => Some(offset),
            _ => self.input.len(),
        }
    }

    /// Whether the page that was just read into `spare` is of no stream of this link.
    pub(super) fn is_foreign(&self) -> bool {
        let serial = self.spare.serial;
        self.spare.intact && serial != self.serial && !self.beside.contains(&serial)
    }

    /// Reads on to the end of the link, over all its pages: finds out what is behind, and the end if it began before it.
    pub(super) fn walk(&mut self) -> Result<End> {
        let mut end = None;
        self.behind = loop {
            let (mut junk, offset) = (0, self.input.pos());
            let read = ogg_page::read(&mut self.input, &mut self.spare, &mut junk, &mut self.waste);
            match read {
                Ok(true) => {}
                Ok(false) => break Behind::Nothing,
                Err(Fault::Truncated(_)) if self.input.peek(4)? == b"OggS" => break Behind::Cut,
                Err(Fault::Truncated(_)) => break Behind::Nothing,
                Err(Fault::Corrupt(_)) => {
                    let rest = self.input.len().map(|len| len.saturating_sub(offset));
                    let bytes = rest.unwrap_or(limits::SNIFF_BYTES as u64);
                    self.junk_behind = Some(Notice::JunkSkipped { offset, bytes });
                    break Behind::Nothing;
                }
                Err(fault) => return Err(fault),
            }
            if self.begins_link() {
                self.stop_before_link();
                let bytes = junk;
                self.junk_behind = (junk > 0).then_some(Notice::JunkSkipped { offset, bytes });
                break self.behind;
            }
            if self.spare.serial == self.serial
                && let Some(granule) = self.spare.granule.filter(|granule| *granule > 0)
            {
                end = Some((granule, self.spare.last));
            }
        };
        Ok(end)
    }

    /// The end, if the file shows no sign of a second link: no other stream at its end, and the numbers of pages rise from
    /// its front to its end. Links should have numbers of their own, but a title that is appended to itself has not.
    fn end_of_only_link(&mut self, len: u64) -> Result<Option<End>> {
        let mut before = None;
        for place in 0..STRETCHES {
            let span = len.saturating_sub(self.first);
            self.input.seek(self.first + span / STRETCHES * place);
            loop {
                let read =
                    ogg_page::read(&mut self.input, &mut self.spare, &mut 0, &mut self.waste);
                match read {
                    Ok(true) => {}
                    Ok(false) | Err(Fault::Truncated(_) | Fault::Corrupt(_)) => break,
                    Err(fault) => return Err(fault),
                }
                if self.is_foreign() || self.begins_link() {
                    return Ok(None);
                }
                if self.spare.intact && self.spare.serial == self.serial {
                    break;
                }
            }
            if !rises(&mut before, &self.spare) {
                return Ok(None);
            }
        }
        self.input
            .seek(len.saturating_sub(TAIL as u64).max(self.first));
        let tail = self.input.peek(TAIL)?;
        let mut end = None;
        let mut number = 0;
        for head in tail.windows(27).filter(|head| head.starts_with(b"OggS\0")) {
            let serial = u32::from_le_bytes(crate::codec::array(head, 14));
            let first = head[5] & 2 != 0;
            if first || (serial != self.serial && !self.beside.contains(&serial)) {
                return Ok(None);
            }
            if serial == self.serial {
                number = u32::from_le_bytes(crate::codec::array(head, 18));
                end = ogg_page::granule(head)
                    .filter(|granule| *granule > 0)
                    .map(|granule| (granule, head[5] & 4 != 0))
                    .or(end);
            }
        }
        let falls = before.is_some_and(|(_, before)| is_lower(number, before));
        Ok((!falls).then_some(end))
    }
}

/// Whether the number of this page is higher than that of the one before it, of which offset and number are kept.
fn rises(before: &mut Option<(u64, u32)>, page: &Page) -> bool {
    if !page.intact {
        return true;
    }
    match before.replace((page.offset, page.sequence)) {
        Some((offset, number)) => offset == page.offset || is_lower(number, page.sequence),
        None => true,
    }
}

/// Whether a number comes before another, in a count that may begin anew.
fn is_lower(number: u32, than: u32) -> bool {
    (1..0x8000_0000).contains(&than.wrapping_sub(number))
}
