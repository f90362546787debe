//! Ogg with Vorbis or FLAC in it (RFC 3533; Vorbis I §A; the FLAC mapping of RFC 9639 §10.1).

use kithara_stream::{AudioCodec, ContainerFormat};
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_VORBIS};
use symphonia::core::packet::PacketRef;

use super::flac_frame::StreamInfo;
use super::ogg_extent::Extent;
use super::ogg_page::{self, Page};
use super::tags;
use crate::demux::{Arrival, Demux, Packet, Track, note};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{MediaDuration, Notice, PcmSpec, SeekMode, TrackMetadata, codec, limits, memory};

/// Pages before the first of the audio.
const MAX_HEADER_PAGES: usize = 4096;
/// Jumps of a search over HTTP.
const MAX_JUMPS: usize = 5;

/// Opens the first audio stream of an Ogg file; the input stands at its first byte.
pub(crate) fn open(input: Input) -> Result<(Track, Box<dyn Demux>)> {
    let mut ogg = OggDemux::new(input);
    let (codec, params, spec, metadata) = ogg.read_headers()?;
    ogg.rate = spec.sample_rate.get().into();
    ogg.params = params.clone();
    let duration = ogg.find_duration(spec)?;
    let track = Track {
        container: ContainerFormat::Ogg,
        codec,
        params,
        frames: None,
        duration,
        metadata,
        notices: Vec::new(),
    };
    Ok((track, Box::new(ogg)))
}

/// The packets of one stream of an Ogg file.
struct OggDemux {
    input: Input,
    params: AudioCodecParameters,
    rate: u64,
    /// A packet settles the decoder and gives no frames.
    laps: bool,
    /// How many frames a packet brings at most, where the headers tell.
    most: i64,
    serial: u32,
    /// The offset of the first page with audio.
    first: u64,
    /// The number of that page.
    first_number: Option<u32>,
    /// Where the first page with audio stands in the timeline of the file; known once it was decoded.
    base: Option<i64>,
    /// Only first pages of streams were met so far.
    beginning: bool,
    page: Page,
    /// What is read next, until it turns out to be a page of the stream.
    spare: Page,
    /// The number of the stream's next page; `None` after a jump.
    expected: Option<u32>,
    /// A page of the audio was met since the last jump. What is between the headers and the first of them counts as
    /// little as their numbers: live streams go on in the middle, and some taggers number only what they write.
    counting: bool,
    /// Bytes that were checked for nothing, see [`ogg_page::read`].
    waste: u64,
    /// The next packet of the page.
    next: usize,
    /// The beginning of a packet that goes on on the next page.
    partial: Vec<u8>,
    /// A packet put together from several pages.
    whole: Vec<u8>,
    /// That packet is one of tags, of which only the front is kept.
    extent: Option<Extent>,
    ended: bool,
    /// The position of the next packet, after a seek.
    landed: Option<u64>,
    /// The last packet before the position, to settle the decoder with.
    primer: Option<Vec<u8>>,
    /// Pages were lost: the next granule says how much.
    lost: bool,
    notices: Vec<Notice>,
}

impl OggDemux {
    fn new(input: Input) -> Self {
        Self {
            input,
            params: AudioCodecParameters::new(),
            rate: 1,
            laps: false,
            most: 0,
            serial: 0,
            first: 0,
            first_number: None,
            base: None,
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
            landed: None,
            primer: None,
            lost: false,
            notices: Vec::new(),
        }
    }

    fn read_headers(
        &mut self,
    ) -> Result<(AudioCodec, AudioCodecParameters, PcmSpec, TrackMetadata)> {
        let ident = self.find_audio()?;
        let mut params = AudioCodecParameters::new();
        let mut metadata = TrackMetadata::default();
        if ident.starts_with(b"\x01vorbis") && ident.len() >= 30 {
            self.laps = true;
            // The higher half of byte 28 is the size of a long block, as a power of two; a packet brings half of that.
            self.most = 1 << (ident[28] >> 4) >> 1;
            let spec = limits::spec(
                u32::from_le_bytes(codec::array(&ident, 12)),
                ident[11].into(),
            )?;
            let comment = self.tags(Extent::comments(7))?;
            tags::vorbis_comment(comment.get(7..).unwrap_or_default(), &mut metadata);
            params
                .for_codec(CODEC_ID_VORBIS)
                .with_extra_data(codec::config(&[&ident, &self.header()?])?);
            self.begin_here();
            return Ok((AudioCodec::Vorbis, params, spec, metadata));
        }
        // "\x7fFLAC", two bytes of version, two of header count, "fLaC", the first block's header.
        let info = StreamInfo::parse(ident.get(17..).unwrap_or_default())?;
        let spec = limits::spec(info.sample_rate, info.channels)?;
        loop {
            let block = self.tags(Extent::block())?;
            if block.first().is_some_and(|kind| kind & 0x7f == 4) {
                tags::vorbis_comment(block.get(4..).unwrap_or_default(), &mut metadata);
            }
            if block.first().is_none_or(|kind| kind & 0x80 != 0) {
                break;
            }
        }
        params
            .for_codec(CODEC_ID_FLAC)
            .with_extra_data(info.block.to_vec().into_boxed_slice());
        self.begin_here();
        Ok((AudioCodec::Flac, params, spec, metadata))
    }

    /// The identification packet of the first stream of audio, whose codec must be known.
    fn find_audio(&mut self) -> Result<Vec<u8>> {
        let mut junk = 0;
        let mut other = None;
        for _ in 0..MAX_HEADER_PAGES {
            if !ogg_page::read(&mut self.input, &mut self.page, &mut junk, &mut self.waste)? {
                return Err(Fault::Truncated(None));
            }
            if !self.page.first {
                break;
            }
            let body = &self.page.body;
            let name = if body.starts_with(b"\x01vorbis") || body.starts_with(b"\x7fFLAC") {
                self.serial = self.page.serial;
                self.expected = Some(self.page.sequence.wrapping_add(1));
                self.next = self.page.ends.len();
                return Ok(memory::copy(body)?);
            } else if body.starts_with(b"OpusHead") {
                "Opus"
            } else if body.starts_with(b"Speex   ") {
                "Speex"
            } else if body.starts_with(b"PCM     ") {
                "PCM in Ogg"
            } else {
                continue;
            };
            other = Some(name);
        }
        Err(Fault::unsupported(
            other.unwrap_or("Ogg without Vorbis or FLAC"),
        ))
    }

    fn header(&mut self) -> Result<Vec<u8>> {
        match self.advance()? {
            Some(at) => Ok(memory::copy(self.packet(at))?),
            None => Err(Fault::Truncated(None)),
        }
    }

    /// The front of a header packet of tags.
    fn tags(&mut self, extent: Extent) -> Result<Vec<u8>> {
        self.extent = Some(extent);
        let packet = self.header();
        self.extent = None;
        packet
    }

    /// The next page is the first with audio.
    fn begin_here(&mut self) {
        self.first = self.input.pos();
        self.first_number = self.expected;
        self.counting = false;
        self.lost = false;
    }

    /// How long the stream is, where looking at its end is free. Only the first page tells what is to be taken off.
    fn find_duration(&mut self, spec: PcmSpec) -> Result<Option<MediaDuration>> {
        let Some(end) = self.find_end()? else {
            return Ok(None);
        };
        let base = match self.may_begin_at_zero() {
            Ok(true) => Ok(0),
            Ok(false) => self.find_base(),
            Err(fault) => Err(fault),
        };
        self.go_to(self.first);
        // What was noticed is noticed again when it is played.
        self.notices.clear();
        let frames = |base: i64| u64::try_from(end - base).unwrap_or(0);
        Ok(Some(match base {
            Ok(base) => MediaDuration::Exact(spec.time(frames(base))),
            Err(fault @ (Fault::Stream(_) | Fault::Io(_) | Fault::NoMemory(_))) => {
                return Err(fault);
            }
            // Told when it is played.
            Err(_) => MediaDuration::Estimate(spec.time(frames(0))),
        }))
    }

    /// Whether the first page states no more than it can hold. What goes on in the middle of something states far more,
    /// and only then it is worth decoding that page to know by how much.
    fn may_begin_at_zero(&mut self) -> Result<bool> {
        self.go_to(self.first);
        // The first packet brings nothing: there is none to lap over.
        let mut most = -self.most;
        while self.advance()?.is_some() {
            most += self.most;
            if let (Some(granule), true) = (self.page.granule, self.next == self.page.ends.len()) {
                return Ok(self.page.last || granule <= most);
            }
        }
        Ok(false)
    }

    /// The last granule.
    fn find_end(&mut self) -> Result<Option<i64>> {
        let here = self.input.pos();
        let Some(len) = self
            .input
            .len()
            .filter(|_| !self.input.is_remote() && self.input.is_seekable())
        else {
            return Ok(None);
        };
        self.input
            .seek(len.saturating_sub(2 * limits::SNIFF_BYTES as u64).max(here));
        let tail = self.input.peek(2 * limits::SNIFF_BYTES)?;
        let last = tail
            .windows(27)
            .filter(|head| head.starts_with(b"OggS\0") && head[14..18] == self.serial.to_le_bytes())
            .filter_map(ogg_page::granule)
            .rfind(|granule| *granule > 0);
        self.input.seek(here);
        Ok(last)
    }

    /// Reads on to the next page of the stream; `false` at the end of the bytes. A failed read leaves the page at hand.
    fn turn(&mut self) -> Result<bool> {
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
            if !self.spare.intact && (self.laps || !own) {
                hole = true;
                continue;
            }
            // The first pages of all streams that play together come before anything else (RFC 3533 §4).
            if self.spare.intact {
                if self.spare.first && (own || !self.beginning) {
                    return Err(Fault::unsupported(
                        "a second stream in the file (chained Ogg)",
                    ));
                }
                self.beginning &= self.spare.first;
            }
            if !own {
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

    /// Goes to the next whole packet: its index on the page, or `usize::MAX` for the one in `whole`.
    fn advance(&mut self) -> Result<Option<usize>> {
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
                return Ok(Some(usize::MAX));
            }
            self.keep_open_packet()?;
            if self.page.last && self.page.intact && self.page.serial == self.serial {
                self.ended = true;
                return Ok(None);
            }
            self.leap()?;
            if !self.turn()? {
                // The last page says that it is the last, even a damaged one behind which nothing comes.
                self.ended = self.page.last;
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

    fn packet(&self, at: usize) -> &[u8] {
        if at == usize::MAX {
            return &self.whole;
        }
        let from = at.checked_sub(1).map_or(0, |before| self.page.ends[before]);
        &self.page.body[from..self.page.ends[at]]
    }

    fn go_to(&mut self, offset: u64) {
        self.input.seek(offset);
        self.page.ends.clear();
        self.page.body.clear();
        self.page.last = false;
        self.expected = self.first_number.filter(|_| offset == self.first);
        self.counting = false;
        self.partial.clear();
        self.next = 0;
        self.ended = false;
        self.primer = None;
        self.landed = None;
        self.lost = false;
    }

    /// Finds out where the first page stands in the file's timeline, by decoding it.
    fn find_base(&mut self) -> Result<i64> {
        if let Some(base) = self.base {
            return Ok(base);
        }
        self.go_to(self.first);
        let mut decoder = codec::decoder(&self.params)?;
        let mut frames = 0i64;
        while let Some(at) = self.advance()? {
            let packet = PacketRef::new(0, 0i64.into(), 0u64.into(), self.packet(at));
            frames += decoder
                .decode_ref(&packet)
                .map_or(0, |decoded| decoded.frames() as i64);
            if let (Some(granule), true) = (self.page.granule, self.next == self.page.ends.len()) {
                let base = if self.page.last { 0 } else { granule - frames };
                self.base = Some(base);
                return Ok(base);
            }
        }
        Ok(0)
    }

    /// The first page at or behind an offset on which a packet ends: its granule and offset.
    fn page_at(&mut self, offset: u64) -> Result<Option<(i64, u64)>> {
        self.go_to(offset);
        let mut page = Page::default();
        let mut junk = 0;
        loop {
            match ogg_page::read(&mut self.input, &mut page, &mut junk, &mut self.waste) {
                Ok(true) => {}
                Ok(false) | Err(Fault::Truncated(_) | Fault::Corrupt(_)) => return Ok(None),
                Err(fault) => return Err(fault),
            }
            let starts_here = page.ends.len() > usize::from(page.continued);
            if let (Some(granule), true) = (
                page.granule,
                page.serial == self.serial && (starts_here || !self.laps),
            ) {
                return Ok(Some((granule, page.offset)));
            }
        }
    }

    /// The page whose end lies shortly before the granule; `None` for the beginning.
    fn search(&mut self, target: i64, base: i64) -> Result<Option<(i64, u64)>> {
        let near = 2 * self.rate as i64;
        let remote = self.input.is_remote();
        let mut low: Option<(i64, u64)> = None;
        let mut high: Option<(i64, u64)> = None;
        for _ in 0..if remote { MAX_JUMPS } else { 64 } {
            let (from, from_offset) = low.unwrap_or((base, self.first));
            if target - from <= near {
                break;
            }
            let end = high.map(|high| high.1).or_else(|| self.input.len());
            let Some(end) = end else { break };
            let per_frame = match high {
                Some((granule, offset)) => {
                    offset.saturating_sub(from_offset) as f64 / (granule - from).max(1) as f64
                }
                None => self.mean_bytes(low, base, end)?,
            };
            if end.saturating_sub(from_offset) <= limits::SNIFF_BYTES as u64 / 2 {
                break;
            }
            let aim = (target - from - near / 2) as f64 * per_frame;
            let guess = from_offset.saturating_add(aim as u64);
            let guess = guess.clamp(from_offset + 1, end - 1);
            match self.page_at(guess)? {
                Some((granule, offset)) if granule <= target && offset > from_offset => {
                    low = Some((granule, offset));
                }
                Some((granule, _)) if granule > target => high = Some((granule, guess)),
                _ => high = Some((high.map_or(i64::MAX / 2, |high| high.0), guess)),
            }
        }
        Ok(low)
    }

    /// Bytes per frame, from what is known of the stream so far.
    fn mean_bytes(&mut self, low: Option<(i64, u64)>, base: i64, end: u64) -> Result<f64> {
        let known = match low {
            Some(low) => Some(low),
            None => self
                .page_at(self.first + 16 * 1024)?
                .filter(|(granule, _)| *granule > base),
        };
        Ok(match known {
            Some((granule, offset)) if granule > base => {
                (offset - self.first) as f64 / (granule - base) as f64
            }
            _ => end.saturating_sub(self.first) as f64 / (self.rate * 60) as f64,
        })
    }

    /// Stands behind the last packet that ends on the page at this offset.
    fn settle_on(&mut self, granule: i64, offset: u64, base: i64) -> Result<u64> {
        self.go_to(offset);
        if !self.turn()? {
            return Err(Fault::Truncated(None));
        }
        self.lost = false;
        let frame = u64::try_from(granule - base).unwrap_or(0);
        if self.laps
            && let Some(last) = self.page.ends.len().checked_sub(1)
        {
            self.primer = Some(memory::copy(self.packet(last))?);
        }
        self.next = self.page.ends.len();
        self.landed = Some(frame);
        Ok(frame)
    }
}

impl Demux for OggDemux {
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        if let Some(primer) = self.primer.take() {
            self.whole = primer;
            let mut packet = Packet::new(&self.whole, None, 0);
            packet.primer = true;
            return Ok(Some(packet));
        }
        if self.ended {
            return Ok(None);
        }
        let Some(at) = self.advance()? else {
            return Ok(None);
        };
        let frame = self.landed.take();
        let ends = self.next == self.page.ends.len();
        let stated = self.page.granule.filter(|_| ends);
        let lost = self.lost;
        let ends_at = match (stated, self.base) {
            (Some(granule), Some(base)) if lost => Some(granule - base),
            // The last page may state less than it holds.
            (Some(granule), None) if !self.page.last => Some(granule),
            _ => None,
        };
        self.lost &= stated.is_none();
        let mut packet = Packet::new(self.packet(at), frame, 0);
        // Behind a hole nobody knows where a packet lies, nor has the decoder what it laps over: until the end of a page
        // tells, packets only settle it.
        packet.primer = lost;
        packet.ends_at = ends_at;
        Ok(Some(packet))
    }

    fn seek(&mut self, target: u64, _mode: SeekMode) -> Result<Arrival> {
        let seekable = self.input.is_seekable();
        if target == 0 || !seekable {
            self.go_to(self.first);
            return Ok(Arrival {
                frame: 0,
                exact: true,
            });
        }
        let base = self.find_base()?;
        let wanted = i64::try_from(target)
            .unwrap_or(i64::MAX / 4)
            .saturating_add(base);
        let frame = match self.search(wanted, base)? {
            Some((granule, offset)) => self.settle_on(granule, offset, base)?,
            None => {
                self.go_to(self.first);
                0
            }
        };
        Ok(Arrival { frame, exact: true })
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn calibrate(&mut self, decoded: u64, stated: i64) -> bool {
        let unknown = self.base.is_none();
        if unknown {
            self.base = Some(stated.saturating_sub_unsigned(decoded));
        }
        unknown
    }
}
