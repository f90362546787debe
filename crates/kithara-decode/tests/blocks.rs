//! Audio in blocks of constant size: what the header says of a block and of their number is compared with what is there.

mod support;

use kithara_decode::{DecodeError, InnerDecoder};
use support::{drain, open};

/// What a refusal calls it.
fn refusal(result: Result<Box<dyn InnerDecoder>, DecodeError>) -> String {
    match result.err() {
        Some(DecodeError::Unsupported { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

/// A CAF file of this format, packet size and packet length, in stereo, with `bytes` of audio.
fn caf(
    format: &[u8; 4],
    packet_bytes: u32,
    packet_frames: u32,
    bits: u32,
    bytes: usize,
) -> Vec<u8> {
    let mut file = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
    file.extend(44_100f64.to_be_bytes());
    file.extend(format);
    for word in [0, packet_bytes, packet_frames, 2, bits] {
        file.extend(word.to_be_bytes());
    }
    file.extend(b"data");
    file.extend((bytes as u64 + 4).to_be_bytes());
    file.extend([0; 4]);
    file.resize(file.len() + bytes, 0);
    file
}

#[test]
fn a_caf_packet_is_as_large_as_its_frames() {
    for (format, packet_bytes, packet_frames, bits, plays) in [
        (b"lpcm", 4, 1, 16, true),
        (b"lpcm", 8, 2, 16, true),
        (b"lpcm", 7, 1, 16, false),
        (b"lpcm", 5, 1, 16, false),
        (b"lpcm", 9, 2, 16, false),
        (b"ulaw", 2, 1, 8, true),
        (b"ulaw", 3, 1, 8, false),
        (b"ima4", 68, 64, 0, true),
        (b"ima4", 68, 1, 0, false),
        (b"ima4", 34, 64, 0, false),
        (b"ima4", 16 << 20, 64, 0, false),
    ] {
        let name = String::from_utf8_lossy(format).into_owned();
        let case = format!("{name}: {packet_bytes} bytes for {packet_frames} frames");
        let file = caf(format, packet_bytes, packet_frames, bits, 68 * 72);
        let opened = open(file, "a.caf");
        if plays {
            let mut decoder = opened.unwrap_or_else(|error| panic!("{case}: {error}"));
            drain(decoder.as_mut(), &case).1.expect(&case);
        } else {
            let what = refusal(opened);
            assert!(what.contains(&name), "{case}: {what}");
        }
    }
}

/// A WAVE file of stereo PCM with these claims, whose samples are all 1/4 if they have `bits` bits.
fn wav(tag: u16, bits: u16, align: u16) -> Vec<u8> {
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(2u16.to_le_bytes());
    bytes.extend(44_100u32.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(align.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(960u32.to_le_bytes());
    bytes.resize(bytes.len() + 960, 0);
    bytes
}

#[test]
fn a_wave_sample_fills_its_container() {
    for (tag, bits, align, plays) in [
        (1, 16, 4, true),
        (1, 12, 4, true),
        (1, 24, 6, true),
        (3, 32, 8, true),
        (7, 8, 2, true),
        // Writers that never filled it in, or with something else: a frame needs its bytes.
        (1, 16, 0, true),
        (1, 16, 2, true),
        (3, 32, 4, true),
        // Where the 24 bits lie in the 32, and whether they are integers, no header says.
        (1, 24, 8, false),
        (1, 16, 8, false),
    ] {
        let opened = open(wav(tag, bits, align), "a.wav");
        let case = format!("{bits} bits, blocks of {align} bytes");
        if plays {
            let mut decoder = opened.unwrap_or_else(|error| panic!("{case}: {error}"));
            drain(decoder.as_mut(), &case).1.expect(&case);
        } else {
            let what = refusal(opened);
            assert!(what.contains(&format!("{bits} bits")), "{case}: {what}");
        }
    }
}

/// An AIFF file of mono, 16 bits, with so many frames by its common chunk and so many in its sound chunk; a text follows.
fn aiff(stated: u32, held: u32) -> Vec<u8> {
    let mut bytes = b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12\0\x01".to_vec();
    bytes.extend(stated.to_be_bytes());
    bytes.extend(b"\0\x10\x40\x0e\xac\x44\0\0\0\0\0\0SSND");
    bytes.extend((held * 2 + 8).to_be_bytes());
    bytes.extend([0; 8]);
    bytes.resize(bytes.len() + held as usize * 2, 1);
    bytes.extend(b"NAME\0\0\x10\0");
    bytes.resize(bytes.len() + 4096, 0x7f);
    bytes
}

#[test]
fn an_aiff_plays_what_its_sound_chunk_holds_and_misses_what_its_common_chunk_promised() {
    for (stated, held, plays, missed) in [
        (1000, 1000, 1000, None),
        // Padding.
        (1000, 1010, 1000, None),
        // Never filled in.
        (0, 1000, 1000, None),
        (1500, 1000, 1000, Some(1500)),
    ] {
        let mut decoder = open(aiff(stated, held), "a.aiff").expect("opens");
        let (samples, end) = drain(decoder.as_mut(), "a.aiff");
        let case = format!("{stated} stated, {held} held");
        assert_eq!(samples.len(), plays, "{case}");
        match (end, missed) {
            (Ok(()), None) => {}
            (
                Err(DecodeError::Truncated {
                    frames, expected, ..
                }),
                Some(_),
            ) => {
                assert_eq!((frames as usize, expected), (plays, missed), "{case}");
            }
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn aac_at_a_rate_outside_the_limits_is_refused_and_not_played_faster() {
    // ADTS, AAC-LC, rate index 12 (7,350 Hz), mono, frames of 16 bytes.
    let mut frame = vec![0xff, 0xf1, 0x70, 0x40, 0x02, 0x1f, 0xfc];
    frame.resize(16, 0);
    let what = refusal(open(frame.repeat(10), "slow.aac"));
    assert!(what.contains("7350 Hz"), "{what}");
}
