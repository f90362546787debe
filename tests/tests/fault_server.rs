//! The fault server does exactly what its scripts say, seen by a client that is nothing but a socket.

mod socket;

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use self::socket::{Client, dechunk};
use kithara_tests::server::{FaultServer, Gate, Link, Outcome, Script, Step};

/// Content that differs at every offset that matters.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn server_with(path: &str, script: Script) -> FaultServer {
    let server = FaultServer::start();
    server.serve(path, script);
    server
}

#[test]
fn a_polite_file_is_served_whole_in_ranges_and_by_head_on_one_connection() {
    let file = content(1000);
    let server = server_with(
        "/a.mp3",
        Script::file(file.clone()).media_type("audio/mpeg"),
    );
    let mut client = Client::connect(&server);
    let whole = client.get("/a.mp3", &[]);
    assert_eq!((whole.status(), &whole.body), ("200", &file));
    assert_eq!(
        (whole.header("content-type"), whole.header("accept-ranges")),
        (Some("audio/mpeg"), Some("bytes"))
    );
    let cases = [
        ("0-", 0..1000),
        ("100-199", 100..200),
        ("900-5000", 900..1000),
        ("-10", 990..1000),
    ];
    for (range, expected) in cases {
        let part = client.get("/a.mp3?token=1", &[&format!("Range: bytes={range}")]);
        let label = format!("bytes {}-{}/1000", expected.start, expected.end - 1);
        assert_eq!(
            (part.status(), part.header("content-range")),
            ("206", Some(label.as_str())),
            "{range}"
        );
        assert_eq!(part.body, file[expected], "{range}");
    }
    let beyond = client.get("/a.mp3", &["Range: bytes=1000-"]);
    assert_eq!(
        (beyond.status(), beyond.header("content-range")),
        ("416", Some("bytes */1000"))
    );
    client.send("HEAD", "/a.mp3", &[]);
    let head = client.read_head();
    assert!(head.contains("Content-Length: 1000"), "{head}");
    assert_eq!(client.get("/none", &[]).status(), "404");
    assert_eq!(server.connections(), 1);
    let log = server.requests();
    assert_eq!(log.len(), 8);
    assert_eq!(
        (log[2].range, log[2].sent_body),
        (Some((100, Some(199))), 100)
    );
    assert_eq!((log[1].range, log[4].range), (Some((0, None)), None));
    assert_eq!(
        (
            log[7].at_connection_index,
            log[7].connection_id,
            log[6].method.as_str()
        ),
        (7, 0, "HEAD")
    );
    assert_eq!(log[1].header("RANGE"), Some("bytes=0-"));
    assert_eq!(server.requests_for("/a.mp3").len(), 7);
}

#[test]
fn validators_decide_about_ranges_and_about_304() {
    let server = server_with("/a", Script::file(content(100)).etag("\"one\""));
    server.serve("/weak", Script::file(content(100)).etag("W/\"one\""));
    server.serve("/bare", Script::file(content(100)).without_validators());
    let mut client = Client::connect(&server);
    let cases = [
        ("/a", "If-Range: \"one\"", "206"),
        ("/a", "If-Range: \"two\"", "200"),
        ("/a", "If-Range: Wed, 01 Jan 2025 00:00:00 GMT", "206"),
        ("/weak", "If-Range: W/\"one\"", "200"),
        ("/bare", "If-Range: \"one\"", "200"),
        ("/bare", "X: y", "206"),
        ("/a", "If-None-Match: \"one\"", "304"),
        ("/a", "If-None-Match: \"two\"", "206"),
    ];
    for (path, header, status) in cases {
        assert_eq!(
            client.get(path, &["Range: bytes=50-", header]).status(),
            status,
            "{path} {header}"
        );
    }
}

#[test]
fn servers_without_ranges_length_or_keep_alive_are_played_as_they_are() {
    let file = content(40_000);
    let server = server_with("/norange", Script::file(file.clone()).without_ranges());
    server.serve("/nolength", Script::file(file.clone()).without_length());
    server.serve(
        "/old",
        Script::file(file.clone())
            .http10()
            .without_length()
            .without_ranges(),
    );
    server.serve("/chunked", Script::file(file.clone()).chunked());
    let norange = Client::connect(&server).get("/norange", &["Range: bytes=5-"]);
    assert_eq!((norange.status(), norange.body == file), ("200", true));
    assert_eq!(norange.header("accept-ranges"), None);
    for path in ["/nolength", "/old"] {
        let reply = Client::get_to_end(&server, path, &[]);
        assert!(
            reply.header("content-length").is_none() && reply.body == file && !reply.reset,
            "{path}"
        );
    }
    assert!(
        Client::get_to_end(&server, "/old", &[])
            .head
            .starts_with("HTTP/1.0 200")
    );
    let mut client = Client::connect(&server);
    client.send("GET", "/chunked", &["Connection: close"]);
    assert!(client.read_head().contains("Transfer-Encoding: chunked"));
    assert_eq!(dechunk(&client.rest().0), (file, true));
}

#[test]
fn cuts_and_resets_come_at_the_very_byte() {
    let file = content(300);
    let server = FaultServer::start();
    for k in [0, 1, 150, 299, 300] {
        server.serve("/cut", Script::file(file.clone()).cut_after(k));
        let reply = Client::get_to_end(&server, "/cut", &[]);
        assert_eq!(
            (reply.body.as_slice(), reply.reset),
            (&file[..k as usize], false),
            "cut after {k}"
        );
        server.serve(
            "/chunked",
            Script::file(file.clone()).chunked().cut_after(k),
        );
        let chunked = Client::get_to_end(&server, "/chunked", &[]);
        assert_eq!(
            dechunk(&chunked.body),
            (file[..k as usize].to_vec(), false),
            "chunked cut after {k}"
        );
    }
    server.serve("/reset", Script::file(file.clone()).reset_after(10));
    assert!(Client::get_to_end(&server, "/reset", &[]).reset);
    server.serve(
        "/bad",
        Script::file(file.clone()).chunked().bad_chunk_after(10),
    );
    assert!(
        Client::get_to_end(&server, "/bad", &[])
            .body
            .ends_with(b"\r\nzz\r\n")
    );
    server.serve("/at", Script::file(file.clone()).cut_at(200));
    assert_eq!(
        Client::get_to_end(&server, "/at", &["Range: bytes=150-"]).body,
        file[150..200]
    );
    assert_eq!(
        Client::connect(&server)
            .get("/at", &["Range: bytes=200-"])
            .body,
        file[200..]
    );
    let outcome = |path: &str| server.requests_for(path)[0].outcome;
    assert_eq!(
        (outcome("/cut"), outcome("/reset"), outcome("/at")),
        (Outcome::Cut, Outcome::Reset, Outcome::Cut)
    );
}

#[test]
fn a_gate_holds_the_answer_at_its_byte_until_it_is_opened() {
    let file = content(100_000);
    let gate = Gate::new();
    let server = server_with("/a", Script::file(file.clone()).hold_at(60_000, &gate));
    let mut client = Client::connect(&server);
    client.send("GET", "/a", &["Range: bytes=10000-"]);
    client.read_head();
    assert_eq!(client.read_exact(50_000), file[10_000..60_000]);
    gate.wait_held();
    assert_eq!(
        (server.body_bytes_sent(), server.requests()[0].outcome),
        (50_000, Outcome::Running)
    );
    assert_eq!(
        Client::connect(&server)
            .get("/a", &["Range: bytes=60001-"])
            .body,
        file[60_001..]
    );
    assert_eq!((gate.holding(), gate.arrivals()), (1, 1));
    gate.open();
    assert_eq!(client.read_exact(40_000), file[60_000..]);
    assert_eq!(gate.holding(), 0);

    let head = Gate::new();
    server.serve("/head", Script::file(file).hold_head(&head));
    client.send("GET", "/head", &[]);
    head.wait_held();
    drop(client);
    server.wait_until("the client's going to be noticed", |log| {
        log[2].outcome == Outcome::ClientGone
    });
    server.wait_open_connections(0);
    assert_eq!(head.holding(), 0);
}

#[test]
fn a_sequence_gives_each_request_its_own_script_and_then_repeats_the_last() {
    let server = FaultServer::start();
    let fail = Script::of_status(503).retry_after("120");
    server.serve_sequence(
        "/a",
        [fail, Script::redirect(302, "/b"), Script::file(content(5))],
    );
    let mut client = Client::connect(&server);
    let first = client.get("/a", &[]);
    assert_eq!(
        (first.status(), first.header("retry-after")),
        ("503", Some("120"))
    );
    let second = client.get("/a", &[]);
    assert_eq!(
        (second.status(), second.header("location")),
        ("302", Some("/b"))
    );
    assert_eq!(client.get("/a", &[]).body, content(5));
    assert_eq!(client.get("/a", &[]).body, content(5));
}

#[test]
fn a_connection_that_dies_when_reused_answers_once_and_takes_no_script() {
    let server = FaultServer::start();
    let file = Script::file(content(5));
    server.serve_sequence("/a", [file.clone().dies_when_reused(), file.clone(), file]);
    let mut client = Client::connect(&server);
    let first = client.get("/a", &[]);
    assert_eq!((first.status(), first.header("connection")), ("200", None));
    client.send("GET", "/a", &[]);
    assert_eq!(client.rest(), (Vec::new(), true));
    assert_eq!(Client::connect(&server).get("/a", &[]).status(), "200");
    let log = server.requests();
    assert_eq!(
        (log[1].outcome, log[1].at_connection_index, log[1].sent_body),
        (Outcome::Dropped, 1, 0)
    );
    assert_eq!(log[2].connection_id, 1);
}

#[test]
fn heads_can_lie_in_every_way() {
    let file = content(100);
    let base = Script::file(file.clone());
    let server = FaultServer::start();
    let ranged: [(&str, Script, &str, &str); 8] = [
        (
            "/range",
            base.clone().wrong_content_range("bytes */9"),
            "content-range",
            "bytes */9",
        ),
        (
            "/unasked",
            base.clone().without_ranges().status(206),
            "content-length",
            "100",
        ),
        (
            "/shorter",
            base.clone().shorter_ranges(7),
            "content-range",
            "bytes 10-16/100",
        ),
        (
            "/long",
            base.clone().wrong_length("101"),
            "content-length",
            "101",
        ),
        (
            "/gzip",
            base.clone().header("Content-Encoding", "gzip"),
            "content-encoding",
            "gzip",
        ),
        (
            "/multi",
            base.clone().multipart(),
            "content-type",
            "multipart/byteranges; boundary=PART",
        ),
        (
            "/store",
            base.clone().header("Cache-Control", "no-store"),
            "cache-control",
            "no-store",
        ),
        (
            "/type",
            base.clone().media_type("text/html"),
            "content-type",
            "text/html",
        ),
    ];
    for (path, script, name, value) in ranged {
        server.serve(path, script.close());
        let reply = Client::get_to_end(&server, path, &["Range: bytes=10-"]);
        assert_eq!(reply.header(name), Some(value), "{path}");
    }
    server.serve(
        "/missing",
        base.clone().without_header("content-range").close(),
    );
    assert_eq!(
        Client::get_to_end(&server, "/missing", &["Range: bytes=10-"]).header("content-range"),
        None
    );
    server.serve(
        "/twice",
        base.clone()
            .header("Content-Length", "1")
            .trailing("junk")
            .close(),
    );
    let twice = Client::get_to_end(&server, "/twice", &[]);
    assert_eq!(twice.head.matches("Content-Length").count(), 2);
    assert!(twice.body.ends_with(b"junk"));
    server.serve(
        "/flood",
        base.clone()
            .header_flood(10_000, 100)
            .informational(103, 50)
            .close(),
    );
    let flood = Client::get_to_end(&server, "/flood", &[]);
    assert!(flood.head.starts_with("HTTP/1.1 103 ") && flood.body.len() > 1_000_000);
    server.serve("/head", base.on_head(Script::of_status(405)));
    let mut client = Client::connect(&server);
    client.send("HEAD", "/head", &[]);
    assert!(client.read_head().starts_with("HTTP/1.1 405 "));
    assert_eq!(client.get("/head", &[]).body, file);
    server.serve("/204", Script::of_status(204));
    assert_eq!(client.get("/204", &[]).header("content-length"), None);
}

#[test]
fn raw_steps_are_sent_byte_for_byte() {
    let gate = Gate::new();
    let steps = vec![
        Step::Send(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
        Step::Release(gate.clone()),
    ];
    let rest = [Step::Send(b"Length: 3\r\n\r\nabc".to_vec()), Step::Reset];
    let server = server_with("/raw", Script::raw([steps, rest.to_vec()].concat()));
    let mut client = Client::connect(&server);
    client.send("GET", "/raw", &[]);
    assert_eq!(client.read_exact(25), b"HTTP/1.1 200 OK\r\nContent-");
    gate.open();
    // The reset may take the rest along before it is read: only the log tells what was sent.
    client.rest();
    server.wait_until("the script's end", |log| log[0].outcome == Outcome::Reset);
    assert_eq!(server.requests()[0].sent_body, 41);
    server.serve(
        "/keep",
        Script::raw([Step::Send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec(),
        )]),
    );
    let mut client = Client::connect(&server);
    assert_eq!(
        (client.get("/keep", &[]).body, client.get("/keep", &[]).body),
        (b"x".to_vec(), b"x".to_vec())
    );
}

#[test]
fn radio_servers_interleave_titles_and_never_end() {
    let server = server_with("/icy", Script::icy(&content(25), 10, "abc"));
    let icy = Client::get_to_end(&server, "/icy", &[]);
    assert!(icy.head.starts_with("ICY 200 OK\r\n") && icy.header("icy-metaint") == Some("10"));
    let block = b"\x02StreamTitle='abc';\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let block = &block[..33];
    let expected = [
        &content(25)[..10],
        block,
        &content(25)[10..20],
        block,
        &content(25)[20..],
    ]
    .concat();
    assert_eq!(icy.body, expected);
    server.serve("/endless", Script::endless(content(1000)));
    let mut client = Client::connect(&server);
    client.send("GET", "/endless", &[]);
    client.read_head();
    assert_eq!(client.read_exact(100_000), content(1000).repeat(100));
    drop(client);
    server.wait_until("the listener's going", |log| {
        log[1].outcome == Outcome::ClientGone
    });
}

#[test]
fn a_client_that_does_not_read_holds_the_server_back() {
    let server = server_with("/big", Script::file(vec![7; 64 << 20]));
    let mut client = Client::connect(&server);
    client.send("GET", "/big", &[]);
    client.read_head();
    server.wait_until("the first bytes", |log| log[0].sent_body > 0);
    drop(client);
    server.wait_until("the client's going", |log| {
        log[0].outcome == Outcome::ClientGone
    });
    assert!(
        server.body_bytes_sent() < 8 << 20,
        "{} bytes went into buffers",
        server.body_bytes_sent()
    );
}

#[test]
fn a_throttled_answer_is_whole_and_a_stalled_one_stays_open() {
    let file = content(3000);
    let server = server_with(
        "/slow",
        Script::file(file.clone())
            .throttle(100_000)
            .delay_head(Duration::from_millis(1)),
    );
    assert_eq!(Client::connect(&server).get("/slow", &[]).body, file);
    server.serve("/stall", Script::file(file.clone()).stall_after(100));
    let mut client = Client::connect(&server);
    client.send("GET", "/stall", &[]);
    client.read_head();
    assert_eq!(client.read_exact(100), file[..100]);
    assert_eq!(server.requests_for("/stall")[0].outcome, Outcome::Running);
    assert!(server.open_connections() >= 1);
    drop(client);
    server.wait_until("the client's going", |log| {
        log[1].outcome == Outcome::ClientGone
    });
}

#[test]
fn answers_that_share_a_link_are_together_no_faster_than_it() {
    let (file, link) = (content(3000), Link::new(1_000));
    let server = server_with("/a", Script::file(file.clone()).over(&link));
    server.serve("/b", Script::file(file.clone()).over(&link));
    let mut clients = ["/a", "/b"].map(|path| {
        let mut client = Client::connect(&server);
        client.send("GET", path, &[]);
        client.read_head();
        client
    });
    clients[0].read_exact(20);
    link.set_rate(20_000);
    let begun = Instant::now();
    let [first, second] = &mut clients;
    assert_eq!(first.read_exact(file.len() - 20), file[20..]);
    assert_eq!(second.read_exact(file.len()), file);
    // All but what was let in before, of which there are at most two pieces.
    assert!(begun.elapsed() >= Duration::from_millis(250));
    assert_eq!(server.requests()[1].beside, 1);
}

#[test]
fn dropping_the_server_ends_every_connection_and_frees_the_port() {
    let server = server_with("/a", Script::file(content(100)).stall_after(10));
    let addr = server.addr();
    let mut client = Client::connect(&server);
    client.send("GET", "/a", &[]);
    client.read_head();
    assert_eq!(client.read_exact(10), content(10));
    drop(server);
    assert_eq!(client.rest().0, Vec::<u8>::new());
    assert_eq!(
        TcpStream::connect(addr).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(
        TcpStream::connect(FaultServer::refusing_addr())
            .unwrap_err()
            .kind(),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn async_tests_wait_for_gates_and_log_without_timers() {
    let gate = Gate::new();
    let server = server_with("/a", Script::file(content(10)).hold_after(4, &gate));
    let mut client = Client::connect(&server);
    client.send("GET", "/a", &[]);
    // No timer is enabled: a wait that needs one would panic.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        gate.held().await;
        gate.open();
        server
            .until(|log| log[0].outcome == Outcome::Complete)
            .await;
    });
    client.read_head();
    assert_eq!(client.read_exact(10), content(10));
}
