//! ID3 as the standards allow it and as it is written nevertheless.

mod support;

use std::io::Cursor;

use kithara_decode::{PictureKind, TrackMetadata};
use kithara_tests::fixtures::tagged;
use support::{drain, open_source};

/// MP3 without any tag.
fn plain() -> Vec<u8> {
    let mut bytes = tagged("id3v1.mp3");
    bytes.truncate(bytes.len() - 128);
    bytes
}

fn syncsafe(size: usize) -> [u8; 4] {
    [size >> 21, size >> 14, size >> 7, size].map(|part| (part & 0x7f) as u8)
}

/// A tag of this version with these flags around these bytes.
fn tag(version: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let head = [b'I', b'D', b'3', version, 0, flags];
    [&head[..], &syncsafe(body.len()), body].concat()
}

/// A frame, its size as its version has it.
fn frame(version: u8, name: &str, flags: u8, body: &[u8]) -> Vec<u8> {
    let size = body.len() as u32;
    let (size, flags): (Vec<u8>, Vec<u8>) = match version {
        2 => (size.to_be_bytes()[1..].to_vec(), Vec::new()),
        3 => (size.to_be_bytes().to_vec(), vec![0, flags]),
        _ => (syncsafe(body.len()).to_vec(), vec![0, flags]),
    };
    [name.as_bytes(), &size, &flags, body].concat()
}

fn text(version: u8, name: &str, value: &str) -> Vec<u8> {
    frame(version, name, 0, &[b"\x00", value.as_bytes()].concat())
}

/// What the file says whose audio these tags stand before; all of that must be there.
fn read(tags: &[Vec<u8>], case: &str) -> TrackMetadata {
    let audio = |bytes: Vec<u8>| {
        let mut decoder = open_source(Cursor::new(bytes), "a.mp3")
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        let (samples, end) = drain(decoder.as_mut(), case);
        end.unwrap_or_else(|error| panic!("{case}: {error}"));
        (samples, decoder.metadata().clone())
    };
    let (samples, metadata) = audio([tags.concat(), plain()].concat());
    assert!(samples == audio(plain()).0, "{case}: the audio");
    metadata
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_names_of_three_letters_are_known() {
    let picture = [&b"\x00JPG\x03Front\x00"[..], b"\xff\xd8\xff\xe0 picture"].concat();
    let frames = [
        text(2, "TT2", "Title"),
        text(2, "TP1", "Artist"),
        text(2, "TAL", "Album"),
        text(2, "TP2", "All"),
        text(2, "TCM", "Composer"),
        text(2, "TRK", "3/12"),
        text(2, "TPA", "1/2"),
        text(2, "TYE", "1999"),
        text(2, "TCO", "(17)"),
        frame(2, "COM", 0, b"\x00eng\x00Words"),
        frame(2, "TXX", 0, b"\x00replaygain_track_gain\x00+1,5 dB"),
        frame(2, "PIC", 0, &picture),
    ];
    let known = read(&[tag(2, 0, &frames.concat())], "2.2");
    assert_eq!(known.title, some("Title"));
    assert_eq!(known.artist, some("Artist"));
    assert_eq!(known.album, some("Album"));
    assert_eq!(known.album_artist, some("All"));
    assert_eq!(known.composer, some("Composer"));
    assert_eq!((known.track, known.track_total), (Some(3), Some(12)));
    assert_eq!((known.disc, known.disc_total), (Some(1), Some(2)));
    assert_eq!(
        (known.year(), known.genre.as_deref()),
        (Some(1999), Some("Rock"))
    );
    assert_eq!(known.comment, some("Words"));
    assert_eq!(known.replay_gain.track_gain, Some(1.5));
    let cover = known.cover().expect("a cover");
    assert_eq!(
        (cover.kind(), cover.media_type()),
        (PictureKind::Front, "image/jpeg")
    );
    assert_eq!(cover.bytes(), Some(&b"\xff\xd8\xff\xe0 picture"[..]));
    // Where the whole is compressed nobody knows how.
    assert_eq!(read(&[tag(2, 0x40, &frames.concat())], "2.2").title, None);
}

/// Puts the zeros that keep a tag from looking like audio.
fn unsynchronised(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        out.push(*byte);
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        if *byte == 0xff && (next == 0 || next >= 0xe0) {
            out.push(0);
        }
    }
    out
}

#[test]
fn what_was_changed_against_false_syncs_is_changed_back() {
    let bytes = b"\xff\xd8\xff\xe0\xff\x00\xff\xff\x00 picture \xff";
    let picture = [&b"\x00image/jpeg\x00\x03\x00"[..], bytes].concat();
    for version in [3, 4] {
        let title = frame(version, "TIT2", 0, b"\x01\xff\xfeS\0o\0n\0g\0");
        let case = format!("2.{version}");
        let tag = if version == 3 {
            // The whole at once; sizes are those before.
            let frames = [
                title,
                frame(3, "APIC", 0, &picture),
                text(3, "TALB", "Album"),
            ]
            .concat();
            tag(3, 0x80, &unsynchronised(&frames))
        } else {
            // Frame by frame, and with the length before.
            let length = syncsafe(picture.len());
            let picture = [&length[..], &unsynchronised(&picture)].concat();
            let frames = [
                title,
                frame(4, "APIC", 3, &picture),
                text(4, "TALB", "Album"),
            ]
            .concat();
            tag(4, 0, &frames)
        };
        let known = read(&[tag], &case);
        assert_eq!(known.title, some("Song"), "{case}");
        assert_eq!(known.album, some("Album"), "{case}");
        let cover = known.cover().and_then(kithara_decode::Picture::bytes);
        assert_eq!(cover, Some(&bytes[..]), "{case}");
    }
}

#[test]
fn what_stands_in_front_of_frames_is_passed() {
    for version in [3, 4] {
        let extended: &[u8] = if version == 3 {
            b"\0\0\0\x06\0\0\0\0\0\0"
        } else {
            b"\0\0\0\x06\x01\0"
        };
        let frames = [extended, &text(version, "TIT2", "Song"), &[0; 300]].concat();
        let known = read(&[tag(version, 0x40, &frames)], "an extended header");
        assert_eq!(known.title, some("Song"), "2.{version}");
        // One that lies about its size hides the tag, and no audio.
        let lie = [&b"\x7f\xff\xff\xff\0\0"[..], &text(version, "TIT2", "Song")].concat();
        assert_eq!(read(&[tag(version, 0x40, &lie)], "a lie").title, None);
        assert_eq!(read(&[tag(version, 0x40, b"")], "nothing").title, None);
    }
}

#[test]
fn compressed_and_encrypted_frames_are_passed_and_those_behind_are_read() {
    for (version, flags) in [(3, 0x80), (3, 0x40), (4, 0x08), (4, 0x04), (4, 0x0c)] {
        let hidden = frame(version, "TPE1", flags, b"\0Nobody");
        let frames = [hidden, text(version, "TIT2", "Song")].concat();
        let known = read(&[tag(version, 0, &frames)], "hidden");
        assert_eq!(
            (known.artist, known.title),
            (None, some("Song")),
            "{flags:x}"
        );
    }
    // A byte for the group in front of the text.
    for (version, flags) in [(3, 0x20), (4, 0x40)] {
        let frames = frame(version, "TIT2", flags, b"\x07\0Song");
        assert_eq!(
            read(&[tag(version, 0, &frames)], "a group").title,
            some("Song")
        );
    }
}

#[test]
fn sizes_of_the_older_kind_in_the_newer_are_understood() {
    let long = "x".repeat(300);
    let mut frames = frame(3, "TIT2", 0, &[b"\x03", long.as_bytes()].concat());
    frames.extend(text(4, "TPE1", "Artist"));
    let known = read(&[tag(4, 0, &frames)], "iTunes");
    assert_eq!((known.title, known.artist), (Some(long), some("Artist")));
}

#[test]
fn several_values_are_joined_and_the_first_tag_is_believed() {
    let values = b"\x01\xff\xfeA\0\0\0\xff\xfeB\0\0\0\xff\xfeA\0\0\0";
    let frames = [
        frame(4, "TPE1", 0, values),
        frame(4, "TCON", 0, b"\x0317\0(4)Eurodisco\0"),
        frame(4, "TXXX", 0, b"\x01\xff\xfeR\0E\0P\0L\0A\0Y\0G\0A\0I\0N\0_\0A\0L\0B\0U\0M\0_\0P\0E\0A\0K\0\0\0\xff\xfe1\0.\x000\x002\0"),
        frame(4, "COMM", 0, b"\x00engiTunSMPB\x00 00000000"),
        frame(4, "COMM", 0, b"\x00engby whom\x00a program"),
        frame(4, "COMM", 0, b"\x03eng\x00Words"),
    ];
    let first = tag(4, 0, &frames.concat());
    let second = tag(
        3,
        0,
        &[text(3, "TPE1", "Other"), text(3, "TIT2", "Song")].concat(),
    );
    let known = read(&[first, second], "two tags");
    assert_eq!(known.artist, some("A; B"));
    assert_eq!(known.title, some("Song"));
    assert_eq!(known.genre, some("Rock; Eurodisco"));
    assert_eq!(known.replay_gain.album_peak, Some(1.02));
    assert_eq!(known.comment, some("Words"));
}

#[test]
fn a_text_is_bounded_and_keeps_whole_characters() {
    let long = format!("{}é", "x".repeat(4095));
    let many: Vec<u8> = (0..3000)
        .flat_map(|number| format!("artist {number}\0").into_bytes())
        .collect();
    let frames = [
        frame(4, "TIT2", 0, &[b"\x03", long.as_bytes()].concat()),
        frame(4, "TPE1", 0, &[b"\x03", &many[..]].concat()),
        frame(4, "TALB", 0, &[&b"\x00"[..], &[0xe9; 9000]].concat()),
    ];
    let known = read(&[tag(4, 0, &frames.concat())], "long");
    assert_eq!(known.title, Some("x".repeat(4095)));
    let artist = known.artist.expect("artists");
    assert!(artist.starts_with("artist 0; artist 1; ") && artist.len() <= 4096);
    assert_eq!(known.album.map(|album| album.len()), Some(4096));
}

#[test]
fn figures_that_cannot_be_measurements_are_left_out() {
    for (name, value, gain) in [
        ("replaygain_track_gain", "-7.25 dB", Some(-7.25)),
        ("REPLAYGAIN_TRACK_GAIN", "+64 dB", Some(64.0)),
        ("Replaygain_Track_Gain", "3", Some(3.0)),
        ("replaygain_track_gain", "-7.25dB", Some(-7.25)),
        ("replaygain_track_gain", "65 dB", None),
        ("replaygain_track_gain", "nan", None),
        ("replaygain_track_gain", "inf dB", None),
        ("replaygain_track_gain", "dB", None),
        ("replaygain_track_gain", "é", None),
        ("R128_TRACK_GAIN", "-3136", Some(-7.25)),
        ("R128_TRACK_GAIN", "32768", None),
    ] {
        let body = [b"\x03", name.as_bytes(), b"\0", value.as_bytes()].concat();
        let known = read(&[tag(4, 0, &frame(4, "TXXX", 0, &body))], value);
        assert_eq!(known.replay_gain.track_gain, gain, "{name} {value}");
    }
    for (body, gain, peak) in [
        (
            &b"track\0\x01\xf1\x80\x10\x40\0"[..],
            Some(-7.25),
            Some(0.5),
        ),
        // Another channel first; no peak; a peak of 12 bits.
        (b"any\0\x02\0\0\x08\x7f\x01\xf1\x80\0", Some(-7.25), None),
        (b"\0\x01\xf1\x80\x0c\x04\0", Some(-7.25), Some(0.5)),
        // Cut anywhere.
        (b"track\0\x01\xf1\x80\x10\x40", None, None),
        (b"track\0\x01\xf1", None, None),
        (b"track", None, None),
        (b"", None, None),
    ] {
        let known = read(&[tag(4, 0, &frame(4, "RVA2", 0, body))], "RVA2").replay_gain;
        assert_eq!(
            (known.track_gain, known.track_peak),
            (gain, peak),
            "{body:x?}"
        );
    }
}
