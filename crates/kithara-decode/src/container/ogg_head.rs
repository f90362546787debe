//! The headers of a stream of audio in Ogg: Vorbis (Vorbis I §4.2), Opus (RFC 7845 §5) and FLAC (RFC 9639 §10.1).

use kithara_stream::AudioCodec;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_VORBIS};

use super::flac_frame::StreamInfo;
use super::ogg_extent::Extent;
use super::ogg_packets::Packets;
use super::ogg_page;
use super::tags;
use super::vorbis::BlockSizes;
use crate::fault::{Fault, Result};
use crate::{PcmSpec, TrackMetadata, codec, limits, memory, opus};

/// Pages before the first of the audio.
const MAX_HEADER_PAGES: usize = 4096;

/// What the headers of a stream say.
pub(super) struct Head {
    pub(super) codec: AudioCodec,
    pub(super) params: AudioCodecParameters,
    pub(super) spec: PcmSpec,
    pub(super) metadata: TrackMetadata,
    /// The header of Opus, whose packets tell how many frames they bring.
    pub(super) opus: Option<opus::Head>,
    /// How many frames a packet of Vorbis brings.
    pub(super) blocks: Option<BlockSizes>,
    /// How many frames a packet brings at most, where the headers tell.
    pub(super) most: i64,
    /// What the headers let expect of how long it is.
    pub(super) promise: Promise,
}

/// What headers say of the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    Nothing,
    /// Frames.
    Frames(u64),
    /// Bits per second, as they were meant to be.
    BitRate(u32),
}

impl Head {
    /// Reads the headers of the first stream of audio that is decoded; behind them its packets begin.
    pub(super) fn read(packets: &mut Packets) -> Result<Self> {
        let ident = packets.find_audio()?;
        let head = if ident.starts_with(b"\x01vorbis") {
            Self::vorbis(packets, &ident)?
        } else if ident.starts_with(b"OpusHead") {
            Self::opus(packets, &ident)?
        } else {
            Self::flac(packets, &ident)?
        };
        packets.begin_here();
        Ok(head)
    }

    /// Whether a packet settles the decoder and gives no frames.
    pub(super) fn laps(&self) -> bool {
        self.codec == AudioCodec::Vorbis
    }

    /// Whether packets tell how many frames they bring.
    pub(super) fn counts(&self) -> bool {
        self.blocks.is_some() || self.opus.is_some()
    }

    fn vorbis(packets: &mut Packets, ident: &[u8]) -> Result<Self> {
        if ident.len() < 30 {
            return Err(Fault::corrupt("a short header of Vorbis"));
        }
        let mut metadata = TrackMetadata::default();
        let rate = u32::from_le_bytes(codec::array(ident, 12));
        let spec = limits::spec(rate, ident[11].into())?;
        let comment = packets.tags(Extent::comments(7))?;
        tags::vorbis_comment(comment.get(7..).unwrap_or_default(), &mut metadata);
        let setup = packets.header()?;
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(CODEC_ID_VORBIS)
            .with_extra_data(codec::config(&[ident, &setup])?);
        Ok(Self {
            codec: AudioCodec::Vorbis,
            params,
            spec,
            metadata,
            opus: None,
            blocks: BlockSizes::parse(ident, &setup),
            // The higher half of byte 28 is the size of a long block, as a power of two; a packet brings half of that.
            most: 1 << (ident[28] >> 4) >> 1,
            // Signed, and 0 or less where the encoder aimed at none.
            promise: match i32::from_le_bytes(codec::array(ident, 20)) {
                rate @ 1.. => Promise::BitRate(rate.unsigned_abs()),
                _ => Promise::Nothing,
            },
        })
    }

    fn opus(packets: &mut Packets, ident: &[u8]) -> Result<Self> {
        let mut metadata = TrackMetadata::default();
        let head = opus::Head::parse(ident)?;
        let params = head.params(ident)?;
        let comment = packets.tags(Extent::comments(8))?;
        tags::vorbis_comment(comment.get(8..).unwrap_or_default(), &mut metadata);
        Ok(Self {
            codec: AudioCodec::Opus,
            params,
            spec: limits::spec(opus::RATE, head.channels.into())?,
            metadata,
            opus: Some(head),
            blocks: None,
            most: 0,
            promise: Promise::Nothing,
        })
    }

    fn flac(packets: &mut Packets, ident: &[u8]) -> Result<Self> {
        let mut metadata = TrackMetadata::default();
        packets.sums = true;
        // "\x7fFLAC", two bytes of version, two of header count, "fLaC", the first block's header.
        let info = StreamInfo::parse(ident.get(17..).unwrap_or_default())?;
        let spec = limits::spec(info.sample_rate, info.channels)?;
        loop {
            let block = packets.tags(Extent::block())?;
            if block.first().is_some_and(|kind| kind & 0x7f == 4) {
                tags::vorbis_comment(block.get(4..).unwrap_or_default(), &mut metadata);
            }
            if let [kind, high, middle, low, front @ ..] = &block[..]
                && kind & 0x7f == 6
            {
                let length = u32::from_be_bytes([0, *high, *middle, *low]);
                tags::flac_picture(front, length.into(), &mut metadata);
            }
            if block.first().is_none_or(|kind| kind & 0x80 != 0) {
                break;
            }
        }
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(CODEC_ID_FLAC)
            .with_extra_data(info.block.to_vec().into_boxed_slice());
        Ok(Self {
            codec: AudioCodec::Flac,
            params,
            spec,
            metadata,
            opus: None,
            blocks: None,
            most: 0,
            promise: info.total.map_or(Promise::Nothing, Promise::Frames),
        })
    }
}

impl Packets {
    /// The identification packet of the first stream of audio, whose codec must be known.
    fn find_audio(&mut self) -> Result<Vec<u8>> {
        let mut junk = 0;
        let mut other = None;
        for _ in 0..MAX_HEADER_PAGES {
            if !ogg_page::read(&mut self.input, &mut self.page, &mut junk, &mut self.waste)? {
                match self.beside.is_empty() {
                    true => return Err(Fault::Truncated(None)),
                    false => break,
                }
            }
            if !self.page.first {
                break;
            }
            let body = &self.page.body;
            let marks: [&[u8]; 3] = [b"\x01vorbis", b"OpusHead", b"\x7fFLAC"];
            if marks.iter().any(|mark| body.starts_with(mark)) {
                self.serial = self.page.serial;
                self.expected = Some(self.page.sequence.wrapping_add(1));
                self.next = self.page.ends.len();
                return Ok(memory::copy(body)?);
            }
            if body.starts_with(b"Speex   ") {
                other = Some("Speex");
            } else if body.starts_with(b"PCM     ") {
                other = Some("PCM in Ogg");
            }
            self.note_beside(self.page.serial)?;
        }
        Err(Fault::unsupported(
            other.unwrap_or("Ogg without Vorbis, Opus or FLAC"),
        ))
    }

    fn header(&mut self) -> Result<Vec<u8>> {
        match self.advance()? {
            Some(at) => Ok(memory::copy(self.packet(at))?),
            None => Err(Fault::Truncated(None)),
        }
    }

    /// The front of a header packet of tags.
    fn tags(&mut self, extent: Extent) -> Result<Vec<u8>> {
        let far = self.input.is_remote() && self.input.is_seekable();
        self.extent = Some(if far {
            extent
        } else {
            extent.keeping(limits::TAGS_IN_TEXT)
        });
        let packet = self.header();
        self.extent = None;
        // It may have been large, and no other is.
        (self.partial, self.whole) = (Vec::new(), Vec::new());
        packet
    }
}
