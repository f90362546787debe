//! Which backend decodes a track: asked one after another until one does.

use std::sync::Arc;
use std::time::Duration;

use kithara_stream::AudioCodec;
use symphonia::core::codecs::audio::AudioCodecParameters;

use super::{built_in, pcm, symphonia_decoder};
use crate::backend::{
    BUILT_IN, BackendKind, BackendPreference, CodecBackend, CodecParams, PacketDecoder,
};
use crate::demux::{Track, note};
use crate::fault::{Fault, Result};
use crate::{CodecSelector, Continuation, DecoderOptions, Notice, limits, system};

/// The backends for a track, in the order in which they are asked.
pub(crate) struct Decoders {
    codec: AudioCodec,
    params: AudioCodecParameters,
    /// `None` is the built-in decoder, which is there exactly once.
    order: Vec<Option<Arc<dyn CodecBackend>>>,
    /// The one in use.
    at: usize,
}

/// The decoder of a track, and who else could decode it.
pub(crate) struct Chosen {
    pub(crate) decoder: Box<dyn PacketDecoder>,
    pub(crate) decoders: Decoders,
    /// It is that of the run before, and goes on with what it remembers.
    pub(crate) continues: bool,
}

impl Chosen {
    /// Chooses the decoder of a track: that of the run before if it is the same, or else the first that opens.
    pub(crate) fn of(
        track: &mut Track,
        options: &DecoderOptions,
        before: Option<Continuation>,
    ) -> Result<Self> {
        if let CodecSelector::Exact(wanted) = options.codec
            && wanted != track.codec
        {
            return Err(Fault::unsupported(format!(
                "{} where {wanted} is asked for",
                track.codec
            )));
        }
        let mut decoders = Decoders::new(track, options);
        let begin = track.stamp.map(|stamp| stamp.after(Duration::ZERO, true));
        match before.filter(|before| before.suits(&decoders, begin)) {
            Some(before) => Ok(Self {
                decoder: before.decoder,
                decoders: before.decoders,
                continues: true,
            }),
            None => Ok(Self {
                decoder: decoders.open(&mut track.notices)?,
                decoders,
                continues: false,
            }),
        }
    }
}

impl Decoders {
    pub(crate) fn new(track: &Track, options: &DecoderOptions) -> Self {
        Self {
            codec: track.codec,
            params: track.params.clone(),
            order: order(&candidates(options), &options.preference),
            at: 0,
        }
    }

    /// Opens the decoder of the first backend that has one. The built-in one has the last word: what it refuses, nobody
    /// behind it decodes.
    pub(crate) fn open(&mut self, notices: &mut Vec<Notice>) -> Result<Box<dyn PacketDecoder>> {
        while let Some(Some(backend)) = self.order.get(self.at) {
            let described = self.describe();
            if let Some(params) = described
                && backend.supports(&params)
            {
                match open(backend.as_ref(), &params) {
                    Ok(decoder) => return Ok(decoder),
                    Err(reason) => refused(backend.as_ref(), reason, notices),
                }
            }
            self.at += 1;
        }
        built_in::decoder(&self.params)
    }

    /// Whether the decoder in use is the one these would open: of the same codec in the same configuration.
    pub(crate) fn decodes_like(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.params, &other.params);
        self.codec == other.codec
            && ours.codec == theirs.codec
            && ours.sample_rate == theirs.sample_rate
            && ours.channels == theirs.channels
            && ours.bits_per_sample == theirs.bits_per_sample
            && ours.extra_data == theirs.extra_data
    }

    /// The decoder in use failed for good: another, if there is one.
    pub(crate) fn replace(
        &mut self,
        reason: String,
        notices: &mut Vec<Notice>,
    ) -> Option<Result<Box<dyn PacketDecoder>>> {
        let backend = self.order.get(self.at)?.clone()?;
        refused(backend.as_ref(), reason, notices);
        self.at += 1;
        Some(self.open(notices))
    }

    /// The track in our own words; `None` where not even the built-in decoder makes anything of it.
    fn describe(&self) -> Option<CodecParams> {
        let (rate, channels) = (self.params.sample_rate, self.params.channels.as_ref());
        let spec = match (rate, channels) {
            (Some(rate), Some(channels)) => limits::spec(rate, channels.count() as u32).ok()?,
            // Only the codec's own headers tell.
            _ => built_in::decoder(&self.params).ok()?.spec(),
        };
        let frames = self.params.max_frames_per_packet.unwrap_or(0);
        let coding = match self.codec {
            AudioCodec::Pcm => pcm::coding_of(self.params.codec).map(|coding| coding.name),
            AudioCodec::Adpcm => symphonia_decoder::short_name(self.params.codec),
            _ => None,
        };
        Some(CodecParams {
            codec: self.codec,
            coding,
            spec,
            config: Arc::from(self.params.extra_data.as_deref().unwrap_or_default()),
            packet_frames: u32::try_from(frames).unwrap_or(0),
        })
    }
}

fn open(
    backend: &dyn CodecBackend,
    params: &CodecParams,
) -> std::result::Result<Box<dyn PacketDecoder>, String> {
    let decoder = backend
        .open(params)
        .map_err(|refusal| refusal.to_string())?;
    if decoder.spec() != params.spec {
        let spec = decoder.spec();
        return Err(format!(
            "it gives {} channels at {} Hz",
            spec.channels, spec.sample_rate
        ));
    }
    Ok(decoder)
}

fn refused(backend: &dyn CodecBackend, reason: String, notices: &mut Vec<Notice>) {
    let backend = backend.name().to_owned();
    tracing::warn!(%backend, %reason, "a backend does not decode; the next one is asked");
    note(notices, Notice::BackendRefused { backend, reason });
}

/// The registered backends, then those of the system.
fn candidates(options: &DecoderOptions) -> Vec<Arc<dyn CodecBackend>> {
    let mut all = options.backends.clone();
    if options.preference != BackendPreference::Software {
        all.extend(system::backends());
    }
    all
}

/// The order in which backends are asked.
fn order(
    backends: &[Arc<dyn CodecBackend>],
    preference: &BackendPreference,
) -> Vec<Option<Arc<dyn CodecBackend>>> {
    let of = |kind| {
        backends
            .iter()
            .filter(move |backend| backend.kind() == kind)
    };
    let software = of(BackendKind::Software);
    let mut order: Vec<_> = match preference {
        BackendPreference::Software => software.cloned().map(Some).collect(),
        BackendPreference::Hardware => {
            let hardware = of(BackendKind::Hardware);
            hardware.chain(software).cloned().map(Some).collect()
        }
        BackendPreference::Named(name) if name == BUILT_IN => Vec::new(),
        BackendPreference::Named(name) => {
            let named = backends.iter().filter(|backend| backend.name() == name);
            let others = software.filter(|backend| backend.name() != name);
            named.chain(others).cloned().map(Some).collect()
        }
    };
    order.push(None);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Refusal;

    #[derive(Debug)]
    struct Named(&'static str, BackendKind);

    impl CodecBackend for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn kind(&self) -> BackendKind {
            self.1
        }

        fn supports(&self, _params: &CodecParams) -> bool {
            true
        }

        fn open(
            &self,
            _params: &CodecParams,
        ) -> std::result::Result<Box<dyn PacketDecoder>, Refusal> {
            Err(Refusal::new("no"))
        }
    }

    #[test]
    fn backends_are_asked_in_the_order_that_is_preferred() {
        let backends: [Arc<dyn CodecBackend>; 4] = [
            Arc::new(Named("soft", BackendKind::Software)),
            Arc::new(Named("chip", BackendKind::Hardware)),
            Arc::new(Named("own", BackendKind::Software)),
            Arc::new(Named("dsp", BackendKind::Hardware)),
        ];
        let named = |name: &str| BackendPreference::Named(name.to_owned());
        for (preference, expected) in [
            (BackendPreference::Software, "soft own built-in"),
            (BackendPreference::Hardware, "chip dsp soft own built-in"),
            (named("own"), "own soft built-in"),
            (named("dsp"), "dsp soft own built-in"),
            (named("built-in"), "built-in"),
            (named("unknown"), "soft own built-in"),
        ] {
            let order = order(&backends, &preference);
            let names: Vec<_> = order
                .iter()
                .map(|backend| backend.as_ref().map_or(BUILT_IN, |backend| backend.name()))
                .collect();
            assert_eq!(names.join(" "), expected, "{preference:?}");
        }
    }
}
