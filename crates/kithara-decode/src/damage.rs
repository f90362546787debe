//! How much of the audio could not be decoded lately.

/// Counts bad frames among all, over a window that forgets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Damage {
    good: u64,
    bad: u64,
    /// All that was good, and all that was missing, without forgetting.
    heard: u64,
    missing: u64,
    /// Something was decoded, so that the decoder can do what the run asks of it. Outlives a seek.
    decodes: bool,
}

impl Damage {
    /// Over how much audio the share is taken.
    pub(crate) const WINDOW_SECONDS: u64 = 10;
    /// The longest hole that becomes silence, in seconds.
    pub(crate) const LONGEST_GAP: u64 = 10;
    /// Segments of a title overlap by no more seconds than this. What goes back further is another clock.
    pub(crate) const MOST_TWICE: u64 = 1;

    pub(crate) fn good(&mut self, frames: u64) {
        self.good += frames;
        self.heard += frames;
        self.decodes = true;
    }

    /// Whether anything was good so far.
    pub(crate) fn decodes(&self) -> bool {
        self.decodes
    }

    /// Elsewhere in the run all begins anew.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            decodes: self.decodes,
            ..Self::default()
        };
    }

    /// Whether this makes more than a tenth of a window bad.
    pub(crate) fn bad(&mut self, frames: u64, window: u64) -> bool {
        while self.good + self.bad >= window {
            // Forgets by halves: cheaper than a history, and never forgets a burst within half a window.
            self.good /= 2;
            self.bad /= 2;
        }
        self.bad += frames;
        self.bad * 10 > window
    }

    /// Whether a gap in the times of a container, which may be meant, is too long, or too much of all is gaps: a wrong
    /// clock puts one between any two packets.
    pub(crate) fn gap(&mut self, frames: u64, rate: u64) -> bool {
        let longest = Self::LONGEST_GAP * rate;
        self.missing = self.missing.saturating_add(frames);
        frames > longest || self.missing > longest.saturating_add(self.heard / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 44_100;
    const WINDOW: u64 = Damage::WINDOW_SECONDS * RATE;

    #[test]
    fn a_tenth_of_ten_seconds_may_be_bad_and_not_a_frame_more() {
        let mut damage = Damage::default();
        assert!(!damage.bad(RATE, WINDOW), "one second at once");
        assert!(damage.bad(1, WINDOW), "and a frame");

        let mut damage = Damage::default();
        for packet in 0..WINDOW / 1000 {
            damage.good(900);
            assert!(!damage.bad(100, WINDOW), "a tenth of packet {packet}");
        }
        for packet in 0.. {
            damage.good(800);
            if damage.bad(200, WINDOW) {
                assert!(packet < 441, "a fifth of {packet} packets");
                break;
            }
        }
    }

    #[test]
    fn a_tenth_may_be_bad_for_ever() {
        let mut damage = Damage::default();
        for _ in 0..100 * WINDOW / 1000 {
            damage.good(950);
            assert!(!damage.bad(50, WINDOW));
        }
    }

    #[test]
    fn an_hour_of_good_audio_buys_no_second_of_noise() {
        let mut damage = Damage::default();
        for _ in 0..3600 {
            damage.good(RATE);
        }
        // A burst of packets of 1024 frames.
        let packets = (1..).find(|_| damage.bad(1024, WINDOW)).expect("an end");
        assert_eq!(packets, RATE / 1024 + 1);
    }

    #[test]
    fn what_was_bad_long_ago_is_forgotten() {
        let mut damage = Damage::default();
        for _ in 0..60 {
            assert!(
                !damage.bad(RATE * 9 / 10, WINDOW),
                "nine tenths of a second"
            );
            // Each half of the memory goes with what makes a window full.
            for _ in 0..8 {
                damage.good(WINDOW);
                assert!(!damage.bad(0, WINDOW));
            }
        }
    }

    #[test]
    fn gaps_may_be_long_but_not_all_there_is() {
        let longest = 10 * RATE;
        let mut damage = Damage::default();
        assert!(!damage.gap(longest, RATE));
        assert!(damage.gap(1, RATE), "nothing was heard since");
        assert!(Damage::default().gap(longest + 1, RATE));
        // One gap of eight seconds in each twenty.
        let mut damage = Damage::default();
        for _ in 0..100 {
            assert!(!damage.gap(8 * RATE, RATE));
            damage.good(20 * RATE);
        }
        // A clock that runs at half the speed.
        let mut damage = Damage::default();
        let packets = (0..).find(|_| {
            damage.good(1024);
            damage.gap(1024, RATE)
        });
        assert!(packets.is_some_and(|packets| packets <= 2 * longest / 1024));
    }
}
