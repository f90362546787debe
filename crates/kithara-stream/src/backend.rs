//! A plan at work: the source of runs that a driver on the I/O thread feeds.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kithara_assets::AssetStore;
use kithara_net::Net;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::demand::DemandCell;
use crate::driver::{Driver, RunMessage, SeekRequest, Tools};
use crate::{EventSink, Interrupt, Plan, Run, SeekRoute, Source, StreamError, io_thread};

/// What a [`Backend`] works with.
pub struct BackendConfig<E> {
    pub(crate) net: Arc<dyn Net>,
    pub(crate) store: Option<AssetStore>,
    pub(crate) events: EventSink<E>,
    pub(crate) cancel: CancellationToken,
}

impl<E: 'static> BackendConfig<E> {
    /// This network, no cache, nobody who listens.
    pub fn new(net: Arc<dyn Net>) -> Self {
        Self {
            net,
            store: None,
            events: EventSink::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// Where bytes are kept; with `None`, in a temporary file until the stream ends.
    #[must_use]
    pub fn with_store(mut self, store: Option<AssetStore>) -> Self {
        self.store = store;
        self
    }

    /// Where to report events.
    #[must_use]
    pub fn with_events(mut self, events: EventSink<E>) -> Self {
        self.events = events;
        self
    }

    /// Cancelling it ends everything with [`StreamError::Cancelled`].
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }
}

impl<E> fmt::Debug for BackendConfig<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendConfig")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Runs a [`Plan`] on the library's I/O thread and hands out its runs. Dropping it ends every transfer.
pub struct Backend {
    runs: mpsc::UnboundedReceiver<RunMessage>,
    seeks: mpsc::UnboundedSender<SeekRequest>,
    interrupt: Interrupt,
    ended: Option<Result<(), StreamError>>,
    cancel: CancellationToken,
    _end: DropGuard,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Backend {
    /// Starts the plan. Returns at once; fails with [`StreamError::Worker`] if the I/O thread cannot be started.
    pub fn start<P: Plan>(plan: P, config: BackendConfig<P::Event>) -> Result<Self, StreamError> {
        let (demand, heard) = DemandCell::new();
        let (sender, runs) = mpsc::unbounded_channel();
        let (seeks, asked) = mpsc::unbounded_channel();
        let interrupt = Interrupt::new();
        let cancel = config.cancel.child_token();
        let driver = Driver::new(
            plan,
            Tools {
                net: config.net,
                store: config.store,
                events: config.events,
                cancel: cancel.clone(),
                demand,
                heard,
                seeks: asked,
                runs: sender,
                interrupt: interrupt.clone(),
            },
        );
        io_thread::spawn(driver.run())?;
        Ok(Self {
            runs,
            seeks,
            interrupt,
            ended: None,
            cancel: cancel.clone(),
            _end: cancel.drop_guard(),
        })
    }

    /// [`Source::next_run`] for a task. Pending until there is a run, an end or a failure.
    pub fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Run>, StreamError>> {
        if let Some(ended) = &self.ended {
            return Poll::Ready(ended.clone().map(|()| None));
        }
        self.interrupt.register(cx.waker());
        if self.interrupt.is_raised() {
            return Poll::Ready(Err(StreamError::Interrupted));
        }
        self.runs.poll_recv(cx).map(|message| match message {
            Some(Ok(Some(run))) => Ok(Some(run)),
            Some(Ok(None)) => {
                self.ended = Some(Ok(()));
                Ok(None)
            }
            Some(Err(error)) => {
                self.ended = Some(Err(error.clone()));
                Err(error)
            }
            None => Err(self.died()),
        })
    }

    /// The driver ends without an answer only if the stream was cancelled, or if it panicked.
    fn died(&self) -> StreamError {
        if self.cancel.is_cancelled() {
            return StreamError::Cancelled;
        }
        StreamError::Worker {
            what: "the stream's driver is gone".into(),
        }
    }
}

impl Source for Backend {
    fn next_run(&mut self) -> Result<Option<Run>, StreamError> {
        pollster::block_on(poll_fn(|cx| self.poll_run(cx)))
    }

    /// Waits for the driver's answer, which takes no longer than one turn of the I/O thread: after it, bytes that had
    /// failed are asked for again.
    fn seek(&mut self, to: Duration) -> Result<SeekRoute, StreamError> {
        let (answer, route) = oneshot::channel();
        let request = SeekRequest { to, answer };
        self.seeks.send(request).map_err(|_| self.died())?;
        pollster::block_on(route).map_err(|_| self.died())
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }
}
