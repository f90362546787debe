//! What takes a container apart: the packets of one audio track with their places in the decoded timeline.

use kithara_stream::{AudioCodec, ContainerFormat};
use symphonia::core::codecs::audio::AudioCodecParameters;

use crate::fault::Result;
use crate::{MediaDuration, Notice, SeekMode, TrackMetadata};

/// The audio track a demuxer delivers.
pub(crate) struct Track {
    pub(crate) container: ContainerFormat,
    pub(crate) codec: AudioCodec,
    pub(crate) params: AudioCodecParameters,
    /// Frames of the whole run, before any trimming, where the container states them for certain.
    pub(crate) frames: Option<u64>,
    /// The length where `frames` does not give it.
    pub(crate) duration: Option<MediaDuration>,
    pub(crate) metadata: TrackMetadata,
    pub(crate) notices: Vec<Notice>,
}

/// One encoded packet.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) data: &'a [u8],
    /// Where its first decoded frame lies, if the container says so.
    pub(crate) frame: Option<u64>,
    /// How many frames it decodes to; 0 where only decoding tells.
    pub(crate) frames: u32,
    /// Whether it only settles the decoder: its frames lie before the position and are dropped.
    pub(crate) primer: bool,
    /// Where the frames of this packet end by the container's own count.
    pub(crate) ends_at: Option<i64>,
}

impl<'a> Packet<'a> {
    pub(crate) fn new(data: &'a [u8], frame: Option<u64>, frames: u32) -> Self {
        Self {
            data,
            frame,
            frames,
            primer: false,
            ends_at: None,
        }
    }
}

/// Where a seek of the container put the next packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The position of the first frame the next packets decode to, primers apart.
    pub(crate) frame: u64,
    /// Whether that is certain.
    pub(crate) exact: bool,
}

/// Takes a container apart.
pub(crate) trait Demux: Send {
    /// The next packet of the track; `None` is the proven end.
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>>;

    /// Moves to a packet from which the frame `target` decodes as it would have in one go: early enough for the codec
    /// to settle.
    fn seek(&mut self, target: u64, mode: SeekMode) -> Result<Arrival>;

    /// Whether `next_packet` may simply be called again after a read failed.
    fn resumes(&self) -> bool {
        true
    }

    /// Whether packets say themselves when they play, so that a gap between two may be meant. Elsewhere something was lost.
    fn states_times(&self) -> bool {
        false
    }

    /// Tells what was noticed since the last call.
    fn take_notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// Told once: the frames that really were decoded up to the first packet that had `ends_at`. Whether that was not known:
    /// then nothing is missing.
    fn calibrate(&mut self, _decoded: u64, _stated: i64) -> bool {
        false
    }
}

/// Notices nobody has taken yet; of more than these only the oldest are kept.
const MAX_NOTICES: usize = 1024;

/// Notes something, unless nobody listens.
pub(crate) fn note(notices: &mut Vec<Notice>, notice: Notice) {
    if notices.len() < MAX_NOTICES {
        notices.push(notice);
    }
}
