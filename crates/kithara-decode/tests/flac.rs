//! Places in native FLAC that is far away, where the file says too little or something wrong about them.

mod support;

use std::sync::Arc;
use std::time::Duration;

use kithara_decode::SeekMode;
use kithara_tests::fixtures::long_flac;
use support::{Remote, drain, open, open_source};

const SECONDS: u32 = 30;
const RATE: u64 = 44_100;
/// Bytes before the first frame: the mark, and the stream information with its header.
const FRONT: usize = 42;

/// All samples of `bytes`, which are those of every variant of them.
fn whole(bytes: &[u8]) -> Vec<f32> {
    let mut decoder = open(bytes.to_vec(), "long.flac").expect("opens");
    let (samples, end) = drain(decoder.as_mut(), "long.flac");
    end.expect("ends");
    samples
}

/// Seeks to many places, each as if it were the first; the most jumps and bytes that one took.
fn seek_everywhere(bytes: &[u8], right: &[f32]) -> (u64, u64) {
    let (mut jumps, mut most) = (0, 0);
    for second in [3, 11, 20, 29] {
        let source = Remote::new(bytes.to_vec());
        let touched = Arc::clone(&source.touched);
        let mut decoder = open_source(source, "long.flac").expect("opens");
        assert!(decoder.next_chunk().expect("decodes").is_some());
        let before = (touched.jumps(), touched.bytes());
        let to = Duration::from_secs(second);
        let landing = decoder.seek(to, SeekMode::Fast).expect("seeks");
        assert_eq!((landing.frame, landing.exact), (second * RATE, true));
        let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
        let at = (second * RATE * 2) as usize;
        assert_eq!(chunk.pcm[..], right[at..at + chunk.pcm.len()], "{second} s");
        jumps = jumps.max(touched.jumps() - before.0);
        most = most.max(touched.bytes() - before.1);
    }
    (jumps, most)
}

#[test]
fn a_stream_that_does_not_know_its_length_is_searched_like_any_other() {
    let mut bytes = long_flac(SECONDS).bytes;
    let right = whole(&bytes);
    // The lower 36 bits of these eight bytes (RFC 9639 §8.2).
    bytes[21] &= 0xf0;
    bytes[22..26].fill(0);
    let (jumps, most) = seek_everywhere(&bytes, &right);
    assert!(jumps <= 5, "{jumps} jumps");
    // Of 5 MB.
    assert!(most < 700_000, "{most} bytes");

    // Beyond the end is the end.
    let mut decoder = open_source(Remote::new(bytes), "long.flac").expect("opens");
    let landing = decoder
        .seek(Duration::from_secs(100), SeekMode::Fast)
        .expect("seeks");
    assert_eq!(landing.frame, right.len() as u64 / 2);
    assert!(decoder.next_chunk().expect("ends").is_none());
}

#[test]
fn a_seek_table_that_lies_is_found_out_however_dense_it_is() {
    let plain = long_flac(SECONDS).bytes;
    let right = whole(&plain);
    let audio = &plain[FRONT..];
    // All frames are verbatim and of the same length, but for the number in their heads.
    let starts: Vec<usize> = audio
        .windows(4)
        .enumerate()
        .filter(|(_, word)| word[..2] == audio[..2] && word[2..4] == audio[2..4])
        .map(|(at, _)| at)
        .collect();
    assert!(starts.len() > 300, "{}", starts.len());
    for (name, shift) in [("honest", 0i64), ("later", 3), ("earlier", -3)] {
        for known in [true, false] {
            let points = (0..starts.len() as i64).map(|number| {
                let place = (number + shift).clamp(0, starts.len() as i64 - 1);
                let mut point = (number as u64 * 4096).to_be_bytes().to_vec();
                point.extend((starts[place as usize] as u64).to_be_bytes());
                point.extend(4096u16.to_be_bytes());
                point
            });
            let table: Vec<u8> = points.flatten().collect();
            let mut bytes = plain[..FRONT].to_vec();
            bytes[4] = 0;
            if !known {
                bytes[21] &= 0xf0;
                bytes[22..26].fill(0);
            }
            bytes.extend((0x8300_0000u32 | table.len() as u32).to_be_bytes());
            bytes.extend(table);
            bytes.extend(audio);
            let (jumps, most) = seek_everywhere(&bytes, &right);
            assert!(jumps <= 5, "{name}: {jumps} jumps");
            assert!(most < 700_000, "{name}: {most} bytes");
        }
    }
}
