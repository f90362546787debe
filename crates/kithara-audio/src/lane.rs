//! The path of PCM from the decode thread to the reader: a ring of samples and a ring of markers.
//!
//! Each seek starts a new lane and leaves the old one behind, so that dropping what is stale is one exchange of
//! pointers for the reader, and so that there is room for the new frames even if nobody reads the old ones. There are
//! never more than two: the one being read, and the one being filled or waiting to be taken. A lane that was left comes
//! back to the decode thread, which alone allocates and frees them.

use std::collections::TryReserveError;
use std::fmt;

use crossbeam_utils::atomic::AtomicCell;
use rtrb::{Consumer, Producer, RingBuffer};

/// How many markers a lane holds; the last place is kept for the one that ends it.
const MARKERS: usize = 32;

/// Something that is true from one sample of a lane on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// How many samples come before it.
    pub(crate) at: u64,
    pub(crate) kind: MarkerKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkerKind {
    /// The next sample belongs to this frame of the title.
    Frame(u64),
    /// There are no more.
    End,
    /// There are no more because of the failure kept beside the lane.
    Failed,
}

/// The end of a lane that is read.
#[derive(Debug)]
pub(crate) struct Feed {
    /// The wish it was decoded for.
    pub(crate) id: u64,
    /// The frame its first sample belongs to.
    pub(crate) frame: u64,
    /// How many samples were taken.
    pub(crate) taken: u64,
    pub(crate) samples: Consumer<f32>,
    pub(crate) markers: Consumer<Marker>,
}

/// The end of a lane that is filled.
#[derive(Debug)]
pub(crate) struct Fill {
    /// How many samples were pushed.
    pushed: u64,
    samples: Producer<f32>,
    markers: Producer<Marker>,
}

/// Where feeds change hands. Each place is one atomic pointer.
#[derive(Default)]
pub(crate) struct Exchange {
    /// From the decode thread: what to read next.
    offered: AtomicCell<Option<Box<Feed>>>,
    /// From the reader: what it has left.
    returned: AtomicCell<Option<Box<Feed>>>,
}

const _: () = assert!(
    AtomicCell::<Option<Box<Feed>>>::is_lock_free(),
    "the audio thread exchanges feeds"
);

impl Exchange {
    /// Takes the newest feed in exchange for `feed`, if there is a newer one. Wait-free.
    pub(crate) fn renew(&self, feed: &mut Feed) -> bool {
        let Some(mut parcel) = self.offered.take() else {
            return false;
        };
        // The parcel goes back with the old feed in it: the reader keeps no box that it would have to free.
        std::mem::swap(&mut *parcel, feed);
        let before = self.returned.swap(Some(parcel));
        debug_assert!(before.is_none(), "a third lane exists");
        true
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}

/// The lanes as the decode thread has them.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// In samples, whole frames.
    capacity: usize,
    live: Fill,
    /// The live lane's feed, until it is offered.
    unoffered: Option<Box<Feed>>,
    /// The other lane, once there was a seek.
    spare: Option<Fill>,
}

impl Lanes {
    /// One lane of `capacity` samples, for the wish `id`, beginning at `frame`.
    pub(crate) fn new(capacity: usize, id: u64, frame: u64) -> Result<Self, TryReserveError> {
        let (live, mut feed) = lane(capacity)?;
        (feed.id, feed.frame) = (id, frame);
        Ok(Self {
            capacity,
            live,
            unoffered: Some(feed),
            spare: None,
        })
    }

    /// Leaves the live lane and starts an empty one for the wish `id`, beginning at `frame`.
    pub(crate) fn renew(
        &mut self,
        exchange: &Exchange,
        id: u64,
        frame: u64,
    ) -> Result<(), TryReserveError> {
        let mut feed = match self.unoffered.take().or_else(|| exchange.offered.take()) {
            // The reader never saw the live lane: it is used again.
            Some(feed) => feed,
            None => self.turn_to_spare(exchange)?,
        };
        feed.clear();
        self.live.pushed = 0;
        (feed.id, feed.frame) = (id, frame);
        self.unoffered = Some(feed);
        Ok(())
    }

    /// Hands the live lane to the reader, unless it has it. Markers and samples pushed before are visible with it.
    pub(crate) fn offer(&mut self, exchange: &Exchange) {
        if let Some(feed) = self.unoffered.take() {
            exchange.offered.store(Some(feed));
        }
    }

    /// The live lane's feed, for the reader that is being made.
    pub(crate) fn take_first(&mut self, exchange: &Exchange) -> Option<Box<Feed>> {
        self.unoffered.take().or_else(|| exchange.offered.take())
    }

    pub(crate) fn fill(&mut self) -> &mut Fill {
        &mut self.live
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether frames that do not follow those before them could be announced.
    pub(crate) fn can_mark(&self) -> bool {
        self.live.markers.slots() > 1
    }

    /// How many samples wait to be read.
    pub(crate) fn queued(&self) -> usize {
        self.capacity - self.live.samples.slots()
    }

    /// The reader has the live lane, so it has left the other one, or is about to.
    fn turn_to_spare(&mut self, exchange: &Exchange) -> Result<Box<Feed>, TryReserveError> {
        let Some(spare) = self.spare.take() else {
            let (fill, feed) = lane(self.capacity)?;
            self.spare = Some(std::mem::replace(&mut self.live, fill));
            return Ok(feed);
        };
        self.spare = Some(std::mem::replace(&mut self.live, spare));
        loop {
            // Between taking one feed and returning the other the reader has a handful of instructions to do.
            if let Some(feed) = exchange.returned.take() {
                return Ok(feed);
            }
            std::thread::yield_now();
        }
    }
}

/// An empty lane, if there is memory for it.
fn lane(capacity: usize) -> Result<(Fill, Box<Feed>), TryReserveError> {
    // The ring cannot be asked for in a way that may fail, so its memory is tried first and given back at once.
    Vec::<f32>::new().try_reserve_exact(capacity)?;
    let (sample_in, sample_out) = RingBuffer::new(capacity);
    let (marker_in, marker_out) = RingBuffer::new(MARKERS);
    let fill = Fill {
        pushed: 0,
        samples: sample_in,
        markers: marker_in,
    };
    let feed = Feed {
        id: 0,
        frame: 0,
        taken: 0,
        samples: sample_out,
        markers: marker_out,
    };
    Ok((fill, Box::new(feed)))
}

impl Fill {
    /// Copies as many whole frames as there is room for; returns how many samples that were.
    pub(crate) fn push(&mut self, samples: &[f32], channels: usize) -> usize {
        let room = self.samples.slots();
        let count = samples.len().min(room - room % channels);
        let (pushed, _) = self.samples.push_partial_slice(&samples[..count]);
        debug_assert_eq!(
            pushed.len(),
            count,
            "only the reader frees room, so it cannot shrink"
        );
        self.pushed += pushed.len() as u64;
        pushed.len()
    }

    /// Marks the next sample as belonging to `frame`; false if there is no room for the marker.
    pub(crate) fn mark_frame(&mut self, frame: u64) -> bool {
        self.markers.slots() > 1 && self.mark(MarkerKind::Frame(frame))
    }

    /// Ends the lane here. Called once per lane.
    pub(crate) fn finish(&mut self, kind: MarkerKind) {
        let marked = self.mark(kind);
        debug_assert!(marked, "a place is kept for the last marker");
    }

    fn mark(&mut self, kind: MarkerKind) -> bool {
        let at = self.pushed;
        self.markers.push(Marker { at, kind }).is_ok()
    }
}

impl Feed {
    fn clear(&mut self) {
        self.taken = 0;
        let samples = self.samples.slots();
        if let Ok(chunk) = self.samples.read_chunk(samples) {
            chunk.commit_all();
        }
        while self.markers.pop().is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(feed: &mut Feed) -> Vec<f32> {
        std::iter::from_fn(|| feed.samples.pop().ok()).collect()
    }

    #[test]
    fn a_lane_nobody_took_is_used_again() {
        let exchange = Exchange::default();
        let mut lanes = Lanes::new(8, 0, 0).unwrap();
        let mut feed = *lanes.take_first(&exchange).unwrap();
        assert_eq!(lanes.fill().push(&[1.0; 10], 2), 8);
        for id in 1..100 {
            lanes.renew(&exchange, id, 10 * id).unwrap();
            assert_eq!(lanes.fill().push(&[id as f32; 6], 2), 6);
            lanes.fill().finish(MarkerKind::End);
            lanes.offer(&exchange);
        }
        assert!(exchange.renew(&mut feed));
        assert_eq!((feed.id, feed.frame), (99, 990));
        assert_eq!(drain(&mut feed), [99.0; 6]);
        let end = MarkerKind::End;
        assert_eq!(feed.markers.pop().unwrap(), Marker { at: 6, kind: end });
        assert!(feed.markers.pop().is_err());
        assert!(!exchange.renew(&mut feed));
    }

    #[test]
    fn two_lanes_serve_any_number_of_seeks() {
        let exchange = Exchange::default();
        let mut lanes = Lanes::new(8, 0, 0).unwrap();
        let mut feed = *lanes.take_first(&exchange).unwrap();
        for id in 1..100 {
            lanes.fill().push(&[-1.0; 4], 2);
            lanes.renew(&exchange, id, id).unwrap();
            lanes.fill().push(&[id as f32; 4], 2);
            lanes.offer(&exchange);
            if id % 3 != 0 {
                assert!(exchange.renew(&mut feed));
                assert_eq!(feed.id, id);
                assert_eq!(drain(&mut feed), [id as f32; 4]);
            }
        }
    }

    #[test]
    fn the_last_marker_always_finds_room() {
        let mut lanes = Lanes::new(8, 0, 0).unwrap();
        let marked = (0..100)
            .filter(|frame| lanes.fill().mark_frame(*frame))
            .count();
        assert_eq!(marked, MARKERS - 1);
        lanes.fill().finish(MarkerKind::Failed);
    }
}
