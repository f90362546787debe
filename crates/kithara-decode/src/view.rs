//! A run's bytes as symphonia's readers see them.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use parking_lot::Mutex;
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};

use crate::input::Input;

/// The bytes of a run, shared between a demuxer and the reader it drives. A reader is rebuilt, never revived, so the
/// bytes must outlive it; both are on one thread, and the lock is never contended.
pub(crate) type SharedInput = Arc<Mutex<Input>>;

/// A view of the bytes.
///
/// Seeking is free until the next read, so a reader that looks for the length at the end costs nothing.
pub(crate) struct View {
    input: SharedInput,
    length: Option<u64>,
    seekable: bool,
    pos: u64,
}

impl View {
    /// All bytes, as they are.
    pub(crate) fn whole(input: SharedInput) -> Self {
        let (length, seekable) = {
            let input = input.lock();
            (input.len(), input.is_seekable())
        };
        Self {
            input,
            length,
            seekable,
            pos: 0,
        }
    }

    pub(crate) fn stream(self) -> MediaSourceStream<'static> {
        MediaSourceStream::new(Box::new(self), MediaSourceStreamOptions::default())
    }
}

impl Read for View {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.input.lock().read_direct(self.pos, out)?;
        self.pos += count as u64;
        Ok(count)
    }
}

impl Seek for View {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if !self.seekable {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let pos = match to {
            SeekFrom::Start(pos) => Some(pos),
            SeekFrom::Current(delta) => self.pos.checked_add_signed(delta),
            SeekFrom::End(delta) => self
                .length
                .and_then(|length| length.checked_add_signed(delta)),
        };
        self.pos = pos.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.pos)
    }
}

impl MediaSource for View {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.length
    }
}
