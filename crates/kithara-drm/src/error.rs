//! What can be wrong with a key or with what it is to decrypt.

/// Why something could not be decrypted. Never holds a byte of a key, of ciphertext or of plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DrmError {
    /// The key server answered with something that is no AES-128 key. Nothing is padded or cut to make one of it.
    #[error("a key has 16 bytes, this one has {length}")]
    KeyLength {
        /// How many bytes there were.
        length: usize,
    },
    /// The ciphertext ends inside a block: it was cut, or is none.
    #[error("the ciphertext ends {excess} bytes into a block of 16")]
    Unaligned {
        /// Bytes of the block that is not whole, 1 to 15.
        excess: usize,
    },
    /// The last block does not end as RFC 8216 §4.3.2.4 wants it (PKCS7): the key or the IV is wrong, or the ciphertext is
    /// damaged or was cut between two blocks.
    #[error("the padding is wrong: another key, or damaged data")]
    Padding,
    /// The caller's buffer is too short. Nothing was changed, the same call with a longer one works.
    #[error("{needed} bytes of room are needed")]
    OutputTooSmall {
        /// How long it has to be.
        needed: usize,
    },
}
