//! What all crates log while HLS titles play and fail, at every level: no key, no token, no password. Alone in its process, because
//! threads of the library log too, and a subscriber for all of them can be set once.

#[path = "support/log.rs"]
mod log;
#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::fmt::Write;

use kithara_tests::fixtures::hls;
use kithara_tests::server::Script;
use log::Log;
use network::*;
use streams::*;

const CANARY: &str = "c4n4ry-83";
/// Of the fixtures' keys.
const KEY: &str = "kithara-key";

/// Everything that a playlist names, with a token.
fn with_tokens(text: &str) -> String {
    let lines = text.lines().map(|line| match line {
        _ if line.starts_with("#EXT-X-KEY") => line.replace(".bin", &format!(".bin?{CANARY}")),
        _ if line.starts_with("#EXT-X-MAP") => line.replace(".mp4", &format!(".mp4?{CANARY}")),
        _ if line.starts_with('#') => line.to_owned(),
        _ => format!("{line}?token={CANARY}"),
    });
    let lines: Vec<_> = lines.collect();
    let define = format!("#EXT-X-DEFINE:NAME=\"t\",VALUE=\"{CANARY}\"\n");
    lines
        .join("\n")
        .replacen("#EXTINF", &(define + "#EXTINF"), 1)
        + "\n"
}

#[test]
fn no_key_and_no_token_is_logged_at_any_level() {
    let log = Log::begin();
    let page = format!("<html>{CANARY}</html>");
    let faults = [
        None,
        Some(Script::of_status(404)),
        Some(Script::of_status(403).header("Location", CANARY)),
        Some(Script::of_status(503).header("Retry-After", CANARY)),
        Some(Script::file(page.into_bytes()).media_type(CANARY)),
        Some(Script::redirect(302, &format!("file:///{CANARY}?{CANARY}"))),
    ];
    let mut told = String::new();
    for (folder, segment, key) in [
        ("aes-ts", "3.ts", "key.bin"),
        ("aes-fmp4", "3.m4s", "key-0.bin"),
        ("aes-packed", "3.aac", "key-1.bin"),
    ] {
        for path in [segment, key] {
            for fault in &faults {
                let server = origin();
                let text = with_tokens(&hls::text(&format!("{folder}/media.m3u8")));
                let script = Script::file(text.into_bytes());
                server.serve(&format!("/{folder}/media.m3u8"), script);
                if let Some(fault) = fault {
                    server.serve(&format!("/{folder}/{path}"), fault.clone());
                }
                let url = format!(
                    "http://user:{CANARY}@{}/{folder}/media.m3u8?{CANARY}#{CANARY}",
                    server.addr()
                );
                let played = Listener::try_open(config(&url));
                let played = played.and_then(|mut listener| {
                    let outcome = listener.play();
                    let events = listener.events();
                    write!(told, "{:?} {events:?}", listener.resource).expect("room");
                    outcome
                });
                match (played, fault) {
                    (Ok(()), None) => {}
                    (Err(error), Some(_)) => write!(told, "{error:?} {error}").expect("room"),
                    (other, _) => panic!("{folder}/{path}, {fault:?}: {other:?}"),
                }
            }
        }
    }
    let log = log.text();
    for text in [&log, &told] {
        for secret in [CANARY, KEY] {
            let at = text.find(secret).map(|at| {
                let from = text[..at].rfind('\n').unwrap_or(0);
                text[from..].chars().take(300).collect::<String>()
            });
            assert_eq!(at, None, "{secret}");
        }
    }
    // It was listened to.
    for expected in [
        "message=request",
        "message=response",
        "message=transfer failed",
        "message=retrying",
    ] {
        assert!(log.contains(expected), "{expected} is missing in {log}");
    }
}
