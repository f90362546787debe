//! Conversion of the sample rate, exact in time and in length.
//!
//! The filters are rubato's. What is ours is the arithmetic around them: a filter delays what goes through it, by its own
//! measure, and yields blocks of its own size; here frame 0 stays frame 0, any frame can be the first one, and the end is
//! where the caller says.

mod plan;

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::ops::Range;

use audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, PolynomialDegree, Resampler, SincInterpolationParameters,
    SincInterpolationType, WindowFunction,
};

pub(crate) use self::plan::Rates;
use self::plan::{Filter, Plan};
use crate::timeline::{Moment, Speed, title_frame};
use crate::{AudioError, ResamplerQuality};

/// How many steps between two input frames a sinc is computed for.
const SINC_STEPS: usize = 256;

/// Converts interleaved frames of one sample rate to another.
///
/// The frame at time zero stays at time zero and the length is exact: `n` frames become `n * to / from`, rounded to the
/// nearest, half up. After it was made it allocates nothing but room in the caller's vector. It does not block; it costs
/// what filters cost, so it is not for an audio thread.
///
/// ```
/// use std::num::{NonZeroU16, NonZeroU32};
/// use kithara_audio::{ResamplerProcessor, ResamplerQuality};
///
/// # fn main() -> Result<(), kithara_audio::AudioError> {
/// let (from, to) = (NonZeroU32::new(44_100).unwrap(), NonZeroU32::new(48_000).unwrap());
/// let mut resampler = ResamplerProcessor::new(from, to, NonZeroU16::MIN, ResamplerQuality::High)?;
/// let mut out = Vec::new();
/// let second = vec![0.0f32; 44_100];
/// let mut done = 0;
/// while done < second.len() {
///     done += resampler.process(&second[done..], &mut out);
/// }
/// while resampler.finish(&mut out) {}
/// assert_eq!(out.len(), 48_000);
/// # Ok(()) }
/// ```
pub struct ResamplerProcessor {
    filter: Box<dyn Resampler<f32>>,
    plan: Plan,
    channels: usize,
    /// One block of input, one plane for each channel.
    input: Vec<Vec<f32>>,
    /// Frames of it that are there.
    filled: usize,
    output: Vec<Vec<f32>>,
    /// Input frames of silence still to be put in.
    silence: u64,
    /// Output frames still to be dropped.
    dropped: u64,
    /// Input frames taken, silence not counted.
    taken: u64,
    /// Output frames given.
    given: u64,
}

impl ResamplerProcessor {
    /// A resampler for frames of `channels` samples.
    ///
    /// # Errors
    /// [`AudioError::Worker`] if there is no memory for it.
    pub fn new(
        from: NonZeroU32,
        to: NonZeroU32,
        channels: NonZeroU16,
        quality: ResamplerQuality,
    ) -> Result<Self, AudioError> {
        let rates = Rates {
            from,
            to,
            speed: Speed::NORMAL,
        };
        let mut resampler = Self::with_rates(rates, channels.get().into(), quality)?;
        resampler.begin(0, Moment::default());
        Ok(resampler)
    }

    pub(crate) fn with_rates(
        rates: Rates,
        channels: usize,
        quality: ResamplerQuality,
    ) -> Result<Self, AudioError> {
        let plan = Plan::new(rates, quality);
        let most = (plan.block as f64 * rates.ratio()) as usize + 64;
        // The filters cannot be asked for in a way that may fail, so about their memory is tried first and given back.
        let bytes = 8 * size_of::<f32>() * (plan.block + most) * channels;
        Vec::<u8>::new()
            .try_reserve_exact(bytes)
            .map_err(|error| AudioError::no_memory(&error))?;
        let filter = build(&plan, channels).map_err(|error| AudioError::Worker {
            what: format!("the sample rate cannot be converted: {error}").into(),
        })?;
        let (block, most) = (filter.input_frames_max(), filter.output_frames_max());
        Ok(Self {
            filter,
            plan: Plan { block, ..plan },
            channels,
            input: vec![vec![0.0; block]; channels],
            filled: 0,
            output: vec![vec![0.0; most]; channels],
            silence: 0,
            dropped: 0,
            taken: 0,
            given: 0,
        })
    }

    /// How many input frames before a frame must be known for it to be right, with these rates.
    pub(crate) fn context(rates: Rates, quality: ResamplerQuality) -> u64 {
        if rates.are_same() {
            return 0;
        }
        let plan = Plan::new(rates, quality);
        // Two more, because the first frame lies between two input frames.
        plan.delay + 2
    }

    /// How many input frames one call of [`process`](Self::process) can take.
    pub(crate) fn room(&mut self) -> usize {
        self.fill_silence();
        self.plan.block - self.filled
    }

    /// Takes input frames from the front of `input`, interleaved, and appends the frames they become to `out`, interleaved.
    /// Returns how many samples were taken: whole frames, at most one block of the filter.
    pub fn process(&mut self, input: &[f32], out: &mut Vec<f32>) -> usize {
        self.fill_silence();
        let frames = (input.len() / self.channels).min(self.plan.block - self.filled);
        let samples = frames * self.channels;
        deinterleave(
            &input[..samples],
            &mut self.input,
            self.filled..self.filled + frames,
        );
        self.filled += frames;
        self.taken += frames as u64;
        self.run(u64::MAX, out);
        samples
    }

    /// Appends some of what is still inside after the last input frame; whether there is more.
    pub fn finish(&mut self, out: &mut Vec<f32>) -> bool {
        let Rates { from, to, .. } = self.plan.rates;
        let total = title_frame(std::time::Duration::ZERO, self.taken, from, to);
        self.finish_at(total, out)
    }

    /// Forgets everything: the next frame is frame 0.
    pub fn reset(&mut self) {
        self.begin(0, Moment::default());
    }

    /// By how many input frames the output is behind what was taken: what it must have seen of the future. No output
    /// frame is late; this is latency.
    pub fn delay(&self) -> u64 {
        self.plan.delay
    }

    /// Begins anew: the next input frame is the frame `first` of its run, the next output frame the one at `wanted` after
    /// the beginning of the run, within less than 1/128 of an input frame.
    pub(crate) fn begin(&mut self, first: u64, wanted: Moment) {
        self.filter.reset();
        let beginning = self.plan.begin(first, wanted);
        self.silence = beginning.silence;
        self.dropped = beginning.dropped;
        (self.filled, self.taken, self.given) = (0, 0, 0);
    }

    /// Appends frames until `total` were given since the beginning; whether there are more to come.
    pub(crate) fn finish_at(&mut self, total: u64, out: &mut Vec<f32>) -> bool {
        if self.given >= total {
            return false;
        }
        self.fill_silence();
        for plane in &mut self.input {
            plane[self.filled..].fill(0.0);
        }
        self.filled = self.plan.block;
        self.run(total, out);
        self.given < total
    }

    /// Puts in silence as long as there is room and some is due.
    fn fill_silence(&mut self) {
        while self.silence > 0 {
            let room = self.plan.block - self.filled;
            let count = usize::try_from(self.silence).unwrap_or(room).min(room);
            for plane in &mut self.input {
                plane[self.filled..self.filled + count].fill(0.0);
            }
            self.filled += count;
            self.silence -= count as u64;
            if self.filled == self.plan.block {
                let frames = self.filter_block();
                // Nothing but silence went in, from before the first frame that is wanted.
                self.dropped = self.dropped.saturating_sub(frames as u64);
            }
        }
    }

    /// Filters a full block and appends what comes of it, up to `total` frames since the beginning.
    fn run(&mut self, total: u64, out: &mut Vec<f32>) {
        if self.filled < self.plan.block {
            return;
        }
        let frames = self.filter_block();
        let skipped = usize::try_from(self.dropped).unwrap_or(frames).min(frames);
        self.dropped -= skipped as u64;
        let left = usize::try_from(total - self.given).unwrap_or(usize::MAX);
        let kept = (frames - skipped).min(left);
        interleave(&self.output, skipped..skipped + kept, out);
        self.given += kept as u64;
    }

    /// Filters a full block; how many frames are in `output`.
    fn filter_block(&mut self) -> usize {
        self.filled = 0;
        let (block, most) = (self.plan.block, self.output[0].len());
        let input = SequentialSliceOfVecs::new(&self.input, self.channels, block);
        let output = SequentialSliceOfVecs::new_mut(&mut self.output, self.channels, most);
        let (Ok(input), Ok(mut output)) = (input, output) else {
            return 0;
        };
        // The sizes are those the filter itself asked for, so there is nothing for it to refuse.
        match self.filter.process_into_buffer(&input, &mut output, None) {
            Ok((_, frames)) => frames,
            Err(error) => {
                debug_assert!(false, "{error}");
                0
            }
        }
    }
}

impl fmt::Debug for ResamplerProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResamplerProcessor")
            .field("plan", &self.plan)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

fn build(
    plan: &Plan,
    channels: usize,
) -> Result<Box<dyn Resampler<f32>>, rubato::ResamplerConstructionError> {
    let window = WindowFunction::BlackmanHarris2;
    let Plan { rates, block, .. } = *plan;
    Ok(match plan.filter {
        Filter::Fourier => {
            let (from, to) = (rates.from.get() as usize, rates.to.get() as usize);
            let fixed = FixedSync::Input;
            Box::new(Fft::new_custom(
                from, to, block, 1, channels, window, fixed,
            )?)
        }
        Filter::Sinc { points, cubic } => {
            let (steps, kind) = if cubic {
                (SINC_STEPS / 2, SincInterpolationType::Cubic)
            } else {
                (SINC_STEPS, SincInterpolationType::Linear)
            };
            let parameters = SincInterpolationParameters::new(points, window)
                .oversampling_factor(steps)
                .interpolation(kind);
            let (ratio, fixed) = (rates.ratio(), FixedAsync::Input);
            Box::new(Async::new_sinc(
                ratio,
                1.0,
                &parameters,
                block,
                channels,
                fixed,
            )?)
        }
        Filter::Cubic => {
            let (ratio, degree) = (rates.ratio(), PolynomialDegree::Cubic);
            let fixed = FixedAsync::Input;
            Box::new(Async::new_poly(ratio, 1.0, degree, block, channels, fixed)?)
        }
    })
}

/// Takes interleaved samples apart into a part of each plane.
fn deinterleave(samples: &[f32], planes: &mut [Vec<f32>], to: Range<usize>) {
    match planes {
        [only] => only[to].copy_from_slice(samples),
        [_, _] => fast_interleave::deinterleave::<_, _, 2>(samples, planes, to),
        _ => {
            if let Some(channels) = NonZeroUsize::new(planes.len()) {
                fast_interleave::deinterleave_variable(samples, channels, planes, to);
            }
        }
    }
}

/// Appends a part of each plane, interleaved.
fn interleave(planes: &[Vec<f32>], from: Range<usize>, out: &mut Vec<f32>) {
    let before = out.len();
    if let [only] = planes {
        out.extend_from_slice(&only[from]);
        return;
    }
    out.resize(before + from.len() * planes.len(), 0.0);
    let out = &mut out[before..];
    match planes {
        [_, _] => fast_interleave::interleave::<_, _, 2>(planes, from, out),
        _ => {
            if let Some(channels) = NonZeroUsize::new(planes.len()) {
                fast_interleave::interleave_variable(planes, from, out, channels);
            }
        }
    }
}
