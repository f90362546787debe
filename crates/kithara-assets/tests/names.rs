//! Whatever a URL looks like, its title lies under a name that is a hash, and nothing of it can be read in the folder.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kithara_assets::{AssetId, Keep};
use kithara_storage::{Access, Disk, ListedKind, MemDisk};
use url::Url;

use support::*;

/// What is hard on file systems, or easy to take for something else.
const PIECES: [&str; 36] = [
    "..",
    ".",
    "%2e%2e",
    "%2E",
    "%00",
    "\u{0}",
    "/",
    "//",
    "%2f",
    "%5c",
    "\\",
    "con",
    "CON",
    "nul",
    "aux",
    "com1",
    "lpt9.txt",
    "lease",
    "fill",
    "used",
    "pin",
    "_index",
    "kithara.cache",
    "a",
    "A",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{212a}",
    "k",
    "\u{3a3}\u{3c2}",
    "\u{202e}",
    "\u{1f3b5}",
    " ",
    "%",
    ":",
    "canary",
];

const LONG: usize = 64 * 1024;

/// A URL of such pieces; now and then a very long one.
fn url_of(dice: &mut Dice) -> Option<Url> {
    let mut path = String::new();
    for _ in 0..1 + dice.below(6) {
        path += PIECES[dice.below(PIECES.len() as u64) as usize];
        if dice.below(3) == 0 {
            path.push('/');
        }
    }
    if dice.below(40) == 0 {
        path += &"canary/".repeat(LONG / 7);
    }
    let scheme = ["http", "https"][dice.below(2) as usize];
    let host = [
        "h.example",
        "H.example",
        "xn--caf-dma.example",
        "caf\u{e9}.example",
    ];
    let host = host[dice.below(4) as usize];
    let query = [
        "",
        "?id=1",
        "?id=2&token=canary",
        "?id=1&X-Amz-Signature=canary",
    ];
    let query = query[dice.below(4) as usize];
    Url::parse(&format!(
        "{scheme}://canary:canary@{host}/{path}{query}#canary"
    ))
    .ok()
}

/// What two URLs of one title have in common, said independently of how the library says it.
fn normal(url: &Url) -> String {
    let query: Vec<_> = url.query_pairs().filter(|(name, _)| name == "id").collect();
    format!(
        "{:?} {:?} {:?} {query:?}",
        url.host(),
        url.port(),
        url.path()
    )
}

#[test]
fn equal_urls_have_one_name_and_different_ones_two() {
    let store = store_on(&(Arc::new(MemDisk::new()) as Arc<dyn Disk>));
    let mut dice = Dice(75);
    let mut by_text: HashMap<String, AssetId> = HashMap::new();
    let mut by_id: HashMap<AssetId, String> = HashMap::new();
    let (mut again, mut long) = (0, 0);
    for _ in 0..5_000 {
        let Some(url) = url_of(&mut dice) else {
            continue;
        };
        long += usize::from(url.as_str().len() > LONG);
        let (text, id) = (normal(&url), store.asset(&url));
        again += usize::from(by_text.contains_key(&text));
        assert_eq!(*by_text.entry(text.clone()).or_insert(id), id, "{text}");
        assert_eq!(*by_id.entry(id).or_insert(text.clone()), text);
        let name = id.to_string();
        let digit = |one: char| one.is_ascii_digit() || ('a'..='f').contains(&one);
        assert!(name.len() == 64 && name.chars().all(digit), "{name}");
    }
    assert!(
        again > 100 && by_id.len() > 2_000 && long > 30,
        "{again} {} {long}",
        by_id.len()
    );
}

/// All files below a folder.
fn files(disk: &dyn Disk, path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for one in disk.list(path).unwrap() {
        let path = path.join(&one.name);
        if one.kind == ListedKind::Directory {
            found.extend(files(disk, &path));
            continue;
        }
        let mut bytes = vec![0; one.len as usize];
        let file = disk.open(&path, Access::Read).unwrap();
        let mut got = 0;
        while got < bytes.len() {
            let count = file.read_at(got as u64, &mut bytes[got..]).unwrap();
            assert!(count > 0);
            got += count;
        }
        found.push((path, bytes));
    }
    found
}

#[test]
fn nothing_of_a_url_is_in_a_name_or_a_file() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let mut dice = Dice(76);
    let store = store_on(&disk);
    let mut titles = HashMap::new();
    while titles.len() < 100 {
        let Some(url) = url_of(&mut dice) else {
            continue;
        };
        let entry = store.open(&store.key(&url, &url));
        entry.identify(facts(1, 100), Keep::Yes).unwrap();
        entry.write(0, &bytes(1, 0..100)).unwrap();
        if dice.below(2) == 0 {
            entry.complete(100).unwrap();
        }
        store.pin_asset(store.asset(&url)).unwrap();
        titles.insert(store.asset(&url), url);
    }
    drop(store);
    drop(store_on(&disk));
    const FIXED: [&str; 8] = [
        "kithara.cache",
        "CACHEDIR.TAG",
        "assets.bin",
        "clock.bin",
        "lease",
        "fill",
        "used",
        "pin",
    ];
    let all = files(&*disk, Path::new("/cache"));
    assert!(all.len() > 4 * titles.len(), "{}", all.len());
    for (path, content) in &all {
        let name = path.file_name().unwrap().to_str().unwrap();
        let digest = name.trim_end_matches(".part").trim_end_matches(".log");
        let hex = |text: &str| {
            text.bytes()
                .all(|one| matches!(one, b'0'..=b'9' | b'a'..=b'f'))
        };
        assert!(
            FIXED.contains(&name) || (digest.len() == 32 && hex(digest)),
            "{name}"
        );
        let folders: Vec<_> = path.parent().unwrap().iter().skip(2).collect();
        if folders != ["_index"] {
            assert!(
                folders.iter().all(|one| hex(one.to_str().unwrap())),
                "{folders:?}"
            );
        }
        let has = |needle: &[u8]| content.windows(needle.len()).any(|window| window == needle);
        // Long enough not to be found by accident.
        for needle in [&b"canary"[..], b"example", b"http", b"token", b"lpt9"] {
            assert!(
                !has(needle),
                "{}: {}",
                path.display(),
                String::from_utf8_lossy(needle)
            );
        }
    }
}
