//! Packets in, blocks of PCM with exact positions out.

use std::collections::VecDeque;
use std::time::Duration;

use kithara_bufpool::PcmPool;
use kithara_stream::{AudioCodec, ByteSource, ContainerFormat, MediaInfo, StreamError};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::errors::Error as CodecError;
use symphonia::core::packet::PacketRef;

use crate::aac::{self, AacConfig};
use crate::container::flac_frame;
use crate::damage::Damage;
use crate::demux::{Demux, Packet, note};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{
    CodecSelector, DecoderOptions, Guard, Landing, MediaDuration, Notice, PcmChunk, PcmSpec,
    SeekMode, TrackMetadata, codec, interleave, limits, memory, opening,
};

/// Frames of silence in one chunk.
const SILENCE_FRAMES: u64 = 4096;
/// Packets of AAC looked at for spectral band replication.
const SBR_PACKETS: usize = 4;

/// Everything that decodes one run, on one thread.
pub(crate) struct Pipeline {
    demux: Box<dyn Demux>,
    decoder: Box<dyn AudioDecoder>,
    params: AudioCodecParameters,
    spec: PcmSpec,
    /// Packets are FLAC frames whose sums nobody looks at but us: symphonia's reader of native FLAC does.
    sums: bool,
    pool: PcmPool,
    guard: Guard,
    pub(crate) info: MediaInfo,
    pub(crate) metadata: TrackMetadata,
    pub(crate) duration: Option<MediaDuration>,
    /// All frames of the run, where the container is certain.
    total: Option<u64>,
    /// Packets read ahead at the start.
    ahead: VecDeque<OwnedPacket>,
    timeline: Timeline,
    damage: Damage,
    notices: Vec<Notice>,
    /// Decoded already, by a seek.
    ready: Option<PcmChunk>,
    /// A seek failed on its way: the demuxer may stand anywhere.
    adrift: bool,
}

struct OwnedPacket {
    data: Vec<u8>,
    frame: Option<u64>,
    frames: u32,
    ends_at: Option<i64>,
}

/// Where in the decoded timeline the next frame lies.
#[derive(Debug, Default)]
struct Timeline {
    /// The position of the next decoded frame.
    next: u64,
    /// Frames before this one are decoded and dropped.
    from: u64,
    /// Frames of silence still to be given before anything else.
    silence: u64,
    /// Where the container would put the next packet, by the one before it; `None` after a jump.
    container: Option<u64>,
    /// Frames of the last good packet.
    last_frames: u64,
    ended: bool,
}

/// What one packet came to.
enum Step {
    Chunk(PcmChunk),
    /// Nothing to deliver: a primer, a packet of no frames, or one before the position.
    Nothing,
    End,
}

impl Pipeline {
    /// Opens the run.
    pub(crate) fn open(
        bytes: Box<dyn ByteSource>,
        info: &MediaInfo,
        options: &DecoderOptions,
    ) -> Result<Self> {
        let input = Input::new(bytes, options.guard.clone());
        let (track, demux) = opening::open(input, info)?;
        if let CodecSelector::Exact(wanted) = options.codec
            && wanted != track.codec
        {
            return Err(Fault::unsupported(format!(
                "{} where {wanted} is asked for",
                track.codec
            )));
        }
        let decoder = codec::decoder(&track.params)?;
        let mut info = info.clone();
        info.codec = Some(track.codec);
        info.container = Some(track.container);
        let mut pipeline = Self {
            demux,
            spec: spec_of(decoder.as_ref())?,
            decoder,
            sums: track.codec == AudioCodec::Flac && track.container != ContainerFormat::Flac,
            params: track.params,
            pool: options.pool.clone(),
            guard: options.guard.clone(),
            info,
            metadata: track.metadata,
            duration: track.duration,
            total: track.frames,
            ahead: VecDeque::new(),
            timeline: Timeline::default(),
            damage: Damage::default(),
            notices: track.notices,
            ready: None,
            adrift: false,
        };
        pipeline.info.sample_rate = Some(pipeline.spec.sample_rate.get());
        pipeline.info.channels = Some(pipeline.spec.channels.get());
        if let Some(total) = pipeline.total {
            pipeline.duration = Some(MediaDuration::Exact(pipeline.spec.time(total)));
        }
        if track.codec == AudioCodec::AacLc
            && AacConfig::may_hide_sbr(pipeline.spec.sample_rate.get())
        {
            pipeline.refuse_hidden_sbr()?;
        }
        Ok(pipeline)
    }

    /// The next block; `None` is the proven end.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<PcmChunk>> {
        if let Some(chunk) = self.ready.take() {
            return Ok(Some(chunk));
        }
        loop {
            if self.timeline.silence > 0 {
                return self.silent_chunk().map(Some);
            }
            if self.timeline.ended {
                return Ok(None);
            }
            match self.step()? {
                Step::Chunk(chunk) => return Ok(Some(chunk)),
                Step::Nothing => {}
                Step::End => self.timeline.ended = true,
            }
        }
    }

    /// Goes to a time and decodes up to it.
    pub(crate) fn seek(&mut self, to: Duration, mode: SeekMode) -> Result<Landing> {
        self.seek_frame(self.spec.frames(to), mode)
    }

    /// Goes on where the last call stopped because a read failed.
    pub(crate) fn resume(&mut self) -> Result<()> {
        if self.demux.resumes() && !self.adrift {
            return Ok(());
        }
        let frame = self.position();
        self.seek_frame(frame, SeekMode::Exact).map(drop)
    }

    /// The frame the next chunk begins with.
    pub(crate) fn position(&self) -> u64 {
        match &self.ready {
            Some(chunk) => chunk.frame,
            None => self.timeline.next.max(self.timeline.from),
        }
    }

    pub(crate) fn spec(&self) -> PcmSpec {
        self.spec
    }

    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        let mut notices = std::mem::take(&mut self.notices);
        notices.extend(self.demux.take_notices());
        notices
    }

    fn seek_frame(&mut self, target: u64, mode: SeekMode) -> Result<Landing> {
        self.ready = None;
        self.ahead.clear();
        self.damage.forget();
        if let Some(total) = self.total
            && target >= total
        {
            self.timeline = Timeline {
                next: total,
                ended: true,
                ..Timeline::default()
            };
            return Ok(Landing {
                frame: total,
                exact: true,
            });
        }
        // Whatever fails from here on, the position is the target.
        self.timeline = Timeline {
            next: target,
            from: target,
            ..Timeline::default()
        };
        self.adrift = true;
        let arrival = self.demux.seek(target, mode)?;
        self.adrift = false;
        if arrival.frame == 0 {
            // A reset keeps AAC's noise generator running; from the beginning the same samples come every time.
            self.decoder = codec::decoder(&self.params)?;
        } else {
            self.decoder.reset();
        }
        self.timeline.next = arrival.frame;
        let chunk = self.next_chunk()?;
        let frame = chunk
            .as_ref()
            .map_or(self.timeline.next, |chunk| chunk.frame);
        self.ready = chunk;
        self.timeline.from = frame;
        Ok(Landing {
            frame,
            exact: arrival.exact,
        })
    }

    /// Decodes one packet.
    fn step(&mut self) -> Result<Step> {
        self.guard.progress();
        let stated = self.demux.states_times();
        let owned = self.ahead.pop_front();
        let packet = match &owned {
            Some(owned) => Some(owned.lend()),
            None => self.demux.next_packet()?,
        };
        let Some(packet) = packet else {
            return Ok(Step::End);
        };
        let stage = Stage {
            stated,
            spec: self.spec,
            sums: self.sums,
            pool: &self.pool,
            notices: &mut self.notices,
            damage: &mut self.damage,
            timeline: &mut self.timeline,
        };
        let step = stage.decode(self.decoder.as_mut(), &packet)?;
        if let Some(ends_at) = packet.ends_at {
            self.settle_end(ends_at)?;
        }
        Ok(step)
    }

    /// The container says where the packet just decoded ends.
    fn settle_end(&mut self, ends_at: i64) -> Result<()> {
        // Also after a seek back to the beginning, if the place of that was not known yet.
        let decoded = self.timeline.next + self.timeline.silence;
        if self.demux.calibrate(decoded, ends_at) {
            return Ok(());
        }
        let end = u64::try_from(ends_at).unwrap_or(0);
        // Before the position nobody hears it.
        let next = self.timeline.next.max(self.timeline.from.min(end));
        self.timeline.next = next;
        let missing = end.saturating_sub(next);
        if missing > Damage::LONGEST_GAP * u64::from(self.spec.sample_rate.get()) {
            return Err(missing_frames(missing));
        }
        if missing > 0 {
            note(
                &mut self.notices,
                Notice::PacketSkipped {
                    frame: next,
                    frames: missing,
                },
            );
            self.timeline.silence += missing;
        }
        Ok(())
    }

    fn silent_chunk(&mut self) -> Result<PcmChunk> {
        let frames = self.timeline.silence.min(SILENCE_FRAMES);
        let samples = frames as usize * usize::from(self.spec.channels.get());
        let mut pcm = self.pool.get_owned();
        memory::reserve(&mut pcm, samples)?;
        pcm.resize(samples, 0.0);
        let chunk = PcmChunk {
            pcm,
            spec: self.spec,
            frame: self.timeline.next,
        };
        self.timeline.silence -= frames;
        self.timeline.next += frames;
        Ok(chunk)
    }

    /// Looks into the first packets for what the decoder would ignore, and play at half the rate.
    fn refuse_hidden_sbr(&mut self) -> Result<()> {
        for _ in 0..SBR_PACKETS {
            let packet = match self.demux.next_packet() {
                Ok(Some(packet)) => packet,
                // Told when it is asked for.
                Ok(None) | Err(Fault::Truncated(_)) => break,
                Err(fault) => return Err(fault),
            };
            self.ahead.push_back(OwnedPacket {
                data: memory::copy(packet.data)?,
                frame: packet.frame,
                frames: packet.frames,
                ends_at: packet.ends_at,
            });
        }
        let marked = self
            .ahead
            .iter()
            .filter(|packet| aac::ends_in_sbr(&packet.data))
            .count();
        if marked >= 2 && marked * 4 >= self.ahead.len() * 3 {
            return Err(Fault::unsupported("HE-AAC (signalled implicitly)"));
        }
        Ok(())
    }
}

impl OwnedPacket {
    fn lend(&self) -> Packet<'_> {
        let mut packet = Packet::new(&self.data, self.frame, self.frames);
        packet.ends_at = self.ends_at;
        packet
    }
}

fn spec_of(decoder: &dyn AudioDecoder) -> Result<PcmSpec> {
    let params = decoder.codec_params();
    let channels = params.channels.as_ref().map(|channels| channels.count());
    match (params.sample_rate, channels) {
        (Some(rate), Some(channels)) => limits::spec(rate, channels as u32),
        _ => {
            let spec = decoder.last_decoded();
            let spec = spec.spec();
            limits::spec(spec.rate(), spec.channels().count() as u32)
        }
    }
}

/// What decoding one packet works on, apart from demuxer and decoder.
struct Stage<'a> {
    /// Gaps are stated by the container.
    stated: bool,
    spec: PcmSpec,
    sums: bool,
    pool: &'a PcmPool,
    notices: &'a mut Vec<Notice>,
    damage: &'a mut Damage,
    timeline: &'a mut Timeline,
}

impl Stage<'_> {
    fn decode(mut self, decoder: &mut dyn AudioDecoder, packet: &Packet<'_>) -> Result<Step> {
        if self.sums && !packet.primer && !flac_frame::is_intact(packet.data) {
            let mut packet = *packet;
            packet.frames = flac_frame::frames(packet.data).unwrap_or(packet.frames);
            self.place(&packet)?;
            return self.replace(&packet);
        }
        let source = PacketRef::new(0, 0i64.into(), u64::from(packet.frames).into(), packet.data);
        let decoded = decoder.decode_ref(&source);
        if packet.primer {
            return Ok(Step::Nothing);
        }
        self.place(packet)?;
        match decoded {
            Ok(decoded) => self.deliver(&decoded),
            Err(CodecError::IoError(_) | CodecError::DecodeError(_)) => self.replace(packet),
            // What was not asked for before is damage that looks like it.
            Err(CodecError::Unsupported(_)) if self.damage.decodes() => self.replace(packet),
            Err(error) => Err(error.into()),
        }
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
        let gap = frame.saturating_sub(expected);
        // Durations that are a little off are not holes.
        if gap > self.timeline.last_frames / 2 {
            self.bridge(gap)?;
        }
        self.timeline.container = Some(frame);
        Ok(())
    }

    /// Silence for frames that nothing was there for.
    fn bridge(&mut self, gap: u64) -> Result<()> {
        let rate = u64::from(self.spec.sample_rate.get());
        if gap > Damage::LONGEST_GAP * rate {
            return Err(missing_frames(gap));
        }
        if !self.stated {
            return self.skip(gap);
        }
        let heard = self.hush(gap);
        match self.damage.gap(heard, rate) {
            true => Err(missing_frames(gap)),
            false => Ok(()),
        }
    }

    fn deliver(self, decoded: &GenericAudioBufferRef<'_>) -> Result<Step> {
        let frames = decoded.frames() as u64;
        if frames == 0 {
            return Ok(Step::Nothing);
        }
        let spec = decoded.spec();
        let channels = usize::from(self.spec.channels.get());
        if spec.rate() != self.spec.sample_rate.get() || spec.channels().count() != channels {
            return Err(Fault::unsupported(format!(
                "a change within the run, to {} channels at {} Hz",
                spec.channels().count(),
                spec.rate()
            )));
        }
        self.damage.good(frames);
        self.timeline.last_frames = frames;
        self.timeline.container = self.timeline.container.map(|frame| frame + frames);
        // The trim ledger will have its place here: all decoded frames pass, none is cut for gapless playing yet.
        let first = self.timeline.next + self.timeline.silence;
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
        memory::reserve(&mut pcm, (silent + frames - early) as usize * channels)?;
        pcm.resize(silent as usize * channels, 0.0);
        interleave::append(decoded, early as usize, &mut pcm);
        Ok(Step::Chunk(PcmChunk {
            pcm,
            spec: self.spec,
            frame: first + early - silent,
        }))
    }

    /// A packet that does not decode becomes silence of its length.
    fn replace(mut self, packet: &Packet<'_>) -> Result<Step> {
        let frames = match packet.frames {
            0 => self.timeline.last_frames,
            frames => frames.into(),
        };
        self.skip(frames)?;
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
        let (first, frames) = (first + early, frames - early);
        if frames == 0 {
            return 0;
        }
        note(
            self.notices,
            Notice::PacketSkipped {
                frame: first,
                frames,
            },
        );
        self.timeline.silence += frames;
        frames
    }
}

fn missing_frames(frames: u64) -> Fault {
    Fault::corrupt(format!("{frames} frames are missing"))
}

/// Whether the same call may succeed later.
pub(crate) fn is_passing(fault: &Fault) -> bool {
    matches!(fault, Fault::Stream(error) if !matches!(error, StreamError::Truncated { .. }))
        || matches!(fault, Fault::Io(_))
}
