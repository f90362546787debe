//! Clocks, in virtual time.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kithara_net::{
    Body, Bytes, HttpClient, Net, NetError, NetExt, NetOptions, Request, Resolver, Response,
    ResponseHead, RetryPolicy, ThroughputFloor, TimeoutPhase, Timeouts, Url,
};
use tokio::time::Instant;

use crate::support::*;

const LIMIT: Duration = Duration::from_secs(10);

fn phase(error: &NetError) -> Option<TimeoutPhase> {
    match error {
        NetError::Timeout { phase, .. } => Some(*phase),
        _ => None,
    }
}

fn about_ten_seconds(since: Instant) -> bool {
    // A step of the clock may fall between a request and its way there.
    (LIMIT..LIMIT + Duration::from_secs(2)).contains(&since.elapsed())
}

struct Silent;

#[async_trait]
impl Resolver for Silent {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_gives_up_after_ten_seconds() {
    steady();
    let mut options = NetOptions::default();
    options.resolver = Some(Arc::new(Silent));
    let started = Instant::now();
    let url = Url::parse("http://h.example/f").unwrap();
    let error = HttpClient::new(options)
        .unwrap()
        .fetch(Request::get(url))
        .await
        .unwrap_err();
    assert_eq!(phase(&error), Some(TimeoutPhase::Connect), "{error:?}");
    assert!(about_ten_seconds(started), "{:?}", started.elapsed());

    // A server that takes the connection but never shakes hands.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/f", listener.local_addr().unwrap())).unwrap();
    let started = Instant::now();
    let error = client().fetch(Request::get(url)).await.unwrap_err();
    assert_eq!(phase(&error), Some(TimeoutPhase::Connect), "{error:?}");
    assert!(about_ten_seconds(started), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_left_after_ten_seconds() {
    for half in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let server = Server::start(move |_| vec![Step::Send(half.into()), Step::Hang]).await;
        let started = Instant::now();
        let error = client()
            .fetch(Request::get(server.url("/f")))
            .await
            .unwrap_err();
        assert_eq!(phase(&error), Some(TimeoutPhase::FirstByte), "{error:?}");
        assert!(about_ten_seconds(started), "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_headers_begins_when_the_connection_stands() {
    struct Slow;
    #[async_trait]
    impl Resolver for Slow {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Ok(vec!["127.0.0.1".parse().unwrap()])
        }
    }
    let server = Server::start(|_| vec![Step::Hang]).await;
    let mut options = NetOptions::default();
    options.resolver = Some(Arc::new(Slow));
    let url = Url::parse(&format!("http://h.example:{}/f", server.address.port())).unwrap();
    let started = Instant::now();
    let error = HttpClient::new(options)
        .unwrap()
        .fetch(Request::get(url))
        .await
        .unwrap_err();
    assert_eq!(phase(&error), Some(TimeoutPhase::FirstByte));
    assert!((19..22).contains(&started.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_left_after_ten_seconds_and_resumed() {
    let file = noise(1000);
    let content = file.clone();
    let server = Server::start(move |seen| {
        let mut steps = serve_file(seen, &content, "ETag: \"a\"\r\n");
        if let (0, Step::Send(bytes)) = (seen.number, &mut steps[0]) {
            bytes.truncate(bytes.len() - 500);
            steps.push(Step::Hang);
        }
        steps
    })
    .await;
    let started = Instant::now();
    let mut response = client()
        .fetch(Request::get(server.url("/f")))
        .await
        .unwrap();
    let (_, error) = drain(&mut response.body).await;
    assert_eq!(error.as_ref().and_then(phase), Some(TimeoutPhase::Stall));
    assert!(about_ten_seconds(started), "{:?}", started.elapsed());

    let server_again = Server::start({
        let content = file.clone();
        move |seen| {
            let mut steps = serve_file(seen, &content, "ETag: \"a\"\r\n");
            if let (0, Step::Send(bytes)) = (seen.number, &mut steps[0]) {
                bytes.truncate(bytes.len() - 500);
                steps.push(Step::Hang);
            }
            steps
        }
    })
    .await;
    let net = client().with_retry(RetryPolicy::default());
    let (_, bytes) = download(&net, Request::get(server_again.url("/f")))
        .await
        .unwrap();
    assert_eq!(bytes, file);
    assert_eq!(server_again.seen()[1].range(), Some((500, None)));
}

/// A body that brings a byte whenever this long has passed.
fn trickle(every: Duration) -> Body {
    Body::from_stream(futures_util::stream::unfold((), move |()| async move {
        tokio::time::sleep(every).await;
        Some((Ok(Bytes::from_static(b"x")), ()))
    }))
}

async fn timed(body: Body, timeouts: Timeouts) -> Body {
    let url = Url::parse("http://h.example/f").unwrap();
    let fake = Fake::default().then(|request| {
        Ok(Response {
            head: ResponseHead::new(200, &request.url),
            body,
        })
    });
    fake.with_timeout(timeouts)
        .fetch(Request::get(url))
        .await
        .unwrap()
        .body
}

#[tokio::test(start_paused = true)]
async fn no_time_passes_while_nobody_wants_bytes() {
    let mut body = timed(
        Body::from_stream(futures_util::stream::pending()),
        Timeouts::default(),
    )
    .await;
    // Half of the limit is waited through, then somebody plays from memory for an hour.
    assert!(tokio::time::timeout(LIMIT / 2, body.chunk()).await.is_err());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let started = Instant::now();
    let error = body.chunk().await.unwrap_err();
    assert_eq!(phase(&error), Some(TimeoutPhase::Stall));
    let waited = started.elapsed();
    assert!(
        (LIMIT / 2..LIMIT / 2 + Duration::from_millis(100)).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn many_short_waits_add_up_to_a_stall() {
    let mut body = timed(
        Body::from_stream(futures_util::stream::pending()),
        Timeouts::default(),
    )
    .await;
    let mut waits = 0;
    let error = loop {
        waits += 1;
        assert!(waits < 200);
        if let Ok(end) = tokio::time::timeout(Duration::from_millis(100), body.chunk()).await {
            break end.unwrap_err();
        }
    };
    assert_eq!(phase(&error), Some(TimeoutPhase::Stall));
    assert!((99..=101).contains(&waits), "{waits}");
}

#[tokio::test(start_paused = true)]
async fn a_paused_download_over_a_real_socket_goes_on() {
    let file = noise(100_000);
    let content = file.clone();
    let server = Server::start(move |seen| serve_file(seen, &content, "")).await;
    let mut response = client()
        .fetch(Request::get(server.url("/f")))
        .await
        .unwrap();
    let mut bytes = response.body.chunk().await.unwrap().unwrap().to_vec();
    tokio::time::advance(Duration::from_secs(3600)).await;
    let (rest, error) = drain(&mut response.body).await;
    assert!(error.is_none(), "{error:?}");
    bytes.extend(rest);
    assert_eq!(bytes, file);
    assert_eq!(server.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_waited_for_down_to_a_floor() {
    let without = Timeouts {
        throughput: None,
        ..Timeouts::default()
    };
    let mut body = timed(trickle(Duration::from_secs(9)), without).await;
    for _ in 0..100 {
        assert!(body.chunk().await.unwrap().is_some());
    }
    let mut body = timed(trickle(Duration::from_secs(1)), Timeouts::default()).await;
    let error = loop {
        if let Err(error) = body.chunk().await {
            break error;
        }
    };
    assert_eq!(phase(&error), Some(TimeoutPhase::Throughput));
    assert!(
        !error.is_retryable(),
        "the next attempt would trickle as well"
    );
    let floor = |bytes| Timeouts {
        throughput: Some(ThroughputFloor {
            bytes,
            window: Duration::from_secs(30),
        }),
        ..Timeouts::default()
    };
    for (bytes, fails) in [(25, false), (40, true)] {
        let started = Instant::now();
        let mut body = timed(trickle(Duration::from_secs(1)), floor(bytes)).await;
        let mut error = None;
        for _ in 0..100 {
            error = body.chunk().await.err();
            if error.is_some() {
                break;
            }
            // Time in which nobody waits is not held against the server.
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(
            error.as_ref().and_then(phase),
            fails.then_some(TimeoutPhase::Throughput),
            "{bytes}"
        );
        assert!(!fails || started.elapsed() > Duration::from_secs(29 * 60));
    }
}

#[tokio::test(start_paused = true)]
async fn any_net_can_be_given_a_limit() {
    struct Never;
    #[async_trait]
    impl Net for Never {
        async fn fetch(&self, _: Request) -> Result<Response, NetError> {
            std::future::pending().await
        }
    }
    let url = Url::parse("http://h.example/f").unwrap();
    let started = Instant::now();
    let error = Never
        .with_timeout(Timeouts::default())
        .fetch(Request::get(url))
        .await
        .unwrap_err();
    assert_eq!(phase(&error), Some(TimeoutPhase::FirstByte));
    assert_eq!(started.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn chunks_without_bytes_are_no_progress() {
    for pause in [Duration::from_millis(1), LIMIT / 3] {
        let fake = Fake::default().then(move |request| {
            let nothing = futures_util::stream::unfold((), move |()| async move {
                tokio::time::sleep(pause).await;
                Some((Ok(Bytes::new()), ()))
            });
            Ok(Response {
                head: ResponseHead::new(200, &request.url),
                body: Body::from_stream(nothing),
            })
        });
        let net = kithara_net::TimeoutNet::new(fake, Timeouts::default());
        let url = Url::parse("http://h.example/a").unwrap();
        let mut body = net.fetch(Request::get(url)).await.unwrap().body;
        let since = Instant::now();
        let error = body.chunk().await.expect_err("nothing comes");
        assert_eq!(phase(&error), Some(TimeoutPhase::Stall), "{pause:?}");
        assert!(about_ten_seconds(since), "{pause:?} {:?}", since.elapsed());
    }
}
