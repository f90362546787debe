//! Retry of requests, and bodies that outlive their connections.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use tokio::time::{Instant, Sleep, sleep};

use crate::body::{Body, Pull, Pulled};
use crate::error::{NetError, TimeoutPhase};
use crate::net::Net;
use crate::observer::NetEvent;
use crate::redact::RedactedUrl;
use crate::request::{Method, RangeSpec, Request};
use crate::response::{RangeSupport, Response, ResponseHead, Validators};
use crate::retry::{Decision, Retry, RetryPolicy};

/// How far a body is read again from its beginning where the server serves no ranges.
const MAX_SKIP: u64 = 1024 * 1024;
/// Bytes compared at a join where the server gives no validator.
const OVERLAP: usize = 64;

/// A [`Net`] that tries again what may succeed later, and whose bodies go on where their connections died.
///
/// A body that breaks at byte `k` is asked for again from `k`, guarded by `If-Range` and checked to be the same
/// resource; the reader sees one body. Without a validator the last 64 bytes are asked for again and compared. A body
/// whose framing doesn't prove its end (see [`ResponseHead::length_proof`]) just ends.
///
/// Every wait and request is part of the future or body that the caller holds: dropping it ends them at once.
pub struct RetryNet<N> {
    inner: Arc<N>,
    policy: RetryPolicy,
}

impl<N> RetryNet<N> {
    /// Retries what `inner` fails at.
    pub fn new(inner: N, policy: RetryPolicy) -> Self {
        Self {
            inner: Arc::new(inner),
            policy,
        }
    }
}

impl<N> Clone for RetryNet<N> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            policy: self.policy,
        }
    }
}

impl<N: fmt::Debug> fmt::Debug for RetryNet<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryNet")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish()
    }
}

#[async_trait]
impl<N: Net> Net for RetryNet<N> {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let mut attempts = Trial::new(self.policy, &request);
        loop {
            let error = match self.inner.fetch(attempts.ask()).await {
                Ok(response) if request.method == Method::Head => return Ok(response),
                Ok(response) => {
                    return Ok(Resuming::start(Arc::clone(&self.inner), response, attempts));
                }
                Err(error) => error,
            };
            sleep(attempts.failed(error)?).await;
        }
    }
}

/// The retry decision with what it needs from outside: time, chance and somebody to tell.
struct Trial {
    retry: Retry,
    origin: Instant,
    request: Request,
    /// When the server was last asked or heard.
    alive: Instant,
}

impl Trial {
    fn new(policy: RetryPolicy, request: &Request) -> Self {
        Self {
            retry: Retry::new(policy).with_attempts(request.attempts),
            origin: Instant::now(),
            request: request.clone(),
            alive: Instant::now(),
        }
    }

    /// The request, about to be made.
    fn ask(&mut self) -> Request {
        self.alive = Instant::now();
        self.request.clone()
    }

    /// Bytes arrived.
    fn progressed(&mut self) {
        self.alive = Instant::now();
        self.retry.handle_progress();
    }

    /// How long to wait before trying again, or the error to end with.
    fn failed(&mut self, error: NetError) -> Result<Duration, NetError> {
        if let NetError::Timeout {
            phase: TimeoutPhase::FirstByte | TimeoutPhase::Stall,
            ..
        } = error
        {
            self.request.connected_since = Some(self.alive);
        }
        match self
            .retry
            .handle_failure(self.origin.elapsed(), &error, random_unit())
        {
            Decision::After(delay) => {
                let attempt = self.retry.failures();
                tracing::info!(target: "kithara_net", url = %self.url(), attempt, ?delay, %error, "retrying");
                let error = Arc::new(error);
                self.request.observer.report(&NetEvent::Retrying {
                    attempt,
                    delay,
                    error,
                });
                Ok(delay)
            }
            Decision::Fatal => Err(error),
            Decision::Exhausted => Err(NetError::RetryExhausted {
                url: self.url(),
                attempts: self.retry.failures(),
                last: Box::new(error),
            }),
        }
    }

    fn url(&self) -> RedactedUrl {
        self.request.redacted()
    }
}

/// A random number in `0.0..1.0`: the standard library keys every hasher at random.
fn random_unit() -> f64 {
    let bits = RandomState::new().hash_one(0u8);
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

type Fetching = Pin<Box<dyn Future<Output = Result<Response, NetError>> + Send>>;

enum Phase {
    Reading(Body),
    Waiting(Pin<Box<Sleep>>),
    /// Kept over polls: a reader that looks elsewhere in between must not start the request over.
    Asking(Fetching),
}

/// One body over as many responses as it takes.
struct Resuming<N> {
    net: Arc<N>,
    attempts: Trial,
    /// The facts of the first response, to which every further one is held.
    validators: Validators,
    total: Option<u64>,
    ranges: RangeSupport,
    /// Whether the first response was the range that was asked for.
    is_range: bool,
    /// The offset of the next byte for the reader, and where the body is to end.
    position: u64,
    end: Option<u64>,
    /// The last bytes given to the reader.
    tail: Vec<u8>,
    /// Bytes before `position` that this response still has to bring.
    skip: u64,
    /// Whether this response brought anything new.
    progressed: bool,
    phase: Phase,
}

impl<N: Net> Resuming<N> {
    fn start(net: Arc<N>, response: Response, attempts: Trial) -> Response {
        let Response { mut head, body } = response;
        let is_range = head.status == 206;
        head.end = wanted_end(&attempts.request, &head);
        let resuming = Self {
            net,
            attempts,
            validators: head.validators.clone(),
            total: head.total,
            ranges: head.ranges,
            is_range,
            position: head.start,
            end: head.end,
            tail: Vec::new(),
            skip: 0,
            progressed: false,
            phase: Phase::Reading(body),
        };
        let body = Body::new(resuming);
        Response { head, body }
    }

    fn arrived(&mut self, mut bytes: Bytes) -> Result<Option<Bytes>, NetError> {
        if self.skip > 0 {
            let old = bytes.split_to(
                bytes
                    .len()
                    .min(usize::try_from(self.skip).unwrap_or(usize::MAX)),
            );
            self.compare(&old)?;
            self.skip -= old.len() as u64;
        }
        if let Some(end) = self.end {
            bytes
                .truncate(usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        self.position += bytes.len() as u64;
        self.progressed = true;
        // A server without ranges sends from the front what its reader has had.
        let asked = self.attempts.request.range.map_or(0, |range| range.start);
        if self.position > asked {
            self.attempts.progressed();
        }
        let fresh = bytes.slice(bytes.len().saturating_sub(OVERLAP)..);
        self.tail.extend_from_slice(&fresh);
        self.tail.drain(..self.tail.len().saturating_sub(OVERLAP));
        Ok(Some(bytes))
    }

    /// Holds bytes that come a second time, `self.skip` before the position, to the tail.
    fn compare(&self, old: &Bytes) -> Result<(), NetError> {
        let mut old = old.clone();
        let ahead = self.skip.saturating_sub(self.tail.len() as u64);
        if ahead >= old.len() as u64 {
            return Ok(());
        }
        old.advance(ahead as usize);
        let known = self.tail.len() - (self.skip - ahead) as usize;
        match self.tail[known..].starts_with(&old) {
            true => Ok(()),
            false => Err(self.changed("bytes")),
        }
    }

    /// The body ended. Short of the wanted end it goes on if this response helped, and has failed if not.
    fn ended(&mut self) -> Result<bool, NetError> {
        let expected = match self.end {
            Some(end) if self.position < end => end,
            None if self.skip > 0 => self.position,
            _ => return Ok(true),
        };
        if self.progressed && self.skip == 0 {
            self.ask();
            return Ok(false);
        }
        let (url, got) = (self.attempts.url(), self.position - self.skip);
        self.failed(NetError::Truncated { url, expected, got })?;
        Ok(false)
    }

    fn failed(&mut self, error: NetError) -> Result<(), NetError> {
        let delay = self.attempts.failed(error)?;
        if self.ranges == RangeSupport::No && self.position > MAX_SKIP {
            return Err(self.unreachable());
        }
        self.phase = Phase::Waiting(Box::pin(sleep(delay)));
        Ok(())
    }

    fn ask(&mut self) {
        let overlap = if self.validators.is_empty() {
            self.tail.len() as u64
        } else {
            0
        };
        let mut request = self.attempts.ask();
        let end = request
            .range
            .and_then(|range| range.end)
            .filter(|_| self.is_range);
        request.range = Some(RangeSpec {
            start: self.position - overlap,
            end,
        });
        request.if_range = self.validators.if_range();
        let net = Arc::clone(&self.net);
        self.phase = Phase::Asking(Box::pin(async move { net.fetch(request).await }));
    }

    /// Whether the answer is the rest of the same resource, and how much of it has been seen.
    fn check(&mut self, head: &ResponseHead) -> Result<(), NetError> {
        if let Some(what) = self.validators.conflict(&head.validators) {
            return Err(self.changed(what));
        }
        if let (Some(before), Some(now)) = (self.total, head.total)
            && before != now
        {
            return Err(self.changed("length"));
        }
        let skip = self
            .position
            .checked_sub(head.start)
            .ok_or_else(|| self.unreachable())?;
        if head.status != 206 && skip > MAX_SKIP {
            return Err(self.unreachable());
        }
        self.total = self.total.or(head.total);
        self.skip = skip;
        self.progressed = false;
        Ok(())
    }

    /// A request for the rest failed. `true`: because there is no rest.
    fn refused(&mut self, error: NetError) -> Result<bool, NetError> {
        match error {
            NetError::RangeNotSatisfiable { total, .. } => {
                if self.end.is_none() && total.is_some_and(|total| total == self.position) {
                    return Ok(true);
                }
                Err(self.changed("length"))
            }
            // It has worked until now.
            NetError::Http { url, status, .. } if matches!(status, 401 | 403) => {
                Err(NetError::Expired { url, status })
            }
            error => self.failed(error).map(|()| false),
        }
    }

    fn changed(&self, what: &'static str) -> NetError {
        let url = self.attempts.url();
        NetError::ContentChanged { url, what }
    }

    fn unreachable(&self) -> NetError {
        let (url, offset) = (self.attempts.url(), self.position);
        NetError::RangeUnsupported { url, offset }
    }
}

impl<N: Net> Pull for Resuming<N> {
    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Pulled> {
        loop {
            // All that was wanted is here; how the connection ends is nobody's concern.
            if self.end.is_some_and(|end| self.position >= end) {
                return Poll::Ready(Ok(None));
            }
            match &mut self.phase {
                Phase::Reading(body) => match ready!(body.poll_chunk(cx)) {
                    Ok(Some(bytes)) => {
                        if let Some(bytes) = self.arrived(bytes)? {
                            return Poll::Ready(Ok(Some(bytes)));
                        }
                    }
                    Ok(None) => {
                        if self.ended()? {
                            return Poll::Ready(Ok(None));
                        }
                    }
                    Err(error) => self.failed(error)?,
                },
                Phase::Waiting(timer) => {
                    ready!(timer.as_mut().poll(cx));
                    self.ask();
                }
                Phase::Asking(fetching) => match ready!(fetching.as_mut().poll(cx)) {
                    Ok(Response { head, body }) => {
                        self.check(&head)?;
                        self.phase = Phase::Reading(body);
                        let at = self.position;
                        tracing::info!(target: "kithara_net", url = %self.attempts.url(), at, "resumed");
                        self.attempts
                            .request
                            .observer
                            .report(&NetEvent::Resumed { at });
                    }
                    Err(error) => {
                        if self.refused(error)? {
                            return Poll::Ready(Ok(None));
                        }
                    }
                },
            }
        }
    }

    fn pause(&mut self) {
        if let Phase::Reading(body) = &mut self.phase {
            body.pause();
        }
    }
}

/// Where the body should end, going by what was asked for; a server may send less at a time (RFC 9110 §15.3.7).
fn wanted_end(request: &Request, head: &ResponseHead) -> Option<u64> {
    let asked = request.range.filter(|_| head.status == 206);
    match (asked, head.total) {
        (Some(RangeSpec { end: Some(end), .. }), Some(total)) => Some(end.min(total)),
        (Some(RangeSpec { end: None, .. }), Some(total)) => Some(total),
        _ => head.end,
    }
}
