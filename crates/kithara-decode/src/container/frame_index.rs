//! Where the frames of a bare stream lie, as far as it was passed: what makes a seek back exact and cheap.
//!
//! Only frames whose number is certain are noted, about one a second. The notes can be written down and read back: then
//! they are hints, and whoever goes to one of them looks for a frame there.

use crate::memory;

/// Between places, in frames of the stream, until there are too many.
const STRIDE: u64 = 32;
/// More places than these are thinned out: thirty hours of MP3, and 2 MiB.
const MAX_PLACES: usize = 1 << 17;
/// What was written down begins with this.
const VERSION: u8 = 1;
/// So many places more are worth writing down again, at the least.
const NEWS: usize = 16;

/// A frame of PCM and the offset of the stream's frame that begins with it.
pub(crate) type Place = (u64, u64);

/// What must be the same for places to mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ground {
    /// The offset of the first frame.
    pub(crate) first: u64,
    /// What all frames have in common.
    pub(crate) key: u32,
    /// PCM frames of one.
    pub(crate) unit: u32,
}

/// Where frames lie.
#[derive(Debug)]
pub(crate) struct FrameIndex {
    ground: Ground,
    /// In order of both numbers.
    places: Vec<Place>,
    /// PCM frames between two places.
    stride: u64,
    /// How many places there were when it was last written down.
    written: usize,
}

impl FrameIndex {
    pub(crate) fn new(ground: Ground) -> Self {
        Self {
            ground,
            places: Vec::new(),
            stride: STRIDE * u64::from(ground.unit),
            written: 0,
        }
    }

    /// Notes a frame that was passed, unless one near it is known.
    pub(crate) fn pass(&mut self, frame: u64, offset: u64) {
        let next = match self.places.last() {
            Some(last) if last.0 < frame => self.places.len(),
            _ => self.places.partition_point(|place| place.0 < frame),
        };
        let before = next.checked_sub(1).map(|at| self.places[at]);
        let behind = self.places.get(next).copied();
        let fits = before.is_none_or(|before| before.1 < offset)
            && behind.is_none_or(|behind| {
                behind.1 > offset && behind.0 > frame || behind == (frame, offset)
            });
        if !fits {
            // What was noted before was about something else.
            self.forget();
            return self.insert(0, (frame, offset));
        }
        let near = before.is_some_and(|before| frame - before.0 < self.stride)
            || behind.is_some_and(|behind| behind.0 - frame < self.stride);
        if !near {
            self.insert(next, (frame, offset));
        }
    }

    /// Believes nothing any more.
    pub(crate) fn forget(&mut self) {
        self.places.clear();
        self.written = 0;
    }

    /// The last place at or before a frame.
    pub(crate) fn before(&self, frame: u64) -> Option<Place> {
        let behind = self.places.partition_point(|place| place.0 <= frame);
        behind.checked_sub(1).map(|at| self.places[at])
    }

    /// The last place of all.
    pub(crate) fn last(&self) -> Option<Place> {
        self.places.last().copied()
    }

    /// Whether there is so much to tell that it is worth writing down: each time half as much again, so that all the writing
    /// is in proportion to what there is.
    pub(crate) fn has_news(&self) -> bool {
        self.places.len() >= self.written + (self.written / 2).max(NEWS)
    }

    /// Whether anything was not written down yet.
    pub(crate) fn is_new(&self) -> bool {
        self.places.len() > self.written
    }

    /// Writes it down; `None` without memory for it.
    pub(crate) fn write(&mut self) -> Option<Vec<u8>> {
        // Each place takes seven bytes at the most, unless frames are gigantic.
        let mut bytes = memory::room(32 + self.places.len() * 8).ok()?;
        let unit = u64::from(self.ground.unit);
        bytes.push(VERSION);
        for number in [
            self.ground.first,
            self.ground.key.into(),
            unit,
            self.stride / unit,
        ] {
            put(&mut bytes, number);
        }
        let mut last = (0, self.ground.first);
        for place in &self.places {
            put(&mut bytes, (place.0 - last.0) / unit);
            put(&mut bytes, place.1 - last.1);
            last = *place;
        }
        self.written = self.places.len();
        Some(bytes)
    }

    /// Reads what was written down of a stream on the same ground; `None` for anything else, and for what cannot be.
    pub(crate) fn read(ground: Ground, bytes: &[u8], len: Option<u64>) -> Option<Self> {
        let mut index = Self::new(ground);
        let (version, mut rest) = bytes.split_first()?;
        let unit = u64::from(ground.unit);
        let same = *version == VERSION
            && take(&mut rest)? == ground.first
            && take(&mut rest)? == ground.key.into()
            && take(&mut rest)? == unit;
        let stride = take(&mut rest)?;
        if !same || !(STRIDE..=u64::from(u32::MAX)).contains(&stride) {
            return None;
        }
        index.stride = stride.checked_mul(unit)?;
        let mut last = (0u64, ground.first);
        while !rest.is_empty() {
            let (count, bytes) = (take(&mut rest)?, take(&mut rest)?);
            let place = (
                last.0.checked_add(count.checked_mul(unit)?)?,
                last.1.checked_add(bytes)?,
            );
            // A frame has a header at the least.
            let possible = (count > 0 || index.places.is_empty())
                && bytes >= count.saturating_mul(4)
                && len.is_none_or(|len| place.1 < len);
            if !possible || index.places.len() >= MAX_PLACES {
                return None;
            }
            memory::push(&mut index.places, place).ok()?;
            last = place;
        }
        index.written = index.places.len();
        Some(index)
    }

    fn insert(&mut self, at: usize, place: Place) {
        if self.places.len() >= MAX_PLACES {
            // Twice as far apart, there is room for as many again.
            let mut number = 0;
            self.places.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.stride *= 2;
            self.written = 0;
            return;
        }
        // Without memory for it, what lies there is found as if it had not been passed.
        if memory::reserve(&mut self.places, 1).is_ok() {
            self.places.insert(at, place);
        }
    }
}

/// Seven bits to a byte, the lowest first, the highest bit of a byte saying that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..63).step_by(7) {
        let (byte, more) = rest.split_first()?;
        *rest = more;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUND: Ground = Ground {
        first: 500,
        key: 0x31a,
        unit: 1152,
    };

    /// Passes frames of 400 bytes, from this number on.
    fn pass(index: &mut FrameIndex, numbers: std::ops::Range<u64>) {
        for number in numbers {
            index.pass(number * 1152, 500 + number * 400);
        }
    }

    fn place(number: u64) -> Option<Place> {
        Some((number * 1152, 500 + number * 400))
    }

    #[test]
    fn what_was_passed_is_found_again_and_holes_stay_holes() {
        let mut index = FrameIndex::new(GROUND);
        assert_eq!(index.before(0), None);
        pass(&mut index, 0..100);
        pass(&mut index, 1000..1100);
        let cases = [
            (0, 0),
            (31, 0),
            (32, 32),
            (99, 96),
            (500, 96),
            (1000, 1000),
            (1099, 1096),
            (9000, 1096),
        ];
        for (asked, found) in cases {
            assert_eq!(index.before(asked * 1152 + 7), place(found), "{asked}");
        }
        // Closing the hole adds what was missing, and nothing twice.
        let before = index.places.len();
        pass(&mut index, 90..1010);
        assert_eq!(index.before(500 * 1152), place(480));
        assert!(index.places.len() < before + 900 / 32 + 2);
        assert!(index.places.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
    }

    #[test]
    fn a_frame_that_lies_elsewhere_ends_the_belief_in_all_others() {
        let mut index = FrameIndex::new(GROUND);
        pass(&mut index, 0..100);
        index.pass(64 * 1152, 9);
        assert_eq!(index.places, [(64 * 1152, 9)]);
        index.pass(640 * 1152, 8);
        assert_eq!(index.places, [(640 * 1152, 8)], "further on, but before it");
    }

    #[test]
    fn memory_is_bounded_however_long_the_stream_is() {
        let mut index = FrameIndex::new(GROUND);
        for number in (0..MAX_PLACES as u64 * 80).step_by(STRIDE as usize) {
            pass(&mut index, number..number + 1);
        }
        assert!(index.places.len() <= MAX_PLACES);
        assert!(index.places.len() > MAX_PLACES / 2 - 2);
        let asked = 1_000_003;
        let (frame, _) = index.before(asked * 1152).expect("it was passed");
        assert!(asked * 1152 - frame < 8 * STRIDE * 1152);
        let bytes = index.write().expect("memory");
        assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    }

    #[test]
    fn what_is_written_down_reads_back_on_its_own_ground_only() {
        let mut index = FrameIndex::new(GROUND);
        pass(&mut index, 0..500);
        pass(&mut index, 7000..7300);
        assert!(index.has_news() && index.is_new());
        let bytes = index.write().expect("memory");
        assert!(!index.has_news() && !index.is_new());
        let read = FrameIndex::read(GROUND, &bytes, None).expect("the same ground");
        assert_eq!(read.places, index.places);
        assert!(!read.is_new());
        let Ground { first, key, unit } = GROUND;
        for other in [
            Ground {
                first: 501,
                ..GROUND
            },
            Ground {
                key: key + 1,
                ..GROUND
            },
            Ground {
                unit: unit / 2,
                ..GROUND
            },
        ] {
            assert!(FrameIndex::read(other, &bytes, None).is_none(), "{first}");
        }
        let end = index.last().expect("places").1;
        assert!(FrameIndex::read(GROUND, &bytes, Some(end + 1)).is_some());
        assert!(FrameIndex::read(GROUND, &bytes, Some(end)).is_none());
    }

    #[test]
    fn hostile_bytes_give_an_index_in_order_or_none() {
        let mut index = FrameIndex::new(GROUND);
        pass(&mut index, 0..200);
        let bytes = index.write().expect("memory");
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut forged = bytes.clone();
                forged[at] ^= 1 << bit;
                if let Some(read) = FrameIndex::read(GROUND, &forged, None) {
                    assert!(read.places.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
                }
            }
            let _ = FrameIndex::read(GROUND, &bytes[..at], None);
        }
        assert!(FrameIndex::read(GROUND, &[], None).is_none());
        assert!(FrameIndex::read(GROUND, &[1; 64], None).is_none());
        let endless = [&bytes[..7], &[0xff; 64][..]].concat();
        assert!(FrameIndex::read(GROUND, &endless, None).is_none());
    }
}
