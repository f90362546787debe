//! Pages of an Ogg stream (RFC 3533 §6).

use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{limits, memory};

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Its offset.
    pub(crate) offset: u64,
    /// Where the frames of the packets that end on it end; `None` if none ends.
    pub(crate) granule: Option<i64>,
    pub(crate) serial: u32,
    pub(crate) sequence: u32,
    pub(crate) continued: bool,
    pub(crate) first: bool,
    pub(crate) last: bool,
    pub(crate) body: Vec<u8>,
    /// Ends of packets in the body.
    pub(crate) ends: Vec<usize>,
}

/// Reads the page at the input's position into `page`; `false` where the bytes end. Other bytes are skipped and
/// counted in `junk`.
pub(crate) fn read(input: &mut Input, page: &mut Page, junk: &mut u64) -> Result<bool> {
    loop {
        let head = input.peek(27)?;
        if head.is_empty() {
            return Ok(false);
        }
        if head.len() < 27 {
            return Err(Fault::Truncated(None));
        }
        if head.starts_with(b"OggS\0") {
            break;
        }
        let window = input.peek(limits::SNIFF_BYTES)?;
        let full = window.len() >= limits::SNIFF_BYTES;
        let next = window
            .windows(5)
            .skip(1)
            .position(|bytes| bytes == b"OggS\0");
        match next {
            Some(at) => {
                *junk += at as u64 + 1;
                input.skip(at as u64 + 1);
            }
            None if full => return Err(Fault::corrupt("more than 64 KiB are not Ogg pages")),
            None => return Ok(false),
        }
    }
    fill(input, page).map(|()| true)
}

/// Nothing changes unless the whole page is there: an interrupted read is repeated.
fn fill(input: &mut Input, page: &mut Page) -> Result<()> {
    let offset = input.pos();
    let laces = usize::from(input.peek(27)?[26]);
    let table = input
        .peek(27 + laces)?
        .get(27..27 + laces)
        .ok_or(Fault::Truncated(None))?;
    let length: usize = table.iter().map(|lace| usize::from(*lace)).sum();
    let whole = input.peek(27 + laces + length)?;
    let body = whole
        .get(27 + laces..27 + laces + length)
        .ok_or(Fault::Truncated(None))?;

    let granule = i64::from_le_bytes(crate::codec::array(whole, 6));
    page.offset = offset;
    page.granule = (granule != -1).then_some(granule);
    page.serial = u32::from_le_bytes(crate::codec::array(whole, 14));
    page.sequence = u32::from_le_bytes(crate::codec::array(whole, 18));
    page.continued = whole[5] & 1 != 0;
    page.first = whole[5] & 2 != 0;
    page.last = whole[5] & 4 != 0;
    page.ends.clear();
    let mut end = 0;
    for lace in &whole[27..27 + laces] {
        end += usize::from(*lace);
        // A lace of 255 means that the packet goes on.
        if *lace < 255 {
            page.ends.push(end);
        }
    }
    page.body.clear();
    memory::extend(&mut page.body, body)?;
    input.skip((27 + laces + length) as u64);
    Ok(())
}
