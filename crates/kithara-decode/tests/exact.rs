//! Samples equal ffmpeg's, from the first frame and after any seek.

mod support;

use std::time::Duration;

use kithara_decode::{GaplessMode, MediaDuration, SeekMode};
use kithara_tests::fixtures::{self, Fixture, pcm_sha256};
use support::{
    Dice, Remote, drain, each, largest_difference, open_fixture, open_source, open_trimmed,
    reference, whole,
};

#[test]
fn every_format_decodes_to_what_ffmpeg_decodes() {
    each(
        fixtures::playable(),
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

            for mode in [GaplessMode::Media, GaplessMode::Off] {
                let mut decoder = open_trimmed(fixture, mode);
                let (samples, end) = drain(decoder.as_mut(), &fixture.file);
                end.unwrap_or_else(|error| panic!("{}: {error}", fixture.file));
                assert_like_ffmpeg(fixture, mode, &samples);
            }
        },
    );
}

#[test]
fn durations_are_those_of_ffprobe_but_for_what_it_leaves_at_the_ends() {
    each(
        fixtures::playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let probed = fixture.probed.expect("a duration");
            let file = &fixture.file;
            let mut decoder = open_fixture(fixture);
            let at_once = decoder.duration();
            let (_, end) = drain(decoder.as_mut(), file);
            end.expect("ends");
            let rate = f64::from(fixture.sample_rate);
            // Delay and padding, two packets, and a clock of milliseconds; at once, bare frames are judged by the first of them.
            let added = fixture.frames - fixture.source_frames + 2048;
            let near = added as f64 / rate + 0.003;
            for (duration, near) in [
                (at_once, near.max(probed / 8.0)),
                (decoder.duration(), near),
            ] {
                let seconds = match duration {
                    Some(MediaDuration::Exact(time) | MediaDuration::Estimate(time)) => {
                        time.as_secs_f64()
                    }
                    None => continue,
                };
                assert!(
                    (seconds - probed).abs() <= near,
                    "{file}: {duration:?} for {probed}"
                );
            }
        },
    );
}

/// Untrimmed, or where the source lies in that.
fn assert_like_ffmpeg(fixture: &Fixture, mode: GaplessMode, samples: &[f32]) {
    let case = format!("{}, {mode:?}", fixture.file);
    let all = 0..fixture.frames as usize * usize::from(fixture.channels);
    let span = match mode {
        GaplessMode::Off => all.clone(),
        _ => fixture.source_samples(),
    };
    assert_eq!(samples.len(), span.len(), "{case}: samples");
    match &fixture.sha256 {
        Some(sha256) if span == all => assert_eq!(&pcm_sha256(samples), sha256, "{case}"),
        Some(_) => {}
        None => {
            let reference = reference(fixture);
            assert_eq!(reference.len(), all.len(), "{case}: reference");
            let difference = largest_difference(samples, &reference[span]);
            assert!(difference <= 1e-4, "{case}: differs by {difference}");
        }
    }
}

#[test]
fn an_exact_seek_gives_the_samples_of_a_decode_in_one_go() {
    each(
        fixtures::playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let mut dice = Dice(7);
            let samples = whole(fixture);
            let channels = usize::from(fixture.channels);
            let mut decoder = open_fixture(fixture);
            let spec = decoder.spec();
            let mut targets = vec![0, 1, fixture.source_frames - 1, fixture.source_frames / 2];
            targets.extend((0..12).map(|_| dice.roll(fixture.source_frames)));
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
        fixtures::playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let mut decoder = open_fixture(fixture);
            let spec = decoder.spec();
            for target in [
                fixture.source_frames,
                fixture.source_frames + 1,
                fixture.source_frames * 100,
            ] {
                let landing = decoder
                    .seek(spec.time(target), SeekMode::Fast)
                    .unwrap_or_else(|error| panic!("{} to {target}: {error}", fixture.file));
                assert_eq!(
                    landing.frame, fixture.source_frames,
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
                fixture.source_frames * u64::from(fixture.channels),
                "{}",
                fixture.file
            );
        },
    );
}

#[test]
fn a_fast_seek_in_a_short_title_is_exact_in_every_format() {
    each(
        fixtures::playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let samples = whole(fixture);
            let mut decoder =
                open_source(Remote::new(fixture.bytes()), &fixture.file).expect("opens");
            let target = fixture.source_frames * 2 / 3;
            let landing = decoder
                .seek(decoder.spec().time(target), SeekMode::Fast)
                .expect("seeks");
            assert!(landing.exact, "{}", fixture.file);
            let chunk = decoder
                .next_chunk()
                .expect("decodes")
                .expect("has not ended");
            assert_eq!(chunk.frame, landing.frame, "{}", fixture.file);
            assert_eq!(landing.frame, target, "{}", fixture.file);
            assert_same(
                &chunk.pcm,
                &samples[target as usize * usize::from(fixture.channels)..],
                fixture,
            );
        },
    );
}

#[test]
fn sources_that_cannot_seek_or_have_no_length_play_to_the_end() {
    each(
        fixtures::playable(),
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
                    fixture.source_frames * u64::from(fixture.channels),
                    "{}",
                    fixture.file
                );
            }
        },
    );
}

#[test]
fn durations_are_right_to_the_frame_or_estimates_until_the_end() {
    each(
        fixtures::playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            for mode in [GaplessMode::Media, GaplessMode::Off] {
                let mut decoder = open_trimmed(fixture, mode);
                let case = format!("{}, {mode:?}", fixture.file);
                let spec = decoder.spec();
                let stated = decoder.duration();
                let (samples, end) = drain(decoder.as_mut(), &fixture.file);
                end.unwrap_or_else(|error| panic!("{case}: {error}"));
                let frames = samples.len() as u64 / u64::from(fixture.channels);
                let proven = Some(MediaDuration::Exact(spec.time(frames)));
                assert_eq!(decoder.duration(), proven, "{case}: in the end");
                let real = spec.time(frames);
                match stated {
                    Some(MediaDuration::Exact(_)) => assert_eq!(stated, proven, "{case}"),
                    Some(MediaDuration::Estimate(time)) => {
                        assert!(is_estimated(fixture, mode), "{case}: only estimated");
                        // Bare frames are judged by the first of them, others by a coarse clock or without their padding.
                        let bare = fixture.file.contains("notag")
                            || ["Adts", "MpegTs"].contains(&&*fixture.container);
                        let near = if bare {
                            real / 4
                        } else {
                            Duration::from_millis(60)
                        };
                        assert!(time.abs_diff(real) <= near, "{case}: {time:?} for {real:?}");
                    }
                    None => {
                        let unknown = fixture.container == "Fmp4" && !fixture.file.contains("sidx");
                        assert!(unknown, "{case}");
                    }
                }
            }
        },
    );
}

/// Whether nothing but decoding it tells the length to the frame.
fn is_estimated(fixture: &Fixture, mode: GaplessMode) -> bool {
    let file = &*fixture.file;
    file.contains("notag")
        || ["mp1.mp1", "mp2.mp2", "caf-alac.caf", "fmp4-aac-sidx.mp4"].contains(&file)
        || ["Adts", "MpegTs", "Mkv"].contains(&&*fixture.container)
        || (fixture.container == "Ogg" || fixture.codec == "Opus") && mode == GaplessMode::Off
}
