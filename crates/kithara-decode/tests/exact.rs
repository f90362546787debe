//! Samples equal ffmpeg's, from the first frame and after any seek.

mod support;

use std::time::Duration;

use kithara_decode::{MediaDuration, SeekMode};
use kithara_tests::fixtures::{self, Fixture, pcm_sha256};
use support::{
    Dice, Remote, drain, each, largest_difference, open_fixture, open_source, reference, whole,
};

/// Fixtures this crate decodes; transport streams are still refused.
fn playable() -> impl Iterator<Item = &'static Fixture> {
    fixtures::playable().filter(|fixture| fixture.container != "MpegTs")
}

#[test]
fn every_format_decodes_to_what_ffmpeg_decodes() {
    each(
        playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let decoder = open_fixture(fixture);
            assert_eq!(
                decoder.spec().sample_rate.get(),
                fixture.sample_rate,
                "{}",
                fixture.file
            );
            assert_eq!(
                decoder.spec().channels.get(),
                fixture.channels,
                "{}",
                fixture.file
            );
            let codec = decoder.info().codec.map(|codec| format!("{codec:?}"));
            assert_eq!(codec.as_deref(), Some(&*fixture.codec), "{}", fixture.file);
            let container = decoder
                .info()
                .container
                .map(|container| format!("{container:?}"));
            assert_eq!(
                container.as_deref(),
                Some(&*fixture.container),
                "{}",
                fixture.file
            );

            let samples = whole(fixture);
            let frames = samples.len() as u64 / u64::from(fixture.channels);
            assert_eq!(frames, fixture.frames, "{}: frames", fixture.file);
            if let Some(sha256) = &fixture.sha256 {
                assert_eq!(&pcm_sha256(&samples), sha256, "{}: samples", fixture.file);
            } else {
                let reference = reference(fixture);
                assert_eq!(
                    samples.len(),
                    reference.len(),
                    "{}: reference",
                    fixture.file
                );
                let difference = largest_difference(&samples, &reference);
                assert!(
                    difference <= 1e-4,
                    "{}: differs by {difference}",
                    fixture.file
                );
            }
        },
    );
}

#[test]
fn an_exact_seek_gives_the_samples_of_a_decode_in_one_go() {
    each(
        playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let mut dice = Dice(7);
            let samples = whole(fixture);
            let channels = usize::from(fixture.channels);
            let mut decoder = open_fixture(fixture);
            let spec = decoder.spec();
            let mut targets = vec![0, 1, fixture.frames - 1, fixture.frames / 2];
            targets.extend((0..12).map(|_| dice.roll(fixture.frames)));
            for (number, target) in targets.into_iter().enumerate() {
                let landing = decoder
                    .seek(spec.time(target), SeekMode::Exact)
                    .unwrap_or_else(|error| panic!("{} to {target}: {error}", fixture.file));
                // The time of a frame is rounded to nanoseconds, never to another frame.
                assert_eq!(landing.frame, target, "{}: landed", fixture.file);
                assert!(landing.exact, "{} to {target}", fixture.file);
                // Every other seek goes on to the end, the rest are left after a block.
                let tail = if number % 2 == 0 {
                    let (tail, end) = drain(decoder.as_mut(), &fixture.file);
                    end.unwrap_or_else(|error| panic!("{}: {error}", fixture.file));
                    assert_eq!(
                        tail.len(),
                        samples.len() - target as usize * channels,
                        "{} to {target}: length",
                        fixture.file
                    );
                    tail
                } else {
                    let chunk = decoder
                        .next_chunk()
                        .expect("decodes")
                        .expect("has not ended");
                    assert_eq!(chunk.frame, target, "{}", fixture.file);
                    chunk.pcm.to_vec()
                };
                assert_same(&tail, &samples[target as usize * channels..], fixture);
            }
        },
    );
}

/// Equal, or as equal as noise substitution allows: what AAC replaces by noise is another noise after a seek (ISO/IEC
/// 14496-3 §4.6.13). ffmpeg's encoder does that unless it is told not to, as for the fixtures called `nopns`.
fn assert_same(got: &[f32], expected: &[f32], fixture: &Fixture) {
    let difference = largest_difference(got, expected);
    if fixture.codec != "AacLc" || fixture.file.contains("nopns") {
        assert!(
            difference <= 1e-4,
            "{}: differs by {difference}",
            fixture.file
        );
        return;
    }
    let power = |samples: &mut dyn Iterator<Item = f32>| {
        samples
            .map(|sample| f64::from(sample * sample))
            .sum::<f64>()
    };
    let noise = power(
        &mut got
            .iter()
            .zip(expected)
            .map(|(got, expected)| got - expected),
    );
    let signal = power(&mut expected.iter().take(got.len()).copied());
    assert!(
        noise <= signal * 0.06 + 1e-6,
        "{}: noise {noise}, signal {signal}",
        fixture.file
    );
}

#[test]
fn a_seek_to_or_beyond_the_end_is_the_end_and_can_be_left_again() {
    each(
        playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let mut decoder = open_fixture(fixture);
            let spec = decoder.spec();
            for target in [fixture.frames, fixture.frames + 1, fixture.frames * 100] {
                let landing = decoder
                    .seek(spec.time(target), SeekMode::Fast)
                    .unwrap_or_else(|error| panic!("{} to {target}: {error}", fixture.file));
                assert_eq!(
                    landing.frame, fixture.frames,
                    "{} to {target}",
                    fixture.file
                );
                assert!(
                    decoder.next_chunk().expect("ends").is_none(),
                    "{}",
                    fixture.file
                );
                assert!(
                    decoder.next_chunk().expect("ends again").is_none(),
                    "{}",
                    fixture.file
                );
            }
            let landing = decoder.seek(Duration::ZERO, SeekMode::Fast).expect("seeks");
            assert_eq!(landing.frame, 0, "{}", fixture.file);
            let (samples, end) = drain(decoder.as_mut(), &fixture.file);
            end.expect("ends");
            assert_eq!(
                samples.len() as u64,
                fixture.frames * u64::from(fixture.channels),
                "{}",
                fixture.file
            );
        },
    );
}

#[test]
fn a_fast_seek_far_away_is_exact_except_in_variable_rate_streams_without_an_index() {
    each(
        playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let samples = whole(fixture);
            let mut decoder =
                open_source(Remote::new(fixture.bytes()), &fixture.file).expect("opens");
            let target = fixture.frames * 2 / 3;
            let landing = decoder
                .seek(decoder.spec().time(target), SeekMode::Fast)
                .expect("seeks");
            let guessing = fixture.file.contains("vbr") || fixture.container == "Adts";
            assert_eq!(landing.exact, !guessing, "{}", fixture.file);
            let chunk = decoder
                .next_chunk()
                .expect("decodes")
                .expect("has not ended");
            assert_eq!(chunk.frame, landing.frame, "{}", fixture.file);
            assert_eq!(landing.frame, target, "{}", fixture.file);
            if landing.exact {
                assert_same(
                    &chunk.pcm,
                    &samples[target as usize * usize::from(fixture.channels)..],
                    fixture,
                );
            }
        },
    );
}

#[test]
fn sources_that_cannot_seek_or_have_no_length_play_to_the_end() {
    each(
        playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let last = fixture.file.contains("-last") || fixture.file == "caf-alac.caf";
            for seekable in [true, false] {
                if last && !seekable {
                    continue;
                }
                let mut source = Remote::new(fixture.bytes());
                (source.length_known, source.seekable) = (false, seekable);
                let mut decoder = open_source(source, &fixture.file)
                    .unwrap_or_else(|error| panic!("{} ({seekable}): {error}", fixture.file));
                let (samples, end) = drain(decoder.as_mut(), &fixture.file);
                end.unwrap_or_else(|error| panic!("{} ({seekable}): {error}", fixture.file));
                assert_eq!(
                    samples.len() as u64,
                    fixture.frames * u64::from(fixture.channels),
                    "{}",
                    fixture.file
                );
            }
        },
    );
}

#[test]
fn durations_are_exact_where_the_container_states_them() {
    each(
        playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let duration = open_fixture(fixture).duration();
            let estimated = fixture.file.contains("notag")
                || fixture.container == "Adts"
                || fixture.file == "mp1.mp1"
                || fixture.file == "mp2.mp2";
            let unknown = fixture.file == "fmp4-aac.mp4" || fixture.file == "fmp4-flac.mp4";
            match duration {
                Some(MediaDuration::Exact(_)) => assert!(!estimated, "{}", fixture.file),
                Some(MediaDuration::Estimate(_)) => assert!(estimated, "{}", fixture.file),
                None => {
                    assert!(unknown, "{}", fixture.file);
                    return;
                }
            }
            let stated = duration.map_or(0.0, |duration| duration.value().as_secs_f64());
            let real = fixture.frames as f64 / f64::from(fixture.sample_rate);
            let tolerance = if estimated { real } else { 0.06 };
            assert!(
                (stated - real).abs() <= tolerance,
                "{}: {stated} instead of {real}",
                fixture.file
            );
        },
    );
}
