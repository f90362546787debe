//! HTTP/2: frames that end, break or flood a body.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use h2::{Reason, SendStream};
use kithara_net::{
    Bytes, HttpClient, Net, NetError, NetExt, NetOptions, Request, RetryPolicy, TimeoutPhase, Url,
};
use tokio::net::TcpListener;

use crate::support::*;

/// How a server treats the body of its first response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Reset(Reason),
    GoAway,
    Abort,
    EmptyFlood,
    Stall,
}

struct H2 {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl H2 {
    async fn start(file: Vec<u8>, fault: Fault) -> Self {
        Self::announcing(true, file, fault).await
    }

    /// Announces the length of the body, or not.
    async fn announcing(length: bool, file: Vec<u8>, fault: Fault) -> Self {
        steady();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, connections) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (request_count, connection_count) = (Arc::clone(&requests), Arc::clone(&connections));
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                // A delayed acknowledgement takes real time, of which a paused clock knows nothing.
                socket.set_nodelay(true).unwrap();
                connection_count.fetch_add(1, Ordering::Relaxed);
                let (file, requests) = (file.clone(), Arc::clone(&request_count));
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(socket).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let number = requests.fetch_add(1, Ordering::Relaxed);
                        let range = request
                            .headers()
                            .get("range")
                            .map(|range| range.to_str().unwrap().to_owned());
                        let start = range.map_or(0, |range| {
                            range["bytes=".len()..]
                                .trim_end_matches('-')
                                .parse()
                                .unwrap()
                        });
                        let mut head = head_of(start, file.len());
                        if length {
                            head.headers_mut()
                                .insert("content-length", (file.len() - start).into());
                        }
                        head.headers_mut().insert("etag", "\"a\"".parse().unwrap());
                        let body = respond.send_response(head, false).unwrap();
                        let fault = if number == 0 { fault } else { Fault::None };
                        if fault == Fault::Abort {
                            let mut body = body;
                            body.send_data(Bytes::copy_from_slice(&file[..100]), false)
                                .unwrap();
                            tokio::spawn(async move {
                                std::future::pending::<()>().await;
                                drop(body);
                            });
                            let _ = tokio::time::timeout(
                                std::time::Duration::from_millis(1),
                                connection.accept(),
                            )
                            .await;
                            return;
                        }
                        if fault == Fault::GoAway {
                            connection.graceful_shutdown();
                        }
                        tokio::spawn(send(body, file[start..].to_vec(), fault));
                    }
                });
            }
        });
        Self {
            address,
            requests,
            connections,
        }
    }

    fn url(&self) -> Url {
        Url::parse(&format!("http://{}/f", self.address)).unwrap()
    }
}

fn head_of(start: usize, total: usize) -> http::Response<()> {
    let response = http::Response::builder();
    match start {
        0 => response.status(200),
        _ => response.status(206).header(
            "content-range",
            format!("bytes {start}-{}/{total}", total - 1),
        ),
    }
    .body(())
    .unwrap()
}

async fn send(mut body: SendStream<Bytes>, bytes: Vec<u8>, fault: Fault) {
    match fault {
        Fault::None | Fault::GoAway => body.send_data(bytes.into(), true).unwrap(),
        Fault::Reset(reason) => {
            body.send_data(Bytes::copy_from_slice(&bytes[..100]), false)
                .unwrap();
            // The reset would overtake data that still waits to be written.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            body.send_reset(reason);
        }
        Fault::EmptyFlood => {
            for _ in 0..1000 {
                let _ = body.send_data(Bytes::new(), false);
                tokio::task::yield_now().await;
            }
            let _ = body.send_data(bytes.into(), true);
        }
        Fault::Stall | Fault::Abort => {
            body.send_data(Bytes::copy_from_slice(&bytes[..100]), false)
                .unwrap();
            std::future::pending::<()>().await;
        }
    }
}

fn client() -> HttpClient {
    let mut options = NetOptions::default();
    options.http2_prior_knowledge = true;
    HttpClient::new(options).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_is_resumed() {
    let file = noise(60_000);
    for (fault, requests) in [
        (Fault::None, 1),
        (Fault::GoAway, 1),
        // The HTTP stack takes it for an attack and resets the stream.
        (Fault::EmptyFlood, 2),
        (Fault::Reset(Reason::INTERNAL_ERROR), 2),
        (Fault::Reset(Reason::CANCEL), 2),
        (Fault::Reset(Reason::NO_ERROR), 2),
        (Fault::Abort, 2),
        (Fault::Stall, 2),
    ] {
        let server = H2::start(file.clone(), fault).await;
        let net = client().with_retry(RetryPolicy::default());
        let (head, bytes) = download(&net, Request::get(server.url()))
            .await
            .unwrap_or_else(|error| panic!("{fault:?} {error:?}"));
        assert!(head.length_proof);
        assert!(
            bytes == file,
            "{fault:?}: {} of {}",
            bytes.len(),
            file.len()
        );
        assert_eq!(
            server.requests.load(Ordering::Relaxed),
            requests,
            "{fault:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_goodbye_is_replaced_unseen() {
    let server = H2::start(noise(1000), Fault::GoAway).await;
    let client = client();
    for _ in 0..3 {
        client
            .get_bytes(Request::get(server.url()), 2000)
            .await
            .unwrap();
    }
    assert_eq!(server.requests.load(Ordering::Relaxed), 3);
    assert_eq!(server.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stalls_is_left_after_ten_seconds() {
    let server = H2::start(noise(1000), Fault::Stall).await;
    let mut response = client().fetch(Request::get(server.url())).await.unwrap();
    let (bytes, error) = drain(&mut response.body).await;
    assert_eq!(bytes.len(), 100);
    assert!(
        matches!(
            error,
            Some(NetError::Timeout {
                phase: TimeoutPhase::Stall,
                ..
            })
        ),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_in_its_sleep_is_replaced() {
    steady();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/f", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let mut dead = Vec::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut body = respond
                .send_response(http::Response::new(()), false)
                .unwrap();
            body.send_data(Bytes::from_static(b"x"), true).unwrap();
            // Sends what is queued, then never answers anything again, with the socket open.
            let sent = std::time::Duration::from_millis(10);
            let _ = tokio::time::timeout(sent, connection.accept()).await;
            dead.push(connection);
        }
    });
    let net = client().with_retry(RetryPolicy::default());
    for _ in 0..3 {
        let started = tokio::time::Instant::now();
        net.get_bytes(Request::get(url.clone()), 10).await.unwrap();
        assert!(started.elapsed().as_secs() < 12, "{:?}", started.elapsed());
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unread_stream_takes_no_more_than_its_window() {
    steady();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/f", listener.local_addr().unwrap())).unwrap();
    let window = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let mut body = respond
            .send_response(http::Response::new(()), false)
            .unwrap();
        body.reserve_capacity(100 * 1024 * 1024);
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        // What the client grants in advance is all it can receive after it lost interest.
        let mut granted = 0;
        while granted < body.capacity() || granted == 0 {
            granted = body.capacity();
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        granted
    });
    let response = client().fetch(Request::get(url)).await.unwrap();
    let granted = window.await.unwrap();
    drop(response);
    assert!(granted <= 256 * 1024, "{granted}");
}

#[tokio::test(start_paused = true)]
async fn an_end_without_a_length_is_said_to_be_unproven() {
    for (fault, arrives) in [(Fault::Reset(Reason::NO_ERROR), 100), (Fault::None, 1000)] {
        let server = H2::announcing(false, noise(1000), fault).await;
        let (head, bytes) = download(&client(), Request::get(server.url()))
            .await
            .unwrap();
        assert_eq!((head.length_proof, bytes.len()), (false, arrives));
    }
}
