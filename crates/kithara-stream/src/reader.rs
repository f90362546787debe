//! A blocking reader over a resource that is still growing.

use std::future::poll_fn;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::task::Poll;

use kithara_storage::{ResourceExt, StorageError, StorageResource, WaitOutcome};

use crate::demand::DemandCell;
use crate::{ByteSource, Interrupt, ResourceId, StreamError};

/// How often one byte may be lost after it was fetched again.
const MAX_LOST: u32 = 3;

/// Reads one resource while a driver fills it: `Read` and `Seek`, waiting where bytes are still on their way.
///
/// A read returns what is stored, at least one byte; `Ok(0)` only at the true end. It blocks without a timer, woken by
/// bytes, end, failure, [`Interrupt`] or close. Where it stands is told to the driver, which fetches accordingly.
///
/// Not for the audio thread.
#[derive(Debug)]
pub struct Reader {
    resource: StorageResource,
    id: ResourceId,
    demand: Arc<DemandCell>,
    interrupt: Interrupt,
    len: Option<u64>,
    seekable: bool,
    position: u64,
    /// The byte that was found lost last, and how often in a row.
    lost: (u64, u32),
}

/// What a [`Reader`] is made of.
#[derive(Debug)]
pub(crate) struct ReaderParts {
    pub(crate) resource: StorageResource,
    pub(crate) id: ResourceId,
    pub(crate) demand: Arc<DemandCell>,
    pub(crate) interrupt: Interrupt,
    pub(crate) len: Option<u64>,
    pub(crate) seekable: bool,
}

impl Reader {
    pub(crate) fn new(parts: ReaderParts) -> Self {
        let ReaderParts {
            resource,
            id,
            demand,
            interrupt,
            len,
            seekable,
        } = parts;
        Self {
            resource,
            id,
            demand,
            interrupt,
            len,
            seekable,
            position: 0,
            lost: (0, 0),
        }
    }

    /// Whether to wait for the byte at the position, which was just found lost. A disk that loses whatever is put there is
    /// not fed for ever.
    fn may_come_again(&mut self) -> bool {
        let (at, times) = self.lost;
        self.lost = (
            self.position,
            if at == self.position { times + 1 } else { 1 },
        );
        self.lost.1 <= MAX_LOST
    }

    /// Waits until the byte at the position can be read; `false` at the end.
    fn wait(&self) -> Result<bool, StreamError> {
        let wanted = self.position..self.position.saturating_add(1);
        self.demand.want(self.id, wanted.clone());
        pollster::block_on(poll_fn(|cx| {
            self.interrupt.register(cx.waker());
            if self.interrupt.is_raised() {
                return Poll::Ready(Err(StreamError::Interrupted));
            }
            if let Poll::Ready(error) = self.demand.poll_refused(cx, wanted.start) {
                return Poll::Ready(Err(error));
            }
            self.resource
                .poll_range(cx, wanted.clone())
                .map(|outcome| match outcome {
                    Ok(WaitOutcome::Ready) => Ok(true),
                    Ok(WaitOutcome::Eof) => Ok(false),
                    Ok(WaitOutcome::Interrupted) => Err(StreamError::Interrupted),
                    Err(error) => Err(explain(error)),
                })
        }))
    }
}

/// A failure of the store, or the stream error the driver failed the resource with.
fn explain(error: StorageError) -> StreamError {
    if let StorageError::Failed { cause, .. } = &error
        && let Some(stream) = cause.downcast_ref::<StreamError>()
    {
        return stream.clone();
    }
    match error {
        StorageError::Closed => StreamError::Closed,
        // A driver that ends says why, unless it panicked.
        StorageError::Abandoned { .. } => StreamError::Worker {
            what: "the stream's driver is gone".into(),
        },
        other => StreamError::Storage(Arc::new(other)),
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.interrupt.is_raised() {
                return Err(StreamError::Interrupted.into());
            }
            let read = match self.resource.read_at(self.position, buf) {
                Ok(read) => read,
                // The store has told whoever fetches: they are waited for like any other.
                Err(StorageError::Lost { .. }) if self.may_come_again() => 0,
                Err(error) => return Err(explain(error).into()),
            };
            if read > 0 {
                self.position += read as u64;
                // Once everything is here, where the reader stands changes nothing: let the I/O thread sleep.
                if self.resource.committed_len().is_none() {
                    self.demand.passed(self.id, self.position);
                }
                return Ok(read);
            }
            if !self.wait()? {
                return Ok(0);
            }
        }
    }
}

impl Seek for Reader {
    /// Moves the position only; the next read asks for the bytes there.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => {
                let len = self.byte_len().ok_or_else(|| {
                    io::Error::new(io::ErrorKind::Unsupported, "the length is not known yet")
                })?;
                len.checked_add_signed(by)
            }
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek before the first byte")
        })?;
        Ok(self.position)
    }
}

impl ByteSource for Reader {
    fn byte_len(&self) -> Option<u64> {
        self.resource.committed_len().or(self.len)
    }

    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn is_remote(&self) -> bool {
        true
    }
}
