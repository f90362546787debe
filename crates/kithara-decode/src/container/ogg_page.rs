//! Pages of an Ogg stream (RFC 3533 §6).

use symphonia::core::checksum::Crc32;
use symphonia::core::io::Monitor;

use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{limits, memory};

/// Granules up to here leave room to calculate with them; no others make sense.
const GRANULES: std::ops::RangeInclusive<i64> = 0..=1 << 56;

/// Bytes that may be checked without a page coming of it, before those that are pages are reckoned against them.
const WASTE: u64 = 4 << 20;
/// As many more of them does each byte of a page allow.
const REFUND: u64 = 16;

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
    /// Its checksum holds. If not, it has no granule.
    pub(crate) intact: bool,
    pub(crate) body: Vec<u8>,
    /// Ends of packets in the body.
    pub(crate) ends: Vec<usize>,
}

/// A granule as it is written, if it is one.
pub(crate) fn granule(head: &[u8]) -> Option<i64> {
    let granule = i64::from_le_bytes(crate::codec::array(head, 6));
    Some(granule).filter(|granule| GRANULES.contains(granule))
}

/// Reads the page at the input's position into `page`; `false` where the bytes end. Other bytes, and damaged pages whose
/// length is wrong too, are skipped and counted in `junk`.
///
/// Few bytes can claim to be many long pages, each of which has to be checked. `waste` bounds that over the whole stream.
pub(crate) fn read(
    input: &mut Input,
    page: &mut Page,
    junk: &mut u64,
    waste: &mut u64,
) -> Result<bool> {
    loop {
        let head = input.peek(27)?;
        if head.is_empty() {
            return Ok(false);
        }
        if head.len() < 27 {
            return Err(Fault::Truncated(None));
        }
        if head.starts_with(b"OggS\0") && fill(input, page, waste)? {
            return Ok(true);
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
}

/// Whether it is a page: one whose checksum holds, or one that ends where another begins. Nothing changes unless it is
/// there whole: an interrupted read is repeated.
fn fill(input: &mut Input, page: &mut Page, waste: &mut u64) -> Result<bool> {
    let offset = input.pos();
    let laces = usize::from(input.peek(27)?[26]);
    let table = input
        .peek(27 + laces)?
        .get(27..27 + laces)
        .ok_or(Fault::Truncated(None))?;
    let length: usize = table.iter().map(|lace| usize::from(*lace)).sum();
    let size = 27 + laces + length;
    let whole = input.peek(size)?;
    let whole = whole.get(..size).ok_or(Fault::Truncated(None))?;
    let stated = u32::from_le_bytes(crate::codec::array(whole, 22));
    let intact = checksum(&whole[..27], &whole[27..]) == stated;
    if !intact {
        let next = &input.peek(size + 5)?[size..];
        if !next.is_empty() && next != b"OggS\0" {
            *waste += size as u64;
            if *waste > WASTE {
                return Err(Fault::corrupt("too much that looks like Ogg pages is none"));
            }
            return Ok(false);
        }
    }
    let whole = input.peek(size)?;
    page.offset = offset;
    page.intact = intact;
    page.granule = granule(whole).filter(|_| intact);
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
    memory::extend(&mut page.body, &whole[27 + laces..])?;
    input.skip(size as u64);
    *waste = waste.saturating_sub(REFUND * size as u64);
    input.progress();
    Ok(true)
}

/// Of the page with the checksum's own place zero.
fn checksum(head: &[u8], rest: &[u8]) -> u32 {
    let mut crc = Crc32::new(0);
    crc.process_buf_bytes(&head[..22]);
    crc.process_buf_bytes(&[0; 4]);
    crc.process_buf_bytes(&head[26..]);
    crc.process_buf_bytes(rest);
    crc.crc()
}
