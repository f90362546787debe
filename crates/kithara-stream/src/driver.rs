//! Performs the wishes of a plan: one async task per title, the only owner of its transfers and of its hands in the store.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kithara_assets::AssetStore;
use kithara_net::{Net, Redirects};
use kithara_storage::StorageError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::demand::DemandCell;
use crate::overlap::Overlap;
use crate::reader::{Reader, ReaderParts};
use crate::shelf::Shelf;
use crate::transfer::{Step, Transfer, request};
use crate::{
    Demand, EventSink, Fetch, FetchId, Input, Interrupt, Plan, Priority, ResourceId, Run, RunFacts,
    SeekRoute, StreamError, Wish,
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
    pub(crate) store: Option<AssetStore>,
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
    shelf: Shelf,
    /// Facts that came of performing wishes: heard once all wishes of the fact before are performed.
    answers: VecDeque<Input>,
    /// What the network layer tells of transfers that are under way.
    wire: mpsc::UnboundedReceiver<Input>,
    wire_sender: mpsc::UnboundedSender<Input>,
    /// Counts for the whole title.
    redirects: Redirects,
    /// How many runs were handed out. From the first on, failures are told through the bytes.
    runs_told: u64,
}

/// What woke the driver.
enum Woken {
    Cancelled,
    Seek(SeekRequest),
    Demand(Demand),
    Wire(Input),
    Changed(ResourceId),
    Step(FetchId, Step),
    Deadline,
}

impl<P: Plan> Driver<P> {
    pub(crate) fn new(plan: P, mut tools: Tools<P::Event>) -> Self {
        let (wire_sender, wire) = mpsc::unbounded_channel();
        Self {
            plan,
            shelf: Shelf::new(tools.store.take()),
            tools,
            began: Instant::now(),
            transfers: Vec::new(),
            answers: VecDeque::new(),
            wire,
            wire_sender,
            redirects: Redirects::new(),
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
                Woken::Changed(resource) => self.tell_stored(resource),
                Woken::Wire(input) => self.hear(input),
                Woken::Deadline => self.hear(Input::Tick),
                Woken::Step(id, step) => self.advance(id, step),
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let deadline = self.plan.deadline().map(|at| self.began + at);
        let Self {
            transfers,
            wire,
            tools,
            shelf,
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
        let changed = poll_fn(|cx| shelf.poll_changed(cx));
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
            Some(input) = wire.recv() => Woken::Wire(input),
            resource = changed => Woken::Changed(resource),
            (id, step) = step => Woken::Step(id, step),
            () = tick => Woken::Deadline,
        }
    }

    fn hear(&mut self, input: Input) {
        self.answers.push_back(input);
        self.answer();
    }

    /// Lets the plan hear what there is to hear, and performs what it wishes for.
    fn answer(&mut self) {
        while let Some(input) = self.answers.pop_front() {
            let now = self.now();
            self.plan.handle(now, input);
            while let Some(wish) = self.plan.poll() {
                self.perform(wish);
            }
        }
    }

    /// Tells the plan how a resource stands.
    fn tell_stored(&mut self, resource: ResourceId) {
        self.answer_stored(resource);
        self.answer();
    }

    /// The same, once the wishes at hand are performed.
    fn answer_stored(&mut self, resource: ResourceId) {
        match self.shelf.stored(resource) {
            Ok(stored) => self.answers.push_back(Input::Stored { resource, stored }),
            Err(error) => self.break_off(&error),
        }
    }

    /// The plan either publishes a run for the new place, or the current run serves it.
    fn seek(&mut self, request: SeekRequest) {
        let runs = self.runs_told;
        self.shelf.reactivate();
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
            Step::Head(head) => {
                self.claim(index);
                self.hear(Input::Head { fetch: id, head });
            }
            Step::Chunk(chunk) => {
                let transfer = &mut self.transfers[index];
                let stored = transfer.place(&chunk);
                let resource = transfer.resource;
                if transfer.only_compares() {
                    return self.compared(index);
                }
                match self.shelf.write(resource, stored.start, &chunk) {
                    Ok(()) => self.hear(Input::Progress { fetch: id, stored }),
                    Err(error) => self.give_up(index, error),
                }
            }
            // It ended before everything was compared, which tells nothing.
            Step::End if self.transfers[index].is_compared_in_part() => self.cannot_compare(index),
            Step::End => {
                self.end(index);
                self.hear(Input::Done { fetch: id });
            }
            Step::Failed(error) => {
                let name = &self.transfers[index].name;
                tracing::debug!(target: "kithara_stream", url = %name, %error, "transfer failed");
                self.give_up(index, StreamError::Net(Arc::new(error)));
            }
            Step::Differs => {
                let name = self.transfers[index].name.clone();
                let what = "its bytes".into();
                self.give_up(index, StreamError::ContentChanged { name, what });
            }
            Step::Incomparable => self.cannot_compare(index),
        }
    }

    /// Bytes are missing of one side or the other.
    fn cannot_compare(&mut self, index: usize) {
        let gap = self.transfers[index].coming();
        let final_len = gap.end;
        let error = StorageError::Incomplete { gap, final_len };
        self.give_up(index, StreamError::Storage(Arc::new(error)));
    }

    /// A comparison is done when everything was compared, however much more the server would send.
    fn compared(&mut self, index: usize) {
        if self.transfers[index].has_compared() {
            let fetch = self.end(index);
            self.hear(Input::Done { fetch });
        }
    }

    fn give_up(&mut self, index: usize, error: StreamError) {
        let fetch = self.end(index);
        self.hear(Input::Failed { fetch, error });
    }

    /// Drops a transfer; others may bring what it has not.
    fn end(&mut self, index: usize) -> FetchId {
        let transfer = self.transfers.remove(index);
        if transfer.only_compares() {
            self.shelf.asked(transfer.resource);
        }
        if !transfer.claimed.is_empty() {
            self.shelf.release(transfer.resource, transfer.claimed);
        }
        transfer.id
    }

    fn perform(&mut self, wish: Wish<P::Event>) {
        match wish {
            Wish::Open { resource, key } => {
                if self.shelf.open(resource, key) {
                    self.answer_stored(resource);
                }
            }
            Wish::Identify {
                resource,
                facts,
                keep,
            } => match self.shelf.identify(resource, facts, keep) {
                Ok(true) => {}
                Ok(false) => self.answer_stored(resource),
                Err(error) => self.break_off(&error),
            },
            Wish::Validated { resource } => self.shelf.validated(resource),
            Wish::Outdated { resource } => self.shelf.outdated(resource),
            Wish::Discard { resource } => self.shelf.discard(resource),
            Wish::Leave { resource } => self.shelf.leave(resource),
            Wish::Fetch(fetch) => self.fetch(fetch),
            Wish::Credit { fetch, until } => {
                let known = |transfer: &Transfer| transfer.id == fetch;
                if let Some(index) = self.transfers.iter().position(known) {
                    self.transfers[index].grant(until);
                    self.claim(index);
                    self.leave(index, until);
                }
            }
            Wish::Abort(fetch) => {
                let known = |transfer: &Transfer| transfer.id == fetch;
                if let Some(index) = self.transfers.iter().position(known) {
                    self.end(index);
                }
            }
            Wish::Publish(facts) => self.publish(facts),
            Wish::Length {
                resource,
                len,
                proven,
            } => match self.shelf.entry(resource) {
                Ok(entry) if proven => entry.end_at(len),
                Ok(entry) => entry.end_here(len),
                Err(error) => self.break_off(&error),
            },
            Wish::Complete { resource, len } => {
                match self.shelf.complete(resource, len) {
                    Ok(true) => {}
                    // Stored bytes were lost, which the plan has not heard yet.
                    Ok(false) => self.answer_stored(resource),
                    Err(error) => self.break_off(&error),
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

    /// Starts a transfer of what nobody else brings.
    fn fetch(&mut self, mut fetch: Fetch) {
        let compared = fetch.range.start..fetch.range.start.saturating_add(fetch.overlap);
        let missing = compared.end..fetch.range.end.min(fetch.credit);
        let id = fetch.id;
        let (claimed, resource) = match self.shelf.entry(fetch.resource) {
            Ok(entry) => {
                if fetch.priority == Priority::Background {
                    entry.stand_back();
                }
                (entry.claim(missing.clone()), entry.resource())
            }
            Err(error) => return self.answers.push_back(Input::Failed { fetch: id, error }),
        };
        if claimed.is_empty() && !missing.is_empty() {
            self.answers.push_back(Input::Taken { fetch: id });
            return self.answer_stored(fetch.resource);
        }
        if claimed.end < missing.end {
            fetch.range.end = claimed.end;
        }
        let overlap = match compared.is_empty() {
            true => Overlap::none(),
            false => Overlap::new(compared, resource),
        };
        let redirects = self.redirects.clone();
        let request = request(&fetch, self.wire_sender.clone()).with_redirects(redirects);
        let net = Arc::clone(&self.tools.net);
        let mut transfer = Transfer::start(&fetch, request, net, overlap, self.shelf.store());
        transfer.claimed = claimed;
        self.transfers.push(transfer);
        let range = fetch.range;
        self.answers.push_back(Input::Begun { fetch: id, range });
    }

    /// Claims what a transfer is going to bring after all: more than was asked for, or as far as new credit goes.
    fn claim(&mut self, index: usize) {
        let transfer = &mut self.transfers[index];
        let coming = transfer.coming();
        let from = coming.start.max(transfer.claimed.end);
        if let Some(entry) = self.shelf.get(transfer.resource)
            && from < coming.end
            && !transfer.only_compares()
        {
            let more = entry.claim(from..coming.end);
            transfer.claimed.end = more.end.max(transfer.claimed.end);
        }
    }

    /// Leaves to others what a transfer may not bring for now.
    fn leave(&mut self, index: usize, until: u64) {
        let transfer = &mut self.transfers[index];
        let beyond = until.max(transfer.offset)..transfer.claimed.end;
        if !beyond.is_empty() {
            transfer.claimed.end = beyond.start;
            self.shelf.release(transfer.resource, beyond);
        }
    }

    fn publish(&mut self, facts: RunFacts) {
        let resource = match self.shelf.entry(facts.resource) {
            Ok(entry) => entry.resource(),
            Err(error) => return self.break_off(&error),
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

    /// A wish that cannot be performed ends what was under way, and the plan hears of it.
    fn break_off(&mut self, error: &StreamError) {
        let ids: Vec<FetchId> = self.transfers.iter().map(|transfer| transfer.id).collect();
        self.fail(error);
        for fetch in ids {
            let error = error.clone();
            self.answers.push_back(Input::Failed { fetch, error });
        }
    }

    /// What is stored stays readable; whoever waits for more is told why there is none.
    fn fail(&mut self, error: &StreamError) {
        self.transfers.clear();
        self.shelf.fail(error);
        if self.runs_told == 0 {
            self.tell(Err(error.clone()));
        }
    }
}
