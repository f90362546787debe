//! Playlists that never end, lead to themselves, or name one thing again and again; and what becomes of their names.

#![allow(clippy::unwrap_used)] // What cannot be set up is a failed test.

#[path = "support/hls_bytes.rs"]
mod hls_bytes;

use std::path::Path;
use std::sync::Arc;

use hls_bytes::*;
use kithara::assets::{AssetStore, AssetStoreBuilder};
use kithara::hls::{HlsConfig, HlsError, PlaylistError};
use kithara::net::{HeaderHook, HookRequest, NetError, NetOptions, PolicyRule, Refreshed, Url};
use kithara::stream::StreamError;
use kithara::{ErrorKind, Resource, ResourceConfig, StoreOptions};
use kithara_tests::server::{FaultServer, Script};

const MIB: u64 = 1 << 20;
const SECRET: &str = "canary-4d7b";

fn media(lines: &str) -> Script {
    let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{lines}#EXT-X-ENDLIST\n");
    Script::file(text).media_type("application/vnd.apple.mpegurl")
}

fn master(lines: &str) -> Script {
    let text = format!("#EXTM3U\n{lines}");
    Script::file(text).media_type("application/vnd.apple.mpegurl")
}

fn store(folder: &Path) -> AssetStore {
    AssetStoreBuilder::new(StoreOptions::at(folder))
        .build()
        .unwrap()
}

#[test]
fn a_playlist_that_never_ends_is_given_up_at_four_mebibytes() {
    let server = FaultServer::start();
    server.serve("/a.m3u8", Script::endless("#EXTM3U\n#EXTINF:4,\nsame.ts\n"));
    server.serve("/m.m3u8", master("#EXT-X-STREAM-INF:BANDWIDTH=9\na.m3u8\n"));
    for path in ["/a.m3u8", "/m.m3u8"] {
        let before = server.body_bytes_sent();
        let (bytes, failure) = drain(config(&server.url(path)));
        let error = failure.expect("it never ends");
        let Some(StreamError::TooLarge { .. }) = hls_error(&error).transfer() else {
            panic!("{error:?}");
        };
        assert!(bytes.is_empty());
        let sent = server.body_bytes_sent() - before;
        assert!(sent < 6 * MIB, "{sent}");
    }
    assert_eq!(server.requests_for("/a.m3u8").len(), 2);
}

#[test]
fn a_key_that_never_ends_is_no_key() {
    let server = FaultServer::start();
    server.serve("/key", Script::endless("0123456789abcdef"));
    server.serve("/s.aac", Script::file(vec![7; 64]));
    let lines = "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXTINF:4,\ns.aac\n";
    server.serve("/a.m3u8", media(lines));
    let (bytes, failure) = drain(config(&server.url("/a.m3u8")));
    let error = failure.expect("it is no key");
    assert!(
        matches!(hls_error(&error), HlsError::KeyLoad { .. }),
        "{error:?}"
    );
    assert!(bytes.is_empty());
    assert_eq!(server.requests_for("/key").len(), 1);
}

#[test]
fn a_part_a_thousand_times_too_large_or_without_an_end_is_given_up_at_its_limit() {
    let whole = |bytes: u64| {
        Script::file(vec![7; 64])
            .without_ranges()
            .wrong_length(&bytes.to_string())
    };
    for (name, most) in [("/init.mp4", MIB), ("/s.m4s", 64 * MIB)] {
        for (what, script) in [
            ("a thousand times as long, it says", whole(1000 * most)),
            ("without an end", Script::endless(vec![7; 1 << 16])),
        ] {
            let server = FaultServer::start();
            server.serve("/init.mp4", Script::file(vec![7; 64]));
            server.serve("/s.m4s", Script::file(vec![7; 64]));
            server.serve(name, script);
            let lines = "#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\ns.m4s\n";
            server.serve("/a.m3u8", media(lines));
            let (_, failure) = drain(config(&server.url("/a.m3u8")));
            let error = failure.unwrap_or_else(|| panic!("{name}: {what}"));
            let Some(StreamError::TooLarge { most: told, .. }) = hls_error(&error).transfer()
            else {
                panic!("{name}: {what}: {error:?}");
            };
            assert_eq!(*told as u64, most, "{name}: {what}");
            assert_eq!(server.requests_for(name).len(), 1, "{name}: {what}");
            // What the kernel holds of a response that nobody reads any more is not ours.
            let sent = server.body_bytes_sent();
            assert!(sent < most + 16 * MIB, "{name}: {what}: {sent}");
        }
    }
}

#[test]
fn segments_are_redirected_each_for_itself_and_at_most_five_times() {
    let server = FaultServer::start();
    let count = 30_u8;
    for number in 0..count {
        // The last one is one too many.
        let hops = if number + 1 < count { 5 } else { 6 };
        let hop = |at: u8| match at {
            0 => format!("/{number}.aac"),
            at => format!("/{number}-{at}"),
        };
        for at in 0..hops {
            server.serve(&hop(at), Script::redirect(302, &hop(at + 1)));
        }
        server.serve(&hop(hops), Script::file(vec![number; 1000]));
    }
    let lines: String = (0..count)
        .map(|number| format!("#EXTINF:4,\n{number}.aac\n"))
        .collect();
    server.serve("/a.m3u8", media(&lines));
    let (bytes, failure) = drain(config(&server.url("/a.m3u8")));
    let error = failure.expect("one redirect too many");
    assert_eq!(rule(&error), Some(PolicyRule::Redirects), "{error:?}");
    let whole: Vec<u8> = (0..count - 1)
        .flat_map(|number| vec![number; 1000])
        .collect();
    assert_eq!(bytes, whole);
    assert_eq!(server.requests_for("/29-6").len(), 0);
}

#[test]
fn only_a_media_playlist_follows_a_multivariant_one() {
    let server = FaultServer::start();
    let to = |name: &str| master(&format!("#EXT-X-STREAM-INF:BANDWIDTH=9\n{name}\n"));
    server.serve("/itself.m3u8", to("itself.m3u8"));
    server.serve("/a.m3u8", to("b.m3u8"));
    server.serve("/b.m3u8", to("a.m3u8"));
    server.serve("/nothing.m3u8", to(""));
    server.serve("/spaces.m3u8", to("   "));
    for (path, requests) in [
        ("/itself.m3u8", 2),
        ("/a.m3u8", 2),
        ("/nothing.m3u8", 1),
        ("/spaces.m3u8", 1),
    ] {
        let before = server.requests().len();
        let (_, failure) = drain(config(&server.url(path)));
        let error = failure.expect(path);
        let HlsError::Playlist { source, .. } = hls_error(&error) else {
            panic!("{path}: {error:?}");
        };
        let nested = matches!(source, PlaylistError::Nested);
        assert_eq!(nested, requests == 2, "{path}: {source:?}");
        assert_eq!(server.requests().len() - before, requests, "{path}");
        let resource = Resource::blocking(ResourceConfig::new(server.url(path)).unwrap());
        let kind = resource.expect_err(path).kind();
        assert_eq!(kind, ErrorKind::Playlist, "{path}");
    }
}

#[test]
fn what_a_rule_forbids_is_told_as_that() {
    let server = FaultServer::start();
    for reference in ["file:///etc/passwd", "http://169.254.169.254/a"] {
        let lines = format!("#EXTINF:4,\n{reference}\n");
        server.serve("/a.m3u8", media(&lines));
        let config = ResourceConfig::new(server.url("/a.m3u8")).unwrap();
        let error = Resource::blocking(config).expect_err(reference);
        assert_eq!(error.kind(), ErrorKind::Policy, "{reference}: {error:?}");
    }
}

#[test]
fn one_resource_named_again_and_again_is_fetched_once_and_kept_once() {
    const TIMES: usize = 500;
    // Of a body that only the end of its connection ends, too.
    let bodies = [
        Script::file(vec![7; 1000]),
        Script::file(vec![7; 1000]).chunked(),
        Script::file(vec![7; 1000]).without_length(),
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        for kept in [true, false] {
            let server = FaultServer::start();
            server.serve("/same.aac", body.clone());
            server.serve("/a.m3u8", media(&"#EXTINF:4,\nsame.aac\n".repeat(TIMES)));
            let folder = tempfile::tempdir().unwrap();
            let store = kept.then(|| store(folder.path()));
            let (bytes, failure) = drain(config(&server.url("/a.m3u8")).with_store(store));
            assert!(failure.is_none(), "{failure:?}");
            assert_eq!(bytes.len(), 1000 * TIMES);
            let asked = server.requests_for("/same.aac").len();
            assert_eq!(asked, 1, "body {number}, kept: {kept}");
        }
    }
}

#[test]
fn another_token_is_the_same_segment_and_nothing_of_a_name_is_on_disk() {
    let server = FaultServer::start();
    let names = [
        "..%2f..%2fcanary-4d7b.aac",
        "CON",
        "a%00b",
        "%e2%80%aecanary-4d7b",
        "A.aac",
        "a.aac",
    ];
    for (number, name) in names.iter().enumerate() {
        server.serve(
            &format!("/d/{name}"),
            Script::file(vec![number as u8; 1000]),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<u8> = (0..names.len() as u8)
        .flat_map(|number| vec![number; 1000])
        .collect();
    for turn in 0..3 {
        let token = format!("token={SECRET}-{turn}&X-Amz-Signature={SECRET}{turn}");
        let lines: String = names
            .iter()
            .map(|name| format!("#EXTINF:4,\n{name}?{token}\n"))
            .collect();
        server.serve("/d/a.m3u8", media(&lines));
        let config = config(&server.url(&format!("/d/a.m3u8?{token}")));
        let (bytes, failure) = drain(config.with_store(Some(store(folder.path()))));
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(bytes, expected, "turn {turn}");
    }
    let segments = server.requests().len() - server.requests_for("/d/a.m3u8").len();
    assert_eq!(segments, names.len(), "each once, whatever the token");
    assert_no_trace(folder.path());
}

/// No name and no byte below a folder tells where anything came from.
fn assert_no_trace(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
        assert!(!name.contains("canary"), "{name}");
        if path.is_dir() {
            assert_no_trace(&path);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let holds = |what: &str| bytes.windows(what.len()).any(|at| at == what.as_bytes());
        assert!(!holds(SECRET) && !holds("a.aac"), "{}", path.display());
    }
}

/// Knows a new token once the old one is refused.
struct Renews;

#[async_trait::async_trait]
impl HeaderHook for Renews {
    async fn refresh(&self, request: &HookRequest, _status: u16) -> Option<Refreshed> {
        let mut url = request.url.clone();
        url.set_query(Some("fresh"));
        Some(Refreshed {
            url,
            headers: Default::default(),
        })
    }
}

#[test]
fn segments_and_keys_that_expired_are_asked_for_by_another_url_or_named() {
    for renewed in [true, false] {
        let server = FaultServer::start();
        let lines: String = (0..4)
            .map(|n| format!("#EXTINF:4,\ns{n}.aac?old\n"))
            .collect();
        server.serve("/a.m3u8", media(&lines));
        for number in 0..4_u8 {
            let path = format!("/s{number}.aac");
            let file = Script::file(vec![number; 1000]);
            let old = if number < 2 {
                file.clone()
            } else {
                Script::of_status(403)
            };
            server.serve(&format!("{path}?old"), old);
            server.serve(&format!("{path}?fresh"), file);
        }
        let mut options = NetOptions::default();
        if renewed {
            options.hook = Some(Arc::new(Renews));
        }
        let url = Url::parse(&server.url("/a.m3u8")).unwrap();
        let (bytes, failure) = drain(HlsConfig::new(url, client(options)));
        let expected: Vec<u8> = (0..4).flat_map(|number| vec![number; 1000]).collect();
        if renewed {
            assert!(failure.is_none(), "{failure:?}");
            assert_eq!(bytes, expected);
            continue;
        }
        let error = failure.expect("nobody renews it");
        assert_eq!(bytes, expected[..2000], "what came before is heard");
        let expired = matches!(
            net_error(&error),
            Some(NetError::Expired { status: 403, .. })
        );
        assert!(expired, "{error:?}");
        assert_eq!(server.requests_for("/s2.aac").len(), 2);
    }
}
