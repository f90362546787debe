//! Ordinary MP4: the fixtures, the jumps made, seeks, and refusals by name.

use std::sync::atomic::Ordering;

use kithara_stream::AudioCodec;
use symphonia::core::errors::{Error, SeekErrorKind};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};

use super::super::{Mp4Error, Mp4Options, open};
use super::*;

#[test]
fn aac_is_heard_as_the_reference_decoder_hears_it() {
    let reference = decode_flac("aac.ref.flac");
    for name in [
        "m4a-aac-first.m4a",
        "m4a-aac-last.m4a",
        "fmp4-aac.mp4",
        "fmp4-aac-sidx.mp4",
    ] {
        let (mut reader, facts) = Scripted::new(fixture(name)).open().unwrap();
        assert_eq!(
            (facts.codec, facts.sample_rate, facts.channels),
            (Some(AudioCodec::AacLc), 44_100, 2),
            "{name}"
        );
        let apart = furthest_apart(&decode(reader.as_mut()), &reference);
        assert!(apart < 1e-4, "{name}: {apart}");
    }
}

#[test]
fn lossless_codecs_are_exact() {
    // The fixtures are encodings of one 16-bit source, of different lengths.
    let source = decode_flac("flac-16.flac");
    for (name, frames) in [
        ("m4a-alac-first.m4a", 44_100),
        ("m4a-alac-last.m4a", 44_100),
        ("fmp4-flac.mp4", 66_150),
    ] {
        let (mut reader, _) = Scripted::new(fixture(name)).open().unwrap();
        let samples = decode(reader.as_mut());
        assert_eq!(samples.len(), 2 * frames, "{name}");
        assert!(samples == source.get(..2 * frames).unwrap(), "{name}");
    }
}

#[test]
fn what_cannot_be_decoded_is_named() {
    for (name, codec, code, channels) in [
        ("m4a-he-explicit.m4a", Some(AudioCodec::AacHe), "mp4a", 2),
        ("m4a-aac-51.m4a", Some(AudioCodec::AacLc), "mp4a", 6),
        ("m4a-opus.m4a", Some(AudioCodec::Opus), "Opus", 2),
        ("m4a-ac3.m4a", None, "ac-3", 2),
    ] {
        let (_, facts) = Scripted::new(fixture(name)).open().unwrap();
        assert_eq!(
            (facts.codec, facts.code.to_string().as_str(), facts.channels),
            (codec, code, channels),
            "{name}"
        );
    }
}

#[test]
fn edits_and_lengths_are_told() {
    let bytes = fixture("m4a-aac-first.m4a");
    let len = bytes.len() as u64;
    let (reader, facts) = Scripted::new(bytes).open().unwrap();
    let stretch = facts.stretch.unwrap();
    assert_eq!((stretch.start, stretch.end), (1024, Some(89_224)));
    assert_eq!(facts.last_packet, Some(89_088));
    assert_eq!(facts.media_end, Some(len));
    assert!(!facts.fragmented);
    let duration = facts.duration.unwrap();
    assert!((89_088..=90_112).contains(&duration), "{duration}");
    assert_eq!(
        reader.tracks().first().unwrap().duration.unwrap().get(),
        duration
    );
}

#[test]
fn a_movie_box_in_front_costs_no_jump_and_one_behind_costs_two() {
    for (name, jumps) in [
        ("m4a-aac-first.m4a", 0),
        ("m4a-alac-first.m4a", 0),
        ("m4a-alac-last.m4a", 2),
        // So short that it is read through, and still remembered.
        ("m4a-aac-last.m4a", 0),
    ] {
        let source = Scripted::new(fixture(name));
        let (mut reader, _) = source.open().unwrap();
        assert!(all(&mut reader).len() > 10);
        assert_eq!(source.jumps(), jumps, "{name}");
    }
    let source = Scripted::new(fixture("m4a-alac-last.m4a"));
    let (mut reader, _) = source.open().unwrap();
    all(&mut reader);
    // Each byte is read once, but for the read-ahead that the first jump leaves behind and the last box after the media.
    assert!(source.read_bytes.load(Ordering::Relaxed) < source.bytes.len() as u64 + (64 << 10));
}

#[test]
fn an_unseekable_source_plays_unless_the_movie_box_is_behind() {
    let expected = all(&mut Scripted::new(fixture("m4a-alac-first.m4a"))
        .open()
        .unwrap()
        .0);
    let (mut reader, _) = Scripted::new(fixture("m4a-alac-first.m4a"))
        .unseekable()
        .open()
        .unwrap();
    assert_eq!(all(&mut reader), expected);
    assert!(matches!(
        seek(&mut reader, 0),
        Err(Error::SeekError(SeekErrorKind::ForwardOnly))
    ));

    let behind = Scripted::new(fixture("m4a-alac-last.m4a"))
        .unseekable()
        .open();
    assert!(matches!(behind.err(), Some(Mp4Error::MovieAtEnd)));
}

#[test]
fn seeks_land_on_the_packet_that_plays_from_any_state() {
    for name in [
        "m4a-aac-first.m4a",
        "m4a-alac-last.m4a",
        "fmp4-aac.mp4",
        "fmp4-aac-sidx.mp4",
        "fmp4-flac.mp4",
    ] {
        let source = Scripted::new(fixture(name));
        let (mut reader, _) = source.open().unwrap();
        let packets = all(&mut reader);
        let end = packets
            .last()
            .map(|last| last.time as u64 + last.duration)
            .unwrap();
        let targets = (0..60).map(|n: u64| n * 7919 * 13 % end).chain([
            0,
            end - 1,
            0,
            end - 1,
            1,
            1024,
            1023,
        ]);
        for target in targets {
            let seeked = seek(&mut reader, target).unwrap();
            let expected = packets
                .iter()
                .rfind(|packet| packet.time as u64 <= target)
                .unwrap();
            assert_eq!(seeked.actual_ts.get(), expected.time, "{name} at {target}");
            assert_eq!(
                next(&mut reader).unwrap().as_ref(),
                Some(expected),
                "{name} at {target}"
            );
        }
        for target in [end, end + 1, u64::MAX >> 1] {
            let error = seek(&mut reader, target).err();
            assert!(
                matches!(error, Some(Error::SeekError(SeekErrorKind::OutOfRange))),
                "{name}: {error:?}"
            );
            assert_eq!(next(&mut reader).unwrap(), None, "{name}");
        }
        seek(&mut reader, 0).unwrap();
        assert_eq!(all(&mut reader), packets, "{name}");
    }
}

#[test]
fn a_failed_read_can_be_repeated() {
    for name in ["m4a-alac-first.m4a", "fmp4-flac.mp4", "fmp4-aac.mp4"] {
        for seekable in [true, false] {
            let mut source = Scripted::new(fixture(name));
            if !seekable {
                source = source.unseekable();
            }
            source.read_len = 3000;
            let expected = all(&mut source.open().unwrap().0);
            // Late enough that opening, which is not repeatable, has passed.
            source.fail_every = Some(11);
            let (mut reader, _) = source.open().unwrap();
            let mut packets = Vec::new();
            let mut failures = 0;
            while failures < 1000 {
                match next(&mut reader) {
                    Ok(Some(packet)) => packets.push(packet),
                    Ok(None) => break,
                    Err(Error::IoError(_)) => failures += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(failures > 0);
            assert!(packets == expected, "{name}, seekable: {seekable}");
        }
    }
}

#[test]
fn pcm_comes_in_packets_of_many_frames() {
    // Two chunks of 1500 stereo frames; QuickTime writers give PCM a sample size of 1.
    let stsz = full(b"stsz", 0, 0, &[1, 3000]);
    let table = |offset: u32| {
        vec![
            full(b"stts", 0, 0, &[1, 3000, 1]),
            full(b"stsc", 0, 0, &[1, 1, 1500, 1]),
            stsz.clone(),
            full(b"stco", 0, 0, &[2, offset, offset + 6000]),
        ]
    };
    let movie = |offset| MovieBuilder {
        timescale: 44_100,
        entry: sound_entry(b"sowt", 2, 44_100, &[]),
        table: table(offset),
        ..MovieBuilder::default()
    };
    let offset = movie(0).file().len() as u32 + 8;
    let media: Vec<u8> = (0..12_000).map(|n| (n % 251) as u8).collect();
    let file = [movie(offset).file(), bx(b"mdat", &media)].concat();
    let (mut reader, facts) = Scripted::new(file).open().unwrap();
    assert_eq!(
        (facts.codec, facts.duration),
        (Some(AudioCodec::Pcm), Some(3000))
    );
    let packets = all(&mut reader);
    let shape: Vec<_> = packets
        .iter()
        .map(|packet| (packet.time, packet.duration))
        .collect();
    assert_eq!(shape, [(0, 1024), (1024, 476), (1500, 1024), (2524, 476)]);
    assert_eq!(
        packets
            .iter()
            .flat_map(|packet| packet.data.to_vec())
            .collect::<Vec<_>>(),
        media
    );
    assert_eq!(seek(&mut reader, 1777).unwrap().actual_ts.get(), 1777);
    assert_eq!(
        next(&mut reader).unwrap().unwrap().data.first_chunk::<2>(),
        media[4 * 1777..].first_chunk::<2>()
    );
}

#[test]
fn companded_sound_of_quicktime_is_decoded() {
    for (kind, silence) in [(b"ulaw", 0xff), (b"alaw", 0xd5)] {
        let movie = |offset| MovieBuilder {
            timescale: 44_100,
            entry: sound_entry(kind, 2, 44_100, &[]),
            ..MovieBuilder::table(&[(4, 1)], 4, &[2, 2, 2, 2], &[offset])
        };
        let offset = movie(0).file().len() as u32 + 8;
        let file = [movie(offset).file(), bx(b"mdat", &[silence; 8])].concat();
        let (mut reader, _) = Scripted::new(file).open().unwrap();
        let samples = decode(reader.as_mut());
        assert_eq!(samples.len(), 8);
        assert!(
            samples.iter().all(|sample| sample.abs() < 0.001),
            "{samples:?}"
        );
    }
}

#[test]
fn samples_are_found_through_uneven_tables() {
    // Times in three runs, one of them empty; chunks of 2, 2, 3 samples, in no order.
    let sizes = [1, 2, 3, 4, 5, 6, 7];
    let mut movie = MovieBuilder::table(&[(3, 10), (0, 99), (4, 20)], 2, &sizes, &[0, 0, 0]);
    let start = movie.file().len() as u32 + 12 + 8;
    let (a, b, c) = (start + 18, start + 25, start);
    *movie.table.get_mut(1).unwrap() = full(b"stsc", 0, 0, &[2, 1, 2, 1, 3, 3, 1]);
    *movie.table.get_mut(3).unwrap() = full(b"stco", 0, 0, &[3, a, b, c]);
    let media: Vec<u8> = (0..32).collect();
    let file = [movie.file(), bx(b"mdat", &media)].concat();
    let (mut reader, facts) = Scripted::new(file).open().unwrap();
    assert_eq!(facts.duration, Some(110));
    assert_eq!(facts.media_end, Some(u64::from(b) + 7));
    let packets = all(&mut reader);
    let seen: Vec<_> = packets
        .iter()
        .map(|p| (p.time, p.duration, p.data.len(), p.data.first().copied()))
        .collect();
    let expected: Vec<_> = [
        (0, 10, 18),
        (10, 10, 19),
        (20, 10, 25),
        (30, 20, 28),
        (50, 20, 0),
        (70, 20, 5),
        (90, 20, 11),
    ]
    .iter()
    .zip(sizes)
    .map(|((time, duration, first), size)| (*time, *duration, size as usize, Some(*first)))
    .collect();
    assert_eq!(seen, expected);
    for target in 0..110 {
        let expected = packets.iter().rfind(|packet| packet.time <= target as i64);
        seek(&mut reader, target).unwrap();
        assert_eq!(next(&mut reader).unwrap().as_ref(), expected, "{target}");
    }
}

#[test]
fn tracks_that_are_not_playable_audio_are_refused_by_name() {
    let video = MovieBuilder {
        handler: *b"vide",
        ..MovieBuilder::fragmented()
    };
    let error = Scripted::new(video.file()).open().err();
    assert!(
        matches!(error, Some(Mp4Error::NoAudio { tracks: 1 })),
        "{error:?}"
    );

    let schm = full(b"schm", 0, 0, &[u32::from_be_bytes(*b"cbcs"), 0x1_0000]);
    let sinf = bx(b"sinf", &[bx(b"frma", b"mp4a"), schm].concat());
    let encrypted = MovieBuilder {
        entry: sound_entry(b"enca", 2, 44_100, &sinf),
        ..MovieBuilder::fragmented()
    };
    let error = Scripted::new(encrypted.file()).open().err();
    assert!(
        matches!(error, Some(Mp4Error::Encrypted { scheme }) if scheme.to_string() == "cbcs"),
        "{error:?}"
    );

    for (channels, rate) in [(0, 44_100), (255, 44_100)] {
        let odd = MovieBuilder {
            entry: sound_entry(b".mp3", channels, rate, &[]),
            ..MovieBuilder::fragmented()
        };
        let error = Scripted::new(odd.file()).open().err();
        assert!(
            matches!(error, Some(Mp4Error::Unsupported { .. })),
            "{error:?}"
        );
    }
    let timeless = MovieBuilder {
        timescale: 0,
        ..MovieBuilder::fragmented()
    };
    assert!(matches!(
        Scripted::new(timeless.file()).open().err(),
        Some(Mp4Error::Malformed { .. })
    ));
}

#[test]
fn bytes_that_are_no_movie_are_refused() {
    for bytes in [
        &b""[..],
        b"RIFF\0\0\0\0WAVE",
        &bx(b"ftyp", b"isom"),
        &[bx(b"ftyp", b"isom"), bx(b"mdat", &[0; 9])].concat(),
    ] {
        let error = Scripted::new(bytes).open().err();
        assert!(matches!(error, Some(Mp4Error::NoMovie { .. })), "{error:?}");
    }
}

#[test]
fn over_a_network_short_gaps_are_read_through() {
    // Packets with 100 KiB of something else after each, as interleaved video is.
    let sizes = [100; 6];
    let mut movie = MovieBuilder::table(&[(6, 10)], 1, &sizes, &[0; 6]);
    let start = movie.file().len() as u32 + 8;
    let offsets: Vec<u32> = (0..6).map(|n| start + n * 100_100).collect();
    *movie.table.get_mut(3).unwrap() = full(b"stco", 0, 0, &[&[6], offsets.as_slice()].concat());
    let file = [movie.file(), bx(b"mdat", &vec![0; 700_000])].concat();
    for (remote, jumps) in [(true, 0), (false, 5)] {
        let source = Scripted::new(file.clone());
        let stream = MediaSourceStream::new(
            Box::new(source.clone()),
            MediaSourceStreamOptions::default(),
        );
        let (mut reader, _) = open(
            stream,
            Mp4Options {
                remote,
                ..Mp4Options::default()
            },
        )
        .unwrap();
        assert_eq!(all(&mut reader).len(), 6);
        assert_eq!(source.jumps(), jumps);
    }
}
