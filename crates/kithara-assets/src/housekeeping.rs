//! Keeping house: titles' folders, the budget, pins, and what is used when.

mod room;
mod wishes;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use kithara_storage::{Disk, Partial, StorageError};

use crate::event::{Listener, Reason};
use crate::eviction::Budget;
use crate::facts::Facts;
use crate::layout::Layout;
use crate::lease::Hold;
use crate::ledger::Ledger;
use crate::marker::prepare;
use crate::note::{Used, tick};
use crate::registry::Registry;
use crate::store::Folder;
use crate::{AssetId, ResourceKey, StoreOptions};

/// The keeper's knowledge of the whole folder.
pub(crate) struct Housekeeping {
    folder: Folder,
    budget: Budget,
    min_free: u64,
    registry: Arc<Registry>,
    listener: Listener,
    ledger: Option<Ledger>,
    /// What was written down of the ledger no longer counts.
    spoiled: bool,
    /// Titles whose folder's own name is known to be durable.
    anchored: HashSet<AssetId>,
    clock: u64,
    /// What may still be saved before the disk is asked again how much room it has.
    known_free: u64,
}

/// A title that is being saved.
pub(crate) struct Title {
    pub(crate) asset: AssetId,
    /// How long it is going to be, if its origin has told.
    pub(crate) total: Option<u64>,
}

impl Housekeeping {
    pub(crate) fn new(
        folder: Folder,
        options: &StoreOptions,
        registry: Arc<Registry>,
        listener: Listener,
    ) -> Self {
        Self {
            folder,
            budget: Budget {
                bytes: options.max_bytes,
                assets: options.max_assets,
            },
            min_free: options.min_free,
            registry,
            listener,
            ledger: None,
            spoiled: false,
            anchored: HashSet::new(),
            clock: 0,
            known_free: 0,
        }
    }

    // ---- titles ----

    /// Notes that a title is used now.
    pub(crate) fn touch(&mut self, hold: &Hold) {
        if !hold.is_leased() {
            return;
        }
        let used = self.tick();
        self.note(hold, used);
    }

    /// Notes when a title was found unchanged.
    pub(crate) fn validated(&mut self, hold: &Hold, at: u64) {
        *hold.validated_at.lock() = Some(at);
        if hold.is_leased() {
            let used = self.tick();
            self.note(hold, used);
        }
    }

    fn note(&mut self, hold: &Hold, used: u64) {
        let path = self.folder.layout.asset(hold.asset).join(Layout::USED);
        let note = Used {
            used,
            validated_at: *hold.validated_at.lock(),
        };
        // Lost, it costs a title its place in the order of eviction, and a request to its origin.
        let _ = note.write(&*self.folder.disk, &path);
        if let Some(ledger) = &mut self.ledger {
            ledger.touch(hold.asset, used);
        }
    }

    fn tick(&mut self) -> u64 {
        let path = self.folder.layout.clock();
        self.clock = tick(&*self.folder.disk, &path, self.clock).unwrap_or(self.clock + 1);
        self.clock
    }

    /// Sees to it that a title has a folder that this process may fill; `false` if another one is filling it.
    pub(crate) fn make_asset(&mut self, hold: &Hold) -> Result<bool, Reason> {
        if self.ledger().get(hold.asset).is_none() {
            self.make_room_for(0, 1, None)?;
        }
        match self.try_make_asset(hold) {
            // Somebody has cleaned up: once more from the beginning.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                prepare(&*self.folder.disk, &self.folder.layout)
                    .map_err(|_| Reason::Failed)
                    .and_then(|()| {
                        self.try_make_asset(hold)
                            .map_err(|error| self.reason(&error))
                    })
            }
            done => done.map_err(|error| self.reason(&error)),
        }
    }

    fn try_make_asset(&mut self, hold: &Hold) -> io::Result<bool> {
        let Folder { disk, layout, .. } = &self.folder;
        hold.check();
        let known = hold.is_leased();
        if !known {
            // Its folder may be another one than before.
            self.anchored.remove(&hold.asset);
        }
        disk.create_dir(&layout.shelf(hold.asset))?;
        disk.create_dir(&layout.asset(hold.asset))?;
        let mine = hold.lease(&**disk, layout)? && hold.fill(&**disk, layout)?;
        if mine {
            self.spoil();
            if !known {
                self.touch(hold);
            }
            self.measure(hold.asset);
        }
        Ok(mine)
    }

    /// Why nothing is kept after this error.
    fn reason(&self, error: &io::Error) -> Reason {
        tracing::debug!(target: "kithara_assets", kind = ?error.kind(), "cannot use a title's folder");
        match error.kind() {
            io::ErrorKind::Unsupported => {
                self.folder.give_up(&self.listener, Reason::NoLocks);
                Reason::NoLocks
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::Full,
            _ => Reason::Failed,
        }
    }

    /// Begins a resource.
    pub(crate) fn begin(
        &mut self,
        key: &ResourceKey,
        facts: &Facts,
        generation: u64,
    ) -> Result<Partial, Reason> {
        let label = &facts.to_label();
        let title = Title {
            asset: key.asset,
            total: facts.total,
        };
        let files = self.folder.files(key);
        // The user's newer program knows what to do with files that this one doesn't understand.
        if let Err(StorageError::NewerFormat { .. }) = files.open() {
            return Err(Reason::NewerFormat);
        }
        let begun = match files.begin(label, generation) {
            Err(StorageError::Full { .. }) => {
                self.make_room_on_disk(1 << 16, &title)?;
                files.begin(label, generation)
            }
            done => done,
        };
        self.measure(key.asset);
        begun.map_err(|error| {
            tracing::debug!(target: "kithara_assets", kind = ?crate::keeper::kind(&error), "cannot begin");
            match error {
                StorageError::Full { .. } => Reason::Full,
                _ => Reason::Failed,
            }
        })
    }

    /// Makes the name of a title's folder durable, and of what it lies in.
    pub(crate) fn anchor(&mut self, asset: AssetId) -> Result<(), Reason> {
        self.try_anchor(asset).map_err(|error| self.reason(&error))
    }

    fn try_anchor(&mut self, asset: AssetId) -> io::Result<()> {
        if self.anchored.contains(&asset) {
            return Ok(());
        }
        let Folder { disk, layout, .. } = &self.folder;
        disk.sync_dir(&layout.shelf(asset))?;
        disk.sync_dir(&layout.root)?;
        if let Some(parent) = layout.root.parent() {
            match disk.sync_dir(parent) {
                // A folder above ours that we may not look into was there before us.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                done => done?,
            }
        }
        self.anchored.insert(asset);
        Ok(())
    }

    // ---- the ledger ----

    fn ledger(&mut self) -> &mut Ledger {
        let Folder { disk, layout, .. } = &self.folder;
        self.ledger.get_or_insert_with(|| {
            Ledger::load(&**disk, layout)
                .or_else(|| Ledger::scan(&**disk, layout).ok())
                .unwrap_or_default()
        })
    }

    fn scan(&mut self) {
        let Folder { disk, layout, .. } = &self.folder;
        if let Ok(found) = Ledger::scan(&**disk, layout) {
            self.anchored.retain(|asset| found.get(*asset).is_some());
            self.ledger = Some(found);
        }
    }

    /// Looks before something is decided for good, if that wasn't done lately: other processes come and go.
    fn scan_if_stale(&mut self) {
        let limit = self.budget.bytes / 16;
        let ledger = self.ledger();
        if !ledger.scanned || ledger.grown > limit {
            self.scan();
        }
    }

    /// The folder is about to differ from what was written down of it.
    fn spoil(&mut self) {
        if !self.spoiled {
            // Read first: a clean end left it to be read once.
            self.ledger();
            Ledger::spoil(&*self.folder.disk, &self.folder.layout);
            self.spoiled = true;
        }
    }

    /// Writes down what the next one would otherwise have to look up.
    pub(crate) fn finish(&mut self) {
        if self.spoiled
            && let Some(ledger) = &self.ledger
        {
            // Without it the next one looks the folder through.
            let _ = ledger.store(&*self.folder.disk, &self.folder.layout);
        }
    }
}
