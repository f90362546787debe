//! Memory whose size the input chooses: it is had, or that it is not is told. Nothing here ends the process.
//!
//! Whatever a file can make large is sized by these functions. What a small constant bounds (a text, the lacing of a block,
//! a codec's configuration, a list of notices) is not.

/// There is no memory for so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for {bytes} bytes")]
pub struct NoMemory {
    /// How many bytes could not be had in one piece.
    pub bytes: u64,
}

impl NoMemory {
    fn of<T>(count: usize) -> Self {
        Self {
            bytes: (count as u64).saturating_mul(size_of::<T>() as u64),
        }
    }
}

/// An empty vector with room for `count` and no more.
pub(crate) fn room<T>(count: usize) -> Result<Vec<T>, NoMemory> {
    let mut vec = Vec::new();
    reserve_exact(&mut vec, count)?;
    Ok(vec)
}

/// A vector of the same items, without room to spare: a box of it is not another allocation.
pub(crate) fn copy<T: Copy>(items: &[T]) -> Result<Vec<T>, NoMemory> {
    let mut vec = room(items.len())?;
    vec.extend_from_slice(items);
    Ok(vec)
}

/// `Vec::push`. Where it fails, nothing has changed.
pub(crate) fn push<T>(vec: &mut Vec<T>, item: T) -> Result<(), NoMemory> {
    reserve(vec, 1)?;
    vec.push(item);
    Ok(())
}

/// `Vec::extend_from_slice`. Where it fails, nothing has changed.
pub(crate) fn extend<T: Copy>(vec: &mut Vec<T>, items: &[T]) -> Result<(), NoMemory> {
    reserve(vec, items.len())?;
    vec.extend_from_slice(items);
    Ok(())
}

/// `Vec::reserve`.
pub(crate) fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<(), NoMemory> {
    vec.try_reserve(more)
        .map_err(|_| NoMemory::of::<T>(vec.len().saturating_add(more)))
}

/// `Vec::reserve_exact`.
pub(crate) fn reserve_exact<T>(vec: &mut Vec<T>, more: usize) -> Result<(), NoMemory> {
    vec.try_reserve_exact(more)
        .map_err(|_| NoMemory::of::<T>(vec.len().saturating_add(more)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_error_that_says_how_much() {
        let missing = |bytes: usize| NoMemory {
            bytes: bytes as u64,
        };
        // More than any address space has.
        let absurd = usize::MAX / 2;
        assert_eq!(room::<u8>(absurd + 1), Err(missing(absurd + 1)));
        assert_eq!(
            room::<u64>(absurd / 8 + 1),
            Err(missing(absurd / 8 * 8 + 8))
        );
        assert_eq!(room::<u64>(usize::MAX), Err(missing(usize::MAX)));
        let mut vec = vec![1_u8, 2];
        assert_eq!(reserve(&mut vec, absurd), Err(missing(absurd + 2)));
        assert_eq!(reserve_exact(&mut vec, absurd), Err(missing(absurd + 2)));
        assert_eq!(reserve(&mut vec, usize::MAX), Err(missing(usize::MAX)));
        assert_eq!(vec, [1, 2], "nothing has changed");
        assert_eq!(missing(7).to_string(), "no memory for 7 bytes");
    }

    #[test]
    fn what_can_be_had_is_what_a_vector_would_hold() {
        let mut vec = copy(&[1_u16, 2, 3]).expect("six bytes");
        assert_eq!(vec.capacity(), 3, "nothing to spare");
        push(&mut vec, 4).expect("two bytes");
        extend(&mut vec, &[5, 6]).expect("four bytes");
        assert_eq!(vec, [1, 2, 3, 4, 5, 6]);
        let empty: Vec<u64> = room(100).expect("800 bytes");
        assert!(empty.is_empty() && empty.capacity() >= 100);
        assert_eq!(copy::<u8>(&[]), Ok(Vec::new()));
    }
}
