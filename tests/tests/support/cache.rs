//! What the cache tests share: a store that can be ended and begun again, and what is in its folder.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kithara::assets::{AssetId, StoreEvent};
use kithara::file::FileEvent;
use kithara::net::{NetOptions, Url};
use kithara::storage::{Coverage, Disk};
use kithara::{AssetStore, AssetStoreBuilder, ResourceConfig, ResourceEvent, StoreOptions};

use crate::network::*;

/// Far more than anything here takes; reached only by something that hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// A store, what it told, and a way to know that it has ended.
pub struct Cache {
    pub store: AssetStore,
    told: Arc<Mutex<Vec<StoreEvent>>>,
    ended: Receiver<()>,
}

/// Is dropped with the last hand that could still tell something.
struct Last(Sender<()>);

impl Drop for Last {
    fn drop(&mut self) {
        // Whoever wanted to know may be gone.
        let _ = self.0.send(());
    }
}

/// A store in this folder that leaves nothing of the disk to others.
pub fn options(dir: impl Into<PathBuf>) -> StoreOptions {
    let mut options = StoreOptions::at(dir);
    options.min_free = 0;
    options
}

impl Cache {
    pub fn at(dir: &Path) -> Self {
        Self::build(AssetStoreBuilder::new(options(dir)))
    }

    pub fn on(disk: impl Disk) -> Self {
        Self::build(AssetStoreBuilder::new(options("/cache")).with_disk(Arc::new(disk)))
    }

    pub fn build(builder: AssetStoreBuilder) -> Self {
        let told = Arc::<Mutex<Vec<StoreEvent>>>::default();
        let (end, ended) = mpsc::channel();
        let (last, kept) = (Last(end), Arc::clone(&told));
        let listener = move |event| {
            let _ = &last;
            kept.lock().expect("no panic").push(event);
        };
        let store = builder
            .with_events(Arc::new(listener))
            .build()
            .expect("a store");
        Self { store, told, ended }
    }

    /// A title kept in this store, by a client of its own that retries quickly.
    pub fn config(&self, url: &str) -> ResourceConfig {
        config(url).with_store(self.store.clone())
    }

    /// The same, with every request noted, and the smallest look-ahead.
    pub fn tapped(&self, url: &str, tap: &Tap) -> ResourceConfig {
        self.config(url)
            .with_client(tap.on(client(NetOptions::default(), quick())))
            .with_look_ahead_bytes(LOOK_AHEAD)
    }

    /// What is stored of a title.
    pub fn stored(&self, url: &str) -> Coverage {
        let url = parse(url);
        self.store
            .open(&self.store.key(&url, &url))
            .snapshot()
            .coverage
    }

    pub fn asset(&self, url: &str) -> AssetId {
        self.store.asset(&parse(url))
    }

    pub fn told(&self) -> Vec<StoreEvent> {
        self.told.lock().expect("no panic").clone()
    }

    pub fn count(&self, wanted: impl Fn(&StoreEvent) -> bool) -> usize {
        self.told().iter().filter(|event| wanted(event)).count()
    }

    /// Lets go of the store and waits until everything is on disk and nobody has it any more.
    pub fn end(self) -> Vec<StoreEvent> {
        let Self { store, told, ended } = self;
        drop(store);
        ended.recv_timeout(HANG).expect("the store ends");
        let told = told.lock().expect("no panic");
        told.clone()
    }
}

pub fn parse(url: &str) -> Url {
    Url::parse(url).expect("a URL")
}

/// Plays a title once, whole, so that it is stored, and ends the store.
pub fn commit(dir: &Path, url: &str, expected: &[f32]) {
    let cache = Cache::at(dir);
    Listener::open(cache.config(url)).plays_exactly(expected, "for the first time");
    let told = cache.end();
    let committed = |event: &StoreEvent| matches!(event, StoreEvent::Committed { .. });
    assert!(told.iter().any(committed), "{told:?}");
}

/// The title is whole in the folder: it plays exactly, and nothing is asked for.
pub fn plays_unasked(dir: &Path, url: &str, expected: &[f32]) {
    let (cache, tap) = (Cache::at(dir), Tap::default());
    let config = cache.tapped(url, &tap);
    Listener::open(config).plays_exactly(expected, "from the cache");
    assert!(tap.log().is_empty(), "{:?}", tap.log());
    cache.end();
}

/// Everything that was given, over all requests.
pub fn given(tap: &Tap) -> Coverage {
    tap.log().into_iter().map(|taken| taken.given).collect()
}

/// Nothing of `stored` was asked for.
pub fn assert_not_asked(tap: &Tap, stored: &Coverage, what: &str) {
    for taken in tap.log() {
        let asked = taken.asked.start..taken.asked.end.min(taken.given.end.max(taken.asked.start));
        let again: Vec<Range<u64>> = stored
            .iter()
            .map(|range| range.start.max(asked.start)..range.end.min(asked.end))
            .filter(|both| !both.is_empty())
            .collect();
        assert!(again.is_empty(), "{what}: {again:?} again: {:?}", tap.log());
    }
}

/// Every regular file below a folder, with its content, links not followed, in order.
pub fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let Ok(names) = fs::read_dir(dir) else {
        return found;
    };
    for name in names.flatten() {
        match name.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&name.path())),
            Ok(kind) if kind.is_file() => {
                // It may be gone by now.
                let content = fs::read(name.path()).unwrap_or_default();
                found.push((name.path(), content));
            }
            _ => {}
        }
    }
    found.sort();
    found
}

/// The files that hold bytes of titles: their names are 32 digits long.
pub fn resources(dir: &Path) -> Vec<PathBuf> {
    let long = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem.len() == 32);
    let found = files(dir).into_iter().map(|(path, _)| path);
    found.filter(long).collect()
}

pub fn count_file(events: &[ResourceEvent], wanted: impl Fn(&FileEvent) -> bool) -> usize {
    file_events(events).filter(|event| wanted(event)).count()
}

/// The same sound file with other sound: of the same length, with the same header.
pub fn other(wav: &[u8]) -> Vec<u8> {
    let mut bytes = wav.to_vec();
    bytes[44..].iter_mut().for_each(|byte| *byte ^= 0x15);
    bytes
}

/// Numbers that look random and are the same every time.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
