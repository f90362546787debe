//! Connections that break, refuse, or speak something else.

use std::sync::Arc;

use kithara_net::{HttpClient, Net, NetError, NetExt, NetOptions, Request, RetryPolicy, Url};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_body_cut_at_any_byte_arrives_whole() {
    let file = noise(300);
    let net = client().with_retry(RetryPolicy::default());
    for cut in 0..=file.len() {
        for ending in [Step::Reset, Step::Close] {
            let (content, ending) = (file.clone(), ending.clone());
            let server = Server::start(move |seen| {
                let mut steps = serve_file(seen, &content, "ETag: \"a\"\r\n");
                if seen.number == 0
                    && let Step::Send(bytes) = &mut steps[0]
                {
                    let head = bytes.len() - content.len();
                    bytes.truncate(head + cut);
                    steps.push(ending.clone());
                }
                steps
            })
            .await;
            let (_, bytes) = download(&net, Request::get(server.url("/f")))
                .await
                .unwrap();
            assert_eq!(bytes, file, "cut at {cut}");
            let seen = server.seen();
            // A reset may overtake bytes that were sent before it, so the join may lie anywhere up to the cut.
            if let Some(second) = seen.get(1) {
                assert!(second.range().unwrap().0 <= cut);
                assert_eq!(second.header("if-range"), Some("\"a\""));
            }
            assert!(seen.len() <= 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_end_is_an_error_without_retry() {
    let server =
        Server::start(|_| raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")).await;
    let mut response = client()
        .fetch(Request::get(server.url("/f")))
        .await
        .unwrap();
    let (bytes, error) = drain(&mut response.body).await;
    assert_eq!(bytes, b"0123456789");
    assert!(
        matches!(
            error,
            Some(NetError::Truncated {
                expected: 100,
                got: 10,
                ..
            })
        ),
        "{error:?}"
    );
    // And it stays one.
    assert!(matches!(
        response.body.chunk().await,
        Err(NetError::BodyFailed)
    ));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_nothing_proves_is_said_to_be_unproven() {
    let server = Server::start(|seen| match seen.path() {
        "/close" => raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789"),
        "/1.0" => raw("HTTP/1.0 200 OK\r\n\r\n0123456789"),
        "/chunked" => {
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n")
        }
        _ => reply("200 OK", "", b"0123456789"),
    })
    .await;
    let net = client().with_retry(RetryPolicy::default());
    for (path, proof, end) in [
        ("/close", false, None),
        ("/1.0", false, None),
        ("/chunked", true, None),
        ("/length", true, Some(10)),
    ] {
        let (head, bytes) = download(&net, Request::get(server.url(path)))
            .await
            .unwrap();
        assert_eq!(
            (head.length_proof, head.end, head.total),
            (proof, end, end),
            "{path}"
        );
        assert_eq!(bytes, b"0123456789", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_chunked_body_is_resumed() {
    for damage in ["", "5\r\n", "xyz\r\n", "-5\r\n", "FFFFFFFFFFFFFFFFF\r\n"] {
        let server = Server::start(move |seen| match seen.number {
            0 => raw(format!(
                "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n{damage}"
            )),
            _ => serve_file(seen, b"0123456789", "ETag: \"a\"\r\n"),
        })
        .await;
        let net = client().with_retry(RetryPolicy::default());
        let (_, bytes) = download(&net, Request::get(server.url("/f")))
            .await
            .unwrap();
        assert_eq!(bytes, b"0123456789", "{damage:?}");
        assert_eq!(server.seen()[1].range(), Some((5, None)), "{damage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_seven_times_at_most() {
    steady();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!(
        "http://{}/canary?canary",
        listener.local_addr().unwrap()
    ))
    .unwrap();
    drop(listener);
    let error = client().fetch(Request::get(url.clone())).await.unwrap_err();
    assert!(matches!(error, NetError::Connect { .. }), "{error:?}");
    assert!(!printed(&error).contains("canary"), "{}", printed(&error));

    let (observer, heard) = recorder();
    let net = client().with_retry(RetryPolicy::default());
    let error = net
        .fetch(Request::get(url).with_observer(observer))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, NetError::RetryExhausted { attempts: 7, last, .. } if matches!(**last, NetError::Connect { .. }))
    );
    let sent =
        |event: &&kithara_net::NetEvent| matches!(event, kithara_net::NetEvent::RequestSent { .. });
    assert_eq!(heard.lock().unwrap().iter().filter(sent).count(), 7);
    assert!(!printed(&error).contains("canary"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_name_is_a_dns_error() {
    let options = || {
        let mut options = NetOptions::default();
        options.resolver = Some(Arc::new(Names(vec![("empty.example", vec![])])));
        options
    };
    for url in [
        "http://gone.example/a?canary",
        "http://empty.example/a?canary",
    ] {
        let client = HttpClient::new(options()).unwrap();
        let error = client
            .fetch(Request::get(Url::parse(url).unwrap()))
            .await
            .unwrap_err();
        assert!(matches!(error, NetError::Dns { .. }), "{error:?}");
        assert!(error.is_retryable());
        assert!(!printed(&error).contains("canary"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_that_died_costs_nothing() {
    let server = Server::start(|seen| {
        let mut steps = reply("200 OK", "", b"x");
        // The second request on the first connection is read and then dropped without an answer.
        if seen.number == 1 {
            steps = vec![Step::Close];
        }
        steps
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let bytes = client
            .get_bytes(Request::get(server.url("/f")), 10)
            .await
            .unwrap();
        assert_eq!(&bytes[..], b"x");
    }
    let connections: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn only_a_reused_connection_gets_the_free_retry() {
    let server = Server::start(|_| vec![Step::Close]).await;
    let error = client()
        .fetch(Request::get(server.url("/f")))
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::Broken { .. }), "{error:?}");
    assert_eq!(server.requests(), 1);

    let server = Server::start(|seen| match seen.number {
        0 => reply("200 OK", "", b"x"),
        _ => vec![Step::Close],
    })
    .await;
    let client = client();
    client
        .get_bytes(Request::get(server.url("/f")), 10)
        .await
        .unwrap();
    assert!(client.fetch(Request::get(server.url("/f"))).await.is_err());
    assert_eq!(server.requests(), 3, "one free retry, not more");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_length_never_reaches_into_the_next_response() {
    let heads = [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", false),
        ("Content-Length: -5\r\n", false),
        ("Content-Length: 5, 6\r\n", false),
        ("Content-Length: 99999999999999999999999\r\n", false),
        ("Content-Length: 5\r\n", true),
    ];
    for (head, readable) in heads {
        let server = Server::start(move |_| {
            raw(format!(
                "HTTP/1.1 200 OK\r\n{head}\r\n01234HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX"
            ))
        })
        .await;
        let client = client();
        for round in 0..2 {
            match client.get_bytes(Request::get(server.url("/f")), 100).await {
                Ok(bytes) => assert!(readable && &bytes[..] == b"01234", "{head:?} {round}"),
                Err(error) => assert!(!readable, "{head:?} {round} {error:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_beside_chunks_is_refused_and_what_follows_is_no_answer() {
    let chunks = "5\r\n01234\r\n0\r\n\r\n";
    for (head, plays) in [
        ("Transfer-Encoding: chunked\r\n", true),
        ("Transfer-Encoding: Chunked\r\n", true),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", false),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 20\r\n",
            false,
        ),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", false),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: -5\r\n",
            false,
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", false),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            false,
        ),
        ("Transfer-Encoding: chunked, gzip\r\n", false),
    ] {
        let server = Server::start(move |seen| match seen.path() {
            "/f" => vec![Step::Send(
                format!("HTTP/1.1 200 OK\r\n{head}\r\n{chunks}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                    .into_bytes(),
            )],
            _ => reply("200 OK", "", b"good"),
        })
        .await;
        let net = client().with_retry(RetryPolicy::default());
        match net.get_bytes(Request::get(server.url("/f")), 100).await {
            Ok(bytes) => assert!(plays && &bytes[..] == b"01234", "{head:?} {bytes:?}"),
            Err(error) => assert!(
                !plays && matches!(error, NetError::Headers { .. }),
                "{head:?} {error:?}"
            ),
        }
        assert_eq!(server.requests(), 1, "{head:?}");
        let next = net.get_bytes(Request::get(server.url("/next")), 100).await;
        assert_eq!(&next.unwrap()[..], b"good", "{head:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_fails_is_retried_however_it_is_framed() {
    let server = Server::start(|seen| match seen.number {
        0 => raw(
            "HTTP/1.1 503 X\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        _ => reply("200 OK", "", b"x"),
    })
    .await;
    let net = client().with_retry(RetryPolicy::default());
    let got = net.get_bytes(Request::get(server.url("/f")), 10).await;
    assert_eq!(&got.unwrap()[..], b"x");
}

#[tokio::test(start_paused = true)]
async fn idle_connections_that_fell_silent_are_not_tried_one_after_another() {
    let dead = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let from = Arc::clone(&dead);
    // From the moment the network changes, connections of before are never answered again, without a word.
    let server = Server::start(move |seen| {
        let dead = from.load(std::sync::atomic::Ordering::SeqCst);
        match (seen.connection < dead, seen.path()) {
            (true, _) => vec![Step::Hang],
            // Too large to be here before it is read.
            (false, "/large") => reply("200 OK", "", &[0; 4_000_000]),
            (false, "/stalls") if seen.range().is_none() => {
                let head =
                    b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n01234".to_vec();
                vec![Step::Send(head), Step::Hang]
            }
            (false, _) => serve_file(seen, b"0123456789", "ETag: \"a\"\r\n"),
        }
    })
    .await;
    for path in ["/f", "/stalls"] {
        dead.store(0, std::sync::atomic::Ordering::SeqCst);
        let net = client().with_retry(RetryPolicy::default());
        let connections = |number| {
            server
                .seen()
                .iter()
                .filter(|seen| seen.connection == number)
                .count()
        };
        // Five responses at the same time leave five idle connections.
        let get = || async { net.fetch(Request::get(server.url("/large"))).await.unwrap() };
        let mut open = Vec::new();
        for _ in 0..5 {
            open.push(get().await);
        }
        for mut response in open {
            assert_eq!(drain(&mut response.body).await.0.len(), 4_000_000);
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let newest = server.seen().last().unwrap().connection;
        assert!(newest >= 4, "one connection served them all");
        let before = server.requests();
        let started = tokio::time::Instant::now();
        let bytes = match path {
            "/f" => {
                dead.store(newest + 1, std::sync::atomic::Ordering::SeqCst);
                download(&net, Request::get(server.url(path)))
                    .await
                    .unwrap()
                    .1
            }
            _ => {
                let mut response = net.fetch(Request::get(server.url(path))).await.unwrap();
                let mut bytes = response.body.chunk().await.unwrap().unwrap().to_vec();
                dead.store(newest + 1, std::sync::atomic::Ordering::SeqCst);
                let (rest, error) = drain(&mut response.body).await;
                assert!(error.is_none(), "{error:?}");
                bytes.extend(rest);
                bytes
            }
        };
        assert_eq!(bytes, b"0123456789", "{path}");
        assert_eq!(
            server.requests() - before,
            2,
            "{path}: one that was never answered, and one that was"
        );
        assert_eq!(
            connections(newest + 1),
            1,
            "{path}: on a connection of its own"
        );
        assert!(
            started.elapsed().as_secs() < 12,
            "{path}: {:?}",
            started.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn endless_headers_are_refused_and_not_retried() {
    let many = "X-A: b\r\n".repeat(10_000);
    let long = format!("X-A: {}\r\n", "b".repeat(1024 * 1024));
    let over = format!("X-A: {}\r\n", "b".repeat(70 * 1024));
    for headers in [many, long, over] {
        let server = Server::start(move |_| reply("200 OK", &headers, b"x")).await;
        let net = client().with_retry(RetryPolicy::default());
        let error = net.fetch(Request::get(server.url("/f"))).await.unwrap_err();
        assert!(matches!(error, NetError::Headers { .. }), "{error:?}");
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shoutcast_status_line_plays_and_garbage_does_not() {
    let server = Server::start(|seen| match seen.path() {
        "/radio" => {
            raw(b"ICY 200 OK\r\nicy-name: x\r\nContent-Type: audio/mpeg\r\n\r\n\xff\xfb\x90audio")
        }
        "/mixed" => raw("ICY 200 OK\r\nicy-metaint: 16000\r\n\r\naudio"),
        "/full" => raw("ICY 401 Service Unavailable\r\n\r\n"),
        _ => raw("220 ftp ready\r\n"),
    })
    .await;
    let net = client();
    let (head, bytes) = download(&net, Request::get(server.url("/radio")))
        .await
        .unwrap();
    assert_eq!(head.media_type.as_deref(), Some("audio/mpeg"));
    assert!(!head.length_proof && head.total.is_none());
    assert_eq!(bytes, b"\xff\xfb\x90audio");
    let mixed = net.fetch(Request::get(server.url("/mixed"))).await;
    assert!(
        matches!(mixed, Err(NetError::Unsupported { .. })),
        "{mixed:?}"
    );
    let full = net.fetch(Request::get(server.url("/full"))).await;
    assert!(
        matches!(full, Err(NetError::Http { status: 401, .. })),
        "{full:?}"
    );
    let garbage = net.fetch(Request::get(server.url("/ftp"))).await;
    assert!(
        matches!(garbage, Err(NetError::Headers { .. })),
        "{garbage:?}"
    );
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("icy-metadata").is_none())
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_body_closes_its_connection() {
    steady();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/f", listener.local_addr().unwrap())).unwrap();
    let closed = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        assert!(socket.read(&mut buffer).await.unwrap() > 0);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nabc")
            .await
            .unwrap();
        matches!(socket.read(&mut buffer).await, Ok(0) | Err(_))
    });
    let mut response = client().fetch(Request::get(url)).await.unwrap();
    assert_eq!(&response.body.chunk().await.unwrap().unwrap()[..], b"abc");
    drop(response);
    assert!(closed.await.unwrap());
}
