//! Bare sequences of self-describing frames: MPEG audio and ADTS. Found by their headers, indexed as they are passed.

use super::frame_index::{FrameIndex, Ground, Place};
use super::ticks;
use crate::damage::Damage;
use crate::demux::{Arrival, Demux, Packet, note};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{Notice, SeekMode, TrackMetadata, limits};

/// So many bytes are read through rather than guessed about: they come with one request, and their frames are counted.
const NEAR: u64 = 64 * 1024;

/// What a frame's header says of the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameHead {
    /// Bytes of the frame, header included.
    pub(crate) bytes: usize,
    /// PCM frames it decodes to.
    pub(crate) frames: u32,
    /// What must be the same in all frames of a stream.
    pub(crate) key: u32,
    /// Bits per second.
    pub(crate) bit_rate: u32,
    pub(crate) sample_rate: u32,
    /// Where the decoder's data begin in the frame.
    pub(crate) data_at: usize,
}

/// A kind of frame.
pub(crate) trait Syntax: Send + 'static {
    /// Bytes of a header.
    const HEAD: usize;

    /// Reads a header; `None` where there is none.
    fn parse(head: &[u8]) -> Option<FrameHead>;

    /// How many frames before a position the decoder must be given.
    fn settle(head: &[u8]) -> u64;

    /// Whether a frame at the beginning of a file is no sound, but says something of the file.
    fn is_description(_frame: &[u8]) -> bool {
        false
    }
}

/// The offset of the first frame in a window, proven by the frames that follow it. `at_end` says that nothing follows
/// the window.
pub(crate) fn find<S: Syntax>(window: &[u8], at_end: bool) -> Option<usize> {
    find_run::<S>(window, at_end, 3)
}

/// The same where something says that there are such frames: if it must be, two of them will do.
pub(crate) fn find_claimed<S: Syntax>(window: &[u8], at_end: bool) -> Option<usize> {
    find::<S>(window, at_end).or_else(|| find_run::<S>(window, at_end, 2))
}

fn find_run<S: Syntax>(window: &[u8], at_end: bool, enough: usize) -> Option<usize> {
    let marks = window.iter().enumerate().filter(|(_, byte)| **byte == 0xff);
    marks
        .map(|(at, _)| at)
        .find(|at| proven::<S>(window, *at, at_end, enough))
}

fn proven<S: Syntax>(window: &[u8], first: usize, at_end: bool, enough: usize) -> bool {
    let Some(head) = S::parse(&window[first..]) else {
        return false;
    };
    let mut at = first;
    for seen in 0..enough {
        match window.get(at..).filter(|rest| rest.len() >= S::HEAD) {
            None => return at_end && (seen + 1 >= enough || first == 0),
            Some(rest) => match S::parse(rest) {
                Some(next) if next.key == head.key => at += next.bytes,
                // A tag may follow the only frames there are.
                _ => return seen + 1 >= enough && is_tag(rest),
            },
        }
    }
    true
}

fn is_tag(rest: &[u8]) -> bool {
    [&b"TAG"[..], b"APETAGEX", b"LYRICSBEGIN", b"ID3"]
        .iter()
        .any(|mark| rest.starts_with(mark))
}

/// How far padding moves a frame of a constant rate: two slots of four bytes (ISO/IEC 11172-3 §2.4.3.1).
const PADDING: u64 = 8;

/// How seconds map to bytes where no index reaches.
#[derive(Clone, Debug)]
pub(crate) enum Rate {
    /// Every frame has the bit rate of the first.
    Constant,
    /// Percent of the duration to 256ths of the bytes, as in a Xing header.
    Table { toc: Vec<u64>, frames: u64 },
    /// Only the mean is known: bytes per PCM frame.
    Mean(f64),
}

/// What a stream promised about its length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Promise {
    /// PCM frames.
    pub(crate) frames: Option<u64>,
    /// The offset behind the last frame.
    pub(crate) end: Option<u64>,
}

/// The frames of a stream.
pub(crate) struct Frames<S> {
    input: Input,
    /// The offset and the header of the first frame.
    first: u64,
    head: FrameHead,
    settle: u64,
    rate: Rate,
    promise: Promise,
    /// The next frame: its place in bytes and in PCM frames, and whether the latter is certain.
    offset: u64,
    frame: u64,
    exact: bool,
    index: FrameIndex,
    /// All frames passed so far had the bit rate of the first.
    constant: bool,
    /// A tag was passed that stands at the beginning of files.
    behind_tag: bool,
    /// The time of frame 0 by the tags around segments, if they state any.
    zero: Option<i64>,
    /// So many of the frames before the next one are a guess: something else lay there.
    guessed: u64,
    /// Where a part ended last that had something else behind its last whole frame.
    torn: u64,
    notices: Vec<Notice>,
    syntax: std::marker::PhantomData<S>,
}

impl<S: Syntax> Frames<S> {
    /// Reads frames from `first`, where one has been found.
    pub(crate) fn new(mut input: Input, first: u64, rate: Rate, promise: Promise) -> Result<Self> {
        input.seek(first);
        let bytes = input.peek(S::HEAD)?;
        let head = S::parse(bytes).ok_or_else(|| Fault::corrupt("no frame where one was found"))?;
        let settle = S::settle(bytes);
        let ground = Ground {
            first,
            key: head.key,
            unit: head.frames,
        };
        let kept = input.load_index();
        let index = kept.and_then(|kept| FrameIndex::read(ground, &kept, input.len()));
        Ok(Self {
            input,
            first,
            head,
            settle,
            rate,
            promise,
            offset: first,
            frame: 0,
            exact: true,
            index: index.unwrap_or_else(|| FrameIndex::new(ground)),
            constant: true,
            behind_tag: false,
            zero: None,
            guessed: 0,
            torn: 0,
            notices: Vec::new(),
            syntax: std::marker::PhantomData,
        })
    }

    /// Finds the next frame from `offset` on; `None` at the end. Skips tags and, within limits, junk.
    fn locate(&mut self) -> Result<Option<FrameHead>> {
        loop {
            self.input.seek(self.offset);
            let head = self.input.peek(S::HEAD)?;
            if head.is_empty() {
                return self.ended().map(|()| None);
            }
            match S::parse(head) {
                Some(head) if self.is_description(&head)? => {
                    self.offset += head.bytes as u64;
                    continue;
                }
                Some(head) if head.key == self.head.key => return Ok(Some(head)),
                Some(head) => self.refuse_change(&head)?,
                None => {}
            }
            if !self.skip_tag()? && !self.skip_junk()? {
                return self.ended().map(|()| None);
            }
        }
    }

    /// Whether this is the front of another file that was put behind the first one, as segments are.
    fn is_description(&mut self, head: &FrameHead) -> Result<bool> {
        if !std::mem::take(&mut self.behind_tag) {
            return Ok(false);
        }
        let frame = self.input.peek(head.bytes);
        // Until it is known it is asked for again.
        self.behind_tag = frame.is_err();
        Ok(S::is_description(frame?))
    }

    /// Whether the rest of the frame at hand is missing, because the next part of the bytes begins with something else.
    fn is_cut(&mut self, head: &FrameHead) -> Result<bool> {
        let end = self.input.part_end(self.offset);
        if end >= self.offset.saturating_add(head.bytes as u64) {
            return Ok(false);
        }
        self.input.seek(end);
        let next = self.input.peek(S::HEAD)?;
        let is_frame = S::parse(next).is_some_and(|next| next.key == self.head.key);
        Ok(is_frame || is_tag(next))
    }

    /// Other frames than the stream began with, several in a row, are a change; one alone is damage.
    fn refuse_change(&mut self, head: &FrameHead) -> Result<()> {
        let window = self.input.peek(head.bytes * 3 + S::HEAD)?;
        let second = window.get(head.bytes..).and_then(S::parse);
        let third = second.and_then(|second| S::parse(window.get(head.bytes + second.bytes..)?));
        match (second, third) {
            (Some(second), Some(third)) if second.key == head.key && third.key == head.key => {
                Err(Fault::unsupported(format!(
                    "a change of format within the run, to {} Hz",
                    head.sample_rate
                )))
            }
            _ => Ok(()),
        }
    }

    fn skip_tag(&mut self) -> Result<bool> {
        let head = self.input.peek(32)?;
        let long = |at: usize| {
            head.get(at..at + 4).map_or(0, |b| {
                u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            })
        };
        let bytes = if head.starts_with(b"TAG") {
            128
        } else if head.starts_with(b"APETAGEX") {
            32 + long(12)
        } else if head.starts_with(b"ID3") && head.len() >= 10 {
            let bytes = super::tags::id3_bytes(head);
            self.read_time(bytes)?;
            self.behind_tag = true;
            bytes
        } else {
            return Ok(false);
        };
        self.offset += bytes;
        Ok(true)
    }

    /// When what lies behind a tag plays, if segments state that: what is missing before it, or came already.
    fn read_time(&mut self, bytes: u64) -> Result<()> {
        let Some(zero) = self.zero else { return Ok(()) };
        self.input.seek(self.offset);
        let said = super::tags::id3v2(&mut self.input, bytes, &mut TrackMetadata::default())?;
        let Some(time) = said.transport_time else {
            return Ok(());
        };
        let (rate, length) = (self.head.sample_rate, self.head.frames);
        let counted = self.frame - self.guessed;
        let ahead = ticks::ahead(time, zero.wrapping_add(ticks::of_frames(counted, rate)));
        let packets = ticks::packets(ahead, rate, length);
        let frames = packets.unsigned_abs() * u64::from(length);
        let seconds = |count: u64| count as i64 * ticks::CLOCK;
        if ahead > seconds(Damage::LONGEST_GAP) || ahead < -seconds(Damage::MOST_TWICE) {
            // Another clock: it goes on from here.
            let here = ticks::of_frames(self.frame, rate);
            self.zero = Some((time as i64).wrapping_sub(here));
        } else if packets <= -ticks::TOLERANCE {
            self.frame = counted.saturating_sub(frames);
        } else if packets >= ticks::TOLERANCE || self.guessed > 0 {
            self.frame = counted + if packets > 0 { frames } else { 0 };
        }
        self.guessed = 0;
        Ok(())
    }

    /// Goes to the next proven frame, or to the next part of the bytes; whether there is one.
    fn skip_junk(&mut self) -> Result<bool> {
        self.input.peek_in_part(limits::SNIFF_BYTES + 1)?;
        let left = self.input.part_end(self.offset) - self.offset;
        let left = usize::try_from(left).ok();
        let left = left.filter(|left| *left <= limits::SNIFF_BYTES);
        self.input.meet_junk(self.offset);
        let window = self.input.peek(left.unwrap_or(limits::SNIFF_BYTES + 1))?;
        let at_end = window.len() <= limits::SNIFF_BYTES;
        let lyrics = window.starts_with(b"LYRICSBEGIN");
        let found = find::<S>(&window[1..], at_end).map(|at| at + 1);
        let Some(junk) = found.or(left) else {
            if at_end {
                return Ok(false);
            }
            self.input.parts().blame(self.offset);
            return Err(Fault::corrupt("more than 64 KiB are not audio"));
        };
        note(
            &mut self.notices,
            Notice::JunkSkipped {
                offset: self.offset,
                bytes: junk as u64,
            },
        );
        if !lyrics {
            // The frames that lay there are missed, not moved together.
            let mean = self.mean_bytes().max(1.0);
            let lost = (junk as f64 / mean).round().max(1.0) as u64;
            let lost = lost * u64::from(self.head.frames);
            self.frame += lost;
            self.guessed += lost;
        }
        self.offset += junk as u64;
        if found.is_none() {
            self.torn = self.offset;
        }
        Ok(true)
    }

    fn mean_bytes(&self) -> f64 {
        match self.frame / u64::from(self.head.frames) {
            count if count >= 8 => (self.offset - self.first) as f64 / count as f64,
            _ => self.head.bytes as f64,
        }
    }

    fn ended(&mut self) -> Result<()> {
        self.input.seek(self.offset);
        let torn = self.torn == self.offset || !self.input.peek(1)?.is_empty();
        self.input.finish(torn)?;
        let Some(frames) = self.promise.frames else {
            return Ok(());
        };
        let missing = frames.saturating_sub(self.frame);
        let cut = match (self.promise.end, self.input.len()) {
            (Some(end), Some(len)) => missing > 0 && len < end,
            // Writers disagree on whether the header's own frame counts.
            _ => missing > u64::from(self.head.frames),
        };
        if cut && self.exact {
            return Err(Fault::Truncated(Some(frames)));
        }
        Ok(())
    }

    fn pass(&mut self, head: &FrameHead) {
        self.constant &= head.bit_rate == self.head.bit_rate;
        if self.exact && !self.input.is_part() {
            self.index.pass(self.frame, self.offset);
            if self.index.has_news() {
                self.keep_index();
            }
        }
        self.offset += head.bytes as u64;
        self.frame = self.frame.saturating_add(u64::from(head.frames));
    }

    /// Leaves what was found out to whoever reads these bytes next. A file of this machine is walked as fast as that is read.
    fn keep_index(&mut self) {
        if self.input.keeps_index()
            && let Some(index) = self.index.write()
        {
            self.input.keep_index(index);
        }
    }

    /// The nearest place before a frame from which to count: one that is known, or where the stream stands.
    fn nearest(&self, target: u64) -> Place {
        let known = self.index.before(target).unwrap_or((0, self.first));
        let here = (self.frame, self.offset);
        let is_nearer = self.exact && (known.0..=target).contains(&here.0);
        if is_nearer { here } else { known }
    }

    /// Goes to a place; `false` if no frame begins there after all.
    fn stand_on(&mut self, place: Place) -> Result<bool> {
        self.input.seek(place.1);
        let proof = self.head.bytes * 2 + S::HEAD;
        let window = self.input.peek(proof)?;
        let head = S::parse(window).filter(|head| head.key == self.head.key);
        let next = head.and_then(|head| window.get(head.bytes..));
        // Another frame behind it, or the end, or one that is longer than what was looked at.
        let is_proven = head.is_some_and(|_| {
            next.is_none_or(|next| {
                next.len() < S::HEAD
                    || S::parse(next).is_some_and(|next| next.key == self.head.key)
                    || is_tag(next)
            })
        });
        if is_proven || place.1 == self.first {
            (self.frame, self.offset) = place;
        }
        Ok(is_proven || place.1 == self.first)
    }

    /// Goes to the frame that holds `target` by passing headers from the nearest known place.
    fn walk(&mut self, target: u64) -> Result<Arrival> {
        let place = self.nearest(target);
        if place != (self.frame, self.offset) && !self.stand_on(place)? {
            // What was kept is about something else.
            self.index.forget();
            self.stand_on((0, self.first))?;
        }
        self.exact = true;
        while let Some(head) = self.locate()? {
            self.input.progress();
            if self.frame + u64::from(head.frames) > target {
                break;
            }
            self.pass(&head);
        }
        Ok(Arrival {
            frame: self.frame,
            exact: true,
        })
    }

    /// Whether a frame is so near a known place that walking there is cheap.
    fn is_near(&self, target: u64) -> bool {
        let (frame, _) = self.nearest(target);
        (target - frame) as f64 * self.bytes_per_frame() <= NEAR as f64
    }

    /// Bytes for each frame of PCM, from what was passed, or else from the first frames.
    fn bytes_per_frame(&self) -> f64 {
        match (self.index.last(), &self.rate) {
            // What was passed tells more than the first frames.
            (Some((frame, offset)), _) if frame > 0 => (offset - self.first) as f64 / frame as f64,
            (_, Rate::Mean(mean)) => *mean,
            (_, Rate::Table { toc, frames }) => {
                toc.last().copied().unwrap_or(0) as f64 / (*frames).max(1) as f64
            }
            (_, Rate::Constant) => {
                f64::from(self.head.bit_rate) / 8.0 / f64::from(self.head.sample_rate)
            }
        }
    }

    /// Goes to where a constant bit rate puts a frame; `false` where no frame begins there.
    ///
    /// An encoder that keeps the rate pads frames so that the n-th begins at n times the exact frame size, rounded: a
    /// frame found anywhere else has another number, or something foreign lies before it.
    fn leap(&mut self, frame: u64) -> Result<bool> {
        let number = frame / u64::from(self.head.frames);
        let samples = u128::from(number) * u128::from(self.head.frames);
        let bits = samples.saturating_mul(u128::from(self.head.bit_rate));
        let place = bits / 8 / u128::from(self.head.sample_rate);
        let Some(centre) = u64::try_from(place)
            .ok()
            .and_then(|at| self.first.checked_add(at))
        else {
            return Ok(false);
        };
        if self.input.len().is_some_and(|len| centre >= len) {
            return Ok(false);
        }
        let from = centre.saturating_sub(PADDING).max(self.first);
        self.input.seek(from);
        let window = self
            .input
            .peek(self.head.bytes * 2 + 4 * PADDING as usize)?;
        let fits = |at: usize| -> Option<FrameHead> {
            let head = window.get(at..).and_then(S::parse)?;
            (head.key == self.head.key && head.bit_rate == self.head.bit_rate).then_some(head)
        };
        let follows = |at: usize, head: FrameHead| {
            at + head.bytes + S::HEAD > window.len() || fits(at + head.bytes).is_some()
        };
        let near = 0..=(centre - from + PADDING) as usize;
        let found = near
            .filter(|at| fits(*at).is_some_and(|head| follows(*at, head)))
            .min_by_key(|at| (from + *at as u64).abs_diff(centre));
        let Some(at) = found else {
            return Ok(false);
        };
        self.offset = from + at as u64;
        self.frame = number * u64::from(self.head.frames);
        Ok(true)
    }

    /// Goes near a frame by table or mean.
    fn guess(&mut self, frame: u64) -> Result<Arrival> {
        let bytes = match &self.rate {
            Rate::Table { toc, frames } => {
                let place =
                    (frame as f64 / *frames as f64).clamp(0.0, 1.0) * (toc.len() - 1) as f64;
                let at = (place as usize).min(toc.len() - 2);
                let (low, high) = (toc[at] as f64, toc[at + 1] as f64);
                low + (high - low) * (place - at as f64)
            }
            Rate::Mean(_) | Rate::Constant => frame as f64 * self.bytes_per_frame(),
        };
        let mut offset = self.first.saturating_add(bytes.max(0.0) as u64);
        let mut most = u64::MAX >> 8;
        if let Some(len) = self.input.len() {
            offset = offset.min(len);
            // Behind the end there is nothing, wherever that is.
            let rest = len.saturating_sub(self.first) as f64;
            most = (rest / self.bytes_per_frame().max(1e-3)) as u64 + u64::from(self.head.frames);
        }
        let frame = frame.min(most);
        self.input.seek(offset);
        let window = self.input.peek(16 * 1024)?;
        let at = find::<S>(window, window.len() < 16 * 1024);
        self.offset = offset.saturating_add(at.unwrap_or(0) as u64);
        self.frame = frame / u64::from(self.head.frames) * u64::from(self.head.frames);
        self.exact = false;
        Ok(Arrival {
            frame: self.frame,
            exact: false,
        })
    }
}

impl<S: Syntax> Demux for Frames<S> {
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        let head = loop {
            let Some(head) = self.locate()? else {
                if self.index.is_new() {
                    self.keep_index();
                }
                return Ok(None);
            };
            self.input.hear(self.offset)?;
            self.input.seek(self.offset);
            // A frame that is cut off stays where it is: the error repeats.
            if self.input.peek(head.bytes)?.len() < head.bytes {
                if self.input.is_part() {
                    // It was cut there, and nobody said that it is the last.
                    self.input.finish(true)?;
                    return Ok(None);
                }
                return Err(Fault::Truncated(self.promise.frames));
            }
            if self.is_cut(&head)? {
                self.guessed += u64::from(head.frames);
                self.pass(&head);
                self.offset = self.input.part_end(self.offset - head.bytes as u64);
            } else {
                break head;
            }
        };
        let frame = self.frame;
        self.input.seek(self.offset);
        self.pass(&head);
        self.input.play(frame..self.frame, head.sample_rate);
        let data = self.input.take(head.bytes)?;
        Ok(Some(Packet::new(
            &data[head.data_at..],
            Some(frame),
            head.frames,
        )))
    }

    fn seek(&mut self, target: u64, mode: SeekMode) -> Result<Arrival> {
        let early = target.saturating_sub(self.settle * u64::from(self.head.frames));
        let far = self.input.is_remote() && self.input.is_seekable() && !self.is_near(early);
        if mode == SeekMode::Exact || !far {
            return self.walk(early);
        }
        if self.constant && matches!(self.rate, Rate::Constant) && self.leap(early)? {
            self.exact = true;
            return Ok(Arrival {
                frame: self.frame,
                exact: true,
            });
        }
        self.guess(early)
    }

    fn begins_at(&mut self, ticks: u64) {
        self.zero = Some(ticks as i64);
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

/// What was found out since it was last kept is not lost.
impl<S> Drop for Frames<S> {
    fn drop(&mut self) {
        if self.index.is_new()
            && self.input.keeps_index()
            && let Some(index) = self.index.write()
        {
            self.input.keep_index(index);
        }
    }
}
