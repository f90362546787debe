//! From the URL to something that plays: the first playlist, and what it lists.

use kithara_abr::{AbrController, Variant, VariantInfo};
use kithara_stream::net::{Attempts, Bytes, Headers, Purpose, ResponseHead};
use kithara_stream::{FetchId, Load, Wish};

use super::lists::Track;
use super::{Arrival, Document, HlsPlan, Loading, Place, Stage, is_file, shown};
use crate::failure::HlsError;
use crate::{HlsEvent, ParseContext, Playlist, PlaylistError, PlaylistLimits};

impl HlsPlan {
    pub(super) fn load_entry(&mut self) {
        self.stage = Stage::Opening;
        self.load_playlist(Document::Entry, false);
    }

    /// Begins to load a playlist; `again` if it was refused once. What is kept of it is looked up first.
    pub(super) fn load_playlist(&mut self, what: Document, again: bool) -> FetchId {
        let fetch = self.fetch_id();
        let load = Loading::new(what, self.now, again);
        self.loads.insert(fetch, load);
        match self.note_of(what).filter(|_| !again) {
            Some(key) => self.wish(Wish::Recall { fetch, key }),
            None => self.ask(fetch),
        }
        fetch
    }

    /// Asks for a playlist.
    pub(super) fn ask(&mut self, id: FetchId) {
        let Some(load) = self.loads.get(&id) else {
            return;
        };
        let (url, zone) = self.place_of(load.what);
        // Who knows what to play does without an answer.
        let until = if load.kept.is_some() { 2 } else { u32::MAX };
        self.wish(Wish::Load(Load {
            id,
            url,
            purpose: Purpose::Playlist,
            most: PlaylistLimits::default().bytes,
            headers: Headers::new(),
            zone,
            attempts: Attempts {
                until,
                ..Attempts::default()
            },
        }));
    }

    pub(super) fn handle_loaded(&mut self, fetch: FetchId, head: &ResponseHead, bytes: Bytes) {
        let Some(load) = self.loads.remove(&fetch) else {
            return;
        };
        let place = Place {
            base: head.base.clone(),
            zone: head.zone,
        };
        let arrival = Arrival {
            place,
            since: load.since,
            keep: !head.no_store || self.policy.ignore_no_store,
        };
        match load.what {
            Document::Entry => self.read_entry(arrival, &bytes),
            Document::List(variant) => self.read_list(variant, arrival, &bytes),
            Document::Key(key) => self.read_key(key, bytes),
        }
    }

    pub(super) fn read_entry(&mut self, arrival: Arrival, bytes: &[u8]) {
        let Arrival {
            mut place,
            since,
            keep,
        } = arrival;
        if let Some(url) = &self.base_url {
            place.base = url.clone().into();
        }
        let context = ParseContext {
            query: self.url.query(),
            ..ParseContext::default()
        };
        match Playlist::parse(bytes, &context) {
            Err(source) => self.refuse_entry(source),
            Ok(Playlist::Multivariant(playlist)) => {
                self.start = playlist.start();
                let choices = match playlist.choose(&self.audio) {
                    Ok(choices) => choices,
                    Err(source) => return self.refuse_entry(source),
                };
                if keep {
                    self.keep_choices(&place, &choices.variants);
                }
                self.variables = Some(playlist.variables().clone());
                let (ladder, variants) = (choices.ladder(), choices.infos());
                for choice in &choices.variants {
                    let url = place.base.join(choice.reference.as_str());
                    self.tracks.push(Track::new(url, Some(place.zone)));
                }
                let urls = self.tracks.iter().map(|track| track.url.as_ref());
                if urls.flatten().all(is_file) {
                    // The best of them costs no more than any other.
                    self.options.initial_bps = u64::MAX;
                }
                if !playlist.session_data().is_empty() {
                    let data = playlist.session_data().to_vec();
                    self.event(HlsEvent::SessionData(data));
                }
                let dropped = choices.dropped;
                self.event(HlsEvent::Variants { variants, dropped });
                self.abr = AbrController::new(self.options.clone(), &ladder);
            }
            Ok(Playlist::Media(playlist)) => {
                self.tracks.push(Track::new(Some(self.url.clone()), None));
                let variants = vec![VariantInfo::new(0)];
                let dropped = Vec::new();
                self.event(HlsEvent::Variants { variants, dropped });
                let only = Variant {
                    variant_index: 0,
                    bandwidth_bps: 0,
                };
                self.abr = AbrController::new(self.options.clone(), &[only]);
                if keep {
                    self.keep_list(&self.url.clone(), &place, &playlist);
                }
                self.take_list(0, place, playlist, since);
            }
        }
    }

    fn refuse_entry(&mut self, source: PlaylistError) {
        let name = shown(&self.url);
        self.fail(HlsError::Playlist { name, source });
    }
}
