//! What most programs need: `use kithara::prelude::*`.

pub use crate::{
    AssetStore, AssetStoreBuilder, Control, Error, ErrorKind, Events, MediaDuration, PcmChunk,
    PcmReader, PcmSpec, ReadOutcome, ReadState, Resource, ResourceConfig, ResourceEvent,
    ResourceSrc, SeekId, SeekMode, StoreOptions,
};
