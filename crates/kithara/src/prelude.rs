//! What most programs need: `use kithara::prelude::*`.

#[cfg(feature = "hls")]
pub use crate::{AbrMode, AbrOptions, GapPolicy, HlsEvent, HlsPolicy, KeyOptions, VariantInfo};
pub use crate::{
    AssetStore, AssetStoreBuilder, Control, Error, ErrorKind, Events, GaplessMode, MediaDuration,
    PcmChunk, PcmReader, PcmSpec, ReadOutcome, ReadState, ReplayGainMode, ResamplerQuality,
    Resource, ResourceConfig, ResourceEvent, ResourceSrc, SeekId, SeekMode, StoreOptions,
};
