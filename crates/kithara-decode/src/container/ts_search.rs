//! The place in a transport stream from which a frame far away is read on to, found by stated times.
//!
//! Times rise with offsets where one clock goes on from the first byte to the last. Streams may be joined from others with clocks
//! of their own, and then times say nothing of places: what gives that away ends the belief in all that was found by times, and
//! frames are counted from a place that was passed.

use super::frames::Syntax;
use super::ticks;
use super::ts::Ts;
use crate::demux::Demux;
use crate::fault::{Fault, Result};
use crate::{limits, memory};

/// Jumps of a search over HTTP.
const MAX_JUMPS: usize = 5;
/// Bytes in which a stated time is looked for, first and if there was none.
const REACH: [u64; 2] = [256 * 1024, 2 * 1024 * 1024];
/// A stated time may be off from where frames lie by this part of a frame.
const OFF: i64 = 8;

/// How far the bytes of a frame may differ between what was passed and the whole before the stream is looked at more closely.
const STEADY: f64 = 0.03;
/// How many halves of halves are looked at then over HTTP.
const HALVES: u32 = 6;
/// So many times the bytes of a frame in one stretch may take those of another.
const UNEVEN: f64 = 2.0;

/// A place where a frame begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) frame: u64,
    pub(super) offset: u64,
    /// The stated time of frame 0 by the clock that is in force.
    pub(super) zero: Option<i64>,
    /// It was come to by counting frames, and not by times.
    counted: bool,
}

/// What is known of places, in their order.
pub(super) struct Places {
    known: Vec<Place>,
    /// Whether times tell places; `None` before that was looked at.
    trust: Option<bool>,
    /// What is passed now is counted from the first frame on.
    counting: bool,
}

impl Places {
    /// The first place.
    pub(super) fn begin(offset: Option<u64>) -> Self {
        let first = offset.map(|offset| Place {
            frame: 0,
            offset,
            zero: None,
            counted: true,
        });
        Self {
            known: first.into_iter().collect(),
            trust: None,
            counting: true,
        }
    }

    /// Notes a place that is passed, if there is none within `stride` frames before it.
    pub(super) fn pass(&mut self, frame: u64, offset: u64, zero: Option<i64>, stride: u64) {
        let counted = self.counting;
        let before = self.before(frame);
        if before.is_none_or(|before| frame >= before.frame + stride) {
            self.insert(Place {
                frame,
                offset,
                zero,
                counted,
            });
        }
    }

    /// There is more than one clock.
    pub(super) fn distrust(&mut self) {
        self.trust = Some(false);
        self.known.retain(|place| place.counted);
    }

    fn insert(&mut self, place: Place) {
        let at = self
            .known
            .partition_point(|known| known.frame < place.frame);
        // Without memory what lies behind is walked to.
        if memory::push(&mut self.known, place).is_ok() {
            self.known[at..].rotate_right(1);
        }
    }

    fn before(&self, frame: u64) -> Option<Place> {
        let at = self.known.partition_point(|known| known.frame <= frame);
        self.known.get(at.checked_sub(1)?).copied()
    }

    fn after(&self, frame: u64) -> Option<Place> {
        let at = self.known.partition_point(|known| known.frame <= frame);
        self.known.get(at).copied()
    }
}

/// Bytes per frame between two places.
fn rate(from: Place, to: Place) -> f64 {
    to.offset.saturating_sub(from.offset) as f64 / to.frame.saturating_sub(from.frame).max(1) as f64
}

impl<S: Syntax> Ts<S> {
    /// Where to go to read on to a frame; `None` if that is nearest from where the stream stands.
    pub(super) fn place_before(&mut self, early: u64) -> Result<Option<Place>> {
        let known = self
            .places
            .before(early)
            .or(self.places.known.first().copied());
        let Some(known) = known else {
            return Ok(None);
        };
        let near = 2 * u64::from(self.head.sample_rate);
        let is_certain = self.places.counting || self.places.trust == Some(true);
        let here = is_certain && (known.frame..=early).contains(&self.frame);
        let nearest = if here { self.frame } else { known.frame };
        let far = early.saturating_sub(nearest) > near;
        if !far || !self.may_search() {
            return Ok((!here).then_some(known));
        }
        // Wherever a search ends or fails, the stream does not stand where it stood.
        self.frame = u64::MAX;
        if !self.aside(|ts| ts.search(early, near))? {
            self.places.distrust();
        }
        Ok(self.places.before(early).or(Some(known)))
    }

    /// Goes to a place.
    pub(super) fn stand_on(&mut self, place: Place) {
        self.reader.restart(place.offset);
        (self.frame, self.zero) = (place.frame, place.zero);
        self.lost = false;
        self.places.counting = place.counted;
    }

    /// Frames of the whole by the last stated time, where a look at the end costs nothing. The stream stands at its beginning then.
    pub(super) fn measure(&mut self) -> Option<u64> {
        let first = self.places.known.first().copied()?;
        if self.reader.input.is_remote() || !self.may_search() {
            return None;
        }
        // What fails here fails again where it is told.
        let counted = self.aside(Self::count).ok().flatten();
        self.stand_on(first);
        counted
    }

    fn count(&mut self) -> Result<Option<u64>> {
        let trusted = self.survey()?;
        self.places.trust = Some(trusted);
        let last = self.places.known.last().copied();
        let Some(last) = last.filter(|_| trusted) else {
            self.places.distrust();
            return Ok(None);
        };
        self.stand_on(last);
        loop {
            match self.locate() {
                Ok(Some(head)) => {
                    self.pass(&head);
                    self.reader.skip(head.bytes);
                }
                Ok(None) | Err(Fault::Truncated(_)) => return Ok(Some(self.frame)),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// What is noticed away from where the stream is read is noticed again where it is.
    fn aside<T>(&mut self, look: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let noticed = self.take_notices();
        let found = look(self);
        self.take_notices();
        self.notices = noticed;
        found
    }

    fn may_search(&self) -> bool {
        let input = &self.reader.input;
        self.places.trust != Some(false)
            && !input.is_part()
            && input.is_seekable()
            && input.len().is_some()
    }

    /// Finds places shortly before a frame; whether times told them.
    fn search(&mut self, early: u64, near: u64) -> Result<bool> {
        if self.places.trust.is_none() && !self.survey()? {
            return Ok(false);
        }
        self.places.trust = Some(true);
        let jumps = if self.reader.input.is_remote() {
            MAX_JUMPS
        } else {
            64
        };
        // Where no frame begins between that and the place behind it.
        let mut ceiling = u64::MAX;
        for _ in 0..jumps {
            let (Some(low), Some(high)) = (self.places.before(early), self.places.after(early))
            else {
                break;
            };
            let end = high.offset.min(ceiling);
            let between = end.saturating_sub(low.offset);
            if early - low.frame <= near || between <= limits::SNIFF_BYTES as u64 / 2 {
                break;
            }
            let wanted = (early - near / 2 - low.frame) as f64 * rate(low, high);
            let guess = low.offset + (wanted as u64).clamp(1, between - 1);
            match self.probe(guess, low)? {
                Some(found) if found.offset >= high.offset => ceiling = guess,
                Some(found) if self.fits(found, low, high) => self.places.insert(found),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn fits(&self, found: Place, low: Place, high: Place) -> bool {
        low.frame < found.frame
            && found.frame < high.frame
            && low.offset < found.offset
            && high.zero == found.zero
    }

    /// Looks whether one clock goes on through all of the stream: at the end, and at each half of what lies before it. Where
    /// a stream with an earlier clock was joined on, the last half before that is later than the first behind it; where the
    /// clock jumps, more time lies between two of them than their bytes are worth.
    fn survey(&mut self) -> Result<bool> {
        let Some(first) = self.first_place()? else {
            return Ok(false);
        };
        let length = self.reader.len().unwrap_or(0).saturating_sub(first.offset);
        let Some(last) = self.last_place(first, length)? else {
            return Ok(false);
        };
        let halves = match self.reader.input.is_remote() {
            true if self.is_steady(rate(first, last)) => 0,
            true => HALVES,
            false => u64::BITS - 1,
        };
        let mut seen = vec![last];
        for half in 1..=halves {
            let offset = first.offset + (length >> half);
            if length >> half < limits::SNIFF_BYTES as u64 {
                break;
            }
            let next = seen[seen.len() - 1];
            match self.probe(offset, first)? {
                Some(found) if found.offset >= next.offset => {}
                Some(found) if found.frame < next.frame && found.frame > 0 => seen.push(found),
                _ => return Ok(false),
            }
        }
        let rates = seen.windows(2).map(|pair| rate(pair[1], pair[0]));
        let rates = rates.chain([rate(first, seen[seen.len() - 1])]);
        let (least, most) = rates.fold((f64::MAX, 0.0_f64), |(least, most), rate| {
            (least.min(rate), most.max(rate))
        });
        if most > least * UNEVEN {
            return Ok(false);
        }
        for place in seen {
            self.places.insert(place);
        }
        Ok(true)
    }

    /// Whether what was passed takes as many bytes for a frame.
    fn is_steady(&self, mean: f64) -> bool {
        let mut counted = self.places.known.iter().filter(|place| place.counted);
        let passed = counted.next().zip(counted.next_back());
        let enough = 10 * u64::from(self.head.sample_rate);
        let passed = passed.filter(|(_, last)| last.frame >= enough);
        let passed = passed.map(|(first, last)| rate(*first, *last));
        let is_close = |front: f64| (mean / front - 1.0).abs() < STEADY;
        passed.or(self.mean).is_some_and(is_close)
    }

    /// The first place, with what its clock says.
    fn first_place(&mut self) -> Result<Option<Place>> {
        let Some(first) = self.places.known.first().copied() else {
            return Ok(None);
        };
        if first.zero.is_some() {
            return Ok(Some(first));
        }
        self.stand_on(first);
        self.locate()?;
        let zero = self.zero;
        self.frame = u64::MAX;
        if let Some(first) = self.places.known.first_mut() {
            first.zero = zero;
        }
        Ok(zero.map(|_| Place { zero, ..first }))
    }

    /// A place shortly before the end.
    fn last_place(&mut self, first: Place, length: u64) -> Result<Option<Place>> {
        for reach in REACH {
            let offset = first.offset + length - reach.min(length / 2);
            if let Some(found) = self.probe(offset, first)?
                && found.frame > 0
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first place not before an offset where a frame begins with a stated time, by the clock of `from`; `None` if there is
    /// none, or if the time is not that of a frame.
    fn probe(&mut self, offset: u64, from: Place) -> Result<Option<Place>> {
        match self.look(offset, from) {
            // It is told where it is read, if it is.
            Err(Fault::Corrupt(_) | Fault::Truncated(_) | Fault::Unsupported(_)) => Ok(None),
            other => other,
        }
    }

    fn look(&mut self, offset: u64, from: Place) -> Result<Option<Place>> {
        let (Some(zero), Some(first)) = (from.zero, self.places.known.first().copied()) else {
            return Ok(None);
        };
        let offset = self.reader.grid(first.offset, offset);
        self.reader.restart(offset);
        loop {
            let Some(mark) = self.reader.next_mark(offset + REACH[1])? else {
                return Ok(None);
            };
            let Some(time) = mark.time else { continue };
            if !self.begins_frame()? {
                continue;
            }
            let (rate, length) = (self.head.sample_rate, self.head.frames);
            let expected = zero.wrapping_add(ticks::of_frames(from.frame, rate));
            let ahead = ticks::ahead(time, expected);
            let count = ticks::packets(ahead, rate, length);
            let Ok(count) = u64::try_from(count) else {
                return Ok(None);
            };
            let frames = count * u64::from(length);
            let off = ahead - ticks::of_frames(frames, rate);
            if off.abs() > ticks::of_frames(length.into(), rate) / OFF {
                return Ok(None);
            }
            return Ok(Some(Place {
                frame: from.frame + frames,
                offset: mark.offset,
                zero: Some(zero),
                counted: false,
            }));
        }
    }

    /// Whether a frame of the stream begins at the reader's position, as the header behind it proves.
    fn begins_frame(&mut self) -> Result<bool> {
        let mut at = 0;
        for _ in 0..2 {
            while self.reader.bytes().len() < at + S::HEAD {
                if !self.reader.fill()? {
                    return Ok(at > 0);
                }
            }
            match S::parse(&self.reader.bytes()[at..]) {
                Some(head) if head.key == self.head.key => at += head.bytes,
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}
