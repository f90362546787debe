//! What may not be kept and is longer than what may lie in temporary files: it plays on from memory, and the disk is used no
//! further. And a title that the cache could never hold.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kithara::assets::{Reason, StoreEvent};
use kithara::file::{Amount, File, FileConfig, FileEvent, FilePolicy, FileSrc};
use kithara::net::NetOptions;
use kithara::stream::{Stream, StreamError};
use kithara::{AssetStoreBuilder, ErrorKind, Resource};
use kithara_tests::fixtures::fixture;
use kithara_tests::server::{FaultServer, Script};

use cache::*;
use network::*;

/// What the store, and with it all temporary files together, may take.
const LIMIT: u64 = MIB;

/// A title of 14 MiB, more than memory and temporary files hold together, and what it sounds like.
static TITLE: LazyLock<(Vec<u8>, Vec<f32>)> = LazyLock::new(|| long(83));

/// What temporary files take is measured for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn small(dir: &Path) -> Cache {
    let mut options = options(dir);
    options.max_bytes = LIMIT;
    Cache::build(AssetStoreBuilder::new(options))
}

/// How many bytes the temporary files without a name have that this process has open: they are written from the front on,
/// and so have no holes.
#[cfg(target_os = "linux")]
fn assert_bounded() {
    use std::os::unix::fs::MetadataExt;
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let nameless = open.flatten().filter_map(|one| {
        // It may be closed by now.
        let found = std::fs::metadata(one.path()).ok()?;
        (found.is_file() && found.nlink() == 0).then_some(found.len())
    });
    let bytes: u64 = nameless.sum();
    assert!(bytes <= LIMIT, "{bytes} bytes in temporary files");
}

#[cfg(not(target_os = "linux"))]
fn assert_bounded() {}

fn bypassed(event: &StoreEvent) -> bool {
    matches!(event, StoreEvent::Bypassed { .. })
}

/// Plays this many samples from a small cache, exactly.
fn plays(script: Script, samples: usize, expected: &[f32]) {
    let _alone = alone();
    let server = FaultServer::start();
    server.serve("/a", script);
    let dir = tempfile::tempdir().unwrap();
    let cache = small(dir.path());
    let config = cache.config(&server.url("/a"));
    let mut listener = Listener::open(config.with_look_ahead_bytes(LOOK_AHEAD));
    while listener.pcm.len() < samples {
        let step = (samples - listener.pcm.len()).min(1 << 20);
        let before = listener.pcm.len();
        listener.read_samples(step).unwrap();
        assert_eq!(listener.pcm.len(), before + step, "it ended");
        assert_bounded();
    }
    assert_same(&listener.pcm, &expected[..samples], "from a small cache");
    let events = listener.closes();
    let not_kept = |event: &FileEvent| matches!(event, FileEvent::NotKept { .. });
    assert_eq!(count_file(&events, not_kept), 1, "{events:?}");
    let usage = cache.store.usage();
    assert_eq!((usage.assets, usage.bytes), (0, 0), "nothing is kept");
    let told = cache.end();
    assert_eq!(told.iter().filter(|event| bypassed(event)).count(), 1);
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn an_endless_stream_plays_on_and_takes_no_more_of_the_disk() {
    let once = fixture("mp3-cbr-notag.mp3").bytes();
    // Three times what may lie in files, and one round that the decoder hears at the end.
    let rounds = 3 * LIMIT as usize / once.len();
    let expected = local(&once.repeat(rounds + 1), "mp3");
    let radio = Script::endless(once).media_type("audio/mpeg");
    let samples = expected.len() * rounds / (rounds + 1);
    plays(radio, samples, &expected);
}

#[test]
fn a_title_without_a_length_plays_on_and_takes_no_more_of_the_disk() {
    let (bytes, expected) = &*TITLE;
    let script = wav(bytes).without_ranges().http10().without_length();
    plays(script.without_validators(), expected.len(), expected);
}

#[test]
fn a_title_that_forbids_being_kept_plays_on_and_takes_no_more_of_the_disk() {
    let (bytes, expected) = &*TITLE;
    let script = wav(bytes).header("Cache-Control", "no-store");
    plays(script.clone(), expected.len(), expected);
    plays(script.without_ranges(), expected.len(), expected);
}

/// The first byte that no temporary file can hold. From the front it is near enough to be waited for, however little they hold.
const BACK: u64 = LIMIT;

/// Reads most of it, goes back to what neither file nor memory has any more, and reads on from there; what is read there.
fn goes_back(script: Script) -> Result<(), StreamError> {
    let _alone = alone();
    let bytes = &TITLE.0;
    let server = FaultServer::start();
    server.serve("/a", script);
    let dir = tempfile::tempdir().unwrap();
    let cache = small(dir.path());
    let net = client(NetOptions::default(), quick());
    let policy = FilePolicy {
        look_ahead_bytes: LOOK_AHEAD,
        // What is held back stays open: nothing ends the wait for what has passed by but asking again.
        idle: Duration::from_secs(3600),
        ..FilePolicy::default()
    };
    let config = FileConfig::new(FileSrc::Remote(parse(&server.url("/a")), net))
        .with_policy(policy)
        .with_store(Some(cache.store.clone()));
    let mut stream = Stream::<File>::open(config).unwrap();
    let mut read = vec![0; 13 << 20];
    stream.read_exact(&mut read).unwrap();
    assert!(read == bytes[..13 << 20], "as it comes");
    stream.seek(SeekFrom::Start(BACK)).unwrap();
    let mut again = vec![0; 4 << 20];
    let mut reached = 0;
    let outcome = loop {
        match stream.read(&mut again[reached..]) {
            Ok(0) => break Ok(()),
            Ok(count) => reached += count,
            Err(error) => break Err(StreamError::from_io(&error).unwrap().clone()),
        }
    };
    let from = BACK as usize;
    assert!(again[..reached] == bytes[from..from + reached], "again");
    assert!(outcome.is_err() || reached == again.len());
    assert_bounded();
    outcome
}

#[test]
fn going_back_behind_what_is_held_asks_again_or_is_refused() {
    let no_store = || wav(&TITLE.0).header("Cache-Control", "no-store");
    goes_back(no_store()).unwrap();
    // From the front again.
    goes_back(no_store().without_ranges()).unwrap();
    // Nothing tells whether the front would be the same.
    let stream = wav(&TITLE.0).without_ranges().http10().without_length();
    let error = goes_back(stream.without_validators()).unwrap_err();
    assert!(
        matches!(error, StreamError::RangeUnsupported { offset, .. } if offset >= BACK),
        "{error:?}"
    );
}

#[test]
fn a_title_the_cache_could_never_hold_drives_nobody_out() {
    let (bytes, expected) = long(1);
    let server = FaultServer::start();
    let small_ones = ["/1.wav", "/2.wav", "/3.wav"].map(|path| {
        server.serve(path, wav(&bytes));
        server.url(path)
    });
    server.serve("/large.wav", wav(&TITLE.0));
    let large = server.url("/large.wav");
    let dir = tempfile::tempdir().unwrap();
    let cache = small(dir.path());
    for url in &small_ones {
        Listener::open(cache.config(url)).plays_exactly(&expected, "a small one");
    }
    cache.end();

    let cache = small(dir.path());
    let config = cache.config(&large).with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    listener.play().unwrap();
    assert_same(&listener.pcm, &TITLE.1, "the large one");
    let events = listener.closes();
    let not_kept = |event: &FileEvent| matches!(event, FileEvent::NotKept { .. });
    assert_eq!(count_file(&events, not_kept), 1, "{events:?}");
    let fetched = Resource::prefetch_blocking(cache.config(&large), Amount::All);
    assert_eq!(fetched.unwrap_err().kind(), ErrorKind::StorageFull);
    let told = cache.end();
    assert!(
        !told
            .iter()
            .any(|event| matches!(event, StoreEvent::Evicted { .. })),
        "{told:?}"
    );
    let full = StoreEvent::Bypassed {
        reason: Reason::Full,
    };
    // Once played, and once fetched for later, unless that met the one that was just being let go of.
    let times = told.iter().filter(|event| **event == full).count();
    assert!(times == 1 || times == 2, "{told:?}");
    for url in &small_ones {
        plays_unasked_from(small(dir.path()), url, &expected);
    }
}

fn plays_unasked_from(cache: Cache, url: &str, expected: &[f32]) {
    let tap = Tap::default();
    let config = cache.tapped(url, &tap);
    Listener::open(config).plays_exactly(expected, "from the cache");
    assert!(tap.log().is_empty(), "{:?}", tap.log());
    cache.end();
}
