//! What a file reports while it is fetched.

use std::sync::Arc;
use std::time::Duration;

use kithara_stream::net::NetError;

/// Something that happened to the bytes of one file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FileEvent {
    /// The server answered for the first time.
    Opened {
        /// The length in bytes, if the server said.
        len: Option<u64>,
        /// Whether the server serves byte ranges.
        ranges: bool,
        /// The media type of the response.
        media_type: Option<String>,
    },
    /// A request for these bytes was sent; the end is `None` where all the rest was asked for.
    Requested {
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: Option<u64>,
    },
    /// Bytes arrived.
    DownloadProgress {
        /// Distinct bytes of the file stored so far.
        stored: u64,
        /// The length of the file, if known.
        len: Option<u64>,
    },
    /// Every byte of the file is stored.
    DownloadComplete {
        /// The length of the file.
        len: u64,
    },
    /// A transfer broke and will be tried again.
    Retrying {
        /// The first byte still missing of that transfer.
        at: u64,
        /// Which retry, from 1.
        attempt: u32,
        /// How long until it is made.
        delay: Duration,
        /// What broke.
        error: Arc<NetError>,
    },
    /// The connection was closed at this byte by a server that never announced a length: the file may be longer.
    EndUnproven {
        /// The bytes received.
        len: u64,
    },
    /// Fetching failed for good; reads of what is missing fail until a seek.
    DownloadFailed {
        /// Why.
        error: kithara_stream::StreamError,
    },
}
