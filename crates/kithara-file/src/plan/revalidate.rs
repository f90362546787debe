//! Whether a file that is stored whole is still the one its server has.

use std::ops::Range;
use std::time::Duration;

use kithara_stream::net::{Attempts, NetError, ResponseHead};
use kithara_stream::{Fetch, StreamError, Terms, Wish};

use super::{FilePlan, State};
use crate::FileEvent;
use crate::origin::Origin;

/// Compared where the server tells no version; else its headers are enough.
const SAMPLE: u64 = 64;
/// How long a listener waits for a server that may have a newer version, before the stored one is played.
const DOUBT: Duration = Duration::from_secs(2);

impl FilePlan {
    /// Asks once, for next to nothing. No answer is no reason to do anything.
    pub(super) fn revalidate(&mut self) {
        let range = self.sample();
        let id = self.next_fetch();
        self.probe = Some(id);
        self.wishes.push_back(Wish::Fetch(Fetch {
            id,
            resource: self.resource,
            url: self.url.clone(),
            credit: range.end,
            overlap: range.end,
            range,
            if_range: None,
            attempts: Attempts {
                until: 1,
                ..Attempts::default()
            },
            terms: Terms::default(),
            priority: self.priority(),
        }));
    }

    fn sample(&self) -> Range<u64> {
        0..SAMPLE.min(self.end())
    }

    pub(super) fn heard_probe(&mut self, now: Duration, head: &ResponseHead) {
        let change = self.origin.as_ref().and_then(|origin| origin.change(head));
        if let Some(what) = change {
            self.drop_probe();
            return self.found_stale(what);
        }
        // Else the bytes will tell.
        if Origin::new(head).has_version() {
            self.drop_probe();
            self.found_fresh(now);
        }
    }

    pub(super) fn heard_no_probe(&mut self, now: Duration, error: &StreamError) {
        let net = match error {
            StreamError::ContentChanged { what, .. } => return self.found_stale(what.clone()),
            StreamError::Net(net) => Some(net.root()),
            _ => None,
        };
        if let Some(NetError::RangeNotSatisfiable { total: Some(0), .. }) = net {
            return self.found_stale("its length, now 0 bytes".into());
        }
        self.trust(now);
    }

    fn drop_probe(&mut self) {
        if let Some(probe) = self.probe.take() {
            self.wishes.push_back(Wish::Abort(probe));
        }
    }

    pub(super) fn found_fresh(&mut self, now: Duration) {
        self.event(FileEvent::Fresh);
        let resource = self.resource;
        self.wishes.push_back(Wish::Validated { resource });
        self.trust(now);
    }

    /// Asks before anything is played.
    pub(super) fn doubt(&mut self, now: Duration) {
        self.state = State::Doubtful { until: now + DOUBT };
        self.revalidate();
    }

    /// Sound does not wait for a server that takes its time. The question stays open.
    pub(super) fn end_doubt(&mut self, now: Duration) {
        if matches!(self.state, State::Doubtful { until } if until <= now && self.amount.is_none())
        {
            self.trust(now);
        }
    }

    fn is_doubtful(&self) -> bool {
        matches!(self.state, State::Doubtful { .. })
    }

    /// What was in doubt is played as it is stored.
    fn trust(&mut self, now: Duration) {
        if self.is_doubtful() {
            self.publish();
            self.begin_stored(false);
            self.schedule(now);
        }
    }

    /// What is being played is played to its end, and the next open asks first. What is not is not begun any more.
    fn found_stale(&mut self, what: String) {
        if self.is_doubtful() {
            return self.changed(what);
        }
        self.event(FileEvent::Stale { what });
        let resource = self.resource;
        self.wishes.push_back(Wish::Outdated { resource });
    }
}
