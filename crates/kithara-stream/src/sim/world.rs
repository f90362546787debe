//! What the simulated world is made of: a link, a server with a file, and what the listener does.

use std::time::Duration;

/// The link between listener and origin.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// From a request to its response headers.
    pub latency: Duration,
    /// Shared by all transfers.
    pub bytes_per_second: u64,
    /// How often a connection breaks, per mebibyte carried.
    pub losses_per_mib: f64,
    /// How often a connection falls silent for [`stall`](Self::stall), per mebibyte carried.
    pub stalls_per_mib: f64,
    /// How long a silence lasts.
    pub stall: Duration,
    /// From when and until when nothing passes: every connection breaks, and no other can be made.
    pub outage: Option<(Duration, Duration)>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(40),
            bytes_per_second: 1_000_000,
            losses_per_mib: 0.0,
            stalls_per_mib: 0.0,
            stall: Duration::from_secs(3),
            outage: None,
        }
    }
}

/// The server and its file.
#[derive(Clone, Debug)]
pub struct OriginFile {
    /// The length of the file.
    pub len: u64,
    /// Whether it serves byte ranges.
    pub ranges: bool,
    /// Whether it says how long the file is.
    pub announces_length: bool,
    /// Whether the end of a response without a length could be told from a lost connection.
    pub proves_end: bool,
    /// Its entity tag, if it sends one.
    pub etag: Option<&'static str>,
    /// Whether it asks not to be stored.
    pub no_store: bool,
    /// From this request on (from 0), the file has another entity tag, if any, and one byte more.
    pub changes_at_request: Option<usize>,
    /// From this request on, the file has other bytes; nothing else tells.
    pub rewritten_at_request: Option<usize>,
    /// Every request from this one on is refused for good.
    pub fails_from_request: Option<usize>,
}

/// A file of `len` bytes on a server that does everything right.
impl OriginFile {
    /// A polite server.
    pub fn polite(len: u64) -> Self {
        Self {
            len,
            ranges: true,
            announces_length: true,
            proves_end: true,
            etag: Some("\"v1\""),
            no_store: false,
            changes_at_request: None,
            rewritten_at_request: None,
            fails_from_request: None,
        }
    }
}

/// What the listener does, one after another.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    /// Reads this many bytes at this many bytes per second.
    Read {
        /// How many.
        bytes: u64,
        /// How fast; `u64::MAX` for at once.
        rate: u64,
    },
    /// Jumps to a byte.
    Jump(u64),
    /// The listener seeks to a time: what had failed is tried again.
    Retry,
    /// Does nothing.
    Pause(Duration),
}

/// The whole world.
#[derive(Clone, Debug)]
pub struct World {
    /// Decides every loss and stall.
    pub seed: u64,
    /// The link.
    pub link: Link,
    /// The server.
    pub origin: OriginFile,
    /// The n-th write to the disk fails (from 0).
    pub disk_fails_at_write: Option<u64>,
}

impl World {
    /// A world in which nothing goes wrong.
    pub fn calm(len: u64) -> Self {
        Self {
            seed: 1,
            link: Link::default(),
            origin: OriginFile::polite(len),
            disk_fails_at_write: None,
        }
    }
}
