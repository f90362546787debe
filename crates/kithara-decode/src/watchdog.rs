//! One thread per process that notices decode threads stuck inside a codec.
//!
//! It is parked while nothing decodes. The first call into a codec after that unparks it; then it looks around every
//! two seconds, and goes back to sleep once nobody was inside a codec for a whole tick.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::Mutex;

use crate::WorkerFault;
use crate::guard::Mark;

/// How often it looks.
const TICK: Duration = Duration::from_secs(2);
/// The processor time one packet may take.
const LIMIT: Duration = Duration::from_secs(2);
/// Less than this between two looks is not work.
const IDLE: Duration = Duration::from_millis(20);

/// Stuck threads a process may have before it opens no more decoders.
const QUARANTINE: usize = 4;

static WATCHDOG: OnceLock<Option<Thread>> = OnceLock::new();
static ARMED: AtomicBool = AtomicBool::new(false);
/// Owned by the watchdog's thread. A lock because opening a decoder adds to it; never taken while decoding.
static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());
static STUCK: AtomicUsize = AtomicUsize::new(0);

/// A guarded thread as the watchdog saw it last.
struct Watched {
    mark: Weak<Mark>,
    calls: u64,
    reads: u64,
    /// The call and packet it was in when first seen there, and its thread's processor time then.
    since: Option<(u64, Option<Duration>)>,
    /// The processor time at the last look.
    last: Option<Duration>,
    given_up: bool,
}

/// Adds a guard. The same guard may be added again: it is watched once.
pub(crate) fn watch(mark: &Arc<Mark>) -> Result<(), WorkerFault> {
    if STUCK.load(Ordering::Relaxed) >= QUARANTINE {
        return Err(WorkerFault::Quarantined);
    }
    WATCHDOG
        .get_or_init(|| {
            let builder = thread::Builder::new().name("kithara-watchdog".into());
            let handle = builder.stack_size(64 * 1024).spawn(run).ok()?;
            Some(handle.thread().clone())
        })
        .as_ref()
        .ok_or(WorkerFault::Unwatched)?;
    let mut watched = WATCHED.lock();
    watched.retain(|entry| entry.mark.strong_count() > 0);
    if !watched
        .iter()
        .any(|entry| entry.mark.as_ptr() == Arc::as_ptr(mark))
    {
        watched.push(Watched {
            mark: Arc::downgrade(mark),
            calls: mark.calls(),
            reads: mark.reads(),
            since: None,
            last: None,
            given_up: false,
        });
    }
    Ok(())
}

/// Wakes the watchdog if it sleeps. One relaxed load when it does not.
pub(crate) fn arm() {
    if !ARMED.load(Ordering::Relaxed)
        && !ARMED.swap(true, Ordering::Relaxed)
        && let Some(Some(thread)) = WATCHDOG.get()
    {
        thread.unpark();
    }
}

/// Called by a thread that came back after it was given up.
pub(crate) fn release(mark: &Mark) {
    let mut watched = WATCHED.lock();
    let entry = watched
        .iter_mut()
        .find(|entry| std::ptr::eq(entry.mark.as_ptr(), mark));
    if let Some(entry) = entry
        && std::mem::take(&mut entry.given_up)
    {
        STUCK.fetch_sub(1, Ordering::Relaxed);
    }
}

fn run() {
    loop {
        while ARMED.load(Ordering::Relaxed) {
            thread::park_timeout(TICK);
            if !look() {
                ARMED.store(false, Ordering::Relaxed);
                // A thread may have entered while it still saw the flag set: look once more before sleeping for good.
                thread::park_timeout(TICK);
                if look() {
                    ARMED.store(true, Ordering::Relaxed);
                }
            }
        }
        thread::park();
    }
}

/// Judges every guarded thread; whether any was inside a codec since the last look.
fn look() -> bool {
    let mut spun = Vec::new();
    let mut busy = false;
    {
        let mut watched = WATCHED.lock();
        watched.retain(|entry| entry.mark.strong_count() > 0);
        for entry in watched.iter_mut() {
            let Some(mark) = entry.mark.upgrade() else {
                continue;
            };
            let (active, stuck) = entry.judge(&mark);
            busy |= active;
            if stuck {
                entry.given_up = true;
                STUCK.fetch_add(1, Ordering::Relaxed);
                spun.push(mark);
            }
        }
    }
    // Outside the lock: the callbacks are not ours.
    for mark in spun {
        tracing::error!(
            "a decoder spent more than {LIMIT:?} on one packet; its stream is given up"
        );
        mark.give_up();
    }
    busy
}

impl Watched {
    /// Whether the thread was at work inside a codec since the last look, and whether it is stuck there.
    fn judge(&mut self, mark: &Mark) -> (bool, bool) {
        let (calls, reads) = (mark.calls(), mark.reads());
        let moved = calls != self.calls;
        let waited = reads != self.reads || reads % 2 == 1;
        (self.calls, self.reads) = (calls, reads);
        let Some(call) = mark.call().filter(|_| !self.given_up) else {
            self.since = None;
            return (moved, false);
        };
        let processor = mark.thread().and_then(processor_time);
        let Some((_, first)) = self.since.filter(|(since, _)| *since == call) else {
            self.since = Some((call, processor));
            self.last = processor;
            return (true, false);
        };
        // Only a thread that waits for bytes needs no eye on it: when they come, it says so. One that got no processor
        // time on a loaded machine says nothing.
        let (worked, stuck) = match (first, processor) {
            (Some(first), Some(now)) => {
                let worked = self.last.replace(now).is_some_and(|last| now > last + IDLE);
                (worked, now.saturating_sub(first) > LIMIT)
            }
            // No processor time to be had: a whole tick without a read is as good.
            _ => (!waited, !waited),
        };
        let waiting = reads % 2 == 1;
        (moved || worked || !waiting, stuck)
    }
}

/// The processor time a thread of this process has used (`schedstat`: the first number, in nanoseconds). Allocates nothing, as
/// everything beside a title that plays.
#[cfg(target_os = "linux")]
fn processor_time(thread: u32) -> Option<Duration> {
    use std::io::{Read, Write};

    let mut path = [0; 48];
    let mut rest = path.as_mut_slice();
    write!(rest, "/proc/self/task/{thread}/schedstat").ok()?;
    let unused = rest.len();
    let path = str::from_utf8(&path[..path.len() - unused]).ok()?;
    let mut text = [0; 96];
    let read = std::fs::File::open(path).ok()?.read(&mut text).ok()?;
    let text = str::from_utf8(&text[..read]).ok()?;
    Some(Duration::from_nanos(
        text.split_ascii_whitespace().next()?.parse().ok()?,
    ))
}

#[cfg(not(target_os = "linux"))]
fn processor_time(_thread: u32) -> Option<Duration> {
    None
}
