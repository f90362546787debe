//! Opus: its identification header, the lengths of its packets, and the decoder.

#[cfg(feature = "opus")]
mod decoder;
mod head;
mod packet;

#[cfg(feature = "opus")]
pub(crate) use decoder::OpusPackets;
pub(crate) use head::Head;
pub(crate) use packet::frames;

/// Frames per second of every decode, whatever the encoder was given.
pub(crate) const RATE: u32 = 48_000;
/// The most frames a packet brings: 120 ms.
pub(crate) const PACKET_FRAMES: u32 = 5760;
/// Packets bring multiples of this many frames: 2.5 ms.
pub(crate) const QUANTUM: u32 = 120;
