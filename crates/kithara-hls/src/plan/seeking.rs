//! A seek: everything laid is let go of, and the segment that plays at the target is laid as the first of a new run.

use std::time::Duration;

use kithara_stream::RunCause;

use super::laying::Cursor;
use super::{HlsPlan, Stage};

/// A target this near to the begin of a segment is decoded from the segment before: what a codec needs to settle. Opus takes 400 ms,
/// HE-AAC three packets, which is as much at its lowest rate; the playlist is only nearly right.
const SETTLE: Duration = Duration::from_millis(450);

impl HlsPlan {
    pub(super) fn handle_seek(&mut self, to: Duration) {
        if matches!(self.stage, Stage::Fresh | Stage::Opening) {
            return;
        }
        let listed = || (0..self.tracks.len()).find(|one| self.window(*one).is_some());
        let current = self.current().filter(|one| self.window(*one).is_some());
        let Some(variant) = current.or_else(listed) else {
            return;
        };
        let line = std::mem::take(&mut self.line);
        for item in line.passed.into_iter().chain(line.items) {
            self.let_go(item);
        }
        self.gaps.forget();
        self.wait = None;
        self.told.edge = None;
        self.stage = Stage::Playing;
        self.cursor = self.cursor_at(variant, to);
        // A new run is announced at once: whoever sought waits for it.
        while self.stage == Stage::Playing && self.line.items.is_empty() && self.lay_next(variant) {
        }
        // Where nothing but gaps that are left out follows, it has no length.
        if self.cursor.cause == Some(RunCause::Seek) && self.line.items.is_empty() {
            self.cursor.cause = Some(RunCause::Gap);
            self.publish_silence(self.cursor.at..self.cursor.at, RunCause::Seek);
        }
    }

    fn cursor_at(&self, variant: usize, to: Duration) -> Cursor {
        let mut cursor = Cursor {
            at: to,
            cause: Some(RunCause::Seek),
            // There was something to be heard, even if nothing follows.
            run: self.cursor.run,
            ..Cursor::default()
        };
        let Some(window) = self.window(variant) else {
            return cursor;
        };
        let range = window.range();
        // Beyond the end there is the end of the last segment.
        let last = range.end.saturating_sub(Duration::from_micros(1));
        let target = to.min(last).max(range.start);
        let Some((segment, start)) = window.segment_at(target) else {
            cursor.at = target;
            return cursor;
        };
        let mut found = (segment.sequence, start);
        let near = target.saturating_sub(start) < SETTLE && !segment.discontinuity;
        if near
            && let Some(before) = segment.sequence.checked_sub(1)
            && let Some((before, start)) = window.segment(before)
            && !before.gap
        {
            found = (before.sequence, start);
        }
        cursor.at = found.1;
        cursor.follows = Some((variant, window.epoch(), found.0));
        cursor
    }
}
