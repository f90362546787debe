//! A run of encoded bytes to PCM blocks with exact frame positions.
mod aac;
mod codec;
mod contained;
mod container;
mod damage;
mod decoder;
mod demux;
mod error;
mod fault;
mod guard;
mod input;
mod limits;
pub mod mp4;
mod opening;
mod pcm;
mod pipeline;
mod sniff;
mod view;
mod watchdog;

pub use decoder::{CodecSelector, DecoderFactory, DecoderOptions, InnerDecoder};
pub use error::{DecodeError, WorkerFault};
pub use guard::Guard;
pub use pcm::{Landing, MediaDuration, Notice, PcmChunk, PcmSpec, SeekMode, TrackMetadata};
pub use sniff::{Sniffed, sniff};
