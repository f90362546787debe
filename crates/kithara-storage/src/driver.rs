//! Where the bytes of one resource are kept.

use std::io;
use std::path::Path;

/// Where the bytes of one resource are kept.
///
/// A driver knows nothing of coverage: it is asked only for bytes that were written before, and the unique writer never
/// writes where readers may be reading. All offsets are in bytes. Calls may block on the disk; none belongs on an audio
/// thread.
pub trait Driver: Send + Sync + 'static {
    /// Reads at most `buf.len()` bytes from `offset`; 0 means that nothing is kept there or behind.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, growing what is kept as needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts what is kept to its first `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Returns once everything written so far, and the name under which it is found, would survive a power failure.
    /// Memory and files without a name have nothing to do.
    fn sync(&self) -> io::Result<()>;

    /// The file in which the bytes are found, for error messages.
    fn path(&self) -> Option<&Path> {
        None
    }
}
