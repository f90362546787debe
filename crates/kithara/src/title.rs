//! What is opened: a source, and everything it is opened with, ready to be opened again.

use std::path::PathBuf;
use std::sync::Arc;

use kithara_audio::{Audio, AudioConfig, Opening};
use kithara_net::Net;
use kithara_stream::EventSink;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::store::Store;
use crate::{Error, ResourceConfig, ResourceEvent, ResourceSrc, SourceType};

/// A source and what it is opened with.
pub(crate) struct Title {
    place: Place,
    hint: Option<String>,
    cache_name: Option<String>,
    look_ahead_bytes: Option<u64>,
    ignore_no_store: bool,
    audio: AudioConfig,
    sink: EventSink<ResourceEvent>,
    cancel: CancellationToken,
}

enum Place {
    Remote {
        url: Url,
        net: Arc<dyn Net>,
        store: Store,
    },
    /// Where it belongs: no cache has a copy.
    Local(PathBuf),
}

impl Title {
    /// Refuses what this build has no protocol for.
    pub(crate) fn new(
        config: ResourceConfig,
        cancel: CancellationToken,
        sink: EventSink<ResourceEvent>,
    ) -> Result<Self, Error> {
        let refused = |what| Err(Error::unsupported(format!("{}: {what}", config.src)));
        if SourceType::detect(&config.src) == SourceType::HlsStream {
            return refused("HLS playlists are not supported yet");
        }
        if cfg!(not(feature = "file")) {
            return refused("this build has no protocol that opens it; enable the feature `file`");
        }
        let place = match config.src {
            ResourceSrc::Url(url) => Place::Remote {
                url,
                net: config.client.net()?,
                store: config.store,
            },
            ResourceSrc::Path(path) => Place::Local(path),
        };
        let mut audio = AudioConfig::new()
            .with_preload(config.preload)
            .with_events(sink.map(ResourceEvent::from));
        if let Some(pool) = config.pcm_pool {
            audio = audio.with_pool(pool);
        }
        Ok(Self {
            place,
            hint: config.hint,
            cache_name: config.cache_name,
            look_ahead_bytes: config.look_ahead_bytes,
            ignore_no_store: config.ignore_no_store,
            audio,
            sink,
            cancel,
        })
    }

    /// Begins to open it.
    #[cfg(feature = "file")]
    pub(crate) fn open(&self) -> Opening {
        use kithara_file::File;
        use kithara_stream::StreamType;

        let (config, store) = self.file();
        let sink = self.sink.clone();
        // The store may have to look at the disk: that is for the decode thread, not for the caller.
        let source = move || {
            let config = config.with_store(opened(store, &sink));
            Ok(Box::new(File::open(config)?) as _)
        };
        Audio::open(source, self.audio.clone())
    }

    /// There is nothing that could open it, and so nothing of the kind is ever made.
    #[cfg(not(feature = "file"))]
    pub(crate) fn open(&self) -> Opening {
        let refuse = || Err(kithara_stream::StreamError::Closed);
        Audio::open(refuse, self.audio.clone())
    }

    /// Begins to fetch it for later.
    #[cfg(feature = "file")]
    pub(crate) async fn prefetch(
        &self,
        amount: kithara_file::Amount,
    ) -> Result<kithara_file::Prefetch, Error> {
        let (config, store) = self.file();
        let sink = self.sink.clone();
        // The store, or the file, may have to be looked for on the disk: that is not for the caller's executor.
        let begin = move || kithara_file::prefetch(config.with_store(opened(store, &sink)), amount);
        Ok(kithara_stream::unblock(begin).await??)
    }

    #[cfg(feature = "file")]
    fn file(&self) -> (kithara_file::FileConfig, Store) {
        use kithara_file::{FileConfig, FilePolicy, FileSrc};

        let (src, store) = match &self.place {
            Place::Remote { url, net, store } => {
                (FileSrc::Remote(url.clone(), net.clone()), store.clone())
            }
            Place::Local(path) => (FileSrc::Local(path.clone()), Store::None),
        };
        let mut policy = FilePolicy {
            ignore_no_store: self.ignore_no_store,
            ..FilePolicy::default()
        };
        if let Some(bytes) = self.look_ahead_bytes {
            policy.look_ahead_bytes = bytes;
        }
        let mut config = FileConfig::new(src)
            .with_policy(policy)
            .with_events(self.sink.map(ResourceEvent::from))
            .with_cancel(self.cancel.clone());
        if let Some(name) = &self.cache_name {
            config = config.with_cache_name(name.clone());
        }
        if let Some(hint) = &self.hint {
            config = config.with_hint(hint.clone());
        }
        (config, store)
    }
}

/// The store, if there is one. Where there should be, but is not, the listener hears that nothing is kept.
#[cfg(feature = "file")]
fn opened(store: Store, sink: &EventSink<ResourceEvent>) -> Option<kithara_assets::AssetStore> {
    use kithara_assets::Reason;
    use kithara_file::FileEvent;

    store.open().unwrap_or_else(|error| {
        tracing::warn!(target: "kithara", %error, "nothing is cached");
        let reason = Reason::Unusable;
        sink.send(FileEvent::NotKept { reason }.into());
        None
    })
}
