//! On the real-time edge nothing clicks: what stops fades out, what begins in the middle of a title fades in.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::time::Duration;

use fixture::{
    CHANNELS, FRAME, Gate, HEADER, RATE, Seeded, assert_ramp, gated, hang_guard, left, open,
    open_gated, ramp, time_of, tone,
};
use kithara_audio::{Audio, AudioConfig, PcmReader, ReadState};
use kithara_decode::SeekMode;

/// Ten milliseconds.
const FADE: usize = RATE as usize / 100;

/// Decoded as far ahead as there is room.
fn ready(wav: Vec<u8>) -> Audio {
    let config = AudioConfig::new().with_preload(usize::MAX);
    open(wav, config).wait().unwrap()
}

/// The left samples of the next `frames` frames, silence included; how many of them were of the title, and the state.
fn hear(audio: &mut Audio, frames: usize) -> (Vec<f32>, usize, ReadState) {
    let mut buf = vec![f32::NAN; frames * CHANNELS];
    let outcome = audio.try_read(&mut buf);
    for frame in buf.chunks(CHANNELS) {
        assert_eq!(frame[1], -frame[0], "the channels differ");
    }
    let line = buf.chunks(CHANNELS).map(|frame| frame[0]).collect();
    (line, outcome.frames, outcome.state)
}

/// Reads until the seek has landed; the left samples of the first `frames` frames after it.
fn landed(audio: &mut Audio, frames: usize) -> Vec<f32> {
    let mut heard = Vec::new();
    hang_guard("the seek", || {
        let (line, count, _) = hear(audio, 1);
        heard.extend(&line[..count]);
        count > 0
    });
    while heard.len() < frames {
        let (line, count, _) = hear(audio, frames - heard.len());
        heard.extend(&line[..count]);
    }
    heard
}

/// Whether it rises from `from` to `to` (or falls) in equal steps, ending with `to`.
fn is_straight(line: &[f32], from: f32, to: f32) -> bool {
    line.iter().enumerate().all(|(index, sample)| {
        let straight = from + (to - from) * (index + 1) as f32 / line.len() as f32;
        (sample - straight).abs() < 1e-5
    })
}

#[test]
fn a_pause_fades_out_and_a_resume_fades_in_from_the_next_frame() {
    let mut audio = ready(tone(90_000, |_| 1.0));
    let control = audio.control();
    // Whole buffers and odd ones, longer and shorter than a fade.
    let mut next = 0;
    for size in [1000, 480, 479, 481, 7] {
        let (line, frames, _) = hear(&mut audio, 1000);
        assert_eq!((frames, line[999]), (1000, 1.0));
        control.pause();
        let (mut out, mut handed) = (Vec::new(), 0);
        loop {
            let (line, frames, state) = hear(&mut audio, size);
            out.extend(line);
            handed += frames;
            if state == ReadState::Paused {
                break;
            }
        }
        assert_eq!(handed, FADE);
        assert!(is_straight(&out[..FADE], 1.0, 0.0));
        assert!(out[FADE..].iter().all(|sample| *sample == 0.0));
        assert_eq!(hear(&mut audio, 64), (vec![0.0; 64], 0, ReadState::Paused));
        next += 1000 + FADE as u64;
        assert_eq!(control.position(), audio.spec().time(next));
        control.resume();
        let (line, frames, _) = hear(&mut audio, 1000);
        assert_eq!(frames, 1000);
        assert!(is_straight(&line[..FADE], 0.0, 1.0));
        assert!(line[FADE..].iter().all(|sample| *sample == 1.0));
        next += 1000;
    }
}

#[test]
fn a_pause_taken_back_turns_the_fade_around() {
    let mut audio = ready(tone(90_000, |_| 1.0));
    let control = audio.control();
    let mut line = hear(&mut audio, 100).0;
    control.pause();
    line.extend(hear(&mut audio, 200).0);
    control.resume();
    line.extend(hear(&mut audio, 100).0);
    control.pause();
    let (rest, frames, state) = hear(&mut audio, 1000);
    assert_eq!((frames, state), (FADE, ReadState::Paused));
    line.extend(rest);
    let step = 1.0 / FADE as f32 + 1e-6;
    assert!(
        line.windows(2)
            .all(|pair| (pair[1] - pair[0]).abs() <= step)
    );
    assert_eq!(control.stats().frames_read, 400 + FADE as u64);
}

#[test]
fn no_frame_is_lost_or_doubled_by_fades() {
    let mut audio = ready(ramp(90_000));
    let control = audio.control();
    for _ in 0..20 {
        control.pause();
        while hear(&mut audio, 64).2 != ReadState::Paused {}
        let next = control.stats().frames_read;
        control.resume();
        let (line, frames, _) = hear(&mut audio, FADE + 100);
        assert_eq!(frames, FADE + 100);
        // Not even where it begins does the title fade in.
        let exact = if next == 0 { 0 } else { FADE };
        for (index, sample) in line.iter().enumerate().skip(exact) {
            assert_eq!(*sample, left(next + index as u64));
        }
    }
    let mut rest = vec![0.0; 200_000];
    let next = control.stats().frames_read;
    let outcome = audio.try_read(&mut rest);
    assert_eq!(outcome.frames as u64 + next, 90_000);
    assert_ramp(&rest[..outcome.frames * CHANNELS], next);
}

#[test]
fn a_seek_lets_the_last_frame_die_away_and_fades_in_where_it_lands() {
    let mut audio = ready(tone(90_000, |_| 0.5));
    let control = audio.control();
    hear(&mut audio, 1000);
    control.seek(time_of(50_000), SeekMode::Exact).unwrap();
    // What dies away and what fades in add up to the same, if the seek has landed when it is looked for.
    let mut line = vec![0.5];
    let mut handed = 0;
    hang_guard("the landing", || {
        let (more, frames, _) = hear(&mut audio, 100);
        line.extend(more);
        handed += frames;
        handed > 2 * FADE
    });
    let step = 0.5 / FADE as f32 + 1e-6;
    assert!(
        line.windows(2)
            .all(|pair| (pair[1] - pair[0]).abs() <= step)
    );
    assert_eq!(*line.last().unwrap(), 0.5);
    // The same without anything heard before.
    control.pause();
    while hear(&mut audio, 64).2 != ReadState::Paused {}
    control.seek(time_of(7), SeekMode::Exact).unwrap();
    control.resume();
    let line = landed(&mut audio, 1000);
    assert!(is_straight(&line[..FADE], 0.0, 0.5));
    assert!(line[FADE..].iter().all(|sample| *sample == 0.5));
}

#[test]
fn a_title_begins_and_ends_as_it_is_so_that_titles_join() {
    let frames = 20_000_u32;
    // One title, and the same in two.
    let music = |frame: u64| (frame as f32 * 0.01).sin();
    let whole: Vec<_> = (0..u64::from(2 * frames)).map(music).collect();
    let mut first = ready(tone(frames, music));
    let mut second = ready(tone(frames, |frame| music(frame + u64::from(frames))));
    // Even if it waited for its turn, or was sought back to its beginning.
    second.control().pause();
    hear(&mut second, 10);
    second.control().resume();
    let mut heard = hear(&mut first, frames as usize).0;
    let (silence, handed, state) = hear(&mut first, 1000);
    assert_eq!((handed, state), (0, ReadState::Ended));
    assert_eq!(silence, [0.0; 1000]);
    heard.extend(hear(&mut second, frames as usize).0);
    assert!(heard == whole, "the join is not that of one title");
    assert_eq!(hear(&mut second, 10).2, ReadState::Ended);
    second
        .control()
        .seek(Duration::ZERO, SeekMode::Fast)
        .unwrap();
    let again = landed(&mut second, 1000);
    assert!(
        again == whole[frames as usize..][..1000],
        "a beginning fades in"
    );
}

#[test]
fn an_underrun_dies_away_and_what_follows_it_fades_in() {
    let gate = Gate::open_to(HEADER + 30_000 * FRAME);
    let bytes = gated(tone(90_000, |_| 1.0), &gate);
    let mut audio = open_gated(bytes, AudioConfig::new()).wait().unwrap();
    let mut heard = Vec::new();
    // It may run dry before the gate, faster than it is decoded as it is read.
    hang_guard("the underrun", || {
        // Asked first: behind the gate nothing comes any more.
        let is_all = gate.has_reader();
        let (line, _, state) = hear(&mut audio, 1000);
        heard.extend(line);
        is_all && state == ReadState::Buffering
    });
    heard.extend(hear(&mut audio, FADE).0);
    assert_eq!(
        hear(&mut audio, 10),
        (vec![0.0; 10], 0, ReadState::Buffering)
    );
    gate.open(u64::MAX);
    // It may run dry again on the way.
    hang_guard("what follows", || {
        heard.extend(hear(&mut audio, FADE).0);
        heard.ends_with(&[1.0; 2])
    });
    let step = 1.0 / FADE as f32 + 1e-6;
    let steps = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    assert!(steps.fold(0.0, f32::max) <= step);
    assert!(heard.contains(&0.0) && heard.ends_with(&[1.0]));
    assert!(audio.control().stats().underruns > 0);
}

#[test]
fn whatever_is_done_at_any_moment_nothing_steps() {
    for seed in 0..6 {
        let mut audio = open(tone(200_000, |_| 1.0), AudioConfig::new())
            .wait()
            .unwrap();
        let control = audio.control();
        let mut numbers = Seeded::new(seed);
        let mut before = hear(&mut audio, 1).0[0];
        assert_eq!(before, 1.0);
        for _ in 0..3000 {
            match numbers.below(12) {
                0 => control.pause(),
                1 | 2 => control.resume(),
                3 => control.set_muted(numbers.below(2) == 0),
                4 => control.set_volume(numbers.below(100) as f32 / 99.0),
                5 => {
                    let target = time_of(1 + numbers.below(150_000));
                    control.seek(target, SeekMode::Exact).unwrap();
                }
                _ => {}
            }
            let (mut line, frames, state) = hear(&mut audio, 1 + numbers.below(700) as usize);
            assert_ne!(state, ReadState::Failed);
            if state == ReadState::Ended {
                // The title's own end is none of ours.
                line.truncate(frames);
            }
            // A ramp of the volume, a fade and something dying away may come together.
            let bound = 3.0 / FADE as f32 + 1e-5;
            for sample in line {
                let step: f32 = sample - before;
                assert!(
                    step.abs() <= bound,
                    "seed {seed}: from {before} to {sample}"
                );
                assert!((-1e-5..=1.0 + 1e-5).contains(&sample), "{sample}");
                before = sample;
            }
            if state == ReadState::Ended {
                control.seek(time_of(1000), SeekMode::Exact).unwrap();
                before = 0.0;
            }
        }
    }
}

#[test]
fn without_fades_everything_steps_and_every_frame_is_exact() {
    let config = AudioConfig::new()
        .with_preload(usize::MAX)
        .with_fades(Duration::ZERO);
    let mut audio = open(ramp(90_000), config).wait().unwrap();
    let control = audio.control();
    let mut buf = vec![f32::NAN; 2000];
    let exactly = |audio: &mut Audio, buf: &mut [f32], first| {
        assert_eq!(audio.try_read(buf).frames, 1000);
        assert_ramp(buf, first);
    };
    exactly(&mut audio, &mut buf, 0);
    control.pause();
    let outcome = audio.try_read(&mut buf);
    assert_eq!((outcome.frames, outcome.state), (0, ReadState::Paused));
    assert!(buf.iter().all(|sample| *sample == 0.0));
    control.resume();
    exactly(&mut audio, &mut buf, 1000);
    control.seek(time_of(40_000), SeekMode::Exact).unwrap();
    let line = landed(&mut audio, 1000);
    assert!((40_000..41_000).map(left).eq(line));
}

#[test]
fn reads_that_wait_never_fade() {
    let mut audio = ready(ramp(90_000));
    let control = audio.control();
    let mut buf = vec![f32::NAN; 2000];
    for target in [50_000, 10, 80_000] {
        control.seek(time_of(target), SeekMode::Exact).unwrap();
        let count = audio.read(&mut buf).unwrap();
        assert_ramp(&buf[..count], target);
        let next = target + (count / CHANNELS) as u64;
        control.pause();
        assert_eq!(control.state(), ReadState::Paused);
        control.resume();
        let (mut left, mut right) = ([0.0; 700], [0.0; 700]);
        let frames = audio.read_planar(&mut [&mut left, &mut right]).unwrap();
        for (frame, sample) in (next..).zip(&left[..frames]) {
            assert_eq!(*sample, fixture::left(frame));
        }
        // One that does not wait goes on in the middle of it.
        let next = next + frames as u64;
        let (line, frames, _) = hear(&mut audio, 300);
        for (frame, sample) in (next..).zip(&line[..frames]) {
            assert_eq!(*sample, fixture::left(frame));
        }
    }
}
