//! What openssl encrypted comes back, in any slicing and from any place.

#![allow(clippy::unwrap_used)] // A vector that can't be decrypted is a failed test.

use kithara_drm::{
    BLOCK, DecryptContext, Decryptor, DrmError, Iv, Key, aes128_cbc_process_chunk, ciphertext_start,
};

/// By the length of the plaintext.
const VECTORS: [(usize, &[u8]); 10] = [
    (0, include_bytes!("vectors/0.bin")),
    (1, include_bytes!("vectors/1.bin")),
    (15, include_bytes!("vectors/15.bin")),
    (16, include_bytes!("vectors/16.bin")),
    (17, include_bytes!("vectors/17.bin")),
    (31, include_bytes!("vectors/31.bin")),
    (32, include_bytes!("vectors/32.bin")),
    (33, include_bytes!("vectors/33.bin")),
    (1000, include_bytes!("vectors/1000.bin")),
    (4096, include_bytes!("vectors/4096.bin")),
];
const KEY: u128 = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;
const IV: u128 = 0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0;

fn context() -> DecryptContext {
    DecryptContext::new(Key::new(KEY.to_be_bytes()), Iv::new(IV.to_be_bytes()))
}

fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|i| (7 * i + i / 256) as u8).collect()
}

/// Feeds pieces whose lengths come from `next`, and checks each promise about lengths on the way.
fn decrypt(
    mut decryptor: Decryptor,
    mut cipher: &[u8],
    mut next: impl FnMut() -> usize,
) -> Result<Vec<u8>, DrmError> {
    let (mut plain, mut taken) = (Vec::new(), 0);
    while !cipher.is_empty() {
        let (piece, rest) = cipher.split_at(next().min(cipher.len()));
        let mut room = vec![0; decryptor.output_len(piece.len())];
        assert!(room.len() < piece.len() + BLOCK);
        let given = decryptor.update(piece, &mut room)?;
        assert_eq!(given, room.len());
        plain.extend_from_slice(&room);
        taken += piece.len();
        // Two blocks: the one before a resumed chain, and the newest.
        assert!(
            plain.len() + 2 * BLOCK + BLOCK > taken,
            "holds back too much"
        );
        cipher = rest;
    }
    let mut last = [0; BLOCK];
    let count = decryptor.finish(&mut last)?;
    plain.extend_from_slice(&last[..count]);
    Ok(plain)
}

fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed * 2 + 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

#[test]
fn whatever_the_pieces_the_plaintext_is_that_of_openssl() {
    for (length, cipher) in VECTORS {
        for size in (1..=70).chain([1000, 5000]) {
            let plain = decrypt(Decryptor::new(&context()), cipher, || size).unwrap();
            assert_eq!(plain, plaintext(length), "{length} by {size}");
        }
        for seed in 0..50 {
            let mut noise = noise(seed);
            let plain = decrypt(Decryptor::new(&context()), cipher, || noise() as usize % 90);
            assert_eq!(plain.unwrap(), plaintext(length), "{length}, seed {seed}");
        }
    }
}

#[test]
fn a_segment_resumed_anywhere_equals_a_whole_decrypt() {
    for (length, cipher) in VECTORS {
        // Every place of the short ones, places of every kind of the long one.
        let step = if length > 1000 { 37 } else { 1 };
        for at in (0..length).step_by(step) {
            let start = ciphertext_start(at as u64) as usize;
            assert!(at - start < 2 * BLOCK, "fetches more than it needs");
            let mut noise = noise(at as u64);
            let decryptor = Decryptor::resuming_at(&context(), at as u64);
            let plain = decrypt(decryptor, &cipher[start..], || noise() as usize % 40).unwrap();
            assert_eq!(plain, plaintext(length)[at..], "{length} from {at}");
        }
    }
}

#[test]
fn a_range_that_ends_before_the_segment_gives_all_its_blocks() {
    let (length, cipher) = VECTORS[8];
    for (from, end) in [(0, 16), (0, 48), (5, 32), (16, 32), (100, 112), (333, 992)] {
        let mut decryptor = Decryptor::resuming_at(&context(), from);
        let input = &cipher[ciphertext_start(from) as usize..end];
        let mut plain = [0; 1024];
        let mut count = decryptor.update(input, &mut plain).unwrap();
        count += decryptor.release(&mut plain[count..]).unwrap();
        assert_eq!(plain[..count], plaintext(length)[from as usize..end]);
        assert_eq!(decryptor.release(&mut plain), Ok(0), "nothing is held");
        // And it goes on from there.
        let rest = decrypt(decryptor, &cipher[end..], || 7).unwrap();
        assert_eq!(rest, plaintext(length)[end..]);
    }
}

#[test]
fn chunks_of_whole_blocks_give_the_same() {
    for (length, cipher) in VECTORS {
        for blocks in 1..=9 {
            let (mut context, mut plain) = (context(), Vec::new());
            let chunks: Vec<_> = cipher.chunks(blocks * BLOCK).collect();
            for (index, chunk) in chunks.iter().enumerate() {
                let mut room = vec![0; chunk.len()];
                let is_last = index + 1 == chunks.len();
                let count = aes128_cbc_process_chunk(chunk, &mut room, &mut context, is_last);
                plain.extend_from_slice(&room[..count.unwrap()]);
            }
            assert_eq!(plain, plaintext(length), "{length} by {blocks} blocks");
        }
    }
}

#[test]
fn chunks_that_can_not_be_are_refused() {
    let mut room = [0; 64];
    for (input, output, is_last, error) in [
        (15, 64, false, DrmError::Unaligned { excess: 15 }),
        (33, 64, true, DrmError::Unaligned { excess: 1 }),
        (32, 31, false, DrmError::OutputTooSmall { needed: 32 }),
        (0, 64, true, DrmError::Padding),
        (32, 64, true, DrmError::Padding),
    ] {
        let cipher = &VECTORS[8].1[..input];
        let refused =
            aes128_cbc_process_chunk(cipher, &mut room[..output], &mut context(), is_last);
        assert_eq!(refused, Err(error), "{input} bytes");
    }
}

#[test]
fn a_cut_segment_is_an_error_after_all_of_its_plaintext_but_a_block() {
    let (length, cipher) = VECTORS[8];
    for cut in 1..cipher.len() {
        let mut decryptor = Decryptor::new(&context());
        let mut plain = vec![0; decryptor.output_len(cut)];
        let given = decryptor.update(&cipher[..cut], &mut plain).unwrap();
        assert!(given + BLOCK >= cut);
        assert_eq!(plain, plaintext(length)[..given]);
        let error = decryptor.finish(&mut [0; BLOCK]).unwrap_err();
        let expected = match cut % BLOCK {
            0 => DrmError::Padding,
            excess => DrmError::Unaligned { excess },
        };
        assert_eq!(error, expected, "cut at {cut}");
    }
}

#[test]
fn nothing_at_all_is_an_empty_segment_but_no_rest_of_one() {
    let mut room = [0; BLOCK];
    assert_eq!(Decryptor::new(&context()).finish(&mut room), Ok(0));
    for at in [3, 16, 40] {
        let mut resumed = Decryptor::resuming_at(&context(), at);
        assert_eq!(resumed.finish(&mut room), Err(DrmError::Padding), "{at}");
    }
    // The block that the chain begins with, and no more.
    let mut resumed = Decryptor::resuming_at(&context(), 16);
    assert_eq!(resumed.update(&VECTORS[8].1[..16], &mut room), Ok(0));
    assert_eq!(resumed.finish(&mut room), Err(DrmError::Padding));
}

#[test]
fn a_buffer_that_is_too_short_costs_nothing() {
    let (length, cipher) = VECTORS[7];
    let mut decryptor = Decryptor::new(&context());
    let mut plain = [0; 64];
    let short = decryptor.update(cipher, &mut plain[..31]);
    assert_eq!(short, Err(DrmError::OutputTooSmall { needed: 32 }));
    assert_eq!(decryptor.update(cipher, &mut plain), Ok(32));
    let short = decryptor.finish(&mut plain[32..40]);
    assert_eq!(short, Err(DrmError::OutputTooSmall { needed: 15 }));
    assert_eq!(decryptor.finish(&mut plain[32..]), Ok(1));
    assert_eq!(plain[..33], plaintext(length));
}

#[test]
fn of_ten_thousand_wrong_keys_the_padding_lets_few_pass() {
    let (_, cipher) = VECTORS[8];
    let mut noise = noise(7531);
    let mut passed = 0;
    for _ in 0..10_000 {
        let key = (u128::from(noise()) << 80) ^ (u128::from(noise()) << 40) ^ u128::from(noise());
        let context = DecryptContext::new(Key::new(key.to_be_bytes()), Iv::new(IV.to_be_bytes()));
        match decrypt(Decryptor::new(&context), &cipher[..48], || 48) {
            Ok(_) => passed += 1,
            Err(error) => assert_eq!(error, DrmError::Padding),
        }
    }
    // One in 255 by chance, which is why the plaintext has to be looked at too.
    assert!((10..=90).contains(&passed), "{passed} passed");
}
