//! Incremental AES-128-CBC decryption and key hygiene, for encrypted HLS segments (RFC 8216 §4.3.2.4).
//!
//! Ciphertext goes in as it arrives, in pieces of any size, from the start of a segment or from its middle; plaintext comes
//! out at once, but for the newest block, which may be the padded last one.
//!
//! ```text
//!               held back: at most 16 bytes
//!                        ▼
//!   network ──pieces──▶ [ .. ] ──whole blocks──▶ chain ──▶ plaintext ──▶ store, decoder
//!                                                  ▲
//!                                 Key + Iv, or Key + the block before
//! ```
//!
//! Keys are wiped when they are dropped, are in no print, and can't be read back.
//!
//! It is **not** what fetches keys, and no content protection: whoever may fetch the segment may fetch the key. SAMPLE-AES and
//! AES-256 are not decrypted. That the padding is right proves nothing: a wrong key passes in one of 255 segments, so what
//! reads the plaintext looks at its first bytes. It has no clock, thread, file or socket, and allocates nothing.
//!
//! Start reading at [`Decryptor`].

mod chunk;
mod cipher;
mod decryptor;
mod error;
mod key;

pub use chunk::aes128_cbc_process_chunk;
pub use decryptor::{Decryptor, ciphertext_start};
pub use error::DrmError;
pub use key::{BLOCK, DecryptContext, Iv, Key};
pub use zeroize::Zeroizing;

/// Overwrites what is secret, in a way that no compiler leaves out.
pub fn wipe(secret: &mut [u8]) {
    zeroize::Zeroize::zeroize(secret);
}
