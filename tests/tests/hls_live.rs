//! Live HLS titles: a window that moves, heard through [`kithara::Resource`]. A server shows a little more each time it is asked.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::time::Duration;

use kithara::HlsEvent;
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
