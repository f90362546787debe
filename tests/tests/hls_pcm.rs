//! HLS titles of every kind of segment against ffmpeg's decode, whole, from anywhere, and over switches of variants.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::time::Duration;

use kithara::file::FileEvent;
use kithara::{AbrMode, HlsEvent, ResourceEvent, SeekMode};
use kithara_tests::fixtures::{fragments, hls};
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

#[test]
fn every_kind_of_segment_decodes_as_ffmpeg_decodes_it() {
    let server = origin();
    for fixture in hls::all() {
        let folder = &fixture.folder;
        let mut listener = Listener::open(title(&server, folder));
        let spec = listener.resource.spec();
        assert_eq!(spec.sample_rate.get(), fixture.sample_rate, "{folder}");
        assert_eq!(spec.channels.get(), fixture.channels, "{folder}");
        let codec = listener.resource.media_info().codec.expect("a codec");
        assert_eq!(format!("{codec:?}"), fixture.codec, "{folder}");
        let duration = listener.resource.duration().expect("a duration").value();
        let off = (duration.as_secs_f64() - fixture.seconds).abs();
        assert!(off < 1e-3, "{folder}: {duration:?}");
        let played = listener.play();
        played.unwrap_or_else(|error| panic!("{folder}: {error:?}"));
        assert_eq!(fixture.difference(&listener.pcm), None, "{folder}");
    }
}

#[test]
fn a_change_of_sample_rate_is_heard_in_the_rate_of_the_beginning() {
    let server = origin();
    let mut listener = Listener::open(config(&server.url("/discontinuity-rate/media.m3u8")));
    listener.play().expect("it plays");
    // 174 packets of 1024 frames at 44.1 kHz, and 95 at 32 kHz.
    let expected = 174 * 1024 + 95 * 1024 * 441 / 320;
    let played = listener.pcm.len() / 2;
    assert!(
        played.abs_diff(expected) <= 1,
        "{played} frames for {expected}"
    );
    let first = hls::fixture("discontinuity");
    let before = frames(&listener.pcm, 0..174 * 1024 - 1024);
    assert_eq!(first.difference_at(before, 0), None);
}

#[test]
fn a_playlist_behind_any_name_is_found_by_its_first_bytes() {
    let server = origin();
    let list = hls::file("aac-48/media.m3u8");
    for media_type in ["text/plain", "audio/mpeg", "application/vnd.apple.mpegurl"] {
        let script = Script::file(list.clone()).media_type(media_type);
        server.serve("/aac-48/radio", script);
        let before = count(&server, "/aac-48/radio");
        let mut listener = Listener::open(config(&server.url("/aac-48/radio?now")));
        listener.play().expect("it plays");
        assert_eq!(hls::fixture("aac-48").difference(&listener.pcm), None);
        assert_eq!(count(&server, "/aac-48/radio") - before, 2, "{media_type}");
        let told = listener.events();
        assert!(!file_events(&told).any(|event| matches!(event, FileEvent::DownloadFailed { .. })));
        assert!(!told.iter().any(|event| matches!(
            event,
            ResourceEvent::Audio(kithara::audio::AudioEvent::Error(_))
        )));
    }
    let before = count(&server, "/aac-48/radio");
    let hinted = config(&server.url("/aac-48/radio")).with_hint("hls");
    Listener::open(hinted);
    assert_eq!(count(&server, "/aac-48/radio") - before, 1);
}

#[test]
fn a_listener_who_chooses_a_variant_hears_that_one() {
    let server = origin();
    for (index, folder) in ["aac-48", "aac-96", "aac-160", "fmp4-flac"]
        .iter()
        .enumerate()
    {
        let config = config(&server.url("/lossless.m3u8")).with_abr_mode(AbrMode::Manual(index));
        let mut listener = Listener::open(config);
        let control = listener.resource.control();
        assert_eq!(control.variants().len(), 4);
        assert_eq!(control.current_variant(), Some(index));
        assert!(!control.is_live());
        listener.play().expect("it plays");
        assert_eq!(
            hls::fixture(folder).difference(&listener.pcm),
            None,
            "{folder}"
        );
        let seekable = control.seekable_range().expect("a range");
        assert_eq!(seekable.start, Duration::ZERO);
        assert!(seekable.end.abs_diff(Duration::from_secs(11)) < Duration::from_millis(1));
    }
}

#[test]
fn twenty_switches_lose_no_frame_and_repeat_none() {
    assert_switches(&origin());
}

#[test]
fn a_variant_that_states_its_times_by_composition_offsets_is_joined_as_well() {
    const EARLIER: i32 = 20_000;
    let server = origin();
    for number in 0..6 {
        let name = format!("aac-96/{number}.m4s");
        let segment = hls::file(&name);
        let decoded = fragments::time(&segment) + EARLIER as u64;
        let moved = fragments::with_composition(&segment, -EARLIER);
        let moved = Script::file(fragments::with_time(&moved, decoded));
        server.serve(&format!("/{name}"), moved.media_type("audio/mp4"));
    }
    assert_switches(&server);
}

/// Listens to the title while it switches to any of its variants, until it has done so twenty times.
#[track_caller]
fn assert_switches(server: &FaultServer) {
    let mut lossless = Listener::open(title(server, "fmp4-flac"));
    lossless.play().expect("it plays");
    let lossy = ["aac-48", "aac-96", "aac-160"].map(hls::fixture);
    let mut state = 20_u64;
    let mut dice = |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % limit
    };
    let mut switches = 0;
    while switches < 20 {
        let config = config(&server.url("/lossless.m3u8"));
        let config = config
            .with_hls_policy(near())
            .with_abr_mode(AbrMode::Manual(0));
        let mut listener = Listener::open(config);
        let control = listener.resource.control();
        while listener.pcm.len() < 2 * 485_100 {
            listener
                .read_samples(2 * (20_000 + dice(40_000)) as usize)
                .expect("it plays");
            control.set_abr_mode(AbrMode::Manual(dice(4) as usize));
        }
        listener.play().expect("it plays");
        assert_eq!(listener.pcm.len(), 2 * 485_100, "frames");
        let changes = hls_events(&listener.events())
            .filter(|event| matches!(event, HlsEvent::VariantChanged { from: Some(_), .. }))
            .count();
        switches += changes;
        let mut bad = Vec::new();
        let matches = lossy.map(|fixture| fixture.matching_blocks(&listener.pcm, 0));
        for (block, (range, _)) in matches[0].iter().enumerate() {
            let same = frames(&listener.pcm, range.clone()) == frames(&lossless.pcm, range.clone());
            if !same && !matches.iter().any(|one| one[block].1) {
                bad.push(range.clone());
            }
        }
        // The first packet of AAC behind a switch overlaps with the last one before it, and so is of both variants: four blocks,
        // and one that a seam cuts.
        assert!(bad.len() <= 5 * changes, "{changes} changes: {bad:?}");
    }
}

#[test]
fn a_seek_lands_on_its_frame_in_every_kind_of_segment() {
    let server = origin();
    for fixture in hls::all() {
        let folder = &fixture.folder;
        let mut whole = Listener::open(title(&server, folder));
        whole.play().expect("it plays");
        let mut listener = Listener::open(title(&server, folder).with_hls_policy(near()));
        for part in [3, 9, 2, 7, 0, 5, 6] {
            let frame = fixture.frames as u64 * part / 10 + 77;
            let to = listener.resource.spec().time(frame);
            let landed = listener.seek(to, SeekMode::Fast).expect("it seeks");
            assert!(
                landed.0.abs_diff(frame) <= 1 && landed.1,
                "{folder}: {landed:?} for {frame}"
            );
            listener.pcm.clear();
            listener.read_samples(2 * 8192).expect("it plays");
            let at = landed.0 as usize;
            let expected = frames(&whole.pcm, at..at + listener.pcm.len() / 2);
            let worst = expected
                .iter()
                .zip(&listener.pcm)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-4, "{folder}: frame {frame}: off by {worst}");
        }
    }
}
