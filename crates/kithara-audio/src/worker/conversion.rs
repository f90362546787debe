//! The one place every frame passes on its way from a decoder to the reader: into the layout fixed at open.
//!
//! Pieces of runs go in, frames of the output come out, each with its place on the title's timeline. Where nothing has to
//! be converted, nothing is copied.

use super::history::{Piece, RunFacts};
use super::stretch::{Step, Stretch, base, end, first_frame, frame_before, rates};
use crate::resampler::ResamplerProcessor;
use crate::timeline::{Moment, Output};
use crate::{AudioError, ResamplerQuality};

/// Frames that are copied at a time.
const COPIED_FRAMES: usize = 4096;

/// The stage between history and lane.
#[derive(Debug)]
pub(super) struct Conversion {
    output: Output,
    quality: ResamplerQuality,
    current: Option<Stretch>,
    /// Nothing before this is wanted; after the first stretch, where the last one ended.
    from: Moment,
    /// No stretch has begun since the last [`restart`](Self::restart).
    fresh: bool,
    /// Where what was taken so far ends, if nothing came of it.
    passed: Option<Moment>,
    /// Converted frames not yet delivered, from `done` on.
    made: Vec<f32>,
    made_at: Moment,
    done: usize,
}

/// What a step of the conversion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// So many samples of the piece were used up.
    Used(usize),
    /// The piece is to be delivered as it is, from this place on; [`Conversion::delivered_piece`] is told how much was.
    Deliver(Moment),
}

impl Conversion {
    pub(super) fn new(output: Output, quality: ResamplerQuality) -> Self {
        Self {
            output,
            quality,
            current: None,
            from: Moment::default(),
            fresh: true,
            passed: None,
            made: Vec::new(),
            made_at: Moment::default(),
            done: 0,
        }
    }

    pub(super) fn output(&self) -> Output {
        self.output
    }

    /// Begins anew: the next frame is the first one that is not before `from`.
    pub(super) fn restart(&mut self, output: Output, from: Moment) {
        self.output = output;
        self.current = None;
        self.from = from;
        self.fresh = true;
        self.passed = None;
        self.clear_made();
    }

    /// How many frames before a frame of this run must be converted as well for it to be right.
    pub(super) fn lead(&self, run: &RunFacts) -> u64 {
        ResamplerProcessor::context(rates(run, self.output), self.quality)
    }

    /// The frame of a run with which to begin, so that the frame at `place` is right.
    pub(super) fn lead_in(&self, run: &RunFacts, place: Moment) -> u64 {
        let base = base(run, self.output.spec);
        frame_before(run, place, base, self.output.spec).saturating_sub(self.lead(run))
    }

    /// The first place that is right if the frames of a run begin with `frame`.
    pub(super) fn first_right(&self, run: &RunFacts, frame: u64) -> Moment {
        let lead = if frame == 0 { 0 } else { self.lead(run) };
        Moment::at(first_frame(
            run,
            frame.saturating_add(lead),
            self.output.spec,
        ))
    }

    /// Where the frame `frame` of a run would lie if it came after the last one.
    pub(super) fn end_of(&self, run: &RunFacts, frame: u64) -> Moment {
        end(run, frame, self.output.spec)
    }

    /// Converted frames that wait to be delivered, and their place.
    pub(super) fn made(&self) -> Option<(Moment, &[f32])> {
        let left = &self.made[self.done..];
        (!left.is_empty()).then_some((self.made_at, left))
    }

    /// The same, to be changed in place, right after they were made.
    pub(super) fn made_mut(&mut self) -> Option<(Moment, &mut [f32])> {
        let left = &mut self.made[self.done..];
        (!left.is_empty()).then_some((self.made_at, left))
    }

    /// So many samples of the converted frames were delivered.
    pub(super) fn delivered_made(&mut self, samples: usize) {
        let frames = samples / self.output.channels();
        self.done += samples;
        self.made_at = self.made_at.after(frames as u64, self.output.speed);
        if self.done == self.made.len() {
            self.clear_made();
        }
    }

    /// So many samples of the piece were delivered as they were.
    pub(super) fn delivered_piece(&mut self, samples: usize) {
        if let Some(stretch) = &mut self.current {
            stretch.pass(samples / self.output.channels());
        }
    }

    /// Converts some of `piece`. Called while nothing made waits. With `copies`, frames that are right as they are become
    /// converted ones as well.
    pub(super) fn convert(&mut self, piece: &Piece<'_>, copies: bool) -> Result<Turn, AudioError> {
        if self.current.is_none() {
            let from = self.begin_at(piece);
            self.current = Stretch::begin(piece, from, self.output, self.quality)?;
        }
        let Some(stretch) = &mut self.current else {
            let next = piece.frame.saturating_add(piece.frames() as u64);
            self.passed = Some(self.end_of(&piece.run, next));
            return Ok(Turn::Used(piece.samples.len()));
        };
        self.fresh = false;
        self.made_at = stretch.place();
        match stretch.convert(piece, &mut self.made) {
            Step::Took(samples) => Ok(Turn::Used(samples)),
            Step::AsIs(_) if copies => {
                let frames = piece.frames().min(COPIED_FRAMES);
                let samples = frames * self.output.channels();
                self.made.extend_from_slice(&piece.samples[..samples]);
                stretch.pass(frames);
                Ok(Turn::Used(samples))
            }
            Step::AsIs(place) => Ok(Turn::Deliver(place)),
            Step::After => {
                self.finish();
                Ok(Turn::Used(0))
            }
        }
    }

    /// Converts some of what is still inside, when nothing follows; whether there may be more.
    pub(super) fn finish(&mut self) -> bool {
        let Some(stretch) = &mut self.current else {
            return false;
        };
        self.made_at = stretch.place();
        if stretch.finish(&mut self.made) {
            return true;
        }
        if stretch.given() > 0 {
            self.from = stretch.place();
            self.passed = None;
        } else {
            self.passed = Some(stretch.end());
        }
        self.current = None;
        !self.made.is_empty()
    }

    /// Where everything taken so far ends.
    pub(super) fn end(&self) -> Option<Moment> {
        match &self.current {
            Some(stretch) => Some(stretch.place()),
            None if self.fresh => self.passed,
            None => Some(self.passed.unwrap_or(self.from)),
        }
    }

    /// From where on the frames of `piece`, with which a stretch begins, are wanted.
    fn begin_at(&self, piece: &Piece<'_>) -> Moment {
        if self.fresh {
            return self.from;
        }
        // Frames at another speed than the title's go on in step across the end of a run.
        let first = Moment::at(first_frame(&piece.run, piece.frame, self.output.spec));
        let next = Moment::at(first.frame().saturating_add(1));
        if (first..next).contains(&self.from) {
            self.from
        } else {
            first
        }
    }

    fn clear_made(&mut self) {
        self.made.clear();
        self.done = 0;
    }
}
