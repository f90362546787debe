//! The handle that stays with the program while the resource plays in the mixer.

use std::num::{NonZeroU16, NonZeroU32};
#[cfg(feature = "hls")]
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kithara_audio::{AudioControl, ReadState, SeekId};
use kithara_decode::{MediaDuration, SeekMode};

#[cfg(feature = "hls")]
use kithara_abr::{AbrMode, VariantInfo};
#[cfg(feature = "hls")]
use kithara_hls::{HlsEvent, HlsHandle, SegmentSource};

use crate::{Error, ResourceEvent};

/// Controls a [`Resource`](crate::Resource) from anywhere: clone it, send it, share it.
///
/// Every method returns at once and never blocks. All but [`duration`](Self::duration), [`close`](Self::close) and those of HLS
/// streams may be called on the audio thread: they make at most one wake call, and `resume` one more if a read is blocked on
/// another thread.
#[derive(Clone, Debug)]
pub struct Control {
    audio: AudioControl,
    traffic: Arc<Traffic>,
    #[cfg(feature = "hls")]
    hls: HlsHandle,
}

/// What a resource has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests for ranges of the title and their retries, for HLS also those for playlists and keys; redirects are not counted
    /// apart.
    pub requests: u64,
    /// Distinct bytes of the title that have come since it was opened; reported in steps of 64 KiB and at the end of each
    /// request, for HLS by segments.
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
        #[cfg(feature = "hls")]
        if let ResourceEvent::Hls(event) = event {
            match event {
                HlsEvent::Requested => {
                    self.requests.fetch_add(1, Ordering::Relaxed);
                }
                HlsEvent::SegmentAbandoned { bytes, .. }
                | HlsEvent::SegmentLoaded {
                    bytes,
                    source: SegmentSource::Network,
                    ..
                } => {
                    self.bytes.fetch_add(*bytes, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        #[cfg(not(any(feature = "file", feature = "hls")))]
        let _ = event;
    }
}

impl Control {
    pub(crate) fn new(
        audio: AudioControl,
        traffic: Arc<Traffic>,
        #[cfg(feature = "hls")] hls: HlsHandle,
    ) -> Self {
        Self {
            audio,
            traffic,
            #[cfg(feature = "hls")]
            hls,
        }
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

    /// Stops handing out frames: `try_read` fades out and yields silence, `read` waits. Nothing runs until
    /// [`resume`](Self::resume).
    pub fn pause(&self) {
        self.audio.pause();
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.audio.resume();
    }

    /// From soon on everything is read at this rate, between 1 and 768 kHz, without a frame lost or heard twice. A read yields
    /// frames of one rate only, and [`spec`](crate::Resource::spec) tells after it which;
    /// [`AudioEvent::OutputChanged`](kithara_audio::AudioEvent::OutputChanged) follows as an event.
    pub fn set_host_sample_rate(&self, rate: NonZeroU32) {
        self.audio.set_host_sample_rate(rate);
    }

    /// The same for the number of channels, at most 32.
    pub fn set_channels(&self, channels: NonZeroU16) {
        self.audio.set_channels(channels);
    }

    /// Plays `factor` times as fast from soon on, between a quarter and four times; the pitch follows. What is not a number
    /// changes nothing. Positions, durations and seeks stay those of the title.
    pub fn set_speed(&self, factor: f64) {
        self.audio.set_speed(factor);
    }

    /// How fast it is to play.
    pub fn speed(&self) -> f64 {
        self.audio.speed()
    }

    /// How loud the title is: what each sample is multiplied by, from 0, silence, to 16; 1, the default, leaves every bit as
    /// it is. What is outside of that is brought inside, and what is no number is 0. Above 1 samples may pass full scale.
    ///
    /// It is heard with the next frame read, whichever way it is read, in a straight ramp of 10 ms.
    pub fn set_volume(&self, volume: f32) {
        self.audio.set_volume(volume);
    }

    /// What [`set_volume`](Self::set_volume) was told.
    pub fn volume(&self) -> f32 {
        self.audio.volume()
    }

    /// Makes the title silent, or as loud as before, in a ramp of 10 ms. It plays on meanwhile.
    pub fn set_muted(&self, muted: bool) {
        self.audio.set_muted(muted);
    }

    /// Whether it is muted.
    pub fn is_muted(&self) -> bool {
        self.audio.is_muted()
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

/// HLS streams. Each takes a short lock: not for an audio thread.
#[cfg(feature = "hls")]
impl Control {
    /// What there is to choose from, in the playlist's order. Empty for a file.
    pub fn variants(&self) -> Vec<VariantInfo> {
        self.hls.variants()
    }

    /// The [index](VariantInfo::index) of the variant that is fetched now, which is ahead of what is heard. `None` for a file.
    pub fn current_variant(&self) -> Option<usize> {
        self.hls.current_variant()
    }

    /// Says who chooses the variant from now on. It is in force with the next segment that is fetched; what is fetched already
    /// is played. No effect on a file.
    pub fn set_abr_mode(&self, mode: AbrMode) {
        self.hls.set_abr_mode(mode);
    }

    /// Whether the stream is live: more may come than is listed.
    pub fn is_live(&self) -> bool {
        self.hls.is_live()
    }

    /// Where in an HLS stream a seek can go. The window of a live one moves. `None` for a file.
    pub fn seekable_range(&self) -> Option<Range<Duration>> {
        self.hls.seekable_range()
    }
}
