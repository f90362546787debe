//! Where the bytes of one resource are kept.

use std::io;
use std::ops::Range;
use std::path::Path;

/// What became of bytes that were stored earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// So many bytes were copied, at least one unless nothing was asked for.
    Bytes(usize),
    /// These bytes, the first one asked for among them, are no longer what was written: cut off, a hole, flipped bits,
    /// a disk that can't read them, or gone to make room. Forget them. What is in the buffer means nothing.
    Lost(Range<u64>),
}

/// Where the bytes of one resource are kept.
///
/// A driver is asked only for bytes that were written before, and the unique writer never writes where readers may be
/// reading. All offsets are in bytes. Calls may block on the disk; none belongs on an audio thread.
pub trait Driver: Send + Sync + 'static {
    /// Reads at most `buf.len()` bytes from `offset`; fewer if that is more convenient.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Kept>;

    /// Writes all of `bytes` at `offset`, growing what is kept as needed. Returns the ranges that had to go to make room,
    /// which usually is none.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<Vec<Range<u64>>>;

    /// Declares the first `final_len` bytes whole: cuts off what lies behind, and returns once everything, and the name
    /// under which it is found, would survive a power failure. Memory and files without a name have only to cut.
    ///
    /// Called again with the same length after lost bytes have been written anew.
    fn commit(&self, final_len: u64) -> io::Result<()>;

    /// Nobody counts on these bytes any more: a read found them lost, and from now on they may be written again. Not before
    /// this is told may anyone be sent for them, or what he brings could still count as covered and be refused.
    fn lost(&self, _range: Range<u64>) {}

    /// The file in which the bytes are found, for error messages.
    fn path(&self) -> Option<&Path> {
        None
    }
}
