//! The keeper: the one who changes the folder.
//!
//! A plain struct that does what it is told, one stretch of bytes at a time; `desk.rs` gives it a thread.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kithara_storage::{Committed, Partial, StorageError, Stored};

use crate::body::{Body, Task};
use crate::desk::{Command, Find};
use crate::event::{Listener, Reason, StoreEvent};
use crate::facts::Keep;
use crate::housekeeping::Housekeeping;
use crate::housekeeping::Title;
use crate::registry::Registry;
use crate::store::Folder;
use crate::unnamed::{Allowance, Unnamed};
use crate::window::Stretch;
use crate::{AssetId, ResourceKey, StoreOptions};

/// Where the saved bytes of one body go.
enum Home {
    Partial(Partial),
    Committed(Committed),
    Temporary(Unnamed),
}

/// Saves what entries have written, commits what is whole, and keeps house. Only one per folder and process, and all
/// changes to the folder are its.
pub(crate) struct Keeper {
    folder: Option<Folder>,
    listener: Listener,
    registry: Arc<Registry>,
    house: Option<Housekeeping>,
    /// By the key and the number of the body.
    homes: BTreeMap<(ResourceKey, u64), Home>,
    allowance: Allowance,
    /// Bodies for which there may be something to do.
    waiting: VecDeque<Arc<Body>>,
    settling: Vec<kanal::Sender<()>>,
}

/// Why a stretch was not saved.
enum Refused {
    /// Nothing more of this body will be.
    For(Reason),
    /// Not this one: it doesn't repair what is lost.
    NotNow,
    /// The origin has another content than the one that is stored.
    Differs,
}

impl Keeper {
    pub(crate) fn new(
        folder: Option<Folder>,
        options: &StoreOptions,
        registry: Arc<Registry>,
        listener: Listener,
    ) -> Self {
        let house = folder
            .clone()
            .map(|folder| Housekeeping::new(folder, options, registry.clone(), listener.clone()));
        Self {
            folder,
            listener,
            registry,
            house,
            homes: BTreeMap::new(),
            allowance: Allowance::new(options),
            waiting: VecDeque::new(),
            settling: Vec::new(),
        }
    }

    /// Does, or notes, what it is told.
    pub(crate) fn handle(&mut self, command: Command) {
        match command {
            Command::Found(body, stored) => {
                let home = match stored {
                    Stored::Partial(partial) => Home::Partial(partial),
                    Stored::Committed(committed) => Home::Committed(committed),
                };
                self.homes.insert(place(&body), home);
            }
            Command::Opened(body) => {
                self.waiting.push_back(body.clone());
                if let Some(house) = self.house() {
                    house.touch(&body.hold);
                }
            }
            Command::Attend(body) => self.waiting.push_back(body),
            Command::Validated(hold, at) => {
                if let Some(house) = self.house() {
                    house.validated(&hold, at);
                }
            }
            Command::Settle(reply) => self.settling.push(reply),
            Command::Stop => {}
            question => {
                self.prepare(&question);
                answer(self.house(), question);
            }
        }
    }

    /// Whoever has let go of a title may remove it: what is still to be done for it isn't in his way.
    fn prepare(&mut self, question: &Command) {
        let concerned = |body: &Arc<Body>| match question {
            Command::Remove(asset, _) => body.key.asset == *asset,
            Command::Clear(_) => true,
            _ => false,
        };
        while let Some(at) = self.waiting.iter().position(concerned)
            && let Some(body) = self.waiting.remove(at)
        {
            self.try_attend(&body);
        }
    }

    /// Does one thing for one body; `false` if there is nothing to do.
    pub(crate) fn step(&mut self) -> bool {
        let next = self.waiting.pop_front();
        if let Some(body) = &next {
            self.try_attend(body);
        }
        next.is_some()
    }

    /// A disk that panics over a body has it no more.
    fn try_attend(&mut self, body: &Arc<Body>) {
        if contained(|| self.attend(body)).is_none() {
            self.homes.remove(&place(body));
            body.bypass(None, Reason::Failed);
            self.waiting.push_back(body.clone());
        }
    }

    fn attend(&mut self, body: &Arc<Body>) {
        match body.next_task() {
            Task::Save(stretch) => self.save(body, &stretch),
            Task::Commit(len) => self.commit(body, len),
            Task::KeepIndex(index) => self.keep_index(body, &index),
            Task::Abandon => self.abandon(body),
            Task::Retire => return self.retire(body),
            Task::Nothing => return,
        }
        self.waiting.push_back(body.clone());
    }

    /// Nothing is left to do for now.
    pub(crate) fn rest(&mut self) {
        for reply in self.settling.drain(..) {
            // Who asked may have gone.
            let _ = reply.send(());
        }
    }

    /// Nothing more is coming at all.
    pub(crate) fn finish(&mut self) {
        self.rest();
        self.homes.clear();
        // Readers that are left keep the titles from being removed, and nobody from filling them.
        self.registry.stop_filling();
        if let Some(house) = self.house() {
            house.finish();
        }
    }

    /// The housekeeping, unless the folder can't be used.
    fn house(&mut self) -> Option<&mut Housekeeping> {
        let usable = self.folder.as_ref().is_some_and(Folder::is_usable);
        self.house.as_mut().filter(|_| usable)
    }

    fn retire(&mut self, body: &Arc<Body>) {
        if self.registry.retire(body) {
            self.homes.remove(&place(body));
            self.waiting.retain(|other| other.id != body.id);
            // It is retired all the same.
            contained(|| self.measure(body.key.asset));
        }
    }

    fn save(&mut self, body: &Arc<Body>, stretch: &Stretch) {
        match self.try_save(body, stretch) {
            Ok(()) => body.saved(stretch.range()),
            Err(Refused::NotNow) => body.not_saved(stretch.offset),
            Err(Refused::For(reason)) => body.bypass(Some(stretch.offset), reason),
            Err(Refused::Differs) => {
                body.not_saved(stretch.offset);
                body.supersede();
            }
        }
    }

    fn try_save(&mut self, body: &Arc<Body>, stretch: &Stretch) -> Result<(), Refused> {
        self.settle_in(body).map_err(Refused::For)?;
        let len = stretch.bytes.len() as u64;
        let asset = body.key.asset;
        if !self.is_ours(body) {
            return Err(Refused::For(Reason::Failed));
        }
        let temporary = matches!(self.homes.get(&place(body)), Some(Home::Temporary(_)));
        if temporary {
            self.allow(body, len).map_err(Refused::For)?;
        } else if let Some(house) = self.house() {
            house.make_room(len, &title(body)).map_err(Refused::For)?;
        }
        let saved = match self.put(body, stretch) {
            Err(Put::Full) if !temporary => {
                // The disk is fuller than we thought: whatever can go makes room, once.
                let house = self.house().ok_or(Refused::For(Reason::Full))?;
                house
                    .make_room_on_disk(len, &title(body))
                    .map_err(Refused::For)?;
                self.put(body, stretch)
            }
            done => done,
        };
        match saved {
            Ok(()) => {
                if !temporary && let Some(house) = self.house() {
                    house.grown(asset, len);
                }
                Ok(())
            }
            Err(Put::Full) => Err(Refused::For(Reason::Full)),
            Err(Put::Failed) => Err(Refused::For(Reason::Failed)),
            Err(Put::NotNow) => Err(Refused::NotNow),
            Err(Put::Differs) => Err(Refused::Differs),
        }
    }

    /// Whether so much more may lie in a temporary file.
    fn allow(&mut self, body: &Body, more: u64) -> Result<(), Reason> {
        let unnamed = self.homes.values().filter_map(|home| match home {
            Home::Temporary(unnamed) => Some(unnamed.bytes()),
            _ => None,
        });
        let all = unnamed.fold(0, u64::saturating_add);
        let own = match self.homes.get(&place(body)) {
            Some(Home::Temporary(unnamed)) => unnamed.bytes(),
            _ => 0,
        };
        let total = body.facts().total;
        match self.allowance.take(all, own, total, more) {
            true => Ok(()),
            false => Err(Reason::Full),
        }
    }

    /// Whether the files of a body may still be changed. Where somebody has cleaned up, another process may have made files of
    /// the same names.
    fn is_ours(&self, body: &Body) -> bool {
        match self.homes.get(&place(body)) {
            Some(Home::Partial(_)) => body.hold.may_fill(),
            Some(Home::Committed(_)) => body.hold.is_in_force(),
            Some(Home::Temporary(_)) | None => true,
        }
    }

    fn put(&mut self, body: &Body, stretch: &Stretch) -> Result<(), Put> {
        let Some(home) = self.homes.get_mut(&place(body)) else {
            return Err(Put::Failed);
        };
        let put = match home {
            Home::Partial(partial) => partial.save(stretch.offset, &stretch.bytes),
            Home::Committed(committed) => {
                if committed.extent_at(stretch.offset) != Some(stretch.range()) {
                    return Err(Put::NotNow);
                }
                committed.repair(stretch.offset, &stretch.bytes)
            }
            Home::Temporary(unnamed) => unnamed.save(stretch),
        };
        put.map_err(|error| match error {
            StorageError::Full { .. } => Put::Full,
            StorageError::Differs { .. } => Put::Differs,
            error => {
                tracing::debug!(target: "kithara_assets", kind = ?kind(&error), "cannot save");
                Put::Failed
            }
        })
    }

    /// Sees to it that the body has a home.
    fn settle_in(&mut self, body: &Arc<Body>) -> Result<(), Reason> {
        if self.homes.contains_key(&place(body)) {
            return Ok(());
        }
        // What had the key before must have let go of its files before they are made anew.
        while let Some((before, _)) = self.homes.range((body.key, 0)..).next()
            && before.0 == body.key
        {
            let before = *before;
            self.homes.remove(&before);
        }
        let on_disk = self.folder.as_ref().is_none_or(Folder::is_real);
        if body.keep() == Keep::No {
            return self.settle_in_temporary(body, on_disk, Reason::NoStore);
        }
        let house = self.house().ok_or(Reason::Unusable)?;
        house.could_hold(&title(body))?;
        if !house.make_asset(&body.hold)? {
            self.listener.tell(StoreEvent::SharedByProcess);
            return self.settle_in_temporary(body, on_disk, Reason::SharedByProcess);
        }
        let partial = house.begin(&body.key, &body.facts(), body.generation())?;
        body.rest_on(partial.checked());
        self.homes.insert(place(body), Home::Partial(partial));
        Ok(())
    }

    fn settle_in_temporary(
        &mut self,
        body: &Arc<Body>,
        on_disk: bool,
        otherwise: Reason,
    ) -> Result<(), Reason> {
        if !on_disk {
            return Err(otherwise);
        }
        let made = Unnamed::make(self.folder.as_ref());
        let (unnamed, resource) = made.map_err(|_| otherwise)?;
        body.rest_on_temporary(resource);
        self.homes.insert(place(body), Home::Temporary(unnamed));
        Ok(())
    }

    fn commit(&mut self, body: &Arc<Body>, len: u64) {
        // An empty resource was never saved, and so has no files yet.
        if let Err(reason) = self.settle_in(body) {
            return body.bypass(None, reason);
        }
        if !self.is_ours(body) {
            return body.bypass(None, Reason::Failed);
        }
        match self.homes.remove(&place(body)) {
            Some(Home::Partial(partial)) => self.commit_partial(body, partial, len),
            Some(home) => {
                self.homes.insert(place(body), home);
                body.committed();
            }
            None => body.bypass(None, Reason::Failed),
        }
    }

    fn commit_partial(&mut self, body: &Arc<Body>, partial: Partial, len: u64) {
        let asset = body.key.asset;
        let label = body.facts().to_label();
        // The names above the file first: what is told to be committed must be found after a power failure.
        let anchored = match self.house() {
            Some(house) => house
                .anchor(asset)
                .and_then(|()| house.make_room((label.len() + 4096) as u64, &title(body))),
            None => Err(Reason::Unusable),
        };
        if let Err(reason) = anchored {
            self.homes.insert(place(body), Home::Partial(partial));
            return body.bypass(None, reason);
        }
        match partial.commit(len, &label) {
            Ok(committed) => {
                body.rest_on(committed.checked());
                self.homes.insert(place(body), Home::Committed(committed));
                body.committed();
                self.listener.tell(StoreEvent::Committed { bytes: len });
            }
            Err((partial, error)) => self.not_committed(body, partial, &error),
        }
        if let Some(house) = self.house() {
            house.measure(asset);
        }
    }

    /// Saves what was found out about a resource that is being kept. It is no reason to remove anything else.
    fn keep_index(&mut self, body: &Arc<Body>, index: &[u8]) {
        let is_kept = matches!(
            self.homes.get(&place(body)),
            Some(Home::Partial(_) | Home::Committed(_))
        );
        if !is_kept || !self.is_ours(body) {
            return;
        }
        let more = index.len() as u64;
        if !self.house().is_some_and(|house| house.has_room(more)) {
            return;
        }
        if let Some(folder) = &self.folder
            && let Err(error) = folder.files(&body.key).keep_index(body.generation(), index)
        {
            tracing::debug!(target: "kithara_assets", kind = ?kind(&error), "cannot keep an index");
        }
        self.measure(body.key.asset);
    }

    fn not_committed(&mut self, body: &Arc<Body>, partial: Partial, error: &StorageError) {
        tracing::debug!(target: "kithara_assets", kind = ?kind(error), "cannot commit");
        let distrusted = partial.is_distrusted();
        match error {
            // Found out late: it is fetched again, and then committed.
            StorageError::Lost { range, .. } | StorageError::Incomplete { gap: range, .. }
                if !distrusted =>
            {
                body.missing(range.clone());
                self.homes.insert(place(body), Home::Partial(partial));
                return;
            }
            _ if distrusted => {
                // Nobody knows what these files hold; who has them open finds out by the sums.
                drop(partial);
                self.remove_files(&body.key);
            }
            _ => {
                self.homes.insert(place(body), Home::Partial(partial));
            }
        }
        let full = matches!(error, StorageError::Full { .. });
        let reason = if full { Reason::Full } else { Reason::Failed };
        body.bypass(None, reason);
    }

    /// Something newer has taken the body's place.
    fn abandon(&mut self, body: &Arc<Body>) {
        // Without a home it has no files; those that are there may be its successor's, or another process's.
        if let Some(home) = self.homes.remove(&place(body))
            && !matches!(home, Home::Temporary(_))
            && let Some(Folder { disk, layout, .. }) = &self.folder
            && body.hold.is_in_force()
            && body.hold.fill(&**disk, layout).unwrap_or(false)
        {
            drop(home);
            self.remove_files(&body.key);
            self.measure(body.key.asset);
        }
    }

    fn remove_files(&mut self, key: &ResourceKey) {
        if let Some(folder) = &self.folder
            && let Err(error) = folder.files(key).remove()
        {
            tracing::debug!(target: "kithara_assets", kind = ?kind(&error), "cannot remove files");
        }
    }

    fn measure(&mut self, asset: AssetId) {
        if let Some(house) = self.house() {
            house.measure(asset);
        }
    }
}

/// The disk may be the caller's own, and what it panics with takes nobody along: `None`.
pub(crate) fn contained<T>(part: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(part));
    if done.is_err() {
        tracing::error!(target: "kithara_assets", "the disk panicked");
    }
    done.ok()
}

/// Where a body's home is found.
fn place(body: &Body) -> (ResourceKey, u64) {
    (body.key, body.id)
}

/// What is known of a body's title.
fn title(body: &Body) -> Title {
    Title {
        asset: body.key.asset,
        total: body.facts().total,
    }
}

/// Why bytes were not put where they belong.
enum Put {
    Full,
    Failed,
    NotNow,
    Differs,
}

/// Answers a question of the user's.
fn answer(house: Option<&mut Housekeeping>, question: Command) {
    use crate::AssetError;
    // Whoever asked may have gone: then nobody cares.
    match (question, house) {
        (Command::Pin(asset, reply), Some(house)) => drop(reply.send(house.pin(asset))),
        (Command::Pin(_, reply), None) => drop(reply.send(Err(AssetError::MemoryOnly))),
        (Command::Unpin(asset, reply), Some(house)) => drop(reply.send(house.unpin(asset))),
        (Command::Unpin(_, reply), None) => drop(reply.send(Ok(()))),
        (Command::Remove(asset, reply), Some(house)) => drop(reply.send(house.remove(asset))),
        (Command::Remove(_, reply), None) => drop(reply.send(Ok(false))),
        (Command::Clear(reply), Some(house)) => drop(reply.send(house.clear())),
        (Command::List(Find::All, reply), Some(house)) => drop(reply.send(house.list())),
        (Command::List(Find::One(asset), reply), Some(house)) => {
            drop(reply.send(house.info(asset).into_iter().collect()));
        }
        // The reply is dropped, and who asked is told nothing: the answer for an empty store.
        _ => {}
    }
}

/// What may be logged of an error: its path would name the user's folders.
pub(crate) fn kind(error: &StorageError) -> Option<io::ErrorKind> {
    match error {
        StorageError::Io { source, .. } | StorageError::Full { source, .. } => Some(source.kind()),
        _ => None,
    }
}
