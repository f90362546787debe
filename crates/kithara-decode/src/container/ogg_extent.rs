//! Packets of tags in Ogg, which hold whole pictures: how far they go at least, and a page further on in them.

use super::ogg_page::{self, Page};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::memory;

/// The front of a packet of tags that is kept, unless more is asked for.
const KEPT: usize = 64 * 1024;
/// A packet of tags that is longer is refused.
const LONGEST: u64 = 1 << 30;
/// What is nearer is read through.
const NEAR: u64 = 64 * 1024;
/// How much of a page is looked at before the rest of it is found to be worth reading.
const GLANCE: usize = 16 * 1024;
/// Laces of a page, at most, and bytes of a full lace (RFC 3533 §6).
const LACES: u64 = 255;
const LACE: u64 = 255;
/// Bytes of a page before its laces.
const HEAD: u64 = 27;

/// Which length comes next.
#[derive(Clone, Copy)]
enum Field {
    /// The header of a block of FLAC metadata (RFC 9639 §8.1).
    Block,
    /// Of the vendor's name, the first in a Vorbis comment (Vorbis I §5.2.1).
    Vendor,
    /// The number of comments.
    Count,
    /// Of each of so many comments.
    Comments(u32),
}

/// Follows a packet of tags by the lengths in it.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    field: Field,
    /// Bytes of that field so far.
    held: [u8; 4],
    have: usize,
    /// Bytes of the packet that were passed.
    passed: u64,
    /// How many of them are kept at most.
    most: usize,
    /// Where the field stands, or the packet goes to at least.
    least: u64,
    /// Not all was kept.
    cut: bool,
    /// Jumping has led nowhere.
    stuck: bool,
}

impl Extent {
    /// Of a comment packet whose first length lies behind so many bytes.
    pub(super) fn comments(at: u64) -> Self {
        Self::new(Field::Vendor, at)
    }

    /// Of a block of FLAC metadata.
    pub(super) fn block() -> Self {
        Self::new(Field::Block, 0)
    }

    fn new(field: Field, least: u64) -> Self {
        Self {
            field,
            held: [0; 4],
            have: 0,
            passed: 0,
            most: KEPT,
            least,
            cut: false,
            stuck: false,
        }
    }

    /// The same, of which so much is kept.
    pub(super) fn keeping(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Whether only the front was kept.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Takes the packet's part of a page on which it does not end; how many of these bytes to keep where `kept` are.
    pub(super) fn pass(&mut self, part: &[u8], kept: usize) -> Result<usize> {
        self.follow(part);
        if self.passed > LONGEST {
            return Err(Fault::TooLarge {
                what: "a packet of tags",
                limit: LONGEST,
            });
        }
        let room = if self.cut {
            0
        } else {
            self.most.saturating_sub(kept)
        };
        self.cut |= part.len() > room;
        Ok(part.len().min(room))
    }

    fn follow(&mut self, mut part: &[u8]) {
        while let Some(byte) = part.first() {
            let done = matches!(self.field, Field::Comments(0));
            let gap = match self.least.saturating_sub(self.passed) {
                _ if done => part.len(),
                gap => part.len().min(usize::try_from(gap).unwrap_or(usize::MAX)),
            };
            if gap > 0 {
                self.passed += gap as u64;
                part = &part[gap..];
                continue;
            }
            self.held[self.have] = *byte;
            self.have += 1;
            self.passed += 1;
            self.least += 1;
            part = &part[1..];
            if self.have == self.held.len() {
                self.have = 0;
                self.take_field();
            }
        }
    }

    fn take_field(&mut self) {
        let [_, high, middle, low] = self.held;
        let number = u32::from_le_bytes(self.held);
        let length = match self.field {
            Field::Block => u32::from_be_bytes([0, high, middle, low]),
            Field::Count => 0,
            _ => number,
        };
        self.field = match self.field {
            Field::Vendor => Field::Count,
            Field::Count => Field::Comments(number),
            Field::Comments(left) => Field::Comments(left.saturating_sub(1)),
            Field::Block => Field::Comments(0),
        };
        self.least += u64::from(length);
    }

    /// Moves the input, which stands before page `number` and in the packet, to a page further on in it, if that saves
    /// reading. Of what is passed, text may be added to `front`.
    ///
    /// Where that page lies is guessed, and that it is the right one is proven, or else all is read: it is whole, its
    /// number says how many pages were passed, and only if none of them is of another stream, and on none a packet ends, is
    /// there a number of full laces that makes so many pages of so many bytes. If those hold no more than the packet has
    /// left, it goes on.
    pub(super) fn leap(
        &mut self,
        input: &mut Input,
        (serial, number): (u32, u32),
        front: &mut Vec<u8>,
    ) -> Result<()> {
        let from = input.pos();
        let Some((laces, ahead, text)) = self.glance(input, front.len())? else {
            return Ok(());
        };
        let left = ahead.least.saturating_sub(self.passed);
        let mut page = Page::default();
        // As if all pages were like this one; or of the largest kind, and one less, which is never too far.
        for (laces, back) in [(laces, 0), (LACES, 1)] {
            let pages = (left.saturating_sub(1) / (LACE * laces)).saturating_sub(back);
            let distance = pages.saturating_mul(HEAD + (1 + LACE) * laces);
            let aim = from.saturating_add(distance);
            if distance <= NEAR || input.len().is_some_and(|len| aim >= len) {
                continue;
            }
            input.seek(aim);
            match ogg_page::read(input, &mut page, &mut 0, &mut 0) {
                Ok(true) if page.serial == serial => {
                    if let Some(bytes) = passed_over(&page, from, number, left) {
                        let passed = self.passed + bytes;
                        *self = Self {
                            passed,
                            cut: true,
                            ..ahead
                        };
                        memory::extend(front, &text)?;
                        input.seek(page.offset);
                        return Ok(());
                    }
                }
                Ok(_) | Err(Fault::Truncated(_) | Fault::Corrupt(_)) => {}
                Err(fault) => return Err(fault),
            }
            self.stuck = true;
        }
        input.seek(from);
        Ok(())
    }

    /// What the front of the next page says, if all of that page is of this packet: its laces, how far the packet goes, and
    /// what of it is to be kept.
    fn glance(&self, input: &mut Input, kept: usize) -> Result<Option<(u64, Self, Vec<u8>)>> {
        if self.stuck {
            return Ok(None);
        }
        let head = input.peek((HEAD + LACES) as usize)?;
        let laces = head.get(26).map_or(0, |laces| usize::from(*laces));
        let table = head.get(27..27 + laces).unwrap_or_default();
        if !head.starts_with(b"OggS\0") || table.is_empty() || table.iter().any(|lace| *lace < 255)
        {
            return Ok(None);
        }
        let length = (laces * LACE as usize).min(GLANCE);
        let part = input.peek(27 + laces + length)?;
        let part = part.get(27 + laces..).unwrap_or_default();
        let mut ahead = *self;
        let keep = ahead.pass(&part[..part.len().min(length)], kept)?;
        Ok(Some((laces as u64, ahead, memory::copy(&part[..keep])?)))
    }
}

/// Bytes of a packet that lie between `from`, where page `number` begins, and a page on which it is proven to go on, if
/// `left` are left of it.
fn passed_over(page: &Page, from: u64, number: u32, left: u64) -> Option<u64> {
    // A header ends at granule 0.
    let goes_on = page.continued && !page.first && page.granule.is_none_or(|granule| granule == 0);
    if !page.intact || !goes_on {
        return None;
    }
    let pages = u64::from(page.sequence.wrapping_sub(number));
    let laces = page
        .offset
        .checked_sub(from)?
        .checked_sub(pages.checked_mul(HEAD)?)?;
    let (laces, rest) = (laces / (1 + LACE), laces % (1 + LACE));
    let bytes = laces * LACE;
    (rest == 0 && (pages..=pages * LACES).contains(&laces) && bytes <= left).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A comment packet: the lengths of its comments.
    fn comment(lengths: &[usize]) -> Vec<u8> {
        let mut packet = b"\x03vorbis\x04\0\0\0test".to_vec();
        packet.extend((lengths.len() as u32).to_le_bytes());
        for length in lengths {
            packet.extend((*length as u32).to_le_bytes());
            packet.resize(packet.len() + length, b'=');
        }
        packet.push(1);
        packet
    }

    #[test]
    fn a_packet_goes_on_to_the_end_of_the_comment_it_is_in_however_it_is_cut() {
        let packet = comment(&[5, 0, 70_000, 300_000]);
        let third = 7 + 8 + 4 + (4 + 5) + 4 + (4 + 70_000);
        for step in [1, 3, 255, 4080, 65_025] {
            let mut extent = Extent::comments(7);
            for part in packet.chunks(step) {
                let before = extent.passed;
                extent.follow(part);
                let at = before + part.len() as u64;
                assert_eq!(extent.passed, at);
                // In the two large ones it is known where they end.
                for (from, to) in [(third - 70_000, third), (third + 4, third + 300_004)] {
                    if (from..to).contains(&at) {
                        assert_eq!(extent.least, to, "{step} bytes at once, behind {at}");
                    }
                }
                assert!(extent.least <= packet.len() as u64);
            }
        }
        let mut block = Extent::block();
        block.follow(b"\x06\x12\x34\x56 and more");
        assert_eq!(block.least, 4 + 0x12_3456);
    }

    #[test]
    fn the_front_is_kept_and_no_more() {
        let mut extent = Extent::comments(7);
        let part = vec![0; 65_025];
        let keep = extent.pass(&part, 0).expect("short");
        assert_eq!((keep, extent.is_cut()), (65_025, false));
        let keep = extent.pass(&part, 65_025).expect("short");
        assert_eq!((keep, extent.is_cut()), (65_536 - 65_025, true));
        // What was not kept leaves a hole: nothing behind it belongs to what was.
        let keep = extent.pass(&part, 0).expect("short");
        assert_eq!(keep, 0);
    }

    #[test]
    fn only_a_page_that_can_be_nothing_else_is_leapt_to() {
        let page = |offset, sequence| Page {
            offset,
            sequence,
            continued: true,
            intact: true,
            ..Page::default()
        };
        // Three pages, of 600 laces together.
        let (from, size) = (1000, 3 * HEAD + 600 * 256);
        let right = page(from + size, 5);
        assert_eq!(passed_over(&right, from, 2, 600 * 255), Some(600 * 255));
        for (wrong, left, why) in [
            (
                page(from + size, 5),
                600 * 255 - 1,
                "the packet may have ended",
            ),
            (page(from + size + 1, 5), 1 << 20, "a lace was not full"),
            (page(from + size, 6), 1 << 20, "other pages between"),
            (page(from + size, 4), 1 << 20, "other pages between"),
            (page(from + size, 1), 1 << 20, "an earlier page"),
            (
                page(from + 256 * 600 + 27 * 700, 702),
                1 << 20,
                "more pages than laces",
            ),
            (
                Page {
                    granule: Some(1024),
                    ..page(from + size, 5)
                },
                1 << 20,
                "audio",
            ),
            (
                Page {
                    continued: false,
                    ..page(from + size, 5)
                },
                1 << 20,
                "another packet",
            ),
            (
                Page {
                    intact: false,
                    ..page(from + size, 5)
                },
                1 << 20,
                "damaged",
            ),
        ] {
            assert_eq!(passed_over(&wrong, from, 2, left), None, "{why}");
        }
    }
}
