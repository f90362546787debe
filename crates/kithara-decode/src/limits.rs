//! Limits on what a file may claim, checked before anything is sized by it.

use std::num::{NonZeroU16, NonZeroU32};

use crate::PcmSpec;
use crate::fault::{Fault, Result};

/// Channels of a track.
pub(crate) const CHANNELS: u32 = 32;
/// Frames per second of a track.
pub(crate) const RATES: std::ops::RangeInclusive<u32> = 8_000..=768_000;
/// Tags and pictures larger than this are skipped.
pub(crate) const TAG_BYTES: u64 = 8 * 1024 * 1024;
/// Of tags that are read through anyway: a picture, written in four characters for three bytes, and some texts.
pub(crate) const TAGS_IN_TEXT: usize = TAG_BYTES as usize / 3 * 4 + 64 * 1024;
/// Bytes looked at to find out what a run is, and junk skipped before its audio.
pub(crate) const SNIFF_BYTES: usize = 64 * 1024;
/// Bytes looked at where only a claim says what a run is.
pub(crate) const CLAIMED_BYTES: usize = 1024 * 1024;
/// A codec's configuration. symphonia's decoders copy it, and there is no failing for them.
pub(crate) const CONFIG_BYTES: usize = 64 * 1024;
/// Frames of a packet of constant size.
pub(crate) const PACKET_FRAMES: u64 = 64 * 1024;
/// An encoded packet.
pub(crate) const PACKET_BYTES: u64 = 16 * 1024 * 1024;
/// Entries of a packet table or seek index.
pub(crate) const TABLE_ENTRIES: u64 = 4_000_000;

/// A layout within the limits.
pub(crate) fn spec(sample_rate: u32, channels: u32) -> Result<PcmSpec> {
    if !RATES.contains(&sample_rate) {
        return Err(Fault::unsupported(format!(
            "a sample rate of {sample_rate} Hz"
        )));
    }
    let rate = NonZeroU32::new(sample_rate);
    let count = u16::try_from(channels).ok().and_then(NonZeroU16::new);
    match (rate, count) {
        (Some(sample_rate), Some(count)) if channels <= CHANNELS => Ok(PcmSpec {
            sample_rate,
            channels: count,
        }),
        _ => Err(Fault::unsupported(format!("audio of {channels} channels"))),
    }
}
