//! What was found out about where frames lie outlives the program: the second seek is exact and cheap.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kithara::SeekMode;
use kithara_tests::fixtures::{fixture, unlisted};
use kithara_tests::server::{FaultServer, Script};

use cache::*;
use network::*;

const RATE: u64 = 44_100;

/// A minute of variable rate, and its samples.
fn minute(extension: &str) -> (Vec<u8>, Vec<f32>) {
    let name = match extension {
        "mp3" => "seek-vbr.mp3",
        _ => "seek-adts.aac",
    };
    let bytes = unlisted(name).repeat(7);
    let pcm = local(&bytes, extension);
    (bytes, pcm)
}

/// Seeks and compares what comes; whether it is exact, and how many requests that took.
fn seek(
    (listener, tap): &mut (Listener, Tap),
    pcm: &[f32],
    seconds: u64,
    mode: SeekMode,
) -> (bool, usize) {
    let before = tap.log().len();
    let to = Duration::from_secs(seconds);
    let (frame, exact) = listener.seek(to, mode).unwrap();
    let requests = tap.log().len() - before;
    listener.pcm.clear();
    listener.read_samples(2000).unwrap();
    if exact {
        assert_eq!(frame, seconds * RATE);
        let expected = &pcm[frame as usize * 2..][..2000];
        let apart = listener.pcm.iter().zip(expected);
        let apart = apart.map(|(got, there)| (got - there).abs());
        assert!(apart.fold(0.0, f32::max) <= 1e-4, "at {seconds} s");
    }
    (exact, requests)
}

fn open(cache: &Cache, url: &str) -> (Listener, Tap) {
    let tap = Tap::default();
    (Listener::open(cache.tapped(url, &tap)), tap)
}

fn indexes(dir: &Path) -> Vec<PathBuf> {
    let paths = files(dir).into_iter().map(|(path, _)| path);
    let is_index = |path: &PathBuf| path.extension().is_some_and(|end| end == "index");
    paths.filter(is_index).collect()
}

#[test]
fn after_a_restart_a_seek_into_what_was_heard_is_exact_and_asks_for_nothing() {
    for extension in ["mp3", "aac"] {
        let (bytes, pcm) = minute(extension);
        let server = FaultServer::start();
        let path = format!("/a.{extension}");
        server.serve(&path, Script::file(bytes));
        let url = server.url(&path);
        let dir = tempfile::tempdir().unwrap();

        let cache = Cache::at(dir.path());
        let mut one = open(&cache, &url);
        one.0.read_samples(25 * RATE as usize * 2).unwrap();
        assert!(!cache.stored(&url).is_complete(pcm.len() as u64));
        drop(one);
        cache.end();
        assert_eq!(indexes(dir.path()).len(), 1, "{extension}");

        let cache = Cache::at(dir.path());
        for seconds in [20, 4, 15] {
            let mut again = open(&cache, &url);
            let found = seek(&mut again, &pcm, seconds, SeekMode::Fast);
            assert_eq!(found, (true, 0), "{extension}, {seconds} s");
        }
        // Where nobody has been there is a guess, and one request.
        let mut again = open(&cache, &url);
        let found = seek(&mut again, &pcm, 50, SeekMode::Fast);
        assert_eq!(found, (false, 1), "{extension}");
        drop(again);
        cache.end();

        // It is the index that makes the difference: without it, and with a damaged one, the same place is a guess.
        let index = indexes(dir.path()).remove(0);
        let whole = fs::read(&index).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 4;
        for other in [&flipped[..], &whole[..60], &[0x55; 4000]] {
            fs::write(&index, other).unwrap();
            let cache = Cache::at(dir.path());
            let mut again = open(&cache, &url);
            let (exact, _) = seek(&mut again, &pcm, 20, SeekMode::Fast);
            assert!(!exact, "{extension}");
            let (exact, _) = seek(&mut again, &pcm, 20, SeekMode::Exact);
            assert!(exact, "{extension}");
            drop(again);
            cache.end();
            let cache = Cache::at(dir.path());
            let mut again = open(&cache, &url);
            let found = seek(&mut again, &pcm, 15, SeekMode::Fast);
            assert_eq!(found, (true, 0), "{extension}: it was made anew");
            drop(again);
            cache.end();
        }
    }
}

#[test]
fn an_index_is_never_used_for_another_content() {
    let (bytes, _) = minute("mp3");
    let server = FaultServer::start();
    server.serve("/a.mp3", Script::file(bytes.clone()).etag("\"one\""));
    let url = server.url("/a.mp3");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let mut one = open(&cache, &url);
    one.0.read_samples(25 * RATE as usize * 2).unwrap();
    drop(one);
    cache.end();

    // Everything lies elsewhere.
    let other = [fixture("mp3-vbr-notag.mp3").bytes(), bytes].concat();
    let pcm = local(&other, "mp3");
    server.serve("/a.mp3", Script::file(other).etag("\"two\""));
    let cache = Cache::at(dir.path());
    // What is stored plays until something is asked for: then the change is noticed, and the next one hears the new.
    let mut last = open(&cache, &url);
    let _ = last.0.seek(Duration::from_secs(50), SeekMode::Exact);
    drop(last);
    let mut again = open(&cache, &url);
    for seconds in [12, 20, 3] {
        let (exact, _) = seek(&mut again, &pcm, seconds, SeekMode::Exact);
        assert!(exact, "{seconds} s");
    }
    drop(again);
    cache.end();
}
