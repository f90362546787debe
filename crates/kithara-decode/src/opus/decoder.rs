//! The decoder of Opus.

use std::borrow::Cow;

use rusty_opus::{Error, OpusDecoder};

use super::{Head, PACKET_FRAMES, RATE, frames};
use crate::backend::{Decoded, EncodedPacket, PacketDecoder, PacketError};
use crate::fault::{Fault, Result};
use crate::{PcmSpec, limits, memory};

/// Frames after which the decoder stands as it would have. 80 ms will do for the ear (RFC 7845 §4.6), where one frame in a
/// thousand is still heard of the other decoder; 400 ms leave nothing of it that a float holds.
const SETTLE: u64 = 19_200;

/// `rusty-opus` as a packet decoder.
pub(crate) struct OpusPackets {
    inner: OpusDecoder,
    head: Head,
    spec: PcmSpec,
    /// Of the header, as a factor.
    gain: f32,
    /// What the stream holds, and the same in the channels of the output where they are others.
    coded: Vec<f32>,
    mapped: Vec<f32>,
}

impl OpusPackets {
    pub(crate) fn open(head: &Head) -> Result<Self> {
        let samples = PACKET_FRAMES as usize * usize::from(head.coded);
        let mut coded = memory::room(samples)?;
        coded.resize(samples, 0.0);
        Ok(Self {
            inner: open(head)?,
            head: *head,
            spec: limits::spec(RATE, head.channels.into())?,
            gain: 10f32.powf(f32::from(head.gain) / (20.0 * 256.0)),
            coded,
            mapped: Vec::new(),
        })
    }
}

fn open(head: &Head) -> Result<OpusDecoder> {
    OpusDecoder::new(RATE as i32, head.coded.into())
        .map_err(|error| Fault::unsupported(format!("this Opus: {error}")))
}

impl PacketDecoder for OpusPackets {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn decode(
        &mut self,
        packet: EncodedPacket<'_>,
    ) -> std::result::Result<Decoded<'_>, PacketError> {
        let damaged = |what| Err(PacketError::Damaged(Cow::Borrowed(what)));
        let Some(frames) = frames(packet.data) else {
            return damaged("it has no length");
        };
        // What a container counts differently was not encoded like this.
        if packet.frames != 0 && packet.frames != frames {
            return damaged("it has another length than the container says");
        }
        let decoded = self
            .inner
            .decode(packet.data, frames as usize, &mut self.coded);
        match decoded {
            Ok(decoded) if decoded == frames as usize => {}
            Ok(_) => return damaged("it has another length than it says"),
            Err(Error::InvalidPacket(what) | Error::Internal(what)) => return damaged(what),
            Err(_) => return damaged("it does not decode"),
        }
        let coded = usize::from(self.head.coded);
        let samples = &mut self.coded[..frames as usize * coded];
        if self.head.gain != 0 {
            for sample in samples.iter_mut() {
                *sample *= self.gain;
            }
        }
        if self.head.is_plain() {
            return Ok(Decoded::interleaved(self.spec, samples));
        }
        self.mapped.clear();
        for frame in samples.chunks_exact(coded) {
            let places = self.head.mapping.iter().take(self.head.channels.into());
            let taken = places.map(|place| place.map_or(0.0, |place| frame[usize::from(place)]));
            self.mapped.extend(taken);
        }
        Ok(Decoded::interleaved(self.spec, &self.mapped))
    }

    fn reset(&mut self) {
        // It could be made once, so it can be made again.
        if let Ok(fresh) = open(&self.head) {
            self.inner = fresh;
        }
    }

    fn pre_roll(&self, target: u64) -> u64 {
        target.saturating_sub(SETTLE)
    }
}
