//! Packets in, blocks of PCM with exact positions out.

use std::collections::VecDeque;

use kithara_bufpool::PcmPool;
use kithara_stream::{AudioCodec, ByteSource, ContainerFormat, MediaInfo, StreamError};

use crate::aac;
use crate::backend::PacketDecoder;
use crate::codec::{Chosen, Decoders};
use crate::container::ogg::{self, Unopened};
use crate::damage::Damage;
use crate::demux::{Behind, Demux, OwnedPacket, Track, note};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::stage::{Stage, Step, missing_frames};
use crate::stamp::TrackStamp;
use crate::timeline::Timeline;
use crate::trim::Ledger;
use crate::{
    Continuation, DecoderOptions, FloatRange, GaplessMode, Guard, Landing, MediaDuration, Notice,
    PcmChunk, PcmSpec, SeekMode, Stamp, TrackMetadata, memory, opening,
};

/// Frames of silence in one chunk.
const SILENCE_FRAMES: u64 = 4096;

/// Everything that decodes one run, on one thread.
pub(crate) struct Pipeline {
    demux: Box<dyn Demux>,
    decoder: Box<dyn PacketDecoder>,
    decoders: Decoders,
    spec: PcmSpec,
    /// Packets are FLAC frames whose sums nobody looks at but us: symphonia's reader of native FLAC does.
    sums: bool,
    pool: PcmPool,
    floats: FloatRange,
    guard: Guard,
    /// The decoder goes on with what it remembers of the run before.
    pub(crate) continues: bool,
    stamp: Option<TrackStamp>,
    pub(crate) info: MediaInfo,
    pub(crate) metadata: TrackMetadata,
    /// How long the untrimmed run is by its container, where that is not certain to the frame.
    stated: Option<MediaDuration>,
    ledger: Ledger,
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

impl Pipeline {
    /// Opens the run, with the decoder of the one before if that is the same.
    pub(crate) fn open(
        bytes: Box<dyn ByteSource>,
        info: &MediaInfo,
        options: &DecoderOptions,
        before: Option<Continuation>,
    ) -> Result<Self> {
        let input = Input::new(bytes, options.guard.clone()).part_of_title(info.part_of_title);
        let (mut track, mut demux) = opening::open(input, info)?;
        let mut ahead = VecDeque::new();
        if track.codec == AudioCodec::AacLc {
            demux = aac::reveal(&mut track, demux, &mut ahead)?;
        }
        if info.part_of_title && ahead.is_empty() {
            // Where in the title it belongs, and whether there is anything to be heard at its beginning, shows by that.
            let first = demux.next_packet()?;
            ahead.extend(first.map(|packet| OwnedPacket::copy(&packet)).transpose()?);
        }
        let chosen = Chosen::of(&mut track, options, before)?;
        let mut pipeline = Self::of((track, demux), chosen, info, options);
        pipeline.ahead = ahead;
        Ok(pipeline)
    }

    /// Opens the link of an Ogg chain at which the input stands.
    pub(crate) fn open_link(
        input: Input,
        info: &MediaInfo,
        options: &DecoderOptions,
    ) -> std::result::Result<Self, Unopened> {
        let (mut track, demux) = ogg::open(input)?;
        match Chosen::of(&mut track, options, None) {
            Ok(chosen) => Ok(Self::of((track, demux), chosen, info, options)),
            Err(fault) => Err(Unopened::new(fault, demux.into_input())),
        }
    }

    fn of(
        (mut track, demux): (Track, Box<dyn Demux>),
        chosen: Chosen,
        info: &MediaInfo,
        options: &DecoderOptions,
    ) -> Self {
        if info.part_of_title {
            track.promise_nothing();
        }
        let spec = chosen.decoder.spec();
        let info = MediaInfo {
            codec: Some(track.codec),
            container: Some(track.container),
            sample_rate: Some(spec.sample_rate.get()),
            channels: Some(spec.channels.get()),
            ..info.clone()
        };
        let ledger = Ledger::new(
            mode(options, &info),
            track.codec,
            spec.sample_rate.get(),
            track.trim,
            track.frames,
        );
        Self {
            demux,
            spec,
            decoder: chosen.decoder,
            decoders: chosen.decoders,
            sums: track.codec == AudioCodec::Flac && track.container != ContainerFormat::Flac,
            pool: options.pool.clone(),
            floats: options.floats,
            guard: options.guard.clone(),
            continues: chosen.continues,
            stamp: track.stamp,
            info,
            metadata: track.metadata,
            stated: track.duration,
            timeline: Timeline::at(0, ledger.front()),
            ledger,
            ahead: VecDeque::new(),
            damage: Damage::default(),
            notices: track.notices,
            ready: None,
            adrift: false,
        }
    }

    /// The next block; `None` is the proven end.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<PcmChunk>> {
        self.decode_chunk().map_err(|fault| self.in_media(fault))
    }

    /// Goes to a frame of the media and decodes up to it.
    pub(crate) fn seek(&mut self, target: u64, mode: SeekMode) -> Result<Landing> {
        self.seek_frame(target, mode)
            .map_err(|fault| self.in_media(fault))
    }

    /// How long the media is; exact once its end is known for certain.
    pub(crate) fn duration(&self) -> Option<MediaDuration> {
        if let Some(total) = self.ledger.total() {
            return Some(MediaDuration::Exact(self.spec.time(total)));
        }
        let front = self.spec.time(self.ledger.front());
        Some(match self.stated? {
            MediaDuration::Exact(time) => MediaDuration::Exact(time.saturating_sub(front)),
            MediaDuration::Estimate(time) => MediaDuration::Estimate(time.saturating_sub(front)),
        })
    }

    /// How many frames the media has, where that is certain.
    pub(crate) fn total(&self) -> Option<u64> {
        self.ledger.total()
    }

    /// Whether nothing is left to be given.
    pub(crate) fn is_at_end(&self) -> bool {
        let rest = self.ready.is_some() || self.timeline.silence > 0;
        !rest && (self.timeline.ended || self.timeline.next >= self.ledger.cut())
    }

    /// What comes behind the media in the same bytes, as far as that is known.
    pub(crate) fn behind(&self) -> Behind {
        self.demux.behind()
    }

    /// Finds out what comes behind the media. Only for one that is at its end.
    pub(crate) fn look_behind(&mut self) -> Result<Behind> {
        self.demux.look_behind()
    }

    /// The bytes, for what comes behind the media.
    pub(crate) fn into_input(self) -> Option<Input> {
        self.demux.into_input()
    }

    /// When the first frame of the media plays by the media's own clock.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let front = self.spec.time(self.ledger.front());
        Some(self.stamp?.after(front, self.ledger.trims()))
    }

    /// The decoder, if it stands at the end of the run and nothing is missing.
    pub(crate) fn retire(self) -> Option<Continuation> {
        let whole = self.timeline.ended && !self.decoder.is_late();
        let decoded = self.spec.time(self.timeline.next);
        whole.then_some(Continuation {
            end: self.stamp.map(|stamp| stamp.after(decoded, true)),
            decoder: self.decoder,
            decoders: self.decoders,
        })
    }

    /// Frames that a fault speaks of, in the timeline of the media.
    fn in_media(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Truncated(Some(frames)) => Fault::Truncated(Some(self.ledger.media(frames))),
            other => other,
        }
    }

    fn decode_chunk(&mut self) -> Result<Option<PcmChunk>> {
        loop {
            if let Some(chunk) = self.ready.take() {
                return Ok(Some(chunk));
            }
            if self.timeline.silence > 0 {
                return self.silent_chunk().map(Some);
            }
            // What follows is padding, and not even read.
            if self.is_at_end() {
                return Ok(None);
            }
            match self.step()? {
                Step::Chunk(chunk) => return Ok(Some(chunk)),
                Step::Nothing => {}
                Step::Failed(reason) => self.change_decoder(reason)?,
                Step::End => {
                    self.timeline.ended = true;
                    if self.timeline.exact {
                        self.ledger.ended_at(self.timeline.next);
                    }
                }
            }
        }
    }

    /// Goes on where the last call stopped because a read failed.
    pub(crate) fn resume(&mut self) -> Result<()> {
        if self.demux.resumes() && !self.adrift {
            return Ok(());
        }
        let frame = self.position();
        self.seek_frame(frame, SeekMode::Exact).map(drop)
    }

    /// The frame of the media the next chunk begins with.
    pub(crate) fn position(&self) -> u64 {
        match &self.ready {
            Some(chunk) => chunk.frame,
            None => self
                .ledger
                .media(self.timeline.next.max(self.timeline.from)),
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
        if let Some(total) = self.ledger.total()
            && target >= total
        {
            let end = self.ledger.decoded(total);
            self.timeline = Timeline::at(end, end);
            self.timeline.ended = true;
            return Ok(Landing {
                frame: total,
                exact: true,
            });
        }
        let wanted = self.ledger.decoded(target);
        // Whatever fails from here on, the position is the target.
        self.timeline = Timeline::at(wanted, wanted);
        self.adrift = true;
        // The first frame of the media comes out of the decoder as it did the first time: with all that lies before it.
        let wanted = if target == 0 { 0 } else { wanted };
        let early = self.decoder.pre_roll(wanted).min(wanted);
        let arrival = self.demux.seek(early, mode)?;
        self.adrift = false;
        self.decoder.reset();
        self.timeline.next = arrival.frame;
        self.timeline.exact = arrival.exact;
        let chunk = self.decode_chunk()?;
        let frame = match &chunk {
            Some(chunk) => self.ledger.decoded(chunk.frame),
            None => self.timeline.next,
        };
        self.ready = chunk;
        self.timeline.from = frame;
        Ok(Landing {
            frame: self.ledger.media(frame),
            exact: arrival.exact,
        })
    }

    /// Goes on with another decoder at the place where the one in use failed.
    fn change_decoder(&mut self, reason: String) -> Result<()> {
        self.decoder = match self.decoders.replace(reason, &mut self.notices) {
            Some(decoder) => decoder?,
            None => return Err(Fault::corrupt("the decoder failed")),
        };
        let frame = self.position();
        self.seek_frame(frame, SeekMode::Exact).map(drop)
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
            return self.finish();
        };
        let stage = Stage {
            stated,
            late: self.decoder.is_late(),
            part: self.info.part_of_title,
            spec: self.spec,
            sums: self.sums,
            pool: &self.pool,
            floats: self.floats,
            notices: &mut self.notices,
            damage: &mut self.damage,
            timeline: &mut self.timeline,
            ledger: &mut self.ledger,
        };
        let step = stage.decode(self.decoder.as_mut(), &packet)?;
        if let Some(ends_at) = packet.ends_at {
            self.settle_end(ends_at)?;
        }
        Ok(step)
    }

    /// What the decoder has kept back, then the end.
    fn finish(&mut self) -> Result<Step> {
        if !self.decoder.is_late() || std::mem::replace(&mut self.timeline.drained, true) {
            return Ok(Step::End);
        }
        let stage = Stage {
            stated: false,
            late: true,
            part: self.info.part_of_title,
            spec: self.spec,
            sums: false,
            floats: self.floats,
            pool: &self.pool,
            notices: &mut self.notices,
            damage: &mut self.damage,
            timeline: &mut self.timeline,
            ledger: &mut self.ledger,
        };
        let kept = self.decoder.finish();
        let kept = kept.map_err(|error| Fault::corrupt(error.to_string()))?;
        match stage.deliver(&kept, 0)? {
            Step::Nothing => Ok(Step::End),
            step => Ok(step),
        }
    }

    /// The container says where the packet just decoded ends.
    fn settle_end(&mut self, ends_at: i64) -> Result<()> {
        // Also after a seek back to the beginning, if the place of that was not known yet.
        let decoded = self.timeline.next + self.timeline.silence;
        if self.demux.calibrate(decoded, ends_at) {
            return Ok(());
        }
        let end = u64::try_from(ends_at).unwrap_or(0).min(self.ledger.cut());
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
                    frame: self.ledger.media(next),
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
            frame: self.ledger.media(self.timeline.next),
        };
        self.timeline.silence -= frames;
        self.timeline.next += frames;
        Ok(chunk)
    }
}

/// Nothing is guessed of what was cut out of the middle of a title.
fn mode(options: &DecoderOptions, info: &MediaInfo) -> GaplessMode {
    match options.gapless {
        GaplessMode::CodecPriming if info.part_of_title => GaplessMode::Media,
        mode => mode,
    }
}

/// Whether the same call may succeed later.
pub(crate) fn is_passing(fault: &Fault) -> bool {
    matches!(fault, Fault::Stream(error) if !matches!(error, StreamError::Truncated { .. } | StreamError::CutOff))
        || matches!(fault, Fault::Io(_))
}
