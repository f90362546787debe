//! What the user asks for: pinning, removing, and telling what there is.

use std::io;
use std::path::Path;
use std::sync::Arc;

use kithara_storage::{Access, Disk, Place, StorageError, Stored, too_many_open};

use super::Housekeeping;
use super::room::{Pinned, Removal};
use crate::facts::Facts;
use crate::layout::{Layout, Named};
use crate::lease::Hold;
use crate::marker::prepare;
use crate::note::Used;
use crate::store::Folder;
use crate::{AssetError, AssetId, AssetInfo, Cleared, ResourceKey};

impl Housekeeping {
    pub(crate) fn pin(&mut self, asset: AssetId) -> Result<(), AssetError> {
        self.scan_if_stale();
        let limit = self.budget.bytes;
        let mut pinned = self.ledger().pinned_but(asset);
        pinned.push(asset);
        let needed = pinned
            .into_iter()
            .fold(0_u64, |sum, id| sum.saturating_add(self.expected(id)));
        if needed > limit {
            return Err(AssetError::PinnedTooMuch { needed, limit });
        }
        let hold = self
            .registry
            .hold(asset)
            .unwrap_or_else(|| Arc::new(Hold::new(asset, Arc::default())));
        let path = self.folder.layout.asset(asset).join(Layout::PIN);
        let known = match self.folder.disk.open(&path, Access::Read) {
            Ok(_) => true,
            // One that can't be opened for want of a file descriptor may well be there.
            Err(error) => too_many_open(&error),
        };
        let pinned = self.try_pin(&hold, &path);
        if pinned.is_err() && !known {
            // Half a pin is none: what isn't sure to survive must not be promised by its sight. One that was there before
            // is promised.
            let _ = self.folder.disk.remove_file(&path);
        }
        self.measure(asset);
        pinned.map_err(|error| failed("pin", &path, error))
    }

    fn try_pin(&mut self, hold: &Hold, path: &Path) -> io::Result<()> {
        let asset = hold.asset;
        hold.check();
        if !self.folder.is_directory(asset)? {
            self.anchored.remove(&asset);
            match self.make_folder(asset) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    prepare(&*self.folder.disk, &self.folder.layout)
                        .map_err(|_| error)
                        .and_then(|()| self.make_folder(asset))?;
                }
                done => done?,
            }
        }
        self.spoil();
        let Folder { disk, layout, .. } = &self.folder;
        // Held while the pin is made, so that no other process removes the title at the same time.
        if !hold.lease(&**disk, layout)? {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        disk.open(path, Access::Create)?;
        disk.sync_dir(&layout.asset(asset))?;
        self.try_anchor(asset)
    }

    fn make_folder(&self, asset: AssetId) -> io::Result<()> {
        let Folder { disk, layout, .. } = &self.folder;
        disk.create_dir(&layout.shelf(asset))?;
        disk.create_dir(&layout.asset(asset))
    }

    /// What a title will take once it is whole, as far as is known.
    fn expected(&mut self, asset: AssetId) -> u64 {
        self.measure(asset);
        let now = self.ledger().get(asset).map_or(0, |account| account.bytes);
        let mut open: Vec<_> = self.registry.bodies();
        open.retain(|body| body.key.asset == asset);
        let told: u64 = open.iter().filter_map(|body| body.facts().total).sum();
        let listed = self.folder.disk.list(&self.folder.layout.asset(asset));
        let mut stored = 0_u64;
        for file in listed.unwrap_or_default() {
            let resource = match Layout::parse_file(&file.name) {
                Named::Whole => {
                    stored = stored.saturating_add(file.len);
                    continue;
                }
                Named::Log => file.name.to_string_lossy().replace(".log", ""),
                _ => continue,
            };
            let Some(resource) = crate::key::unhex(&resource) else {
                continue;
            };
            let files = self.folder.files(&ResourceKey { asset, resource });
            if let Ok(Some(Stored::Partial(partial))) = files.open() {
                let total = Facts::from_label(partial.label()).and_then(|facts| facts.total);
                stored = stored.saturating_add(total.unwrap_or(0));
            }
        }
        now.max(told).max(stored)
    }

    pub(crate) fn unpin(&mut self, asset: AssetId) -> Result<(), AssetError> {
        let Folder { disk, layout, .. } = &self.folder;
        let path = layout.asset(asset).join(Layout::PIN);
        let unpinned = match disk.remove_file(&path) {
            // Also if there is none any more: an earlier try may have failed halfway.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => match disk.sync_dir(&layout.asset(asset)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                done => done,
            },
        };
        self.spoil();
        self.measure(asset);
        unpinned.map_err(|error| failed("unpin", &path, error))
    }

    pub(crate) fn remove(&mut self, asset: AssetId) -> Result<bool, AssetError> {
        let removed = self.remove_unless_held(asset, Pinned::Go);
        self.measure(asset);
        let path = self.folder.layout.asset(asset);
        match removed.map_err(|error| failed("remove", &path, error))? {
            Removal::Done => Ok(true),
            Removal::Absent => Ok(false),
            Removal::InUse | Removal::Pinned => Err(AssetError::InUse),
        }
    }

    pub(crate) fn clear(&mut self) -> Cleared {
        self.scan();
        let all: Vec<AssetId> = self.ledger().iter().map(|(id, _)| id).collect();
        let mut cleared = Cleared::default();
        for id in all {
            match self.remove_unless_held(id, Pinned::Stay) {
                Ok(Removal::Done) => cleared.removed += 1,
                Ok(Removal::Pinned) => cleared.pinned += 1,
                Ok(Removal::Absent) => {}
                Ok(Removal::InUse) | Err(_) => cleared.in_use += 1,
            }
            self.measure(id);
        }
        cleared
    }

    pub(crate) fn list(&mut self) -> Vec<AssetInfo> {
        self.scan();
        let all: Vec<AssetId> = self.ledger().iter().map(|(id, _)| id).collect();
        all.into_iter().filter_map(|id| self.describe(id)).collect()
    }

    pub(crate) fn info(&mut self, asset: AssetId) -> Option<AssetInfo> {
        self.measure(asset);
        self.describe(asset)
    }

    fn describe(&mut self, id: AssetId) -> Option<AssetInfo> {
        let account = self.ledger().get(id)?;
        let path = self.folder.layout.asset(id).join(Layout::USED);
        Some(AssetInfo {
            id,
            bytes: account.bytes,
            complete: account.complete,
            pinned: account.pinned,
            open: self.registry.is_open(id),
            used: account.used,
            validated_at: Used::read(&*self.folder.disk, &path).validated_at,
        })
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> AssetError {
    let place = Place {
        path: Some(path.to_path_buf()),
        offset: None,
    };
    AssetError::Storage(match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full {
            action,
            place,
            source,
        },
        _ => StorageError::Io {
            action,
            place,
            source,
        },
    })
}
