//! The folder: what else may be there, what may become of it, and who else uses it.

#![cfg(unix)]
#![allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kithara_assets::{
    AssetError, AssetStore, AssetStoreBuilder, EntryState, Facts, Keep, Location, Reason,
    StoreEvent, StoreOptions,
};
use kithara_storage::{CallKind, Disk, MemDisk, SimDisk};

use support::*;

const TOTAL: u64 = 2 * EXTENT + 9;

fn build(dir: &Path, told: &Told) -> AssetStore {
    let mut options = StoreOptions::at(dir);
    options.min_free = 0;
    let builder = AssetStoreBuilder::new(options).with_events(told.listener());
    builder.build().unwrap()
}

/// All files below a folder with their contents, links as what they say.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            found.extend(contents(&path));
        } else if kind.is_file() {
            found.push((path.clone(), fs::read(&path).unwrap()));
        } else {
            found.push((path, Vec::new()));
        }
    }
    found.sort();
    found
}

/// The only folder of a title.
fn asset_dir(root: &Path, store: &AssetStore, name: &str) -> PathBuf {
    let id = store.asset(&url(name)).to_string();
    root.join(&id[..2]).join(&id[2..])
}

fn plays_from_memory(store: &AssetStore) {
    let entry = write(store, "a", 1, TOTAL, &[0..TOTAL]);
    entry.complete(TOTAL).unwrap();
    assert_eq!(assert_true(&entry, 1, TOTAL), TOTAL);
}

fn memory_only(told: &Told, wanted: Reason) -> usize {
    told.count(|event| matches!(event, StoreEvent::MemoryOnly { reason } if *reason == wanted))
}

#[test]
fn a_real_folder_keeps_what_was_stored_and_only_its_user_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("missing/parents/cache dir");
    let store = build(&root, &Told::default());
    fill(&store, "a", 1, TOTAL);
    write(&store, "b", 2, TOTAL, &[5..1000]);
    drop(store);
    let store = build(&root, &Told::default());
    assert_whole(&store, "a", 1, TOTAL);
    let entry = store.open(&key(&store, "b"));
    assert_eq!(assert_true(&entry, 2, TOTAL), 995);
    assert_eq!(store.list().len(), 2);
    for (path, _) in contents(&root) {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    assert!(
        contents(&root)
            .iter()
            .any(|(path, _)| path.ends_with("CACHEDIR.TAG"))
    );
}

#[test]
fn a_folder_that_cannot_be_used_means_memory_and_one_event() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "somebody's").unwrap();
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("kithara.cache"), "not a marker of ours").unwrap();
    for path in [file.clone(), file.join("below"), foreign.clone()] {
        let told = Told::default();
        let store = build(&path, &told);
        assert!(store.is_memory_only());
        plays_from_memory(&store);
        store.settle();
        assert_eq!(
            memory_only(&told, Reason::Unusable),
            1,
            "{}",
            path.display()
        );
        assert!(matches!(store.pin(&url("a")), Err(AssetError::MemoryOnly)));
        assert!(store.list().is_empty());
        let required = AssetStoreBuilder::new(StoreOptions::at(&path)).require_disk(true);
        drop(store);
        assert!(matches!(required.build(), Err(AssetError::Unusable(_))));
    }
    assert_eq!(fs::read(&file).unwrap(), b"somebody's");
    assert_eq!(contents(&foreign).len(), 1);
}

#[test]
fn a_read_only_folder_is_played_from_memory() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let refuse = |kind: CallKind| {
        matches!(
            kind,
            CallKind::CreateDir
                | CallKind::Write
                | CallKind::Lock
                | CallKind::Rename
                | CallKind::RemoveFile
                | CallKind::SetLen
        )
    };
    sim.on_call(move |call| match refuse(call.kind) {
        true => Err(ErrorKind::ReadOnlyFilesystem.into()),
        false => Ok(()),
    });
    let told = Told::default();
    let store = store_with(&disk, options(), &told);
    plays_from_memory(&store);
    assert_eq!(memory_only(&told, Reason::Unusable), 1);
    drop(store);
    // It becomes so while the store is running.
    sim.on_call(|_| Ok(()));
    let told = Told::default();
    let store = store_with(&disk, options(), &told);
    sim.on_call(move |call| match refuse(call.kind) {
        true => Err(ErrorKind::ReadOnlyFilesystem.into()),
        false => Ok(()),
    });
    plays_from_memory(&store);
    store.settle();
    assert_eq!(
        told.count(|event| matches!(event, StoreEvent::Bypassed { .. })),
        1
    );
}

#[test]
fn a_folder_that_is_removed_meanwhile_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("cache");
    let store = build(&root, &Told::default());
    fill(&store, "a", 1, TOTAL);
    let entry = write(&store, "b", 2, TOTAL, &[0..EXTENT]);
    fill(&store, "d", 4, TOTAL);
    fill(&store, "e", 4, TOTAL);
    store.settle();
    let leases = ["d", "e"].map(|name| store.open(&key(&store, name)).lease().clone());
    store.settle();
    fs::remove_dir_all(&root).unwrap();
    fill(&store, "d", 5, TOTAL);
    store.settle();
    store.pin(&url("e")).unwrap();
    let locked = asset_dir(&root, &store, "e").join("lease");
    assert!(locked.exists(), "other processes see that it is in use");
    drop(leases);
    assert_true(&entry, 2, TOTAL);
    for gap in missing(&entry, TOTAL) {
        entry.write(gap.start, &bytes(2, gap)).unwrap();
    }
    entry.complete(TOTAL).unwrap();
    store.settle();
    assert_eq!(assert_true(&entry, 2, TOTAL), TOTAL);
    drop(entry);
    store.settle();
    let entry = store.open(&key(&store, "a"));
    assert_eq!(entry.state(), EntryState::Fill);
    drop(entry);
    fill(&store, "a", 1, TOTAL);
    fill(&store, "c", 3, TOTAL);
    fill(&store, "b", 6, TOTAL);
    drop(store);
    let store = build(&root, &Told::default());
    assert_whole(&store, "a", 1, TOTAL);
    assert_whole(&store, "b", 6, TOTAL);
    assert_whole(&store, "c", 3, TOTAL);
    assert_whole(&store, "d", 5, TOTAL);
}

/// A folder as the writer of this format would leave it: the marker's layout never changes.
fn newer(dir: &Path, version: u32) {
    fs::create_dir_all(dir.join("ab")).unwrap();
    let mut marker = b"kthrcach".to_vec();
    marker.extend_from_slice(&version.to_le_bytes());
    let check = sha(&marker);
    marker.extend_from_slice(&check[..8]);
    fs::write(dir.join("kithara.cache"), &marker).unwrap();
    fs::write(dir.join("ab/secret of the future"), "x").unwrap();
}

#[test]
fn beside_a_newer_format_a_folder_of_our_own_keeps_what_is_stored_and_pinned() {
    let dir = tempfile::tempdir().unwrap();
    newer(dir.path(), 2);
    let before = contents(dir.path());
    let side = dir.path().join("v1");
    let theirs = || {
        let mut all = contents(dir.path());
        all.retain(|(path, _)| !path.starts_with(&side));
        all
    };
    for run in 0..3 {
        let told = Told::default();
        let store = build(dir.path(), &told);
        assert!(!store.is_memory_only());
        match run {
            0 => {
                fill(&store, "a", 1, TOTAL);
                store.pin(&url("a")).unwrap();
            }
            1 => {
                assert_whole(&store, "a", 1, TOTAL);
                assert!(store.is_pinned(&url("a")));
                assert_eq!(store.usage().assets, 1, "theirs is not counted");
                store.unpin(&url("a")).unwrap();
            }
            _ => assert_eq!(store.clear().removed, 1),
        }
        drop(store);
        drop(build(dir.path(), &told));
        // Once for each of the two.
        assert_eq!(
            told.count(|event| *event == (StoreEvent::NewerFormat { version: 2 })),
            2
        );
        assert_eq!(
            told.count(|event| matches!(event, StoreEvent::MemoryOnly { .. })),
            0
        );
        assert_eq!(theirs(), before, "run {run}");
    }
}

#[test]
fn a_newer_format_also_in_our_own_folder_beside_it_means_memory_and_one_event() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    // Theirs too, somebody's file, a link: nothing that could be used.
    type Obstacle<'a> = &'a dyn Fn(&Path);
    let cases: [(Obstacle<'_>, Reason); 3] = [
        (&|side| newer(side, 3), Reason::NewerFormat),
        (&|side| fs::write(side, "mine").unwrap(), Reason::Unusable),
        (&|side| symlink(&outside, side).unwrap(), Reason::Unusable),
    ];
    for (number, (obstacle, reason)) in cases.into_iter().enumerate() {
        let root = dir.path().join(format!("{number}"));
        newer(&root, 2);
        obstacle(&root.join("v1"));
        let before = contents(dir.path());
        let told = Told::default();
        let store = build(&root, &told);
        plays_from_memory(&store);
        store.settle();
        drop(store);
        assert_eq!(memory_only(&told, reason), 1);
        assert_eq!(
            told.count(|event| matches!(event, StoreEvent::NewerFormat { .. })),
            0
        );
        let required = AssetStoreBuilder::new(StoreOptions::at(&root)).require_disk(true);
        match required.build() {
            Err(AssetError::NewerFormat { version: 3 }) => assert_eq!(reason, Reason::NewerFormat),
            Err(AssetError::Unusable(_)) => assert_eq!(reason, Reason::Unusable),
            other => panic!("{other:?}"),
        }
        assert_eq!(contents(dir.path()), before);
    }
}

fn sha(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).to_vec()
}

#[test]
fn links_pipes_and_foreign_files_are_neither_followed_nor_touched_nor_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("cache"), dir.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    let store = build(&root, &Told::default());
    for name in ["a", "b", "c", "d"] {
        fill(&store, name, 1, TOTAL);
    }
    store.settle();
    let paths: Vec<PathBuf> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| asset_dir(&root, &store, name))
        .collect();
    drop(build(&root, &Told::default()));
    drop(store);
    // The title itself, its shelf, and its file are links to somewhere else; and one has a foreign neighbour.
    fs::rename(&paths[0], outside.join("title")).unwrap();
    symlink(outside.join("title"), &paths[0]).unwrap();
    let shelf = paths[1].parent().unwrap().to_path_buf();
    fs::rename(&shelf, outside.join("shelf")).unwrap();
    symlink(outside.join("shelf"), &shelf).unwrap();
    let whole = fs::read_dir(&paths[2])
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().len() == 32)
        .unwrap();
    fs::rename(&whole, outside.join("file")).unwrap();
    symlink(outside.join("file"), &whole).unwrap();
    fs::write(paths[3].join("notes.txt"), "mine").unwrap();
    fs::write(root.join("mine.txt"), "mine").unwrap();
    let before = contents(&outside);

    let store = build(&root, &Told::default());
    for name in ["a", "b", "c"] {
        let entry = store.open(&key(&store, name));
        assert_eq!(entry.snapshot().coverage.total(), 0, "{name}");
        entry.identify(facts(2, TOTAL), Keep::Yes).unwrap();
        entry.write(0, &bytes(2, 0..TOTAL)).unwrap();
        entry.complete(TOTAL).unwrap();
        assert_eq!(assert_true(&entry, 2, TOTAL), TOTAL);
    }
    store.settle();
    assert_whole(&store, "d", 1, TOTAL);
    store.settle();
    let listed = store.list();
    assert!(listed.iter().all(|asset| asset.bytes < TOTAL + 1000));
    for name in ["a", "b", "c", "d"] {
        let _ = store.remove(&url(name));
    }
    assert_eq!(contents(&outside), before);
    assert_eq!(fs::read(paths[3].join("notes.txt")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&paths[3]).unwrap().count(), 1);
    assert_eq!(store.list(), [], "what is left is no title");
    assert_eq!(fs::read(root.join("mine.txt")).unwrap(), b"mine");
}

#[test]
fn an_index_of_any_content_is_as_good_as_none() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let store = store_on(&disk);
    fill(&store, "a", 1, TOTAL);
    drop(store);
    drop(store_on(&disk));
    for garbage in [
        &b""[..],
        b"garbage",
        &[0xff; 4096],
        b"kthrind2aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        for name in ["assets.bin", "clock.bin"] {
            let path = Path::new("/cache/_index").join(name);
            let file = disk.open(&path, kithara_storage::Access::Create).unwrap();
            file.set_len(0).unwrap();
            file.write_at(0, garbage).unwrap();
        }
        let mut options = options();
        options.max_bytes = 300_000;
        let store = store_with(&disk, options, &Told::default());
        assert_whole(&store, "a", 1, TOTAL);
        fill(&store, "b", 2, TOTAL);
        store.settle();
        assert!(store.usage().bytes <= 300_000);
        assert!(store.list().iter().any(|asset| asset.complete));
        drop(store);
        // What it wrote at its end is read, not looked up.
        let store = store_on(&disk);
        assert_whole(&store, "a", 1, TOTAL);
    }
}

#[test]
fn an_index_is_gone_as_soon_as_a_title_differs_from_it() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let index = || {
        let path = Path::new("/cache/_index/assets.bin");
        disk.open(path, kithara_storage::Access::Read).is_ok()
    };
    // A part that is continued, and one that lacks its commit only.
    for (name, part) in [("a", EXTENT), ("b", TOTAL)] {
        let store = store_on(&disk);
        drop(write(&store, name, 1, TOTAL, &[0..part]));
        drop(store);
        let store = store_on(&disk);
        assert!(index());
        let entry = store.open(&key(&store, name));
        store.settle();
        assert_eq!(index(), part < TOTAL, "{name} is committed");
        if part < TOTAL {
            entry.write(part, &bytes(1, part..2 * EXTENT)).unwrap();
            store.settle();
            assert!(!index());
        }
    }
}

#[test]
fn one_folder_is_one_store_or_none_in_a_process() {
    let dir = tempfile::tempdir().unwrap();
    let one = build(dir.path(), &Told::default());
    let other = build(
        &dir.path().join("../").join(dir.path().file_name().unwrap()),
        &Told::default(),
    );
    let entry = one.open(&key(&one, "a"));
    assert_eq!(other.open(&key(&other, "a")).state(), EntryState::Join);
    let mut options = StoreOptions::at(dir.path());
    options.max_bytes = 5;
    assert!(matches!(
        AssetStoreBuilder::new(options.clone()).build(),
        Err(AssetError::Busy)
    ));
    drop((one, other));
    assert!(matches!(
        AssetStoreBuilder::new(options.clone()).build(),
        Err(AssetError::Busy)
    ));
    drop(entry);
    AssetStoreBuilder::new(options).build().unwrap();
}

/// A file system without locks, as some on networks are.
fn lockless() -> Arc<dyn Disk> {
    let disk = SimDisk::new();
    disk.on_call(|call| match call.kind {
        CallKind::Lock => Err(ErrorKind::Unsupported.into()),
        _ => Ok(()),
    });
    Arc::new(disk)
}

#[test]
fn without_locks_nothing_is_kept_and_one_event_says_so() {
    let disk = lockless();
    let told = Told::default();
    let store = store_with(&disk, options(), &told);
    for _ in 0..3 {
        plays_from_memory(&store);
        store.settle();
    }
    assert_eq!(memory_only(&told, Reason::NoLocks), 1);
    assert!(store.is_memory_only());
}

#[test]
fn the_sole_user_of_a_folder_goes_without_locks_where_there_are_none() {
    let disk = lockless();
    let told = Told::default();
    let mut alone = options();
    alone.sole_user = true;
    let store = store_with(&disk, alone.clone(), &told);
    fill(&store, "title", 1, TOTAL);
    drop(store);
    let store = store_with(&disk, alone, &told);
    assert_whole(&store, "title", 1, TOTAL);
    assert_eq!(memory_only(&told, Reason::NoLocks), 0);
    assert!(!store.is_memory_only());
}

#[test]
fn a_listener_that_panics_stops_nobody() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let build = || {
        AssetStoreBuilder::new(options())
            .with_disk(disk.clone())
            .with_events(Arc::new(|event| panic!("{event:?}")))
            .build()
            .unwrap()
    };
    let store = build();
    for name in ["one", "two"] {
        fill(&store, name, 1, TOTAL);
        store.settle();
    }
    drop(store);
    assert_whole(&build(), "two", 1, TOTAL);
}

#[test]
fn a_store_in_memory_keeps_titles_as_one_on_disk_does() {
    let store = AssetStoreBuilder::new(StoreOptions::in_memory(400_000))
        .build()
        .unwrap();
    for number in 0..10 {
        fill(&store, &format!("{number}"), number, TOTAL);
        store.settle();
    }
    assert_whole(&store, "9", 9, TOTAL);
    assert_whole(&store, "8", 8, TOTAL);
    assert!(store.usage().bytes <= 400_000);
    assert_eq!(store.options().location, Location::Memory);
}

#[test]
fn a_hundred_open_titles_hold_few_files_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::at(dir.path());
    options.min_free = 0;
    options.open_handles = 8;
    let store = AssetStoreBuilder::new(options).build().unwrap();
    let root = fs::canonicalize(dir.path()).unwrap();
    let open = || {
        let mut files = 0;
        for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
            let Ok(target) = fs::read_link(entry.path()) else {
                continue;
            };
            let lock = target.ends_with("lease") || target.ends_with("fill");
            files += usize::from(target.starts_with(&root) && !lock);
        }
        files
    };
    if !Path::new("/proc/self/fd").exists() {
        return;
    }
    let entries: Vec<_> = (0..100)
        .map(|number| write(&store, &format!("{number}"), number, TOTAL, &[0..EXTENT]))
        .collect();
    store.settle();
    assert!(open() <= 8, "{}", open());
    for (number, entry) in (0..).zip(&entries) {
        assert_eq!(assert_true(entry, number, TOTAL), EXTENT);
        entry.write(EXTENT, &bytes(number, EXTENT..TOTAL)).unwrap();
        entry.complete(TOTAL).unwrap();
    }
    store.settle();
    assert!(open() <= 8, "{}", open());
    drop(entries);
    for number in 0..100 {
        assert_whole(&store, &format!("{number}"), number, TOTAL);
    }
}

#[test]
fn no_url_token_or_header_is_found_in_any_name_file_or_text() {
    let dir = tempfile::tempdir().unwrap();
    let told = Told::default();
    let store = build(dir.path(), &told);
    let title = url::Url::parse(
        "https://canaryuser:canarypass@canaryhost.example/canarypath?token=canarytoken&id=canaryid#canaryfragment",
    )
    .unwrap();
    let key = store.key(&title, &title);
    let entry = store.open(&key);
    let found = Facts {
        total: Some(TOTAL),
        etag: Some("\"etag\"".into()),
        ..Facts::default()
    };
    entry.identify(found, Keep::Yes).unwrap();
    store.pin(&title).unwrap();
    entry.write(0, &bytes(1, 0..TOTAL)).unwrap();
    entry.complete(TOTAL).unwrap();
    entry.validated(5);
    let mut texts = format!(
        "{store:?} {key:?} {entry:?} {:?} {:?} {:?} {:?} {:?}",
        entry.resource(),
        entry.lease(),
        entry.snapshot(),
        store.list(),
        store.usage(),
    );
    drop(entry);
    drop(store);
    drop(build(dir.path(), &told));
    texts += &format!("{:?}", told.all());
    for (path, content) in contents(dir.path()) {
        texts += &path.display().to_string();
        texts += &String::from_utf8_lossy(&content);
    }
    assert!(!texts.contains("canary"));
}
