//! Connections, kept apart by what may be connected to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, NoProxy, redirect, retry};
use tokio::time::Instant;
use url::Url;

use crate::accept::{MAX_HEADER_BYTES, MAX_HEADERS};
use crate::address::AddressClass;
use crate::connect::WatchLayer;
use crate::error::NetError;
use crate::options::{NetOptions, Proxy, Resolver, Roots};
use crate::policy::host_name;
use crate::resolve::{Guarded, SystemResolver};

/// What an aborted HTTP/2 response may still send.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A connection that died in its sleep must be out of the pool before a request on it times out and is repeated. Only
/// while a stream is open: an idle connection causes no wake-ups.
const PING_EVERY: Duration = Duration::from_secs(4);

/// One client per lowest allowed address class, so that a connection which the caller's own URL opened into a private
/// network is never reused for a URL that somebody else named.
#[derive(Debug)]
pub(crate) struct Pool {
    options: NetOptions,
    proxies: Vec<reqwest::Proxy>,
    proxy_hosts: Arc<[String]>,
    /// For what the caller named, then by floor, built when needed. Every request takes one, on whatever task it runs;
    /// held for a look-up, and at times for building one.
    clients: Mutex<[Option<Built>; 4]>,
}

#[derive(Debug)]
struct Built {
    client: Client,
    at: Instant,
}

impl Pool {
    pub fn new(options: NetOptions) -> Result<Self, NetError> {
        let (proxies, hosts) = proxies(&options.proxy)?;
        let proxy_hosts: Arc<[String]> = hosts.into();
        let pool = Self {
            options,
            proxies,
            proxy_hosts,
            clients: Mutex::default(),
        };
        // Options that cannot be met are found out now.
        pool.client(None, None)?;
        Ok(pool)
    }

    /// The client that connects to nothing below `floor`, and none of whose connections is older than `since`: where the
    /// network went away without a word, every idle connection is as dead as the one that was noticed.
    pub fn client(
        &self,
        floor: Option<AddressClass>,
        since: Option<Instant>,
    ) -> Result<Client, NetError> {
        let slot = match floor {
            None => 0,
            Some(AddressClass::Metadata | AddressClass::Local) => 1,
            Some(AddressClass::Private) => 2,
            Some(AddressClass::Public) => 3,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = &clients[slot]
            && since.is_none_or(|since| built.at > since)
        {
            return Ok(built.client.clone());
        }
        let client = build(&self.options, &self.proxies, &self.proxy_hosts, floor)?;
        // The one before drops its idle connections once the bodies that still come over it are done.
        clients[slot] = Some(Built {
            client: client.clone(),
            at: Instant::now(),
        });
        Ok(client)
    }

    pub fn options(&self) -> &NetOptions {
        &self.options
    }

    /// Whether the peer of a connection may be a proxy instead of the host of the URL.
    pub fn has_proxy(&self) -> bool {
        !self.proxies.is_empty()
    }

    pub fn proxy_hosts(&self) -> &[String] {
        &self.proxy_hosts
    }
}

fn build(
    options: &NetOptions,
    proxies: &[reqwest::Proxy],
    proxy_hosts: &Arc<[String]>,
    floor: Option<AddressClass>,
) -> Result<Client, NetError> {
    let resolver: Arc<dyn Resolver> = options
        .resolver
        .clone()
        .unwrap_or_else(|| Arc::new(SystemResolver));
    let mut builder = Client::builder()
        .user_agent(&options.user_agent)
        .connect_timeout(options.timeouts.connect)
        .pool_idle_timeout(options.idle)
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .no_proxy()
        .connector_layer(WatchLayer)
        .http1_max_headers(MAX_HEADERS)
        // Only so that `icy` gets to see such responses; all others of that version are refused there.
        .http09_responses()
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADER_BYTES as u32)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_EVERY)
        .dns_resolver(Arc::new(Guarded {
            inner: resolver,
            floor,
            exempt: Arc::clone(proxy_hosts),
        }));
    for proxy in proxies {
        builder = builder.proxy(proxy.clone());
    }
    if options.http2_prior_knowledge {
        builder = builder.http2_prior_knowledge();
    }
    with_roots(builder, &options.roots)?.build().map_err(failed)
}

fn with_roots(builder: ClientBuilder, roots: &Roots) -> Result<ClientBuilder, NetError> {
    let parse = |certificates: &[Vec<u8>]| {
        let parsed: Result<Vec<_>, _> = certificates
            .iter()
            .map(|bytes| match bytes.starts_with(b"-----") {
                true => Certificate::from_pem(bytes),
                false => Certificate::from_der(bytes),
            })
            .collect();
        parsed.map_err(failed)
    };
    Ok(match roots {
        Roots::Platform => builder,
        Roots::PlatformAnd(certificates) => builder.tls_certs_merge(parse(certificates)?),
        Roots::Only(certificates) => builder.tls_certs_only(parse(certificates)?),
    })
}

/// The proxies to use, and their host names.
fn proxies(choice: &Proxy) -> Result<(Vec<reqwest::Proxy>, Vec<String>), NetError> {
    let mut proxies = Vec::new();
    let mut hosts = Vec::new();
    match choice {
        Proxy::Direct => {}
        Proxy::Url(url) => {
            hosts.extend(host_name(url));
            proxies.push(reqwest::Proxy::all(url.clone()).map_err(failed)?);
        }
        Proxy::Environment => {
            let none = NoProxy::from_env();
            // A CGI server sets HTTP_PROXY from a header of its client.
            let is_cgi = std::env::var_os("REQUEST_METHOD").is_some();
            if let Some(url) = environment("http_proxy", !is_cgi) {
                hosts.extend(host_name(&url));
                proxies.push(
                    reqwest::Proxy::http(url)
                        .map_err(failed)?
                        .no_proxy(none.clone()),
                );
            }
            if let Some(url) = environment("https_proxy", true) {
                hosts.extend(host_name(&url));
                proxies.push(
                    reqwest::Proxy::https(url)
                        .map_err(failed)?
                        .no_proxy(none.clone()),
                );
            }
            if let Some(url) = environment("all_proxy", true) {
                hosts.extend(host_name(&url));
                proxies.push(reqwest::Proxy::all(url).map_err(failed)?.no_proxy(none));
            }
        }
    }
    Ok((proxies, hosts))
}

/// The URL in an environment variable, in lower or, if allowed, upper case; a bare `host:port` is an http proxy.
fn environment(name: &str, upper_too: bool) -> Option<Url> {
    let upper = || {
        std::env::var(name.to_ascii_uppercase())
            .ok()
            .filter(|_| upper_too)
    };
    let value = std::env::var(name)
        .ok()
        .or_else(upper)
        .filter(|value| !value.is_empty())?;
    match Url::parse(&value) {
        Ok(url) if url.has_host() => Some(url),
        _ => Url::parse(&format!("http://{value}")).ok(),
    }
}

fn failed(error: reqwest::Error) -> NetError {
    NetError::Client(Box::new(error.without_url()))
}
