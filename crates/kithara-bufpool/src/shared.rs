//! A pool that many owners share.

use std::fmt;
use std::sync::Arc;

use crate::{Pool, PoolLimits, Pooled, PooledOwned, PooledSlice, PooledSliceOwned, Reuse};

/// A pool of reusable values. Clones share the same values.
///
/// All methods are safe from any thread. They lock a mutex for a push or a pop and may allocate or free when the pool is
/// empty or full, so none belongs on an audio thread.
pub struct SharedPool<const SHARDS: usize, T: Reuse> {
    pool: Arc<Pool<SHARDS, T>>,
}

impl<const SHARDS: usize, T: Reuse> SharedPool<SHARDS, T> {
    /// An empty pool.
    pub fn new(limits: PoolLimits) -> Self {
        Self {
            pool: Arc::new(Pool::new(limits)),
        }
    }

    /// An empty value that returns when it is dropped. Its capacity is whatever its last user needed.
    pub fn get(&self) -> Pooled<'_, SHARDS, T> {
        self.pool.get()
    }

    /// A value prepared by `init`, for example `|buf| buf.resize(4096, 0)`.
    pub fn get_with(&self, init: impl FnOnce(&mut T)) -> Pooled<'_, SHARDS, T> {
        let mut value = self.get();
        init(&mut value);
        value
    }

    /// An empty value that keeps the pool alive, to store or to send away.
    pub fn get_owned(&self) -> PooledOwned<SHARDS, T> {
        PooledOwned::new(self.clone(), self.pool.take())
    }

    /// A prepared value that keeps the pool alive.
    pub fn get_owned_with(&self, init: impl FnOnce(&mut T)) -> PooledOwned<SHARDS, T> {
        let mut value = self.get_owned();
        init(&mut value);
        value
    }

    /// Puts a value in, whether it came from here or not.
    pub fn recycle(&self, value: T) {
        self.pool.recycle(value);
    }

    /// Wraps a value from elsewhere, so that it comes here when it is dropped.
    pub fn attach(&self, value: T) -> PooledOwned<SHARDS, T> {
        PooledOwned::new(self.clone(), value)
    }

    /// The pool itself: what it holds and may hold.
    pub fn pool(&self) -> &Pool<SHARDS, T> {
        &self.pool
    }
}

impl<const SHARDS: usize, E: Copy + Default + Send> SharedPool<SHARDS, Vec<E>> {
    /// Room for `len` elements, none filled yet.
    pub fn get_slice(&self, len: usize) -> PooledSlice<'_, SHARDS, E> {
        PooledSlice::new(self.get(), len)
    }

    /// Room for `len` elements, none filled yet, keeping the pool alive.
    pub fn get_slice_owned(&self, len: usize) -> PooledSliceOwned<SHARDS, E> {
        PooledSliceOwned::new(self.get_owned(), len)
    }
}

impl<const SHARDS: usize, T: Reuse> Clone for SharedPool<SHARDS, T> {
    fn clone(&self) -> Self {
        Self {
            pool: Arc::clone(&self.pool),
        }
    }
}

impl<const SHARDS: usize, T: Reuse> fmt::Debug for SharedPool<SHARDS, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> SharedPool<2, Vec<u8>> {
        SharedPool::new(PoolLimits {
            buffers_per_shard: 8,
            bytes_per_buffer: 4096,
            idle_bytes: 65536,
        })
    }

    #[test]
    fn an_owned_value_outlives_its_pool_and_may_change_threads() {
        let shared = pool();
        let owned = shared.get_owned_with(|buf| buf.extend_from_slice(b"abc"));
        drop(shared);
        let back = std::thread::spawn(move || owned).join().unwrap();
        assert_eq!(*back, b"abc");
    }

    #[test]
    fn an_attached_value_comes_to_the_pool() {
        let shared = pool();
        drop(shared.attach(Vec::with_capacity(123)));
        assert_eq!(shared.pool().idle_bytes(), 123);
    }

    #[test]
    fn a_kept_value_does_not_come_back() {
        let shared = pool();
        let kept = shared.get_with(|buf| buf.push(1)).into_inner();
        let owned = shared.get_owned_with(|buf| buf.push(2)).into_inner();
        assert_eq!(
            (kept, owned, shared.pool().idle_buffers()),
            (vec![1], vec![2], 0)
        );
    }

    #[test]
    fn a_clone_is_another_buffer_of_the_same_pool() {
        let shared = pool();
        let first = shared.get_owned_with(|buf| buf.push(9));
        let second = first.clone();
        assert_eq!(first, second);
        drop((first, second));
        assert_eq!(shared.pool().idle_buffers(), 2);
    }

    #[test]
    fn a_handle_reads_as_the_bytes_it_holds() {
        fn total(bytes: impl AsRef<[u8]>) -> u32 {
            bytes.as_ref().iter().map(|byte| u32::from(*byte)).sum()
        }
        let shared = pool();
        let mut buf = shared.get_owned();
        buf.extend_from_slice(&[1, 2, 3]);
        assert_eq!(format!("{buf:?}"), "[1, 2, 3]");
        assert_eq!(total(buf), 6);
    }
}
