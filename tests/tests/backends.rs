//! A decoder of one's own, asked by a `Resource`.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kithara::decode::{
    BUILT_IN, CodecParams, Decoded, EncodedPacket, PacketDecoder, PacketError, Refusal,
};
use kithara::{
    BackendKind, BackendPreference, CodecBackend, PcmSpec, Resource, ResourceConfig, SeekMode,
};
use kithara_tests::fixtures::fixture;

const FILE: &str = "wav-s16.wav";

/// Reads 16-bit PCM, and turns its phase around, so that it is heard who decoded.
#[derive(Debug)]
struct Turned {
    kind: BackendKind,
    refuses: bool,
    opened: AtomicUsize,
}

struct TurnedPackets {
    spec: PcmSpec,
    samples: Vec<f32>,
}

impl Turned {
    fn new(kind: BackendKind, refuses: bool) -> Arc<Self> {
        Arc::new(Self {
            kind,
            refuses,
            opened: AtomicUsize::new(0),
        })
    }
}

impl CodecBackend for Turned {
    fn name(&self) -> &str {
        "turned"
    }

    fn kind(&self) -> BackendKind {
        self.kind
    }

    fn supports(&self, params: &CodecParams) -> bool {
        params.coding == Some("pcm_s16le")
    }

    fn open(&self, params: &CodecParams) -> Result<Box<dyn PacketDecoder>, Refusal> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        if self.refuses {
            return Err(Refusal::new("not today"));
        }
        Ok(Box::new(TurnedPackets {
            spec: params.spec,
            samples: Vec::new(),
        }))
    }
}

impl PacketDecoder for TurnedPackets {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn decode(&mut self, packet: EncodedPacket<'_>) -> Result<Decoded<'_>, PacketError> {
        let words = packet.data.chunks_exact(2);
        let samples =
            words.map(|word| -f32::from(i16::from_le_bytes([word[0], word[1]])) / 32_768.0);
        self.samples.clear();
        self.samples.extend(samples);
        Ok(Decoded::interleaved(self.spec, &self.samples))
    }

    fn reset(&mut self) {}
}

fn config() -> ResourceConfig {
    ResourceConfig::from_src(fixture(FILE).path())
}

fn rest(resource: &mut Resource) -> Vec<f32> {
    let mut all = Vec::new();
    let mut block = [0.0; 4096];
    loop {
        match resource.read(&mut block).unwrap() {
            0 => return all,
            read => all.extend_from_slice(&block[..read]),
        }
    }
}

fn samples(config: ResourceConfig) -> Vec<f32> {
    rest(&mut Resource::blocking(config).unwrap())
}

#[test]
fn a_backend_is_asked_in_the_place_that_is_preferred() {
    let plain = samples(config());
    let turned: Vec<f32> = plain.iter().map(|sample| -sample).collect();
    let named = |name: &str| BackendPreference::Named(name.to_owned());
    for (kind, preference, asked) in [
        (BackendKind::Software, BackendPreference::Software, true),
        (BackendKind::Software, named("turned"), true),
        (BackendKind::Software, named(BUILT_IN), false),
        (BackendKind::Hardware, BackendPreference::Software, false),
        (BackendKind::Hardware, BackendPreference::Hardware, true),
        (BackendKind::Hardware, named("turned"), true),
    ] {
        let case = format!("{kind:?}, {preference:?}");
        let backend = Turned::new(kind, false);
        let config = config()
            .with_backend(backend.clone())
            .with_backend_preference(preference);
        let got = samples(config);
        assert_eq!(
            backend.opened.load(Ordering::Relaxed),
            usize::from(asked),
            "{case}"
        );
        assert!(got == if asked { &turned } else { &plain }[..], "{case}");
    }
}

#[test]
fn positions_and_seeks_stay_exact_with_it() {
    let plain = samples(config());
    let backend = Turned::new(BackendKind::Software, false);
    let mut resource = Resource::blocking(config().with_backend(backend)).unwrap();
    let channels = usize::from(resource.spec().channels.get());
    let to = resource.spec().time(20_000);
    resource.seek(to, SeekMode::Exact).unwrap();
    let got = rest(&mut resource);
    let right = plain[20_000 * channels..].iter().map(|sample| -sample);
    assert!(got.iter().copied().eq(right), "{} samples", got.len());
}

#[test]
fn where_it_refuses_the_built_in_decoder_plays() {
    let backend = Turned::new(BackendKind::Software, true);
    let got = samples(config().with_backend(backend.clone()));
    assert_eq!(backend.opened.load(Ordering::Relaxed), 1);
    assert!(got == samples(config()));
}
