//! What takes a container apart: the packets of one audio track with their places in the decoded timeline.

use kithara_stream::{AudioCodec, ContainerFormat};
use symphonia::core::codecs::audio::AudioCodecParameters;

use crate::fault::Result;
use crate::input::Input;
use crate::stamp::TrackStamp;
use crate::trim::Trim;
use crate::{MediaDuration, Notice, SeekMode, TrackMetadata, memory};

/// The audio track a demuxer delivers.
pub(crate) struct Track {
    pub(crate) container: ContainerFormat,
    pub(crate) codec: AudioCodec,
    pub(crate) params: AudioCodecParameters,
    /// Frames of the whole run, before any trimming, where the container states them for certain.
    pub(crate) frames: Option<u64>,
    /// What the container signals of frames that are not part of the source; `None` where it signals nothing.
    pub(crate) trim: Option<Trim>,
    /// The length before any trimming, where `frames` does not give it; an estimate unless it is right to the frame.
    pub(crate) duration: Option<MediaDuration>,
    pub(crate) metadata: TrackMetadata,
    /// When the first frame plays by the media's own clock.
    pub(crate) stamp: Option<TrackStamp>,
    pub(crate) notices: Vec<Notice>,
}

impl Track {
    /// What was said of the length was said of the whole title, of which this is a part.
    pub(crate) fn promise_nothing(&mut self) {
        (self.frames, self.duration) = (None, None);
        if let Some(trim) = &mut self.trim {
            trim.total = None;
        }
    }
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
    /// So many frames at its end are padding by the container.
    pub(crate) discard: u32,
    /// The first decoded frame behind the media, once the container has said so.
    pub(crate) run_end: Option<u64>,
}

impl<'a> Packet<'a> {
    pub(crate) fn new(data: &'a [u8], frame: Option<u64>, frames: u32) -> Self {
        Self {
            data,
            frame,
            frames,
            primer: false,
            ends_at: None,
            discard: 0,
            run_end: None,
        }
    }

    /// The same packet in a timeline of twice as many frames.
    pub(crate) fn doubled(&self) -> Self {
        Self {
            frame: self.frame.map(|frame| frame.saturating_mul(2)),
            frames: self.frames.saturating_mul(2),
            ends_at: self.ends_at.map(|frame| frame.saturating_mul(2)),
            discard: self.discard.saturating_mul(2),
            run_end: self.run_end.map(|frame| frame.saturating_mul(2)),
            ..*self
        }
    }
}

/// A packet that was read ahead.
pub(crate) struct OwnedPacket {
    pub(crate) data: Vec<u8>,
    frame: Option<u64>,
    frames: u32,
    ends_at: Option<i64>,
    discard: u32,
    run_end: Option<u64>,
}

impl OwnedPacket {
    pub(crate) fn copy(packet: &Packet<'_>) -> Result<Self> {
        Ok(Self {
            data: memory::copy(packet.data)?,
            frame: packet.frame,
            frames: packet.frames,
            ends_at: packet.ends_at,
            discard: packet.discard,
            run_end: packet.run_end,
        })
    }

    /// Puts its place into a timeline of twice as many frames.
    pub(crate) fn double(&mut self) {
        let Packet {
            frame,
            frames,
            ends_at,
            discard,
            run_end,
            ..
        } = self.lend().doubled();
        (self.frame, self.frames, self.ends_at) = (frame, frames, ends_at);
        (self.discard, self.run_end) = (discard, run_end);
    }

    pub(crate) fn lend(&self) -> Packet<'_> {
        let mut packet = Packet::new(&self.data, self.frame, self.frames);
        packet.ends_at = self.ends_at;
        packet.discard = self.discard;
        packet.run_end = self.run_end;
        packet
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

/// What comes behind the track in the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Only reading on tells.
    Unknown,
    Nothing,
    /// The bytes end in the middle of what would tell.
    Cut,
    /// Another one, to be played after this one, from this offset on.
    Link(u64),
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

    /// Told once, before the first packet: when that plays, by a tag around it, in 90ths of a millisecond of a clock of 33 bits.
    fn begins_at(&mut self, _ticks: u64) {}

    /// Tells what was noticed since the last call.
    fn take_notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// Told once: the frames that really were decoded up to the first packet that had `ends_at`. Whether that was not known:
    /// then nothing is missing.
    fn calibrate(&mut self, _decoded: u64, _stated: i64) -> bool {
        false
    }

    /// What comes behind the track, as far as that is known.
    fn behind(&self) -> Behind {
        Behind::Nothing
    }

    /// Finds out what comes behind the track, if need be by reading on. Afterwards only a seek leads to its packets again.
    fn look_behind(&mut self) -> Result<Behind> {
        Ok(self.behind())
    }

    /// The bytes, standing where the track begins, for what comes behind it; `None` where nothing can.
    fn into_input(self: Box<Self>) -> Option<Input> {
        None
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
