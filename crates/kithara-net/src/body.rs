//! The bytes of a response, pulled.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};

use crate::error::NetError;

/// What one poll of a body yields; `Ok(None)` is its end.
pub(crate) type Pulled = Result<Option<Bytes>, NetError>;

/// A layer of a body.
pub(crate) trait Pull: Send {
    /// The next bytes. Not called again after an end or an error.
    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Pulled>;

    /// Nobody waits for bytes any more, for now: clocks stand still until the next poll.
    fn pause(&mut self) {}
}

/// Empty chunks passed over in one poll.
const MAX_EMPTY: usize = 32;

/// A body that is read by asking for its next chunk. Dropping it gives up the transfer at once.
pub struct Body {
    state: State,
}

enum State {
    Open(Box<dyn Pull>),
    Ended,
    Failed,
}

impl Body {
    /// A body from any stream of bytes.
    pub fn from_stream(
        stream: impl Stream<Item = Result<Bytes, NetError>> + Send + 'static,
    ) -> Self {
        Self::new(Streamed(Box::pin(stream)))
    }

    /// A body that is here already.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self::from_stream(futures_util::stream::iter([Ok(bytes.into())]))
    }

    /// A body without bytes.
    pub fn empty() -> Self {
        Self {
            state: State::Ended,
        }
    }

    pub(crate) fn new(pull: impl Pull + 'static) -> Self {
        Self {
            state: State::Open(Box::new(pull)),
        }
    }

    /// Waits for the next bytes, never empty; `None` is the end, and stays so.
    ///
    /// Dropping the future loses nothing: the next call goes on where it was. Nothing is timed while no call waits.
    /// After an error the body is dead; asking again fails with [`NetError::BodyFailed`] and makes no request.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let waiting = Waiting(self);
        poll_fn(|cx| waiting.0.poll_chunk(cx)).await
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Pulled> {
        let pull = match &mut self.state {
            State::Open(pull) => pull,
            State::Ended => return Poll::Ready(Ok(None)),
            State::Failed => return Poll::Ready(Err(NetError::BodyFailed)),
        };
        for _ in 0..MAX_EMPTY {
            let pulled = ready!(pull.poll_pull(cx));
            match &pulled {
                Ok(Some(bytes)) if bytes.is_empty() => continue,
                Ok(Some(_)) => {}
                Ok(None) => self.state = State::Ended,
                Err(_) => self.state = State::Failed,
            }
            return Poll::Ready(pulled);
        }
        // A flood of empty frames brings nothing: clocks must see it as a wait, and other tasks must get their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub(crate) fn pause(&mut self) {
        if let State::Open(pull) = &mut self.state {
            pull.pause();
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Open(_) => "Body(open)",
            State::Ended => "Body(ended)",
            State::Failed => "Body(failed)",
        })
    }
}

/// Stops the clocks of a body when the future that waited for it is done or dropped.
struct Waiting<'a>(&'a mut Body);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pause();
    }
}

struct Streamed<S>(Pin<Box<S>>);

impl<S: Stream<Item = Result<Bytes, NetError>> + Send> Pull for Streamed<S> {
    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Pulled> {
        self.0.poll_next_unpin(cx).map(Option::transpose)
    }
}
