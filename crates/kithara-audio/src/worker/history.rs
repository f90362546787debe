//! What was decoded lately, as it was decoded.
//!
//! It holds what the reader has yet to play, and a little more, so that a change of the output can be made from what is
//! known already: without asking the decoder to go back, which costs requests and, in some formats, the exact frame.

use std::collections::{TryReserveError, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use kithara_decode::PcmSpec;

/// What is kept never takes more memory than this, unless it is still to be converted.
const BYTES: usize = 4 << 20;
/// How much of what was played is kept, for a filter to begin with: more than the longest filter needs at 8 kHz.
const PLAYED: Duration = Duration::from_millis(400);
/// Less than this many samples are not worth moving others.
const WORTH_MOVING: usize = 16 * 1024;

/// A run, as far as its frames are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunFacts {
    /// Counts the runs of the title.
    pub(super) number: u64,
    pub(super) start: Duration,
    pub(super) spec: PcmSpec,
}

impl RunFacts {
    pub(super) fn rate(&self) -> NonZeroU32 {
        self.spec.sample_rate
    }

    pub(super) fn channels(&self) -> usize {
        usize::from(self.spec.channels.get())
    }
}

/// Frames that follow one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) run: RunFacts,
    /// The frame of the run that the first sample belongs to.
    pub(super) frame: u64,
    /// Interleaved.
    pub(super) samples: &'a [f32],
}

impl Piece<'_> {
    pub(super) fn frames(&self) -> usize {
        self.samples.len() / self.run.channels()
    }
}

#[derive(Clone, Copy, Debug)]
struct Span {
    run: RunFacts,
    frame: u64,
    /// Where it begins in `samples`, and how long it is.
    at: usize,
    len: usize,
}

impl Span {
    /// The time of the frame that begins at this sample.
    fn time(&self, sample: usize) -> Duration {
        let frames = ((sample - self.at) / self.run.channels()) as u64;
        let time = self.run.spec.time(self.frame.saturating_add(frames));
        self.run.start.saturating_add(time)
    }

    /// The sample at which the frame at this time begins, or the nearest there is, `lead` frames earlier.
    fn sample_at(&self, time: Duration, lead: u64) -> usize {
        let frame = self.run.spec.frames(time.saturating_sub(self.run.start));
        let index = frame.saturating_sub(lead).saturating_sub(self.frame);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.at + index.saturating_mul(self.run.channels()).min(self.len)
    }

    fn end(&self) -> usize {
        self.at + self.len
    }
}

/// Decoded frames: those before the cursor were converted, the others are to be.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: Vec<f32>,
    spans: VecDeque<Span>,
    cursor: usize,
}

impl History {
    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.spans.clear();
        self.cursor = 0;
    }

    /// Adds what was decoded next; forgets what lies further back than `played`, the time that is read next.
    pub(super) fn push(
        &mut self,
        piece: Piece<'_>,
        played: Duration,
    ) -> Result<(), TryReserveError> {
        self.forget(played.saturating_sub(PLAYED));
        self.samples.try_reserve(piece.samples.len())?;
        let at = self.samples.len();
        self.samples.extend_from_slice(piece.samples);
        let len = piece.samples.len();
        match self.spans.back_mut() {
            Some(last) if follows(last, &piece) => last.len += len,
            _ => self.spans.push_back(Span {
                run: piece.run,
                frame: piece.frame,
                at,
                len,
            }),
        }
        Ok(())
    }

    /// What is to be converted next.
    pub(super) fn next(&self) -> Option<Piece<'_>> {
        let span = self
            .spans
            .iter()
            .rev()
            .find(|span| span.at <= self.cursor)?;
        let span = if self.cursor < span.end() {
            span
        } else {
            self.spans.iter().find(|span| span.at >= self.cursor)?
        };
        let from = self.cursor.max(span.at);
        let frames = ((from - span.at) / span.run.channels()) as u64;
        Some(Piece {
            run: span.run,
            frame: span.frame.saturating_add(frames),
            samples: &self.samples[from..span.end()],
        })
    }

    /// So many samples were converted.
    pub(super) fn advance(&mut self, samples: usize) {
        self.cursor = (self.cursor + samples).min(self.samples.len());
    }

    /// Goes back to the frame at `time`, or the first after it, and by as many frames more as `lead` says for its run.
    pub(super) fn rewind(&mut self, time: Duration, lead: impl Fn(&RunFacts) -> u64) {
        let span = self
            .spans
            .iter()
            .rev()
            .find(|span| span.time(span.at) <= time)
            .or(self.spans.front());
        self.cursor = span.map_or(0, |span| span.sample_at(time, lead(&span.run)));
    }

    /// The time of the first frame that is left.
    pub(super) fn begin(&self) -> Option<Duration> {
        self.spans.front().map(|span| span.time(span.at))
    }

    fn forget(&mut self, before: Duration) {
        let spare = (self.samples.len() * size_of::<f32>()).saturating_sub(BYTES);
        let mut dead = 0;
        for span in &self.spans {
            let played = span.sample_at(before, 0);
            dead = dead.max(played);
            if played < span.end() {
                break;
            }
        }
        // Whole frames of their span, as far as they were converted.
        dead = dead.max(spare / size_of::<f32>()).min(self.cursor);
        if dead < WORTH_MOVING || dead < self.samples.len() / 2 && spare == 0 {
            return;
        }
        self.cut(dead);
    }

    fn cut(&mut self, dead: usize) {
        while self.spans.front().is_some_and(|span| span.end() <= dead) {
            self.spans.pop_front();
        }
        let mut cut = dead;
        if let Some(span) = self.spans.front_mut()
            && span.at < dead
        {
            let frames = (dead - span.at) / span.run.channels();
            let samples = frames * span.run.channels();
            span.frame = span.frame.saturating_add(frames as u64);
            span.len -= samples;
            span.at += samples;
            cut = span.at;
        }
        self.samples.drain(..cut);
        self.spans.iter_mut().for_each(|span| span.at -= cut);
        self.cursor -= cut;
    }
}

fn follows(last: &Span, piece: &Piece<'_>) -> bool {
    let frames = (last.len / last.run.channels()) as u64;
    last.run == piece.run && last.frame.checked_add(frames) == Some(piece.frame)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};

    use super::*;

    fn run(number: u64, start: Duration) -> RunFacts {
        RunFacts {
            number,
            start,
            spec: PcmSpec {
                sample_rate: NonZeroU32::new(8_000).expect("a rate"),
                channels: NonZeroU16::new(2).expect("channels"),
            },
        }
    }

    fn push(history: &mut History, run: RunFacts, frame: u64, frames: u64, played: Duration) {
        let samples: Vec<_> = (frame..frame + frames)
            .flat_map(|frame| [frame as f32, -(frame as f32)])
            .collect();
        let samples = &samples;
        let piece = Piece {
            run,
            frame,
            samples,
        };
        history.push(piece, played).expect("memory");
    }

    /// Converts everything; the frames found, with the number of their run.
    fn drain(history: &mut History) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        while let Some(piece) = history.next() {
            for (index, pair) in piece.samples.chunks(2).enumerate() {
                let frame = piece.frame + index as u64;
                assert_eq!(pair, [frame as f32, -(frame as f32)]);
                found.push((piece.run.number, frame));
            }
            let samples = piece.samples.len();
            history.advance(samples);
        }
        found
    }

    #[test]
    fn what_was_converted_can_be_converted_again_from_any_time() {
        let mut history = History::default();
        let (first, second) = (run(0, Duration::ZERO), run(1, Duration::from_secs(1)));
        push(&mut history, first, 0, 3000, Duration::ZERO);
        push(&mut history, first, 3000, 5000, Duration::ZERO);
        push(&mut history, second, 0, 4000, Duration::ZERO);
        assert_eq!(drain(&mut history).len(), 12_000);
        for (millis, lead, expected, left) in [
            (0, 0, (0, 0), 12_000),
            (500, 0, (0, 4000), 8_000),
            (500, 100, (0, 3900), 8_100),
            (1_250, 0, (1, 2000), 2_000),
            (1_250, 9_999, (1, 0), 4_000),
            (9_000, 0, (1, 4000), 0),
        ] {
            history.rewind(Duration::from_millis(millis), |_| lead);
            let found = drain(&mut history);
            assert_eq!(found.len(), left, "from {millis} ms");
            if left > 0 {
                assert_eq!(found[0], expected, "from {millis} ms");
            }
        }
    }

    #[test]
    fn what_was_played_is_forgotten_and_what_was_not_is_kept() {
        let mut history = History::default();
        let run = run(0, Duration::ZERO);
        let mut next = 0;
        for _ in 0..500 {
            // The reader is two seconds behind.
            let played = run.spec.time(next).saturating_sub(Duration::from_secs(2));
            push(&mut history, run, next, 1000, played);
            next += 1000;
            assert_eq!(drain(&mut history).len(), 1000);
            assert!(history.begin().expect("a frame") <= played);
            assert!(history.samples.len() < 4 * 2 * 8_000 + WORTH_MOVING + 2000);
        }
        history.rewind(run.spec.time(next - 16_000), |_| 2000);
        let found = drain(&mut history);
        assert_eq!(found.len(), 18_000);
        assert_eq!(found[0], (0, next - 18_000));
    }

    #[test]
    fn no_reader_that_stands_still_makes_it_grow_beyond_its_limit() {
        let mut history = History::default();
        let run = run(0, Duration::ZERO);
        for step in 0..100 {
            push(&mut history, run, step * 20_000, 20_000, Duration::ZERO);
            assert_eq!(drain(&mut history).len(), 20_000);
            assert!(history.samples.len() * size_of::<f32>() <= BYTES + 20_000 * 8);
        }
    }
}
