//! AAC configurations (ISO/IEC 14496-3 §1.6.2.1) and the marks of what the decoder cannot decode.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;

use crate::fault::{Fault, Result};
use crate::{codec, limits};

/// Sample rates by index.
pub(crate) const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Above this core rate nobody extends the spectrum, and marks of it in the packets are chance.
const SBR_CORE_RATE: u32 = 24_000;

/// An AAC configuration, from an AudioSpecificConfig or an ADTS header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AacConfig {
    /// Of the core: 2 is AAC-LC.
    pub(crate) object_type: u32,
    /// Of the core.
    pub(crate) sample_rate: u32,
    pub(crate) channel_configuration: u32,
    /// Spectral band replication is signalled.
    pub(crate) sbr: bool,
    /// Parametric stereo is signalled.
    pub(crate) ps: bool,
    /// 960 samples to a frame.
    pub(crate) short_frames: bool,
}

impl AacConfig {
    /// Reads an AudioSpecificConfig.
    pub(crate) fn parse(config: &[u8]) -> Option<Self> {
        let mut bits = Bits {
            bytes: config,
            at: 0,
        };
        let mut object_type = bits.object_type()?;
        let mut sample_rate = bits.rate()?;
        let channel_configuration = bits.take(4)?;
        let (mut sbr, mut ps) = (false, false);
        if object_type == 5 || object_type == 29 {
            (sbr, ps) = (true, object_type == 29);
            // The rate of the extension, then the type of the core.
            bits.rate()?;
            object_type = bits.object_type()?;
        }
        let short_frames = matches!(object_type, 1..=4) && bits.take(1)? == 1;
        if !sbr {
            (sbr, ps) = bits.extension();
        }
        sample_rate = sample_rate.max(1);
        Some(Self {
            object_type,
            sample_rate,
            channel_configuration,
            sbr,
            ps,
            short_frames,
        })
    }

    /// Finds the AudioSpecificConfig in an MPEG-4 elementary stream descriptor (ISO/IEC 14496-1 §7.2.6.6).
    pub(crate) fn in_descriptor(descriptor: &[u8]) -> Option<Self> {
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
                5 => return Self::parse(body.get(..length)?),
                _ => body.get(length..)?,
            };
        }
    }

    /// The profile by name, where it is not plain AAC-LC in mono or stereo.
    pub(crate) fn unsupported(&self) -> Option<String> {
        let name = match self.object_type {
            _ if self.ps => "HE-AAC v2",
            _ if self.sbr => "HE-AAC",
            2 if self.short_frames => "AAC with 960 samples to a frame",
            2 if !matches!(self.channel_configuration, 1 | 2) => {
                return Some(match self.channel_configuration {
                    0 => "AAC with a channel layout of its own".to_owned(),
                    7 => "AAC of 8 channels".to_owned(),
                    count => format!("AAC of {count} channels"),
                });
            }
            2 => return None,
            1 => "AAC Main",
            3 => "AAC SSR",
            4 => "AAC LTP",
            23 => "AAC-LD",
            39 => "AAC-ELD",
            42 => "xHE-AAC",
            other => return Some(format!("MPEG-4 audio object type {other}")),
        };
        Some(name.to_owned())
    }

    /// What the decoder must know; the profile by name where it cannot decode it.
    pub(crate) fn params(&self) -> Result<AudioCodecParameters> {
        if let Some(name) = self.unsupported() {
            return Err(Fault::unsupported(name));
        }
        let spec = limits::spec(self.sample_rate, self.channel_configuration)?;
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(CODEC_ID_AAC)
            .with_sample_rate(spec.sample_rate.get())
            .with_channels(codec::channels(spec.channels.get()))
            .with_max_frames_per_packet(1024);
        Ok(params)
    }

    /// Whether the core is one that spectral band replication may hide in.
    pub(crate) fn may_hide_sbr(sample_rate: u32) -> bool {
        sample_rate <= SBR_CORE_RATE
    }
}

/// Whether a raw data block ends in a fill element with spectral band replication (§4.4.2.7, `EXT_SBR_DATA`).
///
/// Elements can only be told apart from the front by decoding them; but a block ends in `ID_END` and zeros up to a
/// whole byte, and fill elements come last, so they can be tried from behind. One block may agree by chance, several
/// in a row do not.
pub(crate) fn ends_in_sbr(block: &[u8]) -> bool {
    let Some(last) = block.iter().rposition(|byte| *byte != 0) else {
        return false;
    };
    let end = (last + 1) * 8 - block[last].trailing_zeros() as usize;
    let Some(end) = end.checked_sub(3) else {
        return false;
    };
    let bits = Bits {
        bytes: block,
        at: 0,
    };
    bits.peek(end, 3) == Some(7) && fill_before(bits, end, 4)
}

/// Whether a fill element with the extension ends at this bit, perhaps with `depth` others behind it.
fn fill_before(bits: Bits<'_>, end: usize, depth: u32) -> bool {
    let short = (1..15).map(|count| (count, 7));
    let long = (15..=269).map(|count| (count, 15));
    short.chain(long).any(|(count, head)| {
        let Some(start) = end.checked_sub(count * 8 + head) else {
            return false;
        };
        let matches = bits.peek(start, 3) == Some(6)
            && if head == 7 {
                bits.peek(start + 3, 4) == Some(count as u32)
            } else {
                bits.peek(start + 3, 4) == Some(15)
                    && bits.peek(start + 7, 8) == Some(count as u32 - 14)
            };
        matches
            && match bits.peek(start + head, 4) {
                Some(0xd | 0xe) => true,
                // Plain filling may come behind.
                Some(0) => depth > 0 && fill_before(bits, start, depth - 1),
                _ => false,
            }
    })
}

#[derive(Clone, Copy)]
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn peek(&self, at: usize, count: usize) -> Option<u32> {
        (at..at + count).try_fold(0, |value, bit| {
            let byte = self.bytes.get(bit / 8)?;
            Some(value << 1 | u32::from(byte >> (7 - bit % 8) & 1))
        })
    }

    fn take(&mut self, count: usize) -> Option<u32> {
        let value = self.peek(self.at, count)?;
        self.at += count;
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            other => Some(other),
        }
    }

    fn rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => RATES.get(index as usize).copied(),
        }
    }

    /// The backward compatible signalling behind the configuration: 0x2b7 for replication, 0x548 for stereo.
    fn extension(&mut self) -> (bool, bool) {
        let end = self.bytes.len() * 8;
        let Some(mark) =
            (self.at..end.saturating_sub(16)).find(|at| self.peek(*at, 11) == Some(0x2b7))
        else {
            return (false, false);
        };
        self.at = mark + 11;
        let sbr = self.object_type() == Some(5) && self.take(1) == Some(1);
        let ps =
            sbr && self.rate().is_some() && self.take(11) == Some(0x548) && self.take(1) == Some(1);
        (sbr, ps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_named_by_their_configuration() {
        let name = |config: &[u8]| {
            AacConfig::parse(config)
                .expect("a configuration")
                .unsupported()
        };
        // Type, rate index, channels, then what follows.
        assert_eq!(name(&[0x12, 0x10]), None, "AAC-LC, 44.1 kHz, stereo");
        assert_eq!(name(&[0x12, 0x30]).as_deref(), Some("AAC of 6 channels"));
        assert_eq!(name(&[0x2b, 0x92, 0x08, 0x00]).as_deref(), Some("HE-AAC"));
        assert_eq!(
            name(&[0xeb, 0x8a, 0x08, 0x00]).as_deref(),
            Some("HE-AAC v2")
        );
        // AAC-LC with the extension behind it.
        assert_eq!(
            name(&[0x13, 0x90, 0x56, 0xe5, 0xa0]).as_deref(),
            Some("HE-AAC")
        );
        assert_eq!(name(&[0x0a, 0x10]).as_deref(), Some("AAC Main"));
        assert!(AacConfig::parse(&[0x12]).is_none());
    }

    #[test]
    fn replication_is_found_at_the_end_of_a_block_and_nowhere_else() {
        // Filler, then a fill element of one byte with the extension, then the end, then zeros.
        let block = |payload: u8| {
            let bits = format!("{:08b}110{:04b}{payload:08b}111", 0b1010_0101, 1);
            let padded = format!("{bits:0<32}");
            u32::from_str_radix(&padded, 2).expect("bits").to_be_bytes()
        };
        assert!(ends_in_sbr(&block(0xd5)));
        assert!(ends_in_sbr(&block(0xe5)));
        assert!(!ends_in_sbr(&block(0x05)));
        assert!(!ends_in_sbr(&[]));
        assert!(!ends_in_sbr(&[0, 0, 0]));
    }
}
