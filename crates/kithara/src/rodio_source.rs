//! A resource as a `rodio` source.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use kithara_audio::AudioError;
use rodio::source::SeekError;
use rodio::{ChannelCount, SampleRate, Source};

use crate::{Error, ErrorKind, MediaDuration, ReadOutcome, ReadState, Resource, SeekMode};

/// The most channels of a resource.
const CHANNELS: usize = 32;

/// Why a seek is refused. Made before a source is, and never freed, because a mixer seeks on the audio thread.
static REFUSALS: LazyLock<[Arc<Error>; 2]> = LazyLock::new(|| {
    let gone = AudioError::Worker {
        what: "the decode thread is gone".into(),
    };
    [AudioError::Closed, gone].map(|error| Arc::new(error.into()))
});

/// A [`Resource`] that plays in a `rodio` mixer.
///
/// It never waits and never allocates after it was made: when nothing is ready yet it yields silence, which is
/// counted in [`Stats::underruns`](crate::Stats::underruns) and reported as an event, and it ends only at the end of the
/// title or when the title failed. Keep a [`Control`](crate::Control) to tell these apart, to pause, to seek and to set the
/// volume: all of that holds from the next frame, [without a click](crate::ResourceConfig::with_fades), and
/// [`Control::position`](crate::Control::position) is that of the frame the mixer has. Dropping it frees nothing on the
/// calling thread either.
pub struct RodioSource {
    resource: Resource,
    /// The frame that is being handed out. Not a vector, which would be freed on the audio thread.
    frame: [f32; CHANNELS],
    /// How much of it is to be handed out, and was.
    len: usize,
    next: usize,
    total: Option<Duration>,
}

impl std::fmt::Debug for RodioSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RodioSource")
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

impl Resource {
    /// Turns the resource into a `rodio::Source`. Take a [`control`](Self::control) before, to pause and to seek.
    pub fn into_source(self) -> RodioSource {
        self.into()
    }
}

impl From<Resource> for RodioSource {
    fn from(resource: Resource) -> Self {
        LazyLock::force(&REFUSALS);
        Self {
            total: resource.duration().map(MediaDuration::value),
            frame: [0.0; CHANNELS],
            len: 0,
            next: 0,
            resource,
        }
    }
}

impl RodioSource {
    /// Takes the next frame.
    fn read(&mut self) -> ReadOutcome {
        let channels = |resource: &Resource| usize::from(resource.spec().channels.get());
        loop {
            let room = channels(&self.resource).min(CHANNELS);
            let outcome = self.resource.try_read(&mut self.frame[..room]);
            // It may have gone over to another number of channels: to fewer, of which there are some frames, or to so many
            // that there was no room for one.
            let channels = channels(&self.resource).min(CHANNELS);
            self.len = room - room % channels;
            if outcome.frames > 0 && outcome.state != ReadState::Playing {
                self.len = outcome.frames * channels;
            }
            if self.len > 0 {
                return outcome;
            }
        }
    }
}

impl Iterator for RodioSource {
    type Item = f32;

    /// The next sample, on the audio thread: no lock, allocation, free or system call.
    fn next(&mut self) -> Option<f32> {
        if self.next == self.len {
            let outcome = self.read();
            self.next = 0;
            let over = matches!(outcome.state, ReadState::Ended | ReadState::Failed);
            let silent = || self.frame[..self.len].iter().all(|sample| *sample == 0.0);
            // What was cut off dies away first.
            if over && outcome.frames == 0 && silent() {
                self.len = 0;
                return None;
            }
        }
        let sample = self.frame[self.next];
        self.next += 1;
        Some(sample)
    }
}

impl Source for RodioSource {
    fn current_span_len(&self) -> Option<usize> {
        None
    }

    fn channels(&self) -> ChannelCount {
        self.resource.spec().channels
    }

    fn sample_rate(&self) -> SampleRate {
        self.resource.spec().sample_rate
    }

    fn total_duration(&self) -> Option<Duration> {
        self.total
    }

    /// Returns at once; silence until the new place is ready. A frame that was begun is ended. For an audio thread, refused or
    /// not.
    ///
    /// # Errors
    /// [`SeekError::Other`] with an [`Error`] of the kind [`ErrorKind::Closed`] or [`ErrorKind::Worker`]: nothing follows.
    fn try_seek(&mut self, to: Duration) -> Result<(), SeekError> {
        self.resource
            .seek(to, SeekMode::Fast)
            .map_err(|error| refusal(&error))?;
        Ok(())
    }
}

fn refusal(error: &Error) -> SeekError {
    let [closed, gone] = &*REFUSALS;
    let refusal = match error.kind() {
        ErrorKind::Closed => closed,
        _ => gone,
    };
    SeekError::Other(Arc::<Error>::clone(refusal))
}
