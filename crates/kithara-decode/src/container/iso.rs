//! MP4 and M4A, ordinary and fragmented: the readers of [`crate::mp4`] with places in PCM frames.

use std::sync::Arc;

use kithara_stream::{AudioCodec, ContainerFormat};
use parking_lot::Mutex;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::errors::{Error, SeekErrorKind};
use symphonia::core::formats::{self, FormatReader, SeekTo};
use symphonia::core::meta::StandardTag;
use symphonia::core::packet::Packet as CodecPacket;
use symphonia::core::units::Timestamp;

use crate::demux::{Arrival, Demux, Packet, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::mp4::{self, Mp4Error, Mp4Facts, Mp4Options};
use crate::view::View;
use crate::{MediaDuration, SeekMode, TrackMetadata, aac, codec, limits};

/// Opens an MP4; the input stands anywhere.
pub(crate) fn open(input: Input) -> Result<(Track, Box<dyn Demux>)> {
    let options = Mp4Options {
        remote: input.is_remote(),
        guard: input.guard().clone(),
    };
    let remote = options.remote;
    let view = View::whole(Arc::new(Mutex::new(input)));
    let (mut reader, facts) = mp4::open(view.stream(), options)?;
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
        .map(|units| MediaDuration::Exact(spec.time(clock.frame(units))));
    let metadata = metadata(reader.as_mut());
    let mut demux = IsoDemux {
        reader,
        track: facts.track_id,
        clock,
        settle: settle(codec),
        remote,
        units: facts.duration,
        held: None,
        packet: None,
        landed: true,
    };
    demux.find_base()?;
    let track = Track {
        container: if facts.fragmented {
            ContainerFormat::Fmp4
        } else {
            ContainerFormat::Mp4
        },
        codec,
        params,
        frames: None,
        duration,
        metadata,
        notices: Vec::new(),
    };
    Ok((track, Box::new(demux)))
}

/// The codec, if there is a decoder for it; its name if not.
fn supported(facts: &Mp4Facts) -> Result<AudioCodec> {
    let named = |what: &dyn std::fmt::Display| Err(Fault::unsupported(format!("{what} in MP4")));
    match facts.codec {
        Some(codec @ (AudioCodec::AacHe | AudioCodec::AacHeV2 | AudioCodec::Opus)) => named(&codec),
        Some(AudioCodec::AacLc) if facts.channels > 2 => Err(Fault::unsupported(format!(
            "AAC of {} channels",
            facts.channels
        ))),
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

fn params(reader: &dyn FormatReader, facts: &Mp4Facts) -> Result<AudioCodecParameters> {
    let track = reader
        .tracks()
        .iter()
        .find(|track| track.id == facts.track_id);
    match track.and_then(|track| track.codec_params.as_ref()) {
        Some(CodecParameters::Audio(params)) => {
            if let (Some(AudioCodec::AacLc), Some(config)) = (facts.codec, &params.extra_data)
                && let Some(name) =
                    aac::AacConfig::parse(config).and_then(|config| config.unsupported())
            {
                return Err(Fault::unsupported(name));
            }
            Ok(params.clone())
        }
        _ => Err(Fault::unsupported("this track of the MP4")),
    }
}

/// Frames of every packet, where that is constant.
fn quantum(codec: AudioCodec, params: &AudioCodecParameters) -> Option<u64> {
    match codec {
        AudioCodec::AacLc => Some(1024),
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
fn settle(codec: AudioCodec) -> u64 {
    match codec {
        AudioCodec::AacLc | AudioCodec::Vorbis => 1,
        AudioCodec::Mp3 => 12,
        AudioCodec::Mp1 | AudioCodec::Mp2 => 2,
        _ => 0,
    }
}

fn metadata(reader: &mut dyn FormatReader) -> TrackMetadata {
    let mut metadata = TrackMetadata::default();
    let mut log = reader.metadata();
    let Some(revision) = log.skip_to_latest() else {
        return metadata;
    };
    let tags = revision.media.tags.iter().chain(
        revision
            .per_track
            .iter()
            .flat_map(|track| &track.metadata.tags),
    );
    for tag in tags {
        let (field, value) = match &tag.std {
            Some(StandardTag::TrackTitle(value)) => (&mut metadata.title, value.to_string()),
            Some(StandardTag::Artist(value)) => (&mut metadata.artist, value.to_string()),
            Some(StandardTag::Album(value)) => (&mut metadata.album, value.to_string()),
            Some(StandardTag::AlbumArtist(value)) => {
                (&mut metadata.album_artist, value.to_string())
            }
            Some(StandardTag::TrackNumber(value)) => (&mut metadata.track, value.to_string()),
            Some(StandardTag::Genre(value)) => (&mut metadata.genre, value.to_string()),
            Some(StandardTag::ReleaseDate(value)) => (&mut metadata.date, value.to_string()),
            Some(StandardTag::Comment(value)) => (&mut metadata.comment, value.to_string()),
            _ => continue,
        };
        super::tags::set(field, Some(value));
    }
    metadata
}

/// Packet times to PCM frames.
#[derive(Clone, Copy, Debug)]
struct Clock {
    timescale: u64,
    rate: u64,
    quantum: Option<u64>,
    /// The time of the first packet: frame 0.
    base: u64,
}

impl Clock {
    fn frame(&self, units: u64) -> u64 {
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

    fn units(&self, frame: u64) -> u64 {
        self.base
            .saturating_add(scale(frame, self.timescale, self.rate, 0))
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

/// The packets of the audio track.
struct IsoDemux {
    reader: Box<dyn FormatReader>,
    track: u32,
    clock: Clock,
    settle: u64,
    remote: bool,
    /// The duration in units of the track.
    units: Option<u64>,
    /// Read ahead, to know where the timeline begins.
    held: Option<CodecPacket>,
    packet: Option<CodecPacket>,
    /// The next packet is the first after a jump.
    landed: bool,
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

    fn find_base(&mut self) -> Result<()> {
        self.held = match self.read() {
            Ok(packet) => packet,
            // Told when it is asked for.
            Err(Fault::Truncated(_)) => None,
            Err(fault) => return Err(fault),
        };
        if let Some(packet) = &self.held {
            self.clock.base = u64::try_from(packet.pts.get()).unwrap_or(0);
        }
        Ok(())
    }

    /// The time of the last packet, where finding it costs little.
    fn last_packet(&mut self) -> Result<Option<u64>> {
        if let Some(units) = self.units.filter(|units| *units > 0) {
            return Ok(Some(self.clock.base + units - 1));
        }
        if self.remote || self.go_to(self.clock.base).is_err() {
            return Ok(None);
        }
        let mut last = None;
        while let Some(packet) = self.read()? {
            last = u64::try_from(packet.pts.get()).ok();
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
        let landed = std::mem::take(&mut self.landed);
        let clock = self.clock;
        Ok(self.packet.as_ref().map(|packet| {
            let at = u64::try_from(packet.pts.get()).unwrap_or(0);
            let frame = (landed || clock.is_exact()).then(|| clock.frame(at));
            Packet::new(&packet.data, frame, clock.quantum.unwrap_or(0) as u32)
        }))
    }

    fn seek(&mut self, target: u64, _mode: SeekMode) -> Result<Arrival> {
        self.held = None;
        self.landed = true;
        let early = self.settle * self.clock.quantum.unwrap_or(2048);
        let wanted = self.clock.units(target.saturating_sub(early));
        let at = match self.go_to(wanted) {
            Err(Error::SeekError(SeekErrorKind::OutOfRange)) => match self.last_packet()? {
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
            Mp4Error::Unsupported { what } => Self::unsupported(what),
            _ => Self::unsupported(error.to_string()),
        }
    }
}
