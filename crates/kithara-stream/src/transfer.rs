//! One transfer on its way: a request, then a body taken chunk by chunk as far as its credit goes.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use kithara_assets::AssetStore;
use kithara_net::{Body, Net, NetError, NetEvent, Observer, RangeSpec, Request, ResponseHead};
use tokio::sync::{mpsc, watch};

use crate::overlap::Overlap;
use crate::traffic::{Moving, busy, quiet};
use crate::{Fetch, FetchId, Input, Priority, ResourceId};

/// What a transfer came back with.
pub(crate) enum Step {
    Head(ResponseHead),
    Chunk(Bytes),
    End,
    Failed(NetError),
    /// The origin has other bytes than those that are stored.
    Differs,
    /// What was to be compared is no longer stored.
    Incomparable,
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
    overlap: Overlap,
    only_compares: bool,
    priority: Priority,
    /// To be asked first whether it has everything on disk: what nobody waits for is not to fill the memory.
    settling: Option<AssetStore>,
    /// While it moves in the foreground.
    moving: Option<Moving>,
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
    /// Where its body ends, as far as known.
    end: u64,
    /// What others leave to it.
    pub(crate) claimed: Range<u64>,
    /// Where it has compared what it is to compare, if it brings nothing.
    compares_until: Option<u64>,
    credit: watch::Sender<u64>,
    pending: Option<Pending>,
}

impl Transfer {
    pub(crate) fn start(
        fetch: &Fetch,
        request: Request,
        net: Arc<dyn Net>,
        overlap: Overlap,
        store: Option<&AssetStore>,
    ) -> Self {
        let (credit, granted) = watch::channel(fetch.credit);
        let name = kithara_net::RedactedUrl::new(&fetch.url).to_string();
        let compared = fetch.range.start.saturating_add(fetch.overlap);
        let compares_until = (compared >= fetch.range.end).then_some(compared);
        let progress = Progress {
            net,
            stage: Stage::Asking(Some(Box::new(request))),
            credit: granted,
            offset: fetch.range.start,
            end: fetch.range.end,
            beyond: Bytes::new(),
            overlap,
            only_compares: compares_until.is_some(),
            priority: fetch.priority,
            settling: store
                .filter(|_| fetch.priority == Priority::Background)
                .cloned(),
            moving: None,
        };
        Self {
            id: fetch.id,
            resource: fetch.resource,
            name,
            offset: fetch.range.start,
            end: fetch.range.end,
            claimed: fetch.range.start..fetch.range.start,
            compares_until,
            credit,
            pending: Some(Box::pin(progress.step())),
        }
    }

    /// The bytes it brings before it pauses or ends.
    pub(crate) fn coming(&self) -> Range<u64> {
        self.offset..self.end.min(*self.credit.borrow())
    }

    /// Lets the transfer read up to `until` before it pauses.
    pub(crate) fn grant(&self, until: u64) {
        self.credit.send_replace(until);
    }

    /// Whether it brings nothing, but compares what is stored.
    pub(crate) fn only_compares(&self) -> bool {
        self.compares_until.is_some()
    }

    /// Whether all that it is to compare was compared, and more would follow.
    pub(crate) fn has_compared(&self) -> bool {
        self.compares_until
            .is_some_and(|until| self.offset >= until)
            && self.offset < self.end
    }

    /// Whether it has not compared yet all that it is to compare.
    pub(crate) fn is_compared_in_part(&self) -> bool {
        self.compares_until.is_some_and(|until| self.offset < until)
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
                self.end = progress.end;
            }
            let goes_on = matches!(step, Step::Head(_) | Step::Chunk(_));
            self.pending = goes_on.then(|| Box::pin(progress.step()) as Pending);
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
        let step = match &self.stage {
            Stage::Asking(_) => self.ask().await,
            Stage::Reading(_) => self.read().await,
        };
        (self, step)
    }

    async fn ask(&mut self) -> Step {
        self.overlap.look().await;
        if self.only_compares && !self.overlap.is_known() {
            return Step::Incomparable;
        }
        if let Some(store) = self.settling.take() {
            // A runtime that is shutting down asks nothing any more.
            let _ = tokio::task::spawn_blocking(move || store.settle()).await;
        }
        self.go().await;
        let Stage::Asking(request) = &mut self.stage else {
            unreachable!("a request is asked once")
        };
        let request = request.take().expect("a request is asked once");
        match self.net.fetch(*request).await {
            Ok(response) => {
                self.stage = Stage::Reading(response.body);
                Step::Head(response.head)
            }
            Err(error) => Step::Failed(error),
        }
    }

    async fn read(&mut self) -> Step {
        // Nothing is asked of the connection, and no stall clock runs, while bytes are not wanted.
        let offset = self.offset;
        // Once every byte is here only the end is to come, and that needs no credit.
        if offset < self.end && *self.credit.borrow() <= offset {
            self.moving = None;
            // The driver holds the granting end for as long as it polls this.
            let _ = self.credit.wait_for(|until| *until > offset).await;
        }
        let next = match self.beyond.is_empty() {
            true => self.next_chunk().await,
            false => Ok(Some(std::mem::take(&mut self.beyond))),
        };
        match next {
            Ok(Some(mut chunk)) => {
                let room = self.credit.borrow().saturating_sub(offset).max(1);
                let room = usize::try_from(room).unwrap_or(usize::MAX);
                self.beyond = chunk.split_off(room.min(chunk.len()));
                if !self.overlap.agrees(offset, &chunk) {
                    return Step::Differs;
                }
                self.offset += chunk.len() as u64;
                Step::Chunk(chunk)
            }
            Ok(None) => Step::End,
            Err(error) => Step::Failed(error),
        }
    }

    /// Waits until it may move.
    async fn go(&mut self) {
        match self.priority {
            Priority::Foreground => {
                self.moving.get_or_insert_with(Moving::new);
            }
            Priority::Background => quiet().await,
        }
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        loop {
            self.go().await;
            let Stage::Reading(body) = &mut self.stage else {
                return Ok(None);
            };
            if self.priority == Priority::Foreground {
                return body.chunk().await;
            }
            tokio::select! {
                biased;
                () = busy() => {}
                next = body.chunk() => return next,
            }
        }
    }
}

/// The request of a transfer, which tells `wire` of what goes on below it.
pub(crate) fn request(fetch: &Fetch, wire: mpsc::UnboundedSender<Input>) -> Request {
    let end = (fetch.range.end != u64::MAX).then_some(fetch.range.end);
    let id = fetch.id;
    let redirected = AtomicBool::new(false);
    Request::get(fetch.url.clone())
        .with_range(RangeSpec {
            start: fetch.range.start,
            end,
        })
        .with_if_range(fetch.if_range.clone())
        .with_attempts(fetch.attempts)
        .with_observer(Observer::new(move |event| {
            let input = match event {
                NetEvent::Retrying {
                    attempt,
                    delay,
                    error,
                } => Input::Retrying {
                    fetch: id,
                    attempt: *attempt,
                    delay: *delay,
                    error: Arc::clone(error),
                },
                NetEvent::RequestSent { range, .. }
                    if !redirected.swap(false, Ordering::Relaxed) =>
                {
                    let (start, end) = range.map_or((0, None), |range| (range.start, range.end));
                    Input::Sent {
                        fetch: id,
                        range: start..end.unwrap_or(u64::MAX),
                    }
                }
                NetEvent::Redirected { .. } => return redirected.store(true, Ordering::Relaxed),
                _ => return,
            };
            // The driver is gone only when nobody wants to know any more.
            let _ = wire.send(input);
        }))
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use async_trait::async_trait;
    use kithara_net::{Attempts, Response, Url};

    use super::*;

    /// Answers with one chunk.
    struct OneChunk(&'static [u8]);

    #[async_trait]
    impl Net for OneChunk {
        async fn fetch(&self, request: Request) -> Result<Response, NetError> {
            let head = ResponseHead::whole(&request.url, self.0.len() as u64);
            let body = Body::from_bytes(self.0);
            Ok(Response { head, body })
        }
    }

    fn transfer(bytes: &'static [u8], credit: u64) -> Transfer {
        let fetch = Fetch {
            id: FetchId(0),
            resource: ResourceId(0),
            url: Url::parse("http://h.test/a").expect("a literal URL"),
            range: 0..u64::MAX,
            credit,
            overlap: 0,
            if_range: None,
            attempts: Attempts::default(),
            priority: Priority::Foreground,
        };
        let (retries, _) = mpsc::unbounded_channel();
        let request = request(&fetch, retries);
        Transfer::start(
            &fetch,
            request,
            Arc::new(OneChunk(bytes)),
            Overlap::none(),
            None,
        )
    }

    /// The bytes of the steps that can be taken now, and whether the end was among them.
    fn chunks(transfer: &mut Transfer) -> (Vec<Bytes>, bool) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut chunks = Vec::new();
        loop {
            match transfer.poll_step(&mut cx) {
                Poll::Ready(Step::Head(_)) => {}
                Poll::Ready(Step::Chunk(chunk)) => chunks.push(chunk),
                Poll::Ready(Step::End) => return (chunks, true),
                Poll::Ready(Step::Failed(error)) => panic!("{error}"),
                Poll::Ready(Step::Differs | Step::Incomparable) => {
                    panic!("there is nothing to differ from")
                }
                Poll::Pending => return (chunks, false),
            }
        }
    }

    #[test]
    fn a_chunk_is_split_at_the_credit_and_goes_on_where_it_was_split() {
        let mut transfer = transfer(b"0123456789abcdef", 10);
        assert_eq!(chunks(&mut transfer), (vec!["0123456789".into()], false));
        // Less credit, or as much as before, brings nothing.
        transfer.grant(4);
        assert_eq!(chunks(&mut transfer), (vec![], false));
        transfer.grant(10);
        assert_eq!(chunks(&mut transfer), (vec![], false));
        transfer.grant(11);
        assert_eq!(chunks(&mut transfer), (vec!["a".into()], false));
        transfer.grant(16);
        assert_eq!(chunks(&mut transfer), (vec!["bcdef".into()], true));
    }

    #[test]
    fn nothing_is_read_without_credit_and_the_end_needs_none() {
        let mut whole = transfer(b"0123", 0);
        assert_eq!(chunks(&mut whole), (vec![], false));
        whole.grant(4);
        assert_eq!(chunks(&mut whole), (vec!["0123".into()], true));
    }
}
