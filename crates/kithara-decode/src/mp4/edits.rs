//! Edit lists: which stretch of the media is played (ISO/IEC 14496-12 §8.6.6).

use super::movie::Edit;

/// A stretch of the media, in units of its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Where it begins.
    pub start: u64,
    /// Where it ends; `None` is the end of the media.
    pub end: Option<u64>,
    /// By how much `end` may be off, because edits are as long as the units of the movie allow.
    pub slack: u64,
}

impl Stretch {
    /// All of the media, which is what plays without a list.
    pub(crate) const WHOLE: Self = Self {
        start: 0,
        end: None,
        slack: 0,
    };

    /// The one stretch that a list plays, in a movie and a track of these units per second.
    ///
    /// Silence in front of it or behind it is passed over: the first frame of the media is the first frame that plays. `None` where
    /// the list plays several stretches, or one not at its own rate: such a list is not followed.
    pub(crate) fn of(edits: &[Edit], movie: u32, track: u32) -> Option<Self> {
        let slack = u64::from(track).div_ceil(u64::from(movie.max(1)));
        let length = |edit: &Edit| {
            let units = u128::from(edit.duration) * u128::from(track);
            let rounded = (units + u128::from(movie / 2)) / u128::from(movie.max(1));
            u64::try_from(rounded).unwrap_or(u64::MAX)
        };
        let mut stretch: Option<Self> = None;
        for edit in edits.iter().filter(|edit| edit.media_time != -1) {
            let start = u64::try_from(edit.media_time).ok()?;
            if !edit.normal_rate {
                return None;
            }
            // No length means: the rest.
            let end = (edit.duration > 0).then(|| start.saturating_add(length(edit)));
            stretch = match stretch {
                None => Some(Self { start, end, slack }),
                // One that was cut for no reason.
                Some(before) if before.end?.abs_diff(start) <= slack => {
                    Some(Self { end, ..before })
                }
                Some(_) => return None,
            };
        }
        stretch
    }

    /// The same on the timeline of decoding, where media plays by so much later than it is decoded. `None` if it ends before any
    /// media begins: such a list is not followed.
    pub(crate) fn decoded(self, composition: i64) -> Option<Self> {
        let moved = |time: u64| time.saturating_add_signed(composition.saturating_neg());
        let end = self.end.map(moved);
        let start = moved(self.start);
        (end != Some(0)).then_some(Self { start, end, ..self })
    }

    /// The end, drawn to the first of these places that it may mean.
    pub(crate) fn end_at(&self, places: impl IntoIterator<Item = u64>) -> Option<u64> {
        let end = self.end?;
        let near = |place: &u64| place.abs_diff(end) <= self.slack;
        Some(places.into_iter().find(near).unwrap_or(end))
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const NONE: Stretch = Stretch {
        start: 0,
        end: None,
        slack: 0,
    };

    fn edit(duration: u64, media_time: i64) -> Edit {
        Edit {
            duration,
            media_time,
            normal_rate: true,
        }
    }

    #[test]
    fn a_list_is_one_stretch_or_none() {
        let still = Edit {
            normal_rate: false,
            ..edit(2000, 0)
        };
        let huge = u64::MAX;
        for (edits, stretch) in [
            (&[][..], None),
            (&[edit(2000, 1024)], Some((1024, Some(89_224)))),
            // Silence around it.
            (
                &[edit(500, -1), edit(2000, 1024), edit(9, -1)],
                Some((1024, Some(89_224))),
            ),
            (&[edit(500, -1)], None),
            // To the end.
            (&[edit(0, 2112)], Some((2112, None))),
            // Cut into two that belong together, and two that don't.
            (
                &[edit(1000, 1024), edit(1000, 45_124)],
                Some((1024, Some(89_224))),
            ),
            (&[edit(1000, 1024), edit(1000, 50_000)], None),
            (&[edit(0, 1024), edit(1000, 45_124)], None),
            (&[still], None),
            (&[edit(2000, -2)], None),
            (&[edit(huge, 0)], Some((0, Some(huge)))),
            (&[edit(huge, i64::MAX)], Some((i64::MAX as u64, Some(huge)))),
        ] {
            let found = Stretch::of(edits, 1000, 44_100).map(|found| (found.start, found.end));
            assert_eq!(found, stretch, "{edits:?}");
        }
        assert!(
            Stretch::of(&[edit(5, 0)], 0, 0).is_some(),
            "no units at all"
        );
    }

    #[test]
    fn a_stretch_is_moved_to_when_its_media_is_decoded() {
        let (most, least) = (i64::MAX, i64::MIN);
        for (start, end, composition, decoded) in [
            (1024, Some(5000), 0, Some((1024, Some(5000)))),
            (1024, Some(5000), 1000, Some((24, Some(4000)))),
            (1024, Some(5000), 2000, Some((0, Some(3000)))),
            (1024, None, 2000, Some((0, None))),
            (0, None, -1024, Some((1024, None))),
            // Nothing is left of it.
            (1024, Some(5000), 5000, None),
            (1024, Some(5000), most, None),
            (
                0,
                Some(u64::MAX),
                least,
                Some((most as u64, Some(u64::MAX))),
            ),
        ] {
            let stretch = Stretch {
                start,
                end,
                slack: 0,
            };
            let found = stretch.decoded(composition);
            let found = found.map(|found| (found.start, found.end));
            assert_eq!(found, decoded, "{start} {end:?} {composition}");
        }
    }

    #[test]
    fn an_end_is_drawn_to_what_it_was_rounded_from() {
        let stretch = Stretch::of(&[edit(400, 1024)], 1000, 44_100).unwrap_or(NONE);
        assert_eq!(stretch.slack, 45);
        for (places, end) in [
            (&[][..], 18_664),
            (&[18_700], 18_700),
            (&[18_710], 18_664),
            (&[20_480, 18_640], 18_640),
            (&[18_650, 18_640], 18_650),
        ] {
            assert_eq!(
                stretch.end_at(places.iter().copied()),
                Some(end),
                "{places:?}"
            );
        }
        let open = Stretch::of(&[edit(0, 1024)], 1000, 44_100).unwrap_or(NONE);
        assert_eq!(open.end_at([18_700]), None);
    }
}
