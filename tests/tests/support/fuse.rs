//! Code of the caller's that panics at a moment of the test's choosing, and a guard against what hangs because of it.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Wake;
use std::thread;
use std::time::Duration;

/// Far more than anything here takes; reached only by something that hangs.
const HANG: Duration = Duration::from_secs(60);

/// Panics at its `at`-th call, counted from 0, and never again.
#[derive(Debug)]
pub struct Fuse {
    at: usize,
    calls: AtomicUsize,
}

impl Fuse {
    pub fn new(at: usize) -> Arc<Self> {
        let calls = AtomicUsize::new(0);
        Arc::new(Self { at, calls })
    }

    pub fn burn(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        assert_ne!(call, self.at, "the caller's own code panics");
    }

    pub fn has_blown(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > self.at
    }

    /// As if it had never been called.
    pub fn mend(&self) {
        self.calls.store(0, Ordering::Relaxed);
    }
}

impl Wake for Fuse {
    fn wake(self: Arc<Self>) {
        self.burn();
    }
}

/// Does `part` on a thread of its own, so that a hang has a name.
pub fn within<T: Send + 'static>(what: &str, part: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || drop(tell.send(part())));
    match told.recv_timeout(HANG) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
    }
}
