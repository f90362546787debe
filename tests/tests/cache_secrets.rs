//! No secret of a title is in its cache or in a log. Alone in its process, because the log is that of the process.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/log.rs"]
mod log;
#[path = "support/network.rs"]
mod network;

use std::path::Path;

use kithara::assets::{AssetStoreBuilder, Revalidate};
use kithara::file::Amount;
use kithara::net::{Headers, NetOptions, Origin};
use kithara::{Resource, ResourceConfig};
use kithara_tests::server::{FaultServer, Script};

use cache::*;
use log::Log;
use network::*;

const CANARY: &str = "c4n4ry";
/// `c4n4ry:c4n4ry`, as a header has it.
const CREDENTIALS: &str = "YzRuNHJ5OmM0bjRyeQ";

fn contains(bytes: &[u8], needle: &str) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    text.contains(&needle.to_ascii_lowercase())
}

/// Neither a name nor a byte in the folder tells.
fn assert_clean(dir: &Path, what: &str) {
    let found = files(dir);
    assert!(!found.is_empty(), "{what}: the folder is in use");
    for (path, content) in found {
        let name = path
            .strip_prefix(dir)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        for needle in [CANARY, CREDENTIALS, "127.0.0.1"] {
            assert!(!contains(name.as_bytes(), needle), "{what}: {name}");
            assert!(!contains(&content, needle), "{what}: in {name}");
        }
    }
}

#[test]
fn no_url_token_password_or_header_is_in_the_cache_or_in_a_log() {
    // Of the process: the work is done by threads of the library.
    let log = Log::begin();
    let (bytes, expected) = long(10);
    let server = FaultServer::start();
    let answer = || {
        wav(&bytes)
            .header("X-Answer", CANARY)
            .header("Set-Cookie", CANARY)
    };
    server.serve("/music/c4n4ry.wav", answer());
    let port = server.addr().port();
    let url = |query: &str| {
        format!("http://{CANARY}:{CANARY}@127.0.0.1:{port}/music/{CANARY}.wav?{query}#{CANARY}")
    };
    let with_headers = |cache: &Cache, url: &str| -> ResourceConfig {
        let mut options = NetOptions::default();
        let origin = Origin::of(&parse(url)).unwrap();
        let headers = Headers::new().with("X-Api-Key", CANARY).unwrap();
        options.headers = vec![(origin, headers)];
        cache.config(url).with_client(client(options, quick()))
    };
    let dir = tempfile::tempdir().unwrap();
    let url = url(&format!("token={CANARY}&id={CANARY}"));
    let mut options = options(dir.path());
    options.namespace = CANARY.to_owned();
    options.revalidate = Revalidate::Always;
    let build = || Cache::build(AssetStoreBuilder::new(options.clone()));

    let cache = build();
    let config = with_headers(&cache, &url).with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    listener.read_samples(100_000).unwrap();
    let events = format!("{:?}", listener.events());
    drop(listener);
    cache.store.settle();
    assert_clean(dir.path(), "half stored");
    cache.end();
    assert_clean(dir.path(), "half stored, ended");

    let cache = build();
    Resource::prefetch_blocking(with_headers(&cache, &url), Amount::All).unwrap();
    cache.store.pin(&parse(&url)).unwrap();
    cache.end();
    assert_clean(dir.path(), "whole and pinned");

    // A failing comparison, a failing disk and a failing origin talk most.
    server.serve(
        "/music/c4n4ry.wav",
        Script::of_status(503).retry_after(CANARY),
    );
    for path in resources(dir.path()) {
        let len = std::fs::metadata(&path).unwrap().len();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(len / 2).unwrap();
    }
    let cache = build();
    let failed = Listener::try_open(with_headers(&cache, &url)).map(|mut listener| {
        let end = listener.play();
        format!("{end:?} {:?}", listener.events())
    });
    let told = format!(
        "{:?} {:?} {:?}",
        failed.map_err(|error| format!("{error:?}")),
        cache.told(),
        cache.store
    );
    cache.end();
    server.serve("/music/c4n4ry.wav", answer());
    let cache = build();
    Listener::open(with_headers(&cache, &url)).plays_exactly(&expected, "repaired");
    let list = format!("{:?}", cache.store.list());
    cache.end();
    assert_clean(dir.path(), "repaired");

    // The namespace is the caller's own word for a user; it is in the options he printed.
    let told = told.replace(&format!("namespace: \"{CANARY}\""), "");
    let log = log.text();
    for (what, text) in [
        ("events", &events),
        ("told", &told),
        ("list", &list),
        ("log", &log),
    ] {
        for needle in [CANARY, CREDENTIALS] {
            let at = text.find(needle);
            let around = at.map(|at| &text[at.saturating_sub(200)..(at + 50).min(text.len())]);
            assert!(around.is_none(), "{what}: {}", around.unwrap_or_default());
        }
    }
    for target in ["kithara_assets", "kithara_net", "kithara"] {
        assert!(log.contains(target), "{target} says something");
    }
}
