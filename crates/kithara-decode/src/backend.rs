//! Decoders of other makers: what they implement to stand in for the built-in ones.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use kithara_stream::AudioCodec;
use symphonia::core::audio::GenericAudioBufferRef;

use crate::PcmSpec;

/// The name of the built-in decoders, for [`BackendPreference::Named`].
pub const BUILT_IN: &str = "built-in";

/// Something that opens decoders: of a system, of a device, or of the user's own making.
///
/// Containers, seeking, trimming and positions stay with this crate: a backend sees encoded packets in order and gives the
/// frames of each. It is asked on the decode thread, may block, and is never called on an audio thread. A panic in it ends
/// its own stream with [`WorkerFault::Panicked`](crate::WorkerFault::Panicked) and nothing else.
///
/// ```
/// use kithara_decode::{
///     BackendKind, CodecBackend, CodecParams, Decoded, DecoderOptions, EncodedPacket, PacketDecoder, PacketError,
///     PcmSpec, Refusal,
/// };
///
/// /// Signed bytes.
/// #[derive(Debug)]
/// struct SignedBytes;
///
/// struct SignedBytesDecoder {
///     spec: PcmSpec,
///     samples: Vec<f32>,
/// }
///
/// impl CodecBackend for SignedBytes {
///     fn name(&self) -> &str {
///         "signed bytes"
///     }
///     fn kind(&self) -> BackendKind {
///         BackendKind::Software
///     }
///     fn supports(&self, params: &CodecParams) -> bool {
///         params.coding == Some("pcm_s8")
///     }
///     fn open(&self, params: &CodecParams) -> Result<Box<dyn PacketDecoder>, Refusal> {
///         Ok(Box::new(SignedBytesDecoder { spec: params.spec, samples: Vec::new() }))
///     }
/// }
///
/// impl PacketDecoder for SignedBytesDecoder {
///     fn spec(&self) -> PcmSpec {
///         self.spec
///     }
///     fn decode(&mut self, packet: EncodedPacket<'_>) -> Result<Decoded<'_>, PacketError> {
///         self.samples.clear();
///         self.samples.extend(packet.data.iter().map(|byte| f32::from(byte.cast_signed()) / 128.0));
///         Ok(Decoded::interleaved(self.spec, &self.samples))
///     }
///     fn reset(&mut self) {}
/// }
///
/// let mut options = DecoderOptions::default();
/// options.backends.push(std::sync::Arc::new(SignedBytes));
/// ```
pub trait CodecBackend: fmt::Debug + Send + Sync {
    /// What it is called in messages, and by who prefers it by name.
    fn name(&self) -> &str;

    /// What its decoders run on.
    fn kind(&self) -> BackendKind;

    /// Whether it may have a decoder for this. Costs nothing; what is not supported is passed over in silence.
    fn supports(&self, params: &CodecParams) -> bool;

    /// Opens a decoder.
    ///
    /// # Errors
    /// A [`Refusal`] becomes [`Notice::BackendRefused`](crate::Notice::BackendRefused), and the next backend is asked.
    fn open(&self, params: &CodecParams) -> Result<Box<dyn PacketDecoder>, Refusal>;
}

/// Decodes the packets of one track.
///
/// It lives on one decode thread and may block there. What decoding allocates is its own; the frames it lends are copied
/// once, into a block of the pool.
pub trait PacketDecoder: Send {
    /// The layout of what it gives, which never changes. One that differs from [`CodecParams::spec`] is refused.
    fn spec(&self) -> PcmSpec;

    /// The frames of this packet: as many as the packet brings by the codec's own count, also right after
    /// [`reset`](Self::reset). A decoder that is [late](Self::is_late) may keep some back.
    ///
    /// # Errors
    /// See [`PacketError`].
    fn decode(&mut self, packet: EncodedPacket<'_>) -> Result<Decoded<'_>, PacketError>;

    /// Whether frames may come with later packets than their own. Such a decoder drops none and adds none: what it gives
    /// from a reset to [`finish`](Self::finish) is what the packets bring, in order. Gaps between packets are not noticed then.
    fn is_late(&self) -> bool {
        false
    }

    /// There are no more packets: what was kept back.
    ///
    /// # Errors
    /// See [`PacketError`]; [`Failed`](PacketError::Failed) ends the run with an error.
    fn finish(&mut self) -> Result<Decoded<'_>, PacketError> {
        Ok(Decoded::interleaved(self.spec(), &[]))
    }

    /// Forgets what was decoded: the next packet follows a seek, and decodes as if it were the first.
    fn reset(&mut self);

    /// Where decoding must begin for frame `target` to come out as in one go: at most `target`. It is asked before a seek;
    /// what is decoded before `target` is dropped. One packet of AAC, MPEG audio and Vorbis is given anyhow.
    fn pre_roll(&self, target: u64) -> u64 {
        target
    }
}

/// What a backend's decoders run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendKind {
    /// A codec of the system or the device, which may be exact, or not.
    Hardware,
    /// Code of this process.
    Software,
}

/// Which backend is asked first. The built-in decoders are always asked last, unless they are the ones preferred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BackendPreference {
    /// Only software: the registered backends of that kind, in their order.
    #[default]
    Software,
    /// Those of the kind hardware first, also the ones of the system where a feature of this crate has them; then the
    /// others.
    Hardware,
    /// The one of this name first, [`BUILT_IN`] for the built-in decoders; then as with [`Software`](Self::Software).
    Named(String),
}

/// What a decoder must know of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodecParams {
    /// The codec, by profile: HE-AAC is named also where only its packets tell.
    pub codec: AudioCodec,
    /// How samples are written, for PCM and ADPCM: `pcm_s16le`, `pcm_mulaw`, `adpcm_ima_wav`.
    pub coding: Option<&'static str>,
    /// The layout of the output.
    pub spec: PcmSpec,
    /// The codec's configuration: an AudioSpecificConfig for AAC with everything signalled (ISO/IEC 14496-3 §1.6.2.1), an
    /// identification header for Opus (RFC 7845 §5.1), STREAMINFO for FLAC, the magic cookie for ALAC, the first and the
    /// third header for Vorbis. Empty where there is none.
    pub config: Arc<[u8]>,
    /// The most frames a packet brings; 0 where that is not known.
    pub packet_frames: u32,
}

/// One encoded packet, as it stands in the container.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EncodedPacket<'a> {
    /// Its bytes: a raw data block of AAC without ADTS header, a page's packet of Opus, blocks of samples of PCM.
    pub data: &'a [u8],
    /// The frames it brings by the container's count; 0 where only decoding tells.
    pub frames: u32,
    /// The frame of the track its first one is, before anything is trimmed; `None` where only the place within a part of a
    /// title is known.
    pub position: Option<u64>,
}

/// Frames of one packet, lent by the decoder.
pub struct Decoded<'a> {
    pub(crate) spec: PcmSpec,
    pub(crate) samples: Samples<'a>,
}

/// In which form they lie there.
pub(crate) enum Samples<'a> {
    Interleaved(&'a [f32]),
    Buffer(GenericAudioBufferRef<'a>),
}

impl<'a> Decoded<'a> {
    /// Whole frames, interleaved. Samples beyond the last whole frame are ignored.
    pub fn interleaved(spec: PcmSpec, samples: &'a [f32]) -> Self {
        let channels = usize::from(spec.channels.get());
        let whole = samples.len() / channels * channels;
        Self {
            spec,
            samples: Samples::Interleaved(&samples[..whole]),
        }
    }

    /// How many frames there are.
    pub fn frames(&self) -> usize {
        match &self.samples {
            Samples::Interleaved(samples) => samples.len() / usize::from(self.spec.channels.get()),
            Samples::Buffer(buffer) => buffer.frames(),
        }
    }
}

impl fmt::Debug for Decoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded")
            .field("spec", &self.spec)
            .field("frames", &self.frames())
            .finish()
    }
}

/// A backend has no decoder for a track after all, for this reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub Cow<'static, str>);

impl Refusal {
    /// A refusal for this reason.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

/// Why a packet has no frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// It is damaged. Silence of its length takes its place, and the next packet is decoded.
    #[error("{0}")]
    Damaged(Cow<'static, str>),
    /// It asks for what the decoder cannot do. Once something was decoded it counts as damaged.
    #[error("{0}")]
    Unsupported(Cow<'static, str>),
    /// The decoder cannot go on, whatever the packet: another backend takes its place.
    #[error("{0}")]
    Failed(Cow<'static, str>),
}
