//! Frames of one run that follow one another, on their way to the layout of the output.

use kithara_decode::PcmSpec;

use super::history::{Piece, RunFacts};
use crate::remix::Matrix;
use crate::resampler::{Rates, ResamplerProcessor};
use crate::timeline::{Moment, Output, title_frame};
use crate::{AudioError, ResamplerQuality};

/// Frames that are remixed at a time, so that what comes of it stays small.
const REMIX_FRAMES: usize = 4096;

/// A stretch of a run without a gap. Its frames lie on the title's timeline from its beginning on; what comes after a gap
/// or in another run is another stretch, which begins where its own time says.
#[derive(Debug)]
pub(super) struct Stretch {
    run: RunFacts,
    output: Output,
    /// The frame of the run that must come next.
    next: u64,
    /// Where its first output frame lies.
    start: Moment,
    /// Output frames made so far.
    given: u64,
    /// Channels become fewer before the rate is converted, and more after it.
    before: Option<Matrix>,
    resampler: Option<ResamplerProcessor>,
    after: Option<Matrix>,
    scratch: Vec<f32>,
}

/// What becomes of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many samples were taken; what came of them, if anything, was appended.
    Took(usize),
    /// It is right as it is, and begins there.
    AsIs(Moment),
    /// It belongs to what comes after; what this stretch still held was appended, or some of it.
    After,
}

impl Stretch {
    /// A stretch that begins with `piece`, or later, at the first title frame that is not before `from`. None if all of
    /// the piece comes before that.
    pub(super) fn begin(
        piece: &Piece<'_>,
        from: Moment,
        output: Output,
        quality: ResamplerQuality,
    ) -> Result<Option<Self>, AudioError> {
        let run = piece.run;
        let base = base(&run, output.spec);
        let rates = rates(&run, output);
        let start = from.max(Moment::at(first_frame(&run, piece.frame, output.spec)));
        // What lies further back than a filter looks is not needed.
        let context = ResamplerProcessor::context(rates, quality);
        let needed = frame_before(&run, start, base, output.spec).saturating_sub(context);
        let next = needed.max(piece.frame);
        if next >= piece.frame.saturating_add(piece.frames() as u64) {
            return Ok(None);
        }
        let (inputs, outputs) = (run.spec.channels, output.spec.channels);
        let matrix = Matrix::between(inputs, outputs);
        let (before, after) = if inputs > outputs {
            (matrix, None)
        } else {
            (None, matrix)
        };
        let channels = usize::from(inputs.min(outputs).get());
        let resampler = if rates.are_same() {
            None
        } else {
            let mut resampler = ResamplerProcessor::with_rates(rates, channels, quality)?;
            let base = Moment::at(base);
            resampler.begin(next, start.since(base));
            Some(resampler)
        };
        Ok(Some(Self {
            run,
            output,
            next,
            start,
            given: 0,
            before,
            resampler,
            after,
            scratch: Vec::new(),
        }))
    }

    /// Converts some of `piece`, appending to `out` what comes of it.
    pub(super) fn convert(&mut self, piece: &Piece<'_>, out: &mut Vec<f32>) -> Step {
        let early = self.next.saturating_sub(piece.frame);
        if piece.run != self.run || piece.frame > self.next {
            return Step::After;
        }
        let channels = self.run.channels();
        if early > 0 {
            // Only at the beginning: what comes before it is left out.
            let frames = usize::try_from(early).unwrap_or(usize::MAX);
            return Step::Took(frames.min(piece.frames()) * channels);
        }
        if self.resampler.is_none() && self.before.is_none() && self.after.is_none() {
            return Step::AsIs(self.place());
        }
        let frames = piece.frames().min(REMIX_FRAMES);
        let taken = self.make(&piece.samples[..frames * channels], out);
        self.next += (taken / channels) as u64;
        Step::Took(taken)
    }

    /// So many frames were taken as they were.
    pub(super) fn pass(&mut self, frames: usize) {
        self.next += frames as u64;
        self.given += frames as u64;
    }

    /// Appends some of what is still inside; whether there is more.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) -> bool {
        let total = self.start.frames_before(self.end(), self.output.speed);
        let Some(resampler) = &mut self.resampler else {
            return false;
        };
        let into = if self.after.is_some() {
            self.scratch.clear();
            &mut self.scratch
        } else {
            &mut *out
        };
        let before = into.len();
        let more = resampler.finish_at(total, into);
        let channels = usize::from(self.run.spec.channels.min(self.output.spec.channels).get());
        self.given += ((into.len() - before) / channels) as u64;
        if let Some(matrix) = &self.after {
            matrix.apply(&self.scratch, out);
        }
        more
    }

    /// Where the next output frame lies.
    pub(super) fn place(&self) -> Moment {
        self.start.after(self.given, self.output.speed)
    }

    /// Where the frame would lie that comes after those taken so far.
    pub(super) fn end(&self) -> Moment {
        end(&self.run, self.next, self.output.spec)
    }

    /// Output frames made so far.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Takes whole frames from the front of `samples`; how many samples.
    fn make(&mut self, samples: &[f32], out: &mut Vec<f32>) -> usize {
        let (inputs, outputs) = (self.run.channels(), self.output.channels());
        let before = out.len();
        let taken = match (&self.before, &mut self.resampler, &self.after) {
            (None, None, Some(matrix)) | (Some(matrix), None, _) => {
                matrix.apply(samples, out);
                samples.len()
            }
            (None, Some(resampler), None) => resampler.process(samples, out),
            (None, Some(resampler), Some(matrix)) => {
                self.scratch.clear();
                let taken = resampler.process(samples, &mut self.scratch);
                matrix.apply(&self.scratch, out);
                taken
            }
            (Some(matrix), Some(resampler), _) => {
                self.scratch.clear();
                let room = resampler.room() * inputs;
                matrix.apply(&samples[..samples.len().min(room)], &mut self.scratch);
                resampler.process(&self.scratch, out) / outputs * inputs
            }
            (None, None, None) => 0,
        };
        self.given += ((out.len() - before) / outputs) as u64;
        taken
    }
}

/// The rates a run is converted between.
pub(super) fn rates(run: &RunFacts, output: Output) -> Rates {
    Rates {
        from: run.rate(),
        to: output.spec.sample_rate,
        speed: output.speed,
    }
}

/// The title frame at which a run begins.
pub(super) fn base(run: &RunFacts, spec: PcmSpec) -> u64 {
    spec.frames(run.start)
}

/// The first title frame that is not before the frame `frame` of a run.
pub(super) fn first_frame(run: &RunFacts, frame: u64, spec: PcmSpec) -> u64 {
    let (from, to) = (
        u128::from(run.rate().get()),
        u128::from(spec.sample_rate.get()),
    );
    let frames = (u128::from(frame) * to).div_ceil(from);
    base(run, spec).saturating_add(u64::try_from(frames).unwrap_or(u64::MAX))
}

/// The last frame of a run that is not after a place.
pub(super) fn frame_before(run: &RunFacts, place: Moment, base: u64, spec: PcmSpec) -> u64 {
    let (from, to) = (
        u128::from(run.rate().get()),
        u128::from(spec.sample_rate.get()),
    );
    let frames = u128::from(place.frame().saturating_sub(base)) * from / to;
    u64::try_from(frames).unwrap_or(u64::MAX)
}

/// Where the frame `frame` of a run would lie if it came after the last one.
pub(super) fn end(run: &RunFacts, frame: u64, spec: PcmSpec) -> Moment {
    if run.rate() == spec.sample_rate {
        return Moment::at(base(run, spec).saturating_add(frame));
    }
    Moment::at(title_frame(run.start, frame, run.rate(), spec.sample_rate))
}
