//! What the newest run goes on with: the driver puts parts in, the run's reader takes them out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use kithara_storage::StorageResource;
use parking_lot::Mutex;

use crate::{PartKind, ResourceId, StreamError};

/// One resource of a run. It stays readable for as long as somebody holds this, whatever the store does.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) id: ResourceId,
    pub(crate) resource: StorageResource,
    pub(crate) kind: PartKind,
}

/// The driver's end of a feed. If it goes away while more was to come, whoever waits is told so.
#[derive(Debug)]
pub(crate) struct FeedWriter(Arc<Shared>);

/// The reader's end of a feed.
#[derive(Debug)]
pub(crate) struct FeedReader(Arc<Shared>);

/// A queue with a waker beside it: the reader must look and sign up in one step, which no channel of ours does for an end
/// that can be taken back. Both sides hold the lock for a move only.
#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    parts: VecDeque<Part>,
    ending: Ending,
    /// Nothing comes any more, until the listener seeks.
    failed: Option<StreamError>,
    reader: Option<Waker>,
}

/// What comes behind the parts that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// More.
    Open,
    /// Nothing.
    Closed,
    /// What should have come, will not.
    Cut {
        /// Nor will what is missing of the last part.
        torn: bool,
    },
}

/// A feed that is open, with nothing in it.
pub(crate) fn feed() -> (FeedWriter, FeedReader) {
    let shared = Arc::new(Shared(Mutex::new(State {
        parts: VecDeque::new(),
        ending: Ending::Open,
        failed: None,
        reader: None,
    })));
    (FeedWriter(Arc::clone(&shared)), FeedReader(shared))
}

impl FeedWriter {
    /// The run goes on with this; `false` if it can't, because its end was told.
    pub(crate) fn extend(&self, part: Part) -> bool {
        self.0.change(|state| {
            let open = state.ending == Ending::Open;
            if open {
                state.parts.push_back(part);
            }
            open
        })
    }

    /// Nothing follows.
    pub(crate) fn close(&self) {
        self.0.change(|state| {
            if state.ending == Ending::Open {
                state.ending = Ending::Closed;
            }
        });
    }

    /// What should have followed, from this part on if it is one, will not.
    pub(crate) fn cut_off(&self, from: Option<ResourceId>) {
        self.0.change(|state| {
            let mut torn = false;
            if let Some(from) = from {
                let waiting = state.parts.iter().position(|part| part.id == from);
                // The reader stands in it, or behind it already.
                torn = waiting.is_none();
                state.parts.truncate(waiting.unwrap_or(0));
            }
            // A run that was closed may be cut off yet: the last of its bytes don't come.
            state.ending = Ending::Cut { torn };
        });
    }

    /// Whoever waits is told why nothing comes.
    pub(crate) fn fail(&self, error: &StreamError) {
        self.0.change(|state| state.failed = Some(error.clone()));
    }

    /// Another run takes its place: nothing comes any more.
    pub(crate) fn supersede(self) {
        self.0.change(|state| {
            if state.ending == Ending::Open {
                state.ending = Ending::Cut { torn: true };
            }
        });
    }

    /// Goes on after [`fail`](Self::fail).
    pub(crate) fn reactivate(&self) {
        self.0.change(|state| state.failed = None);
    }
}

impl Drop for FeedWriter {
    fn drop(&mut self) {
        self.0.change(|state| {
            if state.ending == Ending::Open && state.failed.is_none() {
                state.failed = Some(StreamError::driver_gone());
            }
        });
    }
}

impl FeedReader {
    /// The next part; `None` at the end of the run.
    pub(crate) fn poll_part(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Part>, StreamError>> {
        let mut state = self.0.0.lock();
        if let Some(part) = state.parts.pop_front() {
            return Poll::Ready(Ok(Some(part)));
        }
        match (&state.failed, state.ending) {
            (Some(error), _) => Poll::Ready(Err(error.clone())),
            (None, Ending::Cut { .. }) => Poll::Ready(Err(StreamError::CutOff)),
            (None, Ending::Closed) => Poll::Ready(Ok(None)),
            (None, Ending::Open) => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Why the bytes of the part that was taken last will not come, once that is so.
    pub(crate) fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<StreamError> {
        let mut state = self.0.0.lock();
        match (&state.failed, state.ending) {
            (Some(error), _) => Poll::Ready(error.clone()),
            // A part that others wait behind is on its way still.
            (None, Ending::Cut { torn: true }) if state.parts.is_empty() => {
                Poll::Ready(StreamError::CutOff)
            }
            _ => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Why something of the run does not come, if that is so.
    pub(crate) fn reason(&self) -> Option<StreamError> {
        let state = self.0.0.lock();
        let cut = matches!(state.ending, Ending::Cut { .. }).then_some(StreamError::CutOff);
        state.failed.clone().or(cut)
    }
}

impl Shared {
    /// Changes the state, and lets the reader look again: after the lock is released, so that he need not wait for it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, reader) = {
            let mut state = self.0.lock();
            (change(&mut state), state.reader.take())
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        result
    }
}
