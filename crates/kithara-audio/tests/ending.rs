//! However it ends, nobody hangs, nothing leaks, and only this audio is affected.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use fixture::{
    CHANNELS, FRAME, Gate, HEADER, assert_ramp, await_event, gated, hang_guard, listened, open,
    open_gated, ramp, threads_named, time_of,
};
use kithara_audio::{Audio, AudioConfig, AudioError, AudioEvent, PcmReader, ReadState};
use kithara_decode::SeekMode;
use kithara_stream::{Interrupt, Run, SeekRoute, Source, StreamError};

const FRAMES: u32 = 200_000;

fn no_thread_is_left() {
    hang_guard("the decode threads to end", || {
        threads_named("kithara-decode").is_empty()
    });
}

/// An open whose bytes stop after `frames`.
fn blocked_after(frames: u64) -> (kithara_audio::Opening, Gate) {
    let gate = Gate::open_to(HEADER + frames * FRAME);
    (
        open_gated(gated(ramp(FRAMES), &gate), AudioConfig::new()),
        gate,
    )
}

// The tests of this file count threads, so they run one after another.
static ALONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

#[test]
fn a_close_ends_a_blocked_read_in_another_thread() {
    let _alone = ALONE.lock();
    let wav: Arc<[u8]> = Arc::from(ramp(FRAMES));
    for round in 0..2000 {
        let gate = Gate::open_to(HEADER + 60_000 * FRAME);
        let mut bytes = gated(Vec::new(), &gate);
        bytes.bytes = std::io::Cursor::new(Arc::clone(&wav));
        let mut audio = open_gated(bytes, AudioConfig::new()).wait().unwrap();
        let control = audio.control();
        let reader = thread::spawn(move || {
            let mut buf = vec![0.0; 50_000];
            let error = loop {
                match audio.read(&mut buf) {
                    Ok(count) => assert!(count > 0),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, AudioError::Closed), "{error:?}");
            assert!(matches!(audio.read(&mut buf), Err(AudioError::Closed)));
            assert_eq!(audio.try_read(&mut buf).state, ReadState::Failed);
        });
        if round % 2 == 0 {
            gate.await_reader();
        }
        control.close();
        reader.join().unwrap();
        assert!(matches!(
            control.seek(Duration::ZERO, SeekMode::Fast),
            Err(AudioError::Closed)
        ));
    }
    no_thread_is_left();
}

#[test]
fn dropping_ends_everything_at_any_moment() {
    let _alone = ALONE.lock();
    let wav: Arc<[u8]> = Arc::from(ramp(FRAMES));
    for round in 0..2000u64 {
        let gate = Gate::open_to(HEADER + (round % 5) * 30_000 * FRAME + 20_000 * FRAME);
        let mut bytes = gated(Vec::new(), &gate);
        bytes.bytes = std::io::Cursor::new(Arc::clone(&wav));
        let mut audio = open_gated(bytes, AudioConfig::new()).wait().unwrap();
        match round % 4 {
            0 => {}
            1 => assert!(audio.try_read(&mut [0.0; 512]).frames > 0),
            2 => drop(
                audio
                    .control()
                    .seek(time_of(199_000), SeekMode::Exact)
                    .unwrap(),
            ),
            _ => audio.control().pause(),
        }
        if round % 3 == 0 {
            thread::spawn(move || drop(audio)).join().unwrap();
        } else {
            drop(audio);
        }
    }
    no_thread_is_left();
}

#[test]
fn dropping_an_open_cancels_it_at_every_poll() {
    let _alone = ALONE.lock();
    let mut cx = Context::from_waker(Waker::noop());
    for round in 0..500 {
        let (opening, gate) = blocked_after([0, 20_000][round % 2]);
        let mut opening = Box::pin(opening);
        for _ in 0..round % 7 {
            match opening.as_mut().poll(&mut cx) {
                Poll::Pending => thread::yield_now(),
                Poll::Ready(audio) => {
                    drop(audio.unwrap());
                    break;
                }
            }
        }
        if round % 14 == 0 {
            gate.await_reader();
        }
        drop(opening);
    }
    no_thread_is_left();
}

#[test]
fn a_close_ends_a_blocked_open() {
    let _alone = ALONE.lock();
    let (opening, gate) = blocked_after(0);
    gate.await_reader();
    let control = opening.control();
    let opener = thread::spawn(move || opening.wait());
    control.close();
    assert!(matches!(opener.join().unwrap(), Err(AudioError::Closed)));
    no_thread_is_left();
}

#[test]
fn a_dropped_async_read_loses_nothing() {
    let (opening, gate) = blocked_after(60_000);
    let mut audio = opening.wait().unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut buf = vec![0.0; 4096];
    let mut next = 0;
    loop {
        // Then everything in front of the gate lies ready, and what is pending stays so.
        let is_blocked = gate.has_reader();
        let polled = pin!(audio.read_async(&mut buf)).poll(&mut cx);
        match polled {
            Poll::Ready(count) => {
                let count = count.unwrap();
                assert_ramp(&buf[..count], next);
                next += (count / CHANNELS) as u64;
            }
            Poll::Pending if is_blocked => break,
            Poll::Pending => thread::yield_now(),
        }
    }
    for _ in 0..10 {
        assert!(pin!(audio.read_async(&mut buf)).poll(&mut cx).is_pending());
    }
    gate.open(u64::MAX);
    let count = audio.read(&mut buf).unwrap();
    assert_ramp(&buf[..count], next);
}

/// A source that panics where it is told to.
struct Panicking {
    inner: fixture::Title,
    at: &'static str,
}

impl Source for Panicking {
    fn next_run(&mut self) -> Result<Option<Run>, StreamError> {
        assert!(self.at != "first run", "the source panics");
        let run = self.inner.next_run();
        assert!(
            self.at != "end" || matches!(run, Ok(Some(_))),
            "the source panics"
        );
        run
    }

    fn seek(&mut self, to: Duration) -> Result<SeekRoute, StreamError> {
        assert!(self.at != "seek", "the source panics");
        self.inner.seek(to)
    }

    fn interrupt(&self) -> Interrupt {
        self.inner.interrupt.clone()
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        assert!(self.at != "drop", "the source panics");
    }
}

fn open_panicking(at: &'static str) -> kithara_audio::Opening {
    let runs = vec![fixture::run(
        Duration::ZERO,
        Box::new(std::io::Cursor::new(ramp(3000))),
    )];
    let (interrupt, seeks) = (Interrupt::new(), Arc::default());
    let inner = fixture::Title {
        runs,
        interrupt,
        seeks,
    };
    Audio::open(
        move || Ok(Box::new(Panicking { inner, at })),
        AudioConfig::new(),
    )
}

#[test]
fn a_panic_in_the_source_ends_this_audio_only() {
    let _alone = ALONE.lock();
    let mut other = open(ramp(FRAMES), AudioConfig::new()).wait().unwrap();
    for _ in 0..20 {
        let opened = Audio::open(|| panic!("the opener panics"), AudioConfig::new()).wait();
        assert!(matches!(opened, Err(AudioError::Worker { .. })));
        assert!(matches!(
            open_panicking("first run").wait(),
            Err(AudioError::Worker { .. })
        ));

        let mut audio = open_panicking("end").wait().unwrap();
        let mut buf = vec![0.0; 100_000];
        let mut next = 0;
        let error = loop {
            match audio.read(&mut buf) {
                Ok(count) => {
                    assert_ramp(&buf[..count], next);
                    next += (count / CHANNELS) as u64;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(next, 3000, "what was decoded before the panic is read");
        assert!(matches!(error, AudioError::Worker { .. }), "{error:?}");
        assert_eq!(audio.try_read(&mut buf).state, ReadState::Failed);
        assert!(matches!(
            audio.control().seek(Duration::ZERO, SeekMode::Fast),
            Err(AudioError::Worker { .. })
        ));

        let mut audio = open_panicking("seek").wait().unwrap();
        audio.control().seek(time_of(5), SeekMode::Fast).unwrap();
        assert!(matches!(
            audio.read(&mut buf),
            Err(AudioError::Worker { .. })
        ));
        drop(open_panicking("drop").wait().unwrap());
    }
    let mut buf = vec![0.0; 4096];
    let count = other.read(&mut buf).unwrap();
    assert_ramp(&buf[..count], 0);
    drop(other);
    no_thread_is_left();
}

#[test]
fn an_end_that_was_heard_is_told_also_to_who_lets_go_of_it_at_once() {
    for _ in 0..200 {
        let (config, mut events) = listened();
        let mut audio = open(ramp(100), config).wait().unwrap();
        while audio.read(&mut [0.0; 4096]).unwrap() > 0 {}
        drop(audio);
        await_event(&mut events, |event| {
            matches!(event, AudioEvent::EndOfStream).then_some(())
        });
    }
}

#[test]
fn a_panic_in_the_bytes_comes_after_the_frames_before_it() {
    let mut bytes = gated(ramp(FRAMES), &Gate::open_to(u64::MAX));
    bytes.panic_at = Some(HEADER + 50_000 * FRAME);
    let mut audio = open_gated(bytes, AudioConfig::new()).wait().unwrap();
    let mut buf = vec![0.0; 4096];
    let mut next = 0;
    let error = loop {
        match audio.read(&mut buf) {
            Ok(count) => {
                assert_ramp(&buf[..count], next);
                next += (count / CHANNELS) as u64;
            }
            Err(error) => break error,
        }
    };
    assert!(next <= 50_000);
    assert!(
        matches!(error, AudioError::Decode(_) | AudioError::Worker { .. }),
        "{error:?}"
    );
}

#[test]
fn a_panic_in_a_listener_ends_this_audio_only() {
    let _alone = ALONE.lock();
    let (sink, _events) = kithara_stream::events::<AudioEvent>(8);
    let sink = sink.map(|event: AudioEvent| {
        assert!(
            !matches!(event, AudioEvent::SeekDone { .. }),
            "the listener panics"
        );
        event
    });
    let mut audio = open(ramp(FRAMES), AudioConfig::new().with_events(sink))
        .wait()
        .unwrap();
    audio.control().seek(time_of(500), SeekMode::Fast).unwrap();
    let mut buf = vec![0.0; 100_000];
    let error = loop {
        match audio.read(&mut buf) {
            Ok(count) => assert!(count > 0),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AudioError::Worker { .. }), "{error:?}");
    drop(audio);
    no_thread_is_left();
}

#[test]
fn dropping_from_a_listener_works() {
    let _alone = ALONE.lock();
    let owned: Arc<parking_lot::Mutex<Option<Audio>>> = Arc::default();
    let (sink, mut events) = kithara_stream::events::<AudioEvent>(8);
    let sink = sink.map({
        let owned = Arc::clone(&owned);
        move |event: AudioEvent| {
            if matches!(event, AudioEvent::SeekDone { .. }) {
                drop(owned.lock().take());
            }
            event
        }
    });
    let audio = open(ramp(FRAMES), AudioConfig::new().with_events(sink))
        .wait()
        .unwrap();
    let control = audio.control();
    *owned.lock() = Some(audio);
    control.seek(time_of(5), SeekMode::Fast).unwrap();
    await_event(&mut events, |event| {
        matches!(event, AudioEvent::SeekDone { .. }).then_some(())
    });
    no_thread_is_left();
}

#[test]
fn an_open_title_that_nobody_reads_stops_at_its_budget() {
    let _alone = ALONE.lock();
    let (config, _events) = listened();
    let audio = open(ramp(1_000_000), config).wait().unwrap();
    let control = audio.control();
    hang_guard("the decode thread to sleep", || control.stats().wakes > 0);
    // Reading finds the two seconds and nothing beyond them until the decode thread wakes.
    let mut audio = audio;
    let mut buf = vec![0.0; 1_000_000 * CHANNELS];
    let frames = audio.try_read(&mut buf).frames;
    assert!((96_000..200_000).contains(&frames), "{frames}");
    drop(audio);
    no_thread_is_left();
}
