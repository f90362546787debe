//! Buffers of a fixed size that are filled bit by bit.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::{Pooled, PooledOwned};

macro_rules! slice_handle {
    ($(#[$doc:meta])* $name:ident [$($lifetime:lifetime)?] over $handle:ty) => {
        $(#[$doc])*
        pub struct $name<$($lifetime,)? const SHARDS: usize, E: Copy + Default + Send> {
            /// Always as long as the room; the first `filled` of it are the contents.
            room: $handle,
            filled: usize,
        }

        impl<$($lifetime,)? const SHARDS: usize, E: Copy + Default + Send> $name<$($lifetime,)? SHARDS, E> {
            pub(crate) fn new(mut room: $handle, len: usize) -> Self {
                room.resize(len, E::default());
                Self { room, filled: 0 }
            }

            /// How many elements fit in all.
            pub fn room(&self) -> usize {
                self.room.len()
            }

            /// Whether no room is left.
            pub fn is_full(&self) -> bool {
                self.filled == self.room()
            }

            /// The room behind what is filled. Call [`advance`](Self::advance) after writing to it.
            pub fn unfilled_mut(&mut self) -> &mut [E] {
                &mut self.room[self.filled..]
            }

            /// Counts `count` more elements as filled.
            ///
            /// # Panics
            /// If there isn't room for as many.
            pub fn advance(&mut self, count: usize) {
                assert!(count <= self.room() - self.filled, "{count} elements don't fit");
                self.filled += count;
            }

            /// Copies as much of `from` as fits; returns how many elements that were.
            pub fn fill_from(&mut self, from: &[E]) -> usize {
                let unfilled = self.unfilled_mut();
                let count = from.len().min(unfilled.len());
                unfilled[..count].copy_from_slice(&from[..count]);
                self.filled += count;
                count
            }

            /// Keeps the first `len` filled elements; does nothing if there are fewer.
            pub fn truncate(&mut self, len: usize) {
                self.filled = self.filled.min(len);
            }

            /// The buffer, as long as what is filled.
            pub fn into_buffer(mut self) -> $handle {
                self.room.truncate(self.filled);
                self.room
            }
        }

        /// What is filled.
        impl<$($lifetime,)? const SHARDS: usize, E: Copy + Default + Send> Deref for $name<$($lifetime,)? SHARDS, E> {
            type Target = [E];

            fn deref(&self) -> &[E] {
                &self.room[..self.filled]
            }
        }

        impl<$($lifetime,)? const SHARDS: usize, E: Copy + Default + Send> DerefMut for $name<$($lifetime,)? SHARDS, E> {
            fn deref_mut(&mut self) -> &mut [E] {
                &mut self.room[..self.filled]
            }
        }

        impl<$($lifetime,)? const SHARDS: usize, E: Copy + Default + Send> AsRef<[E]> for $name<$($lifetime,)? SHARDS, E> {
            fn as_ref(&self) -> &[E] {
                self
            }
        }

        impl<$($lifetime,)? const SHARDS: usize, E: Copy + Default + Send + fmt::Debug> fmt::Debug
            for $name<$($lifetime,)? SHARDS, E>
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

slice_handle! {
    /// A pooled buffer of a fixed size that tracks how much of it is filled, for reads that return less than asked for.
    ///
    /// It reads as the filled part.
    PooledSlice ['a] over Pooled<'a, SHARDS, Vec<E>>
}

slice_handle! {
    /// A [`PooledSlice`] that keeps the pool alive, to store or to send away.
    PooledSliceOwned [] over PooledOwned<SHARDS, Vec<E>>
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use crate::byte_pool;

    #[test]
    fn a_short_read_is_tracked() {
        let mut slice = byte_pool().get_slice(8);
        let got = (&b"abc"[..]).read(slice.unfilled_mut()).unwrap();
        slice.advance(got);
        assert_eq!(
            (&*slice, slice.room(), slice.is_full()),
            (&b"abc"[..], 8, false)
        );
        assert_eq!(slice.fill_from(b"defghijk"), 5);
        assert_eq!((&*slice, slice.is_full()), (&b"abcdefgh"[..], true));
        slice.truncate(2);
        assert_eq!(&*slice, b"ab");
    }

    #[test]
    fn a_reused_slice_shows_nothing_of_its_last_user() {
        let mut first = byte_pool().get_slice_owned(16);
        first.fill_from(&[0xAA; 16]);
        drop(first);
        let mut second = byte_pool().get_slice_owned(16);
        assert!(second.is_empty());
        assert_eq!(second.unfilled_mut(), [0; 16]);
    }

    #[test]
    fn the_buffer_taken_out_is_as_long_as_what_was_filled() {
        let mut slice = byte_pool().get_slice_owned(100);
        slice.fill_from(b"xyz");
        assert_eq!(*slice.into_buffer(), b"xyz");
    }

    #[test]
    #[should_panic(expected = "don't fit")]
    fn more_than_fits_cannot_be_counted() {
        byte_pool().get_slice(4).advance(5);
    }
}
