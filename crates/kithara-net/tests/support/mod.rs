//! A raw TCP server that says exactly what a test writes down, and a `Net` that does.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kithara_net::{
    Body, Bytes, HttpClient, Net, NetError, NetEvent, NetOptions, Observer, RangeSpec, Request,
    Resolver, Response, ResponseHead, Url,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does, one after another.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// Never does anything again, the connection stays open.
    Hang,
    /// Closes with a reset.
    Reset,
    /// Closes in order.
    Close,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The head, in lower case but for the first line.
    pub head: String,
    /// The number of the request, over all connections.
    pub number: usize,
    /// The number of the connection.
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}:")))?;
        Some(line.trim())
    }

    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The range asked for: first byte, and one past the last.
    pub fn range(&self) -> Option<(usize, Option<usize>)> {
        let (first, last) = self
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        Some((
            first.parse().unwrap(),
            last.parse::<usize>().ok().map(|last| last + 1),
        ))
    }
}

type Script = dyn Fn(&Seen) -> Vec<Step> + Send + Sync;

/// Runs until dropped.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    tasks: tokio::task::JoinHandle<()>,
    clock: tokio::task::JoinHandle<()>,
}

/// Lets a paused clock run 25 times faster than the real one, and no faster.
///
/// Left alone it jumps to the next timer as soon as no task has work, and knows nothing of bytes that the kernel still
/// carries over a socket: a limit of ten seconds would run out between a write and its arrival. It stands still while a
/// blocking task runs, so that this is a pace and not a wait for anything.
pub fn steady() -> tokio::task::JoinHandle<()> {
    const REAL: Duration = Duration::from_millis(20);
    const STEP: Duration = Duration::from_millis(500);
    tokio::spawn(async {
        loop {
            let tick = tokio::task::spawn_blocking(|| std::thread::sleep(REAL));
            tick.await.unwrap();
            tokio::time::sleep(STEP).await;
        }
    })
}

impl Server {
    /// Answers each request with what `script` says.
    pub async fn start(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Arc<Script>) = (Arc::clone(&seen), Arc::new(script));
        let tasks = tokio::spawn(async move {
            for connection in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                // A delayed acknowledgement takes real time, of which a paused clock knows nothing.
                socket.set_nodelay(true).unwrap();
                tokio::spawn(serve(
                    socket,
                    connection,
                    Arc::clone(&log),
                    Arc::clone(&script),
                ));
            }
        });
        Self {
            address,
            seen,
            tasks,
            clock: steady(),
        }
    }

    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.abort();
        self.clock.abort();
    }
}

async fn serve(
    mut socket: TcpStream,
    connection: usize,
    log: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Script>,
) {
    while let Ok(Some(head)) = read_head(&mut socket).await {
        let seen = {
            let mut log = log.lock().unwrap();
            let number = log.len();
            log.push(Seen {
                head,
                number,
                connection,
            });
            log[number].clone()
        };
        for step in script(&seen) {
            match step {
                Step::Send(bytes) => {
                    if socket.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Hang => std::future::pending().await,
                Step::Reset => return drop(socket.set_zero_linger()),
                Step::Close => return,
            }
        }
    }
}

async fn read_head(socket: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let text = String::from_utf8(head).unwrap();
    let (first, rest) = text.split_once("\r\n").unwrap();
    Ok(Some(format!("{first}\r\n{}", rest.to_lowercase())))
}

/// A whole response, framed by its length.
pub fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<Step> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    vec![Step::Send([head.as_bytes(), body].concat())]
}

/// These bytes, then the end of the connection.
pub fn raw(bytes: impl AsRef<[u8]>) -> Vec<Step> {
    vec![Step::Send(bytes.as_ref().to_vec()), Step::Close]
}

/// What a well-behaved file server says about `file`.
pub fn serve_file(seen: &Seen, file: &[u8], headers: &str) -> Vec<Step> {
    match seen.range() {
        None => reply("200 OK", headers, file),
        Some((start, _)) if start >= file.len() => reply(
            "416 Range Not Satisfiable",
            &format!("Content-Range: bytes */{}\r\n", file.len()),
            b"",
        ),
        Some((start, end)) => {
            let end = end.unwrap_or(file.len()).min(file.len());
            let range = format!(
                "{headers}Content-Range: bytes {start}-{}/{}\r\n",
                end - 1,
                file.len()
            );
            reply("206 Partial Content", &range, &file[start..end])
        }
    }
}

/// Bytes of which no two stretches are alike.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

pub fn client() -> HttpClient {
    HttpClient::new(NetOptions::default()).unwrap()
}

/// Everything a body brings before its end, and the error it ended with.
pub async fn drain(body: &mut Body) -> (Vec<u8>, Option<NetError>) {
    let mut bytes = Vec::new();
    loop {
        match body.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, None),
            Err(error) => return (bytes, Some(error)),
        }
    }
}

/// Fetches and reads to the end.
pub async fn download(
    net: &impl Net,
    request: Request,
) -> Result<(ResponseHead, Vec<u8>), NetError> {
    let Response { head, mut body } = net.fetch(request).await?;
    match drain(&mut body).await {
        (bytes, None) => Ok((head, bytes)),
        (_, Some(error)) => Err(error),
    }
}

/// Everything of an error that anybody could print.
pub fn printed(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error:?} {error:#?}");
    let mut next = Some(error);
    while let Some(error) = next {
        text += &format!(" {error}");
        next = error.source();
    }
    text
}

/// An observer and what it heard.
pub fn recorder() -> (Observer, Arc<Mutex<Vec<NetEvent>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&heard);
    (
        Observer::new(move |event| record.lock().unwrap().push(event.clone())),
        heard,
    )
}

/// Resolves names as told; anything else is unknown.
pub struct Names(pub Vec<(&'static str, Vec<IpAddr>)>);

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = self.0.iter().find(|(name, _)| *name == host);
        found
            .map(|(_, addresses)| addresses.clone())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

type Answer = Box<dyn FnOnce(&Request) -> Result<Response, NetError> + Send>;

/// Answers requests from a list, without a socket.
#[derive(Default)]
pub struct Fake {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Option<RangeSpec>>>,
}

impl Fake {
    pub fn then(
        self,
        answer: impl FnOnce(&Request) -> Result<Response, NetError> + Send + 'static,
    ) -> Self {
        self.answers.lock().unwrap().push_back(Box::new(answer));
        self
    }

    pub fn asked(&self) -> Vec<Option<RangeSpec>> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Net for Fake {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        self.asked.lock().unwrap().push(request.range);
        let answer = self
            .answers
            .lock()
            .unwrap()
            .pop_front()
            .expect("an unexpected request");
        answer(&request)
    }
}

/// A body that brings `bytes` and then fails.
pub fn breaks_after(bytes: &[u8], error: NetError) -> Body {
    let bytes = Bytes::copy_from_slice(bytes);
    let parts = Some(bytes)
        .filter(|bytes| !bytes.is_empty())
        .map(Ok)
        .into_iter()
        .chain([Err(error)]);
    Body::from_stream(futures_util::stream::iter(parts.collect::<Vec<_>>()))
}

pub fn broken(url: &Url) -> NetError {
    NetError::Broken {
        url: url.into(),
        source: Box::new(io::Error::from(io::ErrorKind::ConnectionReset)),
    }
}

/// Fails a test that would otherwise hang. Not for paused clocks.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it hangs")
}
