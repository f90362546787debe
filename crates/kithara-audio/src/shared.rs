//! What the decode thread, the reader and the controls of one title share: atomics, and what may be locked off the
//! audio thread.

use std::num::{NonZeroU16, NonZeroU32};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use std::task::Waker;
use std::thread::{self, Thread};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use kithara_decode::{MediaDuration, PcmSpec};
use kithara_stream::Interrupt;
use parking_lot::Mutex;

use crate::lane::Exchange;
use crate::volume::Loudness;
use crate::wanted::Wanted;
use crate::wish::Wishes;
use crate::{AudioError, ReadState};

/// The link between the decode thread and everybody else.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) wishes: Wishes,
    pub(crate) exchange: Exchange,
    /// The output somebody wishes for.
    pub(crate) output: Wanted,
    pub(crate) loudness: Loudness,

    /// The decode thread, for waking. Set before anybody else has the link.
    thread: OnceLock<Thread>,
    /// That of the source. Set by the decode thread once it has one.
    interrupt: OnceLock<Interrupt>,
    /// The layout of what is read: rate and channels in one word, 0 before the open. Written at open, then by the reader.
    spec: AtomicU64,
    /// Why the decode thread does nothing any more. Set at most once.
    death: OnceLock<AudioError>,

    closed: AtomicBool,
    paused: AtomicBool,
    /// The `Audio` is being dropped: the last that the decode thread waits for.
    released: AtomicBool,

    /// The wish whose frames are being decoded. Written by the decode thread.
    serving: AtomicU64,
    /// A decoder is being opened, which a seek does not interrupt. Written by the decode thread.
    opening: AtomicBool,
    /// The decode thread sleeps, or is about to look once more before it does.
    parked: AtomicBool,
    wakes: AtomicU64,

    /// Who waits for the open.
    opener: AtomicWaker,
    /// Who waits in a blocking or async read.
    reader: AtomicWaker,
    /// How many samples that reader would like before it is woken; 0 if nobody waits.
    wanted: AtomicUsize,
    /// Samples were pushed that a waiting reader was not woken for. Written by the decode thread.
    untold: AtomicBool,
    /// The wish whose frames are being read, and what follows: written by the reader.
    heard: AtomicU64,
    /// In nanoseconds of the title.
    position: AtomicU64,
    frames_read: AtomicU64,
    /// In nanoseconds of listening.
    buffered: AtomicU64,
    underruns: AtomicU64,
    state: AtomicU8,

    /// Written by the decode thread, read by whoever asks. Locks because the values are not words, and because neither
    /// side is an audio thread.
    duration: Mutex<Option<MediaDuration>>,
    failure: Mutex<Option<AudioError>>,
}

impl Shared {
    /// The first seek gets the id after `id`.
    pub(crate) fn starting_at(id: u64) -> Self {
        Self {
            wishes: Wishes::starting_at(id),
            exchange: Exchange::default(),
            output: Wanted::default(),
            loudness: Loudness::default(),
            thread: OnceLock::new(),
            interrupt: OnceLock::new(),
            spec: AtomicU64::new(0),
            death: OnceLock::new(),
            closed: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            released: AtomicBool::new(false),
            serving: AtomicU64::new(id),
            opening: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            wakes: AtomicU64::new(0),
            opener: AtomicWaker::new(),
            reader: AtomicWaker::new(),
            wanted: AtomicUsize::new(0),
            untold: AtomicBool::new(false),
            heard: AtomicU64::new(id),
            position: AtomicU64::new(0),
            frames_read: AtomicU64::new(0),
            buffered: AtomicU64::new(0),
            underruns: AtomicU64::new(0),
            state: AtomicU8::new(ReadState::Buffering.code()),
            duration: Mutex::new(None),
            failure: Mutex::new(None),
        }
    }
}

/// Facts that are set once.
impl Shared {
    pub(crate) fn set_thread(&self, thread: Thread) {
        // Nobody else has the link yet, so nothing was set before.
        let _ = self.thread.set(thread);
    }

    pub(crate) fn set_interrupt(&self, interrupt: Interrupt) {
        let _ = self.interrupt.set(interrupt);
    }

    pub(crate) fn set_spec(&self, spec: PcmSpec) {
        let word = u64::from(spec.sample_rate.get()) << 16 | u64::from(spec.channels.get());
        self.spec.store(word, Ordering::Relaxed);
    }

    pub(crate) fn spec(&self) -> Option<PcmSpec> {
        let word = self.spec.load(Ordering::Relaxed);
        Some(PcmSpec {
            sample_rate: NonZeroU32::new((word >> 16) as u32)?,
            channels: NonZeroU16::new(word as u16)?,
        })
    }

    /// The decode thread does nothing any more, because of `error`. Wakes the reader.
    pub(crate) fn die(&self, error: AudioError) {
        // The first reason stays.
        let _ = self.death.set(error);
        self.wake_reader();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.death.get().is_some()
    }

    pub(crate) fn death(&self) -> Option<&AudioError> {
        self.death.get()
    }
}

/// Called by controls, from any thread.
impl Shared {
    /// Makes the decode thread look around, after there is something to see: out of a blocked read, or out of its sleep.
    /// No lock. At most one of the two costs a system call: the thread cannot be in both, and if it comes out of the one
    /// and goes into the other meanwhile, it has seen what there is.
    pub(crate) fn call_worker(&self) {
        if let Some(interrupt) = self.interrupt.get() {
            interrupt.raise();
        }
        if self.is_worker_parked() && self.has_news() {
            self.unpark_worker();
        }
    }

    /// Makes the decode thread look around if it sleeps; a read it is in goes on. No lock, at most one system call.
    pub(crate) fn nudge_worker(&self) {
        if self.is_worker_parked() {
            self.unpark_worker();
        }
    }

    /// Whether there is something that the decode thread has not acted upon: a wish, another output, or a close.
    pub(crate) fn has_news(&self) -> bool {
        self.is_closed() || self.wishes.newest() != self.serving() || self.output.is_new()
    }

    pub(crate) fn unpark_worker(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // Pairs with the fence in `is_unwanted`.
        fence(Ordering::SeqCst);
        self.call_worker();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The `Audio` lets go; the decode thread frees what both used.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Release);
        self.close();
    }

    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub(crate) fn register_opener(&self, waker: &Waker) {
        // Woken while it registers, it may panic here: what it was woken for is there all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| self.opener.register(waker)));
    }

    pub(crate) fn wake_opener(&self) {
        self.opener.wake();
    }

    pub(crate) fn wake_reader(&self) {
        self.wanted.store(0, Ordering::Relaxed);
        self.reader.wake();
    }

    /// The time of the next frame to be read, or where the newest seek will land.
    pub(crate) fn position(&self) -> Duration {
        if self.heard.load(Ordering::Acquire) != self.wishes.newest() {
            // Without one it is being written over by the next.
            return self
                .wishes
                .wish()
                .map_or(Duration::ZERO, |wish| wish.target);
        }
        Duration::from_nanos(self.position.load(Ordering::Relaxed))
    }

    pub(crate) fn state(&self) -> ReadState {
        if self.is_closed() || (self.is_dead() && self.buffered().is_zero()) {
            return ReadState::Failed;
        }
        if self.is_paused() {
            return ReadState::Paused;
        }
        if self.heard.load(Ordering::Acquire) != self.wishes.newest() {
            return ReadState::Seeking;
        }
        ReadState::from_code(self.state.load(Ordering::Relaxed))
    }

    pub(crate) fn duration(&self) -> Option<MediaDuration> {
        *self.duration.lock()
    }

    pub(crate) fn frames_read(&self) -> u64 {
        self.frames_read.load(Ordering::Relaxed)
    }

    pub(crate) fn buffered(&self) -> Duration {
        Duration::from_nanos(self.buffered.load(Ordering::Relaxed))
    }

    pub(crate) fn underruns(&self) -> u64 {
        self.underruns.load(Ordering::Relaxed)
    }

    pub(crate) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }
}

/// Called by the reader. Stores only: it may be an audio thread.
impl Shared {
    /// The reader has come to the frames of the wish `id`, which begin at `position`, in nanoseconds.
    pub(crate) fn hear(&self, id: u64, position: u64) {
        // What was found in the frames before must not be taken for a finding in these.
        self.set_state(ReadState::Seeking);
        self.position.store(position, Ordering::Relaxed);
        self.heard.store(id, Ordering::Release);
    }

    /// The reader took `frames` and stands at `position`, with `buffered` before it, both in nanoseconds.
    pub(crate) fn took(&self, frames: usize, position: u64, buffered: u64) {
        let read = self.frames_read().wrapping_add(frames as u64);
        self.frames_read.store(read, Ordering::Relaxed);
        self.position.store(position, Ordering::Relaxed);
        self.buffered.store(buffered, Ordering::Relaxed);
    }

    pub(crate) fn set_state(&self, state: ReadState) {
        self.state.store(state.code(), Ordering::Relaxed);
    }

    /// What the reader found last, whatever has been asked for since.
    pub(crate) fn found(&self) -> ReadState {
        ReadState::from_code(self.state.load(Ordering::Relaxed))
    }

    /// Whether the reader has read the last frame of what is being decoded.
    pub(crate) fn has_reached_end(&self) -> bool {
        self.heard.load(Ordering::Acquire) == self.serving() && self.found() == ReadState::Ended
    }

    pub(crate) fn count_underrun(&self) {
        self.underruns
            .store(self.underruns() + 1, Ordering::Relaxed);
    }

    /// Registers a reader that waits for `samples`. It looks once more after this.
    pub(crate) fn wait_for(&self, samples: usize, waker: &Waker) {
        // Woken while it registers, it may panic here: that ends the title as it does where the decode thread wakes it.
        if catch_unwind(AssertUnwindSafe(|| self.reader.register(waker))).is_err() {
            self.die(AudioError::Worker {
                what: "the waker of the reader panicked".into(),
            });
        }
        self.wanted.store(samples.max(1), Ordering::SeqCst);
        // Pairs with the fence in `samples_wanted`: either the reader sees the samples, or the worker sees the reader.
        fence(Ordering::SeqCst);
    }

    /// The reader waits no longer, though perhaps nobody woke it: its waker is not to be touched by an audio thread.
    pub(crate) fn wait_over(&self) {
        self.wanted.store(0, Ordering::Relaxed);
    }

    /// Whether the decode thread sleeps.
    pub(crate) fn is_worker_parked(&self) -> bool {
        // Pairs with the fence in `park`: either the worker sees the room just made, or this sees it parked.
        fence(Ordering::SeqCst);
        self.parked.load(Ordering::SeqCst)
    }

    /// The error that goes with the `Failed` the reader found in its ring.
    pub(crate) fn failure(&self) -> AudioError {
        self.failure.lock().clone().unwrap_or(AudioError::Closed)
    }
}

/// Called by the decode thread.
impl Shared {
    pub(crate) fn serving(&self) -> u64 {
        self.serving.load(Ordering::Relaxed)
    }

    /// Where the reader stands, if it has come to the frames of the wish being served.
    pub(crate) fn heard_position(&self) -> Option<Duration> {
        (self.heard.load(Ordering::Acquire) == self.serving())
            .then(|| Duration::from_nanos(self.position.load(Ordering::Relaxed)))
    }

    pub(crate) fn serve(&self, id: u64) {
        self.serving.store(id, Ordering::Relaxed);
    }

    pub(crate) fn set_opening(&self, opening: bool) {
        self.opening.store(opening, Ordering::Relaxed);
    }

    /// Whether what the decode thread is doing has become pointless. Asked after clearing an interrupt.
    pub(crate) fn is_unwanted(&self) -> bool {
        // The interrupt is raised after a wish is counted, and cleared before this: whichever way the two meet, a
        // cleared wish is seen here.
        fence(Ordering::SeqCst);
        let overtaken = self.wishes.newest() != self.serving();
        self.is_closed() || (overtaken && !self.opening.load(Ordering::Relaxed))
    }

    /// How many samples a waiting reader would like; `None` if nobody waits. Asked after samples were pushed.
    pub(crate) fn samples_wanted(&self) -> Option<usize> {
        fence(Ordering::SeqCst);
        Some(self.wanted.load(Ordering::SeqCst)).filter(|wanted| *wanted > 0)
    }

    /// Wakes the reader if it waits.
    pub(crate) fn flush(&self) {
        self.untold.store(false, Ordering::Relaxed);
        if self.samples_wanted().is_some() {
            self.wake_reader();
        }
    }

    /// Samples were pushed, for which a waiting reader is woken later.
    pub(crate) fn pushed(&self) {
        self.untold.store(true, Ordering::Relaxed);
    }

    /// Wakes the reader if it waits and something was pushed for it: nothing more will come soon.
    pub(crate) fn flush_pushed(&self) {
        if self.untold.load(Ordering::Relaxed) {
            self.flush();
        }
    }

    /// Sleeps until somebody unparks the decode thread, at most for `timeout`, unless `needed` already, which includes
    /// everything it is called for. May return early for no reason.
    pub(crate) fn park(&self, timeout: Option<Duration>, needed: impl FnOnce() -> bool) {
        self.parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !needed() {
            match timeout {
                Some(timeout) => thread::park_timeout(timeout),
                None => thread::park(),
            }
            self.wakes
                .store(self.wakes().wrapping_add(1), Ordering::Relaxed);
        }
        self.parked.store(false, Ordering::SeqCst);
    }

    pub(crate) fn set_duration(&self, duration: Option<MediaDuration>) {
        *self.duration.lock() = duration;
    }

    pub(crate) fn set_failure(&self, error: AudioError) {
        *self.failure.lock() = Some(error);
    }
}
