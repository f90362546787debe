//! The title as one sequence of decoded chunks: opens its runs one after another and decodes them.

use std::sync::Arc;
use std::time::Duration;

use kithara_decode::{
    DecodeError, DecoderFactory, DecoderOptions, InnerDecoder, MediaDuration, Notice, PcmChunk,
    SeekMode, TrackMetadata,
};
use kithara_stream::{
    EventSink, Interrupt, MediaInfo, Parts, Rejection, Run, RunCause, SeekRoute, Source,
    StreamError, Timing,
};

use super::bytes::AttentiveBytes;
use super::clock::Clocks;
use super::history::RunFacts;
use super::join::Join;
use super::splice::Splice;
use crate::shared::Shared;
use crate::{AudioError, AudioEvent};

/// How often a run that begins behind the target of a seek is given up for an earlier one.
const RETRIES: u32 = 3;
/// How much earlier than seems to be needed.
const EARLIER: Duration = Duration::from_secs(1);

/// Why the title yields nothing now.
#[derive(Debug)]
pub(super) enum Halt {
    /// A newer wish or a close came in between; nothing is wrong.
    Unwanted,
    /// It cannot go on.
    Failed(AudioError),
}

impl From<AudioError> for Halt {
    fn from(error: AudioError) -> Self {
        Self::Failed(error)
    }
}

/// Where a seek went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landed {
    /// The run it went to, if it is the one that is open.
    pub(super) run: Option<RunFacts>,
    /// The frame of that run that comes next.
    pub(super) frame: u64,
    pub(super) exact: bool,
}

/// A chunk and the run it is from.
pub(super) struct Decoded {
    pub(super) run: RunFacts,
    pub(super) chunk: PcmChunk,
}

/// A source and the decoder of its current run.
pub(super) struct Title {
    pub(super) shared: Arc<Shared>,
    pub(super) events: EventSink<AudioEvent>,
    pub(super) options: DecoderOptions,
    /// Kept after its last block, because a seek may go back into it. Goes before the source: with that goes what keeps
    /// what the decoder has found out.
    pub(super) current: Option<Current>,
    source: Box<dyn Source>,
    interrupt: Interrupt,
    /// What was wrong with the part that was rejected last.
    rejected: Option<DecodeError>,
    /// Runs opened so far.
    runs: u64,
    duration: Option<MediaDuration>,
    /// How long the title is by the run that said so last.
    stated: Option<MediaDuration>,
    pub(super) clocks: Clocks,
    pub(super) splice: Splice,
    /// Decoded, and waiting until silence was given.
    pub(super) held: Option<PcmChunk>,
}

/// A run that is being decoded.
pub(super) struct Current {
    number: u64,
    start: Duration,
    /// Where its frames belong, if its media tells; else they are counted from its start.
    pub(super) join: Option<Join>,
    /// Every frame of it was decoded.
    ended: bool,
    /// It goes no further: what follows in the title is in another.
    over: bool,
    /// What its bytes are made of.
    parts: Parts,
    pub(super) decoder: Box<dyn InnerDecoder>,
}

impl Current {
    fn facts(&self) -> RunFacts {
        RunFacts {
            number: self.number,
            start: self.start,
            spec: self.decoder.spec(),
        }
    }

    /// The time at which the run ends, and with it the title as far as known.
    fn end(&self) -> Option<MediaDuration> {
        Some(match self.decoder.duration()? {
            MediaDuration::Exact(duration) => MediaDuration::Exact(self.start + duration),
            MediaDuration::Estimate(duration) => MediaDuration::Estimate(self.start + duration),
        })
    }
}

impl Title {
    pub(super) fn new(
        shared: Arc<Shared>,
        events: EventSink<AudioEvent>,
        options: DecoderOptions,
        source: Box<dyn Source>,
    ) -> Self {
        Self {
            interrupt: source.interrupt(),
            shared,
            events,
            options,
            source,
            current: None,
            rejected: None,
            runs: 0,
            duration: None,
            stated: None,
            clocks: Clocks::default(),
            splice: Splice::default(),
            held: None,
        }
    }

    /// The run that is being decoded.
    pub(super) fn run(&self) -> Option<RunFacts> {
        let run = self.current.as_ref()?;
        match run.join {
            Some(_) => self.splice.facts(),
            None => Some(run.facts()),
        }
    }

    pub(super) fn metadata(&self) -> TrackMetadata {
        self.current
            .as_ref()
            .map_or_else(TrackMetadata::default, |run| run.decoder.metadata().clone())
    }

    pub(super) fn info(&self) -> MediaInfo {
        self.current
            .as_ref()
            .map_or_else(MediaInfo::default, |run| run.decoder.info().clone())
    }

    /// Opens the next run; false at the end of the title. A seek does not interrupt this where the bytes of a run are handed out
    /// once; a close does.
    pub(super) fn open_next(&mut self) -> Result<bool, Halt> {
        loop {
            let Some(run) = self.ask_source(|source| source.next_run())? else {
                self.note_end();
                return Ok(false);
            };
            self.note_title(run.title);
            if let Some(until) = run.silence {
                self.announce(run.start, until);
                if self.splice.facts().is_some() {
                    return Ok(true);
                }
                // What comes next tells in which layout.
                continue;
            }
            let Some(current) = self.open(run)? else {
                continue;
            };
            self.events.send(AudioEvent::FormatDetected {
                spec: current.decoder.spec(),
                info: current.decoder.info().clone(),
            });
            self.current = Some(current);
            self.note_duration();
            return Ok(true);
        }
    }

    /// The next chunk; `None` at the end of the title.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Decoded>, Halt> {
        loop {
            if let Some(silence) = self.next_silence()? {
                return Ok(Some(silence));
            }
            let chunk = match (self.held.take(), &mut self.current) {
                (Some(chunk), _) => Ok(Some(chunk)),
                (None, Some(run)) => run.decoder.next_chunk(),
                (None, None) => Ok(None),
            };
            self.report_notices();
            match (chunk, self.run()) {
                (Ok(Some(chunk)), Some(run)) => {
                    let Some(chunk) = self.joined(chunk)? else {
                        continue;
                    };
                    // A decoder's word for all of its chunks counts less than a chunk's for itself.
                    let spec = chunk.spec;
                    let run = RunFacts { spec, ..run };
                    return Ok(Some(Decoded { run, chunk }));
                }
                (Ok(_), _) => {
                    if let Some(run) = &mut self.current {
                        run.ended = true;
                    }
                    self.note_duration();
                    if !self.open_next()? {
                        return Ok(None);
                    }
                }
                // The next run has what follows, if the source wants anything to.
                (Err(error), _) if self.is_over(&error)? => {
                    if !self.open_next()? {
                        return Ok(None);
                    }
                }
                (Err(error), _) => self.survive(error)?,
            }
        }
    }

    /// Goes to `target`, or, in the run that is open, to the frame that `lead_in` names. Beyond the end it is the end.
    pub(super) fn seek(
        &mut self,
        target: Duration,
        mode: SeekMode,
        lead_in: impl Fn(&RunFacts) -> Option<u64>,
    ) -> Result<Landed, Halt> {
        let mut wanted = target;
        for left in (0..=RETRIES).rev() {
            match self.ask_source(|source| source.seek(wanted))? {
                SeekRoute::WithinRun => return self.seek_in_run(target, mode, lead_in),
                SeekRoute::NewRun => {}
            }
            self.current = None;
            self.held = None;
            self.splice.restart();
            self.open_next()?;
            match self.late(target) {
                Some(late) if left > 0 && !wanted.is_zero() => {
                    wanted = wanted.saturating_sub(late + EARLIER);
                }
                _ => break,
            }
        }
        // The run begins at or before the target; the rest of the way is decoded.
        Ok(Landed {
            run: None,
            frame: 0,
            exact: self.late(target).is_none() && self.is_sure(),
        })
    }

    fn seek_in_run(
        &mut self,
        target: Duration,
        mode: SeekMode,
        lead_in: impl Fn(&RunFacts) -> Option<u64>,
    ) -> Result<Landed, Halt> {
        if self.current.is_none() && !self.open_next()? {
            // Its run could not be opened, and is not handed out again.
            return Err(Halt::Failed(self.shared.failure()));
        }
        self.held = None;
        self.splice.restart();
        loop {
            let facts = self.run();
            let (Some(run), Some(facts)) = (&mut self.current, facts) else {
                return Err(Halt::Failed(self.shared.failure()));
            };
            let begin = run.join.as_ref().map_or(0, Join::begin);
            let start = run.start.max(facts.spec.time(begin));
            let time = lead_in(&facts).map_or_else(
                || target.saturating_sub(start),
                |frame| facts.spec.time(frame.saturating_sub(begin)),
            );
            match run.decoder.seek(time, mode) {
                Ok(landing) => {
                    run.ended = false;
                    self.note_duration();
                    return Ok(Landed {
                        run: Some(facts),
                        frame: landing.frame.saturating_add(begin),
                        exact: landing.exact,
                    });
                }
                Err(error) => self.survive(error)?,
            }
        }
    }

    /// Opens a run; `None` if nothing of it will come, and the next one has it again.
    fn open(&mut self, run: Run) -> Result<Option<Current>, Halt> {
        let number = self.runs;
        self.runs += 1;
        let parts = run.bytes.parts();
        let is_stamped = matches!(run.timing, Timing::Stamped { .. });
        let bytes =
            AttentiveBytes::new(run.bytes, Arc::clone(&self.shared), self.interrupt.clone());
        let before = match run.cause {
            // Also where only the init section is another.
            RunCause::VariantSwitch | RunCause::Discontinuity => {
                self.current.take_if(|before| before.ended)
            }
            _ => None,
        };
        // A stretch of a title is asked for anew by every seek.
        self.shared.set_opening(number == 0 || !is_stamped);
        let opened = match before {
            Some(before) => DecoderFactory::open_after(
                Box::new(bytes),
                &run.info,
                &self.options,
                before.decoder,
            ),
            None => DecoderFactory::open(Box::new(bytes), &run.info, &self.options),
        };
        self.shared.set_opening(false);
        let decoder = match opened {
            Ok(decoder) => decoder,
            Err(error) if error.is_interrupted() => return Err(Halt::Unwanted),
            Err(error) if error.is_cut_off() => return Ok(None),
            Err(error) if is_stamped && self.rejects(&parts, &error)? => return Ok(None),
            Err(error) => return Err(Halt::Failed(error.into())),
        };
        let join = match run.timing {
            Timing::Stamped { clock } => {
                self.splice.enter(decoder.spec(), number);
                Some(self.enter(clock, run.start, run.cause, decoder.as_ref()))
            }
            Timing::Own => None,
        };
        Ok(Some(Current {
            number,
            start: if is_stamped {
                Duration::ZERO
            } else {
                run.start
            },
            join,
            ended: false,
            over: false,
            parts,
            decoder,
        }))
    }

    /// Asks the source again for as long as it answers to interrupts of the past.
    fn ask_source<T>(
        &mut self,
        mut ask: impl FnMut(&mut dyn Source) -> Result<T, StreamError>,
    ) -> Result<T, Halt> {
        // It may wait, and a waiting reader should not wait with it.
        self.shared.flush_pushed();
        loop {
            match ask(&mut *self.source) {
                Ok(answer) => return Ok(answer),
                Err(StreamError::Interrupted) => {}
                Err(error) => return Err(Halt::Failed(error.into())),
            }
            self.interrupt.clear();
            if self.shared.is_unwanted() {
                return Err(Halt::Unwanted);
            }
        }
    }

    /// Whether what follows comes in the next run: nothing more will come in this one, or the source does something about what
    /// does not decode.
    fn is_over(&mut self, error: &DecodeError) -> Result<bool, Halt> {
        let stamped = self.current.as_ref().filter(|run| run.join.is_some());
        let over = match stamped {
            _ if error.is_cut_off() => true,
            // It is asked again once the silence was given that stands for what follows.
            Some(run) if run.over => !error.is_interrupted(),
            Some(run) => self.rejects(&run.parts.clone(), error)?,
            None => false,
        };
        if let Some(run) = self.current.as_mut().filter(|_| over) {
            run.over = true;
        }
        Ok(over)
    }

    /// Tells the source which part of what it gave does not decode.
    fn rejects(&mut self, parts: &Parts, error: &DecodeError) -> Result<bool, Halt> {
        let (Some(part), Some(why)) = (parts.at_fault(), rejection(error)) else {
            return Ok(false);
        };
        let is_over = self.ask_source(|source| source.reject(part, why.clone()))?;
        if is_over {
            self.rejected = Some(error.clone());
        }
        Ok(is_over)
    }

    /// Why a title that has ended without a run has none: what was wrong with the last of what came for it, if anything did.
    pub(super) fn nothing(&mut self) -> DecodeError {
        self.rejected.take().unwrap_or_else(|| DecodeError::Silent {
            name: "the title".to_owned(),
        })
    }

    /// Sorts out a decoder's failure: an interrupt of the past is none.
    fn survive(&self, error: DecodeError) -> Result<(), Halt> {
        if !error.is_interrupted() {
            return Err(Halt::Failed(error.into()));
        }
        self.interrupt.clear();
        if self.shared.is_unwanted() {
            return Err(Halt::Unwanted);
        }
        Ok(())
    }

    fn report_notices(&mut self) {
        let Some(run) = &mut self.current else { return };
        for notice in run.decoder.take_notices() {
            match notice {
                Notice::PacketSkipped { frame, frames } => {
                    self.events
                        .send(AudioEvent::PacketSkipped { frame, frames });
                }
                Notice::JunkSkipped { offset, bytes } => {
                    self.events.send(AudioEvent::JunkSkipped { offset, bytes });
                }
                Notice::BackendRefused { backend, reason } => {
                    self.events
                        .send(AudioEvent::BackendRefused { backend, reason });
                }
                other => tracing::debug!(?other, "a notice nobody is told of"),
            }
        }
    }

    /// How long the title is by its protocol.
    fn note_title(&mut self, stated: Option<MediaDuration>) {
        if stated.is_some() && stated != self.stated {
            self.stated = stated;
            self.set_duration(stated);
        }
    }

    fn note_duration(&mut self) {
        // What the protocol says counts; a stretch of a title knows nothing of its end.
        if let Some(run) = &self.current
            && run.join.is_none()
            && self.stated.is_none()
        {
            self.set_duration(run.end());
        }
    }

    /// Where the title was found to end.
    fn note_end(&mut self) {
        if let Some(end) = self.splice.reached_time() {
            self.set_duration(Some(MediaDuration::Exact(end)));
        }
    }

    fn set_duration(&mut self, duration: Option<MediaDuration>) {
        if duration != self.duration {
            self.duration = duration;
            self.shared.set_duration(duration);
            self.events.send(AudioEvent::DurationChanged { duration });
        }
    }
}

/// What is wrong with the bytes, if anything is. What nobody decodes is worth its own name, and what could not be had is known
/// already to whoever would fetch it.
fn rejection(error: &DecodeError) -> Option<Rejection> {
    let what = match error {
        DecodeError::Empty { .. } | DecodeError::Silent { .. } => {
            return Some(Rejection::Silent);
        }
        DecodeError::Headless { .. } => return Some(Rejection::Headless),
        DecodeError::Corrupt { what, .. } | DecodeError::WrongContent { what, .. } => what.clone(),
        DecodeError::Truncated {
            expected: Some(_), ..
        } => return Some(Rejection::Short),
        DecodeError::Truncated { .. } => "it ends early".to_owned(),
        DecodeError::TooLarge { what, .. } => format!("{what} is too large"),
        _ => return None,
    };
    Some(Rejection::Damaged { what })
}
