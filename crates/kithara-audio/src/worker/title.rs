//! The title as one sequence of blocks: opens its runs one after another and decodes them.

use std::sync::Arc;
use std::time::Duration;

use kithara_decode::{
    DecodeError, DecoderFactory, DecoderOptions, InnerDecoder, MediaDuration, Notice, PcmSpec,
    SeekMode, TrackMetadata,
};
use kithara_stream::{EventSink, Interrupt, MediaInfo, Run, SeekRoute, Source, StreamError};

use super::bytes::AttentiveBytes;
use super::conform::{Block, conform};
use crate::shared::Shared;
use crate::{AudioError, AudioEvent};

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
    /// The frame of the title that comes next.
    pub(super) frame: u64,
    pub(super) exact: bool,
}

/// A source and the decoder of its current run.
pub(super) struct Title {
    shared: Arc<Shared>,
    events: EventSink<AudioEvent>,
    options: DecoderOptions,
    source: Box<dyn Source>,
    interrupt: Interrupt,
    /// Kept after its last block, because a seek may go back into it.
    current: Option<Current>,
    /// The layout of the first run.
    spec: Option<PcmSpec>,
    /// Frames before this one are decoded only to get there.
    trim_to: u64,
    duration: Option<MediaDuration>,
}

/// A run that is being decoded.
struct Current {
    start: Duration,
    decoder: Box<dyn InnerDecoder>,
}

impl Current {
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
            spec: None,
            trim_to: 0,
            duration: None,
        }
    }

    /// The layout of every block, once the first run is open.
    pub(super) fn spec(&self) -> Option<PcmSpec> {
        self.spec
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

    /// Opens the next run; false at the end of the title. A seek does not interrupt this, because the bytes of a run
    /// are handed out once; a close does.
    pub(super) fn open_next(&mut self) -> Result<bool, Halt> {
        let Some(run) = self.ask_source(|source| source.next_run())? else {
            return Ok(false);
        };
        self.shared.set_opening(true);
        let opened = self.open(run);
        self.shared.set_opening(false);
        let current = opened?;
        let spec = current.decoder.spec();
        self.events.send(AudioEvent::FormatDetected {
            spec,
            info: current.decoder.info().clone(),
        });
        self.spec.get_or_insert(spec);
        self.current = Some(current);
        self.note_duration();
        Ok(true)
    }

    /// The next block; `None` at the end of the title.
    pub(super) fn next_block(&mut self) -> Result<Option<Block>, Halt> {
        loop {
            let chunk = match &mut self.current {
                Some(run) => run.decoder.next_chunk(),
                None => Ok(None),
            };
            self.report_notices();
            match chunk {
                Ok(Some(chunk)) => {
                    let Some(spec) = self.spec else {
                        return Ok(None);
                    };
                    let base = self
                        .current
                        .as_ref()
                        .map_or(0, |run| spec.frames(run.start));
                    let mut block = conform(chunk, spec, base)?;
                    block.trim_to(self.trim_to);
                    if !block.samples().is_empty() {
                        return Ok(Some(block));
                    }
                }
                Ok(None) => {
                    self.note_duration();
                    if !self.open_next()? {
                        return Ok(None);
                    }
                }
                Err(error) => self.survive(error)?,
            }
        }
    }

    /// Goes to `target`; the next block starts there. Beyond the end it is the end.
    pub(super) fn seek(&mut self, target: Duration, mode: SeekMode) -> Result<Landed, Halt> {
        self.trim_to = 0;
        match self.ask_source(|source| source.seek(target))? {
            SeekRoute::WithinRun => self.seek_in_run(target, mode),
            SeekRoute::NewRun => {
                self.current = None;
                self.open_next()?;
                // The run begins at or before the target; the rest of the way is decoded.
                let frame = self.spec.map_or(0, |spec| spec.frames(target));
                self.trim_to = frame;
                Ok(Landed { frame, exact: true })
            }
        }
    }

    fn seek_in_run(&mut self, target: Duration, mode: SeekMode) -> Result<Landed, Halt> {
        if self.current.is_none() && !self.open_next()? {
            // Its run could not be opened, and is not handed out again.
            return Err(Halt::Failed(self.shared.failure()));
        }
        loop {
            let Some(run) = &mut self.current else {
                return Err(Halt::Failed(self.shared.failure()));
            };
            match run.decoder.seek(target.saturating_sub(run.start), mode) {
                Ok(landing) => {
                    let base = run.decoder.spec().frames(run.start);
                    self.note_duration();
                    return Ok(Landed {
                        frame: base.saturating_add(landing.frame),
                        exact: landing.exact,
                    });
                }
                Err(error) => self.survive(error)?,
            }
        }
    }

    fn open(&self, run: Run) -> Result<Current, Halt> {
        let bytes =
            AttentiveBytes::new(run.bytes, Arc::clone(&self.shared), self.interrupt.clone());
        let opened = DecoderFactory::open(Box::new(bytes), &run.info, &self.options);
        match opened {
            Ok(decoder) => Ok(Current {
                start: run.start,
                decoder,
            }),
            Err(error) if error.is_interrupted() => Err(Halt::Unwanted),
            Err(error) => Err(Halt::Failed(error.into())),
        }
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
                other => tracing::debug!(?other, "a notice nobody is told of"),
            }
        }
    }

    fn note_duration(&mut self) {
        let duration = self.current.as_ref().and_then(Current::end);
        if duration != self.duration {
            self.duration = duration;
            self.shared.set_duration(duration);
            self.events.send(AudioEvent::DurationChanged { duration });
        }
    }
}
