//! A decode thread on one side, a wait-free reader on the other.
//!
//! [`Audio::open`] starts a thread that pulls the runs of a [`Source`](kithara_stream::Source) through their decoders
//! and keeps about two seconds of PCM ready. The [`Audio`] it yields is read by blocking calls, by async calls, or by
//! [`try_read`](PcmReader::try_read) on an audio thread. An [`AudioControl`] seeks and pauses from anywhere.
//!
//! ```text
//!              decode thread                          │           any other thread
//!                                                     │
//!  Source ─runs─▶ decoder ─▶ conform ─▶ lane: samples ═══════▶ Audio ─▶ read, read_async, try_read
//!    ▲                                        markers ═══════▶
//!    │ interrupt                                      │
//!    └──────────── newest wish ◀══════════════════════╪════════ AudioControl ◀─ seek, pause, close
//!                                                     │
//! ```
//!
//! A *lane* is a ring of samples and a ring of markers (end, failure, a jump of the timeline). Each seek starts a new
//! lane, so that the reader leaves what is stale behind by exchanging one pointer. A *wish* is a seek not yet served;
//! only the newest counts, and its id tells stale frames from fresh ones.
//!
//! This crate does not know where bytes come from, nor how they are decoded, and it plays nothing. Start reading at
//! [`Audio`], then `lane.rs`, then `worker/mod.rs`.

mod audio;
mod blocks;
mod config;
mod control;
mod error;
mod event;
mod lane;
mod opening;
mod outcome;
mod reader;
mod shared;
mod wish;
mod worker;

pub use audio::Audio;
pub use blocks::Blocks;
pub use config::AudioConfig;
pub use control::AudioControl;
pub use error::AudioError;
pub use event::AudioEvent;
pub use opening::Opening;
pub use outcome::{AudioStats, ReadOutcome, ReadState, SeekId};
pub use reader::PcmReader;
