//! The one rule: keep reading a transfer towards a byte that is wanted, or open a new range there.

use std::ops::Range;
use std::time::Duration;

/// Less than this is always sooner read through than asked for.
const ALWAYS_READ_THROUGH: u64 = 64 * 1024;
/// More than this is never read through while the server serves ranges.
const NEVER_READ_THROUGH: u64 = 512 * 1024;

/// How fast transfers of one file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// From a request to its response headers.
    pub(crate) round_trip: Option<Duration>,
    /// Body bytes per second of the last transfer.
    pub(crate) bytes_per_second: Option<u64>,
}

impl Pace {
    /// The bytes a running transfer brings in the time a new request would take to answer.
    fn bytes_per_round_trip(self) -> u64 {
        let (Some(round_trip), Some(rate)) = (self.round_trip, self.bytes_per_second) else {
            return 0;
        };
        let bytes = u128::from(rate) * round_trip.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Whether a transfer that will bring `coming` should be kept because it reaches `wanted` sooner than a new request.
pub(crate) fn keep_reading(coming: &Range<u64>, wanted: u64, pace: Pace) -> bool {
    if !coming.contains(&wanted) {
        return false;
    }
    let distance = wanted - coming.start;
    let worth = pace
        .bytes_per_round_trip()
        .clamp(ALWAYS_READ_THROUGH, NEVER_READ_THROUGH);
    distance <= worth
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;
    const SLOW: Pace = Pace {
        round_trip: Some(Duration::from_millis(50)),
        bytes_per_second: Some(40_000),
    };
    const FAR: Pace = Pace {
        round_trip: Some(Duration::from_millis(400)),
        bytes_per_second: Some(1_000_000),
    };
    const FAST_AND_FAR: Pace = Pace {
        round_trip: Some(Duration::from_secs(2)),
        bytes_per_second: Some(100_000_000),
    };

    #[test]
    fn a_transfer_is_kept_only_where_it_is_sooner_than_a_new_request() {
        let unknown = Pace::default();
        for (coming, wanted, pace, keep) in [
            // At the very byte it brings next.
            (0..512 * KIB, 0, unknown, true),
            // A little ahead: cheaper than any request.
            (0..512 * KIB, 64 * KIB, unknown, true),
            // Further ahead with nothing measured: a new request.
            (0..512 * KIB, 64 * KIB + 1, unknown, false),
            // Behind what it still brings.
            (100 * KIB..512 * KIB, 99 * KIB, unknown, false),
            // At its end: it brings nothing there.
            (0..512 * KIB, 512 * KIB, unknown, false),
            // A slow near link brings 2 kB in a round trip, so the floor decides.
            (0..512 * KIB, 65 * KIB, SLOW, false),
            // 400 kB come in one round trip of a far server.
            (0..2048 * KIB, 300 * KIB, FAR, true),
            (0..2048 * KIB, 400 * KIB, FAR, false),
            // However fast, no more than the ceiling is thrown away.
            (0..8192 * KIB, 512 * KIB, FAST_AND_FAR, true),
            (0..8192 * KIB, 513 * KIB, FAST_AND_FAR, false),
        ] {
            let kept = keep_reading(&coming, wanted, pace);
            assert_eq!(kept, keep, "{coming:?} towards {wanted} at {pace:?}");
        }
    }
}
