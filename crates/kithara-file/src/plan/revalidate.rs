//! Whether a file that is stored whole is still the one its server has.

use std::time::Duration;

use kithara_stream::net::{Attempts, NetError, ResponseHead};
use kithara_stream::{Discard, Fetch, Priority, StreamError, Wish};

use super::{FilePlan, RESOURCE};
use crate::FileEvent;
use crate::origin::Origin;

/// Compared where the server tells no version; else one byte brings the headers.
const SAMPLE: u64 = 64;

impl FilePlan {
    /// Asks once, for next to nothing, while the file is read as it was stored. No answer is no reason to do anything.
    pub(super) fn revalidate(&mut self, _now: Duration) {
        let nameless = self
            .origin
            .as_ref()
            .is_some_and(|origin| !origin.has_version());
        let range = 0..if nameless { SAMPLE.min(self.end()) } else { 1 };
        let id = self.next_fetch();
        self.probe = Some(id);
        self.wishes.push_back(Wish::Fetch(Fetch {
            id,
            resource: RESOURCE,
            url: self.url.clone(),
            credit: range.end,
            overlap: range.end,
            range,
            if_range: None,
            attempts: Attempts {
                until: 1,
                ..Attempts::default()
            },
            priority: Priority::Foreground,
        }));
    }

    pub(super) fn heard_probe(&mut self, head: &ResponseHead) {
        let change = self.origin.as_ref().and_then(|origin| origin.change(head));
        if let Some(what) = change {
            self.drop_probe();
            return self.found_stale(what);
        }
        let told = Origin::new(head);
        if told.has_version() {
            self.drop_probe();
            return self.found_fresh();
        }
        // Its bytes will tell, unless the whole file is coming.
        if head.start > 0 || head.end.is_none_or(|end| end > SAMPLE) {
            self.drop_probe();
            if told.total.is_some() {
                self.found_fresh();
            }
        }
    }

    pub(super) fn heard_no_probe(&mut self, error: &StreamError) {
        let net = match error {
            StreamError::ContentChanged { what, .. } => return self.found_stale(what.clone()),
            StreamError::Net(net) => net.root(),
            _ => return,
        };
        if let NetError::RangeNotSatisfiable { total: Some(0), .. } = net {
            self.found_stale("its length, now 0 bytes".into());
        }
    }

    fn drop_probe(&mut self) {
        if let Some(probe) = self.probe.take() {
            self.wishes.push_back(Wish::Abort(probe));
        }
    }

    pub(super) fn found_fresh(&mut self) {
        self.event(FileEvent::Fresh);
        self.wishes
            .push_back(Wish::Validated { resource: RESOURCE });
    }

    /// The next open fetches the new file; this one is played to its end.
    fn found_stale(&mut self, what: String) {
        self.event(FileEvent::Stale { what });
        self.wishes.push_back(Wish::Discard {
            resource: RESOURCE,
            when: Discard::AtClose,
        });
    }
}
