//! State that one thread changes and others wait on, blocking or async, woken by the change itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// Longer than any honest wait in a test; turns a hang into a failure with a message.
const HANG_GUARD: Duration = Duration::from_secs(60);

/// Shared because the server's thread writes it while the test's thread, which may have no runtime, reads and waits.
#[derive(Debug)]
pub(crate) struct Board<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    state: Mutex<T>,
    changed: Condvar,
    notify: Notify,
}

impl<T> Clone for Board<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T> Board<T> {
    pub(crate) fn new(state: T) -> Self {
        let inner = Inner {
            state: Mutex::new(state),
            changed: Condvar::new(),
            notify: Notify::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.inner.state.lock())
    }

    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.inner.state.lock());
        self.inner.changed.notify_all();
        self.inner.notify.notify_waiters();
        result
    }

    /// Blocks the thread until `done` holds.
    ///
    /// # Panics
    /// After a minute, naming `what`.
    pub(crate) fn wait_blocking(&self, what: &str, mut done: impl FnMut(&T) -> bool) {
        let deadline = Instant::now() + HANG_GUARD;
        let mut state = self.inner.state.lock();
        while !done(&state) {
            let timed_out = self
                .inner
                .changed
                .wait_until(&mut state, deadline)
                .timed_out();
            assert!(!timed_out, "hang guard: {what} did not happen");
        }
    }

    /// Completes when `done` holds. Uses no timer, so that it works under a paused clock and in any runtime.
    pub(crate) async fn wait(&self, mut done: impl FnMut(&T) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.inner.notify.notified());
            // Registered before the look, or a change in between would be missed.
            changed.as_mut().enable();
            if done(&self.inner.state.lock()) {
                return;
            }
            changed.await;
        }
    }
}
