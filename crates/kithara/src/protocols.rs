//! What a title may be opened as.

use kithara_assets::{AssetStore, Reason};
#[cfg(any(feature = "file", feature = "hls"))]
use kithara_stream::StreamType;
use kithara_stream::{EventSink, Source, StreamError};

use crate::ResourceEvent;
use crate::store::Store;

/// What a title may be opened as: a file, an HLS stream, or whichever of them it turns out to be.
pub(crate) struct Protocols {
    #[cfg(feature = "file")]
    pub(crate) file: Option<kithara_file::FileConfig>,
    #[cfg(feature = "hls")]
    pub(crate) hls: Option<kithara_hls::HlsConfig>,
    pub(crate) store: Store,
    pub(crate) sink: EventSink<ResourceEvent>,
}

impl Protocols {
    /// Opens it. The store may have to look at the disk: this is for the decode thread, not for the caller's.
    pub(crate) fn open(self) -> Result<Box<dyn Source>, StreamError> {
        let store = self.opened_store();
        #[cfg(feature = "file")]
        if let Some(file) = self.file {
            let file = kithara_file::File::open(file.with_store(store.clone()))?;
            #[cfg(feature = "hls")]
            if let Some(hls) = self.hls {
                return Ok(Box::new(crate::guess::Guess::new(
                    file,
                    hls.with_store(store),
                )));
            }
            return Ok(Box::new(file));
        }
        #[cfg(feature = "hls")]
        if let Some(hls) = self.hls {
            return Ok(Box::new(kithara_hls::Hls::open(hls.with_store(store))?));
        }
        // Nothing of the kind is ever made: such titles are refused.
        drop(store);
        Err(StreamError::Closed)
    }

    #[cfg(feature = "hls")]
    pub(crate) fn hls_handle(&self) -> kithara_hls::HlsHandle {
        let handle = self.hls.as_ref().map(kithara_hls::HlsConfig::handle);
        handle.unwrap_or_default()
    }

    /// What it is fetched as before it is played. Looks at the disk, too.
    #[cfg(feature = "file")]
    pub(crate) fn into_file(self) -> Option<kithara_file::FileConfig> {
        let store = self.opened_store();
        Some(self.file?.with_store(store))
    }

    fn opened_store(&self) -> Option<AssetStore> {
        self.store.clone().opened(|reason| self.tell(reason))
    }

    /// Nothing is kept.
    fn tell(&self, reason: Reason) {
        #[cfg(feature = "file")]
        if self.file.is_some() {
            let event = kithara_file::FileEvent::NotKept { reason };
            return self.sink.send(event.into());
        }
        #[cfg(feature = "hls")]
        self.sink
            .send(kithara_hls::HlsEvent::NotKept { reason }.into());
        #[cfg(not(feature = "hls"))]
        let _ = reason;
    }
}
