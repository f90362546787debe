//! How the frames of a stretch of a title get to their place in it.

use std::time::Duration;

use kithara_decode::{InnerDecoder, PcmChunk, PcmSpec};
use kithara_stream::{AudioCodec, MediaInfo, RunCause};

use super::clock::{Placed, Stamped, packet_frames};
use super::splice::Fit;
use super::title::{Decoded, Halt, Title};
use crate::{AudioError, AudioEvent, SilenceCause};

/// What settles a decoder whose packets are of no constant length.
const SETTLE: Duration = Duration::from_millis(10);

/// Where a run lies, and how it goes on with what was given before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Join {
    placed: Placed,
    /// When it begins by the playlist.
    start: Duration,
    cause: RunCause,
    /// Nothing of it was given yet.
    fresh: bool,
    /// Its decoder knows what came before its first frame that is given, or need not.
    prepared: bool,
}

impl Join {
    /// The title frame of its frame 0, if that is not before the title.
    pub(super) fn begin(&self) -> u64 {
        u64::try_from(self.placed.begin).unwrap_or(0)
    }
}

impl Title {
    /// Finds the place of a run whose media tells when it plays.
    pub(super) fn enter(
        &mut self,
        clock: u64,
        start: Duration,
        cause: RunCause,
        decoder: &dyn InnerDecoder,
    ) -> Join {
        let spec = decoder.spec();
        let run = Stamped {
            clock,
            stamp: decoder.stamp(),
            start,
            cause,
            spec,
            packet: packet_frames(decoder.info()),
        };
        let reached = self.splice.reached();
        let placed = self.clocks.place(&run, reached);
        // So much earlier that the first packet is not heard, which knows nothing of the one before it.
        let packet = run.packet.unwrap_or(spec.frames(SETTLE));
        let is_early = reached.is_some_and(|reached| {
            placed.begin.saturating_add_unsigned(packet) <= reached.cast_signed()
        });
        Join {
            placed,
            start,
            cause,
            fresh: true,
            prepared: is_early || decoder.continues() || is_memoryless(decoder.info()),
        }
    }

    /// Silence that was announced.
    pub(super) fn announce(&mut self, from: Duration, until: Duration) {
        let from = self.splice.reached_time().unwrap_or(from);
        self.splice.announce(from, until);
        if until > from {
            self.events.send(AudioEvent::SilenceInserted {
                at: from,
                duration: until - from,
                cause: SilenceCause::Gap,
            });
        }
    }

    /// The part of a chunk that comes next, if that is at hand: silence may have to come before, and what was given already is
    /// dropped.
    pub(super) fn joined(&mut self, mut chunk: PcmChunk) -> Result<Option<PcmChunk>, Halt> {
        let Some(join) = self.current.as_ref().and_then(|run| run.join) else {
            return Ok(Some(chunk));
        };
        let frames = chunk.frames() as u64;
        let at = join.placed.begin.saturating_add_unsigned(chunk.frame);
        let skip = match self.splice.fit(at, frames) {
            Fit::Drop => return Ok(None),
            Fit::Take(skip) => skip,
            Fit::Hole(_) | Fit::TooFar if join.cause == RunCause::Skip => {
                self.splice.jump(at.unsigned_abs());
                0
            }
            Fit::Hole(missing) => {
                self.fill(at.unsigned_abs(), missing, join.cause);
                self.held = Some(chunk);
                return Ok(None);
            }
            Fit::TooFar => {
                let what = "more than an hour of the title is missing".to_owned();
                return Err(Halt::Failed(AudioError::Worker { what: what.into() }));
            }
        };
        let channels = usize::from(chunk.spec.channels.get());
        chunk.pcm.drain(..skip as usize * channels);
        chunk.frame = at.saturating_add_unsigned(skip).unsigned_abs();
        if join.fresh {
            self.begin_joined(&join, &mut chunk);
        }
        self.splice.give(chunk.frame, &chunk.pcm);
        Ok(Some(chunk))
    }

    /// Silence that comes next.
    pub(super) fn next_silence(&mut self) -> Result<Option<Decoded>, Halt> {
        let (Some((frame, frames)), Some(run)) = (self.splice.next_silence(), self.splice.facts())
        else {
            return Ok(None);
        };
        let mut pcm = self.options.pool.get_owned();
        let samples = frames as usize * run.channels();
        pcm.try_reserve(samples)
            .map_err(|error| Halt::Failed(AudioError::no_memory(&error)))?;
        pcm.resize(samples, 0.0);
        self.splice.give(frame, &pcm);
        let spec = run.spec;
        let chunk = PcmChunk { pcm, spec, frame };
        Ok(Some(Decoded { run, chunk }))
    }

    /// How much later than a target the run begins that a seek has led to, if its playlist said otherwise.
    pub(super) fn late(&self, target: Duration) -> Option<Duration> {
        let run = self.current.as_ref()?;
        let join = run.join.as_ref()?;
        if join.start > target || self.splice.reached().is_some() {
            return None;
        }
        let spec: PcmSpec = run.decoder.spec();
        let late = join.begin().checked_sub(spec.frames(target))?;
        (late > 0).then(|| spec.time(late))
    }

    /// Whether the place of the run is certain.
    pub(super) fn is_sure(&self) -> bool {
        let join = self.current.as_ref().and_then(|run| run.join);
        join.is_none_or(|join| join.placed.sure)
    }

    /// Silence for what is missing before a title frame.
    fn fill(&mut self, frame: u64, missing: u64, cause: RunCause) {
        let spec = self.splice.facts().map(|run| run.spec);
        self.splice.fill(frame);
        let Some(spec) = spec else { return };
        self.events.send(AudioEvent::SilenceInserted {
            at: spec.time(frame - missing),
            duration: spec.time(missing),
            cause: match cause {
                RunCause::Gap => SilenceCause::Gap,
                _ => SilenceCause::Hole,
            },
        });
    }

    /// The first frames of a run are about to be given.
    fn begin_joined(&mut self, join: &Join, chunk: &mut PcmChunk) {
        if let Some(join) = self.current.as_mut().and_then(|run| run.join.as_mut()) {
            join.fresh = false;
        }
        let goes_on = matches!(join.cause, RunCause::VariantSwitch | RunCause::Again);
        if !goes_on || self.splice.reached().is_none() {
            return;
        }
        let ramp = !join.prepared;
        if ramp {
            self.splice.ramp(&mut chunk.pcm);
        }
        let at = chunk.spec.time(chunk.frame);
        self.events.send(AudioEvent::Spliced { at, ramp });
    }
}

/// Whether each packet of the codec is right by itself.
fn is_memoryless(info: &MediaInfo) -> bool {
    matches!(
        info.codec,
        Some(AudioCodec::Flac | AudioCodec::Alac | AudioCodec::Pcm)
    )
}
