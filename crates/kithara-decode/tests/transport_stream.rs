//! Transport streams that are damaged, joined, or hold something else.

mod support;

use kithara_decode::{DecodeError, Notice};
use kithara_tests::fixtures::fixture;
use support::{drain, each, open, whole};

const PACKET: usize = 188;
/// Where ffmpeg puts the audio.
const AUDIO: u16 = 0x100;

fn packets(file: &str) -> Vec<Vec<u8>> {
    let bytes = fixture(file).bytes();
    bytes.chunks(PACKET).map(<[u8]>::to_vec).collect()
}

fn pid(packet: &[u8]) -> u16 {
    u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2])
}

fn is_audio(packet: &[u8]) -> bool {
    pid(packet) == AUDIO
}

/// Where the payload begins.
fn payload(packet: &[u8]) -> usize {
    if packet[3] & 0x20 == 0 {
        4
    } else {
        5 + usize::from(packet[4])
    }
}

/// Decodes to the same samples as the fixture.
fn assert_same(bytes: Vec<u8>, file: &str, case: &str) {
    let mut decoder = open(bytes, case).unwrap_or_else(|error| panic!("{case}: {error}"));
    let (samples, end) = drain(decoder.as_mut(), case);
    end.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(samples == whole(fixture(file)), "{case}");
}

fn refusal(packets: &[Vec<u8>]) -> String {
    match open(packets.concat(), "x").err() {
        Some(DecodeError::Unsupported { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn packets_with_times_before_them_and_packets_sent_twice_change_nothing() {
    for file in ["aac.ts", "mp3.ts"] {
        let timed = packets(file).into_iter();
        let timed: Vec<u8> = timed
            .flat_map(|packet| [vec![1, 2, 3, 4], packet].concat())
            .collect();
        assert_same(timed, file, "192 bytes");
        let twice = packets(file)
            .into_iter()
            .enumerate()
            .flat_map(|(index, packet)| {
                let count = if index % 7 == 3 { 2 } else { 1 };
                std::iter::repeat_n(packet, count).flatten()
            });
        assert_same(twice.collect(), file, "twice");
    }
}

#[test]
fn times_may_begin_anywhere_and_pass_their_last_bit() {
    for begin in [0, 1, (1 << 33) - 1, (1 << 33) - 90_000] {
        let shifted = packets("aac.ts")
            .into_iter()
            .map(|packet| shifted(packet, begin));
        let shifted: Vec<u8> = shifted.flatten().collect();
        assert_same(shifted, "aac.ts", &format!("begins at {begin}"));
    }
}

/// The packet with its stated time moved, so that 1.4 s, where ffmpeg begins, becomes `begin`.
fn shifted(mut packet: Vec<u8>, begin: u64) -> Vec<u8> {
    let at = payload(&packet) + 9;
    if !is_audio(&packet) || packet[1] & 0x40 == 0 || packet[at - 2] & 0x80 == 0 {
        return packet;
    }
    let byte = |index: usize| u64::from(packet[at + index]);
    let high = (byte(0) >> 1 & 7) << 30 | byte(1) << 22 | (byte(2) >> 1) << 15;
    let time = high | byte(3) << 7 | byte(4) >> 1;
    let time = time.wrapping_add(begin).wrapping_sub(126_000) & ((1 << 33) - 1);
    packet[at] = 0x21 | (time >> 29 & 0x0e) as u8;
    packet[at + 1] = (time >> 22) as u8;
    packet[at + 2] = 1 | (time >> 14 & 0xfe) as u8;
    packet[at + 3] = (time >> 7) as u8;
    packet[at + 4] = 1 | (time << 1 & 0xfe) as u8;
    packet
}

#[test]
fn lost_packets_are_silence_of_their_length() {
    for file in ["aac.ts", "mp3.ts"] {
        let all = packets(file);
        let audio: Vec<_> = (0..all.len())
            .filter(|index| is_audio(&all[*index]))
            .collect();
        // The front, so that something is heard before, and some in a row.
        let cases = audio
            .iter()
            .skip(20)
            .step_by(9)
            .flat_map(|first| [(*first, 1), (*first, 5)]);
        each(
            cases.filter(|(first, count)| first + count + 40 < all.len()),
            |(first, count)| format!("{file} without {count} from {first}"),
            |(first, count)| {
                let kept = all.iter().enumerate().filter(|(index, packet)| {
                    !is_audio(packet) || !(*first..first + count).contains(index)
                });
                let kept = kept.flat_map(|(_, packet)| packet.clone()).collect();
                assert_holes(kept, file);
            },
        );
    }
}

/// The timeline is whole, what is missing was told and is silent, and all else is right as soon as the codec has settled.
fn assert_holes(bytes: Vec<u8>, file: &str) {
    let right = whole(fixture(file));
    let mut decoder = open(bytes, file).expect("opens");
    let (got, end) = drain(decoder.as_mut(), file);
    end.expect("ends");
    assert_eq!(got.len(), right.len());
    let (mut touched, mut told) = (vec![false; got.len()], 0);
    for notice in decoder.take_notices() {
        if let Notice::PacketSkipped { frame, frames } = notice {
            let (start, end) = (frame as usize * 2, (frame + frames) as usize * 2);
            assert!(got[start..end].iter().all(|sample| *sample == 0.0));
            // Five frames of MP3 settle, and what hides noise in AAC goes on with other noise.
            let settled = if file == "mp3.ts" {
                end + 5 * 1152 * 2
            } else {
                got.len()
            };
            touched[start..settled.min(got.len())].fill(true);
            told += frames;
        }
    }
    assert!(told > 0 && told < 20 * 1152, "{told} frames are missing");
    let wrong = |at: &usize| !touched[*at] && (got[*at] - right[*at]).abs() > 1e-4;
    assert_eq!((0..got.len()).find(wrong), None);
}

#[test]
fn junk_between_packets_is_passed_over() {
    let mut all = packets("aac.ts");
    all[30].extend([0x11; 100]);
    all[60].extend([0; 1000]);
    assert_same(all.concat(), "aac.ts", "junk");
}

#[test]
fn a_stream_that_is_cut_says_so() {
    let bytes = fixture("aac.ts").bytes();
    let right = whole(fixture("aac.ts"));
    for cut in [
        5 * PACKET + 7,
        20_000,
        30_001,
        bytes.len() - 100,
        bytes.len() - 1,
    ] {
        let mut decoder = match open(bytes[..cut].to_vec(), "cut") {
            Ok(decoder) => decoder,
            Err(error) => panic!("{cut}: {error}"),
        };
        let (samples, end) = drain(decoder.as_mut(), "cut");
        assert!(
            matches!(end, Err(DecodeError::Truncated { .. })),
            "{cut}: {end:?}"
        );
        assert!(right.starts_with(&samples), "{cut}");
    }
}

#[test]
fn joined_streams_play_one_after_another() {
    let twice = [packets("aac.ts"), packets("aac.ts")].concat().concat();
    let mut decoder = open(twice, "joined").expect("opens");
    let (samples, end) = drain(decoder.as_mut(), "joined");
    end.expect("ends");
    let once = whole(fixture("aac.ts"));
    assert_eq!(samples.len(), 2 * once.len());
    assert!(samples.starts_with(&once));
}

#[test]
fn what_can_not_be_played_is_refused_by_name() {
    let mut scrambled = packets("aac.ts");
    for packet in scrambled.iter_mut().filter(|packet| is_audio(packet)) {
        packet[3] |= 0x80;
    }
    assert_eq!(refusal(&scrambled), "encrypted MPEG-TS");
    let without: Vec<_> = packets("aac.ts")
        .into_iter()
        .filter(|packet| pid(packet) != 0)
        .collect();
    assert_eq!(refusal(&without), "MPEG-TS without audio");
    for (kind, name) in [
        (0x81, "AC-3"),
        (0x11, "LATM"),
        (0xcf, "encrypted"),
        (0x1b, "without audio"),
    ] {
        let retyped = packets("aac.ts")
            .into_iter()
            .map(|packet| retyped(packet, kind));
        let retyped: Vec<_> = retyped.collect();
        assert!(refusal(&retyped).contains(name), "{}", refusal(&retyped));
    }
    // MPEG audio that is said to be AAC.
    let wrong: Vec<_> = packets("mp3.ts")
        .into_iter()
        .map(|packet| retyped(packet, 0x0f))
        .collect();
    assert_eq!(refusal(&wrong), "MPEG-TS whose audio is something else");
}

/// The packet with another kind of stream in the programme's map, if it has that.
fn retyped(mut packet: Vec<u8>, kind: u8) -> Vec<u8> {
    let start = payload(&packet) + 1;
    if is_audio(&packet) || packet.get(start) != Some(&2) {
        return packet;
    }
    let length = usize::from(packet[start + 1] & 0x0f) << 8 | usize::from(packet[start + 2]);
    packet[start + 12] = kind;
    let end = start + 3 + length - 4;
    let sum = packet[start..end].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    packet[end..end + 4].copy_from_slice(&sum.to_be_bytes());
    packet
}
