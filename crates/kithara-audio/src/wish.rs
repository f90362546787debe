//! The newest seek somebody wished for, handed to the decode thread without a lock.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use kithara_decode::SeekMode;

/// One seek.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) id: u64,
    pub(crate) target: Duration,
    pub(crate) mode: SeekMode,
}

/// A cell that keeps the newest wish. Any thread wishes, the decode thread takes.
///
/// The id of a wish is also the epoch of what is decoded after it: whoever compares [`newest`](Self::newest) with the
/// epoch of a frame knows whether the frame is stale, from the moment the wish is made.
#[derive(Debug)]
pub(crate) struct Wishes {
    newest: AtomicU64,
    cell: ArrayQueue<Wish>,
    /// For display only: the low bits of the id of the newest wish and its target in microseconds, in one word, so
    /// that no reader sees the one without the other.
    shown: AtomicU64,
}

const TARGET_BITS: u32 = 44;
const TARGET_MAX: u64 = (1 << TARGET_BITS) - 1;

impl Wishes {
    /// No wish yet; the epoch is `id`.
    pub(crate) fn starting_at(id: u64) -> Self {
        Self {
            newest: AtomicU64::new(id),
            cell: ArrayQueue::new(1),
            shown: AtomicU64::new(id << TARGET_BITS),
        }
    }

    /// Makes a wish; from now on everything decoded for an older one is stale.
    pub(crate) fn make(&self, target: Duration, mode: SeekMode) -> u64 {
        let id = self.newest.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        // Pairs with the fence in `Shared::is_unwanted`: an interrupt that is cleared there was raised for a wish that
        // is seen there.
        fence(Ordering::SeqCst);
        self.show(id, target);
        let mut hand = Wish { id, target, mode };
        // Somebody with a newer wish may have been faster: the newer of the two stays.
        while let Some(other) = self.cell.force_push(hand) {
            if !is_newer(other.id, hand.id) {
                break;
            }
            hand = other;
        }
        id
    }

    /// The id of the newest wish, taken or not.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// The newest wish, if it has arrived: its maker may still hold it, and will wake the decode thread after.
    pub(crate) fn take(&self) -> Option<Wish> {
        let wish = self.cell.pop()?;
        (wish.id == self.newest()).then_some(wish)
    }

    /// Whether there is a wish to be taken.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.cell.is_empty()
    }

    /// The target of the newest wish, to the microsecond.
    pub(crate) fn shown(&self) -> Duration {
        Duration::from_micros(self.shown.load(Ordering::Relaxed) & TARGET_MAX)
    }

    fn show(&self, id: u64, target: Duration) {
        let micros = u64::try_from(target.as_micros())
            .unwrap_or(u64::MAX)
            .min(TARGET_MAX);
        let word = (id << TARGET_BITS) | micros;
        let mut seen = self.shown.load(Ordering::Relaxed);
        // Tags compare shifted to the top, where their difference wraps as that of whole ids does.
        while !is_newer(seen & !TARGET_MAX, word & !TARGET_MAX) {
            match self
                .shown
                .compare_exchange_weak(seen, word, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
    }
}

/// Whether `a` was given out after `b`. Holds across the wrap of the counter.
fn is_newer(a: u64, b: u64) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 63
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    #[test]
    fn the_newest_wish_survives_the_wrap_of_the_counter() {
        let wishes = Wishes::starting_at(u64::MAX - 10);
        for step in 0..32 {
            let target = Duration::from_millis(step);
            let id = wishes.make(target, SeekMode::Exact);
            assert_eq!(id, (u64::MAX - 10).wrapping_add(step + 1));
            assert_eq!(wishes.newest(), id);
            assert_eq!(wishes.shown(), target);
            let mode = SeekMode::Exact;
            assert_eq!(wishes.take(), Some(Wish { id, target, mode }));
        }
        assert_eq!(wishes.take(), None);
    }

    #[test]
    fn the_newest_of_many_makers_is_taken_last_and_whole() {
        for start in [0, u64::MAX - 1000] {
            let wishes = Arc::new(Wishes::starting_at(start));
            let barrier = Arc::new(Barrier::new(5));
            let done = Arc::new(AtomicBool::new(false));
            let makers: Vec<_> = (0..4)
                .map(|_| {
                    let (wishes, barrier) = (Arc::clone(&wishes), Arc::clone(&barrier));
                    thread::spawn(move || {
                        barrier.wait();
                        for _ in 0..2000 {
                            // The target repeats the id that this wish is likely to get; a torn wish shows.
                            wishes.make(Duration::from_secs(7), SeekMode::Fast);
                            wishes.make(Duration::from_secs(9), SeekMode::Exact);
                        }
                    })
                })
                .collect();
            let taker = {
                let (wishes, barrier, done) =
                    (Arc::clone(&wishes), Arc::clone(&barrier), Arc::clone(&done));
                thread::spawn(move || {
                    let mut last = None;
                    barrier.wait();
                    loop {
                        let finished = done.load(Ordering::Acquire);
                        while let Some(wish) = wishes.take() {
                            let whole = match wish.mode {
                                SeekMode::Fast => 7,
                                SeekMode::Exact => 9,
                            };
                            assert_eq!(wish.target, Duration::from_secs(whole));
                            assert!(last.is_none_or(|last| is_newer(wish.id, last)));
                            last = Some(wish.id);
                        }
                        if finished {
                            return last;
                        }
                    }
                })
            };
            for maker in makers {
                maker.join().unwrap();
            }
            done.store(true, Ordering::Release);
            assert_eq!(taker.join().unwrap(), Some(start.wrapping_add(16_000)));
            assert_eq!(wishes.newest(), start.wrapping_add(16_000));
        }
    }
}
