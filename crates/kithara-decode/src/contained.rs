//! A decoder whose panics and failures end its own stream and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kithara_stream::{ByteSource, MediaInfo};

use crate::fault::{Fault, Result as FaultResult};
use crate::pipeline::{Pipeline, is_passing};
use crate::{
    DecodeError, DecoderOptions, Guard, InnerDecoder, Landing, MediaDuration, Notice, PcmChunk,
    PcmSpec, SeekMode, TrackMetadata, WorkerFault,
};

/// Opens a run.
pub(crate) fn open(
    bytes: Box<dyn ByteSource>,
    info: &MediaInfo,
    options: &DecoderOptions,
) -> Result<Box<dyn InnerDecoder>, DecodeError> {
    let worker = |fault| DecodeError::Worker {
        name: info.name.clone(),
        fault,
    };
    let guard = options.guard.clone();
    guard.watch().map_err(worker)?;
    let opened = contain(&guard, || Pipeline::open(bytes, info, options)).map_err(worker)?;
    let pipeline = opened.map_err(|fault| fault.at(&info.name, 0))?;
    if guard.is_spun() {
        return Err(worker(WorkerFault::Spun));
    }
    Ok(Box::new(Contained {
        spec: pipeline.spec(),
        info: pipeline.info.clone(),
        metadata: pipeline.metadata.clone(),
        duration: pipeline.duration,
        state: State::Running(Box::new(pipeline)),
        guard,
    }))
}

/// Runs something that may panic or spin, under the watchdog's eyes.
fn contain<T>(guard: &Guard, run: impl FnOnce() -> T) -> Result<T, WorkerFault> {
    let _inside = guard.enter();
    // Whatever was inside is dropped after a panic, never called again.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let text = payload
            .downcast::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|payload| payload.downcast::<String>().map(|text| *text));
        WorkerFault::Panicked(text.unwrap_or_else(|payload| {
            // Any other payload may panic when it is dropped; it is not worth the risk.
            std::mem::forget(payload);
            String::new()
        }))
    })
}

struct Contained {
    spec: PcmSpec,
    info: MediaInfo,
    metadata: TrackMetadata,
    duration: Option<MediaDuration>,
    state: State,
    guard: Guard,
}

enum State {
    Running(Box<Pipeline>),
    /// A read failed; the next call goes back to where it was.
    Interrupted(Box<Pipeline>),
    /// Repeated until a seek.
    Failed(Box<Pipeline>, DecodeError),
    /// For good.
    Dead(WorkerFault),
}

impl Contained {
    fn worker(&self, fault: WorkerFault) -> DecodeError {
        DecodeError::Worker {
            name: self.info.name.clone(),
            fault,
        }
    }

    fn call<T>(
        &mut self,
        run: impl FnOnce(&mut Pipeline) -> FaultResult<T>,
    ) -> Result<T, DecodeError> {
        let mut pipeline = match std::mem::replace(&mut self.state, State::Dead(WorkerFault::Spun))
        {
            State::Running(pipeline)
            | State::Interrupted(pipeline)
            | State::Failed(pipeline, _) => pipeline,
            State::Dead(fault) => {
                self.state = State::Dead(fault.clone());
                return Err(self.worker(fault));
            }
        };
        let outcome = contain(&self.guard, || {
            let result = run(&mut pipeline);
            let position = pipeline.position();
            (result, position)
        });
        let (result, position) = match outcome {
            Ok(outcome) => outcome,
            Err(fault) => return Err(self.bury(pipeline, fault)),
        };
        if self.guard.is_spun() {
            return Err(self.bury(pipeline, WorkerFault::Spun));
        }
        match result {
            Ok(value) => {
                self.state = State::Running(pipeline);
                Ok(value)
            }
            Err(fault) => Err(self.fail(pipeline, fault, position)),
        }
    }

    fn fail(&mut self, pipeline: Box<Pipeline>, fault: Fault, position: u64) -> DecodeError {
        let passing = is_passing(&fault);
        let error = fault.at(&self.info.name, position);
        self.state = if passing {
            State::Interrupted(pipeline)
        } else {
            State::Failed(pipeline, error.clone())
        };
        error
    }

    fn bury(&mut self, pipeline: Box<Pipeline>, fault: WorkerFault) -> DecodeError {
        // What panicked once may panic again while it is taken down.
        drop(contain(&self.guard, || drop(pipeline)));
        tracing::error!(run = %self.info.name, %fault, "a decoder failed; its stream ends");
        self.state = State::Dead(fault.clone());
        self.worker(fault)
    }
}

impl InnerDecoder for Contained {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn info(&self) -> &MediaInfo {
        &self.info
    }

    fn metadata(&self) -> &TrackMetadata {
        &self.metadata
    }

    fn duration(&self) -> Option<MediaDuration> {
        self.duration
    }

    fn next_chunk(&mut self) -> Result<Option<PcmChunk>, DecodeError> {
        match &self.state {
            State::Failed(_, error) => Err(error.clone()),
            State::Interrupted(_) => self.call(|pipeline| {
                pipeline.resume()?;
                pipeline.next_chunk()
            }),
            _ => self.call(Pipeline::next_chunk),
        }
    }

    fn seek(&mut self, to: Duration, mode: SeekMode) -> Result<Landing, DecodeError> {
        self.call(|pipeline| pipeline.seek(to, mode))
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        match &mut self.state {
            State::Running(pipeline)
            | State::Interrupted(pipeline)
            | State::Failed(pipeline, _) => pipeline.take_notices(),
            State::Dead(_) => Vec::new(),
        }
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        if let State::Running(pipeline)
        | State::Interrupted(pipeline)
        | State::Failed(pipeline, _) =
            std::mem::replace(&mut self.state, State::Dead(WorkerFault::Spun))
        {
            drop(contain(&self.guard, || drop(pipeline)));
        }
    }
}
