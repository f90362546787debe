//! What a file reports while it is fetched.

use std::sync::Arc;
use std::time::Duration;

use kithara_stream::assets::Reason;
use kithara_stream::net::NetError;

/// Something that happened to the bytes of one file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FileEvent {
    /// The cache was looked at, before anything was asked of the server.
    Found {
        /// How many bytes of the file it has.
        stored: u64,
        /// The length of the file, if known.
        len: Option<u64>,
        /// Whether that is all of it.
        complete: bool,
    },
    /// Bytes of the file are not, or no longer, kept for the next time. Told once.
    NotKept {
        /// Why.
        reason: Reason,
    },
    /// The server has another file now than the one that was begun: it cannot go on. The next open begins anew.
    Changed {
        /// Which property differs.
        what: String,
    },
    /// The file is played as it was stored, but the server has another one now: the next open asks for that first, and plays
    /// what is stored only if there is no answer, or none within two seconds.
    Stale {
        /// Which property differs.
        what: String,
    },
    /// The server still has the file that is stored.
    Fresh,
    /// What was to be fetched for later is stored.
    PrefetchDone {
        /// Distinct bytes of the file stored.
        stored: u64,
        /// The length of the file, if something proves it.
        len: Option<u64>,
    },
    /// The server answered for the first time.
    Opened {
        /// The length in bytes, if the server said.
        len: Option<u64>,
        /// Whether the server serves byte ranges.
        ranges: bool,
        /// The media type of the response.
        media_type: Option<String>,
    },
    /// A request for these bytes was sent: the first one, or one for the rest after a connection broke, or one that asks
    /// whether a stored file is still the same. The end is `None` where all the rest was asked for.
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
    /// A transfer broke and will be tried again. [`Requested`](Self::Requested) tells when it is.
    Retrying {
        /// The first byte still missing of that transfer.
        at: u64,
        /// Which retry, from 1.
        attempt: u32,
        /// How long until it is made at the soonest; what nobody waits for may be left until it is needed.
        delay: Duration,
        /// What broke.
        error: Arc<NetError>,
    },
    /// The connection was closed at this byte by a server that never announced a length: the file may be longer. It ends
    /// here for who hears it now, what came is kept as a part, and the next open asks what follows.
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
