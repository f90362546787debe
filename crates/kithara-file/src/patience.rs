//! How often a server that brings nothing is asked: one count over all requests of a file since its last byte.

use std::time::Duration;

use kithara_stream::net::{Attempts, NetError};

/// How many failures in front of a reader who has something to read are tried again at once, and how many in all. The
/// rest of what the retry policy allows is kept for the moment the reader runs dry: by then the link may be back.
const AT_ONCE: u32 = 2;
const AHEAD: u32 = 3;
/// How many failures are the end where the network layer, which counts bytes that came before, does not notice it.
const ALL: u32 = 7;
/// How long to rest after a first failure that the network layer does not notice; twice that after the next, and so on.
const FIRST_REST: Duration = Duration::from_millis(500);
/// The longest `Retry-After` that is honoured.
const MAX_REST: Duration = Duration::from_secs(60);

/// The failures of one file since its last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patience {
    spent: u32,
    rest_until: Option<Duration>,
    /// Since when the reader waits without a byte coming.
    waiting_since: Option<Duration>,
    /// Since when others were waited for who brought nothing.
    others_since: Option<Duration>,
}

impl Patience {
    /// A byte came, or the listener asks anew: everything is allowed again.
    pub(crate) fn restart(&mut self, now: Duration) {
        *self = Self {
            waiting_since: self.waiting_since.map(|_| now),
            ..Self::default()
        };
    }

    /// The reader waits, or has something to read.
    pub(crate) fn handle_demand(&mut self, now: Duration, waits: bool) {
        self.waiting_since = waits.then(|| self.waiting_since.unwrap_or(now));
    }

    /// What is needed is left to others. If they give up, all that time was spent on it.
    pub(crate) fn handle_others(&mut self, now: Duration) {
        self.others_since.get_or_insert(now);
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

    /// Nothing is asked before then.
    pub(crate) fn rest(&mut self, until: Duration) {
        self.rest_until = self.rest_until.max(Some(until));
    }

    /// Rests for longer the more has failed; how long.
    pub(crate) fn back_off(&mut self, now: Duration) -> Duration {
        let delay = FIRST_REST * (1 << self.spent.saturating_sub(1).min(5));
        self.rest(now + delay);
        delay
    }

    /// Whether nothing is to be tried any more, not even for the reader.
    pub(crate) fn is_over(&self) -> bool {
        self.spent >= ALL
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
    pub(crate) fn for_reader(&self, now: Duration) -> Attempts {
        let failing = self.waiting_since.filter(|_| self.spent > 0);
        let since = self.others_since.into_iter().chain(failing).min();
        Attempts {
            spent: self.spent,
            until: u32::MAX,
            waited: since.map_or(Duration::ZERO, |since| now.saturating_sub(since)),
        }
    }

    /// What a request in front of the reader may spend; `None` if that is used up.
    pub(crate) fn for_look_ahead(&self) -> Option<Attempts> {
        let until = if self.spent < AT_ONCE { AT_ONCE } else { AHEAD };
        (self.spent < AHEAD).then_some(Attempts {
            spent: self.spent,
            until,
            waited: Duration::ZERO,
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
            let for_reader = patience.for_reader(Duration::from_secs(5));
            let expected = Attempts {
                spent,
                ..Attempts::default()
            };
            assert_eq!(for_reader, expected);
            patience.handle_retry();
        }
        patience.restart(Duration::from_secs(5));
        assert_eq!(patience, Patience::default());
    }

    #[test]
    fn what_the_reader_has_waited_through_failures_of_look_ahead_counts() {
        let at = Duration::from_secs;
        let mut patience = Patience::default();
        patience.handle_demand(at(10), true);
        patience.handle_demand(at(12), true);
        assert_eq!(
            patience.for_reader(at(20)).waited,
            Duration::ZERO,
            "nothing failed"
        );
        patience.handle_retry();
        assert_eq!(patience.for_reader(at(31)).waited, at(21));
        patience.restart(at(40));
        patience.handle_retry();
        assert_eq!(
            patience.for_reader(at(43)).waited,
            at(3),
            "a byte came at 40"
        );
        patience.handle_demand(at(44), false);
        assert_eq!(patience.for_reader(at(50)).waited, Duration::ZERO);
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
