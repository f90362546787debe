//! The path of PCM from the decode thread to the reader: a ring of samples and a ring of markers.
//!
//! Each seek, and each change of the output, starts a new lane and leaves the old one behind, so that dropping what is
//! stale is one exchange of pointers for the reader, and so that there is room for the new frames even if nobody reads the
//! old ones. There are never more than two: the one being read, and the one being filled or waiting to be taken. A lane
//! that was left comes back to the decode thread, which alone allocates and frees them.

use std::collections::TryReserveError;
use std::fmt;

use crossbeam_utils::atomic::AtomicCell;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::timeline::{Moment, Output};

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
    /// The next frame lies here on the title's timeline.
    Place(Moment),
    /// There are no more.
    End,
    /// There are no more because of the failure kept beside the lane.
    Failed,
}

/// What is true of all frames of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    /// The wish they were decoded for.
    pub(crate) id: u64,
    /// How often the output had changed.
    pub(crate) change: u64,
    pub(crate) output: Output,
    /// Where the first one lies.
    pub(crate) start: Moment,
}

/// The end of a lane that is read.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) heading: Heading,
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
    live: Fill,
    /// The live lane's feed, until it is offered.
    unoffered: Option<Box<Feed>>,
    /// The other lane, once there was a seek.
    spare: Option<Fill>,
}

impl Lanes {
    /// One lane of `capacity` samples, which hold whole frames.
    pub(crate) fn new(capacity: usize, heading: Heading) -> Result<Self, TryReserveError> {
        let (live, feed) = lane(capacity, heading)?;
        Ok(Self {
            live,
            unoffered: Some(feed),
            spare: None,
        })
    }

    /// Leaves the live lane and starts an empty one of `capacity` samples.
    pub(crate) fn renew(
        &mut self,
        exchange: &Exchange,
        capacity: usize,
        heading: Heading,
    ) -> Result<(), TryReserveError> {
        let mut feed = match self.unoffered.take().or_else(|| exchange.offered.take()) {
            // The reader never saw the live lane: it is used again.
            Some(feed) => feed,
            None => self.turn_to_spare(exchange, heading)?,
        };
        if self.capacity() != capacity {
            (self.live, feed) = lane(capacity, heading)?;
        }
        feed.clear();
        self.live.pushed = 0;
        feed.heading = heading;
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
        self.live.samples.buffer().capacity()
    }

    /// Whether the reader could not have the live lane yet.
    pub(crate) fn is_unoffered(&self) -> bool {
        self.unoffered.is_some()
    }

    /// Whether frames that do not follow those before them could be announced.
    pub(crate) fn can_mark(&self) -> bool {
        self.live.markers.slots() > 1
    }

    /// How many samples wait to be read.
    pub(crate) fn queued(&self) -> usize {
        self.capacity() - self.live.samples.slots()
    }

    /// The reader has the live lane, so it has left the other one, or is about to.
    fn turn_to_spare(
        &mut self,
        exchange: &Exchange,
        heading: Heading,
    ) -> Result<Box<Feed>, TryReserveError> {
        let Some(spare) = self.spare.take() else {
            let (fill, feed) = lane(self.capacity(), heading)?;
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
fn lane(capacity: usize, heading: Heading) -> Result<(Fill, Box<Feed>), TryReserveError> {
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
        heading,
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

    /// Marks where the next frame lies; false if there is no room for the marker.
    pub(crate) fn mark_place(&mut self, place: Moment) -> bool {
        self.markers.slots() > 1 && self.mark(MarkerKind::Place(place))
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
    /// Leaves samples out that are there.
    pub(crate) fn skip(&mut self, samples: usize) {
        if let Ok(chunk) = self.samples.read_chunk(samples) {
            chunk.commit_all();
            self.taken += samples as u64;
        }
    }

    fn clear(&mut self) {
        self.skip(self.samples.slots());
        self.taken = 0;
        while self.markers.pop().is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};

    use kithara_decode::PcmSpec;

    use super::*;
    use crate::timeline::Speed;

    fn heading(id: u64, frame: u64) -> Heading {
        let spec = PcmSpec {
            sample_rate: NonZeroU32::MIN,
            channels: NonZeroU16::new(2).expect("channels"),
        };
        Heading {
            id,
            change: 0,
            output: Output {
                spec,
                speed: Speed::NORMAL,
            },
            start: Moment::at(frame),
        }
    }

    fn lanes() -> Lanes {
        Lanes::new(8, heading(0, 0)).expect("memory")
    }

    fn drain(feed: &mut Feed) -> Vec<f32> {
        std::iter::from_fn(|| feed.samples.pop().ok()).collect()
    }

    #[test]
    fn a_lane_nobody_took_is_used_again() {
        let exchange = Exchange::default();
        let mut lanes = lanes();
        let mut feed = *lanes.take_first(&exchange).unwrap();
        assert_eq!(lanes.fill().push(&[1.0; 10], 2), 8);
        for id in 1..100 {
            lanes.renew(&exchange, 8, heading(id, 10 * id)).unwrap();
            assert_eq!(lanes.fill().push(&[id as f32; 6], 2), 6);
            lanes.fill().finish(MarkerKind::End);
            lanes.offer(&exchange);
        }
        assert!(exchange.renew(&mut feed));
        assert_eq!(feed.heading, heading(99, 990));
        assert_eq!(drain(&mut feed), [99.0; 6]);
        let end = MarkerKind::End;
        assert_eq!(feed.markers.pop().unwrap(), Marker { at: 6, kind: end });
        assert!(feed.markers.pop().is_err());
        assert!(!exchange.renew(&mut feed));
    }

    #[test]
    fn two_lanes_serve_any_number_of_seeks() {
        let exchange = Exchange::default();
        let mut lanes = lanes();
        let mut feed = *lanes.take_first(&exchange).unwrap();
        for id in 1..100 {
            lanes.fill().push(&[-1.0; 4], 2);
            lanes.renew(&exchange, 8, heading(id, id)).unwrap();
            lanes.fill().push(&[id as f32; 4], 2);
            lanes.offer(&exchange);
            if id % 3 != 0 {
                assert!(exchange.renew(&mut feed));
                assert_eq!(feed.heading.id, id);
                assert_eq!(drain(&mut feed), [id as f32; 4]);
            }
        }
    }

    #[test]
    fn a_lane_of_another_size_takes_the_place_of_one_that_was_left() {
        let exchange = Exchange::default();
        let mut lanes = lanes();
        let mut feed = *lanes.take_first(&exchange).unwrap();
        for id in 1..100 {
            let capacity = 8 + 2 * (id % 3) as usize;
            lanes.renew(&exchange, capacity, heading(id, id)).unwrap();
            assert_eq!(lanes.fill().push(&[id as f32; 100], 2), capacity);
            lanes.offer(&exchange);
            if id % 4 != 0 {
                assert!(exchange.renew(&mut feed));
                assert_eq!(drain(&mut feed), vec![id as f32; capacity]);
            }
        }
    }

    #[test]
    fn the_last_marker_always_finds_room() {
        let mut lanes = lanes();
        let marked = (0..100)
            .filter(|frame| lanes.fill().mark_place(Moment::at(*frame)))
            .count();
        assert_eq!(marked, MARKERS - 1);
        lanes.fill().finish(MarkerKind::Failed);
    }
}
