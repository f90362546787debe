//! What the effects of a title are shown, and what becomes of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::sync::{Arc, Mutex};
use std::thread;

use fixture::{CHANNELS, RATE, Seeded, assert_ramp, left, open, ramp, time_of};
use kithara_audio::{Audio, AudioConfig, AudioEffect, AudioError, PcmReader};
use kithara_decode::{PcmSpec, SeekMode};
use kithara_stream::StreamError;

const FRAMES: u32 = 300_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Prepared(usize),
    Reset,
    Block { frame: u64, frames: u64 },
    Dropped,
}

/// Doubles every sample, and tells what it sees.
struct Doubling(Arc<Mutex<Vec<Seen>>>);

impl Doubling {
    fn watched() -> (Box<dyn AudioEffect>, Arc<Mutex<Vec<Seen>>>) {
        let seen = Arc::default();
        (Box::new(Self(Arc::clone(&seen))), seen)
    }

    fn see(&self, what: Seen) {
        assert_eq!(thread::current().name(), Some("kithara-decode"));
        self.0.lock().unwrap().push(what);
    }
}

impl AudioEffect for Doubling {
    fn prepare(&mut self, spec: PcmSpec, max_frames: usize) {
        assert_eq!(spec.sample_rate.get(), RATE);
        assert_eq!(usize::from(spec.channels.get()), CHANNELS);
        self.see(Seen::Prepared(max_frames));
    }

    fn process(&mut self, pcm: &mut [f32], frame: u64) {
        assert_ramp(pcm, frame);
        let frames = (pcm.len() / CHANNELS) as u64;
        self.see(Seen::Block { frame, frames });
        pcm.iter_mut().for_each(|sample| *sample *= 2.0);
    }

    fn reset(&mut self) {
        self.see(Seen::Reset);
    }
}

impl Drop for Doubling {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(Seen::Dropped);
    }
}

/// Checks that blocks follow each other but after resets, and none is too long; where they ended.
fn assert_contiguous(seen: &[Seen]) -> u64 {
    let Seen::Prepared(max) = seen[0] else {
        panic!("{:?} came first", seen[0]);
    };
    let mut next = Some(0);
    for what in &seen[1..] {
        match *what {
            Seen::Block { frame, frames } => {
                assert!(frames > 0 && frames <= max as u64);
                assert!(next.is_none_or(|next| next == frame), "{frame}");
                next = Some(frame + frames);
            }
            Seen::Reset => next = None,
            Seen::Prepared(_) | Seen::Dropped => panic!("{what:?} in between"),
        }
    }
    next.unwrap()
}

fn is_doubled(pcm: &[f32], first: u64) {
    for (frame, pair) in (first..).zip(pcm.chunks(CHANNELS)) {
        assert_eq!(pair, [2.0 * left(frame), -2.0 * left(frame)], "{frame}");
    }
}

#[test]
fn an_effect_sees_every_frame_once_and_what_it_makes_of_it_is_read() {
    let (effect, seen) = Doubling::watched();
    let config = AudioConfig::new().with_effect(effect);
    let mut audio = open(ramp(FRAMES), config).wait().unwrap();
    let mut next = 0;
    for block in audio.blocks() {
        let block = block.unwrap();
        is_doubled(&block.pcm, next);
        next += block.frames() as u64;
    }
    assert_eq!(next, u64::from(FRAMES));
    assert_eq!(assert_contiguous(&seen.lock().unwrap()), next);
}

#[test]
fn an_effect_is_reset_by_every_seek_and_goes_on_where_it_lands() {
    let (effect, seen) = Doubling::watched();
    let config = AudioConfig::new().with_effect(effect);
    let mut audio = open(ramp(FRAMES), config).wait().unwrap();
    let control = audio.control();
    let mut numbers = Seeded::new(5);
    let mut buf = vec![0.0; 3000];
    for _ in 0..50 {
        let target = numbers.below(u64::from(FRAMES) - 2000);
        control.seek(time_of(target), SeekMode::Exact).unwrap();
        let mut next = target;
        for _ in 0..numbers.below(5) {
            let count = audio.read(&mut buf).unwrap();
            is_doubled(&buf[..count], next);
            next += (count / CHANNELS) as u64;
        }
    }
    let seen = seen.lock().unwrap();
    assert_contiguous(&seen);
    assert!(seen.iter().filter(|what| **what == Seen::Reset).count() > 10);
}

#[test]
fn effects_that_served_no_title_serve_the_next_attempt() {
    let (effect, seen) = Doubling::watched();
    let config = AudioConfig::new().with_effect(effect);
    let absent = Audio::open(|| Err(StreamError::Closed), config.clone());
    assert!(absent.wait().is_err());
    // One that fails when the effect serves it already: its only block cannot be had.
    let mut cut = ramp(FRAMES);
    cut.truncate(50);
    assert!(open(cut, config.clone()).wait().is_err());
    let mut audio = open(ramp(1000), config).wait().unwrap();
    let mut buf = [0.0; 2000];
    let count = audio.read(&mut buf).unwrap();
    is_doubled(&buf[..count], 0);
    assert!(!seen.lock().unwrap().contains(&Seen::Dropped));
}

/// Panics at a frame.
struct Bomb(u64);

impl AudioEffect for Bomb {
    fn prepare(&mut self, _spec: PcmSpec, _max_frames: usize) {}

    fn process(&mut self, pcm: &mut [f32], frame: u64) {
        let end = frame + (pcm.len() / CHANNELS) as u64;
        assert!(end <= self.0, "the effect panics");
    }

    fn reset(&mut self) {}
}

#[test]
fn an_effect_that_panics_ends_its_own_title_and_no_other() {
    let mut other = open(ramp(FRAMES), AudioConfig::new()).wait().unwrap();
    let config = AudioConfig::new().with_effect(Box::new(Bomb(0)));
    let error = open(ramp(FRAMES), config).wait().unwrap_err();
    assert!(matches!(error, AudioError::Worker { .. }), "{error:?}");
    let config = AudioConfig::new().with_effect(Box::new(Bomb(50_000)));
    let mut audio = open(ramp(FRAMES), config).wait().unwrap();
    let (mut buf, mut next) = (vec![0.0; 4096], 0);
    let error = loop {
        match audio.read(&mut buf) {
            Ok(count) => {
                assert_ramp(&buf[..count], next);
                next += (count / CHANNELS) as u64;
            }
            Err(error) => break error,
        }
    };
    // Exact up to the block that it did not finish.
    assert!((40_000..=50_000).contains(&next), "{next}");
    assert!(
        matches!(&error, AudioError::Worker { what } if what.contains("the effect panics")),
        "{error:?}"
    );
    let count = other.read(&mut buf).unwrap();
    assert_ramp(&buf[..count], 0);
}
