//! Seeks in transport streams: to the frame by few jumps where times tell it, by reading where they lie.

mod support;

use std::sync::Arc;

use kithara_decode::{InnerDecoder, MediaDuration, SeekMode};
use kithara_tests::fixtures::{TransportStream, adts_frames as frames, unlisted};
use support::{Dice, Remote, drain, each, largest_difference, open, open_source};

/// Where the clock stands mostly.
const BEGIN: u64 = 126_000;
/// Frames of PCM in a frame of ADTS.
const LENGTH: u64 = 1024;
/// A minute and more: the title comes again and again.
const TIMES: usize = 8;

fn stream() -> TransportStream {
    TransportStream::new(0x0f, LENGTH, 44_100)
}

/// Parts of the title, each with a clock that begins anew.
fn joined(adts: &[u8], parts: &[(f64, u64)]) -> Vec<u8> {
    let (all, mut stream, mut at) = (frames(adts), stream(), 0);
    for (end, begin) in parts {
        let end = (all.len() as f64 * end) as usize;
        stream.write(&all[at..end], *begin);
        at = end;
    }
    stream.into_bytes()
}

fn whole(bytes: &[u8]) -> Vec<f32> {
    let mut decoder = open(bytes.to_vec(), "a.ts").expect("opens");
    let (samples, end) = drain(decoder.as_mut(), "a.ts");
    end.expect("ends");
    samples
}

fn assert_there(
    decoder: &mut dyn InnerDecoder,
    right: &[f32],
    frame: u64,
    mode: SeekMode,
    what: &str,
) {
    let to = decoder.spec().time(frame);
    let landing = decoder.seek(to, mode);
    let landing = landing.unwrap_or_else(|error| panic!("{what} to {frame}: {error}"));
    assert_eq!((landing.frame, landing.exact), (frame, true), "{what}");
    let mut at = frame;
    for _ in 0..3 {
        let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
        assert_eq!(chunk.frame, at, "{what} to {frame}");
        let apart = largest_difference(&chunk.pcm, &right[at as usize * 2..]);
        assert!(apart <= 1e-4, "{what} to {frame}: differs by {apart}");
        at += chunk.frames() as u64;
    }
}

#[test]
fn a_seek_is_exact_and_takes_few_jumps() {
    let adts = unlisted("seek-adts.aac").repeat(TIMES);
    // The clock may pass its last bit on the way.
    for begin in [BEGIN, (1 << 33) - 20 * 90_000] {
        let bytes = joined(&adts, &[(1.0, begin)]);
        let right = whole(&bytes);
        let total = right.len() as u64 / 2;
        let source = Remote::new(bytes.clone());
        let touched = Arc::clone(&source.touched);
        let mut far = open_source(source, "a.ts").expect("opens");
        let mut near = open(bytes.clone(), "a.ts").expect("opens");
        assert_eq!(touched.jumps(), 0, "to open");
        let mut dice = Dice(5);
        for round in 0..60 {
            let mode = if round % 2 == 0 {
                SeekMode::Fast
            } else {
                SeekMode::Exact
            };
            let frame = dice.roll(total - 8 * LENGTH);
            let before = (touched.jumps(), touched.bytes());
            assert_there(far.as_mut(), &right, frame, mode, "far");
            assert_there(near.as_mut(), &right, frame, mode, "local");
            let (jumps, read) = (touched.jumps() - before.0, touched.bytes() - before.1);
            let most = if round == 0 { 9 } else { 3 };
            assert!(jumps <= most, "{jumps} jumps in round {round}");
            // Two seconds, and what the jumps lead to.
            assert!(read <= 256 * 1024, "{read} bytes in round {round}");
        }
    }
}

#[test]
fn a_title_that_is_sought_in_at_once_lands_there() {
    let adts = unlisted("seek-adts.aac").repeat(TIMES);
    let bytes = joined(&adts, &[(1.0, BEGIN)]);
    let right = whole(&bytes);
    let total = right.len() as u64 / 2;
    for (mode, frame) in [
        (SeekMode::Fast, total - 8 * LENGTH),
        (SeekMode::Exact, total / 2),
        (SeekMode::Fast, 100_000),
    ] {
        let mut decoder = open_source(Remote::new(bytes.clone()), "a.ts").expect("opens");
        assert_there(decoder.as_mut(), &right, frame, mode, "at once");
        assert_there(decoder.as_mut(), &right, 0, mode, "at once");
        let (rest, end) = drain(decoder.as_mut(), "a.ts");
        end.expect("ends");
        let length = decoder.spec().time(total);
        assert_eq!(decoder.duration(), Some(MediaDuration::Exact(length)));
        assert!(rest.len() < right.len());
    }
}

#[test]
fn a_clock_that_does_not_go_through_moves_no_seek() {
    let adts = unlisted("seek-adts.aac").repeat(TIMES);
    let minute = 60 * 90_000;
    let cases: [(&str, Vec<(f64, u64)>); 7] = [
        ("begins anew", vec![(0.45, BEGIN), (1.0, BEGIN)]),
        ("begins anew soon", vec![(0.17, BEGIN), (1.0, BEGIN)]),
        ("begins anew late", vec![(0.8, BEGIN), (1.0, BEGIN)]),
        (
            "again and again",
            vec![(0.23, BEGIN), (0.45, BEGIN), (0.77, BEGIN), (1.0, BEGIN)],
        ),
        ("goes back", vec![(0.3, 60 * minute), (1.0, 0)]),
        ("jumps", vec![(0.3, BEGIN), (1.0, 2 * minute)]),
        ("jumps far", vec![(0.6, BEGIN), (1.0, 600 * minute)]),
    ];
    each(
        cases.into_iter(),
        |(what, _)| (*what).to_owned(),
        |(what, parts)| {
            let bytes = joined(&adts, parts);
            let right = whole(&bytes);
            let total = right.len() as u64 / 2;
            let mut far = open_source(Remote::new(bytes.clone()), "a.ts").expect("opens");
            let mut near = open(bytes, "a.ts").expect("opens");
            let mut dice = Dice(9);
            for round in 0..24 {
                let mode = if round % 2 == 0 {
                    SeekMode::Fast
                } else {
                    SeekMode::Exact
                };
                let frame = dice.roll(total - 8 * LENGTH);
                assert_there(far.as_mut(), &right, frame, mode, &format!("{what}, far"));
                assert_there(
                    near.as_mut(),
                    &right,
                    frame,
                    mode,
                    &format!("{what}, local"),
                );
            }
        },
    );
}

#[test]
fn what_was_lost_on_the_way_moves_nothing_behind_it() {
    let adts = unlisted("seek-adts.aac").repeat(TIMES);
    let mut bytes = joined(&adts, &[(1.0, BEGIN)]);
    // A packet here, some in a row there.
    for (place, count) in [(900, 1), (2100, 3), (2900, 12), (4700, 1)] {
        bytes.drain(place * 188..(place + count) * 188);
    }
    let right = whole(&bytes);
    let frames = frames(&adts).len() as u64 * LENGTH;
    assert_eq!(right.len() as u64 / 2, frames, "what is lost is silent");
    let mut far = open_source(Remote::new(bytes.clone()), "a.ts").expect("opens");
    let mut near = open(bytes, "a.ts").expect("opens");
    let mut dice = Dice(4);
    for _ in 0..40 {
        let frame = dice.roll(frames - 8 * LENGTH);
        // Behind a hole the decoder settles from something else.
        let around = frame.saturating_sub(4 * LENGTH) as usize..(frame + 4 * LENGTH) as usize;
        let around = &right[around.start * 2..around.end * 2];
        if around
            .chunks(256)
            .any(|part| part.iter().all(|sample| *sample == 0.0))
        {
            continue;
        }
        assert_there(far.as_mut(), &right, frame, SeekMode::Fast, "far");
        assert_there(near.as_mut(), &right, frame, SeekMode::Exact, "local");
    }
}

#[test]
fn frames_that_begin_anywhere_in_their_packets_are_found_all_the_same() {
    let adts = unlisted("seek-adts.aac").repeat(2);
    let starts: Vec<usize> = frames(&adts)
        .iter()
        .scan(0, |at, frame| {
            Some(std::mem::replace(at, *at + frame.len()))
        })
        .collect();
    let mut stream = stream();
    stream.write_unaligned(&adts, &starts, 2000);
    let bytes = stream.into_bytes();
    let right = whole(&bytes);
    assert_eq!(right.len() as u64 / 2, starts.len() as u64 * LENGTH);
    let mut far = open_source(Remote::new(bytes), "a.ts").expect("opens");
    let mut dice = Dice(1);
    for _ in 0..12 {
        let frame = dice.roll(right.len() as u64 / 2 - 8 * LENGTH);
        assert_there(far.as_mut(), &right, frame, SeekMode::Fast, "unaligned");
    }
}

#[test]
fn the_duration_is_an_estimate_by_the_last_time_where_that_is_at_hand() {
    let bytes = joined(&unlisted("seek-adts.aac"), &[(1.0, BEGIN)]);
    let total = whole(&bytes).len() as u64 / 2;
    let near = open(bytes.clone(), "a.ts").expect("opens");
    let MediaDuration::Estimate(time) = near.duration().expect("known") else {
        panic!("nobody has counted yet");
    };
    assert_eq!(near.spec().frames(time), total);
    // Far away it costs no request.
    let source = Remote::new(bytes);
    let touched = Arc::clone(&source.touched);
    let mut far = open_source(source, "a.ts").expect("opens");
    assert!(matches!(far.duration(), Some(MediaDuration::Estimate(_))));
    far.next_chunk().expect("decodes").expect("goes on");
    assert_eq!(touched.jumps(), 0);
}
