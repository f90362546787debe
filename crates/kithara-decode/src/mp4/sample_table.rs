//! The sample table of an ordinary MP4: where each sample lies and when it plays (ISO/IEC 14496-12 §8.6, §8.7).
//!
//! The boxes are kept as they are stored, four bytes a sample at most, and looked up in place: nothing is expanded, so
//! a table of 20 bytes that claims 2³² samples costs 20 bytes.

use super::boxes::{Bytes, FourCode};
use super::error::Mp4Error;
use super::sample_entry::AudioEntry;

/// The boxes of a sample table as they come in.
#[derive(Default)]
pub(super) struct TableBoxes {
    times: Vec<u8>,
    chunk_runs: Vec<u8>,
    sizes: Option<Sizes>,
    offsets: Vec<u8>,
    wide: bool,
    /// By how much later than it is decoded the first sample plays (§8.6.1.3).
    pub composition: i32,
}

impl TableBoxes {
    pub const KINDS: [[u8; 4]; 6] = [*b"stts", *b"stsc", *b"stsz", *b"stz2", *b"stco", *b"co64"];

    /// Takes the body of one box; others than [`KINDS`](Self::KINDS) are ignored.
    pub fn take(&mut self, kind: FourCode, body: Vec<u8>) -> Result<(), Mp4Error> {
        match &kind.0 {
            b"stts" => self.times = entries(kind, body, 8)?,
            b"stsc" => self.chunk_runs = entries(kind, body, 12)?,
            b"stsz" | b"stz2" => self.sizes = Some(Sizes::parse(kind, body)?),
            b"stco" => (self.offsets, self.wide) = (entries(kind, body, 4)?, false),
            b"co64" => (self.offsets, self.wide) = (entries(kind, body, 8)?, true),
            _ => {}
        }
        Ok(())
    }
}

/// The entries of a full box that begins with their number. Bytes after them are dropped.
fn entries(kind: FourCode, mut body: Vec<u8>, entry_len: usize) -> Result<Vec<u8>, Mp4Error> {
    const HEADER: usize = 8;
    let mut bytes = Bytes::new(kind, &body);
    bytes.full_box()?;
    let count = bytes.u32()? as usize;
    let len = count
        .checked_mul(entry_len)
        .filter(|len| *len <= bytes.rest().len())
        .ok_or_else(|| bytes.fail("more entries than bytes"))?;
    body.drain(..HEADER);
    body.truncate(len);
    Ok(body)
}

/// Sample sizes (§8.7.3).
#[derive(Clone, Debug)]
enum Sizes {
    Constant {
        size: u32,
        count: u32,
    },
    /// `bits` is 32 for `stsz`, 4, 8 or 16 for `stz2`.
    Each {
        bits: u8,
        count: u32,
        bytes: Vec<u8>,
    },
}

impl Sizes {
    fn parse(kind: FourCode, mut body: Vec<u8>) -> Result<Self, Mp4Error> {
        const HEADER: usize = 12;
        let mut bytes = Bytes::new(kind, &body);
        bytes.full_box()?;
        let size = bytes.u32()?;
        let count = bytes.u32()?;
        let bits = match (&kind.0, size) {
            (b"stsz", 0) => 32,
            (b"stsz", _) => return Ok(Self::Constant { size, count }),
            (_, field) => match field & 0xff {
                bits @ (4 | 8 | 16) => bits as u8,
                _ => return Err(bytes.fail("a field width other than 4, 8 or 16")),
            },
        };
        let len = u64::from(count) * u64::from(bits);
        let len = usize::try_from(len.div_ceil(8))
            .ok()
            .filter(|len| *len <= bytes.rest().len())
            .ok_or_else(|| bytes.fail("more entries than bytes"))?;
        body.drain(..HEADER);
        body.truncate(len);
        Ok(Self::Each {
            bits,
            count,
            bytes: body,
        })
    }

    fn count(&self) -> u32 {
        match self {
            Self::Constant { count, .. } | Self::Each { count, .. } => *count,
        }
    }

    fn get(&self, sample: u32) -> Option<u32> {
        match self {
            Self::Constant { size, count } => (sample < *count).then_some(*size),
            Self::Each { bits, count, bytes } if sample < *count => {
                let at = sample as usize;
                match bits {
                    4 => {
                        let both = *bytes.get(at / 2)?;
                        Some(u32::from(if at.is_multiple_of(2) {
                            both >> 4
                        } else {
                            both & 15
                        }))
                    }
                    8 => bytes.get(at).copied().map(u32::from),
                    16 => bytes
                        .get(at * 2..)?
                        .first_chunk()
                        .map(|b| u32::from(u16::from_be_bytes(*b))),
                    _ => bytes
                        .get(at * 4..)?
                        .first_chunk()
                        .map(|b| u32::from_be_bytes(*b)),
                }
            }
            Self::Each { .. } => None,
        }
    }

    /// The bytes of `count` samples from `first`.
    fn sum(&self, first: u32, count: u32) -> Option<u64> {
        match self {
            Self::Constant { size, .. } => Some(u64::from(*size) * u64::from(count)),
            Self::Each { .. } => (first..first.checked_add(count)?)
                .try_fold(0_u64, |sum, at| sum.checked_add(self.get(at)?.into())),
        }
    }
}

/// One sample, or several PCM samples in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub offset: u64,
    pub len: u32,
    pub time: u64,
    pub duration: u64,
}

/// A position in a [`SampleTable`].
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    sample: u32,
    time: u64,
    time_run: usize,
    in_time_run: u32,
    chunk: u32,
    chunk_run: usize,
    in_chunk: u32,
    /// Offset of the sample.
    offset: u64,
}

/// A run of chunks with equally many samples.
#[derive(Clone, Copy)]
struct ChunkRun {
    /// Counted from 0.
    first: u32,
    per_chunk: u32,
    description: u32,
}

#[derive(Clone, Debug)]
pub(super) struct SampleTable {
    times: Vec<u8>,
    chunk_runs: Vec<u8>,
    sizes: Sizes,
    offsets: Vec<u8>,
    wide: bool,
    count: u32,
    duration: u64,
    /// Of the last sample.
    last_duration: u32,
    media_end: u64,
    composition: i32,
}

impl SampleTable {
    /// Checks the boxes against each other. `pcm_frame` overrides the sample size, which QuickTime files of PCM give as 1.
    pub fn build(boxes: TableBoxes, entries: &[AudioEntry]) -> Result<Self, Mp4Error> {
        let missing = |kind: &[u8; 4]| Mp4Error::malformed(FourCode(*kind), "missing");
        let mut sizes = boxes.sizes.ok_or_else(|| missing(b"stsz"))?;
        let pcm_frame = entries.first().and_then(|entry| entry.pcm_frame);
        if let (Sizes::Constant { size, .. }, Some(frame)) = (&mut sizes, pcm_frame) {
            *size = frame;
        }
        let mut table = Self {
            times: boxes.times,
            chunk_runs: boxes.chunk_runs,
            sizes,
            offsets: boxes.offsets,
            wide: boxes.wide,
            count: 0,
            duration: 0,
            last_duration: 0,
            media_end: 0,
            composition: boxes.composition,
        };
        if table.sizes.count() > 0 {
            table.measure_chunks(entries)?;
            table.measure_time()?;
        }
        Ok(table)
    }

    /// Sets `count` and `media_end`.
    fn measure_chunks(&mut self, entries: &[AudioEntry]) -> Result<(), Mp4Error> {
        let stsc = |why| Mp4Error::malformed(FourCode(*b"stsc"), why);
        let chunks = self.chunks();
        let mut sample = 0;
        let mut run_index = 0;
        while let Some(run) = self.chunk_run(run_index)? {
            let next = self
                .chunk_run(run_index + 1)?
                .map_or(chunks, |next| next.first);
            if next <= run.first && run.first < chunks {
                return Err(stsc("its chunks do not ascend"));
            }
            check_description(run.description, entries)?;
            for chunk in run.first..next.min(chunks) {
                let count = run.per_chunk.min(self.sizes.count() - sample);
                if count == 0 {
                    break;
                }
                let start = self
                    .chunk_offset(chunk)
                    .ok_or_else(|| stsc("a chunk without an offset"))?;
                let end = self
                    .sizes
                    .sum(sample, count)
                    .and_then(|len| start.checked_add(len));
                let end = end.filter(|end| i64::try_from(*end).is_ok());
                let end = end.ok_or_else(|| stsc("a chunk ends beyond any file"))?;
                self.media_end = self.media_end.max(end);
                sample += count;
            }
            run_index += 1;
        }
        self.count = sample;
        if sample < self.sizes.count() {
            tracing::warn!(
                samples = self.sizes.count(),
                in_chunks = sample,
                "mp4: samples without a chunk are dropped"
            );
        }
        if sample == 0 {
            Err(stsc("no chunk holds a sample"))
        } else {
            Ok(())
        }
    }

    fn measure_time(&mut self) -> Result<(), Mp4Error> {
        let stts = |why| Mp4Error::malformed(FourCode(*b"stts"), why);
        let mut left = self.count;
        let mut duration = 0_u64;
        let mut run = 0;
        while left > 0 {
            let (count, delta) = self.time_run(run).ok_or_else(|| stts("no entries"))?;
            let count = count.min(left);
            duration = u64::from(count)
                .checked_mul(delta.into())
                .and_then(|length| duration.checked_add(length))
                .filter(|duration| i64::try_from(*duration).is_ok())
                .ok_or_else(|| stts("longer than time itself"))?;
            left -= count;
            run += 1;
            self.last_duration = delta;
        }
        self.duration = duration;
        Ok(())
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// In units of the track's timescale.
    pub fn duration(&self) -> u64 {
        self.duration
    }

    /// By how much later than it is decoded the first sample plays, in units of the track's timescale; `None` without one.
    pub fn composition(&self) -> Option<i64> {
        (self.count > 0).then_some(self.composition.into())
    }

    /// Where the last sample begins, if there is one.
    pub fn last_start(&self) -> Option<u64> {
        (self.count > 0).then(|| self.duration - u64::from(self.last_duration))
    }

    /// Offset after the last byte of media.
    #[cfg(test)]
    pub fn media_end(&self) -> u64 {
        self.media_end
    }

    fn chunks(&self) -> u32 {
        u32::try_from(self.offsets.len() / if self.wide { 8 } else { 4 }).unwrap_or(u32::MAX)
    }

    fn chunk_offset(&self, chunk: u32) -> Option<u64> {
        let chunk = chunk as usize;
        if self.wide {
            self.offsets
                .get(chunk * 8..)?
                .first_chunk()
                .map(|b| u64::from_be_bytes(*b))
        } else {
            self.offsets
                .get(chunk * 4..)?
                .first_chunk()
                .map(|b| u32::from_be_bytes(*b).into())
        }
    }

    fn chunk_run(&self, index: usize) -> Result<Option<ChunkRun>, Mp4Error> {
        let Some(entry) = self
            .chunk_runs
            .get(index * 12..)
            .filter(|rest| !rest.is_empty())
        else {
            return Ok(None);
        };
        let mut entry = Bytes::new(FourCode(*b"stsc"), entry);
        let first = entry
            .u32()?
            .checked_sub(1)
            .ok_or_else(|| entry.fail("chunks are counted from 1"))?;
        if (index == 0) != (first == 0) {
            return Err(entry.fail("its chunks do not ascend"));
        }
        Ok(Some(ChunkRun {
            first,
            per_chunk: entry.u32()?,
            description: entry.u32()?,
        }))
    }

    /// Count and delta of a time-to-sample entry. The last one holds for all samples that follow.
    fn time_run(&self, index: usize) -> Option<(u32, u32)> {
        let last = (self.times.len() / 8).checked_sub(1)?;
        let entry: &[u8; 8] = self.times.get(index.min(last) * 8..)?.first_chunk()?;
        let [a, b, c, d, e, f, g, h] = *entry;
        let count = if index >= last {
            u32::MAX
        } else {
            u32::from_be_bytes([a, b, c, d])
        };
        Some((count, u32::from_be_bytes([e, f, g, h])))
    }

    /// The first sample.
    pub fn start(&self) -> Cursor {
        let mut cursor = Cursor {
            sample: 0,
            time: 0,
            time_run: 0,
            in_time_run: 0,
            chunk: 0,
            chunk_run: 0,
            in_chunk: 0,
            offset: self.chunk_offset(0).unwrap_or(0),
        };
        self.settle(&mut cursor);
        cursor
    }

    /// The end.
    pub fn end(&self) -> Cursor {
        Cursor {
            sample: self.count,
            time: self.duration,
            ..self.start()
        }
    }

    /// The sample that plays at `time`; `None` if that is not before the end.
    pub fn at_time(&self, time: u64) -> Option<Cursor> {
        if time >= self.duration {
            return None;
        }
        let mut cursor = self.start();
        loop {
            let (count, delta) = self.time_run(cursor.time_run)?;
            let ahead = time.checked_sub(cursor.time)?;
            let within = ahead.checked_div(delta.into()).unwrap_or(u64::MAX);
            let left = count.min(self.count - cursor.sample);
            let step = u32::try_from(within).map_or(left, |within| within.min(left));
            cursor.sample += step;
            cursor.time += u64::from(step) * u64::from(delta);
            cursor.in_time_run = step;
            if u64::from(step) == within && step < left {
                break;
            }
            cursor.time_run += 1;
            cursor.in_time_run = 0;
            if cursor.sample >= self.count {
                return None;
            }
        }
        self.locate(&mut cursor)?;
        Some(cursor)
    }

    /// Finds the chunk of `cursor.sample`.
    fn locate(&self, cursor: &mut Cursor) -> Option<()> {
        let mut before = 0_u64;
        cursor.chunk_run = 0;
        loop {
            let run = self.chunk_run(cursor.chunk_run).ok()??;
            let next = self
                .chunk_run(cursor.chunk_run + 1)
                .ok()?
                .map_or(self.chunks(), |next| next.first);
            let in_run = u64::from(next.checked_sub(run.first)?) * u64::from(run.per_chunk);
            let ahead = u64::from(cursor.sample) - before;
            if ahead < in_run {
                cursor.chunk = run.first + u32::try_from(ahead / u64::from(run.per_chunk)).ok()?;
                cursor.in_chunk = u32::try_from(ahead % u64::from(run.per_chunk)).ok()?;
                let skipped = self
                    .sizes
                    .sum(cursor.sample - cursor.in_chunk, cursor.in_chunk)?;
                cursor.offset = self.chunk_offset(cursor.chunk)?.checked_add(skipped)?;
                return Some(());
            }
            before += in_run;
            cursor.chunk_run += 1;
        }
    }

    /// The sample at `cursor`, or as many PCM samples as make a packet; `None` at the end.
    pub fn get(&self, cursor: &Cursor, pcm_frames: Option<u32>) -> Option<(Sample, u32)> {
        if cursor.sample >= self.count {
            return None;
        }
        let size = self.sizes.get(cursor.sample)?;
        let per_chunk = self.chunk_run(cursor.chunk_run).ok()??.per_chunk;
        let (count, delta) = self.time_run(cursor.time_run)?;
        let joined = match (pcm_frames, &self.sizes) {
            (Some(frames), Sizes::Constant { .. }) => frames
                .min(per_chunk.saturating_sub(cursor.in_chunk))
                .min(count.saturating_sub(cursor.in_time_run))
                .min(self.count - cursor.sample)
                .max(1),
            _ => 1,
        };
        let sample = Sample {
            offset: cursor.offset,
            len: size.checked_mul(joined)?,
            time: cursor.time,
            duration: u64::from(delta) * u64::from(joined),
        };
        Some((sample, joined))
    }

    /// Moves past what [`get`](Self::get) returned.
    pub fn advance(&self, cursor: &mut Cursor, sample: &Sample, joined: u32) {
        cursor.sample += joined;
        cursor.time += sample.duration;
        cursor.in_time_run += joined;
        cursor.in_chunk += joined;
        cursor.offset += u64::from(sample.len);
        self.settle(cursor);
    }

    /// Moves into the next run or chunk where the present one is used up.
    fn settle(&self, cursor: &mut Cursor) {
        if cursor.sample >= self.count {
            return;
        }
        while self
            .time_run(cursor.time_run)
            .is_some_and(|(count, _)| cursor.in_time_run >= count)
        {
            cursor.time_run += 1;
            cursor.in_time_run = 0;
        }
        while let Ok(Some(run)) = self.chunk_run(cursor.chunk_run) {
            if cursor.in_chunk < run.per_chunk {
                break;
            }
            let next_run = self
                .chunk_run(cursor.chunk_run + 1)
                .ok()
                .flatten()
                .map(|next| next.first);
            if run.per_chunk == 0 {
                // A run of empty chunks, skipped as one.
                cursor.chunk = next_run.unwrap_or(u32::MAX);
            } else {
                cursor.chunk += 1;
            }
            cursor.in_chunk = 0;
            cursor.offset = self.chunk_offset(cursor.chunk).unwrap_or(0);
            if next_run.is_some_and(|next| cursor.chunk >= next) {
                cursor.chunk_run += 1;
            } else if run.per_chunk == 0 {
                break;
            }
        }
    }
}

/// A track may change its description between chunks; one that a decoder can go on with is the same to us.
fn check_description(index: u32, entries: &[AudioEntry]) -> Result<(), Mp4Error> {
    let entry = (index as usize)
        .checked_sub(1)
        .and_then(|index| entries.get(index));
    match (entry, entries.first()) {
        (Some(entry), Some(first)) if entry.same_config(first) => Ok(()),
        _ => Err(Mp4Error::Unsupported {
            what: "a track that changes its sample description",
        }),
    }
}
