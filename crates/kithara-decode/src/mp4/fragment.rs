//! One movie fragment: the samples a `moof` box adds to the track (ISO/IEC 14496-12 §8.8.4 to §8.8.12).
//!
//! Runs keep their entries as stored, so a fragment takes no more memory than its `moof` box, whatever it claims; and it takes
//! over that of the fragment before.

use std::ops::Range;

use super::boxes::{Bytes, FourCode};
use super::error::Mp4Error;
use super::sample_table::Sample;
use crate::memory;

const MAX_BOXES: u32 = 10_000;

/// What samples are like unless a fragment says otherwise (§8.8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TrackDefaults {
    pub description: u32,
    pub duration: u32,
    pub size: u32,
}

impl TrackDefaults {
    /// The track's id and its defaults.
    pub fn parse(mut trex: Bytes<'_>) -> Result<(u32, Self), Mp4Error> {
        trex.full_box()?;
        let track_id = trex.u32()?;
        Ok((
            track_id,
            Self {
                description: trex.u32()?,
                duration: trex.u32()?,
                size: trex.u32()?,
            },
        ))
    }
}

/// What a fragment is read against.
#[derive(Clone, Copy, Debug)]
pub(super) struct FragmentContext {
    pub track_id: u32,
    pub defaults: TrackDefaults,
    /// Offset of the `moof` box.
    pub moof_start: u64,
    /// The end of the fragment before, which counts where the fragment gives no time of its own.
    pub time: u64,
}

/// Consecutive samples of one `trun` box.
#[derive(Debug)]
struct TrackRun {
    /// Offset of the first sample.
    offset: u64,
    /// Bytes of all samples.
    len: u64,
    time: u64,
    count: u32,
    layout: EntryLayout,
    /// Where they lie in those of the whole fragment.
    entries: Range<usize>,
    defaults: TrackDefaults,
}

/// Which fields the entries of a `trun` box have (§8.8.8).
#[derive(Clone, Copy, Debug)]
struct EntryLayout {
    flags: u32,
}

impl EntryLayout {
    const DURATION: u32 = 0x100;
    const SIZE: u32 = 0x200;
    const COMPOSITION: u32 = 0x800;

    fn len(self) -> usize {
        4 * (self.flags >> 8 & 15).count_ones() as usize
    }

    fn has(self, field: u32) -> bool {
        self.flags & field != 0
    }
}

/// Duration and size of one sample.
type Timing = (u32, u32);

impl TrackRun {
    /// One of `entries`, which are those of this run.
    fn entry(&self, entries: &[u8], index: u32) -> Option<Timing> {
        let mut timing = (self.defaults.duration, self.defaults.size);
        let len = self.layout.len();
        if index >= self.count {
            return None;
        }
        if len == 0 {
            return Some(timing);
        }
        let start = (index as usize).checked_mul(len)?;
        let mut bytes = Bytes::new(
            FourCode(*b"trun"),
            entries.get(start..start.checked_add(len)?)?,
        );
        // Sample flags, which follow, mean nothing for audio: every sample stands alone.
        if self.layout.has(EntryLayout::DURATION) {
            timing.0 = bytes.u32().ok()?;
        }
        if self.layout.has(EntryLayout::SIZE) {
            timing.1 = bytes.u32().ok()?;
        }
        Some(timing)
    }

    /// By how much later than it is decoded the first sample plays: the last field of an entry. In either version it is taken
    /// for signed, as writers do.
    fn composition(&self, entries: &[u8]) -> i32 {
        let len = self.layout.len();
        let field = entries.get(..len).and_then(|entry| entry.last_chunk());
        let field = field.filter(|_| self.layout.has(EntryLayout::COMPOSITION));
        field.map_or(0, |field| i32::from_be_bytes(*field))
    }

    /// Duration and bytes of the whole run.
    fn sums(&self, entries: &[u8]) -> Option<(u64, u64)> {
        if !self.layout.has(EntryLayout::DURATION) && !self.layout.has(EntryLayout::SIZE) {
            let count = u64::from(self.count);
            return Some((
                count * u64::from(self.defaults.duration),
                count * u64::from(self.defaults.size),
            ));
        }
        // As many steps as there are entries in the box.
        let mut sums = (0_u64, 0_u64);
        for index in 0..self.count {
            let (duration, size) = self.entry(entries, index)?;
            sums = (
                sums.0.checked_add(duration.into())?,
                sums.1.checked_add(size.into())?,
            );
        }
        Some(sums)
    }
}

/// The samples of our track in one fragment, and how far they have been read.
#[derive(Debug)]
pub(super) struct Fragment {
    pub start: u64,
    /// The time after the last sample.
    pub end: u64,
    pub description: u32,
    /// By how much later than it is decoded the first sample plays; `None` without one. Audio plays sample after sample, so what
    /// the others say of themselves means nothing.
    pub composition: Option<i64>,
    runs: Vec<TrackRun>,
    /// The entries of all runs, as stored.
    entries: Vec<u8>,
    at: Position,
}

/// A sample: its run, its index in it, its place and time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    run: usize,
    index: u32,
    offset: u64,
    time: u64,
}

impl Fragment {
    /// Reads the body of a `moof` box, in the memory of the fragment before.
    pub fn parse(
        moof: &[u8],
        context: FragmentContext,
        before: Option<Self>,
    ) -> Result<Self, Mp4Error> {
        let (mut runs, mut entries) = before
            .map(|before| (before.runs, before.entries))
            .unwrap_or_default();
        runs.clear();
        entries.clear();
        let mut reader = MoofReader {
            context,
            boxes: 0,
            runs,
            entries,
            time: context.time,
            start: None,
            composition: None,
            description: context.defaults.description,
            data_end: context.moof_start,
        };
        let mut bytes = Bytes::new(FourCode(*b"moof"), moof);
        while let Some(child) = reader.next(&mut bytes)? {
            if child.kind().0 == *b"traf" {
                reader.track_fragment(child)?;
            }
        }
        let mut fragment = Self {
            start: reader.start.unwrap_or(context.time),
            end: reader.time,
            description: reader.description,
            composition: reader.composition,
            runs: reader.runs,
            entries: reader.entries,
            at: Position::default(),
        };
        fragment.enter(0);
        Ok(fragment)
    }

    /// Puts its times on another timeline.
    pub fn shift(&mut self, by: i64) {
        let moved = |time: u64| time.saturating_add_signed(by);
        (self.start, self.end) = (moved(self.start), moved(self.end));
        self.at.time = moved(self.at.time);
        for run in &mut self.runs {
            run.time = moved(run.time);
        }
    }

    /// The sample at the position, `None` at the end.
    pub fn sample(&self) -> Option<Sample> {
        let (duration, len) = self.entry(self.runs.get(self.at.run)?)?;
        Some(Sample {
            offset: self.at.offset,
            len,
            time: self.at.time,
            duration: duration.into(),
        })
    }

    /// As many samples from the position as lie in a row and are no more than `max`, as one; and how many they are.
    pub fn joined(&mut self, max: u32) -> (Sample, u32) {
        let before = self.at;
        let mut joined = Sample {
            offset: before.offset,
            len: 0,
            time: before.time,
            duration: 0,
        };
        let mut count = 0;
        while let Some(next) = self
            .sample()
            .filter(|_| count < max && self.at.run == before.run)
        {
            let Some(len) = joined.len.checked_add(next.len) else {
                break;
            };
            joined.len = len;
            joined.duration += next.duration;
            count += 1;
            self.advance();
        }
        self.at = before;
        (joined, count)
    }

    /// Where the bytes of the present run lie, and how many samples they hold.
    pub fn run_extent(&self) -> Option<(Range<u64>, u32)> {
        // `parse` has checked the sum.
        self.runs
            .get(self.at.run)
            .map(|run| (run.offset..run.offset.saturating_add(run.len), run.count))
    }

    pub fn run_is_empty(&self) -> bool {
        self.runs.get(self.at.run).is_none_or(|run| run.len == 0)
    }

    pub fn at_run_start(&self) -> bool {
        self.at.index == 0
    }

    pub fn position(&self) -> Position {
        self.at
    }

    pub fn set_position(&mut self, position: Position) {
        self.at = position;
    }

    /// Moves past the sample at the position. A run without a byte is passed as a whole: it may claim 2³² samples.
    pub fn advance(&mut self) {
        let Some(run) = self.runs.get(self.at.run) else {
            return;
        };
        let Some((duration, len)) = self.entry(run).filter(|_| run.len > 0) else {
            return self.enter(self.at.run + 1);
        };
        self.at.index += 1;
        if self.at.index >= run.count {
            return self.enter(self.at.run + 1);
        }
        self.at.time += u64::from(duration);
        self.at.offset += u64::from(len);
    }

    /// Moves to the sample that plays at `time`, or the first after it. `false`, and at the end, if there is none.
    pub fn seek(&mut self, time: u64) -> bool {
        self.enter(0);
        while let Some(run) = self.runs.get(self.at.run) {
            let next = self
                .runs
                .get(self.at.run + 1)
                .map_or(self.end, |next| next.time);
            if next <= time || run.len == 0 {
                self.enter(self.at.run + 1);
                continue;
            }
            if !run.layout.has(EntryLayout::DURATION | EntryLayout::SIZE) {
                self.step(run.count, run.defaults, time);
            }
            while let Some(sample) = self.sample() {
                if sample.time.saturating_add(sample.duration) > time && sample.len > 0 {
                    return true;
                }
                self.advance();
            }
        }
        false
    }

    /// In a run of equal samples, straight to the one at `time`: there may be 2³² of them.
    fn step(&mut self, count: u32, equal: TrackDefaults, time: u64) {
        let ahead = time
            .saturating_sub(self.at.time)
            .checked_div(equal.duration.into())
            .unwrap_or(0);
        let index = u32::try_from(ahead)
            .unwrap_or(u32::MAX)
            .min(count.saturating_sub(1));
        self.at.index = index;
        self.at.time += u64::from(index) * u64::from(equal.duration);
        self.at.offset += u64::from(index) * u64::from(equal.size);
    }

    /// The entry of this run at the position.
    fn entry(&self, run: &TrackRun) -> Option<Timing> {
        let entries = self.entries.get(run.entries.clone())?;
        run.entry(entries, self.at.index)
    }

    fn enter(&mut self, run: usize) {
        self.at = Position {
            run,
            ..Position::default()
        };
        if let Some(run) = self.runs.get(run) {
            (self.at.offset, self.at.time) = (run.offset, run.time);
        }
    }
}

struct MoofReader {
    context: FragmentContext,
    boxes: u32,
    runs: Vec<TrackRun>,
    entries: Vec<u8>,
    time: u64,
    start: Option<u64>,
    composition: Option<i64>,
    description: u32,
    /// The end of the data of the track fragment before, of whatever track.
    data_end: u64,
}

/// A track fragment header (§8.8.7), resolved against the defaults.
struct TrackFragmentHeader {
    track_id: u32,
    base: u64,
    defaults: TrackDefaults,
    empty_duration: bool,
}

impl MoofReader {
    fn next<'a>(&mut self, bytes: &mut Bytes<'a>) -> Result<Option<Bytes<'a>>, Mp4Error> {
        self.boxes += 1;
        if self.boxes > MAX_BOXES {
            return Err(Mp4Error::Limit {
                what: "the number of boxes in a moof box",
                limit: MAX_BOXES.into(),
            });
        }
        bytes.next_box()
    }

    fn track_fragment(&mut self, mut traf: Bytes<'_>) -> Result<(), Mp4Error> {
        let mut header = None;
        let mut ours = false;
        // Offset of the next run that doesn't give its own: right behind the one before.
        let mut next = self.data_end;
        while let Some(child) = self.next(&mut traf)? {
            match &child.kind().0 {
                b"tfhd" => {
                    let parsed = self.header(child)?;
                    ours = parsed.track_id == self.context.track_id;
                    next = parsed.base;
                    if ours {
                        self.begin(&parsed)?;
                    }
                    header = Some(parsed);
                }
                b"tfdt" if ours => self.decode_time(child)?,
                b"trun" => {
                    let header = header
                        .as_ref()
                        .ok_or_else(|| child.fail("before the track fragment header"))?;
                    let (run, entries) = track_run(child, header, next)?;
                    next = run.offset.saturating_add(run.len);
                    if ours {
                        self.push(run, entries)?;
                    }
                }
                _ => {}
            }
        }
        self.data_end = next;
        Ok(())
    }

    fn header(&self, mut tfhd: Bytes<'_>) -> Result<TrackFragmentHeader, Mp4Error> {
        const BASE_DATA_OFFSET: u32 = 0x1;
        const DESCRIPTION: u32 = 0x2;
        const DURATION: u32 = 0x8;
        const SIZE: u32 = 0x10;
        const DURATION_IS_EMPTY: u32 = 0x1_0000;
        const DEFAULT_BASE_IS_MOOF: u32 = 0x2_0000;
        let (_, flags) = tfhd.full_box()?;
        let track_id = tfhd.u32()?;
        let base = if flags & BASE_DATA_OFFSET != 0 {
            tfhd.u64()?
        } else if flags & DEFAULT_BASE_IS_MOOF != 0 {
            self.context.moof_start
        } else {
            self.data_end
        };
        let mut defaults = self.context.defaults;
        for (flag, field) in [
            (DESCRIPTION, &mut defaults.description),
            (DURATION, &mut defaults.duration),
            (SIZE, &mut defaults.size),
        ] {
            if flags & flag != 0 {
                *field = tfhd.u32()?;
            }
        }
        Ok(TrackFragmentHeader {
            track_id,
            base,
            defaults,
            empty_duration: flags & DURATION_IS_EMPTY != 0,
        })
    }

    fn begin(&mut self, header: &TrackFragmentHeader) -> Result<(), Mp4Error> {
        if !self.runs.is_empty() && header.defaults.description != self.description {
            return Err(Mp4Error::Unsupported {
                what: "a fragment with two sample descriptions",
            });
        }
        self.description = header.defaults.description;
        if header.empty_duration {
            self.time = self.time.saturating_add(header.defaults.duration.into());
        }
        Ok(())
    }

    /// TrackFragmentBaseMediaDecodeTimeBox (§8.8.12).
    fn decode_time(&mut self, mut tfdt: Bytes<'_>) -> Result<(), Mp4Error> {
        let (version, _) = tfdt.full_box()?;
        let time = tfdt.u32_or_u64(version)?;
        if i64::try_from(time).is_err() {
            return Err(tfdt.fail("a time beyond 63 bits"));
        }
        self.time = time;
        Ok(())
    }

    fn push(&mut self, mut run: TrackRun, entries: &[u8]) -> Result<(), Mp4Error> {
        let trun = |why| Mp4Error::malformed(FourCode(*b"trun"), why);
        run.time = self.time;
        let (duration, _) = run
            .sums(entries)
            .ok_or_else(|| trun("longer than time itself"))?;
        self.time = self
            .time
            .checked_add(duration)
            .filter(|time| i64::try_from(*time).is_ok())
            .ok_or_else(|| trun("longer than time itself"))?;
        self.start.get_or_insert(run.time);
        if run.count > 0 {
            let later = run.composition(entries);
            self.composition.get_or_insert(later.into());
            let first = self.entries.len();
            memory::extend(&mut self.entries, entries)?;
            run.entries = first..self.entries.len();
            memory::push(&mut self.runs, run)?;
        }
        Ok(())
    }
}

/// A track run (§8.8.8), whose time is not known yet, and its entries.
fn track_run<'a>(
    mut trun: Bytes<'a>,
    header: &TrackFragmentHeader,
    next: u64,
) -> Result<(TrackRun, &'a [u8]), Mp4Error> {
    const DATA_OFFSET: u32 = 0x1;
    const FIRST_SAMPLE_FLAGS: u32 = 0x4;
    let (_, flags) = trun.full_box()?;
    let count = trun.u32()?;
    let mut offset = next;
    if flags & DATA_OFFSET != 0 {
        let relative = trun.i32()?;
        offset = header
            .base
            .checked_add_signed(relative.into())
            .ok_or_else(|| trun.fail("data outside the file"))?;
    }
    if flags & FIRST_SAMPLE_FLAGS != 0 {
        trun.skip(4)?;
    }
    let layout = EntryLayout { flags };
    let entries = (count as usize)
        .checked_mul(layout.len())
        .and_then(|len| trun.rest().get(..len))
        .ok_or_else(|| trun.fail("more entries than bytes"))?;
    let mut run = TrackRun {
        offset,
        len: 0,
        time: 0,
        count,
        layout,
        entries: 0..0,
        defaults: header.defaults,
    };
    let overflow = || trun.fail("its samples end beyond any file");
    run.len = run.sums(entries).ok_or_else(overflow)?.1;
    offset
        .checked_add(run.len)
        .filter(|end| i64::try_from(*end).is_ok())
        .ok_or_else(overflow)?;
    Ok((run, entries))
}
