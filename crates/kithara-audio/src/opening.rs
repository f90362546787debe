//! Audio that is being opened.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use crate::shared::Shared;
use crate::{Audio, AudioControl, AudioError};

/// Audio that is being opened: a future on any executor, or [`wait`](Self::wait). Ready when the first block is decoded.
///
/// Dropping it cancels everything at once, without waiting.
#[must_use = "dropping it cancels the open"]
pub struct Opening {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    done: bool,
}

impl Opening {
    pub(crate) fn new(shared: Arc<Shared>, slot: Arc<Slot>) -> Self {
        Self {
            shared,
            slot,
            done: false,
        }
    }

    /// Blocks until the open is done.
    ///
    /// # Errors
    /// What the future resolves to: why there is nothing to read.
    pub fn wait(self) -> Result<Audio, AudioError> {
        pollster::block_on(self)
    }

    /// A handle that works already: a seek made now is served before the open resolves, a close cancels it.
    pub fn control(&self) -> AudioControl {
        AudioControl::new(Arc::clone(&self.shared))
    }
}

impl Future for Opening {
    type Output = Result<Audio, AudioError>;

    /// Resolves to [`AudioError::Closed`] when polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.done {
            return Poll::Ready(Err(AudioError::Closed));
        }
        self.shared.register_opener(cx.waker());
        let result = match self.slot.claim() {
            Some(result) => result,
            // The thread may be inside something that cannot be interrupted; nobody waits for that.
            None if self.shared.is_closed() => Err(AudioError::Closed),
            None => return Poll::Pending,
        };
        self.done = true;
        self.slot.abandon();
        Poll::Ready(result)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if !self.done {
            self.shared.close();
            self.slot.abandon();
        }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// Where the decode thread leaves the outcome of an open.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    /// Written by whoever has an outcome first, taken by the opener. A lock because neither is an audio thread.
    state: Mutex<State>,
}

enum State {
    Waiting,
    // Boxed because an `Audio` is large beside nothing.
    Ready(Box<Result<Audio, AudioError>>),
    /// Taken, or nobody wants it any more.
    Settled,
}

impl Slot {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            state: Mutex::new(State::Waiting),
        }
    }

    /// Leaves an outcome. The first one counts; one that comes too late is dropped.
    pub(crate) fn deliver(&self, result: Result<Audio, AudioError>) {
        let mut late = Some(Box::new(result));
        {
            let mut state = self.state.lock();
            if matches!(*state, State::Waiting)
                && let Some(result) = late.take()
            {
                *state = State::Ready(result);
            }
        }
        // Outside the lock: dropping an `Audio` wakes its decode thread.
        drop(late);
        self.shared.wake_opener();
    }

    /// Takes the outcome, if there is one.
    fn claim(&self) -> Option<Result<Audio, AudioError>> {
        let mut state = self.state.lock();
        if matches!(*state, State::Waiting) {
            return None;
        }
        match std::mem::replace(&mut *state, State::Settled) {
            State::Ready(result) => Some(*result),
            State::Waiting | State::Settled => None,
        }
    }

    /// Refuses whatever is there or comes later.
    fn abandon(&self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Settled);
        drop(state);
    }
}
