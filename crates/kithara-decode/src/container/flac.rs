//! Native FLAC (RFC 9639).

use kithara_stream::{AudioCodec, ContainerFormat};
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_FLAC;

use super::flac_frame::{self, StreamInfo};
use super::{flac_cut, tags};
use crate::demux::{Arrival, Demux, Packet, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
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
            4 => tags::vorbis_comment(&tags::take(&mut input, length.into())?, &mut metadata),
            6 => {
                let front = tags::take(&mut input, length.into())?;
                tags::flac_picture(&front, length.into(), &mut metadata);
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
        trim: None,
        container: ContainerFormat::Flac,
        codec: AudioCodec::Flac,
        params,
        frames: info.total,
        duration: None,
        metadata,
        stamp: None,
        notices: Vec::new(),
    };
    let demux = FlacDemux {
        input,
        info,
        first,
        points,
        next: first,
        reached: 0,
    };
    Ok((track, Box::new(demux)))
}

/// Frames of a native FLAC stream.
struct FlacDemux {
    input: Input,
    info: StreamInfo,
    first: u64,
    points: Vec<Place>,
    /// Where the next packet is looked for.
    next: u64,
    /// Where the last packet ended, in frames.
    reached: u64,
}

impl FlacDemux {
    /// The first frame at or behind an offset.
    fn frame_at(&mut self, offset: u64) -> Result<Option<Place>> {
        self.input.seek(offset);
        let window = self.input.peek(WINDOW)?;
        let found = flac_frame::find(window, &self.info);
        Ok(found.map(|(at, place)| (place.frame, offset + at as u64)))
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
        (self.info.total, self.input.len().unwrap_or(0))
    }

    /// A place from which decoding on to the target is cheap.
    fn search(&mut self, target: u64) -> Result<Place> {
        let (mut low, mut high) = self.bounds(target);
        let near = u64::from(self.info.sample_rate);
        let mut jumps = if self.input.is_remote() {
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
        self.input.seek(self.next);
        let Some(cut) = flac_cut::next(&mut self.input, &self.info)? else {
            // The end of the bytes is that of the stream only where every frame was there.
            return match self.info.total {
                Some(total) if self.reached < total => Err(Fault::Truncated(Some(total))),
                _ => Ok(None),
            };
        };
        self.next = self.input.pos() + cut.bytes as u64;
        self.reached = cut.place.frame + u64::from(cut.place.frames);
        let data = self.input.take(cut.bytes)?;
        let (frame, frames) = (cut.place.frame, cut.place.frames);
        Ok(Some(Packet::new(data, Some(frame), frames)))
    }

    fn seek(&mut self, target: u64, _mode: SeekMode) -> Result<Arrival> {
        let seekable = self.input.is_seekable();
        let (frame, offset) = if seekable {
            self.search(target)?
        } else {
            (0, self.first)
        };
        self.next = offset;
        self.reached = frame;
        Ok(Arrival { frame, exact: true })
    }
}
