//! The decoder of HE-AAC and of more than two channels.

use std::borrow::Cow;

use rusty_aac::config::StreamConfig;
use rusty_aac::decode::Decoder;
use rusty_aac::{Error, config};

use super::config::AacConfig;
use crate::PcmSpec;
use crate::backend::{Decoded, EncodedPacket, PacketDecoder, PacketError};
use crate::fault::{Fault, Result};

/// Packets after which noise and sines of replication stand where they stood: 512 of the one, 4 of the other, and each
/// packet passes 32 slots of as many as there are bands (ISO/IEC 14496-3 §4.6.18.7.6).
const CYCLE: u64 = 16;
/// Packets that settle the filter banks of replication, and of parametric stereo.
const SETTLE: u64 = 3;

/// What packets were found to hold.
pub(super) struct Found {
    pub(super) sbr: bool,
    pub(super) channels: Option<u16>,
    /// The two channels of what is one channel in its core are not the same.
    pub(super) differs: bool,
}

/// Looks into the first packets until they tell.
pub(super) fn look<'a>(
    config: AacConfig,
    bytes: &[u8],
    packets: impl Iterator<Item = &'a [u8]>,
) -> Result<Found> {
    let mut decoder = open(stream_config(bytes)?)?;
    let mut found = Found {
        sbr: false,
        channels: None,
        differs: false,
    };
    for packet in packets {
        if let Ok(block) = decoder.decode(packet, None) {
            found.channels = Some(block.channels);
            let mut pairs = block.samples.chunks_exact(2);
            found.differs |= block.channels == 2 && pairs.any(|pair| pair[0] != pair[1]);
        }
        found.sbr |= decoder.saw_sbr();
        if found.sbr && config.channels != Some(1) {
            break;
        }
    }
    Ok(found)
}

fn stream_config(bytes: &[u8]) -> Result<StreamConfig> {
    config::parse(bytes).map_err(fault)
}

fn open(config: StreamConfig) -> Result<Decoder> {
    Decoder::with_stream_config(config).map_err(fault)
}

fn fault(error: Error) -> Fault {
    match error {
        Error::Unsupported(what) => Fault::unsupported(what),
        other => Fault::corrupt(other.to_string()),
    }
}

/// `rusty_aac` as a packet decoder. Channels come in the order of WAVE, as ffmpeg gives them.
pub(crate) struct WideDecoder {
    inner: Decoder,
    /// To make another like it: there is no other way to reset it.
    config: StreamConfig,
    spec: PcmSpec,
    packet_frames: u64,
    samples: Vec<f32>,
}

impl WideDecoder {
    /// Opens a decoder for this AudioSpecificConfig, in which everything is signalled.
    pub(crate) fn open(bytes: &[u8], spec: PcmSpec, packet_frames: u64) -> Result<Self> {
        let config = stream_config(bytes)?;
        Ok(Self {
            inner: open(config.clone())?,
            config,
            spec,
            packet_frames: packet_frames.max(1),
            samples: Vec::new(),
        })
    }
}

impl PacketDecoder for WideDecoder {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn decode(
        &mut self,
        packet: EncodedPacket<'_>,
    ) -> std::result::Result<Decoded<'_>, PacketError> {
        let block = match self.inner.decode(packet.data, None) {
            Ok(block) => block,
            Err(Error::Unsupported(what)) => {
                return Err(PacketError::Unsupported(Cow::Owned(what)));
            }
            Err(Error::InvalidData(what)) => return Err(PacketError::Damaged(Cow::Owned(what))),
            Err(_) => return Err(PacketError::Damaged(Cow::Borrowed("it holds no audio"))),
        };
        // Damaged packets make it find channels that are not there.
        let frames = (block.samples.len() / usize::from(block.channels.max(1))) as u64;
        if block.channels != self.spec.channels.get()
            || block.sample_rate != self.spec.sample_rate.get()
            || frames != self.packet_frames
        {
            self.reset();
            return Err(PacketError::Damaged(Cow::Borrowed(
                "it changes the layout of the track",
            )));
        }
        self.samples = block.samples;
        Ok(Decoded::interleaved(self.spec, &self.samples))
    }

    fn reset(&mut self) {
        // It could be made once, so it can be made again.
        if let Ok(fresh) = open(self.config.clone()) {
            self.inner = fresh;
        }
    }

    fn pre_roll(&self, target: u64) -> u64 {
        if !self.config.sbr {
            return target;
        }
        let packet = (target / self.packet_frames).saturating_sub(SETTLE);
        packet / CYCLE * CYCLE * self.packet_frames
    }
}
