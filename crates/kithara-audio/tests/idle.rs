//! How often the decode thread wakes. Counted by the kernel, over audio played at its own pace.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

mod fixture;

use std::thread;
use std::time::{Duration, Instant};

use fixture::{CHANNELS, RATE, hang_guard, open, ramp, threads_named};
use kithara_audio::{Audio, AudioConfig, AudioControl, PcmReader, ReadState};

const SECONDS: u64 = 4;

/// How often the one decode thread of this process has waited.
fn waits() -> u64 {
    let threads = threads_named("kithara-decode");
    let [thread] = threads[..] else {
        panic!("not one decode thread: {threads:?}");
    };
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// Waits during `part`.
fn waits_during(part: impl FnOnce()) -> u64 {
    let before = waits();
    part();
    waits() - before
}

/// Reads `seconds` of audio by `try_read`, ten milliseconds at a time, as a sound card would.
fn play(audio: &mut Audio, seconds: u64) {
    let mut buf = vec![0.0; RATE as usize / 100 * CHANNELS];
    let begun = Instant::now();
    for step in 0..seconds * 100 {
        let due = Duration::from_millis(10 * step);
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let outcome = audio.try_read(&mut buf);
        assert_eq!(outcome.state, ReadState::Playing, "at step {step}");
    }
}

fn settled(control: &AudioControl) {
    hang_guard("the decode thread to sleep", || control.stats().wakes > 0);
}

// One test, because it counts the switches of the only decode thread.
#[test]
fn the_decode_thread_sleeps_while_it_is_not_needed() {
    let mut audio = open(ramp(RATE * 30), AudioConfig::new()).wait().unwrap();
    let control = audio.control();
    settled(&control);

    let playing = waits_during(|| play(&mut audio, SECONDS));
    println!("playing: {playing} waits in {SECONDS} s");
    assert!(
        playing <= 5 * SECONDS,
        "{playing} waits in {SECONDS} s of playing"
    );

    // It notices at its next look that nobody reads any more, and then keeps slowing.
    thread::sleep(Duration::from_secs(1));
    let stopped = waits_during(|| thread::sleep(Duration::from_secs(SECONDS)));
    println!("stopped: {stopped} waits in {SECONDS} s");
    assert!(
        stopped <= SECONDS,
        "{stopped} waits in {SECONDS} s without a reader"
    );

    // And is in time when somebody does again.
    play(&mut audio, SECONDS);
    assert_eq!(control.stats().underruns, 0);

    control.pause();
    thread::sleep(Duration::from_secs(2));
    let paused = waits_during(|| thread::sleep(Duration::from_secs(SECONDS)));
    assert_eq!(paused, 0, "waits while paused");

    control.resume();
    play(&mut audio, 1);
    assert_eq!(control.stats().underruns, 0);
}
