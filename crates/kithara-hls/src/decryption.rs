//! AES-128 on the way into the store: what is stored is what is read.

use std::sync::{Arc, OnceLock};

use kithara_drm::{DecryptContext, Decryptor, DrmError, Iv, Key, ciphertext_start};
use kithara_stream::{Transform, Transforming};

/// Where a key will be once it has come. Wiped with the last who knows it.
pub(crate) type KeySlot = Arc<OnceLock<Key>>;

/// Decrypts one segment. Its transfer has no credit until the key is there.
#[derive(Debug)]
pub(crate) struct Decryption {
    key: KeySlot,
    iv: Iv,
}

impl Decryption {
    pub(crate) fn new(key: KeySlot, iv: Iv) -> Self {
        Self { key, iv }
    }
}

impl Transform for Decryption {
    fn source_start(&self, stored: u64) -> u64 {
        ciphertext_start(stored)
    }

    fn begin(&self, stored: u64) -> Box<dyn Transforming> {
        Box::new(Decrypting {
            key: Arc::clone(&self.key),
            iv: self.iv,
            from: stored,
            decryptor: None,
            looked_at: stored > 0,
        })
    }
}

struct Decrypting {
    key: KeySlot,
    iv: Iv,
    from: u64,
    /// Made with the first piece: before that there may be no key yet.
    decryptor: Option<Decryptor>,
    /// The first bytes look like media, as they do not under a wrong key.
    looked_at: bool,
}

impl Decrypting {
    fn decryptor(&mut self) -> Result<&mut Decryptor, String> {
        if self.decryptor.is_none() {
            let key = self.key.get().ok_or("its key has not come")?;
            let context = DecryptContext::new(key.clone(), self.iv);
            self.decryptor = Some(Decryptor::resuming_at(&context, self.from));
        }
        self.decryptor
            .as_mut()
            .ok_or_else(|| "its key has not come".into())
    }

    fn look_at(&mut self, stored: &[u8], over: bool) -> Result<(), String> {
        if self.looked_at || (stored.len() < LOOKED_AT && !over) {
            return Ok(());
        }
        self.looked_at = true;
        match looks_like_media(stored) {
            true => Ok(()),
            false => Err("decrypted, it is no media: the key or the vector is wrong".into()),
        }
    }
}

impl Transforming for Decrypting {
    fn update(&mut self, piece: &[u8], stored: &mut Vec<u8>) -> Result<(), String> {
        let (before, decryptor) = (stored.len(), self.decryptor()?);
        stored.resize(before + decryptor.output_len(piece.len()), 0);
        let given = decryptor.update(piece, &mut stored[before..]);
        let given = given.map_err(|error| error.to_string())?;
        stored.truncate(before + given);
        self.look_at(&stored[before..], false)
    }

    fn finish(&mut self, stored: &mut Vec<u8>) -> Result<(), String> {
        let (before, decryptor) = (stored.len(), self.decryptor()?);
        stored.resize(before + kithara_drm::BLOCK, 0);
        let given = decryptor
            .finish(&mut stored[before..])
            .map_err(|error: DrmError| error.to_string())?;
        stored.truncate(before + given);
        self.look_at(&stored[before..], true)
    }
}

/// So many bytes tell media from noise.
const LOOKED_AT: usize = 8;

/// Whether bytes begin like one of the containers that segments have (RFC 8216 §3): a transport stream, boxes, a tag, or a frame.
fn looks_like_media(front: &[u8]) -> bool {
    match front {
        [0x47, ..] | [b'I', b'D', b'3', ..] | [b'f', b'L', b'a', b'C', ..] => true,
        [b'W', b'E', b'B', b'V', ..] => true,
        // The syncword of MPEG audio or ADTS, with a layer and a rate that exist.
        [0xff, second, third, ..] if second & 0xe0 == 0xe0 => {
            let adts = second & 0xf6 == 0xf0 && (third >> 2) & 0xf < 13;
            let mpeg = second & 0x06 != 0 && second & 0x18 != 0x08 && third >> 4 != 0xf;
            adts || mpeg
        }
        [_, _, _, _, kind @ ..] if kind.len() >= 4 => {
            let known: [&[u8]; 9] = [
                b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"emsg", b"prft", b"free", b"mdat",
            ];
            known.iter().any(|known| kind.starts_with(known))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_told_from_noise() {
        for front in [
            &b"\x47\x40\x00\x10\x00\x00\xb0\x0d"[..],
            b"ID3\x04\0\0\0\0",
            b"\0\0\0\x18ftypiso5",
            b"\0\0\0\x18styp",
            b"\0\0\x01\0moof",
            b"\xff\xf1\x50\x80\x02\x1f\xfc\x00",
            b"\xff\xfb\x90\x64\x00\x00\x00\x00",
        ] {
            assert!(looks_like_media(front), "{front:?}");
        }
        // Noise passes rarely: one in 256 for the sync byte of transport streams alone.
        let mut state = 7u64;
        let mut passed = 0;
        for _ in 0..10_000 {
            let mut front = [0; 8];
            for byte in &mut front {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            passed += usize::from(looks_like_media(&front));
        }
        assert!(passed < 100, "{passed} of 10,000");
    }

    /// What becomes of a segment of some blocks under a key: whether its padding is one, and whether it is taken for media.
    fn decrypted(key: [u8; 16], ciphertext: &[u8]) -> (bool, bool) {
        let slot = Arc::new(OnceLock::new());
        slot.set(Key::new(key)).expect("the first");
        let mut transforming = Decryption::new(slot, Iv::from_sequence(5)).begin(0);
        let mut stored = Vec::new();
        let front = transforming.update(ciphertext, &mut stored);
        let end = transforming.finish(&mut stored);
        let padded = end
            .as_ref()
            .map_or_else(|why| why.contains("no media"), |()| true);
        (padded, front.is_ok() && end.is_ok())
    }

    #[test]
    fn ten_thousand_wrong_keys_give_no_media() {
        // To a wrong key any ciphertext is as good as another.
        let ciphertext: Vec<u8> = (0..64_u8)
            .map(|byte| byte.wrapping_mul(37) ^ 0xa5)
            .collect();
        let mut state = 81_u64;
        let (mut padded, mut taken) = (0, 0);
        for _ in 0..10_000 {
            let mut key = [0; 16];
            for byte in &mut key {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            let (has_padding, is_media) = decrypted(key, &ciphertext);
            padded += usize::from(has_padding);
            taken += usize::from(is_media);
        }
        // Padding proves little: by chance one key in 255 has it.
        assert!(padded > 10, "{padded} with padding");
        assert_eq!(taken, 0, "of {padded} with padding");
    }
}
