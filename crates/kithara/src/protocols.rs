//! What a title may be opened as.

use kithara_assets::{AssetStore, Reason};
#[cfg(any(feature = "file", feature = "hls"))]
use kithara_stream::StreamType;
use kithara_stream::{EventSink, Source, StreamError};

use crate::ResourceEvent;
#[cfg(all(feature = "file", feature = "hls"))]
use crate::guess::{Guess, is_hls};
use crate::store::Store;

/// What a title may be opened as: a file, an HLS stream, or whichever of them it turns out to be.
pub(crate) struct Protocols {
    #[cfg(feature = "file")]
    pub(crate) file: Option<kithara_file::FileConfig>,
    #[cfg(feature = "hls")]
    pub(crate) hls: Option<kithara_hls::HlsConfig>,
    pub(crate) store: Store,
    /// It is on this machine.
    pub(crate) is_local: bool,
    /// It is said to be a playlist.
    pub(crate) playlist: bool,
    pub(crate) sink: EventSink<ResourceEvent>,
}

impl Protocols {
    /// Opens it. The store may have to look at the disk: this is for the decode thread, not for the caller's.
    pub(crate) fn open(self) -> Result<Box<dyn Source>, StreamError> {
        #[cfg(feature = "file")]
        if let Some(file) = self.file.clone() {
            let store = self.store_for_file();
            let file = kithara_file::File::open(file.with_store(store.clone()))?;
            #[cfg(feature = "hls")]
            if let Some(hls) = self.hls.clone() {
                let said = self.playlist;
                let instead = move || match self.is_local {
                    true => hls.with_store(self.opened_store()),
                    false => hls.with_store(store),
                };
                return Ok(Box::new(Guess::new(file, said, instead)));
            }
            return Ok(Box::new(file));
        }
        #[cfg(feature = "hls")]
        if let Some(hls) = self.hls.clone() {
            let hls = hls.with_store(self.opened_store());
            return Ok(Box::new(kithara_hls::Hls::open(hls)?));
        }
        // Nothing of the kind is ever made: such titles are refused.
        Err(StreamError::Closed)
    }

    #[cfg(feature = "hls")]
    pub(crate) fn hls_handle(&self) -> kithara_hls::HlsHandle {
        let handle = self.hls.as_ref().map(kithara_hls::HlsConfig::handle);
        handle.unwrap_or_default()
    }

    /// What it is fetched as before it is played; `None` for a playlist, as far as nothing has to be fetched to know that.
    /// Looks at the disk, too.
    #[cfg(feature = "file")]
    pub(crate) fn into_file(self) -> Option<kithara_file::FileConfig> {
        #[cfg(feature = "hls")]
        if self.is_local && self.is_local_playlist() {
            return None;
        }
        let store = self.store_for_file();
        Some(self.file?.with_store(store))
    }

    /// What cannot be read is none.
    #[cfg(all(feature = "file", feature = "hls"))]
    fn is_local_playlist(&self) -> bool {
        let Some(file) = self.file.clone() else {
            return false;
        };
        let run = kithara_file::File::open(file).and_then(|mut source| source.next_run());
        let mut run = run.ok().flatten();
        run.as_mut()
            .is_some_and(|run| matches!(is_hls(run, self.playlist), Ok(true)))
    }

    /// A file on this machine needs none, and is not to wait for one.
    #[cfg(feature = "file")]
    fn store_for_file(&self) -> Option<AssetStore> {
        if self.is_local {
            return None;
        }
        self.opened_store()
    }

    fn opened_store(&self) -> Option<AssetStore> {
        self.store.clone().opened(|reason| self.tell(reason))
    }

    /// Nothing is kept.
    fn tell(&self, reason: Reason) {
        #[cfg(feature = "file")]
        if self.file.is_some() && !self.is_local {
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
