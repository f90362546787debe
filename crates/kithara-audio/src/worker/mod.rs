//! What the decode thread does: pulls blocks out of the title, pushes them to the reader, serves the newest wish.

mod bytes;
mod conform;
mod pace;
mod thread;
mod title;

use std::sync::Arc;
use std::time::Duration;

use kithara_decode::PcmSpec;
use kithara_stream::EventSink;

pub(crate) use thread::{Held, spawn};

use self::conform::Block;
use self::pace::Pace;
use self::title::{Halt, Landed, Title};
use crate::lane::{Feed, Lanes, MarkerKind};
use crate::shared::Shared;
use crate::wish::Wish;
use crate::{AudioError, AudioEvent, ReadState, SeekId};

/// A lane never takes more memory than this.
const LANE_BYTES: usize = 2 << 20;

/// The state of the decode thread once the first run is open.
struct Worker {
    shared: Arc<Shared>,
    events: EventSink<AudioEvent>,
    title: Title,
    spec: PcmSpec,
    lanes: Lanes,
    /// The live lane belongs to the wish being served.
    begun: bool,
    /// What the live lane ended with.
    ended: Option<Ending>,
    /// The seek being served, until its first frame is ready.
    landing: Option<(Wish, Landed)>,
    /// A block of which not everything had room.
    held: Option<Block>,
    /// The frame that follows the last one pushed.
    next_frame: u64,
    /// Blocks delivered since the open or the last seek.
    blocks: usize,
    pace: Pace,
    told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    End,
    Failed,
}

/// What listeners were told of the reader.
#[derive(Debug, Default)]
struct Told {
    underruns: u64,
    buffering: bool,
    end: bool,
}

impl Worker {
    fn new(
        shared: Arc<Shared>,
        events: EventSink<AudioEvent>,
        title: Title,
        spec: PcmSpec,
        buffer: Duration,
    ) -> Result<Self, AudioError> {
        let channels = usize::from(spec.channels.get());
        let frames = usize::try_from(spec.frames(buffer)).unwrap_or(usize::MAX);
        let frames = frames.min(LANE_BYTES / size_of::<f32>() / channels).max(1);
        let lanes = Lanes::new(frames * channels, shared.serving(), 0);
        Ok(Self {
            lanes: lanes.map_err(|error| AudioError::no_memory(&error))?,
            shared,
            events,
            title,
            spec,
            begun: false,
            ended: None,
            landing: None,
            held: None,
            next_frame: 0,
            blocks: 0,
            pace: Pace::default(),
            told: Told::default(),
        })
    }

    /// Decodes until `blocks` are ready, or there is no more, or no more room; false if closed before that.
    fn preload(&mut self, blocks: usize) -> bool {
        while !self.shared.is_closed() {
            if self.ended.is_some() || self.blocks >= blocks || self.held.is_some() {
                return true;
            }
            self.step();
        }
        false
    }

    /// Why there is nothing at all to read.
    fn failed_at_once(&self) -> Option<AudioError> {
        (self.ended == Some(Ending::Failed) && self.lanes.queued() == 0)
            .then(|| self.shared.failure())
    }

    /// The reader's first feed.
    fn first_feed(&mut self) -> Option<Box<Feed>> {
        self.lanes.take_first(&self.shared.exchange)
    }

    /// Gives up the title and everything it started; what the reader may still touch is left.
    fn into_lanes(self) -> Lanes {
        self.lanes
    }

    /// Works until closed or given up.
    fn run(&mut self) {
        while !self.shared.is_closed() && !self.shared.is_dead() {
            self.tell();
            self.step();
        }
    }

    fn step(&mut self) {
        if self.shared.wishes.newest() != self.shared.serving() {
            match self.shared.wishes.take() {
                Some(wish) => self.seek(wish),
                // It was counted but has not arrived; whoever makes it unparks this thread after.
                None => {
                    let shared = &self.shared;
                    shared.park(None, || shared.wishes.has_arrived() || shared.is_closed());
                }
            }
        } else if self.ended.is_some() {
            self.rest();
        } else {
            self.stream();
        }
    }

    fn seek(&mut self, wish: Wish) {
        self.shared.serve(wish.id);
        self.held = None;
        self.begun = false;
        self.ended = None;
        self.blocks = 0;
        self.told.end = false;
        // Where to stand if it fails.
        let nowhere = Landed {
            frame: self.spec.frames(wish.target),
            exact: false,
        };
        self.landing = Some((wish, nowhere));
        match self.title.seek(wish.target, wish.mode) {
            Ok(landed) => self.landing = Some((wish, landed)),
            Err(Halt::Unwanted) => {}
            Err(Halt::Failed(error)) => self.fail(error),
        }
    }

    fn stream(&mut self) {
        let block = match self.held.take() {
            Some(block) => Ok(Some(block)),
            None => {
                #[cfg(feature = "perf")]
                let _span = tracing::trace_span!("decode").entered();
                self.title.next_block()
            }
        };
        match block {
            Ok(Some(block)) => self.deliver(block),
            Ok(None) => self.finish(),
            Err(Halt::Unwanted) => {}
            Err(Halt::Failed(error)) => self.fail(error),
        }
    }

    /// Pushes what there is room for and keeps the rest; sleeps if there is no room at all.
    fn deliver(&mut self, mut block: Block) {
        #[cfg(feature = "perf")]
        let _span = tracing::trace_span!("deliver", frame = block.frame()).entered();
        let first = !self.begun;
        if first && !self.begin(block.frame()) {
            return;
        }
        // Frames that do not follow those before them are announced.
        let marked =
            block.frame() == self.next_frame || self.lanes.fill().mark_frame(block.frame());
        let mut pushed = 0;
        if marked {
            let channels = usize::from(self.spec.channels.get());
            pushed = self.lanes.fill().push(block.samples(), channels);
            block.advance(pushed);
            self.next_frame = block.frame();
            self.shared.pushed();
        }
        if block.samples().is_empty() {
            self.blocks += 1;
        } else {
            self.held = Some(block);
        }
        if first {
            self.land();
        } else if pushed > 0 {
            self.serve_waiting();
        } else {
            self.wait_for_room();
        }
    }

    /// Every frame was delivered.
    fn finish(&mut self) {
        if self.end_with(MarkerKind::End, Ending::End) {
            self.land();
        }
    }

    /// No frame after those delivered can be had.
    fn fail(&mut self, error: AudioError) {
        tracing::debug!(%error, "decoding failed");
        self.shared.set_failure(error.clone());
        if !self.end_with(MarkerKind::Failed, Ending::Failed) {
            return;
        }
        let seek = self.landing.take();
        self.land();
        self.report_failure(seek, error);
    }

    fn report_failure(&self, seek: Option<(Wish, Landed)>, error: AudioError) {
        if let Some((wish, _)) = seek {
            self.events.send(AudioEvent::SeekFailed {
                id: SeekId(wish.id),
                target: wish.target,
                error: error.clone(),
            });
        }
        self.events.send(AudioEvent::Error(error));
    }

    /// Ends the live lane; false if there is none to end.
    fn end_with(&mut self, marker: MarkerKind, ending: Ending) -> bool {
        if !self.begun {
            let frame = self
                .landing
                .map_or(self.next_frame, |(_, landed)| landed.frame);
            if !self.begin(frame) {
                return false;
            }
        }
        self.lanes.fill().finish(marker);
        self.ended = Some(ending);
        true
    }

    /// Starts the lane of the wish being served; false if there is no memory for it, which ends this title.
    fn begin(&mut self, frame: u64) -> bool {
        let begun = self
            .lanes
            .renew(&self.shared.exchange, self.shared.serving(), frame);
        if let Err(error) = begun {
            let error = AudioError::no_memory(&error);
            self.shared.die(error.clone());
            let seek = self.landing.take();
            self.report_failure(seek, error);
            return false;
        }
        self.next_frame = frame;
        self.begun = true;
        true
    }

    /// Shows the reader what was pushed, now, and reports the seek that led here.
    fn land(&mut self) {
        self.lanes.offer(&self.shared.exchange);
        self.shared.flush();
        let Some((wish, landed)) = self.landing.take() else {
            return;
        };
        self.events.send(AudioEvent::SeekDone {
            id: SeekId(wish.id),
            target: wish.target,
            landed: self.spec.time(landed.frame),
            exact: landed.exact,
        });
    }

    /// Wakes a waiting reader once there is what it asked for, or so much that it may as well begin.
    fn serve_waiting(&self) {
        if let Some(wanted) = self.shared.samples_wanted()
            && self.lanes.queued() >= wanted.min(self.lanes.capacity() / 2)
        {
            self.shared.flush();
        }
    }

    /// Sleeps until the reader has made room, as far as that can be computed.
    fn wait_for_room(&mut self) {
        self.shared.flush_pushed();
        let timeout = (!self.shared.is_paused()).then(|| {
            let queued = self.queued_time();
            self.pace.filling(self.shared.frames_read(), queued)
        });
        let half = self.lanes.capacity() / 2;
        self.shared.park(timeout, || {
            self.shared.has_news() || (self.lanes.queued() < half && self.lanes.can_mark())
        });
    }

    /// Nothing to do until a seek. Sleeps, and reports when the reader has come to the end.
    fn rest(&mut self) {
        let untold = self.ended == Some(Ending::End) && !self.told.end;
        if untold && self.shared.has_reached_end() {
            self.told.end = true;
            self.events.send(AudioEvent::EndOfStream);
            return;
        }
        let timeout = (untold && !self.shared.is_paused()).then(|| {
            let queued = self.queued_time();
            self.pace.draining(self.shared.frames_read(), queued)
        });
        let shared = &self.shared;
        shared.park(timeout, || {
            shared.has_news() || (untold && shared.has_reached_end())
        });
    }

    /// Reports what the reader noticed.
    fn tell(&mut self) {
        let count = self.shared.underruns();
        if count != self.told.underruns {
            self.told.underruns = count;
            self.events.send(AudioEvent::Underrun { count });
            if !self.told.buffering {
                self.told.buffering = true;
                self.events.send(AudioEvent::Buffering);
            }
        }
        if self.told.buffering && self.shared.found() == ReadState::Playing {
            self.told.buffering = false;
            self.events.send(AudioEvent::Playing);
        }
    }

    fn queued_time(&self) -> Duration {
        let channels = usize::from(self.spec.channels.get());
        self.spec.time((self.lanes.queued() / channels) as u64)
    }
}
