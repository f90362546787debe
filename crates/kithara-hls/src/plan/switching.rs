//! Which variant comes next, and when one that is on its way is given up for another.

use std::time::Duration;

use kithara_abr::{AbrDecision, AbrMode, AbrReason};
use kithara_stream::RunCause;

use super::item::Item;
use super::laying::is_first;
use super::{HlsPlan, Stage};
use crate::HlsEvent;

/// How often a transfer is looked at while another variant could take its place.
const CHECK: Duration = Duration::from_millis(500);

impl HlsPlan {
    /// While opening: sees to it that the playlist of the first variant comes.
    pub(super) fn choose_first(&mut self) {
        let Some(abr) = &self.abr else { return };
        let decision = match abr.current() {
            // It has been chosen, but there is nothing in its playlist yet, or that could not be had.
            Some(current) if !self.gaps.lost.contains(&current) => return self.wait_for(current),
            _ => abr.decide(self.now, Duration::ZERO),
        };
        let mut target = decision.target_variant_index;
        if self.gaps.lost.contains(&target) {
            let left = (0..self.tracks.len()).find(|index| !self.gaps.lost.contains(index));
            let Some(left) = left else { return };
            target = left;
        }
        let decision = AbrDecision {
            target_variant_index: target,
            ..decision
        };
        self.follow(&decision);
        self.wait_for(target);
    }

    fn wait_for(&mut self, variant: usize) {
        match self.window(variant) {
            None => {
                self.is_ready(variant);
            }
            Some(window) if !window.playlist().is_empty() => self.begin(variant),
            Some(_) => {}
        }
    }

    /// The playlist of the first variant is here.
    pub(super) fn begin(&mut self, variant: usize) {
        if self.stage != Stage::Opening || self.current().is_some_and(|one| one != variant) {
            return;
        }
        let Some(window) = self.window(variant) else {
            return;
        };
        self.cursor.at = window.join_point(self.start);
        self.stage = Stage::Playing;
        if self.current().is_none()
            && let Some(abr) = &self.abr
        {
            let decision = abr.decide(self.now, Duration::ZERO);
            self.follow(&decision);
        }
    }

    /// The variant of the next segment; `None` if its playlist is still on its way.
    pub(super) fn choose(&mut self) -> Option<usize> {
        let abr = self.abr.as_ref()?;
        let decision = abr.decide(self.now, self.buffered());
        let (target, current) = (decision.target_variant_index, abr.current());
        if current == Some(target) || self.gaps.has_tried(self.cursor.at, target) {
            return current;
        }
        // Where nothing is left to fetch, there is nothing to switch for.
        let over = current.is_some_and(|current| self.is_over(current));
        let failed = decision.reason == AbrReason::Failed;
        let nothing = match failed {
            true => over && self.is_over(target),
            false => self.is_over(target) || over && self.window(target).is_none(),
        };
        if nothing {
            return current;
        }
        if self.is_ready(target) {
            self.follow(&decision);
            return Some(target);
        }
        // One that fails is not played on while the other is on its way.
        current.filter(|_| !failed)
    }

    pub(super) fn follow(&mut self, decision: &AbrDecision) {
        let (now, at) = (self.now, self.cursor.at);
        let Some(abr) = &mut self.abr else { return };
        let from = abr.current();
        abr.apply(now, decision);
        let (to, reason) = (decision.target_variant_index, decision.reason);
        if from != Some(to) {
            self.event(HlsEvent::VariantChanged {
                from,
                to,
                reason,
                at,
            });
        }
    }

    /// A variant could not be had: it is left alone for a while.
    pub(super) fn exclude(&mut self, variant: usize) {
        let now = self.now;
        if let Some(abr) = &mut self.abr {
            abr.handle_failure(now, variant);
        }
        if self.stage == Stage::Opening && !self.gaps.lost.contains(&variant) {
            self.gaps.lost.push(variant);
        }
    }

    /// Whether no variant is left to begin with.
    pub(super) fn is_hopeless(&self) -> bool {
        self.stage == Stage::Opening && self.gaps.lost.len() >= self.tracks.len()
    }

    /// Gives up a segment that comes too slowly, if the same stretch of a lower variant is there sooner.
    pub(super) fn look_at_speed(&mut self) {
        self.looked = self.now;
        let Some(index) = self
            .line
            .items
            .iter()
            .position(|item| !item.part.is_whole())
        else {
            return;
        };
        let item = &self.line.items[index];
        let (Some(transfer), Some(abr)) = (&item.part.transfer, &self.abr) else {
            return;
        };
        let until_end = item.end().saturating_sub(self.playhead());
        let Some(decision) = abr.abandon(self.now, until_end, &transfer.watch) else {
            return;
        };
        let (variant, sequence, bytes) = (item.variant, item.sequence, transfer.brought);
        let (since, fails) = (transfer.since, item.part.spent > 0);
        if !self.is_ready(decision.target_variant_index) {
            return;
        }
        self.event(HlsEvent::SegmentAbandoned {
            variant,
            sequence,
            bytes,
        });
        self.sample(since);
        self.lay_again(index, RunCause::VariantSwitch);
        self.follow(&decision);
        if fails {
            // That is not slow.
            self.exclude(variant);
        }
    }

    /// So many bytes more came, by a transfer that was asked for then.
    pub(super) fn count(&mut self, since: Duration, bytes: u64) {
        let items = self.line.items.iter().map(|item| &item.part);
        let under_way = items
            .chain(&self.inits.parts)
            .flat_map(|part| &part.transfer);
        let first = under_way.map(|transfer| transfer.since).min();
        let since = first.map_or(since, |first| first.min(since));
        self.meter.handle_bytes(self.now, since, bytes);
    }

    /// A transfer ends that was asked for then: what did the network bring?
    pub(super) fn sample(&mut self, since: Duration) {
        self.count(since, 0);
        if let (Some(abr), Some(sample)) = (&mut self.abr, self.meter.sample()) {
            abr.handle_sample(&sample);
        }
    }

    /// Lets go of everything from an item on, and lays it again.
    pub(super) fn lay_again(&mut self, index: usize, cause: RunCause) {
        if index >= self.line.items.len() {
            return;
        }
        let item = self.line.heard_at(index);
        let at = item.start;
        let opens = item.opens.or(item.begins.filter(is_first));
        let playhead = self.playhead();
        for item in self.line.items.iter().skip(index) {
            self.gaps.keep_spent(item, playhead);
        }
        self.drop_from(index);
        self.cursor.at = at;
        self.cursor.follows = None;
        self.cursor.cause = Some(cause);
        self.cursor.opens = opens;
        (self.stage, self.line.ended) = (Stage::Playing, false);
    }

    pub(super) fn is_automatic(&self) -> bool {
        self.tracks.len() > 1 && !matches!(self.options.mode, AbrMode::Manual(_))
    }

    /// When to look at a transfer again.
    pub(super) fn next_check(&self) -> Option<Duration> {
        let under_way = |item: &Item| item.part.transfer.is_some();
        let watched = self.is_automatic() && self.line.items.iter().any(under_way);
        watched.then(|| self.looked + CHECK)
    }
}
