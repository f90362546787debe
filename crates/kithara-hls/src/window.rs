//! What of a stream can be played now: a media playlist on a timeline that outlasts its reloads.

use std::ops::Range;
use std::time::Duration;

use crate::media::{MediaPlaylist, Segment, Start};
use crate::merge::{Relation, relation};
use crate::reload::{Freshness, Reload};

/// A media playlist, loaded again and again as long as it changes, and where it lies in time.
///
/// Time is counted from the start of the first segment of the first playlist. A segment keeps its time as long as it is
/// listed, whatever comes and goes around it. `now` is a duration since any moment that is the same for all calls; the two have
/// nothing to do with each other.
#[derive(Clone, Debug)]
pub struct Window {
    playlist: MediaPlaylist,
    /// Microseconds from the start of time to the front of the playlist; negative if older segments were listed later.
    origin: i64,
    /// How often numbers began anew.
    epoch: u64,
    reload: Reload,
}

/// What became of a playlist that was loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Merge {
    /// No new segments, or an older copy of the list.
    Unchanged,
    /// Segments were added at the end.
    Advanced {
        /// How many.
        added: u64,
    },
    /// Segments were added, and some before them were never seen: they came and went between two loads.
    Skipped {
        /// How many were not seen.
        missed: u64,
    },
    /// The numbers began anew: another stream, that begins where the one before ended.
    Reset,
}

impl Window {
    /// A playlist loaded for the first time, by a request that began at `requested`.
    #[must_use]
    pub fn new(playlist: MediaPlaylist, requested: Duration, now: Duration) -> Self {
        let reload = Reload::new(playlist.pace(), requested, now);
        Self {
            playlist,
            origin: 0,
            epoch: 0,
            reload,
        }
    }

    /// The playlist of another variant of the same stream, on the same timeline: by the world's time, or else by media
    /// sequence numbers, or else by what ends at the same time.
    #[must_use]
    pub fn beside(
        other: &Self,
        playlist: MediaPlaylist,
        requested: Duration,
        now: Duration,
    ) -> Self {
        let mut window = Self::new(playlist, requested, now);
        (window.origin, window.epoch) = (other.origin, other.epoch);
        // What never changes begins together.
        if !(window.playlist.is_ended() && other.playlist.is_ended()) {
            window.origin = other.origin_of(&window.playlist).unwrap_or_else(|| {
                let length = micros(window.playlist.duration());
                other.edge_micros().saturating_sub(length)
            });
        }
        window
    }

    /// The playlist was loaded again, by a request that began at `requested`.
    ///
    /// One that is no newer is let go, as from a server that lags behind; one that has ended stays ended.
    pub fn handle_reload(
        &mut self,
        playlist: MediaPlaylist,
        requested: Duration,
        now: Duration,
    ) -> Merge {
        let pace = playlist.pace();
        let merge = if self.playlist.is_ended() {
            Merge::Unchanged
        } else {
            self.merge(playlist)
        };
        let changed = merge != Merge::Unchanged || self.playlist.is_ended();
        let changed_at = changed.then_some(now);
        self.reload.handle_answer(pace, requested, changed_at);
        merge
    }

    /// It could not be loaded again. The next attempt comes as after an unchanged one.
    pub fn handle_failure(&mut self, requested: Duration) {
        self.reload.handle_failure(requested);
    }

    /// How often something new is expected.
    pub(crate) fn expected(&self) -> Duration {
        self.reload.expected()
    }

    /// When to load it again; `None` once it has ended.
    #[must_use]
    pub fn next_reload(&self) -> Option<Duration> {
        (!self.playlist.is_ended()).then(|| self.reload.next())
    }

    /// How long it has stood still; always fresh once it has ended.
    #[must_use]
    pub fn freshness(&self, now: Duration) -> Freshness {
        if self.playlist.is_ended() {
            Freshness::Fresh
        } else {
            self.reload.freshness(now)
        }
    }

    /// When [`freshness`](Self::freshness) changes next, if nothing else happens.
    #[must_use]
    pub fn next_change_of_freshness(&self, now: Duration) -> Option<Duration> {
        let changes = [self.reload.late_at(), self.reload.lost_at()];
        let next = changes.into_iter().find(|at| *at > now);
        next.filter(|_| !self.playlist.is_ended())
    }

    /// The list as it is.
    #[must_use]
    pub fn playlist(&self) -> &MediaPlaylist {
        &self.playlist
    }

    /// How often the numbers of segments began anew: two segments are the same only within one epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether more may come.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.playlist.is_ended()
    }

    /// From the start of the first segment that is listed to the end of the last one, the live edge.
    #[must_use]
    pub fn range(&self) -> Range<Duration> {
        time(self.origin)..time(self.edge_micros())
    }

    /// Where a listener may go: all of what has ended, or up to where a live one would be joined.
    #[must_use]
    pub fn seekable_range(&self) -> Range<Duration> {
        let Range { start, end } = self.range();
        if !self.is_live() {
            return start..end;
        }
        start..end.saturating_sub(self.hold_back()).max(start)
    }

    /// How far behind the live edge to stay: three target durations, or more if the server says so.
    #[must_use]
    pub fn hold_back(&self) -> Duration {
        let three = self.playlist.pace().expected.saturating_mul(3);
        self.playlist
            .hold_back()
            .map_or(three, |told| told.max(three))
    }

    /// Where to begin: where the playlist says, or else where the multivariant one does (`default`), or else at the front of
    /// what has ended and behind the live edge of what has not. At the front of a segment, unless told to be precise.
    #[must_use]
    pub fn join_point(&self, default: Option<Start>) -> Duration {
        let Range { start, end } = self.range();
        let told = self.playlist.start().or(default);
        let (point, precise) = match told {
            Some(told) if told.from_end => (end.saturating_sub(told.offset), told.precise),
            Some(told) => (start.saturating_add(told.offset), told.precise),
            None if self.is_live() => (self.seekable_range().end, false),
            None => (start, true),
        };
        // The last moment is that of the last segment.
        let last = self.playlist.len().checked_sub(1);
        let last = last.and_then(|index| self.start_of(index)).unwrap_or(start);
        let point = if point >= end { last } else { point.max(start) };
        if precise {
            return point;
        }
        let index = self.index_at(point);
        index
            .and_then(|index| self.start_of(index))
            .unwrap_or(point)
    }

    /// Whether a playhead is in front of what is listed: what it would play next is gone.
    #[must_use]
    pub fn is_behind(&self, playhead: Duration) -> bool {
        playhead < self.range().start
    }

    /// The segment that plays at a time, and when it begins; `None` outside of what is listed. Logarithmic.
    #[must_use]
    pub fn segment_at(&self, at: Duration) -> Option<(Segment<'_>, Duration)> {
        let index = self.index_at(at)?;
        Some((self.playlist.segment(index)?, self.start_of(index)?))
    }

    /// The segment of a media sequence number in the current epoch, and when it begins.
    #[must_use]
    pub fn segment(&self, sequence: u64) -> Option<(Segment<'_>, Duration)> {
        let index = self.playlist.index_of(sequence)?;
        Some((self.playlist.segment(index)?, self.start_of(index)?))
    }

    fn merge(&mut self, new: MediaPlaylist) -> Merge {
        match relation(&self.playlist, &new) {
            // Even a list that is no newer can say that it is over.
            Relation::Older if new.is_ended() => {
                self.playlist.end();
                Merge::Advanced { added: 0 }
            }
            Relation::Older => Merge::Unchanged,
            Relation::Anew => {
                self.origin = self.edge_micros();
                self.epoch += 1;
                self.playlist = new;
                Merge::Reset
            }
            Relation::Overlaps => {
                let added = new.end_sequence() - self.playlist.end_sequence();
                self.origin = self.by_number(&new).unwrap_or(self.origin);
                let ended = new.is_ended();
                // Even if nothing is new, its references may carry newer tokens.
                self.playlist = new;
                if added == 0 && !ended {
                    Merge::Unchanged
                } else {
                    Merge::Advanced { added }
                }
            }
            Relation::Behind { missed } => {
                let gap = micros(new.pace().expected).saturating_mul(missed.cast_signed());
                let guess = self.edge_micros().saturating_add(gap);
                let (added, ended) = (new.len() as u64, new.is_ended());
                // Nobody knows how long the ones in between were, but the world's clock.
                let told = self.by_date(&new).filter(|_| missed > 0);
                let told = told.filter(|origin| *origin >= self.edge_micros());
                self.origin = told.unwrap_or(guess);
                self.playlist = new;
                match missed {
                    // It was empty, and is.
                    0 if added == 0 && !ended => Merge::Unchanged,
                    0 => Merge::Advanced { added },
                    _ => Merge::Skipped { missed },
                }
            }
        }
    }

    /// Where another list of the same stream begins.
    fn origin_of(&self, other: &MediaPlaylist) -> Option<i64> {
        self.by_date(other).or_else(|| self.by_number(other))
    }

    /// By a segment that both lists have.
    fn by_number(&self, other: &MediaPlaylist) -> Option<i64> {
        let common = self.playlist.first_sequence().max(other.first_sequence());
        let (ours, theirs) = (self.playlist.index_of(common)?, other.index_of(common)?);
        let ours = micros(self.playlist.segment(ours)?.start);
        let theirs = micros(other.segment(theirs)?.start);
        Some(self.origin.saturating_add(ours).saturating_sub(theirs))
    }

    /// By the world's time, at the last segments that have one.
    fn by_date(&self, other: &MediaPlaylist) -> Option<i64> {
        let dated = |playlist: &MediaPlaylist| {
            let last = (0..playlist.len()).rev().take(8);
            let mut segments = last.filter_map(|index| playlist.segment(index));
            segments.find_map(|segment| Some((segment.time?.unix_micros(), micros(segment.start))))
        };
        let ((our_date, ours), (their_date, theirs)) = (dated(&self.playlist)?, dated(other)?);
        let between = their_date.checked_sub(our_date)?;
        let at = self.origin.saturating_add(ours).saturating_add(between);
        Some(at.saturating_sub(theirs))
    }

    fn index_at(&self, at: Duration) -> Option<usize> {
        let within = micros(at).checked_sub(self.origin)?;
        let within = u64::try_from(within).ok()?;
        self.playlist.index_at(Duration::from_micros(within))
    }

    fn start_of(&self, index: usize) -> Option<Duration> {
        let start = micros(self.playlist.segment(index)?.start);
        Some(time(self.origin.saturating_add(start)))
    }

    fn edge_micros(&self) -> i64 {
        self.origin.saturating_add(micros(self.playlist.duration()))
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// What lies before the start of time is at its start.
fn time(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
