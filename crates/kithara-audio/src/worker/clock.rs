//! Where runs lie on the title's timeline whose media has clocks of its own. Pure arithmetic.

use std::collections::VecDeque;
use std::time::Duration;

use kithara_decode::{PcmSpec, Stamp};
use kithara_stream::{AudioCodec, MediaInfo, RunCause};

/// Clocks that are remembered; a title of more of them forgets the oldest.
const MAX_CLOCKS: usize = 64;
/// Media that is further than this from where it is said to be is not believed: ten seconds, and half of a long segment.
const GROSS: i128 = 15 * NANOS;
/// Who follows at once, and is no further away than this, follows exactly: stated times are rounded, and badly by many.
const JOINT: Duration = Duration::from_millis(2);
/// The same where times are as fine as frames, or nearly so.
const FINE_JOINT: Duration = Duration::from_nanos(333_333);
/// A playlist's times that are no further apart are the same.
const SAME: Duration = Duration::from_millis(100);
const NANOS: i128 = 1_000_000_000;

/// A run that is to be placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamped {
    /// Which clock its media has.
    pub(super) clock: u64,
    /// When its frame 0 plays by that clock.
    pub(super) stamp: Option<Stamp>,
    /// When it plays by the playlist.
    pub(super) start: Duration,
    pub(super) cause: RunCause,
    pub(super) spec: PcmSpec,
    /// Frames of each packet, where that is constant.
    pub(super) packet: Option<u64>,
}

/// Where a run lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// The title frame, at the rate of the run, of its frame 0. Frames before the title's first are none of it.
    pub(super) begin: i64,
    /// Its media says so.
    pub(super) sure: bool,
}

/// What is known of the clocks of a title.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    bases: VecDeque<Base>,
}

/// How a clock goes.
#[derive(Clone, Copy, Debug)]
struct Base {
    clock: u64,
    /// What it shows at the title's beginning, in nanoseconds.
    zero: i128,
    /// Where in the title the run began that told so: packets lie at whole packets from there.
    told_at: Duration,
}

impl Clocks {
    /// Places a run. `reached` is the title frame up to which the title was given, at the rate of the run; none after the open
    /// or a seek.
    pub(super) fn place(&mut self, run: &Stamped, reached: Option<u64>) -> Placed {
        let presumed = run.presumed(reached);
        let unsure = Placed {
            begin: i64::try_from(presumed).unwrap_or(i64::MAX),
            sure: false,
        };
        let Some(stamp) = run.stamp else {
            return unsure;
        };
        let Some(base) = self.base(run.clock) else {
            self.learn(run, stamp, presumed);
            return Placed {
                sure: true,
                ..unsure
            };
        };
        let near = |frame: u64| {
            let reference = nanos(run.spec.time(frame));
            let at = shorter_way(nanos(stamp.time) - base.zero, reference, stamp.wraps_at);
            ((at - reference).abs() <= GROSS).then_some(at)
        };
        let references = [Some(presumed), Some(run.spec.frames(run.start)), reached];
        match references.into_iter().flatten().find_map(near) {
            Some(at) => Placed {
                begin: run.snapped(at, &base, reached),
                sure: true,
            },
            None => {
                tracing::warn!(
                    ?run,
                    "times of the media contradict the playlist, which is believed"
                );
                self.learn(run, stamp, presumed);
                unsure
            }
        }
    }

    fn base(&self, clock: u64) -> Option<Base> {
        self.bases.iter().find(|base| base.clock == clock).copied()
    }

    fn learn(&mut self, run: &Stamped, stamp: Stamp, frame: u64) {
        self.bases.retain(|base| base.clock != run.clock);
        if self.bases.len() >= MAX_CLOCKS {
            self.bases.pop_front();
        }
        let told_at = run.spec.time(frame);
        self.bases.push_back(Base {
            clock: run.clock,
            zero: nanos(stamp.time) - nanos(told_at),
            told_at,
        });
    }
}

impl Stamped {
    /// Where it begins by what the playlist says, and by what was given before it.
    fn presumed(&self, reached: Option<u64>) -> u64 {
        let start = self.spec.frames(self.start);
        let Some(reached) = reached else {
            return start;
        };
        match self.cause {
            _ if start.abs_diff(reached) <= self.spec.frames(SAME) => reached,
            RunCause::Gap | RunCause::Skip => start.max(reached),
            // It may begin earlier, so that its decoder settles.
            RunCause::VariantSwitch | RunCause::Again => start,
            _ => reached,
        }
    }

    /// The title frame that is meant by a time, which was rounded by whoever wrote it.
    fn snapped(&self, nanos: i128, base: &Base, reached: Option<u64>) -> i64 {
        let rate = i128::from(self.spec.sample_rate.get());
        let frames = |time: Duration| i128::from(self.spec.frames(time));
        let frame = (nanos * rate + NANOS / 2).div_euclid(NANOS);
        let is_coarse = self.stamp.is_some_and(|stamp| stamp.wraps_at.is_some());
        let joint = frames(if is_coarse { JOINT } else { FINE_JOINT });
        let reached = reached.map(i128::from);
        let meant = reached.filter(|reached| (frame - reached).abs() <= joint);
        let meant = meant.or_else(|| {
            let packet = i128::from(self.packet.filter(|packet| is_coarse && *packet > 0)?);
            let origin = frames(base.told_at);
            let whole = (frame - origin + packet / 2).div_euclid(packet) * packet + origin;
            Some(whole).filter(|whole| (frame - whole).abs() <= frames(FINE_JOINT))
        });
        i64::try_from(meant.unwrap_or(frame)).unwrap_or(i64::MAX)
    }
}

/// Frames of each packet of a codec, where that is constant.
pub(super) fn packet_frames(info: &MediaInfo) -> Option<u64> {
    let is_low = info.sample_rate.is_some_and(|rate| rate < 32_000);
    match info.codec? {
        AudioCodec::AacLc => Some(1024),
        AudioCodec::AacHe | AudioCodec::AacHeV2 => Some(2048),
        AudioCodec::Mp3 if is_low => Some(576),
        AudioCodec::Mp3 | AudioCodec::Mp2 => Some(1152),
        AudioCodec::Mp1 => Some(384),
        _ => None,
    }
}

/// A time of a clock that begins anew, in the round that puts it nearest to `reference`.
fn shorter_way(time: i128, reference: i128, wraps_at: Option<Duration>) -> i128 {
    let Some(round) = wraps_at.map(nanos).filter(|round| *round > 0) else {
        return time;
    };
    let ahead = (time - reference).rem_euclid(round);
    reference
        + if ahead > round / 2 {
            ahead - round
        } else {
            ahead
        }
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX / 4)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};

    use super::*;

    const RATE: u64 = 44_100;
    const WRAP: u64 = 1 << 33;

    fn spec() -> PcmSpec {
        PcmSpec {
            sample_rate: NonZeroU32::new(RATE as u32).expect("a rate"),
            channels: NonZeroU16::new(2).expect("channels"),
        }
    }

    fn ticks(count: u64) -> Duration {
        Duration::from_secs(count / 90_000)
            + Duration::from_nanos(count % 90_000 * 1_000_000_000 / 90_000)
    }

    /// A run of a transport stream, at a time of its clock and of the playlist.
    fn coarse(time: u64, start: Duration, cause: RunCause) -> Stamped {
        Stamped {
            clock: 0,
            stamp: Some(Stamp {
                time: ticks(time % WRAP),
                wraps_at: Some(ticks(WRAP)),
            }),
            start,
            cause,
            spec: spec(),
            packet: Some(1024),
        }
    }

    /// A run of MP4 whose clock counts frames.
    fn fine(frame: u64, start: Duration, cause: RunCause) -> Stamped {
        Stamped {
            stamp: Some(Stamp {
                time: spec().time(frame),
                wraps_at: None,
            }),
            packet: None,
            ..coarse(0, start, cause)
        }
    }

    fn at(frame: u64) -> Duration {
        spec().time(frame)
    }

    #[test]
    fn the_first_run_of_a_clock_lies_where_the_playlist_says_and_the_others_by_the_clock() {
        let mut clocks = Clocks::default();
        let first = fine(90_000, Duration::ZERO, RunCause::Start);
        assert_eq!(
            clocks.place(&first, None),
            Placed {
                begin: 0,
                sure: true
            }
        );
        for (frame, start, reached, begin) in [
            // After a seek: to the frame, whatever the playlist says.
            (100_000, Duration::from_secs(1), None, 10_000),
            (90_001, Duration::from_secs(9), None, 1),
            // Earlier than what was given: the decoder settles.
            (100_000, at(10_000), Some(12_345), 10_000),
            // At the joint, nearly.
            (100_000, at(10_000), Some(10_001), 10_001),
            (100_000, at(10_000), Some(10_100), 10_000),
            // Before the title.
            (89_000, Duration::ZERO, None, -1000),
        ] {
            let placed = clocks.place(&fine(frame, start, RunCause::VariantSwitch), reached);
            assert_eq!(placed, Placed { begin, sure: true }, "{frame} {reached:?}");
        }
    }

    #[test]
    fn rounded_times_mean_whole_packets_all_the_way_around_the_clock() {
        // Not far from where the clock begins anew, and far away from it.
        for begin in [126_000, WRAP - 90_000, 0] {
            let mut clocks = Clocks::default();
            clocks.place(&coarse(begin, Duration::ZERO, RunCause::Start), None);
            for packets in [1, 7, 431, 100_000, 13_000_000] {
                let frame = packets * 1024;
                let time = begin + frame * 90_000 / RATE;
                for off in [0, 1, 20] {
                    let run = coarse(time + off, at(frame), RunCause::Seek);
                    let placed = clocks.place(&run, None);
                    assert_eq!(placed.begin, frame as i64, "{packets} from {begin}");
                }
                // What is further off is no rounding.
                let run = coarse(time + 60, at(frame), RunCause::Seek);
                let off = clocks.place(&run, None).begin - frame as i64;
                assert!((28..=31).contains(&off), "{off}");
            }
        }
    }

    #[test]
    fn who_follows_at_once_follows_exactly() {
        let mut clocks = Clocks::default();
        clocks.place(&coarse(0, Duration::ZERO, RunCause::Start), None);
        for off in [0, 100, 180] {
            let run = coarse(
                90_000 + off,
                Duration::from_secs(1),
                RunCause::VariantSwitch,
            );
            assert_eq!(clocks.place(&run, Some(44_100)).begin, 44_100, "{off}");
        }
        let run = coarse(
            90_000 + 900,
            Duration::from_secs(1),
            RunCause::VariantSwitch,
        );
        assert_eq!(clocks.place(&run, Some(44_100)).begin, 44_541);
    }

    #[test]
    fn a_clock_nobody_knows_begins_where_the_title_stands() {
        for (cause, start, begin) in [
            (RunCause::Discontinuity, Duration::from_secs(2), 44_000),
            (RunCause::Discontinuity, Duration::from_millis(999), 44_000),
            (RunCause::Gap, Duration::from_secs(2), 88_200),
            (RunCause::Skip, Duration::from_secs(2), 88_200),
            (RunCause::Gap, Duration::from_millis(500), 44_000),
            (RunCause::VariantSwitch, Duration::from_millis(500), 22_050),
            (RunCause::VariantSwitch, Duration::from_millis(950), 44_000),
        ] {
            let run = coarse(7, start, cause);
            let placed = Clocks::default().place(&run, Some(44_000));
            assert_eq!(placed.begin, begin, "{cause:?} {start:?}");
        }
    }

    #[test]
    fn media_that_contradicts_the_playlist_grossly_is_not_believed_and_neither_is_none() {
        let mut clocks = Clocks::default();
        clocks.place(&fine(0, Duration::ZERO, RunCause::Start), None);
        let wrong = fine(RATE * 500, Duration::from_secs(10), RunCause::Seek);
        let unsure = Placed {
            begin: 441_000,
            sure: false,
        };
        assert_eq!(clocks.place(&wrong, None), unsure);
        // From then on it is the clock.
        let next = fine(RATE * 505, Duration::from_secs(15), RunCause::VariantSwitch);
        assert_eq!(clocks.place(&next, Some(441_000)).begin, 15 * 44_100);
        let mut silent = wrong;
        silent.stamp = None;
        assert_eq!(clocks.place(&silent, None), unsure);
        // A playlist that drifts away from its media is outvoted by what was given.
        let drifted = fine(RATE * 515, Duration::from_secs(90), RunCause::Discontinuity);
        let placed = clocks.place(&drifted, Some(25 * 44_100));
        assert_eq!((placed.begin, placed.sure), (25 * 44_100, true));
    }

    #[test]
    fn clocks_are_forgotten_rather_than_held_without_end() {
        let mut clocks = Clocks::default();
        for clock in 0..1000 {
            let mut run = fine(5, Duration::ZERO, RunCause::Start);
            run.clock = clock;
            clocks.place(&run, None);
        }
        assert_eq!(clocks.bases.len(), MAX_CLOCKS);
    }
}
