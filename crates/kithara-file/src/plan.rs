//! Decides which bytes of one remote file to fetch next.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use kithara_stream::assets::ResourceKey;
use kithara_stream::net::RedactedUrl;
use kithara_stream::{
    Coverage, Demand, Fetch, FetchId, Input, MediaInfo, Plan, Priority, ResourceId, StreamError,
    Wish,
};
use url::Url;

use crate::origin::Origin;
use crate::patience::Patience;
use crate::rule::{Pace, keep_reading};
use crate::{Amount, FileEvent};

mod in_order;
mod prefetch;
mod reply;
mod revalidate;
mod stored;

/// The one resource of a file.
const RESOURCE: ResourceId = ResourceId(0);
/// What one request asks for. Bounded, so that an aborted response cannot leave much in flight, and so that no server
/// has to hold a response open while the listener catches up.
const REQUEST: u64 = 384 * 1024;
/// A request may ask for this much if that finishes the file.
const LAST_REQUEST: u64 = 512 * 1024;
/// A transfer with less to go than this is left to finish when the reader jumps away.
const NEARLY_DONE: u64 = 32 * 1024;
/// Less than this in front of the reader is not worth a request.
const LEAST_LOOK_AHEAD: u64 = 256 * 1024;
/// Gaps filled at the same time once the reader has what it needs.
const GAPS_IN_FLIGHT: usize = 4;
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
///              │ due: ask for 1 byte                           │ another version answers
///              ├─ the same ──▶ validated                       ▼
///              └─ another ───▶ played on; discarded at close   discarded at once; this stream fails
/// ```
///
/// What other streams are bringing is not asked for but waited for; when they give up, this one goes on. Bytes of two
/// versions are never joined: validators tell them apart (`If-Range`), or else the length and the 64 bytes before each
/// join.
///
/// It keeps at most [`FilePolicy::look_ahead_bytes`] fetched beyond the reader, in bounded range requests, and never asks
/// for a stored byte. A server without ranges (RFC 9110 §14.3) is read from the front, paused by credit.
pub struct FilePlan {
    url: Url,
    /// What the store calls the file; without one nothing is looked up.
    key: Option<ResourceKey>,
    info: MediaInfo,
    policy: FilePolicy,
    /// Nobody listens: this much is to be fetched for later.
    amount: Option<Amount>,
    origin: Option<Origin>,
    /// The origin was heard, and described what is known.
    heard: bool,
    coverage: Coverage,
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
            key: None,
            info,
            policy,
            amount: None,
            origin: None,
            heard: false,
            coverage: Coverage::default(),
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
    /// what the reader has just read, and goes first.
    fn look_ahead(&self) -> u64 {
        let wanted = match self.amount {
            None => self.policy.look_ahead_bytes,
            Some(Amount::Head(bytes)) => bytes,
            Some(Amount::All) => u64::MAX,
        };
        let bound = self.memory_only.map_or(u64::MAX, |bytes| bytes / 2);
        wanted.min(bound).max(LEAST_LOOK_AHEAD)
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
        });
        self.event(FileEvent::Requested {
            start: range.start,
            end: (range.end != u64::MAX).then_some(range.end),
        });
        let if_range = self
            .origin
            .as_ref()
            .filter(|_| range.start > 0)
            .and_then(Origin::if_range);
        self.wishes.push_back(Wish::Fetch(Fetch {
            id,
            resource: RESOURCE,
            url: self.url.clone(),
            range,
            credit,
            overlap,
            if_range,
            attempts,
            priority: match self.amount {
                None => Priority::Foreground,
                Some(_) => Priority::Background,
            },
        }));
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

    /// Whether the reader waits for a byte that is not stored. What it waited for last may have come.
    fn is_blocked(&self) -> bool {
        let missing =
            |wanted: &Range<u64>| self.coverage.covered_from(wanted.start) <= wanted.start;
        self.demand.wanted.as_ref().is_some_and(missing)
    }

    /// The first byte missing in front of the reader, and the end of the window it is in.
    fn next_missing(&self) -> Option<(Range<u64>, u64)> {
        let position = self.demand.position;
        let window_end = position.saturating_add(self.look_ahead()).min(self.end());
        let gap = self.coverage.next_gap(position, window_end)?;
        Some((gap, window_end))
    }

    /// With ranges: the first byte missing in front of the reader decides. Returns whether the reader has its look-ahead,
    /// or all of it but less than a request.
    fn serve_reader(&mut self, now: Duration) -> bool {
        let Some((gap, window_end)) = self.next_missing() else {
            return true;
        };
        let (pace, blocked) = (self.pace, self.demand.wanted.is_some());
        let reaches = |transfer: &Transfer| {
            let coming = transfer.allowed();
            // Nothing else competes for the link while nobody waits: whatever will bring the byte may bring it.
            coming.contains(&gap.start) && (!blocked || keep_reading(&coming, gap.start, pace))
        };
        if self.transfers.iter().any(reaches) || self.others_bring(gap.start) {
            return false;
        }
        let finishes = gap.end < window_end || window_end == self.end();
        let room = window_end - gap.start;
        let may_wait = !blocked && self.amount.is_none();
        if may_wait && !finishes && room < self.request() {
            return true;
        }
        let window = self.demand.position..window_end;
        let in_window = |transfer: &Transfer| {
            transfer.coming.start < window.end && window.start < transfer.coming.end
        };
        if blocked {
            self.abort(|transfer| transfer.left() > NEARLY_DONE);
        } else if self.transfers.iter().any(in_window) {
            // One transfer at a time for a reader that has something to read: two would share the same link.
            return false;
        }
        let mut range = self.request_at(gap.start);
        if self.amount.is_some() {
            range.end = range.end.min(window_end);
        }
        self.start(now, range.clone(), range.end);
        false
    }

    /// What to ask for at the start of a gap: up to the next stored byte, and never more than one request's worth.
    fn request_at(&self, start: u64) -> Range<u64> {
        let end = self.end();
        let last = end.saturating_sub(start) <= LAST_REQUEST.min(self.look_ahead());
        let limit = if last {
            end
        } else {
            start.saturating_add(self.request())
        };
        let gap = self.coverage.next_gap(start, limit);
        self.left_by_others(gap.unwrap_or(start..limit))
    }

    /// Fetches the rest of the file, several gaps at a time, once the reader's window is served.
    fn fill_gaps(&mut self, now: Duration) {
        let mut from = 0;
        while self.transfers.len() < GAPS_IN_FLIGHT {
            let Some(gap) = self.coverage.next_gap(from, self.end()) else {
                return;
            };
            if self.others_bring(gap.start) {
                from = self.others.covered_from(gap.start);
                continue;
            }
            let range = self.request_at(gap.start);
            let overlaps = |transfer: &&Transfer| {
                transfer.coming.start < range.end && range.start < transfer.coming.end
            };
            match self.transfers.iter().find(overlaps) {
                Some(running) => from = running.coming.end,
                None => {
                    from = range.end;
                    self.start(now, range.clone(), range.end);
                }
            }
            if self.end() == u64::MAX {
                return;
            }
        }
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
        self.wishes.push_back(Wish::Complete {
            resource: RESOURCE,
            len: end,
        });
        self.event(FileEvent::DownloadComplete { len: end });
    }

    fn report_progress(&mut self, step: u64) {
        let stored = self.coverage.total();
        if stored > self.reported && stored - self.reported >= step {
            self.reported = stored;
            let len = self.origin.as_ref().and_then(|origin| origin.total);
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

    fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Tick if self.state == State::Unopened => self.open(),
            Input::Stored { stored, .. } => self.heard_stored(now, stored),
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
            } => self.heard_retrying(fetch, attempt, delay, error),
            Input::Done { fetch } => self.heard_done(now, fetch),
            Input::Failed { fetch, error } => self.heard_failed(now, fetch, error),
            Input::Tick => {
                self.patience.handle_tick(now);
                self.close_if_idle(now);
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
        idle.into_iter().chain(rest).min()
    }
}

/// The extension of the last path segment of a URL, lower case.
fn extension(url: &Url) -> Option<String> {
    let name = url.path_segments()?.next_back()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let plausible = !stem.is_empty() && (1..=8).contains(&extension.len());
    plausible.then(|| extension.to_ascii_lowercase())
}
