//! The reading end.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kithara_bufpool::PcmPool;
use kithara_decode::{MediaDuration, PcmSpec, TrackMetadata};
use kithara_stream::{MediaInfo, Source, StreamError};

use crate::blocks::Blocks;
use crate::lane::{Feed, MarkerKind};
use crate::opening::Slot;
use crate::shared::Shared;
use crate::worker::{self, Held};
use crate::{AudioConfig, AudioControl, AudioError, Opening, PcmReader, ReadOutcome, ReadState};

/// The reading end of a title that a thread of its own decodes.
///
/// It may be sent to the thread that plays. Dropping it ends everything the open started: without waiting, without
/// freeing anything on the calling thread, at the price of one wake call, so an audio thread may do it.
pub struct Audio {
    // Not boxed: a box would be freed where the `Audio` is dropped.
    feed: Feed,
    spec: PcmSpec,
    channels: usize,
    /// Added to the samples taken from the feed, in frames, it gives the frame of the title. It wraps.
    offset: u64,
    /// The last `try_read` was filled, so that the next one that is not has run dry.
    playing: bool,
    /// The decode thread was told that the end was read.
    end_told: bool,
    pool: PcmPool,
    // Last, so that it is dropped last: the decode thread waits for it and then frees the rest.
    held: Arc<Held>,
}

/// What stands next in the feed.
enum Supply {
    /// This many samples.
    Samples(usize),
    /// Nothing now, or never.
    Nothing(ReadState),
}

impl Audio {
    /// Opens a title. Returns at once; `source` is called on the decode thread, so it may block.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kithara_audio::{Audio, AudioConfig, AudioError, PcmReader};
    /// use kithara_stream::{LocalSource, MediaInfo};
    ///
    /// let opening = Audio::open(
    ///     || Ok(Box::new(LocalSource::new("no such file.flac", MediaInfo::default()))),
    ///     AudioConfig::new(),
    /// );
    /// assert!(matches!(opening.wait(), Err(AudioError::Stream(_))));
    /// ```
    pub fn open<F>(source: F, config: AudioConfig) -> Opening
    where
        F: FnOnce() -> Result<Box<dyn Source>, StreamError> + Send + 'static,
    {
        let shared = Arc::new(Shared::starting_at(config.last_seek));
        let slot = Arc::new(Slot::new(Arc::clone(&shared)));
        worker::spawn(&shared, &slot, source, config);
        Opening::new(shared, slot)
    }

    pub(crate) fn new(held: Arc<Held>, feed: Feed, spec: PcmSpec, pool: PcmPool) -> Self {
        held.shared.hear(feed.id, feed.frame);
        Self {
            offset: feed.frame,
            feed,
            spec,
            channels: usize::from(spec.channels.get()),
            playing: false,
            end_told: false,
            pool,
            held,
        }
    }

    /// Reads like [`PcmReader::read`], on any executor. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Those of [`PcmReader::read`].
    pub async fn read_async(&mut self, out: &mut [f32]) -> Result<usize, AudioError> {
        poll_fn(|cx| self.poll_read(cx, out)).await
    }

    /// The rest of the title in blocks of 4096 frames or fewer, at full speed. Each call of `next` blocks; after an error or
    /// the end comes `None`. For offline work, not for an audio thread.
    pub fn blocks(&mut self) -> Blocks<'_> {
        Blocks::new(self)
    }

    /// A handle that commands this audio from elsewhere. Not for an audio thread, which should be given one.
    pub fn control(&self) -> AudioControl {
        AudioControl::new(Arc::clone(&self.held.shared))
    }

    /// Tags of the first run. May be called on an audio thread.
    pub fn metadata(&self) -> &TrackMetadata {
        &self.held.metadata
    }

    /// Container and codec of the first run, as found in its bytes. May be called on an audio thread.
    pub fn media_info(&self) -> &MediaInfo {
        &self.held.info
    }

    /// Keeps `company` until this audio has been dropped, and then lets the decode thread drop it: what travels with the
    /// audio to an audio thread, and was given here before, is not freed there. The first call counts.
    pub fn keep(&self, company: Arc<dyn Any + Send + Sync>) {
        // A second one is dropped here, which is not an audio thread's doing.
        let _ = self.held.company.set(company);
    }

    pub(crate) fn pool(&self) -> &PcmPool {
        &self.pool
    }

    /// The frame of the title that the next sample belongs to.
    pub(crate) fn frame(&self) -> u64 {
        let taken = self.feed.taken / self.channels as u64;
        self.offset.wrapping_add(taken)
    }
}

impl PcmReader for Audio {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn duration(&self) -> Option<MediaDuration> {
        self.held.shared.duration()
    }

    fn position(&self) -> Duration {
        self.held.shared.position()
    }

    fn read(&mut self, out: &mut [f32]) -> Result<usize, AudioError> {
        pollster::block_on(poll_fn(|cx| self.poll_read(cx, out)))
    }

    fn read_planar(&mut self, out: &mut [&mut [f32]]) -> Result<usize, AudioError> {
        if out.len() != self.channels {
            return Err(AudioError::WrongPlanes {
                planes: out.len(),
                channels: self.channels,
            });
        }
        let frames = out.iter().map(|plane| plane.len()).min().unwrap_or(0);
        let samples = self.require_frames(frames, frames)?;
        pollster::block_on(poll_fn(|cx| {
            self.poll_samples(cx, samples, |audio, samples| {
                audio.take_planar(out, samples);
            })
        }))
        .map(|samples| samples / self.channels)
    }

    fn try_read(&mut self, out: &mut [f32]) -> ReadOutcome {
        let wanted = out.len() - out.len() % self.channels;
        let mut done = 0;
        let mut state = ReadState::Playing;
        while done < wanted || wanted == 0 {
            match self.supply() {
                Supply::Samples(_) if wanted == 0 => break,
                Supply::Samples(count) => {
                    let count = count.min(wanted - done);
                    self.take(&mut out[done..done + count]);
                    done += count;
                }
                Supply::Nothing(found) => {
                    state = found;
                    break;
                }
            }
        }
        out[done..].fill(0.0);
        if self.playing && state == ReadState::Buffering {
            self.held.shared.count_underrun();
        }
        self.playing = state == ReadState::Playing;
        // A read that was given up may have left word that it waits.
        self.held.shared.wait_over();
        self.settle(done, state);
        ReadOutcome {
            frames: done / self.channels,
            state,
        }
    }
}

impl Audio {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut [f32],
    ) -> Poll<Result<usize, AudioError>> {
        let samples = self.require_frames(out.len() / self.channels, out.len())?;
        self.poll_samples(cx, samples, |audio, samples| {
            audio.take(&mut out[..samples]);
        })
    }

    /// The samples in `frames` frames, of which there must be one; `samples` is what the caller's buffer holds.
    fn require_frames(&self, frames: usize, samples: usize) -> Result<usize, AudioError> {
        if frames == 0 {
            return Err(AudioError::BufferTooSmall {
                samples,
                channels: self.channels,
            });
        }
        Ok(frames * self.channels)
    }

    /// Waits for samples and takes up to `wanted` of them; 0 at the end.
    fn poll_samples(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        mut take: impl FnMut(&mut Self, usize),
    ) -> Poll<Result<usize, AudioError>> {
        let mut registered = false;
        loop {
            let state = match self.supply() {
                Supply::Samples(count) => {
                    let count = count.min(wanted);
                    take(self, count);
                    self.held.shared.wait_over();
                    self.settle(count, ReadState::Playing);
                    self.ask_for_more();
                    return Poll::Ready(Ok(count));
                }
                Supply::Nothing(state) => state,
            };
            self.settle(0, state);
            match state {
                ReadState::Ended => {
                    self.held.shared.wait_over();
                    self.tell_end();
                    return Poll::Ready(Ok(0));
                }
                ReadState::Failed => {
                    self.held.shared.wait_over();
                    return Poll::Ready(Err(self.error()));
                }
                _ if registered => return Poll::Pending,
                _ => {
                    // And look again: it may have come in between.
                    self.held.shared.wait_for(wanted, cx.waker());
                    registered = true;
                    // It may sleep by the clock, for a reader that cannot wake it.
                    self.ask_for_more();
                }
            }
        }
    }

    /// Looks at what stands next. Wait-free.
    fn supply(&mut self) -> Supply {
        let shared = &self.held.shared;
        if shared.is_closed() {
            return Supply::Nothing(ReadState::Failed);
        }
        let newest = shared.wishes.newest();
        if self.feed.id != newest && shared.exchange.renew(&mut self.feed) {
            shared.hear(self.feed.id, self.feed.frame);
            self.offset = self.feed.frame;
            self.end_told = false;
        }
        if shared.is_paused() {
            return Supply::Nothing(ReadState::Paused);
        }
        if self.feed.id != newest {
            return Supply::Nothing(self.unless_dead(ReadState::Seeking));
        }
        // The samples before the markers: a marker that comes before a sample is visible with it.
        let mut count = self.feed.samples.slots();
        while let Ok(marker) = self.feed.markers.peek().copied() {
            if marker.at > self.feed.taken {
                let before = usize::try_from(marker.at - self.feed.taken).unwrap_or(usize::MAX);
                count = count.min(before);
                break;
            }
            match marker.kind {
                MarkerKind::Frame(frame) => {
                    let taken = self.feed.taken / self.channels as u64;
                    self.offset = frame.wrapping_sub(taken);
                    // Markers hold no memory, so this frees nothing.
                    let _ = self.feed.markers.pop();
                }
                MarkerKind::End => return Supply::Nothing(ReadState::Ended),
                MarkerKind::Failed => return Supply::Nothing(ReadState::Failed),
            }
        }
        if count > 0 {
            return Supply::Samples(count);
        }
        let state = self.unless_dead(ReadState::Buffering);
        // What it pushed before it died counts.
        let late = self.feed.samples.slots();
        if state == ReadState::Failed && late > 0 && self.feed.markers.is_empty() {
            return Supply::Samples(late);
        }
        Supply::Nothing(state)
    }

    fn unless_dead(&self, state: ReadState) -> ReadState {
        if self.held.shared.is_dead() {
            ReadState::Failed
        } else {
            state
        }
    }

    /// Takes samples that [`supply`](Self::supply) promised.
    fn take(&mut self, out: &mut [f32]) {
        let (taken, _) = self.feed.samples.pop_partial_slice(out);
        self.feed.taken += taken.len() as u64;
    }

    /// Takes samples that [`supply`](Self::supply) promised, one plane per channel.
    fn take_planar(&mut self, out: &mut [&mut [f32]], samples: usize) {
        let Ok(chunk) = self.feed.samples.read_chunk(samples) else {
            return;
        };
        let (front, back) = chunk.as_slices();
        for (index, sample) in front.iter().chain(back).enumerate() {
            out[index % self.channels][index / self.channels] = *sample;
        }
        chunk.commit_all();
        self.feed.taken += samples as u64;
    }

    /// Publishes what a read did.
    fn settle(&self, samples: usize, state: ReadState) {
        let queued = self.feed.samples.slots();
        let shared = &self.held.shared;
        shared.set_state(state);
        shared.took(
            samples / self.channels,
            self.frame(),
            queued / self.channels,
        );
    }

    /// Wakes a sleeping decode thread when less than half of the buffer is left, unless nothing more is to come.
    fn ask_for_more(&self) {
        let samples = &self.feed.samples;
        if self.feed.markers.is_empty()
            && samples.slots() < samples.buffer().capacity() / 2
            && self.held.shared.is_worker_parked()
        {
            self.held.shared.unpark_worker();
        }
    }

    /// Lets the decode thread report the end without waiting for its next look.
    fn tell_end(&mut self) {
        if !std::mem::replace(&mut self.end_told, true) {
            self.held.shared.unpark_worker();
        }
    }

    /// The error behind [`ReadState::Failed`].
    fn error(&self) -> AudioError {
        let shared = &self.held.shared;
        if shared.is_closed() {
            return AudioError::Closed;
        }
        match shared.death() {
            Some(error) => error.clone(),
            None => shared.failure(),
        }
    }
}

impl Drop for Audio {
    fn drop(&mut self) {
        self.held.shared.release();
    }
}

impl fmt::Debug for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audio")
            .field("spec", &self.spec)
            .field("frame", &self.frame())
            .finish_non_exhaustive()
    }
}
