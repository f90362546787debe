//! What a stream reports while it plays.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_abr::{AbrReason, VariantInfo};
use kithara_stream::StreamError;
use kithara_stream::assets::Reason;
use kithara_stream::net::NetError;

use crate::failure::HlsError;
use crate::{DateRange, Dropped, Merge, PlaylistNote, SessionData};

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentSource {
    /// The network.
    Network,
    /// The cache, or another stream that was fetching them.
    Cache,
    /// A file of this machine, to which a playlist of this machine refers.
    Disk,
}

/// Why there is a gap.
#[derive(Clone, Debug)]
pub enum GapCause {
    /// The playlist says that the segment is not there (EXT-X-GAP).
    Announced,
    /// It could not be had.
    Failed(HlsError),
    /// It left the window of a live stream before it was fetched.
    Passed,
}

/// Something that happened. Times are those of the title.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HlsEvent {
    /// What there is to choose from, once.
    Variants {
        /// The variants, in the playlist's order.
        variants: Vec<VariantInfo>,
        /// What was left out, and why.
        dropped: Vec<Dropped>,
    },
    /// What the multivariant playlist says about the session.
    SessionData(Vec<SessionData>),
    /// Another variant is fetched from here on; the first one, too.
    VariantChanged {
        /// The one before.
        from: Option<usize>,
        /// The one from now on.
        to: usize,
        /// Why.
        reason: AbrReason,
        /// Where its first segment begins.
        at: Duration,
    },
    /// A media playlist was loaded.
    PlaylistLoaded {
        /// Of this variant.
        variant: usize,
        /// How it differs from what was known; `None` the first time.
        merge: Option<Merge>,
        /// How many segments it lists.
        segments: usize,
        /// What it says about stretches of the world's time.
        date_ranges: Vec<DateRange>,
        /// What is odd about it.
        notes: Vec<PlaylistNote>,
    },
    /// Where a listener may go, and whether more may come.
    Window {
        /// From the first to the last moment that can be sought.
        seekable: Range<Duration>,
        /// Whether more may come.
        live: bool,
    },
    /// A live playlist could not be loaded again, or has not changed for three and a half target durations.
    Late {
        /// Of this variant.
        variant: usize,
        /// For how long nothing new has come.
        still: Duration,
    },
    /// The playhead has reached the live edge: there is nothing to fetch until the next reload.
    LiveEdge {
        /// Where that is.
        at: Duration,
    },
    /// A segment is on its way.
    SegmentStarted {
        /// The variant.
        variant: usize,
        /// The media sequence number.
        sequence: u64,
        /// When it plays.
        at: Duration,
        /// For how long.
        duration: Duration,
    },
    /// A segment is whole.
    SegmentLoaded {
        /// The variant.
        variant: usize,
        /// The media sequence number.
        sequence: u64,
        /// Its length in bytes.
        bytes: u64,
        /// From the request to the last byte; zero from the cache.
        elapsed: Duration,
        /// Where it came from.
        source: SegmentSource,
    },
    /// A segment came so slowly that a lower variant is fetched in its place.
    SegmentAbandoned {
        /// The variant.
        variant: usize,
        /// The media sequence number.
        sequence: u64,
        /// Bytes that came and are not needed.
        bytes: u64,
    },
    /// What the network carries, as it is estimated now.
    Throughput {
        /// Bits per second.
        bits_per_second: u64,
    },
    /// A transfer broke and will be tried again.
    Retrying {
        /// Which retry, from 1.
        attempt: u32,
        /// How long until it is made.
        delay: Duration,
        /// What broke.
        error: Arc<NetError>,
    },
    /// A request was sent.
    Requested,
    /// A segment could not be had from a variant; another is tried, or there is a gap, or the end.
    SegmentFailed {
        /// The variant.
        variant: usize,
        /// The media sequence number.
        sequence: u64,
        /// Why.
        error: HlsError,
    },
    /// A key came.
    KeyLoaded {
        /// The redacted URL.
        name: String,
    },
    /// A stretch of the title is not there.
    Gap {
        /// Where it begins.
        at: Duration,
        /// For how long.
        duration: Duration,
        /// Whether silence stands for it; otherwise it is left out.
        silent: bool,
        /// Why.
        cause: GapCause,
    },
    /// The reader has nothing to read, or has again.
    Stalled {
        /// Whether it waits.
        waiting: bool,
        /// The playhead.
        at: Duration,
    },
    /// Segments are not, or no longer, kept for the next time. Told once.
    NotKept {
        /// Why.
        reason: Reason,
    },
    /// It cannot go on, until a seek.
    Failed {
        /// Why.
        error: StreamError,
    },
}
