//! The waist of kithara: between protocols, which decide what to fetch, and decoders, which read bytes in order.
//!
//! A protocol is a [`Plan`]: facts in, wishes out, nothing else. The driver performs the wishes of one title against the
//! network and the store, on the library's one I/O thread. What it publishes are [`Run`]s: stretches of media that one
//! decoder reads from first byte to end, of one resource or of many, one after another. A reader lets a decode thread read a
//! run by blocking calls while its bytes arrive: a [`Reader`], which can seek, over one resource; over many, one that reads
//! in order. Documents, which say what there is, go to the plan itself.
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
//! What is stored is what is read: a [`Transform`] works between the network and the store.
//!
//! It is **not** a decoder, a cache, or a protocol. Start reading at [`Plan`], then `driver.rs`, `transfer.rs` and
//! `runs.rs`, then [`Reader`].

mod backend;
mod cancel;
mod command;
mod cursor;
mod demand;
mod driver;
mod error;
mod events;
mod feed;
mod io_thread;
mod load;
mod local;
mod media;
mod note;
mod overlap;
mod parts;
mod passage;
mod plan;
mod reader;
mod request;
mod run_reader;
mod runs;
mod shelf;
#[cfg(feature = "sim")]
pub mod sim;
mod source;
mod stream;
mod traffic;
mod transfer;
mod transform;

pub use backend::{Backend, BackendConfig};
pub use cancel::when_cancelled;
pub use command::{CommandReceiver, CommandSender, commands};
pub use error::StreamError;
pub use events::{EventSink, Events, RecvError, TryRecvError, events};
pub use io_thread::unblock;
pub use kithara_assets as assets;
pub use kithara_net as net;
pub use kithara_storage::{Coverage, Interrupt};
pub use local::LocalSource;
pub use media::{AudioCodec, ContainerFormat, MediaDuration, MediaInfo};
pub use parts::{PartKind, Parts, Unheard};
pub use plan::{
    DEMAND_STEP, Demand, Fetch, FetchId, Input, Load, Plan, Priority, Rejection, ResourceId,
    RunFacts, Stored, Terms, Wish,
};
pub use reader::Reader;
pub use source::{ByteSource, Run, RunCause, SeekRoute, Source, Timing};
pub use stream::{Stream, StreamType};
pub use transform::{Transform, Transforming};
