//! Decides which bytes of one remote file to fetch next.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use kithara_stream::assets::{Keep, ResourceKey};
use kithara_stream::net::RedactedUrl;
use kithara_stream::{
    Coverage, Demand, Fetch, FetchId, Input, MediaInfo, Plan, Priority, ResourceId, StreamError,
    Terms, Wish,
};
use url::Url;

use crate::origin::Origin;
use crate::patience::Patience;
use crate::rule::Pace;
use crate::{Amount, FileEvent};

mod by_range;
mod in_order;
mod prefetch;
mod reply;
mod revalidate;
mod stored;

/// What one request asks for. Bounded, so that an aborted response cannot leave much in flight, and so that no server
/// has to hold a response open while the listener catches up.
const REQUEST: u64 = 384 * 1024;
/// A request may ask for this much if that finishes the file.
const LAST_REQUEST: u64 = 512 * 1024;
/// Less than this in front of the reader is not worth a request.
const LEAST_LOOK_AHEAD: u64 = 256 * 1024;
/// Progress is reported in steps of this many bytes.
const PROGRESS_STEP: u64 = 64 * 1024;

/// How far fetching runs ahead of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePolicy {
    /// At most this many bytes are fetched beyond the reader's position. Default 4 MiB, at least 256 KiB.
    pub look_ahead_bytes: u64,
    /// Whether to fetch what the reader skipped, once it has its look-ahead, and then all the rest. Default no. Has no effect
    /// where bytes can only be held in memory.
    pub whole: bool,
    /// Whether to keep what the server asks not to store (`Cache-Control: no-store`). Default no.
    pub ignore_no_store: bool,
    /// A response that is held back because enough is there is closed once nobody has read for so long. Default 30 s.
    pub idle: Duration,
}

impl Default for FilePolicy {
    fn default() -> Self {
        Self {
            look_ahead_bytes: 4 * 1024 * 1024,
            whole: false,
            ignore_no_store: false,
            idle: Duration::from_secs(30),
        }
    }
}

/// The [`Plan`] of one remote file: sequential, a jump where the reader jumps, gaps, complete.
///
/// With a [key](Self::with_key) the store is asked first, and the life of a cached file is
///
/// ```text
///            nothing stored ──head──▶ identify, publish ──▶ fetch what is missing ──▶ complete, kept
///          ╱                                                 ▲ │  ▲       │             │
///   open ─── some stored ──── publish at once ───────────────┘ │  │       │ done        │ lost
///          ╲                  (first answer: the same?)        │  └───────┼─────────────┘
///            all stored ───── publish at once, 0 requests ◀────┼──────────┘
///              │ due: ask for 64 bytes                         │ another version answers
///              ├─ the same ──▶ validated                       ▼
///              └─ another ───▶ played on, known as outdated    discarded at once; this stream fails
/// ```
///
/// What is known as outdated is played only after its server was asked, and gave no answer or said it is the same after all.
/// What has neither a version nor a length is shared with nobody, and not kept: nothing could tell it from something else.
/// Neither is an end kept that nothing proves: it is one for who hears it, and the next open asks what follows.
///
/// What other streams are bringing is not asked for but waited for; when they give up, this one goes on. Bytes of two
/// versions are never joined: validators tell them apart (`If-Range`), or else the length and the 64 bytes before each
/// join.
///
/// It keeps at most [`FilePolicy::look_ahead_bytes`] fetched beyond the reader, in bounded range requests, and never asks
/// for a stored byte. A server without ranges (RFC 9110 §14.3) is read from the front, paused by credit.
pub struct FilePlan {
    url: Url,
    /// What it fetches into. Another one than was opened if that turns out to be nothing that can be shared.
    resource: ResourceId,
    /// What the store calls the file; without one nothing is looked up.
    key: Option<ResourceKey>,
    info: MediaInfo,
    policy: FilePolicy,
    /// Nobody listens: this much is to be fetched for later.
    amount: Option<Amount>,
    origin: Option<Origin>,
    /// The origin was heard, and described what is known.
    heard: bool,
    /// Whether it lets the bytes be kept.
    keep: Keep,
    coverage: Coverage,
    /// What was stored and turned out not to be what was written.
    damaged: Coverage,
    /// What other streams are bringing.
    others: Coverage,
    memory_only: Option<u64>,
    told_not_kept: bool,
    /// The request that asks whether a stored file is still the same.
    probe: Option<FetchId>,
    demand: Demand,
    transfers: Vec<Transfer>,
    wishes: VecDeque<Wish<FileEvent>>,
    pace: Pace,
    patience: Patience,
    state: State,
    next_id: u64,
    reported: u64,
    /// A failure in front of a reader that has something to read: it counts once the reader gets near.
    postponed: Option<Postponed>,
    last_demand: Duration,
    paused: bool,
}

/// A transfer that failed for good before anybody needed its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Postponed {
    /// Tried again when the reader gets here, if look-ahead has a try left, or is blocked.
    until_position: u64,
}

/// Prints no query and no user information.
impl fmt::Debug for FilePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilePlan")
            .field("name", &self.info.name)
            .field("policy", &self.policy)
            .field("state", &self.state)
            .field("demand", &self.demand)
            .field("coverage", &self.coverage)
            .field("transfers", &self.transfers)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The store has not been asked yet.
    Unopened,
    /// It has not answered yet.
    Opening,
    /// All of it is stored, but the server had another one already: it is asked first. Who listens is kept waiting only
    /// until then.
    Doubtful {
        until: Duration,
    },
    Fetching,
    Complete,
    /// As much as was asked for is stored, and nobody listens.
    Served,
    /// Until the listener seeks.
    Failed,
}

/// A request on its way.
#[derive(Clone, Debug)]
struct Transfer {
    id: FetchId,
    /// What it still brings.
    coming: Range<u64>,
    credit: u64,
    asked: Range<u64>,
    since: Duration,
    head_at: Option<Duration>,
    brought: u64,
    /// Whether the reader waited for it when it began, so that it may spend every retry there is.
    for_reader: bool,
    /// Whether it broke and has brought nothing since.
    broken: bool,
    /// When the network layer was going to try again, the last time it broke.
    retried_at: Option<Duration>,
}

impl FilePlan {
    /// A plan for the file at `url`; `info` carries the caller's hints.
    pub fn new(url: Url, mut info: MediaInfo, policy: FilePolicy) -> Self {
        info.name = RedactedUrl::new(&url).to_string();
        if info.extension.is_none() {
            info.extension = extension(&url);
        }
        Self {
            url,
            resource: ResourceId(0),
            key: None,
            info,
            policy,
            amount: None,
            origin: None,
            heard: false,
            keep: Keep::Yes,
            coverage: Coverage::default(),
            damaged: Coverage::default(),
            others: Coverage::default(),
            memory_only: None,
            told_not_kept: false,
            probe: None,
            demand: Demand::default(),
            transfers: Vec::new(),
            wishes: VecDeque::new(),
            pace: Pace::default(),
            patience: Patience::default(),
            state: State::Fetching,
            next_id: 0,
            reported: 0,
            postponed: None,
            last_demand: Duration::ZERO,
            paused: false,
        }
    }

    /// A plan that asks the store first, where the file has this name.
    #[must_use]
    pub fn with_key(mut self, key: Option<ResourceKey>) -> Self {
        self.state = match key {
            Some(_) => State::Unopened,
            None => State::Fetching,
        };
        self.key = key;
        self
    }

    /// A plan for nobody who listens: it fetches this much, in the background, and ends. It publishes no run.
    #[must_use]
    pub fn with_amount(mut self, amount: Amount) -> Self {
        self.amount = Some(amount);
        self
    }

    /// How far to fetch in front of the reader. Half of what memory holds, where that is all there is: the other half is
    /// what the reader has just read, and goes first. What nobody reads waits for the disk.
    fn look_ahead(&self) -> u64 {
        let bytes = match (self.amount, self.memory_only) {
            (None, bound) => {
                let bound = bound.map_or(u64::MAX, |bytes| bytes / 2);
                self.policy.look_ahead_bytes.min(bound)
            }
            (Some(_), Some(_)) => 0,
            (Some(amount), None) => amount.bytes(),
        };
        bytes.max(LEAST_LOOK_AHEAD)
    }

    /// A request is at most half the look-ahead, so that the next one can start before the reader runs dry.
    fn request(&self) -> u64 {
        REQUEST.min(self.look_ahead() / 2)
    }

    /// The end of the file as far as known.
    fn end(&self) -> u64 {
        self.origin
            .as_ref()
            .and_then(|origin| origin.total)
            .unwrap_or(u64::MAX)
    }

    fn event(&mut self, event: FileEvent) {
        self.wishes.push_back(Wish::Event(event));
    }

    fn fail(&mut self, error: StreamError) {
        self.state = State::Failed;
        self.paused = false;
        self.transfers.clear();
        self.probe = None;
        let error = self.explained(error);
        self.event(FileEvent::DownloadFailed {
            error: error.clone(),
        });
        self.wishes.push_back(Wish::Fail(error));
    }

    fn abort(&mut self, unwanted: impl Fn(&Transfer) -> bool) {
        let wishes = &mut self.wishes;
        self.transfers.retain(|transfer| {
            let drop = unwanted(transfer);
            if drop {
                wishes.push_back(Wish::Abort(transfer.id));
            }
            !drop
        });
    }

    /// Takes what the origin has told so far to whoever keeps it.
    fn tell_facts(&mut self) {
        if let Some(origin) = self.origin.as_ref().filter(|_| self.key.is_some()) {
            self.wishes.push_back(Wish::Identify {
                resource: self.resource,
                facts: origin.facts(),
                keep: self.keep,
            });
        }
    }

    /// Starts a transfer, unless it would be look-ahead and that has used up its tries.
    fn start(&mut self, now: Duration, range: Range<u64>, credit: u64) {
        let for_reader = self.origin.is_none() || self.amount.is_some() || self.is_blocked();
        let attempts = match for_reader {
            true => Some(self.patience.for_reader(now)),
            false => self.patience.for_look_ahead(),
        };
        let Some(attempts) = attempts else { return };
        let overlap = self.overlap_before(range.start);
        let range = range.start - overlap..range.end;
        let id = self.next_fetch();
        self.transfers.push(Transfer {
            id,
            coming: range.clone(),
            credit,
            asked: range.clone(),
            since: now,
            head_at: None,
            brought: 0,
            for_reader,
            broken: false,
            retried_at: None,
        });
        let if_range = self
            .origin
            .as_ref()
            .filter(|_| range.start > 0)
            .and_then(Origin::if_range);
        self.wishes.push_back(Wish::Fetch(Fetch {
            id,
            resource: self.resource,
            url: self.url.clone(),
            range,
            credit,
            overlap,
            if_range,
            attempts,
            priority: self.priority(),
            terms: Terms::default(),
        }));
    }

    fn priority(&self) -> Priority {
        match self.amount {
            None => Priority::Foreground,
            Some(_) => Priority::Background,
        }
    }

    fn next_fetch(&mut self) -> FetchId {
        self.next_id += 1;
        FetchId(self.next_id - 1)
    }

    /// Decides again, after anything changed.
    fn schedule(&mut self, now: Duration) {
        self.finish_if_covered();
        self.finish_if_prefetched();
        let resting = self.patience.rest_until().is_some_and(|until| now < until);
        if self.state != State::Fetching || resting || self.is_postponed() {
            return;
        }
        let needed = match self.origin {
            None => Some(0),
            Some(_) => self.blocked_on(),
        };
        if needed.is_some_and(|byte| self.others_bring(byte)) {
            self.patience.handle_others(now);
        }
        match &self.origin {
            None if self.transfers.is_empty() && !self.others_bring(0) => {
                let first = 0..LAST_REQUEST.min(self.look_ahead());
                self.start(now, first.clone(), first.end);
            }
            None => {}
            Some(origin) if origin.ranges => {
                let served = self.serve_reader(now);
                if served && self.policy.whole && self.memory_only.is_none() {
                    self.fill_gaps(now);
                }
            }
            Some(_) => self.serve_in_order(now),
        }
    }

    /// Whether to leave the network alone for now, because the reader still has what came before a failure.
    fn is_postponed(&mut self) -> bool {
        let position = self.demand.position;
        let may_try = self.patience.for_look_ahead().is_some();
        let over = |postponed: &mut Postponed| may_try && position >= postponed.until_position;
        if self.is_blocked() || self.postponed.take_if(over).is_some() {
            self.postponed = None;
        }
        self.postponed.is_some()
    }

    /// The byte the reader waits for, if it is not stored. What it waited for last may have come.
    fn blocked_on(&self) -> Option<u64> {
        let wanted = self.demand.wanted.as_ref().map(|wanted| wanted.start);
        wanted.filter(|byte| self.coverage.covered_from(*byte) <= *byte)
    }

    fn is_blocked(&self) -> bool {
        self.blocked_on().is_some()
    }

    fn is_whole(&self) -> bool {
        let end = self.end();
        end != u64::MAX && self.coverage.is_complete(end)
    }

    fn finish_if_covered(&mut self) {
        let end = self.end();
        if self.state != State::Fetching || !self.is_whole() {
            return;
        }
        self.state = State::Complete;
        self.paused = false;
        // One that brought its last byte is about to end by itself, and its connection can then be used again.
        self.abort(|transfer| transfer.left() > 0);
        self.report_progress(0);
        if self.told_len().is_some() {
            let resource = self.resource;
            self.wishes.push_back(Wish::Complete { resource, len: end });
            self.event(FileEvent::DownloadComplete { len: end });
        }
    }

    /// The length, if something proves it.
    fn told_len(&self) -> Option<u64> {
        self.origin.as_ref().and_then(Origin::told_total)
    }

    fn report_progress(&mut self, step: u64) {
        let stored = self.coverage.total();
        if stored > self.reported && stored - self.reported >= step {
            self.reported = stored;
            let len = self.told_len();
            self.event(FileEvent::DownloadProgress { stored, len });
        }
    }
}

impl Transfer {
    /// What it brings without further credit.
    fn allowed(&self) -> Range<u64> {
        self.coming.start..self.coming.end.min(self.credit)
    }

    /// How many bytes it still brings.
    fn left(&self) -> u64 {
        self.coming.end.saturating_sub(self.coming.start)
    }
}

impl Plan for FilePlan {
    type Event = FileEvent;
    type Command = std::convert::Infallible;

    fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Tick if self.state == State::Unopened => self.open(),
            Input::Stored { resource, stored } if resource == self.resource => {
                self.heard_stored(now, stored);
            }
            // It loads no documents.
            Input::Stored { .. } | Input::Loaded { .. } | Input::Recalled { .. } => {}
            // There is one form of a file.
            Input::Rejected { .. } => {}
            Input::Begun { fetch, range } => self.heard_begun(fetch, range),
            Input::Sent { range, .. } => self.event(FileEvent::Requested {
                start: range.start,
                end: (range.end != u64::MAX).then_some(range.end),
            }),
            // How the store stands comes next, and decides.
            Input::Taken { fetch } => self.transfers.retain(|transfer| transfer.id != fetch),
            Input::Demand(demand) => {
                self.patience.handle_demand(now, demand.wanted.is_some());
                self.demand = demand;
                self.last_demand = now;
                self.schedule(now);
            }
            Input::Seek { .. } => {
                self.postponed = None;
                self.patience.restart(now);
                if self.state == State::Failed {
                    self.state = State::Fetching;
                }
            }
            Input::Head { fetch, head } => self.heard_head(now, fetch, &head),
            Input::Progress { fetch, stored } => self.heard_progress(now, fetch, &stored),
            Input::Retrying {
                fetch,
                attempt,
                delay,
                error,
            } => {
                self.expect_retry(fetch, now + delay);
                self.heard_retrying(fetch, attempt, delay, error);
            }
            Input::Done { fetch, .. } => self.heard_done(now, fetch),
            Input::Failed { fetch, error } => self.heard_failed(now, fetch, error),
            Input::Tick => {
                self.patience.handle_tick(now);
                self.close_if_idle(now);
                self.end_doubt(now);
                self.schedule(now);
            }
        }
    }

    fn poll(&mut self) -> Option<Wish<FileEvent>> {
        self.wishes.pop_front()
    }

    fn deadline(&self) -> Option<Duration> {
        let idle = self.paused.then(|| self.last_demand + self.policy.idle);
        let rest = self.patience.rest_until();
        let doubt = match self.state {
            State::Doubtful { until } if self.amount.is_none() => Some(until),
            _ => None,
        };
        idle.into_iter().chain(rest).chain(doubt).min()
    }
}

/// The extension of the last path segment of a URL, lower case.
fn extension(url: &Url) -> Option<String> {
    let name = url.path_segments()?.next_back()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let plausible = !stem.is_empty() && (1..=8).contains(&extension.len());
    plausible.then(|| extension.to_ascii_lowercase())
}
