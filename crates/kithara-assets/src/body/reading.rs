//! The readers' side of a body.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use kithara_storage::{Driver, EXTENT, Kept, Place, ResourceExt, StorageError, too_many_open};

use super::standing::{Base, NOBODY};
use super::{Body, wake};
use crate::event::{Reason, StoreEvent};
use crate::lease::LeaseGuard;

/// How the gate of one entry reads a body. The bytes are in the body before the gate hears of them, so that there is
/// nothing to write.
pub(super) struct View {
    /// Whoever reads the title uses it. Goes before the body, with which goes the listener, who may take that for the end.
    pub(super) _lease: LeaseGuard,
    pub(super) body: Arc<Body>,
    pub(super) member: u64,
}

impl Driver for View {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Kept> {
        match self.body.read_at(offset, buf) {
            Err(error) if too_many_open(&error) => Ok(Kept::Lost(self.body.set_aside(offset))),
            done => done,
        }
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<Vec<Range<u64>>> {
        Ok(Vec::new())
    }

    fn commit(&self, _final_len: u64) -> io::Result<()> {
        Ok(())
    }

    fn lost(&self, range: Range<u64>) {
        self.body.cover_again(self.member, &range);
    }
}

impl Body {
    /// Compares what is there of `range` with `bytes`.
    pub(crate) fn compare(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let end = offset.saturating_add(bytes.len() as u64);
        let mut buf = vec![0; bytes.len().min(EXTENT)];
        let mut at = offset;
        while at < end {
            let rest = &bytes[(at - offset) as usize..];
            let part = &mut buf[..rest.len().min(EXTENT)];
            let covered = self.state.lock().coverage.covered_from(at);
            if covered == at {
                let gap = self.state.lock().coverage.next_gap(at, end);
                at = gap.map_or(end, |gap| gap.end.max(at + 1));
                continue;
            }
            let part_len = part.len().min((covered - at) as usize);
            match self.read_at(at, &mut part[..part_len]) {
                Ok(Kept::Bytes(count)) if count > 0 => {
                    if part[..count] != rest[..count] {
                        return Err(StorageError::Differs {
                            range: at..at + count as u64,
                            place: Place::default(),
                        });
                    }
                    at += count as u64;
                }
                // What is lost can't be compared, and is written anew.
                Ok(_) => at = covered,
                // What can't be read for now stays, and so must not go unread.
                Err(source) => {
                    return Err(StorageError::Io {
                        action: "compare",
                        place: Place::default(),
                        source,
                    });
                }
            }
        }
        Ok(())
    }

    /// What there is at `offset`.
    ///
    /// # Errors
    /// For want of memory or of a file descriptor: the bytes are there, and can't be read for now.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Kept> {
        let (base, covered) = {
            let state = self.state.lock();
            let count = state.window.get(offset, buf);
            if count > 0 {
                return Ok(Kept::Bytes(count));
            }
            let covered = state.stored.covered_from(offset);
            if covered == offset {
                let gap = state.coverage.next_gap(offset, u64::MAX);
                return Ok(Kept::Lost(gap.unwrap_or(offset..u64::MAX)));
            }
            (state.base.clone(), covered)
        };
        let wanted = buf
            .len()
            .min(usize::try_from(covered - offset).unwrap_or(usize::MAX));
        let buf = &mut buf[..wanted];
        let read = match &base {
            Base::Nothing => Kept::Bytes(0),
            Base::Checked(checked) => checked.read_at(offset, buf)?,
            // Its file is open as long as it is used, so that only the disk can refuse it.
            Base::Temporary(resource) => resource
                .read_at(offset, buf)
                .map_or(Kept::Bytes(0), Kept::Bytes),
        };
        let lost = match read {
            Kept::Bytes(0) => offset..covered.min((offset / EXTENT as u64 + 1) * EXTENT as u64),
            Kept::Bytes(count) => return Ok(Kept::Bytes(count)),
            Kept::Lost(lost) => lost,
        };
        self.lose(&lost);
        Ok(Kept::Lost(lost))
    }

    /// The process has no descriptor to read the byte at `offset` with: until there is one, what lies around it counts as
    /// missing, so that who plays it goes on with what the origin sends. It stays stored.
    fn set_aside(&self, offset: u64) -> Range<u64> {
        let start = offset - offset % EXTENT as u64;
        let range = start..start.saturating_add(EXTENT as u64);
        let wakers = {
            let mut state = self.state.lock();
            state.set_aside(&range);
            state.complete &= state.is_whole();
            state.changed_for_others(NOBODY)
        };
        wake(wakers);
        range
    }

    /// What was set aside counts again: there may be room by now.
    pub(crate) fn take_up_again(&self) {
        let (members, again, wakers) = {
            let mut state = self.state.lock();
            let again = state.take_up_again();
            if again.is_empty() {
                return;
            }
            let members: Vec<u64> = state.members.keys().copied().collect();
            (members, again, state.changed_for_others(NOBODY))
        };
        for member in members {
            self.cover_again(member, &(0..again.end()));
        }
        wake(wakers);
    }

    /// The gate of a member has just let go of `range`. What came anew before that was nothing new to it, and nobody brings
    /// it again: so it is told of it now.
    pub(super) fn cover_again(&self, member: u64, range: &Range<u64>) {
        let (gate, there, end) = {
            let state = self.state.lock();
            let Some(member) = state.members.get(&member) else {
                return;
            };
            let cut = |part: Range<u64>| part.start.max(range.start)..part.end.min(range.end);
            let there: Vec<_> = state.coverage.iter().map(cut).collect();
            (
                member.gate.clone(),
                there,
                state.end.filter(|_| state.is_whole()),
            )
        };
        // The gate only counts: its bytes are here already.
        let bytes = [0; EXTENT];
        for part in there {
            for start in part.clone().step_by(EXTENT) {
                let len = (part.end - start).min(EXTENT as u64) as usize;
                // A gate that is closed or failed has nobody behind it who waits for these bytes.
                let _ = gate.lock().write_at(start, &bytes[..len]);
            }
        }
        if let Some(end) = end {
            // Nobody has anything left to bring who would say so; and what is lost meanwhile it hears of later.
            let _ = gate.lock().commit(end);
        }
    }

    /// Bytes that were saved are no longer what they were.
    pub(super) fn lose(&self, lost: &Range<u64>) {
        let (bytes, again, wakers) = {
            let mut state = self.state.lock();
            let before = state.coverage.total();
            let again = state.lose(lost);
            state.complete &= state.is_whole();
            let bytes = before.saturating_sub(state.coverage.total());
            (bytes, again, state.changed_for_others(NOBODY))
        };
        wake(wakers);
        if bytes > 0 {
            self.listener.tell(StoreEvent::Damaged { bytes });
        }
        if again {
            self.bypass(None, Reason::Failed);
        }
    }
}
