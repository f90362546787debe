//! A title that changes at its origin: what was stored and what comes are never mixed.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::path::Path;
use std::time::Duration;

use kithara::assets::{AssetStoreBuilder, Keep, Revalidate, StoreEvent};
use kithara::file::FileEvent;
use kithara::{ErrorKind, Events, ResourceEvent, SeekMode};
use kithara_tests::fixtures::fixture;
use kithara_tests::server::{FaultServer, Script};

use cache::*;
use network::*;

/// A file, its successor, and how the two are served.
struct Change {
    what: &'static str,
    old: Script,
    new: Script,
}

const DATES: [&str; 2] = [
    "Wed, 01 Jan 2025 00:00:00 GMT",
    "Thu, 02 Jan 2025 00:00:00 GMT",
];

fn changes(old: &[u8], new: &[u8], longer: &[u8]) -> Vec<Change> {
    let plain = |bytes| wav(bytes).without_validators();
    vec![
        Change {
            what: "a strong tag",
            old: plain(old).etag("\"old\""),
            new: plain(new).etag("\"new\""),
        },
        Change {
            what: "a weak tag",
            old: plain(old).etag("W/\"old\""),
            new: plain(new).etag("W/\"new\""),
        },
        Change {
            what: "the date",
            old: plain(old).last_modified(DATES[0]),
            new: plain(new).last_modified(DATES[1]),
        },
        Change {
            what: "the length",
            old: plain(old),
            new: plain(longer),
        },
        Change {
            what: "the length, and the same tag",
            old: plain(old).etag("\"same\""),
            new: plain(longer).etag("\"same\""),
        },
        Change {
            what: "nothing but its bytes",
            old: plain(old),
            new: plain(new),
        },
    ]
}

/// Plays some of the title and ends the store.
fn begin(dir: &Path, url: &str, expected: &[f32]) {
    let cache = Cache::at(dir);
    let config = cache.config(url).with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    listener.read_samples(100_000).unwrap();
    assert_same(&listener.pcm, &expected[..100_000], "the old one");
    drop(listener);
    cache.end();
}

/// What is heard is the beginning of one of them, never of both.
fn assert_of_one(pcm: &[f32], titles: [&[f32]; 2], what: &str) {
    let begins = |title: &&[f32]| title.starts_with(pcm);
    assert!(
        titles.iter().any(begins),
        "{what}: {} samples are the beginning of neither",
        pcm.len()
    );
}

/// Plays until the end or the failure, in whichever it is.
fn hear(cache: &Cache, url: &str) -> (Vec<f32>, Option<ErrorKind>, Vec<ResourceEvent>) {
    let config = cache.config(url).with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = match Listener::try_open(config) {
        Ok(listener) => listener,
        Err(error) => return (Vec::new(), Some(error.kind()), Vec::new()),
    };
    let end = listener.play().err().map(|error| error.kind());
    let events = listener.events();
    (listener.pcm, end, events)
}

#[test]
fn a_title_that_changed_is_never_mixed_and_the_next_open_plays_the_new_one() {
    let (old, old_pcm) = long(15);
    let new = other(&old);
    let (longer, longer_pcm) = long(16);
    let new_pcm = local(&new, "wav");
    for change in changes(&old, &new, &longer) {
        let what = change.what;
        let new_pcm = match what.starts_with("the length") {
            true => &longer_pcm,
            false => &new_pcm,
        };
        let server = FaultServer::start();
        let url = server.url("/a.wav");
        let dir = tempfile::tempdir().unwrap();
        server.serve("/a.wav", change.old);
        begin(dir.path(), &url, &old_pcm);

        server.serve("/a.wav", change.new);
        let cache = Cache::at(dir.path());
        let found = cache.stored(&url).total();
        assert!(found > 0, "{what}: something of the old one is stored");
        let (pcm, end, events) = hear(&cache, &url);
        let told = count_file(&events, |event| matches!(event, FileEvent::Changed { .. }));
        assert_eq!(told, 1, "{what}: {events:?}");
        match end {
            // Noticed before anything was heard: it began anew.
            None => assert_same(&pcm, new_pcm, what),
            Some(kind) => {
                assert_eq!(kind, ErrorKind::ContentChanged, "{what}");
                assert!(pcm.len() as u64 * 2 <= found, "{what}: {}", pcm.len());
                assert!(old_pcm.starts_with(&pcm), "{what}: only the old one");
            }
        }
        let (pcm, end, _) = hear(&cache, &url);
        assert_eq!(end, None, "{what}");
        assert_same(&pcm, new_pcm, what);
        cache.end();
        plays_unasked(dir.path(), &url, new_pcm);
    }
}

#[test]
fn two_backends_with_different_files_are_never_mixed_and_nothing_goes_round_for_ever() {
    let (one, one_pcm) = long(15);
    let two = other(&one);
    let two_pcm = local(&two, "wav");
    let server = FaultServer::start();
    let url = server.url("/a.wav");
    let alternating = [wav(&one), wav(&two)].into_iter().cycle().take(1000);
    server.serve_sequence("/a.wav", alternating);
    let dir = tempfile::tempdir().unwrap();
    for play in 0..8 {
        let cache = Cache::at(dir.path());
        let before = server.requests().len();
        let (pcm, end, _) = hear(&cache, &url);
        let what = format!("play {play}");
        assert_of_one(&pcm, [&one_pcm, &two_pcm], &what);
        assert!(
            matches!(end, None | Some(ErrorKind::ContentChanged)),
            "{what}: {end:?}"
        );
        let cost = server.requests().len() - before;
        assert!(cost <= 6, "{what}: {cost} requests");
        cache.end();
    }
}

/// An MP3 behind a tag so large that its first frame takes a second request.
fn behind_a_tag(mp3: &[u8]) -> Vec<u8> {
    const TAG: usize = 3 << 20;
    let mut bytes = b"ID3\x04\0\0".to_vec();
    bytes.extend([21, 14, 7, 0].map(|shift| ((TAG >> shift) & 0x7f) as u8));
    bytes.resize(10 + TAG, 0);
    bytes.extend_from_slice(mp3);
    bytes
}

#[test]
fn an_open_begins_anew_twice_and_then_says_so() {
    let one = behind_a_tag(&fixture("mp3-cbr.mp3").bytes());
    let two = behind_a_tag(&fixture("mp3-vbr.mp3").bytes());
    let server = FaultServer::start();
    let url = server.url("/a.mp3");
    let of = |bytes: &[u8]| Script::file(bytes.to_vec()).media_type("audio/mpeg");
    let alternating = [of(&one), of(&two)].into_iter().cycle().take(1000);
    server.serve_sequence("/a.mp3", alternating);
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let config = cache.config(&url).with_look_ahead_bytes(LOOK_AHEAD);
    let mut events = config.events();
    let error = Listener::try_open(config).err().expect("it never agrees");
    assert_eq!(error.kind(), ErrorKind::ContentChanged, "{error:?}");
    let mut changed = 0;
    while let Ok(event) = events.try_recv() {
        let is_change = matches!(event, ResourceEvent::File(FileEvent::Changed { .. }));
        changed += usize::from(is_change);
    }
    assert_eq!(changed, 3, "the first time and two more");
    assert!(server.requests().len() <= 9, "{:?}", server.requests());
    drop(cache);
    // One of the two alone is fine.
    server.serve("/a.mp3", of(&two));
    let cache = Cache::at(dir.path());
    let events = Listener::open(cache.config(&url)).plays_exactly(&local(&two, "mp3"), "one");
    drop(events);
}

/// Waits for an event of a title that lives.
fn wait_for(events: &mut Events<ResourceEvent>, wanted: impl Fn(&FileEvent) -> bool) {
    loop {
        if let ResourceEvent::File(event) = events.recv_blocking().expect("the title lives")
            && wanted(&event)
        {
            return;
        }
    }
}

fn revalidating(dir: &Path, rule: Revalidate) -> Cache {
    let mut options = options(dir);
    options.revalidate = rule;
    Cache::build(AssetStoreBuilder::new(options))
}

fn is_fresh(event: &FileEvent) -> bool {
    matches!(event, FileEvent::Fresh)
}

fn is_stale(event: &FileEvent) -> bool {
    matches!(event, FileEvent::Stale { .. })
}

#[test]
fn a_stored_title_is_compared_beside_its_play_for_next_to_nothing() {
    let (old, old_pcm) = long(6);
    let new = other(&old);
    let (longer, longer_pcm) = long(7);
    let new_pcm = local(&new, "wav");
    for change in changes(&old, &new, &longer) {
        let what = change.what;
        let new_pcm = match what.starts_with("the length") {
            true => &longer_pcm,
            false => &new_pcm,
        };
        let server = FaultServer::start();
        let url = server.url("/a.wav");
        let dir = tempfile::tempdir().unwrap();
        server.serve("/a.wav", change.old);
        commit(dir.path(), &url, &old_pcm);

        let asked = server.requests().len();
        let cache = revalidating(dir.path(), Revalidate::Always);
        let config = cache.config(&url);
        let mut events = config.events();
        let mut listener = Listener::open(config);
        wait_for(&mut events, is_fresh);
        listener.play().unwrap();
        assert_same(&listener.pcm, &old_pcm, what);
        let requests = &server.requests()[asked..];
        assert_eq!(requests.len(), 1, "{what}: {requests:?}");
        assert!(requests[0].sent_body <= 64, "{what}: {requests:?}");
        drop(listener);

        server.serve("/a.wav", change.new);
        let config = cache.config(&url);
        let mut events = config.events();
        let mut listener = Listener::open(config);
        wait_for(&mut events, is_stale);
        listener.play().unwrap();
        listener.seek(Duration::ZERO, SeekMode::Exact).unwrap();
        listener.pcm.clear();
        listener.play().unwrap();
        assert_same(&listener.pcm, &old_pcm, what);
        drop(listener);
        cache.end();
        let cache = Cache::at(dir.path());
        Listener::open(cache.config(&url)).plays_exactly(new_pcm, what);
        cache.end();
        plays_unasked(dir.path(), &url, new_pcm);
    }
}

#[test]
fn a_title_known_as_outdated_is_there_as_long_as_there_is_no_other() {
    let (old, old_pcm) = long(6);
    let new = other(&old);
    let new_pcm = local(&new, "wav");
    let server = FaultServer::start();
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let version = |bytes: &[u8], tag| wav(bytes).without_validators().etag(tag);
    server.serve("/a.wav", version(&old, "\"old\""));
    commit(dir.path(), &url, &old_pcm);
    server.serve("/a.wav", version(&new, "\"new\""));
    let cache = revalidating(dir.path(), Revalidate::Always);
    cache.store.pin(&parse(&url)).unwrap();
    let config = cache.config(&url);
    let mut events = config.events();
    let listener = Listener::open(config);
    wait_for(&mut events, is_stale);
    listener.plays_exactly(&old_pcm, "what was begun");
    cache.end();
    // Whatever else answers, it is the old one that is there.
    for answer in [
        Script::of_status(503),
        Script::of_status(404),
        Script::raw([kithara_tests::server::Step::Reset]),
    ] {
        server.serve("/a.wav", answer);
        let cache = revalidating(dir.path(), Revalidate::Never);
        Listener::open(cache.config(&url)).plays_exactly(&old_pcm, "there is no other");
        cache.end();
    }
    server.serve("/a.wav", version(&new, "\"new\""));
    let cache = revalidating(dir.path(), Revalidate::Never);
    Listener::open(cache.config(&url)).plays_exactly(&new_pcm, "the new one");
    assert!(cache.store.is_pinned(&parse(&url)));
    cache.end();
    plays_unasked(dir.path(), &url, &new_pcm);
}

#[test]
fn a_stored_title_is_compared_when_it_is_due_and_not_before() {
    const DAY: Duration = Duration::from_secs(86_400);
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &url, &expected);
    let asked = server.requests().len();
    for rule in [Revalidate::After(DAY), Revalidate::Never] {
        let cache = revalidating(dir.path(), rule);
        Listener::open(cache.config(&url)).plays_exactly(&expected, "not due");
        cache.end();
        assert_eq!(server.requests().len(), asked, "{rule:?}");
    }
    // Long ago, and, after a clock was set back, far ahead.
    for then in [1000, u64::MAX / 2] {
        let cache = revalidating(dir.path(), Revalidate::Never);
        let key = cache.store.key(&parse(&url), &parse(&url));
        cache.store.open(&key).validated(then);
        cache.end();
        let cache = revalidating(dir.path(), Revalidate::Never);
        Listener::open(cache.config(&url)).plays_exactly(&expected, "never");
        cache.end();
        let before = server.requests().len();
        for (times, comparisons) in [(1, 1), (2, 1)] {
            let cache = revalidating(dir.path(), Revalidate::After(DAY));
            let config = cache.config(&url);
            let mut events = config.events();
            let mut listener = Listener::open(config);
            if times == 1 {
                wait_for(&mut events, is_fresh);
            }
            listener.play().unwrap();
            assert_same(&listener.pcm, &expected, "due");
            drop(listener);
            cache.end();
            let asked = server.requests().len() - before;
            assert_eq!(asked, comparisons, "open {times} after {then}");
        }
    }
}

#[test]
fn a_comparison_that_gets_no_answer_changes_nothing() {
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &url, &expected);
    for answer in [
        Script::of_status(404),
        Script::of_status(503),
        Script::of_status(403),
        Script::of_status(200).media_type("text/html"),
        Script::raw([kithara_tests::server::Step::Reset]),
    ] {
        server.serve("/a.wav", answer);
        let cache = revalidating(dir.path(), Revalidate::Always);
        let mut listener = Listener::open(cache.config(&url));
        listener.play().unwrap();
        assert_same(&listener.pcm, &expected, "without an answer");
        drop(listener);
        cache.end();
    }
    drop(server);
    plays_unasked(dir.path(), &url, &expected);
}

/// Bytes of an older version that somebody left in the store are no part of the new one.
#[test]
fn a_partial_download_of_an_older_version_is_no_part_of_the_new_one() {
    let (old, _) = long(10);
    let new = other(&old);
    let expected = local(&new, "wav");
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&new));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let key = cache.store.key(&parse(&url), &parse(&url));
    let entry = cache.store.open(&key);
    let facts = kithara::assets::Facts {
        total: Some(old.len() as u64),
        etag: Some("\"old\"".to_owned()),
        ..Default::default()
    };
    entry.identify(facts, Keep::Yes).unwrap();
    // Not the front: nothing can be heard before the server is asked.
    entry.write(700_000, &old[700_000..900_000]).unwrap();
    drop(entry);
    cache.end();
    let cache = Cache::at(dir.path());
    assert_eq!(cache.stored(&url).total(), 200_000);
    let events = Listener::open(cache.config(&url)).plays_exactly(&expected, "the new one");
    let told = count_file(&events, |event| matches!(event, FileEvent::Changed { .. }));
    assert_eq!(told, 1, "{events:?}");
    let told = cache.end();
    let committed = |event: &StoreEvent| matches!(event, StoreEvent::Committed { .. });
    assert!(told.iter().any(committed), "{told:?}");
    plays_unasked(dir.path(), &url, &expected);
}
