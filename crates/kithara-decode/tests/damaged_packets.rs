//! Three wrong bytes in every packet, where no sum shows it: decoders meet what no encoder writes.

mod support;

use kithara_decode::{DecodeError, InnerDecoder, Notice, SeekMode};
use kithara_tests::fixtures::{fixture, ogg_pages, ogg_sealed};
use support::{Dice, drain, open, whole};

/// Of MP4 whose media is one stretch: where its packets lie.
fn packets(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let long = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let place = |kind: &[u8]| {
        let found = bytes.windows(4).position(|word| word == kind);
        found.expect("a box") + 4
    };
    let (sizes, chunks) = (place(b"stsz"), place(b"stco"));
    let mut at = long(chunks + 8) as usize;
    let packets = (0..long(sizes + 8) as usize).map(|packet| {
        let from = at;
        at += long(sizes + 12 + 4 * packet) as usize;
        from..at
    });
    packets.collect()
}

/// Three bytes of each packet are others, behind as many as tell what the packet is.
fn damaged(file: &str, kept: usize, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = fixture(file).bytes();
    if file.ends_with(".ogg") {
        let mut pages = ogg_pages(&bytes);
        for page in &mut pages[2..] {
            let laces = usize::from(page[26]);
            let mut from = 27 + laces;
            for place in 27..27 + laces {
                let to = from + usize::from(page[place]);
                hurt(&mut page[from..to], kept, dice);
                from = to;
            }
            *page = ogg_sealed(std::mem::take(page));
        }
        return pages.concat();
    }
    for packet in packets(&bytes) {
        hurt(&mut bytes[packet], kept, dice);
    }
    bytes
}

fn hurt(packet: &mut [u8], kept: usize, dice: &mut Dice) {
    let Some(room) = packet.len().checked_sub(kept).filter(|room| *room > 0) else {
        return;
    };
    for _ in 0..3 {
        packet[kept + dice.roll(room as u64) as usize] ^= 1 + dice.roll(255) as u8;
    }
}

/// Everything from here to the end, which is sound, or silence that was told; how many frames of that.
fn heard(decoder: &mut dyn InnerDecoder, case: &str) -> (Vec<f32>, u64) {
    let channels = usize::from(decoder.spec().channels.get());
    let (got, end) = drain(decoder, case);
    end.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(got.iter().all(|sample| sample.is_finite()), "{case}");
    let mut told = 0;
    for notice in decoder.take_notices() {
        if let Notice::PacketSkipped { frame, frames } = notice {
            let samples = frame as usize * channels..(frame + frames) as usize * channels;
            assert!(
                got[samples].iter().all(|sample| *sample == 0.0),
                "{case}: {notice:?}"
            );
            told += frames;
        }
    }
    (got, told)
}

#[test]
fn every_packet_keeps_its_length_and_silence_is_told() {
    // Behind the byte of Opus that tells how long a packet is.
    for (file, kept, rejects) in [
        ("m4a-he-explicit.m4a", 0, true),
        ("m4a-he-v2-explicit.m4a", 0, true),
        ("m4a-opus.m4a", 1, false),
        ("ogg-opus.ogg", 1, false),
        ("ogg-opus-silk.ogg", 1, false),
        ("ogg-opus-hybrid.ogg", 1, false),
    ] {
        let right = whole(fixture(file));
        let mut silent = 0;
        for seed in 0..12 {
            let case = format!("{file}, {seed}");
            let bytes = damaged(file, kept, &mut Dice(seed));
            let mut decoder = open(bytes, file).unwrap_or_else(|error| panic!("{case}: {error}"));
            let (got, told) = heard(decoder.as_mut(), &case);
            assert_eq!(got.len(), right.len(), "{case}: the timeline");
            assert!(got != right, "{case}: not damaged");
            silent += told;
            let half = right.len() / 2 / usize::from(decoder.spec().channels.get());
            let to = decoder.spec().time(half as u64);
            let landing = decoder.seek(to, SeekMode::Exact).expect("seeks");
            assert_eq!(landing.frame, half as u64, "{case}");
            let (rest, end) = drain(decoder.as_mut(), &case);
            end.expect("ends");
            assert_eq!(rest.len(), right.len() / 2, "{case}: from the middle");
        }
        // Whatever bits there are, Opus makes sound of them.
        assert_eq!(silent > 0, rejects, "{file}: {silent}");
    }
}

#[test]
fn a_packet_that_says_anything_of_itself_ends_nothing_but_itself() {
    for file in [
        "m4a-opus.m4a",
        "ogg-opus.ogg",
        "ogg-opus-silk.ogg",
        "m4a-he-implicit.m4a",
        "m4a-he-v2-implicit.m4a",
    ] {
        for seed in 0..12 {
            let case = format!("{file}, {seed}");
            let mut decoder = match open(damaged(file, 0, &mut Dice(seed)), file) {
                Ok(decoder) => decoder,
                Err(DecodeError::Worker { fault, .. }) => panic!("{case}: {fault}"),
                Err(_) => continue,
            };
            if let Err(DecodeError::Worker { fault, .. }) = drain(decoder.as_mut(), &case).1 {
                panic!("{case}: {fault}");
            }
        }
    }
}
