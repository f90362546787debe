//! Making room: the budget, the floor of free disk, and removing what was unused for longest.

use std::collections::HashSet;
use std::io;

use kithara_storage::{Disk, EXTENT, LockKind};

use super::{Housekeeping, Title};
use crate::AssetId;
use crate::event::{Reason, StoreEvent};
use crate::eviction::{Budget, Candidate, victims};
use crate::keeper::contained;
use crate::layout::{Layout, Named};
use crate::ledger::account;
use crate::store::Folder;

/// How often the plan of what to remove is made anew because another process holds what was chosen.
const ROUNDS: usize = 4;

/// How many bytes more than asked for are removed when the disk is full.
const SPARE: u64 = 1 << 20;

/// What became of a title that was to be removed.
pub(super) enum Removal {
    Done,
    Absent,
    InUse,
    Pinned,
}

/// Whether a pin protects from being removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pinned {
    Stay,
    Go,
}

impl Housekeeping {
    /// A title has grown by what was saved.
    pub(crate) fn grown(&mut self, asset: AssetId, bytes: u64) {
        self.known_free = self.known_free.saturating_sub(bytes);
        self.ledger().add(asset, bytes);
    }

    /// Looks a title up in the folder.
    pub(crate) fn measure(&mut self, asset: AssetId) {
        let folder = self.folder.clone();
        let ledger = self.ledger();
        ledger.measure(&*folder.disk, &folder.layout, asset);
    }

    /// Whether a title will fit once it is whole, if everything that may be removed is. Where it won't, others are not
    /// removed for its beginning.
    pub(crate) fn could_hold(&mut self, title: &Title) -> Result<(), Reason> {
        if title.total.is_none() {
            return Ok(());
        }
        let free = self.folder.disk.free_bytes(&self.folder.layout.root);
        // A disk that doesn't tell will say so when it is full.
        let spare = free.unwrap_or(u64::MAX).saturating_sub(self.min_free);
        let on_disk = self.ledger().bytes().saturating_add(spare);
        self.could_hold_within(title, on_disk.min(self.budget.bytes))
    }

    fn could_hold_within(&mut self, title: &Title, limit: u64) -> Result<(), Reason> {
        let Some(total) = title.total else {
            return Ok(());
        };
        // For each extent a record in the log, and beside it, while it is committed, a sum.
        let extents = total / EXTENT as u64 + 1;
        let whole = total.saturating_add(extents.saturating_mul(40));
        let ledger = self.ledger();
        if whole.saturating_add(ledger.bytes()) <= limit {
            // Beside everything there is: who of that is pinned need not be looked at, title by title.
            return Ok(());
        }
        let pinned = ledger.pinned_but(title.asset).into_iter();
        let needed = pinned
            .filter_map(|id| ledger.get(id))
            .fold(whole, |sum, account| sum.saturating_add(account.bytes));
        if needed <= limit {
            return Ok(());
        }
        self.shrink();
        self.listener.tell(StoreEvent::Full { needed, limit });
        Err(Reason::Full)
    }

    /// Removes what is beyond the limit, if that was a higher one in an earlier run.
    fn shrink(&mut self) {
        if self.ledger().bytes() <= self.budget.bytes {
            return;
        }
        let all = self.candidates(&HashSet::new());
        if let Some(chosen) = victims(&all, self.budget, 0, 0) {
            self.remove_all(&chosen);
        }
    }

    /// Whether `more` bytes fit beside everything there is. The folder is going to change if they do.
    pub(crate) fn has_room(&mut self, more: u64) -> bool {
        let fits = self.ledger().bytes().saturating_add(more) <= self.budget.bytes;
        let fits = fits && self.short_of_free(more) == 0;
        if fits {
            self.spoil();
        }
        fits
    }

    /// Sees to it that `more` bytes of a title, which are going to be saved now, fit, by removing what was unused for
    /// longest.
    pub(crate) fn make_room(&mut self, more: u64, title: &Title) -> Result<(), Reason> {
        self.spoil();
        self.make_room_for(more, 0, Some(title))
    }

    /// The disk says that it is full: makes what room can be made.
    pub(crate) fn make_room_on_disk(&mut self, more: u64, title: &Title) -> Result<(), Reason> {
        self.scan_if_stale();
        let bytes = self.ledger().bytes();
        self.could_hold_within(title, bytes.min(self.budget.bytes))?;
        let all = self.candidates(&HashSet::new());
        let budget = Budget {
            bytes: bytes.saturating_sub(more.max(SPARE)).min(self.budget.bytes),
            ..self.budget
        };
        let all_free = || {
            all.iter()
                .filter(|one| !one.held)
                .map(|one| one.id)
                .collect()
        };
        let chosen: Vec<AssetId> = victims(&all, budget, 0, 0).unwrap_or_else(all_free);
        if self.remove_all(&chosen).len() < chosen.len() {
            return Ok(());
        }
        Err(self.full(more, self.budget.bytes))
    }

    pub(super) fn full(&mut self, more: u64, limit: u64) -> Reason {
        let needed = self.ledger().bytes().saturating_add(more);
        self.listener.tell(StoreEvent::Full { needed, limit });
        Reason::Full
    }

    pub(super) fn make_room_for(
        &mut self,
        more: u64,
        titles: usize,
        title: Option<&Title>,
    ) -> Result<(), Reason> {
        let budget = self.budget;
        let short = self.short_of_free(more);
        if self.ledger().grown > budget.bytes / 16 {
            self.scan();
        }
        let ledger = self.ledger();
        let (bytes, assets) = (ledger.bytes(), ledger.len());
        let within = match short {
            0 => budget.bytes,
            short => budget
                .bytes
                .min(bytes.saturating_add(more).saturating_sub(short)),
        };
        if bytes.saturating_add(more) <= within && assets + titles <= budget.assets {
            return Ok(());
        }
        if let Some(title) = title {
            self.could_hold_within(title, within)?;
        }
        let budget = Budget {
            bytes: within,
            ..budget
        };
        self.evict(budget, more, titles)
    }

    /// How many bytes too few the disk has, if `more` are saved.
    pub(super) fn short_of_free(&mut self, more: u64) -> u64 {
        if self.known_free >= more {
            return 0;
        }
        let free = self.folder.disk.free_bytes(&self.folder.layout.root);
        // A disk that doesn't tell will say so when it is full.
        let spare = free.unwrap_or(u64::MAX).saturating_sub(self.min_free);
        // Others fill the disk too: asked again every few megabytes.
        self.known_free = spare.min(4 << 20);
        more.saturating_sub(spare)
    }

    pub(super) fn evict(&mut self, budget: Budget, more: u64, titles: usize) -> Result<(), Reason> {
        self.scan_if_stale();
        let mut elsewhere = HashSet::new();
        for _ in 0..ROUNDS {
            let all = self.candidates(&elsewhere);
            // A little more than asked for, so that not each stretch has to ask again.
            let slack = (budget.bytes / 32).min(8 << 20);
            let Some(chosen) = victims(&all, budget, more.saturating_add(slack), titles)
                .or_else(|| victims(&all, budget, more, titles))
            else {
                break;
            };
            let refused = self.remove_all(&chosen);
            if refused.is_empty() {
                return Ok(());
            }
            elsewhere.extend(refused);
        }
        Err(self.full(more, budget.bytes))
    }

    pub(super) fn candidates(&mut self, elsewhere: &HashSet<AssetId>) -> Vec<Candidate> {
        let registry = self.registry.clone();
        self.ledger()
            .iter()
            .map(|(id, account)| Candidate {
                id,
                bytes: account.bytes,
                used: account.used,
                held: account.pinned || elsewhere.contains(&id) || registry.is_open(id),
            })
            .collect()
    }

    /// Removes titles to make room; those that turned out to be held.
    pub(super) fn remove_all(&mut self, chosen: &[AssetId]) -> Vec<AssetId> {
        let (mut bytes, mut assets) = (0, 0);
        let mut refused = Vec::new();
        for id in chosen {
            let account = self.ledger().get(*id).unwrap_or_default();
            match self.remove_unless_held(*id, Pinned::Stay) {
                Ok(Removal::Done) => {
                    bytes += account.bytes;
                    assets += 1;
                }
                Ok(Removal::Absent) => {}
                // What can't be removed is as good as held.
                Ok(Removal::InUse | Removal::Pinned) | Err(_) => refused.push(*id),
            }
            self.measure(*id);
        }
        if assets > 0 {
            self.known_free = 0;
            self.listener.tell(StoreEvent::Evicted { bytes, assets });
        }
        refused
    }

    pub(super) fn remove_unless_held(
        &mut self,
        asset: AssetId,
        pinned: Pinned,
    ) -> io::Result<Removal> {
        if !self.registry.begin_removal(asset) {
            return Ok(Removal::InUse);
        }
        let removed = contained(|| self.remove_files(asset, pinned));
        // Also where the disk panicked: what is left is found by whoever comes.
        self.registry.end_removal(asset);
        removed.unwrap_or_else(|| Err(io::Error::other("the disk panicked")))
    }

    /// Removes what is ours in a title's folder, and the folder if nothing else is in it.
    pub(super) fn remove_files(&mut self, asset: AssetId, pinned: Pinned) -> io::Result<Removal> {
        let Folder { disk, layout, .. } = &self.folder;
        let path = layout.asset(asset);
        if !self.folder.is_directory(asset)? {
            return Ok(Removal::Absent);
        }
        let lease = path.join(Layout::LEASE);
        let Some(lock) = disk.lock(&lease, LockKind::Exclusive)? else {
            return Ok(Removal::InUse);
        };
        let listed = disk.list(&path)?;
        let is_pinned = account(&listed).is_some_and(|account| account.pinned);
        if is_pinned && pinned == Pinned::Stay {
            return Ok(Removal::Pinned);
        }
        self.spoil();
        let Folder { disk, layout, .. } = &self.folder;
        self.anchored.remove(&asset);
        for file in &listed {
            let ours = Layout::parse_file(&file.name) != Named::Foreign;
            if ours && file.name != Layout::LEASE {
                disk.remove_file(&path.join(&file.name))?;
            }
        }
        if pinned == Pinned::Go {
            // The user wants it gone: neither its bytes nor its pin may come back with a power failure.
            disk.sync_dir(&path)?;
        }
        // The lock's own file goes last: without it, another process could begin to fill what is being removed.
        disk.remove_file(&lease)?;
        drop(lock);
        // Something of somebody else's may be in it.
        let _ = disk
            .remove_dir(&path)
            .and_then(|()| disk.remove_dir(&layout.shelf(asset)));
        Ok(Removal::Done)
    }
}
