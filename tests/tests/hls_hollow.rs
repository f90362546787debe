//! HLS segments without sound: empty, or boxes alone. The title goes on, and nothing is out of place.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use kithara_tests::fixtures::hls;
use kithara_tests::server::Script;
use network::*;
use streams::*;

#[test]
fn a_segment_without_sound_is_silence_of_its_length() {
    const BRAND: &[u8] = b"\0\0\0\x10stypmsdh\0\0\0\0";
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
