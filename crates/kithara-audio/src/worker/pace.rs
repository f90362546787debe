//! How long the decode thread sleeps while its reader needs nothing: arithmetic only.

use std::time::Duration;

/// While somebody plays: about four looks a second.
const PLAYING: Duration = Duration::from_millis(250);

/// Once everything is decoded, nothing depends on waking in time.
const ENDED: Duration = Duration::from_secs(60);

/// Decides each sleep from whether the reader moved during the last.
///
/// A `try_read` makes no system call, so it cannot wake the decode thread; the thread must come back by itself before
/// what is queued has played. While the reader moves it sleeps 250 ms at a time; when it stops, twice as long each
/// time, up to three quarters of what is queued, which is still in time if reading begins again right away.
#[derive(Debug, Default)]
pub(super) struct Pace {
    sleep: Duration,
    read: u64,
}

impl Pace {
    /// The next sleep, with more to decode. `read` counts the frames read so far, `queued` is what waits to be read.
    pub(super) fn filling(&mut self, read: u64, queued: Duration) -> Duration {
        self.next(read, PLAYING.min(queued / 2), queued * 3 / 4)
    }

    /// The next sleep, with everything decoded. One that is there to see the last frame read is no longer than what is
    /// queued, but for a second.
    pub(super) fn draining(&mut self, read: u64, queued: Duration) -> Duration {
        let longest = if queued.is_zero() {
            ENDED
        } else {
            queued.max(Duration::from_secs(1))
        };
        self.next(read, queued.clamp(PLAYING, ENDED), longest)
    }

    fn next(&mut self, read: u64, moving: Duration, longest: Duration) -> Duration {
        let moved = std::mem::replace(&mut self.read, read) != read;
        self.sleep = if moved || self.sleep.is_zero() {
            moving
        } else {
            (self.sleep * 2).min(longest)
        };
        self.sleep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUED: Duration = Duration::from_secs(2);

    /// Plays `seconds` at 48 kHz in steps of one sleep; the sleeps taken.
    fn sleeps(pace: &mut Pace, frames_per_second: u64, seconds: u64) -> Vec<Duration> {
        let (mut now, mut taken) = (Duration::ZERO, Vec::new());
        while now < Duration::from_secs(seconds) {
            let read = now.as_millis() as u64 * frames_per_second / 1000;
            taken.push(pace.filling(read, QUEUED));
            now += taken[taken.len() - 1];
        }
        taken
    }

    #[test]
    fn a_playing_reader_costs_at_most_five_wakes_a_second() {
        let taken = sleeps(&mut Pace::default(), 48_000, 10);
        assert!(taken.len() <= 50, "{}", taken.len());
        assert!(taken.iter().all(|sleep| *sleep < QUEUED));
    }

    #[test]
    fn a_stopped_reader_costs_at_most_one_wake_a_second() {
        let taken = sleeps(&mut Pace::default(), 0, 10);
        assert!(taken.len() <= 10, "{taken:?}");
        assert!(taken.iter().all(|sleep| *sleep < QUEUED));
    }

    #[test]
    fn a_reader_that_stops_and_starts_again_is_served_in_time() {
        let mut pace = Pace::default();
        sleeps(&mut pace, 0, 10);
        assert_eq!(pace.filling(480, QUEUED), PLAYING);
    }

    #[test]
    fn after_the_last_frame_the_thread_looks_in_time_for_the_end_and_then_hardly_at_all() {
        for (queued, longest) in [(QUEUED, QUEUED), (Duration::ZERO, ENDED)] {
            let mut pace = Pace::default();
            let taken: Vec<_> = (0..12).map(|_| pace.draining(7, queued)).collect();
            assert!(taken.is_sorted());
            assert_eq!(taken[11], longest);
        }
    }

    #[test]
    fn a_short_buffer_is_refilled_when_half_of_it_has_played() {
        let short = Duration::from_millis(200);
        let mut pace = Pace::default();
        assert_eq!(pace.filling(1, short), short / 2);
    }
}
