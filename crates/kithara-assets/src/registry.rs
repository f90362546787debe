//! What of a store is open in this process.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::body::{Body, Seat};
use crate::lease::{Hold, Locks};
use crate::store::Inner;
use crate::{AssetId, ResourceKey};

/// What of a store is open in this process.
#[derive(Default)]
pub(crate) struct Registry {
    // Whoever opens something and the keeper, which must not remove what is being opened: each looks and notes in one
    // step. Never held while the disk is used.
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    bodies: HashMap<ResourceKey, Arc<Body>>,
    holds: HashMap<AssetId, Known>,
    /// How many of these were left when those that nobody has were last looked for.
    swept: usize,
    /// Titles whose files are being removed: for who opens one, they are gone.
    leaving: HashSet<AssetId>,
}

/// What is known of a title.
#[derive(Default)]
struct Known {
    hold: Weak<Hold>,
    locks: Arc<Locks>,
}

/// What a newcomer finds.
pub(crate) struct Arrival {
    pub(crate) body: Arc<Body>,
    /// The title is being removed: there is nothing to look at on disk.
    pub(crate) leaving: bool,
}

impl Open {
    fn hold(&mut self, asset: AssetId) -> Arc<Hold> {
        let known = self.holds.entry(asset).or_default();
        known.hold.upgrade().unwrap_or_else(|| {
            let hold = Arc::new(Hold::new(asset, known.locks.clone()));
            known.hold = Arc::downgrade(&hold);
            hold
        })
    }
}

impl Open {
    fn is_used(&self, asset: AssetId) -> bool {
        let hold = self
            .holds
            .get(&asset)
            .and_then(|known| known.hold.upgrade());
        hold.is_some_and(|hold| hold.is_used())
    }
}

impl Registry {
    /// The body of a key, announced to it.
    pub(crate) fn arrive(&self, key: ResourceKey, store: &Inner) -> Arrival {
        let mut open = self.open.lock();
        let leaving = open.leaving.contains(&key.asset);
        if let Some(body) = open.bodies.get(&key).filter(|body| !body.is_superseded()) {
            body.expect();
            return Arrival {
                body: body.clone(),
                leaving,
            };
        }
        let hold = open.hold(key.asset);
        let body = Arc::new(store.body(key, hold));
        body.expect();
        open.bodies.insert(key, body.clone());
        Arrival { body, leaving }
    }

    /// A seat at the body that takes the place of `old`: a new one, unless somebody else has brought one already.
    pub(crate) fn replace(&self, old: &Arc<Body>, store: &Inner) -> Seat {
        let body = {
            let mut open = self.open.lock();
            match open.bodies.get(&old.key) {
                Some(body) if body.id != old.id => {
                    body.expect();
                    body.clone()
                }
                _ => {
                    let body = Arc::new(store.body(old.key, old.hold.clone()));
                    body.expect();
                    // Nothing on disk is of this generation.
                    body.look(|| body.take_after(old));
                    open.bodies.insert(old.key, body.clone());
                    body
                }
            }
        };
        body.sit_down()
    }

    /// Forgets a body, unless somebody has come meanwhile or it has been replaced; whether it is gone.
    pub(crate) fn retire(&self, body: &Arc<Body>) -> bool {
        let mut open = self.open.lock();
        if !body.retire() {
            return false;
        }
        if open
            .bodies
            .get(&body.key)
            .is_some_and(|known| known.id == body.id)
        {
            open.bodies.remove(&body.key);
        }
        // The body still has its own: looked for now and then, so that each costs the same, however many there are.
        if open.holds.len() > 2 * open.swept + 16 {
            open.holds.retain(|_, known| known.locks.are_wanted());
            open.swept = open.holds.len();
        }
        true
    }

    /// Notes that a title's files are going to be removed; `false` if somebody has it open, or something of it is still to
    /// be saved.
    pub(crate) fn begin_removal(&self, asset: AssetId) -> bool {
        let mut open = self.open.lock();
        if open.is_used(asset) {
            return false;
        }
        let Open { bodies, holds, .. } = &mut *open;
        let mut of_asset = bodies.iter().filter(|(key, _)| key.asset == asset);
        // All or none: who comes to one that was retired would write for nobody.
        if !of_asset.all(|(_, body)| body.may_retire()) {
            return false;
        }
        bodies.retain(|key, body| key.asset != asset || !body.retire());
        if let Some(hold) = holds.remove(&asset).and_then(|known| known.hold.upgrade()) {
            hold.let_go();
        }
        open.leaving.insert(asset);
        true
    }

    pub(crate) fn end_removal(&self, asset: AssetId) {
        self.open.lock().leaving.remove(&asset);
    }

    /// Whether somebody in this process has the title open.
    pub(crate) fn is_open(&self, asset: AssetId) -> bool {
        self.open.lock().is_used(asset)
    }

    /// The title's hold, if somebody has it open.
    pub(crate) fn hold(&self, asset: AssetId) -> Option<Arc<Hold>> {
        let open = self.open.lock();
        open.holds
            .get(&asset)
            .and_then(|known| known.hold.upgrade())
    }

    /// Nothing is written any more.
    pub(crate) fn stop_filling(&self) {
        for known in self.open.lock().holds.values() {
            known.locks.stop_filling();
        }
    }

    /// Everything that is open.
    pub(crate) fn bodies(&self) -> Vec<Arc<Body>> {
        self.open.lock().bodies.values().cloned().collect()
    }
}
