//! One request over the wire and the headers of its response: a single hop.

use std::pin::pin;

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::classify;
use crate::connect::{ConnectWatch, Connecting};
use crate::error::{NetError, TimeoutPhase};
use crate::headers::{Credentials, Headers, Origin};
use crate::observer::NetEvent;
use crate::options::HookRequest;
use crate::policy::{self, Grants, Zone};
use crate::pool::Pool;
use crate::redact::RedactedUrl;
use crate::request::{Method, Request, Validator};

/// Fields that describe the request itself: ours to set, or nobody's.
const RESERVED: [HeaderName; 11] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::IF_RANGE,
    header::RANGE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("icy-metadata"),
];

/// Where a request goes next, and what may go with it.
#[derive(Clone)]
pub(crate) struct Hop {
    pub url: Url,
    /// `None` if the caller named the URL.
    pub zone: Option<Zone>,
    /// The caller's headers for this hop; `None` once another origin was on the way.
    pub headers: Option<Headers>,
}

/// Sends `request` to `hop`. Fails without any effect where the policy forbids it.
pub(crate) async fn send(
    pool: &Pool,
    grants: &Grants,
    request: &Request,
    hop: &Hop,
) -> Result<reqwest::Response, NetError> {
    let url = RedactedUrl::new(&hop.url);
    policy::judge(&hop.url, hop.zone, request.purpose, grants).map_err(|rule| {
        NetError::Policy {
            url: url.clone(),
            rule,
        }
    })?;
    let floor = hop
        .zone
        .filter(|_| !grants.names(&hop.url))
        .map(|zone| zone.floor());
    let client = &pool.client(floor, request.connected_since)?;
    let mut free_retry = true;
    loop {
        let wire = wire_request(pool, client, request, hop)?;
        request.observer.report(&NetEvent::RequestSent {
            url: url.clone(),
            range: request.range,
        });
        tracing::debug!(target: "kithara_net", %url, range = ?request.range, "request");
        match exchange(pool, client, wire).await {
            Ok(response) => return Ok(response),
            Err(Failure::TimedOut) => {
                let phase = TimeoutPhase::FirstByte;
                return Err(NetError::Timeout { url, phase });
            }
            Err(Failure::Lost) if free_retry => free_retry = false,
            Err(Failure::Lost) => {
                let source = Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
                return Err(NetError::Broken { url, source });
            }
            Err(Failure::Failed(error)) => return Err(classify::request_error(error, url)),
        }
    }
}

enum Failure {
    /// The headers did not come in time.
    TimedOut,
    /// A connection that had been used before was gone before a byte came back.
    Lost,
    Failed(reqwest::Error),
}

async fn exchange(
    pool: &Pool,
    client: &reqwest::Client,
    wire: reqwest::Request,
) -> Result<reqwest::Response, Failure> {
    let limit = pool.options().timeouts.first_byte;
    let watch = ConnectWatch::default();
    let mut sending = pin!(watch.over(client.execute(wire)));
    let started = Instant::now();
    loop {
        // While connecting, the connect limit counts; it ends `sending` by itself.
        let deadline = match watch.state() {
            Connecting::NotNeeded => started + limit,
            Connecting::Now => Instant::now() + limit,
            Connecting::Done(at) => at + limit,
        };
        match timeout_at(deadline, sending.as_mut()).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => {
                // A request may ask for a connection and then be given one that another body has just returned: what
                // is still being made cannot be what was lost.
                let reused = !matches!(watch.state(), Connecting::Done(_));
                return Err(match reused && classify::is_lost_connection(&error) {
                    true => Failure::Lost,
                    false => Failure::Failed(error),
                });
            }
            Err(_) => match watch.state() {
                Connecting::Now => {}
                Connecting::Done(at) if at + limit > Instant::now() => {}
                _ => return Err(Failure::TimedOut),
            },
        }
    }
}

fn wire_request(
    pool: &Pool,
    client: &reqwest::Client,
    request: &Request,
    hop: &Hop,
) -> Result<reqwest::Request, NetError> {
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
    };
    let mut headers = caller_headers(pool, request, hop);
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    if let Some(range) = request.range {
        headers.insert(header::RANGE, header_value(&range.header())?);
        let guard = match &request.if_range {
            // RFC 9110 §13.1.5: a weak tag must not be sent.
            Some(Validator::Etag(etag)) => Some(etag.as_str()).filter(|_| etag.is_strong()),
            Some(Validator::LastModified(date)) => Some(date.as_str()),
            None => None,
        };
        if let Some(guard) = guard {
            headers.insert(header::IF_RANGE, header_value(guard)?);
        }
    }
    let mut builder = client.request(method, hop.url.clone());
    if let Some(credentials) = credentials(request, hop)
        && !headers.contains_key(header::AUTHORIZATION)
    {
        builder = builder.basic_auth(&credentials.user, credentials.password.as_ref());
    }
    builder
        .headers(headers)
        .build()
        .map_err(|error| NetError::Client(Box::new(error.without_url())))
}

/// User and password for this hop: those of the URL itself, else those of the URL that the caller opened, if they are of the same
/// origin. A stranger that redirects gets neither, and cannot send us back with them.
fn credentials(request: &Request, hop: &Hop) -> Option<Credentials> {
    let own = request.credentials.as_ref();
    if let Some(own) = own.filter(|_| request.zone.is_none()) {
        request.access.remember(own);
    }
    hop.headers.as_ref()?;
    let origin = Origin::of(&hop.url)?;
    let own = own.filter(|own| own.origin == origin).cloned();
    own.or_else(|| request.access.at(&origin))
}

/// What the caller wants sent to the origin of this hop: the table, then the hook, then the request itself.
fn caller_headers(pool: &Pool, request: &Request, hop: &Hop) -> HeaderMap {
    let options = pool.options();
    let mut headers = Headers::new();
    let origin = Origin::of(&hop.url);
    for (_, of_origin) in options
        .headers
        .iter()
        .filter(|(owner, _)| origin.as_ref() == Some(owner))
    {
        headers.extend(of_origin);
    }
    if let Some(hook) = &options.hook {
        headers.extend(&hook.headers(&HookRequest {
            url: hop.url.clone(),
            purpose: request.purpose,
        }));
    }
    if let Some(own) = &hop.headers {
        headers.extend(own);
    }
    let mut map = headers.as_map().clone();
    for name in &RESERVED {
        map.remove(name);
    }
    map
}

fn header_value(text: &str) -> Result<HeaderValue, NetError> {
    HeaderValue::from_str(text).map_err(|_| NetError::InvalidHeader {
        name: "if-range".to_owned(),
    })
}
