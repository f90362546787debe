//! Rate, channels and speed change while it plays, without a frame lost or heard twice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use fixture::{
    CHANNELS, FRAME, Gate, HEADER, RATE, Seeded, await_event, gated, hang_guard, listened, open,
    open_gated, ramp, time_of, wav,
};
use kithara_audio::{
    Audio, AudioConfig, AudioControl, AudioError, AudioEvent, PcmReader, ReadState,
};
use kithara_decode::{PcmSpec, SeekMode};
use kithara_stream::Events;

fn rate(hertz: u32) -> NonZeroU32 {
    NonZeroU32::new(hertz).unwrap()
}

fn channels(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

/// A tone of 997 Hz, in one channel.
fn tone(hertz: u32, seconds: u32) -> Vec<u8> {
    let samples = (0..hertz * seconds).map(|frame| {
        let phase = f64::from(frame) / f64::from(hertz) * 997.0 * std::f64::consts::TAU;
        (0.5 * phase.sin()) as f32
    });
    wav(hertz, 1, samples)
}

/// Everything that is left, as the frames of each layout there was.
fn rest(audio: &mut Audio, sizes: &mut Seeded) -> Vec<(PcmSpec, Vec<f32>)> {
    let mut all: Vec<(PcmSpec, Vec<f32>)> = Vec::new();
    let mut buf = vec![0.0; 20_000];
    loop {
        let size = 32 + sizes.below(19_000) as usize;
        let count = audio.read(&mut buf[..size]).unwrap();
        if count == 0 {
            return all;
        }
        take(&mut all, audio.spec(), &buf[..count]);
    }
}

fn take(all: &mut Vec<(PcmSpec, Vec<f32>)>, spec: PcmSpec, samples: &[f32]) {
    match all.last_mut() {
        Some((last, taken)) if *last == spec => taken.extend_from_slice(samples),
        _ => all.push((spec, samples.to_vec())),
    }
}

/// Everything there is at a rate.
fn whole(bytes: &[u8], hertz: u32) -> Vec<f32> {
    let config = AudioConfig::new().with_host_sample_rate(rate(hertz));
    let mut audio = open(bytes.to_vec(), config).wait().unwrap();
    rest(&mut audio, &mut Seeded::new(1)).remove(0).1
}

fn await_output(events: &mut Events<AudioEvent>) -> PcmSpec {
    await_event(events, |event| match event {
        AudioEvent::OutputChanged { spec, .. } => Some(*spec),
        _ => None,
    })
}

/// Goes over to the output that was told of, without reading a frame.
fn cross(audio: &mut Audio, events: &mut Events<AudioEvent>) -> PcmSpec {
    let spec = await_output(events);
    hang_guard("the other output", || {
        audio.try_read(&mut []);
        audio.spec() == spec
    });
    spec
}

#[test]
fn at_another_rate_it_goes_on_with_the_frame_that_comes_next() {
    let bytes = tone(44_100, 4);
    let hertz = [44_100, 48_000, 96_000, 22_050];
    let wholes = hertz.map(|hertz| whole(&bytes, hertz));
    for seed in 0..8 {
        let mut numbers = Seeded::new(seed);
        let (config, mut events) = listened();
        let mut audio = open(bytes.clone(), config).wait().unwrap();
        let control = audio.control();
        let mut parts = Vec::new();
        let mut buf = vec![0.0; 30_000];
        for step in 0..6 {
            for _ in 0..numbers.below(4) {
                let size = 1 + numbers.below(15_000) as usize;
                let count = audio.read(&mut buf[..size]).unwrap();
                take(&mut parts, audio.spec(), &buf[..count]);
            }
            let wished = rate(hertz[(step + seed as usize) % hertz.len()]);
            let before = control.spec().unwrap().sample_rate;
            control.set_host_sample_rate(wished);
            if wished != before && numbers.below(2) == 0 {
                while await_output(&mut events).sample_rate != wished {}
            }
        }
        let last = hertz[(5 + seed as usize) % hertz.len()];
        hang_guard("the last wish", || {
            control.spec().unwrap().sample_rate == rate(last) || {
                let count = audio.read(&mut buf[..64]).unwrap();
                take(&mut parts, audio.spec(), &buf[..count]);
                count == 0
            }
        });
        for (spec, samples) in rest(&mut audio, &mut numbers) {
            take(&mut parts, spec, &samples);
        }
        check_parts(&parts, &hertz, &wholes);
        assert_eq!(audio.position(), Duration::from_secs(4), "seed {seed}");
    }
}

/// Each part is what a whole read at its rate has there, and begins with the first frame not before the end of the last.
fn check_parts(parts: &[(PcmSpec, Vec<f32>)], hertz: &[u32], wholes: &[Vec<f32>]) {
    let (mut frame, mut before) = (0u64, u64::from(hertz[0]));
    for (spec, samples) in parts {
        let now = u64::from(spec.sample_rate.get());
        frame = (frame * now).div_ceil(before);
        before = now;
        let which = hertz
            .iter()
            .position(|hertz| u64::from(*hertz) == now)
            .unwrap();
        let expected = &wholes[which][frame as usize..];
        assert!(expected.len() >= samples.len(), "too much at {now}");
        for (index, (found, expected)) in samples.iter().zip(expected).enumerate() {
            assert!(
                (found - expected).abs() < 5e-6,
                "at {now}, {index} frames after {frame}: {found}, not {expected}"
            );
        }
        frame += samples.len() as u64;
    }
    let which = hertz
        .iter()
        .position(|hertz| u64::from(*hertz) == before)
        .unwrap();
    assert_eq!(frame as usize, wholes[which].len(), "the end, at {before}");
}

#[test]
fn without_a_change_of_rate_every_frame_is_the_same_one() {
    // Two channels become one and two again: the left is the negative of the right.
    let (config, mut events) = listened();
    let mut audio = open(ramp(400_000), config).wait().unwrap();
    let control = audio.control();
    let mut numbers = Seeded::new(3);
    let (mut next, mut buf) = (0u64, vec![0.0; 9_000]);
    let mut silent = 0;
    for step in 0..40u16 {
        control.set_channels(channels(1 + step % 2));
        if step == 0 {
            cross(&mut audio, &mut events);
        }
        for _ in 0..1 + numbers.below(4) {
            let size = 2 + numbers.below(8_000) as usize;
            let count = audio.read(&mut buf[..size]).unwrap();
            if audio.spec().channels == channels(1) {
                assert!(buf[..count].iter().all(|sample| *sample == 0.0));
                silent += count;
                next += count as u64;
            } else {
                fixture::assert_ramp(&buf[..count], next);
                next += (count / CHANNELS) as u64;
            }
        }
    }
    assert!(silent > 0);
    control.set_channels(channels(2));
    loop {
        let count = audio.read(&mut buf).unwrap();
        if count == 0 {
            break;
        }
        next += (count / usize::from(audio.spec().channels.get())) as u64;
    }
    assert_eq!(next, 400_000);
}

#[test]
fn while_paused_and_at_the_end_another_output_is_taken_at_once() {
    let (config, mut events) = listened();
    let mut audio = open(ramp(100_000), config).wait().unwrap();
    let control = audio.control();
    let mut buf = vec![0.0; 2 * 5_000];
    let mut read = 0;
    while read < buf.len() {
        read += audio.read(&mut buf[read..]).unwrap();
    }
    control.pause();
    control.set_host_sample_rate(rate(24_000));
    assert_eq!(await_output(&mut events).sample_rate, rate(24_000));
    hang_guard("the other rate", || {
        let outcome = audio.try_read(&mut buf);
        assert_eq!((outcome.frames, outcome.state), (0, ReadState::Paused));
        audio.spec().sample_rate == rate(24_000)
    });
    assert_eq!(audio.position(), audio.spec().time(2_500));
    control.resume();
    let parts = rest(&mut audio, &mut Seeded::new(2));
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].1.len(), (50_000 - 2_500) * CHANNELS);
    let end = audio.position();
    control.set_host_sample_rate(rate(44_100));
    assert_eq!(cross(&mut audio, &mut events).sample_rate, rate(44_100));
    assert_eq!(audio.read(&mut buf).unwrap(), 0);
    assert_eq!(audio.spec().sample_rate, rate(44_100));
    assert_eq!(audio.position(), end);
    // And back into it.
    control.seek(time_of(48_000), SeekMode::Exact).unwrap();
    audio.read(&mut buf).unwrap();
    assert!(audio.position() > Duration::from_secs(1));
}

#[test]
fn a_seek_and_a_change_at_once_are_both_served() {
    let mut numbers = Seeded::new(17);
    let mut audio = open(ramp(400_000), AudioConfig::new()).wait().unwrap();
    let control = audio.control();
    let mut buf = vec![0.0; 3_000];
    for round in 0..150u32 {
        let frame = numbers.below(390_000);
        let wished = channels(1 + (round % 2) as u16);
        if round % 3 == 0 {
            control.set_channels(wished);
            control.seek(time_of(frame), SeekMode::Exact).unwrap();
        } else {
            control.seek(time_of(frame), SeekMode::Exact).unwrap();
            control.set_channels(wished);
        }
        let mut next = frame;
        hang_guard("the layout", || {
            let count = audio.read(&mut buf).unwrap();
            assert!(count > 0);
            if audio.spec().channels == channels(2) {
                fixture::assert_ramp(&buf[..count], next);
            }
            next += (count / usize::from(audio.spec().channels.get())) as u64;
            audio.spec().channels == wished || next > 398_000
        });
        assert_eq!(
            control.position(),
            time_of(next).min(audio.spec().time(next))
        );
    }
}

#[test]
fn another_speed_begins_with_the_next_frame_and_keeps_the_titles_time() {
    let bytes = tone(48_000, 6);
    for (factor, hertz) in [
        (2.0, 48_000),
        (0.5, 48_000),
        (1.25, 44_100),
        (0.944_4, 44_100),
    ] {
        let (config, mut events) = listened();
        let config = config.with_host_sample_rate(rate(hertz));
        let mut audio = open(bytes.clone(), config).wait().unwrap();
        let control = audio.control();
        let mut buf = vec![0.0; hertz as usize];
        let mut all = Vec::new();
        while all.len() < hertz as usize {
            let count = audio.read(&mut buf[..hertz as usize - all.len()]).unwrap();
            all.extend_from_slice(&buf[..count]);
        }
        control.set_speed(factor);
        await_output(&mut events);
        assert_eq!(audio.position(), Duration::from_secs(1));
        let parts = rest(&mut audio, &mut Seeded::new(4));
        let found = parts
            .iter()
            .map(|(_, samples)| samples.len())
            .sum::<usize>();
        // Five seconds of the title are left.
        let millionths = (factor * 1e6) as u64;
        let exact = (5 * u64::from(hertz) * 1_000_000).div_ceil(millionths);
        assert_eq!(found as u64, exact, "at {factor}");
        assert_eq!(control.speed(), factor);
        // The tone goes on where it was, at its new pitch.
        for (index, sample) in parts[0].1.iter().take(found - 600).enumerate() {
            let time = 1.0 + index as f64 * factor / f64::from(hertz);
            let expected = 0.5 * (time * 997.0 * std::f64::consts::TAU).sin();
            // The first frame may lie half a frame off where the ratio has no small measure.
            let off = (f64::from(*sample) - expected).abs();
            assert!(off < 0.04, "at {factor}, frame {index}: {off} off");
        }
    }
}

#[test]
fn positions_at_another_speed_are_those_of_the_title() {
    let config = AudioConfig::new().with_speed(2.0);
    let mut audio = open(tone(48_000, 4), config).wait().unwrap();
    let control = audio.control();
    let mut buf = vec![0.0; 12_000];
    let mut read = 0;
    let spec = audio.spec();
    let rate_time = |frame| spec.time(frame);
    for block in audio.blocks() {
        let block = block.unwrap();
        assert_eq!(block.frame, 2 * read);
        read += block.frames() as u64;
        assert_eq!(control.position(), rate_time(2 * read));
    }
    assert_eq!(read, 2 * 48_000);
    control
        .seek(Duration::from_secs(1), SeekMode::Exact)
        .unwrap();
    let count = audio.read(&mut buf).unwrap();
    let played = spec.time(48_000 + 2 * count as u64);
    assert_eq!(control.position(), played);
    control.set_speed(f64::NAN);
    assert_eq!(control.speed(), 2.0);
}

/// Reads without waiting until `done`.
fn play(audio: &mut Audio, mut done: impl FnMut(&mut Audio, &[f32], ReadState) -> bool) {
    let mut buf = vec![0.0; 960];
    hang_guard("the reader", || {
        let outcome = audio.try_read(&mut buf);
        let samples = outcome.frames * usize::from(audio.spec().channels.get());
        done(audio, &buf[..samples], outcome.state)
    });
}

#[test]
fn a_reader_that_never_waits_hears_each_frame_once_and_no_gap() {
    let (config, mut events) = listened();
    let mut audio = open(ramp(300_000), config).wait().unwrap();
    let control = audio.control();
    let mut numbers = Seeded::new(23);
    let mut next = 0u64;
    let mut wished = 2u16;
    play(&mut audio, |audio, samples, state| {
        if audio.spec().channels == channels(2) {
            if !samples.is_empty() {
                fixture::assert_ramp(samples, next);
            }
            next += (samples.len() / 2) as u64;
        } else {
            next += samples.len() as u64;
        }
        if numbers.below(60) == 0 {
            wished = 3 - wished;
            control.set_channels(channels(wished));
        }
        state == ReadState::Ended
    });
    assert_eq!(next, 300_000);
    assert!(await_output(&mut events).channels.get() <= 2);
}

#[test]
fn while_bytes_are_missing_what_is_there_is_converted_and_the_rest_follows() {
    let gate = Gate::open_to(HEADER + 60_000 * FRAME);
    let (config, mut events) = listened();
    let mut audio = open_gated(gated(ramp(200_000), &gate), config)
        .wait()
        .unwrap();
    let control = audio.control();
    gate.await_reader();
    control.set_channels(channels(1));
    gate.open(u64::MAX);
    await_output(&mut events);
    let mut frames = 0;
    for (spec, samples) in rest(&mut audio, &mut Seeded::new(9)) {
        frames += samples.len() / usize::from(spec.channels.get());
    }
    assert_eq!(frames, 200_000);
    assert_eq!(audio.spec().channels, channels(1));
}

#[test]
fn an_error_follows_the_frames_before_it_in_any_layout() {
    let kept = 70_000u64;
    let mut bytes = ramp(150_000);
    bytes.truncate((HEADER + kept * FRAME) as usize);
    let config = AudioConfig::new().with_host_sample_rate(rate(RATE / 2));
    let mut audio = open(bytes, config).wait().unwrap();
    let control: AudioControl = audio.control();
    let mut frames = 0;
    let mut buf = vec![0.0; 4_000];
    let error = loop {
        match audio.read(&mut buf) {
            Ok(count) => frames += count as u64 / 2,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AudioError::Decode(_)));
    assert_eq!(frames, kept / 2);
    // It stays the error in another layout.
    control.set_host_sample_rate(rate(RATE));
    hang_guard("the layout", || {
        assert!(audio.read(&mut buf).is_err());
        audio.spec().sample_rate == rate(RATE)
    });
}

#[test]
fn planes_are_counted_anew_when_the_channels_change() {
    let (config, mut events) = listened();
    let mut audio = open(ramp(100_000), config).wait().unwrap();
    audio.control().set_channels(channels(1));
    cross(&mut audio, &mut events);
    let (mut left, mut right) = ([0.0; 64], [0.0; 64]);
    let error = audio.read_planar(&mut [&mut left, &mut right]).unwrap_err();
    assert!(matches!(
        error,
        AudioError::WrongPlanes {
            planes: 2,
            channels: 1
        }
    ));
    assert_eq!(audio.spec().channels, channels(1));
    assert_eq!(audio.read_planar(&mut [&mut left]).unwrap(), 64);
    assert_eq!(audio.position(), time_of(64).min(audio.spec().time(64)));
}
