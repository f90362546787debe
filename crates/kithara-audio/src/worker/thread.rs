//! The decode thread: how it starts, what it survives, and how it ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread;

use kithara_decode::{DecoderOptions, Guard, TrackMetadata};
use kithara_stream::{MediaInfo, Source, StreamError};

use super::Worker;
use super::title::{Halt, Title};
use crate::opening::Slot;
use crate::shared::Shared;
use crate::{Audio, AudioConfig, AudioError, AudioEvent};

/// Codecs recurse, and debug builds need more than release builds.
const STACK_BYTES: usize = 2 << 20;

/// What the `Audio` borrows from. The decode thread keeps a share and drops it last, so that dropping an `Audio` on an
/// audio thread frees nothing.
pub(crate) struct Held {
    pub(crate) shared: Arc<Shared>,
    pub(crate) metadata: TrackMetadata,
    pub(crate) info: MediaInfo,
    /// What the `Audio` was asked to keep.
    pub(crate) company: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// Starts a decode thread, which will tell `slot` how the open went.
pub(crate) fn spawn<F>(shared: &Arc<Shared>, slot: &Arc<Slot>, open: F, config: AudioConfig)
where
    F: FnOnce() -> Result<Box<dyn Source>, StreamError> + Send + 'static,
{
    let mut job = Job {
        shared: Arc::clone(shared),
        slot: Arc::clone(slot),
        config,
        worker: None,
        held: None,
    };
    let spawned = thread::Builder::new()
        .name("kithara-decode".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            job.contain(|job| job.work(open));
            job.end();
        });
    match spawned {
        Ok(handle) => shared.set_thread(handle.thread().clone()),
        Err(error) => slot.deliver(Err(AudioError::Worker {
            what: format!("the decode thread could not be started: {error}").into(),
        })),
    }
}

/// Everything the decode thread owns.
struct Job {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    config: AudioConfig,
    worker: Option<Worker>,
    held: Option<Arc<Held>>,
}

impl Job {
    /// From the first byte to the close.
    fn work<F>(&mut self, open: F)
    where
        F: FnOnce() -> Result<Box<dyn Source>, StreamError>,
    {
        match self.open(open) {
            Ok(audio) => self.slot.deliver(Ok(audio)),
            Err(halt) => return self.refuse(halt),
        }
        if let Some(worker) = &mut self.worker {
            worker.run();
        }
    }

    /// The title is not opened.
    fn refuse(&mut self, halt: Halt) {
        // Before anybody hears of it, and tries again.
        if let Some(worker) = self.worker.take() {
            worker.into_chain().give_back();
        }
        let error = match halt {
            Halt::Unwanted => AudioError::Closed,
            Halt::Failed(error) => {
                self.config.events.send(AudioEvent::Error(error.clone()));
                error
            }
        };
        self.slot.deliver(Err(error));
    }

    fn open<F>(&mut self, open: F) -> Result<Audio, Halt>
    where
        F: FnOnce() -> Result<Box<dyn Source>, StreamError>,
    {
        let source = open().map_err(|error| Halt::Failed(error.into()))?;
        // A seek wished for meanwhile is served once there is a decoder.
        self.shared.set_opening(true);
        self.shared.set_interrupt(source.interrupt());
        // Whoever closed before the interrupt was there to raise is seen here.
        if self.shared.is_unwanted() {
            return Err(Halt::Unwanted);
        }
        let options = DecoderOptions {
            codec: self.config.codec,
            gapless: self.config.gapless,
            backends: self.config.backends.clone(),
            preference: self.config.preference.clone(),
            floats: self.config.floats,
            pool: self.config.pool.clone(),
            guard: self.guard(),
        };
        let mut title = Title::new(
            Arc::clone(&self.shared),
            self.config.events.clone(),
            options,
            source,
        );
        let opened = title.open_next();
        self.shared.set_opening(false);
        let Some(run) = title.run().filter(|_| matches!(opened, Ok(true))) else {
            opened?;
            return Err(Halt::Failed(AudioError::Decode(title.nothing())));
        };
        let (metadata, info) = (title.metadata(), title.info());
        let fresh = Worker::new(Arc::clone(&self.shared), title, run.spec, &self.config)?;
        let worker = self.worker.insert(fresh);
        if !worker.preload(self.config.preload) {
            return Err(Halt::Unwanted);
        }
        if let Some(error) = worker.failed_at_once() {
            return Err(Halt::Failed(error));
        }
        let feed = worker.first_feed().ok_or(Halt::Unwanted)?;
        let shared = Arc::clone(&self.shared);
        let held = self.held.insert(Arc::new(Held {
            shared,
            metadata,
            info,
            company: OnceLock::new(),
        }));
        Ok(Audio::new(Arc::clone(held), *feed, &self.config))
    }

    /// Tells the reader, and whoever opens, when the watchdog gives this thread up: it may never return to say so.
    fn guard(&self) -> Guard {
        let shared = Arc::clone(&self.shared);
        let slot = Arc::downgrade(&self.slot);
        Guard::new(move || {
            let error = AudioError::Worker {
                what: "the decode thread is stuck in a codec".into(),
            };
            shared.die(error.clone());
            if let Some(slot) = slot.upgrade() {
                slot.deliver(Err(error));
            }
        })
    }

    /// Runs `part`; a panic in it ends this audio and nothing else.
    fn contain(&mut self, part: impl FnOnce(&mut Self)) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| part(self))) else {
            return;
        };
        let error = AudioError::Worker {
            what: format!("the decode thread panicked: {}", message(&*panic)).into(),
        };
        tracing::error!(%error);
        // The waker of the reader or the opener, or the listener, may be what panicked, and may panic again.
        let tell = |part: &dyn Fn()| drop(catch_unwind(AssertUnwindSafe(part)));
        tell(&|| self.shared.die(error.clone()));
        tell(&|| self.slot.deliver(Err(error.clone())));
        tell(&|| self.config.events.send(AudioEvent::Error(error.clone())));
    }

    /// Ends what the title started, at once; then waits for the `Audio` to let go of the rest.
    fn end(mut self) {
        let mut lanes = None;
        if let Some(worker) = self.worker.take() {
            // The source and the decoder are dropped here, and may panic.
            self.contain(|_| lanes = Some(worker.into_lanes()));
        }
        if let Some(held) = self.held.take() {
            while Arc::strong_count(&held) > 1 {
                if self.shared.is_released() {
                    // It has a handful of instructions left to do.
                    thread::yield_now();
                } else {
                    self.shared.park(None, || self.shared.is_released());
                }
            }
        }
        drop(lanes);
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
