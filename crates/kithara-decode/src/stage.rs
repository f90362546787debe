//! One packet: where its frames lie in the run, what is heard of them, and what stands for those that do not decode.

use kithara_bufpool::PcmPool;

use crate::backend::{Decoded, EncodedPacket, PacketDecoder, PacketError};
use crate::container::flac_frame;
use crate::damage::Damage;
use crate::demux::{Packet, note};
use crate::fault::{Fault, Result};
use crate::timeline::Timeline;
use crate::trim::Ledger;
use crate::{FloatRange, Notice, PcmChunk, PcmSpec, float_range, interleave, memory};

/// What decoding one packet works on, apart from demuxer and decoder.
pub(crate) struct Stage<'a> {
    /// Gaps are stated by the container.
    pub(crate) stated: bool,
    /// Frames may come later than with their packet.
    pub(crate) late: bool,
    /// The run is a stretch out of a title, in which clocks may change.
    pub(crate) part: bool,
    pub(crate) spec: PcmSpec,
    pub(crate) sums: bool,
    pub(crate) pool: &'a PcmPool,
    pub(crate) floats: FloatRange,
    pub(crate) notices: &'a mut Vec<Notice>,
    pub(crate) damage: &'a mut Damage,
    pub(crate) timeline: &'a mut Timeline,
    pub(crate) ledger: &'a mut Ledger,
}

/// What one packet came to.
pub(crate) enum Step {
    Chunk(PcmChunk),
    /// Nothing to deliver: a primer, a packet of no frames, or one before the position.
    Nothing,
    /// The decoder is done for, and why.
    Failed(String),
    End,
}

impl Stage<'_> {
    pub(crate) fn decode(
        mut self,
        decoder: &mut dyn PacketDecoder,
        packet: &Packet<'_>,
    ) -> Result<Step> {
        if let Some(end) = packet.run_end {
            // What was delivered is not taken back.
            self.ledger
                .ends_at(end.max(self.timeline.next + self.timeline.silence));
        }
        if self.sums && !packet.primer && !flac_frame::is_intact(packet.data) {
            let mut packet = *packet;
            packet.frames = flac_frame::frames(packet.data).unwrap_or(packet.frames);
            self.place(&packet)?;
            return self.replace(&packet);
        }
        let decoded = decoder.decode(EncodedPacket {
            data: packet.data,
            frames: packet.frames,
            position: self.position(packet),
        });
        if let Err(PacketError::Failed(reason)) = decoded {
            return Ok(Step::Failed(reason.into_owned()));
        }
        if packet.primer {
            return Ok(Step::Nothing);
        }
        self.place(packet)?;
        match decoded {
            Ok(decoded) => {
                let discard = self.ledger.discards(packet.discard);
                self.deliver(&decoded, discard)
            }
            // What was not asked for before is damage that looks like it.
            Err(PacketError::Unsupported(what)) if !self.damage.decodes() => {
                Err(Fault::unsupported(what))
            }
            Err(_) => self.replace(packet),
        }
    }

    /// Where a packet stands in the track. One that is decoded for the next has no place.
    fn position(&self, packet: &Packet<'_>) -> Option<u64> {
        let known = !self.part && !packet.primer && self.timeline.exact;
        known.then(|| {
            packet
                .frame
                .unwrap_or(self.timeline.next + self.timeline.silence)
        })
    }

    /// Compares the container's idea of the position with ours. A hole becomes silence.
    fn place(&mut self, packet: &Packet<'_>) -> Result<()> {
        let Some(frame) = packet.frame else {
            self.timeline.container = None;
            return Ok(());
        };
        let Some(expected) = self.timeline.container else {
            // The first after a jump: what the container says holds.
            if self.timeline.from > 0 || self.timeline.next == 0 {
                self.timeline.next = frame;
            }
            self.timeline.container = Some(frame);
            return Ok(());
        };
        if self.late {
            return Ok(());
        }
        let twice = expected.saturating_sub(frame);
        if self.part && twice > self.timeline.last_frames / 2 {
            self.overlap(twice);
        }
        let gap = frame.saturating_sub(expected);
        // Durations that are a little off are not holes.
        if gap > self.timeline.last_frames / 2 {
            self.bridge(gap)?;
        }
        self.timeline.container = Some(frame);
        Ok(())
    }

    /// So many frames come again: they are decoded and dropped, unless they are of another clock.
    fn overlap(&mut self, frames: u64) {
        if frames <= Damage::MOST_TWICE * u64::from(self.spec.sample_rate.get())
            && frames <= self.timeline.next
            && self.timeline.silence == 0
        {
            self.timeline.from = self.timeline.from.max(self.timeline.next);
            self.timeline.next -= frames;
        }
    }

    /// Silence for frames that nothing was there for.
    fn bridge(&mut self, gap: u64) -> Result<()> {
        let rate = u64::from(self.spec.sample_rate.get());
        if gap > Damage::LONGEST_GAP * rate {
            // Where encoders are started anew and nobody says so, another clock goes on from here.
            return match self.part {
                true => Ok(()),
                false => Err(missing_frames(gap)),
            };
        }
        // In a stretch out of a title only stated times tell of gaps.
        if !self.stated && !self.part {
            return self.skip(gap);
        }
        let heard = self.hush(gap);
        match self.damage.gap(heard, rate) {
            true => Err(missing_frames(gap)),
            false => Ok(()),
        }
    }

    /// All decoded frames pass here. What lies before the position or behind the media, or is said to be padding, is dropped.
    pub(crate) fn deliver(self, decoded: &Decoded<'_>, discard: u64) -> Result<Step> {
        let frames = decoded.frames() as u64;
        if frames == 0 {
            return Ok(Step::Nothing);
        }
        if decoded.spec != self.spec {
            return Err(Fault::unsupported(format!(
                "a change within the run, to {} channels at {} Hz",
                decoded.spec.channels, decoded.spec.sample_rate
            )));
        }
        let channels = usize::from(self.spec.channels.get());
        self.damage.good(frames);
        self.timeline.last_frames = frames;
        self.timeline.container = self.timeline.container.map(|frame| frame + frames);
        let first = self.timeline.next + self.timeline.silence;
        let frames = frames
            .saturating_sub(discard)
            .min(self.ledger.cut().saturating_sub(first));
        if frames == 0 {
            return Ok(Step::Nothing);
        }
        self.timeline.next = first + frames;
        let early = self.timeline.from.saturating_sub(first).min(frames);
        if early == frames {
            self.timeline.silence = 0;
            return Ok(Step::Nothing);
        }
        let silent = std::mem::take(&mut self.timeline.silence);
        // Silence that is still to be given comes first, and then nothing is early.
        let early = if silent > 0 { 0 } else { early };
        let mut pcm = self.pool.get_owned();
        memory::reserve(
            &mut pcm,
            silent as usize * channels + (decoded.frames() - early as usize) * channels,
        )?;
        pcm.resize(silent as usize * channels, 0.0);
        interleave::append(decoded, early as usize, &mut pcm);
        if self.floats == FloatRange::Finite && interleave::is_float(decoded) {
            float_range::tame(&mut pcm);
        }
        pcm.truncate((silent + frames - early) as usize * channels);
        Ok(Step::Chunk(PcmChunk {
            pcm,
            spec: self.spec,
            frame: self.ledger.media(first + early - silent),
        }))
    }

    /// A packet that does not decode becomes silence of its length.
    fn replace(mut self, packet: &Packet<'_>) -> Result<Step> {
        let frames = match packet.frames {
            0 => self.timeline.last_frames,
            frames => frames.into(),
        };
        self.skip(frames.saturating_sub(self.ledger.discards(packet.discard)))?;
        self.timeline.container = self.timeline.container.map(|frame| frame + frames);
        Ok(Step::Nothing)
    }

    /// Silence for what does not decode.
    fn skip(&mut self, frames: u64) -> Result<()> {
        let frames = self.hush(frames);
        let window = u64::from(self.spec.sample_rate.get()) * Damage::WINDOW_SECONDS;
        if frames > 0 && self.damage.bad(frames, window) {
            return Err(Fault::corrupt(
                "more than a tenth of the packets do not decode",
            ));
        }
        Ok(())
    }

    /// Silence, told; how much of it is heard.
    fn hush(&mut self, frames: u64) -> u64 {
        let first = self.timeline.next + self.timeline.silence;
        // Before the position nobody hears it.
        let early = self.timeline.from.saturating_sub(first).min(frames);
        self.timeline.next += early;
        let first = first + early;
        // Nor behind the media.
        let frames = (frames - early).min(self.ledger.cut().saturating_sub(first));
        if frames == 0 {
            return 0;
        }
        note(
            self.notices,
            Notice::PacketSkipped {
                frame: self.ledger.media(first),
                frames,
            },
        );
        self.timeline.silence += frames;
        frames
    }
}

pub(crate) fn missing_frames(frames: u64) -> Fault {
    Fault::corrupt(format!("{frames} frames are missing"))
}
