//! What is done about a segment that cannot be had: another variant, a gap, or the end.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_stream::net::NetError;
use kithara_stream::{RunCause, StreamError, Wish};

use super::item::{Item, State, Transfer};
use super::pumping::AHEAD;
use super::{HlsPlan, Stage};
use crate::HlsEvent;
use crate::config::GapPolicy;
use crate::event::GapCause;
use crate::failure::HlsError;

/// So much of a title in a row may be missing before it is taken for lost.
const LONGEST: Duration = Duration::from_secs(60);

/// What could not be had lately.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// The variants whose playlists could not be had while opening.
    pub(super) lost: Vec<usize>,
    /// Where a segment failed, and of which variants.
    at: Duration,
    tried: Vec<usize>,
    /// The segment for which everything is tried, since no variant has it.
    patient: Option<Duration>,
    /// The segment that will not come, and in front of which the stream stops once the reader is there.
    doomed: Option<(Duration, HlsError)>,
    /// The gap that was left last. What comes behind it may be missing as well.
    last: Option<Range<Duration>>,
    /// What was spent on segments that were given up for another variant before they had brought a byte.
    spent: Vec<Spent>,
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    at: Duration,
    variant: usize,
    attempts: u32,
}

impl Gaps {
    /// Whether the segment at that time could not be had of that variant.
    pub(super) fn has_tried(&self, at: Duration, variant: usize) -> bool {
        self.is_near(at) && self.tried.contains(&variant)
    }

    /// How much of this there is.
    pub(super) fn len(&self) -> usize {
        self.lost.len() + self.tried.len() + self.spent.len()
    }

    /// Attempts on a segment that is laid again.
    pub(super) fn spent(&self, at: Duration, variant: usize) -> u32 {
        let is_it = |spent: &&Spent| spent.at == at && spent.variant == variant;
        self.spent
            .iter()
            .find(is_it)
            .map_or(0, |spent| spent.attempts)
    }

    /// An item is given up for another. Those that were passed are forgotten.
    pub(super) fn keep_spent(&mut self, item: &Item, playhead: Duration) {
        let (at, variant, attempts) = (item.start, item.variant, item.part.all_spent());
        let other = |spent: &Spent| (spent.at, spent.variant) != (at, variant);
        self.spent
            .retain(|spent| spent.at >= playhead && other(spent));
        if attempts > 0 {
            self.spent.push(Spent {
                at,
                variant,
                attempts,
            });
        }
    }

    /// Whether everything is tried for the segment at that time.
    pub(super) fn is_patient(&self, at: Duration) -> bool {
        self.patient == Some(at)
    }

    /// Why the stream stops in front of the segment at that time, if it does.
    pub(super) fn take_doom(&mut self, at: Duration) -> Option<HlsError> {
        let (_, error) = self.doomed.take_if(|(start, _)| *start == at)?;
        Some(error)
    }

    fn note(&mut self, at: Duration, variant: usize) {
        if !self.is_near(at) {
            self.tried.clear();
            self.at = at;
        }
        self.tried.push(variant);
    }

    /// Whether a segment at that time is the one that failed.
    fn is_near(&self, at: Duration) -> bool {
        is_near(self.at, at)
    }

    /// A gap is left; since when there is one.
    fn leave(&mut self, gap: Range<Duration>) -> Duration {
        let follows = |last: &Range<Duration>| is_near(last.end, gap.start);
        let since = self.last.take().filter(follows);
        let since = since.map_or(gap.start, |last| last.start);
        self.last = Some(since..gap.end);
        since
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl HlsPlan {
    /// A segment, its init section or its key could not be had from its variant.
    pub(super) fn item_failed(&mut self, index: usize, error: HlsError) {
        if self.stage == Stage::Failed || self.goes_elsewhere(index, &error) {
            return;
        }
        self.go_without(index, error);
    }

    /// Whether another variant has the stretch as well: it comes from there.
    pub(super) fn goes_elsewhere(&mut self, index: usize, error: &HlsError) -> bool {
        let item = self.line.heard_at(index);
        let (variant, sequence, start) = (item.variant, item.sequence, item.start);
        let told = error.clone();
        self.event(HlsEvent::SegmentFailed {
            variant,
            sequence,
            error: told,
        });
        self.gaps.note(start, variant);
        self.exclude(variant);
        self.note_failure(start, error.clone());
        let another = !self.has_waited_enough(start) && self.has_another(variant);
        if another {
            self.lay_again(index, RunCause::VariantSwitch);
        }
        another
    }

    /// No variant has it: it is waited for, or left out, or the end.
    pub(super) fn go_without(&mut self, index: usize, error: HlsError) {
        let start = self.line.heard_at(index).start;
        if self.has_waited_enough(start) {
            return self.give_up(index, error);
        }
        let read = self.is_read(index);
        let passes = passes(&error);
        let is_next = index <= self.line.reader;
        if !passes && (read || is_next || self.gap_policy(&error) != GapPolicy::Stop) {
            return self.give_up(index, error);
        }
        if !passes {
            // What comes before it is still to come and to be heard.
            self.gaps.doomed = Some((start, error));
            return self.postpone(index, State::Postponed);
        }
        // By the time it is needed, the link may be back; and then it is worth all the patience there is.
        let last = self.gaps.patient.replace(start) == Some(start) || self.is_exhausted(index);
        if read && last {
            return self.give_up(index, error);
        }
        let state = if read {
            State::Wanted
        } else {
            State::Postponed
        };
        self.postpone(index, state);
    }

    fn postpone(&mut self, index: usize, state: State) {
        // Of segment and init section the one that came, or is coming, stays as it is.
        let coming = |transfer: &Transfer| !transfer.waits_for_key;
        for owner in self.owners(index).into_iter().flatten() {
            let part = self.part_mut(owner);
            let settled = !matches!(part.state, State::Wanted | State::Postponed);
            if settled || part.transfer.as_ref().is_some_and(coming) {
                continue;
            }
            part.state = state;
            if let Some(transfer) = part.transfer.take() {
                self.wish(Wish::Abort(transfer.id));
            }
        }
    }

    /// Whether all the patience there is was spent on an item already.
    fn is_exhausted(&self, index: usize) -> bool {
        let owners = self.owners(index).into_iter().flatten();
        owners.map(|owner| self.part(owner).spent).max() > Some(AHEAD)
    }

    /// The rule of the listener decides what stands for a segment.
    pub(super) fn give_up(&mut self, index: usize, error: HlsError) {
        let item = self.line.heard_at(index);
        let begins = item.opens.or(self.line.items[index].begins);
        let (start, end) = (item.start, item.end());
        let next = (item.variant, item.epoch, item.sequence + 1);
        let mut policy = self.gap_policy(&error);
        let since = self.gaps.leave(start..end);
        if end.saturating_sub(since) > LONGEST {
            policy = GapPolicy::Stop;
        }
        if policy == GapPolicy::Stop {
            return self.fail(error);
        }
        self.drop_from(index);
        (self.stage, self.line.ended) = (Stage::Playing, false);
        self.cursor.cause = begins;
        self.leave_gap(start..end, next, policy, GapCause::Failed(error));
    }

    fn gap_policy(&self, error: &HlsError) -> GapPolicy {
        let live = self.current_window().is_some_and(crate::Window::is_live);
        let default = if live || is_empty(error) {
            GapPolicy::Silence
        } else {
            GapPolicy::Stop
        };
        self.policy.gap.unwrap_or(default)
    }

    /// Whether another variant may have what was last not to be had of this one.
    fn has_another(&self, variant: usize) -> bool {
        let Some(abr) = self.abr.as_ref().filter(|_| self.is_automatic()) else {
            return false;
        };
        let target = abr.decide(self.now, Duration::ZERO).target_variant_index;
        target != variant && !self.gaps.tried.contains(&target)
    }
}

/// Whether the server has it, but not for us, or not any more: it is asked once more before that counts.
pub(super) fn is_refusal(error: &StreamError) -> bool {
    let StreamError::Net(error) = error else {
        return false;
    };
    matches!(
        error.root(),
        NetError::Http {
            status: 401 | 403 | 404 | 410,
            ..
        }
    )
}

/// Whether something else came, which the network layer has seen by its first bytes: nothing of it was stored.
pub(super) fn is_page(error: &StreamError) -> bool {
    let StreamError::Net(error) = error else {
        return false;
    };
    matches!(error.root(), NetError::WrongContent { .. })
}

/// What a refusal that lasts is called: who was given the playlist was let in once, so the access has expired.
pub(super) fn lasting(error: StreamError) -> StreamError {
    let StreamError::Net(net) = &error else {
        return error;
    };
    match net.root() {
        NetError::Http { url, status, .. } if matches!(status, 401 | 403) => {
            let (url, status) = (url.clone(), *status);
            StreamError::Net(Arc::new(NetError::Expired { url, status }))
        }
        _ => error,
    }
}

/// Whether a new URL or token is what is missing.
pub(super) fn is_expired(error: &HlsError) -> bool {
    let Some(StreamError::Net(error)) = error.transfer() else {
        return false;
    };
    matches!(error.root(), NetError::Expired { .. })
}

/// Whether the answer was whole, and nothing, or nothing to be heard, or less than was promised: that says as much as EXT-X-GAP.
fn is_empty(error: &HlsError) -> bool {
    match error.transfer() {
        Some(StreamError::Truncated { got, expected, .. }) => (*got, *expected) == (0, 1),
        Some(StreamError::NoSound { .. } | StreamError::EndsEarly { .. }) => true,
        // As servers say it where a range is asked for.
        Some(StreamError::Net(error)) => {
            matches!(
                error.root(),
                NetError::RangeNotSatisfiable { total: Some(0), .. }
            )
        }
        _ => false,
    }
}

/// Playlists of two variants may differ a little.
pub(super) fn is_near(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) < Duration::from_millis(500)
}

/// Whether the same may succeed later.
fn passes(error: &HlsError) -> bool {
    match error.transfer() {
        _ if is_empty(error) => false,
        Some(StreamError::Net(error)) => error.is_retryable(),
        Some(
            StreamError::Transform { .. }
            | StreamError::TooLarge { .. }
            | StreamError::Missing { .. }
            | StreamError::WrongContent { .. },
        )
        | None => false,
        Some(_) => true,
    }
}
