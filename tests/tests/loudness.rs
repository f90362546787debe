//! Loudness tags, from the file to the samples.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use kithara::{PeakGuard, ReplayGainMode, ReplayGainOptions, Resource, ResourceConfig};
use kithara_tests::fixtures::folder;

/// Files with the gains -7.25 dB (track) and -6.5 dB (album), and the peaks 0.5 and 0.875, each written by another program.
const TAGGED: [&str; 7] = [
    "ape.mp3",
    "id3v23.mp3",
    "id3v24.mp3",
    "metaflac.flac",
    "picture.ogg",
    "itunes.m4a",
    "ffmpeg.mka",
];

fn samples(file: &str, options: impl Into<ReplayGainOptions>) -> Vec<f32> {
    let config = ResourceConfig::from_src(folder().join("tags").join(file));
    let mut resource = Resource::blocking(config.with_replay_gain(options)).unwrap();
    let mut all = Vec::new();
    let mut block = [0.0; 4096];
    loop {
        match resource.read(&mut block).unwrap() {
            0 => return all,
            read => all.extend_from_slice(&block[..read]),
        }
    }
}

fn decibels(gain: f64) -> f64 {
    10f64.powf(gain / 20.0)
}

/// That with these options every sample is multiplied by this.
fn assert_factor(file: &str, options: impl Into<ReplayGainOptions>, factor: f64) {
    let options = options.into();
    let plain = samples(file, ReplayGainMode::Off);
    let gained = samples(file, options);
    assert_eq!(gained.len(), plain.len(), "{file} {options:?}");
    let loudest = plain
        .iter()
        .fold(0f32, |most, sample| most.max(sample.abs()));
    assert!(loudest > 0.01, "{file} is silent");
    for (at, (gained, plain)) in gained.iter().zip(&plain).enumerate() {
        let right = f64::from(*plain) * factor;
        assert!(
            (f64::from(*gained) - right).abs() <= 1e-6,
            "{file} {options:?}: sample {at} is {gained} for {right}"
        );
    }
}

#[test]
fn every_sample_is_as_much_louder_as_the_tags_say() {
    for file in TAGGED {
        assert_factor(file, ReplayGainMode::Track, decibels(-7.25));
        assert_factor(file, ReplayGainMode::Album, decibels(-6.5));
    }
}

#[test]
fn a_title_is_lifted_to_its_largest_sample_and_no_further() {
    for file in TAGGED {
        for (mode, gain, peak) in [
            (ReplayGainMode::Track, -7.25, 0.5),
            (ReplayGainMode::Album, -6.5, 0.875),
        ] {
            let loud = ReplayGainOptions::new(mode).with_preamp(20.0);
            assert_factor(file, loud, 1.0 / peak);
            let free = loud.with_guard(PeakGuard::Off);
            assert_factor(file, free, decibels(gain + 20.0));
            // What does not reach so far is not held back.
            let soft = ReplayGainOptions::new(mode).with_preamp(7.0);
            assert_factor(file, soft, decibels(gain + 7.0));
        }
    }
}
