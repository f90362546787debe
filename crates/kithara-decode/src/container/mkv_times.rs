//! What the times of Matroska's blocks are worth: they are whole ticks, of a millisecond mostly, and packets begin at frames.

/// How the file's time and the decoded frames belong together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Base {
    /// Frames between the file's time 0 and the first decoded frame.
    pub(crate) offset: i64,
    /// What the first frames of packets are multiples of, and what is left over. `None` where a time doesn't tell the frame.
    pub(crate) grid: Option<(u64, u64)>,
}

impl Base {
    /// The frame at which a packet begins whose time puts it near this one; whether that is certain. A tick is so many
    /// frames.
    pub(crate) fn settle(&self, frame: u64, tick: f64) -> (u64, bool) {
        let Some((quantum, rest)) = self.grid else {
            return (frame, false);
        };
        let shifted = frame.saturating_add(quantum + quantum / 2);
        let steps = shifted.saturating_sub(rest) / quantum;
        // One that lies between is behind a gap, or not cut as those at the beginning were.
        (steps * quantum + rest)
            .checked_sub(quantum)
            .filter(|near| near.abs_diff(frame) as f64 <= tick + 2.0)
            .map_or((frame, false), |near| (near, true))
    }
}

/// The first packets that begin a block: where they begin, and how far from there their times put them, both in frames.
#[derive(Debug, Default)]
pub(crate) struct Beginnings {
    packets: Vec<(u64, f64)>,
}

impl Beginnings {
    pub(crate) fn note(&mut self, frame: u64, distance: f64) {
        self.packets.push((frame, distance));
    }

    /// What all their beginnings leave over.
    pub(crate) fn rest(&self, quantum: u64) -> Option<u64> {
        let mut rests = self.packets.iter().map(|(frame, _)| frame % quantum.max(1));
        let first = rests.next()?;
        rests.all(|rest| rest == first).then_some(first)
    }

    /// How far apart they all are, if the stream began with such a packet too.
    pub(crate) fn size(&self) -> Option<u64> {
        let size = self.packets.first()?.0;
        let mut all = self.packets.iter().zip(1..);
        let same = all.all(|((frame, _), number)| *frame == size * number);
        (same && self.packets.len() > 1 && size > 0).then_some(size)
    }

    /// What follows from the distances.
    ///
    /// Times are rounded to the nearest tick by some writers and down by others: the distances lie within a tick, and the
    /// middle of those that were seen is less than a tick away from any other.
    pub(crate) fn base(&mut self, grid: Option<(u64, u64)>, tick: f64) -> Base {
        self.packets
            .sort_unstable_by(|one, other| one.1.total_cmp(&other.1));
        let (low, high) = match *self.packets {
            [(_, low), .., (_, high)] => (low, high),
            [(_, only)] => (only, only),
            [] => (0.0, 0.0),
        };
        // One frame for each of two roundings.
        let told = |quantum: u64| quantum as f64 > 2.0 * tick + 2.0 && high - low < tick + 2.0;
        let grid = grid.filter(|(quantum, _)| told(*quantum));
        let offset = match grid {
            Some(_) => f64::midpoint(low, high),
            None => {
                let middle = self.packets.get(self.packets.len() / 2);
                middle.map_or(0.0, |(_, distance)| *distance)
            }
        };
        Base {
            offset: offset.round() as i64,
            grid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of these sizes, whose times are made by this rounding, at 44.1 kHz in milliseconds.
    fn beginnings(sizes: &[u64], round: fn(f64) -> f64) -> Beginnings {
        let mut seen = Beginnings::default();
        let mut frame = 0;
        for size in sizes {
            frame += size;
            let stated = round(frame as f64 / 44.1 + 7.0) * 44.1;
            seen.note(frame, stated - frame as f64);
        }
        seen
    }

    #[test]
    fn a_time_tells_the_frame_if_packets_are_longer_than_two_ticks() {
        for (size, told) in [
            (1024, true),
            (128, true),
            (91, true),
            (90, false),
            (1, false),
        ] {
            for round in [f64::round, f64::floor] {
                let mut seen = beginnings(&[size; 40], round);
                assert_eq!(seen.size(), Some(size));
                let base = seen.base(Some((size, 0)), 44.1);
                assert_eq!(base.grid.is_some(), told, "{size}");
                for number in (1..100_000).filter(|_| told).step_by(997) {
                    let frame: u64 = number * size;
                    let stated = round(frame as f64 / 44.1 + 7.0) * 44.1;
                    let near = stated.round() as u64 - base.offset as u64;
                    assert_eq!(base.settle(near, 44.1), (frame, true), "{size}");
                }
            }
        }
    }

    #[test]
    fn packets_that_lie_between_are_no_certain_ones() {
        let base = Base {
            offset: 0,
            grid: Some((1024, 576)),
        };
        let cases = [
            (576, (576, true)),
            (600, (576, true)),
            (10_240 + 540, (10_240 + 576, true)),
            (10_240, (10_240, false)),
            (1100, (1100, false)),
            (0, (0, false)),
        ];
        for (asked, expected) in cases {
            assert_eq!(base.settle(asked, 44.1), expected, "{asked}");
        }
        let far = u64::MAX;
        assert!(!Base::default().settle(far, 44.1).1);
        let _ = base.settle(far, 44.1);
    }

    #[test]
    fn packets_of_several_sizes_have_none() {
        assert_eq!(beginnings(&[512, 512, 500], f64::round).size(), None);
        assert_eq!(
            beginnings(&[512], f64::round).size(),
            None,
            "of one nobody knows"
        );
        let lapped = beginnings(&[576, 1024, 1024, 1024 + 576 + 576], f64::round);
        assert_eq!(lapped.rest(128), Some(576 % 128));
        assert_eq!(lapped.rest(1024), None);
    }
}
