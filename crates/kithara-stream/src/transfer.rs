//! One transfer on its way: a request, then a body taken chunk by chunk as far as its credit goes.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use kithara_assets::AssetStore;
use kithara_net::{Body, Net, NetError, Request, ResponseHead};
use tokio::sync::watch;

use crate::overlap::Overlap;
use crate::passage::Passage;
use crate::traffic::{Moving, busy, quiet};
use crate::{Fetch, FetchId, Priority, ResourceId, Transforming};

/// What a transfer came back with. All offsets are those of the resource.
pub(crate) enum Step {
    Head(ResponseHead),
    /// [`Transfer::bytes`] are to be stored here.
    Chunk(Range<u64>),
    End,
    Failed(NetError),
    /// The origin has other bytes than those that are stored.
    Differs,
    /// What was to be compared is no longer stored.
    Incomparable,
    /// Why what came could not be transformed.
    Untransformable(String),
}

type Pending = Pin<Box<dyn Future<Output = (Progress, Step)> + Send>>;

/// A transfer between two steps: it owns the connection.
struct Progress {
    net: Arc<dyn Net>,
    stage: Stage,
    credit: watch::Receiver<u64>,
    passage: Passage,
    /// The next byte of the body, as the server counts.
    at: u64,
    /// The first byte of the body that is taken.
    first: u64,
    /// Where the body ends, as far as known.
    end: u64,
    /// Where taking ends before that.
    stop: u64,
    /// The offset in the resource of the next byte to be stored.
    offset: u64,
    /// What came with a chunk but goes beyond the credit.
    beyond: Bytes,
    transforming: Option<Box<dyn Transforming>>,
    /// What is to be stored now: as it came, or as it was made.
    chunk: Bytes,
    made: Vec<u8>,
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
    /// Where its body ends, as far as known. What a transform makes of the body may end earlier.
    end: u64,
    /// What others leave to it.
    pub(crate) claimed: Range<u64>,
    /// Where it has compared what it is to compare, if it brings nothing.
    compares_until: Option<u64>,
    credit: watch::Sender<u64>,
    /// Between two steps.
    resting: Option<Progress>,
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
        let passage = Passage::new(fetch);
        let transform = fetch.terms.transform.as_ref();
        let progress = Progress {
            net,
            stage: Stage::Asking(Some(Box::new(request))),
            credit: granted,
            at: passage.range().start,
            first: passage.range().start,
            end: passage.end(),
            stop: u64::MAX,
            passage,
            offset: fetch.range.start,
            beyond: Bytes::new(),
            transforming: transform.map(|transform| transform.begin(fetch.range.start)),
            chunk: Bytes::new(),
            made: Vec::new(),
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
            resting: Some(progress),
            pending: None,
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

    /// Takes the next step; after `End`, or anything that failed, it must be dropped.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(progress) = self.resting.take() {
            self.pending = Some(Box::pin(progress.step()));
        }
        let Some(pending) = &mut self.pending else {
            return Poll::Pending;
        };
        let (progress, step) = ready!(pending.as_mut().poll(cx));
        self.pending = None;
        self.offset = progress.offset;
        if let Step::Head(head) = &step
            && progress.transforming.is_none()
        {
            // Where it stops by itself, it was to stop.
            let most = match progress.stop {
                u64::MAX => u64::MAX,
                _ => self.end,
            };
            self.end = head.end.unwrap_or(u64::MAX).min(most);
        }
        let goes_on = matches!(step, Step::Head(_) | Step::Chunk(_));
        self.resting = goes_on.then_some(progress);
        Poll::Ready(step)
    }

    /// What the last step has brought, until the next is taken.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.resting.as_ref().map_or(&[], Progress::bytes)
    }
}

impl Progress {
    async fn step(mut self) -> (Self, Step) {
        self.chunk = Bytes::new();
        self.made.clear();
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
                self.heard(response.head)
            }
            Err(error) => Step::Failed(error),
        }
    }

    fn heard(&mut self, head: ResponseHead) -> Step {
        self.at = head.start;
        self.first = self.passage.first(&head);
        self.stop = self.passage.stop(&head);
        self.end = head.end.unwrap_or(u64::MAX).min(self.stop);
        if self.at > self.first {
            let (url, what) = (head.final_url, "it starts behind what was asked for");
            return Step::Failed(NetError::WrongRange { url, what });
        }
        let head = self.passage.translate(head);
        self.offset = head.start;
        Step::Head(head)
    }

    async fn read(&mut self) -> Step {
        loop {
            if self.at >= self.stop {
                return self.ended();
            }
            self.wait_for_credit().await;
            let next = match self.beyond.is_empty() {
                true => self.next_chunk().await,
                false => Ok(Some(std::mem::take(&mut self.beyond))),
            };
            let step = match next {
                Ok(Some(chunk)) => self.take(chunk),
                Ok(None) => Some(self.ended()),
                Err(error) => Some(Step::Failed(error)),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Nothing is asked of the connection, and no stall clock runs, while bytes are not wanted.
    async fn wait_for_credit(&mut self) {
        let offset = self.offset;
        // Once every byte is here only the end is to come, and that needs no credit.
        if self.at < self.end && *self.credit.borrow() <= offset {
            self.moving = None;
            // The driver holds the granting end for as long as it polls this.
            let _ = self.credit.wait_for(|until| *until > offset).await;
        }
    }

    /// Takes of a chunk what is wanted, as far as the credit goes; `None` if nothing came of it yet.
    fn take(&mut self, mut chunk: Bytes) -> Option<Step> {
        let early = bounded(self.first.saturating_sub(self.at), chunk.len());
        chunk.advance(early);
        self.at += early as u64;
        chunk.truncate(bounded(self.stop.saturating_sub(self.at), chunk.len()));
        let room = self.credit.borrow().saturating_sub(self.offset).max(1);
        self.beyond = chunk.split_off(bounded(room, chunk.len()));
        self.at += chunk.len() as u64;
        match &mut self.transforming {
            Some(transforming) => {
                if let Err(what) = transforming.update(&chunk, &mut self.made) {
                    return Some(Step::Untransformable(what));
                }
            }
            None => self.chunk = chunk,
        }
        self.brought()
    }

    /// The body has ended: now the rest of what is made of it is known too.
    fn ended(&mut self) -> Step {
        let Some(mut transforming) = self.transforming.take() else {
            return Step::End;
        };
        let all = self.passage.end();
        if self.at < all && all != u64::MAX {
            let what = format!("it ends {} bytes too early", all - self.at);
            return Step::Untransformable(what);
        }
        if let Err(what) = transforming.finish(&mut self.made) {
            return Step::Untransformable(what);
        }
        self.brought().unwrap_or(Step::End)
    }

    /// What there is to store now, if anything.
    fn brought(&mut self) -> Option<Step> {
        let start = self.offset;
        let bytes = self.bytes();
        if bytes.is_empty() {
            return None;
        }
        if !self.overlap.agrees(start, bytes) {
            return Some(Step::Differs);
        }
        self.offset += bytes.len() as u64;
        Some(Step::Chunk(start..self.offset))
    }

    fn bytes(&self) -> &[u8] {
        match self.made.is_empty() {
            true => &self.chunk,
            false => &self.made,
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

/// `count`, at most `most`.
fn bounded(count: u64, most: usize) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).min(most)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use async_trait::async_trait;
    use kithara_net::{Attempts, Response, Url};
    use tokio::sync::mpsc;

    use super::*;
    use crate::Terms;

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
            terms: Terms::default(),
        };
        let (retries, _) = mpsc::unbounded_channel();
        let request = crate::request::of_fetch(&fetch, retries);
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
                Poll::Ready(Step::Chunk(_)) => {
                    chunks.push(Bytes::copy_from_slice(transfer.bytes()));
                }
                Poll::Ready(Step::End) => return (chunks, true),
                Poll::Ready(Step::Failed(error)) => panic!("{error}"),
                Poll::Ready(_) => {
                    panic!("there is nothing to differ from, and nothing to transform")
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
