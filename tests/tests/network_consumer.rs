//! Listeners who read too little, too much, too late or several at once: memory, disk and requests stay bounded, and
//! the samples are the same.

#[path = "support/network.rs"]
mod network;

use std::time::Duration;

use kithara::file::FileEvent;
use kithara::net::NetOptions;
use kithara::{CancellationToken, ErrorKind, ReadState, Resource, ResourceConfig, SeekMode};
use kithara_tests::fixtures::{fixture, long_wav};
use kithara_tests::server::{FaultServer, Gate, Outcome, Script};
use network::*;

/// What the decode thread reads of a WAV while nobody reads from it: two seconds, and a read more.
const BUFFERED: u64 = 2 * 44_100 * 4 + 64 * KIB;

#[test]
fn a_listener_who_never_reads_is_fetched_the_look_ahead_and_no_more() {
    let bytes = long_wav(30).bytes;
    let expected = local(&bytes, "wav");
    for (look_ahead, ranges) in [
        (LOOK_AHEAD, true),
        (MIB, true),
        (2 * MIB, true),
        (LOOK_AHEAD, false),
        (MIB, false),
    ] {
        let server = FaultServer::start();
        let file = Script::file(bytes.clone());
        server.serve("/a.wav", if ranges { file } else { file.without_ranges() });
        let net = client(NetOptions::default(), quick());
        let config = |path: &str| {
            ResourceConfig::new(server.url(path))
                .unwrap()
                .without_store()
                .with_client(net.clone())
        };
        let mut listener = Listener::open(config("/a.wav").with_look_ahead_bytes(look_ahead));
        // Ahead of the two seconds in the ring, less the request that would not fit any more.
        let least = look_ahead.min(2 * 44_100 * 4) + look_ahead / 2 - 64 * KIB;
        server.wait_until("the look-ahead", |log| {
            log.iter().map(|request| request.sent_body).sum::<u64>() >= least
        });
        // The I/O thread has had all the turns it wants: another title came and went on it.
        let other = fixture("wav-s16.wav").bytes();
        server.serve("/other.wav", Script::file(other.clone()));
        for _ in 0..3 {
            Listener::open(config("/other.wav"))
                .plays_exactly(&local(&other, "wav"), "another title");
        }
        let stored = |listener: &mut Listener| {
            let progress = file_events(&listener.events())
                .filter_map(|event| match event {
                    FileEvent::DownloadProgress { stored, .. } => Some(*stored),
                    _ => None,
                })
                .max();
            progress.unwrap_or(0)
        };
        let most = BUFFERED + look_ahead;
        let kept = stored(&mut listener);
        assert!(
            kept <= most,
            "{kept} bytes are stored with a look-ahead of {look_ahead}, ranges: {ranges}"
        );
        if ranges {
            let sent: u64 = server
                .requests_for("/a.wav")
                .iter()
                .map(|request| request.sent_body)
                .sum();
            assert!(
                sent <= most,
                "{sent} bytes were sent with a look-ahead of {look_ahead}"
            );
            // Nothing is held open while nothing is wanted.
            server.wait_until("every answer ending", |log| {
                log.iter()
                    .all(|request| request.outcome == Outcome::Complete)
            });
        }
        listener.plays_exactly(&expected, "after standing still");
    }
}

#[test]
fn dropping_a_resource_closes_what_it_held_open() {
    let bytes = long_wav(60).bytes;
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve(
        "/held.wav",
        Script::file(bytes.clone()).hold_at(100_000, &gate),
    );
    server.serve("/whole.wav", Script::file(bytes).without_ranges());
    for path in ["/held.wav", "/whole.wav"] {
        let listener = Listener::open(config(&server.url(path)));
        assert!(server.open_connections() > 0);
        drop(listener);
        server.wait_open_connections(0);
    }
}

#[test]
fn any_slicing_gives_the_same_samples() {
    let media = fixture("flac-16.flac");
    let (bytes, expected) = (media.bytes(), local(&media.bytes(), "flac"));
    let server = FaultServer::start();
    server.serve("/a.flac", Script::file(bytes).shorter_ranges(7919));
    for slices in [
        &[2][..],
        &[3, 2, 5, 7],
        &[100_000_000 / 64],
        &[1000, 2, 4097],
    ] {
        let mut resource = Resource::blocking(config(&server.url("/a.flac"))).unwrap();
        assert_eq!(
            resource.read(&mut []).unwrap_err().kind(),
            ErrorKind::Config
        );
        assert_eq!(
            resource.read(&mut [0.0]).unwrap_err().kind(),
            ErrorKind::Config
        );
        let mut pcm = Vec::new();
        for len in slices.iter().cycle() {
            let mut buf = vec![f32::NAN; *len];
            let read = resource.read(&mut buf).unwrap();
            assert!(read.is_multiple_of(2) && read <= *len);
            pcm.extend_from_slice(&buf[..read]);
            if read == 0 {
                break;
            }
        }
        assert_same(&pcm, &expected, &format!("{slices:?}"));
    }
    // Planes and blocks hold the same as well.
    let mut resource = Resource::blocking(config(&server.url("/a.flac"))).unwrap();
    let (mut left, mut right, mut pcm) = (vec![0.0; 333], vec![0.0; 334], Vec::new());
    loop {
        let frames = resource.read_planar(&mut [&mut left, &mut right]).unwrap();
        pcm.extend(
            left.iter()
                .zip(&right)
                .take(frames)
                .flat_map(|(left, right)| [*left, *right]),
        );
        if frames == 0 {
            break;
        }
    }
    assert_same(&pcm, &expected, "planes");
    let mut resource = Resource::blocking(config(&server.url("/a.flac"))).unwrap();
    let blocks: Vec<f32> = resource
        .blocks()
        .flat_map(|block| block.unwrap().pcm.to_vec())
        .collect();
    assert_same(&blocks, &expected, "blocks");
}

#[test]
fn reading_on_after_the_end_a_cancel_or_a_close_costs_nothing_and_says_the_same() {
    let bytes = long_wav(30).bytes;
    let server = FaultServer::start();
    let short = fixture("wav-s16.wav").bytes();
    server.serve("/short.wav", Script::file(short.clone()));
    server.serve("/long.wav", Script::file(bytes));

    let mut ended = Listener::open(config(&server.url("/short.wav")));
    ended.play().unwrap();
    let before = server.requests().len();
    for _ in 0..1000 {
        assert_eq!(ended.resource.read(&mut [0.0; 64]).unwrap(), 0);
        assert_eq!(
            ended.resource.try_read(&mut [0.0; 64]).state,
            ReadState::Ended
        );
    }
    assert_eq!(server.requests().len(), before);

    let cancel = CancellationToken::new();
    let config = |path: &str| config(&server.url(path)).with_look_ahead_bytes(LOOK_AHEAD);
    let mut cancelled = Listener::open(config("/long.wav").with_cancel(cancel.clone()));
    cancel.cancel();
    let mut closed = Listener::open(config("/long.wav"));
    closed.resource.control().close();
    for (listener, kind) in [
        (&mut cancelled, ErrorKind::Cancelled),
        (&mut closed, ErrorKind::Closed),
    ] {
        let error = listener.play().expect_err("it was ended");
        assert_eq!(error.kind(), kind);
        // All that may be left is that of the one that ended: nobody is there any more who could ask.
        server.wait_open_connections(1);
        let before = server.requests().len();
        for _ in 0..1000 {
            assert_eq!(
                listener.resource.read(&mut [0.0; 64]).unwrap_err().kind(),
                kind
            );
        }
        assert_eq!(server.requests().len(), before, "{kind:?}");
        assert_eq!(
            listener
                .resource
                .seek(Duration::ZERO, SeekMode::Fast)
                .unwrap_err()
                .kind(),
            ErrorKind::Closed
        );
    }
}

#[test]
fn a_blocked_read_ends_when_the_resource_is_cancelled() {
    let bytes = long_wav(8).bytes;
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", Script::file(bytes).hold_at(500_000, &gate));
    let cancel = CancellationToken::new();
    let config = config(&server.url("/a.wav"))
        .with_cancel(cancel.clone())
        .with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    let reader = std::thread::spawn(move || {
        let error = listener.fails_after_exact_prefix(&expected, "cancelled");
        (error.kind(), listener)
    });
    gate.wait_held();
    cancel.cancel();
    let (kind, listener) = reader.join().unwrap();
    assert_eq!(kind, ErrorKind::Cancelled);
    server.wait_open_connections(0);
    drop(listener);
}

#[test]
fn two_resources_of_one_url_are_independent() {
    let bytes = long_wav(8).bytes;
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    let gate = Gate::new();
    let good = Script::file(bytes);
    // One of them meets a server that fails for ever, the other a late one.
    server.serve_sequence("/a.wav", [good.clone(), good.clone()]);
    let open = || Listener::open(config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD));
    let (mut first, mut second) = (open(), open());
    first.read_samples(20_000).unwrap();
    second.seek(Duration::from_secs(6), SeekMode::Fast).unwrap();
    second.read_samples(20_000).unwrap();
    assert_same(&first.pcm, &expected[..20_000], "the first");
    let at = 6 * 88_200;
    assert_same(&second.pcm, &expected[at..at + 20_000], "the second");
    first.resource.control().close();
    assert_eq!(
        first.resource.read(&mut [0.0; 64]).unwrap_err().kind(),
        ErrorKind::Closed
    );
    server.serve("/a.wav", good.clone().hold_head(&gate));
    gate.open();
    second.play().unwrap();
    assert_same(
        &second.pcm,
        &expected[at..],
        "the second, without the first",
    );

    server.serve_sequence("/b.wav", [good.clone(), Script::of_status(500)]);
    server.serve("/c.wav", good);
    let listen = |path: &str| config(&server.url(path)).with_look_ahead_bytes(LOOK_AHEAD);
    let (mut ill, well) = (
        Listener::open(listen("/b.wav")),
        Listener::open(listen("/c.wav")),
    );
    assert_eq!(
        ill.fails_after_exact_prefix(&expected, "ill").kind(),
        ErrorKind::Http(500)
    );
    well.plays_exactly(&expected, "beside one that failed");
}
