//! Connections that cannot be made, heard through [`kithara::Resource`]: names that do not resolve, ports that refuse,
//! black holes, servers without TLS.

#[path = "support/network.rs"]
mod network;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kithara::net::{NetOptions, Resolver, RetryPolicy, TimeoutPhase};
use kithara::{ErrorKind, Resource, ResourceConfig, SeekMode};
use kithara_tests::server::FaultServer;
use network::*;

/// Says where `media.test` is: the answers in turn, the last one for good. `None` fails.
struct Names {
    answers: Mutex<Vec<Option<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    fn new(answers: &[Option<IpAddr>]) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.to_vec()),
            asked: AtomicUsize::new(0),
        })
    }

    fn say(&self, answer: Option<IpAddr>) {
        *self.answers.lock().expect("no panic") = vec![answer];
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(host, "media.test");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("no panic");
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0]
        };
        answer
            .map(|address| vec![address])
            .ok_or_else(|| io::Error::other("no such host"))
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Loopback as well, but the server does not listen on it.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A title whose every request needs a name to be resolved and a connection to be made.
fn by_name(server: &FaultServer, names: &Arc<Names>) -> ResourceConfig {
    let mut options = NetOptions::default();
    options.resolver = Some(names.clone());
    let url = format!("http://media.test:{}/a.wav", server.addr().port());
    config_with(&url, options).with_look_ahead_bytes(LOOK_AHEAD)
}

#[test]
fn a_name_that_does_not_resolve_is_a_network_error() {
    let server = FaultServer::start();
    let names = Names::new(&[None]);
    let error = Listener::try_open(by_name(&server, &names))
        .err()
        .expect("no host, no title");
    assert_eq!(error.kind(), ErrorKind::Network);
    assert_eq!(
        names.asked.load(Ordering::SeqCst),
        7,
        "one request and six retries"
    );
    assert_eq!(server.connections(), 0);
}

#[test]
fn what_is_stored_plays_on_when_the_name_stops_resolving_and_a_seek_tries_again() {
    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes).close());
    let names = Names::new(&[Some(HERE), None]);
    let mut listener = Listener::open(by_name(&server, &names));
    let error = listener.fails_after_exact_prefix(&expected, "a lost name");
    assert_eq!(error.kind(), ErrorKind::Network, "{error:?}");
    // Everything that came was played: one request's worth, without the 44 bytes of header, in 16-bit samples.
    assert_eq!(
        listener.pcm.len() as u64,
        (server.body_bytes_sent() - 44) / 2
    );
    assert_sticky(&mut listener, &server, &error);
    assert_eq!(names.asked.load(Ordering::SeqCst), 1 + 7);

    names.say(Some(HERE));
    let at = listener.resource.position();
    listener
        .seek(at, SeekMode::Exact)
        .expect("the name resolves again");
    listener.play().expect("the rest");
    assert_same(&listener.pcm, &expected, "after the name came back");
    assert_eq!(bytes_sent_twice(&server.requests()), 0);
}

#[test]
fn a_refused_connection_is_a_network_error_and_in_the_middle_of_a_title_only_a_delay() {
    let url = format!("http://{}/a.wav", FaultServer::refusing_addr());
    let error = Listener::try_open(config(&url))
        .err()
        .expect("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Network);

    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes).close());
    let names = Names::new(&[
        Some(HERE),
        Some(NOBODY),
        Some(NOBODY),
        Some(NOBODY),
        Some(HERE),
    ]);
    let events =
        Listener::open(by_name(&server, &names)).plays_exactly(&expected, "refused thrice");
    assert_eq!(retries(&events), 3);
    assert_eq!(bytes_sent_twice(&server.requests()), 0);
}

#[test]
fn a_connection_that_is_never_answered_times_out() {
    // A full backlog drops further SYNs, as a black hole would.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let (_listener, addr) = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    });
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 64, "the backlog of 0 is endless");
    }
    let config = ResourceConfig::new(format!("http://{addr}/a.mp3"))
        .unwrap()
        .without_store()
        .with_client(client(
            impatient(Duration::from_millis(100)),
            RetryPolicy::none(),
        ));
    let error = Resource::blocking(config).expect_err("nobody answers");
    assert_eq!(
        error.kind(),
        ErrorKind::Timeout(TimeoutPhase::Connect),
        "{error:?}"
    );
}

#[test]
fn a_server_without_tls_is_neither_asked_again_nor_asked_in_the_clear() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::<u8>::new()));
    let ears = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut hello = [0; 1];
            stream.read_exact(&mut hello).unwrap();
            ears.lock().unwrap().push(hello[0]);
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
        }
    });
    let error = Listener::try_open(config(&format!("https://{addr}/a.mp3")))
        .err()
        .expect("no TLS");
    assert_eq!(error.kind(), ErrorKind::Network);
    // One handshake (record type 22), and nothing else.
    assert_eq!(*heard.lock().unwrap(), [22]);
}
