//! Ogg: what a page that is damaged, lost, foreign or absurd does to the samples around it.

mod support;

use std::time::Duration;

use kithara_decode::{DecodeError, MediaDuration, SeekMode};
use kithara_tests::fixtures::fixture;
use support::{Remote, assert_right_or_silent, drain, open, open_source, whole};

/// The pages of a file.
fn pages(file: &str) -> Vec<Vec<u8>> {
    let bytes = fixture(file).bytes();
    let mut rest = &bytes[..];
    let mut pages = Vec::new();
    while !rest.is_empty() {
        assert!(rest.starts_with(b"OggS\0"));
        let laces = usize::from(rest[26]);
        let body: usize = rest[27..27 + laces]
            .iter()
            .map(|lace| usize::from(*lace))
            .sum();
        let (page, tail) = rest.split_at(27 + laces + body);
        pages.push(page.to_vec());
        rest = tail;
    }
    pages
}

/// The same stream in pages of so many laces, so that packets go over their ends.
fn repaged(file: &str, laces: usize) -> Vec<Vec<u8>> {
    let pages = pages(file);
    let (head, audio) = pages.split_at(2);
    let table = audio
        .iter()
        .flat_map(|page| &page[27..27 + usize::from(page[26])]);
    let mut data = audio
        .iter()
        .flat_map(|page| &page[27 + usize::from(page[26])..]);
    let sizes = head[0][28 + 28];
    let (mut frames, mut before, mut packet) = (0, 0, Vec::new());
    let (mut repaged, mut ends) = (head.to_vec(), -1);
    let table: Vec<u8> = table.copied().collect();
    for table in table.chunks(laces) {
        let continued = u8::from(!packet.is_empty());
        let mut body: Vec<u8> = Vec::new();
        for lace in table {
            let part: Vec<u8> = data.by_ref().take(usize::from(*lace)).copied().collect();
            packet.extend_from_slice(&part);
            body.extend(part);
            if *lace == 255 {
                continue;
            }
            if file.contains("flac") {
                frames += 4608;
            } else {
                // The bit behind the first chooses the block; a packet gives a quarter of its own and of the one before.
                let block = 1
                    << if packet[0] & 2 == 0 {
                        sizes & 15
                    } else {
                        sizes >> 4
                    };
                frames += if before > 0 { (before + block) / 4 } else { 0 };
                before = block;
            }
            packet.clear();
            ends = frames;
        }
        let mut page = head[0][..26].to_vec();
        page[5] = continued;
        page[18..22].copy_from_slice(&(repaged.len() as u32).to_le_bytes());
        page.push(table.len() as u8);
        page.extend(table);
        page.extend(body);
        repaged.push(with_granule(page, std::mem::replace(&mut ends, -1)));
    }
    let last = repaged.pop().expect("a page");
    let mut last = with_granule(last, granule(&pages[pages.len() - 1]));
    last[5] |= 4;
    repaged.push(sealed(last));
    repaged
}

/// With the checksum its bytes have now (RFC 3533 §6).
fn sealed(mut page: Vec<u8>) -> Vec<u8> {
    page[22..26].fill(0);
    let crc = page.iter().fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

fn granule(page: &[u8]) -> i64 {
    i64::from_le_bytes(page[6..14].try_into().expect("eight bytes"))
}

fn with_granule(mut page: Vec<u8>, granule: i64) -> Vec<u8> {
    page[6..14].copy_from_slice(&granule.to_le_bytes());
    sealed(page)
}

/// Laces of a page, so that there are many pages.
const FILES: [(&str, usize); 2] = [("ogg-vorbis.ogg", 11), ("ogg-flac.ogg", 30)];

#[test]
fn pages_of_another_length_are_the_same_stream() {
    for (file, laces) in FILES {
        let mut decoder = open(repaged(file, laces).concat(), file).expect("opens");
        let (got, end) = drain(decoder.as_mut(), file);
        end.expect("ends");
        assert_eq!(got, whole(fixture(file)), "{file}");
        assert_eq!(decoder.take_notices(), [], "{file}");
    }
}

/// The first page states less than it holds: the source begins in the middle of it (Vorbis I §A.2). Far away, too, where nobody
/// looks at the end.
#[test]
fn a_first_page_that_states_less_than_it_holds_has_a_front_to_be_cut() {
    let (file, laces) = FILES[0];
    let right = whole(fixture(file));
    for less in [1, 100, 576] {
        let mut pages = repaged(file, laces);
        for page in &mut pages[2..] {
            if granule(page) >= 0 {
                *page = with_granule(page.clone(), granule(page) - less);
            }
        }
        let cut = less as usize * 2;
        for far in [false, true] {
            let bytes = pages.concat();
            let opened = match far {
                true => open_source(Remote::new(bytes), file),
                false => open(bytes, file),
            };
            let mut decoder = opened.expect("opens");
            let (got, end) = drain(decoder.as_mut(), file);
            end.expect("ends");
            assert_eq!(got.len(), right.len() - cut, "{less}");
            assert!(got == right[cut..], "{less}: samples");
            let time = decoder.spec().time(30_000);
            let landing = decoder.seek(time, SeekMode::Exact).expect("seeks");
            let chunk = decoder.next_chunk().expect("decodes").expect("a chunk");
            assert_eq!((landing.frame, chunk.frame), (30_000, 30_000));
            assert!(
                right[cut + 60_000..].starts_with(&chunk.pcm),
                "{less}: after a seek"
            );
        }
    }
}

#[test]
fn a_flipped_bit_is_silence_and_no_wrong_sample() {
    for (file, laces) in FILES {
        let pages = repaged(file, laces);
        let from = pages[..4].concat().len();
        let bytes = pages.concat();
        for place in 0..12 {
            let mut damaged = bytes.clone();
            let at = from + (bytes.len() - from) * place / 20;
            damaged[at] ^= 1 << (place % 8);
            assert!(assert_right_or_silent(
                damaged,
                file,
                &format!("{file}: a bit at {at}")
            ));
        }
    }
}

#[test]
fn a_lost_page_is_silence_and_its_packets_are_not_glued() {
    for (file, laces) in FILES {
        let pages = repaged(file, laces);
        for lost in 4..pages.len() - 4 {
            let left = pages.iter().enumerate().filter(|(at, _)| *at != lost);
            let bytes: Vec<u8> = left.flat_map(|(_, page)| page.clone()).collect();
            assert!(assert_right_or_silent(
                bytes,
                file,
                &format!("{file} without page {lost}")
            ));
        }
    }
}

#[test]
fn a_stream_that_begins_later_lasts_as_long() {
    for (file, laces) in FILES {
        let later = repaged(file, laces)
            .into_iter()
            .map(|page| match granule(&page) {
                at @ 1.. => with_granule(page, at + 441_000),
                _ => page,
            });
        let later: Vec<u8> = later.flatten().collect();
        let decoder = open(later.clone(), file).expect("opens");
        let original = open(fixture(file).bytes(), file).expect("opens").duration();
        assert!(
            matches!(original, Some(MediaDuration::Exact(_))),
            "{original:?}"
        );
        assert_eq!(decoder.duration(), original, "{file}");
        // And its frames are those of the original.
        let right = whole(fixture(file));
        let mut decoder = open_source(Remote::new(later), file).expect("opens");
        let landing = decoder
            .seek(Duration::from_millis(700), SeekMode::Fast)
            .expect("seeks");
        assert_eq!((landing.frame, landing.exact), (30_870, true));
        let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
        let right = &right[30_870 * usize::from(fixture(file).channels)..];
        assert!(
            support::largest_difference(&chunk.pcm, right) <= 1e-4,
            "{file}"
        );
    }
}

/// A page of another stream.
fn foreign(kind: u8, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(kind);
    page.extend(1_000_000i64.to_le_bytes());
    page.extend(0x7ead_beefu32.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    page.extend([1, body.len() as u8]);
    page.extend(body);
    sealed(page)
}

#[test]
fn other_streams_beside_the_audio_are_passed_over() {
    for (file, laces) in FILES {
        let own = repaged(file, laces);
        let picture = foreign(2, 0, b"\x80theora");
        for before in [true, false] {
            let mut mixed: Vec<Vec<u8>> = own.clone();
            // All first pages come first (RFC 3533 §4).
            mixed.insert(usize::from(!before), picture.clone());
            for at in (2..mixed.len()).rev() {
                mixed.insert(at, foreign(0, at as u32 * 7, b"a picture"));
            }
            let mixed = mixed.concat();
            let mut decoder =
                open(mixed.clone(), file).unwrap_or_else(|error| panic!("{file}: {error}"));
            let (got, end) = drain(decoder.as_mut(), file);
            end.unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(got, whole(fixture(file)), "{file}");
            assert_eq!(decoder.take_notices(), [], "{file}");
            let landing = decoder.seek(Duration::from_millis(500), SeekMode::Fast);
            assert_eq!(landing.expect("seeks").frame, 22_050, "{file}");
        }
        // A stream that begins later is another link of a chain.
        let chained = [own[..own.len() - 1].concat(), picture].concat();
        let mut decoder = open(chained, file).expect("opens");
        let end = drain(decoder.as_mut(), file).1;
        assert!(
            matches!(&end, Err(DecodeError::Unsupported { what, .. }) if what.contains("chained")),
            "{end:?}"
        );
    }
}

#[test]
fn absurd_granules_are_no_reason_to_panic() {
    for (file, laces) in FILES {
        for absurd in [
            i64::MAX,
            i64::MAX - 1,
            i64::MIN,
            i64::MIN + 1,
            -2,
            1 << 60,
            1 << 50,
        ] {
            for from in [2, 4, 8] {
                let pages = repaged(file, laces).into_iter().enumerate();
                let bytes: Vec<u8> = pages
                    .flat_map(|(at, page)| match at >= from {
                        true => with_granule(page, absurd),
                        false => page,
                    })
                    .collect();
                for remote in [true, false] {
                    let source = Remote::new(bytes.clone());
                    let opened = match remote {
                        true => open_source(source, file),
                        false => open(bytes.clone(), file),
                    };
                    let Ok(mut decoder) = opened.inspect_err(not_a_panic) else {
                        continue;
                    };
                    for millis in [300, u64::MAX] {
                        let to = Duration::from_millis(millis);
                        let _ = decoder.seek(to, SeekMode::Fast).inspect_err(not_a_panic);
                        let _ = drain(decoder.as_mut(), file).1.inspect_err(not_a_panic);
                    }
                }
            }
        }
    }
}

fn not_a_panic(error: &DecodeError) {
    assert!(!matches!(error, DecodeError::Worker { .. }), "{error}");
}

#[test]
fn the_first_page_of_audio_may_have_any_number() {
    for (file, laces) in FILES {
        // Where a listener of a live stream came in, and a tag that went over more pages once.
        for jump in [5_000, 3] {
            let numbered = repaged(file, laces).into_iter().enumerate();
            let jumped: Vec<u8> = numbered
                .flat_map(|(at, mut page)| {
                    if at >= 2 {
                        page[18..22].copy_from_slice(&(at as u32 + jump).to_le_bytes());
                    }
                    sealed(page)
                })
                .collect();
            for remote in [true, false] {
                let case = format!("{file}: {jump} pages, remote: {remote}");
                let mut decoder = match remote {
                    true => open_source(Remote::new(jumped.clone()), file),
                    false => open(jumped.clone(), file),
                }
                .expect("opens");
                let (got, end) = drain(decoder.as_mut(), &case);
                end.expect("ends");
                assert!(got == whole(fixture(file)), "{case}");
                assert_eq!(decoder.take_notices(), [], "{case}");
            }
        }
    }
}

#[test]
fn a_stream_that_begins_much_later_plays_after_a_seek_to_its_beginning() {
    for (file, laces) in FILES {
        let later = repaged(file, laces)
            .into_iter()
            .map(|page| match granule(&page) {
                at @ 1.. => with_granule(page, at + 600 * 44_100),
                _ => page,
            });
        let later: Vec<u8> = later.flatten().collect();
        let mut decoder = open_source(Remote::new(later), file).expect("opens");
        let landing = decoder.seek(Duration::ZERO, SeekMode::Exact);
        assert_eq!(landing.expect("seeks").frame, 0, "{file}");
        let (got, end) = drain(decoder.as_mut(), file);
        end.unwrap_or_else(|error| panic!("{file}: {error}"));
        // The last page states no less than it holds.
        assert!(got == whole(fixture(file)), "{file}: {}", got.len());
        assert_eq!(decoder.take_notices(), [], "{file}");
    }
}

#[test]
fn what_a_damaged_page_says_of_itself_ends_nothing() {
    let (file, laces) = FILES[1];
    let pages = repaged(file, laces);
    for at in [5, pages.len() / 2, pages.len() - 1] {
        // Continued, first, last.
        for flag in [1, 2, 4] {
            let mut flipped = pages.clone();
            flipped[at][5] ^= flag;
            if at + 1 == pages.len() && flag == 4 {
                continue;
            }
            let case = format!("flag {flag} of page {at}");
            let mut decoder = open(flipped.concat(), file).expect("opens");
            let (got, end) = drain(decoder.as_mut(), &case);
            end.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(got == whole(fixture(file)), "{case}: {}", got.len());
        }
    }
}

#[test]
fn few_bytes_that_claim_to_be_many_pages_are_given_up() {
    let (file, laces) = FILES[0];
    let pages = repaged(file, laces);
    let claims = b"OggS\0\xff\xff\xff\xff\xff\xff\xff\xff".repeat(20_000);
    let small = pages[3].clone();
    // All at once, and with a page here and there.
    let apart = claims
        .chunks(1300)
        .flat_map(|claims| [claims, &small].concat());
    for claims in [claims.clone(), apart.collect()] {
        let bytes = [pages[..3].concat(), claims, pages[3..].concat()].concat();
        let mut decoder = open_source(Remote::new(bytes), file).expect("opens");
        let end = drain(decoder.as_mut(), file).1;
        assert!(matches!(end, Err(DecodeError::Corrupt { .. })), "{end:?}");
    }
}
