//! An input, read as decisions.

/// The input, read number by number; zeros at its end.
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One of so many.
    pub(crate) fn choice(&mut self, of: usize) -> usize {
        usize::from(self.byte()) % of.max(1)
    }

    /// Yes so many times out of 256, and never at the end of the input.
    pub(crate) fn chance(&mut self, of_256: u8) -> bool {
        self.byte() > 255 - of_256
    }

    /// A number of every size, small ones as likely as large ones.
    pub(crate) fn number(&mut self, limit: u64) -> u64 {
        let shift = u32::from(self.byte() % 40);
        let value = u64::from(self.byte()) << 8 | u64::from(self.byte());
        (value << shift) % limit.max(1)
    }
}
