//! The fixtures are what the manifest says, and the generated media is what its documentation says.

use std::collections::HashSet;

use kithara_tests::fixtures::{
    all, demo, fixture, formula_sample, long_flac, long_mp3, long_wav, pcm_sha256, playable,
};

#[test]
fn every_fixture_exists_and_is_small() {
    assert!(all().len() > 40);
    for fixture in all() {
        let len = fixture.bytes().len();
        assert!(
            (1..=450_000).contains(&len),
            "{}: {len} bytes",
            fixture.file
        );
        assert!(
            fixture.delay + fixture.trimmed_frames <= fixture.frames,
            "{}",
            fixture.file
        );
    }
    assert_eq!(
        all()
            .iter()
            .map(|fixture| &fixture.file)
            .collect::<HashSet<_>>()
            .len(),
        all().len()
    );
}

#[test]
fn every_playable_fixture_has_something_to_be_compared_with() {
    for fixture in playable() {
        assert_eq!(
            fixture.lossless,
            fixture.sha256.is_some(),
            "{}",
            fixture.file
        );
        assert_eq!(
            fixture.lossless,
            fixture.reference.is_none(),
            "{}",
            fixture.file
        );
        if let Some(reference) = fixture.reference_bytes() {
            assert!(reference.starts_with(b"fLaC"), "{}", fixture.file);
        }
    }
}

#[test]
fn the_manifest_hashes_what_the_documentation_says() {
    let wav = fixture("wav-s16.wav");
    let bytes = wav.bytes();
    let data = bytes
        .windows(4)
        .position(|window| window == b"data")
        .expect("a data chunk")
        + 8;
    let pairs = bytes[data..]
        .chunks_exact(2)
        .take(wav.frames as usize * usize::from(wav.channels));
    let samples: Vec<f32> = pairs
        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
        .collect();
    assert_eq!(Some(pcm_sha256(&samples)), wav.sha256);
}

#[test]
fn generated_media_holds_the_frames_it_claims() {
    let mp3 = long_mp3(2);
    assert!(mp3.frames >= 2 * 60 * 44_100 && mp3.frames.is_multiple_of(1152));
    let wav = long_wav(3);
    assert_eq!(wav.bytes.len() as u64, 44 + wav.frames * 4);
    assert_eq!(
        wav.bytes[44 + 4..44 + 6],
        formula_sample(1, 0).to_le_bytes()
    );
    let flac = long_flac(3);
    assert_eq!(flac.frames, wav.frames);
    assert_eq!(
        flac.bytes[flac.bytes.len() - 4..flac.bytes.len() - 2],
        formula_sample(flac.frames - 1, 1).to_be_bytes()
    );
}

#[test]
fn the_demo_is_an_mp3_of_at_most_200_kilobytes() {
    let demo = demo();
    assert!(demo.starts_with(b"ID3") && demo.len() <= 200_000);
}
