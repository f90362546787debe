//! A decoder whose panics and failures end its own stream and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kithara_stream::{ByteSource, MediaInfo};

use crate::chain::{Chain, Facts};
use crate::fault::{Fault, Result as FaultResult};
use crate::pipeline::is_passing;
use crate::{
    Continuation, DecodeError, DecoderOptions, Guard, InnerDecoder, Landing, MediaDuration, Notice,
    PcmChunk, PcmSpec, SeekMode, Stamp, TrackMetadata, WorkerFault,
};

/// Opens a run, perhaps with the decoder of the one before.
pub(crate) fn open(
    bytes: Box<dyn ByteSource>,
    info: &MediaInfo,
    options: &DecoderOptions,
    before: Option<Continuation>,
) -> Result<Box<dyn InnerDecoder>, DecodeError> {
    let worker = |fault| DecodeError::Worker {
        name: info.name.clone(),
        fault,
    };
    let guard = options.guard.clone();
    guard.watch().map_err(worker)?;
    let opened = contain(&guard, || Chain::open(bytes, info, options, before)).map_err(worker)?;
    let chain = opened.map_err(|fault| fault.at(&info.name, 0))?;
    if guard.is_spun() {
        return Err(worker(WorkerFault::Spun));
    }
    Ok(Box::new(Contained {
        facts: chain.facts().clone(),
        duration: chain.duration(),
        state: State::Running(Box::new(chain)),
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
    facts: Facts,
    duration: Option<MediaDuration>,
    state: State,
    guard: Guard,
}

enum State {
    Running(Box<Chain>),
    /// A read failed; the next call goes back to where it was.
    Interrupted(Box<Chain>),
    /// Repeated until a seek.
    Failed(Box<Chain>, DecodeError),
    /// For good.
    Dead(WorkerFault),
}

impl Contained {
    fn worker(&self, fault: WorkerFault) -> DecodeError {
        DecodeError::Worker {
            name: self.facts.info.name.clone(),
            fault,
        }
    }

    fn call<T>(
        &mut self,
        run: impl FnOnce(&mut Chain) -> FaultResult<T>,
    ) -> Result<T, DecodeError> {
        let mut chain = match std::mem::replace(&mut self.state, State::Dead(WorkerFault::Spun)) {
            State::Running(chain) | State::Interrupted(chain) | State::Failed(chain, _) => chain,
            State::Dead(fault) => {
                self.state = State::Dead(fault.clone());
                return Err(self.worker(fault));
            }
        };
        let outcome = contain(&self.guard, || {
            let result = run(&mut chain);
            let position = chain.position();
            (result, position)
        });
        let (result, position) = match outcome {
            Ok(outcome) => outcome,
            Err(fault) => return Err(self.bury(chain, fault)),
        };
        if self.guard.is_spun() {
            return Err(self.bury(chain, WorkerFault::Spun));
        }
        self.duration = chain.duration();
        match result {
            Ok(value) => {
                self.state = State::Running(chain);
                Ok(value)
            }
            Err(fault) => Err(self.fail(chain, fault, position)),
        }
    }

    fn fail(&mut self, chain: Box<Chain>, fault: Fault, position: u64) -> DecodeError {
        let passing = is_passing(&fault);
        let error = fault.at(&self.facts.info.name, position);
        self.state = if passing {
            State::Interrupted(chain)
        } else {
            State::Failed(chain, error.clone())
        };
        error
    }

    fn bury(&mut self, chain: Box<Chain>, fault: WorkerFault) -> DecodeError {
        // What panicked once may panic again while it is taken down.
        drop(contain(&self.guard, || drop(chain)));
        tracing::error!(run = %self.facts.info.name, %fault, "a decoder failed; its stream ends");
        self.state = State::Dead(fault.clone());
        self.worker(fault)
    }
}

impl InnerDecoder for Contained {
    fn spec(&self) -> PcmSpec {
        self.facts.spec
    }

    fn info(&self) -> &MediaInfo {
        &self.facts.info
    }

    fn metadata(&self) -> &TrackMetadata {
        &self.facts.metadata
    }

    fn duration(&self) -> Option<MediaDuration> {
        self.duration
    }

    fn stamp(&self) -> Option<Stamp> {
        self.facts.stamp
    }

    fn continues(&self) -> bool {
        self.facts.continues
    }

    fn retire(mut self: Box<Self>) -> Option<Continuation> {
        let state = std::mem::replace(&mut self.state, State::Dead(WorkerFault::Spun));
        let State::Running(chain) = state else {
            self.state = state;
            return None;
        };
        contain(&self.guard, || chain.retire()).ok().flatten()
    }

    fn next_chunk(&mut self) -> Result<Option<PcmChunk>, DecodeError> {
        match &self.state {
            State::Failed(_, error) => Err(error.clone()),
            State::Interrupted(_) => self.call(|chain| {
                chain.resume()?;
                chain.next_chunk()
            }),
            _ => self.call(Chain::next_chunk),
        }
    }

    fn seek(&mut self, to: Duration, mode: SeekMode) -> Result<Landing, DecodeError> {
        self.call(|chain| chain.seek(to, mode))
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        match &mut self.state {
            State::Running(chain) | State::Interrupted(chain) | State::Failed(chain, _) => {
                chain.take_notices()
            }
            State::Dead(_) => Vec::new(),
        }
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        if let State::Running(chain) | State::Interrupted(chain) | State::Failed(chain, _) =
            std::mem::replace(&mut self.state, State::Dead(WorkerFault::Spun))
        {
            drop(contain(&self.guard, || drop(chain)));
        }
    }
}
