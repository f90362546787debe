//! Performs the wishes of a plan: one async task per title, the only owner of its transfers and of its hands in the store.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::Cursor;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kithara_assets::{AssetStore, ResourceKey};
use kithara_net::{Access, Net};
use kithara_storage::StorageError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cursor::Lines;
use crate::feed::{FeedWriter, Part, feed};
use crate::load::{Loaded, Loading};
use crate::note;
use crate::overlap::Overlap;
use crate::reader::Reader;
use crate::run_reader::RunReader;
use crate::runs::{Runs, Told};
use crate::shelf::Shelf;
use crate::transfer::{Step, Transfer};
use crate::{
    ByteSource, CommandReceiver, Demand, EventSink, Fetch, FetchId, Input, Load, PartKind, Plan,
    Priority, Rejection, ResourceId, Run, RunFacts, SeekRoute, StreamError, Wish, request,
};

/// A question of the decode thread, which waits for the answer before it reads on.
pub(crate) enum Request {
    Seek {
        to: Duration,
        answer: oneshot::Sender<Answer<SeekRoute>>,
    },
    /// A part of what it read does not decode: is anything done about it?
    Reject {
        part: ResourceId,
        why: Rejection,
        answer: oneshot::Sender<Answer<bool>>,
    },
}

/// What came of it.
pub(crate) struct Answer<T> {
    pub(crate) what: T,
    /// The number of this question: what was [told](Told::seeks) before it has another.
    pub(crate) number: u64,
}

/// What a driver works with.
pub(crate) struct Tools<E, C> {
    pub(crate) net: Arc<dyn Net>,
    pub(crate) store: Option<AssetStore>,
    pub(crate) events: EventSink<E>,
    pub(crate) cancel: CancellationToken,
    pub(crate) lines: Lines,
    pub(crate) heard: watch::Receiver<Demand>,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    pub(crate) commands: Option<CommandReceiver<C>>,
}

/// The bytes of a run, and what they are fed by if they are of many resources.
type RunBytes = (Box<dyn ByteSource>, Option<FeedWriter>);

pub(crate) struct Driver<P: Plan> {
    plan: P,
    tools: Tools<P::Event, P::Command>,
    began: Instant,
    transfers: Vec<Transfer>,
    loads: Vec<Loading>,
    runs: Runs,
    shelf: Shelf,
    /// Facts that came of performing wishes: heard once all wishes of the fact before are performed.
    answers: VecDeque<Input>,
    /// What the network layer tells of transfers that are under way.
    wire: mpsc::UnboundedReceiver<Input>,
    wire_sender: mpsc::UnboundedSender<Input>,
    /// Goes for the whole title.
    access: Access,
    /// The resource that was rejected, as long as nothing is done about it.
    rejected: Option<ResourceId>,
}

/// What woke the driver.
enum Woken<C> {
    Cancelled,
    Asked(Request),
    Command(C),
    Demand(Demand),
    Wire(Input),
    Changed(ResourceId),
    Step(FetchId, Step),
    Loaded(FetchId, Loaded),
    Deadline,
}

impl<P: Plan> Driver<P> {
    pub(crate) fn new(
        plan: P,
        mut tools: Tools<P::Event, P::Command>,
        runs: mpsc::UnboundedSender<Told>,
    ) -> Self {
        let (wire_sender, wire) = mpsc::unbounded_channel();
        Self {
            plan,
            shelf: Shelf::new(tools.store.take()),
            tools,
            began: Instant::now(),
            transfers: Vec::new(),
            loads: Vec::new(),
            runs: Runs::new(runs),
            answers: VecDeque::new(),
            wire,
            wire_sender,
            access: Access::new(),
            rejected: None,
        }
    }

    /// Runs until the stream is dropped or cancelled.
    pub(crate) async fn run(mut self) {
        self.began = Instant::now();
        self.hear(Input::Tick);
        loop {
            match self.wait().await {
                Woken::Cancelled => return self.fail(&StreamError::Cancelled),
                Woken::Asked(Request::Seek { to, answer }) => self.seek(to, answer),
                Woken::Asked(Request::Reject { part, why, answer }) => {
                    self.reject(part, why, answer);
                }
                Woken::Demand(demand) => self.hear(Input::Demand(demand)),
                Woken::Changed(resource) => self.tell_stored(resource),
                Woken::Wire(input) => self.hear(input),
                Woken::Deadline => self.hear(Input::Tick),
                Woken::Step(id, step) => self.advance(id, step),
                Woken::Loaded(id, loaded) => self.loaded(id, loaded),
                Woken::Command(command) => {
                    let now = self.now();
                    self.plan.handle_command(now, command);
                    self.carry_out();
                    self.answer();
                }
            }
        }
    }

    async fn wait(&mut self) -> Woken<P::Command> {
        let deadline = self.plan.deadline().map(|at| self.began + at);
        let Self {
            transfers,
            loads,
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
        let loaded = poll_fn(|cx| {
            for load in loads.iter_mut() {
                if let Poll::Ready(loaded) = load.poll_loaded(cx) {
                    return Poll::Ready((load.id, loaded));
                }
            }
            Poll::Pending
        });
        let changed = poll_fn(|cx| shelf.poll_changed(cx));
        let commands = &mut tools.commands;
        let command = async {
            match commands {
                Some(commands) => commands.0.recv().await,
                None => None,
            }
        };
        let tick = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = tools.cancel.cancelled() => Woken::Cancelled,
            Some(request) = tools.requests.recv() => Woken::Asked(request),
            Some(command) = command => Woken::Command(command),
            Ok(()) = tools.heard.changed() => {
                Woken::Demand(tools.heard.borrow_and_update().clone())
            }
            Some(input) = wire.recv() => Woken::Wire(input),
            resource = changed => Woken::Changed(resource),
            (id, loaded) = loaded => Woken::Loaded(id, loaded),
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
            self.carry_out();
        }
    }

    /// Performs what the plan wishes for.
    fn carry_out(&mut self) {
        while let Some(wish) = self.plan.poll() {
            self.perform(wish);
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
    fn seek(&mut self, to: Duration, answer: oneshot::Sender<Answer<SeekRoute>>) {
        let published = self.runs.published();
        self.shelf.reactivate();
        let number = self.runs.sought();
        self.hear(Input::Seek { to });
        let what = match self.runs.published() > published {
            true => {
                // The reader of the run before has wanted it; nobody does now.
                self.tools.heard.mark_unchanged();
                SeekRoute::NewRun
            }
            false => SeekRoute::WithinRun,
        };
        // Whoever asked may have been dropped meanwhile.
        let _ = answer.send(Answer { what, number });
    }

    /// The plan either does something about what does not decode, or nothing.
    fn reject(
        &mut self,
        resource: ResourceId,
        why: Rejection,
        answer: oneshot::Sender<Answer<bool>>,
    ) {
        // Where the reader stands is known before it is said what it met.
        if matches!(self.tools.heard.has_changed(), Ok(true)) {
            let demand = self.tools.heard.borrow_and_update().clone();
            self.hear(Input::Demand(demand));
        }
        let number = self.runs.sought();
        self.rejected = Some(resource);
        self.hear(Input::Rejected { resource, why });
        let what = self.rejected.take().is_none();
        let _ = answer.send(Answer { what, number });
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
            Step::Chunk(stored) => {
                let transfer = &self.transfers[index];
                if transfer.only_compares() {
                    return self.compared(index);
                }
                let (resource, bytes) = (transfer.resource, transfer.bytes());
                match self.shelf.write(resource, stored.start, bytes) {
                    Ok(()) => self.hear(Input::Progress { fetch: id, stored }),
                    Err(error) => self.give_up(index, error),
                }
            }
            // It ended before everything was compared, which tells nothing.
            Step::End if self.transfers[index].is_compared_in_part() => self.cannot_compare(index),
            Step::End => {
                let end = self.transfers[index].offset;
                self.end(index);
                self.hear(Input::Done { fetch: id, end });
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
            Step::Untransformable(what) => {
                let name = self.transfers[index].name.clone();
                self.give_up(index, StreamError::Transform { name, what });
            }
        }
    }

    fn loaded(&mut self, fetch: FetchId, loaded: Loaded) {
        self.loads.retain(|load| load.id != fetch);
        self.hear(match loaded {
            Ok((head, bytes)) => Input::Loaded { fetch, head, bytes },
            Err(error) => Input::Failed { fetch, error },
        });
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
            let end = self.transfers[index].offset;
            let fetch = self.end(index);
            self.hear(Input::Done { fetch, end });
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
            Wish::Share { resource, of } => match self.shelf.share(resource, of) {
                Ok(()) => self.answer_stored(resource),
                Err(error) => self.break_off(&error),
            },
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
            Wish::Discard { resource } => {
                self.rejected.take_if(|rejected| *rejected == resource);
                self.shelf.discard(resource);
            }
            Wish::Leave { resource } => {
                let of_it = |transfer: &Transfer| transfer.resource == resource;
                while let Some(index) = self.transfers.iter().position(of_it) {
                    self.end(index);
                }
                self.shelf.leave(resource);
            }
            Wish::Recall { fetch, key } => self.recall(fetch, key),
            Wish::Remember { key, bytes } => {
                if let Some(store) = self.shelf.store().cloned() {
                    tokio::task::spawn_blocking(move || note::write(&store, &key, &bytes));
                }
            }
            Wish::Load(load) => self.load(&load),
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
                self.loads.retain(|load| load.id != fetch);
            }
            Wish::Publish(facts) => self.publish(facts),
            Wish::Extend { resource, kind } => match self.part(resource, kind) {
                Ok(part) => self.runs.extend(part),
                Err(error) => self.break_off(&error),
            },
            Wish::Close => self.runs.close(),
            Wish::CutOff { from } => {
                self.rejected.take_if(|rejected| Some(*rejected) == from);
                self.runs.cut_off(from);
            }
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
                resource,
                offset,
                error,
            } => self.tools.lines.demand.refuse(resource, offset, error),
            Wish::End => self.runs.end(),
            Wish::Event(event) => self.tools.events.send(event),
            Wish::Fail(error) => self.fail(&error),
        }
    }

    /// Reads a note on a thread that may wait for the disk.
    fn recall(&mut self, fetch: FetchId, key: ResourceKey) {
        let Some(store) = self.shelf.store().cloned() else {
            let bytes = None;
            return self.answers.push_back(Input::Recalled { fetch, bytes });
        };
        let wire = self.wire_sender.clone();
        tokio::task::spawn_blocking(move || {
            let bytes = note::read(&store, &key);
            // The driver is gone only when nobody wants to know any more.
            let _ = wire.send(Input::Recalled { fetch, bytes });
        });
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
        // What is transformed is transformed to its end: what others bring of it comes twice.
        if claimed.end < missing.end && fetch.terms.transform.is_none() {
            fetch.range.end = claimed.end;
        }
        let overlap = match compared.is_empty() {
            true => Overlap::none(),
            false => Overlap::new(compared, resource),
        };
        let wire = self.wire_sender.clone();
        let request = request::of_fetch(&fetch, wire)
            .with_redirects(self.shelf.redirects(fetch.resource))
            .with_access(self.access.clone());
        let net = Arc::clone(&self.tools.net);
        let mut transfer = Transfer::start(&fetch, request, net, overlap, self.shelf.store());
        transfer.claimed = claimed;
        self.transfers.push(transfer);
        let range = fetch.range;
        self.answers.push_back(Input::Begun { fetch: id, range });
    }

    fn load(&mut self, load: &Load) {
        let wire = self.wire_sender.clone();
        let request = request::of_load(load, wire).with_access(self.access.clone());
        let net = Arc::clone(&self.tools.net);
        self.loads.push(Loading::start(load, request, net));
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
        match self.run_of(&facts) {
            Ok((bytes, feed)) => {
                let run = Run {
                    timing: facts.timing,
                    title: facts.title,
                    silence: facts.silence,
                    ..Run::new(facts.start, facts.info, facts.cause, bytes)
                };
                self.runs.publish(run, feed);
            }
            Err(error) => self.break_off(&error),
        }
    }

    /// The bytes of a run, and what they are fed by if they are of many resources.
    fn run_of(&mut self, facts: &RunFacts) -> Result<RunBytes, StreamError> {
        if facts.silence.is_some() {
            let nothing: &[u8] = &[];
            return Ok((Box::new(Cursor::new(nothing)), None));
        }
        let lines = self.tools.lines.clone();
        if facts.extends {
            let (feed, parts) = feed();
            return Ok((Box::new(RunReader::new(parts, lines)), Some(feed)));
        }
        let part = self.part(facts.resource, PartKind::Media)?;
        let index = self.shelf.entry(facts.resource)?.index_slot();
        let reader = Reader::new(part, index, lines, (facts.len, facts.seekable));
        Ok((Box::new(reader), None))
    }

    fn part(&mut self, id: ResourceId, kind: PartKind) -> Result<Part, StreamError> {
        let resource = self.shelf.entry(id)?.resource();
        Ok(Part { id, resource, kind })
    }

    /// A wish that cannot be performed ends what was under way, and the plan hears of it.
    fn break_off(&mut self, error: &StreamError) {
        let transfers = self.transfers.iter().map(|transfer| transfer.id);
        let loads = self.loads.iter().map(|load| load.id);
        let ids: Vec<FetchId> = transfers.chain(loads).collect();
        self.fail(error);
        for fetch in ids {
            let error = error.clone();
            self.answers.push_back(Input::Failed { fetch, error });
        }
    }

    /// What is stored stays readable; whoever waits for more is told why there is none.
    fn fail(&mut self, error: &StreamError) {
        self.rejected = None;
        self.transfers.clear();
        self.loads.clear();
        self.shelf.fail(error);
        self.runs.fail(error);
    }
}
