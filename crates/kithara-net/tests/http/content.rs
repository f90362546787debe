//! Answers that are not what they should be.

use kithara_net::{
    Body, Bytes, Net, NetError, NetExt, Purpose, RangeSpec, Request, Response, ResponseHead,
    RetryPolicy,
};

use crate::support::*;

/// A body may be refused with its headers or with its first bytes.
async fn first_error(net: &impl Net, request: Request) -> Option<NetError> {
    match net.fetch(request).await {
        Ok(mut response) => {
            let (bytes, error) = drain(&mut response.body).await;
            assert!(
                error.is_none() || bytes.is_empty(),
                "bytes of a refused body came through"
            );
            error
        }
        Err(error) => Some(error),
    }
}

#[tokio::test(start_paused = true)]
async fn a_web_page_is_never_taken_for_media() {
    let pages: [(&str, &[u8]); 6] = [
        ("text/html", b"ID3 says the type is wrong"),
        ("Text/HTML; charset=utf-8", b"x"),
        ("application/xhtml+xml", b"x"),
        ("audio/mpeg", b"<!DOCTYPE html><title>Sign in</title>"),
        ("application/octet-stream", b"\xef\xbb\xbf\r\n  <html>"),
        ("audio/mpeg", b"<?xml version='1.0'?><Error>"),
    ];
    for (kind, page) in pages {
        let server =
            Server::start(move |_| reply("200 OK", &format!("Content-Type: {kind}\r\n"), page))
                .await;
        let net = client().with_retry(RetryPolicy::default());
        let error = first_error(&net, Request::get(server.url("/f"))).await;
        assert!(
            matches!(error, Some(NetError::WrongContent { .. })),
            "{kind} {error:?}"
        );
        assert_eq!(server.requests(), 1, "no retry storm");
        let playlist = Request::get(server.url("/f")).with_purpose(Purpose::Playlist);
        assert!(
            first_error(&net, playlist).await.is_none(),
            "only media is sniffed"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_comes_byte_by_byte_is_recognised_and_audio_is_not_held_back() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let server = Server::start(move |seen| {
        let body: &[u8] = if seen.path() == "/page" {
            b" <p"
        } else {
            b" <3"
        };
        let mut steps = vec![Step::Send(head.clone())];
        steps.extend(
            body.iter()
                .map(|byte| Step::Send(format!("1\r\n{}\r\n", *byte as char).into_bytes())),
        );
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    })
    .await;
    let error = first_error(&client(), Request::get(server.url("/page"))).await;
    assert!(
        matches!(error, Some(NetError::WrongContent { .. })),
        "{error:?}"
    );
    let (_, bytes) = download(&client(), Request::get(server.url("/heart")))
        .await
        .unwrap();
    assert_eq!(bytes, b" <3");
}

#[tokio::test(start_paused = true)]
async fn a_short_body_that_stays_unclear_is_handed_over() {
    for body in ["", "<", "  ", "\u{feff}"] {
        let server = Server::start(move |_| reply("200 OK", "", body.as_bytes())).await;
        let (_, bytes) = download(&client(), Request::get(server.url("/f")))
            .await
            .unwrap();
        assert_eq!(bytes, body.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn encoded_content_is_refused() {
    for encoding in ["gzip", "br", "gzip, gzip", "x-unknown"] {
        let server = Server::start(move |_| {
            reply("200 OK", &format!("Content-Encoding: {encoding}\r\n"), b"x")
        })
        .await;
        for purpose in [Purpose::Media, Purpose::Playlist, Purpose::Key] {
            let request = Request::get(server.url("/f")).with_purpose(purpose);
            let error = client().fetch(request).await.unwrap_err();
            assert!(matches!(error, NetError::WrongContent { .. }), "{error:?}");
        }
    }
    let server = Server::start(|_| reply("200 OK", "Content-Encoding: identity\r\n", b"x")).await;
    assert!(client().fetch(Request::get(server.url("/f"))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_status_without_content_is_an_error() {
    for status in [
        201, 202, 203, 204, 205, 207, 226, 300, 304, 305, 306, 399, 400, 404, 418, 451, 600, 999,
    ] {
        let server = Server::start(move |_| {
            raw(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"))
        })
        .await;
        for range in [None, Some(RangeSpec::from(5))] {
            let mut request = Request::get(server.url("/f"));
            request.range = range;
            let net = client().with_retry(RetryPolicy::default());
            let before = server.requests();
            let error = net.fetch(request).await.unwrap_err();
            assert!(
                matches!(error, NetError::Http { status: got, .. } if got == status),
                "{status} {error:?}"
            );
            assert_eq!(server.requests() - before, 1, "{status} is not retried");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_status_that_leads_nowhere_is_an_error() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::start(move |_| {
            raw(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"))
        })
        .await;
        let error = client()
            .fetch(Request::get(server.url("/f")))
            .await
            .unwrap_err();
        assert!(
            matches!(error, NetError::Http { status: got, .. } if got == status),
            "{error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn informational_responses_are_skipped_and_a_flood_of_them_ends() {
    let some = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(50);
    let server = Server::start(move |_| {
        raw(format!(
            "{some}HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
        ))
    })
    .await;
    assert!(client().fetch(Request::get(server.url("/f"))).await.is_ok());

    let many = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000);
    let server =
        Server::start(move |_| vec![Step::Send(many.clone().into_bytes()), Step::Hang]).await;
    let error = client()
        .fetch(Request::get(server.url("/f")))
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::Timeout { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_given_up_at_the_limit() {
    for (length, fits) in [(99, true), (100, true), (101, false), (100_000, false)] {
        let server = Server::start(move |seen| match seen.path() {
            "/length" => reply("200 OK", "", &vec![b'x'; length]),
            _ => raw([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'x'; length]].concat()),
        })
        .await;
        for path in ["/length", "/close"] {
            let got = client()
                .get_bytes(Request::get(server.url(path)), 100)
                .await;
            match got {
                Ok(bytes) => assert!(fits && bytes.len() == length),
                Err(error) => assert!(
                    !fits && matches!(error, NetError::TooLarge { limit: 100, .. }),
                    "{error:?}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn a_body_without_end_is_not_read_beyond_the_limit() {
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&taken);
    let fake = Fake::default().then(move |request| {
        let stream = futures_util::stream::repeat_with(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(Bytes::from_static(&[0; 1024]))
        });
        Ok(Response {
            head: ResponseHead::new(200, &request.url),
            body: Body::from_stream(stream),
        })
    });
    let url = kithara_net::Url::parse("http://h.example/a").unwrap();
    let error = fake
        .get_bytes(Request::get(url), 10 * 1024)
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::TooLarge { .. }));
    assert_eq!(taken.load(std::sync::atomic::Ordering::Relaxed), 11);
}
