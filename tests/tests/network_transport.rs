//! Connections that die, stall or crawl, heard through [`kithara::Resource`]: the music goes on bit for bit, or ends
//! after an exact prefix with an error that says why and costs nothing to meet again.

#[path = "support/network.rs"]
mod network;

use std::io::{Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use kithara::file::{File, FileConfig, FileEvent, FilePolicy, FileSrc};
use kithara::net::{NetOptions, RetryPolicy, ThroughputFloor, TimeoutPhase, Timeouts, Url};
use kithara::stream::{Stream, StreamError};
use kithara::{ErrorKind, ReadState, Resource, ResourceConfig, ResourceEvent, SeekMode};
use kithara_tests::fixtures::{fixture, long_wav};
use kithara_tests::server::{FaultServer, Gate, Outcome, Script};
use network::*;

/// Longer than a busy machine holds up a thread: a clock of a request that has to bring something.
const HELD_UP: Duration = Duration::from_secs(3);

#[test]
fn a_connection_that_ends_at_any_byte_is_not_heard() {
    let mp3 = fixture("mp3-mono.mp3");
    let (bytes, server) = (mp3.bytes(), FaultServer::start());
    let expected = local(&bytes, "mp3");
    let whole = Script::file(bytes.clone()).media_type("audio/mpeg");
    let len = bytes.len() as u64;
    for k in (0..len).step_by(89).chain([1, 44, len - 1]) {
        for reset in [false, true] {
            let path = format!("/{k}-{reset}.mp3");
            let dies = if reset {
                whole.clone().reset_after(k)
            } else {
                whole.clone().cut_after(k)
            };
            server.serve_sequence(&path, [dies, whole.clone()]);
            let what = format!("died at byte {k}, reset: {reset}");
            let events = Listener::open(config(&server.url(&path))).plays_exactly(&expected, &what);
            let requests = server.requests_for(&path);
            assert_eq!((requests.len(), retries(&events)), (2, 1), "{what}");
            let from = requests[1].range.expect("a range").0;
            // A reset may take bytes with it that the server's kernel had sent.
            assert!(
                from == k || reset && from < k,
                "{what}: asked again from {from}"
            );
            assert!(
                requests[1].header("if-range").is_some() || from == 0,
                "{what}"
            );
        }
    }
}

#[test]
fn a_chunked_body_that_breaks_is_not_heard() {
    let wav_file = fixture("wav-s16.wav");
    let (bytes, server) = (wav_file.bytes(), FaultServer::start());
    let expected = local(&bytes, "wav");
    let chunked = wav(&bytes).chunked();
    for (name, broken, from) in [
        ("no terminator", chunked.clone().cut_after(50_000), 50_000),
        (
            "no chunk size",
            chunked.clone().bad_chunk_after(50_000),
            50_000,
        ),
        (
            "no terminator, no ranges",
            chunked.clone().without_ranges().cut_after(50_000),
            0,
        ),
        (
            "no chunk size, no ranges",
            chunked.clone().without_ranges().bad_chunk_after(50_000),
            0,
        ),
    ] {
        let again = if from == 0 {
            chunked.clone().without_ranges()
        } else {
            chunked.clone()
        };
        server.serve_sequence("/a.wav", [broken, again]);
        let before = server.requests().len();
        let events = Listener::open(config(&server.url("/a.wav"))).plays_exactly(&expected, name);
        assert_eq!(retries(&events), 1, "{name}");
        assert_eq!(server.requests().len() - before, 2, "{name}");
        if from > 0 {
            assert_eq!(
                server.requests()[before + 1].range.map(|range| range.0),
                Some(from),
                "{name}"
            );
        }
    }
}

#[test]
fn a_body_without_length_that_ends_is_played_and_its_end_called_unproven() {
    let server = FaultServer::start();
    let mp3 = fixture("mp3-cbr-notag.mp3").bytes();
    let endless = |bytes: &[u8]| {
        Script::file(bytes.to_vec())
            .without_ranges()
            .without_length()
    };
    server.serve("/a.mp3", endless(&mp3));
    let events = Listener::open(config(&server.url("/a.mp3")))
        .plays_exactly(&local(&mp3, "mp3"), "unproven");
    let unproven = |event: &&FileEvent| matches!(event, FileEvent::EndUnproven { len } if *len == mp3.len() as u64);
    assert_eq!(file_events(&events).filter(unproven).count(), 1);

    // A WAV says in its header how much more was to come.
    let bytes = fixture("wav-s16.wav").bytes();
    let expected = local(&bytes, "wav");
    server.serve("/a.wav", endless(&bytes).cut_after(50_000));
    let mut listener = Listener::open(config(&server.url("/a.wav")));
    let error = listener.fails_after_exact_prefix(&expected, "cut");
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error:?}");
    assert_eq!(
        listener.pcm.len(),
        (50_000 - 44) / 4 * 2,
        "every whole frame before the cut"
    );
    assert_sticky(&mut listener, &server, &error);
}

#[test]
fn a_body_that_stalls_is_asked_for_again_from_where_it_stopped() {
    let bytes = fixture("wav-s16.wav").bytes();
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    server.serve_sequence("/a.wav", [wav(&bytes).stall_at(30_000), wav(&bytes)]);
    let tap = Tap::default();
    let hasty = stalls_after(Duration::from_millis(200));
    let net = tap.on(in_turn([hasty, Timeouts::default()]));
    let config = config_on(&server.url("/a.wav"), net);
    let events = Listener::open(config).plays_exactly(&expected, "stalled");
    assert_eq!(retries(&events), 1);
    let stopped = tap.log()[0].given.end;
    assert!(stopped <= 30_000, "{stopped}");
    let requests = server.requests();
    assert_eq!(requests[1].range.map(|range| range.0), Some(stopped));
    server.wait_until("the stalled connection closing", |log| {
        log[0].outcome == Outcome::ClientGone
    });
}

#[test]
fn a_server_that_stalls_for_ever_is_a_timeout_that_says_which() {
    let bytes = fixture("wav-s16.wav").bytes();
    let server = FaultServer::start();
    let gate = Gate::new();
    let limit = Duration::from_millis(60);
    server.serve("/head.wav", wav(&bytes).hold_head(&gate));
    let options = timed(first_byte_after(limit));
    let error = Listener::try_open(config_with(&server.url("/head.wav"), options))
        .err()
        .expect("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::FirstByte));

    server.serve_sequence(
        "/body.wav",
        [wav(&bytes).stall_after(30_000), wav(&bytes).stall_after(0)],
    );
    // The first has the time to bring something.
    let tap = Tap::default();
    let clocks = [stalls_after(HELD_UP), stalls_after(limit)];
    let config = config_on(&server.url("/body.wav"), tap.on(in_turn(clocks)));
    let mut listener = Listener::open(config);
    let error = listener.fails_after_exact_prefix(&local(&bytes, "wav"), "stalled");
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Stall));
    let came = tap.log()[0].given.end;
    assert!((45..=30_000).contains(&came), "{came}");
    assert_eq!(listener.pcm.len() as u64, (came - 44) / 4 * 2);
    assert_sticky(&mut listener, &server, &error);
    assert!(server.requests_for("/body.wav").len() <= 7);
}

#[test]
fn a_listener_who_does_not_read_lets_no_clock_run() {
    // Longer than what the kernel may hold for a reader that looks away.
    let (bytes, expected) = long(90);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes).without_ranges());
    server.serve("/stalls.wav", wav(&bytes).stall_after(64));
    let with_limit = |path: &str, limit| {
        ResourceConfig::new(server.url(path))
            .unwrap()
            .without_store()
            .with_client(client(timed(stalls_after(limit)), RetryPolicy::none()))
    };
    let patient = with_limit("/a.wav", HELD_UP).with_look_ahead_bytes(LOOK_AHEAD);
    let listener = Listener::open(patient);
    // Twice the limit runs out for somebody else.
    let error = Resource::blocking(with_limit("/stalls.wav", HELD_UP * 2)).expect_err("it stalls");
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Stall));
    let paused = &server.requests_for("/a.wav")[0];
    assert_eq!(
        paused.outcome,
        Outcome::Running,
        "the response is held, not dropped"
    );
    assert!(
        paused.sent_body < bytes.len() as u64,
        "nothing was held back"
    );
    let events = listener.plays_exactly(&expected, "after a long pause");
    assert_eq!(
        (retries(&events), server.requests_for("/a.wav").len()),
        (0, 1)
    );
}

#[test]
fn a_trickle_is_waited_for_unless_it_falls_below_the_floor() {
    let bytes = fixture("mp3-mono.mp3").bytes();
    let expected = local(&bytes, "mp3");
    let server = FaultServer::start();
    server.serve(
        "/a.mp3",
        Script::file(bytes)
            .media_type("audio/mpeg")
            .throttle(20_000),
    );
    Listener::open(config(&server.url("/a.mp3"))).plays_exactly(&expected, "a trickle");

    // So long that even a client that was held up does not find it whole.
    let (bytes, expected) = long(4);
    server.serve("/a.wav", wav(&bytes).throttle(20_000));
    let mut options = NetOptions::default();
    options.timeouts.throughput = Some(ThroughputFloor {
        bytes: 1_000_000,
        window: Duration::from_millis(30),
    });
    let floored = ResourceConfig::new(server.url("/a.wav"))
        .unwrap()
        .without_store()
        .with_client(client(options, RetryPolicy::none()));
    let error = match Listener::try_open(floored) {
        Ok(mut listener) => listener.fails_after_exact_prefix(&expected, "below the floor"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Throughput));
}

#[test]
fn a_reader_that_must_not_wait_hears_that_it_is_buffering_and_then_the_same_samples() {
    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(400_000, &gate));
    let mut listener =
        Listener::open(config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD));
    gate.wait_held();
    let mut buf = [0.0; 4096];
    loop {
        let outcome = listener.resource.try_read(&mut buf);
        listener.pcm.extend_from_slice(&buf[..outcome.frames * 2]);
        assert!(
            buf[outcome.frames * 2..]
                .iter()
                .all(|sample| *sample == 0.0),
            "not silence"
        );
        if outcome.state == ReadState::Buffering
            && listener.pcm.len() as u64 >= (400_000 - 8192) / 2
        {
            break;
        }
        assert!(matches!(
            outcome.state,
            ReadState::Playing | ReadState::Buffering
        ));
    }
    gate.open();
    let events = {
        listener.play().expect("the rest");
        assert_same(&listener.pcm, &expected, "after buffering");
        listener.events()
    };
    let told = |event: &ResourceEvent| {
        matches!(
            event,
            ResourceEvent::Audio(kithara::audio::AudioEvent::Buffering)
        )
    };
    assert!(events.iter().any(told), "{events:?}");
}

#[test]
fn a_pooled_connection_that_dies_under_a_request_costs_no_retry() {
    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    // Only the first connection can be used again, and it dies of that.
    server.serve_sequence(
        "/a.wav",
        [wav(&bytes).dies_when_reused(), wav(&bytes).close()],
    );
    let config = ResourceConfig::new(server.url("/a.wav"))
        .unwrap()
        .without_store()
        .with_client(client(NetOptions::default(), RetryPolicy::none()))
        .with_look_ahead_bytes(LOOK_AHEAD);
    let events = Listener::open(config).plays_exactly(&expected, "dead pooled connections");
    assert_eq!(retries(&events), 0);
    let requests = server.requests();
    let dropped = requests
        .iter()
        .filter(|request| request.outcome == Outcome::Dropped)
        .count();
    assert_eq!(dropped, 1);
    assert_eq!(bytes_sent_twice(&requests), 0);
}

#[test]
fn a_link_that_comes_and_goes_is_not_heard() {
    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    let good = wav(&bytes);
    let weather = [
        good.clone().cut_after(70_000),
        Script::of_status(503),
        good.clone().reset_after(60_000),
        good.clone().stall_after(50_000),
        good.clone().cut_after(0),
        Script::of_status(502),
        good.clone().shorter_ranges(20_000),
        good.clone().cut_after(100_000),
        good.clone().stall_after(1),
        good.clone().reset_after(0),
    ];
    let days = weather.iter().cycle().take(30).cloned().chain([good]);
    server.serve_sequence("/a.wav", days);
    // Longer than a busy machine holds up a server: what it trips over in vain counts as well.
    let options = timed(stalls_after(Duration::from_secs(1)));
    let config = config_with(&server.url("/a.wav"), options);
    Listener::open(config.with_look_ahead_bytes(LOOK_AHEAD))
        .plays_exactly(&expected, "a flapping link");
    assert!(server.requests().len() > 20);
}

#[test]
fn the_answer_to_an_abandoned_request_goes_nowhere() {
    let bytes: Vec<u8> = long_wav(8).bytes;
    let server = FaultServer::start();
    let late = Gate::new();
    server.serve("/a.wav", wav(&bytes).hold_at(1_000_000, &late));
    let url = Url::parse(&server.url("/a.wav")).unwrap();
    let tap = Tap::default();
    let net = tap.on(client(NetOptions::default(), quick()));
    let policy = FilePolicy {
        look_ahead_bytes: LOOK_AHEAD,
        ..FilePolicy::default()
    };
    let config = FileConfig::new(FileSrc::Remote(url, net)).with_policy(policy);
    let mut stream = Stream::<File>::open(config).unwrap();
    let interrupt = stream.interrupt();

    // Somebody waits for bytes whose answer is late, and changes their mind.
    let mut byte = [0; 1];
    stream.seek(SeekFrom::Start(1_000_000)).unwrap();
    let error = std::thread::scope(|scope| {
        let read = scope.spawn(|| stream.read(&mut byte).expect_err("interrupted"));
        late.wait_held();
        interrupt.raise();
        read.join().unwrap()
    });
    assert!(matches!(
        StreamError::from_io(&error),
        Some(StreamError::Interrupted)
    ));
    interrupt.clear();
    stream.seek(SeekFrom::Start(600_000)).unwrap();
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(byte[0], bytes[600_000]);
    server.wait_until("the late request being dropped", |log| {
        log.iter().any(|request| {
            request.range.is_some_and(|range| range.0 == 1_000_000)
                && request.outcome == Outcome::ClientGone
        })
    });
    late.open();
    let mut all = Vec::new();
    stream.seek(SeekFrom::Start(0)).unwrap();
    stream.read_to_end(&mut all).unwrap();
    assert!(all == bytes, "the bytes differ");
    tap.assert_no_byte_twice();
    assert!(tap.given_up(bytes.len() as u64) >= 1, "the late one");
    tap.assert_overshoot(&server.requests(), bytes.len() as u64);
}

#[test]
fn a_proxy_in_trouble_is_waited_for_and_then_named() {
    let (bytes, expected) = long(4);
    for status in [407, 502, 504] {
        let server = FaultServer::start();
        let ill = Script::of_status(status);
        let scripts = [wav(&bytes), ill.clone(), ill.clone(), wav(&bytes)];
        server.serve_sequence("/a.wav", scripts);
        let config = config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD);
        let events = Listener::open(config).plays_exactly(&expected, "two bad answers");
        assert_eq!(retries(&events), 2, "{status}");

        server.serve("/b.wav", ill);
        let error = Listener::try_open(network::config(&server.url("/b.wav")))
            .err()
            .expect("no title");
        assert_eq!(error.kind(), ErrorKind::Http(status));
        assert_eq!(server.requests_for("/b.wav").len(), 7);
    }
}

#[test]
fn a_retry_after_is_honoured_if_it_is_sensible_and_can_be_cancelled() {
    let bytes = fixture("wav-s16.wav").bytes();
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    for status in [429, 503] {
        for nonsense in [
            "0",
            "-1",
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "315360000",
            "soon",
        ] {
            server.serve_sequence(
                "/a.wav",
                [Script::of_status(status).retry_after(nonsense), wav(&bytes)],
            );
            let events =
                Listener::open(config(&server.url("/a.wav"))).plays_exactly(&expected, nonsense);
            let delays = file_events(&events).filter_map(|event| match event {
                FileEvent::Retrying { delay, .. } => Some(*delay),
                _ => None,
            });
            let delays: Vec<_> = delays.collect();
            assert!(
                delays.len() == 1 && delays[0] <= quick().max,
                "{nonsense}: {delays:?}"
            );
        }
    }
    server.serve("/busy.wav", Script::of_status(503).retry_after("30"));
    let cancel = kithara::CancellationToken::new();
    let config = config(&server.url("/busy.wav")).with_cancel(cancel.clone());
    let mut events = config.events();
    let opening = std::thread::spawn(move || Resource::blocking(config).map(drop));
    let delay = loop {
        if let ResourceEvent::File(FileEvent::Retrying { delay, .. }) =
            events.recv_blocking().unwrap()
        {
            break delay;
        }
    };
    assert!(
        (Duration::from_secs(30)..=Duration::from_secs(40)).contains(&delay),
        "{delay:?}"
    );
    cancel.cancel();
    let error = opening.join().unwrap().expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(server.requests_for("/busy.wav").len(), 1);
}

#[test]
fn a_permanent_failure_takes_seven_requests_after_the_last_byte_and_no_more() {
    let (bytes, expected) = long(4);
    let server = FaultServer::start();
    server.serve_sequence("/a.wav", [wav(&bytes), Script::of_status(500)]);
    let mut listener =
        Listener::open(config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD));
    let error = listener.fails_after_exact_prefix(&expected, "500 for ever");
    assert_eq!(error.kind(), ErrorKind::Http(500));
    // At most three when the look-ahead failed unheard, the rest when the listener waited.
    assert_eq!(server.requests().len() - 1, 7);
    assert_eq!(listener.pcm.len() as u64, (LOOK_AHEAD - 44) / 2);
    assert_sticky(&mut listener, &server, &error);
    let failed = |event: &&FileEvent| matches!(event, FileEvent::DownloadFailed { .. });
    assert_eq!(file_events(&listener.events()).filter(failed).count(), 1);

    // What is stored can be gone back to, and a jump ahead asks again.
    listener
        .seek(Duration::ZERO, SeekMode::Exact)
        .expect("it is stored");
    let mut again = std::mem::take(&mut listener.pcm);
    listener.read_samples(1000).expect("it is stored");
    again.truncate(1000);
    assert_same(&listener.pcm, &again, "gone back");
    server.serve("/a.wav", wav(&bytes));
    let (frame, exact) = listener
        .seek(Duration::from_secs(3), SeekMode::Exact)
        .expect("it is well again");
    assert_eq!((frame, exact), (3 * 44_100, true));
    listener.pcm.clear();
    listener.play().expect("the rest");
    assert_same(&listener.pcm, &expected[3 * 44_100 * 2..], "after the seek");
}

#[test]
fn a_server_that_is_lost_ahead_of_a_listener_who_waits_is_asked_three_times_and_again_when_needed()
{
    let (bytes, expected) = long(8);
    for well_again in [false, true] {
        let server = FaultServer::start();
        let (good, ill) = (wav(&bytes), Script::of_status(503));
        server.serve_sequence("/a.wav", [good.clone(), good.clone(), ill]);
        let mut listener =
            Listener::open(config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD));
        // Two ranges came; the third is asked for while there is still something to hear.
        listener
            .read_samples((LOOK_AHEAD as usize) / 2)
            .expect("it is stored");
        server.wait_until("look-ahead", |log| log.len() >= 4);
        if well_again {
            server.serve("/a.wav", good);
            listener
                .play()
                .expect("it is well again before it is missed");
            assert_same(&listener.pcm, &expected, "unheard");
            continue;
        }
        let error = listener.fails_after_exact_prefix(&expected, "503 for ever");
        assert_eq!(error.kind(), ErrorKind::Http(503));
        assert_eq!(server.requests().len(), 2 + 7);
        assert_sticky(&mut listener, &server, &error);
        // A seek is a new question, and has seven again.
        let at = listener.resource.position();
        let _ = listener.seek(at, SeekMode::Exact);
        assert!(listener.play().is_err());
        assert_eq!(server.requests().len(), 2 + 7 + 7);
    }
}

#[test]
fn a_resource_survives_the_loss_of_its_server_after_everything_came() {
    let bytes = fixture("wav-s16.wav").bytes();
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let listener = Listener::open(config(&server.url("/a.wav")));
    server.wait_until("the whole file", |log| log[0].outcome == Outcome::Complete);
    let addr: SocketAddr = server.addr();
    drop(server);
    assert!(TcpStream::connect(addr).is_err());
    listener.plays_exactly(&expected, "a server that is gone");
}
