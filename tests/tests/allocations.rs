//! Once a title plays, decoding a packet costs at most one allocation, whatever the format, all threads of the pipeline
//! together.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use std::io::Cursor;
use std::time::Duration;

use kithara::audio::{Audio, AudioConfig};
use kithara::decode::{DecoderFactory, DecoderOptions, InnerDecoder};
use kithara::stream::LocalSource;
use kithara::{MediaInfo, PcmReader};
use kithara_tests::allocations::{Watching, allocations};
use kithara_tests::fixtures::{Fixture, playable};

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// What a whole title may cost besides: a longer block, the end.
const BESIDES: u64 = 4;
/// What a fragment of an MP4 costs besides its packets: its box, and the tables in that.
const OF_A_FRAGMENT: u64 = 3;

/// The decoder of HE-AAC and of AAC with more than two channels allocates within itself: two to five times a packet. That
/// of PCM makes an error, in three pieces, of each packet that is shorter than the longest, as all of Matroska's are.
fn allocates_by_itself(fixture: &Fixture) -> bool {
    let wide = fixture.codec == "AacLc" && fixture.channels > 2;
    let short = fixture.codec == "Pcm" && fixture.container == "Mkv";
    fixture.codec.starts_with("AacHe") || wide || short
}

/// What the container itself costs, apart from its packets. There is one fragment for many packets.
fn of_the_container(fixture: &Fixture) -> u64 {
    let bytes = fixture.bytes();
    let fragments = bytes.windows(4).filter(|word| word == b"moof").count();
    fragments as u64 * OF_A_FRAGMENT
}

fn open(fixture: &Fixture) -> Box<dyn InnerDecoder> {
    let info = MediaInfo {
        name: fixture.file.clone(),
        ..MediaInfo::default()
    };
    let bytes = Box::new(Cursor::new(fixture.bytes()));
    DecoderFactory::open(bytes, &info, &DecoderOptions::default()).unwrap()
}

/// The frame at which each packet's block begins.
fn packets(fixture: &Fixture) -> Vec<u64> {
    let mut decoder = open(fixture);
    std::iter::from_fn(|| decoder.next_chunk().unwrap().map(|chunk| chunk.frame)).collect()
}

/// Allocations of decoding the middle third of the packets.
fn of_the_decoder(fixture: &Fixture, packets: usize) -> (u64, u64) {
    let mut decoder = open(fixture);
    let (from, to) = (packets / 3, packets * 2 / 3);
    for _ in 0..from {
        decoder.next_chunk().unwrap();
    }
    let before = allocations();
    for _ in from..to {
        decoder.next_chunk().unwrap();
    }
    (allocations() - before, (to - from) as u64)
}

/// Allocations of decoding and reading all but what was decoded when the open resolved, the end included.
fn of_the_pipeline(fixture: &Fixture, packets: &[u64]) -> (u64, u64) {
    let buffer = Duration::from_millis(200);
    let config = AudioConfig::new()
        .with_buffer(buffer)
        .with_preload(usize::MAX);
    let path = fixture.path();
    let opening = Audio::open(
        move || Ok(Box::new(LocalSource::new(path, MediaInfo::default()))),
        config,
    );
    let mut audio = opening.wait().unwrap();
    let decoded = audio.spec().frames(buffer);
    let before = allocations();
    let mut block = [0.0; 1152];
    while audio.read(&mut block).unwrap() > 0 {}
    let rest = packets.iter().filter(|frame| **frame >= decoded).count();
    (allocations() - before, rest as u64)
}

#[test]
fn a_packet_costs_at_most_one_allocation_in_every_format() {
    let mut broken = Vec::new();
    for fixture in playable() {
        let packets = packets(fixture);
        let (decoder, of) = of_the_decoder(fixture, packets.len());
        let (pipeline, all) = of_the_pipeline(fixture, &packets);
        let line = format!(
            "{}: {decoder} for {of} packets; through the pipeline {pipeline} for {all}",
            fixture.file
        );
        println!("{line}");
        let container = of_the_container(fixture);
        // The block that memory is reserved for is longer than any before.
        if allocates_by_itself(fixture) {
            continue;
        }
        if decoder > of + 1 + container || pipeline > all + BESIDES + container {
            broken.push(line);
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
