//! MP4 and M4A, ordinary and fragmented: the readers of [`crate::mp4`] with places in PCM frames.

use std::sync::Arc;

use kithara_stream::{AudioCodec, ContainerFormat};
use parking_lot::Mutex;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::errors::{Error, SeekErrorKind};
use symphonia::core::formats::{self, SeekTo};
use symphonia::core::packet::Packet as CodecPacket;
use symphonia::core::units::Timestamp;

use super::iso_ends::Ends;
use super::mpeg_header::layer3_settle;
use crate::demux::{Arrival, Demux, Packet, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::mp4::{self, Mp4Error, Mp4Facts, Mp4Options, Mp4Reader, Stretch};
use crate::stamp::TrackStamp;
use crate::trim::Trim;
use crate::view::View;
use crate::{MediaDuration, PcmSpec, SeekMode, codec, limits, opus};

/// Opens an MP4; the input stands anywhere.
pub(crate) fn open(input: Input) -> Result<(Track, Box<dyn Demux>)> {
    let options = Mp4Options {
        remote: input.is_remote(),
        part: input.is_part(),
        parts: input.parts().clone(),
        guard: input.guard().clone(),
    };
    let part = options.part;
    let view = View::whole(Arc::new(Mutex::new(input)));
    let parts = options.parts.clone();
    // Whatever is wrong before the first fragment, is wrong with what begins the run.
    let opened = mp4::open(view.stream(), options);
    let (reader, mut facts) = opened.inspect_err(|_| parts.blame(0))?;
    let codec = supported(&facts)?;
    let spec = limits::spec(facts.sample_rate, facts.channels.into())?;
    let params = params(reader.as_ref(), &facts)?;
    let clock = Clock {
        timescale: facts.timescale.into(),
        rate: spec.sample_rate.get().into(),
        quantum: quantum(codec, &params),
        base: 0,
    };
    let duration = facts
        .duration
        .map(|units| MediaDuration::Estimate(spec.time(clock.place(units))));
    let mut demux = IsoDemux {
        reader,
        track: facts.track_id,
        clock,
        settle: settle(codec, spec),
        is_opus: codec == AudioCodec::Opus && clock.is_exact(),
        units: facts.duration,
        short_end: false,
        held: None,
        packet: None,
        landed: true,
        part,
    };
    demux.find_base()?;
    // An edit list speaks of when samples play, and without one nothing does before 0.
    let composition = demux.reader.composition();
    let before = (composition < 0).then_some(Stretch::WHOLE);
    let played = facts.stretch.take().or(before);
    facts.stretch = played.and_then(|stretch| stretch.decoded(composition));
    let ends = Ends {
        facts: &facts,
        clock: demux.clock,
    };
    let edit = facts.stretch.and(played).map_or(0, |stretch| stretch.start);
    let header = pre_skip(&params);
    let (frames, trim) = (ends.frames(codec), ends.trim(header));
    // Of what is written before its length is known, the last packet tells where it ends.
    demux.short_end = facts.fragmented && (edit > 0 || header.is_some());
    let track = Track {
        trim,
        container: if facts.fragmented {
            ContainerFormat::Fmp4
        } else {
            ContainerFormat::Mp4
        },
        codec,
        params,
        frames,
        duration,
        metadata: facts.metadata,
        stamp: Some(TrackStamp::in_units(
            i128::from(demux.clock.base) + i128::from(composition),
            edit,
            demux.clock.timescale,
        )),
        notices: Vec::new(),
    };
    Ok((track, Box::new(demux)))
}

/// The codec, if there may be a decoder for it; its name if not.
fn supported(facts: &Mp4Facts) -> Result<AudioCodec> {
    let named = |what: &dyn std::fmt::Display| Err(Fault::unsupported(format!("{what} in MP4")));
    if let Some(name) = facts.aac.and_then(|config| config.unsupported()) {
        return Err(Fault::unsupported(name));
    }
    match facts.codec {
        Some(codec) => Ok(codec),
        None => match &facts.code.0 {
            b"ac-3" => named(&"AC-3"),
            b"ec-3" => named(&"E-AC-3"),
            b"ac-4" => named(&"AC-4"),
            b"dtsc" | b"dtse" | b"dtsh" | b"dtsl" => named(&"DTS"),
            b"samr" | b"sawb" => named(&"AMR"),
            _ => named(&format!("codec {}", facts.code)),
        },
    }
}

fn params(reader: &dyn Mp4Reader, facts: &Mp4Facts) -> Result<AudioCodecParameters> {
    let track = reader
        .tracks()
        .iter()
        .find(|track| track.id == facts.track_id);
    match track.and_then(|track| track.codec_params.as_ref()) {
        Some(CodecParameters::Audio(params)) => match (facts.codec, &params.extra_data) {
            (Some(AudioCodec::Opus), Some(head)) => opus::Head::parse(head)?.params(head),
            _ => Ok(params.clone()),
        },
        _ => Err(Fault::unsupported("this track of the MP4")),
    }
}

/// What the header of Opus says of the front. Edit lists say the same where there is one.
fn pre_skip(params: &AudioCodecParameters) -> Option<Trim> {
    let head = opus::Head::parse(params.extra_data.as_deref()?).ok()?;
    (head.pre_skip > 0).then_some(Trim {
        front: head.pre_skip.into(),
        total: None,
    })
}

/// Frames of every packet, where that is constant.
fn quantum(codec: AudioCodec, params: &AudioCodecParameters) -> Option<u64> {
    match codec {
        AudioCodec::AacLc | AudioCodec::AacHe | AudioCodec::AacHeV2 => params.max_frames_per_packet,
        AudioCodec::Mp3 if params.sample_rate.is_some_and(|rate| rate >= 32_000) => Some(1152),
        AudioCodec::Mp3 => Some(576),
        AudioCodec::Mp2 => Some(1152),
        AudioCodec::Alac => {
            let cookie = params.extra_data.as_deref()?;
            let frames = u32::from_be_bytes(codec::array(cookie.get(..4)?, 0));
            (frames > 0).then_some(frames.into())
        }
        _ => None,
    }
}

/// Packets the decoder is given before the wanted one.
fn settle(codec: AudioCodec, spec: PcmSpec) -> u64 {
    match codec {
        AudioCodec::AacLc | AudioCodec::AacHe | AudioCodec::AacHeV2 | AudioCodec::Vorbis => 1,
        AudioCodec::Mp3 => layer3_settle(spec.sample_rate.get(), spec.channels.get()),
        AudioCodec::Mp1 | AudioCodec::Mp2 => 2,
        _ => 0,
    }
}

/// Packet times to PCM frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) timescale: u64,
    pub(super) rate: u64,
    pub(super) quantum: Option<u64>,
    /// The time of the first packet: frame 0.
    pub(super) base: u64,
}

impl Clock {
    /// The frame with which the packet of this time begins.
    pub(super) fn frame(&self, units: u64) -> u64 {
        let units = units.saturating_sub(self.base);
        if self.timescale == self.rate {
            return units.min(1 << 62);
        }
        let frame = scale(units, self.rate, self.timescale.max(1), self.timescale / 2);
        match self.quantum {
            // Times are rounded to the scale; packets begin at whole packets.
            Some(quantum) => (frame + quantum / 2) / quantum * quantum,
            None => frame,
        }
    }

    /// The frame nearest to a time, wherever in a packet.
    pub(super) fn place(&self, units: u64) -> u64 {
        let units = units.saturating_sub(self.base);
        scale(units, self.rate, self.timescale.max(1), self.timescale / 2)
    }

    /// A time at which this frame plays.
    pub(super) fn units(&self, frame: u64) -> u64 {
        self.base
            .saturating_add(scale(frame, self.timescale, self.rate, 0))
    }

    /// How many frames of the timeline lie before the first packet.
    pub(super) fn before(&self) -> u64 {
        scale(self.base, self.rate, self.timescale.max(1), 0)
    }

    /// Whether the position of every packet is certain.
    fn is_exact(&self) -> bool {
        self.timescale == self.rate || self.quantum.is_some()
    }
}

fn scale(value: u64, by: u64, over: u64, plus: u64) -> u64 {
    let scaled = (u128::from(value) * u128::from(by) + u128::from(plus)) / u128::from(over);
    // Leaves room to calculate with.
    u64::try_from(scaled).unwrap_or(u64::MAX).min(1 << 62)
}

/// How many frames a packet of Opus brings, by the table; 0 where that may be less than it is encoded with, as at the end.
fn told_length(frames: u64, left: u64) -> u32 {
    let whole = frames.is_multiple_of(u64::from(opus::QUANTUM)) && frames < left;
    u32::try_from(frames).ok().filter(|_| whole).unwrap_or(0)
}

/// The packets of the audio track.
struct IsoDemux {
    reader: Box<dyn Mp4Reader>,
    track: u32,
    clock: Clock,
    settle: u64,
    /// Packets are of Opus, with times in its own frames.
    is_opus: bool,
    /// The duration in units of the track.
    units: Option<u64>,
    /// The last packet lasts as long as what it holds of the source.
    short_end: bool,
    /// Read ahead, to know where the timeline begins, or that it ends.
    held: Option<CodecPacket>,
    packet: Option<CodecPacket>,
    /// The next packet is the first after a jump.
    landed: bool,
    /// The bytes are a stretch out of a title.
    part: bool,
}

impl IsoDemux {
    fn read(&mut self) -> Result<Option<CodecPacket>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        loop {
            match self.reader.next_packet()? {
                Some(packet) if packet.track_id != self.track => {}
                other => return Ok(other),
            }
        }
    }

    /// How many frames of the packet at hand are padding, if it is the last.
    fn padding(&self) -> u64 {
        let Some(packet) = &self.packet else {
            return 0;
        };
        let own = || opus::frames(&packet.data).filter(|_| self.is_opus);
        let Some(quantum) = self.clock.quantum.or_else(|| own().map(u64::from)) else {
            return 0;
        };
        let tells = self.short_end && self.clock.timescale == self.clock.rate;
        match packet.dur.get() {
            duration @ 1.. if tells => quantum.saturating_sub(duration),
            _ => 0,
        }
    }

    /// Whether nothing follows the packet at hand. After a failed read that packet is read again.
    fn is_last(&mut self) -> Result<bool> {
        match self.read() {
            Ok(next) => {
                self.held = next;
                Ok(self.held.is_none())
            }
            // Told when it is asked for.
            Err(Fault::Truncated(_)) => Ok(false),
            Err(fault) => {
                self.held = self.packet.take();
                Err(fault)
            }
        }
    }

    fn find_base(&mut self) -> Result<()> {
        self.held = match self.read() {
            Ok(packet) => packet,
            // Told when it is asked for.
            Err(Fault::Truncated(_)) if !self.part => None,
            // Without a packet nobody knows where in the title it belongs.
            Err(fault) => return Err(fault),
        };
        if let Some(packet) = &self.held {
            self.clock.base = u64::try_from(packet.pts.get()).unwrap_or(0);
        }
        Ok(())
    }

    /// The time of the last packet, or one within it; `None` where there is none before `beyond`, which was found to lie
    /// behind the end. That was found by going past everything, and so whatever is asked for here is known.
    fn last_packet(&mut self, beyond: u64) -> Result<Option<u64>> {
        let (mut last, mut behind) = (None, beyond);
        if let Some(units) = self.units.filter(|units| *units > 0) {
            let stated = self.clock.base.saturating_add(units - 1).min(beyond);
            // It may promise more than there is.
            match self.go_to(stated) {
                Ok(_) => return Ok(Some(stated)),
                Err(Error::SeekError(SeekErrorKind::OutOfRange)) => behind = stated,
                Err(error) => return Err(error.into()),
            }
        }
        let mut low = self.clock.base;
        while low < behind {
            let middle = low.midpoint(behind);
            match self.go_to(middle) {
                Ok(_) => (last, low) = (Some(middle), middle + 1),
                Err(Error::SeekError(SeekErrorKind::OutOfRange)) => behind = middle,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(last)
    }

    fn go_to(&mut self, units: u64) -> std::result::Result<u64, Error> {
        let ts = Timestamp::new(i64::try_from(units).unwrap_or(i64::MAX));
        let to = SeekTo::Timestamp {
            ts,
            track_id: self.track,
        };
        let at = self.reader.seek(formats::SeekMode::Accurate, to)?;
        Ok(u64::try_from(at.actual_ts.get()).unwrap_or(0))
    }
}

impl Demux for IsoDemux {
    fn states_times(&self) -> bool {
        true
    }

    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        self.packet = self.read()?;
        let mut discard = self.padding();
        if discard > 0 && !self.is_last()? {
            discard = 0;
        }
        let landed = std::mem::take(&mut self.landed);
        let (clock, is_opus) = (self.clock, self.is_opus);
        let end = self
            .units
            .map_or(0, |units| clock.base.saturating_add(units));
        Ok(self.packet.as_ref().map(|packet| {
            let at = u64::try_from(packet.pts.get()).unwrap_or(0);
            let frame = (landed || clock.is_exact()).then(|| clock.frame(at));
            let frames = match clock.quantum {
                Some(quantum) => quantum as u32,
                None if is_opus => told_length(packet.dur.get(), end.saturating_sub(at)),
                None => 0,
            };
            let mut packet = Packet::new(&packet.data, frame, frames);
            packet.discard = discard as u32;
            packet
        }))
    }

    fn seek(&mut self, target: u64, _mode: SeekMode) -> Result<Arrival> {
        self.held = None;
        self.landed = true;
        let early = self.settle * self.clock.quantum.unwrap_or(2048);
        let wanted = self.clock.units(target.saturating_sub(early));
        let at = match self.go_to(wanted) {
            Err(Error::SeekError(SeekErrorKind::OutOfRange)) => match self.last_packet(wanted)? {
                // Padding behind the stated end is decoded too.
                Some(last) => self.go_to(last.min(wanted))?,
                None => {
                    return Ok(Arrival {
                        frame: target,
                        exact: false,
                    });
                }
            },
            at => at?,
        };
        Ok(Arrival {
            frame: self.clock.frame(at),
            exact: self.clock.is_exact(),
        })
    }
}

impl From<Mp4Error> for Fault {
    fn from(error: Mp4Error) -> Self {
        match error {
            Mp4Error::Io(error) => error.into(),
            Mp4Error::Limit { what, limit } => Self::TooLarge { what, limit },
            Mp4Error::NoMemory(error) => error.into(),
            Mp4Error::Malformed { .. } | Mp4Error::NoMovie { .. } => {
                Self::Corrupt(error.to_string())
            }
            Mp4Error::Headless => Self::Headless,
            Mp4Error::Unsupported { what } => Self::unsupported(what),
            Mp4Error::NoAudio { tracks } => {
                Self::unsupported(format!("MP4 without audio among its tracks ({tracks})"))
            }
            _ => Self::unsupported(error.to_string()),
        }
    }
}
