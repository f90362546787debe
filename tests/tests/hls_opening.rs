//! HLS titles on their way to being open, and the first choices of a variant.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::task::{Context, Waker};
use std::time::Duration;

use kithara::{
    AbrMode, AbrOptions, AbrReason, CancellationToken, ErrorKind, HlsEvent, Resource, ResourceEvent,
};
use kithara_tests::fixtures::hls;
use kithara_tests::server::{FaultServer, Gate, Link, Script};
use network::*;
use streams::*;

/// A playlist under a name that tells nothing, of which one request is held for ever.
fn held(path: &str, gate: &Gate) -> FaultServer {
    let server = origin();
    let list = Script::file(hls::file("ts-aac/media.m3u8"));
    server.serve("/ts-aac/radio", list.clone());
    match path {
        "guess" => server.serve("/ts-aac/radio", list.hold_head(gate)),
        "list" => server.serve_sequence("/ts-aac/radio", [list.clone(), list.hold_head(gate)]),
        segment => server.serve(segment, hls::script(&segment[1..]).hold_head(gate)),
    }
    server
}

#[test]
fn an_open_that_is_given_up_leaves_nothing_behind_wherever_it_waits() {
    for path in ["guess", "list", "/ts-aac/0.ts"] {
        let gate = Gate::new();
        let server = held(path, &gate);
        let config = config(&server.url("/ts-aac/radio"));
        let mut opening = Box::pin(Resource::new(config));
        let pending = opening
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(pending.is_pending(), "{path}");
        gate.wait_held();
        drop(opening);
        // The decode thread waits for bytes: the drop has to reach it.
        server.wait_open_connections(0);
    }
}

#[test]
fn an_open_that_is_cancelled_says_so() {
    for path in ["guess", "list", "/ts-aac/0.ts"] {
        let gate = Gate::new();
        let server = held(path, &gate);
        let token = CancellationToken::new();
        let config = config(&server.url("/ts-aac/radio")).with_cancel(token.clone());
        let error = std::thread::scope(|scope| {
            let opening = scope.spawn(|| Resource::blocking(config));
            gate.wait_held();
            token.cancel();
            opening
                .join()
                .expect("no panic")
                .expect_err("it was cancelled")
        });
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{path}: {error:?}");
        server.wait_open_connections(0);
    }
}

/// Chooses by what the first segments show.
fn eager(mode: AbrMode) -> AbrOptions {
    AbrOptions {
        mode,
        min_buffer_for_up_switch: Duration::from_secs(1),
        min_switch_interval: Duration::ZERO,
        ..AbrOptions::default()
    }
}

/// The three variants over a link of so many bytes a second.
fn over(link: &Link) -> FaultServer {
    let server = origin();
    for folder in ["aac-48", "aac-96", "aac-160"] {
        for number in 0..6 {
            let path = format!("{folder}/{number}.m4s");
            server.serve(&format!("/{path}"), hls::script(&path).over(link));
        }
    }
    server
}

fn switch(event: &ResourceEvent) -> Option<(usize, usize, AbrReason)> {
    match event {
        ResourceEvent::Hls(HlsEvent::VariantChanged {
            from, to, reason, ..
        }) => Some(((*from)?, *to, *reason)),
        _ => None,
    }
}

#[test]
fn a_wide_link_brings_the_best_variant() {
    let server = over(&Link::new(400_000));
    let config = config(&server.url("/multivariant.m3u8"));
    let mut listener = Listener::open(config.with_abr(eager(AbrMode::Auto(Some(0)))));
    // Nobody reads, so there soon is a second that waits to be read.
    server.wait_until("the best variant", |log| {
        log.iter()
            .any(|request| request.path.ends_with(".m4s") && request.path.starts_with("/aac-160/"))
    });
    listener.play().expect("it plays");
    assert_eq!(listener.pcm.len() / 2, 485_100);
    let switches: Vec<_> = listener.events().iter().filter_map(switch).collect();
    assert_eq!(switches, [(0, 2, AbrReason::UpSwitch)]);
}

#[test]
fn a_narrow_link_is_left_room() {
    let link = Link::new(15_000);
    let server = over(&link);
    let config = config(&server.url("/multivariant.m3u8"));
    let options = eager(AbrMode::Auto(Some(2)));
    let mut listener = Listener::open(config.with_abr(options).with_hls_policy(near()));
    listener.read_samples(2 * 44_100).expect("the beginning");
    listener.hears("another variant", |event| {
        matches!(
            switch(event),
            Some((2, 0 | 1, AbrReason::DownSwitch | AbrReason::Abandoned))
        )
    });
    link.set_rate(1_000_000);
    listener.play().expect("it plays");
    assert_eq!(listener.pcm.len() / 2, 485_100);
}
