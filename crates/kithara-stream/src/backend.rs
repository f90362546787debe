//! A plan at work: the source of runs that a driver on the I/O thread feeds.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use kithara_assets::AssetStore;
use kithara_net::Net;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cursor::Lines;
use crate::demand::DemandCell;
use crate::driver::{Answer, Driver, Request, Tools};
use crate::runs::Told;
use crate::{
    CommandReceiver, EventSink, Interrupt, Plan, Rejection, ResourceId, Run, SeekRoute, Source,
    StreamError, io_thread,
};

/// What a [`Backend`] works with.
pub struct BackendConfig<E> {
    pub(crate) net: Arc<dyn Net>,
    pub(crate) store: Option<AssetStore>,
    pub(crate) events: EventSink<E>,
    pub(crate) cancel: CancellationToken,
    pub(crate) interrupt: Interrupt,
}

impl<E: 'static> BackendConfig<E> {
    /// This network, no cache, nobody who listens.
    pub fn new(net: Arc<dyn Net>) -> Self {
        Self {
            net,
            store: None,
            events: EventSink::default(),
            cancel: CancellationToken::new(),
            interrupt: Interrupt::new(),
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

    /// The interrupt of what was read before, which this takes the place of. Default: one of its own.
    #[must_use]
    pub fn with_interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
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
    runs: mpsc::UnboundedReceiver<Told>,
    requests: mpsc::UnboundedSender<Request>,
    interrupt: Interrupt,
    ended: Option<Result<(), StreamError>>,
    /// Whether a run was ever handed out.
    began: bool,
    /// What was told before this seek no longer holds; of failures, before that one.
    since: u64,
    failures_since: u64,
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
        Self::spawn(plan, config, None)
    }

    /// The same for a plan that is told what to change while it runs; [`commands`](crate::commands) makes the channel.
    pub fn start_with<P: Plan>(
        plan: P,
        config: BackendConfig<P::Event>,
        commands: CommandReceiver<P::Command>,
    ) -> Result<Self, StreamError> {
        Self::spawn(plan, config, Some(commands))
    }

    fn spawn<P: Plan>(
        plan: P,
        config: BackendConfig<P::Event>,
        commands: Option<CommandReceiver<P::Command>>,
    ) -> Result<Self, StreamError> {
        let (demand, heard) = DemandCell::new();
        let (sender, runs) = mpsc::unbounded_channel();
        let (requests, asked) = mpsc::unbounded_channel();
        let interrupt = config.interrupt;
        let cancel = config.cancel.child_token();
        let tools = Tools {
            net: config.net,
            store: config.store,
            events: config.events,
            cancel: cancel.clone(),
            lines: Lines {
                demand,
                interrupt: interrupt.clone(),
            },
            heard,
            requests: asked,
            commands,
        };
        io_thread::spawn(Driver::new(plan, tools, sender).run())?;
        Ok(Self {
            runs,
            requests,
            interrupt,
            ended: None,
            began: false,
            since: 0,
            failures_since: 0,
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
        loop {
            let Some(told) = ready!(self.runs.poll_recv(cx)) else {
                return Poll::Ready(Err(self.died()));
            };
            if !self.is_over(&told) {
                return Poll::Ready(self.take(told.what));
            }
        }
    }

    /// Whether a seek has put an end to it.
    fn is_over(&self, told: &Told) -> bool {
        told.seeks < self.since || told.what.is_err() && told.seeks < self.failures_since
    }

    fn take(&mut self, what: Result<Option<Run>, StreamError>) -> Result<Option<Run>, StreamError> {
        match &what {
            Ok(Some(_)) => self.began = true,
            Ok(None) => self.ended = Some(Ok(())),
            Err(error) => self.ended = Some(Err(error.clone())),
        }
        what
    }

    /// Asks the driver, and waits for its answer.
    fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Answer<T>>) -> Request,
    ) -> Result<Answer<T>, StreamError> {
        let (sender, answer) = oneshot::channel();
        self.requests
            .send(request(sender))
            .map_err(|_| self.died())?;
        pollster::block_on(answer).map_err(|_| self.died())
    }

    /// The driver ends without an answer only if the stream was cancelled, or if it panicked.
    fn died(&self) -> StreamError {
        if self.cancel.is_cancelled() {
            return StreamError::Cancelled;
        }
        StreamError::driver_gone()
    }
}

impl Source for Backend {
    fn next_run(&mut self) -> Result<Option<Run>, StreamError> {
        pollster::block_on(poll_fn(|cx| self.poll_run(cx)))
    }

    /// Waits for the driver's answer, which takes no longer than one turn of the I/O thread: after it, bytes that had
    /// failed are asked for again. Runs, an end and a failure that were told before are forgotten if there is a new run, and
    /// a failure in any case, once there was a run.
    fn seek(&mut self, to: Duration) -> Result<SeekRoute, StreamError> {
        let answer = self.ask(|answer| Request::Seek { to, answer })?;
        match answer.what {
            SeekRoute::NewRun => {
                self.since = answer.number;
                self.ended = None;
            }
            SeekRoute::WithinRun if self.began => {
                self.failures_since = answer.number;
                self.ended.take_if(|ended| ended.is_err());
            }
            // There is no run to seek in: a failure is still why.
            SeekRoute::WithinRun => {}
        }
        Ok(answer.what)
    }

    /// Waits for the driver's answer, as a seek does. If something is done about it, runs and an end that were told before are
    /// forgotten.
    fn reject(&mut self, part: ResourceId, why: Rejection) -> Result<bool, StreamError> {
        let answer = self.ask(|answer| Request::Reject { part, why, answer })?;
        if answer.what {
            self.since = answer.number;
            self.ended = None;
        }
        Ok(answer.what)
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }
}
