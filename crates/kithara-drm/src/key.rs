//! A key that leaves no traces, and the vector that goes with it.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::DrmError;

/// The bytes of an AES block, and of a key.
pub const BLOCK: usize = 16;

/// An AES-128 key. It is wiped when dropped and shows itself in no print; there is no way to get its bytes back.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; BLOCK]>);

impl Key {
    /// A key from exactly 16 bytes.
    #[must_use]
    pub fn new(bytes: [u8; BLOCK]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key from the body of a key server's answer, which is 16 bytes and nothing else: no newline, no hexadecimal.
    ///
    /// The caller wipes its own copy.
    ///
    /// # Errors
    /// [`DrmError::KeyLength`] with the length there was.
    pub fn from_response(body: &[u8]) -> Result<Self, DrmError> {
        let length = body.len();
        let bytes = body
            .try_into()
            .map_err(|_| DrmError::KeyLength { length })?;
        Ok(Self::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; BLOCK] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// An initialisation vector. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Iv([u8; BLOCK]);

impl Iv {
    /// The vector that a playlist states.
    #[must_use]
    pub const fn new(bytes: [u8; BLOCK]) -> Self {
        Self(bytes)
    }

    /// The vector of a segment whose key states none: its media sequence number, big endian (RFC 8216 §5.2).
    #[must_use]
    pub fn from_sequence(number: u64) -> Self {
        Self(u128::from(number).to_be_bytes())
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; BLOCK] {
        &self.0
    }
}

/// What decrypts one segment, or one encrypted init section: a key and where its chain begins.
#[derive(Clone, Debug)]
pub struct DecryptContext {
    key: Key,
    iv: Iv,
}

impl DecryptContext {
    /// Begins a chain with `iv`.
    #[must_use]
    pub fn new(key: Key, iv: Iv) -> Self {
        Self { key, iv }
    }

    /// Where the chain stands: the vector, or the block of ciphertext before the next one.
    #[must_use]
    pub fn iv(&self) -> Iv {
        self.iv
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn go_on_after(&mut self, block: [u8; BLOCK]) {
        self.iv = Iv(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_or_an_error_that_names_their_number() {
        assert!(Key::from_response(&[7; 16]).is_ok());
        for length in [0, 1, 9, 15, 17, 32, 1 << 20] {
            let refused = Key::from_response(&vec![7; length]).err();
            assert_eq!(refused, Some(DrmError::KeyLength { length }));
        }
    }

    #[test]
    fn a_key_shows_itself_in_no_print() {
        let key = Key::new(*b"canarycanary7531");
        let context = DecryptContext::new(key.clone(), Iv::from_sequence(1));
        let printed = format!("{key:?} {key:#?} {context:?} {context:#?}");
        assert!(printed.contains("Key(..)"), "{printed}");
        for trace in ["canary", "7531", "99, 97", "63, 61", "0x63"] {
            assert!(!printed.contains(trace), "{printed}");
        }
    }

    #[test]
    fn the_vector_of_a_segment_is_its_number() {
        for (number, last) in [
            (0, [0; 8]),
            (1, [0, 0, 0, 0, 0, 0, 0, 1]),
            (0x0102_0304_0506_0708, [1, 2, 3, 4, 5, 6, 7, 8]),
            (u64::MAX, [255; 8]),
        ] {
            let iv = Iv::from_sequence(number);
            assert_eq!(&iv.bytes()[..8], &[0; 8]);
            assert_eq!(&iv.bytes()[8..], &last);
        }
    }
}
