//! A store to try things on, and contents that are told apart byte by byte.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use kithara_assets::{
    AssetStore, AssetStoreBuilder, Entry, Facts, Keep, ResourceKey, StoreEvent, StoreOptions,
};
use kithara_storage::{Disk, Interrupt, ResourceExt, StorageError};
use parking_lot::Mutex;
use url::Url;

pub const EXTENT: u64 = kithara_storage::EXTENT as u64;

/// The byte at an offset of the content with this number.
pub fn byte(content: u64, at: u64) -> u8 {
    let mixed =
        (at ^ content.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 56) as u8 | 1 // Never zero: a hole must not pass for content.
}

/// The bytes of a content. Made once per thread: making them takes longer than most of what is done with them.
pub fn bytes(content: u64, range: Range<u64>) -> Vec<u8> {
    thread_local! {
        static MADE: RefCell<HashMap<u64, Vec<u8>>> = RefCell::default();
    }
    MADE.with_borrow_mut(|made| {
        let made = made.entry(content).or_default();
        let from = made.len() as u64;
        made.extend((from..range.end).map(|at| byte(content, at)));
        made[range.start as usize..range.end as usize].to_vec()
    })
}

pub fn url(name: &str) -> Url {
    Url::parse(&format!("https://origin.example/{name}")).unwrap()
}

pub fn key(store: &AssetStore, name: &str) -> ResourceKey {
    store.key(&url(name), &url(name))
}

/// The facts of a content of this length.
pub fn facts(content: u64, total: u64) -> Facts {
    Facts {
        total: Some(total),
        etag: Some(format!("\"{content}\"")),
        ..Facts::default()
    }
}

/// What a store has told.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<StoreEvent>>>);

impl Told {
    pub fn listener(&self) -> Arc<dyn Fn(StoreEvent) + Send + Sync> {
        let told = self.0.clone();
        Arc::new(move |event| told.lock().push(event))
    }

    pub fn all(&self) -> Vec<StoreEvent> {
        self.0.lock().clone()
    }

    pub fn count(&self, wanted: impl Fn(&StoreEvent) -> bool) -> usize {
        self.0.lock().iter().filter(|event| wanted(event)).count()
    }
}

/// Options for a store at `/cache` of a disk that is not this machine's.
pub fn options() -> StoreOptions {
    let mut options = StoreOptions::at("/cache");
    options.min_free = 0;
    options
}

/// The store at `/cache`. One built with the same `Arc` after another was dropped waits for the end of that one.
pub fn store_on(disk: &Arc<dyn Disk>) -> AssetStore {
    store_with(disk, options(), &Told::default())
}

pub fn store_with(disk: &Arc<dyn Disk>, options: StoreOptions, told: &Told) -> AssetStore {
    AssetStoreBuilder::new(options)
        .with_disk(disk.clone())
        .with_events(told.listener())
        .build()
        .unwrap()
}

pub fn store_at(dir: impl Into<PathBuf>) -> AssetStore {
    let mut options = StoreOptions::at(dir);
    options.min_free = 0;
    AssetStoreBuilder::new(options).build().unwrap()
}

/// Opens a resource, says what it is, and writes these ranges of it.
pub fn write(
    store: &AssetStore,
    name: &str,
    content: u64,
    total: u64,
    ranges: &[Range<u64>],
) -> Entry {
    let entry = store.open(&key(store, name));
    entry.identify(facts(content, total), Keep::Yes).unwrap();
    for range in ranges {
        assert_eq!(entry.claim(range.clone()), *range);
        entry
            .write(range.start, &bytes(content, range.clone()))
            .unwrap();
        entry.release(range.clone());
    }
    entry
}

/// Stores a whole resource and lets go of it.
pub fn fill(store: &AssetStore, name: &str, content: u64, total: u64) {
    let entry = write(store, name, content, total, &[]);
    for gap in missing(&entry, total) {
        entry.write(gap.start, &bytes(content, gap)).unwrap();
    }
    entry.complete(total).unwrap();
}

pub fn missing(entry: &Entry, total: u64) -> Vec<Range<u64>> {
    entry.snapshot().coverage.gaps(0..total).collect()
}

/// Reads what is there of a range; `None` where nothing is.
pub fn read(entry: &Entry, range: Range<u64>) -> Vec<Option<u8>> {
    let resource = entry.resource();
    let mut found = vec![None; (range.end - range.start) as usize];
    let mut at = range.start;
    let mut buf = [0; 10_000];
    while at < range.end {
        let wanted = buf.len().min((range.end - at) as usize);
        match resource.read_at(at, &mut buf[..wanted]) {
            Ok(0) => {
                let gap = resource.coverage().next_gap(at, range.end);
                at = gap.map_or(at, |gap| gap.end);
            }
            Ok(count) => {
                for byte in &buf[..count] {
                    found[(at - range.start) as usize] = Some(*byte);
                    at += 1;
                }
            }
            // Forgotten now: asked again, it isn't there.
            Err(StorageError::Lost { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    found
}

/// Whether all that is there is this content; how much it is.
#[track_caller]
pub fn assert_true(entry: &Entry, content: u64, total: u64) -> u64 {
    let resource = entry.resource();
    let expected = bytes(content, 0..total);
    let mut buf = vec![0; 50_000];
    let (mut at, mut count) = (0, 0);
    while at < total {
        let wanted = buf.len().min((total - at) as usize);
        match resource.read_at(at, &mut buf[..wanted]) {
            Ok(0) => {
                let gap = resource.coverage().next_gap(at, total);
                at = gap.map_or(at, |gap| gap.end);
            }
            Ok(read) => {
                let expected = &expected[at as usize..at as usize + read];
                assert!(
                    buf[..read] == *expected,
                    "wrong bytes in the {read} at {at}"
                );
                at += read as u64;
                count += read as u64;
            }
            // Forgotten now: asked again, it isn't there.
            Err(StorageError::Lost { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    count
}

/// Reads all of it, as somebody without a network would.
#[track_caller]
pub fn assert_whole(store: &AssetStore, name: &str, content: u64, total: u64) {
    let entry = store.open(&key(store, name));
    let resource = entry.resource();
    assert_eq!(
        resource.committed_len(),
        Some(total),
        "{name} is not committed"
    );
    resource.wait_range(0..total, &Interrupt::new()).unwrap();
    assert_eq!(assert_true(&entry, content, total), total);
}

/// Random enough to mix things up (Knuth's constants).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    pub fn range(&mut self, limit: u64) -> Range<u64> {
        let start = self.below(limit);
        start..start + 1 + self.below(limit - start)
    }
}

/// How many bytes the temporary files without a name have that this process has open. What is written from the front on has no
/// holes, so that this is what they take, whatever the file system sets aside.
#[cfg(target_os = "linux")]
pub fn nameless_bytes() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let nameless = open.flatten().filter_map(|one| {
        // It may be closed by now.
        let found = std::fs::metadata(one.path()).ok()?;
        (found.is_file() && found.nlink() == 0).then_some(found.len())
    });
    nameless.sum()
}
