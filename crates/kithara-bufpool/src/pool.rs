//! The shards and their byte budget.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::{Pooled, Reuse};

/// How much a pool may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// The most idle buffers in one shard.
    pub buffers_per_shard: usize,
    /// The most memory of one idle buffer, in bytes: what is larger is trimmed when it comes back.
    pub bytes_per_buffer: usize,
    /// The most memory of all idle buffers together, in bytes: what exceeds it is freed when it comes back.
    pub idle_bytes: usize,
}

/// The shards of a pool. Most users want [`SharedPool`](crate::SharedPool).
///
/// Buffers in use are nobody's concern here; the limits are about idle ones.
pub struct Pool<const SHARDS: usize, T> {
    // Any thread takes from and returns to any shard, so a message to an owner would cost more than the lock.
    shards: [Mutex<Vec<T>>; SHARDS],
    limits: PoolLimits,
    /// What the idle buffers hold, in bytes. Raised before a buffer goes in and lowered after it is out, so that the sum of
    /// what lies in the shards never exceeds it.
    idle: AtomicUsize,
}

impl<const SHARDS: usize, T: Reuse> Pool<SHARDS, T> {
    const HAS_SHARDS: () = assert!(SHARDS > 0, "a pool needs at least one shard");

    /// An empty pool. The places for idle buffers are allocated now, so that returning one allocates nothing.
    pub fn new(limits: PoolLimits) -> Self {
        let () = Self::HAS_SHARDS;
        let shards =
            std::array::from_fn(|_| Mutex::new(Vec::with_capacity(limits.buffers_per_shard)));
        Self {
            shards,
            limits,
            idle: AtomicUsize::new(0),
        }
    }

    /// A buffer that returns to this pool when it is dropped: an idle one, or a new one if there is none.
    pub fn get(&self) -> Pooled<'_, SHARDS, T> {
        Pooled::new(self, self.take())
    }

    /// Takes an idle value out for good, or makes a new one.
    pub fn take(&self) -> T {
        if self.idle.load(Ordering::Relaxed) == 0 {
            return T::default();
        }
        let home = home() % SHARDS;
        for step in 0..SHARDS {
            let value = self.shards[(home + step) % SHARDS].lock().pop();
            if let Some(value) = value {
                self.idle.fetch_sub(value.held_bytes(), Ordering::Relaxed);
                return value;
            }
        }
        T::default()
    }

    /// Puts a value in, whether it came from here or not. It is emptied and trimmed, and freed if the limits leave no
    /// room for it.
    pub fn recycle(&self, mut value: T) {
        if !value.reuse(self.limits.bytes_per_buffer) {
            return;
        }
        let bytes = value.held_bytes();
        // A value that holds nothing is no use, and would be idle without counting.
        if bytes == 0 || bytes > self.limits.bytes_per_buffer || !self.reserve(bytes) {
            return;
        }
        let mut shard = self.shards[home() % SHARDS].lock();
        if shard.len() < self.limits.buffers_per_shard {
            shard.push(value);
        } else {
            // Freed after the lock is gone: freeing may take the allocator's own.
            drop(shard);
            drop(value);
            self.idle.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// What the idle buffers hold, in bytes. Never more than [`PoolLimits::idle_bytes`].
    pub fn idle_bytes(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// How many buffers are idle.
    pub fn idle_buffers(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// How much this pool may keep.
    pub fn limits(&self) -> PoolLimits {
        self.limits
    }

    /// Takes `bytes` out of the budget if they fit.
    fn reserve(&self, bytes: usize) -> bool {
        let limit = self.limits.idle_bytes;
        let fits = |idle: usize| idle.checked_add(bytes).filter(|sum| *sum <= limit);
        self.idle
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
    }
}

impl<const SHARDS: usize, T: Reuse> fmt::Debug for Pool<SHARDS, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limits", &self.limits)
            .field("idle_bytes", &self.idle_bytes())
            .field("idle_buffers", &self.idle_buffers())
            .finish()
    }
}

/// The calling thread's number, from which its home shard follows. Threads are numbered in turn, so that they spread
/// evenly. The cell needs no destructor and so no allocation.
fn home() -> usize {
    const UNNUMBERED: usize = usize::MAX;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(UNNUMBERED) };
    }
    NUMBER.with(|number| {
        if number.get() == UNNUMBERED {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PoolLimits = PoolLimits {
        buffers_per_shard: 3,
        bytes_per_buffer: 1000,
        idle_bytes: 2500,
    };

    fn pool() -> Pool<4, Vec<u8>> {
        Pool::new(LIMITS)
    }

    #[test]
    fn a_returned_buffer_comes_back_empty_with_its_memory() {
        let pool = pool();
        let mut first = pool.get();
        first.extend_from_slice(&[7; 100]);
        let memory = first.as_ptr();
        drop(first);
        let second = pool.get();
        assert!(second.is_empty());
        assert_eq!((second.as_ptr(), second.capacity()), (memory, 100));
    }

    #[test]
    fn an_oversized_buffer_is_trimmed() {
        let pool = pool();
        pool.recycle(Vec::with_capacity(5000));
        assert_eq!(pool.take().capacity(), 1000);
    }

    #[test]
    fn idle_memory_never_exceeds_the_byte_budget() {
        let pool = pool();
        for _ in 0..10 {
            pool.recycle(Vec::with_capacity(900));
            assert!(pool.idle_bytes() <= LIMITS.idle_bytes);
        }
        assert_eq!((pool.idle_buffers(), pool.idle_bytes()), (2, 1800));
        pool.take();
        pool.recycle(Vec::with_capacity(600));
        assert_eq!((pool.idle_buffers(), pool.idle_bytes()), (2, 1500));
    }

    #[test]
    fn a_full_shard_frees_what_comes_back_and_gives_its_budget_back() {
        let pool = pool();
        for _ in 0..10 {
            pool.recycle(Vec::with_capacity(10));
        }
        assert_eq!((pool.idle_buffers(), pool.idle_bytes()), (3, 30));
    }

    #[test]
    fn what_holds_no_memory_is_not_kept() {
        let pool = pool();
        pool.recycle(Vec::new());
        drop(pool.get());
        assert_eq!((pool.idle_buffers(), pool.idle_bytes()), (0, 0));
        let units: Pool<1, Vec<()>> = Pool::new(LIMITS);
        units.recycle(vec![(); 9]);
        assert_eq!(units.idle_buffers(), 0);
    }

    #[test]
    fn a_thread_takes_what_another_returned() {
        let pool = pool();
        std::thread::scope(|scope| {
            scope.spawn(|| pool.recycle(Vec::with_capacity(77)));
        });
        assert_eq!(pool.take().capacity(), 77);
        assert_eq!(pool.idle_bytes(), 0);
    }

    #[test]
    fn threads_in_a_crowd_never_break_the_budget_or_lose_count() {
        let pool = pool();
        std::thread::scope(|scope| {
            for seed in 1..=8usize {
                let pool = &pool;
                scope.spawn(move || {
                    for step in 0..2000 {
                        let mut one = pool.get();
                        let mut two = pool.get();
                        one.reserve((seed * 131 + step * 17) % 1500);
                        two.reserve((seed * 31 + step * 7) % 300);
                        assert!(pool.idle_bytes() <= LIMITS.idle_bytes);
                    }
                });
            }
        });
        let counted = pool.idle_bytes();
        let held: usize = (0..pool.idle_buffers())
            .map(|_| pool.take().held_bytes())
            .sum();
        assert_eq!((counted, pool.idle_bytes()), (held, 0));
    }
}
