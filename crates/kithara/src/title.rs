//! What is opened: a source, and everything it is opened with, ready to be opened again.

use std::path::PathBuf;
use std::sync::Arc;

use kithara_audio::{Audio, AudioConfig, AudioControl, Opening};
#[cfg(feature = "hls")]
use kithara_net::FolderNet;
use kithara_net::Net;
use kithara_stream::EventSink;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::control::Traffic;
use crate::protocols::Protocols;
use crate::store::Store;
use crate::{Control, Error, ResourceConfig, ResourceEvent, ResourceSrc, SourceType};

/// A source and what it is opened with.
pub(crate) struct Title {
    place: Place,
    /// What is fetched is kept there. It is not asked for what is on this machine.
    store: Store,
    /// It is said to be a playlist.
    playlist: bool,
    hint: Option<String>,
    cache_name: Option<String>,
    look_ahead_bytes: Option<u64>,
    ignore_no_store: bool,
    #[cfg(feature = "hls")]
    hls: crate::hls_options::HlsOptions,
    audio: AudioConfig,
    sink: EventSink<ResourceEvent>,
    cancel: CancellationToken,
}

enum Place {
    Remote {
        url: Url,
        net: Arc<dyn Net>,
    },
    /// Where it belongs: no cache has a copy.
    Local {
        path: PathBuf,
        /// What is fetched if it is a playlist: files near it, and what it names at URLs.
        #[cfg(feature = "hls")]
        net: FolderNet,
    },
}

/// A title on its way to being open.
pub(crate) struct Begun {
    pub(crate) opening: Opening,
    /// Known of the stream, if it is one of HLS.
    #[cfg(feature = "hls")]
    pub(crate) hls: kithara_hls::HlsHandle,
}

impl Begun {
    /// The handle on what it has become.
    pub(crate) fn control(self, audio: AudioControl, traffic: Arc<Traffic>) -> Control {
        Control::new(
            audio,
            traffic,
            #[cfg(feature = "hls")]
            self.hls,
        )
    }
}

impl Title {
    /// Refuses what this build has no protocol for.
    pub(crate) fn new(
        config: ResourceConfig,
        cancel: CancellationToken,
        sink: EventSink<ResourceEvent>,
    ) -> Result<Self, Error> {
        let refused = |what| Err(Error::unsupported(format!("{}: {what}", config.src)));
        let playlist = SourceType::detect(&config.src) == SourceType::HlsStream
            || (config.hint.as_deref()).is_some_and(SourceType::is_playlist_hint);
        if playlist && cfg!(not(feature = "hls")) {
            return refused("this build has no HLS; enable the feature `hls`");
        }
        if !playlist && cfg!(not(feature = "file")) {
            return refused("this build has no protocol that opens it; enable the feature `file`");
        }
        let place = match config.src {
            ResourceSrc::Url(url) => Place::Remote {
                url,
                net: config.client.net()?,
            },
            ResourceSrc::Path(path) => Place::Local {
                #[cfg(feature = "hls")]
                net: folder(&path, &config.hls, config.client)?,
                path,
            },
        };
        let audio = config.audio.with_events(sink.map(ResourceEvent::from));
        Ok(Self {
            place,
            store: config.store,
            playlist,
            hint: config.hint,
            cache_name: config.cache_name,
            look_ahead_bytes: config.look_ahead_bytes,
            ignore_no_store: config.ignore_no_store,
            #[cfg(feature = "hls")]
            hls: config.hls,
            audio,
            sink,
            cancel,
        })
    }

    /// Begins to open it.
    pub(crate) fn open(&self) -> Begun {
        let protocols = self.protocols();
        Begun {
            #[cfg(feature = "hls")]
            hls: protocols.hls_handle(),
            opening: Audio::open(move || protocols.open(), self.audio.clone()),
        }
    }

    /// Begins to fetch it for later.
    #[cfg(feature = "file")]
    pub(crate) async fn prefetch(
        &self,
        amount: kithara_file::Amount,
    ) -> Result<kithara_file::Prefetch, Error> {
        let protocols = self.protocols();
        // The store, or the file, may have to be looked for on the disk: that is not for the caller's executor.
        let begin = move || {
            let file = protocols.into_file()?;
            Some(kithara_file::prefetch(file, amount))
        };
        let begun = kithara_stream::unblock(begin).await?;
        let refused = || Error::unsupported("HLS streams are not fetched before they are played");
        Ok(begun.ok_or_else(refused)??)
    }

    /// What it may be opened as.
    fn protocols(&self) -> Protocols {
        Protocols {
            #[cfg(feature = "file")]
            file: self.file(),
            #[cfg(feature = "hls")]
            hls: self.hls(),
            store: self.store.clone(),
            is_local: matches!(self.place, Place::Local { .. }),
            playlist: self.playlist,
            sink: self.sink.clone(),
        }
    }

    #[cfg(feature = "file")]
    fn file(&self) -> Option<kithara_file::FileConfig> {
        use kithara_file::{FileConfig, FilePolicy, FileSrc};

        let src = match &self.place {
            // What is here can be looked at.
            Place::Remote { .. } if self.playlist => return None,
            Place::Remote { url, net } => FileSrc::Remote(url.clone(), net.clone()),
            Place::Local { path, .. } => FileSrc::Local(path.clone()),
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
            .with_events(self.file_events())
            .with_cancel(self.cancel.clone());
        if let Some(name) = &self.cache_name {
            config = config.with_cache_name(name.clone());
        }
        if let Some(hint) = &self.hint {
            config = config.with_hint(hint.clone());
        }
        Some(config)
    }

    #[cfg(feature = "file")]
    fn file_events(&self) -> EventSink<kithara_file::FileEvent> {
        let events = self.sink.map(ResourceEvent::from);
        // That a playlist is no file is no failure where it is opened as what it is.
        #[cfg(feature = "hls")]
        let events = events.filter(|event| {
            use kithara_file::FileEvent;
            !matches!(event, FileEvent::DownloadFailed { error } if crate::guess::is_playlist(error))
        });
        events
    }

    #[cfg(feature = "hls")]
    fn hls(&self) -> Option<kithara_hls::HlsConfig> {
        let (url, net): (_, Arc<dyn Net>) = match &self.place {
            Place::Remote { url, net } => (url.clone(), net.clone()),
            Place::Local { net, .. } => (net.url().clone(), Arc::new(net.clone())),
        };
        let mut config = kithara_hls::HlsConfig::new(url, net)
            .with_events(self.sink.map(ResourceEvent::from))
            .with_cancel(self.cancel.clone());
        if let Some(name) = &self.cache_name {
            config = config.with_cache_name(name.clone());
        }
        let (ahead, ignore) = (self.look_ahead_bytes, self.ignore_no_store);
        Some(self.hls.apply(config, ahead, ignore))
    }
}

/// What a playlist at that path may fetch.
#[cfg(feature = "hls")]
fn folder(
    path: &std::path::Path,
    options: &crate::hls_options::HlsOptions,
    client: crate::config::Client,
) -> Result<FolderNet, Error> {
    let net = FolderNet::new(path, options.roots.clone(), move || client.clone().net());
    net.map_err(|source| {
        Error::from(kithara_stream::StreamError::Io {
            path: path.to_owned(),
            source: Arc::new(source),
        })
    })
}
