//! What a reader that must not wait gets when bytes are late: silence, a count, events, and then the very next frame.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use fixture::{
    CHANNELS, FRAME, Gate, HEADER, assert_ramp, await_event, exact, gated, hang_guard, listened,
};
use kithara_audio::{Audio, AudioEvent, PcmReader, ReadState};
use kithara_decode::SeekMode;

const FRAMES: u32 = 200_000;

/// Reads until nothing is ready, and checks every sample on the way; the frames heard so far.
fn run_dry(audio: &mut Audio, mut heard: u64) -> u64 {
    let mut buf = [0.0; 500 * CHANNELS];
    loop {
        buf.fill(9.0);
        let outcome = audio.try_read(&mut buf);
        let (sound, rest) = buf.split_at(outcome.frames * CHANNELS);
        assert_ramp(sound, heard);
        assert!(rest.iter().all(|sample| *sample == 0.0), "not silence");
        heard += outcome.frames as u64;
        match outcome.state {
            ReadState::Playing => assert!(rest.is_empty(), "silence that nobody was told of"),
            other => {
                assert_eq!(other, ReadState::Buffering);
                return heard;
            }
        }
    }
}

/// What of an event is a step in the story of a reader that runs dry and goes on.
fn step(event: &AudioEvent) -> Option<char> {
    match event {
        AudioEvent::Underrun { .. } => Some('U'),
        AudioEvent::Buffering => Some('B'),
        AudioEvent::Playing => Some('P'),
        _ => None,
    }
}

#[test]
fn running_dry_is_silence_a_count_and_an_event_and_loses_no_frame() {
    let gate = Gate::open_to(HEADER + 60_000 * FRAME);
    let (config, mut events) = listened();
    let bytes = gated(fixture::ramp(FRAMES), &gate);
    let mut audio = fixture::open_gated(bytes, config).wait().unwrap();
    let control = audio.control();
    let (mut heard, mut story) = (0, String::new());
    for (count, open_to) in [(1, 120_000), (2, FRAMES.into())] {
        gate.await_reader();
        heard = run_dry(&mut audio, heard);
        let spec = audio.spec();
        for _ in 0..20 {
            // However long it lasts, it is one, and silence moves nothing.
            assert_eq!(control.stats().underruns, count);
            assert_eq!(control.stats().frames_read, heard);
            assert_eq!(control.position(), spec.time(heard));
            assert_eq!(control.state(), ReadState::Buffering);
            assert_eq!(run_dry(&mut audio, heard), heard);
        }
        gate.open(HEADER + open_to * FRAME);
        let told = await_event(&mut events, |event| {
            story.extend(step(event));
            match event {
                AudioEvent::Underrun { count } => Some(*count),
                _ => None,
            }
        });
        assert_eq!(told, count);
        hang_guard("a frame", || {
            let mut frame = [0.0; CHANNELS];
            let outcome = audio.try_read(&mut frame);
            if outcome.frames == 1 {
                assert_ramp(&frame, heard);
            }
            outcome.frames == 1
        });
        heard += 1;
    }
    let mut rest = 0;
    hang_guard("the end", || {
        let mut buf = [0.0; 500 * CHANNELS];
        let outcome = audio.try_read(&mut buf);
        assert_ramp(&buf[..outcome.frames * CHANNELS], heard + rest);
        rest += outcome.frames as u64;
        outcome.state == ReadState::Ended
    });
    assert_eq!(heard + rest, FRAMES.into());
    await_event(&mut events, |event| {
        story.extend(step(event));
        matches!(event, AudioEvent::EndOfStream).then_some(())
    });
    // The decode thread tells, when it is not waiting for bytes: it may have missed that it went on in between, or at the end.
    let told = story.trim_end_matches('P');
    assert!(told == "UBPUB" || told == "UBU", "{story}");
}

#[test]
fn a_pause_a_seek_and_the_end_are_no_underruns() {
    let opening = fixture::open(fixture::ramp(FRAMES), exact());
    let mut audio = opening.wait().unwrap();
    let control = audio.control();
    let mut frame = [0.0; CHANNELS];
    assert_eq!(audio.try_read(&mut frame).state, ReadState::Playing);
    control.pause();
    assert_eq!(audio.try_read(&mut frame).state, ReadState::Paused);
    control.resume();
    control
        .seek(fixture::time_of(199_000), SeekMode::Exact)
        .unwrap();
    hang_guard("the first frame after the seek", || {
        audio.try_read(&mut frame).frames == 1
    });
    while audio.read(&mut [0.0; 1000]).unwrap() > 0 {}
    for _ in 0..10 {
        assert_eq!(audio.try_read(&mut frame).state, ReadState::Ended);
    }
    assert_eq!(control.stats().underruns, 0);
}
