//! HLS segments and init sections that were bad once: they are had once more, and nothing of what was bad is heard or kept.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use cache::Cache;
use kithara::{AbrMode, ErrorKind, GapPolicy, HlsEvent, ResourceConfig};
use kithara_tests::fixtures::hls;
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

/// A title of each kind of segment, and what its files are called.
const TITLES: [(&str, &str); 5] = [
    ("aac-48", "m4s"),
    ("ts-aac", "ts"),
    ("ts-mp3", "ts"),
    ("packed-aac", "aac"),
    ("packed-mp3", "mp3"),
];

/// What no decoder makes anything of.
fn garbage(length: usize) -> Vec<Vec<u8>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let text = b"So this is what you wanted to hear.\n".repeat(99);
    vec![(0..length).map(next).collect(), vec![0; length], text]
}

fn places(folder: &str) -> [usize; 3] {
    let last = hls::fixture(folder).segments - 1;
    [0, last / 2, last]
}

/// Everything that is heard of it.
fn played(config: ResourceConfig) -> Vec<f32> {
    let mut listener = Listener::open(config);
    let played = listener.play();
    played.unwrap_or_else(|error| panic!("{error:?}"));
    listener.pcm.clone()
}

/// What comes first is bad, and all that follows is right: a proxy that was confused once.
fn bad_once(server: &FaultServer, path: &str, bad: Vec<u8>) {
    server.serve_sequence(path, [Script::file(bad), hls::script(&path[1..])]);
}

#[test]
fn a_segment_that_was_bad_once_leaves_nothing_to_be_heard() {
    for (folder, extension) in TITLES {
        let whole = played(title(&origin(), folder));
        for number in places(folder) {
            let path = format!("/{folder}/{number}.{extension}");
            for bad in garbage(hls::file(&path[1..]).len()) {
                let server = origin();
                bad_once(&server, &path, bad.clone());
                let what = format!("{path}: {:?}", &bad[..4]);
                assert!(played(title(&server, folder)) == whole, "{what}");
                assert_eq!(count(&server, &path), 2, "{what}");
            }
        }
    }
}

#[test]
fn a_fragment_that_was_cut_once_is_heard_whole() {
    let whole = played(title(&origin(), "aac-48"));
    for number in places("aac-48") {
        let path = format!("/aac-48/{number}.m4s");
        let sound = hls::file(&path[1..]);
        for cut in [9, 60, sound.len() / 2, sound.len() - 1] {
            let server = origin();
            bad_once(&server, &path, sound[..cut].to_vec());
            let heard = played(title(&server, "aac-48"));
            assert!(heard == whole, "{cut} bytes of {path}");
            assert_eq!(count(&server, &path), 2, "{cut} bytes of {path}");
        }
    }
}

/// What is in the place of an init section.
fn no_inits() -> Vec<Vec<u8>> {
    let init = hls::file("aac-48/init.mp4");
    let mut bad = garbage(init.len());
    bad.push(b"<!DOCTYPE html><html><body>Moved</body></html>".to_vec());
    bad.extend([4, 30, init.len() / 2, init.len() - 1].map(|cut| init[..cut].to_vec()));
    bad
}

#[test]
fn an_init_section_that_was_bad_once_leaves_nothing_to_be_heard() {
    let whole = played(title(&origin(), "aac-48"));
    for bad in no_inits() {
        let server = origin();
        bad_once(&server, "/aac-48/init.mp4", bad.clone());
        let what = format!("{} bytes, {:?}", bad.len(), &bad[..4]);
        let heard = played(title(&server, "aac-48"));
        assert!(heard == whole, "{what}");
        assert_eq!(count(&server, "/aac-48/init.mp4"), 2, "{what}");
    }
}

#[test]
fn an_init_section_that_stays_bad_is_an_error_or_another_variant() {
    for bad in no_inits() {
        let what = format!("{} bytes, {:?}", bad.len(), &bad[..4]);
        let server = origin();
        server.serve("/aac-48/init.mp4", Script::file(bad));
        let opened = Listener::try_open(title(&server, "aac-48"));
        let error = opened.err().unwrap_or_else(|| panic!("{what}: it opened"));
        assert_eq!(error.kind(), ErrorKind::WrongContent, "{what}: {error:?}");
        assert!(
            format!("{error:?}").contains("segment 0"),
            "{what}: {error:?}"
        );
        assert_eq!(count(&server, "/aac-48/init.mp4"), 2, "{what}");

        let asked = config(&server.url("/multivariant.m3u8")).with_abr_mode(AbrMode::Auto(Some(0)));
        let mut listener = Listener::open(asked);
        let played = listener.play();
        played.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(listener.pcm.len() / 2, 485_100, "{what}");
        let told = listener.events();
        assert!(hls_events(&told).all(|event| !matches!(event, HlsEvent::Gap { .. })));
    }
}

/// The first opening of a title finds one part bad whenever it asks; the next, with the same store, finds all right.
fn is_not_kept(folder: &str, path: &str, bad: Vec<u8>) {
    let what = format!("{path}: {} bytes, {:?}", bad.len(), &bad[..4]);
    let kept = tempfile::tempdir().expect("a folder");
    let server = origin();
    let url = server.url(&hls::fixture(folder).playlist());
    server.serve(path, Script::file(bad));
    let cache = Cache::at(kept.path());
    let opened = Listener::try_open(cache.config(&url).with_gap_policy(GapPolicy::Stop));
    let played = opened.and_then(|mut listener| listener.play());
    assert!(played.is_err(), "{what}");
    cache.end();

    server.serve(path, hls::script(&path[1..]));
    for _ in 0..2 {
        let cache = Cache::at(kept.path());
        let mut listener = Listener::open(cache.config(&url));
        let played = listener.play();
        played.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let difference = hls::fixture(folder).difference(&listener.pcm);
        assert_eq!(difference, None, "{what}");
        drop(listener);
        cache.end();
    }
    assert_eq!(count(&server, path), 3, "{what}");
}

#[test]
fn what_was_bad_is_not_in_the_store() {
    for (folder, extension) in TITLES {
        for number in places(folder) {
            let path = format!("/{folder}/{number}.{extension}");
            let [noise, ..] = &garbage(hls::file(&path[1..]).len())[..] else {
                unreachable!("three kinds")
            };
            is_not_kept(folder, &path, noise.clone());
        }
    }
    for bad in no_inits() {
        is_not_kept("aac-48", "/aac-48/init.mp4", bad);
    }
}

/// The titles whose segments only their playlist promises a length.
const UNMEASURED: [(&str, &str); 4] = [TITLES[1], TITLES[2], TITLES[3], TITLES[4]];

/// The last segment of a title, cut at places of its own.
fn cut_at_the_end((folder, extension): (&str, &str)) -> (String, Vec<Vec<u8>>) {
    let last = hls::fixture(folder).segments - 1;
    let path = format!("/{folder}/{last}.{extension}");
    let sound = hls::file(&path[1..]);
    let (all, packets) = (sound.len(), sound.len() / 188 / 2 * 188);
    let cuts = [all / 4, packets, packets + 99, all - 400, all - 1];
    (path, cuts.map(|cut| sound[..cut].to_vec()).to_vec())
}

#[test]
fn a_last_segment_that_was_cut_once_is_heard_whole() {
    for title_of in UNMEASURED {
        let folder = title_of.0;
        let whole = played(title(&origin(), folder));
        let (path, cuts) = cut_at_the_end(title_of);
        for cut in cuts {
            let what = format!("{} bytes of {path}", cut.len());
            let server = origin();
            bad_once(&server, &path, cut);
            assert!(played(title(&server, folder)) == whole, "{what}");
            assert_eq!(count(&server, &path), 2, "{what}");
        }
    }
}

#[test]
fn a_last_segment_that_stays_cut_shortens_no_title_unheard_of() {
    for title_of in UNMEASURED {
        let (folder, fixture) = (title_of.0, hls::fixture(title_of.0));
        let (path, cuts) = cut_at_the_end(title_of);
        let begin = segments(fixture).pop().expect("segments").start;
        for cut in cuts {
            let what = format!("{} bytes of {path}", cut.len());
            for policy in [None, Some(GapPolicy::Silence), Some(GapPolicy::Stop)] {
                let server = origin();
                server.serve(&path, Script::file(cut.clone()));
                let mut config = title(&server, folder);
                if let Some(policy) = policy {
                    config = config.with_gap_policy(policy);
                }
                let mut listener = Listener::open(config);
                let result = listener.play();
                assert_eq!(count(&server, &path), 2, "{what}");
                let all = listener.pcm.len() / 2;
                let sure = frames(&listener.pcm, 0..begin - 1152);
                assert_eq!(fixture.difference_at(sure, 0), None, "{what}, before");
                if policy == Some(GapPolicy::Stop) {
                    let error = result.err().unwrap_or_else(|| panic!("{what}: it played"));
                    assert_eq!(error.kind(), ErrorKind::Truncated, "{what}: {error:?}");
                    assert!(all < fixture.frames, "{what}: {all}");
                    continue;
                }
                result.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert!(all.abs_diff(fixture.frames) <= 64, "{what}: {all} frames");
                let told = listener.events();
                let gap = |event: &&HlsEvent| matches!(event, HlsEvent::Gap { silent: true, .. });
                assert_eq!(hls_events(&told).filter(gap).count(), 1, "{what}");
            }
        }
    }
}

/// What the origin has is kept as it is: it plays the same where nobody answers.
#[test]
fn a_title_that_is_cut_at_its_end_plays_again_without_a_network() {
    let (path, cuts) = cut_at_the_end(("packed-aac", "aac"));
    let kept = tempfile::tempdir().expect("a folder");
    let server = origin();
    let url = server.url("/packed-aac/media.m3u8");
    server.serve(&path, Script::file(cuts[0].clone()));
    let hear = || {
        let cache = Cache::at(kept.path());
        let mut listener = Listener::open(cache.config(&url));
        listener.play().expect("it plays");
        let pcm = listener.pcm.clone();
        drop(listener);
        cache.end();
        pcm
    };
    let first = hear();
    drop(server);
    assert!(hear() == first);
}
