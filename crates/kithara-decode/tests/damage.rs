//! Truncation, damage, junk and refusals: a typed outcome, and every sample before it.

mod support;

use kithara_decode::{CodecSelector, DecodeError, DecoderFactory, Notice};
use kithara_stream::{AudioCodec, MediaInfo};
use kithara_tests::fixtures::{self, Fixture, fixture};
use support::{
    Dice, assert_right_or_silent, drain, each, largest_difference, open, options, whole,
};

fn playable() -> impl Iterator<Item = &'static Fixture> {
    fixtures::playable().filter(|fixture| fixture.container != "MpegTs")
}

fn error(result: Result<Box<dyn kithara_decode::InnerDecoder>, DecodeError>) -> DecodeError {
    result.err().expect("an error")
}

#[test]
fn a_truncated_file_gives_what_it_holds_and_then_says_so() {
    each(
        playable(),
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
    let ts = fixture("aac.ts");
    assert!(
        matches!(error(open(ts.bytes(), "ts")), DecodeError::Unsupported { what, .. } if what == "MPEG-TS")
    );
}

#[test]
fn what_is_not_audio_is_called_what_it_is() {
    assert!(matches!(
        error(open(Vec::new(), "nothing")),
        DecodeError::Empty { .. }
    ));
    let cases: [(&[u8], &str); 6] = [
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "HTML"),
        (b"\xef\xbb\xbf  <HTML><head>", "HTML"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "M3U"),
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
fn a_damaged_packet_becomes_silence_of_its_length() {
    // A FLAC frame is found damaged by its checksum, an AAC packet by its syntax; both must keep the timeline.
    for file in ["flac-16.flac", "mp3-cbr.mp3", "ogg-flac.ogg"] {
        let fixture = fixture(file);
        let samples = whole(fixture);
        let mut bytes = fixture.bytes();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 24].fill(0xaa);
        let mut decoder = open(bytes, file).expect("opens");
        let (got, end) = drain(decoder.as_mut(), file);
        end.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(got.len(), samples.len(), "{file}: the timeline");
        let same = got
            .iter()
            .zip(&samples)
            .filter(|(got, right)| (*got - *right).abs() <= 1e-4)
            .count();
        assert!(
            same * 10 > samples.len() * 7,
            "{file}: {same} of {}",
            samples.len()
        );
    }
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
    let fixture = fixture("flac-16.flac");
    let mut bytes = fixture.bytes();
    let mut dice = Dice(3);
    for byte in bytes.iter_mut().skip(10_000) {
        *byte = dice.roll(256) as u8;
    }
    let mut decoder = open(bytes, "noise").expect("opens");
    let (_, end) = drain(decoder.as_mut(), "noise");
    assert!(
        matches!(
            end,
            Err(DecodeError::Corrupt { .. } | DecodeError::Truncated { .. })
        ),
        "{end:?}"
    );
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
