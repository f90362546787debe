//! The media playlists: which are loaded, and when they are loaded again.

use std::sync::Arc;
use std::time::Duration;

use kithara_stream::net::{NetError, RedactedUrl, TimeoutPhase, Zone};
use kithara_stream::{FetchId, StreamError};
use url::Url;

use super::{Arrival, Document, HlsPlan, Loading, Place, Stage, shown};
use crate::failure::HlsError;
use crate::{Freshness, HlsEvent, MediaPlaylist, Merge, ParseContext, Window};

/// A live playlist is not loaded again while nobody has read anything for so many target durations.
const IDLE_TARGETS: u32 = 10;

/// One variant.
#[derive(Debug)]
pub(super) struct Track {
    /// Its media playlist; `None` if what refers to it is no URL.
    pub(super) url: Option<Url>,
    zone: Option<Zone>,
    pub(super) list: Option<List>,
    loading: Option<FetchId>,
    /// Why it was not to be had when it was asked for last, if that will not change.
    refused: Option<HlsError>,
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) window: Window,
    pub(super) place: Place,
}

impl Track {
    pub(super) fn new(url: Option<Url>, zone: Option<Zone>) -> Self {
        Self {
            url,
            zone,
            list: None,
            loading: None,
            refused: None,
        }
    }

    pub(super) fn forget_loading(&mut self) {
        self.loading = None;
    }
}

impl HlsPlan {
    /// The variant that is being laid.
    pub(super) fn current(&self) -> Option<usize> {
        self.abr.as_ref()?.current()
    }

    pub(super) fn window(&self, variant: usize) -> Option<&Window> {
        let list = self.tracks.get(variant)?.list.as_ref()?;
        Some(&list.window)
    }

    pub(super) fn current_window(&self) -> Option<&Window> {
        self.window(self.current()?)
    }

    /// Whether a variant's playlist can be laid from now; if not, it is being loaded.
    pub(super) fn is_ready(&mut self, variant: usize) -> bool {
        let stale = match self.window(variant) {
            None => true,
            Some(window) => window
                .next_reload()
                .is_some_and(|at| at <= self.now && self.current() != Some(variant)),
        };
        if stale {
            self.load_list(variant, false);
        }
        !stale
    }

    fn load_list(&mut self, variant: usize, again: bool) {
        let Some(track) = self.tracks.get(variant).filter(|one| one.loading.is_none()) else {
            return;
        };
        if track.url.is_none() {
            let name = shown(&self.url);
            let what = "media playlist";
            return self.list_failed(variant, HlsError::Reference { name, what });
        }
        let id = self.load_playlist(Document::List(variant), again);
        self.tracks[variant].loading = Some(id);
    }

    /// Where a playlist is, and which document named it.
    pub(super) fn place_of(&self, what: Document) -> (Url, Option<Zone>) {
        let track = match what {
            Document::List(variant) => self.tracks.get(variant),
            Document::Entry | Document::Key(_) => None,
        };
        let named = track.and_then(|track| Some((track.url.clone()?, track.zone)));
        named.unwrap_or_else(|| (self.url.clone(), None))
    }

    pub(super) fn read_list(&mut self, variant: usize, arrival: Arrival, bytes: &[u8]) {
        let Arrival { place, since, keep } = arrival;
        let track = &mut self.tracks[variant];
        (track.loading, track.refused) = (None, None);
        let url = track.url.clone();
        let context = ParseContext {
            query: url.as_ref().and_then(Url::query),
            parent: self.variables.as_ref(),
            ..ParseContext::default()
        };
        match MediaPlaylist::parse(bytes, &context) {
            Ok(playlist) => {
                if let Some(url) = url.filter(|_| keep) {
                    self.keep_list(&url, &place, &playlist);
                }
                self.take_list(variant, place, playlist, since);
            }
            Err(source) => {
                let name = self.list_name(variant);
                let error = HlsError::Playlist { name, source };
                self.list_failed(variant, error);
            }
        }
    }

    /// A media playlist is here, asked for at `requested`.
    pub(super) fn take_list(
        &mut self,
        variant: usize,
        place: Place,
        playlist: MediaPlaylist,
        requested: Duration,
    ) {
        let now = self.now;
        let (segments, notes) = (playlist.len(), playlist.notes().to_vec());
        let date_ranges = playlist.date_ranges().to_vec();
        if playlist.is_empty() && playlist.is_ended() {
            let name = self.list_name(variant);
            return self.list_failed(variant, HlsError::Empty { name });
        }
        let merge = if let Some(list) = &mut self.tracks[variant].list {
            list.place = place;
            Some(list.window.handle_reload(playlist, requested, now))
        } else {
            let beside = self.tracks.iter().find_map(|track| track.list.as_ref());
            let window = match beside {
                Some(other) => Window::beside(&other.window, playlist, requested, now),
                None => Window::new(playlist, requested, now),
            };
            self.tracks[variant].list = Some(List { window, place });
            None
        };
        self.event(HlsEvent::PlaylistLoaded {
            variant,
            merge,
            segments,
            date_ranges,
            notes,
        });
        if merge != Some(Merge::Unchanged) {
            self.told.late = None;
        }
        if self.stage == Stage::Opening && segments > 0 {
            self.begin(variant);
        }
    }

    /// A playlist could not be loaded, or not be read.
    pub(super) fn list_failed(&mut self, variant: usize, error: HlsError) {
        let expired = super::failing::is_expired(&error);
        let track = &mut self.tracks[variant];
        (track.loading, track.refused) = (None, expired.then(|| error.clone()));
        let now = self.now;
        if let Some(list) = &mut self.tracks[variant].list {
            // What is known stays good; the next attempt comes as after an unchanged one.
            list.window.handle_failure(now);
            if self.current() == Some(variant) {
                return;
            }
        }
        self.tracks[variant].list = None;
        self.exclude(variant);
        if self.is_hopeless() {
            self.fail(error);
        }
    }

    /// A load failed for good, as far as the network layer is concerned.
    pub(super) fn load_failed(&mut self, load: Loading, error: StreamError) {
        let Some(load) = self.take_kept(load, &error) else {
            return;
        };
        let refused = super::failing::is_refusal(&error);
        match load.what {
            Document::Entry if refused && !load.again => {
                self.load_playlist(Document::Entry, true);
            }
            Document::Entry => {
                let name = shown(&self.url);
                self.fail(HlsError::Load {
                    name,
                    source: error,
                });
            }
            Document::List(variant) => {
                self.tracks[variant].loading = None;
                if refused && !load.again {
                    return self.load_list(variant, true);
                }
                let name = self.list_name(variant);
                let source = super::failing::lasting(error);
                self.list_failed(variant, HlsError::Load { name, source });
            }
            Document::Key(key) => self.key_failed(key, error, load.again),
        }
    }

    pub(super) fn list_name(&self, variant: usize) -> String {
        let url = self.tracks[variant].url.as_ref();
        shown(url.unwrap_or(&self.url))
    }

    /// When the playlist that plays is loaded again.
    pub(super) fn next_reload(&self) -> Option<Duration> {
        let variant = self.current().filter(|_| self.reloads())?;
        let track = self
            .tracks
            .get(variant)
            .filter(|one| one.loading.is_none())?;
        track.list.as_ref()?.window.next_reload()
    }

    /// When what is known of it becomes too old.
    pub(super) fn next_freshness(&self) -> Option<Duration> {
        let window = self.current_window().filter(|_| self.reloads())?;
        window.next_change_of_freshness(self.now)
    }

    /// Whether anybody is there for whom it should be loaded again.
    fn reloads(&self) -> bool {
        let Some(window) = self.current_window() else {
            return false;
        };
        let idle = window.expected() * IDLE_TARGETS;
        // Who waits for the first run, or behind one that is over, says nothing.
        let is_last = self.line.items.len() <= self.line.reader + 1;
        let reads = (!self.line.open_run && is_last)
            || self.demand.wanted.is_some()
            || self.now < self.last_demand + idle;
        match self.stage {
            // Whoever opens it waits.
            Stage::Opening => true,
            Stage::Playing => reads,
            Stage::Fresh | Stage::Ended | Stage::Failed => false,
        }
    }

    pub(super) fn handle_tick(&mut self) {
        let now = self.now;
        let over = |load: &Loading| load.limit() <= now;
        let late: Vec<FetchId> = self
            .loads
            .iter()
            .filter(|(_, load)| over(load))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(load) = self.loads.remove(&id) {
                self.wish(kithara_stream::Wish::Abort(id));
                let url = RedactedUrl::new(&self.place_of(load.what).0);
                let phase = TimeoutPhase::Throughput;
                let error = Arc::new(NetError::Timeout { url, phase });
                self.load_failed(load, StreamError::Net(error));
            }
        }
        // Behind what is given up there is somebody who waits for the list.
        self.look_at_patience();
        if self.next_reload().is_some_and(|at| at <= now)
            && let Some(variant) = self.current()
        {
            self.load_list(variant, false);
        }
        self.look_at_freshness();
        self.look_at_speed();
    }

    fn look_at_freshness(&mut self) {
        let now = self.now;
        let Some((variant, window)) = self.current().zip(self.current_window()) else {
            return;
        };
        // After a rest nothing is known before the next answer.
        let target = window.expected();
        let rested = window.next_reload().is_some_and(|at| at + target < now);
        if rested || !self.reloads() {
            return;
        }
        let fresh = window.freshness(now);
        if fresh == Freshness::Fresh || self.told.late == Some(fresh) {
            return;
        }
        self.told.late = Some(fresh);
        match fresh {
            Freshness::Fresh => {}
            Freshness::Late => {
                let still = target * 7 / 2;
                self.event(HlsEvent::Late { variant, still });
            }
            Freshness::Lost => {
                let name = self.list_name(variant);
                let still = target * 10;
                let refused = self.tracks[variant].refused.take();
                self.fail(refused.unwrap_or(HlsError::Stuck { name, still }));
            }
        }
    }
}
