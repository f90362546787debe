//! What opening a stored title costs, however many others are stored beside it.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use kithara::assets::{Facts, Keep};
use kithara::storage::{Access, Disk, DiskFile, DiskLock, Listed, LockKind, MemDisk, ResourceExt};
use kithara::{AssetStore, AssetStoreBuilder, StoreOptions};
use kithara_benches::{AnyError, Bounds};

/// How many titles are stored beside the one that is opened. The last takes minutes to lay out, and is for who asks for it with
/// `KITHARA_LONG`.
const NEIGHBOURS: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// A few extents.
const LEN: usize = 200_000;

fn main() -> ExitCode {
    let mut bounds = Bounds::new("cache: opening a stored title, by the number of titles");
    let outcome = run(&mut bounds);
    bounds.verdict(outcome)
}

fn run(bounds: &mut Bounds) -> Result<(), AnyError> {
    let mut least: Option<Cost> = None;
    let most = match std::env::var_os("KITHARA_LONG") {
        Some(_) => NEIGHBOURS.len(),
        None => NEIGHBOURS.len() - 1,
    };
    for count in NEIGHBOURS.into_iter().take(most) {
        let cost = warm_open(count)?;
        bounds.note(
            &format!("{count} titles"),
            &format!("{} calls, {} bytes read", cost.calls, cost.bytes),
        );
        bounds.at_most(
            &format!("{count} titles: writes before the first byte"),
            cost.writes as f64,
            0.0,
            "calls",
        );
        let least = *least.get_or_insert(cost);
        bounds.at_most(
            &format!("{count} titles: calls"),
            cost.calls as f64 / least.calls as f64,
            1.0,
            "of those for 10",
        );
        bounds.at_most(
            &format!("{count} titles: bytes read"),
            cost.bytes as f64 / least.bytes as f64,
            1.0,
            "of those for 10",
        );
    }
    Ok(())
}

/// What the measuring thread asked of the disk.
#[derive(Clone, Copy, Default)]
struct Cost {
    calls: u64,
    writes: u64,
    bytes: u64,
}

/// Opens a title and reads all of it, in a store that was just built on a folder with `count` others.
fn warm_open(count: usize) -> Result<Cost, AnyError> {
    let memory = Arc::new(MemDisk::new());
    let store = build(memory.clone())?;
    for title in 0..count {
        fill(&store, &format!("title {title}"), b"a little")?;
        // The keeper saves them behind our back: let it keep up.
        if title % 64 == 0 {
            store.settle();
        }
    }
    fill(&store, "the one", &vec![7; LEN])?;
    store.settle();
    drop(store);

    let store = build(Arc::new(Counted { inner: memory }))?;
    COST.set(Some(Cost::default()));
    let entry = store.open(&store.named("the one", ""));
    let resource = entry.resource();
    let mut bytes = vec![0; LEN];
    let mut read = 0;
    while read < LEN {
        match resource.read_at(read as u64, &mut bytes[read..])? {
            0 => return Err("the title is not whole".into()),
            count => read += count,
        }
    }
    let cost = COST.take().unwrap_or_default();
    if bytes.iter().any(|byte| *byte != 7) {
        return Err("the title is another one".into());
    }
    Ok(cost)
}

fn build(disk: Arc<dyn Disk>) -> Result<AssetStore, AnyError> {
    let mut options = StoreOptions::at("/cache");
    options.max_assets = 1_000_000;
    options.min_free = 0;
    let store = AssetStoreBuilder::new(options)
        .with_disk(disk)
        .require_disk(true);
    Ok(store.build()?)
}

fn fill(store: &AssetStore, title: &str, bytes: &[u8]) -> Result<(), AnyError> {
    let entry = store.open(&store.named(title, ""));
    let facts = Facts {
        total: Some(bytes.len() as u64),
        ..Facts::default()
    };
    entry
        .identify(facts, Keep::Yes)
        .map_err(|_| "a new title is known already")?;
    entry.write(0, bytes)?;
    entry.complete(bytes.len() as u64)?;
    Ok(())
}

thread_local! {
    /// Counts what this thread asks for while it is there; the keeper's work goes on beside it and isn't waited for.
    static COST: Cell<Option<Cost>> = const { Cell::new(None) };
}

fn count(add: impl FnOnce(&mut Cost)) {
    if let Some(mut cost) = COST.get() {
        cost.calls += 1;
        add(&mut cost);
        COST.set(Some(cost));
    }
}

/// A disk that counts.
struct Counted {
    inner: Arc<MemDisk>,
}

struct CountedFile {
    inner: Arc<dyn DiskFile>,
}

impl Disk for Counted {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        count(|cost| cost.writes += u64::from(access == Access::Create));
        let inner = self.inner.open(path, access)?;
        Ok(Arc::new(CountedFile { inner }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        // Making what is there already is how a link in its place is told.
        let made = self.inner.list(path).is_err();
        count(|cost| cost.writes += u64::from(made));
        self.inner.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let listed = self.inner.list(path)?;
        count(|cost| cost.bytes += listed.len() as u64);
        Ok(listed)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        count(|cost| cost.writes += 1);
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        count(|cost| cost.writes += 1);
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        count(|cost| cost.writes += 1);
        self.inner.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        count(|cost| cost.writes += 1);
        self.inner.sync_dir(path)
    }

    // A lock's file is made with the title, and opening it again changes nothing.
    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Box<dyn DiskLock>>> {
        count(|_| ());
        self.inner.lock(path, kind)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        count(|_| ());
        self.inner.free_bytes(path)
    }
}

impl DiskFile for CountedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read_at(offset, buf)?;
        count(|cost| cost.bytes += read as u64);
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        count(|cost| cost.writes += 1);
        self.inner.write_at(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        count(|_| ());
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        count(|cost| cost.writes += 1);
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        count(|cost| cost.writes += 1);
        self.inner.sync()
    }
}
