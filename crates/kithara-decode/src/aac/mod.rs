//! AAC: its configurations, what its packets hold that nothing signals, and the decoder of what symphonia does not decode.

mod bits;
mod config;
#[cfg(feature = "he-aac")]
mod decoder;
mod doubled;
#[cfg(feature = "he-aac")]
mod entry;
mod hidden;
mod tail;

pub(crate) use config::{AacConfig, RATES};
#[cfg(feature = "he-aac")]
pub(crate) use decoder::WideDecoder;
pub(crate) use hidden::reveal;
