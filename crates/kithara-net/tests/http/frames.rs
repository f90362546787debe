//! HTTP/2 written frame by frame, for what no well-behaved stack would send: floods of nothing, and windows of nothing.

use std::time::Duration;

use kithara_net::{
    HttpClient, Net, NetError, NetOptions, Request, Response, RetryPolicy, TimeoutPhase, Url,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::support::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const ACK: u8 = 1;

/// RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The first request of a connection, answered by hand.
struct Stream {
    socket: TcpStream,
}

impl Stream {
    /// Reads up to the request, with an initial window of nothing for what we would send, and says 200.
    async fn accept(listener: &TcpListener) -> Self {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        // SETTINGS_INITIAL_WINDOW_SIZE = 0.
        let none = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        socket.write_all(&none).await.unwrap();
        let mut stream = Self { socket };
        while stream.read().await.unwrap().0 != HEADERS {}
        // ":status: 200" in the static table (RFC 7541 appendix A).
        stream.send(HEADERS, END_HEADERS, &[0x88]).await;
        stream
    }

    /// The next frame of the client; its settings are acknowledged and its pings answered.
    async fn read(&mut self) -> Option<(u8, u8)> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.socket.read_exact(&mut payload).await.ok()?;
        let (kind, flags) = (head[3], head[4]);
        if flags & ACK == 0 && matches!(kind, SETTINGS | PING) {
            let echo = if kind == PING { &payload[..] } else { &[] };
            let reply = frame(kind, ACK, 0, echo);
            self.socket.write_all(&reply).await.ok()?;
        }
        Some((kind, flags))
    }

    /// A frame without bytes every second until the client goes. One with padding has a length, and still no bytes.
    async fn drip(&mut self, padding: bool) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                heard = self.read() => if heard.is_none() { return },
                () = sleep_until(next) => {
                    next += Duration::from_secs(1);
                    let sent = match padding {
                        true => self.send(DATA, PADDED, &[3, 0, 0, 0]).await,
                        false => self.send(DATA, 0, b"").await,
                    };
                    if !sent {
                        return;
                    }
                }
            }
        }
    }

    async fn send(&mut self, kind: u8, flags: u8, payload: &[u8]) -> bool {
        let bytes = frame(kind, flags, 1, payload);
        self.socket.write_all(&bytes).await.is_ok()
    }
}

/// A client and the URL of a server that plays `part` on each connection.
async fn against<F>(part: impl Fn(Stream, usize) -> F + Send + 'static) -> (HttpClient, Url)
where
    F: Future<Output = ()> + Send + 'static,
{
    steady();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/f", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let stream = Stream::accept(&listener).await;
            tokio::spawn(part(stream, number));
        }
    });
    let mut options = NetOptions::default();
    options.http2_prior_knowledge = true;
    (HttpClient::new(options).unwrap(), url)
}

fn is_stall(error: &NetError) -> bool {
    let phase = TimeoutPhase::Stall;
    matches!(error.root(), NetError::Timeout { phase: got, .. } if *got == phase)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sends_no_data_for_ever_is_left_at_the_stall_limit_though_it_is_alive() {
    let (client, url) = against(|mut stream, _| async move {
        stream.send(DATA, 0, b"0123").await;
        // Answers every ping, so that nothing but the missing bytes says anything.
        while stream.read().await.is_some() {}
    })
    .await;
    let Response { mut body, .. } = client.fetch(Request::get(url)).await.unwrap();
    let began = Instant::now();
    let (bytes, error) = drain(&mut body).await;
    assert_eq!(bytes, b"0123");
    assert!(error.as_ref().is_some_and(is_stall), "{error:?}");
    assert!((10..13).contains(&began.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn frames_without_bytes_are_no_progress_however_slowly_they_drip() {
    for padding in [false, true] {
        let (client, url) = against(move |mut stream, _| async move {
            stream.send(DATA, 0, b"0123").await;
            stream.drip(padding).await;
        })
        .await;
        let Response { mut body, .. } = client.fetch(Request::get(url)).await.unwrap();
        let began = Instant::now();
        let (bytes, error) = drain(&mut body).await;
        assert_eq!(bytes, b"0123");
        assert!(error.as_ref().is_some_and(is_stall), "{padding} {error:?}");
        assert!((10..13).contains(&began.elapsed().as_secs()), "{padding}");
    }
}

/// A server that sends frames of nothing as fast as they are taken, and tells how many were.
async fn flood(padding: bool) -> (HttpClient, Url, mpsc::UnboundedReceiver<usize>) {
    let (told, taken) = mpsc::unbounded_channel();
    let (client, url) = against(move |mut stream, _| {
        let told = told.clone();
        async move {
            let one = match padding {
                true => frame(DATA, PADDED, 1, &[3, 0, 0, 0]),
                false => frame(DATA, 0, 1, b""),
            };
            let many = one.repeat(100);
            let mut frames = 0;
            let (mut reading, mut writing) = stream.socket.split();
            let mut ignored = [0; 4096];
            loop {
                tokio::select! {
                    read = reading.read(&mut ignored) => if read.unwrap_or(0) == 0 { break },
                    wrote = writing.write_all(&many) => match wrote {
                        Ok(()) => frames += 100,
                        Err(_) => break,
                    },
                }
                if frames > 10_000_000 {
                    break;
                }
            }
            let _ = told.send(frames);
        }
    })
    .await;
    (client, url, taken)
}

#[tokio::test]
async fn a_flood_of_frames_without_bytes_ends_the_connection_after_a_bounded_number() {
    for padding in [false, true] {
        let (client, url, mut taken) = flood(padding).await;
        let request = || Request::get(url.clone());
        let Response { mut body, .. } = soon(client.fetch(request())).await.unwrap();
        let (bytes, error) = soon(drain(&mut body)).await;
        assert!(bytes.is_empty());
        assert!(
            matches!(
                error,
                Some(NetError::Broken { .. } | NetError::Timeout { .. })
            ),
            "{padding} {error:?}"
        );
        drop((body, client));
        let frames = soon(taken.recv()).await.unwrap();
        assert!(frames < 1_000_000, "{padding}: {frames} frames were taken");
    }
}

#[tokio::test]
async fn a_flood_that_nobody_reads_is_not_kept() {
    for padding in [false, true] {
        let (client, url, mut taken) = flood(padding).await;
        let response = soon(client.fetch(Request::get(url))).await.unwrap();
        // Nobody asks the body for anything: what came would have to be held.
        let frames = soon(taken.recv()).await.unwrap();
        assert!(frames < 1_000_000, "{padding}: {frames} frames were taken");
        drop(response);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_nothing_is_given_up_after_seven_requests() {
    let (told, mut count) = mpsc::unbounded_channel();
    let (client, url) = against(move |mut stream, _| {
        let told = told.clone();
        async move {
            let _ = told.send(());
            stream.drip(false).await;
        }
    })
    .await;
    let net = kithara_net::NetExt::with_retry(client, RetryPolicy::default());
    let Response { mut body, .. } = net.fetch(Request::get(url)).await.unwrap();
    let (_, error) = drain(&mut body).await;
    let Some(NetError::RetryExhausted { last, .. }) = &error else {
        panic!("{error:?}");
    };
    assert!(is_stall(last), "{last:?}");
    let mut connections = 0;
    while count.try_recv().is_ok() {
        connections += 1;
    }
    assert!((2..=7).contains(&connections), "{connections}");
}
