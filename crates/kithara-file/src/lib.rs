//! One file, local or over HTTP, as a stream of bytes.
//!
//! For a remote file this crate is the [`FilePlan`]: it decides which byte ranges to fetch next, from what is stored,
//! what is on its way and where the reader stands. It is **not** what fetches, stores or decodes them: it never sees a
//! socket, a disk or a clock. A local path needs no plan at all.
//!
//! ```text
//!   opening ──head──▶ sequential ──seek──▶ jump ──▶ sequential ──▶ gaps ──▶ complete
//!                        └── at most `look_ahead_bytes` in front of the reader ──┘
//! ```
//!
//! With a store ([`FileConfig::with_store`]) what was fetched once is not fetched again, and [`prefetch()`] fetches before
//! anybody listens.
//!
//! Start reading at [`FilePlan`], then `rule.rs`, the one rule about keeping a transfer or opening another.

mod config;
mod event;
mod file;
mod origin;
mod patience;
mod plan;
mod prefetch;
mod rule;

pub use config::{FileConfig, FileSrc};
pub use event::FileEvent;
pub use file::{File, FileSource};
pub use plan::{FilePlan, FilePolicy};
pub use prefetch::{Amount, Prefetch, Prefetched, prefetch};
