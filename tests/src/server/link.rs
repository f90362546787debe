//! A link that all answers share, as wide as the test says at the moment.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What answers go through one after another: together they are no faster than the link. Clones are the same link.
#[derive(Clone, Debug)]
pub struct Link {
    // Shared by the test, which changes the rate, and the server's thread; each holds it for an instant.
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    bytes_per_second: u64,
    /// When what was let in last has gone through.
    free: Option<Instant>,
}

impl Link {
    /// A link of this rate, in real time.
    ///
    /// # Panics
    /// If the rate is 0.
    pub fn new(bytes_per_second: u64) -> Self {
        assert!(bytes_per_second > 0, "a rate of 0 is a stall");
        let free = None;
        Self {
            state: Arc::new(Mutex::new(State {
                bytes_per_second,
                free,
            })),
        }
    }

    /// Changes the rate of everything that is not on its way yet.
    ///
    /// # Panics
    /// If the rate is 0.
    pub fn set_rate(&self, bytes_per_second: u64) {
        assert!(bytes_per_second > 0, "a rate of 0 is a stall");
        self.state.lock().bytes_per_second = bytes_per_second;
    }

    /// The server's side: lets so many bytes in, and tells when they have gone through.
    pub(crate) fn pass(&self, bytes: usize) -> Instant {
        let mut state = self.state.lock();
        let now = Instant::now();
        let begin = state.free.map_or(now, |free| free.max(now));
        let time = Duration::from_secs_f64(bytes as f64 / state.bytes_per_second as f64);
        *state.free.insert(begin + time)
    }

    /// How much is let in at once: a hundredth of a second's worth.
    pub(crate) fn piece(&self) -> u64 {
        (self.state.lock().bytes_per_second / 100).max(1)
    }
}
