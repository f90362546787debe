//! Matroska and WebM (RFC 9559): the first audio track.

use std::collections::VecDeque;
use std::ops::Range;

use kithara_stream::ContainerFormat;
use symphonia::core::packet::PacketRef;

use super::ebml::{self, Element};
use super::mkv_track::{MkvTrack, read_tracks};
use super::tags;
use crate::demux::{Arrival, Demux, Packet, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{MediaDuration, SeekMode, TrackMetadata, codec, limits, memory};

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114d_9b74;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const CUES: u32 = 0x1c53_bb6b;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
/// Elements above the blocks.
const MAX_TOP: usize = 10_000;
/// Packets looked at to find out where the timeline begins.
const BASE_PACKETS: usize = 8;
/// Nanoseconds of a tick: a quarter of an hour is more than anybody writes, and leaves room to calculate with.
const MAX_SCALE: u64 = 1 << 40;
const MAX_INFO: u64 = 1 << 20;
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
        container: ContainerFormat::Mkv,
        codec: track.codec,
        params: track.params.clone(),
        frames: None,
        duration: head.duration(),
        metadata: std::mem::take(&mut head.metadata),
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
        primers: 0,
        place: Place::Beginning,
    };
    Ok((described, Box::new(demux)))
}

/// What stands before the first cluster.
struct Head {
    /// The offset of the segment's body, and the one behind it.
    segment: u64,
    end: Option<u64>,
    /// Nanoseconds of a tick.
    scale: u64,
    ticks: f64,
    cues: Option<u64>,
    track: Option<MkvTrack>,
    metadata: TrackMetadata,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            segment: 0,
            end: None,
            scale: 1_000_000,
            ticks: 0.0,
            cues: None,
            track: None,
            metadata: TrackMetadata::default(),
        }
    }
}

impl Head {
    /// Reads up to the first cluster.
    fn read(&mut self, input: &mut Input) -> Result<()> {
        for _ in 0..MAX_TOP {
            let at = input.pos();
            let Some(element) = ebml::next(input)? else {
                return Err(Fault::Truncated(None));
            };
            match element.id {
                EBML => {}
                SEGMENT => {
                    (self.segment, self.end) = (element.body, element.end());
                    continue;
                }
                SEEK_HEAD => self.read_seek_head(&ebml::body(input, &element, MAX_INFO)?),
                INFO => self.read_info(&ebml::body(input, &element, MAX_INFO)?),
                TRACKS => self.track = read_tracks(&ebml::body(input, &element, MAX_INFO)?)?,
                CUES => self.cues = Some(at),
                CLUSTER => {
                    input.seek(at);
                    return Ok(());
                }
                _ => {}
            }
            let end = element
                .end()
                .ok_or_else(|| Fault::corrupt("an element without end"))?;
            input.seek(end);
        }
        Err(Fault::TooLarge {
            what: "the number of elements",
            limit: MAX_TOP as u64,
        })
    }

    fn read_seek_head(&mut self, body: &[u8]) {
        for (_, seek) in ebml::children(body).filter(|(id, _)| *id == 0x4dbb) {
            let field = |wanted| {
                ebml::children(seek)
                    .find(|(id, _)| *id == wanted)
                    .map(|(_, body)| ebml::unsigned(body))
            };
            if let (Some(id), Some(position)) = (field(0x53ab), field(0x53ac))
                && id == u64::from(CUES)
            {
                self.cues = self.segment.checked_add(position);
            }
        }
    }

    fn read_info(&mut self, body: &[u8]) {
        for (id, value) in ebml::children(body) {
            match id {
                0x2a_d7b1 => self.scale = ebml::unsigned(value).clamp(1, MAX_SCALE),
                0x4489 => self.ticks = ebml::float(value),
                0x7ba9 => self.metadata.title = tags::text(value, value.len()),
                _ => {}
            }
        }
    }

    fn duration(&self) -> Option<MediaDuration> {
        let seconds = self.ticks * self.scale as f64 / 1e9;
        let duration = std::time::Duration::try_from_secs_f64(seconds).ok();
        duration
            .filter(|duration| !duration.is_zero())
            .map(MediaDuration::Exact)
    }
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
    /// Packets still to be given to the decoder for it to settle.
    primers: u32,
    place: Place,
}

/// What the times of blocks are worth.
#[derive(Clone, Copy, Debug, Default)]
struct Base {
    /// Frames between the file's time 0 and the first decoded frame.
    offset: i64,
    /// Whether a time tells the frame.
    certain: bool,
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
                SEGMENT | BLOCK_GROUP => {}
                CLUSTER => (self.cluster, self.cluster_time) = (at, 0),
                TIMESTAMP => {
                    self.cluster_time = ebml::unsigned(&ebml::body(&mut self.input, &element, 8)?);
                    self.note_cluster();
                }
                SIMPLE_BLOCK | BLOCK => {
                    if self.take_block(&element)? {
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
        self.frames = laced(&self.block, width + 3, flags >> 1 & 3)
            .ok_or_else(|| Fault::corrupt("bad lacing"))?;
        Ok(!self.frames.is_empty())
    }

    /// The frame at which the block at hand begins, by its time; whether that is certain.
    fn block_frame(&self) -> (u64, bool) {
        let nanos = u128::from(self.block_time) * u128::from(self.head.scale);
        let rate = u128::from(self.track.spec.sample_rate.get());
        let frame = i64::try_from((nanos * rate + 500_000_000) / 1_000_000_000).unwrap_or(i64::MAX);
        let base = self.base.unwrap_or_default();
        let frame = u64::try_from(frame.saturating_sub(base.offset)).unwrap_or(0);
        match self.track.quantum {
            Some(quantum) if base.certain => ((frame + quantum / 2) / quantum * quantum, true),
            _ => (frame, false),
        }
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
        let mut offsets = Vec::with_capacity(BASE_PACKETS);
        if self.track.quantum.is_some() || self.track.settle > 0 {
            self.rewind();
            let mut decoder = codec::decoder(&self.track.params)?;
            let mut decoded = 0i64;
            for _ in 0..BASE_PACKETS {
                if self.frames.is_empty() {
                    if !self.next_block()? {
                        break;
                    }
                    if decoded > 0 {
                        let nanos = self.block_time as f64 * self.head.scale as f64;
                        let stated = nanos * f64::from(self.track.spec.sample_rate.get()) / 1e9;
                        offsets.push((stated - decoded as f64).clamp(-1e12, 1e12));
                    }
                }
                let Some(range) = self.frames.pop_front() else {
                    break;
                };
                let packet = PacketRef::new(0, 0i64.into(), 0u64.into(), &self.block[range]);
                decoded += decoder
                    .decode_ref(&packet)
                    .map_or(0, |decoded| decoded.frames() as i64);
            }
        }
        offsets.sort_unstable_by(f64::total_cmp);
        self.base = Some(self.settled_base(&offsets));
        Ok(())
    }

    /// What follows from the distances, in order, between where times put the first blocks and where they really begin.
    ///
    /// Times are whole ticks, rounded to the nearest by some writers and down by others: the distances lie within a tick,
    /// and the middle of those that were seen is less than a tick away from any other.
    fn settled_base(&self, offsets: &[f64]) -> Base {
        let rate = self.track.spec.sample_rate.get();
        let tick = self.head.scale as f64 * f64::from(rate) / 1e9;
        let (low, high) = match offsets {
            [low, .., high] => (*low, *high),
            [only] => (*only, *only),
            [] => (0.0, 0.0),
        };
        // One frame for each of two roundings.
        let told = |quantum: u64| quantum as f64 > 2.0 * tick + 2.0 && high - low < tick + 2.0;
        let certain = self.track.quantum.is_some_and(told);
        let offset = if certain {
            f64::midpoint(low, high)
        } else {
            offsets.get(offsets.len() / 2).copied().unwrap_or(0.0)
        };
        Base {
            offset: offset.round() as i64,
            certain,
        }
    }

    /// The last place before this time from which to read on, among those known.
    fn cluster_before(&self, ticks: u64) -> usize {
        self.clusters[1..].partition_point(|(time, _)| *time < ticks)
    }

    /// Where the first block of the track behind this cluster begins, and whether that is certain. No cluster is read
    /// through twice where there is none.
    fn probe(&mut self, offset: u64) -> Result<Option<(u64, bool)>> {
        self.go_to(offset);
        let is_cluster = self.input.peek(4)? == CLUSTER.to_be_bytes();
        self.probing = true;
        let found = self.next_block();
        self.probing = false;
        if found? {
            return Ok(Some(self.block_frame()));
        }
        if is_cluster {
            self.barren = Some(self.barren.map_or(offset, |from| from.min(offset)));
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
        let fresh = self.frames.is_empty();
        if fresh && !self.next_block()? {
            return Ok(None);
        }
        let range = self.frames.pop_front().unwrap_or_default();
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
        let mut packet = Packet::new(&self.block[range], frame, self.track.packet_frames);
        packet.primer = primer;
        Ok(Some(packet))
    }

    fn seek(&mut self, target: u64, mode: SeekMode) -> Result<Arrival> {
        if target == 0 || !self.input.is_seekable() {
            return Ok(self.rewind());
        }
        self.find_base()?;
        let certain = self.base.is_some_and(|base| base.certain);
        if !certain && (mode == SeekMode::Exact || !self.input.is_remote()) {
            // Times are too coarse to tell the frame: it is counted from the beginning.
            return Ok(self.rewind());
        }
        self.read_cues()?;
        // Early enough for the decoder to settle.
        let early = target.saturating_sub(u64::from(self.track.settle) * 4096);
        let ticks = self.ticks(i64::try_from(early).unwrap_or(i64::MAX));
        let mut at = self.cluster_before(ticks);
        let mut step = 1;
        loop {
            let offset = self.clusters[at].1;
            if offset == self.clusters[0].1 {
                return Ok(self.rewind());
            }
            if let Some((frame, exact)) = self.probe(offset)?
                && frame <= early
            {
                self.primers = self.track.settle;
                // Read again by the first packet.
                self.frames.clear();
                self.input.seek(offset);
                return Ok(Arrival { frame, exact });
            }
            // The cue is another track's, and the sound begins later there, or has ended, perhaps long ago.
            at = at.saturating_sub(step);
            step *= 2;
        }
    }
}

/// The frames of a block (RFC 9559 §10.3).
fn laced(block: &[u8], start: usize, lacing: u8) -> Option<VecDeque<Range<usize>>> {
    if lacing == 0 {
        return Some(VecDeque::from_iter(std::iter::once(start..block.len())));
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
    let frames = sizes.into_iter().map(|size| {
        at += size;
        at - size..at
    });
    Some(frames.collect())
}
