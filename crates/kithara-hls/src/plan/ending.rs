//! Announces to the reader what was laid, in order, and the end.

use std::ops::Range;
use std::time::Duration;

use kithara_stream::{
    MediaDuration, MediaInfo, PartKind, ResourceId, RunCause, RunFacts, Timing, Wish,
};

use super::item::{Item, Owner};
use super::{HlsPlan, Stage, shown};
use crate::failure::HlsError;

impl HlsPlan {
    /// Announces items as far as the store has answered. A run is announced before its first part is there.
    pub(super) fn announce(&mut self) {
        while let Some(item) = self.line.items.get(self.line.announced) {
            if let Some(cause) = item.begins.filter(|_| !self.line.begun) {
                if item.leads_in && !item.part.is_opened() {
                    // It may not be there, and then the run begins later.
                    return;
                }
                // A run that is closed can't be cut off any more: all of it has to be there.
                let before = self.line.items.iter().take(self.line.announced);
                if !before.clone().all(|item| self.is_there(item)) {
                    return;
                }
                let facts = self.run_facts(item, cause);
                self.publish(facts);
                (self.line.begun, self.line.open_run) = (true, true);
                continue;
            }
            let (resource, opened) = (item.part.resource, item.part.is_opened());
            let init = item
                .init
                .filter(|_| item.begins.is_some() && !self.line.init_told);
            if let Some(init) = init.and_then(|init| self.inits.parts.get(init)) {
                if !init.is_opened() {
                    return;
                }
                let resource = init.resource;
                self.line.init_told = true;
                let kind = PartKind::Init;
                self.wish(Wish::Extend { resource, kind });
                continue;
            }
            if !opened {
                return;
            }
            let kind = self.kind_of(item);
            self.wish(Wish::Extend { resource, kind });
            self.line.announced += 1;
            (self.line.begun, self.line.init_told) = (false, false);
        }
        // Not before all is there: what fails yet is laid again, and that is not behind the end.
        let whole = self.is_all_there();
        if self.stage == Stage::Ended && !self.line.ended && whole {
            self.announce_end();
        }
    }

    /// What is said of an item: how long the last of a title is to play, nothing that follows tells.
    fn kind_of(&self, item: &Item) -> PartKind {
        let window = self.window(item.variant);
        let is_last = window.is_some_and(|window| {
            let end = window.playlist().end_sequence();
            !window.is_live() && window.epoch() == item.epoch && item.sequence + 1 == end
        });
        match is_last {
            true => PartKind::Last(item.duration),
            false => PartKind::Media,
        }
    }

    /// Whether an item can be decoded to its end.
    pub(super) fn is_there(&self, item: &Item) -> bool {
        let is_whole = |init| self.part(Owner::Init(init)).is_whole();
        item.part.is_whole() && item.init.is_none_or(is_whole)
    }

    /// Whether everything laid is.
    pub(super) fn is_all_there(&self) -> bool {
        self.line.items.iter().all(|item| self.is_there(item))
    }

    fn announce_end(&mut self) {
        self.line.ended = true;
        if self.cursor.run.is_none() {
            let name = self
                .current()
                .map_or_else(|| shown(&self.url), |variant| self.list_name(variant));
            return self.fail(HlsError::Empty { name });
        }
        if self.cursor.cause.take() == Some(RunCause::Gap) {
            self.publish_silence(self.cursor.at..self.cursor.at, RunCause::Gap);
        } else if std::mem::take(&mut self.line.open_run) {
            self.wish(Wish::Close);
        }
        self.wish(Wish::End);
    }

    /// Silence, as far as it is not there already.
    pub(super) fn publish_silence(&mut self, stretch: Range<Duration>, cause: RunCause) {
        let facts = RunFacts {
            silence: Some(stretch.end),
            extends: false,
            ..self.facts(stretch.start, cause)
        };
        self.publish(facts);
    }

    fn publish(&mut self, facts: RunFacts) {
        if std::mem::take(&mut self.line.open_run) {
            self.wish(Wish::Close);
        }
        self.wish(Wish::Publish(facts));
    }

    fn run_facts(&self, item: &Item, cause: RunCause) -> RunFacts {
        let path = item.part.source.url.path();
        let name = path.rsplit('/').next().unwrap_or_default();
        let extension = name.rsplit_once('.').map(|(_, end)| end);
        let info = MediaInfo {
            name: shown(&item.part.source.url),
            extension: extension
                .filter(|end| (1..=8).contains(&end.len()))
                .map(str::to_ascii_lowercase),
            variant_index: Some(item.variant),
            part_of_title: true,
            ..MediaInfo::default()
        };
        RunFacts {
            info,
            timing: Timing::Stamped { clock: item.clock },
            ..self.facts(item.start, cause)
        }
    }

    fn facts(&self, start: Duration, cause: RunCause) -> RunFacts {
        let window = self.current_window();
        let ended = window.filter(|window| !window.is_live());
        RunFacts {
            start,
            cause,
            extends: true,
            title: ended.map(|window| MediaDuration::Estimate(window.range().end)),
            ..RunFacts::whole(ResourceId::default(), MediaInfo::default(), None, false)
        }
    }
}
