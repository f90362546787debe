//! A blocking reader over the resources of a run, one after another, while they come.

use std::future::poll_fn;
use std::io::{self, Read, Seek, SeekFrom};
use std::task::{Context, Poll};

use crate::cursor::{Cursor, Lines};
use crate::feed::{FeedReader, Part};
use crate::{ByteSource, Parts, StreamError};

/// Reads the resources of one run as if they were one, from first byte to end. It can't go back.
///
/// `Ok(0)` only at the end of the run. It blocks without a timer, as a [`Reader`](crate::Reader) does; besides what wakes
/// that one, it is woken by the next resource, the end of the run, and its being cut off.
#[derive(Debug)]
pub(crate) struct RunReader {
    /// In the part that is read; `None` before the first.
    cursor: Option<Cursor>,
    feed: FeedReader,
    lines: Lines,
    /// How many bytes of the run were read.
    read: u64,
    /// Where its parts begin.
    parts: Parts,
}

/// What there is at the place of a reader.
enum Next {
    Byte,
    Part(Part),
    End,
}

impl RunReader {
    pub(crate) fn new(feed: FeedReader, lines: Lines) -> Self {
        Self {
            cursor: None,
            feed,
            lines,
            read: 0,
            parts: Parts::default(),
        }
    }

    /// Reads what is stored of the part it is in; 0 if nothing is.
    fn read_stored(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let Some(cursor) = &mut self.cursor else {
            return Ok(0);
        };
        let read = cursor.read_stored(buf)?;
        if read > 0 {
            self.read += read as u64;
            if cursor.is_at_end() {
                self.parts.end(self.read);
            }
            // Also of what is whole: what else is fetched depends on where the reader stands.
            cursor.passed();
        }
        Ok(read)
    }

    /// Waits for whatever comes next. What has to be waited for is asked for; the end of a part, where another one is there,
    /// is not.
    fn wait(&self) -> Result<Next, StreamError> {
        let mut asked = false;
        pollster::block_on(poll_fn(|cx| {
            let next = self.poll_next(cx, asked);
            match &self.cursor {
                Some(cursor) if next.is_pending() && !asked => {
                    asked = true;
                    cursor.want();
                    self.poll_next(cx, asked)
                }
                _ => next,
            }
        }))
    }

    fn poll_next(&self, cx: &mut Context<'_>, asked: bool) -> Poll<Result<Next, StreamError>> {
        let byte = match &self.cursor {
            Some(cursor) if asked => cursor.poll_wanted(cx),
            Some(cursor) => cursor.poll_byte(cx),
            None => self.lines.poll_interrupted(cx).map(Err),
        };
        match byte {
            Poll::Ready(Ok(true)) => Poll::Ready(Ok(Next::Byte)),
            Poll::Ready(Ok(false)) => self.poll_part(cx),
            // The plan may have let go of what will not come.
            Poll::Ready(Err(error @ StreamError::Worker { .. })) => {
                Poll::Ready(Err(self.feed.reason().unwrap_or(error)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if self.cursor.is_none() => self.poll_part(cx),
            Poll::Pending => self.feed.poll_broken(cx).map(Err),
        }
    }

    fn poll_part(&self, cx: &mut Context<'_>) -> Poll<Result<Next, StreamError>> {
        self.feed
            .poll_part(cx)
            .map_ok(|part| part.map_or(Next::End, Next::Part))
    }
}

impl Read for RunReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let read = self.read_stored(buf)?;
            if read > 0 {
                return Ok(read);
            }
            match self.wait()? {
                Next::Byte => {}
                // The plan hears of it at once: by what is read of it, or waited for.
                Next::Part(part) => {
                    self.parts.begin(self.read, part.id, part.kind);
                    self.cursor = Some(Cursor::new(part, self.lines.clone()));
                }
                Next::End => {
                    self.parts.end(self.read);
                    return Ok(0);
                }
            }
        }
    }
}

impl Seek for RunReader {
    /// Only to where it stands.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Current(0) => Ok(self.read),
            SeekFrom::Start(at) if at == self.read => Ok(self.read),
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a run of several resources is read in order",
            )),
        }
    }
}

impl ByteSource for RunReader {
    fn byte_len(&self) -> Option<u64> {
        None
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn parts(&self) -> Parts {
        self.parts.clone()
    }
}
