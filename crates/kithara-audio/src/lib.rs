//! A decode thread on one side, a wait-free reader on the other.
//!
//! [`Audio::open`] starts a thread that pulls the runs of a [`Source`](kithara_stream::Source) through their decoders
//! and keeps about two seconds of PCM ready. The [`Audio`] it yields is read by blocking calls, by async calls, or by
//! [`try_read`](PcmReader::try_read) on an audio thread. An [`AudioControl`] seeks and pauses from anywhere.
//!
//! ```text
//!              decode thread                          │           any other thread
//!                                                     │
//!  Source ─runs─▶ decoder ─▶ history ─▶ conversion ─▶ lane: samples ═══▶ Audio ─▶ volume ─▶ read, read_async
//!    ▲                                   ▼  ▲           markers ═══▶        └▶ fades ─▶ try_read
//!    │ interrupt                        effects       │
//!    └──────────── newest wish ◀══════════════════════╪════════ AudioControl ◀─ seek, pause, volume, close
//!                                                     │
//! ```
//!
//! A *lane* is a ring of samples and a ring of markers (end, failure, a jump of the timeline). Each seek starts a new
//! lane, so that the reader leaves what is stale behind by exchanging one pointer. A *wish* is a seek not yet served;
//! only the newest counts, and its id tells stale frames from fresh ones. What is read has one layout, fixed at open: the
//! *conversion* resamples and remixes every run into it. Another layout or speed starts a new lane as well, made of what
//! the *history* has of the time since the reader's.
//!
//! An [`AudioEffect`] changes what is decoded, ahead of the playhead; the gain of a title's loudness tags
//! ([`ReplayGainOptions`]) is the first of them. The volume and the fades, which keep `try_read` free of clicks, are the
//! reader's, so that they are heard at once.
//!
//! This crate does not know where bytes come from, nor how they are decoded, and it plays nothing. Start reading at
//! [`Audio`], then `lane.rs`, then `worker/mod.rs`.

mod audio;
mod blocks;
mod config;
mod control;
mod effect;
mod error;
mod event;
mod fade;
mod gain;
mod lane;
mod opening;
mod outcome;
mod quality;
mod ramp;
mod reader;
mod remix;
mod resampler;
mod shared;
mod timeline;
mod volume;
mod wanted;
mod wish;
mod worker;

pub use audio::Audio;
pub use blocks::Blocks;
pub use config::AudioConfig;
pub use control::AudioControl;
pub use effect::AudioEffect;
pub use error::AudioError;
pub use event::{AudioEvent, SilenceCause};
pub use gain::{PeakGuard, ReplayGainMode, ReplayGainOptions};
pub use opening::Opening;
pub use outcome::{AudioStats, ReadOutcome, ReadState, SeekId};
pub use quality::ResamplerQuality;
pub use reader::PcmReader;
pub use resampler::ResamplerProcessor;
