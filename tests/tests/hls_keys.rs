//! Encrypted HLS titles: keys that are none, ciphertext that is none, and where keys must not be found.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::sync::Arc;

use cache::Cache;
use kithara::net::Url;
use kithara::stream::{Transform, Transforming};
use kithara::{ErrorKind, KeyOptions};
use kithara_tests::fixtures::hls;
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

/// Plays to the failure that must come.
fn fails(server: &FaultServer, folder: &str, what: &str) -> kithara::Error {
    let mut listener = match Listener::try_open(title(server, folder)) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let Err(error) = listener.play() else {
        panic!("{what}: it played");
    };
    let fixture = hls::fixture(folder);
    assert_eq!(fixture.difference_at(&listener.pcm, 0), None, "{what}");
    error
}

fn playlist(folder: &str) -> String {
    hls::text(&format!("{folder}/media.m3u8"))
}

fn serve_playlist(server: &FaultServer, folder: &str, text: String) {
    let script = Script::file(text.into_bytes()).media_type("application/vnd.apple.mpegurl");
    server.serve(&format!("/{folder}/media.m3u8"), script);
}

#[test]
fn what_is_no_key_is_named_as_such() {
    let page = b"<!DOCTYPE html><html><body>Please log in</body></html>".to_vec();
    for bytes in [0, 9, 15, 17, 32, 1 << 20]
        .map(|len| vec![7; len])
        .into_iter()
        .chain([page])
    {
        let server = origin();
        let len = bytes.len();
        let what = format!("{len} bytes");
        server.serve("/aes-ts/key.bin", Script::file(bytes));
        let error = fails(&server, "aes-ts", &what);
        assert_eq!(error.kind(), ErrorKind::Key, "{what}: {error:?}");
        assert!(count(&server, "/aes-ts/key.bin") <= 2, "{what}");
        let told = format!("{error:?}");
        assert!(!told.contains("log in"), "{told}");
        // No more than 64 bytes of it are read, to say how long it is.
        let named = match len {
            0..=64 => told.contains(&format!("this one has {len}")),
            _ => told.contains("more than 64 bytes"),
        };
        assert!(named, "{what}: {told}");
        assert!(told.contains("segment 0"), "{what}: {told}");
    }
}

#[test]
fn a_wrong_key_is_told_from_a_right_one() {
    let server = origin();
    server.serve("/aes-ts/key.bin", Script::file(&b"kithara-key-0002"[..]));
    let error = fails(&server, "aes-ts", "a wrong key");
    assert_eq!(error.kind(), ErrorKind::Decrypt, "{error:?}");
}

/// Plays to where segment 3 of a title, served like this, fails to be decrypted; all in front of it is heard.
fn fails_at_the_fourth(what: &str, bytes: Vec<u8>, part_of_it: usize) {
    let server = origin();
    server.serve("/aes-ts/3.ts", Script::file(bytes));
    let fixture = hls::fixture("aes-ts");
    let mut listener = Listener::open(title(&server, "aes-ts"));
    let error = listener.play().expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Decrypt, "{what}: {error:?}");
    assert!(error.to_string().contains("segment 3"), "{what}: {error}");
    let fourth = segments(fixture)[3].clone();
    let played = listener.pcm.len() / 2;
    // But for what the decoder of AAC holds back of a packet.
    let sound = fourth.start - 1024..=fourth.start + part_of_it;
    assert!(sound.contains(&played), "{what}: {played} of {fourth:?}");
    let intact = frames(&listener.pcm, 0..played.min(fourth.start));
    assert_eq!(fixture.difference_at(intact, 0), None, "{what}");
    assert_sticky(&mut listener, &server, &error);
}

#[test]
fn ciphertext_that_is_not_whole_blocks_or_not_padded_stops_behind_what_is_sound() {
    let sound = hls::file("aes-ts/3.ts");
    let length = segments(hls::fixture("aes-ts"))[3].len();
    let mut torn = sound.clone();
    torn.truncate(sound.len() - 5);
    fails_at_the_fourth("a torn block", torn, length);
    // The last block turns into noise, whose end is no padding.
    let mut unpadded = sound.clone();
    *unpadded.last_mut().expect("a byte") ^= 0x55;
    fails_at_the_fourth("a last block of noise", unpadded, length);
    let mut short = sound.clone();
    short.truncate(sound.len() - 16);
    fails_at_the_fourth("no last block", short, length);
    let mut begin = sound;
    begin[0] ^= 0x55;
    fails_at_the_fourth("a first block of noise", begin, 0);
}

#[test]
fn other_ways_of_encryption_are_refused_by_name() {
    for method in ["SAMPLE-AES", "SAMPLE-AES-CTR", "ROT13"] {
        let server = origin();
        let text = playlist("aes-ts").replace("AES-128", method);
        serve_playlist(&server, "aes-ts", text);
        let error = fails(&server, "aes-ts", method);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{method}: {error:?}");
        assert!(error.to_string().contains(method), "{error}");
        assert_eq!(count(&server, "/aes-ts/0.ts"), 0, "{method}");
    }
}

#[test]
fn vectors_that_are_none_are_told() {
    let given = "IV=0x000102030405060708090a0b0c0d0e0f";
    for vector in [
        "IV=000102030405060708090a0b0c0d0e0f",
        "IV=0x",
        "IV=0x000102030405060708090a0b0c0d0e0f00",
        "IV=0xzz",
    ] {
        let server = origin();
        serve_playlist(&server, "aes-ts", playlist("aes-ts").replace(given, vector));
        let error = fails(&server, "aes-ts", vector);
        assert_eq!(error.kind(), ErrorKind::Playlist, "{vector}: {error:?}");
    }
    let server = origin();
    serve_playlist(
        &server,
        "aes-ts",
        playlist("aes-ts").replace("IV=0x", "IV=0X"),
    );
    let mut listener = Listener::open(title(&server, "aes-ts"));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aes-ts").difference(&listener.pcm), None);
}

#[test]
fn each_key_is_fetched_once() {
    let server = origin();
    Listener::open(title(&server, "aes-packed"))
        .play()
        .expect("it plays");
    for key in ["/aes-packed/key-0.bin", "/aes-packed/key-1.bin"] {
        assert_eq!(count(&server, key), 1, "{key}");
    }
    Listener::open(title(&server, "aes-fmp4"))
        .play()
        .expect("it plays");
    assert_eq!(count(&server, "/aes-fmp4/key-0.bin"), 1);
}

#[test]
fn a_key_that_is_refused_is_named_with_its_status() {
    for (status, kind) in [
        (401, ErrorKind::Expired),
        (403, ErrorKind::Expired),
        (404, ErrorKind::Http(404)),
        (500, ErrorKind::Http(500)),
    ] {
        let server = origin();
        server.serve("/aes-packed/key-1.bin", Script::of_status(status));
        let error = fails(&server, "aes-packed", "a refused key");
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(format!("{error:?}").contains(&status.to_string()));
        assert!(error.to_string().contains("segment 2"), "{error}");
        assert!(count(&server, "/aes-packed/key-1.bin") <= 7);
    }
}

#[test]
fn a_key_is_asked_for_with_what_belongs_to_its_server() {
    let (server, keys) = (origin(), FaultServer::start());
    keys.serve("/key", hls::script("aes-ts/key.bin"));
    let url = keys.url("/key?id=1");
    serve_playlist(
        &server,
        "aes-ts",
        playlist("aes-ts").replace("key.bin", &url),
    );
    let mut headers = kithara::net::Headers::new();
    headers.insert("x-ticket", "canary").expect("a header");
    let origin = Url::parse(&url).expect("a URL");
    let options = KeyOptions::new()
        .with_headers(&origin, headers)
        .with_query(&origin, "device", "7");
    let mut listener = Listener::open(title(&server, "aes-ts").with_keys(options));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aes-ts").difference(&listener.pcm), None);
    let asked = keys.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/key?id=1&device=7");
    assert_eq!(asked[0].header("x-ticket"), Some("canary"));
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.header("x-ticket").is_none())
    );
}

#[test]
fn a_hook_gives_keys_unwraps_them_and_refuses_them() {
    let server = origin();
    server.serve("/aes-ts/key.bin", Script::of_status(404));
    let given = KeyOptions::new().with_provider(|_| Some(Ok(b"kithara-key-0001".to_vec().into())));
    let mut listener = Listener::open(title(&server, "aes-ts").with_keys(given));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aes-ts").difference(&listener.pcm), None);
    assert_eq!(count(&server, "/aes-ts/key.bin"), 0);

    let wrapped: Vec<u8> = b"kithara-key-0001".iter().map(|byte| byte ^ 0x55).collect();
    server.serve("/aes-ts/key.bin", Script::file(wrapped));
    let unwraps = KeyOptions::new().with_unwrap(|_, body| {
        Ok(body
            .iter()
            .map(|byte| byte ^ 0x55)
            .collect::<Vec<_>>()
            .into())
    });
    let mut listener = Listener::open(title(&server, "aes-ts").with_keys(unwraps));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aes-ts").difference(&listener.pcm), None);

    let refuses = KeyOptions::new().with_provider(|_| Some(Err("no subscription".to_owned())));
    let error = Listener::try_open(title(&server, "aes-ts").with_keys(refuses))
        .err()
        .expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::Key, "{error:?}");
    assert!(error.to_string().contains("no subscription"), "{error}");
}

#[test]
fn a_key_in_its_own_reference_is_the_hooks_to_take_and_not_ours() {
    let server = origin();
    let inside = "data:application/octet-stream;base64,a2l0aGFyYS1rZXktMDAwMQ==";
    serve_playlist(
        &server,
        "aes-ts",
        playlist("aes-ts").replace("key.bin", inside),
    );
    let error = Listener::try_open(title(&server, "aes-ts")).err();
    let error = error.expect("nobody allows it");
    assert_eq!(error.kind(), ErrorKind::Policy, "{error:?}");
    assert!(!format!("{error:?}").contains("a2l0"), "{error:?}");
    let taken = KeyOptions::new().with_provider(|asked| {
        let known = asked.url.as_str().ends_with("a2l0aGFyYS1rZXktMDAwMQ==");
        (asked.url.scheme() == "data" && known).then(|| Ok(b"kithara-key-0001".to_vec().into()))
    });
    let mut listener = Listener::open(title(&server, "aes-ts").with_keys(taken));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aes-ts").difference(&listener.pcm), None);
}

/// Turns every bit over, from any place.
#[derive(Debug)]
struct Inverted;

impl Transform for Inverted {
    fn source_start(&self, stored: u64) -> u64 {
        stored
    }

    fn begin(&self, _: u64) -> Box<dyn Transforming> {
        Box::new(Self)
    }
}

impl Transforming for Inverted {
    fn update(&mut self, piece: &[u8], stored: &mut Vec<u8>) -> Result<(), String> {
        stored.extend(piece.iter().map(|byte| !byte));
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_transform_of_the_callers_takes_the_place_of_decryption() {
    let server = origin();
    let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"key.bin\"\n#EXTINF";
    serve_playlist(
        &server,
        "ts-aac",
        playlist("ts-aac").replacen("#EXTINF", key, 1),
    );
    for name in (0..6).map(|number| format!("ts-aac/{number}.ts")) {
        let inverted: Vec<u8> = hls::file(&name).iter().map(|byte| !byte).collect();
        let sound = Script::file(inverted);
        let broken = sound.clone().reset_after(1000);
        server.serve_sequence(&format!("/{name}"), [broken, sound]);
    }
    let keys = KeyOptions::new().with_transform(|encrypted| {
        assert!(encrypted.key.path().ends_with("/key.bin"), "{encrypted:?}");
        Some(Arc::new(Inverted))
    });
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::at(folder.path());
    let config = || {
        let config = title(&server, "ts-aac").with_keys(keys.clone());
        config.with_store(cache.store.clone())
    };
    let mut listener = Listener::open(config());
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("ts-aac").difference(&listener.pcm), None);
    assert_eq!(count(&server, "/ts-aac/key.bin"), 0);

    // What is kept is what was made of it.
    let before = server.requests().len();
    let mut listener = Listener::open(config());
    listener.play().expect("it plays again");
    assert_eq!(hls::fixture("ts-aac").difference(&listener.pcm), None);
    assert!(server.requests().len() <= before + 1, "a segment twice");
}

#[test]
fn a_transfer_that_breaks_goes_on_in_the_middle_of_the_chain() {
    let len = hls::file("aes-ts/1.ts").len() as u64;
    for at in [1, 15, 16, 17, 5000, len - 17, len - 16, len - 1] {
        let server = origin();
        let sound = hls::script("aes-ts/1.ts");
        server.serve_sequence("/aes-ts/1.ts", [sound.clone().reset_after(at), sound]);
        let mut listener = Listener::open(title(&server, "aes-ts"));
        listener
            .play()
            .unwrap_or_else(|error| panic!("cut at {at}: {error:?}"));
        assert_eq!(
            hls::fixture("aes-ts").difference(&listener.pcm),
            None,
            "cut at {at}"
        );
    }
}

#[test]
fn no_key_is_on_the_disk_or_in_what_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = origin();
    for name in ["aes-ts", "aes-packed", "aes-fmp4"] {
        let cache = Cache::at(folder.path());
        let mut listener = Listener::open(title(&server, name).with_store(cache.store.clone()));
        listener.play().expect("it plays");
        let events = listener.events();
        let told = format!("{:?} {events:?}", listener.resource);
        assert!(!told.contains("kithara-key"), "{told}");
        drop(listener);
        cache.end();
    }
    let kept = cache::files(folder.path());
    assert!(kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 100_000);
    for (path, bytes) in &kept {
        let found = bytes.windows(11).any(|window| window == b"kithara-key");
        assert!(!found, "{}", path.display());
    }
}
