//! What the hostile HLS tests share: a stream's bytes read to their end by the real plan, driver and client, and a home
//! that looks as if it were far away.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kithara::hls::{Hls, HlsConfig, HlsError};
use kithara::net::{
    AddressClass, HttpClient, Net, NetError, NetExt, NetOptions, PolicyRule, Request, Resolver,
    Response, RetryPolicy, Url, Zone,
};
use kithara::stream::{Source, StreamError, StreamType};

/// The host of the caller's own URL.
pub const HOME: &str = "home.test";

/// A policy whose waits are too short to notice.
pub fn quick() -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    policy.base = Duration::from_millis(1);
    policy.max = Duration::from_millis(4);
    policy.span = Duration::ZERO;
    policy
}

pub fn client(options: NetOptions) -> Arc<dyn Net> {
    let client = HttpClient::new(options).expect("a client");
    Arc::new(client.with_retry(quick()))
}

/// The stream at `url`, through a client of its own.
pub fn config(url: &str) -> HlsConfig {
    HlsConfig::new(
        Url::parse(url).expect("a URL"),
        client(NetOptions::default()),
    )
}

/// Everything that is read of a stream, to its end or its failure.
pub fn drain(config: HlsConfig) -> (Vec<u8>, Option<StreamError>) {
    let mut bytes = Vec::new();
    let failure = read_all(config, &mut bytes).err();
    (bytes, failure)
}

fn read_all(config: HlsConfig, bytes: &mut Vec<u8>) -> Result<(), StreamError> {
    let mut source = Hls::open(config)?;
    while let Some(mut run) = source.next_run()? {
        if run.silence.is_some() {
            continue;
        }
        match run.bytes.read_to_end(bytes) {
            Ok(_) => {}
            Err(error) => match StreamError::from_io(&error) {
                Some(StreamError::CutOff) => {}
                Some(error) => return Err(error),
                None => panic!("{error:?}"),
            },
        }
    }
    Ok(())
}

/// Why a stream of ours failed.
pub fn hls_error(error: &StreamError) -> &HlsError {
    HlsError::from_stream(error).unwrap_or_else(|| panic!("not an error of HLS: {error:?}"))
}

/// What the network layer said below a failure, if it was that.
pub fn net_error(error: &StreamError) -> Option<&NetError> {
    match hls_error(error).transfer()? {
        StreamError::Net(error) => Some(error.root()),
        _ => None,
    }
}

/// The rule that was broken, if one was.
pub fn rule(error: &StreamError) -> Option<PolicyRule> {
    match net_error(error)? {
        NetError::Policy { rule, .. } => Some(*rule),
        _ => None,
    }
}

/// Lets the caller's own URL look as if its address were public: the one fact that loopback cannot have. Everything that
/// follows from it is the real client's doing.
pub struct FarAway {
    inner: Arc<dyn Net>,
    /// And as if it had come over TLS.
    secure: bool,
}

impl FarAway {
    /// A home that is far away, and reached by its name.
    pub fn net(names: &Arc<Names>, secure: bool) -> Arc<dyn Net> {
        let mut options = NetOptions::default();
        options.resolver = Some(names.clone());
        // Home itself is on loopback, and so is what it may refer to.
        options.allowed_hosts = vec![HOME.to_owned()];
        // Whether a refusal is final is not asked here; a name that nobody knows would be looked up again.
        let inner = Arc::new(HttpClient::new(options).expect("a client"));
        Arc::new(Self { inner, secure })
    }
}

#[async_trait]
impl Net for FarAway {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let (is_callers, mut url) = (request.zone.is_none(), request.url.clone());
        let mut response = self.inner.fetch(request).await?;
        if self.secure {
            url.set_scheme("https").expect("a scheme like the other");
        }
        if is_callers {
            response.head.zone = Zone::new(AddressClass::Public, &url);
        }
        Ok(response)
    }
}

/// Resolves names as told, one address after the other; anything else is unknown.
pub struct Names {
    known: Vec<(&'static str, Vec<IpAddr>)>,
    asked: AtomicUsize,
    pub strangers: Mutex<Vec<String>>,
}

impl Names {
    /// `HOME`, and these.
    pub fn new(known: &[(&'static str, &[&str])]) -> Arc<Self> {
        let parse = |text: &&str| text.parse().expect("an address");
        let home = (HOME, vec![IpAddr::from([127, 0, 0, 1])]);
        let known = known
            .iter()
            .map(|(name, addresses)| (*name, addresses.iter().map(parse).collect()));
        Arc::new(Self {
            known: std::iter::once(home).chain(known).collect(),
            asked: AtomicUsize::new(0),
            strangers: Mutex::default(),
        })
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let name = host.trim_end_matches('.');
        let Some((_, addresses)) = self.known.iter().find(|(known, _)| *known == name) else {
            let mut strangers = self.strangers.lock().expect("no panic");
            strangers.push(host.to_owned());
            return Err(io::ErrorKind::NotFound.into());
        };
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut addresses = addresses.clone();
        let first = turn % addresses.len();
        addresses.rotate_left(first);
        Ok(addresses)
    }
}

/// A port of loopback, on all of its addresses, that nobody may ever connect to.
pub struct Canary {
    listeners: Vec<TcpListener>,
    pub port: u16,
}

impl Canary {
    pub fn start() -> Self {
        let first = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = first.local_addr().expect("it is bound").port();
        // Where there is no IPv6, nobody can go there either.
        let second = TcpListener::bind(("::1", port)).ok();
        let listeners: Vec<_> = std::iter::once(first).chain(second).collect();
        for listener in &listeners {
            listener.set_nonblocking(true).expect("a socket that can");
        }
        Self { listeners, port }
    }

    /// Who connected, if anybody has.
    pub fn visitor(&self) -> Option<SocketAddr> {
        let mut accepted = self.listeners.iter().map(TcpListener::accept);
        accepted.find_map(|came| Some(came.ok()?.1))
    }
}
