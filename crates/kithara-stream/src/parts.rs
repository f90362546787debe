//! What the bytes of a run are made of, and which part of them its decoder found at fault.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::ResourceId;

/// Parts that are remembered; of a run of more the first are forgotten. A decoder never lags behind its reader by so many.
const REMEMBERED: usize = 4096;

/// What one of the resources of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// It describes what follows, and there is nothing to be heard in it.
    Init,
    /// A stretch of media.
    Media,
    /// The last one of a title, which is to play for so long.
    Last(Duration),
}

/// What is not to be heard of a part that is there to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// Nothing is, of these bytes.
    All(Range<u64>),
    /// The last part of the title ends so much before it should.
    Rest(Duration),
}

/// How much less of a title's last part may be heard than is promised, if it ends with a whole packet. Playlists round.
const ROUNDING: Duration = Duration::from_secs(1);

/// The resources of a run, which are read one after another as if they were one: who reads them notes where each begins, who
/// decodes them notes where there is something to be heard, and where it cannot go on. A source of one resource has none.
///
/// Clones are one and the same. All calls come from the thread that decodes, so nobody waits; a lock, because the reader and its
/// decoder both hold on to it.
#[derive(Clone, Default)]
pub struct Parts(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    parts: VecDeque<Entry>,
    /// Where the part begins in which something was heard last.
    heard: Option<u64>,
    /// From when to when that plays, and for how long its last packet does, on the clock of the run.
    played: Option<(Range<Duration>, Duration)>,
    /// A byte of the part at fault.
    fault: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    bytes: Range<u64>,
    resource: ResourceId,
    kind: PartKind,
}

impl Parts {
    /// The next part begins at this byte of the run, where the one before ends.
    pub fn begin(&self, at: u64, resource: ResourceId, kind: PartKind) {
        let mut state = self.0.lock();
        state.end_at(at);
        if state.parts.len() >= REMEMBERED {
            state.parts.pop_front();
        }
        state.parts.push_back(Entry {
            bytes: at..u64::MAX,
            resource,
            kind,
        });
    }

    /// The newest part ends before this byte, which is known before the next one begins.
    pub fn end(&self, at: u64) {
        self.0.lock().end_at(at);
    }

    /// The bytes of the part with this one; up to `u64::MAX` as long as nobody knows where it ends.
    pub fn around(&self, byte: u64) -> Option<Range<u64>> {
        let state = self.0.lock();
        Some(state.around(byte)?.bytes.clone())
    }

    /// Something to be heard begins at this byte. If nothing did in a part of media before it, that is at fault: its bytes.
    ///
    /// # Errors
    /// The bytes of the part that is passed over.
    pub fn hear(&self, byte: u64) -> Result<(), Range<u64>> {
        let mut state = self.0.lock();
        let Some(start) = state.around(byte).map(|part| part.bytes.start) else {
            return Ok(());
        };
        if state.heard != Some(start) {
            state.pass_over(start)?;
            (state.heard, state.played) = (Some(start), None);
        }
        Ok(())
    }

    /// What was heard last plays at this time of the run, for so long.
    pub fn play(&self, at: Duration, length: Duration) {
        let mut state = self.0.lock();
        let played = state.played.take();
        let from = played.map_or(at, |(played, _)| played.start.min(at));
        state.played = Some((from..at + length, length));
    }

    /// Nothing more is to be heard: the same for the parts up to the end. And the last part of a title must have been heard for as
    /// long as it was to be; to the packet, if it is `torn`: if it ends within one.
    ///
    /// # Errors
    /// What there is not to be heard.
    pub fn finish(&self, torn: bool) -> Result<(), Unheard> {
        let mut state = self.0.lock();
        state.pass_over(u64::MAX).map_err(Unheard::All)?;
        state.end_in_time(torn).map_err(Unheard::Rest)
    }

    /// The part with this byte keeps the decoder from going on. What was blamed first is at fault.
    pub fn blame(&self, byte: u64) {
        self.0.lock().fault.get_or_insert(byte);
    }

    /// The resource at fault where decoding failed: what was blamed, or else what was heard last, or should have been heard first.
    pub fn at_fault(&self) -> Option<ResourceId> {
        let state = self.0.lock();
        let known = state.fault.or(state.heard);
        let known = known.and_then(|byte| state.around(byte));
        let first = || state.parts.iter().find(|part| part.kind != PartKind::Init);
        let part = known.or_else(first).or_else(|| state.parts.back())?;
        Some(part.resource)
    }
}

impl State {
    fn end_at(&mut self, at: u64) {
        if let Some(newest) = self.parts.back_mut() {
            newest.bytes.end = newest.bytes.end.min(at);
        }
    }

    fn around(&self, byte: u64) -> Option<&Entry> {
        let behind = self.parts.partition_point(|part| part.bytes.start <= byte);
        let part = self.parts.get(behind.checked_sub(1)?)?;
        part.bytes.contains(&byte).then_some(part)
    }

    /// Looks for a part between the one that was heard last and this byte.
    fn pass_over(&mut self, to: u64) -> Result<(), Range<u64>> {
        let heard = self.heard;
        let is_behind = |part: &&Entry| heard.is_none_or(|heard| part.bytes.start > heard);
        let is_media = |part: &Entry| part.kind != PartKind::Init && !part.bytes.is_empty();
        // From behind: there are many, and few of them new.
        let unheard = self.parts.iter().rev().take_while(is_behind);
        let silent = unheard.filter(|part| is_media(part) && part.bytes.start < to);
        match silent.last() {
            Some(part) => {
                let bytes = part.bytes.clone();
                self.fault.get_or_insert(bytes.start);
                Err(bytes)
            }
            None => Ok(()),
        }
    }

    /// Looks whether the last part of a title plays to its end; else how much is missing.
    fn end_in_time(&mut self, torn: bool) -> Result<(), Duration> {
        let (Some(part), Some((played, packet))) = (self.parts.back(), &self.played) else {
            return Ok(());
        };
        let (PartKind::Last(promised), start) = (part.kind, part.bytes.start) else {
            return Ok(());
        };
        let missing = promised.saturating_sub(played.end.saturating_sub(played.start));
        let spared = match torn {
            true => *packet / 2,
            false => ROUNDING.max(promised / 4),
        };
        if self.heard != Some(start) || missing <= spared {
            return Ok(());
        }
        self.fault.get_or_insert(start);
        Err(missing)
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Parts")
            .field("count", &state.parts.len())
            .field("fault", &state.fault)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An init section and three segments of ten bytes each, and a fourth that is still coming.
    fn parts() -> Parts {
        let parts = Parts::default();
        parts.begin(0, ResourceId(9), PartKind::Init);
        for number in 1..=4 {
            parts.begin(10 * number, ResourceId(number), PartKind::Media);
        }
        parts
    }

    #[test]
    fn each_byte_is_of_one_part() {
        let parts = parts();
        for (byte, around) in [
            (0, Some(0..10)),
            (9, Some(0..10)),
            (10, Some(10..20)),
            (39, Some(30..40)),
            (1000, Some(40..u64::MAX)),
        ] {
            assert_eq!(parts.around(byte), around, "{byte}");
        }
        parts.end(50);
        assert_eq!(parts.around(49), Some(40..50));
        assert_eq!(parts.around(50), None);
        assert_eq!(Parts::default().around(0), None);
    }

    #[test]
    fn a_part_of_media_in_which_nothing_is_heard_is_at_fault() {
        let heard = |bytes: &[u64]| {
            let parts = parts();
            let result = bytes.iter().try_for_each(|byte| parts.hear(*byte));
            (result, parts.at_fault())
        };
        assert_eq!(heard(&[]), (Ok(()), Some(ResourceId(1))));
        assert_eq!(heard(&[12, 19, 25]), (Ok(()), Some(ResourceId(2))));
        assert_eq!(heard(&[22]), (Err(10..20), Some(ResourceId(1))));
        assert_eq!(heard(&[12, 45]), (Err(20..30), Some(ResourceId(2))));

        let parts = parts();
        assert_eq!(parts.hear(15), Ok(()));
        assert_eq!(parts.finish(false), Err(Unheard::All(20..30)));
        for byte in [25, 35, 45] {
            assert_eq!(parts.hear(byte), Ok(()), "{byte}");
        }
        assert_eq!(parts.finish(true), Ok(()));
        // What was blamed first stays at fault.
        parts.blame(35);
        assert_eq!(parts.at_fault(), Some(ResourceId(2)));
        assert_eq!(Parts::default().finish(true), Ok(()));
        assert_eq!(Parts::default().at_fault(), None);
    }

    #[test]
    fn the_last_part_of_a_title_plays_for_as_long_as_it_was_to() {
        let millis = Duration::from_millis;
        let missing = |kind: PartKind, packets: u64, torn: bool| {
            let parts = Parts::default();
            parts.begin(0, ResourceId(1), PartKind::Media);
            parts.begin(10, ResourceId(2), kind);
            parts.end(20);
            for (byte, at) in [(5, 0)]
                .into_iter()
                .chain((0..packets).map(|at| (10, 20 + at)))
            {
                assert_eq!(parts.hear(byte), Ok(()));
                parts.play(millis(20 * at), millis(20));
            }
            let result = parts.finish(torn);
            assert_eq!(parts.at_fault(), Some(ResourceId(2)));
            result.err()
        };
        let last = PartKind::Last(millis(6000));
        let rest = |time| Some(Unheard::Rest(millis(time)));
        for (packets, torn, short) in [
            (300, true, None),
            (299, true, rest(20)),
            (299, false, None),
            (225, false, None),
            (224, false, rest(1520)),
            (1, false, rest(5980)),
            (400, true, None),
        ] {
            assert_eq!(missing(last, packets, torn), short, "{packets} {torn}");
            assert_eq!(missing(PartKind::Media, packets, torn), None);
        }
    }

    #[test]
    fn a_run_without_end_is_not_remembered_without_end() {
        let parts = Parts::default();
        for number in 0..10_000 {
            parts.begin(number * 2, ResourceId(number), PartKind::Media);
            assert_eq!(parts.hear(number * 2), Ok(()));
        }
        assert_eq!(parts.0.lock().parts.len(), REMEMBERED);
        assert_eq!(parts.around(0), None);
    }
}
