//! Stored bytes that are asked for again, to tell whether the origin still has the same content.

use std::ops::Range;

use kithara_storage::{ResourceExt, StorageResource};

/// What the first bytes of a transfer have to be.
pub(crate) struct Overlap {
    range: Range<u64>,
    /// Not read yet while there is one: reading may block on the disk.
    resource: Option<StorageResource>,
    expected: Vec<u8>,
}

impl Overlap {
    /// The stored bytes of `range`.
    pub(crate) fn new(range: Range<u64>, resource: StorageResource) -> Self {
        Self {
            range,
            resource: Some(resource),
            expected: Vec::new(),
        }
    }

    /// Nothing to compare.
    pub(crate) fn none() -> Self {
        Self {
            range: 0..0,
            resource: None,
            expected: Vec::new(),
        }
    }

    /// Reads what is stored, away from the I/O thread. What turns out to be lost can't be compared.
    pub(crate) async fn look(&mut self) {
        let (Some(resource), start) = (self.resource.take(), self.range.start) else {
            return;
        };
        let mut buf = vec![0; usize::try_from(self.range.end - start).unwrap_or(0)];
        let reading = tokio::task::spawn_blocking(move || {
            let count = resource.read_at(start, &mut buf).unwrap_or(0);
            buf.truncate(count);
            buf
        });
        // A runtime that is shutting down compares nothing any more.
        self.expected = reading.await.unwrap_or_default();
    }

    /// Whether every byte is known that is to be compared.
    pub(crate) fn is_known(&self) -> bool {
        self.expected.len() as u64 == self.range.end - self.range.start
    }

    /// Whether `bytes`, which belong at `offset`, are what is stored there, as far as that is known.
    pub(crate) fn agrees(&self, offset: u64, bytes: &[u8]) -> bool {
        let (stored, here) = (self.range.start, offset);
        let stored_end = stored + self.expected.len() as u64;
        let (from, to) = (stored.max(here), stored_end.min(here + bytes.len() as u64));
        from >= to
            || self.expected[(from - stored) as usize..(to - stored) as usize]
                == bytes[(from - here) as usize..(to - here) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_and_differs_is_a_difference() {
        let overlap = Overlap {
            range: 100..104,
            resource: None,
            expected: b"abcd".to_vec(),
        };
        for (offset, bytes, agrees) in [
            (100, &b"abcd"[..], true),
            (100, b"abcX", false),
            (100, b"abcdX", true),
            (98, b"XXab", true),
            (98, b"XXaX", false),
            (103, b"dX", true),
            (103, b"Xd", false),
            (104, b"XX", true),
            (90, b"XX", true),
            (0, b"", true),
        ] {
            assert_eq!(overlap.agrees(offset, bytes), agrees, "{offset} {bytes:?}");
        }
    }
}
