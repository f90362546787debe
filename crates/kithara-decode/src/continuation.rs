//! What one run's decoder leaves to the next.

use std::fmt;

use std::time::Duration;

use crate::Stamp;
use crate::backend::PacketDecoder;
use crate::codec::Decoders;

/// Times of the media are rounded, and badly by many.
const JOINT: Duration = Duration::from_millis(2);

/// A decoder of packets that has come to the end of its run, with what it remembers: where the next run is encoded in the same
/// way and goes on there, it decodes both as one stream.
pub struct Continuation {
    pub(crate) decoder: Box<dyn PacketDecoder>,
    pub(crate) decoders: Decoders,
    /// When what it decoded ends, by the media's own clock.
    pub(crate) end: Option<Stamp>,
}

impl Continuation {
    /// Whether a run of this configuration that begins at `begin` is decoded best by this very decoder.
    pub(crate) fn suits(&self, other: &Decoders, begin: Option<Stamp>) -> bool {
        let follows = match (self.end, begin) {
            (Some(end), Some(begin)) => end.distance(begin) <= JOINT,
            (None, None) => true,
            _ => false,
        };
        follows && self.decoders.decodes_like(other)
    }
}

impl fmt::Debug for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Continuation").finish_non_exhaustive()
    }
}
