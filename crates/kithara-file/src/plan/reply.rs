//! What comes back from the network, and what the plan makes of it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_stream::net::{NetError, RangeSupport, RedactedUrl, ResponseHead};
use kithara_stream::{FetchId, RunFacts, StreamError, Wish};

use super::{FilePlan, PROGRESS_STEP, Postponed, Transfer};
use crate::FileEvent;
use crate::origin::Origin;

impl FilePlan {
    /// Others may bring a part of what was wished for.
    pub(super) fn heard_begun(&mut self, fetch: FetchId, range: Range<u64>) {
        if let Some(transfer) = self.transfers.iter_mut().find(|known| known.id == fetch) {
            transfer.coming = range.clone();
            transfer.asked = range;
        }
    }

    pub(super) fn heard_head(&mut self, now: Duration, fetch: FetchId, head: &ResponseHead) {
        if self.probe == Some(fetch) {
            return self.heard_probe(now, head);
        }
        let Some(transfer) = self.transfers.iter_mut().find(|known| known.id == fetch) else {
            return;
        };
        // Under `If-Range` an answer from the front says nothing of ranges, but is none.
        let no_range = head.ranges == RangeSupport::No || head.start < transfer.asked.start;
        transfer.head_at = Some(now);
        transfer.coming = head.start..head.end.unwrap_or(u64::MAX);
        self.pace.round_trip = Some(now.saturating_sub(transfer.since));
        let Some(origin) = &mut self.origin else {
            self.open_as(head);
            return self.schedule(now);
        };
        if let Some(what) = origin.change(head) {
            return self.changed(what);
        }
        let learned = origin.learn(head);
        if learned {
            self.announce_length();
        }
        if learned || !self.heard {
            self.identify(head);
        }
        if no_range {
            self.lose_ranges(fetch);
        }
        self.schedule(now);
    }

    /// The server serves no ranges any more: this response from the front is all there is going to be.
    fn lose_ranges(&mut self, fetch: FetchId) {
        if let Some(origin) = &mut self.origin {
            origin.ranges = false;
        }
        self.abort(|transfer| transfer.id != fetch);
    }

    /// The server's first word on a file of which nothing is known.
    fn open_as(&mut self, head: &ResponseHead) {
        let origin = Origin::new(head);
        self.event(FileEvent::Opened {
            len: origin.total,
            ranges: origin.ranges,
            media_type: origin.media_type.clone(),
        });
        self.origin = Some(origin);
        self.identify(head);
        self.publish();
    }

    /// What is known is enough to read by.
    pub(super) fn publish(&mut self) {
        let Some(origin) = self.origin.as_ref().filter(|_| self.amount.is_none()) else {
            return self.announce_length();
        };
        self.info.media_type.clone_from(&origin.media_type);
        // A finite file without ranges can be waited through or is told to be too far; an endless one is a stream.
        let seekable = origin.ranges || origin.total.is_some();
        let facts = RunFacts::whole(self.resource, self.info.clone(), origin.total, seekable);
        self.announce_length();
        self.wishes.push_back(Wish::Publish(facts));
        self.wishes.push_back(Wish::End);
    }

    fn announce_length(&mut self) {
        if let Some(origin) = &self.origin
            && let Some(len) = origin.total
        {
            self.wishes.push_back(Wish::Length {
                resource: self.resource,
                len,
                proven: !origin.end_unproven,
            });
        }
    }

    pub(super) fn heard_progress(&mut self, now: Duration, fetch: FetchId, stored: &Range<u64>) {
        if self.probe == Some(fetch) {
            return;
        }
        let before = self.coverage.total();
        self.coverage.insert(stored.clone());
        if self.coverage.total() > before {
            self.patience.restart(now);
        }
        if let Some(transfer) = self.transfers.iter_mut().find(|known| known.id == fetch) {
            transfer.coming.start = stored.end;
            transfer.broken = false;
            transfer.brought += stored.end - stored.start;
        }
        self.report_progress(PROGRESS_STEP);
        self.schedule(now);
    }

    pub(super) fn heard_done(&mut self, now: Duration, fetch: FetchId) {
        if self.probe.take_if(|probe| *probe == fetch).is_some() {
            return self.found_fresh(now);
        }
        let Some(transfer) = self.remove(fetch) else {
            return;
        };
        self.measure(now, &transfer);
        self.report_progress(0);
        if transfer.coming.end == u64::MAX {
            self.heard_end(now, &transfer);
        }
        self.schedule(now);
    }

    /// A response of no announced length has ended. If nothing proves that this is the end of the file, it is the end for
    /// whoever hears it now, and nobody is told so who would keep it.
    fn heard_end(&mut self, now: Duration, transfer: &Transfer) {
        let at = transfer.coming.start;
        let stored = self.coverage.end();
        let Some(origin) = &mut self.origin else {
            return;
        };
        match (origin.told_total(), origin.total) {
            (Some(known), _) if at < known && origin.end_proven => {
                return self.changed(format!("its length, from {known} to {at} bytes"));
            }
            (None, _) if origin.end_proven => return self.learn_end(at),
            (_, Some(known)) if at < known => return self.heard_cut(now, transfer, known),
            (_, Some(_)) => return,
            (_, None) => {}
        }
        // What was cut off earlier than the last time has not become shorter.
        let len = at.max(stored);
        origin.total = Some(len);
        origin.end_unproven = true;
        self.announce_length();
        self.event(FileEvent::EndUnproven { len });
    }

    /// A response that told no length ended before the file did. The network layer could not know that it broke, so that
    /// here is where it is asked again after a while, and not for ever.
    fn heard_cut(&mut self, now: Duration, transfer: &Transfer, expected: u64) {
        let cut = NetError::Truncated {
            url: RedactedUrl::new(&self.url),
            expected,
            got: transfer.coming.start,
        };
        self.patience.handle_failure(now, &cut);
        let error = Arc::new(cut);
        if self.patience.is_over() || !self.starts_over() {
            return self.heard_lost(now, transfer, StreamError::Net(error));
        }
        let delay = self.patience.back_off(now);
        self.event(FileEvent::Retrying {
            at: transfer.coming.start,
            attempt: self.patience.spent(),
            delay,
            error,
        });
    }

    /// The file ends here for certain.
    fn learn_end(&mut self, len: u64) {
        if self.coverage.end() > len {
            return self.changed(format!("its length, now {len} bytes"));
        }
        if let Some(origin) = &mut self.origin {
            origin.total = Some(len);
            origin.end_unproven = false;
        }
        self.announce_length();
        self.tell_facts();
    }

    fn remove(&mut self, fetch: FetchId) -> Option<Transfer> {
        let known = |transfer: &Transfer| transfer.id == fetch;
        let index = self.transfers.iter().position(known)?;
        Some(self.transfers.remove(index))
    }

    fn measure(&mut self, now: Duration, transfer: &Transfer) {
        let Some(head_at) = transfer.head_at else {
            return;
        };
        let took = now.saturating_sub(head_at).as_millis().max(1);
        let rate = u128::from(transfer.brought) * 1000 / took;
        self.pace.bytes_per_second = u64::try_from(rate).ok();
    }

    pub(super) fn heard_failed(&mut self, now: Duration, fetch: FetchId, error: StreamError) {
        if self.probe.take_if(|probe| *probe == fetch).is_some() {
            return self.heard_no_probe(now, &error);
        }
        let Some(transfer) = self.remove(fetch) else {
            return;
        };
        let net = match &error {
            StreamError::Net(net) => Some(net.root()),
            StreamError::ContentChanged { what, .. } => return self.changed(what.clone()),
            _ => None,
        };
        match net {
            Some(NetError::RangeNotSatisfiable { total, .. }) => {
                let total = *total;
                self.heard_unsatisfiable(now, transfer.asked.start, total, error);
            }
            Some(NetError::ContentChanged { what, .. }) => {
                let what = format!("its {what}");
                self.changed(what);
            }
            // Too far from the front for the network layer to come here again by itself.
            Some(NetError::RangeUnsupported { .. })
                if self.starts_over() && !self.patience.is_over() =>
            {
                if !transfer.broken {
                    self.patience.handle_retry();
                }
                // As was told.
                if let Some(until) = transfer.retried_at {
                    self.patience.rest(until);
                }
                self.schedule(now);
            }
            // A server that mislabels its ranges was asked again already, which is all the patience it gets.
            Some(NetError::WrongRange { .. }) => self.fail(error),
            Some(root) if root.is_retryable() => {
                self.patience.handle_failure(now, root);
                self.heard_lost(now, &transfer, error);
            }
            _ => self.fail(error),
        }
    }

    /// The network layer has spent on a transfer what it may.
    fn heard_lost(&mut self, now: Duration, transfer: &Transfer, error: StreamError) {
        let may_wait = self.can_wait();
        let look_ahead_is_left = self.patience.for_look_ahead().is_some();
        if transfer.for_reader && !(may_wait && look_ahead_is_left) {
            return self.fail(error);
        }
        if let StreamError::Net(error) = error {
            let rest = self.patience.rest_until();
            self.event(FileEvent::Retrying {
                at: transfer.coming.start,
                attempt: self.patience.spent(),
                delay: rest.unwrap_or(now).saturating_sub(now),
                error,
            });
        }
        if may_wait {
            self.postpone();
        } else {
            // The reader needs it now, and what was kept for that is spent.
            self.schedule(now);
        }
    }

    /// Whether the reader has something to read, so that a failure in front of it need not end anything yet.
    fn can_wait(&self) -> bool {
        let position = self.demand.position;
        let stored = self.coverage.covered_from(position);
        !self.is_blocked() && stored > position && self.amount.is_none()
    }

    /// Tries again when half of what the reader has is read: a link that is back by then is not noticed, and one that
    /// is not is asked a bounded number of times.
    fn postpone(&mut self) {
        let position = self.demand.position;
        let stored = self.coverage.covered_from(position);
        self.postponed = Some(Postponed {
            until_position: position + (stored - position) / 2,
        });
    }

    /// 416: the file ends at or before the byte asked for (RFC 9110 §15.5.17).
    fn heard_unsatisfiable(
        &mut self,
        now: Duration,
        at: u64,
        total: Option<u64>,
        error: StreamError,
    ) {
        let known = self.origin.as_ref().map(Origin::told_total);
        let stored_before = at > 0 && self.coverage.contains(at - 1..at);
        let end = match (known, total) {
            // Nothing at all: an empty file, which is for the decoder to refuse.
            (None, total) if at == 0 && total.unwrap_or(0) == 0 => {
                self.open_as(&ResponseHead::whole(&self.url, 0));
                return self.schedule(now);
            }
            // The end was not announced, and this is it.
            (Some(None), Some(total)) if total <= at => total,
            (Some(None), None) if stored_before => at,
            (Some(Some(old)), Some(new)) if old != new => {
                return self.changed(format!("its length, from {old} to {new} bytes"));
            }
            _ => return self.fail(error),
        };
        self.learn_end(end);
        self.schedule(now);
    }

    /// The network layer is going to try again then, if it can.
    pub(super) fn expect_retry(&mut self, fetch: FetchId, at: Duration) {
        let known = |transfer: &&mut Transfer| transfer.id == fetch;
        if let Some(transfer) = self.transfers.iter_mut().find(known) {
            transfer.retried_at = Some(at);
        }
    }

    /// What began for a blocked reader, or beside other transfers, may be no more than look-ahead by now.
    pub(super) fn heard_retrying(
        &mut self,
        fetch: FetchId,
        attempt: u32,
        delay: Duration,
        error: Arc<NetError>,
    ) {
        let known = |transfer: &&mut Transfer| transfer.id == fetch;
        let Some(transfer) = self.transfers.iter_mut().find(known) else {
            return;
        };
        transfer.broken = true;
        let at = transfer.coming.start;
        self.event(FileEvent::Retrying {
            at,
            attempt,
            delay,
            error,
        });
        self.patience.handle_retry();
        if self.can_wait() && self.patience.for_look_ahead().is_none() {
            self.abort(|transfer| transfer.broken);
            self.postpone();
        }
    }
}
