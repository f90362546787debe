//! AAC configurations (ISO/IEC 14496-3 §1.6.2.1).

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;

use kithara_stream::AudioCodec;

use super::bits::{BitWriter, Bits};
use crate::fault::{Fault, Result};
use crate::{codec, limits};

/// Sample rates by index.
pub(crate) const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Object types (§1.5.1).
const LOW_COMPLEXITY: u8 = 2;
const SBR: u8 = 5;
const PS: u8 = 29;
/// What the extensions behind a configuration begin with.
const SBR_SYNC: u32 = 0x2b7;
const PS_SYNC: u32 = 0x548;

/// What a configuration says of spectral band replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sbr {
    /// There is some.
    Signalled,
    /// There is none, even if packets hold some.
    Excluded,
    /// Nothing: only the packets tell.
    Unknown,
}

/// An AAC configuration, from an AudioSpecificConfig or an ADTS header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AacConfig {
    /// Of the core: 2 is AAC-LC, 42 is USAC. For types below 5 and 29 this is the one they extend.
    pub(crate) object_type: u8,
    pub(crate) core_rate: u32,
    /// Of the output: twice that of the core where replication doubles it.
    pub(crate) rate: u32,
    pub(crate) channel_configuration: u8,
    /// Channels of the output; `None` if only a program config element among the packets tells.
    pub(crate) channels: Option<u16>,
    pub(crate) sbr: Sbr,
    /// Parametric stereo is signalled.
    pub(crate) ps: bool,
    /// Samples of a packet before replication: 1024, or 960.
    pub(crate) frame_len: u16,
    /// Bits up to where extensions follow.
    end: usize,
}

impl AacConfig {
    /// Reads an AudioSpecificConfig; `None` if it ends early or uses a reserved value.
    pub(crate) fn parse(config: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(config);
        let signalled = object_type(&mut bits)?;
        let core_rate = rate(&mut bits)?;
        let channel_configuration = bits.take(4)? as u8;
        let extended = matches!(signalled, SBR | PS);
        let mut config = Self {
            object_type: signalled,
            core_rate,
            rate: core_rate,
            channel_configuration,
            channels: channels(channel_configuration),
            sbr: if extended {
                Sbr::Signalled
            } else {
                Sbr::Unknown
            },
            ps: signalled == PS,
            frame_len: 1024,
            end: 0,
        };
        if extended {
            config.rate = rate(&mut bits)?;
            config.object_type = object_type(&mut bits)?;
        }
        if matches!(config.object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
            config.general_audio(&mut bits)?;
        }
        config.end = bits.position();
        if !extended {
            config.extension(bits);
        }
        config.widen();
        Some(config)
    }

    /// What an ADTS header says (§1.A.2): an object type of one to four, the rest implicit.
    pub(crate) fn from_adts(object_type: u8, core_rate: u32, channel_configuration: u8) -> Self {
        Self {
            object_type,
            core_rate,
            rate: core_rate,
            channel_configuration,
            channels: channels(channel_configuration),
            sbr: Sbr::Unknown,
            ps: false,
            frame_len: 1024,
            end: 16,
        }
    }

    /// Finds the AudioSpecificConfig in an MPEG-4 elementary stream descriptor (ISO/IEC 14496-1 §7.2.6.6).
    pub(crate) fn find(descriptor: &[u8]) -> Option<&[u8]> {
        let mut rest = descriptor;
        loop {
            let (tag, tail) = rest.split_first()?;
            let mut length = 0usize;
            let mut body = tail;
            for _ in 0..4 {
                let (byte, tail) = body.split_first()?;
                length = length << 7 | usize::from(byte & 0x7f);
                body = tail;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            rest = match tag {
                // ES_Descriptor: id and flags, then the descriptors in it.
                3 => body.get(3..)?,
                // DecoderConfigDescriptor: thirteen bytes, then the descriptors in it.
                4 => body.get(13..)?,
                5 => return body.get(..length),
                _ => body.get(length..)?,
            };
        }
    }

    /// GASpecificConfig (§4.4.1).
    fn general_audio(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if bits.take(1)? == 1 {
            self.frame_len = 960;
        }
        if bits.take(1)? == 1 {
            bits.take(14)?;
        }
        let extension = bits.take(1)?;
        if self.channel_configuration == 0 {
            self.channels = program_channels(bits);
        }
        if extension == 1 && matches!(self.object_type, 1..=4) {
            bits.take(1)?;
        }
        Some(())
    }

    /// The backward compatible signalling behind the configuration (§1.6.5), present or not, perhaps behind padding.
    fn extension(&mut self, mut bits: Bits<'_>) -> Option<()> {
        while bits.peek(11)? != SBR_SYNC {
            bits.take(1)?;
        }
        bits.take(11)?;
        if object_type(&mut bits)? != SBR {
            return None;
        }
        if bits.take(1)? == 0 {
            self.sbr = Sbr::Excluded;
            return None;
        }
        self.sbr = Sbr::Signalled;
        self.rate = rate(&mut bits)?;
        self.ps = bits.take(11)? == PS_SYNC && bits.take(1)? == 1;
        Some(())
    }

    /// One channel with replication may become two by parametric stereo at any packet, and then is two from the first.
    fn widen(&mut self) {
        if self.sbr == Sbr::Signalled && self.channels == Some(1) {
            self.channels = Some(2);
        }
    }

    /// The same with what its packets were found to hold.
    pub(crate) fn with_found(mut self, sbr: bool, channels: Option<u16>) -> Self {
        self.channels = self.channels.or(channels);
        if sbr {
            self.sbr = Sbr::Signalled;
            self.rate = self.core_rate.saturating_mul(2);
            self.widen();
        } else {
            self.sbr = Sbr::Excluded;
        }
        self
    }

    /// The profile by which the codec is known.
    pub(crate) fn codec(&self) -> AudioCodec {
        match self.sbr {
            Sbr::Signalled if self.ps => AudioCodec::AacHeV2,
            Sbr::Signalled => AudioCodec::AacHe,
            _ => AudioCodec::AacLc,
        }
    }

    /// Frames of the output that a packet brings.
    pub(crate) fn packet_frames(&self) -> u32 {
        let doubled = self.rate > self.core_rate;
        u32::from(self.frame_len) << u32::from(doubled)
    }

    /// Whether it is plain AAC-LC in mono or stereo, unless packets hold more than they tell.
    pub(crate) fn is_plain(&self) -> bool {
        self.object_type == LOW_COMPLEXITY
            && self.sbr != Sbr::Signalled
            && self.frame_len == 1024
            && matches!(self.channel_configuration, 1 | 2)
    }

    /// The profile by name, where no decoder of this build decodes it.
    pub(crate) fn unsupported(&self) -> Option<String> {
        let name = match self.object_type {
            1 => "AAC Main",
            LOW_COMPLEXITY => return self.unsupported_form(),
            3 => "AAC SSR",
            4 => "AAC LTP",
            17 | 19 => "error-resilient AAC",
            23 => "AAC-LD",
            39 => "AAC-ELD",
            42 => "xHE-AAC",
            other => return Some(format!("MPEG-4 audio object type {other}")),
        };
        Some(name.to_owned())
    }

    /// What is not decoded of AAC-LC and what extends it.
    fn unsupported_form(&self) -> Option<String> {
        let name = match (self.codec(), self.channels) {
            (AudioCodec::AacLc, Some(1 | 2)) => "AAC".to_owned(),
            (AudioCodec::AacLc, Some(channels)) => format!("AAC of {channels} channels"),
            (AudioCodec::AacLc, None) => "AAC with a channel layout of its own".to_owned(),
            (codec, _) => codec.to_string(),
        };
        if self.frame_len != 1024 {
            return Some(format!("{name} with 960 samples to a frame"));
        }
        if self.sbr == Sbr::Signalled
            && self.rate != self.core_rate
            && self.rate != 2 * self.core_rate
        {
            return Some(format!(
                "{name} of {} Hz from {} Hz",
                self.rate, self.core_rate
            ));
        }
        let too_many = self.channels.is_some_and(|channels| channels > 8);
        if too_many || self.is_plain() {
            return too_many.then_some(name);
        }
        (!cfg!(feature = "he-aac")).then(|| format!("{name} (without the feature `he-aac`)"))
    }

    /// What the decoder must know; the profile by name where there is none.
    pub(crate) fn params(&self, config: &[u8]) -> Result<AudioCodecParameters> {
        if let Some(name) = self.unsupported() {
            return Err(Fault::unsupported(name));
        }
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(CODEC_ID_AAC)
            .with_extra_data(codec::config(&[config])?)
            .with_max_frames_per_packet(self.packet_frames().into());
        // Unknown until the packets were looked at.
        if let Some(channels) = self.channels {
            let spec = limits::spec(self.rate, channels.into())?;
            params
                .with_sample_rate(spec.sample_rate.get())
                .with_channels(codec::channels(spec.channels.get()));
        }
        Ok(params)
    }

    /// An AudioSpecificConfig that signals everything: `config`, which this was read from, up to its extensions, and one
    /// that says what was found.
    pub(crate) fn written(&self, config: &[u8]) -> Vec<u8> {
        let mut writer = BitWriter::copy(config, self.end);
        if self.sbr != Sbr::Unknown {
            writer.put(11, SBR_SYNC);
            writer.put(5, SBR.into());
            writer.put(1, u32::from(self.sbr == Sbr::Signalled));
        }
        if self.sbr == Sbr::Signalled {
            match RATES.iter().position(|rate| *rate == self.rate) {
                Some(index) => writer.put(4, index as u32),
                None => {
                    writer.put(4, 15);
                    writer.put(24, self.rate);
                }
            }
            writer.put(11, PS_SYNC);
            writer.put(1, u32::from(self.ps));
        }
        writer.into_bytes()
    }

    /// The AudioSpecificConfig of an ADTS header.
    pub(crate) fn written_adts(&self) -> Vec<u8> {
        let mut writer = BitWriter::default();
        let index = RATES.iter().position(|rate| *rate == self.core_rate);
        writer.put(5, self.object_type.into());
        writer.put(4, index.unwrap_or(0) as u32);
        writer.put(4, self.channel_configuration.into());
        // 1024 samples to a frame, no core coder, no extension.
        writer.put(3, 0);
        writer.into_bytes()
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    match bits.take(5)? {
        31 => Some(32 + bits.take(6)? as u8),
        other => Some(other as u8),
    }
}

fn rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(4)? {
        15 => bits.take(24),
        index => RATES.get(index as usize).copied(),
    }
}

/// Table 1.19.
fn channels(configuration: u8) -> Option<u16> {
    match configuration {
        count @ 1..=6 => Some(count.into()),
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        _ => None,
    }
}

/// The channels of a program_config_element (§4.4.1.1), which is read to its end.
fn program_channels(bits: &mut Bits<'_>) -> Option<u16> {
    bits.take(4 + 2 + 4)?;
    let elements = bits.take(4)? + bits.take(4)? + bits.take(4)?;
    let effects = bits.take(2)?;
    let (data, coupling) = (bits.take(3)?, bits.take(4)?);
    for mixdown_bits in [4, 4, 3] {
        if bits.take(1)? == 1 {
            bits.take(mixdown_bits)?;
        }
    }
    let mut count = effects as u16;
    for _ in 0..elements {
        // Each element is a channel or a channel pair.
        count += if bits.take(1)? == 1 { 2 } else { 1 };
        bits.take(4)?;
    }
    for _ in 0..effects + data {
        bits.take(4)?;
    }
    for _ in 0..coupling {
        bits.take(5)?;
    }
    bits.align();
    let comment = bits.take(8)?;
    for _ in 0..comment {
        bits.take(8)?;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(core_rate: u32, rate: u32, channel_configuration: u8, end: usize) -> AacConfig {
        AacConfig {
            rate,
            end,
            ..AacConfig::from_adts(2, core_rate, channel_configuration)
        }
    }

    #[test]
    fn profiles_are_told_apart() {
        let lc = config(44_100, 44_100, 2, 16);
        let he = AacConfig {
            sbr: Sbr::Signalled,
            ..config(22_050, 44_100, 2, 16)
        };
        let he_v2 = AacConfig {
            ps: true,
            channels: Some(2),
            ..AacConfig {
                sbr: Sbr::Signalled,
                ..config(22_050, 44_100, 1, 16)
            }
        };
        let hierarchical = |config: AacConfig| AacConfig { end: 25, ..config };
        let excluded = AacConfig {
            sbr: Sbr::Excluded,
            ..lc
        };
        for (asc, expected) in [
            (&[0x12, 0x10][..], lc),
            (&[0x12, 0x10, 0x56, 0xe5, 0x00], excluded),
            // Type 5 or 29, then the core.
            (&[0x2b, 0x92, 0x08, 0x00], hierarchical(he)),
            (&[0xeb, 0x8a, 0x08, 0x00], hierarchical(he_v2)),
            // The extension follows the configuration of the core.
            (&[0x13, 0x90, 0x56, 0xe5, 0xa0], he),
            (&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80], he_v2),
        ] {
            assert_eq!(AacConfig::parse(asc), Some(expected), "{asc:02x?}");
        }
        assert_eq!(AacConfig::parse(&[0x12]), None);
        assert_eq!(AacConfig::parse(&[]), None);
        assert_eq!(lc.written_adts(), [0x12, 0x10]);
    }

    #[test]
    fn what_is_found_in_packets_is_written_down_and_read_back() {
        for asc in [
            &[0x13, 0x90][..],
            &[0x13, 0x88],
            // Six channels by a program config element, 96 kHz.
            &[
                0x10, 0x00, 0x04, 0x08, 0x05, 0x02, 0x01, 0x08, 0x80, 0x00, 0x00,
            ],
        ] {
            for sbr in [false, true] {
                let found = AacConfig::parse(asc)
                    .expect("a configuration")
                    .with_found(sbr, None);
                let written = found.written(asc);
                assert_eq!(AacConfig::parse(&written), Some(found), "{written:02x?}");
            }
        }
    }

    #[test]
    fn what_no_decoder_decodes_is_named() {
        let name = |config: &[u8]| {
            AacConfig::parse(config)
                .expect("a configuration")
                .unsupported()
        };
        assert_eq!(name(&[0x12, 0x10]), None, "AAC-LC, 44.1 kHz, stereo");
        assert_eq!(name(&[0x0a, 0x10]).as_deref(), Some("AAC Main"));
        assert_eq!(name(&[0x22, 0x10]).as_deref(), Some("AAC LTP"));
        assert_eq!(name(&[0xba, 0x10]).as_deref(), Some("AAC-LD"));
        let short = name(&[0x12, 0x14]);
        assert_eq!(short.as_deref(), Some("AAC with 960 samples to a frame"));
        let wide = name(&[0x12, 0x68]);
        assert_eq!(wide.as_deref(), Some("AAC of 24 channels"));
        let without = |name: &str| {
            (!cfg!(feature = "he-aac")).then(|| format!("{name} (without the feature `he-aac`)"))
        };
        assert_eq!(name(&[0x12, 0x30]), without("AAC of 6 channels"));
        assert_eq!(name(&[0x2b, 0x92, 0x08, 0x00]), without("HE-AAC"));
        assert_eq!(name(&[0xeb, 0x8a, 0x08, 0x00]), without("HE-AAC v2"));
    }

    #[test]
    fn any_bits_are_read_without_panic() {
        for a in 0..=255 {
            for b in 0..=255 {
                let asc = [a, b, 0x56, 0xe5, 0xa5, 0x48, 0x80, a, b, 0xff];
                if let Some(config) = AacConfig::parse(&asc) {
                    let _ = config.with_found(true, None).written(&asc);
                }
            }
        }
    }
}
