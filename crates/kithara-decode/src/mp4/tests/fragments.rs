//! Fragmented MP4: timing, layout of fragments, growth, seeks.

use symphonia::core::errors::{Error, SeekErrorKind};

use super::super::Mp4Error;
use super::*;

/// Flags of `tfhd` and `trun` that tests use.
const BASE_IS_MOOF: u32 = 0x2_0000;
const OFFSET: u32 = 0x1;
const DURATIONS: u32 = 0x100;
const SIZES: u32 = 0x200;

/// One track's part of a fragment.
struct Traf<'a> {
    track: u32,
    time: Option<u32>,
    /// Duration and size of each sample.
    samples: &'a [(u32, u32)],
}

/// A fragment whose media follows at once: `moof`, then `mdat` with each sample filled with its own number.
fn fragment(trafs: &[Traf<'_>]) -> Vec<u8> {
    let build = |first_offset: u32| {
        let mut offset = first_offset;
        let mut body = full(b"mfhd", 0, 0, &[1]);
        for traf in trafs {
            let mut run = vec![traf.samples.len() as u32, offset];
            run.extend(
                traf.samples
                    .iter()
                    .flat_map(|(duration, size)| [*duration, *size]),
            );
            let tfdt = traf
                .time
                .map(|time| full(b"tfdt", 0, 0, &[time]))
                .unwrap_or_default();
            let trun = full(b"trun", 0, OFFSET | DURATIONS | SIZES, &run);
            let tfhd = full(b"tfhd", 0, BASE_IS_MOOF, &[traf.track]);
            body.extend(bx(b"traf", &[tfhd, tfdt, trun].concat()));
            offset += traf.samples.iter().map(|(_, size)| size).sum::<u32>();
        }
        bx(b"moof", &body)
    };
    let len = build(0).len() as u32;
    let samples = trafs.iter().flat_map(|traf| traf.samples);
    let media: Vec<u8> = samples
        .enumerate()
        .flat_map(|(n, (_, size))| vec![n as u8; *size as usize])
        .collect();
    [build(len + 8), bx(b"mdat", &media)].concat()
}

fn at(time: u32, samples: &[(u32, u32)]) -> Vec<u8> {
    fragment(&[Traf {
        track: TRACK,
        time: Some(time),
        samples,
    }])
}

fn movie() -> Vec<u8> {
    MovieBuilder::fragmented().file()
}

fn times(packets: &[Heard]) -> Vec<(i64, u64)> {
    packets
        .iter()
        .map(|packet| (packet.time, packet.duration))
        .collect()
}

fn read(file: Vec<u8>) -> Vec<Heard> {
    all(&mut Scripted::new(file).unseekable().open().unwrap().0)
}

#[test]
fn a_missing_segment_leaves_a_gap_and_an_overlap_stays_visible() {
    let file = [
        movie(),
        at(0, &[(10, 3), (10, 4)]),
        at(100, &[(10, 5)]),
        at(90, &[(10, 6)]),
    ]
    .concat();
    assert_eq!(times(&read(file)), [(0, 10), (10, 10), (100, 10), (90, 10)]);
}

#[test]
fn without_a_time_a_fragment_follows_the_one_before() {
    let untimed = fragment(&[Traf {
        track: TRACK,
        time: None,
        samples: &[(7, 3)],
    }]);
    let file = [movie(), at(50, &[(10, 3)]), untimed.clone(), untimed].concat();
    assert_eq!(times(&read(file)), [(50, 10), (60, 7), (67, 7)]);
}

#[test]
fn a_lone_segment_keeps_its_time_and_all_64_bits_of_it() {
    let time = (1_u64 << 40) + 5;
    let tfdt = full(b"tfdt", 1, 0, &[(time >> 32) as u32, time as u32]);
    let moof = |offset| {
        let traf = [
            full(b"tfhd", 0, BASE_IS_MOOF, &[TRACK]),
            tfdt.clone(),
            full(b"trun", 0, OFFSET, &[2, offset]),
        ];
        bx(b"moof", &bx(b"traf", &traf.concat()))
    };
    let len = moof(0).len() as u32;
    // Durations and sizes come from the movie's defaults: 10 and 4.
    let packets = read([movie(), moof(len + 8), bx(b"mdat", b"aaaabbbb")].concat());
    assert_eq!(times(&packets), [(time as i64, 10), (time as i64 + 10, 10)]);
    assert_eq!(
        packets
            .iter()
            .map(|packet| &*packet.data)
            .collect::<Vec<_>>(),
        [b"aaaa", b"bbbb"]
    );
}

#[test]
fn other_tracks_and_unknown_boxes_are_passed_over() {
    let both = fragment(&[
        Traf {
            track: 1,
            time: Some(3),
            samples: &[(1, 50), (1, 60)],
        },
        Traf {
            track: TRACK,
            time: Some(20),
            samples: &[(10, 5), (10, 6)],
        },
    ]);
    let uuid = bx(b"uuid", &[1; 40]);
    let large = {
        // A size of 64 bits.
        let mut bytes = vec![0, 0, 0, 1];
        bytes.extend(b"emsg");
        bytes.extend(21_u64.to_be_bytes());
        bytes.extend(b"event");
        bytes
    };
    let file = [
        movie(),
        bx(b"styp", b"msdh"),
        uuid,
        large,
        both,
        bx(b"free", b""),
    ]
    .concat();
    let packets = read(file);
    assert_eq!(times(&packets), [(20, 10), (30, 10)]);
    assert_eq!(
        packets
            .iter()
            .map(|packet| packet.data.to_vec())
            .collect::<Vec<_>>(),
        [vec![2; 5], vec![3; 6]]
    );
}

#[test]
fn data_is_found_by_every_way_of_giving_its_place() {
    let movie = movie();
    let moof_at = movie.len() as u64;
    let tail = |tfhd: Vec<u8>, truns: &[Vec<u8>]| {
        bx(b"traf", &[vec![tfhd], truns.to_vec()].concat().concat())
    };
    let sized = |fields: &[u32]| full(b"trun", 0, SIZES, fields);
    // An absolute base; runs without an offset follow each other.
    let absolute = |base: u64| {
        let tfhd = full(b"tfhd", 0, 1, &[TRACK, (base >> 32) as u32, base as u32]);
        bx(b"moof", &tail(tfhd, &[sized(&[2, 2, 3]), sized(&[1, 4])]))
    };
    let base = moof_at + absolute(0).len() as u64 + 8;
    // Neither flag: relative to the moof box in the first track fragment, to the end of the one before in the next.
    let chained = |offset: u32| {
        let other = tail(
            full(b"tfhd", 0, 0, &[1]),
            &[full(b"trun", 0, OFFSET | SIZES, &[1, offset, 2])],
        );
        let ours = tail(full(b"tfhd", 0, 0, &[TRACK]), &[sized(&[2, 3, 4])]);
        bx(b"moof", &[other, ours].concat())
    };
    let offset = chained(0).len() as u32 + 8;
    for (moof, expected) in [
        (absolute(base), vec![&b"ab"[..], b"cde", b"fghi"]),
        (chained(offset), vec![&b"cde"[..], b"fghi"]),
    ] {
        let packets = read([movie.clone(), moof, bx(b"mdat", b"abcdefghi")].concat());
        assert_eq!(
            packets
                .iter()
                .map(|packet| &*packet.data)
                .collect::<Vec<_>>(),
            expected
        );
    }
}

#[test]
fn media_before_its_fragment_plays_where_the_source_can_go_back() {
    let movie = movie();
    let media = bx(b"mdat", b"abcd");
    let base = movie.len() as u32 + 8;
    let tfhd = full(b"tfhd", 0, 1, &[TRACK, 0, base]);
    let moof = bx(
        b"moof",
        &bx(b"traf", &[tfhd, full(b"trun", 0, 0, &[1])].concat()),
    );
    let file = [movie, media, moof].concat();
    let (mut reader, _) = Scripted::new(file).open().unwrap();
    assert_eq!(
        all(&mut reader).first().map(|packet| packet.data.to_vec()),
        Some(b"abcd".to_vec())
    );
}

#[test]
fn a_growing_stream_is_followed_and_no_packet_waits_for_its_fragment() {
    let file = [
        movie(),
        at(0, &[(10, 300), (10, 400)]),
        at(20, &[(10, 500)]),
    ]
    .concat();
    let source = Scripted::new(file.clone()).unseekable();
    let second = file.len() as u64 - at(20, &[(10, 500)]).len() as u64;
    // All but the last sample of the first fragment.
    source.available.store(second - 400, Ordering::Relaxed);
    let (mut reader, facts) = source.open().unwrap();
    assert_eq!((facts.fragmented, facts.duration), (true, None));
    assert_eq!(next(&mut reader).unwrap().unwrap().data.len(), 300);
    // The end in the middle of a sample is an error, and so is the end in the middle of a box.
    for _ in 0..2 {
        let error = next(&mut reader).err();
        assert!(
            matches!(&error, Some(Error::IoError(e)) if e.kind() == io::ErrorKind::UnexpectedEof),
            "{error:?}"
        );
    }
    source.available.store(second, Ordering::Relaxed);
    assert_eq!(next(&mut reader).unwrap().unwrap().data.len(), 400);
    // The end between boxes is the end, for now.
    assert_eq!(next(&mut reader).unwrap(), None);
    source.available.store(second + 30, Ordering::Relaxed);
    assert!(next(&mut reader).is_err());
    source.available.store(file.len() as u64, Ordering::Relaxed);
    assert_eq!(next(&mut reader).unwrap().unwrap().time, 20);
    assert_eq!(next(&mut reader).unwrap(), None);
}

#[test]
fn an_equal_initialisation_is_passed_over_and_another_one_resets() {
    let other = MovieBuilder {
        entry: sound_entry(b".mp3", 1, 22_050, &[]),
        ..MovieBuilder::fragmented()
    };
    let file = [
        movie(),
        at(0, &[(10, 3)]),
        movie(),
        at(10, &[(10, 3)]),
        other.file(),
        at(20, &[(10, 3)]),
    ]
    .concat();
    let (mut reader, _) = Scripted::new(file).unseekable().open().unwrap();
    let (packets, error) = drain(&mut reader);
    assert_eq!(times(&packets), [(0, 10), (10, 10)]);
    assert!(matches!(error, Some(Error::ResetRequired)));
    let params = reader
        .tracks()
        .first()
        .unwrap()
        .codec_params
        .clone()
        .unwrap();
    assert_eq!(params.audio().unwrap().sample_rate, Some(22_050));
    assert_eq!(times(&all(&mut reader)), [(20, 10)]);
}

#[test]
fn samples_listed_in_the_movie_box_come_first() {
    let mut movie = MovieBuilder {
        extends: true,
        ..MovieBuilder::table(&[(2, 10)], 2, &[3, 4], &[0])
    };
    let offset = movie.file().len() as u32 + 8;
    *movie.table.get_mut(3).unwrap() = full(b"stco", 0, 0, &[1, offset]);
    let untimed = fragment(&[Traf {
        track: TRACK,
        time: None,
        samples: &[(7, 5)],
    }]);
    let file = [movie.file(), bx(b"mdat", b"abcdefg"), untimed].concat();
    assert_eq!(times(&read(file.clone())), [(0, 10), (10, 10), (20, 7)]);
    let (mut reader, _) = Scripted::new(file).open().unwrap();
    for (target, expected) in [(25, 20), (15, 10), (20, 20), (0, 0)] {
        assert_eq!(seek(&mut reader, target).unwrap().actual_ts.get(), expected);
        assert_eq!(next(&mut reader).unwrap().unwrap().time, expected);
    }
    assert_eq!(times(&all(&mut reader)), [(10, 10), (20, 7)]);
}

/// Ten fragments of 100 with 200 KiB in each, times 0 to 1000, but 500 to 600 missing.
fn long(index: Option<&dyn Fn(u32, u32) -> (u32, u32)>) -> Vec<u8> {
    let parts: Vec<(u32, Vec<u8>)> = (0..10)
        .filter(|n| *n != 5)
        .map(|n| (n * 100, at(n * 100, &[(50, 100_000), (50, 100_000)])))
        .collect();
    let mut references = Vec::new();
    for (time, bytes) in &parts {
        let (size, duration) = (bytes.len() as u32, if *time == 400 { 200 } else { 100 });
        let (size, duration) = index.map_or((size, duration), |index| index(size, duration));
        references.extend([size, duration, 0]);
    }
    let sidx = [
        &[TRACK, 1000, 0, 0, parts.len() as u32],
        references.as_slice(),
    ]
    .concat();
    let sidx = if index.is_some() {
        full(b"sidx", 0, 0, &sidx)
    } else {
        Vec::new()
    };
    [
        vec![movie(), sidx],
        parts.into_iter().map(|(_, bytes)| bytes).collect(),
    ]
    .concat()
    .concat()
}

#[test]
fn seeks_are_exact_whatever_the_index_says() {
    let honest = |size, duration| (size, duration);
    let late = |size, duration| (size, duration / 2);
    let early = |size, duration| (size, duration * 2);
    for index in [
        None,
        Some(&honest as &dyn Fn(u32, u32) -> (u32, u32)),
        Some(&late),
        Some(&early),
    ] {
        let source = Scripted::new(long(index));
        let (mut reader, _) = source.open().unwrap();
        for (target, expected) in [
            (730, 700),
            (0, 0),
            (999, 950),
            (499, 450),
            (500, 600),
            (599, 600),
            (600, 600),
            (50, 50),
            (49, 0),
            (950, 950),
        ] {
            let seeked = seek(&mut reader, target).unwrap();
            assert_eq!(seeked.actual_ts.get(), expected, "{target}");
            assert_eq!(
                next(&mut reader).unwrap().unwrap().time,
                expected,
                "{target}"
            );
        }
        assert!(matches!(
            seek(&mut reader, 1000),
            Err(Error::SeekError(SeekErrorKind::OutOfRange))
        ));
        assert_eq!(next(&mut reader).unwrap(), None);
        seek(&mut reader, 0).unwrap();
        assert_eq!(all(&mut reader).len(), 18);
    }
}

#[test]
fn a_seek_without_times_in_the_fragments_takes_those_of_the_index() {
    let untimed: Vec<Vec<u8>> = (0..10)
        .map(|_| {
            fragment(&[Traf {
                track: TRACK,
                time: None,
                samples: &[(50, 100_000), (50, 100_000)],
            }])
        })
        .collect();
    let sizes = untimed
        .iter()
        .flat_map(|bytes| [bytes.len() as u32, 100, 0]);
    let fields: Vec<u32> = [TRACK, 1000, 0, 0, 10].into_iter().chain(sizes).collect();
    for sidx in [full(b"sidx", 0, 0, &fields), Vec::new()] {
        let file = [movie(), sidx, untimed.concat()].concat();
        let (mut reader, _) = Scripted::new(file).open().unwrap();
        for (target, expected) in [(730, 700), (349, 300), (0, 0), (950, 950), (101, 100)] {
            let seeked = seek(&mut reader, target).unwrap();
            assert_eq!(seeked.actual_ts.get(), expected, "{target}");
            let tail = times(&all(&mut reader));
            assert_eq!(tail.first(), Some(&(expected, 50)), "{target}");
            assert_eq!(tail.last(), Some(&(950, 50)), "{target}");
        }
    }
}

#[test]
fn an_end_before_the_one_that_is_stated_is_a_cut() {
    let honest = |size, duration| (size, duration);
    let cut = |file: &[u8], fragments: usize| {
        let ends = file
            .windows(4)
            .enumerate()
            .filter(|(_, word)| *word == b"moof");
        let (end, _) = ends
            .map(|(at, word)| (at - 4, word))
            .nth(fragments)
            .unwrap();
        file.get(..end).unwrap().to_vec()
    };
    let movie_lasts = |units: u32| {
        let lasting = MovieBuilder {
            lasts: units,
            ..MovieBuilder::fragmented()
        };
        let media = long(None).split_off(movie().len());
        [lasting.file(), media].concat()
    };
    // 1000 units of the track, which plays a thousand a second, are 600 of the movie.
    for (name, file, known) in [
        ("sidx", long(Some(&honest)), true),
        ("mvhd", movie_lasts(600), true),
        ("nothing", long(None), false),
    ] {
        let (mut reader, _) = Scripted::new(file.clone()).open().unwrap();
        assert_eq!(all(&mut reader).len(), 18, "{name}: whole");
        let (mut reader, _) = Scripted::new(cut(&file, 5)).open().unwrap();
        for _ in 0..2 {
            let (packets, error) = drain(&mut reader);
            let is_cut = matches!(&error, Some(Error::IoError(e)) if e.kind() == io::ErrorKind::UnexpectedEof);
            assert_eq!(
                (is_cut, error.is_some()),
                (known, known),
                "{name}: {error:?}"
            );
            assert!([10, 0].contains(&packets.len()), "{name}");
        }
        assert_eq!(seek(&mut reader, 450).unwrap().actual_ts.get(), 450);
    }
    // Rounding, and a little that an encoder never gave, are not a cut.
    let (mut reader, _) = Scripted::new(movie_lasts(700)).open().unwrap();
    assert_eq!(all(&mut reader).len(), 18);
    // Nor is a length in the units of the track instead of the movie's, or one that begins with an empty edit.
    let (mut reader, _) = Scripted::new(movie_lasts(1000)).open().unwrap();
    assert_eq!(all(&mut reader).len(), 18);
    let delayed = MovieBuilder {
        lasts: 1800,
        edits: Some(full(
            b"elst",
            0,
            0,
            &[2, 1200, u32::MAX, 0x1_0000, 600, 0, 0x1_0000],
        )),
        ..MovieBuilder::fragmented()
    };
    let media = long(None).split_off(movie().len());
    let (mut reader, _) = Scripted::new([delayed.file(), media].concat())
        .open()
        .unwrap();
    assert_eq!(all(&mut reader).len(), 18);
}

#[test]
fn an_index_makes_a_seek_one_jump_and_a_walk_passes_over_the_media() {
    let honest = |size, duration| (size, duration);
    let source = Scripted::new(long(Some(&honest)));
    let (mut reader, facts) = source.open().unwrap();
    assert_eq!(facts.duration, Some(1000));
    next(&mut reader).unwrap();
    let before = source.jumps();
    seek(&mut reader, 901).unwrap();
    assert_eq!(source.jumps(), before + 1);

    let source = Scripted::new(long(None));
    let (mut reader, facts) = source.open().unwrap();
    assert_eq!(facts.duration, None);
    seek(&mut reader, 901).unwrap();
    // Eight media boxes of 200 KB were passed, not read; and known from now on.
    assert!(source.read_bytes.load(Ordering::Relaxed) < 300_000);
    next(&mut reader).unwrap();
    let before = source.jumps();
    seek(&mut reader, 301).unwrap();
    assert_eq!(source.jumps(), before + 1);
}

#[test]
fn an_unseekable_source_seeks_forward_only_and_keeps_its_place_when_it_cannot() {
    let (mut reader, _) = Scripted::new(long(None)).unseekable().open().unwrap();
    assert_eq!(seek(&mut reader, 350).unwrap().actual_ts.get(), 350);
    assert!(matches!(
        seek(&mut reader, 100),
        Err(Error::SeekError(SeekErrorKind::ForwardOnly))
    ));
    assert_eq!(next(&mut reader).unwrap().unwrap().time, 350);
    assert!(matches!(
        seek(&mut reader, 300),
        Err(Error::SeekError(SeekErrorKind::ForwardOnly))
    ));
    assert_eq!(next(&mut reader).unwrap().unwrap().time, 400);
}

#[test]
fn a_cut_in_passed_over_media_is_not_the_end() {
    let whole = long(None);
    let cut = whole.get(..whole.len() - 150_000).unwrap();
    let mut source = Scripted::new(cut);
    source.len_known = false;
    let (mut reader, _) = source.open().unwrap();
    let error = seek(&mut reader, 2000).err();
    assert!(
        matches!(&error, Some(Error::IoError(e)) if e.kind() == io::ErrorKind::UnexpectedEof),
        "{error:?}"
    );
}

#[test]
fn a_fragment_alone_has_no_movie() {
    let error = Scripted::new(at(0, &[(1, 1)])).open().err();
    assert!(matches!(error, Some(Mp4Error::Headless)), "{error:?}");
}

#[test]
fn a_segment_index_longer_than_the_read_ahead_is_read_once() {
    let count: u32 = 6000;
    let mut fields = vec![TRACK, 1000, 0, 0, count];
    let media = at(0, &[(10, 3)]);
    fields.extend([media.len() as u32, 10, 0]);
    fields.extend((1..count).flat_map(|_| [0, 10, 0]));
    let file = [movie(), full(b"sidx", 0, 0, &fields), media].concat();
    let mut source = Scripted::new(file).unseekable();
    source.len_known = true;
    let (mut reader, _) = source.open().unwrap();
    assert_eq!(times(&all(&mut reader)), [(0, 10)]);
}
