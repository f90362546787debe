//! What is asked for.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use crate::access::Access;
use crate::headers::{Credentials, Headers, take_credentials};
use crate::observer::Observer;
use crate::policy::Zone;
use crate::redact::RedactedUrl;
use crate::redirects::Redirects;
use crate::response::Etag;

/// The request method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Headers and body.
    #[default]
    Get,
    /// Headers only. Nothing in this crate needs it.
    Head,
}

/// What the bytes are for; it decides what content is acceptable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Audio. Encoded content, web pages and playlists are refused.
    #[default]
    Media,
    /// A playlist.
    Playlist,
    /// A decryption key.
    Key,
}

/// A range of bytes of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RangeSpec {
    /// The first byte.
    pub start: u64,
    /// One past the last byte, or `None` for all that follows. An empty range (`end <= start`) is treated as one byte.
    pub end: Option<u64>,
}

impl RangeSpec {
    /// Everything from `start` on.
    pub fn from(start: u64) -> Self {
        Self { start, end: None }
    }

    /// The bytes `start..end`.
    pub fn new(start: u64, end: u64) -> Self {
        Self {
            start,
            end: Some(end),
        }
    }

    /// The value of a `Range` header (RFC 9110 §14.1.2), whose last byte is inclusive.
    pub(crate) fn header(&self) -> String {
        match self.end {
            Some(end) => format!(
                "bytes={}-{}",
                self.start,
                end.saturating_sub(1).max(self.start)
            ),
            None => format!("bytes={}-", self.start),
        }
    }
}

/// What proves that a resource is still the same (RFC 9110 §13.1.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Validator {
    /// An entity tag; only a strong one can guard a range.
    Etag(Etag),
    /// A `Last-Modified` date, as the server wrote it.
    LastModified(String),
}

/// What is left of the retries, where several requests share them because they are for the same resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempts {
    /// How many have failed without a byte in between before this request: back-off and limits count on from here.
    pub spent: u32,
    /// The count at which this request gives up, should the policy not give up before. The request itself is always
    /// made.
    pub until: u32,
    /// How long somebody has waited through these failures already: it counts against the budget of time.
    pub waited: Duration,
}

impl Default for Attempts {
    /// Nothing has failed, and only the policy gives up.
    fn default() -> Self {
        Self {
            spent: 0,
            until: u32::MAX,
            waited: Duration::ZERO,
        }
    }
}

/// One request. Made by [`get`](Self::get) or [`head`](Self::head), completed by the `with_` methods.
///
/// User and password in the URL are moved out of it at once: they become an `Authorization` header for that origin.
#[derive(Clone)]
#[non_exhaustive]
pub struct Request {
    /// Where from. The caller's own word, unless [`zone`](Self::zone) says that a document named it.
    pub url: Url,
    /// How.
    pub method: Method,
    /// Which bytes; all of them if `None`.
    pub range: Option<RangeSpec>,
    /// Send the range only if the resource still has this validator; otherwise the whole of it comes (status 200).
    pub if_range: Option<Validator>,
    /// Headers for the origin of [`url`](Self::url) only: a redirect to another origin drops all of them.
    pub headers: Headers,
    /// What for.
    pub purpose: Purpose,
    /// The zone of the document that named the URL; `None` if the caller did, who may name any address.
    pub zone: Option<Zone>,
    /// Who wants to hear what happens.
    pub observer: Observer,
    /// What [`RetryNet`](crate::RetryNet) may spend on it.
    pub attempts: Attempts,
    /// What the resource it is for has been redirected.
    pub redirects: Redirects,
    /// What the open it belongs to knows of the user and password in the caller's own URL.
    pub access: Access,
    pub(crate) credentials: Option<Credentials>,
    /// No connection of before this moment is to be used: one of them fell silent.
    pub(crate) connected_since: Option<Instant>,
}

impl Request {
    /// Asks for all bytes of `url`, as media.
    pub fn get(mut url: Url) -> Self {
        let credentials = take_credentials(&mut url);
        Self {
            url,
            method: Method::Get,
            range: None,
            if_range: None,
            headers: Headers::new(),
            purpose: Purpose::Media,
            zone: None,
            observer: Observer::default(),
            attempts: Attempts::default(),
            redirects: Redirects::new(),
            access: Access::new(),
            credentials,
            connected_since: None,
        }
    }

    /// Asks for the headers of `url`.
    pub fn head(url: Url) -> Self {
        Self {
            method: Method::Head,
            ..Self::get(url)
        }
    }

    /// Asks for these bytes only.
    pub fn with_range(mut self, range: RangeSpec) -> Self {
        self.range = Some(range);
        self
    }

    /// Asks for the range only while the resource has this validator. A weak entity tag is not sent.
    pub fn with_if_range(mut self, validator: Option<Validator>) -> Self {
        self.if_range = validator;
        self
    }

    /// Sends these headers to the origin of the URL.
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// States what the bytes are for.
    pub fn with_purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    /// States that a document of this zone named the URL, so that the policy is stricter.
    pub fn with_zone(mut self, zone: Option<Zone>) -> Self {
        self.zone = zone;
        self
    }

    /// Lets it spend no more than this on retries.
    pub fn with_attempts(mut self, attempts: Attempts) -> Self {
        self.attempts = attempts;
        self
    }

    /// Counts the redirects it follows with those of the other requests for the resource.
    pub fn with_redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// Shares the user and password of the caller's own URL with the other requests of the open it belongs to.
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Tells `observer` what happens.
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.observer = observer;
        self
    }

    /// The URL as it may be printed.
    pub fn redacted(&self) -> RedactedUrl {
        RedactedUrl::new(&self.url)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("url", &self.redacted())
            .field("method", &self.method)
            .field("range", &self.range)
            .field("purpose", &self.purpose)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}
