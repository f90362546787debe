//! Performs the wishes of a plan: one async task per title, the only owner of its transfers and its store.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kithara_net::Net;
use kithara_storage::{ResourceWriter, StorageError, StorageResource};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::demand::DemandCell;
use crate::reader::{Reader, ReaderParts};
use crate::transfer::{Step, Transfer};
use crate::{
    Demand, EventSink, FetchId, Input, Interrupt, Plan, ResourceId, Run, RunFacts, SeekRoute,
    StreamError, Wish,
};

/// A run, or why none comes, on its way to the decode thread.
pub(crate) type RunMessage = Result<Option<Run>, StreamError>;

/// A seek of the decode thread, which waits for the answer before it reads on.
pub(crate) struct SeekRequest {
    pub(crate) to: Duration,
    pub(crate) answer: oneshot::Sender<SeekRoute>,
}

/// What a driver works with.
pub(crate) struct Tools<E> {
    pub(crate) net: Arc<dyn Net>,
    pub(crate) events: EventSink<E>,
    pub(crate) cancel: CancellationToken,
    pub(crate) demand: Arc<DemandCell>,
    pub(crate) heard: watch::Receiver<Demand>,
    pub(crate) seeks: mpsc::UnboundedReceiver<SeekRequest>,
    pub(crate) runs: mpsc::UnboundedSender<RunMessage>,
    pub(crate) interrupt: Interrupt,
}

pub(crate) struct Driver<P: Plan> {
    plan: P,
    tools: Tools<P::Event>,
    began: Instant,
    transfers: Vec<Transfer>,
    resources: BTreeMap<ResourceId, ResourceWriter>,
    retries: mpsc::UnboundedReceiver<Input>,
    retry_sender: mpsc::UnboundedSender<Input>,
    /// How many runs were handed out. From the first on, failures are told through the bytes.
    runs_told: u64,
}

/// What woke the driver.
enum Woken {
    Cancelled,
    Seek(SeekRequest),
    Demand(Demand),
    Retrying(Input),
    Step(FetchId, Step),
    Deadline,
}

impl<P: Plan> Driver<P> {
    pub(crate) fn new(plan: P, tools: Tools<P::Event>) -> Self {
        let (retry_sender, retries) = mpsc::unbounded_channel();
        Self {
            plan,
            tools,
            began: Instant::now(),
            transfers: Vec::new(),
            resources: BTreeMap::new(),
            retries,
            retry_sender,
            runs_told: 0,
        }
    }

    /// Runs until the stream is dropped or cancelled.
    pub(crate) async fn run(mut self) {
        self.began = Instant::now();
        self.hear(Input::Tick);
        loop {
            match self.wait().await {
                Woken::Cancelled => return self.fail(&StreamError::Cancelled),
                Woken::Seek(request) => self.seek(request),
                Woken::Demand(demand) => self.hear(Input::Demand(demand)),
                Woken::Retrying(input) => self.hear(input),
                Woken::Deadline => self.hear(Input::Tick),
                Woken::Step(id, step) => self.advance(id, step),
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let deadline = self.plan.deadline().map(|at| self.began + at);
        let Self {
            transfers,
            retries,
            tools,
            ..
        } = self;
        let step = poll_fn(|cx| {
            for transfer in transfers.iter_mut() {
                if let Poll::Ready(step) = transfer.poll_step(cx) {
                    return Poll::Ready((transfer.id, step));
                }
            }
            Poll::Pending
        });
        let tick = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = tools.cancel.cancelled() => Woken::Cancelled,
            Some(request) = tools.seeks.recv() => Woken::Seek(request),
            Ok(()) = tools.heard.changed() => {
                Woken::Demand(tools.heard.borrow_and_update().clone())
            }
            Some(input) = retries.recv() => Woken::Retrying(input),
            (id, step) = step => Woken::Step(id, step),
            () = tick => Woken::Deadline,
        }
    }

    fn hear(&mut self, input: Input) {
        let now = self.now();
        self.plan.handle(now, input);
        while let Some(wish) = self.plan.poll() {
            self.perform(wish);
        }
    }

    /// The plan either publishes a run for the new place, or the current run serves it.
    fn seek(&mut self, request: SeekRequest) {
        let runs = self.runs_told;
        for writer in self.resources.values_mut() {
            writer.reactivate();
        }
        self.hear(Input::Seek { to: request.to });
        let route = if self.runs_told > runs {
            SeekRoute::NewRun
        } else {
            SeekRoute::WithinRun
        };
        // Whoever asked may have been dropped meanwhile.
        let _ = request.answer.send(route);
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn advance(&mut self, id: FetchId, step: Step) {
        let Some(index) = self.transfers.iter().position(|transfer| transfer.id == id) else {
            return;
        };
        match step {
            Step::Head(head) => self.hear(Input::Head { fetch: id, head }),
            Step::Chunk(chunk) => {
                let transfer = &mut self.transfers[index];
                let stored = transfer.place(&chunk);
                let resource = transfer.resource;
                match self.store(resource, stored.start, &chunk) {
                    Ok(()) => self.hear(Input::Progress { fetch: id, stored }),
                    Err(error) => {
                        self.transfers.remove(index);
                        self.hear(Input::Failed { fetch: id, error });
                    }
                }
            }
            Step::End => {
                self.transfers.remove(index);
                self.hear(Input::Done { fetch: id });
            }
            Step::Failed(error) => {
                let transfer = self.transfers.remove(index);
                tracing::debug!(target: "kithara_stream", url = %transfer.name, %error, "transfer failed");
                self.hear(Input::Failed {
                    fetch: id,
                    error: StreamError::Net(Arc::new(error)),
                });
            }
        }
    }

    /// Writes on the I/O thread itself: a page-cache write costs less than a hand-over.
    fn store(&mut self, id: ResourceId, offset: u64, bytes: &[u8]) -> Result<(), StreamError> {
        let writer = self.writer(id)?;
        writer
            .write_at(offset, bytes)
            .map_err(|error| StreamError::Storage(Arc::new(error)))
    }

    fn writer(&mut self, id: ResourceId) -> Result<&mut ResourceWriter, StreamError> {
        use std::collections::btree_map::Entry;
        match self.resources.entry(id) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let (writer, _) = StorageResource::temporary(None)
                    .or_else(|error| in_memory(&error))
                    .map_err(|error| StreamError::Storage(Arc::new(error)))?;
                Ok(entry.insert(writer))
            }
        }
    }

    fn perform(&mut self, wish: Wish<P::Event>) {
        match wish {
            Wish::Fetch(fetch) => {
                let net = Arc::clone(&self.tools.net);
                let transfer = Transfer::start(&fetch, net, self.retry_sender.clone());
                self.transfers.push(transfer);
            }
            Wish::Credit { fetch, until } => {
                if let Some(transfer) = self.transfers.iter().find(|known| known.id == fetch) {
                    transfer.grant(until);
                }
            }
            Wish::Abort(fetch) => self.transfers.retain(|transfer| transfer.id != fetch),
            Wish::Publish(facts) => self.publish(facts),
            Wish::Length { resource, len } => match self.writer(resource) {
                Ok(writer) => writer.end_at(len),
                Err(error) => self.fail(&error),
            },
            Wish::Complete { resource, len } => {
                let outcome = self.writer(resource).and_then(|writer| {
                    writer
                        .commit(len)
                        .map_err(|error| StreamError::Storage(Arc::new(error)))
                });
                if let Err(error) = outcome {
                    self.fail(&error);
                }
            }
            Wish::Refuse {
                resource: _,
                offset,
                error,
            } => self.tools.demand.refuse(offset, error),
            Wish::End => self.tell(Ok(None)),
            Wish::Event(event) => self.tools.events.send(event),
            Wish::Fail(error) => self.fail(&error),
        }
    }

    fn publish(&mut self, facts: RunFacts) {
        let resource = match self.writer(facts.resource) {
            Ok(writer) => writer.resource(),
            Err(error) => return self.fail(&error),
        };
        let reader = Reader::new(ReaderParts {
            resource,
            id: facts.resource,
            demand: Arc::clone(&self.tools.demand),
            interrupt: self.tools.interrupt.clone(),
            len: facts.len,
            seekable: facts.seekable,
        });
        self.runs_told += 1;
        self.tell(Ok(Some(Run {
            start: facts.start,
            info: facts.info,
            cause: facts.cause,
            bytes: Box::new(reader),
        })));
    }

    fn tell(&self, message: RunMessage) {
        // Few messages pass in a title's life; the channel is closed only when nobody wants runs any more.
        let _ = self.tools.runs.send(message);
    }

    /// What is stored stays readable; whoever waits for more is told why there is none.
    fn fail(&mut self, error: &StreamError) {
        self.transfers.clear();
        for writer in self.resources.values_mut() {
            writer.fail(Arc::new(error.clone()));
        }
        if self.runs_told == 0 {
            self.tell(Err(error.clone()));
        }
    }
}

/// Without a directory for temporary files the bytes are held in memory: sound matters more than footprint.
fn in_memory(why: &StorageError) -> Result<(ResourceWriter, StorageResource), StorageError> {
    tracing::warn!(target: "kithara_stream", error = %why, "no temporary file; holding bytes in memory");
    Ok(StorageResource::memory())
}
