//! How often a server that brings nothing is asked: one count over all requests of a file since its last byte.

use std::time::Duration;

use kithara_stream::net::{Attempts, NetError};

/// How many failures in front of a reader who has something to read are tried again at once, and how many in all. The
/// rest of what the retry policy allows is kept for the moment the reader runs dry: by then the link may be back.
const AT_ONCE: u32 = 2;
const AHEAD: u32 = 3;
/// The longest `Retry-After` that is honoured.
const MAX_REST: Duration = Duration::from_secs(60);

/// The failures of one file since its last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patience {
    spent: u32,
    rest_until: Option<Duration>,
}

impl Patience {
    /// A byte came, or the listener asks anew: everything is allowed again.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    /// A request failed that the network layer tries again by itself.
    pub(crate) fn handle_retry(&mut self) {
        self.spent += 1;
    }

    /// A request failed that the network layer does not try again: nothing is asked before the server wants it to be.
    pub(crate) fn handle_failure(&mut self, now: Duration, error: &NetError) {
        self.spent += 1;
        let wait = error.root().retry_after();
        let wait = wait.filter(|wait| !wait.is_zero() && *wait <= MAX_REST);
        self.rest_until = wait.map(|wait| now + wait);
    }

    /// Failures since the last byte.
    pub(crate) fn spent(&self) -> u32 {
        self.spent
    }

    /// Time passed: a rest that is over is forgotten.
    pub(crate) fn handle_tick(&mut self, now: Duration) {
        self.rest_until = self.rest_until.filter(|until| now < *until);
    }

    /// What a request may spend that the reader is blocked on: all that the policy has left.
    pub(crate) fn for_reader(&self) -> Attempts {
        Attempts {
            spent: self.spent,
            until: u32::MAX,
        }
    }

    /// What a request in front of the reader may spend; `None` if that is used up.
    pub(crate) fn for_look_ahead(&self) -> Option<Attempts> {
        let until = if self.spent < AT_ONCE { AT_ONCE } else { AHEAD };
        (self.spent < AHEAD).then_some(Attempts {
            spent: self.spent,
            until,
        })
    }

    /// Until when the server wants to be left alone.
    pub(crate) fn rest_until(&self) -> Option<Duration> {
        self.rest_until
    }
}

#[cfg(test)]
mod tests {
    use kithara_stream::net::{RedactedUrl, Url};

    use super::*;

    fn busy(seconds: u64) -> NetError {
        NetError::Http {
            url: RedactedUrl::new(&Url::parse("http://h.test/").expect("a URL")),
            status: 503,
            retry_after: Some(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn look_ahead_tries_twice_then_once_and_the_reader_has_the_rest() {
        let mut patience = Patience::default();
        for (spent, look_ahead) in [
            (0, Some(2)),
            (1, Some(2)),
            (2, Some(3)),
            (3, None),
            (4, None),
        ] {
            let until = patience.for_look_ahead().map(|attempts| attempts.until);
            assert_eq!(until, look_ahead, "{spent}");
            let until = u32::MAX;
            assert_eq!(patience.for_reader(), Attempts { spent, until });
            patience.handle_retry();
        }
        patience.restart();
        assert_eq!(patience, Patience::default());
    }

    #[test]
    fn a_server_is_left_alone_as_long_as_it_asks_within_reason() {
        let now = Duration::from_secs(100);
        for (seconds, rest) in [(0, None), (1, Some(101)), (60, Some(160)), (61, None)] {
            let mut patience = Patience::default();
            patience.handle_failure(now, &busy(seconds));
            let rest = rest.map(Duration::from_secs);
            assert_eq!(patience.rest_until(), rest, "{seconds}");
        }
    }
}
