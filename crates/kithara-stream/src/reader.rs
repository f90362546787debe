//! A blocking reader over a resource that is still growing.

use std::future::poll_fn;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use kithara_assets::IndexSlot;
use kithara_storage::ResourceExt;

use crate::cursor::{Cursor, Lines};
use crate::feed::Part;
use crate::{ByteSource, StreamError};

/// Reads one resource while a driver fills it: `Read` and `Seek`, waiting where bytes are still on their way.
///
/// A read returns what is stored, at least one byte; `Ok(0)` only at the true end. It blocks without a timer, woken by
/// bytes, end, failure, [`Interrupt`](crate::Interrupt) or close. Where it stands is told to the driver, which fetches
/// accordingly.
///
/// Not for the audio thread.
#[derive(Debug)]
pub struct Reader {
    cursor: Cursor,
    index: IndexSlot,
    len: Option<u64>,
    seekable: bool,
}

impl Reader {
    /// A reader of all of `part`: of so many bytes, if that is known.
    pub(crate) fn new(
        part: Part,
        index: IndexSlot,
        lines: Lines,
        (len, seekable): (Option<u64>, bool),
    ) -> Self {
        Self {
            cursor: Cursor::new(part, lines),
            index,
            len,
            seekable,
        }
    }

    /// Whether the byte it stands at has come, or is behind the end (`false`). It is asked for only if it has to be waited
    /// for: a failure stays one, however often it is read into.
    fn wait(&self) -> Result<bool, StreamError> {
        let mut asked = false;
        pollster::block_on(poll_fn(|cx| {
            if !asked {
                let byte = self.cursor.poll_byte(cx);
                if byte.is_ready() {
                    return byte;
                }
                asked = true;
                self.cursor.want();
            }
            self.cursor.poll_wanted(cx)
        }))
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let read = self.cursor.read_stored(buf)?;
            if read > 0 {
                // Once everything is here, where the reader stands changes nothing: let the I/O thread sleep.
                if self.is_remote() {
                    self.cursor.passed();
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
            SeekFrom::Current(by) => self.cursor.position.checked_add_signed(by),
            SeekFrom::End(by) => {
                let len = self.byte_len().ok_or_else(|| {
                    io::Error::new(io::ErrorKind::Unsupported, "the length is not known yet")
                })?;
                len.checked_add_signed(by)
            }
        };
        self.cursor.position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek before the first byte")
        })?;
        Ok(self.cursor.position)
    }
}

impl ByteSource for Reader {
    fn byte_len(&self) -> Option<u64> {
        self.cursor.resource.committed_len().or(self.len)
    }

    fn is_seekable(&self) -> bool {
        self.seekable
    }

    /// No longer, once everything is stored.
    fn is_remote(&self) -> bool {
        self.cursor.resource.committed_len().is_none()
    }

    fn load_index(&self) -> Option<Arc<[u8]>> {
        self.index.load()
    }

    fn keeps_index(&self) -> bool {
        true
    }

    fn keep_index(&self, index: Vec<u8>) {
        self.index.keep(index);
    }
}
