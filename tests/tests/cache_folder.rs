//! What others do to the cache folder, before and while a title plays; and what is theirs in it.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kithara::assets::{Reason, StoreEvent};
use kithara::file::FileEvent;
use kithara::storage::{Access, Disk, DiskFile, DiskLock, Listed, LockKind, RealDisk};
use kithara::{AssetStoreBuilder, ResourceEvent};
use kithara_tests::server::FaultServer;

use cache::*;
use network::*;

/// Something that is done to the folder.
type Vandal = fn(&Path, &mut Dice);

fn remove_all(dir: &Path, _: &mut Dice) {
    // The store may be making something in it at this moment.
    let _ = fs::remove_dir_all(dir);
}

fn remove_some(dir: &Path, dice: &mut Dice) {
    for (path, _) in files(dir) {
        if dice.below(2) == 0 {
            // It may be gone.
            let _ = fs::remove_file(path);
        }
    }
}

fn truncate(dir: &Path, dice: &mut Dice) {
    for path in resources(dir) {
        if let Ok(file) = OpenOptions::new().write(true).open(&path)
            && let Ok(found) = file.metadata()
        {
            file.set_len(dice.below(found.len() + 1)).unwrap();
        }
    }
}

fn flip(dir: &Path, dice: &mut Dice) {
    for path in resources(dir) {
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else {
            continue;
        };
        let len = file.metadata().unwrap().len();
        for _ in 0..4 {
            let (at, mut byte) = (dice.below(len.max(1)), [0]);
            if file.read_at(&mut byte, at).unwrap() == 1 {
                byte[0] ^= 1 << dice.below(8);
                file.write_at(&byte, at).unwrap();
            }
        }
    }
}

/// As a file looks whose blocks never reached the disk.
fn punch(dir: &Path, dice: &mut Dice) {
    for path in resources(dir) {
        if let Ok(file) = OpenOptions::new().write(true).open(&path) {
            let len = file.metadata().unwrap().len();
            let at = dice.below(len.max(1)) & !4095;
            let count = (len - at).min(4096) as usize;
            file.write_at(&vec![0; count], at).unwrap();
        }
    }
}

fn grow(dir: &Path, _: &mut Dice) {
    for path in resources(dir) {
        if let Ok(mut file) = OpenOptions::new().append(true).open(&path) {
            io::Write::write_all(&mut file, &[7; 5000]).unwrap();
        }
    }
}

const VANDALS: [(&str, Vandal); 6] = [
    ("the folder is removed", remove_all),
    ("files are removed", remove_some),
    ("files are cut", truncate),
    ("bits are flipped", flip),
    ("blocks are emptied", punch),
    ("files grow", grow),
];

/// At three random places of the play, `vandal` comes by.
fn play_vandalised(
    cache: &Cache,
    url: &str,
    dir: &Path,
    expected: &[f32],
    case: (&str, Vandal, &mut Dice),
) {
    let (what, vandal, dice) = case;
    let config = cache.config(url).with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    for _ in 0..3 {
        let count = dice.below(expected.len() as u64 / 3) as usize & !1;
        listener.read_samples(count).unwrap();
        vandal(dir, dice);
    }
    listener.plays_exactly(expected, what);
}

#[test]
fn whatever_happens_to_the_files_while_a_title_plays_is_not_heard() {
    const ROUNDS: u64 = 4;
    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    for (name, vandal) in VANDALS {
        for round in 0..ROUNDS {
            let dice = &mut Dice(round);
            let parent = tempfile::tempdir().unwrap();
            let dir = parent.path().join("cache");
            let what = format!("{name}, round {round}");
            // While it is fetched.
            let cache = Cache::at(&dir);
            play_vandalised(&cache, &url, &dir, &expected, (&what, vandal, dice));
            cache.end();
            // While it is played from the cache, if that is what is left.
            let cache = Cache::at(&dir);
            play_vandalised(&cache, &url, &dir, &expected, (&what, vandal, dice));
            cache.end();
            // Between two plays.
            vandal(&dir, dice);
            let cache = Cache::at(&dir);
            Listener::open(cache.config(&url)).plays_exactly(&expected, &what);
            cache.end();
            plays_unasked(&dir, &url, &expected);
        }
    }
}

#[test]
fn damage_is_noticed_told_and_repaired_by_fetching_no_more_than_it() {
    let (bytes, expected) = long(10);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &url, &expected);
    let path = resources(dir.path()).remove(0);
    let len = bytes.len() as u64;
    // Somewhere in each block.
    for block in (0..len).step_by(65_536) {
        let at = (block + block / 7 % 65_536).min(len - 1);
        flip_at(&path, at);
        let before = server.body_bytes_sent();
        let cache = Cache::at(dir.path());
        let config = cache.config(&url).with_look_ahead_bytes(LOOK_AHEAD);
        Listener::open(config).plays_exactly(&expected, "one bit is wrong");
        let told = cache.end();
        let damaged =
            |event: &StoreEvent| matches!(event, StoreEvent::Damaged { bytes } if *bytes <= 65_536);
        assert_eq!(
            told.iter().filter(|e| damaged(e)).count(),
            1,
            "{at}: {told:?}"
        );
        let fetched = server.body_bytes_sent() - before;
        assert!(fetched <= 65_536, "{at}: {fetched} bytes");
        plays_unasked(dir.path(), &url, &expected);
    }
}

/// Changes one bit.
fn flip_at(path: &Path, at: u64) {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

#[test]
fn damage_that_cannot_be_repaired_ends_the_title_at_its_frame_and_says_why() {
    let (bytes, expected) = long(4);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &url, &expected);
    let path = resources(dir.path()).remove(0);
    let sound = fs::read(&path).unwrap();
    drop(server);
    for block in (0..bytes.len() as u64).step_by(65_536) {
        flip_at(
            &path,
            (block + block / 7 % 65_536).min(bytes.len() as u64 - 1),
        );
        let cache = Cache::at(dir.path());
        let config = cache.config(&url).with_look_ahead_bytes(LOOK_AHEAD);
        let error = match Listener::try_open(config) {
            Ok(mut listener) => {
                let error = listener.fails_after_exact_prefix(&expected, "offline");
                let frames = (block as usize - 44) / 4;
                assert_eq!(listener.pcm.len(), frames * 2, "{block}: {error:?}");
                error
            }
            // Without its first block it does not open.
            Err(error) => {
                assert_eq!(block, 0, "{error:?}");
                error
            }
        };
        assert_eq!(error.kind(), kithara::ErrorKind::Corrupt, "{error:?}");
        assert!(
            error.to_string().contains(&format!("byte {block} ")),
            "{error}"
        );
        cache.end();
        fs::write(&path, &sound).unwrap();
    }
}

/// The title plays, nothing is kept, and it is said once.
fn plays_from_memory(cache: Cache, url: &str, expected: &[f32], what: &str) {
    let mut listener = Listener::open(cache.config(url));
    listener.play().unwrap();
    assert_same(&listener.pcm, expected, what);
    let told = |event: &FileEvent| matches!(event, FileEvent::NotKept { .. });
    listener.hears(
        what,
        |event| matches!(event, ResourceEvent::File(event) if told(event)),
    );
    let events = listener.closes();
    assert_eq!(count_file(&events, told), 1, "{what}: {events:?}");
    let told = cache.end();
    let memory = |event: &&StoreEvent| {
        matches!(
            event,
            StoreEvent::MemoryOnly {
                reason: Reason::Unusable
            }
        )
    };
    assert_eq!(told.iter().filter(memory).count(), 1, "{what}: {told:?}");
}

/// Refuses every change, as a file system does that is mounted so. Root may write anywhere else.
struct ReadOnly(RealDisk);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnly {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        match access {
            Access::Read => self.0.open(path, access),
            Access::Write | Access::Create => refused(),
        }
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match path.is_dir() {
            true => Ok(()),
            false => refused(),
        }
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        self.0.list(path)
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn remove_file(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }
    fn lock(&self, _: &Path, _: LockKind) -> io::Result<Option<Box<dyn DiskLock>>> {
        refused()
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.free_bytes(path)
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_told_once_and_not_heard() {
    let (bytes, expected) = long(5);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, b"somebody's").unwrap();
    for dir in [
        file.clone(),
        file.join("below"),
        PathBuf::from("/proc/nothing"),
        // Longer than a name, and than a path, may be.
        parent.path().join("n".repeat(300)),
        parent.path().join("n/".repeat(3000)),
    ] {
        plays_from_memory(Cache::at(&dir), &url, &expected, &dir.display().to_string());
    }
    assert_eq!(fs::read(&file).unwrap(), b"somebody's");
    let empty = tempfile::tempdir().unwrap();
    let builder =
        AssetStoreBuilder::new(options(empty.path())).with_disk(Arc::new(ReadOnly(RealDisk)));
    plays_from_memory(
        Cache::build(builder),
        &url,
        &expected,
        "read-only and empty",
    );
    assert!(files(empty.path()).is_empty());
}

#[test]
fn a_folder_may_have_any_name() {
    let (bytes, expected) = long(2);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let parent = tempfile::tempdir().unwrap();
    let deep: PathBuf = std::iter::repeat_n("n".repeat(255), 12).collect();
    for name in [
        OsStr::from_bytes(b"not \xff\xfe UTF-8 \xc3"),
        OsStr::new("a space, a\nline, \"quotes\" and $HOME"),
        OsStr::new("CON"),
        OsStr::new("\u{65e5}\u{672c} \u{202e}"),
        deep.as_os_str(),
    ] {
        let dir = parent.path().join(name);
        commit(&dir, &url, &expected);
        assert!(!resources(&dir).is_empty(), "{}", dir.display());
        plays_unasked(&dir, &url, &expected);
    }
}

#[test]
fn a_folder_that_became_read_only_is_played_from_and_left_as_it_is() {
    let (bytes, expected) = long(5);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    server.serve("/b.wav", wav(&bytes));
    let (a, b) = (server.url("/a.wav"), server.url("/b.wav"));
    let dir = tempfile::tempdir().unwrap();
    commit(dir.path(), &a, &expected);
    let before = files(dir.path());
    let builder =
        || AssetStoreBuilder::new(options(dir.path())).with_disk(Arc::new(ReadOnly(RealDisk)));
    for url in [&a, &b, &a] {
        let cache = Cache::build(builder());
        Listener::open(cache.config(url)).plays_exactly(&expected, "read-only");
        cache.end();
    }
    assert!(files(dir.path()) == before, "nothing has changed");
    plays_unasked(dir.path(), &a, &expected);
}

#[test]
fn what_is_not_ours_in_the_folder_is_neither_read_nor_touched() {
    let (bytes, expected) = long(5);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let url = server.url("/a.wav");
    let parent = tempfile::tempdir().unwrap();
    let (dir, elsewhere) = (parent.path().join("cache"), parent.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), b"somebody's").unwrap();
    commit(&dir, &url, &expected);
    let stored = resources(&dir).remove(0);
    let title = stored.parent().unwrap();
    let shelf = title.parent().unwrap();
    let foreign = [
        dir.join("notes.txt"),
        dir.join("ZZ"),
        shelf.join("photo.jpg"),
        title.join("letter.part.txt"),
    ];
    for path in &foreign {
        fs::write(path, b"somebody's").unwrap();
    }
    symlink(&elsewhere, dir.join("link")).unwrap();
    // Our own names, leading elsewhere.
    for name in ["00", "01"] {
        if !dir.join(name).exists() {
            symlink(&elsewhere, dir.join(name)).unwrap();
        }
    }
    let check = |what: &str| {
        for path in &foreign {
            assert_eq!(fs::read(path).unwrap(), b"somebody's", "{what}: {path:?}");
        }
        assert_eq!(files(&elsewhere).len(), 1, "{what}");
        assert_eq!(fs::read(elsewhere.join("precious")).unwrap(), b"somebody's");
    };
    plays_unasked(&dir, &url, &expected);
    check("played");
    // The title's own file leads elsewhere.
    let kept = elsewhere.join("kept");
    fs::rename(&stored, &kept).unwrap();
    let content = fs::read(&kept).unwrap();
    symlink(&kept, &stored).unwrap();
    let cache = Cache::at(&dir);
    Listener::open(cache.config(&url)).plays_exactly(&expected, "a planted link");
    cache.end();
    assert!(
        fs::read(&kept).unwrap() == content,
        "what it led to is as it was"
    );
    fs::remove_file(&kept).unwrap();
    check("a planted link");
    let cache = Cache::at(&dir);
    cache.store.clear();
    assert_eq!(
        cache.store.usage().bytes,
        0,
        "what is foreign isn't counted"
    );
    cache.end();
    check("cleared");
}

#[test]
fn only_the_user_can_read_what_is_stored() {
    let (bytes, expected) = long(3);
    let server = FaultServer::start();
    server.serve("/a.wav", wav(&bytes));
    let dir = tempfile::tempdir().unwrap();
    commit(&dir.path().join("cache"), &server.url("/a.wav"), &expected);
    let found = files(dir.path());
    assert!(found.len() >= 4);
    for (path, _) in found {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}
