//! Building a store, and finding the one that is there already.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use kithara_storage::{Disk, MemDisk, RealDisk, StorageError};
use parking_lot::Mutex;

use crate::desk::{Command, Desk, employ};
use crate::event::{Listener, Reason, StoreEvent};
use crate::keeper::Keeper;
use crate::key::Namer;
use crate::marker::{Refusal, Site, settle};
use crate::options::user_cache_dir;
use crate::pool::HandlePool;
use crate::registry::Registry;
use crate::store::{Folder, Inner};
use crate::{AssetError, AssetStore, Location, StoreOptions};

/// Builds an [`AssetStore`].
#[derive(Clone)]
pub struct AssetStoreBuilder {
    options: StoreOptions,
    listener: Listener,
    disk: Option<Arc<dyn Disk>>,
    require_disk: bool,
}

/// The stores of this process. Two in one folder would shut each other out.
static STORES: Mutex<Vec<Known>> = Mutex::new(Vec::new());

struct Known {
    /// Which disk: where in memory that is, or `None` for the file systems of this machine.
    disk: Option<usize>,
    root: PathBuf,
    store: Weak<Inner>,
    /// Hears when the keeper has ended.
    ended: kanal::Receiver<()>,
}

/// Where a store is to be.
pub(crate) type Place = (Arc<dyn Disk>, PathBuf, Kind);

/// What a disk is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// The file systems of this machine.
    Real,
    /// Something that was given to us, or made by us.
    Given,
}

impl AssetStoreBuilder {
    /// A store with these options.
    pub fn new(options: StoreOptions) -> Self {
        Self {
            options,
            listener: Listener::none(),
            disk: None,
            require_disk: false,
        }
    }

    /// Uses another file system: that of a test, say. [`Location::Disk`] then means a path in it.
    pub fn with_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Whom to tell what happens. Called on threads of the store's and on those that use it; it should not take long, and
    /// must not call the store. Ignored where the store exists already.
    pub fn with_events(mut self, listener: Arc<dyn Fn(StoreEvent) + Send + Sync>) -> Self {
        self.listener = Listener(listener);
        self
    }

    /// With `true`, a folder that can't be used is an error instead of a store in memory.
    pub fn require_disk(mut self, required: bool) -> Self {
        self.require_disk = required;
        self
    }

    /// Builds the store, or hands out the one that this process has in the same folder with the same options.
    ///
    /// Blocks on the disk, and until a store that was dropped just now in the same folder has ended. A folder that can't be
    /// used leads to a store in memory and [`StoreEvent::MemoryOnly`]; one that a newer version of this library made, to a
    /// store in a folder in that one and [`StoreEvent::NewerFormat`].
    ///
    /// # Errors
    /// [`AssetError::Busy`] if this process has a store there with other options. Only if a disk is
    /// [required](Self::require_disk): [`AssetError::Unusable`], [`AssetError::NewerFormat`].
    pub fn build(self) -> Result<AssetStore, AssetError> {
        let path = match (&self.options.location, &self.disk) {
            (Location::Memory, _) => {
                let disk = Arc::new(MemDisk::new());
                let place = (disk as Arc<dyn Disk>, PathBuf::from("/cache"), Kind::Given);
                return self.employ(Some(place)).map(|(store, _)| store);
            }
            (Location::Disk(path), _) => path.clone().or_else(user_cache_dir),
        };
        let Some(path) = path else {
            if self.require_disk {
                return Err(unusable(Path::new(""), io::ErrorKind::NotFound.into()));
            }
            let reason = Reason::NoFolder;
            self.listener.tell(StoreEvent::MemoryOnly { reason });
            return self.employ(None).map(|(store, _)| store);
        };
        self.find_or_make(&path)
    }

    /// A store without a folder.
    pub(crate) fn build_nowhere(self) -> Result<AssetStore, AssetError> {
        self.employ(None).map(|(store, _)| store)
    }

    fn find_or_make(self, path: &Path) -> Result<AssetStore, AssetError> {
        let disk = self.disk.as_ref().map(|disk| Arc::as_ptr(disk).addr());
        loop {
            // Held while a store is made, so that nobody makes another one in the same folder at the same time.
            let mut stores = STORES.lock();
            stores.retain(|known| known.store.strong_count() > 0 || !known.ended.is_disconnected());
            let root = self.root(path);
            let found = stores
                .iter()
                .position(|known| known.disk == disk && known.root == root);
            let Some(at) = found else {
                let (store, ended) = match self.disk.clone() {
                    Some(disk) => self.employ(Some((disk, root, Kind::Given)))?,
                    None => self.employ(Some((Arc::new(RealDisk), root, Kind::Real)))?,
                };
                stores.push(Known {
                    disk,
                    // Made meanwhile, it has its true name now.
                    root: self.root(path),
                    store: Arc::downgrade(&store.inner),
                    ended,
                });
                return Ok(store);
            };
            if let Some(inner) = stores[at].store.upgrade() {
                return if same(&inner.options, &self.options) {
                    Ok(AssetStore { inner })
                } else {
                    Err(AssetError::Busy)
                };
            }
            // It stays in the list: whoever comes meanwhile has to wait as well.
            let ended = stores[at].ended.clone();
            drop(stores);
            // It has been told to stop, and hangs up when it has.
            let _ = ended.recv();
        }
    }

    /// One name for a folder, however it is spelled.
    fn root(&self, path: &Path) -> PathBuf {
        if self.disk.is_some() {
            return path.to_path_buf();
        }
        path.canonicalize()
            .or_else(|_| std::path::absolute(path))
            .unwrap_or_else(|_| path.to_path_buf())
    }

    /// Makes a store and gives its keeper a thread.
    fn employ(
        &self,
        place: Option<Place>,
    ) -> Result<(AssetStore, kanal::Receiver<()>), AssetError> {
        let (store, keeper, told) = self.parts(place)?;
        let ended = employ(keeper, told).map_err(|error| unusable(Path::new(""), error))?;
        Ok((store, ended))
    }

    /// The store and its keeper, who has no thread yet.
    pub(crate) fn parts(
        &self,
        place: Option<Place>,
    ) -> Result<(AssetStore, Keeper, kanal::Receiver<Command>), AssetError> {
        let folder = match place {
            None => None,
            Some((disk, root, kind)) => self.folder(disk, &root, kind)?,
        };
        let registry = Arc::new(Registry::default());
        let (desk, told) = Desk::new();
        let keeper = Keeper::new(
            folder.clone(),
            &self.options,
            registry.clone(),
            self.listener.clone(),
        );
        let inner = Inner {
            namer: Namer {
                namespace: self.options.namespace.clone(),
                rule: self.options.key_rule.clone(),
            },
            options: self.options.clone(),
            folder,
            registry,
            desk,
            listener: self.listener.clone(),
        };
        let inner = Arc::new(inner);
        Ok((AssetStore { inner }, keeper, told))
    }

    /// Prepares the folder; `None` if it can't be used and need not be.
    fn folder(
        &self,
        disk: Arc<dyn Disk>,
        root: &Path,
        kind: Kind,
    ) -> Result<Option<Folder>, AssetError> {
        let disk = Arc::new(HandlePool::new(disk, &self.options));
        let (reason, error) = match settle(&*disk, root) {
            Ok(Site { layout, beside }) => {
                if let Some(version) = beside {
                    self.listener.tell(StoreEvent::NewerFormat { version });
                }
                return Ok(Some(Folder {
                    disk,
                    layout,
                    real: matches!(kind, Kind::Real),
                    usable: Arc::new(AtomicBool::new(true)),
                }));
            }
            Err(Refusal::Newer(version)) => {
                (Reason::NewerFormat, AssetError::NewerFormat { version })
            }
            Err(Refusal::Unusable(error)) => (Reason::Unusable, unusable(root, error)),
        };
        if self.require_disk {
            return Err(error);
        }
        self.listener.tell(StoreEvent::MemoryOnly { reason });
        Ok(None)
    }
}

impl std::fmt::Debug for AssetStoreBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AssetStoreBuilder")
            .field("options", &self.options)
            .field("require_disk", &self.require_disk)
            .finish_non_exhaustive()
    }
}

/// Whether two stores in one folder can be one. The folder is known to be the same, whatever it was called.
fn same(one: &StoreOptions, other: &StoreOptions) -> bool {
    let placeless = |options: &StoreOptions| StoreOptions {
        location: Location::Memory,
        ..options.clone()
    };
    placeless(one) == placeless(other)
}

fn unusable(path: &Path, source: io::Error) -> AssetError {
    AssetError::Unusable(StorageError::Io {
        action: "use",
        place: kithara_storage::Place {
            path: Some(path.to_path_buf()),
            offset: None,
        },
        source,
    })
}

#[cfg(test)]
mod tests {
    use kithara_storage::SimDisk;
    use parking_lot::RwLock;

    use super::*;
    use crate::{Facts, Keep};

    #[test]
    fn all_who_build_wait_for_the_keeper_that_was_there_before() {
        let sim = SimDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let build = || {
            let mut options = StoreOptions::at("/cache");
            options.min_free = 0;
            let builder = AssetStoreBuilder::new(options).with_disk(disk.clone());
            builder.build().unwrap()
        };
        let store = build();
        // The keeper stands still.
        let moving = Arc::new(RwLock::new(()));
        let (hook, still) = (moving.clone(), moving.write());
        sim.on_call(move |_| {
            if std::thread::current().name() == Some("kithara-cache") {
                drop(hook.read());
            }
            Ok(())
        });
        let entry = store.open(&store.named("title", "resource"));
        entry.identify(Facts::default(), Keep::Yes).unwrap();
        entry.write(0, &[1; 100]).unwrap();
        drop((entry, store));
        let place = Arc::as_ptr(&disk).addr();
        std::thread::scope(|scope| {
            let builders = [scope.spawn(build), scope.spawn(build)];
            let waiting = || {
                let stores = STORES.lock();
                let mut ended = stores
                    .iter()
                    .filter(|known| known.store.strong_count() == 0);
                let known = ended.find(|known| known.disk == Some(place));
                known.map(|known| known.ended.receiver_count() - 1)
            };
            let all = loop {
                match waiting() {
                    Some(one) if one < 2 => std::thread::yield_now(),
                    other => break other,
                }
            };
            drop(still);
            assert_eq!(all, Some(2), "who comes finds nothing to wait for");
            let [one, other] = builders.map(|builder| builder.join().unwrap());
            assert!(Arc::ptr_eq(&one.inner, &other.inner));
        });
    }
}
