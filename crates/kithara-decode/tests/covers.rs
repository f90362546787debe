//! Pictures in tags, of any size: passed by, and no sample is another for it.

mod support;

use std::sync::Arc;

use kithara_tests::fixtures::{
    Paging, fixture, mp4_with_cover, ogg_pages, ogg_sealed, ogg_with_pictures,
};
use support::{Remote, drain, open, open_source, whole};

/// The largest block of FLAC metadata, which makes a packet of more than 16 MiB.
const LARGEST_BLOCK: usize = (1 << 24) - 1;

/// Opens, reads and compares; jumps and bytes up to the first chunk.
fn play(source: Remote, file: &str, case: &str) -> (u64, u64) {
    let touched = Arc::clone(&source.touched);
    let mut decoder = open_source(source, file).unwrap_or_else(|error| panic!("{case}: {error}"));
    let chunk = decoder.next_chunk().expect("decodes").expect("a chunk");
    let spent = (touched.jumps(), touched.bytes());
    assert_eq!(decoder.metadata().title.as_deref(), Some("Front"), "{case}");
    let (rest, end) = drain(decoder.as_mut(), case);
    end.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(
        [&chunk.pcm[..], &rest].concat() == whole(fixture(file)),
        "{case}"
    );
    assert_eq!(decoder.take_notices(), [], "{case}");
    spent
}

#[test]
fn a_picture_in_ogg_is_jumped_over() {
    for file in ["ogg-vorbis.ogg", "ogg-flac.ogg"] {
        for pictures in [
            &[300_000][..],
            &[330_000],
            &[2_000_000],
            &[300_000, 1_000, 700_000],
        ] {
            for paging in [
                Paging::Full,
                Paging::Apart,
                Paging::Laces(16),
                Paging::Laces(200),
            ] {
                let case = format!("{file} with {pictures:?} on {paging:?}");
                let bytes = ogg_with_pictures(file, pictures, paging);
                let (jumps, read) = play(Remote::new(bytes), file, &case);
                let large = pictures.iter().filter(|bytes| **bytes > 100_000).count() as u64;
                // The first of many small pages shows how large they are only once a jump fell short.
                assert!(jumps <= 2 * large, "{case}: {jumps} jumps");
                // A page is usable only whole: one at each end of a picture, and the first of the audio.
                let most = large * 128 * 1024 + 96 * 1024;
                assert!(read <= most, "{case}: {read} bytes");
            }
        }
    }
}

#[test]
fn the_usual_picture_costs_one_jump_and_128_kib() {
    // A page of FLAC's audio alone takes 64 KiB.
    for (file, paging, most, largest) in [
        ("ogg-vorbis.ogg", Paging::Full, 128 * 1024, 17_000_000),
        ("ogg-vorbis.ogg", Paging::Laces(16), 128 * 1024, 17_000_000),
        ("ogg-flac.ogg", Paging::Apart, 192 * 1024, LARGEST_BLOCK),
    ] {
        for bytes in [300_000, 330_000, largest] {
            let case = format!("{file} with {bytes} on {paging:?}");
            let media = ogg_with_pictures(file, &[bytes], paging);
            let (jumps, read) = play(Remote::new(media), file, &case);
            assert_eq!(jumps, 1, "{case}");
            assert!(read <= most, "{case}: {read} bytes");
        }
    }
}

#[test]
fn a_picture_in_ogg_is_passed_however_its_pages_are_cut() {
    for file in ["ogg-vorbis.ogg", "ogg-flac.ogg"] {
        for pictures in [&[200_000][..], &[65_025 - 60, 65_536], &[400_000, 400_000]] {
            for paging in [
                Paging::Uneven,
                Paging::Mixed,
                Paging::Laces(1),
                Paging::Laces(254),
            ] {
                let case = format!("{file} with {pictures:?} on {paging:?}");
                let bytes = ogg_with_pictures(file, pictures, paging);
                play(Remote::new(bytes.clone()), file, &case);
                // Where nobody can jump, and where nobody has to.
                let mut source = Remote::new(bytes.clone());
                source.seekable = false;
                play(source, file, &case);
                let (samples, end) = drain(open(bytes, file).expect("opens").as_mut(), &case);
                end.expect("ends");
                assert!(samples == whole(fixture(file)), "{case}: local");
            }
        }
    }
}

#[test]
fn a_picture_of_17_megabytes_is_not_kept() {
    for (file, picture) in [
        ("ogg-vorbis.ogg", 17_000_000),
        ("ogg-flac.ogg", LARGEST_BLOCK),
    ] {
        let bytes = ogg_with_pictures(file, &[picture], Paging::Full);
        let mut decoder = open(bytes, file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(decoder.metadata().title.as_deref(), Some("Front"));
        let (samples, end) = drain(decoder.as_mut(), file);
        end.expect("ends");
        assert!(samples == whole(fixture(file)), "{file}");
    }
}

/// A jump would land on it: a whole page of the same stream, in the picture.
#[test]
fn a_page_inside_of_a_picture_is_not_taken_for_one_of_the_stream() {
    for file in ["ogg-vorbis.ogg", "ogg-flac.ogg"] {
        let audio = ogg_pages(&fixture(file).bytes()).pop().expect("a page");
        let mut pages = ogg_pages(&ogg_with_pictures(file, &[900_000], Paging::Laces(255)));
        let last = pages.len() - ogg_pages(&fixture(file).bytes()).len() - 1;
        for page in &mut pages[2..last] {
            let mut trap = audio.clone();
            trap[5] = 0;
            let body = 27 + 255;
            let fits = (page.len() - body) / ogg_sealed(trap.clone()).len();
            let traps = ogg_sealed(trap).repeat(fits);
            page[body..body + traps.len()].copy_from_slice(&traps);
            *page = ogg_sealed(std::mem::take(page));
        }
        // The grid is broken by a short page in front.
        let mut bytes = pages[..2].concat();
        let (short, rest) = split(&pages[2]);
        bytes.extend(short);
        bytes.extend(rest);
        bytes.extend(pages[3..].concat());
        let touched = play(Remote::new(renumbered(&bytes)), file, file);
        assert!(touched.0 <= 3, "{file}: {} jumps", touched.0);
    }
}

/// A page of full laces as two.
fn split(page: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let part = |laces: usize, body: &[u8]| {
        let mut part = page[..26].to_vec();
        part.push(laces as u8);
        part.extend(std::iter::repeat_n(255, laces));
        part.extend(body);
        part
    };
    let body = &page[27 + 255..];
    (part(100, &body[..25_500]), part(155, &body[25_500..]))
}

fn renumbered(bytes: &[u8]) -> Vec<u8> {
    let pages = ogg_pages(bytes).into_iter().enumerate();
    pages
        .flat_map(|(number, mut page)| {
            page[18..22].copy_from_slice(&(number as u32).to_le_bytes());
            ogg_sealed(page)
        })
        .collect()
}

#[test]
fn a_comment_that_lies_about_its_length_takes_no_audio_away() {
    for file in ["ogg-vorbis.ogg", "ogg-flac.ogg"] {
        let original = ogg_with_pictures(file, &[150_000], Paging::Full);
        let mark: &[u8] = if file.contains("flac") {
            &[6, 2, 0x49, 0xf0]
        } else {
            b"METADATA_BLOCK_PICTURE="
        };
        let at = original.windows(mark.len()).position(|word| word == mark);
        let at = at.expect("a picture");
        for lie in [200_000u32, 10_000_000, u32::MAX] {
            let mut bytes = original.clone();
            if file.contains("flac") {
                bytes[at + 1..at + 4].copy_from_slice(&lie.to_be_bytes()[1..]);
            } else {
                bytes[at - 4..at].copy_from_slice(&lie.to_le_bytes());
            }
            let bytes = renumbered(&bytes);
            let case = format!("{file}: {lie} bytes");
            play(Remote::new(bytes.clone()), file, &case);
            let (samples, end) = drain(open(bytes, file).expect("opens").as_mut(), &case);
            end.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(samples == whole(fixture(file)), "{case}: local");
        }
    }
}

#[test]
fn a_cover_in_mp4_is_jumped_over() {
    for file in [
        "m4a-aac-first.m4a",
        "m4a-alac-first.m4a",
        "fmp4-aac.mp4",
        "m4a-aac-last.m4a",
    ] {
        for cover in [70_000, 200_000, 2_000_000] {
            let case = format!("{file} with {cover}");
            let source = Remote::new(mp4_with_cover(file, cover));
            let (jumps, read) = play(source, file, &case);
            // Over the cover, and to the tail and back.
            let (most, bytes) = if file.contains("last") {
                (3, 112)
            } else {
                (1, 64)
            };
            assert!(jumps <= most, "{case}: {jumps} jumps");
            assert!(read <= bytes * 1024, "{case}: {read} bytes");
        }
    }
}
