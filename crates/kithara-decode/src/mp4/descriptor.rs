//! The elementary stream descriptor of an `esds` box (ISO/IEC 14496-1 §7.2.6) and the AudioSpecificConfig in it
//! (ISO/IEC 14496-3 §1.6.2.1).

use super::boxes::Bytes;
use super::error::Mp4Error;

/// What an `esds` box says of its stream.
#[derive(Debug, Default)]
pub(super) struct StreamDescriptor<'a> {
    /// ObjectTypeIndication (14496-1 §7.2.6.6, registered at mp4ra.org).
    pub object_type: u8,
    /// DecoderSpecificInfo, for AAC the AudioSpecificConfig.
    pub specific: Option<&'a [u8]>,
}

const ES_DESCRIPTOR: u8 = 3;
const DECODER_CONFIG: u8 = 4;
const DECODER_SPECIFIC: u8 = 5;

impl<'a> StreamDescriptor<'a> {
    /// Reads the body of an `esds` box.
    pub fn parse(mut esds: Bytes<'a>) -> Result<Self, Mp4Error> {
        esds.full_box()?;
        let mut es =
            find(&mut esds, ES_DESCRIPTOR)?.ok_or_else(|| esds.fail("no ES descriptor"))?;
        es.skip(2)?;
        let flags = es.u8()?;
        if flags & 0x80 != 0 {
            es.skip(2)?;
        }
        if flags & 0x40 != 0 {
            let len = es.u8()?;
            es.skip(usize::from(len))?;
        }
        if flags & 0x20 != 0 {
            es.skip(2)?;
        }
        let mut config =
            find(&mut es, DECODER_CONFIG)?.ok_or_else(|| esds.fail("no decoder configuration"))?;
        let object_type = config.u8()?;
        // Stream type, buffer size, maximum and average bit rate.
        config.skip(12)?;
        let specific = find(&mut config, DECODER_SPECIFIC)?.map(|bytes| bytes.rest());
        Ok(Self {
            object_type,
            specific,
        })
    }
}

/// The next descriptor with `tag`, others skipped. Lengths are up to four 7-bit groups (§8.3.3).
fn find<'a>(bytes: &mut Bytes<'a>, tag: u8) -> Result<Option<Bytes<'a>>, Mp4Error> {
    while bytes.rest().len() >= 2 {
        let found = bytes.u8()?;
        let mut len = 0;
        for _ in 0..4 {
            let group = bytes.u8()?;
            len = (len << 7) | usize::from(group & 0x7f);
            if group & 0x80 == 0 {
                break;
            }
        }
        // Some writers claim more than there is in the outermost descriptors.
        let body = bytes.sub(len.min(bytes.rest().len()))?;
        if found == tag {
            return Ok(Some(body));
        }
    }
    Ok(None)
}

/// An AudioSpecificConfig, as far as it decides whether and how the stream can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The audio object type of the core: 2 is AAC-LC, 42 is USAC. For explicit SBR (5) and PS (29) this is the type
    /// below them.
    pub object_type: u8,
    /// The rate of the core, half the output rate where `sbr` is set.
    pub core_rate: u32,
    /// The output rate.
    pub rate: u32,
    /// The output channels: 2 where `ps` is set. `None` if only a program config element in the stream tells.
    pub channels: Option<u16>,
    /// Spectral band replication is signalled: HE-AAC.
    pub sbr: bool,
    /// Parametric stereo is signalled: HE-AAC v2.
    pub ps: bool,
    /// Frames per packet before SBR: 1024, or 960.
    pub frame_len: u16,
}

const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

const SBR: u8 = 5;
const PS: u8 = 29;

impl AacConfig {
    /// Reads an AudioSpecificConfig; `None` if it ends early or uses a reserved value.
    pub fn parse(asc: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes: asc, pos: 0 };
        let signalled = object_type(&mut bits)?;
        let core_rate = rate(&mut bits)?;
        let channel_config = bits.get(4)?;
        let mut config = Self {
            object_type: signalled,
            core_rate,
            rate: core_rate,
            channels: channels(channel_config),
            sbr: matches!(signalled, SBR | PS),
            ps: signalled == PS,
            frame_len: 1024,
        };
        if config.sbr {
            config.rate = rate(&mut bits)?;
            config.object_type = object_type(&mut bits)?;
        }
        if matches!(config.object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
            config.general_audio(&mut bits, channel_config)?;
        }
        if !config.sbr {
            config.extension(bits);
        }
        if config.ps && config.channels == Some(1) {
            config.channels = Some(2);
        }
        Some(config)
    }

    /// GASpecificConfig (14496-3 §4.4.1).
    fn general_audio(&mut self, bits: &mut Bits<'_>, channel_config: u32) -> Option<()> {
        if bits.get(1)? == 1 {
            self.frame_len = 960;
        }
        if bits.get(1)? == 1 {
            bits.get(14)?;
        }
        bits.get(1)?;
        if channel_config == 0 {
            self.channels = program_channels(bits);
        }
        Some(())
    }

    /// The backward-compatible signalling of SBR and PS behind the config (14496-3 §1.6.5), present or not.
    fn extension(&mut self, mut bits: Bits<'_>) -> Option<()> {
        if bits.get(11)? != 0x2b7 || object_type(&mut bits)? != SBR || bits.get(1)? == 0 {
            return None;
        }
        self.sbr = true;
        self.rate = rate(&mut bits)?;
        self.ps = bits.get(11)? == 0x548 && bits.get(1)? == 1;
        Some(())
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    let short = bits.get(5)?;
    let value = if short == 31 {
        32 + bits.get(6)?
    } else {
        short
    };
    u8::try_from(value).ok()
}

fn rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.get(4)? {
        15 => bits.get(24),
        index => RATES.get(usize::try_from(index).ok()?).copied(),
    }
}

/// Table 1.19 of 14496-3.
fn channels(config: u32) -> Option<u16> {
    match config {
        n @ 1..=6 => u16::try_from(n).ok(),
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        _ => None,
    }
}

/// The channels of a program_config_element (14496-3 §4.4.1.1).
fn program_channels(bits: &mut Bits<'_>) -> Option<u16> {
    bits.get(4 + 2 + 4)?;
    let positioned = [bits.get(4)?, bits.get(4)?, bits.get(4)?];
    let effects = bits.get(2)?;
    let unheard = bits.get(3 + 4)?;
    let _ = unheard;
    for mixdown_bits in [4, 4, 3] {
        if bits.get(1)? == 1 {
            bits.get(mixdown_bits)?;
        }
    }
    let mut count = u16::try_from(effects).ok()?;
    for _ in 0..positioned.iter().sum() {
        // Each element is a channel or a channel pair.
        count += if bits.get(1)? == 1 { 2 } else { 1 };
        bits.get(4)?;
    }
    Some(count)
}

/// Most significant bit first.
#[derive(Clone, Copy)]
struct Bits<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 32.
    fn get(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.pos / 8)?;
            value = (value << 1) | u32::from(byte >> (7 - self.pos % 8) & 1);
            self.pos += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(object_type: u8, core_rate: u32, rate: u32, channels: u16) -> AacConfig {
        AacConfig {
            object_type,
            core_rate,
            rate,
            channels: Some(channels),
            sbr: false,
            ps: false,
            frame_len: 1024,
        }
    }

    #[test]
    fn profiles_are_told_apart() {
        let lc = config(2, 44_100, 44_100, 2);
        let he = AacConfig {
            sbr: true,
            ..config(2, 22_050, 44_100, 2)
        };
        let he_v2 = AacConfig {
            sbr: true,
            ps: true,
            ..config(2, 22_050, 44_100, 2)
        };
        for (asc, expected) in [
            (&[0x12, 0x10][..], lc),
            // LC with a sync extension that says: no SBR.
            (&[0x12, 0x10, 0x56, 0xe5, 0x00], lc),
            // Hierarchical: type 5, then the core.
            (&[0x2b, 0x92, 0x08, 0x00], he),
            // Backward compatible: the extension follows the LC config.
            (&[0x13, 0x90, 0x56, 0xe5, 0xa0], he),
            (&[0xeb, 0x8a, 0x08, 0x00], he_v2),
            (&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80], he_v2),
        ] {
            assert_eq!(AacConfig::parse(asc), Some(expected), "{asc:02x?}");
        }
        assert_eq!(AacConfig::parse(&[0x12]), None);
        assert_eq!(AacConfig::parse(&[]), None);
    }

    #[test]
    fn any_bits_are_read_without_panic() {
        for a in 0..=255 {
            for b in 0..=255 {
                let _ = AacConfig::parse(&[a, b, 0x56, 0xe5, 0xa5, 0x48, 0x80, a, b, 0xff]);
            }
        }
    }
}
