//! Sample descriptions: which codec a track holds, and its configuration (ISO/IEC 14496-12 §8.5.2, §12.2.3).

use kithara_stream::AudioCodec;
use symphonia::core::audio::{Channels, layouts};
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{self, profiles};

use super::boxes::{Bytes, FourCode};
use super::descriptor::StreamDescriptor;
use super::error::Mp4Error;
use super::pcm;
use crate::aac::AacConfig;
use crate::{limits, memory};

/// Rates and channel counts beyond these are refused before anything is allocated for them.
const MAX_RATE: u32 = 768_000;
const MAX_CHANNELS: u32 = 32;
/// ALAC blocks are 4096 frames long by default; the decoder allocates what the cookie says.
const MAX_ALAC_BLOCK: u32 = 65_536;
/// Entries beyond this are not looked at.
const MAX_ENTRIES: u32 = 16;

/// One entry of a sample description table.
#[derive(Clone, Debug)]
pub(crate) struct AudioEntry {
    /// The code of the entry, for naming a codec that `codec` has no name for (`ac-3`, `dtsc`, …).
    pub code: FourCode,
    /// The codec, by profile.
    pub codec: Option<AudioCodec>,
    /// For symphonia's decoders. `codec` is set for AC-3, E-AC-3, AC-4 and DTS too.
    pub params: AudioCodecParameters,
    /// The AudioSpecificConfig, for AAC.
    pub aac: Option<AacConfig>,
    /// Bytes per frame, for PCM.
    pub pcm_frame: Option<u32>,
    /// The protection scheme of an encrypted entry.
    pub protection: Option<FourCode>,
}

impl AudioEntry {
    /// Whether a decoder configured for one can go on with the other.
    pub fn same_config(&self, other: &Self) -> bool {
        let (a, b) = (&self.params, &other.params);
        a.codec == b.codec
            && a.extra_data == b.extra_data
            && a.sample_rate == b.sample_rate
            && a.channels == b.channels
            && self.protection == other.protection
    }
}

/// The audio entries of an `stsd` box (§8.5.2).
pub(super) fn parse_entries(mut stsd: Bytes<'_>) -> Result<Vec<AudioEntry>, Mp4Error> {
    stsd.full_box()?;
    let count = stsd.u32()?;
    let mut entries = Vec::new();
    for _ in 0..count.min(MAX_ENTRIES) {
        let Some(entry) = stsd.next_box()? else { break };
        entries.push(parse_entry(entry)?);
    }
    Ok(entries)
}

/// What the fixed fields of a sound entry say; the codec's own configuration is believed before it.
struct SoundFields {
    version: u16,
    channels: u32,
    bits: u32,
    rate: u32,
    /// `formatSpecificFlags` of a QuickTime version 2 description.
    flags: u32,
}

/// AudioSampleEntry (§12.2.3), or a QuickTime sound description of version 0, 1 or 2.
fn sound_fields(bytes: &mut Bytes<'_>) -> Result<SoundFields, Mp4Error> {
    // Reserved, data reference index.
    bytes.skip(8)?;
    let version = bytes.u16()?;
    bytes.skip(6)?;
    let mut fields = SoundFields {
        version,
        channels: bytes.u16()?.into(),
        bits: bytes.u16()?.into(),
        rate: 0,
        flags: 0,
    };
    bytes.skip(4)?;
    fields.rate = bytes.u32()? >> 16;
    match version {
        1 => {
            bytes.skip(4)?;
            let bytes_per_sample = bytes.u32()?;
            if matches!(bytes_per_sample, 1..=8) {
                fields.bits = 8 * bytes_per_sample;
            }
            bytes.skip(8)?;
        }
        2 => {
            bytes.skip(4)?;
            let rate = f64::from_bits(bytes.u64()?);
            // A saturating cast: a NaN becomes 0 and is refused as such.
            fields.rate = rate as u32;
            fields.channels = bytes.u32()?;
            bytes.skip(4)?;
            fields.bits = bytes.u32()?;
            fields.flags = bytes.u32()?;
            bytes.skip(8)?;
        }
        _ => {}
    }
    Ok(fields)
}

/// The children of an entry that carry a configuration.
#[derive(Default)]
struct Children<'a> {
    esds: Option<Bytes<'a>>,
    flac: Option<Bytes<'a>>,
    alac: Option<Bytes<'a>>,
    opus: Option<Bytes<'a>>,
    /// `pcmC` of ISO/IEC 23003-5.
    pcm: Option<Bytes<'a>>,
    /// QuickTime's byte order flag.
    little_endian: bool,
    original: Option<FourCode>,
    scheme: Option<FourCode>,
}

impl<'a> Children<'a> {
    fn read(bytes: &mut Bytes<'a>, in_wave: bool) -> Result<Self, Mp4Error> {
        let mut children = Self::default();
        while let Some(mut child) = bytes.next_box()? {
            match &child.kind().0 {
                b"esds" => children.esds = Some(child),
                b"dfLa" => children.flac = Some(child),
                b"alac" => children.alac = Some(child),
                b"dOps" => children.opus = Some(child),
                b"pcmC" => children.pcm = Some(child),
                b"enda" => children.little_endian = child.u16()? != 0,
                b"sinf" => children.protection(child)?,
                // QuickTime's siDecompressionParam; one level, so that a nest of them ends.
                b"wave" if !in_wave => {
                    let inner = Self::read(&mut child, true)?;
                    children.esds = children.esds.or(inner.esds);
                    children.alac = children.alac.or(inner.alac);
                    children.little_endian |= inner.little_endian;
                }
                _ => {}
            }
        }
        Ok(children)
    }

    /// ProtectionSchemeInfoBox (§8.12).
    fn protection(&mut self, mut sinf: Bytes<'_>) -> Result<(), Mp4Error> {
        while let Some(mut child) = sinf.next_box()? {
            match &child.kind().0 {
                b"frma" => self.original = Some(child.code()?),
                b"schm" => {
                    child.full_box()?;
                    self.scheme = Some(child.code()?);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn parse_entry(mut bytes: Bytes<'_>) -> Result<AudioEntry, Mp4Error> {
    let code = bytes.kind();
    let mut entry = AudioEntry {
        code,
        codec: None,
        params: AudioCodecParameters::new(),
        aac: None,
        pcm_frame: None,
        protection: None,
    };
    let fields = sound_fields(&mut bytes)?;
    let children = Children::read(&mut bytes, false)?;
    // `drms` is FairPlay before common encryption; it has no box that says so.
    if matches!(&code.0, b"enca" | b"drms") || children.scheme.is_some() {
        entry.protection = Some(children.scheme.unwrap_or(code));
    }
    entry.set_stream(fields.rate, fields.channels);
    // The scheme of what can't be played anyhow is worth more than a complaint about its configuration.
    let configured = entry
        .configure(children.original.unwrap_or(code), &fields, &children)
        .and_then(|()| entry.check());
    if entry.protection.is_none() {
        configured?;
    }
    Ok(entry)
}

impl AudioEntry {
    fn set_stream(&mut self, rate: u32, channels: u32) {
        self.params.sample_rate = (rate > 0).then_some(rate);
        self.params.channels = u16::try_from(channels).ok().and_then(channel_layout);
    }

    fn configure(
        &mut self,
        code: FourCode,
        fields: &SoundFields,
        children: &Children<'_>,
    ) -> Result<(), Mp4Error> {
        match &code.0 {
            b"mp4a" => match children.esds {
                Some(esds) => self.elementary_stream(&StreamDescriptor::parse(esds)?)?,
                None => return Err(Mp4Error::malformed(code, "no esds box")),
            },
            b".mp3" | b"ms\0U" => self.known(AudioCodec::Mp3, well_known::CODEC_ID_MP3),
            b"fLaC" => self.flac(
                children
                    .flac
                    .ok_or_else(|| Mp4Error::malformed(code, "no dfLa box"))?,
            )?,
            b"alac" => self.alac(
                children
                    .alac
                    .ok_or_else(|| Mp4Error::malformed(code, "no alac box"))?,
            )?,
            b"Opus" => self.opus(
                children
                    .opus
                    .ok_or_else(|| Mp4Error::malformed(code, "no dOps box"))?,
            )?,
            b"ac-3" => self.params.codec = well_known::CODEC_ID_AC3,
            b"ec-3" => self.params.codec = well_known::CODEC_ID_EAC3,
            b"ac-4" => self.params.codec = well_known::CODEC_ID_AC4,
            b"dtsc" | b"dtse" | b"dtsh" | b"dtsl" => self.params.codec = well_known::CODEC_ID_DCA,
            _ => self.linear(code, fields, children)?,
        }
        Ok(())
    }

    fn known(&mut self, codec: AudioCodec, id: symphonia::core::codecs::audio::AudioCodecId) {
        self.codec = Some(codec);
        self.params.codec = id;
    }

    /// By ObjectTypeIndication: 0x40 is MPEG-4 audio, 0x66 to 0x68 MPEG-2 AAC, 0x69 and 0x6b MPEG-1/2 audio.
    fn elementary_stream(&mut self, descriptor: &StreamDescriptor<'_>) -> Result<(), Mp4Error> {
        match descriptor.object_type {
            0x40 | 0x66..=0x68 => self.aac(descriptor.specific.unwrap_or_default())?,
            0x69 | 0x6b => self.known(AudioCodec::Mp3, well_known::CODEC_ID_MP3),
            0xa5 => self.params.codec = well_known::CODEC_ID_AC3,
            0xa6 => self.params.codec = well_known::CODEC_ID_EAC3,
            0xa9..=0xac => self.params.codec = well_known::CODEC_ID_DCA,
            _ => {}
        }
        Ok(())
    }

    fn aac(&mut self, asc: &[u8]) -> Result<(), Mp4Error> {
        self.params.codec = well_known::CODEC_ID_AAC;
        self.params.extra_data = Some(configuration(asc)?);
        self.aac = AacConfig::parse(asc);
        let Some(config) = self.aac else {
            return Ok(());
        };
        // Object types above AAC: 32 to 34 are MPEG-1 layers, 36 ALS, 42 USAC.
        match config.object_type {
            32 => self.known(AudioCodec::Mp1, well_known::CODEC_ID_MP1),
            33 => self.known(AudioCodec::Mp2, well_known::CODEC_ID_MP2),
            34 => self.known(AudioCodec::Mp3, well_known::CODEC_ID_MP3),
            _ => self.advanced_audio(config),
        }
        Ok(())
    }

    fn advanced_audio(&mut self, config: AacConfig) {
        self.codec = (config.object_type == 2).then(|| config.codec());
        self.params.profile = match (self.codec, config.object_type) {
            (Some(AudioCodec::AacLc), _) => Some(profiles::CODEC_PROFILE_AAC_LC),
            (Some(AudioCodec::AacHe), _) => Some(profiles::CODEC_PROFILE_AAC_HE),
            (Some(AudioCodec::AacHeV2), _) => Some(profiles::CODEC_PROFILE_AAC_HE_V2),
            (_, 42) => Some(profiles::CODEC_PROFILE_AAC_USAC),
            _ => None,
        };
        self.params.max_frames_per_packet = Some(config.packet_frames().into());
        self.params.sample_rate = Some(config.rate);
        if let Some(channels) = config.channels {
            self.params.channels = channel_layout(channels);
        }
    }

    /// FLACSpecificBox: the STREAMINFO block is the decoder's configuration (RFC 9639 §8.2).
    fn flac(&mut self, mut bytes: Bytes<'_>) -> Result<(), Mp4Error> {
        self.known(AudioCodec::Flac, well_known::CODEC_ID_FLAC);
        bytes.full_box()?;
        if bytes.u8()? & 0x7f != 0 || bytes.u24()? != 34 {
            return Err(bytes.fail("its first block is not STREAMINFO"));
        }
        let mut info = bytes.sub(34)?;
        self.params.extra_data = Some(configuration(info.rest())?);
        info.skip(2)?;
        self.params.max_frames_per_packet = Some(info.u16()?.into());
        info.skip(6)?;
        let packed = info.u64()?;
        self.set_stream((packed >> 44) as u32, (packed >> 41 & 7) as u32 + 1);
        self.params.bits_per_sample = Some((packed >> 36 & 31) as u32 + 1);
        Ok(())
    }

    /// The magic cookie of ALAC, with or without the version and flags of a full box.
    fn alac(&mut self, mut bytes: Bytes<'_>) -> Result<(), Mp4Error> {
        self.known(AudioCodec::Alac, well_known::CODEC_ID_ALAC);
        bytes.full_box()?;
        let cookie = bytes.rest();
        self.params.extra_data = Some(configuration(cookie)?);
        let block = bytes.u32()?;
        bytes.skip(1)?;
        let bits = u32::from(bytes.u8()?);
        bytes.skip(3)?;
        let channels = bytes.u8()?;
        bytes.skip(10)?;
        let rate = bytes.u32()?;
        if block == 0 || block > MAX_ALAC_BLOCK {
            return Err(Mp4Error::Limit {
                what: "the block length of an ALAC stream",
                limit: MAX_ALAC_BLOCK.into(),
            });
        }
        self.params.max_frames_per_packet = Some(block.into());
        self.params.bits_per_sample = Some(bits);
        self.set_stream(rate, channels.into());
        Ok(())
    }

    /// OpusSpecificBox, rewritten as the identification header of RFC 7845 §5.1, which decoders are configured with.
    /// The two hold the same fields, but the box is big-endian, has version 0 and no magic.
    fn opus(&mut self, mut bytes: Bytes<'_>) -> Result<(), Mp4Error> {
        self.known(AudioCodec::Opus, well_known::CODEC_ID_OPUS);
        if bytes.u8()? != 0 {
            return Err(Mp4Error::Unsupported {
                what: "the version of an Opus sample entry",
            });
        }
        let channels = bytes.u8()?;
        let pre_skip = bytes.u16()?;
        let input_rate = bytes.u32()?;
        let gain = bytes.u16()?;
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels);
        head.extend(pre_skip.to_le_bytes());
        head.extend(input_rate.to_le_bytes());
        head.extend(gain.to_le_bytes());
        // The mapping family and its table are bytes in both: two bytes and one for each channel.
        head.extend(bytes.rest().iter().take(2 + 255));
        self.params.extra_data = Some(head.into());
        self.params.max_frames_per_packet = Some(5760);
        // Opus is always decoded at 48 kHz; the input rate is only a note of the encoder.
        self.set_stream(48_000, channels.into());
        Ok(())
    }

    fn linear(
        &mut self,
        code: FourCode,
        fields: &SoundFields,
        children: &Children<'_>,
    ) -> Result<(), Mp4Error> {
        let mut bits = fields.bits;
        let mut little_endian = children.little_endian;
        if let Some(mut pcm) = children.pcm {
            pcm.full_box()?;
            little_endian = pcm.u8()? & 1 != 0;
            bits = pcm.u8()?.into();
        }
        let format = match (&code.0, fields.version) {
            (b"lpcm", 2) => pcm::described(bits, fields.flags),
            _ => pcm::named(code, bits, little_endian),
        };
        let Some((id, bytes_per_sample)) = format else {
            return Ok(());
        };
        self.known(AudioCodec::Pcm, id);
        self.params.max_frames_per_packet = Some(pcm::PACKET_FRAMES);
        self.pcm_frame = bytes_per_sample
            .checked_mul(fields.channels)
            .filter(|_| fields.channels <= MAX_CHANNELS);
        Ok(())
    }

    fn check(&self) -> Result<(), Mp4Error> {
        if self.params.sample_rate.is_some_and(|rate| rate > MAX_RATE) {
            return Err(Mp4Error::Unsupported {
                what: "a sample rate over 768 kHz",
            });
        }
        match &self.params.channels {
            None => Err(Mp4Error::Unsupported {
                what: "this number of channels",
            }),
            Some(_) => Ok(()),
        }
    }
}

/// A codec's configuration, of a size that is copied without a thought.
fn configuration(bytes: &[u8]) -> Result<Box<[u8]>, Mp4Error> {
    if bytes.len() > limits::CONFIG_BYTES {
        return Err(Mp4Error::Limit {
            what: "the codec's configuration",
            limit: limits::CONFIG_BYTES as u64,
        });
    }
    Ok(memory::copy(bytes)?.into_boxed_slice())
}

/// The usual layout of a channel count; `None` for 0 and for more than 32. Decoders that know better say so.
fn channel_layout(count: u16) -> Option<Channels> {
    Some(match count {
        0 => return None,
        1 => layouts::CHANNEL_LAYOUT_MONO,
        2 => layouts::CHANNEL_LAYOUT_STEREO,
        3 => layouts::CHANNEL_LAYOUT_3P0,
        4 => layouts::CHANNEL_LAYOUT_4P0_QUAD,
        5 => layouts::CHANNEL_LAYOUT_5P0,
        6 => layouts::CHANNEL_LAYOUT_5P1,
        7 => layouts::CHANNEL_LAYOUT_6P1,
        8 => layouts::CHANNEL_LAYOUT_7P1,
        n if u32::from(n) <= MAX_CHANNELS => Channels::Discrete(n),
        _ => return None,
    })
}
