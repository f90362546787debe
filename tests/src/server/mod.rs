//! A scripted, byte-exact HTTP/1.1 server on loopback.
//!
//! It answers each path by a [`Script`] and logs what it saw. It runs on its own thread with its own runtime, so that
//! blocking and async tests use it alike, and a test that blocks its own runtime can't stop it. Its pacing is real
//! time; tests that need order use a [`Gate`] instead of sleeping.

mod answer;
mod board;
mod connection;
mod gate;
mod link;
mod log;
mod request;
mod script;

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

pub use self::gate::Gate;
pub use self::link::Link;
pub use self::log::{LoggedRequest, Outcome};
pub use self::script::{Script, Step};

use self::board::Board;
use self::connection::{Connection, Route, Routes};
use self::log::{Log, LogState};

/// Small, so that `sent_body` stays close to what the client took.
const SEND_BUFFER: u32 = 16 * 1024;

/// A running server. Dropping it closes every connection and joins its thread.
#[derive(Debug)]
pub struct FaultServer {
    addr: SocketAddr,
    routes: Routes,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FaultServer {
    /// Starts a server on a free port of 127.0.0.1. Every path is a 404 until it is given a script.
    ///
    /// # Panics
    /// If loopback cannot be bound.
    pub fn start() -> Self {
        Self::with_send_buffer(SEND_BUFFER)
    }

    /// Starts a server whose accepted sockets have this `SO_SNDBUF` in bytes (the kernel doubles it); the default of
    /// 16 KiB is too small to measure throughput.
    ///
    /// # Panics
    /// If loopback cannot be bound.
    pub fn with_send_buffer(bytes: u32) -> Self {
        Self::listening((Ipv4Addr::LOCALHOST, 0).into(), bytes)
    }

    /// Starts a server at this address, for a name that moves there.
    ///
    /// # Panics
    /// If the address is not of this machine, or in use.
    pub fn start_at(addr: SocketAddr) -> Self {
        Self::listening(addr, SEND_BUFFER)
    }

    fn listening(addr: SocketAddr, send_buffer: u32) -> Self {
        let routes = Routes::default();
        let log = Board::new(LogState::default());
        let (stop, stopped) = oneshot::channel();
        let (bound, bound_to) = std::sync::mpsc::channel();
        let (thread_routes, thread_log) = (routes.clone(), log.clone());
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = listen(addr, send_buffer);
                bound
                    .send(listener.local_addr().expect("a bound listener"))
                    .expect("the starter waits");
                tokio::select! {
                    () = accept(listener, thread_routes, thread_log) => {}
                    _ = stopped => {}
                }
            });
            // Dropping the runtime drops every connection's task, and with it the socket.
        };
        let thread = std::thread::Builder::new()
            .name("fault-server".to_owned())
            .spawn(body)
            .expect("a thread");
        let addr = bound_to.recv().expect("the server binds loopback");
        Self {
            addr,
            routes,
            log,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Answers every request for `path` by `script`. A path without a query also stands for itself with any query.
    /// Takes the place of what was served there.
    pub fn serve(&self, path: &str, script: Script) {
        self.serve_sequence(path, [script]);
    }

    /// Answers the n-th request for `path` by the n-th script, and all later ones by the last.
    ///
    /// # Panics
    /// If there is no script.
    pub fn serve_sequence(&self, path: &str, scripts: impl IntoIterator<Item = Script>) {
        let scripts: Vec<_> = scripts.into_iter().collect();
        assert!(!scripts.is_empty(), "a sequence needs a script");
        self.routes
            .lock()
            .insert(path.to_owned(), Route { scripts, used: 0 });
    }

    /// The URL of a path, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The address the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// An address of 127.0.0.1 that refuses connections: it was free a moment ago.
    ///
    /// # Panics
    /// If loopback cannot be bound.
    pub fn refusing_addr() -> SocketAddr {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("a bound listener")
    }

    /// Every request so far, in the order they came.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.log.read(|state| state.requests.clone())
    }

    /// The requests for one path, whatever their query.
    pub fn requests_for(&self, path: &str) -> Vec<LoggedRequest> {
        let is_for = |request: &LoggedRequest| request.path.split('?').next() == Some(path);
        self.requests().into_iter().filter(is_for).collect()
    }

    /// How many connections were ever accepted.
    pub fn connections(&self) -> u64 {
        self.log.read(|state| state.connections)
    }

    /// How many connections are open now, as far as the server has noticed.
    pub fn open_connections(&self) -> u64 {
        self.log.read(|state| state.open)
    }

    /// Body bytes written to sockets, over all requests; see [`LoggedRequest::sent_body`].
    pub fn body_bytes_sent(&self) -> u64 {
        self.log.read(|state| state.body_bytes)
    }

    /// Blocks until the logged requests satisfy `done`: a count, an outcome, bytes sent.
    ///
    /// # Panics
    /// After a minute, naming `what`.
    pub fn wait_until(&self, what: &str, mut done: impl FnMut(&[LoggedRequest]) -> bool) {
        self.log.wait_blocking(what, |state| done(&state.requests));
    }

    /// The async twin of [`FaultServer::wait_until`], without a hang guard and without a timer.
    pub async fn until(&self, mut done: impl FnMut(&[LoggedRequest]) -> bool) {
        self.log.wait(|state| done(&state.requests)).await;
    }

    /// Blocks until `count` connections or fewer are open.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_open_connections(&self, count: u64) {
        self.log
            .wait_blocking("connections closing", |state| state.open <= count);
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(
                !matches!(ended, Some(Err(_))),
                "the server's thread panicked"
            );
        }
    }
}

fn listen(addr: SocketAddr, send_buffer: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Accepted sockets inherit it.
    socket
        .set_send_buffer_size(send_buffer)
        .expect("a send buffer size");
    socket.bind(addr).expect("a free port");
    socket.listen(1024).expect("a listening socket")
}

async fn accept(listener: TcpListener, routes: Routes, log: Log) {
    // An accept error is the client's doing (it went while waiting) or a lack of descriptors: the test then sees
    // a connection that isn't answered, which is what it is.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // Small writes must not wait for acknowledgements: the client would see pauses nobody scripted.
            let _ = stream.set_nodelay(true);
            tokio::spawn(Connection::new(stream, routes.clone(), log.clone()).run());
        }
    }
}
