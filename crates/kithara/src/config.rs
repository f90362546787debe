//! What the caller says about a title to open.

use std::fmt;
use std::sync::Arc;

use kithara_assets::AssetStore;
use kithara_bufpool::PcmPool;
use kithara_net::{HttpClient, Net, NetExt, NetOptions, RetryPolicy};
use kithara_stream::{EventSink, Events};
use tokio_util::sync::CancellationToken;

use crate::client::shared_client;
use crate::store::Store;
use crate::{Error, ResourceEvent, ResourceSrc};

/// Events kept for a subscriber that does not keep up.
const EVENTS_KEPT: usize = 256;

/// How to open a title. Everything but the source has a sensible default.
///
/// ```
/// # fn main() -> Result<(), kithara::Error> {
/// let config = kithara::ResourceConfig::new("https://example.com/song.flac")?
///     .with_look_ahead_bytes(8 * 1024 * 1024)
///     .with_hint("flac");
/// # Ok(()) }
/// ```
pub struct ResourceConfig {
    pub(crate) src: ResourceSrc,
    pub(crate) name: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) cancel: Option<CancellationToken>,
    pub(crate) pcm_pool: Option<PcmPool>,
    pub(crate) preload: usize,
    pub(crate) look_ahead_bytes: Option<u64>,
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) cache_name: Option<String>,
    pub(crate) ignore_no_store: bool,
    pub(crate) sink: EventSink<ResourceEvent>,
    pub(crate) events: Events<ResourceEvent>,
}

/// Which HTTP client fetches the title.
pub(crate) enum Client {
    /// The one all resources of the process share, so that connections are reused.
    Shared,
    /// One of its own, with these options.
    Options(Box<NetOptions>, RetryPolicy),
    /// The caller's.
    Given(Arc<dyn Net>),
}

impl Client {
    pub(crate) fn net(self) -> Result<Arc<dyn Net>, Error> {
        match self {
            Self::Shared => shared_client(),
            Self::Options(options, retry) => {
                Ok(Arc::new(HttpClient::new(*options)?.with_retry(retry)))
            }
            Self::Given(net) => Ok(net),
        }
    }
}

impl fmt::Debug for ResourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceConfig")
            .field("src", &self.src)
            .field("name", &self.name)
            .field("hint", &self.hint)
            .field("preload", &self.preload)
            .field("look_ahead_bytes", &self.look_ahead_bytes)
            .finish_non_exhaustive()
    }
}

impl ResourceConfig {
    /// A title at an `http`, `https` or `file` URL, or at a path.
    ///
    /// # Errors
    /// Those of [`ResourceSrc::parse`].
    pub fn new(input: impl AsRef<str>) -> Result<Self, Error> {
        ResourceSrc::parse(input.as_ref()).map(Self::from_src)
    }

    /// A title whose place is already parsed, such as a path that is not UTF-8.
    pub fn from_src(src: impl Into<ResourceSrc>) -> Self {
        let (sink, events) = kithara_stream::events(EVENTS_KEPT);
        Self {
            src: src.into(),
            name: None,
            hint: None,
            cancel: None,
            pcm_pool: None,
            preload: 1,
            look_ahead_bytes: None,
            client: Client::Shared,
            store: Store::Shared,
            cache_name: None,
            ignore_no_store: false,
            sink,
            events,
        }
    }

    /// What logs call the title. Default: its redacted source.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A file name extension or media type, for bytes that show no container. Then what the server says, what the name
    /// ends in and this hint are asked, in this order, what to look for with less proof: MPEG audio and ADTS behind up to
    /// 1 MiB of something else, or only two frames of them; Ogg and FLAC behind as much. What the bytes do show always
    /// wins, and where nothing is found the error names what was claimed first.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A token that does from outside what dropping the resource does: everything ends, and reads fail with
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// Where the memory of decoded blocks comes from. Default: the pool of the process.
    #[must_use]
    pub fn with_pcm_pool(mut self, pool: PcmPool) -> Self {
        self.pcm_pool = Some(pool);
        self
    }

    /// How many decoded blocks must be ready before opening is done. Default 1.
    #[must_use]
    pub fn with_preload(mut self, blocks: usize) -> Self {
        self.preload = blocks;
        self
    }

    /// At most this many bytes are fetched ahead of the playhead. Default 4 MiB, at least 256 KiB.
    #[must_use]
    pub fn with_look_ahead_bytes(mut self, bytes: u64) -> Self {
        self.look_ahead_bytes = Some(bytes);
        self
    }

    /// An HTTP client of its own for this title: headers, proxy, certificates, time-outs.
    #[must_use]
    pub fn with_net(mut self, options: NetOptions) -> Self {
        self.client = Client::Options(Box::new(options), RetryPolicy::default());
        self
    }

    /// Fetches through this client, which may be shared between resources. It brings its own retries.
    #[must_use]
    pub fn with_client(mut self, client: Arc<dyn Net>) -> Self {
        self.client = Client::Given(client);
        self
    }

    /// The cache that keeps what is fetched and is asked before anything is. Default: one that all resources of the
    /// process share, in the user's cache folder, of at most 1 GiB. Files on this machine are never copied into it.
    ///
    /// Two users with different rights to one URL need stores with different
    /// [namespaces](kithara_assets::StoreOptions::namespace).
    #[must_use]
    pub fn with_store(mut self, store: AssetStore) -> Self {
        self.store = Store::Given(store);
        self
    }

    /// What the cache calls the title, in place of what its URL leads to. All URLs that are opened with one name share one
    /// copy: mirrors, say, or URLs that are signed in a way the [rule](kithara_assets::KeyRule) doesn't know. They must lead to
    /// the same content; where the servers' entity tags or lengths differ, each that is heard replaces the copy. The name is
    /// hashed and never stored. Has no effect on files on this machine.
    ///
    /// [`AssetStore::named_asset`] tells the id to pin or remove the title by.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use kithara::{AssetStoreBuilder, ResourceConfig, StoreOptions};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let store = AssetStoreBuilder::new(StoreOptions::at(dir.path())).build()?;
    /// let config = ResourceConfig::new("https://cdn7.example.com/x?ticket=1")?
    ///     .with_store(store.clone())
    ///     .with_cache_name("album 4, track 2");
    /// store.pin_asset(store.named_asset("album 4, track 2"))?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_cache_name(mut self, name: impl Into<String>) -> Self {
        self.cache_name = Some(name.into());
        self
    }

    /// Keeps nothing for the next time: what is fetched lies in a temporary file without a name until the resource ends.
    #[must_use]
    pub fn without_store(mut self) -> Self {
        self.store = Store::None;
        self
    }

    /// Keeps the title even if its server asks that it be not stored (`Cache-Control: no-store`, RFC 9111 §5.2.2.5).
    #[must_use]
    pub fn ignoring_no_store(mut self) -> Self {
        self.ignore_no_store = true;
        self
    }

    /// A subscription that also hears what happens while the title is being opened.
    pub fn events(&self) -> Events<ResourceEvent> {
        self.events.clone()
    }
}
