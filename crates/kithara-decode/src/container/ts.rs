//! MPEG-2 transport streams (ISO/IEC 13818-1) of AAC with ADTS headers and of MPEG audio.

use std::time::Duration;

use kithara_stream::{AudioCodec, ContainerFormat};
use symphonia::core::codecs::audio::AudioCodecParameters;

use super::adts::{self, AdtsSyntax};
use super::frames::{self, FrameHead, Syntax};
use super::mpeg;
use super::mpeg_header::{MpegHeader, MpegSyntax};
use super::ticks::{self, CLOCK, TOLERANCE};
use super::ts_packet::StreamKind;
use super::ts_reader::{Mark, TsReader};
use super::ts_search::Places;
use crate::damage::Damage;
use crate::demux::{Arrival, Demux, Packet, Track, note};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::stamp::TrackStamp;
use crate::{MediaDuration, Notice, SeekMode, TrackMetadata, limits};

/// Audio looked at for its first frames, and for how much of it goes into a second.
const LOOK: usize = 8 * 1024;
/// The same where the latter tells nothing.
const SHORT_LOOK: usize = 1024;

/// Opens a transport stream whose first packet is at the input's position.
pub(crate) fn open(input: Input) -> Result<(Track, Box<dyn Demux>)> {
    let length = input.len();
    let (mut reader, kind) = TsReader::open(input)?;
    match kind {
        StreamKind::Other(name) => Err(Fault::unsupported(name)),
        StreamKind::Adts => {
            let head = first_frame::<AdtsSyntax>(&mut reader)?;
            let bytes = reader.bytes().first_chunk();
            let bytes = bytes.ok_or_else(|| Fault::corrupt("no ADTS frame"))?;
            if head.frames != 1024 {
                let what = "ADTS with several raw data blocks in a frame";
                return Err(Fault::unsupported(what));
            }
            let params = adts::params(bytes, &head)?;
            let track = track(AudioCodec::AacLc, params, &reader, length);
            Ok(measured(track, Ts::<AdtsSyntax>::new(reader, head)))
        }
        StreamKind::Mpeg => {
            let head = first_frame::<MpegSyntax>(&mut reader)?;
            let header = MpegHeader::parse(reader.bytes());
            let header = header.ok_or_else(|| Fault::corrupt("no MPEG audio frame"))?;
            limits::spec(header.sample_rate, header.channels.into())?;
            let (codec, params) = (header.codec(), mpeg::params(&header));
            let track = track(codec, params, &reader, length);
            Ok(measured(track, Ts::<MpegSyntax>::new(reader, head)))
        }
    }
}

/// A track whose first frame is at the reader's position.
fn track(
    codec: AudioCodec,
    params: AudioCodecParameters,
    reader: &TsReader,
    length: Option<u64>,
) -> Track {
    let mut begun = reader.marks().filter(|mark| mark.at <= reader.pos());
    let time = begun.next_back().and_then(|mark| mark.time);

    Track {
        container: ContainerFormat::MpegTs,
        codec,
        params,
        frames: None,
        trim: None,
        duration: duration(reader, length),
        metadata: TrackMetadata::default(),
        stamp: time.map(TrackStamp::in_ticks),
        notices: Vec::new(),
    }
}

/// The track with how long it is by its last time, where that is at hand.
fn measured<S: Syntax>(mut track: Track, mut ts: Ts<S>) -> (Track, Box<dyn Demux>) {
    if let Some(frames) = ts.measure() {
        let rate = f64::from(ts.head.sample_rate);
        let time = Duration::try_from_secs_f64(frames as f64 / rate).ok();
        track.duration = time.map(MediaDuration::Estimate).or(track.duration);
    }
    if !ts.reader.input.is_remote() {
        // Where it stood. What fails here is told when it is read.
        let _ = first_frame::<S>(&mut ts.reader);
    }
    (track, Box::new(ts))
}

/// Goes to the first frame that others follow.
fn first_frame<S: Syntax>(reader: &mut TsReader) -> Result<FrameHead> {
    let mut wanted = if reader.len().is_some() {
        LOOK
    } else {
        SHORT_LOOK
    };
    loop {
        let mut more = true;
        while reader.bytes().len() < wanted && more {
            more = reader.fill()?;
        }
        if let Some(at) = frames::find::<S>(reader.bytes(), !more) {
            reader.skip(at);
            let head = S::parse(reader.bytes());
            return head.ok_or_else(|| Fault::corrupt("no frame where one was found"));
        }
        if !more && reader.bytes().is_empty() {
            return Err(Fault::Truncated(None));
        }
        if reader.is_part() && !more {
            return Err(Fault::WrongContent("MPEG-TS of something else".to_owned()));
        }
        if !more || wanted > limits::SNIFF_BYTES {
            return Err(Fault::unsupported("MPEG-TS whose audio is something else"));
        }
        wanted *= 2;
    }
}

/// How long the whole is, if all of it takes as many bytes as what was looked at.
fn duration(reader: &TsReader, length: Option<u64>) -> Option<MediaDuration> {
    let seconds = length? as f64 / bytes_per_second(reader)?;
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    Some(MediaDuration::Estimate(time))
}

/// Bytes per second in what was looked at.
fn bytes_per_second(reader: &TsReader) -> Option<f64> {
    let mut marks = reader.marks().filter(|mark| mark.time.is_some());
    let (first, last) = (marks.next()?, marks.next_back()?);
    let ticks = last.time?.checked_sub(first.time?)?;
    let bytes = last.offset.checked_sub(first.offset)?;
    let is_known = ticks > 0 && bytes > 0;
    is_known.then(|| bytes as f64 * CLOCK as f64 / ticks as f64)
}

/// The frames of a transport stream. They are counted; stated times tell how many are missing where some are, and where a
/// frame far away lies.
pub(super) struct Ts<S> {
    pub(super) reader: TsReader,
    pub(super) head: FrameHead,
    settle: u64,
    /// The place of the next frame.
    pub(super) frame: u64,
    /// The stated time of frame 0.
    pub(super) zero: Option<i64>,
    /// Bytes were lost since the last stated time.
    pub(super) lost: bool,
    /// Frames of another format in a row.
    strangers: u32,
    pub(super) places: Places,
    /// Bytes per frame, by the first stated times.
    pub(super) mean: Option<f64>,
    pub(super) notices: Vec<Notice>,
    syntax: std::marker::PhantomData<S>,
}

impl<S: Syntax> Ts<S> {
    fn new(reader: TsReader, head: FrameHead) -> Self {
        let start = reader.marks().next().map(|mark| mark.offset);
        let mean = bytes_per_second(&reader);
        let mean = mean.map(|bytes| bytes / f64::from(head.sample_rate));
        Self {
            settle: S::settle(reader.bytes()),
            reader,
            head,
            frame: 0,
            zero: None,
            lost: false,
            strangers: 0,
            places: Places::begin(start),
            mean,
            notices: Vec::new(),
            syntax: std::marker::PhantomData,
        }
    }

    /// Goes to the next frame and reads it as a whole; `None` at the end.
    pub(super) fn locate(&mut self) -> Result<Option<FrameHead>> {
        loop {
            let bytes = self.reader.bytes();
            if bytes.len() < S::HEAD {
                if !self.reader.fill()? {
                    return self.ended().map(|()| None);
                }
                continue;
            }
            match S::parse(bytes) {
                Some(head) if head.key == self.head.key => {
                    if self.drop_broken(head.bytes) {
                        continue;
                    }
                    if bytes_missing(&self.reader, head.bytes) {
                        if !self.reader.fill()? {
                            // What was cut out of a title may end in a frame whose rest is elsewhere.
                            return match self.reader.is_part() {
                                true => self.ended().map(|()| None),
                                false => Err(Fault::Truncated(None)),
                            };
                        }
                        continue;
                    }
                    self.strangers = 0;
                    self.reader.hear()?;
                    self.place();
                    let frames = self.frame..self.frame.saturating_add(head.frames.into());
                    self.reader.input.play(frames, head.sample_rate);
                    return Ok(Some(head));
                }
                Some(head) => self.meet_stranger(&head)?,
                None => {}
            }
            if !self.resync()? {
                return self.ended().map(|()| None);
            }
        }
    }

    /// A frame with a hole in it is none; whether it was one.
    fn drop_broken(&mut self, bytes: usize) -> bool {
        let pos = self.reader.pos();
        let hole = self.reader.gap().filter(|gap| *gap < pos + bytes as u64);
        let Some(gap) = hole else { return false };
        self.reader.skip((gap - pos) as usize);
        self.lost = true;
        true
    }

    /// One frame of another format is damage, several are a change.
    fn meet_stranger(&mut self, head: &FrameHead) -> Result<()> {
        self.strangers += 1;
        if self.strangers < 3 {
            return Ok(());
        }
        Err(Fault::unsupported(format!(
            "a change of format within the run, to {} Hz",
            head.sample_rate
        )))
    }

    /// Goes to the next proven frame, or to where bytes are missing; whether there is one.
    fn resync(&mut self) -> Result<bool> {
        let mut wanted = LOOK;
        loop {
            let mut more = true;
            while self.reader.bytes().len() < wanted && more {
                more = self.reader.fill()?;
            }
            let bytes = self.reader.bytes();
            let before_gap = self
                .reader
                .gap()
                .map(|gap| (gap - self.reader.pos()) as usize);
            let window = &bytes[..before_gap.unwrap_or(bytes.len())];
            let behind = window.get(1..).unwrap_or_default();
            let found = frames::find::<S>(behind, !more)
                .map(|at| at + 1)
                .or(before_gap);
            if let Some(junk) = found {
                let (offset, bytes) = (self.reader.pos(), junk as u64);
                note(&mut self.notices, Notice::JunkSkipped { offset, bytes });
                self.reader.meet_junk();
                self.reader.skip(junk);
                self.lost = true;
                return Ok(true);
            }
            if !more {
                self.reader.meet_junk();
                return Ok(false);
            }
            if wanted > limits::SNIFF_BYTES {
                self.reader.blame();
                return Err(Fault::corrupt("more than 64 KiB are not audio"));
            }
            wanted *= 2;
        }
    }

    /// Decides where the frame at the position lies.
    fn place(&mut self) {
        let Some(mark) = self.reader.take_mark() else {
            return;
        };
        // Behind a loss only what begins a PES packet is what its time was stated for.
        let Some(time) = mark
            .time
            .filter(|_| !self.lost || mark.at == self.reader.pos())
        else {
            return;
        };
        let (rate, length) = (self.head.sample_rate, self.head.frames);
        let counted = ticks::of_frames(self.frame, rate);
        let zero = *self.zero.get_or_insert((time as i64).wrapping_sub(counted));
        let ahead = ticks::ahead(time, zero.wrapping_add(counted));
        let frames = ticks::packets(ahead, rate, length);
        let longest = (Damage::LONGEST_GAP as i64).saturating_mul(CLOCK);
        if ahead > longest || frames < -TOLERANCE {
            // Another clock: it goes on from here.
            self.places.distrust();
            self.zero = Some(zero.wrapping_add(ahead));
        } else if frames >= TOLERANCE || self.lost && frames > 0 {
            self.frame = self
                .frame
                .saturating_add(frames.unsigned_abs() * u64::from(length));
        }
        self.lost = false;
        self.remember(mark);
    }

    fn remember(&mut self, mark: Mark) {
        if mark.at == self.reader.pos() {
            let stride = u64::from(self.head.sample_rate) / 2;
            self.places.pass(self.frame, mark.offset, self.zero, stride);
        }
    }

    fn ended(&mut self) -> Result<()> {
        let torn = self.reader.is_cut() || !self.reader.bytes().is_empty();
        self.reader.input.finish(torn)?;
        if self.reader.is_cut() && !self.reader.is_part() {
            return Err(Fault::Truncated(None));
        }
        Ok(())
    }

    pub(super) fn pass(&mut self, head: &FrameHead) {
        self.frame = self.frame.saturating_add(u64::from(head.frames));
    }
}

fn bytes_missing(reader: &TsReader, count: usize) -> bool {
    reader.bytes().len() < count
}

impl<S: Syntax> Demux for Ts<S> {
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        let Some(head) = self.locate()? else {
            return Ok(None);
        };
        let frame = self.frame;
        self.pass(&head);
        let data = self.reader.take(head.bytes);
        Ok(Some(Packet::new(
            &data[head.data_at..],
            Some(frame),
            head.frames,
        )))
    }

    fn seek(&mut self, target: u64, _mode: SeekMode) -> Result<Arrival> {
        let early = target.saturating_sub(self.settle * u64::from(self.head.frames));
        // From here if it lies ahead, or else from the nearest place that is known.
        if let Some(place) = self.place_before(early)? {
            self.stand_on(place);
        }
        while let Some(head) = self.locate()? {
            if self.frame + u64::from(head.frames) > early {
                break;
            }
            self.pass(&head);
            self.reader.take(head.bytes);
        }
        Ok(Arrival {
            frame: self.frame,
            exact: true,
        })
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        let mut notices = self.reader.take_notices();
        notices.append(&mut self.notices);
        notices
    }
}
