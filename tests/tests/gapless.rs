//! Both ends of a track: what codecs add is not heard, and what follows on an album follows when it is read.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use std::path::{Path, PathBuf};

use kithara::audio::AudioEvent;
use kithara::{GaplessMode, MediaDuration, Resource, ResourceConfig, ResourceEvent, TryRecvError};
use kithara_tests::fixtures::{self, fixture};

/// Frames of each part of the album: a number that no packet divides.
const PART: usize = 12_011;
const PARTS: usize = 3;

fn album(file: &str) -> PathBuf {
    fixtures::folder().join("album").join(file)
}

fn open(path: &Path, mode: GaplessMode) -> Resource {
    let config = ResourceConfig::from_src(path.to_path_buf()).with_gapless(mode);
    Resource::blocking(config).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn drain(resource: &mut Resource) -> Vec<f32> {
    let (mut all, mut block) = (Vec::new(), vec![0.0; 4096]);
    loop {
        match resource.read(&mut block).unwrap() {
            0 => return all,
            read => all.extend_from_slice(&block[..read]),
        }
    }
}

/// The parts of the album in this format, read one after another.
fn joined(extension: &str) -> Vec<f32> {
    let mut all = Vec::new();
    for part in 1..=PARTS {
        let mut resource = open(&album(&format!("{part}.{extension}")), GaplessMode::Media);
        let samples = drain(&mut resource);
        assert_eq!(samples.len(), PART, "{part}.{extension}: frames");
        let length = resource.spec().time(PART as u64);
        assert_eq!(
            resource.duration(),
            Some(MediaDuration::Exact(length)),
            "{part}.{extension}"
        );
        all.extend(samples);
    }
    all
}

fn original() -> Vec<f32> {
    let all = drain(&mut open(&album("all.flac"), GaplessMode::Media));
    assert_eq!(all.len(), PART * PARTS);
    all
}

#[test]
fn a_lossless_album_read_track_by_track_is_the_uncut_one() {
    let original = original();
    for extension in [
        "wav", "aiff", "caf", "flac", "oga", "flac.mka", "flac.mp4", "alac.m4a", "alac.caf",
    ] {
        assert!(joined(extension) == original, "{extension}");
    }
}

/// Frames around a join.
const NEAR: usize = 64;

/// Each part was encoded by itself, from and into silence. At a join the codec is off by no more than anywhere else in the same
/// files.
#[test]
fn a_lossy_album_read_track_by_track_has_every_frame_in_its_place_and_no_step_between() {
    let original = original();
    for extension in [
        "mp3",
        "aac.m4a",
        "smpb.m4a",
        "fmp4.m4a",
        "ogg",
        "opus",
        "opus.m4a",
        "opus.webm",
    ] {
        let joined = joined(extension);
        assert_eq!(best_lag(&joined, &original), 0, "{extension}: frames moved");
        let (mut seams, mut elsewhere) = (0.0f32, 0.0f32);
        for (at, (ours, theirs)) in joined.iter().zip(&original).enumerate() {
            let from_join = (at + NEAR) % PART;
            let inside = (NEAR..joined.len() - NEAR).contains(&at);
            let worst = match inside && from_join < 2 * NEAR {
                true => &mut seams,
                false => &mut elsewhere,
            };
            *worst = worst.max((ours - theirs).abs());
        }
        assert!(
            elsewhere > 0.0 && elsewhere < 0.2,
            "{extension}: {elsewhere}"
        );
        assert!(
            seams <= elsewhere,
            "{extension}: {seams} at the joins, {elsewhere} elsewhere"
        );
    }
}

/// By how many frames one must be moved to differ least from the other: small steps, and those that forgotten delays make.
fn best_lag(ours: &[f32], theirs: &[f32]) -> isize {
    let delays = [312, 481, 528, 529, 576, 1024, 1105, 1152, 2112];
    let lags = (-32..=32).chain(delays).chain(delays.map(|delay| -delay));
    let error = |lag: isize| {
        let pairs = (2200..ours.len() - 2200).step_by(3);
        pairs.fold(0.0, |sum, at| {
            let other = theirs[at.saturating_add_signed(lag)];
            sum + (ours[at] - other).powi(2)
        })
    };
    lags.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap()
}

#[test]
fn without_trimming_every_decoded_frame_is_delivered() {
    for (file, frames) in [
        ("1.mp3", 12 * 1152),
        ("1.aac.m4a", 13 * 1024),
        ("1.smpb.m4a", 13 * 1024),
        ("1.fmp4.m4a", 13 * 1024),
        ("1.opus", 13 * 960),
        ("1.opus.m4a", 13 * 960),
        ("1.opus.webm", 13 * 960),
        ("1.flac", PART),
    ] {
        let mut resource = open(&album(file), GaplessMode::Off);
        assert_eq!(drain(&mut resource).len(), frames, "{file}");
        let length = resource.spec().time(frames as u64);
        assert_eq!(
            resource.duration(),
            Some(MediaDuration::Exact(length)),
            "{file}"
        );
    }
}

#[test]
fn guesses_are_only_made_where_nothing_is_signalled() {
    for (file, dropped) in [
        ("mp3-cbr-notag.mp3", 1105),
        ("mp2.mp2", 481),
        ("adts.aac", 1024),
        ("mkv-aac.mkv", 1024),
        ("flac-16.flac", 0),
    ] {
        let fixture = fixture(file);
        let channels = usize::from(fixture.channels);
        let mut guessing = open(&fixture.path(), GaplessMode::CodecPriming);
        let samples = drain(&mut guessing);
        let all = drain(&mut open(&fixture.path(), GaplessMode::Off));
        assert!(samples == all[dropped * channels..], "{file}");
    }
    for file in ["mp3-cbr.mp3", "m4a-aac-first.m4a"] {
        let mut guessing = open(&fixture(file).path(), GaplessMode::CodecPriming);
        let frames = drain(&mut guessing).len() as u64 / u64::from(fixture(file).channels);
        assert_eq!(frames, fixture(file).source_frames, "{file}");
    }
}

#[test]
fn an_estimated_duration_becomes_exact_at_the_end_and_that_is_told() {
    for file in [
        "adts.aac",
        "mp3-vbr-notag.mp3",
        "mkv-aac.mkv",
        "fmp4-aac.mp4",
    ] {
        let fixture = fixture(file);
        let config = ResourceConfig::from_src(fixture.path());
        let mut events = config.events();
        let mut resource = Resource::blocking(config).unwrap();
        let before = resource.duration();
        assert!(!matches!(before, Some(MediaDuration::Exact(_))), "{file}");
        drain(&mut resource);
        let length = resource.spec().time(fixture.source_frames);
        let exact = Some(MediaDuration::Exact(length));
        assert_eq!(resource.duration(), exact, "{file}");
        let mut told = Vec::new();
        loop {
            match events.try_recv() {
                Ok(ResourceEvent::Audio(AudioEvent::DurationChanged { duration })) => {
                    told.push(duration);
                }
                Ok(_) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(error) => panic!("{file}: {error:?}"),
            }
        }
        assert_eq!(told.last(), Some(&exact), "{file}: {told:?}");
    }
}
