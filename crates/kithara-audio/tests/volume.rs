//! The volume is heard at once, in ramps, however the title is read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::time::Duration;

use fixture::{CHANNELS, RATE, assert_ramp, left, open, ramp, time_of, tone};
use kithara_audio::{Audio, AudioConfig, PcmReader};
use kithara_decode::SeekMode;

const FRAMES: u32 = 60_000;
/// Ten milliseconds.
const RAMP: usize = RATE as usize / 100;

/// Everything decoded and queued, nothing faded.
fn ready(wav: Vec<u8>) -> Audio {
    let config = AudioConfig::new()
        .with_preload(usize::MAX)
        .with_fades(Duration::ZERO);
    open(wav, config).wait().unwrap()
}

/// One way of reading: `frames` frames, interleaved.
type Way = fn(&mut Audio, frames: usize) -> Vec<f32>;

const WAYS: [(&str, Way); 4] = [
    ("read", |audio, frames| {
        let mut pcm = vec![f32::NAN; frames * CHANNELS];
        assert_eq!(audio.read(&mut pcm).unwrap(), pcm.len());
        pcm
    }),
    ("read_planar", |audio, frames| {
        let (mut left, mut right) = (vec![f32::NAN; frames], vec![f32::NAN; frames]);
        let read = audio.read_planar(&mut [&mut left, &mut right]).unwrap();
        assert_eq!(read, frames);
        left.into_iter()
            .zip(right)
            .flat_map(<[f32; 2]>::from)
            .collect()
    }),
    ("read_async", |audio, frames| {
        let mut pcm = vec![f32::NAN; frames * CHANNELS];
        let read = pollster::block_on(audio.read_async(&mut pcm)).unwrap();
        assert_eq!(read, pcm.len());
        pcm
    }),
    ("try_read", |audio, frames| {
        let mut pcm = vec![f32::NAN; frames * CHANNELS];
        assert_eq!(audio.try_read(&mut pcm).frames, frames);
        pcm
    }),
];

#[test]
fn every_way_of_reading_follows_the_volume_in_a_straight_ramp() {
    for (name, way) in WAYS {
        let mut audio = ready(tone(FRAMES, |_| 1.0));
        let control = audio.control();
        let mut heard = way(&mut audio, 1000);
        assert!(heard.chunks(2).all(|frame| frame == [1.0, -1.0]), "{name}");
        control.set_volume(0.25);
        // In several pieces, one of them a single frame.
        for frames in [1, 100, 379, 1000] {
            heard.extend(way(&mut audio, frames));
        }
        control.set_muted(true);
        heard.extend(way(&mut audio, 1000));
        control.set_muted(false);
        control.set_volume(2.0);
        heard.extend(way(&mut audio, 1000));
        let line: Vec<_> = heard.chunks(2).map(|frame| frame[0]).collect();
        assert!(heard.chunks(2).all(|frame| frame[1] == -frame[0]), "{name}");
        for (from, to, at) in [(1.0, 0.25, 1000), (0.25, 0.0, 2480), (0.0, 2.0, 3480)] {
            let (before, ramp, after) = (line[at - 1], &line[at..at + RAMP], line[at + RAMP]);
            assert_eq!((before, ramp[RAMP - 1], after), (from, to, to), "{name}");
            for (index, factor) in ramp.iter().enumerate() {
                let straight = from + (to - from) * (index + 1) as f32 / RAMP as f32;
                assert!((factor - straight).abs() < 1e-5, "{name}: {index}");
            }
        }
        assert!(line[2480 + RAMP..3480].iter().all(|sample| *sample == 0.0));
    }
}

#[test]
fn a_volume_set_before_the_first_frame_holds_from_there_and_full_volume_is_exact() {
    for (name, way) in WAYS {
        let mut audio = ready(ramp(FRAMES));
        let control = audio.control();
        control.set_volume(0.5);
        for (frame, pair) in (0..).zip(way(&mut audio, 500).chunks(2)) {
            assert_eq!(pair, [left(frame) / 2.0, -left(frame) / 2.0], "{name}");
        }
        control.set_volume(1.0);
        way(&mut audio, RAMP);
        assert_ramp(&way(&mut audio, 3000), 500 + RAMP as u64);
    }
}

#[test]
fn muted_frames_are_counted_as_all_others() {
    let mut audio = ready(ramp(FRAMES));
    let control = audio.control();
    assert_eq!((control.volume(), control.is_muted()), (1.0, false));
    control.set_muted(true);
    let mut buf = vec![f32::NAN; 1000];
    let mut frames = 0;
    loop {
        let count = audio.read(&mut buf).unwrap();
        if count == 0 {
            break;
        }
        assert!(buf[..count].iter().all(|sample| *sample == 0.0));
        frames += count / CHANNELS;
    }
    assert_eq!(frames, FRAMES as usize);
    assert_eq!(control.stats().frames_read, u64::from(FRAMES));
    assert_eq!((control.volume(), control.is_muted()), (1.0, true));
}

#[test]
fn a_change_during_a_pause_is_complete_when_it_ends() {
    let config = AudioConfig::new().with_preload(usize::MAX);
    let mut audio = open(tone(FRAMES, |_| 1.0), config).wait().unwrap();
    let control = audio.control();
    let mut buf = [0.0; 2000];
    audio.try_read(&mut buf);
    control.pause();
    audio.try_read(&mut buf);
    control.set_muted(true);
    control.resume();
    audio.try_read(&mut buf);
    assert!(buf.iter().all(|sample| *sample == 0.0), "a blip");
    control.seek(time_of(30_000), SeekMode::Exact).unwrap();
    control.set_muted(false);
    let count = audio.read(&mut buf).unwrap();
    assert!(count > 0);
}
