//! Commands for audio that is read elsewhere.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use kithara_decode::{MediaDuration, PcmSpec, SeekMode};

use crate::shared::Shared;
use crate::timeline::Speed;
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
    /// decode thread goes to sleep once its buffer is full. [`try_read`](crate::PcmReader::try_read) first fades out what
    /// is heard, by [a few frames more](crate::AudioConfig::with_fades). May be called on an audio thread.
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

    /// How loud the audio is handed out: what each sample is multiplied by, from 0, silence, to 16; 1, the default, leaves
    /// every bit as it is. What is outside of that is brought inside, and what is no number is 0. Above 1 samples may pass
    /// full scale.
    ///
    /// It is heard with the next frame read, whichever way it is read, in a straight ramp of 10 ms; frames that follow silence
    /// have it at once. May be called on an audio thread.
    pub fn set_volume(&self, volume: f32) {
        self.shared.loudness.set_volume(volume);
    }

    /// What [`set_volume`](Self::set_volume) was told. May be called on an audio thread.
    pub fn volume(&self) -> f32 {
        self.shared.loudness.volume()
    }

    /// Makes the audio silent, or as loud as before, in a ramp as [`set_volume`](Self::set_volume) does. It plays on
    /// meanwhile. May be called on an audio thread.
    pub fn set_muted(&self, muted: bool) {
        self.shared.loudness.set_muted(muted);
    }

    /// Whether it is muted. May be called on an audio thread.
    pub fn is_muted(&self) -> bool {
        self.shared.loudness.is_muted()
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

    /// From soon on everything is read at this rate, between 1 and 768 kHz: what waits to be read is converted anew, from
    /// where the reader stands, so it takes effect within moments, or once bytes that are waited for have come. No frame is
    /// lost or heard twice: the reader goes on with the first frame of the new rate that is not before the next one of the
    /// old, so time moves by less than a frame. A read yields frames of one rate only, and
    /// [`spec`](crate::PcmReader::spec) tells which; [`OutputChanged`](crate::AudioEvent::OutputChanged) follows as an
    /// event. May be called on an audio thread.
    pub fn set_host_sample_rate(&self, rate: NonZeroU32) {
        self.shared.output.set_rate(rate);
        self.shared.nudge_worker();
    }

    /// The same for the number of channels, at most 32; see [`with_channels`](crate::AudioConfig::with_channels). May be
    /// called on an audio thread.
    pub fn set_channels(&self, channels: NonZeroU16) {
        self.shared.output.set_channels(channels);
        self.shared.nudge_worker();
    }

    /// Plays `factor` times as fast from soon on, between a quarter and four times, in millionths; the pitch follows.
    /// What is not a number changes nothing. It takes effect as
    /// [another rate](Self::set_host_sample_rate) does, from one frame to the next. Positions, durations and seeks stay
    /// those of the title; the frames read are fewer or more. May be called on an audio thread.
    pub fn set_speed(&self, factor: f64) {
        if let Some(speed) = Speed::nearest(factor) {
            self.shared.output.set_speed(speed);
            self.shared.nudge_worker();
        }
    }

    /// How fast it is to play. May be called on an audio thread.
    pub fn speed(&self) -> f64 {
        self.shared.output.speed().factor()
    }

    /// Sample rate and channels of what was read last, once the open has resolved. May be called on an audio thread.
    pub fn spec(&self) -> Option<PcmSpec> {
        self.shared.spec()
    }

    /// Counters since open. May be called on an audio thread.
    pub fn stats(&self) -> AudioStats {
        AudioStats {
            underruns: self.shared.underruns(),
            frames_read: self.shared.frames_read(),
            buffered: self.shared.buffered(),
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
