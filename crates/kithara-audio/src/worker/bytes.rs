//! The bytes of a run as its decoder sees them: attentive to seeks, deaf to interrupts that were meant for the past.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use kithara_stream::{ByteSource, Interrupt, Parts, StreamError};

use crate::shared::Shared;

/// A byte source that fails with [`StreamError::Interrupted`] if and only if what it is read for has become pointless.
///
/// The interrupt alone cannot tell that: it is raised after the wish is counted, so it may still be raised when the
/// wish was served already.
pub(super) struct AttentiveBytes {
    inner: Box<dyn ByteSource>,
    shared: Arc<Shared>,
    interrupt: Interrupt,
}

impl AttentiveBytes {
    pub(super) fn new(
        inner: Box<dyn ByteSource>,
        shared: Arc<Shared>,
        interrupt: Interrupt,
    ) -> Self {
        Self {
            inner,
            shared,
            interrupt,
        }
    }
}

impl Read for AttentiveBytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            // Asked first, so that a long walk through bytes that are all there ends as well.
            if self.shared.is_unwanted() {
                return Err(StreamError::Interrupted.into());
            }
            // The read may wait for the network; a reader that waits for more than there is should not.
            self.shared.flush_pushed();
            match self.inner.read(buf) {
                Err(error) if is_interrupted(&error) => self.interrupt.clear(),
                other => return other,
            }
        }
    }
}

impl Seek for AttentiveBytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        loop {
            match self.inner.seek(to) {
                Err(error) if is_interrupted(&error) => self.interrupt.clear(),
                other => return other,
            }
            if self.shared.is_unwanted() {
                return Err(StreamError::Interrupted.into());
            }
        }
    }
}

impl ByteSource for AttentiveBytes {
    fn byte_len(&self) -> Option<u64> {
        self.inner.byte_len()
    }

    fn is_seekable(&self) -> bool {
        self.inner.is_seekable()
    }

    fn is_remote(&self) -> bool {
        self.inner.is_remote()
    }

    fn load_index(&self) -> Option<Arc<[u8]>> {
        self.inner.load_index()
    }

    fn keeps_index(&self) -> bool {
        self.inner.keeps_index()
    }

    fn parts(&self) -> Parts {
        self.inner.parts()
    }

    fn keep_index(&self, index: Vec<u8>) {
        self.inner.keep_index(index);
    }
}

fn is_interrupted(error: &io::Error) -> bool {
    matches!(StreamError::from_io(error), Some(StreamError::Interrupted))
}
