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

/// Waits during `part`, and the seconds it took, begun ones counted: on a busy machine everything takes longer.
fn waits_during(part: impl FnOnce()) -> (u64, u64) {
    let (before, begun) = (waits(), Instant::now());
    part();
    (waits() - before, begun.elapsed().as_secs() + 1)
}

/// Reads `seconds` of audio by `try_read`, ten milliseconds at a time, as a sound card would. Whoever was held up does not
/// make up for it.
fn play(audio: &mut Audio, seconds: u64) {
    let mut buf = vec![0.0; RATE as usize / 100 * CHANNELS];
    for _ in 0..seconds * 100 {
        audio.try_read(&mut buf);
        thread::sleep(Duration::from_millis(10));
    }
}

/// Rests and plays until what follows a rest was served in time: a round in which the machine held nobody up.
fn plays_in_time(audio: &mut Audio, control: &AudioControl, rest: impl Fn()) {
    hang_guard("playing in time", || {
        rest();
        let before = control.stats().underruns;
        play(audio, 1);
        control.stats().underruns == before
    });
}

fn settled(control: &AudioControl) {
    hang_guard("the decode thread to sleep", || control.stats().wakes > 0);
}

// One test, because it counts the switches of the only decode thread. It is about idling, so it lets time pass.
#[test]
fn the_decode_thread_sleeps_while_it_is_not_needed() {
    let mut audio = open(ramp(RATE * 120), AudioConfig::new()).wait().unwrap();
    let control = audio.control();
    settled(&control);

    let (playing, took) = waits_during(|| play(&mut audio, SECONDS));
    println!("playing: {playing} waits in {took} s");
    assert!(
        playing <= 5 * took,
        "{playing} waits in {took} s of playing"
    );

    // It notices at its next look that nobody reads any more, and then keeps slowing.
    hang_guard("hardly a wait without a reader", || {
        let (stopped, took) = waits_during(|| thread::sleep(Duration::from_secs(SECONDS)));
        println!("stopped: {stopped} waits in {took} s");
        stopped <= took
    });

    // And is in time when somebody does again.
    plays_in_time(&mut audio, &control, || {
        thread::sleep(Duration::from_secs(SECONDS));
    });

    control.pause();
    hang_guard("no wait while paused", || {
        let (paused, _) = waits_during(|| thread::sleep(Duration::from_secs(SECONDS)));
        paused == 0
    });

    plays_in_time(&mut audio, &control, || {
        control.pause();
        thread::sleep(Duration::from_secs(1));
        control.resume();
    });
    assert_eq!(
        audio.try_read(&mut [0.0; CHANNELS]).state,
        ReadState::Playing
    );
}
