//! How much of the audio could not be decoded lately.

/// Counts bad frames among all, over a window that forgets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Damage {
    good: u64,
    bad: u64,
}

impl Damage {
    /// Over how much audio the share is taken.
    pub(crate) const WINDOW_SECONDS: u64 = 10;
    /// The longest hole that becomes silence, in seconds.
    pub(crate) const LONGEST_GAP: u64 = 10;

    pub(crate) fn good(&mut self, frames: u64) {
        self.good += frames;
    }

    /// Whether this makes more than a tenth of a window bad.
    pub(crate) fn bad(&mut self, frames: u64, window: u64) -> bool {
        if self.good + self.bad >= window {
            // Forgets by halves: cheaper than a history, and never forgets a burst within half a window.
            self.good /= 2;
            self.bad /= 2;
        }
        self.bad += frames;
        self.bad * 10 > window
    }
}
