//! What the decode thread does: pulls blocks out of the title, pushes them to the reader, serves the newest wish.

mod bytes;
mod change;
mod clock;
mod conversion;
mod history;
mod join;
mod pace;
mod splice;
mod stretch;
mod thread;
mod title;

use std::sync::Arc;
use std::time::Duration;

use kithara_decode::PcmSpec;
use kithara_stream::EventSink;

pub(crate) use thread::{Held, spawn};

use self::conversion::{Conversion, Turn};
use self::history::{History, Piece};
use self::pace::Pace;
use self::title::{Halt, Landed, Title};
use crate::effect::Chain;
use crate::gain::Gain;
use crate::lane::{Feed, Heading, Lanes, MarkerKind};
use crate::shared::Shared;
use crate::timeline::{Moment, Output};
use crate::wish::Wish;
use crate::{AudioConfig, AudioError, AudioEvent, ReadState, SeekId};

/// A lane never takes more memory than this.
const LANE_BYTES: usize = 2 << 20;

/// The state of the decode thread once the first run is open.
struct Worker {
    shared: Arc<Shared>,
    events: EventSink<AudioEvent>,
    title: Title,
    /// The layout of the first run.
    source: PcmSpec,
    /// The layout of what was decoded last.
    format: PcmSpec,
    history: History,
    conversion: Conversion,
    /// Changes what was converted. It never sees a frame twice, unless the output changes.
    chain: Chain,
    lanes: Lanes,
    /// How much is kept ready.
    buffer: Duration,
    /// The live lane belongs to the wish being served.
    begun: bool,
    /// The title yields nothing more.
    over: Option<Ending>,
    /// What the live lane ended with.
    ended: Option<Ending>,
    /// The seek being served, until its first frame is ready.
    landing: Option<Wish>,
    /// Where the frames begin that are being decoded: the target, and what became of it.
    origin: Origin,
    /// How often the output changed.
    change: u64,
    /// The output has changed, and no lane of it was offered yet.
    crossing: bool,
    /// The time at which the live lane begins.
    lane_begin: Duration,
    /// The place that follows the last frame pushed.
    next: Moment,
    /// The last frames did not find room.
    full: bool,
    /// Blocks delivered since the open or the last seek.
    blocks: usize,
    pace: Pace,
    told: Told,
}

/// Where decoding began.
#[derive(Clone, Copy, Debug, Default)]
struct Origin {
    target: Duration,
    landed: Option<Landed>,
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
        title: Title,
        source: PcmSpec,
        config: &AudioConfig,
    ) -> Result<Self, AudioError> {
        let output = shared.output.take(source);
        shared.set_spec(output.spec);
        let heading = Heading {
            id: shared.serving(),
            change: 0,
            output,
            start: Moment::default(),
        };
        let lanes = Lanes::new(capacity(output, config.buffer), heading)
            .map_err(|error| AudioError::no_memory(&error))?;
        let gain = config.replay_gain.factor(&title.metadata().replay_gain);
        let mut chain = Chain::new(Gain::new(gain), &config.effects);
        chain.prepare(output.spec);
        Ok(Self {
            lanes,
            shared,
            events: config.events.clone(),
            title,
            source,
            format: source,
            history: History::default(),
            conversion: Conversion::new(output, config.quality),
            chain,
            buffer: config.buffer,
            begun: false,
            over: None,
            ended: None,
            landing: None,
            origin: Origin::default(),
            change: 0,
            crossing: false,
            lane_begin: Duration::ZERO,
            next: Moment::default(),
            full: false,
            blocks: 0,
            pace: Pace::default(),
            told: Told::default(),
        })
    }

    /// Decodes until `blocks` are ready, or there is no more, or no more room; false if closed before that.
    fn preload(&mut self, blocks: usize) -> bool {
        while !self.shared.is_closed() {
            if self.ended.is_some() || self.blocks >= blocks || self.full {
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

    /// Gives up everything but the effects.
    fn into_chain(self) -> Chain {
        self.chain
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
        // Who has heard it all may let go of it at once.
        self.tell_end();
    }

    fn step(&mut self) {
        if self.shared.wishes.newest() != self.shared.serving() {
            match self.shared.wishes.wish() {
                Some(wish) => self.seek(wish),
                None => {
                    let shared = &self.shared;
                    shared.park(None, || {
                        shared.wishes.wish().is_some() || shared.is_closed()
                    });
                }
            }
        } else if self.shared.output.is_new() {
            self.change_output();
        } else if self.ended.is_some() {
            self.rest();
        } else {
            self.stream();
        }
    }

    fn seek(&mut self, wish: Wish) {
        self.shared.serve(wish.id);
        self.history.clear();
        self.begun = false;
        self.over = None;
        self.ended = None;
        self.full = false;
        self.blocks = 0;
        self.told.end = false;
        self.landing = Some(wish);
        self.origin = Origin {
            target: wish.target,
            landed: None,
        };
        let output = self.shared.output.take(self.source);
        self.change_to(output);
        self.chain.restart(output.spec);
        let place = self.place_of(output, wish.target);
        self.conversion.restart(output, place);
        let conversion = &self.conversion;
        let landed = self.title.seek(wish.target, wish.mode, |run| {
            // Where no filter looks back, the decoder finds the frame by its own rules.
            (conversion.lead(run) > 0).then(|| conversion.lead_in(run, place))
        });
        match landed {
            Ok(landed) => {
                self.origin.landed = Some(landed);
                let from = self.first_wanted(output);
                self.conversion.restart(output, from);
            }
            Err(Halt::Unwanted) => {}
            Err(Halt::Failed(error)) => self.fail(error),
        }
    }

    /// Does one thing towards the next frames: delivers, converts or decodes.
    fn stream(&mut self) {
        if self.conversion.made().is_some() {
            return self.deliver(Stock::Made);
        }
        let Some(piece) = self.history.next() else {
            return self.decode();
        };
        match self.conversion.convert(&piece, !self.chain.is_empty()) {
            Ok(Turn::Used(samples)) => {
                self.history.advance(samples);
                self.add_effects();
            }
            Ok(Turn::Deliver(place)) => self.deliver(Stock::Piece(place)),
            Err(error) => self.give_up(error),
        }
    }

    /// Decodes what comes next; at the end, converts what the filters still hold.
    fn decode(&mut self) {
        if let Some(ending) = self.over {
            if self.conversion.finish() {
                self.add_effects();
            } else {
                self.finish(ending);
            }
            return;
        }
        #[cfg(feature = "perf")]
        let _span = tracing::trace_span!("decode").entered();
        match self.title.next_chunk() {
            Ok(Some(decoded)) => {
                let piece = Piece {
                    run: decoded.run,
                    frame: decoded.chunk.frame,
                    samples: &decoded.chunk.pcm,
                };
                self.tell_format(piece);
                let played = self.shared.heard_position().unwrap_or_default();
                if let Err(error) = self.history.push(piece, played) {
                    self.give_up(AudioError::no_memory(&error));
                }
            }
            Ok(None) => self.over = Some(Ending::End),
            Err(Halt::Unwanted) => {}
            Err(Halt::Failed(error)) => self.fail(error),
        }
    }

    /// Lets the effects change what was just converted.
    fn add_effects(&mut self) {
        let speed = self.conversion.output().speed;
        if let Some((place, made)) = self.conversion.made_mut() {
            self.chain.process(made, place, speed);
        }
    }

    /// Pushes what there is room for; sleeps if there is no room at all.
    fn deliver(&mut self, stock: Stock) {
        let place = match stock {
            Stock::Piece(place) => Some(place),
            Stock::Made => self.conversion.made().map(|(place, _)| place),
        };
        let Some(place) = place else { return };
        #[cfg(feature = "perf")]
        let _span = tracing::trace_span!("deliver", frame = place.frame()).entered();
        let first = !self.begun;
        if first && !self.begin(place) {
            return;
        }
        // Frames that do not follow those before them are announced.
        let marked = place == self.next || self.lanes.fill().mark_place(place);
        let pushed = if marked { self.push(stock, place) } else { 0 };
        if first {
            self.land();
        } else if self.lanes.is_unoffered() {
            self.offer_when_due(pushed == 0);
        } else if pushed > 0 {
            self.serve_waiting();
        } else {
            self.wait_for_room();
        }
    }

    /// Pushes what there is room for; how many samples.
    fn push(&mut self, stock: Stock, place: Moment) -> usize {
        let output = self.conversion.output();
        let fill = self.lanes.fill();
        let (pushed, all) = match stock {
            Stock::Piece(_) => {
                let samples = self.history.next().map_or(&[][..], |piece| piece.samples);
                let all = samples.len();
                let pushed = fill.push(samples, output.channels());
                self.conversion.delivered_piece(pushed);
                self.history.advance(pushed);
                (pushed, all)
            }
            Stock::Made => {
                let samples = self.conversion.made().map_or(&[][..], |(_, made)| made);
                let all = samples.len();
                let pushed = fill.push(samples, output.channels());
                self.conversion.delivered_made(pushed);
                (pushed, all)
            }
        };
        self.full = pushed < all;
        self.blocks += usize::from(!self.full);
        self.next = place.after((pushed / output.channels()) as u64, output.speed);
        self.shared.pushed();
        pushed
    }

    /// Every frame before the end or the failure was delivered.
    fn finish(&mut self, ending: Ending) {
        let marker = match ending {
            Ending::End => MarkerKind::End,
            Ending::Failed => MarkerKind::Failed,
        };
        if !self.begun {
            let place = self.end_place();
            if !self.begin(place) {
                return;
            }
        }
        self.lanes.fill().finish(marker);
        self.ended = Some(ending);
        if ending == Ending::Failed {
            let seek = self.landing.take();
            self.land();
            self.report_failure(seek, self.shared.failure());
        } else {
            self.land();
        }
    }

    /// No frame after those decoded can be had.
    fn fail(&mut self, error: AudioError) {
        tracing::debug!(%error, "decoding failed");
        self.shared.set_failure(error);
        self.over = Some(Ending::Failed);
    }

    /// No frame after those delivered can be had.
    fn give_up(&mut self, error: AudioError) {
        self.fail(error);
        self.history.clear();
        let (output, next) = (self.conversion.output(), self.next);
        self.conversion.restart(output, next);
    }

    fn report_failure(&self, seek: Option<Wish>, error: AudioError) {
        if let Some(wish) = seek {
            self.events.send(AudioEvent::SeekFailed {
                id: SeekId(wish.id),
                target: wish.target,
                error: error.clone(),
            });
        }
        self.events.send(AudioEvent::Error(error));
    }

    /// Starts the lane of the wish being served, or of another output, with the frame at `start`; false if there is no
    /// memory for it, which ends this title.
    fn begin(&mut self, start: Moment) -> bool {
        let output = self.conversion.output();
        let heading = Heading {
            id: self.shared.serving(),
            change: self.change,
            output,
            start,
        };
        let capacity = capacity(output, self.buffer);
        let begun = self.lanes.renew(&self.shared.exchange, capacity, heading);
        if let Err(error) = begun {
            let error = AudioError::no_memory(&error);
            self.shared.die(error.clone());
            let seek = self.landing.take();
            self.report_failure(seek, error);
            return false;
        }
        self.lane_begin = start.time(output.spec.sample_rate);
        self.next = start;
        self.begun = true;
        true
    }

    /// Shows the reader what was pushed, now, and reports the seek that led here.
    fn land(&mut self) {
        self.offer();
        let Some(wish) = self.landing.take() else {
            return;
        };
        self.events.send(AudioEvent::SeekDone {
            id: SeekId(wish.id),
            target: wish.target,
            landed: self.lane_begin,
            exact: self.origin.landed.is_none_or(|landed| landed.exact),
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

    /// Reports that the reader has come to the end, once.
    fn tell_end(&mut self) {
        if self.owes_end() && self.shared.has_reached_end() {
            self.told.end = true;
            self.events.send(AudioEvent::EndOfStream);
        }
    }

    fn owes_end(&self) -> bool {
        self.ended == Some(Ending::End) && !self.told.end
    }

    /// Nothing to do until a seek. Sleeps, and reports when the reader has come to the end.
    fn rest(&mut self) {
        self.tell_end();
        let untold = self.owes_end();
        let timeout = (untold && !self.shared.is_paused()).then(|| {
            let queued = self.queued_time();
            self.pace.draining(self.shared.frames_read(), queued)
        });
        let shared = &self.shared;
        shared.park(timeout, || {
            shared.has_news() || (untold && shared.has_reached_end())
        });
    }

    /// Reports that what comes next was decoded in another layout than what came before.
    fn tell_format(&mut self, next: Piece<'_>) {
        let from = std::mem::replace(&mut self.format, next.run.spec);
        if from != self.format {
            let time = next.run.spec.time(next.frame);
            self.events.send(AudioEvent::FormatChanged {
                from,
                to: self.format,
                at: next.run.start.saturating_add(time),
            });
        }
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
        let output = self.conversion.output();
        let frames = (self.lanes.queued() / output.channels()) as u64;
        output.spec.time(frames)
    }
}

/// What stands ready to be pushed.
#[derive(Clone, Copy, Debug)]
enum Stock {
    /// The next piece of the history, as it is, beginning there.
    Piece(Moment),
    /// What was converted.
    Made,
}

/// How many samples a lane holds: whole frames.
fn capacity(output: Output, buffer: Duration) -> usize {
    let frames = usize::try_from(output.spec.frames(buffer)).unwrap_or(usize::MAX);
    let most = LANE_BYTES / size_of::<f32>() / output.channels();
    frames.min(most).max(1) * output.channels()
}
