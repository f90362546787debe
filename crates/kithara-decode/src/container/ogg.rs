//! One link of Ogg, with Vorbis, Opus or FLAC in it (RFC 3533; Vorbis I §A; RFC 7845; the FLAC mapping of RFC 9639 §10.1).

use std::time::Duration;

use kithara_stream::ContainerFormat;

use super::ogg_head::{Head, Promise};
use super::ogg_packets::Packets;
use super::ogg_search::Search;
use super::vorbis::BlockSizes;
use crate::backend::EncodedPacket;
use crate::demux::{Arrival, Behind, Demux, Packet, Track, note};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::trim::Trim;
use crate::{MediaDuration, Notice, SeekMode, codec, memory, opus};

/// What did not open, and the bytes it was to be read from.
pub(crate) struct Unopened {
    pub(crate) fault: Fault,
    pub(crate) input: Option<Box<Input>>,
}

/// Opens the first audio stream of an Ogg file, or of a link of a chain; the input stands at its first byte.
pub(crate) fn open(input: Input) -> std::result::Result<(Track, Box<dyn Demux>), Unopened> {
    let mut packets = Packets::new(input);
    let head = match Head::read(&mut packets) {
        Ok(head) => head,
        Err(fault) => return Err(Unopened::new(fault, packets.input)),
    };
    let mut ogg = OggDemux {
        packets,
        head,
        base: None,
        landed: None,
        primer: None,
    };
    let (trim, duration) = match ogg.find_ends() {
        Ok(ends) => ends,
        Err(fault) => return Err(Unopened::new(fault, ogg.packets.input)),
    };
    let track = Track {
        trim,
        container: ContainerFormat::Ogg,
        codec: ogg.head.codec,
        params: ogg.head.params.clone(),
        frames: None,
        duration,
        metadata: std::mem::take(&mut ogg.head.metadata),
        stamp: None,
        notices: Vec::new(),
    };
    Ok((track, Box::new(ogg)))
}

impl Unopened {
    pub(crate) fn new(fault: Fault, input: impl Into<Option<Input>>) -> Self {
        Self {
            fault,
            input: input.into().map(Box::new),
        }
    }
}

/// The packets of one stream of an Ogg file, and their places.
struct OggDemux {
    packets: Packets,
    head: Head,
    /// Where the first page with audio stands in the timeline of the file; known once it was decoded.
    base: Option<i64>,
    /// The position of the next packet, after a seek.
    landed: Option<u64>,
    /// The last packet before the position, to settle the decoder with.
    primer: Option<Vec<u8>>,
}

impl OggDemux {
    /// Both ends of the stream, and how long it is, where looking at its end is free. Only the first page tells what is to be
    /// taken off.
    fn find_ends(&mut self) -> Result<(Option<Trim>, Option<MediaDuration>)> {
        let pre_skip = self.head.opus.map_or(0, |head| u64::from(head.pre_skip));
        let end = self.packets.find_end()?;
        // Nothing is lost by waiting for the first page to be decoded.
        let base = match end.is_none() && !self.head.counts() {
            true => Ok(None),
            false => self.begins_at().map(Some),
        };
        self.go_to(self.packets.first);
        // What was noticed is noticed again when it is played.
        self.packets.notices.clear();
        let base = match base {
            Err(fault @ (Fault::Stream(_) | Fault::Io(_) | Fault::NoMemory(_))) => {
                return Err(fault);
            }
            // Anything else is told when it is played.
            base => base.ok().flatten(),
        };
        // A first page that states less than it holds (Vorbis I §A.2).
        let early = base.map_or(0, |base| base.min(0).unsigned_abs());
        let front = early.saturating_add(pre_skip);
        let decoded = end.map(|(end, _)| u64::try_from(end - base.unwrap_or(0)).unwrap_or(0));
        // A stream that is cut off has no end that its pages could tell.
        let certain = end.is_some_and(|(_, last)| last) && base.is_some();
        let total = decoded.filter(|_| certain);
        let trim = Trim {
            front,
            total: total.map(|total| total.saturating_sub(front)),
        };
        let trim = (front > 0 || total.is_some()).then_some(trim);
        let spec = self.head.spec;
        let length = decoded.map(|frames| spec.time(frames));
        let length = length.or_else(|| self.promised());
        Ok((trim, length.map(MediaDuration::Estimate)))
    }

    /// How long the headers promise it to be.
    fn promised(&self) -> Option<Duration> {
        match self.head.promise {
            Promise::Nothing => None,
            Promise::Frames(frames) => Some(self.head.spec.time(frames)),
            Promise::BitRate(rate) => {
                let bytes = self.packets.input.len()?.checked_sub(self.packets.first)?;
                Duration::try_from_secs_f64(bytes as f64 * 8.0 / f64::from(rate)).ok()
            }
        }
    }

    /// Where the first decoded frame stands in the file's timeline.
    fn begins_at(&mut self) -> Result<i64> {
        if !self.head.counts() && self.may_begin_at_zero()? {
            return Ok(0);
        }
        self.find_base()
    }

    /// Whether the first page states no more than it can hold. What goes on in the middle of something states far more,
    /// and only then it is worth decoding that page to know by how much.
    fn may_begin_at_zero(&mut self) -> Result<bool> {
        self.go_to(self.packets.first);
        // The first packet brings nothing: there is none to lap over.
        let mut most = -self.head.most;
        while self.packets.advance()?.is_some() {
            most += self.head.most;
            let page = &self.packets.page;
            if let (Some(granule), true) = (page.granule, self.packets.ends_page()) {
                return Ok(page.last || granule <= most);
            }
        }
        Ok(false)
    }

    /// Finds out where the first page stands in the file's timeline: by what its packets say, or else by decoding it.
    fn find_base(&mut self) -> Result<i64> {
        if let Some(base) = self.base {
            return Ok(base);
        }
        self.go_to(self.packets.first);
        let mut decoder = match self.head.counts() {
            true => None,
            false => Some(codec::decoder(&self.head.params)?),
        };
        let (mut frames, mut before) = (0i64, None);
        while let Some(at) = self.packets.advance()? {
            let data = self.packets.packet(at);
            frames += match &mut decoder {
                Some(decoder) => decoder
                    .decode(EncodedPacket {
                        data,
                        frames: 0,
                        position: None,
                    })
                    .map_or(0, |decoded| decoded.frames() as i64),
                None if self.head.opus.is_some() => opus::frames(data).unwrap_or(0).into(),
                None => {
                    let block = self.head.blocks.as_ref();
                    let block = block.and_then(|blocks| blocks.of(data));
                    let both = before.zip(block);
                    before = block.or(before);
                    both.map_or(0, |(before, block)| {
                        BlockSizes::frames(before, block).into()
                    })
                }
            };
            let page = &self.packets.page;
            if let (Some(granule), true) = (page.granule, self.packets.ends_page()) {
                let base = if page.last { 0 } else { granule - frames };
                self.base = Some(base);
                return Ok(base);
            }
        }
        Ok(0)
    }

    fn go_to(&mut self, offset: u64) {
        self.packets.go_to(offset);
        (self.primer, self.landed) = (None, None);
    }

    /// Stands behind the last packet that ends on the page at this offset.
    fn settle_on(&mut self, granule: i64, offset: u64, base: i64) -> Result<u64> {
        self.go_to(offset);
        let packets = &mut self.packets;
        if !packets.turn()? {
            return Err(Fault::Truncated(None));
        }
        packets.lost = false;
        let frame = u64::try_from(granule - base).unwrap_or(0);
        if self.head.laps()
            && let Some(last) = packets.page.ends.len().checked_sub(1)
        {
            self.primer = Some(memory::copy(packets.packet(last))?);
        }
        packets.next = packets.page.ends.len();
        self.landed = Some(frame);
        Ok(frame)
    }
}

impl Demux for OggDemux {
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        let packets = &mut self.packets;
        if let Some(primer) = self.primer.take() {
            packets.whole = primer;
            let mut packet = Packet::new(&packets.whole, None, 0);
            packet.primer = true;
            return Ok(Some(packet));
        }
        if packets.ended {
            return Ok(None);
        }
        let Some(at) = packets.advance()? else {
            return Ok(None);
        };
        let frame = self.landed.take();
        let page = &packets.page;
        let stated = page.granule.filter(|_| packets.ends_page());
        let lost = packets.lost;
        let ends_at = match (stated, self.base) {
            (Some(granule), Some(base)) if lost => Some(granule - base),
            (Some(granule), None) if !page.last => Some(granule),
            _ => None,
        };
        // The last page may state less than it holds.
        let last = page.granule.filter(|_| page.last);
        let run_end = last.map(|granule| granule - self.base.unwrap_or(0));
        packets.lost &= stated.is_none();
        let data = packets.packet(at);
        let frames = opus::frames(data)
            .filter(|_| self.head.opus.is_some())
            .unwrap_or(0);
        let mut packet = Packet::new(data, frame, frames);
        // Behind a hole nobody knows where a packet lies, nor has the decoder what it laps over: until the end of a page
        // tells, packets only settle it.
        packet.primer = lost;
        packet.ends_at = ends_at;
        packet.run_end = run_end.map(|end| u64::try_from(end).unwrap_or(0));
        Ok(Some(packet))
    }

    fn seek(&mut self, target: u64, _mode: SeekMode) -> Result<Arrival> {
        let start = Arrival {
            frame: 0,
            exact: true,
        };
        let first = self.packets.first;
        if target == 0 || !self.packets.input.is_seekable() {
            self.go_to(first);
            return Ok(start);
        }
        let base = self.find_base()?;
        let wanted = i64::try_from(target)
            .unwrap_or(i64::MAX / 4)
            .saturating_add(base);
        let mut search = Search {
            base,
            rate: self.head.spec.sample_rate.get().into(),
            laps: self.head.laps(),
            packets: &mut self.packets,
        };
        let found = search.page_before(wanted)?;
        let Some((granule, offset)) = found else {
            self.go_to(first);
            return Ok(start);
        };
        let frame = self.settle_on(granule, offset, base)?;
        Ok(Arrival { frame, exact: true })
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.packets.notices)
    }

    fn calibrate(&mut self, decoded: u64, stated: i64) -> bool {
        let unknown = self.base.is_none();
        if unknown {
            self.base = Some(stated.saturating_sub_unsigned(decoded));
        }
        unknown
    }

    fn behind(&self) -> Behind {
        self.packets.behind
    }

    fn look_behind(&mut self) -> Result<Behind> {
        if self.packets.behind == Behind::Unknown {
            self.packets.walk()?;
        }
        if let Some(junk) = self.packets.junk_behind.take() {
            note(&mut self.packets.notices, junk);
        }
        Ok(self.packets.behind)
    }

    fn into_input(self: Box<Self>) -> Option<Input> {
        let (mut input, start) = (self.packets.input, self.packets.start);
        input.seek(start);
        Some(input)
    }
}
