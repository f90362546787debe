//! HLS titles whose URLs expire while they are played, or while they are paused: the caller's hook is asked once for each URL, and
//! where it knows nothing better, what is there is heard, and then the title has expired.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kithara::net::{HeaderHook, Headers, HookRequest, NetOptions, Refreshed};
use kithara::{ErrorKind, ResourceConfig, SeekMode};
use kithara_tests::fixtures::hls;
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

/// Knows another URL for each that is refused, or none for any; and counts how often it was asked.
#[derive(Default)]
struct Hook {
    renews: bool,
    asked: Mutex<BTreeMap<String, usize>>,
}

#[async_trait::async_trait]
impl HeaderHook for Hook {
    async fn refresh(&self, request: &HookRequest, status: u16) -> Option<Refreshed> {
        assert!(matches!(status, 401 | 403));
        let mut url = request.url.clone();
        let mut asked = self.asked.lock().expect("no panic");
        *asked.entry(url.path().to_owned()).or_default() += 1;
        url.set_query(Some("fresh"));
        let headers = Headers::new();
        self.renews.then_some(Refreshed { url, headers })
    }
}

/// A title of `folder` that asks this hook, and fetches no more than the next segment ahead.
fn asking(server: &FaultServer, folder: &str, hook: &Arc<Hook>) -> ResourceConfig {
    let mut options = NetOptions::default();
    options.hook = Some(hook.clone());
    config_with(&server.url(&hls::fixture(folder).playlist()), options).with_hls_policy(near())
}

/// From now on everything of a title is refused, but by its new URL.
fn expire(server: &FaultServer, folder: &str, status: u16) {
    for path in parts(folder) {
        server.serve(&format!("/{path}"), Script::of_status(status));
        server.serve(&format!("/{path}?fresh"), hls::script(&path));
    }
}

fn parts(folder: &str) -> Vec<String> {
    let keys = ["key.bin", "key-0.bin", "key-1.bin"].map(|key| format!("{folder}/{key}"));
    let keys = keys
        .into_iter()
        .filter(|key| hls::folder().join(key).exists());
    let text = hls::text(&format!("{folder}/media.m3u8"));
    let segments = text.lines().filter(|line| !line.starts_with('#'));
    let segments = segments.map(|name| format!("{folder}/{name}"));
    segments.chain(keys).collect()
}

#[test]
fn urls_and_keys_that_expire_during_a_pause_are_renewed_and_nothing_is_heard_of_it() {
    for folder in ["aes-packed", "ts-aac"] {
        for status in [401, 403] {
            let server = origin();
            let hook = Arc::new(Hook {
                renews: true,
                ..Hook::default()
            });
            let mut listener = Listener::open(asking(&server, folder, &hook));
            listener.read_samples(44_100).expect("it plays");
            listener.resource.control().pause();
            expire(&server, folder, status);
            listener.resource.control().resume();
            listener.play().expect("it plays on");
            assert_eq!(hls::fixture(folder).difference(&listener.pcm), None);
            let asked = hook.asked.lock().expect("no panic");
            assert!(!asked.is_empty());
            assert!(asked.values().all(|times| *times == 1), "{asked:?}");
        }
    }
}

#[test]
fn what_nobody_renews_has_expired_behind_all_that_was_there_and_goes_on_from_there_later() {
    for folder in ["aes-packed", "ts-aac"] {
        let fixture = hls::fixture(folder);
        for status in [401, 403] {
            let server = origin();
            let hook = Arc::new(Hook::default());
            let mut listener = Listener::open(asking(&server, folder, &hook));
            listener.read_samples(44_100).expect("it plays");
            expire(&server, folder, status);
            let error = listener.play().expect_err("nobody renews it");
            assert_eq!(error.kind(), ErrorKind::Expired, "{error:?}");
            assert!(
                format!("{error:?}").contains(&status.to_string()),
                "{error:?}"
            );
            assert_sticky(&mut listener, &server, &error);
            assert_eq!(fixture.difference_at(&listener.pcm, 0), None);
            let asked = hook.asked.lock().expect("no panic").clone();
            assert!(asked.values().all(|times| *times == 1), "{asked:?}");
            assert!(asked.len() <= 2, "{asked:?}");
            // All of some segments was heard, but for what a decoder of AAC holds back; and there it stands.
            let played = listener.pcm.len() / 2;
            let near = |start: usize| played.abs_diff(start) <= 1024;
            assert!(
                segments(fixture).iter().any(|one| near(one.start)),
                "{played}"
            );
            let position = listener.resource.position();
            let at = listener.resource.spec().frames(position) as usize;
            assert_eq!(at, played);
            for path in parts(folder) {
                server.serve(&format!("/{path}"), hls::script(&path));
            }
            let (landed, exact) = listener
                .seek(position, SeekMode::Exact)
                .expect("it is back");
            assert_eq!((landed as usize, exact), (played, true));
            listener.play().expect("it plays to its end");
            assert_eq!(fixture.difference(&listener.pcm), None);
        }
    }
}

#[test]
fn one_key_that_expires_is_asked_for_by_its_new_url() {
    for renews in [true, false] {
        let server = origin();
        let key = "aes-packed/key-1.bin";
        server.serve(&format!("/{key}"), Script::of_status(403));
        server.serve(&format!("/{key}?fresh"), hls::script(key));
        let hook = Arc::new(Hook {
            renews,
            ..Hook::default()
        });
        let mut listener = Listener::open(asking(&server, "aes-packed", &hook));
        let fixture = hls::fixture("aes-packed");
        match listener.play() {
            Ok(()) => {
                assert!(renews);
                assert_eq!(fixture.difference(&listener.pcm), None);
            }
            Err(error) => {
                assert!(!renews);
                assert_eq!(error.kind(), ErrorKind::Expired, "{error:?}");
                assert!(error.to_string().contains("segment 2"), "{error}");
                assert_eq!(fixture.difference_at(&listener.pcm, 0), None);
            }
        }
        let asked = hook.asked.lock().expect("no panic").clone();
        assert_eq!(asked, [(format!("/{key}"), 1)].into());
    }
}

#[test]
fn a_live_list_that_expires_is_renewed_or_has_expired() {
    let list = |numbers, ended| {
        let text = hls::live("packed-aac", numbers, ended).replace("DURATION:2", "DURATION:1");
        Script::file(text.into_bytes()).media_type("application/vnd.apple.mpegurl")
    };
    for renews in [true, false] {
        let server = origin();
        let path = "/packed-aac/live.m3u8";
        server.serve_sequence(path, [list(0..4, false), Script::of_status(403)]);
        server.serve_sequence(
            &format!("{path}?fresh"),
            [list(1..5, false), list(2..6, true)],
        );
        let hook = Arc::new(Hook {
            renews,
            ..Hook::default()
        });
        let mut options = NetOptions::default();
        options.hook = Some(hook.clone());
        let mut listener = Listener::open(config_with(&server.url(path), options));
        let joined = listener.resource.position();
        let first = listener.resource.spec().frames(joined) as usize;
        let fixture = hls::fixture("packed-aac");
        let reached = match listener.play() {
            Ok(()) => {
                assert!(renews);
                fixture.frames
            }
            Err(error) => {
                assert!(!renews);
                assert_eq!(error.kind(), ErrorKind::Expired, "{error:?}");
                segments(fixture)[4].start
            }
        };
        let played = first + listener.pcm.len() / 2;
        assert!(played.abs_diff(reached) <= 1024, "{played} of {reached}");
        // Of a list that nobody renews it is asked again later, but not with every reload.
        let asked = hook.asked.lock().expect("no panic").values().sum::<usize>();
        assert!(asked >= 1 && asked <= if renews { 1 } else { 3 }, "{asked}");
    }
}
