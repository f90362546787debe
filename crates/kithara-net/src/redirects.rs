//! How many redirects the requests of one resource follow together.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After this long, one redirect that was followed no longer counts: a title that plays for hours is looked up again
/// whenever its link was down or its signature expired.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// The redirects that the requests of one resource have followed, from its opening on: put on each of them.
///
/// Clones count together. How many are allowed is [`NetOptions::max_redirects_per_open`]; each minute takes one off the
/// count, so that only redirects that keep coming end a title, and never its age. The segments of a stream are a resource each: many a
/// server redirects every one of them, to wherever it is to be had.
///
/// [`NetOptions::max_redirects_per_open`]: crate::NetOptions::max_redirects_per_open
#[derive(Clone, Default)]
pub struct Redirects {
    /// Requests of one title run at the same time on whatever tasks; held for an addition.
    count: Arc<Mutex<Count>>,
}

#[derive(Debug, Default)]
struct Count {
    followed: u32,
    since: Option<Instant>,
}

impl Redirects {
    /// None was followed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one redirect, or says that `limit` of them were followed already.
    pub(crate) fn follow(&self, limit: u32, now: Instant) -> bool {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.follow(limit, now)
    }
}

impl Count {
    fn follow(&mut self, limit: u32, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let minutes = now.saturating_duration_since(since).as_secs() / FORGOTTEN_AFTER.as_secs();
        let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
        self.followed = self.followed.saturating_sub(minutes);
        self.since = since.checked_add(FORGOTTEN_AFTER.saturating_mul(minutes));
        let allowed = self.followed < limit;
        self.followed += u32::from(allowed);
        allowed
    }
}

impl fmt::Debug for Redirects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redirects(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_over_all_clones_and_a_minute_gives_one_back() {
        let start = Instant::now();
        let redirects = Redirects::new();
        for _ in 0..20 {
            assert!(redirects.clone().follow(20, start));
        }
        assert!(!redirects.follow(20, start));
        assert!(!redirects.follow(20, start + FORGOTTEN_AFTER - Duration::from_millis(1)));
        assert!(redirects.follow(20, start + FORGOTTEN_AFTER));
        assert!(!redirects.follow(20, start + FORGOTTEN_AFTER + Duration::from_secs(59)));
        assert!(redirects.follow(20, start + 2 * FORGOTTEN_AFTER));
    }

    #[test]
    fn a_title_that_is_redirected_now_and_then_plays_for_days() {
        let start = Instant::now();
        let redirects = Redirects::new();
        for hour in 0..100 {
            for _ in 0..20 {
                assert!(redirects.follow(20, start + Duration::from_secs(3600 * hour)));
            }
        }
    }
}
