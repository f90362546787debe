//! Decoders: which one a track needs, and how its configuration is written down for it.

mod built_in;
mod choice;
mod pcm;
mod symphonia_decoder;

pub(crate) use built_in::decoder;
pub(crate) use choice::{Chosen, Decoders};

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use crate::fault::{Fault, Result};
use crate::{PcmSpec, limits, memory};

/// `N` bytes at an offset that the caller has checked.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// A codec's configuration, from its parts.
pub(crate) fn config(parts: &[&[u8]]) -> Result<Box<[u8]>> {
    let bytes = parts.iter().map(|part| part.len()).sum();
    if bytes > limits::CONFIG_BYTES {
        return Err(Fault::TooLarge {
            what: "the codec's configuration",
            limit: limits::CONFIG_BYTES as u64,
        });
    }
    let mut config = memory::room(bytes)?;
    for part in parts {
        config.extend_from_slice(part);
    }
    Ok(config.into_boxed_slice())
}

/// Channels without a meaning beyond their order, which is kept as it is.
pub(crate) fn channels(count: u16) -> Channels {
    match Position::from_count(count.into()) {
        Some(positions) if count <= 18 => Channels::Positioned(positions),
        _ => Channels::Discrete(count),
    }
}

/// What a PCM or ADPCM decoder must know.
pub(crate) struct PcmCoding {
    pub(crate) id: AudioCodecId,
    pub(crate) spec: PcmSpec,
    pub(crate) packet_frames: u64,
    pub(crate) block_frames: u64,
}

pub(crate) fn pcm_params(coding: &PcmCoding) -> AudioCodecParameters {
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(coding.id)
        .with_sample_rate(coding.spec.sample_rate.get())
        .with_channels(channels(coding.spec.channels.get()))
        .with_max_frames_per_packet(coding.packet_frames)
        .with_frames_per_block(coding.block_frames);
    params
}
