//! What the caller says about a title to open.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use kithara_assets::AssetStore;
use kithara_audio::{AudioConfig, AudioEffect, ReplayGainOptions, ResamplerQuality};
use kithara_bufpool::PcmPool;
use kithara_decode::{BackendPreference, CodecBackend, CodecSelector, FloatRange, GaplessMode};
use kithara_net::{HttpClient, Net, NetError, NetExt, NetOptions, RetryPolicy};
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
    /// What concerns decoding and reading, but for its events.
    pub(crate) audio: AudioConfig,
    pub(crate) look_ahead_bytes: Option<u64>,
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) cache_name: Option<String>,
    pub(crate) ignore_no_store: bool,
    #[cfg(feature = "hls")]
    pub(crate) hls: crate::hls_options::HlsOptions,
    pub(crate) sink: EventSink<ResourceEvent>,
    pub(crate) events: Events<ResourceEvent>,
}

/// Which HTTP client fetches the title.
#[derive(Clone)]
pub(crate) enum Client {
    /// The one all resources of the process share, so that connections are reused.
    Shared,
    /// One of its own, with these options.
    Options(Box<NetOptions>, RetryPolicy),
    /// The caller's.
    Given(Arc<dyn Net>),
}

impl Client {
    pub(crate) fn net(self) -> Result<Arc<dyn Net>, NetError> {
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
            .field("audio", &self.audio)
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
            audio: AudioConfig::new(),
            look_ahead_bytes: None,
            client: Client::Shared,
            store: Store::Shared,
            cache_name: None,
            ignore_no_store: false,
            #[cfg(feature = "hls")]
            hls: crate::hls_options::HlsOptions::default(),
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
    ///
    /// `hls`, `m3u8` and the media types of playlists open a URL as HLS at once, as its own `.m3u8` does. Without them a playlist
    /// is found out by its first bytes, which costs a request. One on this machine is found out by them in any case.
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
        self.audio = self.audio.with_pool(pool);
        self
    }

    /// How many decoded blocks must be ready before opening is done. Default 1.
    #[must_use]
    pub fn with_preload(mut self, blocks: usize) -> Self {
        self.audio = self.audio.with_preload(blocks);
        self
    }

    /// Adds an effect behind those given before: a filter, an equaliser, a meter. It changes what is decoded, ahead of the
    /// playhead; see [`AudioEffect`].
    #[must_use]
    pub fn with_effect(mut self, effect: Box<dyn AudioEffect>) -> Self {
        self.audio = self.audio.with_effect(effect);
        self
    }

    /// How the title's loudness tags (ReplayGain, R128) are applied; a [`ReplayGainMode`](kithara_audio::ReplayGainMode)
    /// will do. Default: not at all.
    ///
    /// ```
    /// # fn main() -> Result<(), kithara::Error> {
    /// use kithara::{ReplayGainMode, ReplayGainOptions, ResourceConfig};
    ///
    /// let album = ResourceConfig::new("song.flac")?.with_replay_gain(ReplayGainMode::Album);
    /// let louder = ReplayGainOptions::new(ReplayGainMode::Track).with_preamp(6.0);
    /// let track = ResourceConfig::new("song.flac")?.with_replay_gain(louder);
    /// # let _ = (album, track); Ok(()) }
    /// ```
    #[must_use]
    pub fn with_replay_gain(mut self, options: impl Into<ReplayGainOptions>) -> Self {
        self.audio = self.audio.with_replay_gain(options);
        self
    }

    /// How long the fades of [`Resource::try_read`](crate::Resource::try_read), and so those of a mixer, take: at most a
    /// second, 10 ms by default, none with zero. See [`AudioConfig::with_fades`].
    #[must_use]
    pub fn with_fades(mut self, length: Duration) -> Self {
        self.audio = self.audio.with_fades(length);
        self
    }

    /// Which frames at the ends are dropped because the codec added them. Default: what the media signals, so that tracks that
    /// follow each other on an album do so when they are read one after another. Positions, seeks and the duration are those of
    /// what is delivered.
    ///
    /// ```
    /// # fn main() -> Result<(), kithara::Error> {
    /// use kithara::{GaplessMode, ResourceConfig};
    ///
    /// let untrimmed = ResourceConfig::new("song.m4a")?.with_gapless(GaplessMode::Off);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_gapless(mut self, mode: GaplessMode) -> Self {
        self.audio = self.audio.with_gapless(mode);
        self
    }

    /// What becomes of floating-point samples that are no numbers, or are beyond all measure. Default: they become silence and
    /// full scale, and everything else stays as it is.
    #[must_use]
    pub fn with_float_range(mut self, floats: FloatRange) -> Self {
        self.audio = self.audio.with_float_range(floats);
        self
    }

    /// The sample rate of everything read, whatever the title's, between 1 and 768 kHz. Default: that of the title's
    /// beginning. It can be [changed](crate::Control::set_host_sample_rate) while the title plays.
    #[must_use]
    pub fn with_host_sample_rate(mut self, rate: NonZeroU32) -> Self {
        self.audio = self.audio.with_host_sample_rate(rate);
        self
    }

    /// The channels of everything read, whatever the title's, at most 32, made of those of the title as
    /// [`AudioConfig::with_channels`](kithara_audio::AudioConfig::with_channels) says. Default: those of the title's
    /// beginning.
    #[must_use]
    pub fn with_channels(mut self, channels: NonZeroU16) -> Self {
        self.audio = self.audio.with_channels(channels);
        self
    }

    /// How fast the title plays from the beginning; see [`Control::set_speed`](crate::Control::set_speed).
    #[must_use]
    pub fn with_speed(mut self, factor: f64) -> Self {
        self.audio = self.audio.with_speed(factor);
        self
    }

    /// How well sample rates are converted, where they are. Default: [`ResamplerQuality::High`].
    #[must_use]
    pub fn with_resampler_quality(mut self, quality: ResamplerQuality) -> Self {
        self.audio = self.audio.with_resampler_quality(quality);
        self
    }

    /// Which codec is accepted; anything else is refused by name. Default: any.
    #[must_use]
    pub fn with_codec(mut self, codec: CodecSelector) -> Self {
        self.audio = self.audio.with_codec(codec);
        self
    }

    /// Registers decoders that may stand in for the built-in ones: of the system, of a device, or of the caller's own
    /// making. Those registered first are asked first; what none of them decodes, the built-in decoders do.
    #[must_use]
    pub fn with_backend(mut self, backend: Arc<dyn CodecBackend>) -> Self {
        self.audio = self.audio.with_backend(backend);
        self
    }

    /// Which backends are asked, and in which order. Default: registered ones of the kind software, then the built-in
    /// decoders.
    #[must_use]
    pub fn with_backend_preference(mut self, preference: BackendPreference) -> Self {
        self.audio = self.audio.with_backend_preference(preference);
        self
    }

    /// Asks the decoders of the system or the device first, those registered and those of the features `apple` and `android`.
    /// They save power, and need not be exact.
    #[must_use]
    pub fn with_hardware_preference(self) -> Self {
        self.with_backend_preference(BackendPreference::Hardware)
    }

    /// At most this many bytes are fetched ahead of the playhead. Default 4 MiB, at least 256 KiB; for HLS 8 MiB, in whole
    /// segments.
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
    /// process share, in the user's cache folder, of at most 1 GiB. Files on this machine are never copied into it, not even the
    /// segments of a playlist there; those it names at URLs are.
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

    /// Keeps nothing for the next time: what is fetched lies in temporary files without names until the resource
    /// ends; of an HLS stream the last 32 segments that came whole and were let go of, at most 64 MiB of them.
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
