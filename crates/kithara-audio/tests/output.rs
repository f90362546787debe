//! Whatever a title's rate and channels are, what is read has the layout that was asked for, on the frame.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use fixture::{Seeded, await_event, listened, open, open_runs, wav};
use kithara_audio::{
    Audio, AudioConfig, AudioEvent, PcmReader, ResamplerProcessor, ResamplerQuality,
};
use kithara_decode::{FloatRange, MediaDuration, SeekMode};

const RATES: [u32; 9] = [
    8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000,
];

const QUALITIES: [ResamplerQuality; 5] = [
    ResamplerQuality::Fast,
    ResamplerQuality::Normal,
    ResamplerQuality::Good,
    ResamplerQuality::High,
    ResamplerQuality::Maximum,
];

fn rate(hertz: u32) -> NonZeroU32 {
    NonZeroU32::new(hertz).unwrap()
}

fn channels(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

fn at(hertz: u32) -> AudioConfig {
    AudioConfig::new().with_host_sample_rate(rate(hertz))
}

/// The samples of everything that is left, in reads of a few sizes.
fn rest(audio: &mut Audio) -> Vec<f32> {
    let mut numbers = Seeded::new(5);
    let mut all = Vec::new();
    let mut buf = vec![0.0; 9000];
    loop {
        let size = 32 + numbers.below(8_900) as usize;
        let count = audio.read(&mut buf[..size]).unwrap();
        if count == 0 {
            return all;
        }
        all.extend_from_slice(&buf[..count]);
    }
}

/// A bump that every rate can carry: a raised cosine around a time, a few milliseconds wide.
fn bump(hertz: u32, frames: u64, centre: f64) -> Vec<f32> {
    let width = 0.004;
    (0..frames)
        .map(|frame| {
            let off = frame as f64 / f64::from(hertz) - centre;
            if off.abs() < width {
                (0.25 + 0.25 * (off / width * std::f64::consts::PI).cos()) as f32
            } else {
                0.0
            }
        })
        .collect()
}

/// The centre of gravity of a bump, in frames.
fn centre(samples: &[f32]) -> f64 {
    let mass: f64 = samples.iter().map(|sample| f64::from(*sample)).sum();
    let moment: f64 = samples
        .iter()
        .enumerate()
        .map(|(frame, sample)| frame as f64 * f64::from(*sample))
        .sum();
    moment / mass
}

fn resample(from: u32, to: u32, quality: ResamplerQuality, samples: &[f32]) -> Vec<f32> {
    let mut resampler =
        ResamplerProcessor::new(rate(from), rate(to), channels(1), quality).unwrap();
    let (mut done, mut out) = (0, Vec::new());
    while done < samples.len() {
        done += resampler.process(&samples[done..], &mut out);
    }
    while resampler.finish(&mut out) {}
    out
}

#[test]
fn an_impulse_lands_on_its_frame_between_all_rates() {
    for from in RATES {
        for to in RATES.into_iter().filter(|to| *to != from) {
            // A frame of the input that has its time in common with one of the output.
            let impulse = (from / 50) as usize;
            let mut samples = vec![0.0; (from / 10) as usize];
            samples[impulse] = 1.0;
            let out = resample(from, to, ResamplerQuality::High, &samples);
            assert_eq!(out.len(), (to / 10) as usize, "{from} to {to}");
            let loudest = (0..out.len()).max_by(|a, b| out[*a].total_cmp(&out[*b]));
            assert_eq!(loudest, Some((to / 50) as usize), "{from} to {to}");
            let near = to as usize / 50;
            // It is symmetrical, so it is exactly there.
            for off in 1..20 {
                let difference = (out[near - off] - out[near + off]).abs();
                assert!(
                    difference < 1e-5,
                    "{from} to {to}: {difference} {off} frames off"
                );
            }
        }
    }
}

#[test]
fn every_quality_keeps_the_time_and_the_length() {
    for quality in QUALITIES {
        for (from, to) in [
            (44_100, 48_000),
            (48_000, 44_100),
            (22_050, 96_000),
            (96_000, 16_000),
            (44_101, 48_000),
            (48_000, 47_999),
        ] {
            for frames in [1u64, 777, u64::from(from) / 4 + 13] {
                let samples = bump(from, frames, 0.1);
                let out = resample(from, to, quality, &samples);
                let exact = (frames * u64::from(to) * 2 + u64::from(from)) / (2 * u64::from(from));
                assert_eq!(
                    out.len() as u64,
                    exact,
                    "{quality:?}, {frames} from {from} to {to}"
                );
                if frames > u64::from(from) / 5 {
                    let off = centre(&out) - 0.1 * f64::from(to);
                    let frame = f64::from(to) / f64::from(from);
                    // Half a frame where the rates have no measure in common that could be waited for.
                    let bound = if from % 100 == 1 || to % 100 == 99 {
                        0.5
                    } else {
                        frame / 100.0
                    };
                    assert!(
                        off.abs() < bound.max(0.01),
                        "{quality:?}, {from} to {to}: {off} frames off"
                    );
                }
            }
        }
    }
}

#[test]
fn a_title_is_read_at_the_rate_and_channels_asked_for() {
    for (from, to) in [
        (44_100, 48_000),
        (48_000, 44_100),
        (8_000, 192_000),
        (192_000, 48_000),
    ] {
        let frames = u64::from(from) * 2 + 41;
        let samples = bump(from, frames, 1.5);
        let config = at(to).with_channels(channels(2));
        let mut audio = open(wav(from, 1, samples), config).wait().unwrap();
        assert_eq!(audio.spec().sample_rate, rate(to));
        assert_eq!(audio.spec().channels, channels(2));
        let all = rest(&mut audio);
        let exact = (frames * u64::from(to) * 2 + u64::from(from)) / (2 * u64::from(from));
        assert_eq!(all.len() as u64, exact * 2, "{from} to {to}");
        let left: Vec<_> = all.chunks(2).map(|frame| frame[0]).collect();
        assert!(all.chunks(2).all(|frame| frame[0] == frame[1]));
        assert!((centre(&left) - 1.5 * f64::from(to)).abs() < 0.01);
        assert_eq!(audio.position(), audio.spec().time(exact));
        let length = Duration::from_nanos(frames * 1_000_000_000 / u64::from(from));
        assert_eq!(audio.duration(), Some(MediaDuration::Exact(length)));
    }
}

#[test]
fn equal_rates_leave_every_sample_as_it_is() {
    let mut audio = open(fixture::ramp(100_000), at(fixture::RATE))
        .wait()
        .unwrap();
    fixture::assert_ramp(&rest(&mut audio), 0);
}

#[test]
fn the_first_frame_after_a_seek_is_the_one_a_whole_read_has_there() {
    for (from, to, quality) in [
        (44_100, 48_000, ResamplerQuality::High),
        (48_000, 44_100, ResamplerQuality::Maximum),
        (96_000, 48_000, ResamplerQuality::Good),
        (22_050, 48_000, ResamplerQuality::Fast),
    ] {
        let mut numbers = Seeded::new(11);
        let samples: Vec<f32> = (0..from * 3)
            .map(|_| numbers.below(2_000) as f32 / 2_000.0 - 0.5)
            .collect();
        let bytes = wav(from, 1, samples);
        let config = || at(to).with_resampler_quality(quality);
        let whole = rest(&mut open(bytes.clone(), config()).wait().unwrap());
        let (config, mut events) = {
            let (listening, events) = listened();
            let config = listening
                .with_host_sample_rate(rate(to))
                .with_resampler_quality(quality);
            (config, events)
        };
        let mut audio = open(bytes, config).wait().unwrap();
        let control = audio.control();
        let mut buf = vec![0.0; 3000];
        for _ in 0..40 {
            let frame = numbers.below(u64::from(to) * 3 - 4000);
            let target = Duration::from_nanos((frame * 1_000_000_000).div_ceil(u64::from(to)));
            let id = control.seek(target, SeekMode::Exact).unwrap();
            let count = audio.read(&mut buf).unwrap();
            let expected = &whole[frame as usize..frame as usize + count];
            for (index, (found, expected)) in buf.iter().zip(expected).enumerate() {
                assert!(
                    (found - expected).abs() < 2e-6,
                    "{from} to {to}, {quality:?}, {index} frames after {frame}: {found}, not {expected}"
                );
            }
            await_event(&mut events, |event| match event {
                AudioEvent::SeekDone {
                    id: done,
                    landed,
                    exact,
                    ..
                } if *done == id => {
                    assert_eq!((*landed, *exact), (audio.spec().time(frame), true));
                    Some(())
                }
                _ => None,
            });
        }
        // Beyond the end is the end.
        control
            .seek(Duration::from_secs(9), SeekMode::Exact)
            .unwrap();
        assert_eq!(audio.read(&mut buf).unwrap(), 0);
        assert_eq!(audio.position(), Duration::from_secs(3));
    }
}

#[test]
fn samples_that_are_no_sound_are_replaced_unless_they_are_asked_for() {
    let written = [
        0.5,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        1e30,
        -1e30,
        // A loud recording stays what it is.
        1.5,
        -3.0,
    ];
    let tamed = [0.5, 0.0, 1.0, -1.0, 1.0, -1.0, 1.5, -3.0];
    for (config, expected) in [
        (AudioConfig::new(), tamed),
        (
            AudioConfig::new().with_float_range(FloatRange::AsWritten),
            written,
        ),
    ] {
        let samples = written.iter().copied().cycle().take(8 * 1000);
        let mut audio = open(wav(48_000, 1, samples), config).wait().unwrap();
        let all = rest(&mut audio);
        assert_eq!(all.len(), 8000);
        for (found, expected) in all.iter().zip(expected.iter().cycle()) {
            assert_eq!(found.to_bits(), expected.to_bits());
        }
    }
}

#[test]
fn runs_of_other_layouts_follow_on_the_frame_and_are_announced_before_they_are_read() {
    let (config, mut events) = listened();
    let second = Duration::from_secs(1);
    let runs = vec![
        (Duration::ZERO, wav(48_000, 2, vec![0.25; 96_000])),
        (second, wav(44_100, 1, bump(44_100, 44_100, 0.5))),
        (second * 2, wav(96_000, 6, vec![0.0; 6 * 96_000])),
    ];
    let mut audio = open_runs(runs, config).wait().unwrap();
    let mut buf = vec![0.0; 4096];
    let (mut all, mut changes) = (Vec::new(), Vec::new());
    loop {
        let before = audio.position();
        let count = audio.read(&mut buf).unwrap();
        while let Ok(event) = events.try_recv() {
            if let AudioEvent::FormatChanged { from, to, at } = event {
                assert_eq!(audio.spec().channels, channels(2));
                assert!(at >= before, "{at:?} was told after {before:?} was read");
                changes.push((from.sample_rate.get(), to.sample_rate.get(), at));
            }
        }
        all.extend_from_slice(&buf[..count]);
        if count == 0 {
            break;
        }
    }
    assert_eq!(
        changes,
        [(48_000, 44_100, second), (44_100, 96_000, second * 2)]
    );
    assert_eq!(all.len(), 3 * 96_000);
    assert!(all[..96_000].iter().all(|sample| *sample == 0.25));
    let left: Vec<_> = all[96_000..].chunks(2).map(|frame| frame[0]).collect();
    assert!((centre(&left) - 24_000.0).abs() < 0.01);
    assert!(all[2 * 96_000..].iter().all(|sample| sample.abs() < 1e-6));
}
