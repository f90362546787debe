//! What lies in a cache folder: whatever its files hold, the store opens, and no wrong byte is read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kithara::assets::{Entry, Facts, Keep};
use kithara::net::Url;
use kithara::storage::{Access, Disk, ListedKind, MemDisk, ResourceExt};
use kithara::{AssetStore, AssetStoreBuilder, StoreOptions};

const ROOT: &str = "/cache";
/// Name, length, and how much of it the seeds hold.
const TITLES: [(&str, u64, u64); 3] = [
    ("whole", 5_000, 5_000),
    ("pinned", 70_000, 70_000),
    ("part", 140_000, 3_000),
];

/// The files of a folder: the length of a name, the name, the length of the file in four bytes, the file; and so on.
pub fn run(data: &[u8]) {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let mut rest = data;
    while let Some((name, bytes, behind)) = next_file(rest) {
        // A name that can't be is left out.
        let _ = put(&*disk, name, bytes);
        rest = behind;
    }
    let store = store_on(&disk);
    let titles = TITLES.map(|(name, len, _)| (url(name), len));
    store.list();
    store.usage();
    for (title, len) in &titles {
        let entry = store.open(&store.key(title, title));
        check(&entry, title, *len);
        if entry.identify(facts(*len), Keep::Yes).is_err() {
            entry.discard();
            entry.identify(facts(*len), Keep::Yes).expect("a new one");
        }
        fill(&entry, title, *len);
        assert_eq!(check(&entry, title, *len), *len, "what was just brought");
    }
    drop(store);
    // What of it was kept depends on what was found there.
    let store = store_on(&disk);
    for (title, len) in &titles {
        check(&store.open(&store.key(title, title)), title, *len);
    }
}

/// Folders with whole, partial and pinned titles in them, and one file of each kind alone.
pub fn seeds() -> Vec<Vec<u8>> {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let store = store_on(&disk);
    for (name, len, stored) in TITLES {
        let title = url(name);
        let entry = store.open(&store.key(&title, &title));
        entry.identify(facts(len), Keep::Yes).expect("a new one");
        fill(&entry, &title, stored);
    }
    store.pin(&url("pinned")).expect("there is room");
    drop(store);
    // The one that ends now has written its index; the next one waits for that.
    drop(store_on(&disk));
    drop(store_on(&disk));
    let mut files = Vec::new();
    collect(&*disk, Path::new(ROOT), &mut files);
    let all = files.concat();
    files.push(all);
    files
}

fn store_on(disk: &Arc<dyn Disk>) -> AssetStore {
    let mut options = StoreOptions::at(ROOT);
    options.min_free = 0;
    let builder = AssetStoreBuilder::new(options).with_disk(Arc::clone(disk));
    builder.build().expect("no other store is here")
}

fn url(name: &str) -> Url {
    Url::parse(&format!("https://example.com/{name}")).expect("a URL")
}

fn facts(len: u64) -> Facts {
    Facts {
        total: Some(len),
        etag: Some("\"one\"".into()),
        ..Facts::default()
    }
}

fn byte(title: &Url, at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9) >> 13) as u8 ^ title.path().len() as u8
}

fn fill(entry: &Entry, title: &Url, len: u64) {
    let gaps: Vec<_> = entry.snapshot().coverage.gaps(0..len).collect();
    for gap in gaps {
        let bytes: Vec<u8> = gap.clone().map(|at| byte(title, at)).collect();
        entry.write(gap.start, &bytes).expect("memory takes it");
    }
    let whole = entry.snapshot().facts.and_then(|facts| facts.total) == Some(len);
    if whole {
        // What is found lost just now would be fetched again.
        let _ = entry.complete(len);
    }
}

/// How many bytes are there, all of them right.
fn check(entry: &Entry, title: &Url, len: u64) -> u64 {
    let resource = entry.resource();
    let (mut at, mut count) = (0, 0);
    let mut buf = vec![0; 10_000];
    while at < len {
        match resource.read_at(at, &mut buf) {
            Ok(read) if read > 0 => {
                for byte_read in &buf[..read] {
                    assert_eq!(*byte_read, byte(title, at), "byte {at} of {title}");
                    at += 1;
                }
                count += read as u64;
            }
            // Nothing there, or found lost: on to what comes next.
            _ => {
                let gap = resource.coverage().next_gap(at, len);
                at = gap.map_or(at, |gap| gap.end).max(at + 1);
            }
        }
    }
    count
}

fn next_file(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&name_len, rest) = data.split_first()?;
    let (name, rest) = rest.split_at_checked(name_len.into())?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = u32::from_le_bytes(*len) as usize;
    let (bytes, rest) = rest.split_at(len.min(rest.len()));
    Some((name, bytes, rest))
}

fn put(disk: &dyn Disk, name: &[u8], bytes: &[u8]) -> io::Result<()> {
    let name = std::str::from_utf8(name).map_err(io::Error::other)?;
    let mut path = PathBuf::from(ROOT);
    disk.create_dir(&path)?;
    let mut parts = name.split('/').peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        if parts.peek().is_some() {
            disk.create_dir(&path)?;
        }
    }
    disk.open(&path, Access::Create)?.write_at(0, bytes)
}

fn collect(disk: &dyn Disk, dir: &Path, files: &mut Vec<Vec<u8>>) {
    for listed in disk.list(dir).expect("a directory") {
        let path = dir.join(&listed.name);
        if listed.kind == ListedKind::Directory {
            collect(disk, &path, files);
            continue;
        }
        let file = disk.open(&path, Access::Read).expect("a file");
        let mut bytes = vec![0; file.len().expect("its length") as usize];
        let mut got = 0;
        while got < bytes.len() {
            got += file
                .read_at(got as u64, &mut bytes[got..])
                .expect("its bytes");
        }
        let name = path.strip_prefix(ROOT).expect("in the folder");
        let name = name.to_str().expect("hexadecimal");
        let mut told = vec![name.len() as u8];
        told.extend_from_slice(name.as_bytes());
        told.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        told.extend_from_slice(&bytes);
        files.push(told);
    }
}
