//! What a listener and a program can say about the choice.

use std::time::Duration;

/// Who chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbrMode {
    /// The rule. It begins with the variant of that index, or, with `None`, with what
    /// [`AbrOptions::initial_bps`] can carry.
    Auto(Option<usize>),
    /// The listener: this variant and no other, whatever the network does. One that does not exist leaves it to the rule.
    Manual(usize),
    /// The rule, among the variants of at most so many bits per second; the lowest of all if none is that low.
    Capped(u64),
}

impl Default for AbrMode {
    fn default() -> Self {
        Self::Auto(None)
    }
}

/// The numbers of the rule. The defaults suit audio.
#[derive(Clone, Debug, PartialEq)]
pub struct AbrOptions {
    /// Who chooses.
    pub mode: AbrMode,
    /// What the network is taken to carry before anything was fetched. 500 kbit/s.
    pub initial_bps: u64,
    /// A variant is moved up to when the throughput is at least so many times what it takes. 1.5.
    pub up_switch_ratio: f64,
    /// A variant is left when the throughput is less than so many times what it takes, however much is buffered. 0.8.
    pub down_switch_ratio: f64,
    /// As [`down_switch_ratio`](Self::down_switch_ratio), when the buffer is low. 1.1.
    pub low_buffer_ratio: f64,
    /// Nothing is moved up to with less than this buffered. 10 s.
    pub min_buffer_for_up_switch: Duration,
    /// The buffer is low at this or less. 5 s.
    pub low_buffer: Duration,
    /// From any switch to the next one up. 30 s. A switch down never waits.
    pub min_switch_interval: Duration,
    /// How long a variant that failed is left alone. 60 s.
    pub exclusion: Duration,
    /// A segment is given up no sooner than this after it was asked for. 1 s.
    pub min_time_before_abandon: Duration,
}

impl Default for AbrOptions {
    fn default() -> Self {
        Self {
            mode: AbrMode::default(),
            initial_bps: 500_000,
            up_switch_ratio: 1.5,
            down_switch_ratio: 0.8,
            low_buffer_ratio: 1.1,
            min_buffer_for_up_switch: Duration::from_secs(10),
            low_buffer: Duration::from_secs(5),
            min_switch_interval: Duration::from_secs(30),
            exclusion: Duration::from_secs(60),
            min_time_before_abandon: Duration::from_secs(1),
        }
    }
}
