//! iTunes' gapless comment in front of MP3.

mod support;

use kithara_tests::fixtures::fixture;
use support::{Remote, drain, open, open_source, whole};

/// A tag of version 2.3 with one frame, which holds this text under iTunes' heading.
fn tagged(name: &str, text: &str, audio: &[u8]) -> Vec<u8> {
    let language: &[u8] = if name == "COMM" { b"eng" } else { b"" };
    let body = [b"\0", language, b"iTunSMPB\0", text.as_bytes()].concat();
    let mut tag = b"ID3\x03\0\0\0\0\x01\x00".to_vec();
    tag.extend(name.bytes());
    tag.extend((body.len() as u32).to_be_bytes());
    tag.extend([0; 2]);
    tag.extend(body);
    tag.resize(10 + 128, 0);
    [&tag, audio].concat()
}

fn comment(delay: u64, padding: u64, total: u64) -> String {
    format!(" 00000000 {delay:08X} {padding:08X} {total:016X} 00000000 00000000")
}

#[test]
fn a_comment_takes_off_what_the_encoder_added_where_no_description_says_it() {
    // The same packets, with and without LAME's description.
    let (described, plain) = (fixture("mp3-cbr.mp3"), fixture("mp3-cbr-notag.mp3"));
    let source = whole(described);
    let all = whole(plain);
    assert!(all.len() > source.len());
    // What LAME's description says: its delay without the 529 frames of every decoder.
    let (delay, total) = (described.delay - 529, described.source_frames);
    let padding = plain.frames - delay - total;
    for name in ["COMM", "TXXX"] {
        for remote in [false, true] {
            let bytes = tagged(name, &comment(delay, padding, total), &plain.bytes());
            let mut decoder = match remote {
                true => open_source(Remote::new(bytes), name),
                false => open(bytes, name),
            }
            .expect("opens");
            let (got, end) = drain(decoder.as_mut(), name);
            end.expect("ends");
            assert_eq!(got.len(), source.len(), "{name}, remote: {remote}");
            assert!(got == source, "{name}, remote: {remote}");
        }
    }
}

#[test]
fn a_comment_that_cannot_be_of_this_title_takes_nothing() {
    let (described, plain) = (fixture("mp3-cbr.mp3"), fixture("mp3-cbr-notag.mp3"));
    for (file, text, why) in [
        (described, comment(0, 0, 1000), "the description goes first"),
        (
            plain,
            comment(576, 1080, 10_000_000),
            "longer than there is",
        ),
        (plain, comment(1 << 31, 1 << 31, u64::MAX), "absurd"),
        (plain, comment(576, 1080, 0), "of nothing"),
        (plain, " 00000000 00000240".to_owned(), "cut off"),
        (plain, "gapless".to_owned(), "no numbers"),
    ] {
        let bytes = tagged("COMM", &text, &file.bytes());
        let mut decoder = open(bytes, why).expect("opens");
        let (got, end) = drain(decoder.as_mut(), why);
        end.expect("ends");
        assert!(got == whole(file), "{why}: {}", got.len());
    }
}
