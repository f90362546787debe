//! Decryption as a transform of chunks, for who has the ciphertext in pieces of whole blocks.

use crate::cipher::{Chain, unpadded};
use crate::error::DrmError;
use crate::key::{BLOCK, DecryptContext};

/// Decrypts one chunk of a segment into `output`, and moves `context` on to the next; how many bytes were written.
///
/// The chunks of a segment come in order, begin with a fresh context, and have whole blocks of 16 bytes. A chunk gives as
/// many bytes as it has, the last one (`is_last`) those without its padding. For pieces of any size there is
/// [`Decryptor`](crate::Decryptor). Neither blocks nor allocates. Standard: RFC 8216 §4.3.2.4.
///
/// # Errors
/// [`DrmError::Unaligned`] for a chunk that is not of whole blocks, [`DrmError::OutputTooSmall`] if `output` is shorter than
/// `input`; both change nothing. [`DrmError::Padding`] if the last chunk is empty or ends in no padding; `output` then holds
/// nothing of use.
///
/// ```
/// use kithara_drm::{DecryptContext, Iv, Key, aes128_cbc_process_chunk};
///
/// let mut context = DecryptContext::new(Key::new(*b"0123456789abcdef"), Iv::new([0; 16]));
/// let mut plain = [0; 32];
/// let written = aes128_cbc_process_chunk(&[7; 32], &mut plain, &mut context, false)?;
/// assert_eq!(written, 32);
/// assert_eq!(context.iv().bytes(), &[7; 16]);
/// # Ok::<(), kithara_drm::DrmError>(())
/// ```
pub fn aes128_cbc_process_chunk(
    input: &[u8],
    output: &mut [u8],
    context: &mut DecryptContext,
    is_last: bool,
) -> Result<usize, DrmError> {
    let (excess, needed) = (input.len() % BLOCK, input.len());
    if excess > 0 {
        return Err(DrmError::Unaligned { excess });
    }
    let output = output
        .get_mut(..needed)
        .ok_or(DrmError::OutputTooSmall { needed })?;
    if let Some(last) = input.last_chunk() {
        Chain::of(context).blocks(input, output);
        context.go_on_after(*last);
    }
    if is_last {
        let last = output.len().saturating_sub(BLOCK);
        Ok(last + unpadded(&output[last..])?)
    } else {
        Ok(needed)
    }
}
