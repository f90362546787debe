//! AAC frames with ADTS headers (ISO/IEC 14496-3 §1.A.2).

use std::time::Duration;

use kithara_stream::{AudioCodec, ContainerFormat};
use symphonia::core::codecs::audio::AudioCodecParameters;

use super::frames::{FrameHead, Frames, Promise, Rate, Syntax};
use crate::aac::{AacConfig, RATES};
use crate::demux::{Demux, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{MediaDuration, TrackMetadata};

/// The syntax of ADTS frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdtsSyntax;

impl Syntax for AdtsSyntax {
    const HEAD: usize = 7;

    fn parse(head: &[u8]) -> Option<FrameHead> {
        let head = head.get(..7)?;
        // Sync word, and layer 0: what tells it from MPEG audio.
        if head[0] != 0xff || head[1] & 0xf6 != 0xf0 {
            return None;
        }
        let sample_rate = *RATES.get(usize::from(head[2] >> 2 & 15))?;
        let bytes =
            usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
        let data_at = if head[1] & 1 == 1 { 7 } else { 9 };
        if bytes <= data_at {
            return None;
        }
        let blocks = u32::from(head[6] & 3) + 1;
        Some(FrameHead {
            bytes,
            frames: 1024 * blocks,
            // Profile, rate and channels.
            key: u32::from(head[2] & 0xfd) << 8 | u32::from(head[3] & 0xc0),
            bit_rate: (bytes as u64 * 8 * u64::from(sample_rate) / u64::from(1024 * blocks)) as u32,
            sample_rate,
            data_at,
        })
    }

    fn settle(_head: &[u8]) -> u64 {
        2
    }
}

/// Opens ADTS whose first frame is at the input's position.
pub(crate) fn open(mut input: Input, metadata: TrackMetadata) -> Result<(Track, Box<dyn Demux>)> {
    let first = input.pos();
    let head: [u8; 7] = {
        let bytes = input.peek(7)?;
        bytes.try_into().map_err(|_| Fault::Truncated(None))?
    };
    let frame = AdtsSyntax::parse(&head).ok_or_else(|| Fault::corrupt("no ADTS frame"))?;
    if frame.frames != 1024 {
        return Err(Fault::unsupported(
            "ADTS with several raw data blocks in a frame",
        ));
    }
    let params = params(&head, &frame)?;
    let mean = mean_bytes(&mut input, first)? / 1024.0;
    let duration = input.len().and_then(|len| {
        let frames = len.saturating_sub(first) as f64 / mean;
        let time = Duration::try_from_secs_f64(frames / f64::from(frame.sample_rate)).ok()?;
        Some(MediaDuration::Estimate(time))
    });
    let frames = Frames::<AdtsSyntax>::new(input, first, Rate::Mean(mean), Promise::default())?;
    let track = Track {
        trim: None,
        container: ContainerFormat::Adts,
        codec: AudioCodec::AacLc,
        params,
        frames: None,
        duration,
        metadata,
        stamp: None,
        notices: Vec::new(),
    };
    Ok((track, Box::new(frames)))
}

/// What the decoder must know, by the header of a frame.
pub(crate) fn params(head: &[u8; 7], frame: &FrameHead) -> Result<AudioCodecParameters> {
    let channels = (head[2] & 1) << 2 | head[3] >> 6;
    let config = AacConfig::from_adts((head[2] >> 6) + 1, frame.sample_rate, channels);
    config.params(&config.written_adts())
}

/// The mean size of the frames at hand. Of a part of a title nobody asks for places, and the first will do.
fn mean_bytes(input: &mut Input, first: u64) -> Result<f64> {
    input.seek(first);
    let look = if input.is_part() { 7 } else { 8 * 1024 };
    let window = input.peek(look)?;
    let (mut at, mut count) = (0usize, 0u32);
    while let Some(head) = window.get(at..).and_then(AdtsSyntax::parse) {
        at += head.bytes;
        count += 1;
    }
    Ok((at as f64 / f64::from(count.max(1))).max(8.0))
}
