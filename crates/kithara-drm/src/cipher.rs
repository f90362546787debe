//! AES-128-CBC block by block: the only place that knows the crates that do it.

use aes::Aes128;
use cbc::cipher::{Block, BlockModeDecrypt, KeyIvInit};

use crate::error::DrmError;
use crate::key::{BLOCK, DecryptContext, Key};

/// A chain of blocks. Its key schedule is wiped when it is dropped.
pub(crate) struct Chain(cbc::Decryptor<Aes128>);

impl Chain {
    pub(crate) fn new(key: &Key, iv: &[u8; BLOCK]) -> Self {
        Self(cbc::Decryptor::new(key.bytes().into(), iv.into()))
    }

    pub(crate) fn of(context: &DecryptContext) -> Self {
        Self::new(context.key(), context.iv().bytes())
    }

    /// Decrypts whole blocks from one slice into another of the same length.
    pub(crate) fn blocks(&mut self, input: &[u8], output: &mut [u8]) {
        let (input, odd) = Block::<Aes128>::slice_as_chunks(input);
        let (output, _) = Block::<Aes128>::slice_as_chunks_mut(output);
        debug_assert!(odd.is_empty(), "callers cut at blocks");
        self.0
            .decrypt_blocks_b2b(input, output)
            .expect("callers give two slices of the same length");
    }

    /// Decrypts one block.
    pub(crate) fn block(&mut self, block: &[u8; BLOCK]) -> [u8; BLOCK] {
        let mut plain = [0; BLOCK];
        self.blocks(block, &mut plain);
        plain
    }
}

/// How many bytes of the last block are plaintext: it ends in `n` bytes of value `n`, 1 to 16 (RFC 5652 §6.3).
pub(crate) fn unpadded(last: &[u8]) -> Result<usize, DrmError> {
    let padding = last.last().map_or(0, |byte| usize::from(*byte));
    let kept = last.len().checked_sub(padding).ok_or(DrmError::Padding)?;
    let whole = (1..=BLOCK).contains(&padding);
    let same = last[kept..]
        .iter()
        .all(|byte| usize::from(*byte) == padding);
    if whole && same {
        Ok(kept)
    } else {
        Err(DrmError::Padding)
    }
}
