//! Native FLAC (RFC 9639). symphonia's reader cuts the stream into frames; finding a place in it is ours.

use std::sync::Arc;

use kithara_stream::{AudioCodec, ContainerFormat};
use parking_lot::Mutex;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_FLAC;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::default::formats::FlacReader;

use super::flac_frame::{self, StreamInfo};
use super::tags;
use crate::demux::{Arrival, Demux, Packet, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::view::{SharedInput, View};
use crate::{SeekMode, TrackMetadata, limits, memory};

/// Metadata blocks looked at before the audio.
const MAX_BLOCKS: usize = 4096;
/// Jumps of a search over HTTP, the last of which must have landed.
const MAX_JUMPS: usize = 5;
/// Bytes looked at for a frame header after a jump.
const WINDOW: usize = 32 * 1024;

/// A place in the stream: a frame number and the offset of the frame that begins there.
type Place = (u64, u64);

/// Where a search ends: as a place, but the number is not always known.
type Bound = (Option<u64>, u64);

/// Opens a native FLAC stream; the input stands at its first byte.
pub(crate) fn open(mut input: Input) -> Result<(Track, Box<dyn Demux>)> {
    input.skip(4);
    let mut info = None;
    let mut metadata = TrackMetadata::default();
    let mut points = Vec::new();
    for _ in 0..MAX_BLOCKS {
        let head: [u8; 4] = input.array()?;
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]);
        let body = input.pos();
        match head[0] & 0x7f {
            0 => info = Some(StreamInfo::parse(input.take(34)?)?),
            3 if length <= 256 * 1024 => points = seek_points(input.peek(length as usize)?)?,
            // Larger comments hold pictures, and no text anybody waits for.
            4 if length <= 64 * 1024 => {
                tags::vorbis_comment(input.peek(length as usize)?, &mut metadata);
            }
            _ => {}
        }
        input.seek(body + u64::from(length));
        if head[0] & 0x80 != 0 {
            let info = info.ok_or_else(|| Fault::corrupt("FLAC without its stream information"))?;
            return open_frames(input, info, points, metadata);
        }
    }
    Err(Fault::TooLarge {
        what: "the number of metadata blocks",
        limit: MAX_BLOCKS as u64,
    })
}

/// Sample number and offset of each seek point (§8.5), without placeholders.
fn seek_points(block: &[u8]) -> Result<Vec<Place>> {
    let long = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    let mut points: Vec<Place> = memory::room(block.len() / 18)?;
    points.extend(
        block
            .chunks_exact(18)
            .map(|point| (long(&point[..8]), long(&point[8..16])))
            .filter(|(sample, _)| *sample != u64::MAX),
    );
    points.sort_unstable();
    Ok(points)
}

fn open_frames(
    input: Input,
    info: StreamInfo,
    points: Vec<Place>,
    metadata: TrackMetadata,
) -> Result<(Track, Box<dyn Demux>)> {
    limits::spec(info.sample_rate, info.channels)?;
    let first = input.pos();
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(CODEC_ID_FLAC)
        .with_extra_data(info.block.to_vec().into_boxed_slice());
    let track = Track {
        container: ContainerFormat::Flac,
        codec: AudioCodec::Flac,
        params,
        frames: info.total,
        duration: None,
        metadata,
        notices: Vec::new(),
    };
    let mut demux = FlacDemux {
        input: Arc::new(Mutex::new(input)),
        reader: None,
        info,
        first,
        points,
        restart: first,
        reached: 0,
        packet: None,
    };
    demux.reader = Some(demux.read_from(first)?);
    Ok((track, Box::new(demux)))
}

/// Frames of a native FLAC stream.
struct FlacDemux {
    input: SharedInput,
    /// Rebuilt wherever reading starts anew: it does not survive the end of the bytes.
    reader: Option<FlacReader<'static>>,
    info: StreamInfo,
    first: u64,
    points: Vec<Place>,
    /// Where reading starts when there is no reader.
    restart: u64,
    /// Where the last packet ended.
    reached: u64,
    packet: Option<symphonia::core::packet::Packet>,
}

impl FlacDemux {
    fn read_from(&self, offset: u64) -> Result<FlacReader<'static>> {
        let mut prefix = b"fLaC\x80\x00\x00\x22".to_vec();
        prefix.extend_from_slice(&self.info.block);
        let view = View::spliced(Arc::clone(&self.input), prefix, offset);
        FlacReader::try_new(view.stream(), FormatOptions::default())
            .map_err(|error| self.fault(error.into()))
    }

    fn fault(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Truncated(_) => Fault::Truncated(self.info.total),
            other => other,
        }
    }

    /// The first frame at or behind an offset.
    fn frame_at(&self, offset: u64) -> Result<Option<Place>> {
        let mut input = self.input.lock();
        input.seek(offset);
        let window = input.peek(WINDOW)?;
        let found = flac_frame::find(window, &self.info);
        Ok(found.map(|(at, frame)| (frame, offset + at as u64)))
    }

    /// The last known place at or before a frame, and the first behind it.
    fn bounds(&self, target: u64) -> (Place, Bound) {
        let behind = self.points.partition_point(|(frame, _)| *frame <= target);
        let place = |point: &Place| (point.0, self.first.saturating_add(point.1));
        let low = behind
            .checked_sub(1)
            .map_or((0, self.first), |at| place(&self.points[at]));
        let high = self.points.get(behind).map(place);
        let high = high.map(|(frame, offset)| (Some(frame), offset));
        (low, high.unwrap_or_else(|| self.end()))
    }

    /// Where the bytes end. Without a length there is nowhere to search.
    fn end(&self) -> Bound {
        (self.info.total, self.input.lock().len().unwrap_or(0))
    }

    /// A place from which decoding on to the target is cheap.
    fn search(&self, target: u64) -> Result<Place> {
        let (mut low, mut high) = self.bounds(target);
        let near = u64::from(self.info.sample_rate);
        let mut jumps = if self.input.lock().is_remote() {
            MAX_JUMPS
        } else {
            64
        };
        // A place from the seek table is looked at like any other: the table may lie.
        if low.1 != self.first {
            jumps -= 1;
            match self.frame_at(low.1)? {
                Some(place) if place.0 <= target => low = place,
                _ => (low, high) = ((0, self.first), self.end()),
            }
        }
        for _ in 0..jumps {
            let span = high.1.saturating_sub(low.1);
            if target - low.0 <= near || span <= WINDOW as u64 {
                break;
            }
            let mean = match high.0 {
                Some(frame) => self.info.mean_bytes(span, frame.saturating_sub(low.0)),
                None if low.0 > 0 => self.info.mean_bytes(low.1 - self.first, low.0),
                None => self.info.usual_bytes(),
            };
            let aim = mean * (target - low.0 - near / 2) as f64;
            let guess = (low.1.saturating_add(aim as u64)).clamp(low.1 + 1, high.1 - 1);
            match self.frame_at(guess)? {
                Some(place) if place.0 <= target && place.0 > low.0 => low = place,
                Some((frame, _)) if frame > target => high = (Some(frame), guess),
                // Nothing to be found from there on.
                _ => high = (Some(high.0.unwrap_or(u64::MAX).min(target + 1)), guess),
            }
        }
        Ok(low)
    }
}

impl Demux for FlacDemux {
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let reader = self.read_from(self.restart)?;
                self.reader.insert(reader)
            }
        };
        match reader.next_packet() {
            Ok(packet) => self.packet = packet,
            Err(error) => return Err(self.fault(error.into())),
        }
        match (&self.packet, self.info.total) {
            (Some(packet), _) => self.reached = packet.pts.get().unsigned_abs() + packet.dur.get(),
            // The reader takes the end of the bytes for the end where it found no frame before it.
            (None, Some(total)) if self.reached < total => {
                return Err(Fault::Truncated(Some(total)));
            }
            (None, _) => {}
        }
        Ok(self.packet.as_ref().map(|packet| {
            let frame = u64::try_from(packet.pts.get()).ok();
            Packet::new(&packet.data, frame, packet.dur.get() as u32)
        }))
    }

    fn resumes(&self) -> bool {
        false
    }

    fn seek(&mut self, target: u64, _mode: SeekMode) -> Result<Arrival> {
        let seekable = self.input.lock().is_seekable();
        self.reader = None;
        let (frame, offset) = if seekable {
            self.search(target)?
        } else {
            (0, self.first)
        };
        self.restart = offset;
        self.reached = frame;
        Ok(Arrival { frame, exact: true })
    }
}
