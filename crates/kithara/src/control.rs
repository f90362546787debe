//! The handle that stays with the program while the resource plays in the mixer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kithara_audio::{AudioControl, ReadState, SeekId};
use kithara_decode::{MediaDuration, SeekMode};

use crate::{Error, ResourceEvent};

/// Controls a [`Resource`](crate::Resource) from anywhere: clone it, send it, share it.
///
/// Every method returns at once and never blocks. All but [`duration`](Self::duration) and [`close`](Self::close) may be
/// called on the audio thread: they make at most one wake call, and `resume` one more if a read is blocked on another
/// thread.
#[derive(Clone, Debug)]
pub struct Control {
    audio: AudioControl,
    traffic: Arc<Traffic>,
}

/// What a resource has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests for ranges of the title and their retries; redirects are not counted apart.
    pub requests: u64,
    /// Distinct bytes of the title that have come since it was opened; reported in steps of 64 KiB and at the end of each
    /// request.
    pub bytes_fetched: u64,
    /// Frames read.
    pub frames_read: u64,
    /// How often the reader ran dry while playing.
    pub underruns: u64,
}

/// Counters fed by the events of the protocol.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    requests: AtomicU64,
    /// What the cache had at open.
    found: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    pub(crate) fn count(&self, event: &ResourceEvent) {
        #[cfg(feature = "file")]
        if let ResourceEvent::File(event) = event {
            use kithara_file::FileEvent;
            match event {
                FileEvent::Requested { .. } => {
                    self.requests.fetch_add(1, Ordering::Relaxed);
                }
                FileEvent::Found { stored, .. } => self.found.store(*stored, Ordering::Relaxed),
                FileEvent::DownloadProgress { stored, .. } => {
                    let found = self.found.load(Ordering::Relaxed);
                    let come = stored.saturating_sub(found);
                    self.bytes.store(come, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        #[cfg(not(feature = "file"))]
        let _ = event;
    }
}

impl Control {
    pub(crate) fn new(audio: AudioControl, traffic: Arc<Traffic>) -> Self {
        Self { audio, traffic }
    }

    /// Asks for the frame at `to`; the newest wish wins. [`AudioEvent::SeekDone`](kithara_audio::AudioEvent::SeekDone)
    /// with the returned id tells where it landed. Beyond the end it is the end.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) once the resource is closed or dropped,
    /// [`ErrorKind::Worker`](crate::ErrorKind::Worker) if its decode thread is dead or stuck.
    pub fn seek(&self, to: Duration, mode: SeekMode) -> Result<SeekId, Error> {
        Ok(self.audio.seek(to, mode)?)
    }

    /// Stops handing out frames: `try_read` yields silence, `read` waits. Nothing runs until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.audio.pause();
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.audio.resume();
    }

    /// The media time of the next frame that will be read; after a seek, its target.
    pub fn position(&self) -> Duration {
        self.audio.position()
    }

    /// Whether [`pause`](Self::pause) holds it.
    pub fn is_paused(&self) -> bool {
        self.audio.is_paused()
    }

    /// What the reader found last: whether it is playing, buffering, seeking. While the decode thread itself waits for
    /// bytes it can report no event; this tells at any moment.
    pub fn state(&self) -> ReadState {
        self.audio.state()
    }

    /// How long the title is, as far as known. Takes a short lock.
    pub fn duration(&self) -> Option<MediaDuration> {
        self.audio.duration()
    }

    /// What has been done so far.
    pub fn stats(&self) -> Stats {
        let audio = self.audio.stats();
        Stats {
            requests: self.traffic.requests.load(Ordering::Relaxed),
            bytes_fetched: self.traffic.bytes.load(Ordering::Relaxed),
            frames_read: audio.frames_read,
            underruns: audio.underruns,
        }
    }

    /// Ends the resource: every transfer and the decode thread stop, a blocked read fails with
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed), and so does every later one.
    pub fn close(&self) {
        self.audio.close();
    }
}
