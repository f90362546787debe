//! MP4: ordinary and fragmented files (ISO/IEC 14496-12) as packets for symphonia's decoders.
//!
//! ```text
//! MediaSourceStream ── Stream ── find moov ── Movie ─┬─ SampleTableReader   stts, stsc, stsz, stco
//!                   (few jumps,   (front, or by the  └─ FragmentReader      moof, traf, trun, sidx
//!                    resumable)    size of mdat)
//! ```
//!
//! [`open`] is the way in. It reads the boxes up to and including the movie box and nothing else: one stretch of bytes
//! if that comes first, two if it comes last, and the media is the next. Sizes and counts are checked against the boxes
//! they stand in; tables are kept as stored, so memory is bounded by what was really read; no byte sequence makes it
//! panic, or work longer than in proportion to the bytes there are.
//!
//! Nothing is trimmed here: edit lists and iTunes' gapless comment are handed on in [`Mp4Facts`].
#![deny(clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

mod boxes;
mod descriptor;
mod edits;
mod error;
mod fragment;
mod fragment_index;
mod fragment_reader;
mod movie;
mod pcm;
mod presentation;
mod sample_entry;
mod sample_table;
mod stream;
mod table_reader;
mod tags;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::panic)]
mod tests;

use kithara_stream::{AudioCodec, Parts};
use symphonia::core::formats::FormatReader;
use symphonia::core::io::MediaSourceStream;

pub use boxes::FourCode;
pub use error::Mp4Error;

pub(crate) use edits::Stretch;

use boxes::BoxHeader;
use fragment_reader::FragmentReader;
use movie::{Movie, read_movie};
use stream::Stream;
use table_reader::SampleTableReader;

use crate::aac::AacConfig;
use crate::{Guard, TrackMetadata};

/// Boxes before the movie box.
const MAX_LEADING_BOXES: u32 = 1_000;
/// What an unseekable source may have in front of the movie box besides the brand.
const MAX_LEADING_MEDIA: u64 = 64 << 10;

/// How the source under an MP4 behaves.
#[derive(Clone, Debug, Default)]
pub struct Mp4Options {
    /// A jump costs a round trip: gaps up to 256 KiB between packets are read through rather than jumped over.
    pub remote: bool,
    /// The bytes are a stretch out of a title: what boxes say of the whole is no promise.
    pub part: bool,
    /// What the bytes are made of.
    pub parts: Parts,
    /// Is told of each box and packet.
    pub guard: Guard,
}

/// The packets of the audio track, at the times at which they are decoded.
pub trait Mp4Reader: FormatReader {
    /// By how much later than it is decoded the first packet plays, in units of the track's timescale; edit lists and clocks
    /// of presentation count from then on (§8.6.1.3, §8.6.6). Of a fragmented file it is known once that packet was read.
    fn composition(&self) -> i64;
}

/// What is known of an MP4 before the first packet.
#[derive(Clone, Debug)]
pub struct Mp4Facts {
    /// The samples are in fragments.
    pub fragmented: bool,
    /// The id of the audio track: the first whose codec has a name here, else the first.
    pub track_id: u32,
    /// The codec, by profile as far as the configuration signals it: HE-AAC that is signalled only inside the packets
    /// looks like AAC-LC at half the rate.
    pub codec: Option<AudioCodec>,
    /// The code of the sample entry, for naming a codec that has no name in [`AudioCodec`]: `ac-3`, `ec-3`, `dtsc`.
    pub code: FourCode,
    /// The configuration of AAC.
    pub aac: Option<AacConfig>,
    /// Frames per second, at the output of the decoder.
    pub sample_rate: u32,
    /// Channels, at the output of the decoder.
    pub channels: u16,
    /// Units per second of packet times and of [`duration`](Self::duration).
    pub timescale: u32,
    /// The length of the media with priming and padding, where it is known.
    pub duration: Option<u64>,
    /// When the last packet begins, where the movie box lists them all.
    pub last_packet: Option<u64>,
    /// The one stretch of the media that the edit list plays. Not applied.
    pub(crate) stretch: Option<Stretch>,
    /// iTunes' gapless comment, in its own text form. Not applied.
    pub itunsmpb: Option<String>,
    /// What the movie box says of the title.
    pub metadata: TrackMetadata,
    /// Offset after the last byte of audio, for ordinary files: a shorter source is truncated.
    #[cfg(test)]
    pub media_end: Option<u64>,
}

/// Opens an MP4 or M4A, ordinary or fragmented, or a QuickTime file. Blocks until the movie box has been read.
///
/// Fails with [`Mp4Error::Encrypted`], [`Mp4Error::NoAudio`], [`Mp4Error::MovieAtEnd`] (only if the source can't seek),
/// [`Mp4Error::Io`] of kind `UnexpectedEof` where the bytes end early, or one of the errors for hostile bytes. A codec
/// that no decoder is known for is not refused: [`Mp4Facts`] name it.
pub fn open<'s>(
    source: MediaSourceStream<'s>,
    options: Mp4Options,
) -> Result<(Box<dyn Mp4Reader + 's>, Mp4Facts), Mp4Error> {
    let mut stream = Stream::new(source, options);
    let moov = find_movie(&mut stream)?;
    let mut movie = read_movie(&mut stream, &moov)?;
    let fragmented = movie.extends || movie.audio.table.count() == 0;
    let mut facts = facts(&mut movie, fragmented)?;
    if fragmented {
        let reader = FragmentReader::new(stream, movie, moov.end)?;
        facts.duration = reader.duration();
        Ok((Box::new(reader), facts))
    } else {
        Ok((Box::new(SampleTableReader::new(stream, movie)?), facts))
    }
}

/// Walks the top-level boxes to the movie box (§8.2.1).
fn find_movie(stream: &mut Stream<'_>) -> Result<BoxHeader, Mp4Error> {
    let mut pos = 0;
    for boxes in 0..MAX_LEADING_BOXES {
        let no_movie = Mp4Error::NoMovie { boxes };
        let Some(header) = stream.header_at(pos, None)? else {
            return Err(no_movie);
        };
        match &header.kind.0 {
            b"moov" => return Ok(header),
            b"moof" => return Err(Mp4Error::Headless),
            b"mdat"
                if !stream.is_seekable()
                    && header.body_len().is_none_or(|len| len > MAX_LEADING_MEDIA) =>
            {
                return Err(Mp4Error::MovieAtEnd);
            }
            b"ftyp" | b"styp" | b"mdat" | b"free" | b"skip" | b"wide" | b"pnot" | b"uuid"
            | b"sidx" | b"junk" => {}
            // Unknown boxes are skipped, except where the first one casts doubt on the whole.
            _ if boxes == 0 => return Err(no_movie),
            _ => {}
        }
        pos = header.end.ok_or(no_movie)?;
    }
    Err(Mp4Error::NoMovie {
        boxes: MAX_LEADING_BOXES,
    })
}

fn facts(movie: &mut Movie, fragmented: bool) -> Result<Mp4Facts, Mp4Error> {
    let stretch = Stretch::of(&movie.audio.edits, movie.timescale, movie.audio.timescale);
    let itunsmpb = movie.itunsmpb.take();
    let metadata = std::mem::take(&mut movie.metadata);
    let track = &movie.audio;
    let description = if fragmented {
        movie.defaults.description
    } else {
        0
    };
    let entry = track.entry(description).ok_or(Mp4Error::NoAudio {
        tracks: movie.tracks,
    })?;
    let channels = entry
        .params
        .channels
        .as_ref()
        .map_or(0, |channels| channels.count());
    Ok(Mp4Facts {
        fragmented,
        track_id: track.id,
        codec: entry.codec,
        code: entry.code,
        aac: entry.aac,
        sample_rate: entry.params.sample_rate.unwrap_or(track.timescale),
        channels: u16::try_from(channels).unwrap_or(u16::MAX),
        timescale: track.timescale,
        duration: (!fragmented).then(|| track.table.duration()),
        last_packet: (!fragmented).then(|| track.table.last_start()).flatten(),
        stretch,
        itunsmpb,
        metadata,
        #[cfg(test)]
        media_end: (!fragmented).then(|| track.table.media_end()),
    })
}
