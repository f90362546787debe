//! Ordinary MP4: packets by the sample table.

use symphonia::core::errors::{self, Error, SeekErrorKind};
use symphonia::core::formats::{
    FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::Metadata;
use symphonia::core::packet::Packet;

use super::Mp4Reader;
use super::error::Mp4Error;
use super::movie::Movie;
use super::pcm;
use super::presentation::{FORMAT_INFO, Presentation, read_packet, timestamp};
use super::sample_table::{Cursor, SampleTable};
use super::stream::Stream;

/// Reads an ordinary MP4, one whose `moov` box lists every sample.
///
/// Everything is looked up in the table, so a seek is exact and possible in any state, also after the end or a failed
/// read; and a call that failed may be repeated. The stream is read where the packets are and nowhere else.
pub(super) struct SampleTableReader<'s> {
    stream: Stream<'s>,
    presentation: Presentation,
    track_id: u32,
    table: SampleTable,
    cursor: Cursor,
    pcm_frames: Option<u32>,
}

impl<'s> SampleTableReader<'s> {
    pub(super) fn new(stream: Stream<'s>, movie: Movie) -> Result<Self, Mp4Error> {
        let track = movie.audio;
        let entry = track.entry(0).ok_or(Mp4Error::NoAudio {
            tracks: movie.tracks,
        })?;
        let pcm_frames = entry.pcm_frame.map(|_| pcm::PACKET_FRAMES as u32);
        let presentation = Presentation::new(&track, entry, Some(track.table.duration()));
        let cursor = track.table.start();
        Ok(Self {
            stream,
            presentation,
            track_id: track.id,
            table: track.table,
            cursor,
            pcm_frames,
        })
    }
}

impl Mp4Reader for SampleTableReader<'_> {
    fn composition(&self) -> i64 {
        self.table.composition().unwrap_or(0)
    }
}

impl FormatReader for SampleTableReader<'_> {
    fn format_info(&self) -> &FormatInfo {
        &FORMAT_INFO
    }

    fn media_info(&self) -> &MediaInfo {
        &self.presentation.media_info
    }

    fn metadata(&mut self) -> Metadata<'_> {
        self.presentation.log.metadata()
    }

    fn tracks(&self) -> &[Track] {
        &self.presentation.tracks
    }

    fn next_packet(&mut self) -> errors::Result<Option<Packet>> {
        while let Some((sample, joined)) = self.table.get(&self.cursor, self.pcm_frames) {
            let packet = match sample.len {
                // Nothing to decode: the next packet's time shows the gap.
                0 => None,
                _ => Some(read_packet(&mut self.stream, self.track_id, &sample)?),
            };
            self.table.advance(&mut self.cursor, &sample, joined);
            if packet.is_some() {
                return Ok(packet);
            }
        }
        Ok(None)
    }

    /// To the packet that plays at the target. A target at or after the end is `OutOfRange`, and `next_packet` then
    /// returns the end. Both modes are exact.
    fn seek(&mut self, _mode: SeekMode, to: SeekTo) -> errors::Result<SeekedTo> {
        let target = self.presentation.target(&to)?;
        let Some(cursor) = self.table.at_time(target) else {
            self.cursor = self.table.end();
            return Err(Error::SeekError(SeekErrorKind::OutOfRange));
        };
        let found = self.table.get(&cursor, None);
        let (sample, _) = found.ok_or(Error::SeekError(SeekErrorKind::OutOfRange))?;
        if sample.offset < self.stream.pos() && !self.stream.is_seekable() {
            return Err(Error::SeekError(SeekErrorKind::ForwardOnly));
        }
        self.cursor = cursor;
        Ok(SeekedTo {
            track_id: self.track_id,
            required_ts: timestamp(target),
            actual_ts: timestamp(sample.time),
        })
    }

    fn into_inner<'t>(self: Box<Self>) -> MediaSourceStream<'t>
    where
        Self: 't,
    {
        self.stream.into_inner()
    }
}
