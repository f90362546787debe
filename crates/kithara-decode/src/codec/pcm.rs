//! Linear PCM and G.711.
//!
//! symphonia's decoder does not stand here: of each packet that is shorter than the longest it makes an error, in three pieces
//! of memory, and lays samples out in planes that are interleaved again.

use std::borrow::Cow;

use symphonia::core::codecs::audio::well_known::*;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use crate::backend::{Decoded, EncodedPacket, PacketDecoder, PacketError};
use crate::fault::{Fault, Result};
use crate::{PcmSpec, limits, memory};

/// How samples are written.
pub(super) struct Coding {
    id: AudioCodecId,
    pub(super) name: &'static str,
    bytes: usize,
    /// Appends samples whose memory has been reserved. Half a sample at the end is left out.
    append: fn(&[u8], &mut Vec<f32>),
}

const fn coding(
    id: AudioCodecId,
    name: &'static str,
    bytes: usize,
    append: fn(&[u8], &mut Vec<f32>),
) -> Coding {
    Coding {
        id,
        name,
        bytes,
        append,
    }
}

#[rustfmt::skip]
const CODINGS: [Coding; 14] = [
    coding(CODEC_ID_PCM_U8, "pcm_u8", 1, |bytes, out| each(bytes, out, |[byte]| f32::from(i16::from(byte) - 128) / 128.0)),
    coding(CODEC_ID_PCM_S8, "pcm_s8", 1, |bytes, out| each(bytes, out, |[byte]| f32::from(byte.cast_signed()) / 128.0)),
    coding(CODEC_ID_PCM_S16LE, "pcm_s16le", 2, |bytes, out| each(bytes, out, |sample| short(i16::from_le_bytes(sample)))),
    coding(CODEC_ID_PCM_S16BE, "pcm_s16be", 2, |bytes, out| each(bytes, out, |sample| short(i16::from_be_bytes(sample)))),
    coding(CODEC_ID_PCM_S24LE, "pcm_s24le", 3, |bytes, out| each(bytes, out, |[a, b, c]| long(i32::from_le_bytes([0, a, b, c])))),
    coding(CODEC_ID_PCM_S24BE, "pcm_s24be", 3, |bytes, out| each(bytes, out, |[a, b, c]| long(i32::from_be_bytes([a, b, c, 0])))),
    coding(CODEC_ID_PCM_S32LE, "pcm_s32le", 4, |bytes, out| each(bytes, out, |sample| long(i32::from_le_bytes(sample)))),
    coding(CODEC_ID_PCM_S32BE, "pcm_s32be", 4, |bytes, out| each(bytes, out, |sample| long(i32::from_be_bytes(sample)))),
    coding(CODEC_ID_PCM_F32LE, "pcm_f32le", 4, |bytes, out| each(bytes, out, f32::from_le_bytes)),
    coding(CODEC_ID_PCM_F32BE, "pcm_f32be", 4, |bytes, out| each(bytes, out, f32::from_be_bytes)),
    coding(CODEC_ID_PCM_F64LE, "pcm_f64le", 8, |bytes, out| each(bytes, out, |sample| f64::from_le_bytes(sample) as f32)),
    coding(CODEC_ID_PCM_F64BE, "pcm_f64be", 8, |bytes, out| each(bytes, out, |sample| f64::from_be_bytes(sample) as f32)),
    coding(CODEC_ID_PCM_ALAW, "pcm_alaw", 1, |bytes, out| each(bytes, out, |[byte]| short(a_law(byte)))),
    coding(CODEC_ID_PCM_MULAW, "pcm_mulaw", 1, |bytes, out| each(bytes, out, |[byte]| short(mu_law(byte)))),
];

/// The coding of this name, if it is one of PCM.
pub(super) fn coding_of(id: AudioCodecId) -> Option<&'static Coding> {
    CODINGS.iter().find(|coding| coding.id == id)
}

/// Samples as they are written, each on its own.
pub(super) struct PcmSamples {
    coding: &'static Coding,
    spec: PcmSpec,
    samples: Vec<f32>,
}

impl PcmSamples {
    pub(super) fn open(coding: &'static Coding, params: &AudioCodecParameters) -> Result<Self> {
        let channels = params.channels.as_ref().map(|channels| channels.count());
        let (Some(rate), Some(channels)) = (params.sample_rate, channels) else {
            return Err(Fault::corrupt("PCM without a layout"));
        };
        Ok(Self {
            coding,
            spec: limits::spec(rate, channels as u32)?,
            samples: Vec::new(),
        })
    }
}

impl PacketDecoder for PcmSamples {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn decode(
        &mut self,
        packet: EncodedPacket<'_>,
    ) -> std::result::Result<Decoded<'_>, PacketError> {
        self.samples.clear();
        memory::reserve(&mut self.samples, packet.data.len() / self.coding.bytes)
            .map_err(|error| PacketError::Failed(Cow::Owned(error.to_string())))?;
        (self.coding.append)(packet.data, &mut self.samples);
        Ok(Decoded::interleaved(self.spec, &self.samples))
    }

    fn reset(&mut self) {}
}

fn each<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, sample: impl Fn([u8; N]) -> f32) {
    let (samples, _) = bytes.as_chunks();
    out.extend(samples.iter().map(|bytes| sample(*bytes)));
}

fn short(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// Also for 24 bits, which stand in the upper ones.
fn long(sample: i32) -> f32 {
    sample as f32 / 2_147_483_648.0
}

/// ITU-T G.711 §3.2, table 1: every other bit is inverted; a sign, three bits of exponent, four of mantissa.
fn a_law(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let (exponent, mantissa) = (code >> 4 & 7, i16::from(code & 15));
    let size = match exponent {
        0 => mantissa << 4 | 8,
        _ => (mantissa << 4 | 0x108) << (exponent - 1),
    };
    if code & 0x80 != 0 { size } else { -size }
}

/// ITU-T G.711 §3.3, table 2: all bits are inverted, and what is coded is larger than the sample by 33 steps of 4.
fn mu_law(byte: u8) -> i16 {
    const BIAS: i16 = 33 << 2;
    let code = !byte;
    let (exponent, mantissa) = (code >> 4 & 7, i16::from(code & 15));
    let size = (((mantissa << 3) + BIAS) << exponent) - BIAS;
    if code & 0x80 != 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
    use symphonia::core::packet::PacketRef;
    use symphonia::default::codecs::PcmDecoder;

    use super::*;
    use crate::codec::{PcmCoding, pcm_params};

    fn params(coding: &Coding) -> AudioCodecParameters {
        pcm_params(&PcmCoding {
            id: coding.id,
            spec: limits::spec(48_000, 2).expect("a layout"),
            packet_frames: 0,
            block_frames: 1,
        })
    }

    /// Every byte next to every other one, and what becomes of an uneven end.
    fn bytes() -> Vec<u8> {
        let pairs = (0..=255_u8).flat_map(|first| (0..=255_u8).map(move |second| [first, second]));
        let mut bytes = pairs.flatten().collect::<Vec<_>>();
        bytes.extend([1, 2, 3, 4, 5]);
        bytes
    }

    #[test]
    fn samples_are_those_of_another_decoder() {
        let bytes = bytes();
        for coding in &CODINGS {
            let params = params(coding);
            let mut other = PcmDecoder::try_new(&params, &AudioDecoderOptions::default())
                .expect("a decoder of the same coding");
            assert_eq!(other.codec_info().short_name, coding.name);
            let packet = PacketRef::new(0, 0_i64.into(), 0_u64.into(), &bytes);
            let expected = other.decode_ref(&packet).expect("samples");
            let mut samples = vec![0.0; expected.samples_interleaved()];
            expected.copy_to_slice_interleaved(&mut samples);
            let mut decoder = PcmSamples::open(coding, &params).expect("a decoder");
            let decoded = decoder.decode(EncodedPacket {
                data: &bytes,
                frames: 0,
                position: None,
            });
            let mut ours = Vec::new();
            crate::interleave::append(&decoded.expect("samples"), 0, &mut ours);
            let bits =
                |samples: &[f32]| samples.iter().map(|one| one.to_bits()).collect::<Vec<_>>();
            assert!(bits(&ours) == bits(&samples), "{}", coding.name);
        }
    }
}
