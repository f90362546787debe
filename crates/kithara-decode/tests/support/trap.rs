//! Bytes that do something to whoever reads them.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use kithara_stream::ByteSource;
use kithara_tests::fixtures::fixture;

/// Bytes that do something to the reader once it has read on to `at`. A look at the end springs nothing.
struct Trap<F> {
    inner: Cursor<Vec<u8>>,
    at: u64,
    armed: bool,
    spring: F,
}

impl<F: FnMut() -> io::Result<()>> Read for Trap<F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let here = self.inner.position();
        if here >= self.at && self.armed {
            (self.spring)()?;
        }
        let room = (self.at.saturating_sub(here))
            .max(1024)
            .min(out.len() as u64) as usize;
        let count = self.inner.read(&mut out[..room])?;
        self.armed |= (here..=here + count as u64).contains(&self.at);
        Ok(count)
    }
}

impl<F> Seek for Trap<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl<F: FnMut() -> io::Result<()> + Send + Sync> ByteSource for Trap<F> {
    fn byte_len(&self) -> Option<u64> {
        Some(self.inner.get_ref().len() as u64)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        false
    }
}

/// A fixture whose second half springs.
pub fn trap(
    file: &str,
    spring: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> impl ByteSource + 'static {
    let bytes = fixture(file).bytes();
    Trap {
        at: bytes.len() as u64 / 2,
        armed: false,
        inner: Cursor::new(bytes),
        spring,
    }
}

/// Bytes on a machine so slow that reading all of them takes this long.
pub fn slow(bytes: Vec<u8>, all: std::time::Duration) -> impl ByteSource + 'static {
    Slow {
        each: all / bytes.len() as u32,
        inner: Cursor::new(bytes),
    }
}

struct Slow {
    inner: Cursor<Vec<u8>>,
    each: std::time::Duration,
}

impl Read for Slow {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        let started = std::time::Instant::now();
        while started.elapsed() < self.each * count as u32 {
            std::hint::spin_loop();
        }
        Ok(count)
    }
}

impl Seek for Slow {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl ByteSource for Slow {
    fn byte_len(&self) -> Option<u64> {
        Some(self.inner.get_ref().len() as u64)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        false
    }
}
