//! The mark a decode thread leaves so that a watchdog can tell whether it is stuck inside a codec.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::WorkerFault;
use crate::watchdog;

/// The watch over one decode thread. Cheap to clone: the decoder marks with it, its owner asks it.
///
/// Marking costs a few relaxed atomics and no system call. When the thread has spent more than 2 s of processor time
/// inside one packet (or on one header, where it walks over them), the guard is [spun](Self::is_spun) for good and the callback given to [`new`](Self::new) runs,
/// once, on the watchdog's thread.
#[derive(Clone)]
pub struct Guard {
    mark: Arc<Mark>,
}

/// What the decode thread writes and the watchdog reads.
pub(crate) struct Mark {
    /// Odd while the thread is inside a codec or demuxer. Written by the decode thread only.
    calls: AtomicU64,
    /// Odd while it waits for bytes. Written by the decode thread only.
    reads: AtomicU64,
    /// The kernel's id of the thread, 0 where unknown. Written by the decode thread only.
    thread: AtomicU32,
    spun: AtomicBool,
    on_spin: Box<dyn Fn() + Send + Sync>,
}

impl Guard {
    /// A guard that calls `on_spin` when its thread is found stuck. The callback must be short and must not block.
    pub fn new(on_spin: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            mark: Arc::new(Mark {
                calls: AtomicU64::new(0),
                reads: AtomicU64::new(0),
                thread: AtomicU32::new(0),
                spun: AtomicBool::new(false),
                on_spin: Box::new(on_spin),
            }),
        }
    }

    /// Whether the thread was found stuck in a codec. It stays so: the stream is given up.
    pub fn is_spun(&self) -> bool {
        self.mark.spun.load(Ordering::Acquire)
    }

    /// Puts the guard under the watchdog's eyes; fails when too many threads are stuck already.
    pub(crate) fn watch(&self) -> Result<(), WorkerFault> {
        watchdog::watch(&self.mark)
    }

    /// Marks "inside the codec" until the returned value is dropped.
    pub(crate) fn enter(&self) -> Inside<'_> {
        self.mark.thread.store(thread_id(), Ordering::Relaxed);
        add(&self.mark.calls, 1);
        watchdog::arm();
        Inside { mark: &self.mark }
    }

    /// Marks that one packet is done, or one header passed, within a call that may go through many.
    pub(crate) fn progress(&self) {
        // To the watchdog it is another call; odd stays odd.
        add(&self.mark.calls, 2);
    }

    /// Marks "waiting for bytes" until the returned value is dropped.
    pub(crate) fn reading(&self) -> Reading<'_> {
        add(&self.mark.reads, 1);
        Reading { mark: &self.mark }
    }
}

/// Nobody is told.
impl Default for Guard {
    fn default() -> Self {
        Self::new(|| {})
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("spun", &self.is_spun())
            .finish_non_exhaustive()
    }
}

impl Mark {
    /// The number of the call, or of the packet in it, that the thread is in, if it is in one.
    pub(crate) fn call(&self) -> Option<u64> {
        let calls = self.calls.load(Ordering::Relaxed);
        (calls % 2 == 1).then_some(calls)
    }

    /// How many calls and packets began or ended.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many reads began or ended.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// The kernel's id of the thread.
    pub(crate) fn thread(&self) -> Option<u32> {
        Some(self.thread.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// Gives the thread up.
    pub(crate) fn give_up(&self) {
        self.spun.store(true, Ordering::Release);
        (self.on_spin)();
    }
}

/// While it lives, the thread is inside a codec.
pub(crate) struct Inside<'a> {
    mark: &'a Mark,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        add(&self.mark.calls, 1);
        if self.mark.spun.load(Ordering::Relaxed) {
            watchdog::release(self.mark);
        }
    }
}

/// While it lives, the thread waits for bytes.
pub(crate) struct Reading<'a> {
    mark: &'a Mark,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        add(&self.mark.reads, 1);
        // The watchdog may have gone to sleep over a long wait.
        watchdog::arm();
    }
}

/// One writer only, so a load and a store will do where a read-modify-write would lock the bus.
fn add(counter: &AtomicU64, steps: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(steps),
        Ordering::Relaxed,
    );
}

/// The kernel's id of the calling thread, asked for once per thread; 0 where it cannot be had.
fn thread_id() -> u32 {
    thread_local! {
        static ID: Cell<Option<u32>> = const { Cell::new(None) };
    }
    ID.with(|cell| {
        cell.get().unwrap_or_else(|| {
            let id = ask_thread_id();
            cell.set(Some(id));
            id
        })
    })
}

#[cfg(target_os = "linux")]
fn ask_thread_id() -> u32 {
    // `/proc/thread-self` is a link to `PID/task/TID`.
    std::fs::read_link("/proc/thread-self")
        .ok()
        .and_then(|path| path.file_name()?.to_str()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn ask_thread_id() -> u32 {
    0
}
