//! A server without ranges: one response from the front, held back by credit.

use std::time::Duration;

use kithara_stream::{StreamError, Wish};

use super::FilePlan;
use crate::origin::Origin;

/// A byte this near is worth waiting for; a nearer one than the look-ahead always is.
const WAIT_THROUGH: u64 = 1024 * 1024;

impl FilePlan {
    /// Keeps the one response going as far as the reader may want it, starts it again where it was closed, and refuses
    /// what it will not reach soon.
    pub(super) fn serve_in_order(&mut self, now: Duration) {
        let look_ahead = self.look_ahead();
        self.turn_back();
        let stored = self.coverage.covered_from(0);
        let running = self.transfers.first().map(|transfer| transfer.coming.start);
        // A response that starts again brings what is stored first.
        let reached = running.map_or(stored, |at| at.max(stored));
        let near = reached.saturating_add(WAIT_THROUGH.max(look_ahead));
        let others = running.is_none() && self.others_bring(stored);
        let can_bring = running.is_some() || others || self.starts_over();
        let mut credit = self.demand.position.saturating_add(look_ahead);
        if let Some(wanted) = self.demand.wanted.clone()
            && (wanted.start > near || !can_bring)
        {
            self.refuse(wanted.start);
            credit = reached.saturating_add(look_ahead);
        }
        if running.is_some() {
            self.grant(credit);
        } else if can_bring && !others && stored < credit.min(self.end()) {
            // It comes from the front all the same, but what is stored is not asked for, and so is no progress.
            self.start(now, stored..u64::MAX, credit);
        }
    }

    /// What the response has passed by, and memory had no room for, it does not bring again: it is asked for again from the
    /// front, or refused where that would bring something else.
    fn turn_back(&mut self) {
        let running = self.transfers.first().map(|transfer| transfer.coming.start);
        let Some(wanted) = self.blocked_on().filter(|byte| running > Some(*byte)) else {
            return;
        };
        match self.starts_over() {
            true => self.abort(|_| true),
            false => self.refuse(wanted),
        }
    }

    fn grant(&mut self, credit: u64) {
        let Some(transfer) = self.transfers.first_mut() else {
            return;
        };
        let held = transfer.head_at.is_some() && transfer.coming.start >= credit;
        // Where nobody listens it is the disk that holds it.
        self.paused = held && self.amount.is_none();
        if transfer.credit != credit {
            transfer.credit = credit;
            let fetch = transfer.id;
            self.wishes.push_back(Wish::Credit {
                fetch,
                until: credit,
            });
        }
    }

    /// Whether the front of the file, asked for again, is the same front: an endless stream goes on elsewhere.
    pub(super) fn starts_over(&self) -> bool {
        self.origin.as_ref().is_some_and(Origin::can_be_told)
    }

    fn refuse(&mut self, offset: u64) {
        self.wishes.push_back(Wish::Refuse {
            resource: self.resource,
            offset,
            error: StreamError::RangeUnsupported {
                name: self.info.name.clone(),
                offset,
            },
        });
    }

    /// Closes a response that is paused by credit once nobody has read for a while.
    pub(super) fn close_if_idle(&mut self, now: Duration) {
        if self.paused && now >= self.last_demand + self.policy.idle {
            self.paused = false;
            self.abort(|_| true);
        }
    }
}
