//! Servers without ranges, without a length, without an end: they play to theirs, in order.

#[path = "support/network.rs"]
mod network;

use std::time::Duration;

use kithara::net::NetOptions;
use kithara::{ErrorKind, SeekMode};
use kithara_tests::fixtures::fixture;
use kithara_tests::server::{FaultServer, Outcome, Script, Step};
use network::*;

#[test]
fn a_server_that_does_not_know_its_length_ends_by_416() {
    let bytes = fixture("mp3-cbr-notag.mp3").bytes();
    let expected = local(&bytes, "mp3");
    let len = bytes.len();
    let server = FaultServer::start();
    let first = Script::file(bytes).wrong_content_range(&format!("bytes 0-{}/*", len - 1));
    let beyond = Script::of_status(416).header("Content-Range", &format!("bytes */{len}"));
    server.serve_sequence("/a.mp3", [first, beyond]);
    Listener::open(config(&server.url("/a.mp3"))).plays_exactly(&expected, "416 at the end");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].range.map(|range| range.0), Some(len as u64));
}

#[test]
fn a_radio_answer_plays_or_is_refused_by_name() {
    let bytes = fixture("mp3-cbr-notag.mp3").bytes();
    let expected = local(&bytes, "mp3");
    let server = FaultServer::start();
    server.serve(
        "/mixed.mp3",
        Script::icy(&bytes, 8000, "a title").media_type("audio/mpeg"),
    );
    let error = Listener::try_open(config(&server.url("/mixed.mp3")))
        .err()
        .expect("metadata in the audio");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");

    let mut answer = b"ICY 200 OK\r\nContent-Type: audio/mpeg\r\nicy-name: test\r\n\r\n".to_vec();
    answer.extend_from_slice(&bytes);
    server.serve("/plain.mp3", Script::raw([Step::Send(answer), Step::Close]));
    Listener::open(config(&server.url("/plain.mp3")))
        .plays_exactly(&expected, "ICY without metadata");
}

#[test]
fn an_endless_stream_plays_and_is_held_back_when_nobody_reads() {
    const ROUNDS: usize = 16;
    let once = fixture("mp3-cbr-notag.mp3");
    let bytes = once.bytes();
    // Where a round begins, the decoder still hears the one before.
    let expected = local(&bytes.repeat(ROUNDS + 1), "mp3");
    let server = FaultServer::start();
    let stream = Script::endless(bytes.clone()).media_type("audio/mpeg");
    server.serve("/radio", stream);
    let (round, frames) = (bytes.len() as u64, once.frames);
    let samples = 2 * frames as usize;
    let tap = Tap::default();
    let net = tap.on(client(NetOptions::default(), quick()));
    let radio = config(&server.url("/radio")).with_client(net);
    let mut listener = Listener::open(radio.with_look_ahead_bytes(LOOK_AHEAD));
    listener.read_samples(samples).expect("endless");

    // Nobody reads now. What was heard, two seconds of sound, a read of the decoder, and the look-ahead: no more is taken.
    let most = round + round * 2 * 44_100 / frames + 64 * KIB + LOOK_AHEAD;
    server.wait_until("the look-ahead", |log| log[0].sent_body >= LOOK_AHEAD);
    // The I/O thread has had all the turns it wants: other titles came and went on it.
    let (other, heard) = long(5);
    server.serve("/other.wav", wav(&other));
    for _ in 0..3 {
        let beside = Listener::open(config(&server.url("/other.wav")));
        beside.plays_exactly(&heard, "another title");
    }
    let taken = tap.log()[0].given.end;
    assert!(
        taken <= most,
        "{taken} bytes were taken for {round} that were heard"
    );
    assert!(taken >= LOOK_AHEAD / 2, "{taken} bytes");

    // It goes on where it stood, past what was in advance.
    listener.read_samples(samples * (ROUNDS - 1)).expect("on");
    assert_same(&listener.pcm, &expected[..samples * ROUNDS], "endless");
    assert_eq!(server.requests_for("/radio").len(), 1);
    drop(listener);
    server.wait_until("the stream being left", |log| {
        log[0].outcome == Outcome::ClientGone
    });
}

#[test]
fn servers_without_ranges_length_or_either_play_to_the_end() {
    let (bytes, expected) = long(8);
    let whole = wav(&bytes).without_ranges();
    for (name, answer) in [
        ("no ranges", whole.clone()),
        ("no ranges, no length", whole.clone().without_length()),
        ("chunked, no ranges", whole.clone().chunked()),
        ("chunked ranges", wav(&bytes).chunked()),
        ("HTTP/1.0", whole.clone().http10()),
        ("HTTP/1.0, no length", whole.http10().without_length()),
    ] {
        let server = FaultServer::start();
        server.serve("/a.wav", answer);
        let config = config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD);
        Listener::open(config).plays_exactly(&expected, name);
        if name != "chunked ranges" {
            assert_eq!(server.requests().len(), 1, "{name}");
        }
    }
}

#[test]
fn without_ranges_a_near_seek_waits_and_a_far_one_says_so_and_the_music_goes_on() {
    let (bytes, expected) = long(40);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes).without_ranges());
    let mut listener =
        Listener::open(config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD));
    // Three seconds are half a megabyte.
    let landed = listener
        .seek(Duration::from_secs(3), SeekMode::Fast)
        .expect("it is near");
    assert_eq!(landed, (3 * 44_100, true));
    listener.read_samples(10_000).unwrap();
    assert_same(
        &listener.pcm,
        &expected[3 * 88_200..3 * 88_200 + 10_000],
        "waited for",
    );

    let error = listener
        .seek(Duration::from_secs(35), SeekMode::Fast)
        .expect_err("it is far");
    let error = kithara::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::RangeUnsupported, "{error:?}");
    assert_eq!(
        listener.resource.read(&mut [0.0; 64]).unwrap_err().kind(),
        ErrorKind::RangeUnsupported
    );

    listener
        .seek(Duration::from_secs(1), SeekMode::Fast)
        .expect("it is stored");
    listener.pcm.clear();
    listener.play().expect("the rest");
    assert_same(&listener.pcm, &expected[88_200..], "after the refusal");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_film_whose_index_is_last_takes_three_requests_or_a_buffer() {
    for name in ["m4a-aac-last.m4a", "m4a-alac-last.m4a"] {
        let media = fixture(name);
        let (bytes, expected) = (media.bytes(), local(&media.bytes(), "m4a"));
        let server = FaultServer::start();
        let file = Script::file(bytes).media_type("audio/mp4");
        server.serve("/a.m4a", file.clone());
        Listener::open(config(&server.url("/a.m4a"))).plays_exactly(&expected, name);
        assert!(server.requests().len() <= 3, "{name}");
        server.serve("/b.m4a", file.without_ranges());
        Listener::open(config(&server.url("/b.m4a"))).plays_exactly(&expected, "without ranges");
        assert_eq!(server.requests_for("/b.m4a").len(), 1, "{name}");
    }
}
