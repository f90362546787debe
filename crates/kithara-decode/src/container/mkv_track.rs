//! What a Matroska track says of its codec (RFC 9559 §5.1.4, the Matroska codec mappings).

use kithara_stream::AudioCodec;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::*;

use super::ebml;
use super::mpeg_header::layer3_settle;
use crate::aac::AacConfig;
use crate::codec::PcmCoding;
use crate::fault::{Fault, Result};
use crate::trim::Trim;
use crate::{PcmSpec, codec, limits, opus};

const AUDIO: u64 = 2;
/// The longest name of a codec looked at.
const MAX_NAME: usize = 64;

/// The audio track of a file.
pub(crate) struct MkvTrack {
    pub(crate) number: u64,
    pub(crate) codec: AudioCodec,
    pub(crate) params: AudioCodecParameters,
    pub(crate) spec: PcmSpec,
    /// Packets begin at multiples of this many frames.
    pub(crate) quantum: Option<u64>,
    /// Packets that vary, but tell by their lengths where they may begin.
    pub(crate) lapped: Option<Lapped>,
    /// Frames of every packet; 0 where they vary.
    pub(crate) packet_frames: u32,
    /// Packets the decoder is given before the wanted one.
    pub(crate) settle: u32,
    /// Nanoseconds that the codec puts in front.
    delay: Option<u64>,
}

impl MkvTrack {
    /// What the track says of its front (RFC 9559 §5.1.4.1.25); its end is said where it is.
    pub(crate) fn trim(&self) -> Option<Trim> {
        self.delay.filter(|delay| *delay > 0).map(|delay| Trim {
            front: self.frames_in(delay),
            total: None,
        })
    }

    /// Nanoseconds in frames, rounded to the nearest.
    pub(crate) fn frames_in(&self, nanos: u64) -> u64 {
        let rate = u128::from(self.spec.sample_rate.get());
        let frames = (u128::from(nanos) * rate + 500_000_000) / 1_000_000_000;
        u64::try_from(frames).unwrap_or(u64::MAX)
    }
}

/// The two lengths of blocks in Vorbis (Vorbis I §4.3.8). A packet brings a quarter of its own block and a quarter of the one
/// before, so that all that follow long blocks begin at the same remainder of half a short one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lapped {
    /// Half of a short block, in frames.
    pub(crate) short: u64,
    /// Half of a long block: what a long packet behind a long one brings.
    pub(crate) long: u64,
}

/// A track as written down.
#[derive(Default)]
struct Entry<'a> {
    number: u64,
    kind: u64,
    codec: &'a [u8],
    private: &'a [u8],
    rate: f64,
    channels: u64,
    bits: u64,
    delay: Option<u64>,
    encoded: bool,
}

/// The first audio track whose codec there is a decoder for; `None` if there is no audio track at all.
pub(crate) fn read_tracks(body: &[u8]) -> Result<Option<MkvTrack>> {
    let mut refused = None;
    for (_, entry) in ebml::children(body).filter(|(id, _)| *id == 0xae) {
        let entry = read_entry(entry);
        if entry.kind != AUDIO {
            continue;
        }
        match entry.open() {
            Ok(track) => return Ok(Some(track)),
            Err(fault) => refused = refused.or(Some(fault)),
        }
    }
    refused.map_or(Ok(None), Err)
}

fn read_entry(body: &[u8]) -> Entry<'_> {
    let mut entry = Entry {
        rate: 8000.0,
        channels: 1,
        ..Entry::default()
    };
    for (id, value) in ebml::children(body) {
        match id {
            0xd7 => entry.number = ebml::unsigned(value),
            0x83 => entry.kind = ebml::unsigned(value),
            0x86 => entry.codec = value,
            0x63a2 => entry.private = value,
            0x56aa => entry.delay = Some(ebml::unsigned(value)),
            0x6d80 => entry.encoded = true,
            0xe1 => {
                for (id, value) in ebml::children(value) {
                    match id {
                        0xb5 => entry.rate = ebml::float(value),
                        0x9f => entry.channels = ebml::unsigned(value),
                        0x6264 => entry.bits = ebml::unsigned(value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    entry
}

impl Entry<'_> {
    fn open(&self) -> Result<MkvTrack> {
        let codec = String::from_utf8_lossy(&self.codec[..self.codec.len().min(MAX_NAME)])
            .trim_end_matches('\0')
            .to_owned();
        if self.encoded {
            return Err(Fault::unsupported(
                "a compressed or encrypted Matroska track",
            ));
        }
        let rate = if (1.0..1e9).contains(&self.rate) {
            self.rate.round() as u32
        } else {
            0
        };
        let spec = limits::spec(rate, u32::try_from(self.channels).unwrap_or(u32::MAX))?;
        let track = |codec, params, quantum: Option<u64>, packet_frames, settle| MkvTrack {
            number: self.number,
            codec,
            params,
            spec,
            quantum,
            lapped: None,
            packet_frames,
            settle,
            delay: self.delay,
        };
        let mpeg_frames = if rate >= 32_000 { 1152 } else { 576 };
        Ok(match codec.as_str() {
            "A_VORBIS" => {
                // Not the comments between the two, which may hold a picture.
                let [ident, setup] = vorbis_headers(self.private)
                    .ok_or_else(|| Fault::corrupt("no Vorbis headers"))?;
                let params = self.params(CODEC_ID_VORBIS, &[ident, setup])?;
                let mut track = track(AudioCodec::Vorbis, params, None, 0, 1);
                track.lapped = ident.get(28).map(|sizes| Lapped {
                    short: 1 << (sizes & 15) >> 1,
                    long: 1 << (sizes >> 4) >> 1,
                });
                track
            }
            "A_FLAC" => {
                let info = self.private.get(8..42).unwrap_or(self.private);
                let block = super::flac_frame::StreamInfo::parse(info)?.constant_block();
                let params = self.params(CODEC_ID_FLAC, &[info])?;
                track(AudioCodec::Flac, params, block, 0, 0)
            }
            "A_AAC" => {
                let config = AacConfig::parse(self.private)
                    .ok_or_else(|| Fault::corrupt("no AAC configuration"))?;
                let params = config.params(self.private)?;
                let frames = config.packet_frames();
                let spec = limits::spec(config.rate, spec.channels.get().into())?;
                MkvTrack {
                    spec,
                    ..track(config.codec(), params, Some(frames.into()), frames, 1)
                }
            }
            "A_ALAC" => {
                let cookie = self
                    .private
                    .get(..4)
                    .ok_or_else(|| Fault::corrupt("ALAC without its cookie"))?;
                let frames = u32::from_be_bytes(codec::array(cookie, 0));
                let params = self.params(CODEC_ID_ALAC, &[self.private])?;
                track(AudioCodec::Alac, params, Some(frames.max(1).into()), 0, 0)
            }
            "A_MPEG/L3" => track(
                AudioCodec::Mp3,
                self.mpeg(CODEC_ID_MP3, spec)?,
                Some(mpeg_frames.into()),
                mpeg_frames,
                layer3_settle(rate, spec.channels.get()) as u32,
            ),
            "A_MPEG/L2" => track(
                AudioCodec::Mp2,
                self.mpeg(CODEC_ID_MP2, spec)?,
                Some(1152),
                1152,
                2,
            ),
            "A_MPEG/L1" => track(
                AudioCodec::Mp1,
                self.mpeg(CODEC_ID_MP1, spec)?,
                Some(384),
                384,
                2,
            ),
            name if name.starts_with("A_PCM/") => {
                let params = codec::pcm_params(&PcmCoding {
                    id: self.pcm(name)?,
                    spec,
                    packet_frames: 65_536,
                    block_frames: 1,
                });
                track(AudioCodec::Pcm, params, None, 0, 0)
            }
            "A_OPUS" => {
                let head = opus::Head::parse(self.private)?;
                let params = head.params(self.private)?;
                let spec = limits::spec(opus::RATE, head.channels.into())?;
                MkvTrack {
                    spec,
                    ..track(AudioCodec::Opus, params, Some(opus::QUANTUM.into()), 0, 0)
                }
            }
            "A_AC3" => return Err(Fault::unsupported("AC-3 in Matroska")),
            "A_EAC3" => return Err(Fault::unsupported("E-AC-3 in Matroska")),
            "A_WAVPACK4" => return Err(Fault::unsupported("WavPack in Matroska")),
            other => return Err(Fault::unsupported(format!("Matroska codec {other}"))),
        })
    }

    fn params(
        &self,
        id: symphonia::core::codecs::audio::AudioCodecId,
        config: &[&[u8]],
    ) -> Result<AudioCodecParameters> {
        let mut params = AudioCodecParameters::new();
        params.for_codec(id);
        if !config.is_empty() {
            params.with_extra_data(codec::config(config)?);
        }
        Ok(params)
    }

    /// MPEG audio has no private data that tells its layout, and no decoder knows it before the first packet.
    fn mpeg(
        &self,
        id: symphonia::core::codecs::audio::AudioCodecId,
        spec: PcmSpec,
    ) -> Result<AudioCodecParameters> {
        let mut params = self.params(id, &[])?;
        params
            .with_sample_rate(spec.sample_rate.get())
            .with_channels(codec::channels(spec.channels.get()));
        Ok(params)
    }

    fn pcm(&self, name: &str) -> Result<symphonia::core::codecs::audio::AudioCodecId> {
        Ok(match (name, self.bits) {
            ("A_PCM/INT/LIT", 8) => CODEC_ID_PCM_U8,
            ("A_PCM/INT/LIT", 16) => CODEC_ID_PCM_S16LE,
            ("A_PCM/INT/LIT", 24) => CODEC_ID_PCM_S24LE,
            ("A_PCM/INT/LIT", 32) => CODEC_ID_PCM_S32LE,
            ("A_PCM/INT/BIG", 16) => CODEC_ID_PCM_S16BE,
            ("A_PCM/INT/BIG", 24) => CODEC_ID_PCM_S24BE,
            ("A_PCM/INT/BIG", 32) => CODEC_ID_PCM_S32BE,
            ("A_PCM/FLOAT/IEEE", 32) => CODEC_ID_PCM_F32LE,
            ("A_PCM/FLOAT/IEEE", 64) => CODEC_ID_PCM_F64LE,
            _ => return Err(Fault::unsupported(format!("{name} of {} bits", self.bits))),
        })
    }
}

/// The identification and setup headers of a Vorbis stream, from the three that are laced together.
fn vorbis_headers(private: &[u8]) -> Option<[&[u8]; 2]> {
    // The number of packets less one, two lengths in groups of 255, then the packets.
    let mut at = 1;
    let mut lengths = [0usize; 2];
    for length in &mut lengths {
        loop {
            let lace = *private.get(at)?;
            (at, *length) = (at + 1, *length + usize::from(lace));
            if lace < 255 {
                break;
            }
        }
    }
    let (ident, rest) = private.get(at..)?.split_at_checked(lengths[0])?;
    let setup = rest.get(lengths[1]..)?;
    Some([ident, setup]).filter(|_| ident.starts_with(b"\x01vorbis"))
}
