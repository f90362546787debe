//! Live HLS titles: a window that moves, heard through [`kithara::Resource`]. A server shows a little more each time it is asked.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::time::Duration;

use kithara::{GapPolicy, HlsEvent};
use kithara_tests::fixtures::hls;
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

fn list(folder: &str, numbers: std::ops::Range<u64>, ended: bool) -> Script {
    // Reloads come no sooner than after half of this.
    let text = hls::live(folder, numbers, ended).replace("DURATION:2", "DURATION:1");
    Script::file(text.into_bytes()).media_type("application/vnd.apple.mpegurl")
}

fn serve(server: &FaultServer, folder: &str, lists: impl IntoIterator<Item = Script>) -> String {
    server.serve_sequence("/live/list.m3u8", lists);
    for path in [folder, "live"] {
        for number in 0..6 {
            let name = format!("{number}.aac");
            server.serve(
                &format!("/{path}/{name}"),
                hls::script(&format!("{folder}/{name}")),
            );
        }
    }
    server.url("/live/list.m3u8")
}

#[test]
fn a_live_title_that_ends_was_heard_whole() {
    let server = FaultServer::start();
    let lists = [(0..4, false), (1..5, false), (2..6, true)];
    let lists = lists.map(|(numbers, ended)| list("packed-aac", numbers, ended));
    let mut listener = Listener::open(config(&serve(&server, "packed-aac", lists)));
    let control = listener.resource.control();
    assert!(control.is_live());
    assert_eq!(listener.resource.duration(), None);
    let joined = listener.resource.position();
    assert!(joined < Duration::from_secs(6), "{joined:?}");
    listener.play().expect("it plays to its end");
    assert!(!control.is_live());
    let fixture = hls::fixture("packed-aac");
    let first = listener.resource.spec().frames(joined) as usize;
    assert_eq!(listener.pcm.len() / 2, fixture.frames - first);
    // The first packet lacks what overlaps it.
    let rest = frames(&listener.pcm, 1024..fixture.frames - first);
    assert_eq!(fixture.difference_at(rest, first + 1024), None);
    // Each segment is asked for once, and the list no more often than it changed, and at its end no more.
    for number in 0..6 {
        assert!(
            count(&server, &format!("/live/{number}.aac")) <= 1,
            "{number}"
        );
    }
    assert_eq!(count(&server, "/live/list.m3u8"), 3);
}

#[test]
fn a_title_that_begins_anew_behind_a_discontinuity_goes_on() {
    let server = FaultServer::start();
    let lists = [(3..6, false), (4..8, true)];
    let lists = lists.map(|(numbers, ended)| list("packed-aac", numbers, ended));
    let mut listener = Listener::open(config(&serve(&server, "packed-aac", lists)));
    listener.play().expect("it plays to its end");
    let fixture = hls::fixture("packed-aac");
    // The last segment of the title, 40 packets, and the first two again, after those of before the list was loaded.
    let end = frames(
        &listener.pcm,
        listener.pcm.len() / 2 - 2 * 87 * 1024..listener.pcm.len() / 2,
    );
    assert_eq!(fixture.difference_at(end, 0), None);
    let told = listener.events();
    assert!(hls_events(&told).all(|event| !matches!(event, HlsEvent::Gap { .. })));
}

#[test]
fn a_listener_who_leaves_ends_the_reloads() {
    let server = FaultServer::start();
    let url = serve(&server, "packed-aac", [list("packed-aac", 0..4, false)]);
    let listener = Listener::open(config(&url));
    server.wait_until("a reload", |log| {
        log.iter()
            .filter(|request| request.path.ends_with(".m3u8"))
            .count()
            >= 2
    });
    let told = listener.closes();
    assert!(hls_events(&told).any(|event| matches!(event, HlsEvent::PlaylistLoaded { .. })));
    drop(told);
    let asked = server.requests().len();
    // A client that is gone asks nothing: its connections are closed.
    server.wait_open_connections(0);
    assert_eq!(server.requests().len(), asked);
}

/// Everything that is heard of a title that ends after its window has moved twice, of which one segment answers like this.
fn heard(bad: Option<(usize, Vec<Script>)>) -> (Vec<f32>, usize, FaultServer) {
    let server = FaultServer::start();
    let lists = [(0..4, false), (1..5, false), (2..6, true)];
    let lists = lists.map(|(numbers, ended)| list("packed-aac", numbers, ended));
    let url = serve(&server, "packed-aac", lists);
    if let Some((number, scripts)) = bad {
        server.serve_sequence(&format!("/live/{number}.aac"), scripts);
    }
    // How far the window has moved by then decides nothing.
    let config = config(&url).with_gap_policy(GapPolicy::Silence);
    let mut listener = Listener::open(config);
    let joined = listener.resource.position();
    listener.play().expect("it plays to its end");
    let first = listener.resource.spec().frames(joined) as usize;
    (listener.pcm.clone(), first, server)
}

#[test]
fn what_is_bad_at_the_live_edge_is_had_once_more_or_is_silence() {
    let fixture = hls::fixture("packed-aac");
    let (whole, first, _) = heard(None);
    // The last of the first list, and the last of all.
    let nothing = [vec![0xa5; 10_000], b"Nothing yet. ".repeat(200)];
    for (number, bad) in [3, 5].into_iter().zip(nothing) {
        let path = format!("/live/{number}.aac");
        let what = format!("{:?} in place of {path}", &bad[..4]);
        let right = hls::script(&format!("packed-aac/{number}.aac"));
        let once = vec![Script::file(bad.clone()), right];
        let (pcm, _, server) = heard(Some((number, once)));
        assert!(pcm == whole, "{what}, once");
        assert_eq!(count(&server, &path), 2, "{what}, once");

        let (pcm, _, server) = heard(Some((number, vec![Script::file(bad)])));
        assert_eq!(count(&server, &path), 2, "{what}");
        assert!(pcm.len().abs_diff(whole.len()) <= 2 * 64, "{what}");
        let gap = &segments(fixture)[number];
        let before = gap.start - first - 64;
        assert!(
            frames(&pcm, 0..before) == frames(&whole, 0..before),
            "{what}"
        );
        let inside = gap.start - first + 1024..gap.end.min(fixture.frames) - first - 64;
        let silent = frames(&pcm, inside).iter().all(|sample| *sample == 0.0);
        assert!(silent, "{what}: it is heard");
        let behind = gap.end - first + 2 * 1024;
        if behind * 2 < pcm.len() {
            assert!(pcm[behind * 2..] == whole[behind * 2..], "{what}, behind");
        }
    }
}
