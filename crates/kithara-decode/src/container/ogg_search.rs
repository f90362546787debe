//! The page of an Ogg stream that lies shortly before a frame, found by bisection: granules rise with offsets.

use super::ogg_packets::Packets;
use super::ogg_page;
use crate::fault::{Fault, Result};
use crate::limits;

/// Jumps of a search over HTTP.
const MAX_JUMPS: usize = 5;

/// A search in one stream.
pub(super) struct Search<'a> {
    pub(super) packets: &'a mut Packets,
    /// The granule at which the first page with audio begins.
    pub(super) base: i64,
    pub(super) rate: u64,
    /// A page is of use only if a packet begins on it, see [`Head::laps`](super::ogg_head::Head::laps).
    pub(super) laps: bool,
}

/// What is known of the stretch in which the frame lies.
struct Bounds {
    /// The granule and offset of a page that ends before it.
    low: Option<(i64, u64)>,
    /// The granule, where the link still goes on there, and offset of what lies behind it.
    high: Option<(Option<i64>, u64)>,
}

impl Search<'_> {
    /// The page whose end lies shortly before the granule; `None` for the beginning.
    pub(super) fn page_before(&mut self, target: i64) -> Result<Option<(i64, u64)>> {
        let near = 2 * self.rate as i64;
        let remote = self.packets.input.is_remote();
        let mut bounds = Bounds {
            low: None,
            high: None,
        };
        for _ in 0..if remote { MAX_JUMPS } else { 64 } {
            let (from, from_offset) = bounds.low.unwrap_or((self.base, self.packets.first));
            if target - from <= near {
                break;
            }
            let end = bounds.high.map(|high| high.1);
            let Some(end) = end.or_else(|| self.packets.end_offset()) else {
                break;
            };
            if end.saturating_sub(from_offset) <= limits::SNIFF_BYTES as u64 / 2 {
                break;
            }
            let guess = self.guess(&bounds, target - near / 2, end)?;
            let guess = guess.clamp(from_offset + 1, end - 1);
            match self.page_at(guess)? {
                Some((granule, offset)) if granule <= target && offset > from_offset => {
                    bounds.low = Some((granule, offset));
                }
                Some((granule, _)) if granule > target => {
                    bounds.high = Some((Some(granule), guess));
                }
                _ => bounds.high = Some((bounds.high.and_then(|high| high.0), guess)),
            }
        }
        Ok(bounds.low)
    }

    /// Where the granule may lie.
    fn guess(&mut self, bounds: &Bounds, granule: i64, end: u64) -> Result<u64> {
        let (from, from_offset) = bounds.low.unwrap_or((self.base, self.packets.first));
        let between = end.saturating_sub(from_offset);
        let per_frame = match bounds.high {
            Some((Some(high), _)) => between as f64 / (high - from).max(1) as f64,
            // Behind the link, nobody knows how far.
            Some((None, _)) => return Ok(from_offset.saturating_add(between / 2)),
            None => self.mean_bytes(bounds.low, end)?,
        };
        Ok(from_offset.saturating_add(((granule - from) as f64 * per_frame) as u64))
    }

    /// The first page at or behind an offset on which a packet ends: its granule and offset; `None` behind the link.
    fn page_at(&mut self, offset: u64) -> Result<Option<(i64, u64)>> {
        let packets = &mut *self.packets;
        packets.go_to(offset);
        let mut junk = 0;
        loop {
            let input = &mut packets.input;
            match ogg_page::read(input, &mut packets.spare, &mut junk, &mut packets.waste) {
                Ok(true) => {}
                Ok(false) | Err(Fault::Truncated(_) | Fault::Corrupt(_)) => return Ok(None),
                Err(fault) => return Err(fault),
            }
            if packets.begins_link() || packets.is_foreign() {
                return Ok(None);
            }
            let page = &packets.spare;
            let starts_here = page.ends.len() > usize::from(page.continued);
            if let (Some(granule), true) = (
                page.granule,
                page.serial == packets.serial && (starts_here || !self.laps),
            ) {
                return Ok(Some((granule, page.offset)));
            }
        }
    }

    /// Bytes per frame, from what is known of the stream so far.
    fn mean_bytes(&mut self, low: Option<(i64, u64)>, end: u64) -> Result<f64> {
        let (base, first) = (self.base, self.packets.first);
        let known = match low {
            Some(low) => Some(low),
            None => self.page_at(first + 16 * 1024)?,
        };
        Ok(match known {
            Some((granule, offset)) if granule > base => {
                (offset - first) as f64 / (granule - base) as f64
            }
            _ => end.saturating_sub(first) as f64 / (self.rate * 60) as f64,
        })
    }
}
