//! What a title says of itself, from a URL: told without a request, and known once the title is kept.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::sync::Arc;
use std::time::Duration;

use kithara::file::Amount;
use kithara::net::{HttpClient, Net, NetExt, NetOptions, RetryPolicy};
use kithara::{PictureKind, Resource, ResourceConfig, TrackMetadata};
use kithara_tests::fixtures::{fixture, mp4_with_cover, tagged};
use kithara_tests::server::{FaultServer, Gate, Script};

use cache::Cache;

fn remote(url: &str) -> ResourceConfig {
    let mut options = NetOptions::default();
    options.timeouts.stall = Duration::from_secs(5);
    let mut policy = RetryPolicy::default();
    policy.retries = 0;
    let client: Arc<dyn Net> = Arc::new(HttpClient::new(options).unwrap().with_retry(policy));
    ResourceConfig::new(url)
        .unwrap()
        .without_store()
        .with_client(client)
}

/// Plays it to the end.
fn play(resource: &mut Resource) {
    let mut block = vec![0.0; 4096 - 4096 % usize::from(resource.spec().channels.get())];
    while resource.read(&mut block).unwrap() > 0 {}
}

/// What is known of it, and the requests until it was played.
fn heard(server: &FaultServer, path: &str, script: Script) -> (TrackMetadata, usize) {
    server.serve(path, script);
    let mut resource = Resource::blocking(remote(&server.url(path))).unwrap();
    let metadata = resource.metadata().clone();
    play(&mut resource);
    (metadata, server.requests_for(path).len())
}

#[test]
fn what_stands_in_front_is_known_without_a_request_for_it() {
    let server = FaultServer::start();
    for file in [
        "id3v23.mp3",
        "id3v24.mp3",
        "id3.aac",
        "metaflac.flac",
        "picture.ogg",
        "picture.oga",
        "itunes.m4a",
        "ffmpeg.mka",
    ] {
        let path = format!("/{file}");
        let (known, requests) = heard(&server, &path, Script::file(tagged(file)));
        assert_eq!(requests, 1, "{file}");
        assert_eq!(known.title.as_deref(), Some("A title é"), "{file}");
        assert_eq!(known.replay_gain.track_gain, Some(-7.25), "{file}");
        let cover = known.cover().unwrap();
        assert_eq!(cover.kind(), PictureKind::Front, "{file}");
        assert_eq!(cover.bytes(), Some(&tagged("cover.png")[..]), "{file}");
    }
}

#[test]
fn what_stands_at_the_end_is_not_asked_for() {
    let server = FaultServer::start();
    let audio = fixture("mp3-cbr-notag.mp3").bytes();
    for (file, mark) in [("ape.mp3", &b"APETAGEX"[..]), ("id3v1.mp3", b"TAG")] {
        let tagged = tagged(file);
        let tail = tagged.windows(mark.len()).position(|word| word == mark);
        let bytes = [&audio[..], &tagged[tail.unwrap()..]].concat();
        // The end is held back: it is not known by chance.
        let gate = Gate::new();
        let path = format!("/{file}");
        let held = bytes.len() as u64 - 100;
        server.serve(&path, Script::file(bytes).hold_at(held, &gate));
        let mut resource = Resource::blocking(remote(&server.url(&path))).unwrap();
        assert_eq!(*resource.metadata(), TrackMetadata::default(), "{file}");
        gate.open();
        play(&mut resource);
        assert_eq!(server.requests_for(&path).len(), 1, "{file}");
    }
}

#[test]
fn a_large_picture_is_named_and_passed_over() {
    let server = FaultServer::start();
    for (file, bytes) in [
        ("flac", fixture("flac-picture.flac").bytes()),
        ("mp3", fixture("mp3-tags.mp3").bytes()),
        ("m4a", mp4_with_cover("m4a-aac-first.m4a", 300_000)),
    ] {
        // The end is held back: what is there whole is near, and tells its pictures.
        let gate = Gate::new();
        let held = bytes.len() as u64 - 100;
        let path = format!("/{file}");
        server.serve(&path, Script::file(bytes).hold_at(held, &gate));
        let mut resource = Resource::blocking(remote(&server.url(&path))).unwrap();
        let known = resource.metadata().clone();
        gate.open();
        play(&mut resource);
        let cover = known.cover().unwrap();
        assert_eq!(
            (cover.kind(), cover.media_type()),
            (PictureKind::Front, "image/jpeg")
        );
        assert!(
            (300_000..310_000).contains(&cover.byte_len()),
            "{file}: {cover:?}"
        );
        assert_eq!(cover.bytes(), None, "{file}");
    }
}

#[test]
fn what_is_kept_whole_tells_everything_and_asks_nobody() {
    let server = FaultServer::start();
    let folder = tempfile::tempdir().unwrap();
    for (file, bytes) in [
        ("cover.mp3", fixture("mp3-tags.mp3").bytes()),
        ("ape.mp3", tagged("ape.mp3")),
    ] {
        let path = format!("/{file}");
        let url = server.url(&path);
        server.serve(&path, Script::file(bytes).etag("\"1\""));
        let store = Cache::at(folder.path());
        Resource::prefetch_blocking(store.config(&url), Amount::All).unwrap();
        store.end();
        let before = server.requests_for(&path).len();
        let store = Cache::at(folder.path());
        let kept = Resource::blocking(store.config(&url)).unwrap();
        let cover = kept.metadata().cover().unwrap();
        let held = cover.bytes().map(|bytes| bytes.len() as u64);
        assert_eq!(held, Some(cover.byte_len()), "{file}");
        drop(kept);
        store.end();
        assert_eq!(server.requests_for(&path).len(), before, "{file}");
    }
}
