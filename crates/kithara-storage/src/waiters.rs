//! Who waits for which range.

use std::ops::Range;
use std::task::Waker;

/// The most pending polls remembered. A future that is dropped can't sign off, so the oldest poll makes room for the
/// newest: it is woken, and if somebody still stands behind it he polls again.
pub(crate) const MAX_POLLED: usize = 256;

/// Everybody who waits at a gate. A blocked thread signs off when it leaves; a task can't be asked to.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    list: Vec<Waiter>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    range: Range<u64>,
    waker: Waker,
    /// Signed up by a poll: its owner may be gone without having signed off.
    polled: bool,
}

impl Waiters {
    /// Signs a blocked thread up, unless it still is.
    pub(crate) fn sign_up(&mut self, id: Option<u64>, range: &Range<u64>, waker: &Waker) -> u64 {
        match id.filter(|id| self.list.iter().any(|waiter| waiter.id == *id)) {
            Some(id) => id,
            None => self.push(range, waker, false),
        }
    }

    /// Signs a blocked thread off, if it was signed up and hasn't been taken.
    pub(crate) fn sign_off(&mut self, id: Option<u64>) {
        if let Some(at) = self.list.iter().position(|waiter| Some(waiter.id) == id) {
            self.list.swap_remove(at);
        }
    }

    /// Signs a pending task up, unless it already is; hands out a waker that had to make room.
    pub(crate) fn sign_up_poll(&mut self, range: &Range<u64>, waker: &Waker) -> Option<Waker> {
        let polled = || {
            self.list
                .iter()
                .enumerate()
                .filter(|(_, waiter)| waiter.polled)
        };
        if polled().any(|(_, waiter)| waiter.range == *range && waiter.waker.will_wake(waker)) {
            return None;
        }
        let full = polled().count() >= MAX_POLLED;
        let oldest = polled()
            .min_by_key(|(_, waiter)| waiter.id)
            .filter(|_| full)
            .map(|(at, _)| at);
        let evicted = oldest.map(|at| self.list.swap_remove(at).waker);
        self.push(range, waker, true);
        evicted
    }

    /// Takes out those whose range is `chosen`, to be woken.
    pub(crate) fn take(&mut self, chosen: impl Fn(&Range<u64>) -> bool) -> Vec<Waker> {
        let mut taken = Vec::new();
        let mut at = 0;
        while at < self.list.len() {
            if chosen(&self.list[at].range) {
                taken.push(self.list.swap_remove(at).waker);
            } else {
                at += 1;
            }
        }
        taken
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    fn push(&mut self, range: &Range<u64>, waker: &Waker, polled: bool) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.list.push(Waiter {
            id,
            range: range.clone(),
            waker: waker.clone(),
            polled,
        });
        id
    }
}
