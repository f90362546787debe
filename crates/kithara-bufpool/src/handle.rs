//! Handles that return their value to the pool when they are dropped.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};

use crate::{Pool, Reuse, SharedPool};

/// A value on loan from a pool that it borrows.
pub struct Pooled<'a, const SHARDS: usize, T: Reuse> {
    pool: &'a Pool<SHARDS, T>,
    value: T,
}

impl<'a, const SHARDS: usize, T: Reuse> Pooled<'a, SHARDS, T> {
    pub(crate) fn new(pool: &'a Pool<SHARDS, T>, value: T) -> Self {
        Self { pool, value }
    }
}

impl<const SHARDS: usize, T: Reuse> Pooled<'_, SHARDS, T> {
    /// Keeps the value: it doesn't return to the pool.
    pub fn into_inner(mut self) -> T {
        // What is left behind holds no memory, and the pool keeps no such thing.
        mem::take(&mut self.value)
    }
}

impl<const SHARDS: usize, T: Reuse> Drop for Pooled<'_, SHARDS, T> {
    fn drop(&mut self) {
        self.pool.recycle(mem::take(&mut self.value));
    }
}

/// A value on loan from a [`SharedPool`], which it keeps alive: it may be stored and sent to other threads.
pub struct PooledOwned<const SHARDS: usize, T: Reuse> {
    pool: SharedPool<SHARDS, T>,
    value: T,
}

impl<const SHARDS: usize, T: Reuse> PooledOwned<SHARDS, T> {
    pub(crate) fn new(pool: SharedPool<SHARDS, T>, value: T) -> Self {
        Self { pool, value }
    }

    /// Keeps the value: it doesn't return to the pool.
    pub fn into_inner(mut self) -> T {
        mem::take(&mut self.value)
    }
}

impl<const SHARDS: usize, T: Reuse> Drop for PooledOwned<SHARDS, T> {
    fn drop(&mut self) {
        self.pool.recycle(mem::take(&mut self.value));
    }
}

/// A copy in another buffer of the same pool.
impl<const SHARDS: usize, T: Reuse + Clone> Clone for PooledOwned<SHARDS, T> {
    fn clone(&self) -> Self {
        let mut copy = self.pool.get_owned();
        copy.value.clone_from(&self.value);
        copy
    }
}

macro_rules! impl_handle {
    ([$($generics:tt)*] $handle:ty) => {
        impl<$($generics)* T: Reuse> Deref for $handle {
            type Target = T;

            fn deref(&self) -> &T {
                &self.value
            }
        }

        impl<$($generics)* T: Reuse> DerefMut for $handle {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.value
            }
        }

        impl<$($generics)* T: Reuse + AsRef<U>, U: ?Sized> AsRef<U> for $handle {
            fn as_ref(&self) -> &U {
                self.value.as_ref()
            }
        }

        impl<$($generics)* T: Reuse + AsMut<U>, U: ?Sized> AsMut<U> for $handle {
            fn as_mut(&mut self) -> &mut U {
                self.value.as_mut()
            }
        }

        impl<$($generics)* T: Reuse + PartialEq> PartialEq for $handle {
            fn eq(&self, other: &Self) -> bool {
                self.value == other.value
            }
        }

        impl<$($generics)* T: Reuse + fmt::Debug> fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.value.fmt(f)
            }
        }
    };
}

impl_handle!([const SHARDS: usize,] Pooled<'_, SHARDS, T>);
impl_handle!([const SHARDS: usize,] PooledOwned<SHARDS, T>);
