//! Opens any URL or path, an HLS stream, a file over HTTP or a local file, and yields exact PCM.
//!
//! ```no_run
//! use kithara::prelude::*;
//!
//! # async fn play() -> Result<(), Error> {
//! let mut resource = Resource::new(ResourceConfig::new("https://example.com/song.flac")?).await?;
//! let spec = resource.spec(); // sample rate and channels, fixed for the life of the resource
//! let mut buf = vec![0.0f32; 4096];
//! loop {
//!     let n = resource.read(&mut buf)?; // interleaved samples written; 0 is the end
//!     if n == 0 {
//!         break;
//!     }
//! }
//! # let _ = spec;
//! # Ok(()) }
//! ```
//!
//! No async runtime is needed: [`Resource::new`] is an ordinary future for any executor, [`Resource::blocking`] is its
//! twin without one. The library has one I/O thread for all resources and one decode thread for each. On the audio
//! thread call [`Resource::try_read`], which never waits; offline, read with [`Resource::read`] or
//! [`Resource::blocks`].
//!
//! ```text
//!            kithara      Resource, Control, Events
//!          ┌────┴─────┐
//!        audio    file, hls      decode thread and wait-free reader │ range plan, segment plan
//!          │          │
//!        decode       │          bytes to PCM
//!          └────┬─────┘
//!            stream              plans, driver, runs
//!          ┌────┴─────┐
//!        storage     net         one resource on disk │ HTTP
//! ```
//!
//! It is **not** a player: it owns no audio device, no playlist, no user interface. With the feature `rodio` a resource
//! becomes a `rodio::Source`. Start reading at [`Resource`]; the crates below are re-exported as modules.

// What a protocol that is left out would be opened with.
#![cfg_attr(not(all(feature = "file", feature = "hls")), allow(dead_code))]

mod client;
mod config;
mod control;
mod error;
mod event;
#[cfg(all(feature = "file", feature = "hls"))]
mod guess;
#[cfg(feature = "hls")]
mod hls_options;
#[cfg(feature = "file")]
mod prefetch;
mod protocols;
mod resource;
#[cfg(feature = "rodio")]
mod rodio_source;
mod source;
mod store;
mod title;

pub mod prelude;

pub use config::ResourceConfig;
pub use control::{Control, Stats};
pub use error::{Error, ErrorKind};
pub use event::ResourceEvent;
#[cfg(feature = "hls")]
pub use kithara_abr::{AbrMode, AbrOptions, AbrReason, VariantInfo};
pub use kithara_assets::{AssetStore, AssetStoreBuilder, StoreOptions};
pub use kithara_audio::{
    AudioEffect, PcmReader, PeakGuard, ReadOutcome, ReadState, ReplayGainMode, ReplayGainOptions,
    ResamplerQuality, SeekId,
};
pub use kithara_decode::{
    BackendKind, BackendPreference, CodecBackend, CodecSelector, FloatRange, GaplessMode,
    MediaDuration, PcmChunk, PcmSpec, Picture, PictureKind, ReplayGain, SeekMode, TrackMetadata,
};
#[cfg(feature = "hls")]
pub use kithara_hls::{
    AudioPreference, EncryptedCache, GapPolicy, HlsEvent, HlsPolicy, KeyOptions,
};
pub use kithara_stream::{AudioCodec, ContainerFormat, Events, MediaInfo, RecvError, TryRecvError};
pub use resource::Resource;
#[cfg(feature = "rodio")]
pub use rodio_source::RodioSource;
pub use source::{ResourceSrc, SourceType};
pub use tokio_util::sync::CancellationToken;

#[cfg(feature = "hls")]
pub use kithara_abr as abr;
pub use kithara_assets as assets;
pub use kithara_audio as audio;
pub use kithara_bufpool as bufpool;
pub use kithara_decode as decode;
#[cfg(feature = "hls")]
pub use kithara_drm as drm;
#[cfg(feature = "file")]
pub use kithara_file as file;
#[cfg(feature = "hls")]
pub use kithara_hls as hls;
pub use kithara_net as net;
pub use kithara_storage as storage;
pub use kithara_stream as stream;

/// The project's README is compiled with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
