//! Playlists kept beside the title, so that what was played plays again where nobody answers.

use std::ops::Range;
use std::sync::Arc;

use kithara_stream::assets::ResourceKey;
use kithara_stream::net::{AddressClass, Bytes, NetError, RedactedUrl, TimeoutPhase, Zone};
use kithara_stream::{FetchId, StreamError, Wish};
use url::Url;

use super::item::Owner;
use super::{Arrival, Document, HlsPlan, Loading, Place, is_file};
use crate::MediaPlaylist;
use crate::multivariant::Choice;
use crate::shelved::{self, SCHEME};

impl HlsPlan {
    /// What the store calls the note of a playlist, if it is to be looked up: what changes is asked for, and what is on this
    /// machine is read there.
    pub(super) fn note_of(&self, what: Document) -> Option<ResourceKey> {
        let names = self.names.as_ref()?;
        let url = match what {
            Document::Entry => self.url.clone(),
            Document::List(variant) if self.window(variant).is_none() => self.place_of(what).0,
            Document::List(_) | Document::Key(_) => return None,
        };
        (!is_file(&url)).then(|| names.note(&url))
    }

    /// What is kept of a playlist is known: now its server is asked, if there is one to ask.
    pub(super) fn handle_recalled(&mut self, fetch: FetchId, bytes: Option<Bytes>) {
        let Some(load) = self.loads.get_mut(&fetch) else {
            return;
        };
        load.kept = bytes;
        let what = load.what;
        if self.place_of(what).0.scheme() != SCHEME {
            return self.ask(fetch);
        }
        if let Some(load) = self.loads.remove(&fetch) {
            let error = StreamError::Net(self.nobody_answers());
            self.load_failed(load, error);
        }
    }

    /// Plays what is kept of a playlist that could not be had, if anything is; or else hands the matter back.
    pub(super) fn take_kept(&mut self, mut load: Loading, error: &StreamError) -> Option<Loading> {
        let refused = super::failing::is_refusal(error);
        let Some(kept) = load.kept.take().filter(|_| !refused) else {
            return Some(load);
        };
        if let StreamError::Net(error) = error {
            self.offline.get_or_insert_with(|| Arc::clone(error));
        }
        let arrival = Arrival {
            place: Place {
                base: self.url.clone().into(),
                zone: Zone::new(AddressClass::Public, &self.url),
            },
            since: load.since,
            keep: false,
        };
        match load.what {
            Document::Entry => self.read_entry(arrival, &kept),
            Document::List(variant) => self.read_list(variant, arrival, &kept),
            Document::Key(_) => {}
        }
        None
    }

    /// Keeps what there is to choose from.
    pub(super) fn keep_choices(&mut self, place: &Place, choices: &[Choice]) {
        let Some(names) = &self.names else { return };
        let name = |reference: &str| Some(names.note(&place.base.join(reference)?).name());
        let text = shelved::multivariant(choices, name);
        self.keep(&self.url.clone(), text);
    }

    /// Keeps a playlist that has ended.
    pub(super) fn keep_list(&mut self, url: &Url, place: &Place, playlist: &MediaPlaylist) {
        let Some(names) = self.names.as_ref() else {
            return;
        };
        if !playlist.is_ended() || !playlist.allows_cache() {
            return;
        }
        let name = |reference: &str, range: Option<&Range<u64>>| {
            Some(names.key(&place.base.join(reference)?, range).name())
        };
        let text = shelved::media(playlist, name);
        self.keep(url, text);
    }

    fn keep(&mut self, url: &Url, text: Option<String>) {
        let names = self.names.as_ref().filter(|_| !is_file(url));
        let key = names.map(|names| names.note(url));
        if let (Some(key), Some(text)) = (key, text) {
            let bytes = text.into();
            self.wish(Wish::Remember { key, bytes });
        }
    }

    /// Why a part that is not stored can't be had.
    pub(super) fn missing(&self, owner: Owner) -> StreamError {
        StreamError::Missing {
            name: super::shown(&self.url),
            offset: self.part(owner).stored,
            source: self.nobody_answers(),
        }
    }

    fn nobody_answers(&self) -> Arc<NetError> {
        self.offline.clone().unwrap_or_else(|| {
            Arc::new(NetError::Timeout {
                url: RedactedUrl::new(&self.url),
                phase: TimeoutPhase::FirstByte,
            })
        })
    }
}
