//! What both readers tell symphonia: the track, its packets, the tags.

use symphonia::core::codecs::CodecParameters;
use symphonia::core::errors::{self, Error, SeekErrorKind};
use symphonia::core::formats::well_known::FORMAT_ID_ISOMP4;
use symphonia::core::formats::{FormatInfo, MediaInfo, SeekTo, Track, TrackFlags};
use symphonia::core::meta::MetadataLog;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use super::error::Mp4Error;
use super::movie::AudioTrack;
use super::sample_entry::AudioEntry;
use super::sample_table::Sample;
use super::stream::Stream;

/// One packet; the largest real ones (24-bit FLAC blocks of 65,535 frames and 8 channels) stay below 2 MiB.
const MAX_PACKET: u32 = 8 << 20;

pub(super) static FORMAT_INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_ISOMP4,
    short_name: "isomp4",
    long_name: "ISO Base Media File Format",
};

pub(super) struct Presentation {
    pub tracks: Vec<Track>,
    pub media_info: MediaInfo,
    /// Always empty: tags are in [`Mp4Facts`](super::Mp4Facts).
    pub log: MetadataLog,
}

impl Presentation {
    /// `duration` is in units of the track's timescale.
    pub fn new(track: &AudioTrack, entry: &AudioEntry, duration: Option<u64>) -> Self {
        let track = described(track, entry, duration);
        Self {
            media_info: MediaInfo::from_track(&track),
            tracks: vec![track],
            log: MetadataLog::default(),
        }
    }

    /// Another description holds from here on.
    pub fn replace(&mut self, track: &AudioTrack, entry: &AudioEntry, duration: Option<u64>) {
        let track = described(track, entry, duration);
        self.media_info = MediaInfo::from_track(&track);
        self.tracks = vec![track];
    }

    /// The target of a seek in units of the track's timescale. Times before 0 are 0.
    pub fn target(&self, to: &SeekTo) -> errors::Result<u64> {
        let track = self
            .tracks
            .first()
            .ok_or(Error::SeekError(SeekErrorKind::InvalidTrack))?;
        let ts = match to {
            SeekTo::Timestamp { track_id, .. } if *track_id != track.id => {
                return Err(Error::SeekError(SeekErrorKind::InvalidTrack));
            }
            SeekTo::Timestamp { ts, .. } => *ts,
            SeekTo::Time { time, .. } => {
                let ts = track
                    .time_base
                    .and_then(|time_base| time_base.calc_timestamp(*time));
                ts.ok_or(Error::SeekError(SeekErrorKind::OutOfRange))?
            }
        };
        Ok(u64::try_from(ts.get()).unwrap_or(0))
    }
}

fn described(track: &AudioTrack, entry: &AudioEntry, duration: Option<u64>) -> Track {
    let mut described = Track::new(track.id);
    if let Some(time_base) = TimeBase::try_new(1, track.timescale) {
        described.with_time_base(time_base);
    }
    described.with_codec_params(CodecParameters::Audio(entry.params.clone()));
    described.with_flags(TrackFlags::DEFAULT);
    if let Some(language) = &track.language {
        described.with_language(language);
    }
    if let Some(duration) = duration {
        described.with_duration(Duration::new(duration));
        if entry.params.sample_rate == Some(track.timescale) {
            described.with_num_frames(duration);
        }
    }
    described
}

/// Reads the bytes of `sample`. May be repeated after any failure.
pub(super) fn read_packet(
    stream: &mut Stream<'_>,
    track_id: u32,
    sample: &Sample,
) -> Result<Packet, Mp4Error> {
    if sample.len > MAX_PACKET {
        return Err(Mp4Error::Limit {
            what: "the size of a packet",
            limit: MAX_PACKET.into(),
        });
    }
    let data = stream.read_at(sample.offset, sample.len as usize)?;
    stream.plays();
    Ok(Packet::new(
        track_id,
        timestamp(sample.time),
        Duration::new(sample.duration),
        data,
    ))
}

/// Times are kept below 2⁶³ where they are read.
pub(super) fn timestamp(time: u64) -> Timestamp {
    Timestamp::new(i64::try_from(time).unwrap_or(i64::MAX))
}
