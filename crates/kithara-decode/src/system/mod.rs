//! Decoders of the system, each behind a feature: nothing of them has run on a device yet.

#[cfg(feature = "android")]
mod android;
#[cfg(feature = "apple")]
mod apple;

use std::sync::Arc;

use crate::backend::CodecBackend;

#[cfg(feature = "android")]
pub use android::MediaCodecBackend;
#[cfg(feature = "apple")]
pub use apple::AudioToolbox;

/// The decoders of the system this was built for, with the features for them; none elsewhere.
pub(crate) fn backends() -> Vec<Arc<dyn CodecBackend>> {
    vec![
        #[cfg(all(feature = "apple", target_vendor = "apple"))]
        Arc::new(AudioToolbox),
        #[cfg(all(feature = "android", target_os = "android"))]
        Arc::new(MediaCodecBackend),
    ]
}
