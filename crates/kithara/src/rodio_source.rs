//! A resource as a `rodio` source.

use std::time::Duration;

use rodio::source::SeekError;
use rodio::{ChannelCount, SampleRate, Source};

use crate::{MediaDuration, ReadState, Resource, SeekMode};

/// Samples taken from the resource at a time: about 6 ms of stereo at 44.1 kHz, so that pause, seek and
/// [`Control::position`](crate::Control::position) stay close to what is heard.
const SAMPLES: usize = 512;

/// A [`Resource`] that plays in a `rodio` mixer.
///
/// It never waits and never allocates after it was made: when nothing is ready yet it yields silence, which is
/// counted in [`Stats::underruns`](crate::Stats::underruns) and reported as an event, and it ends only at the end of the
/// title or when the title failed. Keep a [`Control`](crate::Control) to tell these apart, to pause and to seek.
/// Dropping it frees nothing on the calling thread either.
pub struct RodioSource {
    resource: Resource,
    // Not a vector, which would be freed on the audio thread.
    block: [f32; SAMPLES],
    /// How much of the block is used: whole frames.
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
        let channels = usize::from(resource.spec().channels.get());
        Self {
            total: resource.duration().map(MediaDuration::value),
            block: [0.0; SAMPLES],
            len: SAMPLES - SAMPLES % channels,
            next: SAMPLES - SAMPLES % channels,
            resource,
        }
    }
}

impl Iterator for RodioSource {
    type Item = f32;

    /// The next sample, on the audio thread: no lock, allocation, free or system call.
    fn next(&mut self) -> Option<f32> {
        if self.next == self.len {
            let outcome = self.resource.try_read(&mut self.block[..self.len]);
            let over = matches!(outcome.state, ReadState::Ended | ReadState::Failed);
            if over && outcome.frames == 0 {
                return None;
            }
            self.next = 0;
            if over {
                // What follows the last frame is not part of the title: those frames move to the block's end.
                let samples = outcome.frames * usize::from(self.resource.spec().channels.get());
                self.next = self.len - samples;
                self.block.copy_within(..samples, self.next);
            }
        }
        let sample = self.block.get(self.next).copied();
        self.next += 1;
        sample
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

    /// Returns at once; silence until the new place is ready.
    fn try_seek(&mut self, to: Duration) -> Result<(), SeekError> {
        self.resource
            .seek(to, SeekMode::Fast)
            .map_err(|error| SeekError::Other(std::sync::Arc::new(error)))?;
        // What was taken from before the seek is not heard any more, but a frame that was begun is ended, in silence: the
        // next sample is for the channel that is next.
        let channels = usize::from(self.resource.spec().channels.get());
        let begun = self.next % channels;
        self.next = self.len;
        if begun > 0 {
            self.next -= channels - begun;
            self.block[self.next..self.len].fill(0.0);
        }
        Ok(())
    }
}
