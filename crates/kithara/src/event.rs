//! Everything a title reports, in one enum.

use kithara_audio::AudioEvent;
#[cfg(feature = "file")]
use kithara_file::FileEvent;
#[cfg(feature = "hls")]
use kithara_hls::HlsEvent;

/// Something that happened to a title, from whichever part of the library noticed it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ResourceEvent {
    /// Decoding, seeking, reading.
    Audio(AudioEvent),
    /// Fetching a file.
    #[cfg(feature = "file")]
    File(FileEvent),
    /// Fetching an HLS stream.
    #[cfg(feature = "hls")]
    Hls(HlsEvent),
}

impl From<AudioEvent> for ResourceEvent {
    fn from(event: AudioEvent) -> Self {
        Self::Audio(event)
    }
}

#[cfg(feature = "file")]
impl From<FileEvent> for ResourceEvent {
    fn from(event: FileEvent) -> Self {
        Self::File(event)
    }
}

#[cfg(feature = "hls")]
impl From<HlsEvent> for ResourceEvent {
    fn from(event: HlsEvent) -> Self {
        Self::Hls(event)
    }
}
