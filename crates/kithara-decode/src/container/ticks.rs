//! Times in 90ths of a millisecond and 33 bits (ISO/IEC 13818-1 §2.4.3.7), and how many frames lie between two of them.

/// Ticks in a second.
pub(super) const CLOCK: i64 = 90_000;
/// They begin anew after so many.
pub(super) const WRAP: i64 = 1 << 33;
/// Packets that stated times may be off before something is missing. Many writers round them badly.
pub(super) const TOLERANCE: i64 = 2;

/// How far a stated time is ahead of an expected one, the shorter way around.
pub(super) fn ahead(time: u64, expected: i64) -> i64 {
    let difference = (time as i64).wrapping_sub(expected).rem_euclid(WRAP);
    if difference >= WRAP / 2 {
        difference - WRAP
    } else {
        difference
    }
}

/// How long so many frames are.
pub(super) fn of_frames(frames: u64, rate: u32) -> i64 {
    (i128::from(frames) * i128::from(CLOCK) / i128::from(rate)) as i64
}

/// How many packets of so many frames that is, to the nearest.
pub(super) fn packets(ticks: i64, rate: u32, frames: u32) -> i64 {
    let length = i64::from(frames);
    let all = (i128::from(ticks) * i128::from(rate) / i128::from(CLOCK)) as i64;
    (all + length / 2).div_euclid(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_the_shorter_way_around() {
        for (time, expected, difference) in [
            (0, 0, 0),
            (5, 3, 2),
            (3, 5, -2),
            (1, WRAP - 1, 2),
            ((WRAP - 1) as u64, WRAP + 1, -2),
            (7, 10 * WRAP, 7),
            (0, i64::MIN, 0),
        ] {
            assert_eq!(ahead(time, expected), difference, "{time}, {expected}");
        }
    }

    #[test]
    fn packets_are_counted_to_the_nearest() {
        let packet = of_frames(1024, 44_100);
        for (off, count) in [
            (0, 3),
            (packet / 3, 3),
            (-packet / 3, 3),
            (packet / 2 + 9, 4),
        ] {
            assert_eq!(packets(3 * packet + off, 44_100, 1024), count, "{off}");
            assert_eq!(packets(-3 * packet - off, 44_100, 1024), -count, "{off}");
        }
    }
}
