//! symphonia's decoders as packet decoders.

use std::borrow::Cow;
use std::sync::OnceLock;

use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketRef;
use symphonia::default::codecs::{
    AacDecoder, AdpcmDecoder, AlacDecoder, FlacDecoder, MpaDecoder, VorbisDecoder,
};

use crate::backend::{Decoded, EncodedPacket, PacketDecoder, PacketError, Samples};
use crate::fault::{Fault, Result};
use crate::{PcmSpec, limits};

fn registry() -> &'static CodecRegistry {
    static REGISTRY: OnceLock<CodecRegistry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut registry = CodecRegistry::new();
        registry.register_audio_decoder::<AacDecoder>();
        registry.register_audio_decoder::<AdpcmDecoder>();
        registry.register_audio_decoder::<AlacDecoder>();
        registry.register_audio_decoder::<FlacDecoder>();
        registry.register_audio_decoder::<MpaDecoder>();
        registry.register_audio_decoder::<VorbisDecoder>();
        registry
    })
}

/// What symphonia calls a codec.
pub(super) fn short_name(id: AudioCodecId) -> Option<&'static str> {
    let registered = registry().get_audio_decoder(id);
    registered.map(|registered| registered.codec.info.short_name)
}

/// A decoder of symphonia. It never trims, since no packet asks for it.
pub(super) struct SymphoniaDecoder {
    inner: Box<dyn AudioDecoder>,
    /// To make another like it.
    params: AudioCodecParameters,
    spec: PcmSpec,
}

impl SymphoniaDecoder {
    pub(super) fn open(params: &AudioCodecParameters) -> Result<Self> {
        let inner = make(params)?;
        Ok(Self {
            spec: spec_of(inner.as_ref())?,
            inner,
            params: params.clone(),
        })
    }
}

fn make(params: &AudioCodecParameters) -> Result<Box<dyn AudioDecoder>> {
    // Without `gapless` Vorbis gives frames for its first packet, which no overlap completes.
    let options = AudioDecoderOptions::default().gapless(true);
    registry()
        .make_audio_decoder(params, &options)
        .map_err(Fault::from)
}

fn spec_of(decoder: &dyn AudioDecoder) -> Result<PcmSpec> {
    let params = decoder.codec_params();
    let channels = params.channels.as_ref().map(|channels| channels.count());
    match (params.sample_rate, channels) {
        (Some(rate), Some(channels)) => limits::spec(rate, channels as u32),
        _ => {
            let spec = decoder.last_decoded();
            let spec = spec.spec();
            limits::spec(spec.rate(), spec.channels().count() as u32)
        }
    }
}

impl PacketDecoder for SymphoniaDecoder {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn decode(
        &mut self,
        packet: EncodedPacket<'_>,
    ) -> std::result::Result<Decoded<'_>, PacketError> {
        let frames = u64::from(packet.frames);
        let source = PacketRef::new(0, 0i64.into(), frames.into(), packet.data);
        let decoded = self
            .inner
            .decode_ref(&source)
            .map_err(|error| packet_error(&error))?;
        let (spec, channels) = (decoded.spec(), usize::from(self.spec.channels.get()));
        let same =
            spec.rate() == self.spec.sample_rate.get() && spec.channels().count() == channels;
        if !same && decoded.frames() > 0 {
            return Err(PacketError::Unsupported(Cow::Owned(format!(
                "a change within the run, to {} channels at {} Hz",
                spec.channels().count(),
                spec.rate()
            ))));
        }
        Ok(Decoded {
            spec: self.spec,
            samples: Samples::Buffer(decoded),
        })
    }

    fn reset(&mut self) {
        if self.params.codec == CODEC_ID_AAC
            && let Ok(fresh) = make(&self.params)
        {
            // A reset keeps the noise generator running; so the same samples come every time.
            self.inner = fresh;
            return;
        }
        self.inner.reset();
    }
}

fn packet_error(error: &Error) -> PacketError {
    match error {
        Error::DecodeError(what) => PacketError::Damaged(Cow::Borrowed(what)),
        Error::IoError(_) => PacketError::Damaged(Cow::Borrowed("it ends early")),
        Error::Unsupported(what) | Error::LimitError(what) => {
            PacketError::Unsupported(Cow::Borrowed(what))
        }
        _ => PacketError::Unsupported(Cow::Borrowed("what the decoder could not name")),
    }
}
