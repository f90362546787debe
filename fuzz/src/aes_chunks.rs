//! Ciphertext in pieces of any size, from any place, against the whole of it.

use std::fs;
use std::path::Path;

use kithara::drm::{
    BLOCK, DecryptContext, Decryptor, DrmError, Iv, Key, aes128_cbc_process_chunk, ciphertext_start,
};

/// Two bytes that choose pieces and place, a key, and ciphertext.
pub fn run(data: &[u8]) {
    let Some(([pieces, place], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let Some((key, cipher)) = rest.split_first_chunk::<BLOCK>() else {
        return;
    };
    let context = DecryptContext::new(Key::new(*key), Iv::from_sequence(u64::from(*place)));
    let whole = whole(cipher, &context);
    let sliced = sliced(Decryptor::new(&context), cipher, *pieces);
    assert_eq!(whole, sliced);
    let Ok(plain) = whole else { return };
    let at = usize::from(*place) * 7 % (plain.len() + 1);
    let rest = cipher
        .get(ciphertext_start(at as u64) as usize..)
        .unwrap_or_default();
    let resumed = Decryptor::resuming_at(&context, at as u64);
    // Behind the last byte there is nothing to resume.
    if at < plain.len() {
        assert_eq!(
            self::sliced(resumed, rest, *pieces).as_deref(),
            Ok(&plain[at..])
        );
    }
}

fn whole(cipher: &[u8], context: &DecryptContext) -> Result<Vec<u8>, DrmError> {
    if cipher.is_empty() {
        return Ok(Vec::new());
    }
    let mut plain = vec![0; cipher.len()];
    let length = aes128_cbc_process_chunk(cipher, &mut plain, &mut context.clone(), true)?;
    plain.truncate(length);
    Ok(plain)
}

fn sliced(mut decryptor: Decryptor, mut cipher: &[u8], pieces: u8) -> Result<Vec<u8>, DrmError> {
    let (mut plain, mut turn) = (Vec::new(), usize::from(pieces));
    while !cipher.is_empty() {
        turn = turn * 31 % 257 + 1;
        let (piece, rest) = cipher.split_at((turn % 50).min(cipher.len()));
        let mut room = vec![0; decryptor.output_len(piece.len())];
        assert!(room.len() < piece.len() + BLOCK);
        assert_eq!(decryptor.update(piece, &mut room)?, room.len());
        plain.append(&mut room);
        cipher = rest;
    }
    let mut last = [0; BLOCK];
    let length = decryptor.finish(&mut last)?;
    plain.extend_from_slice(&last[..length]);
    Ok(plain)
}

/// What openssl encrypted, so that the padding is right, whatever the vector makes of the first block.
pub fn seeds() -> Vec<Vec<u8>> {
    const KEY: u128 = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/kithara-drm/tests/vectors");
    let vector = |length: &str| {
        let path = folder.join(length).with_extension("bin");
        let cipher = fs::read(path).expect("the vectors are in the repository");
        [&[3, 5], &KEY.to_be_bytes()[..], &cipher].concat()
    };
    let lengths = ["16", "17", "31", "32", "33", "1000", "4096"];
    lengths
        .into_iter()
        .map(vector)
        .chain(crate::seeds::noise())
        .collect()
}
