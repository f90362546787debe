//! What was played once plays again where nobody answers, and costs nothing twice where somebody does.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::time::Duration;

use cache::Cache;
use kithara::net::NetOptions;
use kithara::{AbrMode, SeekMode};
use kithara_tests::fixtures::hls;
use network::*;
use streams::*;

/// A title kept in this store, by a client that gives up soon.
fn kept(cache: &Cache, url: &str) -> kithara::ResourceConfig {
    let client = client(impatient(Duration::from_secs(2)), quick());
    cache.config(url).with_client(client)
}

#[test]
fn every_kind_of_title_plays_again_when_its_server_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = origin();
    let urls: Vec<_> = hls::all()
        .iter()
        .map(|fixture| (fixture, server.url(&fixture.playlist())))
        .collect();
    for (fixture, url) in &urls {
        let cache = Cache::at(folder.path());
        let mut listener = Listener::open(kept(&cache, url));
        listener.play().expect("it plays");
        assert_eq!(
            fixture.difference(&listener.pcm),
            None,
            "{}",
            fixture.folder
        );
        drop(listener);
        cache.end();
    }
    drop(server);
    for (fixture, url) in &urls {
        let cache = Cache::at(folder.path());
        let mut listener = Listener::open(kept(&cache, url));
        let played = listener.play();
        played.unwrap_or_else(|error| panic!("{}: {error:?}", fixture.folder));
        assert_eq!(
            fixture.difference(&listener.pcm),
            None,
            "{}",
            fixture.folder
        );
        drop(listener);
        cache.end();
    }
}

#[test]
fn a_variant_that_was_played_plays_again_and_can_be_sought_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = origin();
    let url = server.url("/multivariant.m3u8");
    let open = |cache: &Cache| {
        let config = kept(cache, &url).with_abr_mode(AbrMode::Manual(1));
        Listener::open(config)
    };
    let cache = Cache::at(folder.path());
    open(&cache).play().expect("it plays");
    cache.end();
    drop(server);
    let cache = Cache::at(folder.path());
    let mut listener = open(&cache);
    let (landed, exact) = listener
        .seek(Duration::from_secs(7), SeekMode::Fast)
        .expect("it seeks");
    assert!(exact && landed.abs_diff(308_700) <= 1, "{landed}");
    listener.play().expect("it plays");
    let fixture = hls::fixture("aac-96");
    assert_eq!(listener.pcm.len() / 2, fixture.frames - landed as usize);
    assert_eq!(fixture.difference_at(&listener.pcm, landed as usize), None);
    drop(listener);
    cache.end();
}

#[test]
fn segments_that_are_stored_are_not_asked_for_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = origin();
    let fixture = hls::fixture("packed-aac");
    let url = server.url(&fixture.playlist());
    let cache = Cache::at(folder.path());
    Listener::open(kept(&cache, &url)).play().expect("it plays");
    cache.end();
    let before = server.requests().len();
    let cache = Cache::at(folder.path());
    let mut listener = Listener::open(kept(&cache, &url));
    listener.play().expect("it plays");
    assert_eq!(fixture.difference(&listener.pcm), None);
    let requests = server.requests();
    assert_eq!(media_paths(&requests[before..]), Vec::<&str>::new());
    let stats = listener.resource.control().stats();
    assert_eq!(stats.bytes_fetched, 0);
    drop(listener);
    cache.end();
}

#[test]
fn without_a_store_nothing_is_left() {
    let server = origin();
    let config = title(&server, "ts-aac").with_net(NetOptions::default());
    Listener::open(config).play().expect("it plays");
    let before = server.requests().len();
    let config = title(&server, "ts-aac").with_net(NetOptions::default());
    Listener::open(config).play().expect("it plays");
    assert_eq!(server.requests().len(), 2 * before);
}

/// Playlists may hold tokens: nothing of them is on the disk as it came.
#[test]
fn no_reference_is_on_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = origin();
    let list = hls::text("ts-aac/media.m3u8").replace(".ts", ".ts?token=canary");
    let script = kithara_tests::server::Script::file(list.into_bytes());
    server.serve("/ts-aac/media.m3u8", script);
    let cache = Cache::at(folder.path());
    let url = server.url("/ts-aac/media.m3u8?session=canary");
    Listener::open(kept(&cache, &url)).play().expect("it plays");
    cache.end();
    let files = cache::files(folder.path());
    assert!(files.len() > 6, "{}", files.len());
    for (path, bytes) in files {
        for secret in [&b"canary"[..], b"127.0.0.1"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{}", path.display());
        }
    }
}

#[test]
fn what_is_not_kept_is_not_asked_for_until_the_next_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = origin();
    let url = server.url("/multivariant.m3u8");
    let cache = Cache::at(folder.path());
    let config = kept(&cache, &url).with_hls_policy(near());
    let mut listener = Listener::open(config.with_abr_mode(AbrMode::Manual(1)));
    // Two segments of one variant, of which the first has come whole by then.
    listener.read_samples(2 * 150_000).expect("it plays");
    drop(listener);
    cache.end();

    let paths: std::collections::BTreeSet<_> = server
        .requests()
        .iter()
        .map(|request| request.path.clone())
        .collect();
    let others = hls::all().iter().flat_map(|fixture| {
        let file = |name: &str| format!("/{}/{name}", fixture.folder);
        let numbered = (0..fixture.segments).map(move |number| file(&format!("{number}.m4s")));
        numbered.chain([file("media.m3u8"), file("init.mp4")])
    });
    for path in others.chain(paths) {
        server.serve(&path, kithara_tests::server::Script::of_status(503));
    }
    for mode in [
        AbrMode::Auto(None),
        AbrMode::Manual(1),
        AbrMode::Auto(Some(2)),
    ] {
        let before = server.requests().len();
        let cache = Cache::at(folder.path());
        let mut listener = Listener::open(kept(&cache, &url).with_abr_mode(mode));
        let result = listener.play();
        let told = result.expect_err("the rest is not kept");
        let fixture = hls::fixture("aac-96");
        let kept_to = segments(fixture)[0].end - 64;
        assert!(listener.pcm.len() / 2 >= kept_to, "{mode:?}: {told:?}");
        assert_eq!(fixture.difference_at(&listener.pcm, 0), None, "{mode:?}");

        // It comes back, which nobody knows.
        hls::serve(&server);
        let sought = listener.seek(Duration::from_secs(10), SeekMode::Fast);
        assert!(sought.is_err() || listener.play().is_err(), "{mode:?}");
        let asked = server.requests();
        let asked: Vec<_> = asked[before..]
            .iter()
            .map(|request| &request.path)
            .collect();
        assert!(asked.len() <= 7, "{mode:?}: {asked:?}");
        let entry = asked.iter().all(|path| *path == "/multivariant.m3u8");
        assert!(entry, "{mode:?}: {asked:?}");
        drop(listener);
        cache.end();
        for path in server.requests().iter().map(|request| &request.path) {
            server.serve(path, kithara_tests::server::Script::of_status(503));
        }
    }
    hls::serve(&server);
    let cache = Cache::at(folder.path());
    let mut listener = Listener::open(kept(&cache, &url).with_abr_mode(AbrMode::Manual(1)));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aac-96").difference(&listener.pcm), None);
    drop(listener);
    cache.end();
}

#[test]
fn a_segment_without_sound_is_silent_again_when_its_server_is_gone() {
    const BRAND: &[u8] = b"\0\0\0\x10stypmsdh\0\0\0\0";
    for number in [2, 5] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = origin();
        let path = format!("/aac-48/{number}.m4s");
        server.serve(&path, kithara_tests::server::Script::file(BRAND.to_vec()));
        let url = server.url(&hls::fixture("aac-48").playlist());
        let play = || {
            let cache = Cache::at(folder.path());
            let mut listener = Listener::open(kept(&cache, &url));
            let played = listener.play();
            played.unwrap_or_else(|error| panic!("{path}: {error:?}"));
            let pcm = std::mem::take(&mut listener.pcm);
            drop(listener);
            cache.end();
            pcm
        };
        let first = play();
        drop(server);
        assert!(play() == first, "{path}");
    }
}
