//! The gate between one writer and many readers: who may go on, who must wait, and who is woken when.
//!
//! It holds no bytes and knows no driver. A blocked thread and a pending future are the same thing to it, a [`Waker`]
//! beside the range it waits for: a thread's waker unparks it. Nobody waits with a timeout, because every change that
//! could let a waiter go on (coverage, end, failure, commit, close, interrupt) wakes it.

use std::error::Error;
use std::mem;
use std::ops::Range;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, MutexGuard, park, thread_waker};
use crate::waiters::Waiters;
use crate::{Coverage, Interrupt, Place, StorageError};

/// What a wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// All bytes asked for, up to the end of the resource, can be read.
    Ready,
    /// The range begins at or behind the end of the resource.
    Eof,
    /// The reader's [`Interrupt`] is raised; nothing else happened.
    Interrupted,
}

/// What a resource is up to.
#[derive(Clone, Debug)]
pub enum ResourceStatus {
    /// Its writer may still write.
    Active,
    /// It is complete and no longer changes.
    Committed {
        /// Its length in bytes.
        final_len: u64,
    },
    /// Its writer gave up; what is covered stays readable. A writer that went away without a word leaves
    /// [`StorageError::Abandoned`] here.
    Failed(StdArc<dyn Error + Send + Sync>),
    /// It was closed.
    Closed,
}

#[derive(Clone, Debug)]
enum Phase {
    Active,
    Committed,
    Failed(StdArc<dyn Error + Send + Sync>),
    Abandoned,
}

/// Shared by the writer and all readers, because a reader must look and sign up in one step or it could miss the wake
/// between the two; a message could not be answered that way without a thread to answer it.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    coverage: Coverage,
    /// The announced or committed length.
    end: Option<u64>,
    phase: Phase,
    /// It was committed, with `end` as its length. If it is active nevertheless, stored bytes were lost since, and its
    /// writer can bring them again.
    was_committed: bool,
    /// Somebody could write.
    has_writer: bool,
    closed: bool,
    waiters: Waiters,
}

impl Gate {
    /// A gate before an empty resource.
    pub(crate) fn new() -> Self {
        Self::stored(Coverage::new(), None)
    }

    /// A gate before a finished resource of `len` bytes, which nobody writes.
    pub(crate) fn committed(len: u64) -> Self {
        let gate = Self::stored(Coverage::whole(len), Some(len));
        gate.state.lock().has_writer = false;
        gate
    }

    /// A gate before a resource of which some is stored; finished if all is.
    pub(crate) fn stored(mut coverage: Coverage, end: Option<u64>) -> Self {
        let whole = end.is_some_and(|end| coverage.is_complete(end));
        if let Some(end) = end {
            coverage.remove(end..u64::MAX);
        }
        Self {
            state: Mutex::new(State {
                coverage,
                end,
                phase: if whole {
                    Phase::Committed
                } else {
                    Phase::Active
                },
                was_committed: whole,
                has_writer: true,
                closed: false,
                waiters: Waiters::default(),
            }),
        }
    }

    // ---- the writer's side ----

    /// The stretches of `range` that are still to be written, or why it must not be written.
    pub(crate) fn admit(&self, range: &Range<u64>) -> Result<Missing, StorageError> {
        let state = self.state.lock();
        if state.closed {
            return Err(StorageError::Closed);
        }
        if matches!(state.phase, Phase::Committed) {
            return Err(StorageError::ReadOnly);
        }
        if let Some(end) = state.end.filter(|end| range.end > *end) {
            return Err(StorageError::PastEnd {
                offset: range.start,
                len: range.end - range.start,
                end,
            });
        }
        Ok(match state.coverage.next_gap(range.start, range.end) {
            None => Missing::Nothing,
            Some(gap) if gap == *range => Missing::All,
            Some(_) => Missing::Parts(state.coverage.gaps(range.clone()).collect()),
        })
    }

    /// These bytes can be read from now on, except those that had to go to make room for others.
    pub(crate) fn cover(&self, written: &[Range<u64>], gone: &[Range<u64>]) {
        let mut state = self.state.lock();
        for range in written {
            state.coverage.insert(range.clone());
        }
        for gone in gone {
            state.coverage.remove(gone.clone());
        }
        // Only those whose range was touched can have become complete.
        let touched = |waiter: &Range<u64>, range: &Range<u64>| {
            waiter.start < range.end && range.start < waiter.end
        };
        let woken = state.take_settled(|waiter| written.iter().any(|range| touched(waiter, range)));
        wake(state, woken);
    }

    /// The bytes of `range` can no longer be read.
    ///
    /// A committed resource becomes active again if its writer is still there to bring them. If not, nothing new will
    /// come, and who waits for them learns that they are lost.
    pub(crate) fn lose(&self, range: Range<u64>) {
        let mut state = self.state.lock();
        // Above the end of a committed resource there is nothing to lose.
        let range = range.start..range.end.min(state.committed_len().unwrap_or(u64::MAX));
        state.coverage.remove(range.clone());
        if !range.is_empty() && state.has_writer && matches!(state.phase, Phase::Committed) {
            state.phase = Phase::Active;
        }
        // Nobody is let go by a loss: who waited, waited for bytes that weren't there, and none have come.
    }

    /// The resource ends at `len`.
    pub(crate) fn end_at(&self, len: u64) {
        let mut state = self.state.lock();
        if state.was_committed {
            return;
        }
        state.end = Some(len);
        let woken = state.take_settled(|_| true);
        wake(state, woken);
    }

    /// Whether `final_len` bytes could be committed now.
    pub(crate) fn may_commit(&self, final_len: u64) -> Result<(), StorageError> {
        let state = self.state.lock();
        if state.closed {
            return Err(StorageError::Closed);
        }
        if state.was_committed && state.end != Some(final_len) {
            return Err(StorageError::ReadOnly);
        }
        match state.coverage.next_gap(0, final_len) {
            Some(gap) => Err(StorageError::Incomplete { gap, final_len }),
            None => Ok(()),
        }
    }

    /// The resource is finished, unless a reader has found some of it lost since
    /// [`may_commit`](Self::may_commit) looked: then its writer is to bring that again, like what is lost later.
    pub(crate) fn commit(&self, final_len: u64) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        state.end = Some(final_len);
        state.coverage.remove(final_len..u64::MAX);
        state.was_committed = true;
        let gap = state.coverage.next_gap(0, final_len);
        if gap.is_none() {
            state.phase = Phase::Committed;
        }
        let woken = state.take_settled(|_| true);
        wake(state, woken);
        gap.map_or(Ok(()), |gap| {
            Err(StorageError::Incomplete { gap, final_len })
        })
    }

    /// The writer gave up.
    pub(crate) fn fail(&self, cause: StdArc<dyn Error + Send + Sync>) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Committed) {
            state.phase = Phase::Failed(cause);
            let woken = state.take_settled(|_| true);
            wake(state, woken);
        }
    }

    /// The writer is gone.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.has_writer = false;
        if matches!(state.phase, Phase::Active) {
            // What was committed once misses bytes only because they were lost.
            state.phase = if state.was_committed {
                Phase::Committed
            } else {
                Phase::Abandoned
            };
            let woken = state.take_settled(|_| true);
            wake(state, woken);
        }
    }

    /// The writer goes on after a failure.
    pub(crate) fn reactivate(&self) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Failed(_)) {
            state.phase = Phase::Active;
        }
    }

    // ---- anybody's side ----

    /// Ends all waits, now and later.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let woken = state.take_settled(|_| true);
        wake(state, woken);
    }

    /// Wakes everybody to look again.
    pub(crate) fn interrupt_all(&self) {
        let mut state = self.state.lock();
        let woken = state.waiters.take(|_| true);
        wake(state, woken);
    }

    pub(crate) fn status(&self) -> ResourceStatus {
        let state = self.state.lock();
        match (&state.phase, state.end) {
            _ if state.closed => ResourceStatus::Closed,
            (Phase::Committed, end) => ResourceStatus::Committed {
                final_len: end.unwrap_or_default(),
            },
            (Phase::Active, _) => ResourceStatus::Active,
            (Phase::Failed(cause), _) => ResourceStatus::Failed(cause.clone()),
            (Phase::Abandoned, end) => {
                let end = end.unwrap_or(u64::MAX);
                let range = state.coverage.next_gap(0, end).unwrap_or(end..end);
                ResourceStatus::Failed(StdArc::new(StorageError::Abandoned { range }))
            }
        }
    }

    pub(crate) fn coverage(&self) -> Coverage {
        self.state.lock().coverage.clone()
    }

    pub(crate) fn covered_from(&self, offset: u64) -> u64 {
        self.state.lock().coverage.covered_from(offset)
    }

    pub(crate) fn committed_len(&self) -> Option<u64> {
        self.state.lock().committed_len()
    }

    // ---- the readers' side ----

    /// Blocks the thread until there is an answer for `range`, or until the interrupt is raised.
    pub(crate) fn wait(
        &self,
        range: &Range<u64>,
        interrupt: &Interrupt,
    ) -> Result<WaitOutcome, StorageError> {
        if let Some(answer) = self.state.lock().answer(range) {
            return answer;
        }
        let waker = thread_waker();
        let mut id = None;
        loop {
            // Raising an interrupt takes the registered waker away, so it is registered anew each time round, and always
            // before the flag is read.
            interrupt.register(&waker);
            {
                let mut state = self.state.lock();
                if let Some(answer) = state.answer(range) {
                    state.waiters.sign_off(id);
                    return answer;
                }
                if interrupt.is_raised() {
                    state.waiters.sign_off(id);
                    return Ok(WaitOutcome::Interrupted);
                }
                id = Some(state.waiters.sign_up(id, range, &waker));
            }
            // An unpark since signing up has left its token: this returns at once. Waking for nothing is harmless too.
            park();
        }
    }

    /// The answer for `range`, or a promise to wake the task when there is one.
    pub(crate) fn poll(
        &self,
        cx: &Context<'_>,
        range: &Range<u64>,
    ) -> Poll<Result<WaitOutcome, StorageError>> {
        let mut state = self.state.lock();
        if let Some(answer) = state.answer(range) {
            return Poll::Ready(answer);
        }
        let evicted = state.waiters.sign_up_poll(range, cx.waker());
        drop(state);
        if let Some(waker) = evicted {
            waker.wake();
        }
        Poll::Pending
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiters.len()
    }
}

/// What of a write is still to be written. Covered bytes never change, so that a reader needs no lock to copy them.
pub(crate) enum Missing {
    Nothing,
    All,
    Parts(Vec<Range<u64>>),
}

impl State {
    fn committed_len(&self) -> Option<u64> {
        self.end.filter(|_| matches!(self.phase, Phase::Committed))
    }

    /// What a wait for `range` comes to, or `None` while that is open.
    fn answer(&self, range: &Range<u64>) -> Option<Result<WaitOutcome, StorageError>> {
        if self.closed {
            return Some(Err(StorageError::Closed));
        }
        if self.end.is_some_and(|end| range.start >= end) {
            return Some(Ok(WaitOutcome::Eof));
        }
        let limit = range.end.min(self.end.unwrap_or(u64::MAX));
        // The common case asks one question of the set and allocates nothing.
        if self.coverage.contains(range.start..limit) {
            return Some(Ok(WaitOutcome::Ready));
        }
        if matches!(self.phase, Phase::Active) {
            return None;
        }
        let range = self.coverage.next_gap(range.start, limit)?;
        Some(Err(match &self.phase {
            Phase::Active => return None,
            Phase::Committed => StorageError::Lost {
                range,
                place: Place::default(),
            },
            Phase::Failed(cause) => StorageError::Failed {
                range,
                cause: cause.clone(),
            },
            Phase::Abandoned => StorageError::Abandoned { range },
        }))
    }

    /// Takes out the wakers of those `concerned` who now have an answer.
    fn take_settled(&mut self, concerned: impl Fn(&Range<u64>) -> bool) -> Vec<Waker> {
        let mut waiters = mem::take(&mut self.waiters);
        let woken = waiters.take(|range| concerned(range) && self.answer(range).is_some());
        self.waiters = waiters;
        woken
    }
}

/// Wakes after the lock is released, so that nobody wakes up only to wait for it.
fn wake(state: MutexGuard<'_, State>, wakers: Vec<Waker>) {
    drop(state);
    for waker in wakers {
        waker.wake();
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::waiters::MAX_POLLED;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: StdArc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Counter {
        fn wakes(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// Polls once with a task of its own, and forgets the task as a dropped future does.
    fn poll(gate: &Gate, range: Range<u64>) -> (bool, StdArc<Counter>) {
        let counter = StdArc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        (
            gate.poll(&Context::from_waker(&waker), &range).is_ready(),
            counter,
        )
    }

    /// Runs a blocking wait on a thread, and `then` once it is signed up.
    fn blocked(
        range: Range<u64>,
        then: impl FnOnce(&Gate, &Interrupt),
    ) -> Result<WaitOutcome, StorageError> {
        let (gate, interrupt) = (Gate::new(), Interrupt::new());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.wait(&range, &interrupt));
            while gate.waiting() == 0 {
                std::thread::yield_now();
            }
            then(&gate, &interrupt);
            let answer = waiting.join().unwrap();
            assert_eq!(gate.waiting(), 0, "a thread signs off when it leaves");
            answer
        })
    }

    #[test]
    fn a_blocked_thread_goes_on_when_its_whole_range_is_there() {
        let answer = blocked(10..20, |gate, _| {
            gate.cover(&[0..5], &[]);
            gate.cover(&[15..30], &[]);
            assert_eq!(gate.waiting(), 1, "half of its range does not wake it");
            gate.cover(&[5..15], &[]);
        });
        assert_eq!(answer.unwrap(), WaitOutcome::Ready);
    }

    #[test]
    fn a_blocked_thread_sees_the_end_the_failure_the_desertion_and_the_close() {
        assert_eq!(
            blocked(10..20, |gate, _| gate.end_at(10)).unwrap(),
            WaitOutcome::Eof
        );
        let failed = blocked(10..20, |gate, _| gate.fail(StdArc::new(std::fmt::Error)));
        assert!(matches!(failed, Err(StorageError::Failed { range, .. }) if range == (10..20)));
        let abandoned = blocked(10..20, |gate, _| {
            gate.cover(&[10..12], &[]);
            gate.abandon();
        });
        assert!(matches!(abandoned, Err(StorageError::Abandoned { range }) if range == (12..20)));
        assert!(matches!(
            blocked(10..20, |gate, _| gate.close()),
            Err(StorageError::Closed)
        ));
    }

    #[test]
    fn a_blocked_thread_is_interrupted_also_when_the_interrupt_was_raised_and_cleared_before() {
        let answer = blocked(10..20, |gate, interrupt| {
            interrupt.raise();
            interrupt.clear();
            gate.interrupt_all();
            interrupt.raise();
        });
        assert_eq!(answer.unwrap(), WaitOutcome::Interrupted);
    }

    #[test]
    fn waking_everybody_lets_nobody_pass_who_has_no_answer() {
        let answer = blocked(10..20, |gate, _| {
            for _ in 0..100 {
                gate.interrupt_all();
            }
            gate.cover(&[10..20], &[]);
        });
        assert_eq!(answer.unwrap(), WaitOutcome::Ready);
    }

    #[test]
    fn progress_elsewhere_wakes_nobody() {
        let gate = Gate::new();
        let tasks: Vec<_> = (0..50)
            .map(|n| poll(&gate, n * 10..n * 10 + 10).1)
            .collect();
        gate.cover(&[70..80], &[]);
        gate.cover(&[105..118], &[]);
        let woken: Vec<_> = tasks.iter().map(|task| task.wakes()).collect();
        assert!(
            woken
                .iter()
                .enumerate()
                .all(|(n, wakes)| *wakes == usize::from(n == 7)),
            "{woken:?}"
        );
        assert_eq!(gate.waiting(), 49);
    }

    #[test]
    fn dropped_polls_do_not_pile_up_and_make_room_by_being_woken() {
        let gate = Gate::new();
        let tasks: Vec<_> = (0..10_000).map(|n| poll(&gate, n..n + 1).1).collect();
        assert_eq!(gate.waiting(), MAX_POLLED);
        assert!(
            tasks[..tasks.len() - MAX_POLLED]
                .iter()
                .all(|task| task.wakes() == 1)
        );
        assert!(
            tasks[tasks.len() - MAX_POLLED..]
                .iter()
                .all(|task| task.wakes() == 0)
        );
    }

    #[test]
    fn a_task_polled_again_signs_up_once_but_may_wait_for_two_ranges() {
        let gate = Gate::new();
        let counter = StdArc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        let cx = Context::from_waker(&waker);
        for _ in 0..10 {
            assert!(gate.poll(&cx, &(0..10)).is_pending());
            assert!(gate.poll(&cx, &(20..30)).is_pending());
        }
        assert_eq!(gate.waiting(), 2);
        gate.cover(&[20..30], &[]);
        assert_eq!((counter.wakes(), gate.waiting()), (1, 1));
    }

    #[test]
    fn bytes_lost_while_it_is_being_committed_are_waited_for() {
        let gate = Gate::new();
        gate.cover(&[0..10], &[]);
        gate.may_commit(10).unwrap();
        gate.lose(3..5);
        assert!(
            matches!(gate.commit(10), Err(StorageError::Incomplete { gap, .. }) if gap == (3..5))
        );
        assert!(!poll(&gate, 3..4).0, "its writer may bring them");
        assert!(poll(&gate, 10..11).0, "its end is known");
        gate.cover(&[3..5], &[]);
        gate.commit(10).unwrap();
        assert_eq!(gate.committed_len(), Some(10));
    }

    #[test]
    fn bytes_lost_after_the_commit_never_block_anyone() {
        let gate = Gate::committed(100);
        gate.lose(50..60);
        assert!(
            matches!(gate.wait(&(40..60), &Interrupt::new()), Err(StorageError::Lost { range, .. }) if range == (50..60))
        );
        assert!(!poll(&Gate::new(), 0..1).0);
    }
}
