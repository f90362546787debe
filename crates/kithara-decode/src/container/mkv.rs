//! Matroska and WebM (RFC 9559): the first audio track.

use std::collections::VecDeque;
use std::ops::Range;

use kithara_stream::{AudioCodec, ContainerFormat};

use super::ebml::{self, Element};
use super::mkv_head::{CLUSTER, CUES, Head, SEGMENT};
use super::mkv_times::{Base, Beginnings};
use super::mkv_track::{Lapped, MkvTrack};
use crate::backend::EncodedPacket;
use crate::demux::{Arrival, Demux, Packet, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{SeekMode, codec, limits, memory};

const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const DISCARD_PADDING: u32 = 0x75a2;
/// What follows a block in its group and is looked at.
const MAX_GROUP_REST: u64 = 64 * 1024;
/// Packets looked at to find out where the timeline begins, and their bytes.
const BASE_PACKETS: usize = 8;
const BASE_BYTES: u64 = 64 * 1024;
/// The same where only some of them tell; and how many behind a cue.
const LAPPED_PACKETS: usize = 48;
const MAX_CUES: u64 = 32 << 20;

/// Opens the first audio track; the input stands at the first byte.
pub(crate) fn open(mut input: Input) -> Result<(Track, Box<dyn Demux>)> {
    let mut head = Head::default();
    head.read(&mut input)?;
    let track = head
        .track
        .take()
        .ok_or_else(|| Fault::unsupported("Matroska without audio"))?;
    let clusters = vec![(0, input.pos())];
    let described = Track {
        trim: track.trim(),
        container: ContainerFormat::Mkv,
        codec: track.codec,
        params: track.params.clone(),
        frames: None,
        duration: head.duration(),
        metadata: std::mem::take(&mut head.metadata),
        stamp: None,
        notices: Vec::new(),
    };
    let demux = MkvDemux {
        input,
        head,
        track,
        clusters,
        cues_read: false,
        barren: None,
        probing: false,
        base: None,
        cluster: 0,
        cluster_time: 0,
        block: Vec::new(),
        frames: VecDeque::new(),
        block_time: 0,
        group_end: None,
        padding: 0,
        skip: 0,
        primers: 0,
        place: Place::Beginning,
    };
    Ok((described, Box::new(demux)))
}

/// The packets of a Matroska track.
struct MkvDemux {
    input: Input,
    head: Head,
    track: MkvTrack,
    /// Time in ticks and offset of clusters that were met or are in the cues, in order; the first is the beginning.
    clusters: Vec<(u64, u64)>,
    cues_read: bool,
    /// From this cluster on no block of the track was found by a seek. Only seeks believe it.
    barren: Option<u64>,
    probing: bool,
    base: Option<Base>,
    /// The offset and the time of the cluster at hand.
    cluster: u64,
    cluster_time: u64,
    /// The block at hand, and the frames in it not yet delivered.
    block: Vec<u8>,
    frames: VecDeque<Range<usize>>,
    block_time: u64,
    /// The offset behind the group being read.
    group_end: Option<u64>,
    /// Nanoseconds at the end of the block at hand that are padding.
    padding: u64,
    /// Packets still to be passed over.
    skip: u32,
    /// Packets still to be given to the decoder for it to settle.
    primers: u32,
    place: Place,
}

/// Where a seek may begin to read.
struct Foothold {
    frame: u64,
    exact: bool,
    /// Packets before those that settle the decoder.
    skip: u32,
}

/// What tells where the next packet lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Beginning,
    /// The time of the next block that begins.
    ByTime,
    /// Counting on.
    Running,
}

impl MkvDemux {
    /// Reads on to the next block of the track; `false` at the end. After a failed read it begins again with the
    /// element that failed.
    fn next_block(&mut self) -> Result<bool> {
        let mut at = self.input.pos();
        let found = self.find_block(&mut at);
        if found.is_err() {
            self.input.seek(at);
        }
        found
    }

    /// The same, where a block that is cut off is none: whoever only looks around is not told.
    fn next_whole_block(&mut self) -> Result<bool> {
        match self.next_block() {
            Err(Fault::Truncated(_)) => Ok(false),
            found => found,
        }
    }

    fn find_block(&mut self, at: &mut u64) -> Result<bool> {
        loop {
            self.input.progress();
            *at = self.input.pos();
            let at = *at;
            let barren = self.barren.filter(|_| self.probing);
            if self.head.end.is_some_and(|end| at >= end) || barren.is_some_and(|from| at >= from) {
                return Ok(false);
            }
            let Some(element) = ebml::next(&mut self.input)? else {
                return match self.head.end {
                    Some(_) => Err(Fault::Truncated(None)),
                    None => Ok(false),
                };
            };
            match element.id {
                // Their children are met one by one.
                SEGMENT => {}
                BLOCK_GROUP => (self.group_end, self.padding) = (element.end(), 0),
                DISCARD_PADDING if element.size.is_some_and(|size| size <= 8) => {
                    self.padding = padding(ebml::scalar(&mut self.input, &element)?);
                }
                CLUSTER => (self.cluster, self.cluster_time) = (at, 0),
                TIMESTAMP => {
                    self.cluster_time = ebml::unsigned(ebml::scalar(&mut self.input, &element)?);
                    self.note_cluster();
                }
                SIMPLE_BLOCK | BLOCK => {
                    if element.id == SIMPLE_BLOCK {
                        (self.group_end, self.padding) = (None, 0);
                    }
                    if self.take_block(&element)? {
                        self.look_for_padding()?;
                        return Ok(true);
                    }
                }
                _ => {
                    let end = element
                        .end()
                        .ok_or_else(|| Fault::corrupt("an element without end"))?;
                    self.input.seek(end);
                }
            }
        }
    }

    /// Takes the block if it is one of the track.
    fn take_block(&mut self, element: &Element) -> Result<bool> {
        let Some(size) = element.size.filter(|size| *size <= limits::PACKET_BYTES) else {
            return Err(Fault::TooLarge {
                what: "a block",
                limit: limits::PACKET_BYTES,
            });
        };
        let head = self.input.peek(12.min(size as usize))?;
        let (number, width) = ebml::number_in(head).ok_or(Fault::Truncated(None))?;
        if number != self.track.number {
            self.input.skip(size);
            return Ok(false);
        }
        self.block.clear();
        memory::extend(&mut self.block, self.input.take(size as usize)?)?;
        let rest = self.block.get(width..).unwrap_or_default();
        let [high, low, flags, ..] = *rest else {
            return Err(Fault::corrupt("a short block"));
        };
        let delta = i64::from(i16::from_be_bytes([high, low]));
        self.block_time = self.cluster_time.saturating_add_signed(delta);
        self.frames.clear();
        unlace(&self.block, width + 3, flags >> 1 & 3, &mut self.frames)
            .ok_or_else(|| Fault::corrupt("bad lacing"))?;
        Ok(!self.frames.is_empty())
    }

    /// What stands behind a block in its group may say that its end is padding.
    fn look_for_padding(&mut self) -> Result<()> {
        let rest = self.group_end.unwrap_or(0).saturating_sub(self.input.pos());
        if (1..=MAX_GROUP_REST).contains(&rest) {
            let rest = self.input.peek(rest as usize)?;
            let found = ebml::children(rest).find(|(id, _)| *id == DISCARD_PADDING);
            if let Some((_, value)) = found {
                self.padding = padding(value);
            }
        }
        Ok(())
    }

    /// Frames at the end of the packet at hand that are padding: those of the last in its block.
    fn discard(&self) -> u32 {
        if self.padding == 0 || !self.frames.is_empty() {
            return 0;
        }
        u32::try_from(self.track.frames_in(self.padding)).unwrap_or(u32::MAX)
    }

    /// The frame at which the block at hand begins, by its time; whether that is certain.
    fn block_frame(&self) -> (u64, bool) {
        let nanos = u128::from(self.block_time) * u128::from(self.head.scale);
        let rate = u128::from(self.track.spec.sample_rate.get());
        let frame = i64::try_from((nanos * rate + 500_000_000) / 1_000_000_000).unwrap_or(i64::MAX);
        let base = self.base.unwrap_or_default();
        let frame = u64::try_from(frame.saturating_sub(base.offset)).unwrap_or(0);
        base.settle(frame, self.tick())
    }

    /// Frames of a tick.
    fn tick(&self) -> f64 {
        self.head.scale as f64 * f64::from(self.track.spec.sample_rate.get()) / 1e9
    }

    /// Keeps where the cluster at hand lies, so that it can be gone back to without a cue.
    fn note_cluster(&mut self) {
        let place = (self.cluster_time, self.cluster);
        let behind = self.clusters.partition_point(|known| *known < place);
        let mut near = self.clusters[behind.saturating_sub(1)..].iter().take(2);
        let known = near.any(|(_, offset)| *offset == self.cluster);
        // Without memory it is as if it had not been met.
        if !known
            && (self.clusters.len() as u64) < limits::TABLE_ENTRIES
            && memory::reserve(&mut self.clusters, 1).is_ok()
        {
            self.clusters.insert(behind, place);
        }
    }

    fn go_to(&mut self, offset: u64) {
        self.input.seek(offset);
        self.frames.clear();
        self.cluster_time = 0;
        self.skip = 0;
        self.primers = 0;
        self.place = Place::ByTime;
    }

    fn rewind(&mut self) -> Arrival {
        let first = self.clusters[0].1;
        self.go_to(first);
        self.place = Place::Beginning;
        Arrival {
            frame: 0,
            exact: true,
        }
    }

    /// Reads the cues, once.
    fn read_cues(&mut self) -> Result<()> {
        let Some(at) = self.head.cues.filter(|_| !self.cues_read) else {
            return Ok(());
        };
        self.input.seek(at);
        // A failure that may pass leaves them unread; without them a seek reads on from the beginning.
        match self.take_cues() {
            Err(fault @ (Fault::Stream(_) | Fault::Io(_) | Fault::NoMemory(_))) => Err(fault),
            _ => {
                self.cues_read = true;
                Ok(())
            }
        }
    }

    fn take_cues(&mut self) -> Result<()> {
        let element = match ebml::next(&mut self.input)? {
            Some(element) if element.id == CUES => element,
            _ => return Ok(()),
        };
        let body = ebml::body(&mut self.input, &element, MAX_CUES)?;
        let mut found = Vec::new();
        for (_, point) in ebml::children(&body).filter(|(id, _)| *id == 0xbb) {
            let time = ebml::children(point)
                .find(|(id, _)| *id == 0xb3)
                .map(|(_, time)| ebml::unsigned(time));
            let places = ebml::children(point).filter(|(id, _)| *id == 0xb7);
            for (_, place) in places {
                let field = |wanted| {
                    ebml::children(place)
                        .find(|(id, _)| *id == wanted)
                        .map(|(_, v)| ebml::unsigned(v))
                };
                // Of whatever track: many files have cues for their video only, and the cluster holds the sound too.
                if let (Some(time), Some(offset)) = (time, field(0xf1)) {
                    let place = (time, self.head.segment.saturating_add(offset));
                    memory::push(&mut found, place)?;
                }
            }
        }
        memory::extend(&mut self.clusters, &found)?;
        self.clusters[1..].sort_unstable();
        Ok(())
    }

    /// Finds out where the file's time stands when the first frame comes out of the decoder.
    fn find_base(&mut self) -> Result<()> {
        if self.base.is_some() {
            return Ok(());
        }
        let mut seen = Beginnings::default();
        let is_pcm = self.track.codec == AudioCodec::Pcm;
        if self.track.quantum.is_some() || self.track.settle > 0 || is_pcm {
            self.rewind();
            self.look_at_beginnings(&mut seen)?;
        }
        let grid = match (self.track.quantum, self.track.lapped) {
            (Some(quantum), _) => Some((quantum, 0)),
            (None, Some(lapped)) => seen.rest(lapped.short).map(|rest| (lapped.short, rest)),
            // Writers of PCM cut it into pieces of one size.
            (None, None) if is_pcm => seen.size().map(|size| (size, 0)),
            (None, None) => None,
        };
        self.base = Some(seen.base(grid, self.tick()));
        Ok(())
    }

    /// Decodes the first packets, to see where they begin and where their times put them.
    fn look_at_beginnings(&mut self, seen: &mut Beginnings) -> Result<()> {
        let long = self.track.lapped.map(|lapped| lapped.long);
        let packets = long.map_or(BASE_PACKETS, |_| LAPPED_PACKETS);
        let until = self.input.pos().saturating_add(BASE_BYTES);
        let mut decoder = codec::decoder(&self.track.params)?;
        let mut decoded = 0u64;
        for _ in 0..packets {
            let fresh = self.frames.is_empty();
            if fresh && (self.input.pos() > until || !self.next_whole_block()?) {
                break;
            }
            let Some(range) = self.frames.pop_front() else {
                break;
            };
            let packet = EncodedPacket {
                data: &self.block[range],
                frames: 0,
                position: None,
            };
            let frames = decoder
                .decode(packet)
                .map_or(0, |decoded| decoded.frames() as u64);
            // Writers disagree about where a packet begins whose neighbour has another length.
            if fresh && decoded > 0 && long.is_none_or(|long| long == frames) {
                let nanos = self.block_time as f64 * self.head.scale as f64;
                let stated = nanos * f64::from(self.track.spec.sample_rate.get()) / 1e9;
                let distance = (stated - decoded as f64).clamp(-1e12, 1e12);
                seen.note(decoded, distance);
            }
            decoded += frames;
        }
        Ok(())
    }

    /// The last place before this time from which to read on, among those known.
    fn cluster_before(&self, ticks: u64) -> usize {
        self.clusters[1..].partition_point(|(time, _)| *time < ticks)
    }

    /// Where the first block of the track behind this cluster begins, and whether that is certain. No cluster is read
    /// through twice where there is none.
    fn probe(&mut self, offset: u64) -> Result<Option<Foothold>> {
        self.go_to(offset);
        let is_cluster = self.input.peek(4)? == CLUSTER.to_be_bytes();
        self.probing = true;
        let found = self.next_block();
        self.probing = false;
        if found? {
            let (frame, exact) = self.block_frame();
            let first = Foothold {
                frame,
                exact,
                skip: 0,
            };
            return match self.track.lapped.filter(|_| exact || self.has_grid()) {
                Some(lapped) => Ok(Some(self.find_long(lapped)?.unwrap_or(Foothold {
                    exact: false,
                    ..first
                }))),
                None => Ok(Some(first)),
            };
        }
        if is_cluster {
            self.barren = Some(self.barren.map_or(offset, |from| from.min(offset)));
        }
        Ok(None)
    }

    fn has_grid(&self) -> bool {
        self.base.is_some_and(|base| base.grid.is_some())
    }

    /// From the block at hand on, the first long packet behind a long one: only of those it is known where they may begin.
    fn find_long(&mut self, lapped: Lapped) -> Result<Option<Foothold>> {
        let mut decoder = codec::decoder(&self.track.params)?;
        let mut fresh = true;
        for number in 0..LAPPED_PACKETS as u32 {
            let Some(range) = self.frames.pop_front() else {
                break;
            };
            let packet = EncodedPacket {
                data: &self.block[range],
                frames: 0,
                position: None,
            };
            let frames = decoder
                .decode(packet)
                .map_or(0, |decoded| decoded.frames() as u64);
            let (frame, exact) = self.block_frame();
            if number > 0 && fresh && frames == lapped.long && exact {
                let skip = number - 1;
                return Ok(Some(Foothold { frame, exact, skip }));
            }
            fresh = self.frames.is_empty();
            if fresh && !self.next_whole_block()? {
                break;
            }
        }
        Ok(None)
    }

    /// The file's time at a frame.
    fn ticks(&self, frame: i64) -> u64 {
        let frame = frame.saturating_add(self.base.unwrap_or_default().offset);
        let rate = u128::from(self.track.spec.sample_rate.get());
        let nanos = u128::try_from(frame).unwrap_or(0) * 1_000_000_000 / rate;
        u64::try_from(nanos / u128::from(self.head.scale)).unwrap_or(u64::MAX)
    }
}

impl Demux for MkvDemux {
    fn states_times(&self) -> bool {
        true
    }

    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        let (fresh, range) = loop {
            let fresh = self.frames.is_empty();
            if fresh && !self.next_block()? {
                return Ok(None);
            }
            let range = self.frames.pop_front().unwrap_or_default();
            if self.skip == 0 {
                break (fresh, range);
            }
            self.skip -= 1;
        };
        // Only the first packet of a block has a time.
        let primer = self.primers > 0 || self.place == Place::ByTime && !fresh;
        let mut frame = None;
        if primer {
            self.primers = self.primers.saturating_sub(1);
        } else {
            frame = match std::mem::replace(&mut self.place, Place::Running) {
                Place::Beginning => Some(0),
                Place::ByTime => Some(self.block_frame().0),
                Place::Running => None,
            };
        }
        let discard = self.discard();
        let mut packet = Packet::new(&self.block[range], frame, self.track.packet_frames);
        packet.primer = primer;
        packet.discard = discard;
        Ok(Some(packet))
    }

    fn seek(&mut self, target: u64, mode: SeekMode) -> Result<Arrival> {
        if target == 0 || !self.input.is_seekable() {
            return Ok(self.rewind());
        }
        self.find_base()?;
        let strict = mode == SeekMode::Exact || !self.input.is_remote();
        if strict && !self.has_grid() {
            // Times are too coarse to tell the frame: it is counted from the beginning.
            return Ok(self.rewind());
        }
        self.read_cues()?;
        // Early enough for the decoder to settle.
        let packet = match self.track.packet_frames {
            0 => 4096,
            frames => u64::from(frames),
        };
        let early = target.saturating_sub(u64::from(self.track.settle) * packet);
        let ticks = self.ticks(i64::try_from(early).unwrap_or(i64::MAX));
        let mut at = self.cluster_before(ticks);
        let mut step = 1;
        loop {
            let offset = self.clusters[at].1;
            if offset == self.clusters[0].1 {
                return Ok(self.rewind());
            }
            if let Some(Foothold { frame, exact, skip }) = self.probe(offset)?
                && frame <= early
                && (exact || !strict)
            {
                // Read again by the first packet.
                self.go_to(offset);
                self.skip = skip;
                self.primers = self.track.settle;

                return Ok(Arrival { frame, exact });
            }
            // The cue is another track's, and the sound begins later there, or has ended, perhaps long ago.
            at = at.saturating_sub(step);
            step *= 2;
        }
    }
}

/// Nanoseconds of padding; negative ones would stand at the front, where nobody writes them (RFC 9559 §5.1.3.5.7).
fn padding(value: &[u8]) -> u64 {
    let value = &value[..value.len().min(8)];
    let negative = value.first().is_some_and(|first| first & 0x80 != 0);
    if negative { 0 } else { ebml::unsigned(value) }
}

/// The frames of a block (RFC 9559 §10.3), into a queue that is used again and empty.
fn unlace(
    block: &[u8],
    start: usize,
    lacing: u8,
    frames: &mut VecDeque<Range<usize>>,
) -> Option<()> {
    if lacing == 0 {
        frames.push_back(start..block.len());
        return Some(());
    }
    let count = usize::from(*block.get(start)?) + 1;
    let mut at = start + 1;
    let mut sizes: Vec<usize> = Vec::with_capacity(count);
    for index in 0..count - 1 {
        match lacing {
            1 => {
                let mut size = 0;
                loop {
                    let byte = *block.get(at)?;
                    (at, size) = (at + 1, size + usize::from(byte));
                    if byte < 255 {
                        break;
                    }
                }
                sizes.push(size);
            }
            3 => {
                let (value, width) = ebml::number_in(block.get(at..)?)?;
                at += width;
                let size = match index {
                    0 => value as i64,
                    // Later sizes are differences, centred on zero.
                    _ => *sizes.last()? as i64 + value as i64 - ((1i64 << (7 * width - 1)) - 1),
                };
                sizes.push(usize::try_from(size).ok()?);
            }
            _ => {}
        }
    }
    let left = block.len().checked_sub(at)?;
    if lacing == 2 {
        sizes = vec![left / count; count - 1];
    }
    sizes.push(left.checked_sub(sizes.iter().sum())?);
    frames.extend(sizes.into_iter().map(|size| {
        at += size;
        at - size..at
    }));
    Some(())
}
