//! An HTTP range reader with typed failures, retry, stall detection and redaction.
//!
//! # What it is
//! One trait, [`Net`], that answers a [`Request`] with the facts of the response headers and a [`Body`] to pull; the
//! real client behind it; and layers around it:
//!
//! ```text
//!   caller ── NetExt::get_bytes, head
//!     │
//!   RetryNet        retries by type, honours Retry-After, resumes a body at the byte where it died
//!     │
//!   TimeoutNet      clocks for any other Net            (HttpClient keeps its own)
//!     │
//!   FolderNet       files, for a playlist on this machine; servers by what is below
//!     │
//!   HttpClient      routes · redirects · refresh hook
//!     ├─ policy     one function decides on every URL, of servers and of files
//!     ├─ exchange   one hop: headers by origin, one free retry on a dead pooled connection
//!     ├─ resolve    the connect hook: one place decides on every address
//!     ├─ accept     headers to facts, or a refusal
//!     └─ body       bytes ─ stall clock ─ announced length and sniffing
//! ```
//!
//! # What it is not
//! It knows no playlists or codecs, keeps no cache and no cookies, decodes no content encoding, and never
//! writes. An [`HttpClient`] opens no file; a [`FolderNet`] reads those that the policy lets a playlist refer to. It doesn't switch off TLS verification. It gives no error that has to be understood from its text.
//!
//! # Promises
//! - Nothing that can be printed (errors, events, logs of target `kithara_net`, `Debug` of anything) shows a query, a
//!   credential or a header value. The HTTP stack below logs URLs of its own: mute the targets `reqwest`, `hyper`,
//!   `hyper_util`, `h2` and `rustls` where that matters.
//! - A caller's headers go to their origin and nowhere else.
//! - No byte is handed out at a wrong offset, beyond the announced end, or of another version of the resource.
//! - Dropping a future or a body ends everything it started. No task is spawned for a request.
//! - Clocks run only while somebody waits.
//!
//! Through a proxy, names are resolved by the proxy: the address policy then sees IP literals only.
//!
//! # Where to start
//! [`Net`], [`Request`], [`Response`]; then [`HttpClient`] and [`RetryNet`].
//!
//! ```no_run
//! # async fn run() -> Result<(), kithara_net::NetError> {
//! use kithara_net::{HttpClient, Net, NetExt, NetOptions, RangeSpec, Request, RetryPolicy, Url};
//!
//! let net = HttpClient::new(NetOptions::default())?.with_retry(RetryPolicy::default());
//! let url = Url::parse("https://example.com/song.flac").expect("a literal URL");
//! let mut response = net.fetch(Request::get(url).with_range(RangeSpec::from(4096))).await?;
//! while let Some(bytes) = response.body.chunk().await? {
//!     println!("{} bytes", bytes.len());
//! }
//! # Ok(())
//! # }
//! ```

mod accept;
mod access;
mod address;
mod body;
mod classify;
mod client;
mod connect;
mod content_range;
mod error;
mod exchange;
mod ext;
mod file_answer;
mod file_path;
mod folder;
mod headers;
mod icy;
mod net;
mod observer;
mod options;
mod policy;
mod pool;
mod redact;
mod redirects;
mod request;
mod resolve;
mod response;
mod resume;
mod retry;
mod retry_after;
mod routes;
mod sniff;
mod stall;
mod timeout;
mod verify;

pub use access::Access;
pub use address::AddressClass;
pub use body::Body;
pub use bytes::Bytes;
pub use client::HttpClient;
pub use error::{Cause, NetError, TimeoutPhase};
pub use ext::NetExt;
pub use folder::FolderNet;
pub use headers::{Headers, Origin};
pub use net::Net;
pub use observer::{NetEvent, Observer};
pub use options::{
    HeaderHook, HookRequest, NetOptions, Proxy, Refreshed, Resolver, Roots, ThroughputFloor,
    Timeouts,
};
pub use policy::{PolicyRule, Zone};
pub use redact::RedactedUrl;
pub use redirects::Redirects;
pub use request::{Attempts, Method, Purpose, RangeSpec, Request, Validator};
pub use response::{BaseUrl, Etag, RangeSupport, Response, ResponseHead, Validators};
pub use resume::RetryNet;
pub use retry::{Decision, Retry, RetryPolicy};
pub use timeout::TimeoutNet;
pub use url::Url;
