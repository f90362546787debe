//! The store: opening resources, and everything its user may ask of it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kithara_storage::{Access, Disk, ListedKind, ResourceFiles, StorageError, Stored};
use url::Url;

use crate::body::{Body, Found};
use crate::desk::{Command, Desk, Find};
use crate::event::{Listener, Reason, StoreEvent};
use crate::facts::Facts;
use crate::key::Namer;
use crate::layout::Layout;
use crate::lease::Hold;
use crate::note::Used;
use crate::pool::HandlePool;
use crate::registry::Registry;
use crate::{AssetError, AssetId, AssetInfo, Cleared, Entry, ResourceKey, StoreOptions, Usage};

/// A cache of resources, by title. Clones are the same store.
///
/// All methods may block on the disk, except where they say otherwise; none is for an audio thread. With the last clone
/// and the last [`Entry`] the store ends, once everything written to it is on disk; that happens on a thread of the
/// store's own, and nobody waits for it but the next store in this folder ([`settle`](Self::settle) waits for it too). Dropping
/// it in the moment before the process exits loses what is not yet on disk, nothing else.
#[derive(Clone)]
pub struct AssetStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: StoreOptions,
    pub(crate) namer: Namer,
    /// `None`: nothing is kept.
    pub(crate) folder: Option<Folder>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) desk: Desk,
    pub(crate) listener: Listener,
}

/// Where a store's files lie.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) disk: Arc<HandlePool>,
    pub(crate) layout: Layout,
    /// It is a file system of this machine, which has temporary files.
    pub(crate) real: bool,
    /// Cleared for good when the file system turns out to have no locks.
    pub(crate) usable: Arc<AtomicBool>,
}

impl AssetStore {
    /// What a resource of a title is called here. Doesn't block.
    pub fn key(&self, title: &Url, resource: &Url) -> ResourceKey {
        self.inner.namer.key(title, resource)
    }

    /// The same for a title and a resource that the caller has names for. Doesn't block.
    pub fn named(&self, title: &str, resource: &str) -> ResourceKey {
        self.inner.namer.named(title, resource)
    }

    /// What a part of a resource (a stretch of its bytes, named `part`) of a title is called here; the title by `name` if it
    /// has one. With an empty part it is the resource itself. Doesn't block.
    pub fn part_key(
        &self,
        title: &Url,
        name: Option<&str>,
        resource: &Url,
        part: &str,
    ) -> ResourceKey {
        self.inner.namer.part_key(title, name, resource, part)
    }

    /// What a title is called here. Doesn't block.
    pub fn asset(&self, title: &Url) -> AssetId {
        self.inner.namer.asset(title)
    }

    /// The same for a title that the caller has a name for. Doesn't block.
    pub fn named_asset(&self, title: &str) -> AssetId {
        self.inner.namer.named_asset(title)
    }

    /// What the store was told when it was built.
    pub fn options(&self) -> &StoreOptions {
        &self.inner.options
    }

    /// Whether nothing is kept on disk.
    pub fn is_memory_only(&self) -> bool {
        self.inner.usable_folder().is_none()
    }

    /// Opens a resource: what is stored of it can be read at once.
    ///
    /// Never fails: where the disk can't be used the entry goes on in memory, and an event says so. Reads at most the
    /// title's own folder, and writes nothing.
    pub fn open(&self, key: &ResourceKey) -> Entry {
        let arrival = self.inner.registry.arrive(*key, &self.inner);
        let body = arrival.body;
        body.look(|| {
            if !arrival.leaving {
                self.inner.look(&body);
            }
        });
        let seat = body.sit_down();
        self.inner.desk.send(Command::Opened(body));
        Entry::new(self.inner.clone(), *key, seat)
    }

    /// Keeps a title from being removed to make room: also in other processes, and after a restart. It need not be stored
    /// yet.
    ///
    /// # Errors
    /// [`AssetError::PinnedTooMuch`] if all that is pinned would not fit; [`AssetError::MemoryOnly`];
    /// [`AssetError::Storage`].
    pub fn pin(&self, title: &Url) -> Result<(), AssetError> {
        self.pin_asset(self.asset(title))
    }

    /// As [`pin`](Self::pin).
    ///
    /// # Errors
    /// As [`pin`](Self::pin).
    pub fn pin_asset(&self, asset: AssetId) -> Result<(), AssetError> {
        self.ask(|reply| Command::Pin(asset, reply))
            .unwrap_or(Err(AssetError::MemoryOnly))
    }

    /// Lets a title be removed again to make room. Does nothing if it isn't pinned.
    ///
    /// # Errors
    /// [`AssetError::Storage`].
    pub fn unpin(&self, title: &Url) -> Result<(), AssetError> {
        self.unpin_asset(self.asset(title))
    }

    /// As [`unpin`](Self::unpin).
    ///
    /// # Errors
    /// As [`unpin`](Self::unpin).
    pub fn unpin_asset(&self, asset: AssetId) -> Result<(), AssetError> {
        self.ask(|reply| Command::Unpin(asset, reply))
            .unwrap_or(Ok(()))
    }

    /// Whether a title is pinned.
    pub fn is_pinned(&self, title: &Url) -> bool {
        self.inner.is_pinned(self.asset(title))
    }

    /// Removes a title, pinned or not; whether there was anything to remove.
    ///
    /// # Errors
    /// [`AssetError::InUse`] while somebody has it open; [`AssetError::Storage`].
    pub fn remove(&self, title: &Url) -> Result<bool, AssetError> {
        self.remove_asset(self.asset(title))
    }

    /// As [`remove`](Self::remove).
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn remove_asset(&self, asset: AssetId) -> Result<bool, AssetError> {
        self.ask(|reply| Command::Remove(asset, reply))
            .unwrap_or(Ok(false))
    }

    /// Removes all titles but those that are open or pinned.
    pub fn clear(&self) -> Cleared {
        self.ask(Command::Clear).unwrap_or_default()
    }

    /// All stored titles, in no order. Reads the whole cache folder.
    pub fn list(&self) -> Vec<AssetInfo> {
        self.ask(|reply| Command::List(Find::All, reply))
            .unwrap_or_default()
    }

    /// How one title is stored; `None` if it isn't.
    pub fn info(&self, asset: AssetId) -> Option<AssetInfo> {
        let found = self.ask(|reply| Command::List(Find::One(asset), reply))?;
        found.into_iter().next()
    }

    /// How full the store is. Reads the whole cache folder.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage {
            max_bytes: self.inner.options.max_bytes,
            max_assets: self.inner.options.max_assets,
            ..Usage::default()
        };
        for asset in self.list() {
            usage.bytes += asset.bytes;
            usage.assets += 1;
            usage.pinned_bytes += if asset.pinned { asset.bytes } else { 0 };
        }
        usage
    }

    /// Blocks until everything that was written to the store before is on disk, or found not to be possible.
    pub fn settle(&self) {
        for body in self.inner.registry.bodies() {
            body.seal();
        }
        // A keeper that is gone has nothing left to do.
        let _ = self.ask(Command::Settle);
    }

    /// Asks the keeper, and waits for the answer.
    fn ask<T>(&self, question: impl FnOnce(kanal::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = kanal::bounded(1);
        self.inner.desk.send(question(reply));
        answer.recv().ok()
    }
}

impl fmt::Debug for AssetStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssetStore")
            .field("options", &self.inner.options)
            .field("memory_only", &self.is_memory_only())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// A body for a key.
    pub(crate) fn body(&self, key: ResourceKey, hold: Arc<Hold>) -> Body {
        Body::new(key, hold, self.desk.clone(), self.listener.clone())
    }

    fn usable_folder(&self) -> Option<&Folder> {
        self.folder.as_ref().filter(|folder| folder.is_usable())
    }

    /// Looks at what is stored of a resource.
    fn look(&self, body: &Arc<Body>) {
        let Some(folder) = self.usable_folder() else {
            return body.bypass_quietly(Reason::Unusable);
        };
        match folder.look(body) {
            Ok(Sight::Found(found)) => {
                body.found(found.0);
                self.desk.send(Command::Found(body.clone(), found.1));
            }
            Ok(Sight::Nothing) => {}
            Ok(Sight::Shared) => {
                body.share();
                self.listener.tell(StoreEvent::SharedByProcess);
            }
            Ok(Sight::Newer) => body.bypass(None, Reason::NewerFormat),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                folder.give_up(&self.listener, Reason::NoLocks);
                body.bypass_quietly(Reason::NoLocks);
            }
            Err(error) => {
                tracing::debug!(target: "kithara_assets", kind = ?error.kind(), "cannot look at a title");
                body.bypass(None, Reason::Failed);
            }
        }
    }

    fn is_pinned(&self, asset: AssetId) -> bool {
        self.usable_folder().is_some_and(|folder| {
            let path = folder.layout.asset(asset).join(Layout::PIN);
            folder.disk.open(&path, Access::Read).is_ok()
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.desk.send(Command::Stop);
    }
}

/// What looking at a resource's files came to.
pub(crate) enum Sight {
    Found(Box<(Found, Stored)>),
    Nothing,
    /// Another process is filling it.
    Shared,
    /// A newer version of this library has stored it.
    Newer,
}

impl Folder {
    pub(crate) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    pub(crate) fn is_real(&self) -> bool {
        self.real
    }

    /// From now on nothing is kept.
    pub(crate) fn give_up(&self, listener: &Listener, reason: Reason) {
        if self.usable.swap(false, Ordering::Relaxed) {
            listener.tell(StoreEvent::MemoryOnly { reason });
        }
    }

    pub(crate) fn files(&self, key: &ResourceKey) -> ResourceFiles {
        ResourceFiles::new(self.disk.clone(), self.layout.resource(key))
    }

    /// Looks at what is stored of a body's resource, and takes the locks that this needs. Changes nothing.
    fn look(&self, body: &Body) -> io::Result<Sight> {
        let asset = body.key.asset;
        if !self.has(asset)? {
            return Ok(Sight::Nothing);
        }
        if !body.hold.lease(&*self.disk, &self.layout)? {
            // Somebody removes it just now.
            return Ok(Sight::Nothing);
        }
        if body.hold.validated_at.lock().is_none() {
            let used = Used::read(&*self.disk, &self.layout.asset(asset).join(Layout::USED));
            *body.hold.validated_at.lock() = used.validated_at;
        }
        let files = self.files(&body.key);
        let stored = match open_files(&files)? {
            Opened::Nothing => None,
            Opened::Newer => return Ok(Sight::Newer),
            Opened::Stored(Stored::Committed(committed)) => Some(Stored::Committed(committed)),
            Opened::Stored(Stored::Partial(_)) => {
                if !body.hold.fill(&*self.disk, &self.layout)? {
                    return Ok(Sight::Shared);
                }
                // Only now nobody else changes it: what was read before may have been continued or committed since.
                match open_files(&files)? {
                    Opened::Nothing => None,
                    Opened::Newer => return Ok(Sight::Newer),
                    Opened::Stored(stored) => Some(stored),
                }
            }
        };
        Ok(stored.map_or(Sight::Nothing, |stored| {
            let mut found = describe(&stored);
            // One that can't be read is one that was never kept.
            found.index = files.index(found.generation).unwrap_or_default();
            Sight::Found(Box::new((found, stored)))
        }))
    }

    /// Whether there is a folder for the title, not reached through a link.
    fn has(&self, asset: AssetId) -> io::Result<bool> {
        let path = self.layout.asset(asset);
        if let Err(error) = self.disk.open(&path.join(Layout::LEASE), Access::Read) {
            return match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::InvalidInput => Ok(false),
                _ => Err(error),
            };
        }
        // They are there, so this makes nothing; but it refuses links.
        let real = self
            .disk
            .create_dir(&self.layout.shelf(asset))
            .and_then(|()| self.disk.create_dir(&path));
        Ok(real.is_ok())
    }
}

impl Folder {
    /// Whether a title has a folder, with a lease or without, not reached through a link.
    pub(crate) fn is_directory(&self, asset: AssetId) -> io::Result<bool> {
        let is = |parent: &Path, path: &Path| match self.disk.list(parent) {
            Ok(listed) => Ok(listed.iter().any(|one| {
                one.kind == ListedKind::Directory && Some(one.name.as_os_str()) == path.file_name()
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        let (shelf, path) = (self.layout.shelf(asset), self.layout.asset(asset));
        Ok(is(&self.layout.root, &shelf)? && is(&shelf, &path)?)
    }
}

enum Opened {
    Nothing,
    Newer,
    Stored(Stored),
}

fn open_files(files: &ResourceFiles) -> io::Result<Opened> {
    match files.open() {
        Ok(Some(stored)) => Ok(Opened::Stored(stored)),
        Ok(None) => Ok(Opened::Nothing),
        Err(StorageError::NewerFormat { .. }) => Ok(Opened::Newer),
        Err(StorageError::Io { source, .. } | StorageError::Full { source, .. }) => Err(source),
        Err(_) => Err(io::ErrorKind::Other.into()),
    }
}

/// What stored files say about their resource.
fn describe(stored: &Stored) -> Found {
    match stored {
        Stored::Partial(partial) => {
            let facts = Facts::from_label(partial.label());
            Found {
                committed: false,
                generation: partial.generation(),
                coverage: partial.coverage(),
                end: facts.as_ref().and_then(|facts| facts.total),
                facts,
                checked: partial.checked(),
                index: None,
            }
        }
        Stored::Committed(committed) => Found {
            committed: true,
            generation: committed.generation(),
            coverage: kithara_storage::Coverage::whole(committed.len()),
            end: Some(committed.len()),
            facts: Facts::from_label(committed.label()),
            checked: committed.checked(),
            index: None,
        },
    }
}
