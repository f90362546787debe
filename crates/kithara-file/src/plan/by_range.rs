//! A server with ranges: bounded requests in front of the reader, then the gaps.

use std::ops::Range;
use std::time::Duration;

use super::{FilePlan, LAST_REQUEST, Transfer};
use crate::rule::keep_reading;

/// A transfer with less to go than this is left to finish when the reader jumps away.
const NEARLY_DONE: u64 = 32 * 1024;
/// A reader that hops over no more than this, as from frame header to frame header, leaves no hole behind: what plays there
/// later would wait a round trip for it.
const HOP: u64 = 8 * 1024;
/// Gaps filled at the same time once the reader has what it needs.
const GAPS_IN_FLIGHT: usize = 4;

impl FilePlan {
    /// The first byte missing in front of the reader, and the end of the window it is in.
    fn next_missing(&self) -> Option<(Range<u64>, u64)> {
        let position = self.demand.position;
        let window_end = position.saturating_add(self.look_ahead()).min(self.end());
        let mut gap = self.coverage.next_gap(position, window_end)?;
        if gap.start == position {
            gap.start = self.hopped_from();
        }
        Some((gap, window_end))
    }

    /// Where what is stored ends in front of the reader, if the reader has just hopped from there.
    fn hopped_from(&self) -> u64 {
        let position = self.demand.position;
        let back = position.saturating_sub(HOP);
        let hole = self.coverage.next_gap(back, position);
        hole.filter(|hole| back < hole.start && hole.end == position)
            .map_or(position, |hole| hole.start)
    }

    /// With ranges: the first byte missing in front of the reader decides. Returns whether the reader has its look-ahead,
    /// or all of it but less than a request.
    pub(super) fn serve_reader(&mut self, now: Duration) -> bool {
        let Some((gap, window_end)) = self.next_missing() else {
            return true;
        };
        let (pace, blocked) = (self.pace, self.demand.wanted.is_some());
        let reaches = |transfer: &Transfer| {
            let coming = transfer.allowed();
            // Nothing else competes for the link while nobody waits: whatever will bring the byte may bring it.
            coming.contains(&gap.start) && (!blocked || keep_reading(&coming, gap.start, pace))
        };
        if self.transfers.iter().any(reaches) || self.others_bring(gap.start) {
            return false;
        }
        let finishes = gap.end < window_end || window_end == self.end();
        let room = window_end - gap.start;
        let may_wait = !blocked && self.amount.is_none();
        if may_wait && !finishes && room < self.request() {
            return true;
        }
        let window = self.demand.position..window_end;
        let in_window = |transfer: &Transfer| {
            transfer.coming.start < window.end && window.start < transfer.coming.end
        };
        if blocked {
            self.abort(|transfer| transfer.left() > NEARLY_DONE);
        } else if self.transfers.iter().any(in_window) {
            // One transfer at a time for a reader that has something to read: two would share the same link.
            return false;
        }
        let mut range = self.request_at(gap.start);
        if self.amount.is_some() {
            range.end = range.end.min(window_end);
        }
        self.start(now, range.clone(), range.end);
        false
    }

    /// What to ask for at the start of a gap: up to the next byte that is stored or on its way, and never more than one
    /// request's worth.
    fn request_at(&self, start: u64) -> Range<u64> {
        let end = self.end();
        let last = end.saturating_sub(start) <= LAST_REQUEST.min(self.look_ahead());
        let limit = if last {
            end
        } else {
            start.saturating_add(self.request())
        };
        let coming = self.transfers.iter().map(|transfer| transfer.coming.start);
        let limit = coming.filter(|at| *at > start).fold(limit, u64::min);
        let gap = self.coverage.next_gap(start, limit);
        self.left_by_others(gap.unwrap_or(start..limit))
    }

    /// Fetches the rest of the file, several gaps at a time, once the reader's window is served.
    pub(super) fn fill_gaps(&mut self, now: Duration) {
        let mut from = 0;
        while self.transfers.len() < GAPS_IN_FLIGHT {
            let Some(gap) = self.coverage.next_gap(from, self.end()) else {
                return;
            };
            if self.others_bring(gap.start) {
                from = self.others.covered_from(gap.start);
                continue;
            }
            let range = self.request_at(gap.start);
            let overlaps = |transfer: &&Transfer| {
                transfer.coming.start < range.end && range.start < transfer.coming.end
            };
            match self.transfers.iter().find(overlaps) {
                Some(running) => from = running.coming.end,
                None => {
                    from = range.end;
                    self.start(now, range.clone(), range.end);
                }
            }
            if self.end() == u64::MAX {
                return;
            }
        }
    }
}
