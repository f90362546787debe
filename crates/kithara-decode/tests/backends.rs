//! Decoders of other makers: asked in order, replaced where they refuse or fail, contained where they panic.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use kithara_decode::{
    BUILT_IN, BackendKind, BackendPreference, CodecBackend, CodecParams, DecodeError, Decoded,
    DecoderFactory, DecoderOptions, EncodedPacket, InnerDecoder, Notice, PacketDecoder,
    PacketError, PcmSpec, Refusal, SeekMode, WorkerFault,
};
use kithara_stream::MediaInfo;
use kithara_tests::fixtures;
use support::{drain, options};

const FIXTURE: &str = "wav-mulaw.wav";

/// What a backend does at its packet of this number, counted from the last reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Sound,
    Refuses,
    FailsAt(u32),
    DamagedAt(u32),
    PanicsAt(u32),
    OtherLayout,
}

/// Decodes µ-law (ITU-T G.711) by its definition.
#[derive(Debug)]
struct MuLaw {
    name: &'static str,
    kind: BackendKind,
    mood: Mood,
    /// What a sample is multiplied by, to hear who decodes.
    gain: f32,
}

struct MuLawDecoder {
    spec: PcmSpec,
    mood: Mood,
    gain: f32,
    packets: u32,
    samples: Vec<f32>,
}

impl CodecBackend for MuLaw {
    fn name(&self) -> &str {
        self.name
    }

    fn kind(&self) -> BackendKind {
        self.kind
    }

    fn supports(&self, params: &CodecParams) -> bool {
        params.coding == Some("pcm_mulaw")
    }

    fn open(&self, params: &CodecParams) -> Result<Box<dyn PacketDecoder>, Refusal> {
        let mut spec = params.spec;
        match self.mood {
            Mood::Refuses => return Err(Refusal::new("out of order")),
            Mood::OtherLayout => spec.channels = 7.try_into().unwrap(),
            _ => {}
        }
        Ok(Box::new(MuLawDecoder {
            spec,
            mood: self.mood,
            gain: self.gain,
            packets: 0,
            samples: Vec::new(),
        }))
    }
}

impl PacketDecoder for MuLawDecoder {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn decode(&mut self, packet: EncodedPacket<'_>) -> Result<Decoded<'_>, PacketError> {
        self.packets += 1;
        match self.mood {
            Mood::FailsAt(at) if self.packets == at => {
                return Err(PacketError::Failed("the device is gone".into()));
            }
            Mood::DamagedAt(at) if self.packets == at => {
                return Err(PacketError::Damaged("not to my taste".into()));
            }
            Mood::PanicsAt(at) if self.packets == at => panic!("a backend's own"),
            _ => {}
        }
        self.samples.clear();
        self.samples.extend(packet.data.iter().map(|code| {
            let code = !code;
            let magnitude = (((i32::from(code & 15) << 3) + 132) << (code >> 4 & 7)) - 132;
            let sample = if code & 0x80 == 0 {
                magnitude
            } else {
                -magnitude
            };
            sample as f32 / 32_768.0 * self.gain
        }));
        Ok(Decoded::interleaved(self.spec, &self.samples))
    }

    fn reset(&mut self) {
        self.packets = 0;
    }
}

fn backend(name: &'static str, mood: Mood, gain: f32) -> Arc<dyn CodecBackend> {
    Arc::new(MuLaw {
        name,
        kind: BackendKind::Software,
        mood,
        gain,
    })
}

fn open(file: &str, options: &DecoderOptions) -> Result<Box<dyn InnerDecoder>, DecodeError> {
    let info = MediaInfo {
        name: file.to_owned(),
        ..MediaInfo::default()
    };
    let bytes = Cursor::new(fixtures::fixture(file).bytes());
    DecoderFactory::open(Box::new(bytes), &info, options)
}

fn with(backends: impl IntoIterator<Item = Arc<dyn CodecBackend>>) -> DecoderOptions {
    DecoderOptions {
        backends: backends.into_iter().collect(),
        ..options()
    }
}

fn decode(file: &str, options: &DecoderOptions) -> (Vec<f32>, Vec<Notice>) {
    let mut decoder = open(file, options).unwrap();
    let (samples, end) = drain(decoder.as_mut(), file);
    end.unwrap();
    (samples, decoder.take_notices())
}

fn halved(samples: &[f32]) -> Vec<f32> {
    samples.iter().map(|sample| sample / 2.0).collect()
}

fn refusals(notices: &[Notice]) -> Vec<(&str, &str)> {
    let refused = notices.iter().filter_map(|notice| match notice {
        Notice::BackendRefused { backend, reason } => Some((backend.as_str(), reason.as_str())),
        _ => None,
    });
    refused.collect()
}

#[test]
fn a_registered_backend_decodes_what_it_supports_and_nothing_else() {
    let (exact, _) = decode(FIXTURE, &options());
    let ours = with([backend("own", Mood::Sound, 1.0)]);
    assert_eq!(decode(FIXTURE, &ours), (exact.clone(), Vec::new()));
    let ours = with([backend("half", Mood::Sound, 0.5)]);
    assert_eq!(decode(FIXTURE, &ours), (halved(&exact), Vec::new()));
    // Seeks land on the same frames.
    let mut decoder = open(FIXTURE, &ours).unwrap();
    let landing = decoder
        .seek(Duration::from_millis(123), SeekMode::Exact)
        .unwrap();
    let (tail, _) = drain(decoder.as_mut(), FIXTURE);
    let channels = usize::from(decoder.spec().channels.get());
    assert_eq!(tail, halved(&exact)[landing.frame as usize * channels..]);
    let (alaw, _) = decode("wav-alaw.wav", &options());
    assert_eq!(decode("wav-alaw.wav", &ours), (alaw, Vec::new()));
}

#[test]
fn who_is_preferred_is_asked_first() {
    let (exact, _) = decode(FIXTURE, &options());
    let chip: Arc<dyn CodecBackend> = Arc::new(MuLaw {
        name: "chip",
        kind: BackendKind::Hardware,
        mood: Mood::Sound,
        gain: 0.5,
    });
    for (preference, expected) in [
        (BackendPreference::Software, &exact),
        (BackendPreference::Hardware, &halved(&exact)),
        (BackendPreference::Named("chip".into()), &halved(&exact)),
        (BackendPreference::Named(BUILT_IN.into()), &exact),
    ] {
        let options = DecoderOptions {
            preference: preference.clone(),
            ..with([Arc::clone(&chip)])
        };
        let (samples, notices) = decode(FIXTURE, &options);
        assert_eq!(&samples, expected, "{preference:?}");
        assert_eq!(notices, [], "{preference:?}");
    }
}

#[test]
fn where_a_backend_refuses_the_next_one_decodes_and_the_listener_is_told() {
    let (exact, _) = decode(FIXTURE, &options());
    let refused = ("broken", "out of order");
    let both = with([
        backend("broken", Mood::Refuses, 1.0),
        backend("half", Mood::Sound, 0.5),
    ]);
    let (samples, notices) = decode(FIXTURE, &both);
    assert_eq!(samples, halved(&exact));
    assert_eq!(refusals(&notices), [refused]);
    let (samples, notices) = decode(FIXTURE, &with([backend("broken", Mood::Refuses, 1.0)]));
    assert_eq!(samples, exact);
    assert_eq!(refusals(&notices), [refused]);
    let liar = with([backend("liar", Mood::OtherLayout, 1.0)]);
    let (samples, notices) = decode(FIXTURE, &liar);
    assert_eq!(samples, exact);
    assert_eq!(
        refusals(&notices),
        [("liar", "it gives 7 channels at 44100 Hz")]
    );
}

#[test]
fn where_a_backend_fails_on_its_way_the_next_one_goes_on_at_the_same_frame() {
    let (exact, _) = decode(FIXTURE, &options());
    for at in [1, 2, 3] {
        let options = with([backend("mortal", Mood::FailsAt(at), 1.0)]);
        let (samples, notices) = decode(FIXTURE, &options);
        assert_eq!(samples, exact, "at packet {at}");
        assert_eq!(refusals(&notices), [("mortal", "the device is gone")]);
    }
}

#[test]
fn what_a_backend_calls_damaged_is_silence_of_the_same_length() {
    let (exact, _) = decode(FIXTURE, &options());
    let (samples, notices) = decode(FIXTURE, &with([backend("own", Mood::DamagedAt(2), 1.0)]));
    let [Notice::PacketSkipped { frame, frames }] = notices[..] else {
        panic!("{notices:?}");
    };
    let channels = usize::from(fixtures::fixture(FIXTURE).channels);
    let hole = frame as usize * channels..(frame + frames) as usize * channels;
    let mut expected = exact;
    expected[hole].fill(0.0);
    assert_eq!(samples, expected);
}

#[test]
fn a_panic_in_a_backend_ends_its_own_stream() {
    let mut decoder = open(FIXTURE, &with([backend("mine", Mood::PanicsAt(2), 1.0)])).unwrap();
    let (samples, end) = drain(decoder.as_mut(), FIXTURE);
    assert!(!samples.is_empty());
    match end.unwrap_err() {
        DecodeError::Worker { fault, .. } => {
            assert_eq!(fault, WorkerFault::Panicked("a backend's own".to_owned()));
        }
        other => panic!("{other}"),
    }
    // Others are not affected.
    decode(FIXTURE, &options());
}
