//! Bytes that lie: no panic, no memory that wasn't read, no work beyond the bytes there are.

use symphonia::core::errors::Error;

use super::super::Mp4Error;
use super::*;

/// Opens, plays at most 100,000 packets, seeks about, and reports how the playing ended.
fn exercise(bytes: &[u8], seekable: bool) -> Result<(usize, Option<Error>), Mp4Error> {
    let mut source = Scripted::new(bytes);
    if !seekable {
        source = source.unseekable();
    }
    let (mut reader, _) = source.open()?;
    let mut count = 0;
    let ended = loop {
        match next(&mut reader) {
            Ok(Some(_)) if count < 100_000 => count += 1,
            Ok(_) => break None,
            Err(error) => break Some(error),
        }
    };
    for target in [0, 1, 5_000, 1 << 20, 1 << 40, u64::MAX >> 1] {
        let _ = seek(&mut reader, target);
        for _ in 0..3 {
            let _ = next(&mut reader);
        }
    }
    Ok((count, ended))
}

/// A moof with one traf of `boxes` behind an mdat-free header, then an mdat of `media` bytes.
fn fragment_of(boxes: &[Vec<u8>], media: usize) -> Vec<u8> {
    let tfhd = full(b"tfhd", 0, 0x2_0000, &[TRACK]);
    let moof = bx(
        b"moof",
        &bx(b"traf", &[vec![tfhd], boxes.to_vec()].concat().concat()),
    );
    [
        MovieBuilder::fragmented().file(),
        moof,
        bx(b"mdat", &vec![0; media]),
    ]
    .concat()
}

#[test]
fn a_run_of_more_samples_than_bytes_is_refused_at_once() {
    // The movie's default size is 4.
    let trun = |flags, fields: &[u32]| full(b"trun", 0, flags, fields);
    for (boxes, media) in [
        (vec![trun(1, &[u32::MAX, 100])], 50),
        (vec![trun(0, &[u32::MAX])], 50),
        (vec![trun(0x301, &[u32::MAX, 100, 1, 1])], 50),
        (vec![trun(0x201, &[2, 100, u32::MAX, u32::MAX])], 50),
        (vec![trun(0x201, &[1, 0x8000_0000, 4])], 50),
        (
            vec![
                full(b"tfdt", 1, 0, &[u32::MAX, u32::MAX]),
                trun(1, &[1, 100]),
            ],
            50,
        ),
        (
            vec![
                full(b"tfdt", 1, 0, &[0x7fff_ffff, u32::MAX]),
                trun(0x101, &[1, 100, u32::MAX]),
            ],
            50,
        ),
    ] {
        let (count, ended) = exercise(&fragment_of(&boxes, media), true).unwrap();
        assert_eq!(count, 0);
        assert!(ended.is_some());
    }
}

#[test]
fn runs_of_nothing_are_passed_as_a_whole() {
    let tfhd = full(b"tfhd", 0, 0x2_0010, &[TRACK, 0]);
    let runs = vec![full(b"trun", 0, 0, &[u32::MAX]); 5_000].concat();
    let moof = bx(b"moof", &bx(b"traf", &[tfhd, runs].concat()));
    let file = [MovieBuilder::fragmented().file(), moof].concat();
    let (count, ended) = exercise(&file, true).unwrap();
    assert_eq!(count, 0);
    assert!(ended.is_none(), "{ended:?}");
}

#[test]
fn too_many_boxes_are_refused() {
    let runs = vec![full(b"trun", 0, 0, &[0]); 10_001].concat();
    let (_, ended) = exercise(&fragment_of(&[runs], 5), true).unwrap();
    assert!(matches!(ended, Some(Error::LimitError(_))), "{ended:?}");

    let file = bx(b"moov", &bx(b"free", b"").repeat(10_001));
    assert!(matches!(exercise(&file, true), Err(Mp4Error::Limit { .. })));
    let tracks = bx(b"moov", &bx(b"trak", b"").repeat(257));
    assert!(matches!(
        exercise(&tracks, true),
        Err(Mp4Error::Limit { .. })
    ));
    let mut huge = bx(b"moov", &bx(b"free", b""));
    huge.splice(..4, (8 + (65_u32 << 20)).to_be_bytes());
    huge.splice(8..12, (65_u32 << 20).to_be_bytes());
    assert!(matches!(exercise(&huge, true), Err(Mp4Error::Limit { .. })));
}

#[test]
fn tables_that_lie_are_refused() {
    let honest = || MovieBuilder::table(&[(2, 10)], 1, &[3, 4], &[700, 703]);
    assert!(Scripted::new(honest().file()).open().is_ok());
    for (index, lie) in [
        (0, full(b"stts", 0, 0, &[u32::MAX, 2, 10])),
        (0, full(b"stts", 0, 0, &[0])),
        (1, full(b"stsc", 0, 0, &[u32::MAX, 1, 1, 1])),
        (1, full(b"stsc", 0, 0, &[0])),
        (1, full(b"stsc", 0, 0, &[1, 0, 1, 1])),
        (1, full(b"stsc", 0, 0, &[1, 2, 1, 1])),
        (1, full(b"stsc", 0, 0, &[1, 1, 0, 1])),
        (1, full(b"stsc", 0, 0, &[1, 1, 1, 9])),
        (1, full(b"stsc", 0, 0, &[3, 1, 1, 1, 2, 1, 1, 2, 1, 1])),
        (2, full(b"stsz", 0, 0, &[0, u32::MAX, 3, 4])),
        (2, full(b"stz2", 0, 0, &[5, 2, 0])),
        (3, full(b"stco", 0, 0, &[u32::MAX, 1])),
        (3, full(b"stco", 0, 0, &[0])),
        (
            3,
            full(b"co64", 0, 0, &[2, u32::MAX, u32::MAX, u32::MAX, u32::MAX]),
        ),
        (3, full(b"free", 0, 0, &[])),
    ] {
        let mut movie = honest();
        *movie.table.get_mut(index).unwrap() = lie.clone();
        let opened = Scripted::new(movie.file()).open();
        let error = opened.err();
        let refused = matches!(
            error,
            Some(Mp4Error::Malformed { .. } | Mp4Error::Unsupported { .. })
        );
        assert!(refused, "{index}: {error:?} for {lie:02x?}");
    }
    let edits = MovieBuilder {
        edits: Some(full(b"elst", 0, 0, &[u32::MAX, 1, 1])),
        ..honest()
    };
    assert!(matches!(
        Scripted::new(edits.file()).open().err(),
        Some(Mp4Error::Malformed { .. })
    ));
}

#[test]
fn constant_sizes_and_endless_counts_end_with_the_bytes() {
    let mut movie = MovieBuilder::table(&[(u32::MAX, 10)], u32::MAX, &[], &[0]);
    *movie.table.get_mut(2).unwrap() = full(b"stsz", 0, 0, &[100, u32::MAX]);
    let offset = movie.file().len() as u32 + 8;
    *movie.table.get_mut(3).unwrap() = full(b"stco", 0, 0, &[1, offset]);
    let file = [movie.file(), bx(b"mdat", &[0; 1050])].concat();
    let (count, ended) = exercise(&file, true).unwrap();
    assert_eq!(count, 10);
    assert!(
        matches!(&ended, Some(Error::IoError(e)) if e.kind() == io::ErrorKind::UnexpectedEof),
        "{ended:?}"
    );

    // A packet of 2 GiB.
    let movie = MovieBuilder::table(&[(1, 10)], 1, &[0x8000_0000], &[700]);
    let (_, ended) = exercise(&movie.file(), true).unwrap();
    assert!(matches!(ended, Some(Error::LimitError(_))), "{ended:?}");
}

#[test]
fn boxes_in_boxes_end() {
    let mut nest = bx(b"moov", b"");
    for kind in [
        b"trak", b"mdia", b"minf", b"stbl", b"moov", b"wave", b"traf", b"meta", b"udta",
    ]
    .repeat(400)
    {
        nest = bx(kind, &nest);
    }
    assert!(exercise(&bx(b"moov", &nest), true).is_err());
    let mut waves = Vec::new();
    for _ in 0..2_000 {
        waves = bx(b"wave", &waves);
    }
    let movie = MovieBuilder {
        entry: sound_entry(b"mp4a", 2, 44_100, &waves),
        ..MovieBuilder::fragmented()
    };
    assert!(matches!(
        exercise(&movie.file(), true),
        Err(Mp4Error::Malformed { .. })
    ));
}

/// Small files of each kind, with all that the readers know in them.
fn small_files() -> Vec<Vec<u8>> {
    let mut table = MovieBuilder::table(&[(2, 10), (2, 20)], 2, &[30, 40, 30, 40], &[0, 0]);
    table.edits = Some(full(b"elst", 0, 0, &[1, 60, 10, 0x1_0000]));
    let offset = table.file().len() as u32 + 8;
    *table.table.get_mut(3).unwrap() = full(b"stco", 0, 0, &[2, offset, offset + 70]);
    let ordinary = [table.file(), bx(b"mdat", &[7; 140])].concat();
    let fragment = fragment_of(
        &[
            full(b"tfdt", 0, 0, &[5]),
            full(b"trun", 0, 0x301, &[3, 100, 10, 4, 10, 4, 10, 4]),
        ],
        12,
    );
    let header = MovieBuilder::fragmented().file().len();
    let media = (fragment.len() - header) as u32;
    let sidx = full(b"sidx", 0, 0, &[TRACK, 1000, 0, 0, 1, media, 30, 0]);
    let fragments = [
        fragment.get(..header).unwrap(),
        &sidx,
        fragment.get(header..).unwrap(),
    ]
    .concat();
    vec![ordinary, fragments]
}

#[test]
fn a_file_cut_anywhere_ends_in_a_typed_error_or_short() {
    for file in small_files() {
        let (whole, ended) = exercise(&file, true).unwrap();
        assert!(whole >= 3 && ended.is_none(), "{whole} {ended:?}");
        for cut in 0..file.len() {
            for seekable in [true, false] {
                match exercise(file.get(..cut).unwrap(), seekable) {
                    Ok((count, None)) => assert!(count < whole),
                    Ok((count, Some(Error::IoError(error)))) => {
                        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                        assert!(count < whole);
                    }
                    Ok((_, Some(error))) => panic!("{error} at {cut}"),
                    Err(Mp4Error::Io(error)) => {
                        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                    }
                    Err(Mp4Error::NoMovie { .. }) => {}
                    Err(error) => panic!("{error} at {cut}"),
                }
            }
        }
    }
}

#[test]
fn any_byte_may_be_anything() {
    let mut files = small_files();
    files.extend(
        [
            "m4a-he-explicit.m4a",
            "m4a-opus.m4a",
            "m4a-alac-first.m4a",
            "fmp4-flac.mp4",
        ]
        .map(|name| {
            let mut bytes = fixture(name);
            bytes.truncate(3_000);
            bytes
        }),
    );
    for file in files {
        for at in 0..file.len().min(1_200) {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = file.clone();
                if let Some(byte) = bad.get_mut(at) {
                    *byte = value;
                }
                let _ = exercise(&bad, true);
            }
        }
    }
}

#[test]
fn words_may_be_anything() {
    for file in small_files() {
        for at in 0..file.len().saturating_sub(4) {
            for value in [
                0,
                1,
                2,
                7,
                8,
                15,
                16,
                0x7fff_ffff,
                0x8000_0000,
                u32::MAX - 7,
                u32::MAX,
            ] {
                let mut bad = file.clone();
                bad.splice(at..at + 4, value.to_be_bytes());
                let _ = exercise(&bad, at % 2 == 0);
            }
        }
    }
}
