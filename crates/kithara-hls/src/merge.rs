//! How a playlist that was loaded again relates to the one before.

use std::time::Duration;

use crate::media::{MediaPlaylist, Segment};

/// More than this can't have come and gone unseen: it is another stream.
const LONGEST_GAP: Duration = Duration::from_secs(24 * 3600);

/// What the newer list is to the older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It ends where the older one does or later, and they share numbers.
    Overlaps,
    /// It begins where the older one ends, or so many segments later.
    Behind { missed: u64 },
    /// It is an earlier copy.
    Older,
    /// Its numbers count something else.
    Anew,
}

pub(crate) fn relation(old: &MediaPlaylist, new: &MediaPlaylist) -> Relation {
    let (old_end, new_end) = (old.end_sequence(), new.end_sequence());
    if new.first_sequence() >= old_end {
        let missed = new.first_sequence() - old_end;
        let times = u32::try_from(missed).unwrap_or(u32::MAX);
        let gap = new.pace().expected.saturating_mul(times);
        return match gap {
            // Before its first segment, a stream has nothing that could be missed.
            _ if old.is_empty() => Relation::Behind { missed: 0 },
            gap if gap > LONGEST_GAP => Relation::Anew,
            // An empty list says nothing about what comes.
            _ if new.is_empty() => Relation::Older,
            _ => Relation::Behind { missed },
        };
    }
    if new_end >= old_end {
        return Relation::Overlaps;
    }
    if new.is_empty() || is_older(old, new) {
        Relation::Older
    } else {
        Relation::Anew
    }
}

/// A list that ends earlier: a copy from before, or a stream that began anew?
fn is_older(old: &MediaPlaylist, new: &MediaPlaylist) -> bool {
    let (last_old, last_new) = (last(old), last(new));
    let date = |segment: &Option<Segment<'_>>| segment.as_ref().and_then(|segment| segment.time);
    if let (Some(before), Some(after)) = (date(&last_old), date(&last_new)) {
        return after <= before;
    }
    // The same name at the same number, whatever its folder and token: the same segment.
    let same = last_new.and_then(|new| {
        let place = old.index_of(new.sequence)?;
        let old = old.segment(place)?;
        Some(name(old.reference) == name(new.reference) && old.range == new.range)
    });
    same.unwrap_or(false)
}

fn last(playlist: &MediaPlaylist) -> Option<Segment<'_>> {
    playlist.segment(playlist.len().checked_sub(1)?)
}

/// The last part of a reference's path.
fn name(reference: &str) -> &str {
    let path = reference.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}
