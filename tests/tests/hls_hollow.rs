//! HLS segments without sound: empty, or boxes alone. The title goes on, and nothing is out of place.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use kithara::{ErrorKind, Resource};
use kithara_tests::fixtures::hls;
use kithara_tests::server::Script;
use network::*;
use streams::*;

const BRAND: &[u8] = b"\0\0\0\x10stypmsdh\0\0\0\0";

#[test]
fn a_segment_without_sound_is_silence_of_its_length() {
    const FREE: &[u8] = b"\0\0\0\x10free\0\0\0\0\0\0\0\0";
    // What is in front of the first sound, or behind the last, only an empty answer tells.
    let everywhere: &[usize] = &[0, 2, 5];
    for (folder, extension, body, places) in [
        ("ts-aac", "ts", &b""[..], everywhere),
        ("packed-aac", "aac", b"", everywhere),
        ("aac-48", "m4s", b"", everywhere),
        ("aac-48", "m4s", BRAND, &[2]),
        ("aac-48", "m4s", FREE, &[2]),
    ] {
        let fixture = hls::fixture(folder);
        let segments = segments(fixture);
        for number in places {
            let path = format!("/{folder}/{number}.{extension}");
            let what = format!("{path}: {} bytes", body.len());
            let server = origin();
            server.serve(&path, Script::file(body.to_vec()));
            let mut listener = Listener::open(config(&server.url(&fixture.playlist())));
            let played = listener.play();
            played.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let (played, gap) = (listener.pcm.len() / 2, &segments[*number]);
            let all = played.abs_diff(fixture.frames) <= 64;
            assert!(all, "{what}: {played} frames for {}", fixture.frames);
            let before = frames(&listener.pcm, 0..gap.start.saturating_sub(64));
            assert_eq!(fixture.difference_at(before, 0), None, "{what}, before");
            let behind = gap.end + 2048;
            if behind < played {
                let after = frames(&listener.pcm, behind..played);
                assert_eq!(fixture.difference_at(after, behind), None, "{what}, behind");
            }
            let asked = count(&server, &path);
            assert!(asked <= 2, "{what}: asked for {asked} times");
        }
    }
}

/// A table of programmes without any, and null packets: what a transport stream without sound is made of.
fn tables() -> Vec<u8> {
    let mut packets = vec![0xff; 8 * 188];
    for packet in packets.chunks_mut(188) {
        packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    }
    let table = [
        0x47, 0x40, 0, 0x10, 0, 0, 0xb0, 9, 0, 1, 0xc1, 0, 0, 0xef, 0x22, 0x62, 0x17,
    ];
    packets[..table.len()].copy_from_slice(&table);
    packets
}

#[test]
fn a_title_without_any_sound_says_so_and_where() {
    let tables = tables();
    for (folder, extension, body) in [
        ("ts-aac", "ts", &tables[..]),
        ("aac-48", "m4s", BRAND),
        ("packed-aac", "aac", b""),
    ] {
        let fixture = hls::fixture(folder);
        let server = origin();
        for number in 0..segments(fixture).len() {
            let path = format!("/{folder}/{number}.{extension}");
            server.serve(&path, Script::file(body.to_vec()));
        }
        let url = server.url(&fixture.playlist());
        let error = Resource::blocking(config(&url)).expect_err(folder);
        assert_eq!(error.kind(), ErrorKind::WrongContent, "{folder}: {error}");
        let text = error.to_string();
        assert!(text.contains("there is no sound in "), "{folder}: {text}");
    }
}
