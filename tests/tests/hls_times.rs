//! HLS titles of fragmented MP4 whose own times jump, overlap, begin anew, or are those of presentation: the playlist says
//! where things are, what is missing is silence that is told, and what is there twice is heard once.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::ops::Range;
use std::time::Duration;

use kithara::audio::AudioEvent;
use kithara::{AbrMode, ResourceEvent};
use kithara_tests::fixtures::{fragments, hls};
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

const RATE: f64 = 44_100.0;
const FOLDER: &str = "aac-48";

/// Where each segment begins, in frames of the untrimmed decode, and where the last ends.
fn times() -> Vec<u64> {
    let begin = |number| fragments::time(&hls::file(&format!("{FOLDER}/{number}.m4s")));
    let end = hls::fixture(FOLDER).frames as u64 + 1024;
    (0..6).map(begin).chain([end]).collect()
}

/// The title with other times in its segments, and other durations in its playlist.
fn serve(server: &FaultServer, change: impl Fn(usize, &[u8]) -> Vec<u8>, durations: [f64; 6]) {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MAP:URI=\"init.mp4\"\n".to_owned();
    for (number, duration) in durations.into_iter().enumerate() {
        let name = format!("{FOLDER}/{number}.m4s");
        server.serve(
            &format!("/{name}"),
            Script::file(change(number, &hls::file(&name))).media_type("audio/mp4"),
        );
        text += &format!("#EXTINF:{duration:.6},\n{number}.m4s\n");
    }
    text += "#EXT-X-ENDLIST\n";
    let script = Script::file(text.into_bytes()).media_type("application/vnd.apple.mpegurl");
    server.serve(&hls::fixture(FOLDER).playlist(), script);
}

/// How long each segment is, by its own times.
fn durations() -> [f64; 6] {
    let times = times();
    std::array::from_fn(|number| {
        let delay = if number == 0 { 1024.0 } else { 0.0 };
        ((times[number + 1] - times[number]) as f64 - delay) / RATE
    })
}

/// The frames that are told to be silent.
fn silences(events: &[ResourceEvent]) -> Vec<u64> {
    let frames = |duration: Duration| (duration.as_secs_f64() * RATE).round() as u64;
    let silence = |event: &ResourceEvent| match event {
        ResourceEvent::Audio(AudioEvent::SilenceInserted { duration, .. }) => {
            Some(frames(*duration))
        }
        ResourceEvent::Audio(AudioEvent::PacketSkipped { frames, .. }) => Some(*frames),
        _ => None,
    };
    events.iter().filter_map(silence).collect()
}

/// These frames are those that the title has from `of` on.
#[track_caller]
fn assert_title(pcm: &[f32], part: Range<usize>, of: usize, what: &str) {
    let held = frames(pcm, part.clone());
    let difference = hls::fixture(FOLDER).difference_at(held, of);
    assert_eq!(difference, None, "{what}: {part:?}");
}

#[test]
fn a_gap_in_the_times_is_silence_of_its_length_and_is_told() {
    const MISSING: usize = 22_528;
    let server = origin();
    let mut lengths = durations();
    lengths[2] += MISSING as f64 / RATE;
    let late = |number, segment: &[u8]| {
        let more = if number >= 3 { MISSING as u64 } else { 0 };
        fragments::with_time(segment, fragments::time(segment) + more)
    };
    serve(&server, late, lengths);
    let mut listener = Listener::open(title(&server, FOLDER));
    listener.play().expect("it plays");
    let fixture = hls::fixture(FOLDER);
    assert_eq!(listener.pcm.len() / 2, fixture.frames + MISSING);
    let at = times()[3] as usize - 1024;
    assert_title(&listener.pcm, 0..at, 0, "before");
    // A decoder of AAC that is fed on gives what it holds of the packet before the gap; then there is nothing.
    let silent = frames(&listener.pcm, at + 1024..at + MISSING);
    assert!(silent.iter().all(|sample| *sample == 0.0));
    let behind = at + MISSING + 2048;
    assert_title(
        &listener.pcm,
        behind..listener.pcm.len() / 2,
        behind - MISSING,
        "behind",
    );
    assert_eq!(silences(&listener.events()), [MISSING as u64]);
}

#[test]
fn an_overlap_in_the_times_is_heard_once() {
    const TWICE: usize = 10 * 1024;
    let server = origin();
    let mut lengths = durations();
    lengths[2] -= TWICE as f64 / RATE;
    let early = |number, segment: &[u8]| {
        let less = if number >= 3 { TWICE as u64 } else { 0 };
        fragments::with_time(segment, fragments::time(segment) - less)
    };
    serve(&server, early, lengths);
    let mut listener = Listener::open(title(&server, FOLDER));
    listener.play().expect("it plays");
    let fixture = hls::fixture(FOLDER);
    assert_eq!(listener.pcm.len() / 2, fixture.frames - TWICE);
    let at = times()[3] as usize - 1024;
    assert_title(&listener.pcm, 0..at - 1024, 0, "before");
    let behind = at + 2048;
    assert_title(
        &listener.pcm,
        behind..listener.pcm.len() / 2,
        behind + TWICE,
        "behind",
    );
    assert!(silences(&listener.events()).is_empty());
}

#[test]
fn times_that_contradict_the_playlist_are_not_believed() {
    let hour: u64 = 3600 * 44_100;
    for (what, from, time) in [
        ("an hour later", 3, hour),
        ("an hour later at the end", 5, hour),
        ("anew", 3, 0),
        ("a lifetime later", 2, 1_u64 << 62),
    ] {
        let server = origin();
        let other = |number, segment: &[u8]| {
            let begin = times()[from.min(number)];
            let own = fragments::time(segment);
            match number >= from {
                true => fragments::with_time(segment, time.saturating_add(own - begin)),
                false => segment.to_vec(),
            }
        };
        serve(&server, other, durations());
        let mut listener = Listener::open(title(&server, FOLDER));
        listener
            .play()
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let fixture = hls::fixture(FOLDER);
        let played = listener.pcm.len() / 2;
        assert!(played.abs_diff(fixture.frames) <= 1024, "{what}: {played}");
        let at = times()[from] as usize - 1024;
        assert_title(&listener.pcm, 0..at - 1024, 0, what);
        assert_title(&listener.pcm, at + 2048..played, at + 2048, what);
    }
}

#[test]
fn times_of_32_bits_that_begin_anew_go_on() {
    let server = origin();
    for first in [(1 << 32) - times()[3], (1 << 32) - times()[3] - 5000] {
        let wrapped = |_, segment: &[u8]| {
            fragments::with_short_time(segment, first + fragments::time(segment))
        };
        // What its edit list leaves out lies long before its first segment.
        let mut lengths = durations();
        lengths[0] += 1024.0 / RATE;
        serve(&server, wrapped, lengths);
        let mut listener = Listener::open(title(&server, FOLDER));
        listener.play().expect("it plays");
        let played = listener.pcm.len() / 2;
        assert_eq!(played as u64, times()[6]);
        assert_title(&listener.pcm, 1024..played, 0, "round");
        assert!(silences(&listener.events()).is_empty());
    }
}

#[test]
fn an_edit_list_counts_from_when_samples_are_presented() {
    // It begins the presentation at 1024, which with an offset is not the 1024th frame that is decoded.
    let all = times()[6] as usize;
    for (offset, front) in [(-1024, 2048), (0, 1024), (512, 512), (1024, 0), (44_100, 0)] {
        let server = origin();
        let later = |_, segment: &[u8]| fragments::with_composition(segment, offset);
        serve(&server, later, durations());
        let mut listener = Listener::open(title(&server, FOLDER));
        listener
            .play()
            .unwrap_or_else(|error| panic!("{offset}: {error:?}"));
        assert_eq!(listener.pcm.len() / 2, all - front, "{offset}");
        let (ours, of) = (1024_usize.saturating_sub(front), front.saturating_sub(1024));
        assert_title(&listener.pcm, ours..all - front, of, &offset.to_string());
        assert!(silences(&listener.events()).is_empty());
        for to in [0.0, 3.1, 5.0, 7.9] {
            let to = Duration::from_secs_f64(to);
            let (landed, exact) = listener.seek(to, kithara::SeekMode::Exact).expect("a seek");
            assert!(exact, "{offset}");
            listener.pcm.clear();
            listener.read_samples(60_000).expect("it plays");
            let (what, landed) = (format!("{offset} {to:?}"), landed as usize);
            // What comes before the first frame of the source has nothing to be compared with.
            let own = ours.saturating_sub(landed);
            assert_title(&listener.pcm, own..30_000, landed + own - ours + of, &what);
        }
    }
}

#[test]
fn fragments_with_another_offset_than_the_first_play_where_theirs_says() {
    let server = origin();
    // The sums are what they were.
    let other = |number: usize, segment: &[u8]| {
        let earlier = 3000 * number as u64;
        let moved = fragments::with_composition(segment, -(earlier as i32));
        fragments::with_time(&moved, fragments::time(segment) + earlier)
    };
    serve(&server, other, durations());
    let mut listener = Listener::open(title(&server, FOLDER));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture(FOLDER).difference(&listener.pcm), None);
    assert!(silences(&listener.events()).is_empty());
}

#[test]
fn one_variant_whose_times_are_of_another_clock_is_joined_by_the_playlist() {
    let server = origin();
    for number in 0..6 {
        let name = format!("aac-160/{number}.m4s");
        let segment = hls::file(&name);
        let moved = fragments::with_time(&segment, fragments::time(&segment) + 441_000_000);
        server.serve(
            &format!("/{name}"),
            Script::file(moved).media_type("audio/mp4"),
        );
    }
    let config = config(&server.url("/multivariant.m3u8"));
    let config = config
        .with_abr_mode(AbrMode::Manual(0))
        .with_hls_policy(near());
    let mut listener = Listener::open(config);
    let control = listener.resource.control();
    for turn in 0..6 {
        listener.read_samples(150_000).expect("it plays");
        control.set_abr_mode(AbrMode::Manual(if turn % 2 == 0 { 2 } else { 0 }));
    }
    listener.play().expect("it plays");
    let played = listener.pcm.len() / 2;
    assert!(played.abs_diff(485_100) <= 1024, "{played}");
}
