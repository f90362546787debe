//! Fields that say where the source begins and ends, and lie: nothing is less than nothing, endless, or out of place.

mod support;

use std::io::Cursor;

use kithara_decode::{
    DecodeError, DecoderFactory, DecoderOptions, GaplessMode, InnerDecoder, MediaDuration, SeekMode,
};
use kithara_stream::MediaInfo;
use kithara_tests::fixtures::fixture;
use support::{drain, largest_difference, open, open_trimmed, options};

/// Bytes with others in place of those that follow a mark.
fn patched(mut bytes: Vec<u8>, mark: &[u8], behind: usize, value: &[u8]) -> Vec<u8> {
    let found = bytes.windows(mark.len()).position(|word| word == mark);
    let at = found.expect("the mark") + mark.len() + behind;
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

fn untrimmed(bytes: Vec<u8>) -> Vec<f32> {
    let options = DecoderOptions {
        gapless: GaplessMode::Off,
        ..options()
    };
    let decoder = DecoderFactory::open(
        Box::new(Cursor::new(bytes)),
        &MediaInfo::default(),
        &options,
    );
    drain(decoder.expect("opens").as_mut(), "untrimmed").0
}

/// What is delivered is the stretch of the untrimmed decode that begins at this frame and has so many, by reading and by
/// seeking, and the duration says so.
fn assert_stretch(bytes: Vec<u8>, case: &str, front: u64, total: u64) {
    let all = untrimmed(bytes.clone());
    let mut decoder = open(bytes, case).unwrap_or_else(|error| panic!("{case}: {error}"));
    let spec = decoder.spec();
    let channels = usize::from(spec.channels.get());
    let (samples, end) = drain(decoder.as_mut(), case);
    end.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(samples.len() / channels, total as usize, "{case}: frames");
    let right = &all[front as usize * channels..][..samples.len()];
    assert!(
        largest_difference(&samples, right) <= 1e-4,
        "{case}: another stretch"
    );
    let length = Some(MediaDuration::Exact(spec.time(total)));
    assert_eq!(decoder.duration(), length, "{case}: duration");
    for target in [0, total / 2, total.saturating_sub(1), total, u64::MAX >> 8] {
        assert_lands(decoder.as_mut(), case, target, &samples).expect("seeks");
    }
}

fn assert_lands(
    decoder: &mut dyn InnerDecoder,
    case: &str,
    target: u64,
    samples: &[f32],
) -> Result<(), DecodeError> {
    let spec = decoder.spec();
    let channels = usize::from(spec.channels.get());
    let total = (samples.len() / channels) as u64;
    let landing = decoder.seek(spec.time(target), SeekMode::Exact)?;
    assert_eq!(landing.frame, target.min(total), "{case}: seek to {target}");
    match decoder.next_chunk()? {
        Some(chunk) => {
            assert_eq!(chunk.frame, target, "{case}");
            let right = &samples[target as usize * channels..];
            assert!(
                largest_difference(&chunk.pcm, right) <= 1e-4,
                "{case}: at {target}"
            );
        }
        None => assert!(target >= total, "{case}: nothing at {target}"),
    }
    Ok(())
}

#[test]
fn a_tag_of_lame_that_lies_takes_no_more_than_there_is() {
    let file = fixture("mp3-cbr.mp3");
    let all = file.frames;
    for (delay, padding, front, total) in [
        (576, 1080, 1105, 88_200),
        // What the decoder is late with is more than the padding.
        (576, 0, 1105, all - 1105),
        (4095, 4095, 4624, all - 4095 - 4095),
        // As good as no tag.
        (0, 0, 0, all),
    ] {
        let both = (delay << 12 | padding) as u32;
        let bytes = patched(file.bytes(), b"Lavf lame", 12, &both.to_be_bytes()[1..]);
        assert_stretch(bytes, &format!("LAME {delay} {padding}"), front, total);
    }
    // More than all there is: two frames, of which the header says that they are three.
    let first = 417 + 418;
    let short = patched(
        file.bytes()[..first + 418].to_vec(),
        b"Info",
        4,
        &[0, 0, 0, 2],
    );
    let bytes = patched(short, b"Lavf lame", 12, &[0xff, 0xff, 0xff]);
    let (samples, end) = drain(open(bytes, "short").expect("opens").as_mut(), "short");
    end.expect("ends");
    assert_eq!(samples.len() / 2 % 1152, 0, "whole frames of what there is");
    // Neither by its sum nor by the name of its writer.
    for (name, front, total) in [
        (b"Who knows", 0, all),
        (b"LAME3.100", 1105, 88_200),
        (b"L3.99r1\0\0", 1105, 88_200),
    ] {
        let mut bytes = file.bytes();
        let named = bytes.windows(9).position(|word| word == b"Lavf lame");
        let at = named.expect("a name");
        bytes[at..at + 9].copy_from_slice(name);
        assert_stretch(bytes, &format!("{name:?}"), front, total);
    }
}

#[test]
fn an_edit_list_that_lies_takes_no_more_than_there_is() {
    let file = fixture("m4a-aac-nopns.m4a");
    let all = file.frames;
    for (length, start, front, total) in [
        (2000u32, 1024i32, 1024, 88_200),
        (u32::MAX, 1024, 1024, all - 1024),
        (0, 1024, 1024, all - 1024),
        // Behind the end, and before the beginning.
        (2000, i32::MAX, 0, all),
        (2000, -1, 0, all),
        (2000, i32::MIN, 0, all),
        (1, 1024, 1024, 44),
        (2000, 90_112, 90_112, 0),
    ] {
        let value = [length.to_be_bytes(), start.to_be_bytes()].concat();
        let bytes = patched(file.bytes(), b"elst", 8, &value);
        assert_stretch(bytes, &format!("elst {length} {start}"), front, total);
    }
    // Units of nothing.
    let bytes = patched(file.bytes(), b"mvhd", 12, &[0; 4]);
    let (_, end) = drain(open(bytes, "mvhd").expect("opens").as_mut(), "mvhd");
    end.expect("ends");
}

#[test]
fn a_gapless_comment_that_lies_takes_no_more_than_there_is() {
    let path = kithara_tests::fixtures::folder().join("album/1.smpb.m4a");
    let original = std::fs::read(path).expect("the album");
    let all = 13 * 1024;
    for (text, front, total) in [
        (" 00000000 00000400 00000115 0000000000002EEB", 1024, 12_011),
        (" 00000000 80000000 80000000 7FFFFFFFFFFFFFFF", 0, all),
        (
            " 00000000 00000400 80000000 7FFFFFFFFFFFFFFF",
            1024,
            all - 1024,
        ),
        (" 00000000 00000400 00000115 0000000000000000", 0, all),
        (" 00000000 FFFFFFFF 00000115 0000000000002EEB", 0, all),
        (" 00000000 00003400 00000000 0000000000000001", all, 0),
        (" 00000000 -0000001 -0000001 -000000000000001", 0, all),
        (" gapless? gapless! gapless? gapless!gapless!", 0, all),
    ] {
        let bytes = patched(original.clone(), b"iTunSMPB", 16, text.as_bytes());
        assert_stretch(bytes, text, front, total);
    }
}

#[test]
fn a_padding_of_matroska_that_lies_takes_no_more_than_its_packet() {
    /// Frames of the last packet.
    const LAST: u64 = 128;
    let file = fixture("webm-vorbis.webm");
    let all = file.frames;
    let padding = |nanos: &[u8]| patched(file.bytes(), b"\x75\xa2\x83", 0, nanos);
    for (bytes, total) in [
        (padding(b"\x08\xff\x01"), 66_150),
        (padding(b"\0\0\0"), all),
        // Less than nothing.
        (padding(b"\xff\xff\xff"), all),
        // More than the packet: all of it, and no more.
        (padding(b"\x7f\xff\xff"), all - LAST),
    ] {
        let (samples, end) = drain(open(bytes, "webm").expect("opens").as_mut(), "webm");
        end.expect("ends");
        assert_eq!(samples.len() as u64 / 2, total);
    }
}

#[test]
fn a_delay_of_matroska_that_lies_takes_no_more_than_there_is() {
    let file = fixture("webm-opus.webm");
    // The padding of its last packet is said elsewhere.
    let all = file.delay + file.source_frames;
    let original = file.bytes();
    // The delay, then a pre-roll, which nobody needs: 13 bytes, of which the lie takes 11.
    let mark = b"\x56\xaa\x83\x63\x2e\xa0\x56\xbb\x84";
    let place = original.windows(mark.len()).position(|word| word == mark);
    let at = place.expect("the delay");
    for (nanos, front) in [
        (6_500_000u64, 312),
        (0, 0),
        (1, 0),
        (500_000_000, 24_000),
        // All of it, and more.
        (606_500_000, all),
        (5_000_000_000, all),
        // Longer than is believed of anything.
        (10_000_100_000, 0),
        (1 << 63, 0),
        (u64::MAX, 0),
    ] {
        let mut bytes = original.clone();
        bytes[at..at + 3].copy_from_slice(b"\x56\xaa\x88");
        bytes[at + 3..at + 11].copy_from_slice(&nanos.to_be_bytes());
        // Nothing, of no length.
        bytes[at + 11..at + 13].copy_from_slice(b"\xec\x80");
        assert_stretch(bytes, &format!("a delay of {nanos} ns"), front, all - front);
    }
}

#[test]
fn a_packet_table_that_lies_takes_no_more_than_there_is() {
    let file = fixture("caf-alac.caf");
    for (valid, priming, remainder, front, total) in [
        (44_100i64, 0i32, 956i32, 0, 44_100),
        (40_000, 4000, 1056, 4000, 40_000),
        (i64::MAX, 4000, 956, 4000, 40_100),
        (i64::MIN, i32::MIN, i32::MIN, 0, 44_100),
        (1000, i32::MAX, 956, 0, 44_100),
        (45_056, 0, 0, 0, 44_100),
    ] {
        let value = [
            &valid.to_be_bytes()[..],
            &priming.to_be_bytes(),
            &remainder.to_be_bytes(),
        ];
        let bytes = patched(file.bytes(), b"pakt", 16, &value.concat());
        assert_stretch(
            bytes,
            &format!("pakt {valid} {priming} {remainder}"),
            front,
            total,
        );
    }
}

#[test]
fn a_fact_of_adpcm_that_lies_takes_no_more_than_there_is() {
    let file = fixture("wav-ima.wav");
    for (fact, total) in [
        (44_100u32, 44_100),
        (0, 44_748),
        (u32::MAX, 44_748),
        (50_000, 44_748),
        (1, 1),
    ] {
        let bytes = patched(file.bytes(), b"fact", 4, &fact.to_le_bytes());
        assert_stretch(bytes, &format!("fact {fact}"), 0, total);
    }
}

#[test]
fn frames_in_front_of_the_media_are_not_seen_by_a_seek_to_it() {
    for file in ["mp3-cbr.mp3", "m4a-aac-first.m4a", "mp3-mono.mp3"] {
        let fixture = fixture(file);
        let mut decoder = open_trimmed(fixture, GaplessMode::Media);
        let (samples, _) = drain(decoder.as_mut(), file);
        for _ in 0..2 {
            let landing = decoder
                .seek(std::time::Duration::ZERO, SeekMode::Fast)
                .expect("seeks");
            assert_eq!((landing.frame, landing.exact), (0, true), "{file}");
            let (again, _) = drain(decoder.as_mut(), file);
            assert!(again == samples, "{file}: every sample, noise too");
        }
    }
}
