//! The newest seek wins, and nothing from before it is ever read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fixture::{
    CHANNELS, FRAME, Gate, HEADER, Seeded, assert_ramp, await_event, exact, frame_of, gated,
    hang_guard, listened, open, open_gated, ramp, time_of,
};
use kithara_audio::{Audio, AudioError, AudioEvent, PcmReader, ReadState, SeekId};
use kithara_decode::SeekMode;

const FRAMES: u32 = 400_000;

fn done(id: SeekId) -> impl FnMut(&AudioEvent) -> Option<(Duration, Duration, bool)> {
    move |event| match event {
        AudioEvent::SeekDone {
            id: found,
            target,
            landed,
            exact,
        } if *found == id => Some((*target, *landed, *exact)),
        _ => None,
    }
}

/// Reads without waiting until something is there; the frame of the first sample.
fn first_frame(audio: &mut Audio) -> u64 {
    let mut buf = [0.0; 64];
    let mut frame = None;
    hang_guard("a frame", || {
        let outcome = audio.try_read(&mut buf);
        assert!(outcome.state != ReadState::Failed);
        if outcome.frames > 0 {
            frame = Some(frame_of(&buf[..outcome.frames * CHANNELS]));
        }
        frame.is_some()
    });
    frame.unwrap()
}

#[test]
fn a_seek_is_exact_and_reported() {
    let (config, mut events) = listened();
    let mut audio = open(ramp(FRAMES), config).wait().unwrap();
    let control = audio.control();
    let mut numbers = Seeded::new(3);
    let mut buf = vec![0.0; 3000];
    for round in 0..200 {
        let frame = numbers.below(u64::from(FRAMES) - 2000);
        let mode = [SeekMode::Fast, SeekMode::Exact][round % 2];
        let id = control.seek(time_of(frame), mode).unwrap();
        if round % 3 == 0 {
            assert_eq!(first_frame(&mut audio), frame);
        } else {
            let count = audio.read(&mut buf).unwrap();
            assert_ramp(&buf[..count], frame);
            let played = audio.spec().time(frame + (count / CHANNELS) as u64);
            assert_eq!(control.position(), played);
        }
        let (target, landed, exact) = await_event(&mut events, done(id));
        assert_eq!(
            (target, landed, exact),
            (time_of(frame), audio.spec().time(frame), true)
        );
    }
}

#[test]
fn a_storm_of_seeks_never_yields_a_stale_frame() {
    for paused in [false, true] {
        let mut audio = open(ramp(FRAMES), exact()).wait().unwrap();
        let control = audio.control();
        if paused {
            control.pause();
        }
        let over = Arc::new(AtomicBool::new(false));
        let stormers: Vec<_> = (0..4)
            .map(|seed| {
                let (control, over) = (control.clone(), Arc::clone(&over));
                thread::spawn(move || {
                    let mut numbers = Seeded::new(seed);
                    while !over.load(Ordering::Relaxed) {
                        control
                            .seek(time_of(numbers.below(90_000)), SeekMode::Exact)
                            .unwrap();
                        for _ in 0..numbers.below(2000) {
                            std::hint::spin_loop();
                        }
                    }
                })
            })
            .collect();
        // Own seeks go where no other does, so a frame from there can be told apart.
        let mut numbers = Seeded::new(99);
        let mut buf = vec![0.0; 1024];
        for _ in 0..400 {
            for _ in 0..numbers.below(4) {
                let outcome = audio.try_read(&mut buf);
                assert!(!paused || outcome.frames == 0);
                if outcome.frames > 0 {
                    frame_of(&buf[..outcome.frames * CHANNELS]);
                }
            }
            control.seek(time_of(200_000), SeekMode::Exact).unwrap();
            let outcome = audio.try_read(&mut buf);
            if outcome.frames > 0 {
                let frame = frame_of(&buf[..outcome.frames * CHANNELS]);
                assert!(frame < 90_000 || frame == 200_000, "a stale frame {frame}");
            }
        }
        over.store(true, Ordering::Relaxed);
        for stormer in stormers {
            stormer.join().unwrap();
        }
        control.seek(time_of(300_000), SeekMode::Exact).unwrap();
        assert_eq!(control.position(), time_of(300_000).min(control.position()));
        control.resume();
        let count = audio.read(&mut buf).unwrap();
        assert_ramp(&buf[..count], 300_000);
    }
}

#[test]
fn of_many_seeks_few_are_carried_out_while_bytes_are_missing() {
    let gate = Gate::open_to(HEADER + 60_000 * FRAME);
    let (config, mut events) = listened();
    let mut audio = open_gated(gated(ramp(FRAMES), &gate), config)
        .wait()
        .unwrap();
    let control = audio.control();
    let mut last = None;
    for step in 0..1000 {
        last = Some(
            control
                .seek(time_of(200_000 + step), SeekMode::Exact)
                .unwrap(),
        );
    }
    gate.await_reader();
    assert_eq!(audio.try_read(&mut [0.0; 64]).state, ReadState::Seeking);
    gate.open(u64::MAX);
    let mut buf = [0.0; 64];
    let count = audio.read(&mut buf).unwrap();
    assert_ramp(&buf[..count], 200_999);
    let mut reported = 0;
    await_event(&mut events, |event| match event {
        AudioEvent::SeekDone { id, .. } => {
            reported += 1;
            (Some(*id) == last).then_some(())
        }
        _ => None,
    });
    assert_eq!(reported, 1, "no seek but the last could land without bytes");
}

#[test]
fn a_seek_interrupts_a_blocked_decoder_and_wakes_a_blocked_reader() {
    let gate = Gate::open_to(HEADER + 100_000 * FRAME);
    let mut audio = open_gated(gated(ramp(FRAMES), &gate), exact())
        .wait()
        .unwrap();
    let control = audio.control();
    let seeker = thread::spawn({
        let gate = gate.clone();
        move || {
            for round in 0..300u64 {
                gate.await_reader();
                control.seek(time_of(1000 + round), SeekMode::Fast).unwrap();
                hang_guard("the seek", || control.position() > time_of(50_000));
            }
            gate.open(u64::MAX);
        }
    });
    let mut buf = vec![0.0; 8192];
    let mut next = 0;
    while next < u64::from(FRAMES) {
        let count = audio.read(&mut buf).unwrap();
        let frame = frame_of(&buf[..count]);
        assert!(
            frame == next || (1000..1300).contains(&frame),
            "from {next} to {frame}"
        );
        next = frame + (count / CHANNELS) as u64;
    }
    seeker.join().unwrap();
}

#[test]
fn a_seek_while_paused_shows_its_target_and_starts_there() {
    let (config, mut events) = listened();
    let mut audio = open(ramp(FRAMES), config).wait().unwrap();
    let control = audio.control();
    assert_eq!(first_frame(&mut audio), 0);
    control.pause();
    let before = control.position();
    assert_eq!(audio.try_read(&mut [0.0; 64]).state, ReadState::Paused);
    assert_eq!(
        (control.position(), control.state()),
        (before, ReadState::Paused)
    );
    for round in 0..100 {
        let frame = 10_000 + 5000 * (round % 50);
        let id = control.seek(time_of(frame), SeekMode::Fast).unwrap();
        assert_eq!(control.position().as_micros(), time_of(frame).as_micros());
        if round % 3 == 0 {
            // It lands although nobody reads.
            await_event(&mut events, done(id));
        }
        if round % 7 == 0 {
            let outcome = audio.try_read(&mut [0.0; 64]);
            assert_eq!((outcome.frames, outcome.state), (0, ReadState::Paused));
        }
    }
    let id = control.seek(time_of(123_456), SeekMode::Fast).unwrap();
    await_event(&mut events, done(id));
    control.resume();
    let mut buf = [0.0; 64];
    let outcome = audio.try_read(&mut buf);
    assert_eq!((outcome.frames, outcome.state), (32, ReadState::Playing));
    assert_ramp(&buf, 123_456);
}

#[test]
fn a_reader_blocked_by_a_pause_goes_on_after_it() {
    let mut audio = open(ramp(FRAMES), exact()).wait().unwrap();
    let control = audio.control();
    control.pause();
    let reader = thread::spawn(move || {
        let mut buf = [0.0; 64];
        let count = audio.read(&mut buf).unwrap();
        frame_of(&buf[..count])
    });
    hang_guard("the reader", || control.state() == ReadState::Paused);
    control.seek(time_of(777), SeekMode::Fast).unwrap();
    control.resume();
    assert_eq!(reader.join().unwrap(), 777);
}

#[test]
fn a_seek_leaves_the_end_behind_and_beyond_the_end_is_the_end() {
    let (config, mut events) = listened();
    let mut audio = open(ramp(10_000), config).wait().unwrap();
    let control = audio.control();
    let mut buf = vec![0.0; 4096];
    for _ in 0..50 {
        while audio.read(&mut buf).unwrap() > 0 {}
        await_event(&mut events, |event| {
            matches!(event, AudioEvent::EndOfStream).then_some(())
        });
        control.seek(time_of(9_000), SeekMode::Fast).unwrap();
        assert_eq!(first_frame(&mut audio), 9_000);
    }
    for beyond in [
        time_of(10_000),
        Duration::from_secs(3600),
        Duration::from_secs(1 << 40),
        Duration::MAX,
    ] {
        let id = control.seek(beyond, SeekMode::Exact).unwrap();
        assert_eq!(audio.read(&mut buf).unwrap(), 0, "{beyond:?}");
        assert_eq!(audio.try_read(&mut buf).state, ReadState::Ended);
        let (target, landed, _) = await_event(&mut events, done(id));
        assert_eq!((target, landed), (beyond, audio.spec().time(10_000)));
        control.seek(Duration::ZERO, SeekMode::Exact).unwrap();
        let count = audio.read(&mut buf).unwrap();
        assert_ramp(&buf[..count], 0);
    }
}

#[test]
fn a_seek_made_while_opening_is_where_reading_begins() {
    let gate = Gate::open_to(10);
    let opening = open_gated(gated(ramp(FRAMES), &gate), exact());
    let control = opening.control();
    gate.await_reader();
    control.seek(time_of(5), SeekMode::Fast).unwrap();
    control.seek(time_of(54_321), SeekMode::Fast).unwrap();
    gate.open(u64::MAX);
    let mut audio = opening.wait().unwrap();
    assert_eq!(first_frame(&mut audio), 54_321);
}

#[test]
fn a_seek_after_an_error_starts_anew_and_one_into_it_fails_again() {
    let (config, mut events) = listened();
    let mut bytes = gated(ramp(FRAMES), &Gate::open_to(u64::MAX));
    bytes.fail_at = Some(HEADER + 50_000 * FRAME);
    let mut audio = open_gated(bytes, config).wait().unwrap();
    let control = audio.control();
    let mut buf = vec![0.0; 4096];
    for round in 0..20 {
        while audio.read(&mut buf).is_ok() {}
        let id = control.seek(time_of(300_000), SeekMode::Fast).unwrap();
        assert!(matches!(audio.read(&mut buf), Err(AudioError::Stream(_))));
        assert_eq!(control.position(), time_of(300_000));
        await_event(&mut events, |event| match event {
            AudioEvent::SeekFailed { id: found, .. } if *found == id => Some(()),
            _ => None,
        });
        control.seek(time_of(1000 + round), SeekMode::Fast).unwrap();
        assert_eq!(first_frame(&mut audio), 1000 + round);
    }
}

#[test]
fn a_seek_from_a_listener_works() {
    let (sink, mut events) = kithara_stream::events(64);
    let own: Arc<std::sync::OnceLock<kithara_audio::AudioControl>> = Arc::default();
    let heard = Arc::clone(&own);
    let mut jumped = false;
    let jump = std::sync::Mutex::new(move |event: &AudioEvent| {
        if let (AudioEvent::SeekDone { .. }, Some(control), false) = (event, heard.get(), jumped) {
            jumped = true;
            control.seek(time_of(4321), SeekMode::Fast).unwrap();
        }
    });
    let config = exact().with_events(listening(&sink, move |event| (jump.lock().unwrap())(event)));
    let mut audio = open(ramp(FRAMES), config).wait().unwrap();
    own.set(audio.control()).unwrap();
    audio.control().seek(time_of(1), SeekMode::Fast).unwrap();
    for _ in 0..2 {
        await_event(&mut events, |event| {
            matches!(event, AudioEvent::SeekDone { .. }).then_some(())
        });
    }
    assert_eq!(first_frame(&mut audio), 4321);
}

#[test]
fn seeks_go_on_across_the_wrap_of_their_counter() {
    let gate = Gate::open_to(u64::MAX);
    let (config, mut events) = listened();
    let config = config.with_last_seek_id(u64::MAX - 10);
    let mut audio = open_gated(gated(ramp(FRAMES), &gate), config)
        .wait()
        .unwrap();
    let control = audio.control();
    assert_eq!(first_frame(&mut audio), 0);
    let mut ids = Vec::new();
    for round in 0..40 {
        // One that is overtaken, and one that lands.
        let target = 200_000 - 3_000 * round;
        ids.push(control.seek(time_of(250_000), SeekMode::Exact).unwrap());
        let id = control.seek(time_of(target), SeekMode::Exact).unwrap();
        ids.push(id);
        assert_eq!(control.position().as_micros(), time_of(target).as_micros());
        assert_eq!(first_frame(&mut audio), target);
        let (wished, landed, exact) = await_event(&mut events, done(id));
        assert_eq!(
            (wished, landed, exact),
            (time_of(target), audio.spec().time(target), true)
        );
        assert!(control.position() > time_of(target) && control.position() < time_of(250_000));
        assert_eq!(control.state(), ReadState::Playing);
    }
    let different: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len(), "every seek has its own id");
    let names: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let before = (u64::MAX - 9).to_string();
    assert_eq!((&*names[0], &*names[79]), (&*before, "69"), "it wrapped");
}

/// A sink that shows each event to `listener` before it passes it on.
fn listening(
    sink: &kithara_stream::EventSink<AudioEvent>,
    listener: impl Fn(&AudioEvent) + Send + Sync + 'static,
) -> kithara_stream::EventSink<AudioEvent> {
    sink.map(move |event| {
        listener(&event);
        event
    })
}
