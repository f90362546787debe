//! What readers find out about where things lie comes back with the bytes it belongs to, and never with others.

#![allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::sync::Arc;

use kithara_assets::{Facts, Keep};
use kithara_storage::{Access, Disk, MAX_INDEX, MemDisk};

use support::*;

fn disk() -> Arc<dyn Disk> {
    Arc::new(MemDisk::new())
}

fn kept(disk: &Arc<dyn Disk>, name: &str) -> Option<Vec<u8>> {
    let store = store_on(disk);
    let index = store.open(&key(&store, name)).index_slot().load();
    index.map(|index| index.to_vec())
}

/// Every path of a file in the folder that ends like this.
fn files(disk: &Arc<dyn Disk>, suffix: &str) -> Vec<std::path::PathBuf> {
    let mut folders = vec![std::path::PathBuf::from("/cache")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for one in disk.list(&folder).unwrap_or_default() {
            let path = folder.join(&one.name);
            match one.kind {
                kithara_storage::ListedKind::Directory => folders.push(path),
                _ if path.to_string_lossy().ends_with(suffix) => found.push(path),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn an_index_comes_back_with_a_part_and_with_the_whole() {
    let disk = disk();
    let store = store_on(&disk);
    let entry = write(&store, "a", 1, 3 * EXTENT, &[0..EXTENT]);
    let other = store.open(&key(&store, "a"));
    entry.index_slot().keep(&b"where things lie"[..]);
    let seen = other.index_slot().load().unwrap();
    assert_eq!(&*seen, b"where things lie", "at once, for all who read it");
    drop((entry, other, store));
    assert_eq!(kept(&disk, "a").as_deref(), Some(&b"where things lie"[..]));
    assert_eq!(kept(&disk, "b"), None);

    let store = store_on(&disk);
    fill(&store, "a", 1, 3 * EXTENT);
    drop(store);
    assert_eq!(
        kept(&disk, "a").as_deref(),
        Some(&b"where things lie"[..]),
        "it is the same download"
    );
    let store = store_on(&disk);
    let entry = store.open(&key(&store, "a"));
    entry.index_slot().keep(&b"shorter"[..]);
    entry.index_slot().keep(vec![1; MAX_INDEX + 1]);
    drop((entry, store));
    assert_eq!(kept(&disk, "a").as_deref(), Some(&b"shorter"[..]));
    let store = store_on(&disk);
    assert_whole(&store, "a", 1, 3 * EXTENT);
}

#[test]
fn an_index_left_while_nothing_was_saved_yet_is_saved_behind_the_bytes() {
    let disk = disk();
    let store = store_on(&disk);
    let entry = store.open(&key(&store, "a"));
    entry.identify(facts(1, EXTENT), Keep::Yes).unwrap();
    entry.index_slot().keep(&b"early"[..]);
    entry.write(0, &bytes(1, 0..100)).unwrap();
    drop((entry, store));
    assert_eq!(kept(&disk, "a").as_deref(), Some(&b"early"[..]));
}

#[test]
fn another_content_has_no_index_of_the_one_before() {
    let disk = disk();
    let store = store_on(&disk);
    let entry = write(&store, "a", 1, 3 * EXTENT, &[0..EXTENT]);
    entry.index_slot().keep(&b"of the first"[..]);
    store.settle();
    let old = entry.index_slot();
    entry.discard();
    assert!(entry.index_slot().load().is_none());
    entry.identify(facts(2, EXTENT), Keep::Yes).unwrap();
    entry.write(0, &bytes(2, 0..EXTENT)).unwrap();
    // Somebody still reads the old bytes, and finds out more.
    old.keep(&b"more of the first"[..]);
    store.settle();
    drop((entry, store));
    assert_eq!(kept(&disk, "a"), None);
}

#[test]
fn a_damaged_index_is_none_and_what_may_not_be_kept_has_none() {
    let disk = disk();
    let store = store_on(&disk);
    let entry = write(&store, "a", 1, 3 * EXTENT, &[0..EXTENT]);
    entry.index_slot().keep(&b"where things lie"[..]);
    let secret = store.open(&key(&store, "b"));
    secret.identify(Facts::default(), Keep::No).unwrap();
    secret.write(0, &bytes(2, 0..EXTENT)).unwrap();
    secret.index_slot().keep(&b"where secrets lie"[..]);
    store.settle();
    drop((entry, secret, store));
    let found = files(&disk, ".index");
    assert_eq!(found.len(), 1, "{found:?}");
    let file = disk.open(&found[0], Access::Write).unwrap();
    file.write_at(50, b"X").unwrap();
    assert_eq!(kept(&disk, "a"), None);
    let store = store_on(&disk);
    let entry = store.open(&key(&store, "a"));
    assert_eq!(assert_true(&entry, 1, 3 * EXTENT), EXTENT, "the bytes stay");
}

#[test]
fn an_index_is_counted_and_goes_with_its_title() {
    let disk = disk();
    let store = store_on(&disk);
    fill(&store, "a", 1, EXTENT);
    store.settle();
    let before = store.usage().bytes;
    let entry = store.open(&key(&store, "a"));
    entry.index_slot().keep(vec![7; 1000]);
    store.settle();
    assert_eq!(store.usage().bytes - before, 1048);
    drop(entry);
    assert!(store.remove(&url("a")).unwrap());
    assert!(files(&disk, ".index").is_empty());
    assert!(files(&disk, "").len() < 6, "{:?}", files(&disk, ""));
}

#[test]
fn there_is_no_room_made_for_an_index() {
    let disk = disk();
    let told = Told::default();
    let mut options = options();
    options.max_bytes = 2 * EXTENT + 16_384;
    let store = store_with(&disk, options, &told);
    fill(&store, "a", 1, EXTENT);
    fill(&store, "b", 2, EXTENT);
    store.settle();
    let entry = store.open(&key(&store, "b"));
    entry.index_slot().keep(vec![7; 20_000]);
    store.settle();
    assert!(files(&disk, ".index").is_empty());
    assert_eq!(
        told.count(|event| format!("{event:?}").contains("Evicted")),
        0
    );
    assert_eq!(store.usage().assets, 2);
    assert!(entry.index_slot().load().is_some(), "for now it is there");
}
