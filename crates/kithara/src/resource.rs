//! One open title.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use kithara_audio::{Audio, AudioError, PcmReader, ReadOutcome, SeekId};
use kithara_decode::{MediaDuration, PcmChunk, PcmSpec, SeekMode, TrackMetadata};
use kithara_stream::{Events, MediaInfo};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::control::Traffic;
use crate::title::{Begun, Title};
use crate::{Control, Error, ErrorKind, ResourceConfig, ResourceEvent};

/// An open title that yields PCM.
///
/// Frames come interleaved as `f32` in the spec of the source, which is fixed at open. Reads return everything before a
/// failure exactly, then the same error until a seek. Dropping the resource ends everything it started, at once and
/// without blocking; an audio thread may do it, at the price of one wake call.
///
/// ```no_run
/// # fn main() -> Result<(), kithara::Error> {
/// use kithara::prelude::*;
///
/// let mut resource = Resource::blocking(ResourceConfig::new("song.flac")?)?;
/// let frames: usize = resource.blocks().map(|block| block.map(|b| b.frames())).sum::<Result<_, _>>()?;
/// # let _ = frames; Ok(()) }
/// ```
pub struct Resource {
    // Shared with the audio, which is dropped after it, so that none of it is freed where the resource is dropped.
    handles: Arc<Handles>,
    audio: Audio,
}

/// What a resource is besides its audio.
struct Handles {
    control: Control,
    events: Events<ResourceEvent>,
    cancel: CancellationToken,
    /// Keeps the caller's token watched for as long as there is something to end. Without a token nobody watches, so that
    /// a local file needs no I/O thread.
    _watch: Option<DropGuard>,
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("spec", &self.spec())
            .field("info", &self.media_info())
            .finish_non_exhaustive()
    }
}

/// How often an open begins anew because the title changed at its origin before anything of it was heard.
const RESTARTS: u32 = 2;

/// What stays with a title on its way to being open.
pub(crate) struct Start {
    traffic: Arc<Traffic>,
    events: Events<ResourceEvent>,
    cancel: CancellationToken,
    watched: bool,
    span: tracing::Span,
}

impl Resource {
    /// Opens a title; ready when its first block is decoded. An ordinary future: it works on any executor, and dropping
    /// it cancels the open.
    ///
    /// # Errors
    /// Whatever keeps the first block from being decoded; [`Error::kind`] tells.
    pub async fn new(config: ResourceConfig) -> Result<Self, Error> {
        let (title, start) = start(config)?;
        let mut restarts = 0;
        let (audio, begun) = loop {
            let mut begun = start.span.in_scope(|| title.open());
            let cancelled = Box::pin(start.cancel.clone().cancelled_owned());
            let opened = match select(&mut begun.opening, cancelled).await {
                Either::Left((opened, _)) => opened.map_err(|error| told(error, &start.cancel)),
                Either::Right(_) => Err(Error::cancelled()),
            };
            match opened {
                Err(error) if begins_anew(&error, &mut restarts) => {}
                opened => break (opened, begun),
            }
        };
        let audio = audio.inspect_err(|error| {
            start
                .span
                .in_scope(|| tracing::debug!(target: "kithara", %error, "not opened"));
        })?;
        start.span.in_scope(|| {
            tracing::debug!(target: "kithara", spec = ?audio.spec(), "opened");
        });
        Self::opened(audio, begun, start)
    }

    /// [`new`](Self::new) for callers without an async runtime: blocks the calling thread.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn blocking(config: ResourceConfig) -> Result<Self, Error> {
        pollster::block_on(Self::new(config))
    }

    fn opened(audio: Audio, begun: Begun, start: Start) -> Result<Self, Error> {
        let closer = audio.control();
        let watch = start
            .watched
            .then(|| kithara_stream::when_cancelled(&start.cancel, move || closer.close()))
            .transpose()?;
        let handles = Arc::new(Handles {
            control: begun.control(audio.control(), start.traffic),
            events: start.events,
            cancel: start.cancel,
            _watch: watch,
        });
        audio.keep(handles.clone());
        Ok(Self { handles, audio })
    }

    /// Sample rate and channels of what was read last, and of all that is read until somebody
    /// [wishes for another](crate::Control::set_host_sample_rate). May be called on an audio thread.
    pub fn spec(&self) -> PcmSpec {
        self.audio.spec()
    }

    /// Container and codec as found in the bytes.
    pub fn media_info(&self) -> &MediaInfo {
        self.audio.media_info()
    }

    /// What the file says of the title: texts, numbers, gains, pictures. It is known from the beginning and does not change.
    ///
    /// Nothing is fetched for it. From a URL it is what comes by in front of the audio, of large pictures only their kind and
    /// size ([`Picture::bytes`](crate::Picture::bytes) is `None`); from a local file, and from one that the cache has whole,
    /// also what stands at the end. `docs/formats.md` has the table. Never blocks; may be called on an audio thread.
    pub fn metadata(&self) -> &TrackMetadata {
        self.audio.metadata()
    }

    /// How long the title is: exact where the container says so, else an estimate, `None` where nothing tells. Takes a
    /// short lock: not for an audio thread.
    pub fn duration(&self) -> Option<MediaDuration> {
        self.audio.duration()
    }

    /// Reads interleaved samples, whole frames, and blocks until there is at least one frame. Returns the number of
    /// samples written; 0 only at the end. Waits while paused. Not for an audio thread.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if `out` cannot hold one frame. Everything else comes after every frame before it and is
    /// repeated until a seek.
    pub fn read(&mut self, out: &mut [f32]) -> Result<usize, Error> {
        self.audio
            .read(out)
            .map_err(|error| told(error, &self.handles.cancel))
    }

    /// Like [`read`](Self::read), one plane per channel; the shortest plane limits the frames. Returns frames.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), and [`ErrorKind::Config`] if the number of planes is not that of the channels.
    pub fn read_planar(&mut self, out: &mut [&mut [f32]]) -> Result<usize, Error> {
        self.audio
            .read_planar(out)
            .map_err(|error| told(error, &self.handles.cancel))
    }

    /// [`read`](Self::read) that waits without blocking, on any executor.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn read_async(&mut self, out: &mut [f32]) -> Result<usize, Error> {
        let read = self.audio.read_async(out).await;
        read.map_err(|error| told(error, &self.handles.cancel))
    }

    /// Reads what is ready and fills the rest of `out` with silence; tells how many frames are audio, and why no more.
    ///
    /// It fades at pauses, seeks and underruns, unless [that is switched off](ResourceConfig::with_fades).
    ///
    /// For the audio thread: it never waits, takes no lock, allocates and frees nothing, makes no system call. Meant to
    /// be called about as fast as the audio plays.
    pub fn try_read(&mut self, out: &mut [f32]) -> ReadOutcome {
        self.audio.try_read(out)
    }

    /// The rest of the title block by block, as fast as it can be decoded. Blocks the calling thread; ends after the
    /// last frame or the first error.
    pub fn blocks(&mut self) -> impl Iterator<Item = Result<PcmChunk, Error>> + '_ {
        let cancel = self.handles.cancel.clone();
        self.audio
            .blocks()
            .map(move |block| block.map_err(|error| told(error, &cancel)))
    }

    /// A handle that controls the resource from anywhere, also after the resource went into a mixer.
    pub fn control(&self) -> Control {
        self.handles.control.clone()
    }

    /// A subscription to everything the resource reports from now on. To hear what happens during the open as well, use
    /// [`ResourceConfig::events`].
    pub fn events(&self) -> Events<ResourceEvent> {
        self.handles.events.clone()
    }

    /// [`Control::seek`].
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] once the resource is closed.
    pub fn seek(&self, to: Duration, mode: SeekMode) -> Result<SeekId, Error> {
        self.handles.control.seek(to, mode)
    }

    /// [`Control::position`].
    pub fn position(&self) -> Duration {
        self.handles.control.position()
    }

    /// [`Control::pause`].
    pub fn pause(&self) {
        self.handles.control.pause();
    }

    /// [`Control::resume`].
    pub fn resume(&self) {
        self.handles.control.resume();
    }
}

impl PcmReader for Resource {
    fn spec(&self) -> PcmSpec {
        self.audio.spec()
    }

    fn duration(&self) -> Option<MediaDuration> {
        self.audio.duration()
    }

    fn position(&self) -> Duration {
        self.handles.control.position()
    }

    fn read(&mut self, out: &mut [f32]) -> Result<usize, AudioError> {
        self.audio.read(out)
    }

    fn read_planar(&mut self, out: &mut [&mut [f32]]) -> Result<usize, AudioError> {
        self.audio.read_planar(out)
    }

    fn try_read(&mut self, out: &mut [f32]) -> ReadOutcome {
        self.audio.try_read(out)
    }
}

pub(crate) fn start(config: ResourceConfig) -> Result<(Title, Start), Error> {
    let name = config
        .name
        .clone()
        .unwrap_or_else(|| config.src.to_string());
    let span = tracing::debug_span!(target: "kithara", "resource", name);
    let watched = config.cancel.is_some();
    let cancel = config.cancel.clone().unwrap_or_default();
    if cancel.is_cancelled() {
        return Err(Error::cancelled());
    }
    let traffic = Arc::new(Traffic::default());
    let counted = Arc::clone(&traffic);
    let sink = config
        .sink
        .clone()
        .inspect(move |event| counted.count(event));
    let events = config.events.clone();
    let title = Title::new(config, cancel.clone(), sink)?;
    let start = Start {
        traffic,
        events,
        cancel,
        watched,
        span,
    };
    Ok((title, start))
}

/// Whether a title that nobody has heard anything of yet begins with the new content: what was stored of the old one is
/// gone.
pub(crate) fn begins_anew(error: &Error, restarts: &mut u32) -> bool {
    *restarts += 1;
    error.kind() == ErrorKind::ContentChanged && *restarts <= RESTARTS
}

/// A close that the caller's token caused is a cancellation.
fn told(error: AudioError, cancel: &CancellationToken) -> Error {
    let error = Error::from(error);
    if error.kind() == ErrorKind::Closed && cancel.is_cancelled() {
        return Error::cancelled();
    }
    error
}
