//! The decoder of HE-AAC and of more than two channels.

use std::borrow::Cow;

use rusty_aac::config::StreamConfig;
use rusty_aac::decode::Decoder;
use rusty_aac::{Error, config};

use super::config::AacConfig;
use super::entry::{self, Core};
use crate::PcmSpec;
use crate::backend::{Decoded, EncodedPacket, PacketDecoder, PacketError};
use crate::fault::{Fault, Result};

/// Packets after which noise and sines of replication stand where they stood: 512 of the one, 4 of the other, and each
/// packet passes 32 slots of as many as there are bands (ISO/IEC 14496-3 §4.6.18.7.6).
const CYCLE: u64 = 16;
/// Packets from an entry on after which nothing is left of what came before it: filter banks, smoothing, parametric stereo.
const SETTLE: u64 = 3;
/// Packets among which an entry is looked for. Encoders repeat the header about twice a second, and not each time with
/// envelopes that begin and end with their packet.
const SEARCH: u64 = 40;

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
    /// Packets among which an entry is still looked for.
    search: u64,
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
            search: 0,
            samples: Vec::new(),
        })
    }

    /// Looks whether this packet is an entry, and if so goes on as if all before it had been decoded.
    fn find_entry(&mut self, packet: EncodedPacket<'_>) {
        let Some(frame) = packet.position else {
            return;
        };
        let index = frame / self.packet_frames;
        if index == 0 {
            self.search = 0;
            return;
        }
        let core = match self.config.channel_config {
            1 => Core::Channel,
            2 => Core::Pair,
            _ => return,
        };
        let is_core = |block: &[u8]| {
            open(self.config.clone())
                .is_ok_and(|mut fresh| fresh.decode(block, None).is_ok() && !fresh.saw_sbr())
        };
        if !entry::is_entry(packet.data, core, is_core) {
            return;
        }
        self.search = 0;
        self.start();
        for _ in 0..index % CYCLE {
            // What comes out is not the packet before, but leaves noise and sines where that had left them.
            let _ = self.inner.decode(packet.data, None);
        }
    }

    fn start(&mut self) {
        // It could be made once, so it can be made again.
        if let Ok(fresh) = open(self.config.clone()) {
            self.inner = fresh;
        }
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
        if self.search > 0 {
            self.search -= 1;
            self.find_entry(packet);
        }
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
            self.start();
            return Err(PacketError::Damaged(Cow::Borrowed(
                "it changes the layout of the track",
            )));
        }
        self.samples = block.samples;
        Ok(Decoded::interleaved(self.spec, &self.samples))
    }

    fn reset(&mut self) {
        self.start();
        self.search = if self.config.sbr { SEARCH } else { 0 };
    }

    fn pre_roll(&self, target: u64) -> u64 {
        if !self.config.sbr {
            return target;
        }
        (target / self.packet_frames).saturating_sub(SETTLE + SEARCH) * self.packet_frames
    }
}
