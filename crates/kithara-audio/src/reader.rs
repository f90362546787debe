//! What can be read PCM from.

use std::time::Duration;

use kithara_decode::{MediaDuration, PcmSpec};

use crate::{AudioError, ReadOutcome};

/// A reader of PCM: [`Audio`](crate::Audio), or something built on it.
pub trait PcmReader: Send {
    /// Sample rate and channels of what was read last, and of all that is read until somebody
    /// [wishes for another](crate::AudioControl::set_host_sample_rate): a read yields frames of one layout only, and after
    /// it this tells which. May be called on an audio thread.
    fn spec(&self) -> PcmSpec;

    /// How long the title is, as far as known. Takes a short lock: not for an audio thread.
    fn duration(&self) -> Option<MediaDuration>;

    /// The time of the next frame, or the target of a seek that has not landed. May be called on an audio thread.
    fn position(&self) -> Duration;

    /// Reads interleaved samples, whole frames; blocks until there is at least one frame. Returns the number of
    /// samples, 0 only at the end. While paused it waits for [`resume`](crate::AudioControl::resume). Not for an audio
    /// thread.
    ///
    /// # Errors
    /// [`AudioError::BufferTooSmall`] if `out` cannot hold a frame. Everything else is the state of the title, comes
    /// after every frame before it, and is repeated until a seek.
    fn read(&mut self, out: &mut [f32]) -> Result<usize, AudioError>;

    /// Like [`read`](Self::read), one plane per channel. Returns the number of frames; the shortest plane limits them.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), and [`AudioError::WrongPlanes`].
    fn read_planar(&mut self, out: &mut [&mut [f32]]) -> Result<usize, AudioError>;

    /// Reads what is ready, as interleaved whole frames, and fills the rest of `out` with silence. A buffer that cannot
    /// hold one frame gets silence only.
    ///
    /// What it yields begins and stops without a click: it [fades](crate::AudioConfig::with_fades) at pauses, seeks and
    /// underruns, and so differs there from what [`read`](Self::read) yields, unless fades are switched off.
    ///
    /// For an audio thread: never waits, takes no lock, allocates and frees nothing, makes no system call. It is meant
    /// to be called about as fast as the audio plays; faster, and it finds nothing ready now and then.
    fn try_read(&mut self, out: &mut [f32]) -> ReadOutcome;
}
