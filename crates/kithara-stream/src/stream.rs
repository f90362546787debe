//! A title as plain bytes, for people who bring their own decoder.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use crate::{Interrupt, MediaInfo, Run, SeekRoute, Source, StreamError};

/// A protocol: what turns its configuration into runs.
pub trait StreamType: Sized + 'static {
    /// What the caller says.
    type Config: Send + 'static;
    /// What the protocol reports.
    type Event: Send + 'static;
    /// Where the runs come from.
    type Source: Source + Sync;

    /// Opens a title. Returns at once: the network and the disk are waited for by the first
    /// [`Source::next_run`].
    fn open(config: Self::Config) -> Result<Self::Source, StreamError>;
}

/// A title as a blocking byte stream: `Read`, and `Seek` within the run.
///
/// It reads one run at a time and reports the end of that run as end of file; [`next_run`](Self::next_run) goes on to
/// the next. With the feature `symphonia` it is a `symphonia` `MediaSource`. Every method may block on the network; none
/// is for the audio thread.
pub struct Stream<T: StreamType> {
    source: T::Source,
    run: Option<Run>,
    /// The last read failed; a seek asks for the bytes again.
    failed: bool,
}

impl<T: StreamType> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("run", &self.run).finish()
    }
}

impl<T: StreamType> Stream<T> {
    /// Opens a title and waits for its first run: for a remote file until the response headers are here.
    pub fn open(config: T::Config) -> Result<Self, StreamError> {
        let mut source = T::open(config)?;
        let run = source.next_run()?;
        Ok(Self {
            source,
            run,
            failed: false,
        })
    }

    /// What is known about the current run; `None` after the last.
    pub fn media_info(&self) -> Option<&MediaInfo> {
        self.run.as_ref().map(|run| &run.info)
    }

    /// Leaves the current run for the next; `false` if there is none.
    pub fn next_run(&mut self) -> Result<bool, StreamError> {
        self.run = self.source.next_run()?;
        Ok(self.run.is_some())
    }

    /// The length of the current run in bytes, if the origin has said.
    pub fn byte_len(&self) -> Option<u64> {
        self.run.as_ref().and_then(|run| run.bytes.byte_len())
    }

    /// Whether the current run can be read from anywhere.
    pub fn is_seekable(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.bytes.is_seekable())
    }

    /// Wakes a thread that is blocked in a read of this stream; its read fails with
    /// [`StreamError::Interrupted`] until the interrupt is cleared.
    pub fn interrupt(&self) -> Interrupt {
        self.source.interrupt()
    }

    /// Asks for the media at `to`; [`SeekRoute::NewRun`] means it comes with [`next_run`](Self::next_run).
    pub fn seek_time(&mut self, to: std::time::Duration) -> Result<SeekRoute, StreamError> {
        self.source.seek(to)
    }
}

impl<T: StreamType> Read for Stream<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.run {
            Some(run) => run.bytes.read(buf).inspect_err(|_| self.failed = true),
            None => Ok(0),
        }
    }
}

impl<T: StreamType> Seek for Stream<T> {
    /// Moves the position. After a failed read it also makes the stream try again, as a listener's seek does.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let Some(run) = &mut self.run else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the stream has ended",
            ));
        };
        // Not for what can't be done: a run that is read in order is tried again by `seek_time`.
        let at = run.bytes.seek(to)?;
        if std::mem::take(&mut self.failed) {
            self.source.seek(std::time::Duration::ZERO)?;
        }
        Ok(at)
    }
}

#[cfg(feature = "symphonia")]
impl<T: StreamType> symphonia_core::io::MediaSource for Stream<T> {
    fn is_seekable(&self) -> bool {
        Self::is_seekable(self)
    }

    fn byte_len(&self) -> Option<u64> {
        Self::byte_len(self)
    }
}
