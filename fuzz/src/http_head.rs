//! Arbitrary answers of a server on loopback, through the real client.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use kithara::net::{Etag, HttpClient, Net, NetOptions, RangeSpec, Request, Url};
use tokio::runtime::Runtime;

const NAMES: [&str; 9] = [
    "Content-Range",
    "Content-Length",
    "ETag",
    "Retry-After",
    "Last-Modified",
    "Content-Type",
    "Accept-Ranges",
    "Content-Encoding",
    "icy-metaint",
];
const STATUS: [&str; 8] = [
    "200 OK",
    "206 Partial",
    "416 Range",
    "429 Wait",
    "503 Wait",
    "404 No",
    "304 Same",
    "500 Oops",
];
/// Nothing here takes longer unless something hangs.
const HANG: Duration = Duration::from_secs(20);

/// A byte for the status, a byte of flags, and header values by line; or, by the flags, a whole answer as it is.
pub fn run(data: &[u8]) {
    let [status, flags, rest @ ..] = data else {
        return;
    };
    let _ = std::str::from_utf8(rest).map(Etag::parse);
    // A redirect would leave the machine.
    let redirects = rest
        .to_ascii_lowercase()
        .windows(8)
        .any(|window| window == b"location");
    if flags & 1 == 1 && redirects {
        return;
    }
    let answer = if flags & 1 == 1 {
        rest.to_vec()
    } else {
        with_head(*status, rest)
    };
    let world = world();
    *world
        .answer
        .lock()
        .expect("no target panics while it holds this") = answer;
    let fetched = async { tokio::time::timeout(HANG, world.fetch(flags & 2 == 0)).await };
    let within = world.runtime.block_on(fetched).is_ok();
    assert!(within, "the client waits for ever");
}

fn with_head(status: u8, rest: &[u8]) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 ".to_vec();
    answer.extend_from_slice(STATUS[usize::from(status) % STATUS.len()].as_bytes());
    for (name, value) in NAMES.iter().zip(rest.split(|byte| *byte == b'\n')) {
        if !value.is_empty() {
            answer.extend_from_slice(format!("\r\n{name}: ").as_bytes());
            answer.extend(value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        }
    }
    answer.extend_from_slice(b"\r\nConnection: close\r\n\r\nabcdefghij");
    answer
}

/// The client and the server, made once.
struct World {
    runtime: Runtime,
    client: HttpClient,
    url: Url,
    /// What the server sends next. Shared because its thread has nothing but the connection to go by.
    answer: Mutex<Vec<u8>>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let address: SocketAddr = listener.local_addr().expect("a bound listener");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away has seen enough.
                let _ = answer(stream);
            }
        });
        World {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            client: HttpClient::new(NetOptions::default()).expect("the defaults are valid"),
            url: Url::parse(&format!("http://{address}/a.mp3")).expect("a constant URL"),
            answer: Mutex::new(Vec::new()),
        }
    })
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..count]);
    }
    let answer = world()
        .answer
        .lock()
        .expect("no target panics while it holds this")
        .clone();
    stream.write_all(&answer)
}

impl World {
    async fn fetch(&self, ranged: bool) {
        let mut request = Request::get(self.url.clone());
        if ranged {
            request = request.with_range(RangeSpec::new(0, 10));
        }
        let Ok(mut response) = self.client.fetch(request).await else {
            return;
        };
        let head = response.head;
        assert!(matches!(head.status, 200 | 206), "an answer that is none");
        assert!(head.end.is_none_or(|end| head.start <= end), "{head:?}");
        assert!(
            head.total
                .is_none_or(|total| head.end.is_none_or(|end| end <= total)),
            "{head:?}"
        );
        let mut bytes = 0;
        while let Ok(Some(chunk)) = response.body.chunk().await {
            assert!(!chunk.is_empty(), "an empty chunk");
            bytes += chunk.len() as u64;
        }
        assert!(
            head.end.is_none_or(|end| bytes <= end - head.start),
            "{bytes} bytes of {head:?}"
        );
    }
}
