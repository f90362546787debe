//! The waist of kithara: between protocols, which decide what to fetch, and decoders, which read bytes in order.
//!
//! A protocol is a [`Plan`]: facts in, wishes out, nothing else. The driver performs the wishes of one title against the
//! network and the store, on the library's one I/O thread. What it publishes are [`Run`]s: stretches of media that one
//! decoder reads from first byte to end. A [`Reader`] lets a decode thread read a run by blocking calls while its bytes
//! arrive.
//!
//! ```text
//!   Plan ──wishes──▶ driver ──requests──▶ network
//!    ▲                 │ ▲                   │
//!    └─────facts───────┘ │                 bytes
//!                        │                   ▼
//!   demand (newest wish) └───────── store (gate, coverage)
//!            ▲                               │
//!            └────────── Reader ◀────────────┘ ──▶ decoder
//! ```
//!
//! It is **not** a decoder, a cache, or a protocol. Start reading at [`Plan`], then `driver.rs`, then [`Reader`].

mod backend;
mod cancel;
mod demand;
mod driver;
mod error;
mod events;
mod io_thread;
mod local;
mod media;
mod overlap;
mod plan;
mod reader;
mod shelf;
#[cfg(feature = "sim")]
pub mod sim;
mod source;
mod stream;
mod traffic;
mod transfer;

pub use backend::{Backend, BackendConfig};
pub use cancel::when_cancelled;
pub use error::StreamError;
pub use events::{EventSink, Events, RecvError, TryRecvError, events};
pub use io_thread::unblock;
pub use kithara_assets as assets;
pub use kithara_net as net;
pub use kithara_storage::{Coverage, Interrupt};
pub use local::LocalSource;
pub use media::{AudioCodec, ContainerFormat, MediaInfo};
pub use plan::{Demand, Fetch, FetchId, Input, Plan, Priority, ResourceId, RunFacts, Stored, Wish};
pub use reader::Reader;
pub use source::{ByteSource, Run, RunCause, SeekRoute, Source};
pub use stream::{Stream, StreamType};
