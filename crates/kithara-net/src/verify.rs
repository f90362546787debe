//! A body held to what its headers promised.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use crate::body::{Body, Pull, Pulled};
use crate::classify;
use crate::error::NetError;
use crate::redact::RedactedUrl;
use crate::response::ResponseHead;
use crate::sniff::{Looks, sniff};

/// Yields exactly the announced bytes, and none of a web page or a playlist.
pub(crate) struct Verified {
    inner: Body,
    url: RedactedUrl,
    position: u64,
    end: Option<u64>,
    /// What was held back until it could be judged; `None` once it was.
    held: Option<BytesMut>,
}

impl Verified {
    /// Holds `inner` to `head`; `is_media` bodies are sniffed too where they start at the first byte.
    pub(crate) fn wrap(inner: Body, head: &ResponseHead, is_media: bool) -> Body {
        Body::new(Self {
            inner,
            url: head.final_url.clone(),
            position: head.start,
            end: head.end,
            held: (is_media && head.start == 0).then(BytesMut::new),
        })
    }

    /// Cuts what goes beyond the announced end.
    fn count(&mut self, mut bytes: Bytes) -> Bytes {
        if let Some(end) = self.end {
            let room = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            bytes.truncate(room);
        }
        self.position += bytes.len() as u64;
        bytes
    }

    fn truncated(&self) -> Option<NetError> {
        let expected = self.end.filter(|end| self.position < *end)?;
        Some(NetError::Truncated {
            url: self.url.clone(),
            expected,
            got: self.position,
        })
    }

    /// Holds bytes back until they can be judged.
    fn judge(&mut self, bytes: Bytes) -> Result<Option<Bytes>, NetError> {
        let Some(held) = &mut self.held else {
            return Ok(Some(bytes));
        };
        held.extend_from_slice(&bytes);
        match sniff(held) {
            Looks::Unclear => Ok(None),
            Looks::Fine => Ok(self.held.take().map(BytesMut::freeze)),
            Looks::Markup => Err(NetError::WrongContent {
                url: self.url.clone(),
                what: "a web page",
            }),
            Looks::Playlist => Err(NetError::Playlist {
                url: self.url.clone(),
            }),
        }
    }
}

impl Pull for Verified {
    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Pulled> {
        loop {
            // Complete: whatever else the server sends is not part of this.
            let pulled = match self.end {
                Some(end) if self.position >= end => Ok(None),
                _ => ready!(self.inner.poll_chunk(cx)),
            };
            match pulled {
                Ok(Some(bytes)) => {
                    let bytes = self.count(bytes);
                    if let Some(bytes) = self.judge(bytes)? {
                        return Poll::Ready(Ok(Some(bytes)));
                    }
                }
                Ok(None) => {
                    if let Some(held) = self.held.take().filter(|held| !held.is_empty()) {
                        return Poll::Ready(Ok(Some(held.freeze())));
                    }
                    return Poll::Ready(self.truncated().map_or(Ok(None), Err));
                }
                Err(error) if classify::is_early_end(&error) => {
                    return Poll::Ready(Err(self.truncated().unwrap_or(error)));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn pause(&mut self) {
        self.inner.pause();
    }
}
