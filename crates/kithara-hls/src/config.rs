//! What the caller says about a stream to open.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_abr::{AbrMode, AbrOptions};
use kithara_stream::assets::{AssetStore, ResourceKey};
use kithara_stream::net::{Net, RedactedUrl};
use kithara_stream::{EventSink, Interrupt};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::handle::HlsHandle;
use crate::shelved::SCHEME;
use crate::{AudioPreference, HlsEvent, KeyOptions};

/// What stands for a segment that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapPolicy {
    /// Silence of its exact length.
    Silence,
    /// Nothing: the position jumps over it.
    Skip,
    /// The stream stops in front of it, with an error that names it.
    Stop,
}

/// Whether encrypted segments are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EncryptedCache {
    /// Decrypted, in files that only the user can read.
    #[default]
    Clear,
    /// Not at all.
    Off,
}

/// How a stream is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HlsPolicy {
    /// So much time is fetched in front of the reader. 30 s.
    pub look_ahead: Duration,
    /// No segment is begun with more bytes than this in front of the reader. 8 MiB.
    pub look_ahead_bytes: u64,
    /// What stands for a segment that cannot be had. `None`: silence where the playlist announces a gap and in live streams,
    /// otherwise the stream stops.
    pub gap: Option<GapPolicy>,
    /// So many segments are fetched at once where a round trip takes longer than a segment. 3.
    pub parallel: usize,
    /// Whether encrypted segments are kept.
    pub encrypted: EncryptedCache,
    /// Whether to keep what the server asks not to store (`Cache-Control: no-store`). Default no.
    pub ignore_no_store: bool,
}

impl Default for HlsPolicy {
    fn default() -> Self {
        Self {
            look_ahead: Duration::from_secs(30),
            look_ahead_bytes: 8 << 20,
            gap: None,
            parallel: 3,
            encrypted: EncryptedCache::default(),
            ignore_no_store: false,
        }
    }
}

/// How to open a stream.
#[derive(Clone)]
pub struct HlsConfig {
    pub(crate) url: Url,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) store: Option<AssetStore>,
    pub(crate) cache_name: Option<String>,
    pub(crate) events: EventSink<HlsEvent>,
    pub(crate) cancel: CancellationToken,
    pub(crate) policy: HlsPolicy,
    pub(crate) abr: AbrOptions,
    pub(crate) keys: KeyOptions,
    pub(crate) audio: AudioPreference,
    pub(crate) base_url: Option<Url>,
    pub(crate) handle: HlsHandle,
    pub(crate) interrupt: Interrupt,
}

/// Prints no query and no user information.
impl std::fmt::Debug for HlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HlsConfig")
            .field("url", &RedactedUrl::new(&self.url))
            .field("policy", &self.policy)
            .field("abr", &self.abr)
            .field("keys", &self.keys)
            .field("audio", &self.audio)
            .finish_non_exhaustive()
    }
}

impl HlsConfig {
    /// The stream whose multivariant or media playlist is at `url`, fetched by `net`, with the defaults. For a playlist on this
    /// machine both are a [`FolderNet`](kithara_stream::net::FolderNet)'s.
    pub fn new(url: Url, net: Arc<dyn Net>) -> Self {
        Self {
            url,
            net,
            store: None,
            cache_name: None,
            events: EventSink::default(),
            cancel: CancellationToken::new(),
            policy: HlsPolicy::default(),
            abr: AbrOptions::default(),
            keys: KeyOptions::default(),
            audio: AudioPreference::default(),
            base_url: None,
            handle: HlsHandle::default(),
            interrupt: Interrupt::new(),
        }
    }

    /// The cache that keeps segments, and is asked before any is fetched. With `None` nothing is kept: bytes lie in unnamed
    /// temporary files until the stream ends.
    #[must_use]
    pub fn with_store(mut self, store: Option<AssetStore>) -> Self {
        self.store = store;
        self
    }

    /// What the [store](Self::with_store) calls the title, in place of what its URL leads to.
    #[must_use]
    pub fn with_cache_name(mut self, name: impl Into<String>) -> Self {
        self.cache_name = Some(name.into());
        self
    }

    /// Where to report events.
    #[must_use]
    pub fn with_events(mut self, events: EventSink<HlsEvent>) -> Self {
        self.events = events;
        self
    }

    /// A token that ends the stream from outside.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// How it is fetched.
    #[must_use]
    pub fn with_policy(mut self, policy: HlsPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How variants are chosen.
    #[must_use]
    pub fn with_abr(mut self, abr: AbrOptions) -> Self {
        self.abr = abr;
        self
    }

    /// Who chooses variants.
    #[must_use]
    pub fn with_abr_mode(mut self, mode: AbrMode) -> Self {
        self.abr.mode = mode;
        self
    }

    /// How keys are had.
    #[must_use]
    pub fn with_keys(mut self, keys: KeyOptions) -> Self {
        self.keys = keys;
        self
    }

    /// Which audio rendition is played, where there are several.
    #[must_use]
    pub fn with_audio(mut self, audio: AudioPreference) -> Self {
        self.audio = audio;
        self
    }

    /// What references in the first playlist are relative to, in place of its own URL. It grants nothing.
    #[must_use]
    pub fn with_base_url(mut self, url: Option<Url>) -> Self {
        self.base_url = url;
        self
    }

    /// The interrupt of what was read before, which the stream takes the place of. Default: one of its own.
    #[must_use]
    pub fn with_interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// A handle on the stream, from before it is opened until it ends.
    #[must_use]
    pub fn handle(&self) -> HlsHandle {
        self.handle.clone()
    }

    /// What the store calls the parts of this title.
    pub(crate) fn names(&self) -> Option<Names> {
        let store = self.store.clone()?;
        Some(Names {
            store,
            title: self.url.clone(),
            name: self.cache_name.clone(),
        })
    }
}

/// Names the parts of one title as its store does.
#[derive(Clone)]
pub(crate) struct Names {
    store: AssetStore,
    title: Url,
    name: Option<String>,
}

impl Names {
    /// What the store calls a part; one that a kept playlist names has that name.
    pub(crate) fn key(&self, resource: &Url, range: Option<&Range<u64>>) -> ResourceKey {
        if resource.scheme() == SCHEME
            && let Some(key) = self.note(&self.title).sibling(resource.path())
        {
            return key;
        }
        let part = range.map(|range| format!("{}-{}", range.start, range.end));
        let part = part.as_deref().unwrap_or_default();
        self.store
            .part_key(&self.title, self.name.as_deref(), resource, part)
    }

    /// What the store calls the note that is kept of a playlist.
    pub(crate) fn note(&self, playlist: &Url) -> ResourceKey {
        if playlist.scheme() == SCHEME {
            return self.key(playlist, None);
        }
        self.store
            .part_key(&self.title, self.name.as_deref(), playlist, "playlist")
    }
}
