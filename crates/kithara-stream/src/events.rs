//! Events: a bounded, drop-oldest channel from the library to whoever cares.

use std::fmt;
use std::sync::Arc;

use tokio::sync::broadcast;

/// Where a part of the library reports events. Cheap to clone; reporting never waits.
pub struct EventSink<E> {
    report: Arc<dyn Fn(E) + Send + Sync>,
}

impl<E> Clone for EventSink<E> {
    fn clone(&self) -> Self {
        Self {
            report: Arc::clone(&self.report),
        }
    }
}

impl<E> fmt::Debug for EventSink<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSink")
    }
}

/// Reports to nobody.
impl<E> Default for EventSink<E> {
    fn default() -> Self {
        Self {
            report: Arc::new(|_| {}),
        }
    }
}

impl<E: 'static> EventSink<E> {
    /// Reports one event. Not for the audio thread: a subscriber may have to be woken.
    pub fn send(&self, event: E) {
        (self.report)(event);
    }

    /// A sink that shows each event to `look` before it reports it here. `look` runs where the event happens, which may be
    /// the I/O thread of all resources: it must not block or panic.
    #[must_use]
    pub fn inspect(&self, look: impl Fn(&E) + Send + Sync + 'static) -> Self {
        let outer = self.clone();
        Self {
            report: Arc::new(move |event| {
                look(&event);
                outer.send(event);
            }),
        }
    }

    /// A sink that reports here what is `wanted`, and nothing else. `wanted` must not block or panic either.
    #[must_use]
    pub fn filter(&self, wanted: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        let outer = self.clone();
        Self {
            report: Arc::new(move |event| {
                if wanted(&event) {
                    outer.send(event);
                }
            }),
        }
    }

    /// A sink for a part's own events that reports them here, converted. `convert` must not block or panic either.
    pub fn map<F: 'static>(
        &self,
        convert: impl Fn(F) -> E + Send + Sync + 'static,
    ) -> EventSink<F> {
        let outer = self.clone();
        EventSink {
            report: Arc::new(move |event| outer.send(convert(event))),
        }
    }
}

/// A channel that keeps the newest `capacity` events, at least one, for each subscriber.
pub fn events<E: Clone + Send + 'static>(capacity: usize) -> (EventSink<E>, Events<E>) {
    let (sender, receiver) = broadcast::channel(capacity.max(1));
    let sink = EventSink {
        // Nobody listening is not a failure.
        report: Arc::new(move |event| drop(sender.send(event))),
    };
    (sink, Events { receiver })
}

/// A subscription to events. It starts with the first event after it was made; one that lags loses the oldest and is
/// told how many.
pub struct Events<E> {
    receiver: broadcast::Receiver<E>,
}

impl<E> fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// A second subscription from here on.
impl<E: Clone> Clone for Events<E> {
    fn clone(&self) -> Self {
        Self {
            receiver: self.receiver.resubscribe(),
        }
    }
}

/// Why [`Events::recv`] returned no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// This many events were dropped because the subscriber was too slow. The next call returns the oldest kept one.
    #[error("{0} events were missed")]
    Lagged(u64),
    /// Everything that could report is gone.
    #[error("no more events will come")]
    Closed,
}

/// Why [`Events::try_recv`] returned no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// Nothing has happened since the last call.
    #[error("no event is waiting")]
    Empty,
    /// This many events were dropped because the subscriber was too slow.
    #[error("{0} events were missed")]
    Lagged(u64),
    /// Everything that could report is gone.
    #[error("no more events will come")]
    Closed,
}

impl<E: Clone> Events<E> {
    /// Waits for the next event, on any executor.
    pub async fn recv(&mut self) -> Result<E, RecvError> {
        self.receiver.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(missed) => RecvError::Lagged(missed),
            broadcast::error::RecvError::Closed => RecvError::Closed,
        })
    }

    /// Blocks until the next event.
    pub fn recv_blocking(&mut self) -> Result<E, RecvError> {
        pollster::block_on(self.recv())
    }

    /// The next event if one is waiting. Takes a short lock: not for the audio thread.
    pub fn try_recv(&mut self) -> Result<E, TryRecvError> {
        self.receiver.try_recv().map_err(|error| match error {
            broadcast::error::TryRecvError::Empty => TryRecvError::Empty,
            broadcast::error::TryRecvError::Lagged(missed) => TryRecvError::Lagged(missed),
            broadcast::error::TryRecvError::Closed => TryRecvError::Closed,
        })
    }
}
