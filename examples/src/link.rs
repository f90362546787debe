//! A link that is slower than loopback.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::Mutex;

/// From a request to its answer.
pub const ROUND_TRIP: Duration = Duration::from_millis(10);
/// Sent at a time: what takes a sixteenth of a second.
const PIECES_PER_SECOND: u32 = 16;

/// So many bytes, and at how many in a second they come.
pub type Stretch = (usize, u32);

/// One line that all responses share, piece by piece in turn.
#[derive(Clone, Debug)]
pub struct Link {
    stretches: &'static [Stretch],
    /// What it has carried. Held while a piece is on the line: whoever waits for it is in the queue for the line.
    carried: Arc<Mutex<usize>>,
}

impl Link {
    /// A link that changes with what has gone over it, and not with the time: so every run is alike. Behind the last stretch it
    /// stays as it is there.
    pub fn new(stretches: &'static [Stretch]) -> Self {
        Self {
            stretches,
            carried: Arc::default(),
        }
    }

    /// A body that comes as the link carries it.
    pub fn body(&self, bytes: &'static [u8]) -> Body {
        let link = self.clone();
        let pieces = stream::unfold(bytes, move |rest| {
            let link = link.clone();
            async move {
                if rest.is_empty() {
                    return None;
                }
                let (piece, rest) = rest.split_at(link.carry(rest.len()).await);
                Some((Ok::<_, Infallible>(Bytes::from_static(piece)), rest))
            }
        });
        Body::from_stream(pieces)
    }

    /// How many of so many bytes are over, in their turn.
    async fn carry(&self, left: usize) -> usize {
        let mut carried = self.carried.lock().await;
        let rate = self.rate(*carried);
        let bytes = left.min((rate / PIECES_PER_SECOND) as usize);
        let seconds = bytes as f64 / f64::from(rate);
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        *carried += bytes;
        bytes
    }

    fn rate(&self, carried: usize) -> u32 {
        let mut end = 0;
        let stretch = self.stretches.iter().find(|(bytes, _)| {
            end += bytes;
            carried < end
        });
        let (_, rate) = stretch.or(self.stretches.last()).unwrap_or(&(0, u32::MAX));
        *rate
    }
}
