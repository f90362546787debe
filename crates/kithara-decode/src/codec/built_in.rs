//! The decoders that are always there.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_OPUS};

use super::pcm;
use super::symphonia_decoder::SymphoniaDecoder;
use crate::aac::AacConfig;
use crate::backend::PacketDecoder;
#[cfg(not(all(feature = "he-aac", feature = "opus")))]
use crate::fault::Fault;
use crate::fault::Result;
#[cfg(feature = "he-aac")]
use crate::limits;

/// A decoder for a track. PCM is ours; plain AAC-LC is symphonia's, because that is the fastest.
pub(crate) fn decoder(params: &AudioCodecParameters) -> Result<Box<dyn PacketDecoder>> {
    let config = params.extra_data.as_deref().unwrap_or_default();
    if let Some(coding) = pcm::coding_of(params.codec) {
        return Ok(Box::new(pcm::PcmSamples::open(coding, params)?));
    }
    match params.codec {
        CODEC_ID_AAC if AacConfig::parse(config).is_some_and(|config| !config.is_plain()) => {
            wide_aac(params, config)
        }
        CODEC_ID_OPUS => opus(config),
        _ => Ok(Box::new(SymphoniaDecoder::open(params)?)),
    }
}

#[cfg(feature = "he-aac")]
fn wide_aac(params: &AudioCodecParameters, config: &[u8]) -> Result<Box<dyn PacketDecoder>> {
    let channels = params
        .channels
        .as_ref()
        .map_or(0, |channels| channels.count());
    let spec = limits::spec(params.sample_rate.unwrap_or(0), channels as u32)?;
    let frames = params.max_frames_per_packet.unwrap_or(0);
    let decoder = crate::aac::WideDecoder::open(config, spec, frames)?;
    Ok(Box::new(decoder))
}

#[cfg(not(feature = "he-aac"))]
fn wide_aac(_params: &AudioCodecParameters, config: &[u8]) -> Result<Box<dyn PacketDecoder>> {
    let name = AacConfig::parse(config).and_then(|config| config.unsupported());
    Err(Fault::unsupported(
        name.unwrap_or_else(|| "this AAC".to_owned()),
    ))
}

#[cfg(feature = "opus")]
fn opus(config: &[u8]) -> Result<Box<dyn PacketDecoder>> {
    let head = crate::opus::Head::parse(config)?;
    Ok(Box::new(crate::opus::OpusPackets::open(&head)?))
}

#[cfg(not(feature = "opus"))]
fn opus(_config: &[u8]) -> Result<Box<dyn PacketDecoder>> {
    Err(Fault::unsupported("Opus (without the feature `opus`)"))
}
