//! The bytes of one generation of one resource, shared by all who read or fetch them in this process.

mod reading;
mod saving;
mod standing;
#[cfg(test)]
mod tests;

use reading::View;
pub(crate) use saving::Task;
use standing::{Base, Member, NOBODY, State};

use std::ops::Range;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use kithara_storage::{
    CheckedFile, Coverage, EXTENT, ResourceWriter, StorageError, StorageResource,
};
use parking_lot::Mutex;

use crate::desk::Desk;
use crate::event::{Listener, Reason, StoreEvent};
use crate::facts::{Conflict, Facts, Keep};
use crate::lease::Hold;
use crate::{EntryState, ResourceKey, Snapshot};

/// The bytes of one generation of one resource.
///
/// When the origin's content changes the next generation gets a body of its own: whoever still reads the old one goes on
/// reading the old one, and bytes of the two can't meet.
pub(crate) struct Body {
    pub(crate) key: ResourceKey,
    /// Tells it from the other bodies this process has had.
    pub(crate) id: u64,
    generation: OnceLock<u64>,
    pub(crate) hold: Arc<Hold>,
    pub(crate) desk: Desk,
    pub(crate) listener: Listener,
    /// Whoever opens it first looks at the disk; the others wait for that.
    looked: OnceLock<()>,
    // Entries write, readers copy, the keeper takes what it saves: all three need an answer at once, none holds it for
    // longer than it takes to copy 64 KiB.
    state: Mutex<State>,
}

/// One entry's hands on a body.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) body: Arc<Body>,
    pub(crate) member: u64,
    // The owner is the entry; other entries tell its readers of bytes they brought, which must not wait for a message.
    pub(crate) gate: Arc<Mutex<ResourceWriter>>,
    pub(crate) resource: StorageResource,
}

/// What lies on disk when a body is opened.
pub(crate) struct Found {
    pub(crate) committed: bool,
    pub(crate) generation: u64,
    pub(crate) facts: Option<Facts>,
    pub(crate) coverage: Coverage,
    pub(crate) end: Option<u64>,
    pub(crate) checked: Arc<CheckedFile>,
    pub(crate) index: Option<Vec<u8>>,
}

impl Body {
    pub(crate) fn new(key: ResourceKey, hold: Arc<Hold>, desk: Desk, listener: Listener) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            key,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            generation: OnceLock::new(),
            hold,
            desk,
            listener,
            looked: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    // ---- coming and going ----

    /// Announces an entry. The registry's lock is held, so that the body isn't retired in between.
    pub(crate) fn expect(&self) {
        self.state.lock().expected += 1;
    }

    /// Lets the first one look at the disk, and the others wait for what he found.
    pub(crate) fn look(&self, look: impl FnOnce()) {
        self.looked.get_or_init(look);
    }

    /// Says what lies on disk. Before anybody sits down.
    pub(crate) fn found(&self, found: Found) {
        // Nobody has asked before: it is part of looking.
        let _ = self.generation.set(found.generation);
        let mut state = self.state.lock();
        state.end = found.end;
        state.facts = found.facts;
        state.index = found.index.map(Arc::from);
        state.coverage = found.coverage.clone();
        state.stored = found.coverage;
        state.base = Base::Checked(found.checked);
        // All there, but not committed: the process ended in between.
        state.complete = !found.committed && state.is_whole();
    }

    /// Gives an announced entry its seat.
    pub(crate) fn sit_down(self: &Arc<Self>) -> Seat {
        self.take_up_again();
        let mut state = self.state.lock();
        let member = state.next_member;
        let view = Box::new(View {
            body: self.clone(),
            member,
            _lease: self.hold.guard(),
        });
        let (writer, resource) =
            StorageResource::with_stored(view, state.coverage.clone(), state.end);
        let gate = Arc::new(Mutex::new(writer));
        let wakers = match state.memory_only() {
            // They share the memory with one more.
            Some(_) => state.changed_for_others(NOBODY),
            None => Vec::new(),
        };
        state.next_member += 1;
        state.expected -= 1;
        state.members.insert(
            member,
            Member {
                gate: gate.clone(),
                claims: Coverage::new(),
                stands_back: false,
                ends_here: false,
                changed: false,
                waker: None,
            },
        );
        drop(state);
        wake(wakers);
        Seat {
            body: self.clone(),
            member,
            gate,
            resource,
        }
    }

    /// Gives a seat up, and the claims with it.
    pub(crate) fn leave(self: &Arc<Self>, member: u64) {
        let (gone, wakers) = {
            let mut state = self.state.lock();
            let gone = state.members.remove(&member);
            let len = state.coverage.end();
            if state.members.is_empty() {
                state.window.seal(0..len);
            } else if let Some(gone) = &gone {
                for claim in gone.claims.iter() {
                    state.window.seal(claim);
                }
            }
            (gone, state.changed_for_others(member))
        };
        wake(wakers);
        // Its gate wakes its readers: not under the lock, which they may want at once.
        drop(gone);
        self.call_keeper();
    }

    /// Whether something newer has taken its place, or ought to.
    pub(crate) fn is_superseded(&self) -> bool {
        self.state.lock().superseded
    }

    /// Ends its work, unless somebody has come meanwhile, or has left something to do; whether it has ended.
    pub(crate) fn retire(&self) -> bool {
        let mut state = self.state.lock();
        state.retired |= state.is_done();
        state.retired
    }

    /// Whether it would [retire](Self::retire). The registry's lock is held, so that nobody comes in between.
    pub(crate) fn may_retire(&self) -> bool {
        let state = self.state.lock();
        state.retired || state.is_done()
    }

    /// Something newer takes its place: nothing of it is kept, and who still sits here is told.
    pub(crate) fn supersede(self: &Arc<Self>) {
        let wakers = {
            let mut state = self.state.lock();
            state.superseded = true;
            state.bypass.get_or_insert(Reason::Failed);
            state.changed_for_others(NOBODY)
        };
        wake(wakers);
        self.call_keeper();
    }

    // ---- a reader's side ----

    /// What was found out about where things lie in these bytes, by whoever read them last.
    pub(crate) fn index(&self) -> Option<Arc<[u8]>> {
        self.state.lock().index.clone()
    }

    /// Keeps it, and lets the keeper save it.
    pub(crate) fn keep_index(self: &Arc<Self>, index: Arc<[u8]>) {
        {
            let mut state = self.state.lock();
            state.index = Some(index);
            state.index_is_new = true;
        }
        self.call_keeper();
    }

    // ---- an entry's side ----

    pub(crate) fn entry_state(&self) -> EntryState {
        let state = self.state.lock();
        if state.is_whole() {
            EntryState::Ready
        } else if state.members.len() + state.expected > 1 {
            EntryState::Join
        } else {
            EntryState::Fill
        }
    }

    pub(crate) fn snapshot(&self, member: u64) -> Snapshot {
        let state = self.state.lock();
        let others = state
            .rivals(member)
            .flat_map(|other| other.claims.iter())
            .collect();
        Snapshot {
            coverage: state.coverage.clone(),
            others,
            facts: state.facts.clone(),
            generation: self.generation(),
            end: state.end,
            superseded: state.superseded,
            memory_only: state.memory_only(),
            not_kept: state.not_kept(),
        }
    }

    pub(crate) fn poll_changed(&self, member: u64, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        let Some(member) = state.members.get_mut(&member) else {
            return Poll::Ready(());
        };
        if std::mem::take(&mut member.changed) {
            return Poll::Ready(());
        }
        match &mut member.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    pub(crate) fn identify(&self, member: u64, facts: Facts, keep: Keep) -> Result<(), Conflict> {
        let wakers = {
            let mut state = self.state.lock();
            let merged = match state.facts.clone() {
                Some(stored) => match stored.conflict(&facts) {
                    Some(conflict) => return Err(conflict),
                    None => stored.merged(facts.bounded()),
                },
                None => facts.bounded(),
            };
            if state.facts.as_ref() == Some(&merged) && state.keep == keep {
                return Ok(());
            }
            state.facts = Some(merged);
            // What was allowed to be kept before stays.
            if keep == Keep::No && state.stored.is_empty() {
                state.keep = Keep::No;
            }
            state.changed_for_others(member)
        };
        wake(wakers);
        Ok(())
    }

    pub(crate) fn claim(&self, member: u64, range: Range<u64>) -> Range<u64> {
        let mut state = self.state.lock();
        let nothing = range.start..range.start;
        let mut end = state
            .coverage
            .next_gap(range.start, range.end)
            .map_or(range.start, |gap| {
                if gap.start == range.start {
                    gap.end
                } else {
                    range.start
                }
            });
        for other in state.rivals(member) {
            let free = other.claims.next_gap(range.start, end);
            end = match free {
                Some(free) if free.start == range.start => free.end,
                _ => return nothing,
            };
        }
        let mine = range.start..end;
        if mine.is_empty() {
            return nothing;
        }
        let wakers = state.give(member, &mine);
        drop(state);
        wake(wakers);
        mine
    }

    pub(crate) fn stands_back(&self, member: u64) -> bool {
        self.state.lock().stands_back(member)
    }

    pub(crate) fn stand_back(&self, member: u64) {
        let wakers = {
            let mut state = self.state.lock();
            if let Some(member) = state.members.get_mut(&member) {
                member.stands_back = true;
            }
            match state.claims(member) {
                true => state.changed_for_others(member),
                false => Vec::new(),
            }
        };
        wake(wakers);
    }

    pub(crate) fn release(self: &Arc<Self>, member: u64, range: Range<u64>) {
        let wakers = {
            let mut state = self.state.lock();
            // Where it stopped, nothing more comes soon.
            state.window.seal(range.start.saturating_sub(1)..range.end);
            if let Some(member) = state.members.get_mut(&member) {
                member.claims.remove(range);
            }
            state.changed_for_others(member)
        };
        wake(wakers);
        self.call_keeper();
    }

    pub(crate) fn write(
        self: &Arc<Self>,
        seat: &Seat,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let len = bytes.len() as u64;
        let past = |end| StorageError::PastEnd { offset, len, end };
        let range = offset..offset.checked_add(len).ok_or_else(|| past(u64::MAX))?;
        let (gates, wakers, gave_up) = {
            let mut state = self.state.lock();
            if let Some(end) = state.end.filter(|end| range.end > *end) {
                return Err(past(end));
            }
            state.take_in(offset, bytes);
            let (news, gave_up) = state.make_room();
            let was_claiming = state.claims(seat.member);
            if let Some(member) = state.members.get_mut(&seat.member) {
                member.claims.remove(range.clone());
            }
            // Not at each chunk: others plan by what is claimed, and their readers are told through their gates.
            let told = was_claiming && !state.claims(seat.member)
                || range.start / EXTENT as u64 != range.end / EXTENT as u64;
            let wakers = if news {
                state.changed_for_others(NOBODY)
            } else if told {
                state.changed_for_others(seat.member)
            } else {
                Vec::new()
            };
            (state.gates(seat.member), wakers, gave_up)
        };
        for gate in gates {
            // A gate that is closed or failed has nobody behind it who waits for these bytes.
            let _ = gate.lock().write_at(offset, bytes);
        }
        wake(wakers);
        if gave_up {
            let reason = Reason::Slow;
            self.listener.tell(StoreEvent::Bypassed { reason });
        }
        self.call_keeper();
        match seat.gate.lock().write_at(offset, bytes) {
            // All of it is there already.
            Err(StorageError::ReadOnly) => Ok(()),
            done => done,
        }
    }

    pub(crate) fn end_at(&self, len: u64) {
        let (gates, cut_short) = {
            let mut state = self.state.lock();
            state.end = Some(len);
            (state.gates(NOBODY), state.cut_short())
        };
        for gate in gates {
            gate.lock().end_at(len);
        }
        for member in cut_short {
            self.cover_again(member, &(0..len));
        }
    }

    /// The end for one member alone, as long as nobody knows better.
    pub(crate) fn end_here(&self, seat: &Seat, len: u64) {
        {
            let mut state = self.state.lock();
            let is_known = state.end.is_some();
            match state.members.get_mut(&seat.member) {
                Some(member) if !is_known => member.ends_here = true,
                _ => return,
            }
        }
        seat.gate.lock().end_at(len);
    }

    pub(crate) fn complete(self: &Arc<Self>, seat: &Seat, len: u64) -> Result<(), StorageError> {
        let (gates, cut_short, wakers) = {
            let mut state = self.state.lock();
            if let Some(gap) = state.coverage.next_gap(0, len) {
                return Err(StorageError::Incomplete {
                    gap,
                    final_len: len,
                });
            }
            state.end = Some(len);
            state.complete = true;
            state.window.seal(0..len);
            (
                state.gates(seat.member),
                state.cut_short(),
                state.changed_for_others(seat.member),
            )
        };
        seat.gate.lock().end_at(len);
        for gate in gates {
            let mut gate = gate.lock();
            gate.end_at(len);
            // One that lacks bytes hears of them later, and until then of its end only.
            let _ = gate.commit(len);
        }
        for member in cut_short {
            self.cover_again(member, &(0..len));
        }
        wake(wakers);
        self.call_keeper();
        seat.gate.lock().commit(len)
    }
}

/// Never under the lock: who wakes up wants it.
fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
