//! What the caller says about a file to open.

use std::path::PathBuf;
use std::sync::Arc;

use kithara_stream::EventSink;
use kithara_stream::assets::{AssetStore, ResourceKey};
use kithara_stream::net::{Net, RedactedUrl};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{FileEvent, FilePolicy};

/// Where a file is.
#[derive(Clone)]
pub enum FileSrc {
    /// At an `http` or `https` URL, fetched by this client.
    Remote(Url, Arc<dyn Net>),
    /// On this machine.
    Local(PathBuf),
}

/// Prints no query and no user information.
impl std::fmt::Debug for FileSrc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Remote(url, _) => write!(f, "Remote({})", RedactedUrl::new(url)),
            Self::Local(path) => f.debug_tuple("Local").field(path).finish(),
        }
    }
}

/// How to open a file.
#[derive(Clone, Debug)]
pub struct FileConfig {
    pub(crate) src: FileSrc,
    pub(crate) policy: FilePolicy,
    pub(crate) store: Option<AssetStore>,
    pub(crate) cache_name: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) events: EventSink<FileEvent>,
    pub(crate) cancel: CancellationToken,
}

impl FileConfig {
    /// A file, opened with the defaults.
    pub fn new(src: FileSrc) -> Self {
        Self {
            src,
            policy: FilePolicy::default(),
            store: None,
            cache_name: None,
            hint: None,
            events: EventSink::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// Bounds how far fetching runs ahead of the reader.
    #[must_use]
    pub fn with_policy(mut self, policy: FilePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The cache that keeps what is fetched, and is asked before anything is. With `None` nothing is kept: bytes lie in an
    /// unnamed temporary file until the stream ends.
    #[must_use]
    pub fn with_store(mut self, store: Option<AssetStore>) -> Self {
        self.store = store;
        self
    }

    /// What the [store](Self::with_store) calls the file, in place of what its URL leads to: files of one name are one, and
    /// must have the same content. Has no effect on a file on this machine.
    #[must_use]
    pub fn with_cache_name(mut self, name: impl Into<String>) -> Self {
        self.cache_name = Some(name.into());
        self
    }

    /// What the store calls a file at this URL: a title of one resource.
    pub(crate) fn key(&self, url: &Url) -> Option<ResourceKey> {
        let store = self.store.as_ref()?;
        Some(match &self.cache_name {
            Some(name) => store.named(name, ""),
            None => store.key(url, url),
        })
    }

    /// A file name extension or media type, for bytes that show no container: asked what to look for after the media type
    /// of the server and the extension of the name.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Where to report events.
    #[must_use]
    pub fn with_events(mut self, events: EventSink<FileEvent>) -> Self {
        self.events = events;
        self
    }

    /// A token that ends the stream from outside.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }
}
