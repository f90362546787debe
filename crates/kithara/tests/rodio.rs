//! A resource as a `rodio` source: every sample in order, nothing but silence in between, and the end only at the end.
#![cfg(feature = "rodio")]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use std::io::Write;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use kithara::audio::AudioEvent;
use kithara::{ErrorKind, ReadState, Resource, ResourceConfig, ResourceEvent, RodioSource};
use kithara_tests::server::{FaultServer, Gate, Script};
use rodio::Source;
use rodio::source::SeekError;

const RATE: u32 = 44_100;

/// The sample at an index of the interleaved samples: never 0, which would pass for silence.
fn sample(index: usize) -> i16 {
    // Odd, and the same again only after 32768 samples.
    (index.wrapping_mul(2) as u16 | 1).cast_signed()
}

fn value(index: usize) -> f32 {
    f32::from(sample(index)) / 32768.0
}

/// A 16-bit WAV of [`sample`].
fn wav(frames: usize, channels: u16) -> Vec<u8> {
    wav_of(frames, channels, sample)
}

/// A 16-bit WAV of the given samples.
fn wav_of(frames: usize, channels: u16, sample: fn(usize) -> i16) -> Vec<u8> {
    let samples = frames * usize::from(channels);
    let len = u32::try_from(samples * 2).unwrap();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend_from_slice(&(len + 36).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend_from_slice(&channels.to_le_bytes());
    bytes.extend_from_slice(&RATE.to_le_bytes());
    bytes.extend_from_slice(&(RATE * u32::from(channels) * 2).to_le_bytes());
    bytes.extend_from_slice(&(channels * 2).to_le_bytes());
    bytes.extend_from_slice(b"\x10\0data");
    bytes.extend_from_slice(&len.to_le_bytes());
    for index in 0..samples {
        bytes.extend_from_slice(&sample(index).to_le_bytes());
    }
    bytes
}

/// A local file, which needs no name once it is open, decoded as far ahead as there is room.
fn local_with(bytes: &[u8], fades: Duration) -> Resource {
    let mut file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let config = ResourceConfig::from_src(file.path().to_owned());
    let config = config.with_preload(usize::MAX).with_fades(fades);
    Resource::blocking(config).unwrap()
}

/// One whose every sample can be compared.
fn local(bytes: &[u8]) -> Resource {
    local_with(bytes, Duration::ZERO)
}

/// The same over HTTP.
fn remote(server: &FaultServer) -> ResourceConfig {
    ResourceConfig::new(server.url("/a.wav"))
        .unwrap()
        .without_store()
        .with_fades(Duration::ZERO)
}

/// The next samples that are not silence, up to `count` or the end.
fn sound(source: &mut impl Iterator<Item = f32>, count: usize) -> Vec<f32> {
    source.filter(|sample| *sample != 0.0).take(count).collect()
}

fn assert_samples(found: &[f32], first: usize, what: &str) {
    let wrong = (first..)
        .zip(found)
        .find(|(index, found)| **found != value(*index));
    if let Some((index, found)) = wrong {
        panic!("{what}: sample {index} is {found} and not {}", value(index));
    }
}

/// The next sample comes from this index; what was silent before it.
fn silence_before(source: &mut RodioSource, index: usize) -> usize {
    let mut silence = 0;
    loop {
        match source.next().unwrap() {
            0.0 => silence += 1,
            sample => {
                assert_eq!(sample, value(index), "sample {index}");
                return silence;
            }
        }
    }
}

#[test]
fn every_sample_comes_in_order_and_the_end_only_at_the_end() {
    for channels in [1, 2, 6] {
        // Not a whole number of blocks.
        let frames = 5 * RATE as usize + 77;
        let mut source = local(&wav(frames, channels)).into_source();
        assert_eq!(source.channels(), NonZeroU16::new(channels).unwrap());
        assert_eq!(source.sample_rate(), NonZeroU32::new(RATE).unwrap());
        assert_eq!(source.current_span_len(), None);
        let exact = Duration::from_nanos(frames as u64 * 1_000_000_000 / u64::from(RATE));
        let total = source.total_duration().unwrap();
        assert!(
            total.abs_diff(exact) <= Duration::from_nanos(1),
            "{total:?} and not {exact:?}"
        );
        let found = sound(&mut source, usize::MAX);
        assert_samples(&found, 0, &format!("{channels} channels"));
        assert_eq!(found.len(), frames * usize::from(channels));
        for _ in 0..1000 {
            assert_eq!(source.next(), None, "the end stays the end");
        }
        source.try_seek(Duration::from_secs(1)).unwrap();
        let again = RATE as usize * usize::from(channels);
        silence_before(&mut source, again);
        assert_eq!(
            sound(&mut source, usize::MAX).len(),
            found.len() - again - 1
        );
    }
}

#[test]
fn what_is_missing_is_silence_and_never_the_end() {
    let bytes = wav(3 * RATE as usize, 2);
    let (server, gate) = (FaultServer::start(), Gate::new());
    let script = Script::file(bytes.clone()).hold_at(300_000, &gate);
    server.serve("/a.wav", script);
    let config = remote(&server);
    let mut events = config.events();
    let resource = Resource::blocking(config).unwrap();
    let control = resource.control();
    let spec = resource.spec();
    let mut source = resource.into_source();
    let mut found = Vec::new();
    let mut silence = 0;
    while silence < 100_000 {
        match source.next().unwrap() {
            0.0 => silence += 1,
            sample => found.push(sample),
        }
    }
    // Silence is counted and moves nothing.
    let heard = found.len() as u64 / 2;
    let underruns = control.stats().underruns;
    assert!(underruns > 0);
    assert_eq!(control.stats().frames_read, heard);
    assert_eq!(control.position(), spec.time(heard));
    gate.open();
    let told = std::iter::from_fn(|| events.recv_blocking().ok()).any(|event| {
        matches!(event, ResourceEvent::Audio(AudioEvent::Underrun { count }) if count == underruns)
    });
    assert!(told);
    found.extend(sound(&mut source, usize::MAX));
    assert_samples(&found, 0, "over HTTP");
    assert_eq!(found.len(), 6 * RATE as usize);
}

#[test]
fn a_paused_source_is_silent_and_goes_on_where_it_was() {
    let resource = local(&wav(3 * RATE as usize, 2));
    let control = resource.control();
    let mut source = resource.into_source();
    let mut found = sound(&mut source, 10_001);
    control.pause();
    // A frame that was begun is ended.
    let rest: Vec<_> = (0..2000).map(|_| source.next().unwrap()).collect();
    let heard = rest.iter().take_while(|sample| **sample != 0.0).count();
    assert_eq!(heard, 1);
    assert!(rest[heard..].iter().all(|sample| *sample == 0.0));
    assert!((0..100_000).all(|_| source.next() == Some(0.0)));
    control.resume();
    found.extend_from_slice(&rest[..heard]);
    found.extend(sound(&mut source, usize::MAX));
    assert_samples(&found, 0, "around a pause");
    assert_eq!(found.len(), 6 * RATE as usize);
}

#[test]
fn a_seek_lands_on_the_exact_sample_and_keeps_the_channels_in_place() {
    let mut source = local(&wav(20 * RATE as usize, 2)).into_source();
    let mut phase = 0;
    for (round, frame) in [700_000_usize, 1, 44_100, 440_999, 0, 881_999, 12_345]
        .into_iter()
        .cycle()
        .take(40)
        .enumerate()
    {
        for _ in 0..round {
            phase ^= usize::from(source.next().is_some());
        }
        let nanos = (frame as u64 * 1_000_000_000).div_ceil(u64::from(RATE));
        source.try_seek(Duration::from_nanos(nanos)).unwrap();
        if phase == 1 {
            // A frame that was begun is ended.
            source.next();
        }
        let silence = silence_before(&mut source, frame * 2);
        assert_eq!(
            silence % 2,
            0,
            "a left sample took the place of a right one"
        );
        phase = 1;
    }
    source.try_seek(Duration::from_secs(100)).unwrap();
    // Of the frame that was begun.
    assert_ne!(source.next(), None);
    let beyond = sound(&mut source, usize::MAX);
    assert!(beyond.is_empty(), "beyond the end is the end");
}

#[test]
fn pauses_seeks_and_changes_of_the_volume_do_not_click() {
    // As loud as can be, so that any step shows.
    let loud = wav_of(20 * RATE as usize, 2, |_| i16::MAX);
    let resource = local_with(&loud, Duration::from_millis(10));
    let control = resource.control();
    let mut source = resource.into_source();
    let loudest = f32::from(i16::MAX) / 32768.0;
    let mut before = [loudest; 2];
    // A fade, a ramp of the volume and what dies away may come together.
    let bound = 3.0 / 441.0 + 1e-5;
    let mut next = |source: &mut RodioSource| {
        for before in &mut before {
            let sample = source.next().unwrap();
            assert!((sample - *before).abs() <= bound, "{before} to {sample}");
            *before = sample;
        }
    };
    for round in 0..400_u32 {
        match round % 16 {
            1 => control.pause(),
            5 => control.resume(),
            8 => control.set_muted(round % 3 == 0),
            10 => control.set_volume((round % 7) as f32 / 6.0),
            13 => {
                let target = Duration::from_millis(1 + u64::from(round) * 45);
                source.try_seek(target).unwrap();
            }
            _ => {}
        }
        for _ in 0..=round % 700 {
            next(&mut source);
        }
    }
    // However fast this reads, sound comes.
    while control.stats().frames_read <= 10_000 {
        next(&mut source);
    }
}

#[test]
fn a_title_that_fails_ends_the_source_and_tells_why() {
    let bytes = wav(3 * RATE as usize, 2);
    let server = FaultServer::start();
    server.serve_sequence(
        "/a.wav",
        [
            Script::file(bytes.clone()).cut_after(200_000),
            Script::of_status(404),
        ],
    );
    let config = remote(&server);
    let mut events = config.events();
    let resource = Resource::blocking(config).unwrap();
    let control = resource.control();
    let mut source = resource.into_source();
    let found = sound(&mut source, usize::MAX);
    assert_samples(&found, 0, "before the failure");
    assert!(found.len() > 90_000, "{} samples", found.len());
    assert_eq!(source.next(), None);
    let frames = control.stats().frames_read;
    assert_eq!(frames, found.len() as u64 / 2);
    let error = loop {
        if let ResourceEvent::Audio(AudioEvent::Error(error)) = events.recv_blocking().unwrap() {
            break kithara::Error::from(error);
        }
    };
    assert_eq!(error.kind(), ErrorKind::Http(404), "{error:?}");
    control.close();
    let refused = source.try_seek(Duration::ZERO).unwrap_err();
    let SeekError::Other(why) = refused else {
        panic!("{refused:?}");
    };
    let why = why.downcast_ref::<kithara::Error>().unwrap();
    assert_eq!(why.kind(), ErrorKind::Closed, "closed for good");
    assert_eq!(source.next(), None);
}

#[test]
fn what_is_preloaded_is_there_when_the_open_resolves() {
    // As many frames as there is room for: two seconds.
    let mut resource = local(&wav(3 * RATE as usize, 2));
    let mut buf = vec![0.0; 4 * RATE as usize];
    let outcome = resource.try_read(&mut buf);
    assert_eq!(
        (outcome.frames, outcome.state),
        (2 * RATE as usize, ReadState::Playing)
    );
    assert_samples(&buf, 0, "preloaded");
}

#[test]
fn a_mixer_without_a_device_adds_sources_up() {
    let stereo = NonZeroU16::new(2).unwrap();
    let rate = NonZeroU32::new(RATE).unwrap();
    // Decoded entirely before they are added, so that no silence shifts one against the other.
    let (long, short) = (40_000, 30_001);
    let (input, output) = rodio::mixer::mixer(stereo, rate);
    input.add(local(&wav(long, 2)).into_source());
    input.add(local(&wav(short, 2)).into_source());
    let mixed: Vec<f32> = output.collect();
    let expected: Vec<f32> = (0..long * 2)
        .map(|index| {
            let both = if index < short * 2 { 2.0 } else { 1.0 };
            value(index) * both
        })
        .collect();
    assert_eq!(mixed.len(), expected.len());
    let wrong = (0..mixed.len()).find(|index| mixed[*index] != expected[*index]);
    assert_eq!(wrong, None);
}
