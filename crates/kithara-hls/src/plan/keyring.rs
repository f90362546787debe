//! The keys of a stream: each fetched once, in memory only.

use std::sync::{Arc, OnceLock};

use kithara_drm::{Key, Zeroizing, wipe};
use kithara_stream::net::{Attempts, Bytes, Purpose, Zone};
use kithara_stream::{Load, StreamError, Wish};
use url::Url;

use super::{Document, HlsPlan, Loading, shown};
use crate::decryption::KeySlot;
use crate::failure::HlsError;

/// So many keys are held at once.
const KEYS: usize = 64;
/// No key is longer, not even one that is wrapped.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct KeyRing {
    keys: Vec<Entry>,
}

struct Entry {
    url: Url,
    zone: Zone,
    slot: KeySlot,
    loading: bool,
}

/// Prints no query and no user information.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", shown(&self.url), self.slot.get().is_some())
    }
}

impl KeyRing {
    /// The place of a key that is known.
    fn find(&self, url: &Url) -> Option<usize> {
        self.keys.iter().position(|key| key.url == *url)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn slot(&self, key: usize) -> KeySlot {
        Arc::clone(&self.keys[key].slot)
    }

    pub(super) fn is_here(&self, key: usize) -> bool {
        self.keys[key].slot.get().is_some()
    }

    pub(super) fn name(&self, key: usize) -> String {
        shown(&self.keys[key].url)
    }

    pub(super) fn forget_loading(&mut self) {
        self.keys.iter_mut().for_each(|key| key.loading = false);
    }
}

impl HlsPlan {
    /// The place of a key.
    pub(super) fn place_key(&mut self, url: Url, zone: Zone) -> usize {
        if let Some(known) = self.keys.find(&url) {
            return known;
        }
        let key = Entry {
            url,
            zone,
            slot: Arc::new(OnceLock::new()),
            loading: false,
        };
        // A stream that goes on for days has many: one that is not in use gives way, and is wiped.
        let count = self.keys.keys.len();
        let idle = (count >= KEYS).then(|| self.idle_key()).flatten();
        match idle {
            Some(idle) => {
                self.keys.keys[idle] = key;
                idle
            }
            None => {
                self.keys.keys.push(key);
                count
            }
        }
    }

    /// A key that nothing laid needs.
    fn idle_key(&self) -> Option<usize> {
        let keys = self.keys.keys.iter();
        let mut used: Vec<bool> = keys.map(|key| key.loading).collect();
        let items = self.line.items.iter().chain(&self.line.passed);
        let parts = items.map(|item| &item.part).chain(&self.inits.parts);
        for part in parts {
            if let Some(used) = part.source.key().and_then(|key| used.get_mut(key)) {
                *used = true;
            }
        }
        used.iter().position(|used| !used)
    }

    /// Sees to it that a key comes, once.
    pub(super) fn need_key(&mut self, key: usize) {
        let entry = &mut self.keys.keys[key];
        if entry.loading || entry.slot.get().is_some() {
            return;
        }
        entry.loading = true;
        let url = entry.url.clone();
        match self.key_options.provided(&url) {
            None => self.load_key(key, false),
            Some(provided) => self.take_key(key, provided),
        }
    }

    fn load_key(&mut self, key: usize, again: bool) {
        let id = self.fetch_id();
        let entry = &mut self.keys.keys[key];
        entry.loading = true;
        let zone = Some(entry.zone);
        let (url, headers) = self.key_options.request(&entry.url);
        let load = Loading::new(Document::Key(key), self.now, again);
        self.loads.insert(id, load);
        self.wish(Wish::Load(Load {
            id,
            url,
            purpose: Purpose::Key,
            most: MOST,
            headers,
            zone,
            attempts: Attempts::default(),
        }));
    }

    pub(super) fn read_key(&mut self, key: usize, body: Bytes) {
        let url = self.keys.keys[key].url.clone();
        let bytes = self.key_options.unwrapped(&url, &body);
        // As far as nobody else holds it: the network layer's own buffers are out of reach.
        if let Ok(mut body) = body.try_into_mut() {
            wipe(&mut body);
        }
        self.take_key(key, bytes);
    }

    fn take_key(&mut self, key: usize, bytes: Result<Zeroizing<Vec<u8>>, String>) {
        self.keys.keys[key].loading = false;
        let name = self.keys.name(key);
        let sequence = self.sequence_of_key(key);
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(reason) => {
                let reason = reason.into();
                return self.key_is_none(
                    key,
                    HlsError::KeyRefused {
                        name,
                        sequence,
                        reason,
                    },
                );
            }
        };
        let read = Key::from_response(&bytes);
        match read {
            Err(source) => {
                let error = HlsError::Key {
                    name,
                    sequence,
                    source,
                };
                self.key_is_none(key, error);
            }
            Ok(read) => {
                // Whoever was first was as right.
                let _ = self.keys.keys[key].slot.set(read);
                self.event(crate::HlsEvent::KeyLoaded { name });
                self.give_credit(key);
            }
        }
    }

    pub(super) fn key_failed(&mut self, key: usize, error: StreamError, again: bool) {
        self.keys.keys[key].loading = false;
        if super::failing::is_refusal(&error) && !again {
            return self.load_key(key, true);
        }
        let error = HlsError::KeyLoad {
            name: self.keys.name(key),
            sequence: self.sequence_of_key(key),
            source: super::failing::lasting(error),
        };
        self.key_is_none(key, error);
    }

    /// Whoever needs this key first cannot be had.
    fn key_is_none(&mut self, key: usize, error: HlsError) {
        if let Some(index) = self.item_with_key(key) {
            self.item_failed(index, error);
        }
    }

    fn item_with_key(&self, key: usize) -> Option<usize> {
        let has = |source: &super::item::Source| source.key() == Some(key);
        self.line.items.iter().position(|item| {
            let init = item.init.and_then(|init| self.inits.parts.get(init));
            let init = init.is_some_and(|init| !init.is_whole() && has(&init.source));
            init || !item.part.is_whole() && has(&item.part.source)
        })
    }

    fn sequence_of_key(&self, key: usize) -> u64 {
        let index = self.item_with_key(key);
        index.map_or(0, |index| self.line.items[index].sequence)
    }

    /// The key is there: what waits for it may come.
    fn give_credit(&mut self, key: usize) {
        let items = self.line.items.iter_mut().map(|item| &mut item.part);
        let parts = items.chain(&mut self.inits.parts);
        let mut granted = Vec::new();
        for part in parts {
            if part.source.key() == Some(key)
                && let Some(transfer) = &mut part.transfer
                && std::mem::take(&mut transfer.waits_for_key)
            {
                granted.push(transfer.id);
            }
        }
        for fetch in granted {
            let until = u64::MAX;
            self.wish(Wish::Credit { fetch, until });
        }
    }
}
