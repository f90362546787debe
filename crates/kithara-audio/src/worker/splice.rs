//! Joins runs to the frame: what comes twice is dropped, what is missing is silence. Pure arithmetic.

use std::time::Duration;

use kithara_decode::PcmSpec;

use super::history::RunFacts;

/// Frames of silence at a time.
const SILENCE: u64 = 4096;
/// The longest that is filled.
const LONGEST_HOLE: Duration = Duration::from_secs(3600);
/// How long a new sound takes to become what it is where nothing prepared it.
const RAMP: Duration = Duration::from_millis(5);

/// What becomes of decoded frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// All of them were given already.
    Drop,
    /// They are given, but for so many at their front.
    Take(u64),
    /// So many frames are missing before them.
    Hole(u64),
    /// More are missing than anybody would wait for.
    TooFar,
}

/// How far the title was given, in title frames: its time times the rate. Runs of one layout after another are one sequence
/// of frames, whatever runs they come from.
#[derive(Debug, Default)]
pub(super) struct Splice {
    spec: Option<PcmSpec>,
    /// Counts the sequences.
    number: u64,
    /// The frame that comes next; none after the open and after a seek.
    next: Option<u64>,
    /// Silence comes up to this frame.
    silence: Option<u64>,
    /// Silence that was announced before anything told its layout: from here to there.
    announced: Option<(Duration, Duration)>,
    /// The samples of the last frame.
    last: Vec<f32>,
}

impl Splice {
    /// What comes next is somewhere else.
    pub(super) fn restart(&mut self) {
        (self.next, self.silence, self.announced) = (None, None, None);
        self.last.clear();
    }

    /// A run of this layout, and of this number, begins.
    pub(super) fn enter(&mut self, spec: PcmSpec, number: u64) {
        let before = self.spec.replace(spec);
        let goes_on = before == Some(spec) && self.next.is_some();
        if !goes_on {
            self.number = number;
            if let Some(before) = before {
                let other = |frame: u64| at_rate(frame, before, spec);
                (self.next, self.silence) = (self.next.map(other), self.silence.map(other));
            }
        }
        if before.is_none_or(|before| before.channels != spec.channels) {
            self.last.clear();
        }
        if let Some((from, until)) = self.announced.take() {
            self.announce(from, until);
        }
    }

    /// Nothing but silence comes up to a time, from `from` on if the title was not begun. How much that is, if the layout is
    /// known; else it follows once it is.
    pub(super) fn announce(&mut self, from: Duration, until: Duration) {
        let Some(spec) = self.spec else {
            let from = self.announced.map_or(from, |(from, _)| from);
            self.announced = Some((from, until));
            return;
        };
        let next = *self.next.get_or_insert_with(|| spec.frames(from));
        let until = spec.frames(until);
        if until > next {
            self.silence = Some(until);
        }
    }

    /// The sequence that is being given.
    pub(super) fn facts(&self) -> Option<RunFacts> {
        Some(RunFacts {
            number: self.number,
            start: Duration::ZERO,
            spec: self.spec?,
        })
    }

    /// The frame that comes behind everything so far.
    pub(super) fn reached(&self) -> Option<u64> {
        self.silence.or(self.next)
    }

    /// When that is.
    pub(super) fn reached_time(&self) -> Option<Duration> {
        Some(self.spec?.time(self.reached()?))
    }

    /// What becomes of so many frames that belong to the title from `at` on.
    pub(super) fn fit(&self, at: i64, frames: u64) -> Fit {
        let end = at.saturating_add_unsigned(frames);
        // Before the title there is nothing.
        let next = self
            .next
            .map_or(at.max(0), |next| i64::try_from(next).unwrap_or(i64::MAX));
        if end <= next {
            return Fit::Drop;
        }
        if at <= next {
            return Fit::Take(next.abs_diff(at));
        }
        let missing = at.abs_diff(next);
        match self.spec.map(|spec| spec.frames(LONGEST_HOLE)) {
            Some(most) if missing <= most => Fit::Hole(missing),
            _ => Fit::TooFar,
        }
    }

    /// What is missing before `frame` is left out.
    pub(super) fn jump(&mut self, frame: u64) {
        self.next = Some(frame);
    }

    /// What is missing before `frame` is silence.
    pub(super) fn fill(&mut self, frame: u64) {
        self.silence = Some(frame);
    }

    /// These samples are given, as what comes at `frame`.
    pub(super) fn give(&mut self, frame: u64, samples: &[f32]) {
        let channels = self.channels();
        self.next = Some(frame.saturating_add((samples.len() / channels) as u64));
        if let Some(last) = samples.rchunks_exact(channels).next() {
            self.last.clear();
            self.last.extend_from_slice(last);
        }
    }

    /// Silence that comes next: its first frame, and how many there are at once.
    pub(super) fn next_silence(&mut self) -> Option<(u64, u64)> {
        let (next, until) = (self.next?, self.silence?);
        let frames = until.saturating_sub(next).min(SILENCE);
        if frames == 0 {
            self.silence = None;
            return None;
        }
        Some((next, frames))
    }

    /// Leads from the last frame that was given into frames that know nothing of it.
    pub(super) fn ramp(&self, samples: &mut [f32]) {
        let Some(spec) = self.spec else { return };
        let channels = self.channels();
        let frames = (samples.len() / channels).min(spec.frames(RAMP) as usize);
        for (index, frame) in samples.chunks_exact_mut(channels).take(frames).enumerate() {
            let own = (index + 1) as f32 / (frames + 1) as f32;
            for (channel, sample) in frame.iter_mut().enumerate() {
                let before = self.last.get(channel).copied().unwrap_or(0.0);
                *sample = *sample * own + before * (1.0 - own);
            }
        }
    }

    fn channels(&self) -> usize {
        self.spec.map_or(1, |spec| usize::from(spec.channels.get()))
    }
}

/// The same place at another rate, to the nearest frame.
fn at_rate(frame: u64, from: PcmSpec, to: PcmSpec) -> u64 {
    let (from, to) = (
        u128::from(from.sample_rate.get()),
        u128::from(to.sample_rate.get()),
    );
    u64::try_from((u128::from(frame) * to + from / 2) / from).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};

    use super::*;

    fn spec(rate: u32, channels: u16) -> PcmSpec {
        PcmSpec {
            sample_rate: NonZeroU32::new(rate).expect("a rate"),
            channels: NonZeroU16::new(channels).expect("channels"),
        }
    }

    fn stereo() -> PcmSpec {
        spec(44_100, 2)
    }

    fn given(frames: u64) -> Splice {
        let mut splice = Splice::default();
        splice.enter(stereo(), 0);
        splice.give(0, &vec![0.5; frames as usize * 2]);
        splice
    }

    #[test]
    fn what_comes_twice_is_dropped_and_what_is_missing_is_told() {
        let splice = given(1000);
        for (at, frames, fit) in [
            (1000, 10, Fit::Take(0)),
            (990, 10, Fit::Drop),
            (990, 11, Fit::Take(10)),
            (0, 5000, Fit::Take(1000)),
            (-50, 1050, Fit::Drop),
            (-50, 1051, Fit::Take(1050)),
            (1001, 10, Fit::Hole(1)),
            (1000 + 3600 * 44_100, 1, Fit::Hole(3600 * 44_100)),
            (1001 + 3600 * 44_100, 1, Fit::TooFar),
            (i64::MAX, u64::MAX, Fit::TooFar),
            (i64::MIN, 0, Fit::Drop),
        ] {
            assert_eq!(splice.fit(at, frames), fit, "{frames} at {at}");
        }
    }

    #[test]
    fn a_title_begins_wherever_its_first_run_does_but_not_before_its_beginning() {
        let mut splice = Splice::default();
        splice.enter(stereo(), 0);
        assert_eq!(splice.fit(7000, 10), Fit::Take(0));
        assert_eq!(splice.fit(-10, 10), Fit::Drop);
        assert_eq!(splice.fit(-10, 15), Fit::Take(10));
        let mut splice = given(1000);
        splice.restart();
        assert_eq!(splice.fit(7000, 10), Fit::Take(0));
    }

    #[test]
    fn runs_of_one_layout_are_one_sequence_and_others_are_not() {
        let mut splice = given(1000);
        splice.enter(stereo(), 1);
        assert_eq!(splice.facts().map(|facts| facts.number), Some(0));
        splice.enter(spec(48_000, 2), 2);
        assert_eq!(splice.facts().map(|facts| facts.number), Some(2));
        // 22.68 ms.
        assert_eq!(splice.reached(), Some(1088));
        splice.enter(stereo(), 3);
        assert_eq!(splice.reached(), Some(1000));
        splice.restart();
        splice.enter(stereo(), 4);
        assert_eq!(splice.facts().map(|facts| facts.number), Some(4));
    }

    #[test]
    fn silence_comes_in_pieces_and_ends_where_it_was_said_to() {
        let mut splice = given(1000);
        splice.announce(Duration::ZERO, Duration::from_millis(500));
        assert_eq!(splice.reached(), Some(22_050));
        let mut next = 1000;
        while let Some((frame, frames)) = splice.next_silence() {
            assert_eq!(frame, next);
            assert!((1..=SILENCE).contains(&frames));
            splice.give(frame, &vec![0.0; frames as usize * 2]);
            next += frames;
        }
        assert_eq!((next, splice.reached()), (22_050, Some(22_050)));
        // What lies behind already is nothing.
        splice.announce(Duration::ZERO, Duration::from_millis(400));
        assert_eq!(splice.next_silence(), None);
    }

    #[test]
    fn silence_in_front_of_everything_waits_for_a_layout() {
        let mut splice = Splice::default();
        splice.announce(Duration::from_secs(1), Duration::from_secs(2));
        splice.announce(Duration::from_secs(2), Duration::from_secs(3));
        assert_eq!((splice.next_silence(), splice.reached()), (None, None));
        splice.enter(stereo(), 0);
        assert_eq!(splice.next_silence(), Some((44_100, SILENCE)));
        assert_eq!(splice.reached(), Some(3 * 44_100));
    }

    #[test]
    fn a_ramp_leads_from_the_last_frame_into_the_new_sound() {
        let splice = given(1000);
        let mut samples = vec![-0.5; 2 * 1000];
        splice.ramp(&mut samples);
        assert!(samples[0] > 0.49, "{}", samples[0]);
        assert!(samples.windows(3).all(|frames| frames[2] <= frames[0]));
        assert!(samples[2 * 221..].iter().all(|sample| *sample == -0.5));
        assert!(samples[2 * 220] > -0.5);
    }
}
