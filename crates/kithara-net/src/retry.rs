//! Whether to try again, and when: a decision without clock, randomness or socket.

use std::time::Duration;

use crate::error::NetError;
use crate::request::Attempts;

/// How often, and how patiently, something that failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The back-off before the first retry, at most: 250 ms. It doubles with each.
    pub base: Duration,
    /// The most it grows to: 8 s.
    pub max: Duration,
    /// Retries without a new byte in between, over all requests that share their [`Attempts`]: 6.
    pub retries: u32,
    /// How long after the first failure the last retry is made at the earliest: 15 s, so that a link that is away for
    /// ten seconds is survived however the chances fall.
    pub span: Duration,
    /// Time without a new byte, from the first failure on: 60 s.
    pub budget: Duration,
    /// The longest `Retry-After` that is honoured: 60 s. A longer one counts as none.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(250),
            max: Duration::from_secs(8),
            retries: 6,
            span: Duration::from_secs(15),
            budget: Duration::from_secs(60),
            max_retry_after: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Never tries again.
    pub fn none() -> Self {
        Self {
            retries: 0,
            ..Self::default()
        }
    }
}

/// Over how long those are spread who wait for the same moment.
const MAX_SPREAD: Duration = Duration::from_secs(2);

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this long.
    After(Duration),
    /// The failure is final by its kind.
    Fatal,
    /// It might have passed, but the retries or the time are used up.
    Exhausted,
}

/// The failures of one request or body since its last progress.
///
/// Time is any duration since a fixed origin; `unit` is a fresh random number in `0.0..1.0`.
#[derive(Clone, Debug)]
pub struct Retry {
    policy: RetryPolicy,
    failures: u32,
    until: u32,
    waited: Duration,
    first_failure: Option<Duration>,
    wrong_ranges: u32,
}

impl Retry {
    /// Nothing has failed yet.
    pub fn new(policy: RetryPolicy) -> Self {
        let attempts = Attempts::default();
        Self {
            policy,
            failures: attempts.spent,
            until: attempts.until,
            waited: attempts.waited,
            first_failure: None,
            wrong_ranges: 0,
        }
    }

    /// Counts on from what was spent before, and gives up where `attempts` says so.
    pub fn with_attempts(mut self, attempts: Attempts) -> Self {
        self.failures = attempts.spent;
        self.until = attempts.until;
        self.waited = attempts.waited;
        self
    }

    /// New bytes arrived: the count and the budget start over. A server that answers wrong ranges is not forgiven.
    pub fn handle_progress(&mut self) {
        self.failures = 0;
        self.waited = Duration::ZERO;
        self.first_failure = None;
    }

    /// Something failed at `now`.
    pub fn handle_failure(&mut self, now: Duration, error: &NetError, unit: f64) -> Decision {
        if !error.is_retryable() {
            return Decision::Fatal;
        }
        if matches!(error, NetError::WrongRange { .. }) {
            self.wrong_ranges += 1;
            if self.wrong_ranges > 1 {
                return Decision::Fatal;
            }
        }
        self.failures += 1;
        if self.failures > self.policy.retries || self.failures >= self.until {
            return Decision::Exhausted;
        }
        let unit = if unit.is_finite() {
            unit.clamp(0.0, 1.0)
        } else {
            1.0
        };
        let since = *self.first_failure.get_or_insert(now);
        let failing = now.saturating_sub(since) + self.waited;
        let left = self.policy.budget.saturating_sub(failing);
        if left.is_zero() {
            return Decision::Exhausted;
        }
        match error
            .retry_after()
            .filter(|wait| !wait.is_zero() && *wait <= self.policy.max_retry_after)
        {
            // Coming back before the time the server named would only be refused again.
            Some(wait) if wait > left => Decision::Exhausted,
            Some(wait) => Decision::After(self.spread(wait, unit).min(left)),
            None if self.failures == self.policy.retries => {
                let rest = self.policy.span.saturating_sub(failing);
                let last = rest + MAX_SPREAD.mul_f64(unit);
                Decision::After(self.back_off(unit).max(last).min(left))
            }
            None => Decision::After(self.back_off(unit).min(left)),
        }
    }

    /// Failures since the last progress.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Full jitter: anything from nothing to the doubled base, so that many clients do not come back together.
    fn back_off(&self, unit: f64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(31);
        let ceiling = self
            .policy
            .base
            .saturating_mul(1 << doublings)
            .min(self.policy.max);
        ceiling.mul_f64(unit)
    }

    /// Everyone who was told the same second comes back over the two seconds after it.
    fn spread(&self, wait: Duration, unit: f64) -> Duration {
        wait + (wait / 4).min(MAX_SPREAD).mul_f64(unit)
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::error::{Cause, TimeoutPhase};
    use crate::policy::PolicyRule;
    use crate::redact::RedactedUrl;

    fn url() -> RedactedUrl {
        RedactedUrl::new(&Url::parse("http://h.example/").unwrap())
    }

    fn cause() -> Cause {
        "x".into()
    }

    fn busy(retry_after: Option<u64>) -> NetError {
        let retry_after = retry_after.map(Duration::from_secs);
        NetError::Http {
            url: url(),
            status: 503,
            retry_after,
        }
    }

    fn seconds(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    #[test]
    fn what_was_spent_before_counts_and_what_is_kept_for_later_is_not_spent() {
        let failures_until_the_end = |policy, spent, until| {
            let mut retry = Retry::new(policy).with_attempts(Attempts {
                spent,
                until,
                ..Attempts::default()
            });
            let mut count = 1;
            while retry.handle_failure(Duration::ZERO, &busy(None), 0.5) != Decision::Exhausted {
                count += 1;
            }
            count
        };
        for (spent, until, expected) in [
            (0, u32::MAX, 7),
            (0, 3, 3),
            (2, 3, 1),
            (3, u32::MAX, 4),
            // The request itself is always made.
            (3, 3, 1),
            (9, u32::MAX, 1),
        ] {
            let policy = RetryPolicy::default();
            let count = failures_until_the_end(policy, spent, until);
            assert_eq!(count, expected, "{spent} {until}");
        }
        assert_eq!(failures_until_the_end(RetryPolicy::none(), 0, 3), 1);

        // Bytes start the count over, not the limit.
        let attempts = Attempts {
            spent: 2,
            until: 3,
            ..Attempts::default()
        };
        let mut retry = Retry::new(RetryPolicy::default()).with_attempts(attempts);
        retry.handle_progress();
        for _ in 0..2 {
            let decision = retry.handle_failure(Duration::ZERO, &busy(None), 0.5);
            assert!(matches!(decision, Decision::After(_)), "{decision:?}");
        }
        let decision = retry.handle_failure(Duration::ZERO, &busy(None), 0.5);
        assert_eq!(decision, Decision::Exhausted);
    }

    #[test]
    fn each_failure_is_retried_or_not_by_its_kind() {
        let status = |status| NetError::Http {
            url: url(),
            status,
            retry_after: None,
        };
        let yes = [
            NetError::Dns {
                url: url(),
                source: cause(),
            },
            NetError::Connect {
                url: url(),
                source: cause(),
            },
            NetError::Broken {
                url: url(),
                source: cause(),
            },
            NetError::Timeout {
                url: url(),
                phase: TimeoutPhase::Connect,
            },
            NetError::Timeout {
                url: url(),
                phase: TimeoutPhase::FirstByte,
            },
            NetError::Timeout {
                url: url(),
                phase: TimeoutPhase::Stall,
            },
            NetError::Truncated {
                url: url(),
                expected: 2,
                got: 1,
            },
            NetError::WrongRange {
                url: url(),
                what: "x",
            },
        ];
        let no = [
            NetError::Tls {
                url: url(),
                source: cause(),
            },
            NetError::Expired {
                url: url(),
                status: 403,
            },
            NetError::RangeNotSatisfiable {
                url: url(),
                total: None,
            },
            NetError::RangeUnsupported {
                url: url(),
                offset: 1,
            },
            NetError::ContentChanged {
                url: url(),
                what: "x",
            },
            NetError::WrongContent {
                url: url(),
                what: "x",
            },
            NetError::TooLarge {
                url: url(),
                limit: 1,
            },
            NetError::Policy {
                url: url(),
                rule: PolicyRule::Scheme,
            },
            NetError::Headers {
                url: url(),
                what: "x",
            },
            NetError::Unsupported {
                url: url(),
                what: "x",
            },
            NetError::BodyFailed,
            NetError::Client(cause()),
        ];
        let retried = |error: &NetError| {
            let decision =
                Retry::new(RetryPolicy::default()).handle_failure(Duration::ZERO, error, 0.5);
            assert_eq!(decision == Decision::Fatal, !error.is_retryable());
            error.is_retryable()
        };
        assert!(yes.iter().all(retried));
        assert!(!no.iter().any(retried));
        for code in 100..1000 {
            let expected = matches!(code, 407 | 408 | 425 | 429 | 500..=599);
            assert_eq!(retried(&status(code)), expected, "{code}");
        }
    }

    #[test]
    fn the_back_off_doubles_and_the_last_retry_outlasts_a_short_outage() {
        for (unit, expected) in [
            (0.0, [0.0, 0.0, 0.0, 0.0, 0.0, 15.0]),
            (0.5, [0.125, 0.25, 0.5, 1.0, 2.0, 16.0]),
            (1.0, [0.25, 0.5, 1.0, 2.0, 4.0, 17.0]),
        ] {
            let mut retry = Retry::new(RetryPolicy::default());
            for wait in expected {
                let decision = retry.handle_failure(Duration::ZERO, &busy(None), unit);
                assert_eq!(decision, Decision::After(seconds(wait)));
            }
            assert_eq!(
                retry.handle_failure(Duration::ZERO, &busy(None), unit),
                Decision::Exhausted
            );
            assert_eq!(retry.failures(), 7);
        }
    }

    #[test]
    fn a_retry_after_is_honoured_up_to_a_minute() {
        let own = Decision::After(seconds(0.125));
        for (asked, expected) in [
            (Some(1), Decision::After(seconds(1.125))),
            (Some(4), Decision::After(seconds(4.5))),
            (Some(40), Decision::After(seconds(41.0))),
            (Some(60), Decision::After(seconds(60.0))),
            (Some(61), own),
            (Some(315_360_000), own),
            (Some(u64::MAX), own),
            (Some(0), own),
            (None, own),
        ] {
            let mut retry = Retry::new(RetryPolicy::default());
            assert_eq!(
                retry.handle_failure(Duration::ZERO, &busy(asked), 0.5),
                expected,
                "{asked:?}"
            );
        }
    }

    #[test]
    fn the_budget_counts_from_the_first_failure_since_progress() {
        let mut retry = Retry::new(RetryPolicy::default());
        let after = |decision| matches!(decision, Decision::After(_));
        assert!(after(retry.handle_failure(
            seconds(100.0),
            &busy(None),
            1.0
        )));
        let nearly = retry.handle_failure(seconds(159.9), &busy(None), 1.0);
        assert!(
            matches!(nearly, Decision::After(wait) if wait <= seconds(0.1001)),
            "{nearly:?}"
        );
        assert_eq!(
            retry.handle_failure(seconds(160.0), &busy(None), 1.0),
            Decision::Exhausted
        );
        retry.handle_progress();
        assert!(after(retry.handle_failure(
            seconds(1000.0),
            &busy(None),
            1.0
        )));
        // A wait that would end after the budget is not begun.
        assert_eq!(
            retry.handle_failure(seconds(1030.0), &busy(Some(31)), 0.0),
            Decision::Exhausted
        );
    }

    #[test]
    fn what_was_waited_through_before_counts_until_a_byte_comes() {
        let waited = seconds(21.0);
        let attempts = Attempts {
            spent: 2,
            waited,
            ..Attempts::default()
        };
        let mut retry = Retry::new(RetryPolicy::default()).with_attempts(attempts);
        let first = retry.handle_failure(seconds(100.0), &busy(None), 1.0);
        assert!(matches!(first, Decision::After(_)), "{first:?}");
        let late = seconds(139.0);
        assert_eq!(
            retry.handle_failure(late, &busy(None), 1.0),
            Decision::Exhausted
        );
        retry.handle_progress();
        let anew = retry.handle_failure(late, &busy(None), 1.0);
        assert!(matches!(anew, Decision::After(_)), "{anew:?}");
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        let mut retry = Retry::new(RetryPolicy::default());
        retry.handle_failure(seconds(100.0), &busy(None), 1.0);
        let decision = retry.handle_failure(seconds(1.0), &busy(None), f64::NAN);
        assert!(matches!(decision, Decision::After(_)), "{decision:?}");
    }

    #[test]
    fn a_wrong_range_is_forgiven_once() {
        let wrong = NetError::WrongRange {
            url: url(),
            what: "x",
        };
        let mut retry = Retry::new(RetryPolicy::default());
        assert!(matches!(
            retry.handle_failure(Duration::ZERO, &wrong, 0.5),
            Decision::After(_)
        ));
        retry.handle_progress();
        assert_eq!(
            retry.handle_failure(Duration::ZERO, &wrong, 0.5),
            Decision::Fatal
        );
    }

    #[test]
    fn a_thousand_clients_do_not_come_back_together() {
        // A low-discrepancy sequence stands for chance.
        let units =
            || (0..1000u32).map(|number| (f64::from(number) * 0.618_033_988_749_895).fract());
        for (failures, error) in [(4, busy(None)), (1, busy(Some(8)))] {
            let mut slots = std::collections::HashMap::new();
            for unit in units() {
                let mut retry = Retry::new(RetryPolicy::default());
                let decisions =
                    (0..failures).map(|_| retry.handle_failure(Duration::ZERO, &error, unit));
                let Some(Decision::After(wait)) = decisions.last() else {
                    panic!("no wait")
                };
                *slots.entry(wait.as_millis() / 10).or_insert(0) += 1;
            }
            // Two seconds hold 200 slots of 10 ms: five clients each.
            assert!(slots.values().all(|count| *count <= 8), "{slots:?}");
        }
    }
}
