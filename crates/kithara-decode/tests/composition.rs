//! AAC in MP4 that says that it plays later, or earlier, than it is decoded (composition offsets, ISO/IEC 14496-12 §8.6.1.3): the edit
//! list counts from when samples play.

mod support;

use kithara_tests::fixtures::fixture;
use support::{drain, open, whole};

/// The file, whose movie box lies behind its media, with these bytes as its composition offset box.
fn with_ctts(bytes: &[u8], body: &[u8]) -> Vec<u8> {
    let ctts = [&(8 + body.len() as u32).to_be_bytes()[..], b"ctts", body].concat();
    let mut out = bytes.to_vec();
    let place = |kind: &[u8; 4]| {
        let at = bytes.windows(4).rposition(|word| word == kind);
        at.expect("the box") - 4
    };
    let parents = [b"moov", b"trak", b"mdia", b"minf", b"stbl"].map(place);
    let size = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("a size"));
    for at in parents {
        let grown = size(at) + ctts.len() as u32;
        out[at..at + 4].copy_from_slice(&grown.to_be_bytes());
    }
    let first = parents[4] + 8;
    out.splice(first..first, ctts);
    out
}

fn decoded(bytes: Vec<u8>, what: &str) -> Vec<f32> {
    let mut decoder = open(bytes, what).expect(what);
    let (pcm, end) = drain(decoder.as_mut(), what);
    end.expect(what);
    pcm
}

/// `version`, the number of entries, and one of so many samples that play `offset` later.
fn body(version: u8, offset: i32) -> Vec<u8> {
    let head = [version, 0, 0, 0, 0, 0, 0, 1];
    [&head[..], &1000u32.to_be_bytes(), &offset.to_be_bytes()].concat()
}

#[test]
fn an_edit_list_cuts_what_plays_outside_of_it() {
    let file = fixture("m4a-aac-last.m4a");
    let usual = whole(file);
    let (channels, delay) = (usize::from(file.channels), file.delay as usize);
    let all = file.source_frames as usize;
    // What is cut off in front, and how much is left, at least.
    for (offset, front, left) in [
        (-1000, delay + 1000, all - 1000),
        (0, delay, all),
        (500, delay - 500, all),
        (delay as i32, 0, all),
        (delay as i32 + 700, 0, all - 700),
    ] {
        for version in [0, 1] {
            let what = format!("{offset}, version {version}");
            let pcm = decoded(with_ctts(&file.bytes(), &body(version, offset)), &what);
            let frames = pcm.len() / channels;
            // Padding plays where the end of the list comes to lie in it.
            let most = if offset < 0 { left + 1000 } else { left };
            assert!(
                (left..=most).contains(&frames),
                "{what}: {frames} of {left}"
            );
            let (own, from) = (delay.saturating_sub(front), front.saturating_sub(delay));
            let shared = (frames - own).min(all - from);
            let ours = &pcm[own * channels..(own + shared) * channels];
            let theirs = &usual[from * channels..(from + shared) * channels];
            assert!(ours == theirs, "{what}");
        }
    }
}

#[test]
fn offsets_that_make_no_sense_cut_nothing() {
    let file = fixture("m4a-aac-last.m4a");
    let usual = whole(file);
    for (what, body) in [
        ("nothing", Vec::new()),
        ("cut off", vec![0; 9]),
        ("no entry", vec![0; 8]),
    ] {
        assert!(
            decoded(with_ctts(&file.bytes(), &body), what) == usual,
            "{what}"
        );
    }
    // A list that ends before any media plays is none.
    let late = decoded(with_ctts(&file.bytes(), &body(1, i32::MAX)), "a day later");
    let frames = late.len() / usize::from(file.channels);
    assert_eq!(frames as u64, file.frames);
}
