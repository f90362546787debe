//! What an HLS title asks of its server: in which order, how deep, how much before it is heard.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::time::Duration;

use kithara::{AbrMode, SeekMode};
use kithara_tests::fixtures::hls;
use kithara_tests::server::Gate;
use network::*;
use streams::*;

#[test]
fn everything_is_asked_for_once_in_order_and_by_get() {
    let server = origin();
    for fixture in hls::all() {
        let folder = &fixture.folder;
        let before = server.requests().len();
        let mut listener = Listener::open(title(&server, folder));
        listener.play().expect("it plays");
        let requests = &server.requests()[before..];
        assert!(
            requests.iter().all(|request| request.method == "GET"),
            "{folder}"
        );
        assert!(
            requests.iter().all(|request| request.beside <= 3),
            "{folder}: {requests:#?}"
        );
        assert!(requests[0].path.ends_with("media.m3u8"), "{folder}");
        let asked: Vec<_> = requests.iter().map(|one| (&one.path, one.range)).collect();
        let mut once = asked.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), asked.len(), "{folder}: {asked:?}");
        // Playlist, segments, and at most an init section and two keys.
        let most = 1 + fixture.segments + 3;
        assert!(requests.len() <= most, "{folder}: {asked:?}");
        let stats = listener.resource.control().stats();
        assert_eq!(stats.requests as usize, requests.len(), "{folder}");
        let sent: u64 = requests[1..].iter().map(|request| request.sent_body).sum();
        assert!(stats.bytes_fetched <= sent, "{folder}: {stats:?} of {sent}");
        assert!(
            stats.bytes_fetched * 10 >= sent * 9,
            "{folder}: {stats:?} of {sent}"
        );
    }
}

#[test]
fn segments_are_asked_for_in_the_order_they_play() {
    let server = origin();
    let config = title(&server, "aac-48").with_hls_policy(near());
    Listener::open(config).play().expect("it plays");
    let requests = server.requests();
    let paths = media_paths(&requests);
    let segments: Vec<_> = paths.iter().filter(|path| path.ends_with(".m4s")).collect();
    let expected: Vec<_> = (0..6)
        .map(|number| format!("/aac-48/{number}.m4s"))
        .collect();
    assert_eq!(segments, expected.iter().collect::<Vec<_>>());
    assert_eq!(count(&server, "/aac-48/init.mp4"), 1);
}

#[test]
fn a_variant_that_is_not_played_is_not_asked_for() {
    let server = origin();
    let config = config(&server.url("/lossless.m3u8")).with_abr_mode(AbrMode::Manual(1));
    Listener::open(config).play().expect("it plays");
    let requests = server.requests();
    let paths: Vec<_> = requests
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    assert_eq!(paths[..2], ["/lossless.m3u8", "/aac-96/media.m3u8"]);
    assert!(
        paths[2..].iter().all(|path| path.starts_with("/aac-96/")),
        "{paths:?}"
    );
}

/// What is held back behind 32 KiB is never let go: the title is heard without it.
#[test]
fn a_title_is_heard_after_32_kib_of_its_first_segment() {
    for (folder, first) in [
        ("aac-160", "0.m4s"),
        ("fmp4-flac", "0.m4s"),
        ("ts-mp3", "0.ts"),
    ] {
        let server = origin();
        let gate = Gate::new();
        let path = format!("{folder}/{first}");
        let playlist = hls::file(&format!("{folder}/media.m3u8")).len() as u64;
        let held = hls::script(&path).hold_after(32 * KIB - playlist - 1024, &gate);
        server.serve(&format!("/{path}"), held);
        let mut listener = Listener::open(title(&server, folder));
        listener.read_samples(2 * 1024).expect("the beginning");
        assert_eq!(
            gate.holding() > 0,
            hls::file(&path).len() as u64 > 32 * KIB,
            "{folder}"
        );
        gate.open();
        listener.play().expect("it plays");
        assert_eq!(
            hls::fixture(folder).difference(&listener.pcm),
            None,
            "{folder}"
        );
    }
}

#[test]
fn a_seek_asks_for_its_own_segment_at_once() {
    let server = origin();
    let never = Gate::new();
    // Nothing behind the target is needed to land on it.
    server.serve(
        "/aac-96/5.m4s",
        hls::script("aac-96/5.m4s").hold_head(&never),
    );
    let mut listener = Listener::open(title(&server, "aac-96").with_hls_policy(near()));
    listener.read_samples(2 * 1024).expect("the beginning");
    let before = server.requests().len();
    let (landed, exact) = listener
        .seek(Duration::from_millis(9_100), SeekMode::Fast)
        .expect("it seeks");
    assert!(exact && landed.abs_diff(401_310) <= 1, "{landed}");
    listener.read_samples(2 * 1024).expect("there");
    let requests = server.requests();
    let asked: Vec<_> = requests[before..]
        .iter()
        .map(|request| request.path.as_str())
        .collect();
    let wanted: Vec<_> = asked
        .iter()
        .filter(|path| **path != "/aac-96/5.m4s")
        .collect();
    // What was on its way from before may be among them, but neither the playlist nor the init section.
    assert!(wanted.contains(&&"/aac-96/4.m4s"), "{asked:?}");
    assert!(wanted.len() <= 2, "{asked:?}");
    never.open();
}

#[test]
fn a_title_that_is_not_read_is_not_fetched() {
    let server = origin();
    let mut listener = Listener::open(title(&server, "ts-aac").with_hls_policy(near()));
    listener.read_samples(2 * 44_100).expect("a second");
    // Two seconds are decoded ahead of that, and a segment more is there.
    server.wait_until("the second segment", |log| {
        log.iter().any(|request| request.path == "/ts-aac/1.ts")
    });
    assert_eq!(count(&server, "/ts-aac/4.ts"), 0);
    drop(listener);
    server.wait_open_connections(1);
}
