//! A place in one resource that is still growing: what every blocking reader is made of.

use std::sync::Arc;
use std::task::{Context, Poll};

use kithara_storage::{ResourceExt, StorageError, StorageResource, WaitOutcome};

use crate::demand::DemandCell;
use crate::feed::Part;
use crate::{Interrupt, ResourceId, StreamError};

/// How often one byte may be lost after it was fetched again.
const MAX_LOST: u32 = 3;

/// How a reader reaches whoever fetches for it, and is reached.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) demand: Arc<DemandCell>,
    pub(crate) interrupt: Interrupt,
}

impl Lines {
    /// Whether the reader is called away.
    pub(crate) fn poll_interrupted(&self, cx: &Context<'_>) -> Poll<StreamError> {
        self.interrupt.register(cx.waker());
        match self.interrupt.is_raised() {
            true => Poll::Ready(StreamError::Interrupted),
            false => Poll::Pending,
        }
    }
}

/// A place in one resource: reads what is stored there, and waits for what isn't.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) resource: StorageResource,
    id: ResourceId,
    lines: Lines,
    pub(crate) position: u64,
    /// The byte that was found lost last, and how often in a row.
    lost: (u64, u32),
}

impl Cursor {
    /// The beginning of a resource.
    pub(crate) fn new(part: Part, lines: Lines) -> Self {
        Self {
            resource: part.resource,
            id: part.id,
            lines,
            position: 0,
            lost: (0, 0),
        }
    }

    /// Reads what is stored, and goes on behind it; 0 if nothing is.
    pub(crate) fn read_stored(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        if self.lines.interrupt.is_raised() {
            return Err(StreamError::Interrupted);
        }
        match self.resource.read_at(self.position, buf) {
            Ok(read) => {
                self.position += read as u64;
                Ok(read)
            }
            // The store has told whoever fetches: they are waited for like any other.
            Err(StorageError::Lost { .. }) if self.may_come_again() => Ok(0),
            Err(error) => Err(explain(error)),
        }
    }

    /// Whether it is known that nothing follows.
    pub(crate) fn is_at_end(&self) -> bool {
        self.resource.committed_len() == Some(self.position)
    }

    /// Tells where it stands.
    pub(crate) fn passed(&self) {
        self.lines.demand.passed(self.id, self.position);
    }

    /// Asks for the byte it stands at.
    pub(crate) fn want(&self) {
        let wanted = self.position..self.position.saturating_add(1);
        self.lines.demand.want(self.id, wanted);
    }

    /// Whether the byte can be read that was asked for, or is behind the end (`false`).
    pub(crate) fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<Result<bool, StreamError>> {
        if let Poll::Ready(error) = self.lines.demand.poll_refused(cx, self.id, self.position) {
            return Poll::Ready(Err(error));
        }
        self.poll_byte(cx)
    }

    /// The same of a byte that was not asked for.
    pub(crate) fn poll_byte(&self, cx: &mut Context<'_>) -> Poll<Result<bool, StreamError>> {
        if let Poll::Ready(error) = self.lines.poll_interrupted(cx) {
            return Poll::Ready(Err(error));
        }
        let wanted = self.position..self.position.saturating_add(1);
        self.resource
            .poll_range(cx, wanted)
            .map(|outcome| match outcome {
                Ok(WaitOutcome::Ready) => Ok(true),
                Ok(WaitOutcome::Eof) => Ok(false),
                Ok(WaitOutcome::Interrupted) => Err(StreamError::Interrupted),
                Err(error) => Err(explain(error)),
            })
    }

    /// Whether to wait for the byte at the position, which was just found lost. A disk that loses whatever is put there is
    /// not fed for ever.
    fn may_come_again(&mut self) -> bool {
        let (at, times) = self.lost;
        self.lost = (
            self.position,
            if at == self.position { times + 1 } else { 1 },
        );
        self.lost.1 <= MAX_LOST
    }
}

/// A failure of the store, or the stream error the driver failed the resource with.
fn explain(error: StorageError) -> StreamError {
    if let StorageError::Failed { cause, .. } = &error
        && let Some(stream) = cause.downcast_ref::<StreamError>()
    {
        return stream.clone();
    }
    match error {
        StorageError::Closed => StreamError::Closed,
        // A driver that ends says why, unless it panicked.
        StorageError::Abandoned { .. } => StreamError::driver_gone(),
        other => StreamError::Storage(Arc::new(other)),
    }
}
