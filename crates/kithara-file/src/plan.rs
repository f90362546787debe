//! Decides which bytes of one remote file to fetch next.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use kithara_stream::net::{NetError, RedactedUrl, ResponseHead};
use kithara_stream::{
    Coverage, Demand, Fetch, FetchId, Input, MediaInfo, Plan, ResourceId, RunCause, RunFacts,
    StreamError, Wish,
};
use url::Url;

use crate::FileEvent;
use crate::origin::Origin;
use crate::rule::{Pace, keep_reading};

/// The one resource of a file.
const RESOURCE: ResourceId = ResourceId(0);
/// What one request asks for. Bounded, so that an aborted response cannot leave much in flight, and so that no server
/// has to hold a response open while the listener catches up.
const REQUEST: u64 = 384 * 1024;
/// A request may ask for this much if that finishes the file.
const LAST_REQUEST: u64 = 512 * 1024;
/// A transfer with less to go than this is left to finish when the reader jumps away.
const NEARLY_DONE: u64 = 32 * 1024;
/// Gaps filled at the same time once the reader has what it needs.
const GAPS_IN_FLIGHT: usize = 4;
/// A connection that brings nothing because nothing is wanted is closed after this long.
const IDLE: Duration = Duration::from_secs(30);
/// Progress is reported in steps of this many bytes.
const PROGRESS_STEP: u64 = 64 * 1024;
/// Without ranges a seek forward is worth waiting for if it is this near, or within the look-ahead.
const WAIT_THROUGH: u64 = 1024 * 1024;

/// How far fetching runs ahead of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePolicy {
    /// At most this many bytes are fetched beyond the reader's position. Default 4 MiB, at least 256 KiB.
    pub look_ahead_bytes: u64,
    /// Whether to fetch what the reader skipped, once it has its look-ahead, and then all the rest. Default no.
    pub whole: bool,
}

impl Default for FilePolicy {
    fn default() -> Self {
        Self {
            look_ahead_bytes: 4 * 1024 * 1024,
            whole: false,
        }
    }
}

impl FilePolicy {
    fn look_ahead(self) -> u64 {
        self.look_ahead_bytes.max(256 * 1024)
    }

    /// A request is at most half the look-ahead, so that the next one can start before the reader runs dry.
    fn request(self) -> u64 {
        REQUEST.min(self.look_ahead() / 2)
    }
}

/// The [`Plan`] of one remote file: sequential, a jump where the reader jumps, gaps, complete.
///
/// It keeps at most [`FilePolicy::look_ahead_bytes`] fetched beyond the reader, in bounded range requests, and never asks
/// for a stored byte. A server without ranges (RFC 9110 §14.3) is read from the front, paused by credit.
#[derive(Debug)]
pub struct FilePlan {
    url: Url,
    info: MediaInfo,
    policy: FilePolicy,
    origin: Option<Origin>,
    coverage: Coverage,
    demand: Demand,
    transfers: Vec<Transfer>,
    wishes: VecDeque<Wish<FileEvent>>,
    pace: Pace,
    state: State,
    next_id: u64,
    reported: u64,
    idle_since: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fetching,
    Complete,
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
            info,
            policy,
            origin: None,
            coverage: Coverage::default(),
            demand: Demand::default(),
            transfers: Vec::new(),
            wishes: VecDeque::new(),
            pace: Pace::default(),
            state: State::Fetching,
            next_id: 0,
            reported: 0,
            idle_since: None,
        }
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
        self.transfers.clear();
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

    fn start(&mut self, now: Duration, range: Range<u64>, credit: u64) {
        let id = FetchId(self.next_id);
        self.next_id += 1;
        self.transfers.push(Transfer {
            id,
            coming: range.clone(),
            credit,
            asked: range.clone(),
            since: now,
            head_at: None,
            brought: 0,
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
            if_range,
        }));
    }

    /// Decides again, after anything changed.
    fn schedule(&mut self, now: Duration) {
        self.finish_if_covered();
        if self.state != State::Fetching {
            return;
        }
        match &self.origin {
            None if self.transfers.is_empty() => {
                let first = 0..LAST_REQUEST.min(self.policy.look_ahead());
                self.start(now, first.clone(), first.end);
            }
            None => {}
            Some(origin) if origin.ranges => {
                self.serve_reader(now);
                if self.policy.whole {
                    self.fill_gaps(now);
                }
            }
            Some(_) => self.serve_in_order(now),
        }
    }

    /// With ranges: the first byte missing in front of the reader decides.
    fn serve_reader(&mut self, now: Duration) {
        let position = self.demand.position;
        let window = position.saturating_add(self.policy.look_ahead());
        let window = position..window.min(self.end());
        let Some(gap) = self.coverage.next_gap(window.start, window.end) else {
            return;
        };
        let (pace, blocked) = (self.pace, self.demand.wanted.is_some());
        let reaches = |transfer: &Transfer| {
            // Nothing else competes for the link while nobody waits: whatever will bring the byte may bring it.
            transfer.coming.contains(&gap.start)
                && (!blocked || keep_reading(&transfer.coming, gap.start, pace))
        };
        if self.transfers.iter().any(reaches) {
            return;
        }
        let room = window.end - gap.start;
        let finishes = gap.end < window.end || window.end == self.end();
        if !blocked && !finishes && room < self.policy.request() {
            return;
        }
        if blocked {
            self.abort(|transfer| transfer.coming.end - transfer.coming.start > NEARLY_DONE);
        } else if !self.transfers.is_empty() {
            // One transfer at a time while the reader has something to read: two would share the same link.
            return;
        }
        let range = self.request_at(gap.start);
        self.start(now, range.clone(), range.end);
    }

    /// What to ask for at the start of a gap: up to the next stored byte, and never more than one request's worth.
    fn request_at(&self, start: u64) -> Range<u64> {
        let end = self.end();
        let last = end.saturating_sub(start) <= LAST_REQUEST.min(self.policy.look_ahead());
        let limit = if last {
            end
        } else {
            start.saturating_add(self.policy.request())
        };
        self.coverage.next_gap(start, limit).unwrap_or(start..limit)
    }

    /// Fetches the rest of the file, several gaps at a time, once the reader's window is served.
    fn fill_gaps(&mut self, now: Duration) {
        if self.demand.wanted.is_some() {
            return;
        }
        let mut from = 0;
        while self.transfers.len() < GAPS_IN_FLIGHT {
            let Some(gap) = self.coverage.next_gap(from, self.end()) else {
                return;
            };
            let range = self.request_at(gap.start);
            from = range.end;
            let overlaps = |transfer: &Transfer| {
                transfer.coming.start < range.end && range.start < transfer.coming.end
            };
            if !self.transfers.iter().any(overlaps) {
                self.start(now, range.clone(), range.end);
            }
            if self.end() == u64::MAX {
                return;
            }
        }
    }

    /// Without ranges: one transfer from the front, held back by credit.
    fn serve_in_order(&mut self, now: Duration) {
        let position = self.demand.position;
        let ahead = position.saturating_add(self.policy.look_ahead());
        if let Some(wanted) = self.demand.wanted.clone() {
            let reached = self
                .transfers
                .first()
                .map_or(self.coverage.covered_from(0), |transfer| {
                    transfer.coming.start
                });
            let distance = wanted.start.saturating_sub(reached);
            if distance > WAIT_THROUGH.max(self.policy.look_ahead()) {
                self.wishes.push_back(Wish::Refuse {
                    resource: RESOURCE,
                    offset: wanted.start,
                    error: StreamError::RangeUnsupported {
                        name: self.info.name.clone(),
                        offset: wanted.start,
                    },
                });
                return;
            }
        }
        match self.transfers.first_mut() {
            Some(transfer) => {
                if transfer.credit < ahead {
                    transfer.credit = ahead;
                    let fetch = transfer.id;
                    self.wishes.push_back(Wish::Credit {
                        fetch,
                        until: ahead,
                    });
                }
                let paused = transfer.head_at.is_some() && transfer.coming.start >= transfer.credit;
                self.idle_since = paused.then(|| self.idle_since.unwrap_or(now));
            }
            // Closed for idleness, or lost: the front comes again, and what is stored is not stored twice.
            None if self.demand.wanted.is_some() => self.start(now, 0..u64::MAX, ahead),
            None => {}
        }
    }

    fn finish_if_covered(&mut self) {
        let end = self.end();
        let done = end != u64::MAX && self.coverage.is_complete(end);
        if self.state != State::Fetching || !done {
            return;
        }
        self.state = State::Complete;
        // One that brought its last byte is about to end by itself, and its connection can then be used again.
        self.abort(|transfer| !transfer.coming.is_empty());
        self.report_progress(0);
        self.wishes.push_back(Wish::Complete {
            resource: RESOURCE,
            len: end,
        });
        self.event(FileEvent::DownloadComplete { len: end });
    }

    fn heard_head(&mut self, now: Duration, fetch: FetchId, head: &ResponseHead) {
        let Some(transfer) = self.transfers.iter_mut().find(|known| known.id == fetch) else {
            return;
        };
        transfer.head_at = Some(now);
        transfer.coming = head.start..head.end.unwrap_or(u64::MAX);
        self.pace.round_trip = Some(now.saturating_sub(transfer.since));
        match &mut self.origin {
            None => self.publish(head),
            Some(origin) => {
                if let Some(what) = origin.change(head) {
                    let name = self.info.name.clone();
                    return self.fail(StreamError::ContentChanged { name, what });
                }
                let restarted = transfer.asked.start > 0 && head.start == 0;
                if restarted {
                    origin.ranges = false;
                }
                if origin.total.is_none() && head.total.is_some() {
                    origin.total = head.total;
                    self.announce_length();
                }
            }
        }
        self.schedule(now);
    }

    fn publish(&mut self, head: &ResponseHead) {
        let origin = Origin::new(head);
        self.info.media_type.clone_from(&origin.media_type);
        self.event(FileEvent::Opened {
            len: origin.total,
            ranges: origin.ranges,
            media_type: origin.media_type.clone(),
        });
        let facts = RunFacts {
            resource: RESOURCE,
            start: Duration::ZERO,
            info: self.info.clone(),
            cause: RunCause::Start,
            len: origin.total,
            // A finite file without ranges can be waited through or is told to be too far; an endless one is a stream.
            seekable: origin.ranges || origin.total.is_some(),
        };
        self.origin = Some(origin);
        self.announce_length();
        self.wishes.push_back(Wish::Publish(facts));
        self.wishes.push_back(Wish::End);
    }

    fn announce_length(&mut self) {
        if let Some(len) = self.origin.as_ref().and_then(|origin| origin.total) {
            self.wishes.push_back(Wish::Length {
                resource: RESOURCE,
                len,
            });
        }
    }

    fn heard_progress(&mut self, now: Duration, fetch: FetchId, stored: &Range<u64>) {
        self.coverage.insert(stored.clone());
        if let Some(transfer) = self.transfers.iter_mut().find(|known| known.id == fetch) {
            transfer.coming.start = stored.end;
            transfer.brought += stored.end - stored.start;
        }
        self.report_progress(PROGRESS_STEP);
        self.schedule(now);
    }

    fn report_progress(&mut self, step: u64) {
        let stored = self.coverage.total();
        if stored > self.reported && stored - self.reported >= step {
            self.reported = stored;
            let len = self.origin.as_ref().and_then(|origin| origin.total);
            self.event(FileEvent::DownloadProgress { stored, len });
        }
    }

    fn heard_done(&mut self, now: Duration, fetch: FetchId) {
        let Some(index) = self.transfers.iter().position(|known| known.id == fetch) else {
            return;
        };
        let transfer = self.transfers.remove(index);
        self.measure(now, &transfer);
        self.report_progress(0);
        let ended_at = transfer.coming.start;
        let open_ended = transfer.coming.end == u64::MAX;
        if let Some(origin) = &mut self.origin
            && origin.total.is_none()
            && (open_ended || !origin.ranges)
        {
            origin.total = Some(ended_at);
            let proven = origin.end_proven;
            self.announce_length();
            if !proven {
                self.event(FileEvent::EndUnproven { len: ended_at });
            }
        }
        self.schedule(now);
    }

    fn measure(&mut self, now: Duration, transfer: &Transfer) {
        let Some(head_at) = transfer.head_at else {
            return;
        };
        let took = now.saturating_sub(head_at).as_millis().max(1);
        let rate = u128::from(transfer.brought) * 1000 / took;
        self.pace.bytes_per_second = u64::try_from(rate).ok();
    }

    fn heard_failed(&mut self, now: Duration, fetch: FetchId, error: StreamError) {
        let Some(index) = self.transfers.iter().position(|known| known.id == fetch) else {
            return;
        };
        let transfer = self.transfers.remove(index);
        let total = match &error {
            StreamError::Net(net) => match &**net {
                NetError::RangeNotSatisfiable { total, .. } => Some(*total),
                _ => None,
            },
            _ => None,
        };
        match total {
            Some(total) => self.heard_unsatisfiable(now, transfer.asked.start, total, error),
            None => self.fail(error),
        }
    }

    /// 416: the file ends at or before the byte asked for (RFC 9110 §15.5.17).
    fn heard_unsatisfiable(
        &mut self,
        now: Duration,
        at: u64,
        total: Option<u64>,
        error: StreamError,
    ) {
        let known = self.origin.as_ref().map(|origin| origin.total);
        match (known, total) {
            // Nothing at all: an empty file, which is for the decoder to refuse.
            (None, total) if at == 0 && total.unwrap_or(0) == 0 => {
                self.publish(&ResponseHead::whole(&self.url, 0));
                self.schedule(now);
            }
            // The end was not announced, and this is it.
            (Some(None), total) if total.is_none_or(|total| total == at) => {
                if let Some(origin) = &mut self.origin {
                    origin.total = Some(at);
                }
                self.announce_length();
                self.schedule(now);
            }
            (Some(Some(old)), Some(new)) if old != new => self.fail(StreamError::ContentChanged {
                name: self.info.name.clone(),
                what: format!("its length, from {old} to {new} bytes"),
            }),
            _ => self.fail(error),
        }
    }

    fn heard_retrying(
        &mut self,
        fetch: FetchId,
        attempt: u32,
        delay: Duration,
        error: std::sync::Arc<NetError>,
    ) {
        let at = self
            .transfers
            .iter()
            .find(|known| known.id == fetch)
            .map_or(0, |transfer| transfer.coming.start);
        self.event(FileEvent::Retrying {
            at,
            attempt,
            delay,
            error,
        });
    }

    fn close_if_idle(&mut self, now: Duration) {
        if self.idle_since.is_some_and(|since| now >= since + IDLE) {
            self.idle_since = None;
            self.abort(|_| true);
        }
    }
}

impl Plan for FilePlan {
    type Event = FileEvent;

    fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Demand(demand) => {
                self.demand = demand;
                self.schedule(now);
            }
            Input::Seek { .. } => {
                if self.state == State::Failed {
                    self.state = State::Fetching;
                    self.wishes.push_back(Wish::Revive);
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
                self.close_if_idle(now);
                self.schedule(now);
            }
        }
    }

    fn poll(&mut self) -> Option<Wish<FileEvent>> {
        self.wishes.pop_front()
    }

    fn deadline(&self) -> Option<Duration> {
        self.idle_since.map(|since| since + IDLE)
    }
}

/// The extension of the last path segment of a URL, lower case.
fn extension(url: &Url) -> Option<String> {
    let name = url.path_segments()?.next_back()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let plausible = !stem.is_empty() && (1..=8).contains(&extension.len());
    plausible.then(|| extension.to_ascii_lowercase())
}
