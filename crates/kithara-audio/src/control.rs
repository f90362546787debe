//! Commands for audio that is read elsewhere.

use std::sync::Arc;
use std::time::Duration;

use kithara_decode::{MediaDuration, PcmSpec, SeekMode};

use crate::shared::Shared;
use crate::{AudioError, AudioStats, ReadState, SeekId};

/// Commands one title, from any thread, while its [`Audio`](crate::Audio) is read on another.
///
/// Nothing here waits. What may be called on an audio thread says so; it costs at most one wake call, and a resume another
/// one if a read is blocked elsewhere.
#[derive(Clone, Debug)]
pub struct AudioControl {
    shared: Arc<Shared>,
}

impl AudioControl {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Seeks. Returns at once; of several seeks the newest wins. A read begun after this returns yields no frame from
    /// before the seek. Beyond the end is the end. [`SeekDone`](crate::AudioEvent::SeekDone) follows as an event.
    ///
    /// A seek also leaves the end and the errors of decoding behind. May be called on an audio thread.
    ///
    /// # Errors
    /// [`AudioError::Closed`] after a close, [`AudioError::Worker`] if the decode thread is gone.
    pub fn seek(&self, to: Duration, mode: SeekMode) -> Result<SeekId, AudioError> {
        if self.shared.is_closed() {
            return Err(AudioError::Closed);
        }
        if let Some(error) = self.shared.death() {
            return Err(error.clone());
        }
        let id = self.shared.wishes.make(to, mode);
        self.shared.call_worker();
        Ok(SeekId(id))
    }

    /// Lets reads yield silence, or wait, until [`resume`](Self::resume). What is decoded already is kept, and the
    /// decode thread goes to sleep once its buffer is full. May be called on an audio thread.
    pub fn pause(&self) {
        self.shared.set_paused(true);
    }

    /// Lets reads go on. May be called on an audio thread.
    pub fn resume(&self) {
        self.shared.set_paused(false);
        self.shared.flush();
        self.shared.unpark_worker();
    }

    /// Whether it is paused. May be called on an audio thread.
    pub fn is_paused(&self) -> bool {
        self.shared.is_paused()
    }

    /// The time of the next frame to be read, silence excluded; the target of a seek that has not landed. May be called
    /// on an audio thread.
    pub fn position(&self) -> Duration {
        self.shared.position()
    }

    /// What the reader found last. May be called on an audio thread.
    pub fn state(&self) -> ReadState {
        self.shared.state()
    }

    /// How long the title is, as far as known. Takes a short lock.
    pub fn duration(&self) -> Option<MediaDuration> {
        self.shared.duration()
    }

    /// Sample rate and channels, once the open has resolved. May be called on an audio thread.
    pub fn spec(&self) -> Option<PcmSpec> {
        self.shared.spec()
    }

    /// Counters since open. May be called on an audio thread.
    pub fn stats(&self) -> AudioStats {
        let frames = self.shared.buffered_frames();
        AudioStats {
            underruns: self.shared.underruns(),
            frames_read: self.shared.frames_read(),
            buffered: self
                .shared
                .spec()
                .map_or(Duration::ZERO, |spec| spec.time(frames)),
            wakes: self.shared.wakes(),
        }
    }

    /// Ends everything the open started. A blocked read or open returns [`AudioError::Closed`], as does every later one.
    pub fn close(&self) {
        self.shared.close();
        self.shared.wake_reader();
        self.shared.wake_opener();
    }
}
