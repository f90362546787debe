//! Seeks from where demuxers of others die: the end, an error, streams whose headers lie.

mod support;

use kithara_decode::{DecodeError, InnerDecoder, MediaDuration, SeekMode};
use kithara_tests::fixtures::{self, Fixture, TransportStream, adts_frames, fixture, unlisted};
use support::{Dice, Remote, drain, each, largest_difference, open, open_source, whole};

/// Without noise substitution, whose noise is another after a seek.
fn repeatable() -> impl Iterator<Item = &'static Fixture> {
    let noisy = |fixture: &&Fixture| fixture.codec == "AacLc" && !fixture.file.contains("nopns");
    fixtures::playable().filter(move |fixture| !noisy(fixture))
}

/// The samples at a frame, after an exact seek to it.
fn assert_there(decoder: &mut dyn InnerDecoder, right: &[f32], frame: u64, what: &str) {
    let to = decoder.spec().time(frame);
    let landing = decoder
        .seek(to, SeekMode::Exact)
        .unwrap_or_else(|error| panic!("{what} to {frame}: {error}"));
    assert_eq!((landing.frame, landing.exact), (frame, true), "{what}");
    let chunk = decoder
        .next_chunk()
        .unwrap_or_else(|error| panic!("{what} to {frame}: {error}"))
        .unwrap_or_else(|| panic!("{what} to {frame}: ended"));
    assert_eq!(chunk.frame, frame, "{what}");
    let channels = usize::from(chunk.spec.channels.get());
    let apart = largest_difference(&chunk.pcm, &right[frame as usize * channels..]);
    assert!(apart <= 1e-4, "{what} to {frame}: differs by {apart}");
}

#[test]
fn a_seek_after_a_truncated_end_is_exact_again_and_again() {
    each(
        repeatable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let mut bytes = fixture.bytes();
            bytes.truncate(bytes.len() * 2 / 3);
            // Some keep what is needed at the end, which is gone.
            let Ok(mut decoder) = open(bytes, &fixture.file) else {
                return;
            };
            let right = whole(fixture);
            let frames = right.len() as u64 / u64::from(fixture.channels);
            let mut dice = Dice(3);
            let (first, _) = drain(decoder.as_mut(), &fixture.file);
            let held = first.len() as u64 / u64::from(fixture.channels);
            // Not even the first page of some.
            let rounds = if held == 0 { 0 } else { 3 };
            for _ in 0..rounds {
                let frame = dice.roll(held.saturating_sub(3000));
                assert_there(decoder.as_mut(), &right, frame, &fixture.file);
                // Beyond what is there: an end or an error, and no way of no return.
                for beyond in [frames - 1, frames, frames * 9] {
                    let _ = decoder.seek(decoder.spec().time(beyond), SeekMode::Fast);
                    let _ = decoder.next_chunk();
                }
                assert_there(decoder.as_mut(), &right, frame / 2, &fixture.file);
                let (again, _) = drain(decoder.as_mut(), &fixture.file);
                let to_end = first.len() - (frame / 2) as usize * usize::from(fixture.channels);
                assert!(again.len() < to_end, "{}: of the rest", fixture.file);
            }
        },
    );
}

#[test]
fn he_aac_is_the_same_after_a_seek_as_in_one_go() {
    // Replication's noise goes on from packet to packet, and its header comes with one packet in ten.
    let titles = ["seek-he", "seek-he-v2"].into_iter().flat_map(|name| {
        ["aac", "m4a", "mp4", "mkv", "ts", "cut.aac"].map(|end| format!("{name}.{end}"))
    });
    each(
        titles,
        |name| name.clone(),
        |title| {
            let name = title.as_str();
            let bytes = match name.strip_suffix(".ts") {
                Some(stem) => TransportStream::of_adts(&unlisted(&format!("{stem}.aac")), 22_050),
                None => match name.strip_suffix(".cut.aac") {
                    // The first packets, with the first header, are gone.
                    Some(stem) => adts_frames(&unlisted(&format!("{stem}.aac")))[4..].concat(),
                    None => unlisted(name),
                },
            };
            let mut whole = open(bytes.clone(), name).expect("opens");
            let (right, end) = drain(whole.as_mut(), name);
            end.unwrap_or_else(|error| panic!("{name}: {error}"));
            let frames = right.len() as u64 / 2;
            assert!(frames > 120 * 2048, "{name}");
            let mut decoder = open(bytes, name).expect("opens");
            // Where the first header is missing, the next one must have been met.
            let before = if name.contains("cut") { 10 } else { 0 };
            for _ in 0..before {
                decoder.next_chunk().expect("decodes").expect("goes on");
            }
            let mut dice = Dice(7);
            for _ in 0..60 {
                let frame = dice.roll(frames - 20_000);
                assert_there(decoder.as_mut(), &right, frame, name);
                // What comes later is right as well.
                for _ in 0..4 {
                    let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
                    let there = &right[chunk.frame as usize * 2..];
                    let apart = largest_difference(&chunk.pcm, there);
                    assert!(apart <= 1e-4, "{name} to {frame}: differs by {apart}");
                }
            }
        },
    );
}

#[test]
fn an_mp3_without_a_length_has_an_estimate_and_exact_seeks_once_it_was_passed() {
    let bytes = unlisted("seek-vbr.mp3");
    let mut local = open(bytes.clone(), "a.mp3").expect("opens");
    assert!(matches!(local.duration(), Some(MediaDuration::Estimate(_))));
    let (right, end) = drain(local.as_mut(), "a.mp3");
    end.expect("ends");
    let mut far = open_source(Remote::new(bytes), "a.mp3").expect("opens");
    drain(far.as_mut(), "a.mp3").1.expect("ends");
    let mut dice = Dice(8);
    for _ in 0..20 {
        let frame = dice.roll(right.len() as u64 / 2 - 3000);
        let landing = far.seek(far.spec().time(frame), SeekMode::Fast);
        let landing = landing.expect("seeks");
        assert_eq!((landing.frame, landing.exact), (frame, true));
        let chunk = far.next_chunk().expect("decodes").expect("goes on");
        let apart = largest_difference(&chunk.pcm, &right[frame as usize * 2..]);
        assert!(apart <= 1e-4, "to {frame}: differs by {apart}");
    }
}

/// A file whose Xing header says something else.
fn with_xing(edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = fixture("mp3-vbr.mp3").bytes();
    let at = bytes
        .windows(4)
        .position(|word| word == b"Xing")
        .expect("a header");
    edit(&mut bytes[at..]);
    bytes
}

#[test]
fn a_xing_header_that_lies_moves_no_exact_seek() {
    let word = |value: u32| value.to_be_bytes();
    // Flags at 4, frames at 8, bytes at 12, the table at 16.
    let lies: [(&str, Vec<u8>); 5] = [
        (
            "twice the bytes",
            with_xing(|tag| tag[12..16].copy_from_slice(&word(1 << 20))),
        ),
        ("no bytes", with_xing(|tag| tag[12..16].fill(0))),
        ("a table of zeros", with_xing(|tag| tag[16..116].fill(0))),
        (
            "a table that goes back",
            with_xing(|tag| tag[16..116].reverse()),
        ),
        (
            "constant",
            with_xing(|tag| tag[..4].copy_from_slice(b"Info")),
        ),
    ];
    for (what, bytes) in lies {
        let mut one = open(bytes.clone(), "a.mp3").expect("opens");
        let (right, end) = drain(one.as_mut(), what);
        end.unwrap_or_else(|error| panic!("{what}: {error}"));
        for far in [false, true] {
            let mut decoder = match far {
                true => open_source(Remote::new(bytes.clone()), "a.mp3").expect("opens"),
                false => open(bytes.clone(), "a.mp3").expect("opens"),
            };
            let mut dice = Dice(2);
            for _ in 0..8 {
                let frame = dice.roll(right.len() as u64 / 2 - 3000);
                let _ = decoder.seek(decoder.spec().time(frame / 2), SeekMode::Fast);
                assert_there(decoder.as_mut(), &right, frame, what);
            }
        }
    }
}

#[test]
fn frames_of_another_layer_end_the_run_after_every_frame_before_them() {
    let (mp3, mp2) = (fixture("mp3-cbr-notag.mp3"), fixture("mp2.mp2").bytes());
    let right = whole(mp3);
    let both = [mp3.bytes(), mp2].concat();
    let mut decoder = open(both, "a.mp3").expect("opens");
    for _ in 0..2 {
        let (heard, end) = drain(decoder.as_mut(), "both");
        let error = end.expect_err("two layers");
        assert!(matches!(error, DecodeError::Unsupported { .. }), "{error}");
        let apart = largest_difference(&heard, &right[right.len() - heard.len()..]);
        assert!(apart <= 1e-4, "differs by {apart}");
        assert!(heard.len() >= right.len() / 4);
        assert_there(
            decoder.as_mut(),
            &right,
            mp3.frames / 2,
            "before the change",
        );
    }
}

#[test]
fn the_free_format_is_refused_by_name() {
    let mut bytes = fixture("mp3-cbr-notag.mp3").bytes();
    let mut at = 0;
    while let Some(head) = bytes.get_mut(at..at + 4) {
        let padding = usize::from(head[2] >> 1 & 1);
        head[2] &= 0x0f;
        at += 144 * 128_000 / 44_100 + padding;
    }
    match open(bytes, "a.mp3").map(drop) {
        Err(DecodeError::Unsupported { what, .. }) => {
            assert!(what.contains("free format"), "{what}");
        }
        other => panic!("{other:?}"),
    }
}
