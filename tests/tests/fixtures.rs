//! The fixtures are what the manifest says, and the generated media is what its documentation says.

use std::collections::HashSet;

use kithara_tests::fixtures::{
    all, demo, fixture, formula_sample, hls, long_flac, long_mp3, long_wav, pcm_sha256, playable,
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
        assert!(
            fixture.source_frames <= fixture.trimmed_frames,
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

#[test]
fn every_hls_fixture_is_what_its_manifest_says() {
    for fixture in hls::all() {
        let folder = &fixture.folder;
        let text = hls::text(&format!("{folder}/media.m3u8"));
        assert_eq!(
            text.matches("#EXTINF").count(),
            fixture.segments,
            "{folder}"
        );
        let played = fixture.frames as f64 / f64::from(fixture.sample_rate);
        assert!(
            (played - fixture.seconds).abs() < 0.02,
            "{folder}: {played} s"
        );
        assert_eq!(
            fixture.sha256.is_none(),
            fixture.sums().is_some(),
            "{folder}"
        );
    }
}

#[test]
fn sums_over_blocks_see_a_single_frame_too_many() {
    let fixture = hls::fixture("discontinuity");
    let sums = fixture.sums().expect("a lossy fixture");
    let channels = usize::from(fixture.channels);
    // Something that has these sums.
    let block = |sums: &[f32]| {
        sums.repeat(hls::BLOCK)
            .into_iter()
            .map(|sum| sum / hls::BLOCK as f32)
    };
    let mut samples: Vec<f32> = sums.chunks(channels).flat_map(block).collect();
    assert_eq!(fixture.difference(&samples), None);
    samples.splice(0..0, [0.0; 2]);
    samples.truncate(samples.len() - channels);
    assert!(fixture.difference(&samples).is_some());
}

#[test]
fn a_live_list_shows_the_segments_of_a_title_over_and_over() {
    let list = hls::live("packed-mp3", 2..5, false);
    let named: Vec<_> = list
        .lines()
        .filter(|line| !line.starts_with("#EXTINF"))
        .collect();
    let expected = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:2",
        "#EXT-X-DISCONTINUITY-SEQUENCE:0",
        "2.mp3",
        "#EXT-X-DISCONTINUITY",
        "0.mp3",
        "1.mp3",
    ];
    assert_eq!(named, expected);
    for (first, left) in [(0, 0), (3, 0), (4, 1), (6, 1), (7, 2)] {
        let list = hls::live("packed-mp3", first..first + 1, true);
        assert!(
            list.contains(&format!("DISCONTINUITY-SEQUENCE:{left}\n")),
            "{list}"
        );
        assert!(list.ends_with("#EXT-X-ENDLIST\n"));
    }
}
