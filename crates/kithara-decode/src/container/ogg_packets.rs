//! Packets of one stream of an Ogg file, put together from its pages (RFC 3533 §4–6).

use super::ogg_extent::Extent;
use super::ogg_page::{self, Page};
use crate::demux::{Behind, note};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{Notice, limits, memory};

/// Streams that play together.
const MAX_STREAMS: usize = 4096;
/// The place of a packet that lies on no page: see [`Packets::packet`].
const PUT_TOGETHER: usize = usize::MAX;

/// The packets of one stream.
pub(super) struct Packets {
    pub(super) input: Input,
    /// Where the link begins.
    pub(super) start: u64,
    pub(super) serial: u32,
    /// The streams that play beside it.
    pub(super) beside: Vec<u32>,
    /// Packets have sums of their own.
    pub(super) sums: bool,
    /// The offset of the first page with audio.
    pub(super) first: u64,
    /// The number of that page.
    pub(super) first_number: Option<u32>,
    /// Only first pages of streams were met so far.
    beginning: bool,
    pub(super) page: Page,
    /// What is read next, until it turns out to be a page of the stream.
    pub(super) spare: Page,
    /// The number of the stream's next page; `None` after a jump.
    pub(super) expected: Option<u32>,
    /// A page of the audio was met since the last jump. What is between the headers and the first of them counts as
    /// little as their numbers: live streams go on in the middle, and some taggers number only what they write.
    counting: bool,
    /// Bytes that were checked for nothing, see [`ogg_page::read`].
    pub(super) waste: u64,
    /// The next packet of the page.
    pub(super) next: usize,
    /// The beginning of a packet that goes on on the next page.
    pub(super) partial: Vec<u8>,
    /// A packet put together from several pages.
    pub(super) whole: Vec<u8>,
    /// That packet is one of tags, of which only the front is kept.
    pub(super) extent: Option<Extent>,
    pub(super) ended: bool,
    /// What comes behind the stream and those beside it.
    pub(super) behind: Behind,
    /// What is no page between the last of the stream and that, if nobody was told yet.
    pub(super) junk_behind: Option<Notice>,
    /// Pages were lost: the next granule says how much.
    pub(super) lost: bool,
    pub(super) notices: Vec<Notice>,
}

impl Packets {
    pub(super) fn new(input: Input) -> Self {
        Self {
            start: input.pos(),
            input,
            serial: 0,
            beside: Vec::new(),
            sums: false,
            first: 0,
            first_number: None,
            beginning: true,
            page: Page::default(),
            spare: Page::default(),
            expected: None,
            counting: false,
            waste: 0,
            next: 0,
            partial: Vec::new(),
            whole: Vec::new(),
            extent: None,
            ended: false,
            behind: Behind::Unknown,
            junk_behind: None,
            lost: false,
            notices: Vec::new(),
        }
    }

    /// The next page is the first with audio.
    pub(super) fn begin_here(&mut self) {
        self.first = self.input.pos();
        self.first_number = self.expected;
        self.counting = false;
        self.lost = false;
    }

    /// The next packet is the first that begins at or behind an offset.
    pub(super) fn go_to(&mut self, offset: u64) {
        self.input.seek(offset);
        self.page.ends.clear();
        self.page.body.clear();
        self.page.last = false;
        self.expected = self.first_number.filter(|_| offset == self.first);
        self.counting = false;
        self.partial.clear();
        self.next = 0;
        self.ended = false;
        self.lost = false;
    }

    /// Whether the packet that was just given is the last that ends on its page.
    pub(super) fn ends_page(&self) -> bool {
        self.next == self.page.ends.len()
    }

    /// Whether a page that was just read into `spare` begins the next link of a chain: the first pages of all streams that
    /// play together come before anything else (RFC 3533 §4).
    pub(super) fn begins_link(&self) -> bool {
        let spare = &self.spare;
        spare.intact && spare.first && (spare.serial == self.serial || !self.beginning)
    }

    /// Stands before the page that was just read, which is of the next link.
    pub(super) fn stop_before_link(&mut self) {
        self.behind = Behind::Link(self.spare.offset);
        self.junk_behind = None;
        self.input.seek(self.spare.offset);
    }

    /// Reads on to the next page of the stream; `false` where it ends. A failed read leaves the page at hand.
    pub(super) fn turn(&mut self) -> Result<bool> {
        let mut hole = false;
        loop {
            let mut junk = 0;
            let offset = self.input.pos();
            let more =
                ogg_page::read(&mut self.input, &mut self.spare, &mut junk, &mut self.waste)?;
            if junk > 0 {
                note(
                    &mut self.notices,
                    Notice::JunkSkipped {
                        offset,
                        bytes: junk,
                    },
                );
            }
            if !more {
                return Ok(false);
            }
            hole |= junk > 0;
            let own = self.spare.serial == self.serial;
            // Frames of FLAC have sums of their own: of a damaged page only those are lost that do not hold.
            if !self.spare.intact && (!self.sums || !own) {
                hole = true;
                continue;
            }
            if self.begins_link() {
                self.stop_before_link();
                return Ok(false);
            }
            if self.spare.intact {
                self.beginning &= self.spare.first;
            }
            if !own {
                if self.spare.first && self.spare.intact {
                    self.note_beside(self.spare.serial)?;
                }
                continue;
            }
            self.count(hole);
            if !self.spare.intact {
                // Its flags say nothing.
                self.spare.continued = !self.partial.is_empty();
            }
            std::mem::swap(&mut self.page, &mut self.spare);
            self.next = 0;
            return Ok(true);
        }
    }

    /// A stream plays beside this one.
    pub(super) fn note_beside(&mut self, serial: u32) -> Result<()> {
        memory::extend(&mut self.beside, &[serial])?;
        match self.beside.len() > MAX_STREAMS {
            true => Err(Fault::TooLarge {
                what: "the number of streams that play together",
                limit: MAX_STREAMS as u64,
            }),
            false => Ok(()),
        }
    }

    /// Looks at the number of the page that was just read; whether something else was skipped before it.
    fn count(&mut self, hole: bool) {
        if self.expected.is_none() && !self.spare.intact {
            return;
        }
        let number = self.expected.filter(|_| !self.spare.intact);
        let number = number.unwrap_or(self.spare.sequence);
        let lost = match self.expected.map(|expected| number.wrapping_sub(expected)) {
            None | Some(0) => false,
            Some(1..0x8000_0000) => hole || self.counting,
            // Not counted at all, by some writers.
            Some(_) => hole,
        };
        if lost {
            self.lost = true;
            self.partial.clear();
        }
        self.expected = Some(number.wrapping_add(1));
        self.counting = self.first > 0;
    }

    /// Goes to the next whole packet, which [`packet`](Self::packet) gives; `None` at the proven end.
    pub(super) fn advance(&mut self) -> Result<Option<usize>> {
        loop {
            if let Some(end) = self.page.ends.get(self.next).copied() {
                let at = self.next;
                self.next += 1;
                if at > 0 || !self.page.continued {
                    return Ok(Some(at));
                }
                if self.partial.is_empty() {
                    // Its beginning was lost.
                    continue;
                }
                std::mem::swap(&mut self.whole, &mut self.partial);
                self.partial.clear();
                if !self.extent.as_ref().is_some_and(Extent::is_cut) {
                    memory::extend(&mut self.whole, &self.page.body[..end])?;
                }
                return Ok(Some(PUT_TOGETHER));
            }
            self.keep_open_packet()?;
            if self.page.last && self.page.intact && self.page.serial == self.serial {
                self.ended = true;
                return Ok(None);
            }
            self.leap()?;
            if !self.turn()? {
                // The last page says that it is the last, even a damaged one behind which nothing comes. Where another link
                // comes, nothing else can follow.
                self.ended = self.page.last || matches!(self.behind, Behind::Link(_));
                return match self.ended {
                    true => Ok(None),
                    false => Err(Fault::Truncated(None)),
                };
            }
            if !self.page.continued {
                self.partial.clear();
            }
        }
    }

    fn keep_open_packet(&mut self) -> Result<()> {
        let from = self.page.ends.last().copied().unwrap_or(0);
        let mut open = &self.page.body[from..];
        if let Some(extent) = &mut self.extent {
            let keep = extent.pass(open, self.partial.len())?;
            open = &open[..keep];
        }
        if self.partial.len() + open.len() > limits::PACKET_BYTES as usize {
            return Err(Fault::TooLarge {
                what: "a packet",
                limit: limits::PACKET_BYTES,
            });
        }
        memory::extend(&mut self.partial, open)?;
        // Kept once.
        self.page.body.truncate(from);
        Ok(())
    }

    /// Over what lies far away and holds pictures.
    fn leap(&mut self) -> Result<()> {
        let far = self.input.is_remote() && self.input.is_seekable();
        if let (Some(extent), Some(number), true) = (&mut self.extent, self.expected, far) {
            extent.leap(&mut self.input, (self.serial, number), &mut self.partial)?;
        }
        Ok(())
    }

    /// The packet at this place on the page, or the one put together.
    pub(super) fn packet(&self, at: usize) -> &[u8] {
        if at == PUT_TOGETHER {
            return &self.whole;
        }
        let from = at.checked_sub(1).map_or(0, |before| self.page.ends[before]);
        &self.page.body[from..self.page.ends[at]]
    }
}
