//! Tags that are odd, broken or lie: the audio behind them plays, and what can be read is.

mod support;

use kithara_tests::fixtures::fixture;
use support::{drain, open, whole};

const FILE: &str = "mp3-cbr-notag.mp3";

/// MP3 behind a tag of ID3v2.4 with these frames.
fn tagged(frames: &[u8]) -> Vec<u8> {
    let size = frames.len() as u32;
    let mut bytes = b"ID3\x04\0\0".to_vec();
    bytes.extend(
        [size >> 21, size >> 14 & 0x7f, size >> 7 & 0x7f, size & 0x7f].map(|part| part as u8),
    );
    bytes.extend(frames);
    bytes.extend(fixture(FILE).bytes());
    bytes
}

fn frame(name: &[u8; 4], size: u32, body: &[u8]) -> Vec<u8> {
    let size =
        [size >> 21, size >> 14 & 0x7f, size >> 7 & 0x7f, size & 0x7f].map(|part| part as u8);
    [&name[..], &size, &[0, 0], body].concat()
}

/// Its title; all of its audio must be there.
fn title(frames: &[u8], case: &str) -> Option<String> {
    let mut decoder = open(tagged(frames), FILE).unwrap_or_else(|error| panic!("{case}: {error}"));
    let (samples, end) = drain(decoder.as_mut(), case);
    end.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(samples == whole(fixture(FILE)), "{case}: the audio");
    decoder.metadata().title.clone()
}

#[test]
fn a_title_in_utf_16_is_read_as_far_as_it_is_one() {
    for (body, wanted) in [
        (&b"\x01\xff\xfeS\0o\0n\0g\0"[..], Some("Song")),
        (b"\x01\xfe\xff\0S\0o\0n\0g", Some("Song")),
        // Without its mark; without half of its last unit; with its end.
        (b"\x01S\0o\0n\0g\0", Some("Song")),
        (b"\x01\xff\xfeS\0o\0n\0g\0!", Some("Song")),
        (b"\x01\xff\xfeS\0o\0n\0g\0\0\0", Some("Song")),
        (b"\x02\0S\0o\0n\0g", Some("Song")),
        (b"\x02\0S\0o\0n\0g\0", Some("Song")),
        // A pair, half of one at the end, and both halves the wrong way round.
        (b"\x01\xff\xfe\x3d\xd8\x00\xde", Some("\u{1f600}")),
        (b"\x01\xff\xfeS\0\x3d\xd8", Some("S\u{fffd}")),
        (b"\x01\xff\xfe\x00\xde\x3d\xd8", Some("\u{fffd}\u{fffd}")),
        // Nothing at all.
        (b"\x01\xff\xfe", None),
        (b"\x01\xff", None),
        (b"\x01", None),
        (b"\x02\0", None),
        (b"", None),
        (b"\x03Song\xff", Some("Song\u{fffd}")),
        (b"\x09Song", Some("Song")),
    ] {
        let case = format!("{body:x?}");
        let got = title(&frame(b"TIT2", body.len() as u32, body), &case);
        assert_eq!(got.as_deref(), wanted, "{case}");
    }
}

#[test]
fn frames_that_lie_about_their_size_end_the_tag_and_nothing_else() {
    let song = frame(b"TIT2", 5, b"\x03Song");
    for (name, size, body) in [
        // Longer than the tag, than all there is, than anything.
        (b"TPE1", 100, &b"\x03Some"[..]),
        (b"TPE1", 1 << 27, b"\x03Some"),
        (b"TPE1", (1 << 28) - 1, b"\x03Some"),
        // Shorter than they are, and empty.
        (b"TPE1", 1, b"\x03Some"),
        (b"TPE1", 0, b""),
    ] {
        let case = format!("{size} bytes");
        let lie = frame(name, size, body);
        assert_eq!(
            title(&[&song[..], &lie].concat(), &case).as_deref(),
            Some("Song"),
            "{case}"
        );
        // In front of the title it may hide it, but makes no other of it.
        let hidden = title(&[&lie[..], &song].concat(), &case);
        assert!(
            hidden.is_none() || hidden.as_deref() == Some("Song"),
            "{case}: {hidden:?}"
        );
    }
    let mut third = tagged(&song);
    third[3] = 3;
    third[14..18].copy_from_slice(&[0xff; 4]);
    let mut decoder = open(third, FILE).expect("opens");
    assert_eq!(
        drain(decoder.as_mut(), FILE).0.len(),
        whole(fixture(FILE)).len()
    );
    assert_eq!(decoder.metadata().title, None);
}
