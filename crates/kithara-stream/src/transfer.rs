//! One transfer on its way: a request, then a body taken chunk by chunk as far as its credit goes.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use kithara_net::{Body, Net, NetError, NetEvent, Observer, RangeSpec, Request, ResponseHead};
use tokio::sync::{mpsc, watch};

use crate::{Fetch, FetchId, Input, ResourceId};

/// What a transfer came back with.
pub(crate) enum Step {
    Head(ResponseHead),
    Chunk(Bytes),
    End,
    Failed(NetError),
}

type Pending = Pin<Box<dyn Future<Output = (Progress, Step)> + Send>>;

/// A transfer between two steps: it owns the connection.
struct Progress {
    net: Arc<dyn Net>,
    stage: Stage,
    credit: watch::Receiver<u64>,
    /// The offset of the next byte of the body.
    offset: u64,
    /// Where the body ends, as far as known.
    end: u64,
    /// What came with a chunk but goes beyond the credit.
    beyond: Bytes,
}

enum Stage {
    /// Boxed because a request is large beside a body.
    Asking(Option<Box<Request>>),
    Reading(Body),
}

/// The driver's hold on one transfer. Dropping it drops the connection.
pub(crate) struct Transfer {
    pub(crate) id: FetchId,
    pub(crate) resource: ResourceId,
    pub(crate) name: String,
    /// The offset at which the next chunk belongs.
    pub(crate) offset: u64,
    credit: watch::Sender<u64>,
    pending: Option<Pending>,
}

impl Transfer {
    pub(crate) fn start(
        fetch: &Fetch,
        net: Arc<dyn Net>,
        retries: mpsc::UnboundedSender<Input>,
    ) -> Self {
        let (credit, granted) = watch::channel(fetch.credit);
        let name = kithara_net::RedactedUrl::new(&fetch.url).to_string();
        let progress = Progress {
            net,
            stage: Stage::Asking(Some(Box::new(request(fetch, retries)))),
            credit: granted,
            offset: fetch.range.start,
            end: fetch.range.end,
            beyond: Bytes::new(),
        };
        Self {
            id: fetch.id,
            resource: fetch.resource,
            name,
            offset: fetch.range.start,
            credit,
            pending: Some(Box::pin(progress.step())),
        }
    }

    /// Lets the transfer read up to `until` before it pauses.
    pub(crate) fn grant(&self, until: u64) {
        self.credit.send_replace(until);
    }

    /// Takes the next step; after `End` or `Failed` it must be dropped.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let Some(pending) = &mut self.pending else {
            return Poll::Pending;
        };
        pending.as_mut().poll(cx).map(|(mut progress, step)| {
            if let Step::Head(head) = &step {
                progress.offset = head.start;
                progress.end = head.end.unwrap_or(u64::MAX);
                self.offset = head.start;
            }
            let over = matches!(step, Step::End | Step::Failed(_));
            self.pending = if over {
                None
            } else {
                Some(Box::pin(progress.step()))
            };
            step
        })
    }

    /// Where `chunk` belongs, and the offset behind it.
    pub(crate) fn place(&mut self, chunk: &Bytes) -> Range<u64> {
        let start = self.offset;
        self.offset += chunk.len() as u64;
        start..self.offset
    }
}

impl Progress {
    async fn step(mut self) -> (Self, Step) {
        let step = match &mut self.stage {
            Stage::Asking(request) => {
                let request = request.take().expect("a request is asked once");
                match self.net.fetch(*request).await {
                    Ok(response) => {
                        self.stage = Stage::Reading(response.body);
                        Step::Head(response.head)
                    }
                    Err(error) => Step::Failed(error),
                }
            }
            Stage::Reading(body) => {
                // Nothing is asked of the connection, and no stall clock runs, while bytes are not wanted.
                let offset = self.offset;
                // Once every byte is here only the end is to come, and that needs no credit.
                if offset < self.end {
                    // The driver holds the granting end for as long as it polls this.
                    let _ = self.credit.wait_for(|until| *until > offset).await;
                }
                let next = match self.beyond.is_empty() {
                    true => body.chunk().await,
                    false => Ok(Some(std::mem::take(&mut self.beyond))),
                };
                match next {
                    Ok(Some(mut chunk)) => {
                        let room = self.credit.borrow().saturating_sub(offset).max(1);
                        let room = usize::try_from(room).unwrap_or(usize::MAX);
                        self.beyond = chunk.split_off(room.min(chunk.len()));
                        self.offset += chunk.len() as u64;
                        Step::Chunk(chunk)
                    }
                    Ok(None) => Step::End,
                    Err(error) => Step::Failed(error),
                }
            }
        };
        (self, step)
    }
}

fn request(fetch: &Fetch, retries: mpsc::UnboundedSender<Input>) -> Request {
    let end = (fetch.range.end != u64::MAX).then_some(fetch.range.end);
    let id = fetch.id;
    Request::get(fetch.url.clone())
        .with_range(RangeSpec {
            start: fetch.range.start,
            end,
        })
        .with_if_range(fetch.if_range.clone())
        .with_observer(Observer::new(move |event| {
            if let NetEvent::Retrying {
                attempt,
                delay,
                error,
                ..
            } = event
            {
                // The driver is gone only when nobody wants to know any more.
                let _ = retries.send(Input::Retrying {
                    fetch: id,
                    attempt: *attempt,
                    delay: *delay,
                    error: Arc::clone(error),
                });
            }
        }))
}
