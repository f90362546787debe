//! How long the track of an MP4 is, and which of its frames the source never had.

use kithara_stream::AudioCodec;

use super::iso::Clock;
use crate::mp4::{Mp4Facts, Stretch};
use crate::trim::{self, Trim};

/// The ends of a track.
pub(super) struct Ends<'a> {
    pub(super) facts: &'a Mp4Facts,
    pub(super) clock: Clock,
}

impl Ends<'_> {
    /// All frames the track decodes to, where its table tells.
    pub(super) fn frames(&self, codec: AudioCodec) -> Option<u64> {
        let last = self.facts.last_packet?;
        match (codec, self.clock.quantum) {
            // The last one may be shorter, and its duration says so.
            (AudioCodec::Alac | AudioCodec::Flac | AudioCodec::Pcm, _) => (self.clock.timescale
                == self.clock.rate)
                .then(|| self.clock.place(self.facts.duration.unwrap_or(0))),
            (_, Some(quantum)) => Some(self.clock.frame(last).saturating_add(quantum)),
            _ => None,
        }
    }

    /// What the edit list says, or else iTunes' comment, or else the header of the codec. An edit list that plays all there is
    /// says nothing.
    pub(super) fn trim(&self, header: Option<Trim>) -> Option<Trim> {
        let comment = self.facts.itunsmpb.as_deref();
        let comment = comment
            .and_then(trim::parse_itunsmpb)
            .map(trim::GaplessComment::trim);
        let stretch = self.facts.stretch.as_ref();
        stretch
            .and_then(|stretch| self.cut_out(stretch, comment))
            .or_else(|| {
                comment
                    .or(header)
                    .and_then(|trim| self.not_yet_passed(trim))
            })
    }

    /// What is left to take off where fragments begin in the middle.
    fn not_yet_passed(&self, trim: Trim) -> Option<Trim> {
        let passed = match self.facts.fragmented {
            true => self.clock.before(),
            false => 0,
        };
        let front = trim.front.saturating_sub(passed);
        (front > 0 || trim.total.is_some()).then_some(Trim { front, ..trim })
    }

    fn cut_out(&self, stretch: &Stretch, comment: Option<Trim>) -> Option<Trim> {
        let front = self.clock.place(stretch.start);
        if self.facts.fragmented {
            // Whatever length it states was written before there was one.
            return (front > 0).then_some(Trim { front, total: None });
        }
        let all = self.facts.duration?;
        let cuts_end = stretch
            .end
            .is_some_and(|end| end.saturating_add(stretch.slack) < all);
        if front == 0 && !cuts_end {
            return None;
        }
        // Both are exact where an edit is not, and if it means the end of the media, that is where it ends.
        let comment = comment.and_then(|comment| comment.front.checked_add(comment.total?));
        let places = comment.map(|frame| self.clock.units(frame)).into_iter();
        let end = stretch.end_at(places.chain([all]));
        Some(Trim {
            front,
            total: end.map(|end| self.clock.place(end).saturating_sub(front)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mp4::FourCode;

    /// A track of 88 packets of AAC, the last of which lasts 136 units; its edit, if any, and iTunes' comment.
    fn facts(edit: Option<(u64, Option<u64>)>, comment: &str) -> Mp4Facts {
        Mp4Facts {
            fragmented: false,
            track_id: 1,
            codec: Some(AudioCodec::AacLc),
            code: FourCode(*b"mp4a"),
            aac: None,
            sample_rate: 44_100,
            channels: 2,
            timescale: 44_100,
            duration: Some(89_224),
            last_packet: Some(89_088),
            stretch: edit.map(|(start, end)| Stretch {
                start,
                end,
                slack: 45,
            }),
            itunsmpb: (!comment.is_empty()).then(|| comment.to_owned()),
            metadata: crate::TrackMetadata::default(),
            media_end: None,
        }
    }

    fn clock(timescale: u64) -> Clock {
        Clock {
            timescale,
            rate: 44_100,
            quantum: Some(1024),
            base: 0,
        }
    }

    #[test]
    fn an_edit_list_counts_and_then_a_comment() {
        let comment = " 00000000 00000840 000001C4 0000000000015800";
        for (edit, comment, trim) in [
            (None, "", None),
            (Some((1024, Some(89_224))), "", Some((1024, Some(88_200)))),
            // Rounded to the units of the movie.
            (Some((1024, Some(89_200))), "", Some((1024, Some(88_200)))),
            // Shorter than the media for certain.
            (Some((1024, Some(60_000))), "", Some((1024, Some(58_976)))),
            (Some((1024, None)), "", Some((1024, None))),
            (None, comment, Some((2112, Some(88_064)))),
            // All there is.
            (Some((0, Some(89_224))), "", None),
            (Some((0, None)), "", None),
            (Some((0, Some(89_224))), comment, Some((2112, Some(88_064)))),
            // Both: the list counts, and the comment knows the frame it was rounded from.
            (
                Some((2112, Some(90_150))),
                comment,
                Some((2112, Some(88_064))),
            ),
            (
                Some((1024, Some(80_000))),
                comment,
                Some((1024, Some(78_976))),
            ),
            (Some((0, Some(u64::MAX - 45))), "", None),
        ] {
            let facts = facts(edit, comment);
            let ends = Ends {
                facts: &facts,
                clock: clock(44_100),
            };
            let found = ends.trim(None).map(|trim| (trim.front, trim.total));
            assert_eq!(found, trim, "{edit:?} {comment}");
            assert_eq!(ends.frames(AudioCodec::AacLc), Some(88 * 1024));
        }
    }

    #[test]
    fn fragments_have_a_front_and_no_end() {
        for (edit, trim) in [
            ((1024, None), Some((1024, None))),
            ((1024, Some(5000)), Some((1024, None))),
            ((0, Some(5000)), None),
        ] {
            let facts = Mp4Facts {
                fragmented: true,
                duration: None,
                last_packet: None,
                ..facts(Some(edit), "")
            };
            let ends = Ends {
                facts: &facts,
                clock: clock(44_100),
            };
            let found = ends.trim(None).map(|trim| (trim.front, trim.total));
            assert_eq!((found, ends.frames(AudioCodec::AacLc)), (trim, None));
        }
    }

    #[test]
    fn fragments_out_of_the_middle_lose_only_what_lies_before_the_media() {
        let header = Some(Trim {
            front: 312,
            total: None,
        });
        for (base, edit, header, front) in [
            (0, Some(1024), None, Some(1024)),
            (1000, Some(1024), None, Some(24)),
            (1024, Some(1024), None, None),
            (90_000, Some(1024), None, None),
            (0, None, header, Some(312)),
            (300, None, header, Some(12)),
            (90_000, None, header, None),
            // Both say the same, once.
            (90_000, Some(312), header, None),
        ] {
            let facts = Mp4Facts {
                fragmented: true,
                duration: None,
                last_packet: None,
                ..facts(edit.map(|start| (start, None)), "")
            };
            let clock = Clock {
                base,
                ..clock(44_100)
            };
            let ends = Ends {
                facts: &facts,
                clock,
            };
            let found = ends.trim(header).map(|trim| trim.front);
            assert_eq!(found, front, "{base} {edit:?}");
        }
    }

    #[test]
    fn only_what_is_right_to_the_frame_is_a_length() {
        let facts = facts(None, "");
        let frames = |timescale, codec| {
            let clock = clock(timescale);
            Ends {
                facts: &facts,
                clock,
            }
            .frames(codec)
        };
        assert_eq!(frames(44_100, AudioCodec::Alac), Some(89_224));
        assert_eq!(frames(90_000, AudioCodec::Alac), None);
        // Whole packets, whatever the last one is said to last.
        assert_eq!(frames(44_100, AudioCodec::Mp3), Some(88 * 1024));
        assert_eq!(frames(90_000, AudioCodec::AacLc), Some(44 * 1024));
    }
}
