//! Why a request or a body failed, one variant per decision a caller can take.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::policy::PolicyRule;
use crate::redact::RedactedUrl;

/// The error below, its URL removed.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Which clock ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutPhase {
    /// Name resolution, TCP and TLS together.
    Connect,
    /// From the request until the response headers.
    FirstByte,
    /// No byte of the body while one was waited for.
    Stall,
    /// Fewer bytes than the floor over its whole window.
    Throughput,
    /// Nothing new in a live playlist.
    Live,
}

impl fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::FirstByte => "waiting for the response",
            Self::Stall => "waiting for more of the body",
            Self::Throughput => "the body came too slowly",
            Self::Live => "waiting for more of a live stream",
        })
    }
}

/// Why a request failed. No variant, printed in any way, shows a query, a credential or a header value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The host name could not be resolved.
    #[error("{url}: the host name could not be resolved")]
    Dns {
        /// What was asked for.
        url: RedactedUrl,
        /// What the resolver said.
        #[source]
        source: Cause,
    },

    /// No connection could be made.
    #[error("{url}: no connection could be made")]
    Connect {
        /// What was asked for.
        url: RedactedUrl,
        /// What the network said.
        #[source]
        source: Cause,
    },

    /// The server could not prove who it is, or speaks no acceptable TLS. Never retried, never downgraded.
    #[error("{url}: the TLS connection was refused")]
    Tls {
        /// What was asked for.
        url: RedactedUrl,
        /// What the TLS stack said.
        #[source]
        source: Cause,
    },

    /// A clock ran out.
    #[error("{url}: timed out {phase}")]
    Timeout {
        /// What was asked for.
        url: RedactedUrl,
        /// Which clock.
        phase: TimeoutPhase,
    },

    /// The connection broke, or what came over it was not a whole HTTP message.
    #[error("{url}: the connection broke")]
    Broken {
        /// What was asked for.
        url: RedactedUrl,
        /// What the network said.
        #[source]
        source: Cause,
    },

    /// The body ended before its announced end.
    #[error("{url}: the body ended at byte {got}, not at byte {expected}")]
    Truncated {
        /// What was asked for.
        url: RedactedUrl,
        /// The announced end, as an offset in the resource.
        expected: u64,
        /// Where it ended.
        got: u64,
    },

    /// The server answered with a status that is no success.
    #[error("{url}: the server answered {status}")]
    Http {
        /// What was asked for.
        url: RedactedUrl,
        /// The status code.
        status: u16,
        /// The `Retry-After` header as a wait from now on, if there was a sensible one.
        retry_after: Option<Duration>,
    },

    /// The URL or its token worked before and is refused now, and no refresh helped.
    #[error("{url}: access has expired (status {status})")]
    Expired {
        /// What was asked for.
        url: RedactedUrl,
        /// 401 or 403.
        status: u16,
    },

    /// The asked range lies beyond the end of the resource (416).
    #[error("{url}: the range is not satisfiable")]
    RangeNotSatisfiable {
        /// What was asked for.
        url: RedactedUrl,
        /// The length of the resource, if the server told.
        total: Option<u64>,
    },

    /// The server answered with another range than the one asked for, or with one that makes no sense.
    #[error("{url}: wrong range: {what}")]
    WrongRange {
        /// What was asked for.
        url: RedactedUrl,
        /// What is wrong with it.
        what: &'static str,
    },

    /// The server cannot serve byte ranges, so that this offset cannot be reached.
    #[error("{url}: the server does not support ranges; byte {offset} cannot be reached")]
    RangeUnsupported {
        /// What was asked for.
        url: RedactedUrl,
        /// The offset needed.
        offset: u64,
    },

    /// The resource is no longer the one whose beginning was read.
    #[error("{url}: the resource changed ({what})")]
    ContentChanged {
        /// What was asked for.
        url: RedactedUrl,
        /// Which property changed.
        what: &'static str,
    },

    /// The server sent something else than what the purpose of the request allows.
    #[error("{url}: wrong content: {what}")]
    WrongContent {
        /// What was asked for.
        url: RedactedUrl,
        /// What it is instead.
        what: &'static str,
    },

    /// What was to be media is a playlist: what leads to media.
    #[error("{url}: a playlist, where media was asked for")]
    Playlist {
        /// What was asked for.
        url: RedactedUrl,
    },

    /// The body is larger than the caller's limit.
    #[error("{url}: more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: RedactedUrl,
        /// The limit.
        limit: u64,
    },

    /// The policy forbids this URL or this peer.
    #[error("{url}: refused: {rule}")]
    Policy {
        /// What was refused.
        url: RedactedUrl,
        /// By which rule.
        rule: PolicyRule,
    },

    /// The response headers are too many, too large or contradict each other.
    #[error("{url}: bad response headers: {what}")]
    Headers {
        /// What was asked for.
        url: RedactedUrl,
        /// What is wrong with them.
        what: &'static str,
    },

    /// The server speaks something this client doesn't.
    #[error("{url}: not supported: {what}")]
    Unsupported {
        /// What was asked for.
        url: RedactedUrl,
        /// What isn't supported.
        what: &'static str,
    },

    /// A file of this machine could not be opened or read. Never retried.
    #[error("{url}: the file could not be read")]
    File {
        /// What was asked for.
        url: RedactedUrl,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },

    /// Every retry failed.
    #[error("{url}: failed {attempts} times")]
    RetryExhausted {
        /// What was asked for.
        url: RedactedUrl,
        /// Requests that failed since the last progress.
        attempts: u32,
        /// The last failure.
        #[source]
        last: Box<NetError>,
    },

    /// The body failed before and was asked again.
    #[error("the body has failed before")]
    BodyFailed,

    /// A header given by the caller is not one (RFC 9110 §5). The value is not shown.
    #[error("not a valid header: {name}")]
    InvalidHeader {
        /// The name as given, escaped.
        name: String,
    },

    /// The client could not be built from its options.
    #[error("the HTTP client could not be built")]
    Client(#[source] Cause),
}

impl NetError {
    /// Whether the same request may succeed a little later.
    ///
    /// A [`WrongRange`](Self::WrongRange) counts, but is worth one further request only.
    pub fn is_retryable(&self) -> bool {
        match self {
            // It was slow for its whole window already.
            Self::Timeout {
                phase: TimeoutPhase::Throughput,
                ..
            } => false,
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::Truncated { .. }
            | Self::WrongRange { .. } => true,
            Self::Http { status, .. } => matches!(status, 407 | 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// The wait the server asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The redacted URL this is about, if it is about one.
    pub fn url(&self) -> Option<&RedactedUrl> {
        match self {
            Self::Dns { url, .. }
            | Self::Connect { url, .. }
            | Self::Tls { url, .. }
            | Self::Timeout { url, .. }
            | Self::Broken { url, .. }
            | Self::Truncated { url, .. }
            | Self::Http { url, .. }
            | Self::Expired { url, .. }
            | Self::RangeNotSatisfiable { url, .. }
            | Self::WrongRange { url, .. }
            | Self::RangeUnsupported { url, .. }
            | Self::ContentChanged { url, .. }
            | Self::WrongContent { url, .. }
            | Self::Playlist { url }
            | Self::TooLarge { url, .. }
            | Self::Policy { url, .. }
            | Self::Headers { url, .. }
            | Self::Unsupported { url, .. }
            | Self::File { url, .. }
            | Self::RetryExhausted { url, .. } => Some(url),
            Self::InvalidHeader { .. } | Self::BodyFailed | Self::Client(_) => None,
        }
    }

    /// What failed in the end: the last failure under [`RetryExhausted`](Self::RetryExhausted), or this itself.
    pub fn root(&self) -> &Self {
        match self {
            Self::RetryExhausted { last, .. } => last.root(),
            other => other,
        }
    }
}
