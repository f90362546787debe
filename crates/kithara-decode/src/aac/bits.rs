//! Bits, the most significant of each byte first.

/// Reads bits.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32.
    pub(super) fn take(&mut self, count: usize) -> Option<u32> {
        let value = self.peek(count)?;
        self.at += count;
        Some(value)
    }

    /// Goes on by so many bits, perhaps beyond the end.
    #[cfg(feature = "he-aac")]
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) fn peek(&self, count: usize) -> Option<u32> {
        self.peek_at(self.at, count)
    }

    pub(super) fn peek_at(&self, at: usize, count: usize) -> Option<u32> {
        (at..at + count).try_fold(0, |value, bit| {
            let byte = self.bytes.get(bit / 8)?;
            Some(value << 1 | u32::from(byte >> (7 - bit % 8) & 1))
        })
    }

    /// Goes on to a whole byte.
    pub(super) fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }
}

/// Writes bits; zeros fill the last byte.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    used: usize,
}

impl BitWriter {
    /// Begins with the first `count` bits of these.
    pub(super) fn copy(bytes: &[u8], count: usize) -> Self {
        let mut writer = Self::default();
        let bits = Bits::new(bytes);
        for at in 0..count {
            writer.put(1, bits.peek_at(at, 1).unwrap_or(0));
        }
        writer
    }

    /// Appends the lowest `count` bits of a value.
    pub(super) fn put(&mut self, count: u32, value: u32) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
