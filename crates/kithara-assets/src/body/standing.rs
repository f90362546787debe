//! How a body stands: what there is, who sits at it, and what is left to do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;

use kithara_storage::{CheckedFile, Coverage, ResourceWriter, StorageResource};
use parking_lot::Mutex;

use crate::event::Reason;
use crate::facts::{Facts, Keep};
use crate::window::{SLOW, WINDOW, Window};

#[derive(Default)]
pub(super) struct State {
    pub(super) facts: Option<Facts>,
    pub(super) keep: Keep,
    /// What can be read: on disk or in the window.
    pub(super) coverage: Coverage,
    /// What can be read from `base`.
    pub(super) stored: Coverage,
    pub(super) base: Base,
    pub(super) window: Window,
    pub(super) end: Option<u64>,
    /// What a reader has found out about where things lie in the bytes, and whether that is still to be saved.
    pub(super) index: Option<Arc<[u8]>>,
    pub(super) index_is_new: bool,
    /// Declared whole, with all bytes there.
    pub(super) complete: bool,
    /// Why nothing more is saved, if nothing is.
    pub(super) bypass: Option<Reason>,
    /// Why it is not kept, where it isn't the origin that forbids it.
    pub(super) forbidden: Option<Reason>,
    /// More waits for the disk than should.
    pub(super) is_slow: bool,
    /// Saved bytes that turned out to be lost.
    pub(super) lost: Coverage,
    /// Saved bytes that can't be read for want of a file descriptor, and so count as missing.
    pub(super) aside: Coverage,
    /// Something newer has taken its place.
    pub(super) superseded: bool,
    /// The keeper has let go of its files.
    pub(super) abandoned: bool,
    /// Nobody is left, and nobody will come: the next one gets a new body. The keeper has let go of its files.
    pub(super) retired: bool,
    /// Lies in the keeper's queue.
    pub(super) queued: bool,
    pub(super) members: BTreeMap<u64, Member>,
    /// Entries on their way in: they keep the body alive before they are members.
    pub(super) expected: usize,
    pub(super) next_member: u64,
}

/// A member's number that nobody has.
pub(super) const NOBODY: u64 = u64::MAX;

/// Where saved bytes are read.
#[derive(Clone, Default)]
pub(super) enum Base {
    #[default]
    Nothing,
    Checked(Arc<CheckedFile>),
    Temporary(StorageResource),
}

/// One entry.
pub(super) struct Member {
    pub(super) gate: Arc<Mutex<ResourceWriter>>,
    pub(super) claims: Coverage,
    /// Its claims give way to those of members that don't.
    pub(super) stands_back: bool,
    /// Its gate has an end that nobody else knows of, and hears of nothing behind it.
    pub(super) ends_here: bool,
    pub(super) changed: bool,
    pub(super) waker: Option<Waker>,
}

impl State {
    /// Why its bytes go with the last entry. What is whole on disk, or superseded, has nothing left to keep.
    pub(super) fn not_kept(&self) -> Option<Reason> {
        let reason = self.bypass.or(match self.keep {
            Keep::Yes => None,
            Keep::No => Some(self.forbidden.unwrap_or(Reason::NoStore)),
        });
        reason.filter(|_| !self.superseded)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.end.is_some_and(|end| self.coverage.is_complete(end))
    }

    /// Whether nobody is left, and nothing to do.
    pub(super) fn is_done(&self) -> bool {
        let busy = self.bypass.is_none()
            && !self.superseded
            && (self.complete || self.window.is_awaited() || self.has_new_index());
        self.members.is_empty() && self.expected == 0 && !busy
    }

    pub(super) fn needs_keeper(&self) -> bool {
        if self.retired {
            return false;
        }
        (self.superseded && !self.abandoned)
            || (self.members.is_empty() && self.expected == 0)
            || (self.bypass.is_none()
                && (self.complete || self.window.has_next() || self.has_new_index()))
    }

    /// Whether there is an index to be saved, and something saved that it belongs to.
    pub(super) fn has_new_index(&self) -> bool {
        self.index_is_new && !self.stored.is_empty()
    }

    /// Takes in the bytes that aren't there yet: what is covered never changes.
    pub(super) fn take_in(&mut self, offset: u64, bytes: &[u8]) {
        let range = offset..offset + bytes.len() as u64;
        let gaps: Vec<_> = self.coverage.gaps(range).collect();
        for gap in gaps {
            let slice = &bytes[(gap.start - offset) as usize..(gap.end - offset) as usize];
            self.window.put(gap.start, slice);
            self.coverage.insert(gap);
        }
        if let Some(end) = self.end.filter(|_| self.is_whole()) {
            // The last block of a whole resource is never full.
            self.window.seal(0..end);
        }
    }

    /// Forgets saved bytes; whether some of them had been lost before and brought again, so that saving is in vain.
    pub(super) fn lose(&mut self, range: &Range<u64>) -> bool {
        let saved: Vec<_> = parts(&self.stored, range).collect();
        let lost_before = |saved: &Range<u64>| {
            let new = self.lost.next_gap(saved.start, saved.end);
            new.as_ref() != Some(saved)
        };
        let again = self.bypass.is_none() && saved.iter().any(lost_before);
        for saved in saved {
            self.lost.insert(saved);
        }
        self.uncover(range);
        again
    }

    /// Of `range`, only what is in memory can be read from now on.
    fn uncover(&mut self, range: &Range<u64>) {
        self.stored.remove(range.clone());
        self.coverage.remove(range.clone());
        let held: Vec<_> = parts(&self.window.coverage(), range).collect();
        for held in held {
            self.coverage.insert(held);
        }
    }

    /// Lets saved bytes count as missing for now.
    pub(super) fn set_aside(&mut self, range: &Range<u64>) {
        for saved in parts(&self.stored, range) {
            self.aside.insert(saved);
        }
        self.uncover(range);
    }

    /// Lets them count again; which they are.
    pub(super) fn take_up_again(&mut self) -> Coverage {
        let again = std::mem::take(&mut self.aside);
        for saved in again.iter() {
            self.stored.insert(saved.clone());
            self.coverage.insert(saved);
        }
        again
    }

    /// Keeps the window bounded. Returns whether others must be told, and whether nothing more is saved from now on because
    /// the disk is too slow.
    pub(super) fn make_room(&mut self) -> (bool, bool) {
        let gone = self.window.shrink(WINDOW);
        for gone in &gone {
            self.coverage.remove(gone.clone());
            self.complete = false;
        }
        let gave_up = !gone.is_empty() && self.bypass.is_none();
        if gave_up {
            self.bypass = Some(Reason::Slow);
        }
        let changed = self.look_at_the_pace();
        (changed || !gone.is_empty(), gave_up)
    }

    /// Notes whether the disk is falling behind or has caught up; whether that is news.
    pub(super) fn look_at_the_pace(&mut self) -> bool {
        let before = self.is_slow;
        let limit = if before { SLOW / 2 } else { SLOW };
        self.is_slow = self.window.bytes() > limit;
        before != self.is_slow
    }

    /// How many bytes each member may have in memory, while it matters.
    pub(super) fn memory_only(&self) -> Option<u64> {
        let share = WINDOW / self.members.len().max(1);
        (self.bypass.is_some() || self.is_slow).then_some(share as u64)
    }

    /// Members whose claims `member` has to respect.
    pub(super) fn rivals(&self, member: u64) -> impl Iterator<Item = &Member> {
        let yields = self.stands_back(member);
        self.members
            .iter()
            .filter(move |(other, one)| **other != member && (yields || !one.stands_back))
            .map(|(_, one)| one)
    }

    /// Gives a member what nobody it has to respect has claimed; who had it and stood back is to be told.
    pub(super) fn give(&mut self, member: u64, mine: &Range<u64>) -> Vec<Waker> {
        let mut told = Vec::new();
        for (number, one) in &mut self.members {
            if *number == member {
                one.claims.insert(mine.clone());
            } else if one.claims.next_gap(mine.start, mine.end).as_ref() != Some(mine) {
                one.claims.remove(mine.clone());
                one.changed = true;
                told.extend(one.waker.take());
            }
        }
        told
    }

    pub(super) fn stands_back(&self, member: u64) -> bool {
        let member = self.members.get(&member);
        member.is_some_and(|member| member.stands_back)
    }

    pub(super) fn claims(&self, member: u64) -> bool {
        let member = self.members.get(&member);
        member.is_some_and(|member| !member.claims.is_empty())
    }

    pub(super) fn gates(&self, but: u64) -> Vec<Arc<Mutex<ResourceWriter>>> {
        self.members
            .iter()
            .filter(|(member, _)| **member != but)
            .map(|(_, member)| member.gate.clone())
            .collect()
    }

    /// Those whose gates have ended earlier than the resource does, which is known now.
    pub(super) fn cut_short(&mut self) -> Vec<u64> {
        let members = self.members.iter_mut();
        members
            .filter_map(|(number, one)| std::mem::take(&mut one.ends_here).then_some(*number))
            .collect()
    }

    pub(super) fn changed_for_others(&mut self, but: u64) -> Vec<Waker> {
        self.members
            .iter_mut()
            .filter(|(member, _)| **member != but)
            .filter_map(|(_, member)| {
                member.changed = true;
                member.waker.take()
            })
            .collect()
    }
}

/// What of `range` is covered.
fn parts(coverage: &Coverage, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    coverage.iter().filter_map(|one| {
        let both = one.start.max(range.start)..one.end.min(range.end);
        (!both.is_empty()).then_some(both)
    })
}
