//! Seeded mutations of inputs.

/// Numbers that break arithmetic.
const AWKWARD: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];
/// Where most headers are.
const HEAD: usize = 600;

/// A xorshift generator, and what it does to bytes.
#[derive(Debug)]
pub struct Mutator(u64);

impl Mutator {
    /// The same seed gives the same mutations.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// An input made from one of the seeds, or from two.
    pub fn make(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        if self.below(3) > 0 {
            // Short files are quicker, and most of a long one is more of the same.
            let length = 64 + self.below(16 * 1024);
            bytes.truncate(length);
        }
        let other = &seeds[self.below(seeds.len())];
        for _ in 0..1 + self.below(6) {
            self.mutate(&mut bytes, other);
        }
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.place(bytes.len());
        match self.below(9) {
            0 | 1 => self.overwrite(bytes, at),
            2 => {
                let bit = 1 << self.below(8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bit;
                }
            }
            3 => {
                let value = self.next() as u8;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            4 => {
                let end = at + self.below(64).min(bytes.len() - at);
                bytes.drain(at..end);
            }
            5 => {
                let end = at + self.below(256).min(bytes.len() - at);
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            6 => {
                let from = self.below(other.len());
                let end = from + self.below(2048).min(other.len() - from);
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            7 => bytes.truncate(at),
            _ => {
                for index in [0, 1] {
                    // The flags that targets begin with.
                    let value = self.next() as u8;
                    if let Some(byte) = bytes.get_mut(index) {
                        *byte = value;
                    }
                }
            }
        }
    }

    /// An awkward number of some width in either order of bytes.
    fn overwrite(&mut self, bytes: &mut [u8], at: usize) {
        let value = AWKWARD[self.below(AWKWARD.len())].wrapping_add(self.below(3) as u64);
        let width = 1 << self.below(4);
        let mut written = value.to_le_bytes()[..width].to_vec();
        if self.below(2) == 0 {
            written.reverse();
        }
        for (byte, new) in bytes.iter_mut().skip(at).zip(written) {
            *byte = new;
        }
    }

    fn place(&mut self, length: usize) -> usize {
        if self.below(2) == 0 {
            self.below(length.min(HEAD))
        } else {
            self.below(length)
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
