//! HLS titles from servers that fail: what passes is waited for, what one variant lacks comes from another, and what cannot
//! be had is silence of its exact length, or an error that names it.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::time::Duration;

use cache::Cache;
use kithara::{AbrMode, ErrorKind, GapPolicy, HlsEvent, Resource, ResourceConfig, SeekMode};
use kithara_tests::fixtures::hls;
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

/// Long enough for a busy machine, short enough to wait for.
const STALL: Duration = Duration::from_millis(700);

/// A title whose client waits for no server for long.
fn hurried(server: &FaultServer, path: &str) -> ResourceConfig {
    config_with(&server.url(path), impatient(STALL))
}

/// What a server can do with a segment of which another attempt may succeed.
fn passing(path: &str) -> Vec<(&'static str, Script)> {
    let sound = || hls::script(path);
    vec![
        ("503", Script::of_status(503)),
        ("429", Script::of_status(429).header("Retry-After", "0")),
        ("cut", sound().cut_after(3000)),
        ("reset", sound().reset_after(0)),
        ("stall", sound().stall_after(5000)),
        ("stalled head", sound().stall_after(0)),
    ]
}

/// What it can do for ever, and what that is to be called.
fn lasting(path: &str) -> Vec<(&'static str, Script, ErrorKind)> {
    let page = &b"<!DOCTYPE html><html>log in</html>"[..];
    let sound = || hls::script(path);
    vec![
        ("404", Script::of_status(404), ErrorKind::Http(404)),
        ("401", Script::of_status(401), ErrorKind::Expired),
        ("403", Script::of_status(403), ErrorKind::Expired),
        ("410", Script::of_status(410), ErrorKind::Http(410)),
        ("503", Script::of_status(503), ErrorKind::Http(503)),
        (
            "a page",
            Script::file(page).media_type("text/html"),
            ErrorKind::WrongContent,
        ),
        (
            "a page in disguise",
            Script::file(page).media_type("video/mp2t"),
            ErrorKind::WrongContent,
        ),
        (
            "cut",
            sound().without_ranges().cut_after(0).without_validators(),
            ErrorKind::Truncated,
        ),
        (
            "too long a length",
            sound().without_ranges().wrong_length("90000"),
            ErrorKind::Truncated,
        ),
    ]
}

#[test]
fn what_passes_is_waited_for_and_never_heard() {
    let fixture = hls::fixture("ts-aac");
    for number in [0, 3, 5] {
        let path = format!("ts-aac/{number}.ts");
        for (fault, script) in passing(&path) {
            let server = origin();
            server.serve_sequence(&format!("/{path}"), [script, hls::script(&path)]);
            let mut listener = Listener::open(hurried(&server, &fixture.playlist()));
            let what = format!("{fault} at segment {number}");
            listener
                .play()
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_eq!(fixture.difference(&listener.pcm), None, "{what}");
            assert!(count(&server, &format!("/{path}")) <= 3, "{what}");
        }
    }
}

#[test]
fn what_lasts_is_an_error_behind_all_that_came_before() {
    let fixture = hls::fixture("ts-aac");
    let segments = segments(fixture);
    for number in [0, 3, 5] {
        let path = format!("ts-aac/{number}.ts");
        for (fault, script, kind) in lasting(&path) {
            let what = format!("{fault} at segment {number}");
            let server = origin();
            server.serve(&format!("/{path}"), script);
            let opened = Listener::try_open(hurried(&server, &fixture.playlist()));
            let (error, played) = match opened {
                Err(error) => (error, 0),
                Ok(mut listener) => {
                    let Err(error) = listener.play() else {
                        panic!("{what}: it played");
                    };
                    assert_eq!(fixture.difference_at(&listener.pcm, 0), None, "{what}");
                    assert_sticky(&mut listener, &server, &error);
                    (error, listener.pcm.len() / 2)
                }
            };
            assert_eq!(error.kind(), kind, "{what}: {error:?}");
            let told = format!("{error:?}");
            assert!(
                told.contains(&format!("segment {number}")) && told.contains("ts-aac"),
                "{told}"
            );
            // All but what the decoder of AAC holds back of a packet; and all that came of the segment itself.
            let whole = if fault == "too long a length" {
                number + 1
            } else {
                number
            };
            let reached = segments.get(whole).map_or(fixture.frames, |one| one.start);
            assert!(played.abs_diff(reached) <= 1024, "{what}: {played}");
            let asked = count(&server, &format!("/{path}"));
            assert!(asked <= 7, "{what}: {asked} requests");
        }
    }
}

#[test]
fn a_page_in_place_of_a_segment_or_its_init_section_is_not_kept() {
    const MARK: &[u8] = b"canary of a portal";
    let page = [b"<!DOCTYPE html><html>", MARK, b"</html>"].concat();
    for (path, media_type) in [
        ("aac-48/0.m4s", "text/html"),
        ("aac-48/3.m4s", "text/html"),
        ("aac-48/3.m4s", "audio/mp4"),
        ("aac-48/init.mp4", "audio/mp4"),
    ] {
        let (server, folder) = (origin(), tempfile::tempdir().expect("a folder"));
        let script = Script::file(page.clone()).media_type(media_type);
        server.serve(&format!("/{path}"), script);
        let cache = Cache::at(folder.path());
        let config = title(&server, "aac-48").with_store(cache.store.clone());
        let opened = Listener::try_open(config);
        let error = match opened {
            Err(error) => error,
            Ok(mut listener) => listener.play().expect_err("a page is no sound"),
        };
        assert_eq!(error.kind(), ErrorKind::WrongContent, "{path}: {error:?}");
        assert!(count(&server, &format!("/{path}")) <= 2, "{path}: a storm");
        cache.end();
        for (file, bytes) in cache::files(folder.path()) {
            let found = bytes.windows(MARK.len()).any(|window| window == MARK);
            assert!(!found, "{path} is in {}", file.display());
        }
        // The portal is gone, and so is all trace of it.
        server.serve(&format!("/{path}"), hls::script(path));
        let cache = Cache::at(folder.path());
        let config = title(&server, "aac-48").with_store(cache.store.clone());
        let mut listener = Listener::open(config);
        listener.play().expect("it plays");
        assert_eq!(
            hls::fixture("aac-48").difference(&listener.pcm),
            None,
            "{path}"
        );
    }
}

#[test]
fn silence_stands_for_a_segment_to_the_frame() {
    for folder in ["ts-aac", "aac-48", "packed-aac"] {
        let fixture = hls::fixture(folder);
        let segments = segments(fixture);
        let extension = if folder == "aac-48" {
            "m4s"
        } else if folder == "ts-aac" {
            "ts"
        } else {
            "aac"
        };
        for number in [0, 2, 5] {
            let what = format!("{folder}, segment {number}");
            let server = origin();
            server.serve(
                &format!("/{folder}/{number}.{extension}"),
                Script::of_status(404),
            );
            let config = hurried(&server, &fixture.playlist()).with_gap_policy(GapPolicy::Silence);
            let mut listener = Listener::open(config);
            listener
                .play()
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let (played, gap) = (listener.pcm.len() / 2, &segments[number]);
            assert!(
                played.abs_diff(fixture.frames) <= 64,
                "{what}: {played} frames"
            );
            let before = frames(&listener.pcm, 0..gap.start.saturating_sub(64));
            assert_eq!(fixture.difference_at(before, 0), None, "{what}, before");
            // What the decoder of AAC holds back of the packet before is in the first one.
            let silence = gap.start + 1024..(gap.end - 64).min(played);
            let silence = frames(&listener.pcm, silence);
            let silent = silence.iter().all(|sample| *sample == 0.0);
            assert!(silent, "{what}, in it");
            // The first packet behind it lacks what overlaps it.
            let behind = gap.end + 2048;
            if behind < played {
                let after = frames(&listener.pcm, behind..played);
                assert_eq!(fixture.difference_at(after, behind), None, "{what}, behind");
            }
            let told = listener.events();
            let gaps = hls_events(&told)
                .filter(|event| matches!(event, HlsEvent::Gap { silent: true, .. }));
            assert_eq!(gaps.count(), 1, "{what}");
        }
    }
}

#[test]
fn an_announced_gap_is_silence_and_is_not_asked_for() {
    let server = origin();
    let fixture = hls::fixture("aac-48");
    let mut listener =
        Listener::open(config(&server.url("/aac-48/gap.m3u8")).with_gap_policy(GapPolicy::Silence));
    listener.play().expect("it plays");
    assert_eq!(listener.pcm.len() / 2, fixture.frames);
    assert_eq!(count(&server, "/aac-48/2.m4s"), 0);
    let gap = &segments(fixture)[2];
    assert!(
        frames(&listener.pcm, gap.start + 64..gap.end - 64)
            .iter()
            .all(|sample| *sample == 0.0)
    );

    let skips = config(&server.url("/aac-48/gap.m3u8")).with_gap_policy(GapPolicy::Skip);
    let mut listener = Listener::open(skips);
    listener.play().expect("it plays");
    let left = fixture.frames - (gap.end - gap.start);
    assert!(
        (listener.pcm.len() / 2).abs_diff(left) <= 64,
        "{} for {left}",
        listener.pcm.len() / 2
    );
}

#[test]
fn a_seek_into_a_gap_that_nothing_follows_is_the_end() {
    let fixture = hls::fixture("aac-48");
    let last = &segments(fixture)[5];
    let server = origin();
    let list = hls::text("aac-48/media.m3u8").replace("5.m4s", "#EXT-X-GAP\n5.m4s");
    server.serve("/aac-48/media.m3u8", Script::file(list.into_bytes()));
    for policy in [GapPolicy::Silence, GapPolicy::Skip] {
        let config = config(&server.url("/aac-48/media.m3u8")).with_gap_policy(policy);
        let mut resource = Resource::blocking(config).expect("it opens");
        let to = resource.spec().time(last.start as u64) + Duration::from_millis(500);
        resource.seek(to, SeekMode::Exact).expect("a seek");
        let (mut block, mut heard) = ([1.0f32; 1024], 0);
        loop {
            let samples = resource.read(&mut block).expect("no failure");
            if samples == 0 {
                break;
            }
            assert!(block[..samples].iter().all(|sample| *sample == 0.0));
            heard += samples;
        }
        assert_eq!(heard > 0, policy == GapPolicy::Silence, "{heard}");
    }
}

#[test]
fn what_one_variant_lacks_comes_from_another() {
    for number in [0, 3, 5] {
        let path = format!("/aac-160/{number}.m4s");
        for (fault, script, _) in lasting(&path[1..]) {
            let what = format!("{fault} at segment {number}");
            let server = origin();
            server.serve(&path, script);
            let config =
                hurried(&server, "/multivariant.m3u8").with_abr_mode(AbrMode::Auto(Some(2)));
            let mut listener = Listener::open(config);
            listener
                .play()
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_eq!(listener.pcm.len() / 2, 485_100, "{what}");
            assert!(count(&server, &path) <= 7, "{what}");
            let told = listener.events();
            let gaps = hls_events(&told).filter(|event| matches!(event, HlsEvent::Gap { .. }));
            assert_eq!(gaps.count(), 0, "{what}");
            assert!(
                hls_events(&told)
                    .any(|event| matches!(event, HlsEvent::SegmentFailed { variant: 2, .. })),
                "{what}"
            );
        }
    }
}

#[test]
fn an_init_section_that_cannot_be_had_is_another_variant() {
    let path = "/aac-160/init.mp4";
    for (what, script) in [
        ("404", Script::of_status(404)),
        ("403", Script::of_status(403)),
        ("503", Script::of_status(503)),
        ("empty", Script::file(&b""[..])),
        (
            "short",
            Script::file(hls::file("aac-160/init.mp4")[..100].to_vec()),
        ),
    ] {
        let server = origin();
        server.serve(path, script);
        let config = hurried(&server, "/multivariant.m3u8").with_abr_mode(AbrMode::Auto(Some(2)));
        let mut listener = Listener::open(config);
        listener
            .play()
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(listener.pcm.len() / 2, 485_100, "{what}");
        assert!(count(&server, path) <= 7, "{what}");
    }
}

#[test]
fn a_playlist_that_cannot_be_had_is_named() {
    let page = || Script::file(&b"<html>log in</html>"[..]).media_type("text/html");
    for (what, script, kind) in [
        ("404", Script::of_status(404), ErrorKind::Http(404)),
        ("503", Script::of_status(503), ErrorKind::Http(503)),
        ("a page", page(), ErrorKind::Playlist),
        ("nothing", Script::file(&b""[..]), ErrorKind::Playlist),
        (
            "no segment",
            Script::file(&b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-ENDLIST\n"[..]),
            ErrorKind::Playlist,
        ),
        (
            "too much",
            Script::file(b"#EXTM3U\n#".repeat(1 << 20)),
            ErrorKind::TooLarge,
        ),
        (
            "no end",
            Script::endless(&b"#EXTM3U\n# and so on\n"[..]),
            ErrorKind::TooLarge,
        ),
    ] {
        for path in ["/ts-aac/media.m3u8", "/multivariant.m3u8"] {
            let server = origin();
            server.serve(path, script.clone());
            let error = Listener::try_open(hurried(&server, path))
                .err()
                .unwrap_or_else(|| panic!("{what}: it opened"));
            assert_eq!(error.kind(), kind, "{what} at {path}: {error:?}");
            assert!(server.requests().len() <= 7, "{what}");
        }
    }
}

#[test]
fn a_variant_whose_playlist_is_lost_is_done_without() {
    let server = origin();
    server.serve("/aac-48/media.m3u8", Script::of_status(404));
    server.serve("/aac-160/media.m3u8", Script::file(&b"<html>"[..]));
    for mode in [AbrMode::Auto(Some(0)), AbrMode::Auto(Some(2))] {
        let mut listener =
            Listener::open(hurried(&server, "/multivariant.m3u8").with_abr_mode(mode));
        listener.play().expect("it plays");
        assert_eq!(hls::fixture("aac-96").difference(&listener.pcm), None);
    }
}

#[test]
fn what_playlists_must_not_refer_to_is_not_asked_for() {
    for reference in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/0.ts",
        "data:video/mp2t;base64,Rw==",
        "javascript:0",
    ] {
        let server = origin();
        let text = hls::text("ts-aac/media.m3u8").replace("0.ts", reference);
        server.serve("/ts-aac/media.m3u8", Script::file(text.into_bytes()));
        let error = Listener::try_open(hurried(&server, "/ts-aac/media.m3u8"))
            .err()
            .expect("a refusal");
        let kind = error.kind();
        assert!(
            matches!(kind, ErrorKind::Policy | ErrorKind::Playlist),
            "{reference}: {error:?}"
        );
    }
}
