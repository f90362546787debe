//! The way back: what the blocked reader wants, told to the driver; and what the driver refuses, told to the reader.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{DEMAND_STEP, Demand, ResourceId, StreamError};

/// A cell that holds only the newest wish. The reader writes it, the driver hears of it as one input among others.
#[derive(Debug)]
pub(crate) struct DemandCell {
    newest: watch::Sender<Demand>,
    /// Refusals are rare and tiny, and both sides hold the lock for a move only.
    refused: Mutex<Refused>,
}

#[derive(Debug, Default)]
struct Refused {
    answer: Option<(ResourceId, u64, StreamError)>,
    reader: Option<std::task::Waker>,
}

impl DemandCell {
    pub(crate) fn new() -> (Arc<Self>, watch::Receiver<Demand>) {
        let (newest, heard) = watch::channel(Demand::default());
        let cell = Arc::new(Self {
            newest,
            refused: Mutex::default(),
        });
        (cell, heard)
    }

    /// The reader is blocked on these bytes.
    pub(crate) fn want(&self, resource: ResourceId, wanted: Range<u64>) {
        self.refused.lock().answer = None;
        self.newest.send_replace(Demand {
            resource,
            position: wanted.start,
            wanted: Some(wanted),
        });
    }

    /// The reader read on and stands here now.
    pub(crate) fn passed(&self, resource: ResourceId, position: u64) {
        self.newest.send_if_modified(|newest| {
            let step = newest.position.abs_diff(position) >= DEMAND_STEP;
            let changed = newest.wanted.is_some() || newest.resource != resource || step;
            if changed {
                *newest = Demand {
                    resource,
                    position,
                    wanted: None,
                };
            }
            changed
        });
    }

    /// Tells a reader waiting for this byte that it cannot have it.
    pub(crate) fn refuse(&self, resource: ResourceId, offset: u64, error: StreamError) {
        let reader = {
            let mut refused = self.refused.lock();
            refused.answer = Some((resource, offset, error));
            refused.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether the byte the reader waits for was refused.
    pub(crate) fn poll_refused(
        &self,
        cx: &Context<'_>,
        resource: ResourceId,
        offset: u64,
    ) -> Poll<StreamError> {
        let mut refused = self.refused.lock();
        let asked =
            |(of, at, _): &mut (ResourceId, u64, StreamError)| *of == resource && *at == offset;
        match refused.answer.take_if(asked) {
            Some((.., error)) => Poll::Ready(error),
            None => {
                refused.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
