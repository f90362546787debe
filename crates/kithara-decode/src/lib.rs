//! A run of encoded bytes to PCM blocks with exact frame positions.
//!
//! It is **not** a player: it knows no clock, no network, no cache and no async, it doesn't resample or mix, and
//! it decodes one run (a file, or consecutive segments of one variant) from its first byte to its
//! end. symphonia's decoders, `rusty_aac` and `rusty-opus` do the decoding of all but PCM, or a [`CodecBackend`] of somebody else;
//! none of their types appears in a public signature.
//!
//! ```text
//! ByteSource ─ Input ─ sniff ─► container/*  ──packets──► codec ──frames──► Pipeline ──► PcmChunk
//!              (window,         (one Demux per            (or a backend)   (positions, silence for
//!               lazy seeks)      container)                                 damage, seeks, the end)
//!                    └──────────────── Contained: catch_unwind, Guard ◄── watchdog ─────┘
//! ```
//!
//! What holds:
//! - The container is found in the bytes. Only where they show none, a media type, an extension or a hint, in this order,
//!   say what to look for with less proof, or say in the error what was expected.
//! - Every frame of the source is delivered, and no other, as far as the media signals where it begins and ends; where it
//!   signals nothing, every decoded frame ([`GaplessMode`]). Frame 0 is the first of them.
//! - After a seek the next chunk begins exactly at the frame of the [`Landing`], and its samples are those of a decode in
//!   one go (what AAC substitutes by noise is another noise).
//! - Far away ([`kithara_stream::ByteSource::is_remote`]) only the front is read before the first chunk, except where the
//!   format keeps its tables at the end.
//! - Tags never cost a jump far away: what comes by is read, and a large picture is told without its bytes.
//! - A stretch out of a title ([`MediaInfo::part_of_title`](kithara_stream::MediaInfo)) loses nothing at its front but what its media
//!   says lies before its beginning, and is held to no length that was stated of the whole; [`InnerDecoder::stamp`] tells where it
//!   belongs.
//! - A truncated run gives all frames it holds, then [`DecodeError::Truncated`], never a clean end.
//! - A panic or an endless loop ends its own stream with [`DecodeError::Worker`] and nothing else.
//!
//! Start reading at [`InnerDecoder`] and [`DecoderFactory`], then `pipeline.rs` (and `chain.rs`, where a title is
//! several of them); at [`CodecBackend`] to bring a decoder.
//!
//! ```
//! use kithara_decode::{DecoderFactory, DecoderOptions};
//! use kithara_stream::MediaInfo;
//!
//! # let mut wav = b"RIFF\x34\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x10\0\0\0".to_vec();
//! # wav.extend([0; 16]);
//! let options = DecoderOptions::default();
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
mod backend;
mod chain;
mod codec;
mod contained;
mod container;
mod continuation;
mod damage;
mod decoder;
mod demux;
mod error;
mod fault;
mod float_range;
mod guard;
mod input;
mod interleave;
mod limits;
mod memory;
mod metadata;
mod mp4;
mod opening;
mod opus;
mod pcm;
mod pipeline;
mod replay_gain;
mod sniff;
mod stage;
mod stamp;
mod system;
mod timeline;
mod trim;
mod view;
mod watchdog;

pub use backend::{
    BUILT_IN, BackendKind, BackendPreference, CodecBackend, CodecParams, Decoded, EncodedPacket,
    PacketDecoder, PacketError, Refusal,
};
pub use continuation::Continuation;
pub use decoder::{CodecSelector, DecoderFactory, DecoderOptions, InnerDecoder};
pub use error::{DecodeError, WorkerFault};
pub use float_range::FloatRange;
pub use guard::Guard;
pub use kithara_stream::MediaDuration;
pub use metadata::{Picture, PictureKind, TrackMetadata};
pub use pcm::{Landing, Notice, PcmChunk, PcmSpec, SeekMode};
pub use replay_gain::ReplayGain;
pub use sniff::{Sniffed, sniff};
pub use stamp::Stamp;
#[cfg(feature = "apple")]
pub use system::AudioToolbox;
#[cfg(feature = "android")]
pub use system::MediaCodecBackend;
pub use trim::GaplessMode;
