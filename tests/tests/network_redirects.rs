//! Where a redirect may lead, what goes along with it, and what is never printed.

#[path = "support/network.rs"]
mod network;

use std::error::Error as _;

use kithara::net::{Headers, NetOptions, Origin, Url};
use kithara::{ErrorKind, ResourceConfig, ResourceEvent};
use kithara_tests::fixtures::{fixture, long_wav};
use kithara_tests::server::{FaultServer, LoggedRequest, Script};
use network::*;

const CANARY: &str = "canary-7f3a";

#[test]
fn a_redirect_is_followed_five_times_and_no_further() {
    let bytes = fixture("wav-s16.wav").bytes();
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    for hop in 1..=6 {
        server.serve(
            &format!("/{hop}"),
            Script::redirect(302, &format!("/{}", hop - 1)),
        );
    }
    server.serve("/0", Script::file(bytes).media_type("audio/wav"));
    Listener::open(config(&server.url("/5"))).plays_exactly(&expected, "five hops");
    assert_eq!(server.requests().len(), 6);

    let before = server.requests().len();
    let error = Listener::try_open(config(&server.url("/6")))
        .err()
        .expect("six hops");
    assert_eq!(error.kind(), ErrorKind::Policy, "{error:?}");
    assert_eq!(server.requests().len() - before, 6);

    server.serve("/loop", Script::redirect(307, "/loop"));
    let error = Listener::try_open(config(&server.url("/loop")))
        .err()
        .expect("a loop");
    assert_eq!(error.kind(), ErrorKind::Policy);
    assert_eq!(server.requests_for("/loop").len(), 6);
}

#[test]
fn a_redirect_to_anything_but_http_is_refused_and_no_file_opened() {
    let folder = tempfile::tempdir().unwrap();
    let canary = folder.path().join("canary.wav");
    std::fs::write(&canary, fixture("wav-s16.wav").bytes()).unwrap();
    let server = FaultServer::start();
    for target in [
        format!("file://{}", canary.display()),
        "data:audio/wav;base64,UklGRg==".to_owned(),
        "ftp://127.0.0.1/a.wav".to_owned(),
        "javascript:alert(1)".to_owned(),
        "blob:http://127.0.0.1/1".to_owned(),
        format!("FILE://{}", canary.display()),
    ] {
        server.serve("/a", Script::redirect(302, &target));
        let before = server.requests().len();
        let error = Listener::try_open(config(&server.url("/a")))
            .err()
            .expect("refused");
        assert_eq!(error.kind(), ErrorKind::Policy, "{target}: {error:?}");
        assert_eq!(server.requests().len() - before, 1, "{target}");
    }
}

#[test]
fn a_redirect_that_leads_nowhere_is_an_error() {
    let server = FaultServer::start();
    for (name, script) in [
        ("no location", Script::of_status(302)),
        ("300", Script::of_status(300)),
        ("no URL", Script::redirect(302, "http://[::1")),
    ] {
        server.serve("/a", script);
        let error = Listener::try_open(config(&server.url("/a")))
            .err()
            .expect(name);
        let kind = error.kind();
        assert!(
            matches!(kind, ErrorKind::Http(300 | 302) | ErrorKind::Network),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn a_stranger_gets_no_header_no_referer_no_cookie_and_no_password() {
    let bytes = long_wav(4).bytes;
    let expected = local(&bytes, "wav");
    let (home, stranger) = (FaultServer::start(), FaultServer::start());
    let there = stranger.url("/a.wav");
    home.serve(
        "/a.wav",
        Script::redirect(302, &there).header("Set-Cookie", &format!("id={CANARY}; Path=/")),
    );
    stranger.serve("/a.wav", Script::file(bytes).media_type("audio/wav"));
    let url = format!("http://user:{CANARY}@{}/a.wav?token={CANARY}", home.addr());
    let origin = Origin::of(&Url::parse(&url).unwrap()).unwrap();
    let secret = Headers::new()
        .with("X-Api-Key", CANARY)
        .and_then(|headers| headers.with("Cookie", CANARY))
        .and_then(|headers| headers.with("Referer", CANARY))
        .unwrap();
    let mut options = NetOptions::default();
    options.headers = vec![(origin, secret)];
    let events = Listener::open(config_with(&url, options).with_look_ahead_bytes(LOOK_AHEAD))
        .plays_exactly(&expected, "redirected to a stranger");

    let first = &home.requests()[0];
    assert_eq!(
        first.header("x-api-key"),
        Some(CANARY),
        "home gets what it is owed"
    );
    assert!(first.header("authorization").is_some());
    assert!(stranger.requests().len() > 1);
    let safe = [
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "range",
        "if-range",
    ];
    for request in stranger.requests() {
        for (name, value) in &request.headers {
            assert!(
                safe.contains(&name.as_str()),
                "the stranger was told {name}: {value}"
            );
        }
        assert!(!format!("{request:?}").contains(CANARY));
    }
    assert!(!format!("{events:?}").contains(CANARY), "{events:?}");
}

#[test]
fn credentials_do_not_come_back_by_way_of_a_stranger() {
    let bytes = long_wav(4).bytes;
    let expected = local(&bytes, "wav");
    let (home, stranger) = (FaultServer::start(), FaultServer::start());
    // The stranger chooses which page of home is asked for: not with the caller's password.
    home.serve("/a.wav", Script::redirect(302, &stranger.url("/b.wav")));
    stranger.serve("/b.wav", Script::redirect(302, &home.url("/chosen.wav")));
    home.serve("/chosen.wav", wav(&bytes));
    // A redirect within home keeps it.
    home.serve("/own.wav", Script::redirect(302, "/target.wav"));
    home.serve("/target.wav", wav(&bytes));
    for (path, target, keeps) in [
        ("/a.wav", "/chosen.wav", false),
        ("/own.wav", "/target.wav", true),
    ] {
        let url = format!("http://user:{CANARY}@{}{path}", home.addr());
        Listener::open(config(&url).with_look_ahead_bytes(LOOK_AHEAD))
            .plays_exactly(&expected, path);
        let sent = |path| -> Vec<bool> {
            let requests = home.requests_for(path);
            let with = |request: &LoggedRequest| request.header("authorization").is_some();
            requests.iter().map(with).collect()
        };
        assert_eq!(
            sent(path),
            [true],
            "{path}: asked once, with what it is owed"
        );
        // The ranges that follow go straight to the target, by the same rule.
        let with = sent(target);
        assert!(with.len() > 1, "{target}");
        assert!(with.iter().all(|with| *with == keeps), "{target}: {with:?}");
    }
    for request in stranger.requests() {
        assert_eq!(request.header("authorization"), None);
    }
}

#[test]
fn a_title_is_redirected_once_however_many_ranges_it_takes() {
    let (bytes, expected) = long(60);
    let server = FaultServer::start();
    server.serve("/a.wav", Script::redirect(302, "/b.wav"));
    server.serve("/b.wav", Script::redirect(307, "/c.wav"));
    server.serve("/c.wav", wav(&bytes));
    Listener::open(config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD))
        .plays_exactly(&expected, "a long title");
    let asked = |path| server.requests_for(path).len();
    assert_eq!((asked("/a.wav"), asked("/b.wav")), (1, 1));
    assert!(asked("/c.wav") > 20, "{} ranges", asked("/c.wav"));
}

#[test]
fn a_target_that_redirects_every_range_ends_the_title_at_the_twenty_first_redirect() {
    let (bytes, expected) = long(60);
    let server = FaultServer::start();
    server.serve("/a.wav", Script::redirect(302, "/x1"));
    for number in 1..40 {
        // Good for one range; then it leads on, twice.
        server.serve(
            &format!("/x{number}"),
            Script::redirect(302, &format!("/y{number}")),
        );
        let next = Script::redirect(302, &format!("/x{}", number + 1));
        server.serve_sequence(&format!("/y{number}"), [wav(&bytes), next]);
    }
    let mut listener =
        Listener::open(config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD));
    let error = listener.fails_after_exact_prefix(&expected, "redirected for ever");
    assert_eq!(error.kind(), ErrorKind::Policy, "{error:?}");
    assert!(
        told(&error).contains("too many redirects"),
        "{}",
        told(&error)
    );
    // Two redirects for each of ten ranges; the eleventh brought the one too many.
    assert_eq!(server.requests().len(), 10 * 3 + 1);
    let whole = |request: &&LoggedRequest| request.sent_body > 100;
    let ranges = server.requests();
    let ranges: Vec<_> = ranges.iter().filter(whole).collect();
    assert_eq!(ranges.len(), 10);
    let heard = listener.pcm.len() as u64;
    let last = ranges[9].range.expect("a range").0 + ranges[9].sent_body;
    assert_eq!(heard, (last - 44) / 2, "everything that came was heard");
    assert_sticky(&mut listener, &server, &error);

    // Another title through the same client is not to blame for the first.
    server.serve("/fresh.wav", Script::redirect(302, "/fresh"));
    server.serve("/fresh", wav(&bytes));
    Listener::open(config(&server.url("/fresh.wav"))).plays_exactly(&expected, "another title");
}

#[test]
fn a_signed_target_that_expires_is_looked_up_again_at_its_source() {
    let bytes = long_wav(4).bytes;
    let expected = local(&bytes, "wav");
    for status in [401, 403, 404, 410] {
        let server = FaultServer::start();
        let file = Script::file(bytes.clone()).media_type("audio/wav");
        let to = |number| Script::redirect(302, &format!("/signed.wav?n={number}"));
        server.serve_sequence("/a.wav", [to(1), to(2)]);
        server.serve_sequence("/signed.wav?n=1", [file.clone(), Script::of_status(status)]);
        server.serve("/signed.wav?n=2", file);
        let config = config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD);
        let events = Listener::open(config).plays_exactly(&expected, "a second signature");
        assert_eq!(
            (retries(&events), server.requests_for("/a.wav").len()),
            (0, 2),
            "{status}"
        );
    }
}

#[test]
fn a_signed_target_that_is_refused_for_good_is_looked_up_once() {
    let bytes = long_wav(4).bytes;
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    server.serve("/a.wav", Script::redirect(302, "/signed.wav"));
    let file = Script::file(bytes).media_type("audio/wav");
    server.serve_sequence("/signed.wav", [file, Script::of_status(403)]);
    let mut listener =
        Listener::open(config(&server.url("/a.wav")).with_look_ahead_bytes(LOOK_AHEAD));
    let error = listener.fails_after_exact_prefix(&expected, "refused for good");
    assert_eq!(error.kind(), ErrorKind::Expired, "{error:?}");
    assert_eq!(server.requests_for("/a.wav").len(), 2);
    assert_sticky(&mut listener, &server, &error);
}

#[test]
fn no_error_event_or_debug_shows_a_query_a_user_or_a_header() {
    let bytes = long_wav(4).bytes;
    let server = FaultServer::start();
    let good = Script::file(bytes).media_type("audio/wav");
    let echo = |script: Script| {
        script
            .header("X-Echo", CANARY)
            .etag(&format!("\"{CANARY}\""))
    };
    let failures = [
        Script::of_status(404).status_line(&format!("HTTP/1.1 404 {CANARY}")),
        Script::of_status(503),
        good.clone().wrong_content_range(&format!("bytes {CANARY}")),
        good.clone().media_type("text/html"),
        good.clone().stall_after(0),
        good.clone().reset_after(0),
        good.clone().etag("\"other\""),
        Script::redirect(302, &format!("ftp://{CANARY}@h/{CANARY}?{CANARY}")),
        Script::redirect(302, &format!("/loop?{CANARY}")),
    ];
    server.serve("/loop", Script::redirect(302, &format!("/loop?{CANARY}")));
    for (number, failure) in failures.into_iter().enumerate() {
        for first in [true, false] {
            if first && number == 6 {
                // An entity tag can only be wrong after another one.
                continue;
            }
            let path = format!("/{number}-{first}.wav");
            let answers = if first {
                vec![failure.clone()]
            } else {
                vec![echo(good.clone()), failure.clone()]
            };
            server.serve_sequence(&path, answers);
            let url = format!(
                "http://{CANARY}:{CANARY}@{}{path}?token={CANARY}#{CANARY}",
                server.addr()
            );
            // The first answer has its head in time, or another one would be the first.
            let mut options = timed(stalls_after(std::time::Duration::from_millis(60)));
            let origin = Origin::of(&Url::parse(&url).unwrap()).unwrap();
            options.headers = vec![(origin, Headers::new().with("X-Api-Key", CANARY).unwrap())];
            let config = config_with(&url, options).with_look_ahead_bytes(LOOK_AHEAD);
            let mut heard = format!("{config:?}");
            let mut events = config.events();
            let error = match Listener::try_open(config) {
                Ok(mut listener) => {
                    let error = listener.play().expect_err("it fails");
                    heard += &format!("{:?}", listener.resource);
                    error
                }
                Err(error) => error,
            };
            while let Ok(event) = events.try_recv() {
                heard += &format!("{event:?}");
                if let ResourceEvent::File(kithara::file::FileEvent::Retrying { error, .. }) = event
                {
                    heard += &told(&*error);
                }
            }
            heard += &format!("{error:?} {error:#?} {}", told(&error));
            assert!(!heard.contains(CANARY), "{path}: {heard}");
            assert!(
                heard.contains("127.0.0.1"),
                "{path}: it says nothing at all: {heard}"
            );
        }
    }
}

/// Everything an error can print.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error} {error:?}");
        source = error.source();
    }
    text
}

#[test]
fn a_refused_scheme_is_told_without_its_secrets() {
    for input in [
        format!("ftp://u:{CANARY}@h/a?{CANARY}"),
        format!("http://[{CANARY}/?{CANARY}"),
    ] {
        let error = ResourceConfig::new(&input).expect_err("refused");
        assert!(!told(&error).contains(CANARY), "{error:?}");
        assert!(error.source().is_none());
    }
}
