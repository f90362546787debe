//! Byte ranges and the answers that are none.

use kithara_net::{
    Etag, Net, NetError, NetExt, RangeSpec, RangeSupport, Request, Response, RetryPolicy,
    Validator, Validators,
};

use crate::support::*;

fn get(server: &Server, range: Option<RangeSpec>) -> Request {
    let mut request = Request::get(server.url("/f"));
    request.range = range;
    request
}

/// One request to a server that always says the same.
async fn asked(range: Option<RangeSpec>, answer: &str) -> Result<Response, NetError> {
    let answer = answer.to_owned();
    let server = Server::start(move |_| raw(&answer)).await;
    client().fetch(get(&server, range)).await
}

#[tokio::test(start_paused = true)]
async fn a_range_is_asked_for_and_described() {
    let file = noise(1000);
    let content = file.clone();
    let headers = "ETag: W/\"a\"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Type: Audio/MPEG; x=y\r\n";
    let server = Server::start(move |seen| serve_file(seen, &content, headers)).await;
    let (head, bytes) = download(&client(), get(&server, Some(RangeSpec::new(100, 300))))
        .await
        .unwrap();
    assert_eq!(server.seen()[0].header("range"), Some("bytes=100-299"));
    assert_eq!(server.seen()[0].header("accept-encoding"), Some("identity"));
    assert_eq!(
        (head.status, head.start, head.end, head.total),
        (206, 100, Some(300), Some(1000))
    );
    assert_eq!(
        (head.ranges, head.media_type.as_deref()),
        (RangeSupport::Yes, Some("audio/mpeg"))
    );
    assert_eq!(head.validators.etag, Etag::parse("W/\"a\""));
    assert_eq!(bytes, file[100..300]);

    let (head, bytes) = download(&client(), get(&server, Some(RangeSpec::from(990))))
        .await
        .unwrap();
    assert_eq!(server.seen()[1].header("range"), Some("bytes=990-"));
    assert_eq!((head.start, head.end), (990, Some(1000)));
    assert_eq!(bytes, file[990..]);
}

#[tokio::test(start_paused = true)]
async fn an_if_range_is_sent_only_where_it_may_be() {
    let server = Server::start(|seen| serve_file(seen, b"0123456789", "")).await;
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    let cases = [
        (
            Validator::Etag(Etag::parse("\"A\"").unwrap()),
            Some("\"a\""),
        ),
        (Validator::Etag(Etag::parse("W/\"A\"").unwrap()), None),
        (
            Validator::LastModified(date.to_owned()),
            Some("wed, 21 oct 2015 07:28:00 gmt"),
        ),
    ];
    for (number, (validator, expected)) in cases.into_iter().enumerate() {
        let request = get(&server, Some(RangeSpec::from(5))).with_if_range(Some(validator.clone()));
        client().fetch(request).await.unwrap();
        assert_eq!(server.seen()[2 * number].header("if-range"), expected);
        let unranged = get(&server, None).with_if_range(Some(validator));
        client().fetch(unranged).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_full_is_never_taken_for_the_range() {
    let full =
        |headers: &str| format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 5\r\n\r\n01234");
    let cases = [
        (RangeSpec::from(2), "", RangeSupport::No),
        (
            RangeSpec::from(2),
            "Accept-Ranges: bytes\r\n",
            RangeSupport::No,
        ),
        (
            RangeSpec::from(0),
            "Accept-Ranges: bytes\r\n",
            RangeSupport::Yes,
        ),
        (RangeSpec::from(0), "", RangeSupport::No),
        (
            RangeSpec::new(0, 2),
            "Accept-Ranges: bytes\r\n",
            RangeSupport::No,
        ),
    ];
    for (range, headers, support) in cases {
        let response = asked(Some(range), &full(headers)).await.unwrap();
        assert_eq!(
            (response.head.start, response.head.ranges),
            (0, support),
            "{range:?} {headers:?}"
        );
        assert_eq!((response.head.end, response.head.total), (Some(5), Some(5)));
    }
    for (headers, support) in [
        ("", RangeSupport::Unknown),
        ("Accept-Ranges: bytes\r\n", RangeSupport::Yes),
        ("Accept-Ranges: none\r\n", RangeSupport::No),
    ] {
        assert_eq!(
            asked(None, &full(headers)).await.unwrap().head.ranges,
            support
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_that_was_not_asked_for_is_refused() {
    let cases = [
        "Content-Range: bytes 4-9/10\r\nContent-Length: 6\r\n",
        "Content-Range: bytes 6-9/10\r\nContent-Length: 4\r\n",
        "Content-Range: bytes 0-9/10\r\nContent-Length: 10\r\n",
        "Content-Range: bytes 5-9/10\r\nContent-Length: 6\r\n",
        "Content-Range: bytes */10\r\nContent-Length: 5\r\n",
        "Content-Range: bytes 5-9/9\r\nContent-Length: 5\r\n",
        "Content-Range: bytes 5-18446744073709551616/*\r\nContent-Length: 5\r\n",
        "Content-Range: bytes 5-9/10\r\nContent-Range: bytes 6-9/10\r\nContent-Length: 5\r\n",
        "Content-Range: nonsense\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\n",
        "Content-Type: multipart/byteranges; boundary=x\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n",
    ];
    for headers in cases {
        let answer = format!("HTTP/1.1 206 Partial Content\r\n{headers}\r\n0123456789");
        let error = asked(Some(RangeSpec::from(5)), &answer).await.unwrap_err();
        assert!(
            matches!(error, NetError::WrongRange { .. }),
            "{headers:?} {error:?}"
        );
    }
    let sound = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789";
    assert!(asked(Some(RangeSpec::from(5)), sound).await.is_ok());
    let unasked = asked(None, sound).await.unwrap_err();
    assert!(
        matches!(unasked, NetError::Http { status: 206, .. }),
        "{unasked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrong_range_is_asked_for_once_more_only() {
    let wrong = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n456789";
    let server = Server::start(move |_| raw(wrong)).await;
    let net = client().with_retry(RetryPolicy::default());
    let error = net
        .fetch(get(&server, Some(RangeSpec::from(5))))
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::WrongRange { .. }), "{error:?}");
    assert_eq!(server.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sends_more_than_asked_is_cut() {
    let server = Server::start(|_| {
        raw("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789")
    })
    .await;
    let (head, bytes) = download(&client(), get(&server, Some(RangeSpec::new(5, 7))))
        .await
        .unwrap();
    assert_eq!((head.end, &bytes[..]), (Some(7), &b"56"[..]));
}

#[tokio::test(start_paused = true)]
async fn ranges_shorter_than_asked_are_continued_from_their_true_end() {
    let file = noise(1000);
    let content = file.clone();
    let server = Server::start(move |seen| {
        let (start, end) = seen.range().unwrap();
        let end = end.unwrap_or(content.len()).min(start + 300);
        let headers = format!(
            "ETag: \"a\"\r\nContent-Range: bytes {start}-{}/1000\r\n",
            end - 1
        );
        reply("206 Partial Content", &headers, &content[start..end])
    })
    .await;
    let net = client().with_retry(RetryPolicy::default());
    for (range, expected, requests) in [
        (RangeSpec::from(0), &file[..], 4),
        (RangeSpec::new(10, 900), &file[10..900], 3),
    ] {
        let before = server.requests();
        let (head, bytes) = download(&net, get(&server, Some(range))).await.unwrap();
        assert_eq!(head.end, Some(range.end.unwrap_or(1000)));
        assert_eq!(bytes, expected);
        assert_eq!(server.requests() - before, requests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_beyond_the_end_says_how_long_the_resource_is() {
    let server = Server::start(|seen| serve_file(seen, b"0123456789", "")).await;
    let error = client()
        .fetch(get(&server, Some(RangeSpec::from(10))))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            NetError::RangeNotSatisfiable {
                total: Some(10),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.is_retryable());
    let silent = asked(
        Some(RangeSpec::from(10)),
        "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n",
    )
    .await
    .unwrap_err();
    assert!(
        matches!(silent, NetError::RangeNotSatisfiable { total: None, .. }),
        "{silent:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_kept_says_so() {
    for (headers, no_store) in [
        ("", false),
        ("Cache-Control: no-cache, max-age=1\r\n", false),
        ("Cache-Control: private, No-Store\r\n", true),
        (
            "Cache-Control: private\r\nCache-Control: no-store\r\n",
            true,
        ),
        ("Vary: *\r\n", true),
        ("Vary: Origin\r\n", false),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
        assert_eq!(
            asked(None, &answer).await.unwrap().head.no_store,
            no_store,
            "{headers:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_is_repeated_differently_is_none() {
    let answer = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nETag: \"b\"\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        asked(None, answer).await.unwrap().head.validators,
        Validators::default()
    );
}

#[tokio::test(start_paused = true)]
async fn headers_alone_can_be_asked_for() {
    let server = Server::start(|_| {
        vec![Step::Send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nAccept-Ranges: bytes\r\n\r\n".to_vec(),
        )]
    })
    .await;
    let head = client().head(server.url("/f")).await.unwrap();
    assert!(server.seen()[0].head.starts_with("HEAD "));
    assert_eq!((head.total, head.ranges), (Some(1000), RangeSupport::Yes));
}

#[tokio::test(start_paused = true)]
async fn a_body_shorter_than_its_own_range_is_truncated() {
    let short = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 3\r\n\r\n567";
    let mut response = asked(Some(RangeSpec::from(5)), short).await.unwrap();
    let (bytes, error) = drain(&mut response.body).await;
    assert_eq!(bytes, b"567");
    assert!(
        matches!(
            error,
            Some(NetError::Truncated {
                expected: 10,
                got: 8,
                ..
            })
        ),
        "{error:?}"
    );
}
