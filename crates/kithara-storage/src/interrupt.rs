//! A lock-free way to make one blocked reader return early.

use std::task::Waker;

use crate::sync::{Arc, AtomicBool, AtomicWaker, Ordering};

/// Makes the one reader that waits with it return at once, from any thread.
///
/// A seek raises it so that a decoder blocked on bytes it no longer wants comes back. It belongs to the reader, not
/// to the resource: other readers of the same bytes wait on undisturbed.
///
/// [`raise`](Self::raise) takes no lock and makes at most one wake call, so it may be called on an audio thread.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    raised: AtomicBool,
    waiter: AtomicWaker,
}

impl Interrupt {
    /// An interrupt that nobody has raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the waiting reader, and keeps every later wait from blocking until [`clear`](Self::clear).
    pub fn raise(&self) {
        self.shared.raised.store(true, Ordering::Release);
        self.shared.waiter.wake();
    }

    /// Lets waits block again. Called by the reader's owner once it has seen why it was interrupted.
    pub fn clear(&self) {
        self.shared.raised.store(false, Ordering::Release);
    }

    /// Whether the interrupt is raised now.
    pub fn is_raised(&self) -> bool {
        self.shared.raised.load(Ordering::Acquire)
    }

    /// Registers who is to be woken. The caller checks [`is_raised`](Self::is_raised) after this, not before.
    pub fn register(&self, waker: &Waker) {
        self.shared.waiter.register(waker);
    }
}
