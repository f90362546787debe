//! A title of several links, one after another in the same bytes (RFC 3533 §4): each is a run of its own, with a decoder and
//! ends of its own, and all together are one timeline. Whatever is no chain is one link.

use std::time::Duration;

use kithara_stream::{ByteSource, MediaInfo};

use crate::demux::Behind;
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::pipeline::{Pipeline, is_passing};
use crate::{
    Continuation, DecoderOptions, Landing, MediaDuration, Notice, PcmChunk, PcmSpec, SeekMode,
    Stamp, TrackMetadata,
};

/// Of a chain with more links than this it is not looked at the beginning how long it is.
const LOOKED_AT: usize = 256;

/// Plays links as one title. There is one at least, and one of them is open, or is to be opened next.
pub(crate) struct Chain {
    /// Those that were met, in order.
    links: Vec<Link>,
    at: usize,
    bytes: Bytes,
    /// The frame behind the last link, once that is known for certain.
    end: Option<u64>,
    /// Where a seek goes that has not come to its end.
    wanted: Option<u64>,
    options: DecoderOptions,
    facts: Facts,
    notices: Vec<Notice>,
}

/// What holds for all of the title: it is what its first link says.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) spec: PcmSpec,
    pub(crate) info: MediaInfo,
    pub(crate) metadata: TrackMetadata,
    pub(crate) stamp: Option<Stamp>,
    /// The decoder goes on with what it remembers of the run before.
    pub(crate) continues: bool,
}

/// A place where a link begins.
#[derive(Clone, Copy)]
struct Link {
    /// In the bytes.
    offset: u64,
    /// In the title.
    frame: u64,
}

/// Who has the bytes.
enum Bytes {
    Playing(Box<Pipeline>),
    /// Nobody: the link is not open yet, or did not open.
    Idle(Input),
    /// On their way from one to another.
    Gone,
}

impl Chain {
    /// Opens the first link; where that is free, finds out how long all of them are.
    pub(crate) fn open(
        bytes: Box<dyn ByteSource>,
        info: &MediaInfo,
        options: &DecoderOptions,
        before: Option<Continuation>,
    ) -> Result<Self> {
        let first = Pipeline::open(bytes, info, options, before)?;
        let mut chain = Self {
            // Where it begins is told with its bytes.
            links: vec![Link {
                offset: 0,
                frame: 0,
            }],
            at: 0,
            end: None,
            wanted: None,
            options: options.clone(),
            facts: Facts {
                spec: first.spec(),
                info: first.info.clone(),
                metadata: first.metadata.clone(),
                stamp: first.stamp(),
                continues: first.continues,
            },
            notices: Vec::new(),
            bytes: Bytes::Playing(Box::new(first)),
        };
        chain.look_ahead()?;
        Ok(chain)
    }

    /// The next block; `None` is the proven end.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<PcmChunk>> {
        loop {
            let before = self.links[self.at].frame;
            let chunk = self.pipeline()?.next_chunk();
            if let Some(mut chunk) = chunk.map_err(|fault| behind(before, fault))? {
                chunk.frame += before;
                return Ok(Some(chunk));
            }
            if !self.go_on()? {
                return Ok(None);
            }
        }
    }

    /// Goes to a time and decodes up to it.
    pub(crate) fn seek(&mut self, to: Duration, mode: SeekMode) -> Result<Landing> {
        self.seek_frame(self.facts.spec.frames(to), mode)
    }

    /// Goes on where the last call stopped because a read failed.
    pub(crate) fn resume(&mut self) -> Result<()> {
        match (self.wanted, &mut self.bytes) {
            (Some(wanted), _) => self.seek_frame(wanted, SeekMode::Exact).map(drop),
            (None, Bytes::Playing(pipeline)) => pipeline.resume(),
            _ => Ok(()),
        }
    }

    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        self.collect_notices();
        std::mem::take(&mut self.notices)
    }

    /// The decoder, if there is one link, which was played to its end, and nothing is missing.
    pub(crate) fn retire(self) -> Option<Continuation> {
        match self.bytes {
            Bytes::Playing(pipeline) if self.links.len() == 1 => pipeline.retire(),
            _ => None,
        }
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The frame the next chunk begins with.
    pub(crate) fn position(&self) -> u64 {
        let inside = match &self.bytes {
            Bytes::Playing(pipeline) => pipeline.position(),
            _ => 0,
        };
        self.wanted.unwrap_or(self.links[self.at].frame + inside)
    }

    /// How long the title is; an estimate as long as another link may come.
    pub(crate) fn duration(&self) -> Option<MediaDuration> {
        let playing = match &self.bytes {
            Bytes::Playing(pipeline) if self.at + 1 == self.links.len() => Some(pipeline),
            _ => None,
        };
        let own = playing.and_then(|pipeline| pipeline.duration());
        let is_chain = self.links.len() > 1;
        if !is_chain && playing.is_some_and(|pipeline| pipeline.behind() == Behind::Nothing) {
            return own;
        }
        let spec = self.facts.spec;
        match (self.end, self.links.last()) {
            (Some(end), _) => Some(MediaDuration::Exact(spec.time(end))),
            (None, Some(last)) if is_chain || own.is_some() => {
                let own = own.map_or(Duration::ZERO, |own| match own {
                    MediaDuration::Exact(time) | MediaDuration::Estimate(time) => time,
                });
                Some(MediaDuration::Estimate(spec.time(last.frame) + own))
            }
            _ => None,
        }
    }

    /// Opens all links, one after another, as far as their ends are known without playing them; stands at the first again.
    fn look_ahead(&mut self) -> Result<()> {
        let notices = self.take_notices();
        while self.links.len() < LOOKED_AT {
            let pipeline = self.pipeline();
            let pipeline = match pipeline {
                Err(fault) if is_passing(&fault) => return Err(fault),
                // It is told when it is played.
                Err(_) => break,
                Ok(pipeline) => pipeline,
            };
            match (pipeline.behind(), pipeline.total()) {
                (Behind::Link(offset), Some(total)) => self.begin_next(offset, total)?,
                (Behind::Nothing, Some(total)) => {
                    self.end = Some(self.links[self.at].frame + total);
                    break;
                }
                _ => break,
            }
        }
        if self.at > 0 {
            self.turn_to(0)?;
            self.pipeline()?;
            self.collect_notices();
        }
        self.notices = notices;
        Ok(())
    }

    fn seek_frame(&mut self, target: u64, mode: SeekMode) -> Result<Landing> {
        // Whatever fails from here on, the position is the target.
        self.wanted = Some(target);
        let behind_it = self.links.partition_point(|link| link.frame <= target);
        let at = behind_it.saturating_sub(1);
        if at != self.at {
            self.turn_to(at)?;
        }
        loop {
            let before = self.links[self.at].frame;
            let pipeline = self.pipeline()?;
            let landing = pipeline.seek(target.saturating_sub(before), mode);
            let landing = landing.map_err(|fault| behind(before, fault))?;
            if !pipeline.is_at_end() || !self.go_on()? {
                self.wanted = None;
                return Ok(Landing {
                    frame: before + landing.frame,
                    ..landing
                });
            }
        }
    }

    /// Goes on behind the link that was played to its end; `false` where nothing comes.
    fn go_on(&mut self) -> Result<bool> {
        let pipeline = self.pipeline()?;
        let total = pipeline.total().unwrap_or_else(|| pipeline.position());
        match pipeline.look_behind()? {
            Behind::Link(offset) => self.begin_next(offset, total).map(|()| true),
            Behind::Cut => Err(Fault::Truncated(None)),
            Behind::Nothing | Behind::Unknown => {
                self.end = Some(self.links[self.at].frame + total);
                Ok(false)
            }
        }
    }

    /// The next link is the one at this offset, behind one of so many frames.
    fn begin_next(&mut self, offset: u64, total: u64) -> Result<()> {
        let frame = self.links[self.at].frame + total;
        let next = self.at + 1;
        match self.links.get(next).copied() {
            None => self.links.push(Link { offset, frame }),
            // The link was shorter or longer than it said.
            Some(stated) => {
                for link in &mut self.links[next..] {
                    link.frame = link.frame - stated.frame + frame;
                }
                self.end = self.end.map(|end| end - stated.frame + frame);
            }
        }
        self.turn_to(next)
    }

    /// The next link to be played is this one.
    fn turn_to(&mut self, at: usize) -> Result<()> {
        self.collect_notices();
        self.bytes = match std::mem::replace(&mut self.bytes, Bytes::Gone) {
            Bytes::Playing(pipeline) => {
                let input = pipeline.into_input().ok_or_else(gone)?;
                self.links[self.at].offset = input.pos();
                Bytes::Idle(input)
            }
            other => other,
        };
        self.at = at;
        Ok(())
    }

    /// The link that is being played, opened if need be.
    fn pipeline(&mut self) -> Result<&mut Pipeline> {
        if let Bytes::Idle(_) = self.bytes
            && let Bytes::Idle(input) = std::mem::replace(&mut self.bytes, Bytes::Gone)
        {
            let (bytes, fault) = self.open_link(input);
            self.bytes = bytes;
            fault?;
        }
        match &mut self.bytes {
            Bytes::Playing(pipeline) => Ok(pipeline),
            _ => Err(gone()),
        }
    }

    fn open_link(&self, mut input: Input) -> (Bytes, Result<()>) {
        input.seek(self.links[self.at].offset);
        let idle = |input: Option<Input>| input.map_or(Bytes::Gone, Bytes::Idle);
        let pipeline = match Pipeline::open_link(input, &self.facts.info, &self.options) {
            Ok(pipeline) => pipeline,
            Err(unopened) => {
                let input = unopened.input.map(|input| *input);
                return (idle(input), Err(in_chain(unopened.fault)));
            }
        };
        let (first, spec) = (self.facts.spec, pipeline.spec());
        if spec == first {
            return (Bytes::Playing(Box::new(pipeline)), Ok(()));
        }
        let fault = Fault::unsupported(format!(
            "{} channels at {} Hz behind {} at {} Hz",
            spec.channels, spec.sample_rate, first.channels, first.sample_rate
        ));
        (idle(pipeline.into_input()), Err(in_chain(fault)))
    }

    fn collect_notices(&mut self) {
        let before = self.links[self.at].frame;
        if let Bytes::Playing(pipeline) = &mut self.bytes {
            let notices = pipeline.take_notices().into_iter();
            self.notices.extend(notices.map(|notice| match notice {
                Notice::PacketSkipped { frame, frames } => Notice::PacketSkipped {
                    frame: frame + before,
                    frames,
                },
                other => other,
            }));
        }
    }
}

/// A fault of a link that begins so many frames behind the title's beginning.
fn behind(before: u64, fault: Fault) -> Fault {
    match fault {
        Fault::Truncated(Some(frames)) => Fault::Truncated(Some(before + frames)),
        other => other,
    }
}

/// A fault of a link that does not open.
fn in_chain(fault: Fault) -> Fault {
    match fault {
        Fault::Unsupported(what) => {
            Fault::Unsupported(format!("a link of a chained Ogg stream: {what}"))
        }
        other => other,
    }
}

/// Nothing says that another link comes and then keeps the bytes; it is no reason to panic.
fn gone() -> Fault {
    Fault::corrupt("the bytes are gone")
}
