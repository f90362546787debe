//! When media says that it plays.

use std::time::Duration;

const NANOS: i128 = 1_000_000_000;
/// Units a second of the clock of MPEG-2 systems (ISO/IEC 13818-1 §2.4.3.7).
const TICKS: u64 = 90_000;
/// It begins anew after so many.
const WRAP: u64 = 1 << 33;

/// A time on the clock of the media itself, which is not that of the title: only differences mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it is, in the first round of the clock.
    pub time: Duration,
    /// How long a round of the clock is; `None` if it never begins anew.
    pub wraps_at: Option<Duration>,
}

impl Stamp {
    /// How far apart two times of one clock are, the shorter way around.
    pub(crate) fn distance(self, other: Self) -> Duration {
        let apart = self.time.abs_diff(other.time);
        match self.wraps_at.filter(|_| self.wraps_at == other.wraps_at) {
            Some(round) => apart.min(round.saturating_sub(apart)),
            None => apart,
        }
    }
}

/// The same of the first frame that is decoded, before anything is taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrackStamp {
    nanos: i128,
    /// By how much earlier it plays because of an edit list.
    edit: i128,
    wraps_at: Option<Duration>,
}

impl TrackStamp {
    /// A time in units of a track, and where by its edit list the presentation begins.
    pub(crate) fn in_units(time: i128, edit: u64, timescale: u64) -> Self {
        let nanos = |units: i128| units * NANOS / i128::from(timescale.max(1));
        Self {
            nanos: nanos(time),
            edit: nanos(edit.into()),
            wraps_at: None,
        }
    }

    /// A time of 33 bits in 90ths of a millisecond.
    pub(crate) fn in_ticks(ticks: u64) -> Self {
        Self {
            wraps_at: Some(duration(nanos_of_ticks(WRAP))),
            nanos: nanos_of_ticks(ticks % WRAP),
            edit: 0,
        }
    }

    /// When a frame plays that comes so much later; `edited` if the edit list is followed.
    pub(crate) fn after(&self, later: Duration, edited: bool) -> Stamp {
        let edit = if edited { self.edit } else { 0 };
        let later = i128::try_from(later.as_nanos()).unwrap_or(i128::MAX / 2);
        Stamp {
            time: duration(self.nanos - edit + later),
            wraps_at: self.wraps_at,
        }
    }
}

fn nanos_of_ticks(ticks: u64) -> i128 {
    i128::from(ticks) * NANOS / i128::from(TICKS)
}

/// Never before the beginning of the clock.
fn duration(nanos: i128) -> Duration {
    let nanos = nanos.max(0);
    let seconds = u64::try_from(nanos / NANOS).unwrap_or(u64::MAX >> 1);
    Duration::new(seconds, (nanos % NANOS) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_list_moves_the_presentation_and_never_before_its_beginning() {
        let frames = |count: u64| Duration::from_nanos(count * 1_000_000_000 / 44_100);
        for (time, edit, front, edited, at) in [
            // The first run, whose front is taken off, and one in the middle.
            (0, 1024, 1024, true, 0),
            (44_100, 1024, 0, true, 43_076),
            // Nothing is taken off: frame 0 is the first of the track.
            (0, 1024, 0, false, 0),
            (0, 1024, 0, true, 0),
            (512, 1024, 512, true, 0),
            (0, 0, 312, true, 312),
        ] {
            let stamp = TrackStamp::in_units(time, edit, 44_100).after(frames(front), edited);
            let off = stamp.time.abs_diff(frames(at));
            assert!(off <= Duration::from_nanos(2), "{time} {edit}: {stamp:?}");
            assert_eq!(stamp.wraps_at, None);
        }
    }

    #[test]
    fn times_are_compared_the_shorter_way_around() {
        let at = |ticks| TrackStamp::in_ticks(ticks).after(Duration::ZERO, true);
        let later = TrackStamp::in_ticks(WRAP - 90).after(Duration::from_millis(2), true);
        for (one, other, micros) in [
            (at(0), at(90), 1000),
            (at(90), at(0), 1000),
            (at(WRAP - 90), at(90), 2000),
            (later, at(90), 0),
        ] {
            let apart = one.distance(other).as_nanos() as i64 - micros * 1000;
            assert!(apart.abs() <= 3, "{one:?} {other:?}: {apart}");
        }
        let plain = |millis| Stamp {
            time: Duration::from_millis(millis),
            wraps_at: None,
        };
        assert_eq!(plain(5).distance(plain(2)), Duration::from_millis(3));
    }

    #[test]
    fn ticks_are_of_thirty_three_bits() {
        let stamp = TrackStamp::in_ticks(WRAP + 126_000).after(Duration::ZERO, true);
        assert_eq!(stamp.time, Duration::from_millis(1400));
        assert_eq!(stamp.wraps_at, Some(Duration::new(95_443, 717_688_888)));
        let huge = TrackStamp::in_units(u64::MAX.into(), 0, 0).after(Duration::MAX, true);
        assert!(huge.time > Duration::from_secs(1 << 60));
    }
}
