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
use crate::fade::Fades;
use crate::lane::{Feed, MarkerKind};
use crate::opening::Slot;
use crate::shared::Shared;
use crate::timeline::{Moment, Output};
use crate::volume::Volume;
use crate::worker::{self, Held};
use crate::{AudioConfig, AudioControl, AudioError, Opening, PcmReader, ReadOutcome, ReadState};

/// The reading end of a title that a thread of its own decodes.
///
/// It may be sent to the thread that plays. Dropping it ends everything the open started: without waiting, without
/// freeing anything on the calling thread, at the price of one wake call, so an audio thread may do it.
pub struct Audio {
    // Not boxed: a box would be freed where the `Audio` is dropped.
    feed: Feed,
    output: Output,
    channels: usize,
    /// Where the sample number `based` of the feed lies on the title's timeline.
    base: Moment,
    based: u64,
    /// Frames of the feed before this place were read from another one.
    skip_to: Option<Moment>,
    /// Where the last read began.
    began: Moment,
    volume: Volume,
    fades: Fades,
    /// The last `try_read` was filled, so that the next one that is not has run dry.
    playing: bool,
    /// The decode thread was told that the end was read.
    end_told: bool,
    pool: PcmPool,
    // Last, so that it is dropped last: the decode thread waits for it and then frees the rest.
    held: Arc<Held>,
}

/// What a pause does to frames that are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// It holds them back.
    Steps,
    /// It holds them back once what is heard has faded out.
    Fades,
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
        shared.output.prepare(&config);
        let slot = Arc::new(Slot::new(Arc::clone(&shared)));
        worker::spawn(&shared, &slot, source, config);
        Opening::new(shared, slot)
    }

    pub(crate) fn new(held: Arc<Held>, feed: Feed, config: &AudioConfig) -> Self {
        let heading = feed.heading;
        let mut audio = Self {
            feed,
            output: heading.output,
            channels: heading.output.channels(),
            base: heading.start,
            based: 0,
            skip_to: None,
            began: heading.start,
            volume: Volume::new(heading.output.spec.sample_rate),
            fades: Fades::new(heading.output.spec.sample_rate, config.fades),
            playing: false,
            end_told: false,
            pool: config.pool.clone(),
            held,
        };
        audio.enter();
        audio
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

    /// The title frame with which the last read began.
    pub(crate) fn began(&self) -> u64 {
        self.began.frame()
    }

    /// Where the next sample lies on the title's timeline.
    fn place(&self) -> Moment {
        self.skip_to.unwrap_or_else(|| self.next_in_feed())
    }

    /// Where the next sample of the feed lies, whether it is to be read or not.
    fn next_in_feed(&self) -> Moment {
        let frames = (self.feed.taken - self.based) / self.channels as u64;
        self.base.after(frames, self.output.speed)
    }
}

impl PcmReader for Audio {
    fn spec(&self) -> PcmSpec {
        self.output.spec
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
        let frames = out.iter().map(|plane| plane.len()).min().unwrap_or(0);
        let planes = out.len();
        let fit = |channels: usize| {
            if planes != channels {
                return Err(AudioError::WrongPlanes { planes, channels });
            }
            frames_fit(frames, frames, channels)
        };
        pollster::block_on(poll_fn(|cx| {
            self.poll_samples(cx, fit, |audio, samples| {
                audio.take_planar(out, samples);
            })
        }))
        .map(|samples| samples / self.channels)
    }

    fn try_read(&mut self, out: &mut [f32]) -> ReadOutcome {
        self.renew();
        let wanted = out.len() - out.len() % self.channels;
        let (done, state) = self.play(&mut out[..wanted]);
        let ended = state == ReadState::Ended;
        self.fades.silence(&mut out[done..], self.channels, ended);
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
    /// Takes what is ready of what is to be heard now: how many samples that were, and the state after them.
    fn play(&mut self, out: &mut [f32]) -> (usize, ReadState) {
        let mut done = 0;
        while done < out.len() || out.is_empty() {
            match self.supply(Pause::Fades) {
                Supply::Samples(_) if out.is_empty() => break,
                Supply::Samples(count) => {
                    let count = count.min(out.len() - done);
                    done += self.sound(&mut out[done..done + count]);
                }
                // Nothing is left to fade out with.
                Supply::Nothing(_) if self.is_fading_out() => self.fades.cut(),
                Supply::Nothing(state) => return (done, state),
            }
        }
        (done, ReadState::Playing)
    }

    /// Takes frames that [`supply`](Self::supply) promised, as they are to be heard; how many samples that were.
    fn sound(&mut self, out: &mut [f32]) -> usize {
        if !self.fades.is_sounding() {
            self.volume.silence();
        }
        let frames = out.len() / self.channels;
        let paused = self.held.shared.is_paused();
        let frames = self
            .fades
            .begin(frames, paused, self.place() == Moment::default());
        let out = &mut out[..frames * self.channels];
        self.take(out);
        self.fades.shape(out, self.channels);
        out.len()
    }

    /// Whether it is paused, but still heard.
    fn is_fading_out(&self) -> bool {
        self.held.shared.is_paused() && self.fades.outlasts_pause()
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut [f32],
    ) -> Poll<Result<usize, AudioError>> {
        let len = out.len();
        let fit = |channels: usize| frames_fit(len / channels, len, channels);
        self.poll_samples(cx, fit, |audio, samples| {
            audio.take(&mut out[..samples]);
        })
    }

    /// Waits for samples and takes as many as `fit` allows for the channels there are; 0 at the end.
    fn poll_samples(
        &mut self,
        cx: &mut Context<'_>,
        fit: impl Fn(usize) -> Result<usize, AudioError>,
        mut take: impl FnMut(&mut Self, usize),
    ) -> Poll<Result<usize, AudioError>> {
        let mut registered = false;
        loop {
            self.renew();
            let wanted = fit(self.channels)?;
            let state = match self.supply(Pause::Steps) {
                Supply::Samples(count) => {
                    let count = count.min(wanted);
                    self.began = self.place();
                    take(self, count);
                    self.fades.stand_aside();
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

    /// Goes over to a newer lane, if one is offered that follows what was read. Wait-free. Never called in the middle of a
    /// read, which yields frames of one output only.
    fn renew(&mut self) {
        let shared = &self.held.shared;
        if shared.is_closed() {
            return;
        }
        let heading = self.feed.heading;
        if heading.id == shared.wishes.newest() {
            let Some(begins) = shared.output.begins(heading.change) else {
                return;
            };
            // Until there, only the old lane has the frames; where it has no more, the new one goes on.
            let stands = self.place().nanos(heading.output.spec.sample_rate);
            if stands < begins && self.feed.samples.slots() > 0 {
                return;
            }
        }
        let place = self.place();
        if !shared.exchange.renew(&mut self.feed) {
            return;
        }
        let (old, new) = (heading.output.spec, self.feed.heading.output.spec);
        self.skip_to = (self.feed.heading.id == heading.id)
            .then(|| place.at_rate(old.sample_rate, new.sample_rate));
        if self.skip_to.is_none() {
            self.fades.cut();
        }
        self.enter();
    }

    /// Adopts what the feed says of itself.
    fn enter(&mut self) {
        let heading = self.feed.heading;
        self.output = heading.output;
        self.channels = heading.output.channels();
        (self.base, self.based) = (heading.start, 0);
        self.volume.set_rate(heading.output.spec.sample_rate);
        self.fades.set_rate(heading.output.spec.sample_rate);
        let shared = &self.held.shared;
        shared.set_spec(heading.output.spec);
        if self.skip_to.is_none() {
            let begins = heading.start.nanos(heading.output.spec.sample_rate);
            shared.hear(heading.id, begins);
            self.end_told = false;
        }
    }

    /// Looks at what stands next. Wait-free.
    fn supply(&mut self, pause: Pause) -> Supply {
        let shared = &self.held.shared;
        if shared.is_closed() {
            return Supply::Nothing(ReadState::Failed);
        }
        let newest = shared.wishes.newest();
        if shared.is_paused() && (pause == Pause::Steps || !self.fades.outlasts_pause()) {
            return Supply::Nothing(ReadState::Paused);
        }
        if self.feed.heading.id != newest {
            return Supply::Nothing(self.unless_dead(ReadState::Seeking));
        }
        loop {
            let count = match self.before_marker() {
                Ok(count) => count,
                Err(ended) => return Supply::Nothing(ended),
            };
            let skipped = self.skip(count);
            if skipped < count {
                return Supply::Samples(count - skipped);
            }
            if count == 0 {
                break;
            }
        }
        let state = self.unless_dead(ReadState::Buffering);
        // What it pushed before it died counts.
        let late = self.feed.samples.slots();
        if state == ReadState::Failed && late > 0 && self.feed.markers.is_empty() {
            return Supply::Samples(late);
        }
        Supply::Nothing(state)
    }

    /// The samples that come before the next marker that is not yet reached; what the feed ends with, if it is reached.
    fn before_marker(&mut self) -> Result<usize, ReadState> {
        // Looked at first: a marker that comes before a sample is visible with it.
        let count = self.feed.samples.slots();
        while let Ok(marker) = self.feed.markers.peek().copied() {
            if marker.at > self.feed.taken {
                let before = usize::try_from(marker.at - self.feed.taken).unwrap_or(usize::MAX);
                return Ok(count.min(before));
            }
            match marker.kind {
                MarkerKind::Place(place) => {
                    (self.base, self.based) = (place, self.feed.taken);
                    // Markers hold no memory, so this frees nothing.
                    let _ = self.feed.markers.pop();
                }
                MarkerKind::End => return Err(ReadState::Ended),
                MarkerKind::Failed => return Err(ReadState::Failed),
            }
        }
        Ok(count)
    }

    /// Leaves out of the next `count` samples what was read from another lane; how many.
    fn skip(&mut self, count: usize) -> usize {
        let Some(to) = self.skip_to else { return 0 };
        let frames = self.next_in_feed().frames_before(to, self.output.speed);
        let samples = usize::try_from(frames)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.channels);
        if samples <= count {
            self.skip_to = None;
        }
        let skipped = samples.min(count);
        self.feed.skip(skipped);
        skipped
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
        let wanted = &self.held.shared.loudness;
        self.volume.apply(wanted, taken, self.channels);
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
        let wanted = &self.held.shared.loudness;
        self.volume
            .apply_planar(wanted, out, samples / self.channels);
    }

    /// Publishes what a read did.
    fn settle(&self, samples: usize, state: ReadState) {
        let rate = self.output.spec.sample_rate;
        let queued = (self.feed.samples.slots() / self.channels) as u64;
        let shared = &self.held.shared;
        shared.set_state(state);
        shared.took(
            samples / self.channels,
            self.place().nanos(rate),
            Moment::at(queued).nanos(rate),
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
            .field("output", &self.output)
            .field("place", &self.place())
            .finish_non_exhaustive()
    }
}

/// The samples in `frames` frames, of which there must be one; `samples` is what the caller's buffer holds.
fn frames_fit(frames: usize, samples: usize, channels: usize) -> Result<usize, AudioError> {
    if frames == 0 {
        return Err(AudioError::BufferTooSmall { samples, channels });
    }
    Ok(frames * channels)
}
