//! A run of encoded bytes to PCM blocks with exact frame positions.
//!
//! It is **not** a player: it knows no clock, no network, no cache and no async, it doesn't resample, mix or trim for
//! gapless playing, and it decodes one run (a file, or consecutive segments of one variant) from its first byte to its
//! end. symphonia's decoders do the decoding; no type of symphonia appears in a public signature.
//!
//! ```text
//! ByteSource ─ Input ─ sniff ─► container/*  ──packets──► codec ──frames──► Pipeline ──► PcmChunk
//!              (window,         (one Demux per            (symphonia)      (positions, silence for
//!               lazy seeks)      container)                                 damage, seeks, the end)
//!                    └──────────────── Contained: catch_unwind, Guard ◄── watchdog ─────┘
//! ```
//!
//! What holds:
//! - The container is found in the bytes. Only where they show none, a media type, an extension or a hint, in this order,
//!   say what to look for with less proof, or say in the error what was expected.
//! - Every decoded frame is delivered, at its place in the decoded timeline of the run, which begins with frame 0.
//! - After a seek the next chunk begins exactly at the frame of the [`Landing`], and its samples are those of a decode in
//!   one go (what AAC substitutes by noise is another noise).
//! - Far away ([`kithara_stream::ByteSource::is_remote`]) only the front is read before the first chunk, except where the
//!   format keeps its tables at the end.
//! - A truncated run gives all frames it holds, then [`DecodeError::Truncated`], never a clean end.
//! - A panic or an endless loop ends its own stream with [`DecodeError::Worker`] and nothing else.
//!
//! Start reading at [`InnerDecoder`] and [`DecoderFactory`], then `pipeline.rs`.
//!
//! ```
//! use kithara_bufpool::pcm_pool;
//! use kithara_decode::{CodecSelector, DecoderFactory, DecoderOptions, Guard};
//! use kithara_stream::MediaInfo;
//!
//! # let mut wav = b"RIFF\x34\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x10\0\0\0".to_vec();
//! # wav.extend([0; 16]);
//! let options = DecoderOptions {
//!     codec: CodecSelector::Auto,
//!     pool: pcm_pool().clone(),
//!     guard: Guard::default(),
//! };
//! let bytes = Box::new(std::io::Cursor::new(wav));
//! let mut decoder = DecoderFactory::open(bytes, &MediaInfo::default(), &options)?;
//! let mut frames = 0;
//! while let Some(chunk) = decoder.next_chunk()? {
//!     assert_eq!(chunk.frame, frames);
//!     frames += chunk.frames() as u64;
//! }
//! assert_eq!(frames, 8);
//! # Ok::<(), kithara_decode::DecodeError>(())
//! ```
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
mod interleave;
mod limits;
mod memory;
mod mp4;
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
