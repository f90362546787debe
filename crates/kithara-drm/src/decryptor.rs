//! Ciphertext in pieces of any size, from the start or from the middle of a segment.

use std::fmt;

use crate::cipher::{Chain, unpadded};
use crate::error::DrmError;
use crate::key::{BLOCK, DecryptContext, Key};

/// Which byte of ciphertext to fetch from, to have the plaintext from `plain` on: the start of the block before the one
/// that holds it, because a chain needs that block. 0 where there is none before.
#[must_use]
pub const fn ciphertext_start(plain: u64) -> u64 {
    (plain / BLOCK as u64).saturating_sub(1) * BLOCK as u64
}

/// Decrypts one segment as its bytes arrive.
///
/// It holds back at most 16 bytes: the newest block is given out when more ciphertext shows that it is not the last one,
/// whose padding is no media. The sum of what it gives out is the same for every slicing of the input.
///
/// It neither blocks nor allocates. Standard: RFC 8216 §4.3.2.4 (AES-128, CBC, PKCS7 padding).
///
/// ```
/// use kithara_drm::{DecryptContext, Decryptor, Iv, Key};
///
/// let key = Key::from_response(b"0123456789abcdef")?;
/// let context = DecryptContext::new(key, Iv::from_sequence(7));
/// let mut decryptor = Decryptor::new(&context);
/// let mut plain = [0; 64];
/// for piece in [&[1u8, 2, 3][..], &[4; 29]] {
///     let room = decryptor.output_len(piece.len());
///     let given = decryptor.update(piece, &mut plain[..room])?;
///     assert_eq!(given, room);
/// }
/// // 32 bytes that nobody has encrypted end in no padding.
/// assert!(decryptor.finish(&mut plain).is_err());
/// # Ok::<(), kithara_drm::DrmError>(())
/// ```
pub struct Decryptor {
    /// Wiped when dropped, as its chain is. Needed for the chain of a resumed segment, which begins with its first block.
    key: Key,
    /// None until the block of ciphertext came that the chain of a resumed segment begins with.
    chain: Option<Chain>,
    /// The newest ciphertext.
    held: [u8; BLOCK],
    /// How much of it there is: never 0 once any came.
    holds: usize,
    /// Bytes of the first block in front of the place that was asked for.
    skip: usize,
}

impl Decryptor {
    /// From the first byte of a segment.
    #[must_use]
    pub fn new(context: &DecryptContext) -> Self {
        Self {
            key: context.key().clone(),
            chain: Some(Chain::of(context)),
            held: [0; BLOCK],
            holds: 0,
            skip: 0,
        }
    }

    /// From the middle: takes ciphertext from [`ciphertext_start(plain)`](ciphertext_start) on, and gives plaintext from
    /// exactly `plain` on, both counted from the start of the segment.
    #[must_use]
    pub fn resuming_at(context: &DecryptContext, plain: u64) -> Self {
        let mut decryptor = Self::new(context);
        decryptor.skip = (plain % BLOCK as u64) as usize;
        if plain >= BLOCK as u64 {
            decryptor.chain = None;
        }
        decryptor
    }

    /// How many bytes [`update`](Self::update) gives out for an input of that length: at most 15 more than its length.
    #[must_use]
    pub fn output_len(&self, input: usize) -> usize {
        let chained = usize::from(self.chain.is_none());
        let blocks = self.complete(input).saturating_sub(chained);
        (blocks * BLOCK).saturating_sub(self.skip)
    }

    /// Takes the next ciphertext, and writes what it makes known to the front of `output`; how many bytes that is.
    ///
    /// # Errors
    /// [`DrmError::OutputTooSmall`] if `output` is shorter than [`output_len`](Self::output_len); then nothing was taken.
    pub fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, DrmError> {
        let needed = self.output_len(input.len());
        let output = output
            .get_mut(..needed)
            .ok_or(DrmError::OutputTooSmall { needed })?;
        let mut whole = self.complete(input.len());
        let (mut input, mut written) = (input, 0);
        // One by one where something is special about a block: it is in two pieces, begins a chain, or is given in part.
        while whole > 0 && (self.holds > 0 || self.chain.is_none() || self.skip > 0) {
            input = self.hold(input);
            written += self.give(&mut output[written..]);
            whole -= 1;
        }
        let (bulk, rest) = input.split_at(whole * BLOCK);
        if let Some(chain) = self.chain.as_mut().filter(|_| whole > 0) {
            chain.blocks(bulk, &mut output[written..]);
            written += bulk.len();
        }
        let rest = self.hold(rest);
        debug_assert!(rest.is_empty() && written == needed);
        Ok(written)
    }

    /// Gives out the block that is held back, if it is whole, because the segment is known to go on behind it: where a range
    /// ends before the segment does. At most 16 bytes.
    ///
    /// # Errors
    /// [`DrmError::OutputTooSmall`].
    pub fn release(&mut self, output: &mut [u8]) -> Result<usize, DrmError> {
        let room = output.len();
        if self.holds < BLOCK {
            return Ok(0);
        }
        let needed = if self.chain.is_some() {
            BLOCK - self.skip
        } else {
            0
        };
        if room < needed {
            return Err(DrmError::OutputTooSmall { needed });
        }
        Ok(self.give(output))
    }

    /// The segment is over: checks its padding and writes the last plaintext, at most 15 bytes.
    ///
    /// A segment without a byte is empty, not an error.
    ///
    /// # Errors
    /// [`DrmError::Unaligned`] if it does not end with a block, [`DrmError::Padding`] if that block does not end as a last one
    /// does or nothing followed the block that a resumed chain begins with, [`DrmError::OutputTooSmall`].
    pub fn finish(&mut self, output: &mut [u8]) -> Result<usize, DrmError> {
        let resumed = self.skip > 0 || self.chain.is_none();
        match self.holds {
            0 if resumed => return Err(DrmError::Padding),
            0 => return Ok(0),
            BLOCK => {}
            excess => return Err(DrmError::Unaligned { excess }),
        }
        let (Some(chain), needed) = (self.chain.as_mut(), BLOCK - 1) else {
            return Err(DrmError::Padding);
        };
        if output.len() < needed {
            return Err(DrmError::OutputTooSmall { needed });
        }
        let plain = chain.block(&self.held);
        let plain = &plain[..unpadded(&plain)?];
        let wanted = plain.get(self.skip..).unwrap_or_default();
        output[..wanted.len()].copy_from_slice(wanted);
        (self.holds, self.skip) = (0, 0);
        Ok(wanted.len())
    }

    /// How many blocks are known not to be the last one, with that much more input.
    fn complete(&self, input: usize) -> usize {
        (self.holds + input).saturating_sub(1) / BLOCK
    }

    /// Fills what is held back; what is left of the input.
    fn hold<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = input.split_at(input.len().min(BLOCK - self.holds));
        self.held[self.holds..self.holds + taken.len()].copy_from_slice(taken);
        self.holds += taken.len();
        rest
    }

    /// Takes the whole block that is held: the begin of the chain, or plaintext.
    fn give(&mut self, output: &mut [u8]) -> usize {
        self.holds = 0;
        let Some(chain) = &mut self.chain else {
            self.chain = Some(Chain::new(&self.key, &self.held));
            return 0;
        };
        let plain = chain.block(&self.held);
        let wanted = &plain[std::mem::take(&mut self.skip)..];
        output[..wanted.len()].copy_from_slice(wanted);
        wanted.len()
    }
}

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decryptor")
            .field("key", &self.key)
            .field("holds", &self.holds)
            .finish_non_exhaustive()
    }
}
