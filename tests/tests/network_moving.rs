//! Networks that change under a title, heard through [`kithara::Resource`]: connections that die without a word, and
//! servers that are somewhere else from one request to the next.

#[path = "support/network.rs"]
mod network;

use std::time::Duration;

use kithara::ResourceConfig;
use kithara_tests::server::{FaultServer, Gate, LoggedRequest, Outcome};
use network::*;

/// A limit that a test can wait for, and longer than a busy machine holds up a thread: the requests before and after the
/// one that falls silent have it as well, because they share a client's connections.
const LIMIT: Duration = Duration::from_secs(3);

#[test]
fn a_pooled_connection_that_fell_silent_is_left_for_a_new_one() {
    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    let never = Gate::new();
    server.serve_sequence(
        "/a.wav",
        [wav(&bytes), wav(&bytes).hold_head(&never), wav(&bytes)],
    );
    let options = timed(first_byte_after(LIMIT));
    let config = config_with(&server.url("/a.wav"), options);
    let events = Listener::open(config.with_look_ahead_bytes(LOOK_AHEAD))
        .plays_exactly(&expected, "a silent connection");
    assert_eq!(retries(&events), 1);
    let requests = server.requests();
    assert_eq!(
        requests[1].connection_id, requests[0].connection_id,
        "pooled"
    );
    for later in &requests[2..] {
        assert_ne!(
            later.connection_id, requests[1].connection_id,
            "asked on a dead one"
        );
    }
    server.wait_until("the dead connection being closed", |log| {
        log[1].outcome == Outcome::ClientGone
    });
    assert_eq!(requests[2].range, requests[1].range);
    assert_eq!(bytes_sent_twice(&requests), 0);
}

#[test]
fn every_idle_connection_of_before_is_left_with_the_first_that_fell_silent() {
    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    let shared = client(timed(stalls_after(LIMIT)), quick());
    let open = &|path: &str| {
        let config = ResourceConfig::new(server.url(path))
            .expect("a URL")
            .without_store();
        let config = config.with_client(shared.clone());
        Listener::open(config.with_look_ahead_bytes(LOOK_AHEAD))
    };
    // Four titles at the same time take four connections of the client they share.
    let together = Gate::new();
    let held = wav(&bytes).hold_head(&together);
    let titles = ["/a.wav", "/b.wav", "/c.wav", "/d.wav"];
    for path in &titles[1..] {
        server.serve(path, held.clone());
    }
    server.serve(titles[0], held.stall_at(1_000_000));
    let listeners = std::thread::scope(|scope| {
        let opening = titles.map(|path| scope.spawn(move || open(path)));
        server.wait_until("four requests", |log| log.len() >= 4);
        together.open();
        opening.map(|one| one.join().expect("it opens"))
    });
    // Three are played, and leave their connections idle.
    let [last, others @ ..] = listeners;
    for listener in others {
        listener.plays_exactly(&expected, "before");
    }
    assert!(server.open_connections() >= 4);
    let old = server.connections();
    let events = last.plays_exactly(&expected, "on a new connection");
    assert!(retries(&events) >= 1);
    let requests = server.requests_for(titles[0]);
    let resumed =
        |request: &&LoggedRequest| request.range.is_some_and(|range| range.0 == 1_000_000);
    let resumed = requests.iter().find(resumed).expect("it goes on there");
    assert!(resumed.connection_id >= old, "asked on one of before");
}

/// Only here has loopback more than one address.
#[cfg(target_os = "linux")]
mod to_another_address {
    use std::io;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use kithara::net::Resolver;
    use kithara_tests::server::Script;

    use super::*;

    /// Says where `media.test` is now.
    struct Name(Mutex<IpAddr>);

    #[async_trait]
    impl Resolver for Name {
        async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
            assert_eq!(host, "media.test");
            Ok(vec![*self.0.lock().expect("no panic")])
        }
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// Loopback as well, on Linux.
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    /// A name that is here, a server here, and one on the same port of another address.
    struct Move {
        name: Arc<Name>,
        here: FaultServer,
        there: FaultServer,
    }

    impl Move {
        fn new(here: Vec<Script>, there: Script) -> Self {
            let servers = Self {
                name: Arc::new(Name(Mutex::new(HERE))),
                here: FaultServer::start(),
                there: FaultServer::start(),
            };
            // The port was free on one address; that says nothing of the other.
            let port = servers.here.addr().port();
            let there_at = FaultServer::start_at(SocketAddr::new(THERE, port));
            there_at.serve("/a.wav", there);
            servers.here.serve_sequence("/a.wav", here);
            Self {
                there: there_at,
                ..servers
            }
        }

        fn open(&self) -> Listener {
            let mut options = impatient(LIMIT);
            options.resolver = Some(self.name.clone());
            let url = format!("http://media.test:{}/a.wav", self.here.addr().port());
            Listener::open(config_with(&url, options).with_look_ahead_bytes(LOOK_AHEAD))
        }

        fn happens(&self) {
            *self.name.0.lock().expect("no panic") = THERE;
        }
    }

    #[test]
    fn a_server_that_moves_and_leaves_silence_behind_is_found_again() {
        let (bytes, expected) = long(8);
        let never = Gate::new();
        for (name, last_words) in [
            ("no answer", wav(&bytes).hold_head(&never)),
            ("half an answer", wav(&bytes).stall_after(10_000)),
        ] {
            let servers = Move::new(vec![wav(&bytes), last_words], wav(&bytes));
            let listener = servers.open();
            servers.happens();
            let events = listener.plays_exactly(&expected, name);
            assert_eq!(retries(&events), 1, "{name}");
            assert_eq!(
                servers.here.requests().len(),
                2,
                "{name}: never asked again"
            );
            let came = servers.here.body_bytes_sent();
            let next = servers.there.requests()[0].range.expect("a range").0;
            assert_eq!(next, came, "{name}: it goes on where it was");
            assert_eq!(bytes_sent_twice(&servers.there.requests()), 0, "{name}");
        }
    }

    #[test]
    fn a_server_that_moves_and_closes_its_door_is_found_again() {
        let (bytes, expected) = long(8);
        let servers = Move::new(vec![wav(&bytes)], wav(&bytes));
        let listener = servers.open();
        servers.here.wait_until("the first range", |log| {
            log.iter()
                .all(|request| request.outcome == Outcome::Complete)
        });
        servers.happens();
        let Move { here, there, .. } = servers;
        drop(here);
        let events = listener.plays_exactly(&expected, "moved");
        assert!(retries(&events) <= 1, "{events:?}");
        assert!(there.requests().len() > 1);
    }
}
