//! Servers that answer with something else than what was asked for: what is wrong is refused before it is heard, what
//! is merely odd plays bit for bit.

#[path = "support/network.rs"]
mod network;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use kithara::net::{HeaderHook, Headers, HookRequest, NetOptions, Refreshed, Url};
use kithara::{ErrorKind, SeekMode};
use kithara_tests::fixtures::fixture;
use kithara_tests::server::{FaultServer, Script};
use network::*;

/// What a wrong answer leads to.
struct Case {
    name: &'static str,
    answer: Script,
    kind: ErrorKind,
    then: ErrorKind,
    /// Requests for which the wrong answer is taken.
    requests: usize,
}

fn case(name: &'static str, answer: Script, kind: ErrorKind, requests: usize) -> Case {
    Case {
        name,
        answer,
        kind,
        then: kind,
        requests,
    }
}

/// Each wrong answer to the first request, and to the second in the middle of a title.
fn refused(bytes: &[u8], expected: &[f32], cases: &[Case]) {
    for Case {
        name,
        answer,
        kind,
        then,
        requests,
    } in cases
    {
        let server = FaultServer::start();
        server.serve("/first.wav", answer.clone());
        let config = |path: &str| config(&server.url(path)).with_look_ahead_bytes(LOOK_AHEAD);
        let first = Listener::try_open(config("/first.wav"));
        let error = first.err().unwrap_or_else(|| panic!("{name}: opened"));
        assert_eq!(error.kind(), *kind, "{name} at first: {error:?}");
        assert_eq!(server.requests().len(), *requests, "{name} at first");

        server.serve_sequence("/then.wav", [wav(bytes), answer.clone()]);
        let mut listener = Listener::open(config("/then.wav"));
        let error = listener.fails_after_exact_prefix(expected, name);
        assert_eq!(error.kind(), *then, "{name} then: {error:?}");
        assert_eq!(
            server.requests_for("/then.wav").len(),
            1 + requests,
            "{name} then"
        );
        assert_eq!(
            listener.pcm.len() as u64,
            (LOOK_AHEAD - 44) / 2,
            "{name}: not every frame before it"
        );
        assert_sticky(&mut listener, &server, &error);
        // The cache is not spoilt: with a sound server the rest is the rest.
        server.serve("/then.wav", wav(bytes));
        let at = listener.resource.position();
        listener
            .seek(at, SeekMode::Exact)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        listener
            .play()
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_same(&listener.pcm, expected, name);
    }
}

#[test]
fn an_answer_that_is_not_the_range_asked_for_is_refused() {
    let (bytes, expected) = long(3);
    let ok = wav(&bytes);
    let wrong = |value: &str| ok.clone().wrong_content_range(value);
    let len = bytes.len();
    let kind = ErrorKind::WrongContent;
    refused(
        &bytes,
        &expected,
        &[
            case(
                "it starts elsewhere",
                wrong(&format!("bytes 7-{}/{len}", len - 1)),
                kind,
                2,
            ),
            case(
                "no Content-Range",
                ok.clone().without_header("Content-Range"),
                kind,
                2,
            ),
            case("only a total", wrong(&format!("bytes */{len}")), kind, 2),
            case("no numbers", wrong("bytes a-b/c"), kind, 2),
            case("another unit", wrong("items 0-1/2"), kind, 2),
            case(
                "overflow",
                wrong("bytes 0-18446744073709551616/18446744073709551617"),
                kind,
                2,
            ),
            case("several ranges", ok.clone().multipart(), kind, 2),
        ],
    );
}

#[test]
fn an_answer_that_is_no_media_is_refused() {
    let (bytes, expected) = long(3);
    let page = b"<!DOCTYPE html><html><body>Please log in</body></html>".to_vec();
    let html = Script::file(page.clone())
        .without_ranges()
        .without_validators();
    let kind = ErrorKind::WrongContent;
    refused(
        &bytes,
        &expected,
        &[
            case(
                "a captive portal",
                html.clone().media_type("text/html; charset=utf-8"),
                kind,
                1,
            ),
            // In the middle of a title its length gives it away before its content does.
            Case {
                then: ErrorKind::ContentChanged,
                ..case("a portal that lies", html.media_type("audio/wav"), kind, 1)
            },
            case(
                "gzip",
                wav(&bytes).header("Content-Encoding", "gzip"),
                kind,
                1,
            ),
            case("nothing", Script::of_status(204), ErrorKind::Http(204), 1),
            case(
                "reset content",
                Script::of_status(205),
                ErrorKind::Http(205),
                1,
            ),
            case(
                "not modified",
                Script::of_status(304),
                ErrorKind::Http(304),
                1,
            ),
            case(
                "300 headers",
                wav(&bytes).header_flood(300, 10),
                ErrorKind::Network,
                1,
            ),
            case(
                "a megabyte of headers",
                wav(&bytes).header_flood(10, 100_000),
                ErrorKind::Network,
                1,
            ),
        ],
    );
}

#[test]
fn a_range_is_asked_for_unencoded_and_no_head_is_asked_for_at_all() {
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes).on_head(Script::of_status(405)));
    let config = config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD);
    Listener::open(config).plays_exactly(&expected, "HEAD is refused");
    for request in server.requests() {
        assert_eq!(
            (request.method.as_str(), request.header("accept-encoding")),
            ("GET", Some("identity"))
        );
    }
}

#[test]
fn a_flood_of_interim_answers_is_bounded() {
    let bytes = fixture("wav-s16.wav").bytes();
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    server.serve("/few.wav", wav(&bytes).informational(103, 5));
    Listener::open(config(&server.url("/few.wav"))).plays_exactly(&expected, "five early hints");
    // More than any client should take: it may give up or get through, but not wait for ever.
    server.serve("/many.wav", wav(&bytes).informational(103, 10_000));
    match Listener::try_open(config(&server.url("/many.wav"))) {
        Ok(listener) => drop(listener.plays_exactly(&expected, "10,000 early hints")),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Network),
    }
    assert!(server.requests_for("/many.wav").len() <= 7);
}

#[test]
fn a_whole_file_instead_of_a_range_is_never_heard_at_the_wrong_place() {
    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    // The second request is answered from the front, and so is every other one.
    server.serve_sequence("/a.wav", [wav(&bytes), wav(&bytes).without_ranges()]);
    let config = config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD);
    Listener::open(config).plays_exactly(&expected, "200 to a range");
    assert_eq!(
        server.requests().len(),
        2,
        "the whole file came with the second"
    );
}

#[test]
fn ranges_shorter_than_asked_for_are_continued_without_a_byte_twice() {
    let bytes = fixture("wav-s16.wav").bytes();
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes).shorter_ranges(10_000));
    let events =
        Listener::open(config(&server.url("/a.wav"))).plays_exactly(&expected, "short ranges");
    let requests = server.requests();
    assert_eq!(requests.len(), bytes.len().div_ceil(10_000));
    assert_eq!((bytes_sent_twice(&requests), retries(&events)), (0, 0));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_never_mixed() {
    let (bytes, expected) = long(3);
    let mut other = bytes.clone();
    other[44..].reverse();
    let mut longer = bytes.clone();
    longer.extend_from_slice(&[0; 4]);
    let tagged = |bytes: &[u8], tag: &str| wav(bytes).etag(tag).without_header("Last-Modified");
    let dated = |bytes: &[u8], date: &str| wav(bytes).without_validators().last_modified(date);
    let (old, new) = (
        "Wed, 01 Jan 2025 00:00:00 GMT",
        "Thu, 02 Jan 2025 00:00:00 GMT",
    );
    for (name, before, after) in [
        (
            "another entity tag",
            tagged(&bytes, "\"a\""),
            tagged(&other, "\"b\""),
        ),
        (
            "another weak tag",
            tagged(&bytes, "W/\"a\""),
            tagged(&other, "W/\"b\""),
        ),
        ("another date", dated(&bytes, old), dated(&other, new)),
        (
            "another length",
            wav(&bytes).without_validators(),
            wav(&longer).without_validators(),
        ),
        (
            "shorter: 416",
            wav(&bytes).without_validators(),
            wav(&bytes[..1000]).without_validators(),
        ),
    ] {
        let server = FaultServer::start();
        server.serve_sequence("/a.wav", [before, after]);
        let config = config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD);
        let mut listener = Listener::open(config);
        let error = listener.fails_after_exact_prefix(&expected, name);
        assert_eq!(error.kind(), ErrorKind::ContentChanged, "{name}: {error:?}");
        assert_eq!(server.requests().len(), 2, "{name}");
        assert_sticky(&mut listener, &server, &error);
    }
}

#[test]
fn a_length_that_lies_is_an_error_or_harmless_but_never_the_next_answer() {
    // Nothing in it says where it ends, so that the transport must.
    let bytes = fixture("mp3-cbr-notag.mp3").bytes();
    let expected = local(&bytes, "mp3");
    let len = bytes.len();
    let whole = || {
        Script::file(bytes.clone())
            .media_type("audio/mpeg")
            .without_ranges()
    };
    let next = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_vec();
    let network = ErrorKind::Network;
    for (name, answer, kind) in [
        (
            "too big",
            whole().wrong_length(&(len + 500).to_string()),
            Some(ErrorKind::Truncated),
        ),
        (
            "too small",
            whole().wrong_length(&(len - 1000).to_string()),
            Some(ErrorKind::Truncated),
        ),
        (
            "doubled",
            whole().header("Content-Length", "17"),
            Some(network),
        ),
        (
            "doubled, within one field",
            whole().wrong_length(&format!("{len}, 17")),
            Some(network),
        ),
        (
            "doubled, the same twice",
            whole().header("Content-Length", &len.to_string()),
            None,
        ),
        (
            "beside chunks, right",
            whole().chunked().wrong_length(&len.to_string()),
            Some(network),
        ),
        (
            "beside chunks, too small",
            whole().chunked().wrong_length("17"),
            Some(network),
        ),
        (
            "beside chunks, after them",
            whole().chunked().header("Content-Length", "17"),
            Some(network),
        ),
        (
            "beside chunks, negative",
            whole().chunked().header("Content-Length", "-17"),
            Some(network),
        ),
        (
            "encoded in transfer",
            whole()
                .without_length()
                .header("Transfer-Encoding", "gzip, chunked"),
            Some(network),
        ),
        ("negative", whole().wrong_length("-5"), Some(network)),
        ("minus nothing", whole().wrong_length("-0"), Some(network)),
        (
            "more than 64 bits",
            whole().wrong_length("99999999999999999999999"),
            Some(network),
        ),
        ("no number", whole().wrong_length("many"), Some(network)),
        ("followed by junk", whole().trailing(next), None),
    ] {
        let server = FaultServer::start();
        server.serve("/a.wav", answer);
        let outcome = Listener::try_open(config(&server.url("/a.wav")));
        match (outcome, kind) {
            (Ok(mut listener), None) => {
                listener
                    .play()
                    .unwrap_or_else(|error| panic!("{name}: {error:?}"));
                let said = if name == "too small" {
                    listener.pcm.len()
                } else {
                    expected.len()
                };
                assert_same(&listener.pcm, &expected[..said], name);
                assert!(
                    said > expected.len() * 9 / 10,
                    "{name}: {said} of {}",
                    expected.len()
                );
            }
            (Ok(mut listener), Some(kind)) => {
                let error = listener.fails_after_exact_prefix(&expected, name);
                assert_eq!(error.kind(), kind, "{name}: {error:?}");
            }
            (Err(error), kind) => assert_eq!(Some(error.kind()), kind, "{name}: {error:?}"),
        }
        assert!(server.requests().len() <= 8, "{name}");
    }
}

#[test]
fn a_file_that_is_shorter_than_its_header_says_is_truncated_and_not_over() {
    for (name, keep) in [
        ("wav-s16.wav", 50_000),
        ("flac-16.flac", 150_000),
        ("m4a-alac-first.m4a", 80_000),
    ] {
        let media = fixture(name);
        let (bytes, expected) = (media.bytes(), local(&media.bytes(), media.extension()));
        let server = FaultServer::start();
        server.serve(
            "/a",
            Script::file(bytes[..keep].to_vec()).media_type(media.media_type()),
        );
        let mut listener = Listener::open(config(&server.url("/a")));
        let error = listener.fails_after_exact_prefix(&expected, name);
        assert_eq!(error.kind(), ErrorKind::Truncated, "{name}: {error:?}");
        assert!(!listener.pcm.is_empty(), "{name}");
        assert_sticky(&mut listener, &server, &error);
    }
}

/// Hands out a new token once, or none.
struct Refresh {
    token: Option<&'static str>,
    asked: AtomicUsize,
}

#[async_trait]
impl HeaderHook for Refresh {
    async fn refresh(&self, request: &HookRequest, status: u16) -> Option<Refreshed> {
        assert!(matches!(status, 401 | 403));
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut url: Url = request.url.clone();
        url.set_query(Some(&format!("token={}", self.token?)));
        let headers = Headers::new();
        Some(Refreshed { url, headers })
    }
}

#[test]
fn a_token_that_expires_is_refreshed_once_or_the_title_has_expired() {
    let (bytes, expected) = long(4);
    for status in [401, 403] {
        for token in [Some("new"), None] {
            let server = FaultServer::start();
            server.serve("/a.wav", Script::of_status(404));
            server.serve_sequence("/a.wav?token=old", [wav(&bytes), Script::of_status(status)]);
            server.serve("/a.wav?token=new", wav(&bytes));
            let hook = Arc::new(Refresh {
                token,
                asked: AtomicUsize::new(0),
            });
            let mut options = NetOptions::default();
            options.hook = Some(hook.clone());
            let url = server.url("/a.wav?token=old");
            let mut listener =
                Listener::open(config_with(&url, options).with_look_ahead_bytes(LOOK_AHEAD));
            if token.is_some() {
                listener.plays_exactly(&expected, "a new token");
                let mut answered = server.requests();
                answered.retain(|request| request.sent_body > 100);
                assert_eq!(bytes_sent_twice(&answered), 0);
            } else {
                let error = listener.fails_after_exact_prefix(&expected, "no new token");
                assert_eq!(error.kind(), ErrorKind::Expired, "{error:?}");
                assert_sticky(&mut listener, &server, &error);
            }
            assert_eq!(hook.asked.load(Ordering::SeqCst), 1, "{status} {token:?}");
        }
    }
    // What never worked has not expired.
    let server = FaultServer::start();
    server.serve("/a.wav", Script::of_status(403));
    let error = Listener::try_open(config(&server.url("/a.wav")))
        .err()
        .expect("forbidden");
    assert_eq!(error.kind(), ErrorKind::Http(403));
    assert_eq!(server.requests().len(), 1);
}
