//! The real client: routes, redirects and refreshes around single hops.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::StreamExt;
use reqwest::Version;
use reqwest::header::{self, HeaderMap};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::accept::Received;
use crate::address::AddressClass;
use crate::body::Body;
use crate::classify;
use crate::error::{NetError, TimeoutPhase};
use crate::exchange::{self, Hop};
use crate::headers::{Headers, Origin, take_credentials};
use crate::icy::{self, Icy, NotIcy, RawBody};
use crate::net::Net;
use crate::observer::NetEvent;
use crate::options::{HookRequest, NetOptions, Refreshed};
use crate::policy::{self, Grants, PolicyRule, Zone};
use crate::pool::Pool;
use crate::redact::RedactedUrl;
use crate::request::{Method, Purpose, Request};
use crate::response::Response;
use crate::routes::{Route, Routes, Target};
use crate::stall::Timed;
use crate::verify::Verified;

/// The most redirects that options may allow, for one request and for one open.
const MAX_REDIRECTS: u32 = 20;
const MAX_REDIRECTS_PER_OPEN: u32 = 100;

/// An HTTP/1.1 and HTTP/2 client for byte ranges. Cheap to clone; clones share connections.
///
/// It follows redirects itself and asks the policy about every hop, sends a caller's headers to their origin only,
/// keeps no cookies, decodes nothing, and times what it waits for. A request that finds its pooled connection closed
/// is sent once more, unseen. Anything else that fails is an error: [`RetryNet`](crate::RetryNet) tries again.
///
/// Wants a tokio runtime with time and I/O around its futures. Not for the audio thread.
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    grants: Grants,
    /// Every request of the client reads and teaches it, on whatever task it runs; held for a look-up, never across
    /// an await.
    routes: Mutex<Routes>,
}

/// A response, and where it came from.
struct Arrived {
    response: Response,
    target: Option<Target>,
}

/// A response, taken apart.
struct Wire {
    status: u16,
    version: Version,
    headers: HeaderMap,
    body_length: Option<u64>,
    body: RawBody,
}

impl HttpClient {
    /// A client with these options. Fails with [`NetError::Client`] where they cannot be met: an unreadable
    /// certificate, an unknown kind of proxy. No connection is made.
    pub fn new(options: NetOptions) -> Result<Self, NetError> {
        let hosts = options
            .allowed_hosts
            .iter()
            .map(|host| policy::normal_name(host))
            .collect();
        let downgrade = options.allow_downgrade;
        let pool = Pool::new(options)?;
        let grants = Grants {
            hosts,
            proxies: pool.proxy_hosts().to_vec(),
            downgrade,
            folders: Vec::new(),
        };
        let routes = Mutex::default();
        Ok(Self {
            shared: Arc::new(Shared {
                pool,
                grants,
                routes,
            }),
        })
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("options", self.shared.pool.options())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Net for HttpClient {
    async fn fetch(&self, mut request: Request) -> Result<Response, NetError> {
        // The field is public: a URL may have been put there after `Request::get` cleaned its own.
        if let Some(found) = take_credentials(&mut request.url) {
            request.credentials = Some(found);
        }
        self.shared.fetch(&request).await
    }
}

impl Shared {
    /// Fetches by the remembered route; looks it up again, and asks for a refresh, where access is refused.
    async fn fetch(&self, request: &Request) -> Result<Response, NetError> {
        let mut route = self.routes().find(&request.url, Instant::now());
        let mut refreshed = false;
        loop {
            let error = match self.follow(request, &route).await {
                Ok(Arrived { response, target }) => {
                    let route = Route {
                        target,
                        worked: true,
                        ..route
                    };
                    self.routes().learn(&request.url, route, Instant::now());
                    return Ok(response);
                }
                Err(error) => error,
            };
            let status = match &error {
                NetError::Http { status, .. } => *status,
                NetError::Dns { .. } | NetError::Connect { .. } | NetError::Timeout { .. } => {
                    self.routes().forget_target(&request.url);
                    return Err(error);
                }
                _ => return Err(error),
            };
            // Stores of signed URLs say many things of one that expired.
            let refused = matches!(status, 400..=499) && !matches!(status, 407 | 408 | 416 | 429);
            if refused
                && route.target.is_some()
                && self.routes().may_reresolve(&request.url, Instant::now())
            {
                route.target = None;
                continue;
            }
            if !matches!(status, 401 | 403) {
                return Err(error);
            }
            let fresh = if refreshed {
                None
            } else {
                self.refresh(request, status).await
            };
            match fresh {
                Some(fresh) => {
                    refreshed = true;
                    route.source = Some(fresh);
                    route.target = None;
                }
                None if refreshed || route.worked => {
                    if refreshed {
                        self.routes().not_renewed(&request.url, Instant::now());
                    }
                    let url = request.redacted();
                    return Err(NetError::Expired { url, status });
                }
                None => return Err(error),
            }
        }
    }

    /// Another access, if the caller's hook has one. Who had none a moment ago is not asked.
    async fn refresh(&self, request: &Request, status: u16) -> Option<Refreshed> {
        let hook = self.pool.options().hook.as_ref()?;
        if !self.routes().may_renew(&request.url, Instant::now()) {
            return None;
        }
        let about = HookRequest {
            url: request.url.clone(),
            purpose: request.purpose,
        };
        let Some(mut fresh) = hook.refresh(&about, status).await else {
            self.routes().not_renewed(&request.url, Instant::now());
            return None;
        };
        take_credentials(&mut fresh.url);
        Some(fresh)
    }

    /// Goes from the start of a route to the response, hop by hop.
    async fn follow(&self, request: &Request, route: &Route) -> Result<Arrived, NetError> {
        let source = route.source.as_ref();
        let headers = source.map_or(&request.headers, |source| &source.headers);
        let mut hop = match (&route.target, source) {
            (Some(target), _) => Hop {
                url: target.url.clone(),
                zone: Some(target.zone),
                headers: (!target.crossed).then(|| headers.clone()),
            },
            // The hook is the caller's: its word is as good.
            (None, Some(source)) => first_hop(&source.url, None, headers),
            (None, None) => first_hop(&request.url, request.zone, headers),
        };
        let options = self.pool.options();
        let allowed = options.max_redirects.min(MAX_REDIRECTS);
        let per_open = options.max_redirects_per_open.min(MAX_REDIRECTS_PER_OPEN);
        let mut followed = 0;
        loop {
            let received = exchange::send(&self.pool, &self.grants, request, &hop).await?;
            let zone = self.check_peer(&received, &hop)?;
            let Some(location) = redirect_target(&received, &hop.url)? else {
                let target = (followed > 0).then(|| Target {
                    url: hop.url.clone(),
                    zone,
                    crossed: hop.headers.is_none(),
                });
                let target = target.or_else(|| route.target.clone());
                let wire = self.unwrapped(received, &hop.url).await?;
                let response = self.accept(request, wire, &hop.url, zone)?;
                return Ok(Arrived { response, target });
            };
            if followed == allowed || !request.redirects.follow(per_open, Instant::now()) {
                let (url, rule) = (RedactedUrl::new(&location), PolicyRule::Redirects);
                return Err(NetError::Policy { url, rule });
            }
            followed += 1;
            hop = next_hop(hop, location, zone);
            let to = RedactedUrl::new(&hop.url);
            tracing::debug!(target: "kithara_net", %to, "redirected");
            request.observer.report(&NetEvent::Redirected { to });
        }
    }

    /// The second half of the connect hook: whom the connection in fact reached. Yields the zone of what it sends.
    fn check_peer(&self, received: &reqwest::Response, hop: &Hop) -> Result<Zone, NetError> {
        let peer = received.remote_addr().filter(|_| !self.pool.has_proxy());
        // Through a proxy the address stays unknown unless the URL states it.
        let class = peer
            .map(|peer| AddressClass::of(peer.ip()))
            .or_else(|| policy::known_class(&hop.url));
        policy::judge_peer(&hop.url, hop.zone, class, &self.grants).map_err(|rule| {
            NetError::Policy {
                url: RedactedUrl::new(&hop.url),
                rule,
            }
        })
    }

    /// A response taken apart, whichever way it came.
    async fn unwrapped(&self, received: reqwest::Response, from: &Url) -> Result<Wire, NetError> {
        let (status, version) = (received.status().as_u16(), received.version());
        if version != Version::HTTP_09 {
            return Ok(Wire {
                status,
                version,
                headers: received.headers().clone(),
                body_length: received.content_length(),
                body: Box::pin(received.bytes_stream()),
            });
        }
        let url = RedactedUrl::new(from);
        let reading = icy::unwrap(Box::pin(received.bytes_stream()));
        match timeout(self.pool.options().timeouts.first_byte, reading).await {
            Ok(Ok(Icy {
                status,
                headers,
                body,
            })) => Ok(Wire {
                status,
                version,
                headers,
                body_length: None,
                body,
            }),
            Ok(Err(NotIcy::Garbage)) => Err(NetError::Headers {
                url,
                what: "not HTTP",
            }),
            Ok(Err(NotIcy::Interleaved)) => Err(NetError::Unsupported {
                url,
                what: "metadata mixed into the audio",
            }),
            Ok(Err(NotIcy::Failed(error))) => Err(classify::body_error(error, url)),
            Err(_) => Err(NetError::Timeout {
                url,
                phase: TimeoutPhase::FirstByte,
            }),
        }
    }

    fn accept(
        &self,
        request: &Request,
        wire: Wire,
        url: &Url,
        zone: Zone,
    ) -> Result<Response, NetError> {
        let facts = Received {
            status: wire.status,
            version: wire.version,
            headers: &wire.headers,
            body_length: wire.body_length.filter(|_| request.method == Method::Get),
            url,
            zone,
            now: SystemTime::now(),
        };
        let head = facts.accept(request)?;
        tracing::debug!(target: "kithara_net", url = %head.final_url, status = head.status, "response");
        if request.method == Method::Head {
            let body = Body::empty();
            return Ok(Response { head, body });
        }
        let url = head.final_url.clone();
        let bytes = wire.body.map({
            let url = url.clone();
            move |chunk| chunk.map_err(|error| classify::body_error(error, url.clone()))
        });
        let timed = Timed::wrap(Body::from_stream(bytes), url, &self.pool.options().timeouts);
        let body = Verified::wrap(timed, &head, request.purpose == Purpose::Media);
        Ok(Response { head, body })
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first_hop(url: &Url, zone: Option<Zone>, headers: &Headers) -> Hop {
    Hop {
        url: url.clone(),
        zone,
        headers: Some(headers.clone()),
    }
}

/// The hop a redirect leads to. The caller's headers are gone for good once an origin was left: a stranger must not
/// get to choose which of the caller's URLs they are sent to.
fn next_hop(from: Hop, mut to: Url, zone: Zone) -> Hop {
    take_credentials(&mut to);
    let same_origin = Origin::of(&from.url) == Origin::of(&to);
    Hop {
        url: to,
        zone: Some(zone),
        headers: from.headers.filter(|_| same_origin),
    }
}

/// Where a response redirects to, if it does.
fn redirect_target(received: &reqwest::Response, from: &Url) -> Result<Option<Url>, NetError> {
    if !matches!(received.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = received.headers().get(header::LOCATION) else {
        return Ok(None);
    };
    let text = location.to_str().ok();
    text.and_then(|text| from.join(text).ok())
        .map(Some)
        .ok_or_else(|| NetError::Headers {
            url: RedactedUrl::new(from),
            what: "a Location that is no URL",
        })
}
