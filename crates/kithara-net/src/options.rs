//! What the caller decides about a client.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::headers::{Headers, Origin};
use crate::redact::RedactedUrl;
use crate::request::Purpose;

/// How long each phase of a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution, TCP and TLS together: 10 s.
    pub connect: Duration,
    /// From then until the response headers: 10 s.
    pub first_byte: Duration,
    /// Without a byte of the body, counted only while somebody waits for one: 10 s.
    pub stall: Duration,
    /// The slowest body that is still acceptable: 1 KiB in 60 s. A body below it fails and is not asked for again.
    pub throughput: Option<ThroughputFloor>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let limit = Duration::from_secs(10);
        Self {
            connect: limit,
            first_byte: limit,
            stall: limit,
            throughput: Some(ThroughputFloor {
                bytes: 1024,
                window: Duration::from_secs(60),
            }),
        }
    }
}

/// A body that brings fewer bytes than this over its window, counted in time that somebody waits, has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThroughputFloor {
    /// The bytes that must come in each window.
    pub bytes: u64,
    /// The window.
    pub window: Duration,
}

/// Through what to connect.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxy {
    /// Nothing. Environment variables are not looked at.
    #[default]
    Direct,
    /// What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say when the client is built.
    Environment,
    /// This proxy for everything: an http, https, socks5 or socks5h URL, with user and password if it needs them.
    Url(Url),
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("Direct"),
            Self::Environment => f.write_str("Environment"),
            Self::Url(url) => f.debug_tuple("Url").field(&RedactedUrl::new(url)).finish(),
        }
    }
}

/// Which certificate authorities are trusted. Verification itself cannot be switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// Those of the operating system.
    #[default]
    Platform,
    /// Those of the operating system and these certificates, each PEM or DER.
    PlatformAnd(Vec<Vec<u8>>),
    /// These certificates only, each PEM or DER.
    Only(Vec<Vec<u8>>),
}

/// Turns host names into addresses. What it returns is still subject to the policy.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of `host`, in order of preference.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// What a [`HeaderHook`] is asked about. The URL is the full one: the hook belongs to the caller.
#[derive(Clone)]
#[non_exhaustive]
pub struct HookRequest {
    /// The URL about to be asked for.
    pub url: Url,
    /// What for.
    pub purpose: Purpose,
}

impl fmt::Debug for HookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookRequest")
            .field("url", &RedactedUrl::new(&self.url))
            .field("purpose", &self.purpose)
            .finish()
    }
}

/// A new way to the same resource, from a [`HeaderHook`].
#[derive(Clone)]
pub struct Refreshed {
    /// The URL to use from now on.
    pub url: Url,
    /// Headers for its origin, instead of those of the request.
    pub headers: Headers,
}

impl fmt::Debug for Refreshed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refreshed")
            .field("url", &RedactedUrl::new(&self.url))
            .field("headers", &self.headers)
            .finish()
    }
}

/// The caller's say on each request.
#[async_trait]
pub trait HeaderHook: Send + Sync + 'static {
    /// Headers for this request, each hop of a redirect included; the URL tells to whom they go. Must not block.
    fn headers(&self, request: &HookRequest) -> Headers {
        let _ = request;
        Headers::new()
    }

    /// Asked once when a request was refused with `status` 401 or 403: a new URL and headers, or `None` to give up. If that did not
    /// help, not again about the same URL for ten seconds.
    async fn refresh(&self, request: &HookRequest, status: u16) -> Option<Refreshed> {
        let _ = (request, status);
        None
    }
}

/// How a client behaves. Start from the default and change fields.
#[derive(Clone)]
#[non_exhaustive]
pub struct NetOptions {
    /// The `User-Agent`.
    pub user_agent: String,
    /// Clocks.
    pub timeouts: Timeouts,
    /// Headers by origin. They are sent there and nowhere else.
    pub headers: Vec<(Origin, Headers)>,
    /// The caller's say on each request.
    pub hook: Option<Arc<dyn HeaderHook>>,
    /// Through what to connect.
    pub proxy: Proxy,
    /// Whom to trust.
    pub roots: Roots,
    /// Instead of the system's name resolution.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// Hosts that redirects and documents may refer to whatever their address.
    pub allowed_hosts: Vec<String>,
    /// Whether https may lead to http.
    pub allow_downgrade: bool,
    /// A connection that nobody has used for so long is closed, at the latest after twice that: 15 s.
    pub idle: Duration,
    /// Redirects one request may take: 5, at most 20.
    pub max_redirects: u32,
    /// Redirects the requests of one resource may take together, from its opening on: 20, at most 100. Each minute allows one
    /// more. A file is one resource, and so is each segment of a stream.
    pub max_redirects_per_open: u32,
    /// Speak HTTP/2 without TLS and without asking. For servers known to.
    pub http2_prior_knowledge: bool,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("kithara/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts::default(),
            headers: Vec::new(),
            hook: None,
            proxy: Proxy::Direct,
            roots: Roots::Platform,
            resolver: None,
            allowed_hosts: Vec::new(),
            allow_downgrade: false,
            idle: Duration::from_secs(15),
            max_redirects: 5,
            max_redirects_per_open: 20,
            http2_prior_knowledge: false,
        }
    }
}

impl fmt::Debug for NetOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetOptions")
            .field("user_agent", &self.user_agent)
            .field("timeouts", &self.timeouts)
            .field("headers", &self.headers)
            .field("proxy", &self.proxy)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allow_downgrade", &self.allow_downgrade)
            .field("idle", &self.idle)
            .field("max_redirects", &self.max_redirects)
            .field("max_redirects_per_open", &self.max_redirects_per_open)
            .field("http2_prior_knowledge", &self.http2_prior_knowledge)
            .finish_non_exhaustive()
    }
}
