//! The clock of a body: it runs only while somebody waits for bytes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::body::{Body, Pull, Pulled};
use crate::error::{NetError, TimeoutPhase};
use crate::options::{ThroughputFloor, Timeouts};
use crate::redact::RedactedUrl;

/// A body that fails when its bytes stay away, or come too slowly, while they are waited for.
pub(crate) struct Timed {
    inner: Body,
    url: RedactedUrl,
    stall: Duration,
    floor: Option<ThroughputFloor>,
    /// Waited since the last byte.
    stalled: Duration,
    /// Waited, and bytes seen, in the current window of the floor.
    window: Duration,
    window_bytes: u64,
    /// Since when somebody waits, and the timer for it.
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Timed {
    pub(crate) fn wrap(inner: Body, url: RedactedUrl, timeouts: &Timeouts) -> Body {
        Body::new(Self {
            inner,
            url,
            stall: timeouts.stall,
            floor: timeouts.throughput,
            stalled: Duration::ZERO,
            window: Duration::ZERO,
            window_bytes: 0,
            waiting: None,
            timer: None,
        })
    }

    /// Adds the wait that ends now to the clocks.
    fn settle(&mut self) {
        if let Some(since) = self.waiting.take() {
            let waited = since.elapsed();
            self.stalled += waited;
            self.window += waited;
        }
    }

    fn arrived(&mut self, length: usize) -> Result<(), TimeoutPhase> {
        self.settle();
        self.stalled = Duration::ZERO;
        self.window_bytes += length as u64;
        self.judge_window()
    }

    /// Closes the window of the floor if it is full.
    fn judge_window(&mut self) -> Result<(), TimeoutPhase> {
        let Some(floor) = self.floor else {
            return Ok(());
        };
        if self.window < floor.window {
            return Ok(());
        }
        if self.window_bytes < floor.bytes {
            return Err(TimeoutPhase::Throughput);
        }
        self.window = Duration::ZERO;
        self.window_bytes = 0;
        Ok(())
    }

    /// How much longer somebody may wait from now, were nothing to come.
    fn patience(&self) -> Duration {
        let stall = self.stall.saturating_sub(self.stalled);
        match self.floor {
            Some(floor) => stall.min(floor.window.saturating_sub(self.window)),
            None => stall,
        }
    }

    /// Runs the timer; ready when a clock has run out.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<TimeoutPhase> {
        loop {
            if self.waiting.is_none() {
                let now = Instant::now();
                self.waiting = Some(now);
                let until = now + self.patience();
                match &mut self.timer {
                    Some(timer) => timer.as_mut().reset(until),
                    None => self.timer = Some(Box::pin(sleep_until(until))),
                }
            }
            let expired = self
                .timer
                .as_mut()
                .is_none_or(|timer| timer.as_mut().poll(cx).is_ready());
            if !expired {
                return Poll::Pending;
            }
            self.settle();
            if self.stalled >= self.stall {
                return Poll::Ready(TimeoutPhase::Stall);
            }
            if let Err(phase) = self.judge_window() {
                return Poll::Ready(phase);
            }
        }
    }
}

impl Pull for Timed {
    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Pulled> {
        let timed_out = |url: &RedactedUrl, phase| NetError::Timeout {
            url: url.clone(),
            phase,
        };
        match self.inner.poll_chunk(cx) {
            Poll::Ready(Ok(Some(bytes))) => Poll::Ready(match self.arrived(bytes.len()) {
                Ok(()) => Ok(Some(bytes)),
                Err(phase) => Err(timed_out(&self.url, phase)),
            }),
            Poll::Ready(other) => Poll::Ready(other),
            Poll::Pending => self
                .poll_clock(cx)
                .map(|phase| Err(timed_out(&self.url, phase))),
        }
    }

    fn pause(&mut self) {
        self.settle();
        self.inner.pause();
    }
}
