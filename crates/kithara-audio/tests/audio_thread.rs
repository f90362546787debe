//! What may be called on an audio thread allocates nothing and frees nothing there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::mpsc;
use std::thread;

use fixture::{
    CHANNELS, FRAME, Gate, HEADER, await_event, gated, hang_guard, listened, open, open_gated,
    ramp, time_of,
};
use kithara_audio::{Audio, AudioConfig, AudioEvent, PcmReader, ReadState};
use kithara_decode::SeekMode;
use kithara_tests::allocations::{Watching, touches};

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Fails if `part` allocates or frees on this thread.
fn watched<T>(part: impl FnOnce() -> T) -> T {
    let (result, touched) = touches(part);
    assert_eq!(touched, 0, "allocations and frees");
    result
}

#[test]
fn the_watch_notices_an_allocation() {
    let caught = std::panic::catch_unwind(|| watched(|| drop(std::hint::black_box(Box::new(5)))));
    assert!(caught.is_err());
}

/// Calls `try_read` a million times; how often it found each state.
fn a_million(audio: &mut Audio, frames: usize, state: ReadState) -> u64 {
    let mut buf = vec![0.0; frames * CHANNELS];
    watched(|| {
        let mut found = 0;
        for _ in 0..1_000_000 {
            found += u64::from(audio.try_read(&mut buf).state == state);
        }
        found
    })
}

#[test]
fn a_million_reads_in_every_state_touch_no_memory() {
    let mut audio = open(ramp(4_000_000), AudioConfig::new()).wait().unwrap();
    let control = audio.control();
    // Faster than it is decoded, so now and then nothing is ready; both are counted.
    let mut frames = 0;
    let mut buf = [0.0; 2];
    watched(|| {
        while frames < 1_000_000 {
            frames += audio.try_read(&mut buf).frames;
        }
    });
    control.pause();
    while watched(|| audio.try_read(&mut buf).state) != ReadState::Paused {}
    assert_eq!(a_million(&mut audio, 64, ReadState::Paused), 1_000_000);
    control.resume();
    control.seek(time_of(3_999_000), SeekMode::Exact).unwrap();
    hang_guard("the end", || {
        watched(|| audio.try_read(&mut buf).state) == ReadState::Ended
    });
    assert_eq!(a_million(&mut audio, 64, ReadState::Ended), 1_000_000);
    control.close();
    assert_eq!(a_million(&mut audio, 64, ReadState::Failed), 1_000_000);
}

#[test]
fn fades_and_changes_of_the_volume_touch_no_memory() {
    let mut audio = open(ramp(2_000_000), AudioConfig::new()).wait().unwrap();
    let control = audio.control();
    let mut buf = [0.0; 64];
    let (mut round, mut paused, mut playing) = (0_u32, 0, 0);
    // This loop reads faster than anything decodes, so how many rounds find frames is the scheduler's to say.
    hang_guard("frames between the changes", || {
        watched(|| {
            for _ in 0..1000 {
                round += 1;
                control.set_volume((round % 90) as f32 / 60.0);
                control.set_muted(round.is_multiple_of(7));
                match round % 100 {
                    10 => control.pause(),
                    40 => control.resume(),
                    60 if round % 2000 == 60 => {
                        let target = time_of(u64::from(round) * 10 % 1_000_000);
                        control.seek(target, SeekMode::Fast).unwrap();
                    }
                    _ => {}
                }
                match audio.try_read(&mut buf).state {
                    ReadState::Paused => paused += 1,
                    ReadState::Playing => playing += 1,
                    _ => {}
                }
            }
        });
        paused > 10_000 && playing > 1000
    });
}

#[test]
fn a_million_reads_while_bytes_are_missing_touch_no_memory() {
    let gate = Gate::open_to(HEADER + 60_000 * FRAME);
    let mut bytes = gated(ramp(200_000), &gate);
    bytes.fail_at = Some(HEADER + 150_000 * FRAME);
    let mut audio = open_gated(bytes, AudioConfig::new()).wait().unwrap();
    let control = audio.control();
    gate.await_reader();
    while audio.try_read(&mut [0.0; 8192]).state == ReadState::Playing {}
    assert_eq!(a_million(&mut audio, 64, ReadState::Buffering), 1_000_000);
    control.seek(time_of(140_000), SeekMode::Exact).unwrap();
    gate.await_reader();
    assert_eq!(a_million(&mut audio, 64, ReadState::Seeking), 1_000_000);
    gate.open(u64::MAX);
    let mut buf = [0.0; 64];
    hang_guard("the error", || {
        watched(|| audio.try_read(&mut buf).state) == ReadState::Failed
    });
    assert_eq!(a_million(&mut audio, 64, ReadState::Failed), 1_000_000);
}

#[test]
fn commands_and_seeks_that_land_touch_no_memory_on_the_reading_thread() {
    let (config, mut events) = listened();
    let mut audio = open(ramp(400_000), config).wait().unwrap();
    let control = audio.control();
    let mut buf = [0.0; 256];
    for round in 0..500u64 {
        let target = time_of(round * 700);
        watched(|| {
            control.seek(target, SeekMode::Exact).unwrap();
            control.pause();
            control.position();
            control.stats();
            control.resume();
        });
        if round % 2 == 0 {
            await_event(&mut events, |event| match event {
                AudioEvent::SeekDone { target: landed, .. } if *landed == target => Some(()),
                _ => None,
            });
        }
        hang_guard("a frame", || {
            watched(|| audio.try_read(&mut buf)).frames > 0
        });
        assert_eq!(fixture::frame_of(&buf[..2]), round * 700);
    }
}

#[test]
fn going_over_to_another_output_touches_no_memory_on_the_reading_thread() {
    let (config, mut events) = listened();
    let mut audio = open(ramp(3_000_000), config).wait().unwrap();
    let control = audio.control();
    let mut buf = [0.0; 256];
    for round in 0..60u32 {
        watched(|| match round % 3 {
            0 => control.set_host_sample_rate(NonZeroU32::new(44_100 + round).unwrap()),
            1 => control.set_channels(NonZeroU16::new(1 + (round / 3 % 2) as u16).unwrap()),
            _ => control.set_speed(1.0 + f64::from(round) / 100.0),
        });
        // The reader goes on meanwhile, over the old lane's end if it has to.
        let (spec, mut frames) = (audio.spec(), 0);
        await_event(&mut events, |event| {
            matches!(event, AudioEvent::OutputChanged { .. }).then_some(())
        });
        hang_guard("a frame", || {
            frames += watched(|| audio.try_read(&mut buf)).frames;
            frames > 1000
        });
        assert_eq!(audio.spec() == spec, round % 3 == 2, "round {round}");
    }
}

#[test]
fn dropping_frees_nothing_on_the_reading_thread() {
    let wav: std::sync::Arc<[u8]> = ramp(100_000).into();
    let (to_audio_thread, audios) = mpsc::channel::<(Audio, bool)>();
    let (dropped, drops) = mpsc::sync_channel(0);
    let audio_thread = thread::spawn(move || {
        for (audio, close) in audios {
            let control = audio.control();
            if close {
                control.close();
            }
            watched(|| drop(audio));
            dropped.send(()).unwrap();
            drop(control);
        }
    });
    for round in 0..500 {
        let gate = Gate::open_to(HEADER + [30_000, 200_000][round % 2] * FRAME);
        let mut bytes = gated(Vec::new(), &gate);
        bytes.bytes = std::io::Cursor::new(wav.clone());
        let mut audio = open_gated(bytes, AudioConfig::new()).wait().unwrap();
        if round % 3 == 0 {
            audio.control().seek(time_of(100), SeekMode::Fast).unwrap();
            hang_guard("a frame", || audio.try_read(&mut [0.0; 64]).frames > 0);
        }
        to_audio_thread.send((audio, round % 5 == 0)).unwrap();
        drops.recv().unwrap();
    }
    drop(to_audio_thread);
    audio_thread.join().unwrap();
}

#[test]
fn what_an_audio_keeps_is_dropped_by_the_decode_thread() {
    struct Company(mpsc::Sender<Option<String>>);
    impl Drop for Company {
        fn drop(&mut self) {
            let name = thread::current().name().map(str::to_owned);
            self.0.send(name).unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    let audio = open(ramp(1_000), AudioConfig::new()).wait().unwrap();
    let company = std::sync::Arc::new(Company(tell));
    audio.keep(company.clone());
    watched(|| {
        drop(company);
        drop(audio);
    });
    assert_eq!(told.recv().unwrap().as_deref(), Some("kithara-decode"));
}
