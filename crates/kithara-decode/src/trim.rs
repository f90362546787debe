//! Which decoded frames are not part of the source: what codecs add at both ends, and where the timeline of the media lies in
//! that of the decoder.

use kithara_stream::AudioCodec;

/// Which frames at the ends of a run are dropped because the codec added them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GaplessMode {
    /// What the media signals. Where it signals nothing, every decoded frame is delivered.
    #[default]
    Media,
    /// What the media signals; where it signals nothing, the least that the usual encoders of the codec put in front: 1105 frames
    /// of MP3 (528 + 1 of every decoder, 576 of LAME), 481 of MP1 and MP2 (the filter bank), 1024 of AAC and 2048 of HE-AAC (the
    /// frame that no overlap completes). Encoders that put more there, such as the 2112 frames of Apple's AAC, leave the rest.
    CodecPriming,
    /// Nothing: every decoded frame is delivered.
    Off,
}

/// What a container signals of the frames that an encoder added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trim {
    /// Decoded frames before the first of the source: encoder delay, priming, pre-skip.
    pub(crate) front: u64,
    /// Frames of the source, where that is signalled; what is decoded behind them is padding.
    pub(crate) total: Option<u64>,
}

impl Trim {
    /// What is left of `decoded` frames between a delay and a padding; `None` if that would be less than nothing.
    pub(crate) fn between(front: u64, padding: u64, decoded: u64) -> Option<Self> {
        let total = decoded.checked_sub(front)?.checked_sub(padding)?;
        Some(Self {
            front,
            total: Some(total),
        })
    }
}

/// No frame number is larger, so that there is room to calculate.
const FAR: u64 = 1 << 62;
/// The longest front that is believed where nobody knows how long the run is, in seconds.
const LONGEST_FRONT: u64 = 10;

/// The one owner of both ends of a run: which stretch of the decoded frames is the media.
///
/// What is signalled may lie. A front that is longer than the run is not believed, nor is an end behind the last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// The decoded frame that is the first of the media.
    front: u64,
    /// The first decoded frame behind the media, if anything there is cut.
    cut: Option<u64>,
    /// Frames of the media, where that is certain.
    total: Option<u64>,
    /// Whether the media is asked for its ends at all.
    trims: bool,
}

impl Ledger {
    /// For a run of `decoded` frames, where the container is certain of that.
    pub(crate) fn new(
        mode: GaplessMode,
        codec: AudioCodec,
        rate: u32,
        signalled: Option<Trim>,
        decoded: Option<u64>,
    ) -> Self {
        let trim = match (mode, signalled) {
            (GaplessMode::Off, _) => None,
            (GaplessMode::Media, signalled) | (_, signalled @ Some(_)) => signalled,
            (GaplessMode::CodecPriming, None) => Some(Trim {
                front: usual_priming(codec),
                total: None,
            }),
        };
        let trim = trim.unwrap_or_default();
        let longest = decoded.unwrap_or(LONGEST_FRONT * u64::from(rate));
        let (front, signalled) = match trim.front <= longest {
            true => (trim.front, trim.total),
            false => (0, None),
        };
        let left = decoded.map(|decoded| decoded - front);
        let cut = signalled
            .filter(|total| left.is_none_or(|left| *total <= left))
            .map(|total| front.saturating_add(total).min(FAR));
        Self {
            front,
            cut,
            total: cut.map(|cut| cut - front).or(left),
            trims: mode != GaplessMode::Off,
        }
    }

    /// The decoded frame at which the media begins.
    pub(crate) fn front(&self) -> u64 {
        self.front
    }

    /// The decoded frame from which on nothing is delivered.
    pub(crate) fn cut(&self) -> u64 {
        self.cut.unwrap_or(u64::MAX)
    }

    /// Frames of the media, where that is certain.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Where a decoded frame lies in the media.
    pub(crate) fn media(&self, decoded: u64) -> u64 {
        decoded.min(self.cut()).saturating_sub(self.front)
    }

    /// Which decoded frame is this one of the media.
    pub(crate) fn decoded(&self, media: u64) -> u64 {
        media.saturating_add(self.front).min(FAR)
    }

    /// Whether what the media says of its ends is followed.
    pub(crate) fn trims(&self) -> bool {
        self.trims
    }

    /// How many of the last frames of a packet are cut, where the container calls so many padding.
    pub(crate) fn discards(&self, frames: u32) -> u64 {
        if self.trims { frames.into() } else { 0 }
    }

    /// The container has come to where it says which decoded frame is the first behind the media.
    pub(crate) fn ends_at(&mut self, decoded: u64) {
        if self.trims && self.cut.is_none() {
            let cut = decoded.clamp(self.front, FAR);
            (self.cut, self.total) = (Some(cut), Some(cut - self.front));
        }
    }

    /// The run was decoded to its end, and this is the first frame behind it.
    pub(crate) fn ended_at(&mut self, decoded: u64) {
        self.total = Some(self.media(decoded));
    }
}

/// What every chain of encoder and decoder of a codec puts in front, and no more.
fn usual_priming(codec: AudioCodec) -> u64 {
    match codec {
        AudioCodec::Mp3 => 529 + 576,
        AudioCodec::Mp2 | AudioCodec::Mp1 => 481,
        AudioCodec::AacLc => 1024,
        AudioCodec::AacHe | AudioCodec::AacHeV2 => 2048,
        _ => 0,
    }
}

/// iTunes' gapless comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GaplessComment {
    /// Frames that the encoder put in front.
    pub(crate) delay: u64,
    /// Frames that it put behind.
    pub(crate) padding: u64,
    /// Frames of the source.
    pub(crate) total: u64,
}

impl GaplessComment {
    /// What is to be taken off, if the decoder adds nothing of its own.
    pub(crate) fn trim(self) -> Trim {
        Trim {
            front: self.delay,
            total: Some(self.total),
        }
    }
}

/// Reads iTunes' gapless comment: ` 00000000 00000840 000001C4 0000000000AF8D7C …`, hexadecimal: nothing, the delay, the padding, the
/// frames of the source.
pub(crate) fn parse_itunsmpb(text: &str) -> Option<GaplessComment> {
    // Nobody writes more digits, and the fields behind are of no concern.
    let mut fields = text
        .split_ascii_whitespace()
        .take(4)
        .map(|field| u64::from_str_radix(field, 16).ok());
    let (_, delay, padding, total) = (
        fields.next()??,
        fields.next()??,
        fields.next()??,
        fields.next()??,
    );
    (total > 0).then_some(GaplessComment {
        delay,
        padding,
        total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 44_100;
    const HUGE: u64 = u64::MAX;

    fn media(trim: Option<(u64, Option<u64>)>, decoded: Option<u64>) -> Ledger {
        let trim = trim.map(|(front, total)| Trim { front, total });
        Ledger::new(GaplessMode::Media, AudioCodec::Mp3, RATE, trim, decoded)
    }

    #[test]
    fn what_is_signalled_is_cut_and_what_lies_is_clamped() {
        // Signalled front and total, decoded frames: where the media begins, where it is cut, how long it is.
        for (trim, decoded, front, cut, total) in [
            (None, None, 0, None, None),
            (None, Some(1000), 0, None, Some(1000)),
            (
                Some((100, Some(800))),
                Some(1000),
                100,
                Some(900),
                Some(800),
            ),
            (Some((100, Some(800))), None, 100, Some(900), Some(800)),
            (Some((100, None)), Some(1000), 100, None, Some(900)),
            (Some((100, None)), None, 100, None, None),
            // Exactly all, and more than there is.
            (
                Some((100, Some(900))),
                Some(1000),
                100,
                Some(1000),
                Some(900),
            ),
            (Some((100, Some(901))), Some(1000), 100, None, Some(900)),
            (Some((100, Some(HUGE))), Some(1000), 100, None, Some(900)),
            // All of it may be padding.
            (Some((1000, Some(0))), Some(1000), 1000, Some(1000), Some(0)),
            (Some((0, Some(0))), Some(1000), 0, Some(0), Some(0)),
            // A front behind the end is none, whatever comes with it.
            (Some((1001, Some(5))), Some(1000), 0, None, Some(1000)),
            (Some((HUGE, Some(HUGE))), Some(1000), 0, None, Some(1000)),
            (Some((HUGE, Some(HUGE))), None, 0, None, None),
            (Some((441_001, None)), None, 0, None, None),
            (
                Some((441_000, Some(HUGE))),
                None,
                441_000,
                Some(FAR),
                Some(FAR - 441_000),
            ),
            (Some((5, Some(5))), Some(0), 0, None, Some(0)),
        ] {
            let ledger = media(trim, decoded);
            let case = format!("{trim:?} of {decoded:?}");
            assert_eq!(ledger.front, front, "{case}: front");
            assert_eq!(ledger.cut, cut, "{case}: cut");
            assert_eq!(ledger.total(), total, "{case}: total");
        }
    }

    #[test]
    fn both_timelines_are_one_with_another_zero() {
        let ledger = media(Some((100, Some(800))), Some(1000));
        for (decoded, media) in [
            (0, 0),
            (99, 0),
            (100, 0),
            (101, 1),
            (899, 799),
            (900, 800),
            (HUGE, 800),
        ] {
            assert_eq!(ledger.media(decoded), media, "{decoded}");
        }
        assert_eq!((ledger.decoded(0), ledger.decoded(7)), (100, 107));
        assert_eq!(ledger.decoded(HUGE), FAR);
    }

    #[test]
    fn an_end_that_comes_late_is_taken_once() {
        let mut ledger = media(Some((100, None)), None);
        ledger.ends_at(950);
        ledger.ends_at(10);
        assert_eq!((ledger.cut(), ledger.total()), (950, Some(850)));
        // Before the front there is nothing to end.
        let mut ledger = media(Some((100, None)), None);
        ledger.ends_at(10);
        assert_eq!((ledger.cut(), ledger.total()), (100, Some(0)));
        // The end that was signalled first holds.
        let mut ledger = media(Some((100, Some(800))), None);
        ledger.ends_at(950);
        assert_eq!(ledger.total(), Some(800));
        let mut off = Ledger::new(GaplessMode::Off, AudioCodec::Opus, RATE, None, None);
        off.ends_at(950);
        assert_eq!((off.cut(), off.total()), (HUGE, None));
    }

    #[test]
    fn a_finished_decode_proves_the_length() {
        let mut ledger = media(Some((100, None)), None);
        ledger.ended_at(1000);
        assert_eq!(ledger.total(), Some(900));
        ledger.ended_at(50);
        assert_eq!(ledger.total(), Some(0));
        // A header that promised more, or less.
        let mut ledger = media(None, Some(1000));
        ledger.ended_at(1152);
        assert_eq!((ledger.total(), ledger.media(1152)), (Some(1152), 1152));
    }

    #[test]
    fn modes_differ_only_where_they_say() {
        let signalled = Some(Trim {
            front: 7,
            total: Some(9),
        });
        for (mode, codec, trim, front, cut) in [
            (GaplessMode::Off, AudioCodec::Mp3, signalled, 0, None),
            (GaplessMode::Media, AudioCodec::Mp3, None, 0, None),
            (
                GaplessMode::CodecPriming,
                AudioCodec::Mp3,
                signalled,
                7,
                Some(16),
            ),
            (GaplessMode::CodecPriming, AudioCodec::Mp3, None, 1105, None),
            (GaplessMode::CodecPriming, AudioCodec::Mp2, None, 481, None),
            (
                GaplessMode::CodecPriming,
                AudioCodec::AacLc,
                None,
                1024,
                None,
            ),
            (
                GaplessMode::CodecPriming,
                AudioCodec::AacHe,
                None,
                2048,
                None,
            ),
            (GaplessMode::CodecPriming, AudioCodec::Flac, None, 0, None),
        ] {
            let ledger = Ledger::new(mode, codec, RATE, trim, None);
            assert_eq!(
                (ledger.front, ledger.cut),
                (front, cut),
                "{mode:?} {codec:?}"
            );
        }
        // A guess is no more believed than what is signalled.
        let short = Ledger::new(
            GaplessMode::CodecPriming,
            AudioCodec::Mp3,
            RATE,
            None,
            Some(576),
        );
        assert_eq!((short.front, short.total()), (0, Some(576)));
    }

    #[test]
    fn between_delay_and_padding_is_never_less_than_nothing() {
        let total =
            |front, padding, decoded| Trim::between(front, padding, decoded).map(|trim| trim.total);
        assert_eq!(total(1105, 551, 89_856), Some(Some(88_200)));
        assert_eq!(total(600, 552, 1152), Some(Some(0)));
        assert_eq!(total(600, 553, 1152), None);
        assert_eq!(total(HUGE, HUGE, 1152), None);
    }

    #[test]
    fn a_gapless_comment_is_read_or_ignored() {
        for (text, read) in [
            (
                " 00000000 00000840 000001C4 0000000000AF8D7C 00000000 007F2C36 00000000",
                Some((0x840, 0xaf_8d7c)),
            ),
            ("0 0 0 1", Some((0, 1))),
            (" 00000000 00000840 000001C4", None),
            (" 00000000 00000840 000001C4 0000000000000000", None),
            (" 00000000 -0000840 000001C4 0000000000AF8D7C", None),
            (" 00000000 1FFFFFFFFFFFFFFFF 000001C4 1", None),
            ("once upon a time there", None),
            ("", None),
        ] {
            let trim = parse_itunsmpb(text).map(|comment| (comment.delay, comment.total));
            assert_eq!(trim, read, "{text}");
        }
    }
}
