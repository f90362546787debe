//! The output somebody wishes for, handed to the decode thread without a lock, and the word that it is there.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use kithara_decode::PcmSpec;

use crate::AudioConfig;
use crate::timeline::{Output, Speed};

/// The rates an output may have.
const RATES: (u32, u32) = (1_000, 768_000);
/// More channels than this are not given.
const CHANNELS: u16 = 32;

/// A cell for the output. Any thread wishes; the decode thread takes, and tells the reader when there is a lane of it.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// 0 for that of the first run.
    rate: AtomicU32,
    channels: AtomicU32,
    speed: AtomicU32,
    /// Counts the wishes; the decode thread has taken those up to `taken`.
    made: AtomicU64,
    taken: AtomicU64,
    /// Counts the lanes of another output that were offered to the reader. Written by the decode thread.
    change: AtomicU64,
    /// Where the frames of the newest such lane begin, in nanoseconds. Written before `change`.
    begins: AtomicU64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            rate: AtomicU32::new(0),
            channels: AtomicU32::new(0),
            speed: AtomicU32::new(Speed::NORMAL.millionths()),
            made: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            change: AtomicU64::new(0),
            begins: AtomicU64::new(0),
        }
    }
}

/// Called before anybody else has it.
impl Wanted {
    /// Notes what the title is opened with.
    pub(crate) fn prepare(&self, config: &AudioConfig) {
        if let Some(rate) = config.rate {
            self.set_rate(rate);
        }
        if let Some(channels) = config.channels {
            self.set_channels(channels);
        }
        self.set_speed(config.speed);
    }
}

/// Called from any thread.
impl Wanted {
    pub(crate) fn set_rate(&self, rate: NonZeroU32) {
        let rate = rate.get().clamp(RATES.0, RATES.1);
        self.rate.store(rate, Ordering::Relaxed);
        self.count();
    }

    pub(crate) fn set_channels(&self, channels: NonZeroU16) {
        let channels = channels.get().min(CHANNELS);
        self.channels.store(channels.into(), Ordering::Relaxed);
        self.count();
    }

    pub(crate) fn set_speed(&self, speed: Speed) {
        self.speed.store(speed.millionths(), Ordering::Relaxed);
        self.count();
    }

    pub(crate) fn speed(&self) -> Speed {
        Speed::from_millionths(self.speed.load(Ordering::Relaxed))
    }

    fn count(&self) {
        self.made.fetch_add(1, Ordering::Release);
        // Pairs with the fence in `Shared::park`: either the decode thread sees the wish, or its maker sees it parked.
        fence(Ordering::SeqCst);
    }
}

/// Called by the decode thread.
impl Wanted {
    /// Whether there is a wish that was not taken.
    pub(crate) fn is_new(&self) -> bool {
        self.made.load(Ordering::Acquire) != self.taken.load(Ordering::Relaxed)
    }

    /// The newest wish, for a title whose first run has the layout `source`.
    pub(crate) fn take(&self, source: PcmSpec) -> Output {
        let made = self.made.load(Ordering::Acquire);
        self.taken.store(made, Ordering::Relaxed);
        let rate = NonZeroU32::new(self.rate.load(Ordering::Relaxed));
        let channels = self.channels.load(Ordering::Relaxed) as u16;
        Output {
            spec: PcmSpec {
                sample_rate: rate.unwrap_or(source.sample_rate),
                channels: NonZeroU16::new(channels).unwrap_or(source.channels),
            },
            speed: self.speed(),
        }
    }

    /// A lane whose frames begin at `begins` was offered; its heading says `change`.
    pub(crate) fn tell(&self, change: u64, begins: Duration) {
        let nanos = u64::try_from(begins.as_nanos()).unwrap_or(u64::MAX);
        self.begins.store(nanos, Ordering::Relaxed);
        self.change.store(change, Ordering::Release);
    }
}

/// Called by the reader.
impl Wanted {
    /// Where the frames of another output begin, in nanoseconds, unless the reader's lane is of the newest.
    pub(crate) fn begins(&self, change: u64) -> Option<u64> {
        (self.change.load(Ordering::Acquire) != change).then(|| self.begins.load(Ordering::Relaxed))
    }
}
