//! What a value must be able to do to live in a pool.

/// A value whose memory is worth keeping.
///
/// Its [`Default`] is the value of a new one and must allocate nothing: the pool leaves it behind whenever it moves a
/// value out of a handle.
pub trait Reuse: Default + Send {
    /// Forgets the contents and keeps at most `max_bytes` of memory. `false` means that it isn't worth keeping.
    fn reuse(&mut self, max_bytes: usize) -> bool;

    /// The memory it holds beyond itself, in bytes. Must not change while nobody touches the value.
    fn held_bytes(&self) -> usize;
}

/// Cleared; capacity beyond the limit is given back.
impl<T: Send> Reuse for Vec<T> {
    fn reuse(&mut self, max_bytes: usize) -> bool {
        self.clear();
        if self.held_bytes() > max_bytes {
            // At least 1 for types of no size, of which any number fits.
            self.shrink_to(max_bytes / size_of::<T>().max(1));
        }
        self.held_bytes() > 0
    }

    fn held_bytes(&self) -> usize {
        self.capacity().saturating_mul(size_of::<T>())
    }
}
