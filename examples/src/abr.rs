//! How variants are chosen where nobody listens.

use std::time::Duration;

use kithara::AbrOptions;

/// For a reader that takes whatever comes as soon as it comes: there is never much in front of it, and it is through with a
/// piece in seconds. So a better variant waits neither for a buffer nor for half a minute. It begins low, to have where to go.
pub fn eager() -> AbrOptions {
    AbrOptions {
        initial_bps: 120_000,
        min_buffer_for_up_switch: Duration::ZERO,
        min_switch_interval: Duration::from_millis(300),
        ..AbrOptions::default()
    }
}
