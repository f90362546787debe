//! Truncation, damage, junk and refusals: a typed outcome, and every sample before it.

mod support;

use kithara_decode::{CodecSelector, DecodeError, DecoderFactory, Notice};
use kithara_stream::{AudioCodec, MediaInfo};
use kithara_tests::fixtures::{self, fixture};
use support::{
    Dice, assert_right_or_silent, drain, each, largest_difference, open, options, whole,
};

fn error(result: Result<Box<dyn kithara_decode::InnerDecoder>, DecodeError>) -> DecodeError {
    result.err().expect("an error")
}

#[test]
fn a_truncated_file_gives_what_it_holds_and_then_says_so() {
    each(
        fixtures::playable(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let samples = whole(fixture);
            let bytes = fixture.bytes();
            let mut longest = 0;
            for part in [3, 20, 40, 55, 70, 85, 97] {
                let cut = bytes[..bytes.len() * part / 100 + 7].to_vec();
                let mut decoder = match open(cut, &fixture.file) {
                    Ok(decoder) => decoder,
                    // Nothing can be played without the tables at the end, or when the head itself is cut.
                    Err(
                        DecodeError::Truncated { .. }
                        | DecodeError::Corrupt { .. }
                        | DecodeError::Unsupported { .. },
                    ) => continue,
                    Err(other) => panic!("{} at {part} %: {other:?}", fixture.file),
                };
                let (prefix, end) = drain(decoder.as_mut(), &fixture.file);
                assert!(
                    prefix.len() <= samples.len(),
                    "{} at {part} %",
                    fixture.file
                );
                let difference = largest_difference(&prefix, &samples);
                assert!(
                    difference <= 1e-4,
                    "{} at {part} %: differs by {difference}",
                    fixture.file
                );
                longest = longest.max(prefix.len());
                match end {
                    Err(DecodeError::Truncated { frames, .. }) => {
                        let channels = u64::from(fixture.channels);
                        assert_eq!(
                            frames,
                            prefix.len() as u64 / channels,
                            "{} at {part} %",
                            fixture.file
                        );
                    }
                    other => panic!(
                        "{} at {part} %: {other:?} after {} of {}",
                        fixture.file,
                        prefix.len(),
                        samples.len()
                    ),
                }
                assert!(
                    matches!(decoder.next_chunk(), Err(DecodeError::Truncated { .. })),
                    "{}: repeated",
                    fixture.file
                );
            }
            let tail = fixture.file.contains("-last") || fixture.file == "caf-alac.caf";
            assert!(
                tail || longest * 2 > samples.len(),
                "{}: only {longest} of {}",
                fixture.file,
                samples.len()
            );
        },
    );
}

#[test]
fn what_cannot_be_decoded_is_refused_by_name() {
    for fixture in fixtures::all()
        .iter()
        .filter(|fixture| fixture.refused.is_some())
    {
        let wanted = fixture.refused.as_deref().unwrap_or_default();
        match error(open(fixture.bytes(), &fixture.file)) {
            DecodeError::Unsupported { what, name } => {
                assert_eq!(name, fixture.file);
                assert!(
                    what.contains(wanted),
                    "{}: {what} does not name {wanted}",
                    fixture.file
                );
            }
            other => panic!("{}: {other:?}", fixture.file),
        }
    }
}

#[test]
fn what_is_not_audio_is_called_what_it_is() {
    assert!(matches!(
        error(open(Vec::new(), "nothing")),
        DecodeError::Empty { .. }
    ));
    let cases: [(&[u8], &str); 5] = [
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "HTML"),
        (b"\xef\xbb\xbf  <HTML><head>", "HTML"),
        (b"{\"error\": \"not found\"}", "plain text"),
        (b"\x89PNG\r\n\x1a\n0000", "PNG"),
        (b"%PDF-1.4 00000000", "PDF"),
    ];
    for (bytes, name) in cases {
        match error(open(bytes.to_vec(), "page")) {
            DecodeError::WrongContent { what, .. } => {
                assert!(what.contains(name), "{what} instead of {name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    for (bytes, name) in [
        (&b"wvpk0000000000"[..], "WavPack"),
        (b"MAC \x96\x0f0000", "Monkey"),
        (b"\x0b\x77000000000", "AC-3"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:4,\n0.ts\n", "HLS"),
        (b"\xef\xbb\xbf#EXTM3U\n#EXTINF:180,Song\nsong.mp3\n", "M3U"),
    ] {
        assert!(
            matches!(error(open(bytes.to_vec(), "x")), DecodeError::Unsupported { what, .. } if what.contains(name))
        );
    }
}

#[test]
fn bytes_win_over_every_claim() {
    for file in [
        "flac-16.flac",
        "mp3-cbr.mp3",
        "m4a-aac-first.m4a",
        "ogg-vorbis.ogg",
        "adts.aac",
    ] {
        let info = MediaInfo {
            name: file.to_owned(),
            media_type: Some("audio/wav".to_owned()),
            extension: Some("mkv".to_owned()),
            hint: Some("ogg".to_owned()),
            ..MediaInfo::default()
        };
        let source = std::io::Cursor::new(fixture(file).bytes());
        let decoder = DecoderFactory::open(Box::new(source), &info, &options()).expect("opens");
        let container = decoder.info().container.expect("found");
        assert_eq!(format!("{container:?}"), fixture(file).container);
    }
}

#[test]
fn another_codec_than_the_one_asked_for_is_refused() {
    let mut options = options();
    options.codec = CodecSelector::Exact(AudioCodec::Mp3);
    let open = |file: &str| {
        let source = std::io::Cursor::new(fixture(file).bytes());
        DecoderFactory::open(Box::new(source), &MediaInfo::default(), &options)
    };
    assert!(open("mp3-cbr.mp3").is_ok());
    assert!(matches!(
        error(open("flac-16.flac")),
        DecodeError::Unsupported { .. }
    ));
}

#[test]
fn junk_before_bare_frames_is_skipped_up_to_64_kib() {
    for file in ["mp3-cbr.mp3", "adts.aac"] {
        let samples = whole(fixture(file));
        for junk in [1usize, 1000, 64 * 1024] {
            let mut dice = Dice(junk as u64);
            // Nothing that looks like a sync word, and not text.
            let mut bytes: Vec<u8> = (0..junk).map(|_| 1 + dice.roll(0x7f) as u8).collect();
            bytes[0] = 1;
            bytes.extend(fixture(file).bytes());
            let mut decoder =
                open(bytes, file).unwrap_or_else(|error| panic!("{file} behind {junk}: {error}"));
            assert_eq!(
                decoder.take_notices(),
                [Notice::JunkSkipped {
                    offset: 0,
                    bytes: junk as u64
                }]
            );
            let (got, end) = drain(decoder.as_mut(), file);
            end.expect("ends");
            assert_eq!(got.len(), samples.len(), "{file} behind {junk}");
        }
        let mut bytes = vec![1; 64 * 1024 + 1];
        bytes.extend(fixture(file).bytes());
        assert!(matches!(
            error(open(bytes, file)),
            DecodeError::Unsupported { .. }
        ));
    }
}

#[test]
fn a_damaged_frame_becomes_silence_of_its_length() {
    for file in ["flac-16.flac", "ogg-flac.ogg"] {
        let mut bytes = fixture(file).bytes();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 24].fill(0xaa);
        assert!(assert_right_or_silent(bytes, file, file), "{file}: told");
    }
    // What later frames of MP3 borrow from one that is gone is gone with it.
    let file = "mp3-cbr-notag.mp3";
    let mut bytes = fixture(file).bytes();
    let at = 40 * 20_480 / 49;
    let frame = at
        + bytes[at..]
            .windows(2)
            .position(|word| word == [0xff, 0xfb])
            .expect("a frame");
    bytes[frame..frame + 400].fill(0xaa);
    assert_only_silent_at(bytes, file, 40 * 1152, 1152, 3 * 1152);
}

/// Exactly one hole, which is told and silent; `settle` frames behind it the samples may differ, and nowhere else.
fn assert_only_silent_at(bytes: Vec<u8>, file: &str, hole: u64, frames: u64, settle: u64) {
    let right = whole(fixture(file));
    let mut decoder = open(bytes, file).expect("opens");
    let (got, end) = drain(decoder.as_mut(), file);
    end.unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(got.len(), right.len(), "{file}: the timeline");
    let mut notices = decoder.take_notices();
    notices.retain(|notice| !matches!(notice, Notice::JunkSkipped { .. }));
    let told = Notice::PacketSkipped {
        frame: hole,
        frames,
    };
    assert_eq!(notices, [told], "{file}");
    let channels = u64::from(fixture(file).channels);
    for (at, (got, right)) in got.iter().zip(&right).enumerate() {
        let frame = at as u64 / channels;
        if (hole..hole + frames).contains(&frame) {
            assert_eq!(*got, 0.0, "{file}: frame {frame} is not silent");
        } else if !(hole + frames..hole + frames + settle).contains(&frame) {
            assert!(
                (got - right).abs() <= 1e-4,
                "{file}: frame {frame}: {got} for {right}"
            );
        }
    }
}

/// Where the packets of an MP4 of one track lie, whose media is one stretch.
fn packets(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let place = |kind: &[u8]| {
        bytes
            .windows(4)
            .position(|word| word == kind)
            .expect("a box")
    };
    let long = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let (sizes, chunks) = (place(b"stsz"), place(b"stco"));
    let mut at = long(chunks + 12) as usize;
    (0..long(sizes + 12) as usize)
        .map(|packet| {
            let from = at;
            at += long(sizes + 16 + 4 * packet) as usize;
            from..at
        })
        .collect()
}

#[test]
fn one_damaged_packet_in_mp4_is_exactly_its_silence() {
    for (file, frames, settle) in [
        ("m4a-alac-first.m4a", 4096, 0),
        // Each packet laps over the one before.
        ("m4a-aac-nopns.m4a", 1024, 1024),
    ] {
        let mut bytes = fixture(file).bytes();
        let packets = packets(&bytes);
        let packet = packets.len() / 2;
        bytes[packets[packet].clone()].fill(0x55);
        let hole = packet as u64 * frames - fixture(file).delay;
        assert_only_silent_at(bytes, file, hole, frames, settle);
    }
}

#[test]
fn more_than_a_tenth_of_ten_seconds_is_corrupt() {
    let file = "m4a-aac-nopns.m4a";
    let original = fixture(file).bytes();
    let packets = packets(&original);
    // 43 packets of 1024 frames are less than a second, 44 are more.
    for (count, corrupt) in [(43, false), (44, true)] {
        let mut bytes = original.clone();
        for packet in &packets[10..10 + count] {
            bytes[packet.clone()].fill(0x55);
        }
        let mut decoder = open(bytes, file).expect("opens");
        let (got, end) = drain(decoder.as_mut(), file);
        let right = whole(fixture(file));
        let same = (10 * 1024 - fixture(file).delay as usize) * 2;
        assert!(largest_difference(&got[..same], &right) <= 1e-4);
        if corrupt {
            assert!(matches!(end, Err(DecodeError::Corrupt { .. })), "{end:?}");
        } else {
            end.expect("ends");
            assert_eq!(got.len(), right.len());
        }
    }
}

/// Fragmented MP4 whose fragments from the second on play so many frames later.
fn later(by: u64) -> Vec<u8> {
    let mut bytes = fixture("fmp4-aac.mp4").bytes();
    let words = bytes.windows(4).enumerate();
    let times: Vec<usize> = words
        .filter(|(_, word)| word == b"tfdt")
        .map(|(at, _)| at + 8)
        .collect();
    assert!(times.len() > 2);
    for at in &times[2..] {
        let time = u64::from_be_bytes(bytes[*at..at + 8].try_into().expect("eight bytes"));
        bytes[*at..at + 8].copy_from_slice(&(time + by).to_be_bytes());
    }
    bytes
}

#[test]
fn a_gap_of_up_to_ten_seconds_is_silence() {
    let right = whole(fixture("fmp4-aac.mp4"));
    for gap in [44_100 / 2, 44_100 * 2, 44_100 * 10] {
        let mut decoder = open(later(gap), "later").expect("opens");
        let (got, end) = drain(decoder.as_mut(), "later");
        end.unwrap_or_else(|error| panic!("{gap}: {error}"));
        let notices = decoder.take_notices();
        let [Notice::PacketSkipped { frame, frames }] = notices[..] else {
            panic!("{gap}: {notices:?}");
        };
        assert_eq!(frames, gap);
        let hole = frame as usize * 2..(frame + frames) as usize * 2;
        assert!(got[..hole.start] == right[..hole.start], "{gap}: before");
        assert!(
            got[hole.clone()].iter().all(|sample| *sample == 0.0),
            "{gap}: silence"
        );
        assert!(got[hole.end..] == right[hole.start..], "{gap}: behind");
    }
    let mut decoder = open(later(44_100 * 10 + 1), "later").expect("opens");
    let (got, end) = drain(decoder.as_mut(), "later");
    assert!(matches!(end, Err(DecodeError::Corrupt { .. })), "{end:?}");
    assert!(!got.is_empty() && got[..] == right[..got.len()]);
}

#[test]
fn a_claim_counts_where_the_bytes_show_nothing() {
    let open = |bytes: &[u8], claim: fn(&mut MediaInfo)| {
        let mut info = MediaInfo::default();
        claim(&mut info);
        let source = std::io::Cursor::new(bytes.to_vec());
        DecoderFactory::open(Box::new(source), &info, &options())
    };
    let silent: fn(&mut MediaInfo) = |_| {};
    for (file, right, wrong) in [
        ("mp3-cbr-notag.mp3", "audio/mpeg", "audio/ogg"),
        ("adts-nopns.aac", "aac", "flac"),
        ("ogg-vorbis.ogg", "OGG", "mp3"),
        ("flac-16.flac", "audio/flac", "audio/aac"),
    ] {
        let mut bytes = vec![1; 200_000];
        bytes.extend(fixture(file).bytes());
        let claim = |claims: [Option<&str>; 3]| {
            let [media_type, extension, hint] = claims.map(|claim| claim.map(str::to_owned));
            let info = MediaInfo {
                media_type,
                extension,
                hint,
                ..MediaInfo::default()
            };
            let source = std::io::Cursor::new(bytes.clone());
            DecoderFactory::open(Box::new(source), &info, &options())
        };
        for claims in [
            [Some(right), None, None],
            [None, Some(right), None],
            [None, None, Some(right)],
            // What is not there is passed over, as is what says nothing.
            [Some(wrong), Some("bin"), Some(right)],
        ] {
            let mut decoder = claim(claims).unwrap_or_else(|error| panic!("{claims:?}: {error}"));
            let skipped = Notice::JunkSkipped {
                offset: 0,
                bytes: 200_000,
            };
            assert_eq!(decoder.take_notices(), [skipped], "{file}");
            let (got, end) = drain(decoder.as_mut(), file);
            end.expect("ends");
            assert_eq!(got.len(), whole(fixture(file)).len(), "{file}");
        }
        for claims in [[None; 3], [Some(wrong), None, None]] {
            let refused = error(claim(claims));
            assert!(
                matches!(refused, DecodeError::Unsupported { .. }),
                "{refused:?}"
            );
        }
    }
    // Two frames, and something behind them.
    let mut two = fixture("mp3-cbr-notag.mp3").bytes()[..2 * 20_480 / 49 + 1].to_vec();
    two.splice(..0, [1; 10]);
    two.extend([2; 5000]);
    assert!(open(&two, silent).is_err());
    let mut decoder = open(&two, |info| {
        info.hint = Some("mp3".to_owned());
    })
    .expect("opens");
    assert!(decoder.next_chunk().expect("decodes").is_some());
    // Text is text, whoever calls it audio.
    let page = open(b"<!DOCTYPE html><html></html>", |info| {
        info.hint = Some("mp3".to_owned());
    });
    assert!(matches!(error(page), DecodeError::WrongContent { .. }));
}

#[test]
fn a_flipped_bit_in_flac_is_silence_in_every_container() {
    for file in ["mkv-flac.mkv", "m4a-flac.mp4", "fmp4-flac.mp4"] {
        let bytes = fixture(file).bytes();
        let told = (0..12).filter(|place| {
            let mut damaged = bytes.clone();
            let at = bytes.len() / 4 + bytes.len() / 2 * place / 12;
            damaged[at] ^= 1 << (place % 8);
            assert_right_or_silent(damaged, file, &format!("{file}: a bit at {at}"))
        });
        // A bit of the container may mean nothing.
        assert!(told.count() >= 11, "{file}");
    }
}

#[test]
fn a_damaged_first_packet_of_flac_is_as_long_as_it_says() {
    let file = "mkv-flac.mkv";
    let mut bytes = fixture(file).bytes();
    let first = bytes.windows(2).position(|word| word == [0xff, 0xf8]);
    bytes[first.expect("a frame") + 1000] ^= 1;
    assert!(assert_right_or_silent(bytes, file, "the first packet"));
}

#[test]
fn absurd_times_in_fragments_are_no_reason_to_panic() {
    let original = fixture("fmp4-aac.mp4").bytes();
    let places = |kind: &[u8]| -> Vec<usize> {
        let words = original.windows(4).enumerate();
        let found = words.filter(|(_, word)| *word == kind);
        found.map(|(at, _)| at + 4).collect()
    };
    let (header, times) = (places(b"mdhd"), places(b"tfdt"));
    assert!(times.len() > 1 && original[times[1]] == 1, "64 bits");
    for timescale in [1u32, 2, u32::MAX] {
        for time in [u64::MAX, i64::MAX as u64, 1 << 60, 1 << 40] {
            let mut bytes = original.clone();
            bytes[header[0] + 12..header[0] + 16].copy_from_slice(&timescale.to_be_bytes());
            bytes[times[1] + 4..times[1] + 12].copy_from_slice(&time.to_be_bytes());
            let not_a_panic = |error: &DecodeError| {
                assert!(!matches!(error, DecodeError::Worker { .. }), "{error}");
            };
            let Ok(mut decoder) = open(bytes, "absurd").inspect_err(not_a_panic) else {
                continue;
            };
            let _ = drain(decoder.as_mut(), "absurd").1.inspect_err(not_a_panic);
            for seconds in [0, 1, 1 << 30, u64::MAX] {
                let to = std::time::Duration::from_secs(seconds);
                let mode = kithara_decode::SeekMode::Exact;
                let _ = decoder.seek(to, mode).inspect_err(not_a_panic);
                let _ = drain(decoder.as_mut(), "absurd").1.inspect_err(not_a_panic);
            }
        }
    }
}

#[test]
fn mostly_damaged_audio_is_corrupt() {
    // All but the ends: behind the damage there must be something that shows how long it was.
    for file in ["flac-16.flac", "mp3-cbr-notag.mp3", "adts-nopns.aac"] {
        let mut bytes = fixture(file).bytes();
        let mut dice = Dice(3);
        let (from, to) = (bytes.len() / 10, bytes.len() * 8 / 10);
        for byte in &mut bytes[from..to] {
            *byte = dice.roll(256) as u8;
        }
        let mut decoder = open(bytes, file).expect("opens");
        let (got, end) = drain(decoder.as_mut(), file);
        assert!(
            matches!(end, Err(DecodeError::Corrupt { .. })),
            "{file}: {end:?}"
        );
        assert!(!got.is_empty(), "{file}");
    }
}

#[test]
fn no_mutation_of_a_file_gets_out_as_a_panic() {
    each(
        fixtures::all().iter(),
        |fixture| fixture.file.clone(),
        |fixture| {
            let original = fixture.bytes();
            let mut dice = Dice(fixture.file.len() as u64);
            for _ in 0..24 {
                let mut bytes = original.clone();
                let reach = if dice.roll(2) == 0 {
                    600
                } else {
                    bytes.len() as u64
                };
                for _ in 0..=dice.roll(12) {
                    let at = dice.roll(reach.min(bytes.len() as u64)) as usize;
                    bytes[at] = match dice.roll(4) {
                        0 => 0xff,
                        1 => 0,
                        _ => dice.roll(256) as u8,
                    };
                }
                let Ok(mut decoder) = open(bytes, &fixture.file) else {
                    continue;
                };
                let frames: u64 = std::iter::from_fn(|| decoder.next_chunk().ok().flatten())
                    .map(|chunk| chunk.frames() as u64)
                    .sum();
                assert!(
                    frames < 50_000_000,
                    "{}: frames out of nothing",
                    fixture.file
                );
                drop(decoder.seek(
                    std::time::Duration::from_millis(300),
                    kithara_decode::SeekMode::Fast,
                ));
                drop(decoder.next_chunk());
            }
        },
    );
}
