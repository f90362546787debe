//! The header of Fraunhofer's encoders in front of MP3.

mod support;

use kithara_decode::MediaDuration;
use kithara_tests::fixtures::fixture;
use support::{drain, open, whole};

const PER_FRAME: u64 = 1152;

/// A frame of 128 kbit/s at 44.1 kHz without sound that describes this audio, whose frames are about equally long.
fn description(audio: &[u8], frames: u64, delay: u16) -> Vec<u8> {
    const BYTES: usize = 417;
    const ENTRIES: u16 = 8;
    let bytes = (BYTES + audio.len()) as u32;
    let mut frame = vec![0; BYTES];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x00]);
    let mut tag = b"VBRI".to_vec();
    for word in [1, delay, 75] {
        tag.extend(word.to_be_bytes());
    }
    tag.extend(bytes.to_be_bytes());
    tag.extend((frames as u32).to_be_bytes());
    // Entries, their unit and width, and how many frames one is.
    for word in [ENTRIES, 1, 2, (frames / u64::from(ENTRIES)) as u16] {
        tag.extend(word.to_be_bytes());
    }
    for _ in 0..ENTRIES {
        tag.extend((bytes as u16 / ENTRIES).to_be_bytes());
    }
    frame[36..36 + tag.len()].copy_from_slice(&tag);
    frame
}

#[test]
fn every_frame_plays_whatever_its_delay_says_and_the_duration_is_exact() {
    let plain = fixture("mp3-cbr-notag.mp3");
    let (audio, all) = (plain.bytes(), whole(plain));
    for delay in [0, 576, 1105, u16::MAX] {
        let name = format!("a delay of {delay}");
        let header = description(&audio, plain.frames / PER_FRAME, delay);
        let mut decoder = open([header.as_slice(), &audio].concat(), &name).expect("opens");
        let time = decoder.spec().time(plain.frames);
        assert_eq!(
            decoder.duration(),
            Some(MediaDuration::Exact(time)),
            "{name}"
        );
        let (got, end) = drain(decoder.as_mut(), &name);
        end.expect("ends");
        assert!(got == all, "{name}: {} of {}", got.len(), all.len());
    }
}
