//! How long a reader waits for what fails: a minute over all variants and attempts, and then the rule for gaps decides.

use std::time::Duration;

use kithara_stream::{FetchId, StreamError};

use super::failing::is_near;
use super::item::Owner;
use super::{HlsPlan, Stage, shown};
use crate::failure::HlsError;

/// So long a reader waits at one place of a title where requests fail.
const LONGEST: Duration = Duration::from_secs(60);

/// A reader who waits, and nothing has come since then.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    /// For the segment that begins there.
    at: Duration,
    since: Duration,
    /// What failed last meanwhile.
    failed: Option<HlsError>,
}

impl HlsPlan {
    /// Notes whether the reader waits, and where.
    pub(super) fn look_at_wait(&mut self) {
        if matches!(self.stage, Stage::Failed | Stage::Fresh) {
            self.wait = None;
            return;
        }
        let reader = self.line.reader;
        let waits = |index: &usize| {
            let item = self.line.items.get(*index);
            item.is_some_and(|item| !self.is_there(item)) && self.is_read(*index)
        };
        let found = (reader..=reader + 1).find(waits);
        let at = match found {
            Some(index) => Some(self.line.heard_at(index).start),
            // It is being laid again.
            None if self.line.items.len() <= reader => Some(self.cursor.at),
            None => None,
        };
        let now = self.now;
        let same = |wait: &Wait, at| is_near(wait.at, at);
        self.wait = match (self.wait.take(), at) {
            (Some(wait), Some(at)) if same(&wait, at) => Some(wait),
            (_, Some(at)) if found.is_some() => Some(Wait {
                at,
                since: now,
                failed: None,
            }),
            _ => None,
        };
    }

    /// A byte came of the segment that begins there.
    pub(super) fn end_wait(&mut self, owner: Owner) {
        let Some(at) = self.start_of(owner) else {
            return;
        };
        let now = self.now;
        if let Some(wait) = self.wait.as_mut().filter(|wait| is_near(wait.at, at)) {
            (wait.since, wait.failed) = (now, None);
        }
    }

    /// An attempt failed that is made again.
    pub(super) fn note_retry(&mut self, fetch: FetchId, error: StreamError) {
        let Some(owner) = self.owner_of(fetch) else {
            return;
        };
        self.part_mut(owner).spent += 1;
        if let Some(index) = self.index_of(owner) {
            let error = self.segment_error(index, owner, error);
            self.note_failure(self.line.heard_at(index).start, error);
        }
    }

    /// Something failed of the segment that begins there.
    pub(super) fn note_failure(&mut self, at: Duration, error: HlsError) {
        if let Some(wait) = self.wait.as_mut().filter(|wait| is_near(wait.at, at)) {
            wait.failed = Some(error);
        }
    }

    /// How long the reader has waited through failures of the segment that begins there.
    pub(super) fn waited(&self, at: Duration) -> Duration {
        let wait = self.wait.as_ref();
        let wait = wait.filter(|wait| is_near(wait.at, at) && wait.failed.is_some());
        wait.map_or(Duration::ZERO, |wait| self.now.saturating_sub(wait.since))
    }

    /// Whether that is as long as anybody should.
    pub(super) fn has_waited_enough(&self, at: Duration) -> bool {
        self.waited(at) >= LONGEST
    }

    /// When that will be.
    pub(super) fn next_loss_of_patience(&self) -> Option<Duration> {
        let wait = self.wait.as_ref()?;
        wait.failed.as_ref().map(|_| wait.since + LONGEST)
    }

    /// Gives up what the reader has waited for long enough.
    pub(super) fn look_at_patience(&mut self) {
        let Some(wait) = &self.wait else { return };
        let Some(error) = wait
            .failed
            .clone()
            .filter(|_| self.has_waited_enough(wait.at))
        else {
            return;
        };
        let at = wait.at;
        self.wait = None;
        let items = &self.line.items;
        match items.iter().position(|item| is_near(item.start, at)) {
            Some(index) => self.give_up(index, error),
            None => self.fail(error),
        }
    }

    fn start_of(&self, owner: Owner) -> Option<Duration> {
        let index = self.index_of(owner)?;
        Some(self.line.heard_at(index).start)
    }

    pub(super) fn segment_error(
        &self,
        index: usize,
        owner: Owner,
        source: StreamError,
    ) -> HlsError {
        let item = self.line.heard_at(index);
        HlsError::Segment {
            variant: item.variant,
            sequence: item.sequence,
            name: shown(&self.part(owner).source.url),
            source,
        }
    }
}
