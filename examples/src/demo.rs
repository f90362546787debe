//! The built-in demo: a short piece of music on a server of our own, throttled like a slow link.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::oneshot;

use crate::link::{Link, ROUND_TRIP};
use crate::music::{CHANGING, Music, STEADY};

/// A demo server on a port of the loopback interface; it lives as long as the process, or until it is stopped.
#[derive(Debug)]
pub struct Demo {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Demo {
    /// Starts the server on a thread of its own.
    pub fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?;
        let file = Router::new()
            .route("/{name}", get(file))
            .with_state(Link::new(STEADY));
        let app = Router::new()
            .route("/hls/{*path}", get(part))
            .with_state(Link::new(CHANGING))
            .merge(file);
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            tokio::select! {
                served = async { axum::serve(listener, app).await } => served,
                // A server that was dropped is not to be stopped.
                Ok(()) = stopped => Ok(()),
            }
        };
        let thread = std::thread::Builder::new()
            .name("demo-server".into())
            .spawn(move || {
                if let Err(error) = runtime.block_on(serve) {
                    eprintln!("the demo server failed: {error}");
                }
            })?;
        Ok(Self {
            address,
            stop,
            thread,
        })
    }

    /// Where the music is as an HLS stream: three bit rates of AAC, of which one is encrypted, and FLAC.
    pub fn hls_url(&self) -> String {
        self.url_of("hls/multivariant.m3u8")
    }

    /// Where the music is, as an MP3.
    pub fn url(&self) -> String {
        self.url_of("demo.mp3")
    }

    /// Where it is as well, under this name.
    pub fn url_of(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Switches the server off: its port is closed, and so are all connections.
    pub fn stop(self) {
        // It may have failed before; then it is off already.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

async fn file(State(link): State<Link>, headers: HeaderMap) -> Response {
    serve(&link, &headers, Music::file()).await
}

async fn part(State(link): State<Link>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    match Music::of_stream(&path) {
        Some(music) => serve(&link, &headers, music).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn serve(link: &Link, headers: &HeaderMap, music: Music) -> Response {
    tokio::time::sleep(ROUND_TRIP).await;
    let total = music.bytes.len();
    let asked = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| parse_range(text, total));
    let range = asked.clone().unwrap_or(0..total);
    if range.is_empty() {
        let unsatisfied = [(header::CONTENT_RANGE, format!("bytes */{total}"))];
        return (StatusCode::RANGE_NOT_SATISFIABLE, unsatisfied).into_response();
    }
    let mut facts = vec![
        (header::CONTENT_TYPE, music.media_type.to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_LENGTH, range.len().to_string()),
        (header::ETAG, "\"demo-1\"".to_owned()),
    ];
    let mut status = StatusCode::OK;
    if asked.is_some() {
        status = StatusCode::PARTIAL_CONTENT;
        let content = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        facts.push((header::CONTENT_RANGE, content));
    }
    let mut response = (status, link.body(&music.bytes[range])).into_response();
    for (name, value) in facts {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The range of `bytes=A-B` or `bytes=A-`; the demo needs no other form.
fn parse_range(text: &str, total: usize) -> Option<std::ops::Range<usize>> {
    let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start: usize = start.parse().ok()?;
    let end = match last {
        "" => total,
        last => last.parse::<usize>().ok()?.saturating_add(1).min(total),
    };
    Some(start..end.max(start))
}
