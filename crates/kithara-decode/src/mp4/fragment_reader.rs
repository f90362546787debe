//! Fragmented MP4: packets by movie fragments, in a stream that may grow and may not be seekable.

use std::ops::Range;

use symphonia::core::errors::{self, Error, SeekErrorKind};
use symphonia::core::formats::{
    FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::Metadata;
use symphonia::core::packet::Packet;

use super::Mp4Reader;
use super::boxes::{BoxHeader, Bytes};
use super::error::Mp4Error;
use super::fragment::{Fragment, FragmentContext, TrackDefaults};
use super::fragment_index::FragmentIndex;
use super::movie::{AudioTrack, Movie, read_movie};
use super::pcm;
use super::presentation::{FORMAT_INFO, Presentation, read_packet, timestamp};
use super::sample_table::{Cursor, Sample};
use super::stream::Stream;
use crate::damage::Damage;

const MAX_MOOF: u64 = 8 << 20;
const MAX_SIDX: u64 = 1 << 20;
/// Media boxes that a fragment's samples may lie in: those since the fragment before, and some before that.
const MAX_MEDIA: usize = 16;

/// Reads a fragmented MP4.
///
/// Times are those of the fragments (`tfdt`), never a running sum: a missing segment is a gap in them. Nothing asks for
/// the length of the stream, a packet comes as soon as its bytes do, and no more is held than the `moof` box at hand and what it lists.
/// A call that failed may be repeated; after the end, `next_packet` looks again for what may have been added.
pub(super) struct FragmentReader<'s> {
    stream: Stream<'s>,
    presentation: Presentation,
    track: AudioTrack,
    /// Into `track.entries`, counted from 1 as fragments do.
    description: u32,
    defaults: TrackDefaults,
    movie_duration: Option<(u64, u32)>,
    /// Position in the samples the movie box itself lists, which come before those of the fragments.
    head: Cursor,
    /// Offset after the movie box.
    first_box: u64,
    /// Offset of the first box not looked at; `None` behind a box that reaches to the end of the file.
    next_box: Option<u64>,
    media: Vec<MediaBox>,
    fragment: Option<Fragment>,
    /// Memory for the next `moof` box.
    moof: Vec<u8>,
    /// Where a fragment begins that gives no time of its own.
    time: u64,
    /// By how much later than it is decoded the first sample plays.
    composition: Option<i64>,
    /// By how much more than that the present fragment does; `time` has it in it.
    ahead: i64,
    /// What is added to the times of fragments since their clock began anew.
    shift: i64,
    /// A fragment was read, so that the next one has to follow.
    begun: bool,
    /// Where the track ends by the headers, as far as they speak of this track alone; and the same if they were
    /// written in its own units, as some are.
    promised: Option<(u64, u64)>,
    index: FragmentIndex,
}

#[derive(Clone, Copy)]
struct MediaBox {
    body: u64,
    /// `i64::MAX` if it reaches to the end of the file.
    end: u64,
}

impl<'s> FragmentReader<'s> {
    /// `first_box` is the offset after the movie box.
    pub(super) fn new(
        stream: Stream<'s>,
        movie: Movie,
        first_box: Option<u64>,
    ) -> Result<Self, Mp4Error> {
        let whole = !stream.is_part();
        let duration = movie_duration(&movie).filter(|_| whole);
        let promised = promised_end(&movie).filter(|_| whole);
        let track = movie.audio;
        let description = movie.defaults.description;
        let entry = track.entry(description).ok_or(Mp4Error::NoAudio {
            tracks: movie.tracks,
        })?;
        let in_track =
            duration.and_then(|(duration, timescale)| track.rescale(duration, timescale));
        let mut reader = Self {
            stream,
            presentation: Presentation::new(&track, entry, in_track),
            head: track.table.start(),
            time: track.table.duration(),
            composition: track.table.composition(),
            ahead: 0,
            shift: 0,
            begun: false,
            promised,
            track,
            description,
            defaults: movie.defaults,
            movie_duration: duration,
            first_box: first_box.unwrap_or(u64::MAX),
            next_box: first_box,
            media: Vec::new(),
            fragment: None,
            moof: Vec::new(),
            index: FragmentIndex::default(),
        };
        reader.take_leading_index()?;
        Ok(reader)
    }

    /// In units of the track's timescale, if the file says.
    pub(super) fn duration(&self) -> Option<u64> {
        self.presentation
            .tracks
            .first()
            .and_then(|track| track.duration)
            .map(|duration| duration.get())
    }

    /// A segment index right behind the movie box is read at once, since it tells the duration. Looking for one must not
    /// wait for bytes that a live stream doesn't have yet, so only a source of known length is asked.
    fn take_leading_index(&mut self) -> Result<(), Mp4Error> {
        let (Some(len), Some(mut pos)) = (self.stream.byte_len(), self.next_box) else {
            return Ok(());
        };
        while let Some(header) = self.stream.header_at(pos, None)? {
            match (&header.kind.0, header.end) {
                (b"sidx", Some(_)) => self.segment_index(&header)?,
                (b"styp" | b"free" | b"prft" | b"emsg", Some(end)) if end <= len => {}
                _ => break,
            }
            pos = header.end.unwrap_or(pos);
            // Not read again: the source may be unable to go back over a long one.
            self.next_box = Some(pos);
        }
        // The index of one segment among many says nothing about the whole; what may follow the media that a whole one
        // covers is a random access box, of a few bytes per fragment.
        let tail = 1024 + 64 * self.index.len();
        let whole = self
            .index
            .end()
            .filter(|(_, offset)| *offset <= len && len - *offset <= tail);
        if let (None, Some((end, _))) = (self.duration(), whole) {
            self.movie_duration = Some((end, self.track.timescale));
            self.describe()?;
        }
        Ok(())
    }

    fn describe(&mut self) -> Result<(), Mp4Error> {
        let entry = self.track.entry(self.description);
        let entry = entry.ok_or(Mp4Error::Unsupported {
            what: "a fragment without a sample description",
        })?;
        let duration = self
            .movie_duration
            .and_then(|(duration, timescale)| self.track.rescale(duration, timescale));
        self.presentation.replace(&self.track, entry, duration);
        Ok(())
    }

    /// Makes the next fragment the present one; `false` at the end of the stream.
    fn next_fragment(&mut self) -> errors::Result<bool> {
        if self.next_box.is_none() {
            // A box without an end reaches to that of its segment.
            self.next_box = self.stream.part_end()?;
        }
        while let Some(pos) = self.next_box {
            let Some(header) = self.stream.header_at(pos, None)? else {
                self.stream.finish()?;
                return match self.is_cut(pos) {
                    true => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                    false => Ok(false),
                };
            };
            match &header.kind.0 {
                b"moof" => return self.enter_fragment(&header).map(|()| true),
                b"mdat" => self.media_box(&header),
                b"sidx" => self.segment_index(&header)?,
                b"moov" if header.start != 0 => self.another_movie(&header)?,
                _ => {}
            }
            self.next_box = match header.end {
                Some(end) => Some(end),
                None => self.stream.part_end()?,
            };
        }
        self.stream.finish()?;
        Ok(false)
    }

    /// Whether the file itself says that more follows where its bytes end.
    fn is_cut(&self, pos: u64) -> bool {
        let indexed = self.index.end().is_some_and(|(_, offset)| pos < offset);
        // Writers round, and may state what they were asked for instead of what they wrote; not by a fragment, though.
        let rounding = u64::from(self.track.timescale) / 4;
        let timed = self.promised.is_some_and(|(end, unscaled)| {
            self.time.saturating_add(rounding) < end && self.time.abs_diff(unscaled) > rounding / 5
        });
        indexed || timed
    }

    fn enter_fragment(&mut self, moof: &BoxHeader) -> errors::Result<()> {
        let memory = std::mem::take(&mut self.moof);
        let body = self.stream.body_in(memory, moof, MAX_MOOF)?;
        let context = FragmentContext {
            track_id: self.track.id,
            defaults: self.defaults,
            moof_start: moof.start,
            time: self.time.saturating_add_signed(-self.ahead),
        };
        let mut fragment = Fragment::parse(&body, context, self.fragment.take())?;
        self.moof = body;
        self.present(&mut fragment);
        let start = fragment.start;
        self.follow(&fragment);
        fragment.shift(self.shift);
        self.next_box = moof.end;
        let description = fragment.description;
        let has_samples = fragment.sample().is_some();
        if has_samples {
            self.index.note(start, moof.start);
        }
        self.fragment = Some(fragment);
        if !has_samples || description == self.description {
            return Ok(());
        }
        let changed = match (
            self.track.entry(description),
            self.track.entry(self.description),
        ) {
            (Some(new), Some(old)) => !new.same_config(old),
            _ => true,
        };
        self.description = description;
        if changed {
            self.describe()?;
            return Err(Error::ResetRequired);
        }
        Ok(())
    }

    /// What plays is the sum of time and composition offset (§8.8.8). The offset of the first fragment is told to whoever knows
    /// the edit list; another one moves its fragment against that.
    fn present(&mut self, fragment: &mut Fragment) {
        if let Some(composition) = fragment.composition {
            self.ahead = composition - *self.composition.get_or_insert(composition);
        }
        fragment.shift(self.ahead);
    }

    /// In a stretch of a title clocks may begin anew, and encoders be started again, without a word: what is too far away to be
    /// missing, or there twice, follows at once.
    fn follow(&mut self, fragment: &Fragment) {
        let second = u64::from(self.track.timescale);
        let (end, start) = (self.time, fragment.start);
        let is_other = start > end.saturating_add(second * Damage::LONGEST_GAP)
            || start.saturating_add(second * Damage::MOST_TWICE) < end;
        if self.stream.is_part() && self.begun && is_other {
            let meant = end.saturating_add_signed(self.shift);
            self.shift = meant.cast_signed().wrapping_sub(start.cast_signed());
        }
        (self.time, self.begun) = (fragment.end, true);
    }

    fn media_box(&mut self, mdat: &BoxHeader) {
        if self.media.len() >= MAX_MEDIA {
            self.media.remove(0);
        }
        self.media.push(MediaBox {
            body: mdat.body,
            end: mdat.end.unwrap_or(i64::MAX as u64),
        });
    }

    /// In the stretch between two seeks nobody needs one, and offsets in it may be those of another file.
    fn segment_index(&mut self, sidx: &BoxHeader) -> Result<(), Mp4Error> {
        if self.stream.is_part() {
            return Ok(());
        }
        let (Some(end), Some(..=MAX_SIDX)) = (sidx.end, sidx.body_len()) else {
            return Ok(());
        };
        let body = self.stream.body(sidx, MAX_SIDX)?;
        self.index
            .take_sidx(Bytes::new(sidx.kind, &body), end, self.track.timescale)
    }

    /// A second initialisation in the stream: passed over if a decoder can go on with it.
    fn another_movie(&mut self, moov: &BoxHeader) -> errors::Result<()> {
        let movie = read_movie(&mut self.stream, moov)?;
        self.next_box = moov.end;
        let description = movie.defaults.description;
        let same = match (
            movie.audio.entry(description),
            self.track.entry(self.description),
        ) {
            (Some(new), Some(old)) => {
                new.same_config(old) && movie.audio.timescale == self.track.timescale
            }
            _ => false,
        };
        self.defaults = movie.defaults;
        self.description = description;
        if same {
            self.track.id = movie.audio.id;
            self.track.entries = movie.audio.entries;
            return Ok(());
        }
        let whole = !self.stream.is_part();
        self.movie_duration = movie_duration(&movie).filter(|_| whole);
        self.promised = promised_end(&movie).filter(|_| whole);
        self.track = movie.audio;
        self.head = self.track.table.end();
        self.describe()?;
        Err(Error::ResetRequired)
    }

    /// Makes sure that the present run lies in a media box, and has no more samples than that has bytes.
    fn check_run(&mut self, fragment: &Fragment) -> Result<(), Mp4Error> {
        let Some((range, count)) = fragment.run_extent() else {
            return Ok(());
        };
        let media = self.find_media(&range)?;
        let limit = media.end.saturating_sub(media.body);
        if u64::from(count) > limit {
            return Err(Mp4Error::Limit {
                what: "the number of samples in a fragment",
                limit,
            });
        }
        Ok(())
    }

    /// The media box around `range`, which may still have to be found.
    fn find_media(&mut self, range: &Range<u64>) -> Result<MediaBox, Mp4Error> {
        loop {
            let holder = self
                .media
                .iter()
                .find(|media| media.body <= range.start && range.end <= media.end);
            if let Some(media) = holder {
                return Ok(*media);
            }
            let outside = Mp4Error::Unsupported {
                what: "media outside of a media box",
            };
            let home = self.stream.last();
            // What lies behind the next box can't hold it either.
            let Some(pos) = self.next_box.filter(|pos| *pos <= range.start) else {
                return Err(outside);
            };
            let Some(header) = self.stream.header_at(pos, None)? else {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            };
            self.stream.keep_within(home, header.body)?;
            match &header.kind.0 {
                b"mdat" => self.media_box(&header),
                b"moof" | b"moov" => return Err(outside),
                _ => {}
            }
            self.next_box = header.end;
        }
    }

    fn next_head_packet(&mut self) -> Result<Option<Packet>, Mp4Error> {
        let track_id = self.track_id();
        while let Some((sample, joined)) = self.track.table.get(&self.head, None) {
            // The boxes are passed in order, so that a source that can't seek need not go back for their headers.
            let end = sample.offset.saturating_add(sample.len.into());
            if self.next_box.is_some_and(|next| next <= sample.offset) {
                self.find_media(&(sample.offset..end))?;
            }
            let packet = match sample.len {
                0 => None,
                _ => Some(read_packet(&mut self.stream, track_id, &sample)?),
            };
            self.track.table.advance(&mut self.head, &sample, joined);
            if packet.is_some() {
                return Ok(packet);
            }
        }
        Ok(None)
    }

    /// The id given to symphonia, which stays the same when a second movie box numbers its track otherwise.
    fn track_id(&self) -> u32 {
        self.presentation
            .tracks
            .first()
            .map_or(self.track.id, |track| track.id)
    }

    /// The next packet, of the movie box or of a fragment.
    fn read_next(&mut self) -> errors::Result<Option<Packet>> {
        if let Some(packet) = self.next_head_packet()? {
            return Ok(Some(packet));
        }
        loop {
            if let Some(mut fragment) = self.fragment.take() {
                let packet = self.next_fragment_packet(&mut fragment);
                self.fragment = Some(fragment);
                if let Some(packet) = packet? {
                    return Ok(Some(packet));
                }
            }
            if !self.next_fragment()? {
                return Ok(None);
            }
        }
    }

    fn next_fragment_packet(
        &mut self,
        fragment: &mut Fragment,
    ) -> Result<Option<Packet>, Mp4Error> {
        while let Some(sample) = fragment.sample() {
            if fragment.run_is_empty() {
                fragment.advance();
                continue;
            }
            if fragment.at_run_start() {
                self.check_run(fragment)?;
            }
            if sample.len == 0 {
                fragment.advance();
                continue;
            }
            let pcm = self
                .track
                .entry(self.description)
                .is_some_and(|entry| entry.pcm_frame.is_some());
            let (sample, joined) = if pcm {
                fragment.joined(pcm::PACKET_FRAMES as u32)
            } else {
                (sample, 1)
            };
            let track_id = self.track_id();
            let packet = read_packet(&mut self.stream, track_id, &sample)?;
            self.stream.hear(sample.offset)?;
            for _ in 0..joined {
                fragment.advance();
            }
            return Ok(Some(packet));
        }
        Ok(None)
    }

    /// Goes on from the box at `offset`, whose media begins at `time`, as if nothing had been read before.
    fn restart_at(&mut self, (time, offset): (u64, u64)) -> errors::Result<()> {
        if offset < self.stream.pos() && !self.stream.is_seekable() {
            return Err(Error::SeekError(SeekErrorKind::ForwardOnly));
        }
        self.fragment = None;
        self.media.clear();
        self.next_box = Some(offset);
        (self.time, self.shift, self.begun) = (time, 0, false);
        Ok(())
    }

    /// The sample at `target` in the present fragment, if that is where it is. The fragment before ends where this one
    /// begins, unless there is a gap: then its first sample is the nearest.
    fn seek_in_fragment(&mut self, target: u64) -> errors::Result<Option<Sample>> {
        let Some(mut fragment) = self.fragment.take() else {
            return Ok(None);
        };
        let before = fragment.position();
        let found = if fragment.seek(target) {
            fragment.sample()
        } else {
            None
        };
        let unreachable = found
            .is_some_and(|found| found.offset < self.stream.pos() && !self.stream.is_seekable());
        if unreachable || found.is_none() {
            fragment.set_position(before);
        }
        let found = match found {
            Some(_) if unreachable => Err(Error::SeekError(SeekErrorKind::ForwardOnly)),
            Some(sample) => self
                .check_run(&fragment)
                .map(|()| Some(sample))
                .map_err(Error::from),
            None => Ok(None),
        };
        self.fragment = Some(fragment);
        found
    }

    fn seek_fragments(&mut self, target: u64) -> errors::Result<Sample> {
        let here = self
            .fragment
            .as_ref()
            .map(|fragment| (fragment.start, fragment.end));
        if here.is_some_and(|(start, end)| start <= target && target < end)
            && let Some(sample) = self.seek_in_fragment(target)?
        {
            return Ok(sample);
        }
        let first_place = (self.track.table.duration(), self.first_box);
        let mut from = self.index.before(target).unwrap_or(first_place);
        // Going on is as good as the index where that leads to something we passed already.
        let ahead = here.is_some_and(|(_, end)| end <= target)
            && self.next_box.is_none_or(|next| next >= from.1);
        if !ahead {
            self.restart_at(from)?;
        }
        let mut first = !ahead;
        while self.next_fragment()? {
            let Some(fragment) = &self.fragment else {
                break;
            };
            // The file's index promised too much: one entry back.
            if first
                && fragment.start > target
                && from.1 > self.first_box
                && fragment.sample().is_some()
            {
                from = self.index.below(from.1).unwrap_or(first_place);
                self.restart_at(from)?;
                continue;
            }
            first = false;
            if fragment.end > target
                && let Some(sample) = self.seek_in_fragment(target)?
            {
                return Ok(sample);
            }
        }
        self.fragment = None;
        Err(Error::SeekError(SeekErrorKind::OutOfRange))
    }
}

/// Whether it says something of the bytes, and not of the way they come.
fn is_lasting(error: &Error) -> bool {
    match error {
        Error::IoError(error) => error.kind() == std::io::ErrorKind::UnexpectedEof,
        _ => true,
    }
}

/// Duration and timescale: of all fragments (§8.8.2), else of the whole movie. The headers of a movie that lists samples
/// itself cover only those.
fn movie_duration(movie: &Movie) -> Option<(u64, u32)> {
    let headers = if movie.audio.table.count() == 0 {
        (movie.duration, movie.audio.duration)
    } else {
        (None, None)
    };
    let in_movie = movie
        .fragment_duration
        .or(headers.0)
        .map(|duration| (duration, movie.timescale));
    in_movie.or(headers.1.map(|duration| (duration, movie.audio.timescale)))
}

/// In units of the track, and as it is written. What the movie says of itself is the longest of its tracks, with the
/// empty edits before them: it counts where there is one track, and no edit.
fn promised_end(movie: &Movie) -> Option<(u64, u64)> {
    if movie.tracks != 1 || movie.edited {
        return None;
    }
    let (duration, timescale) = movie_duration(movie)?;
    Some((movie.audio.rescale(duration, timescale)?, duration))
}

impl Mp4Reader for FragmentReader<'_> {
    fn composition(&self) -> i64 {
        self.composition.unwrap_or(0)
    }
}

impl FormatReader for FragmentReader<'_> {
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

    /// `ResetRequired` when the codec configuration changes in the stream: [`tracks`](Self::tracks) then shows the new
    /// one, and the next call returns its first packet.
    fn next_packet(&mut self) -> errors::Result<Option<Packet>> {
        let next = self.read_next();
        if next.as_ref().is_err_and(is_lasting) {
            self.stream.blame();
        }
        next
    }

    /// To the packet that plays at the target or, where the target lies in a gap, the first one after it. By the file's
    /// segment index if it has one, else from the nearest fragment met so far, passing over the media between. A target
    /// at or after the end is `OutOfRange`, and `next_packet` then returns the end. Both modes are exact.
    fn seek(&mut self, _mode: SeekMode, to: SeekTo) -> errors::Result<SeekedTo> {
        let target = self.presentation.target(&to)?;
        let in_head = self.track.table.at_time(target);
        let sample = match in_head
            .and_then(|cursor| Some((self.track.table.get(&cursor, None)?.0, cursor)))
        {
            Some((sample, cursor)) => {
                if sample.offset < self.stream.pos() && !self.stream.is_seekable() {
                    return Err(Error::SeekError(SeekErrorKind::ForwardOnly));
                }
                if self.stream.is_seekable() {
                    self.restart_at((self.track.table.duration(), self.first_box))?;
                }
                self.head = cursor;
                sample
            }
            None => {
                self.head = self.track.table.end();
                self.seek_fragments(target)?
            }
        };
        Ok(SeekedTo {
            track_id: self.track_id(),
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
