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
/// The tables of MP4's fragments are in memory that grows to the longest of them.
const OF_FRAGMENTS: u64 = 2;

/// What the decoder of HE-AAC and of AAC with more than two channels allocates within itself. `rusty_aac` 2.0.1 has one call that
/// decodes, and that takes no memory of its caller's. It makes a vector of the samples it returns (`collect_output`), one of the
/// replication data of each element, copied before they are read (`decode_extension_payload`), and where a channel uses
/// temporal noise shaping one of its windows and one for each of them that has filters (`parse_tns`), and for each filter two and
/// as many as it has coefficients (`parcor_to_lpc`).
struct Inside {
    /// Of every packet.
    always: u64,
    /// Of one whose channels all use temporal noise shaping.
    shaped: u64,
}

fn inside(fixture: &Fixture) -> Option<Inside> {
    let inside = |always, shaped| Some(Inside { always, shaped });
    match fixture.codec.as_str() {
        "AacHe" => inside(2, 32),
        "AacHeV2" => inside(2, 20),
        "AacLc" if fixture.channels > 2 => inside(1, 64),
        _ => None,
    }
}

/// MP4 hands out packets in memory of their own.
fn of_the_container(fixture: &Fixture) -> u64 {
    matches!(fixture.container.as_str(), "Mp4" | "Fmp4").into()
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

/// Allocations of decoding each packet, and of finding the end.
fn of_each(fixture: &Fixture, packets: usize) -> Vec<u64> {
    let mut decoder = open(fixture);
    let mut costs = Vec::with_capacity(packets + 1);
    for _ in 0..=packets {
        let before = allocations();
        decoder.next_chunk().unwrap();
        costs.push(allocations() - before);
    }
    costs
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

/// Where the decoder allocates, at least it allocates no more than it does.
fn is_within(inside: &Inside, fixture: &Fixture, costs: &[u64]) -> bool {
    let own = of_the_container(fixture);
    // With the first packet the decoder makes its tables, and the block that memory is reserved for may be longer than before.
    let packets = &costs[1..costs.len() - 1];
    let least = packets.iter().min().copied().unwrap_or(0);
    let most = packets.iter().max().copied().unwrap_or(0);
    least <= inside.always + own && most <= inside.shaped + own + 1
}

/// What a fixture costs, decoder and pipeline, and whether that is no more than it may.
fn judge(fixture: &Fixture) -> Result<String, String> {
    let packets = packets(fixture);
    let costs = of_each(fixture, packets.len());
    let (pipeline, all) = of_the_pipeline(fixture, &packets);
    let third = packets.len() / 3..packets.len() * 2 / 3;
    let (of, decoder) = (third.len() as u64, costs[third].iter().sum::<u64>());
    let line = format!(
        "{}: {decoder} for {of} packets; through the pipeline {pipeline} for {all}",
        fixture.file
    );
    let fragments = match fixture.container == "Fmp4" {
        true => OF_FRAGMENTS,
        false => 0,
    };
    let kept = match inside(fixture) {
        Some(inside) => {
            is_within(&inside, fixture, &costs)
                && pipeline <= costs.iter().sum::<u64>() + BESIDES + fragments
        }
        // The block that memory is reserved for is longer than any before.
        None => decoder <= of + 1 + fragments && pipeline <= all + BESIDES + fragments,
    };
    match kept {
        true => Ok(line),
        false => Err(format!("{line}: {costs:?}")),
    }
}

#[test]
fn a_packet_costs_at_most_one_allocation_in_every_format() {
    let mut broken = Vec::new();
    for fixture in playable() {
        match judge(fixture) {
            Ok(line) => println!("{line}"),
            Err(line) => broken.push(line),
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
