//! Decides which playlist, key, init section or segment of one stream to fetch next.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kithara_abr::{AbrController, AbrOptions};
use kithara_stream::net::{BaseUrl, Bytes, NetError, RedactedUrl, Zone};
use kithara_stream::{Demand, FetchId, Input, Plan, ResourceId, StreamError, Wish};
use url::Url;

use crate::config::{EncryptedCache, HlsConfig, HlsPolicy, Names};
use crate::failure::HlsError;
use crate::handle::HlsCommand;
use crate::{AudioPreference, Freshness, HlsEvent, KeyOptions, Start, Variables};

mod aside;
mod bytes;
mod ending;
mod entry;
mod failing;
mod holdings;
mod item;
mod keeping;
mod keyring;
mod laying;
mod leading;
mod lists;
mod meter;
mod pumping;
mod rejecting;
mod seeking;
mod switching;
mod waiting;

use self::aside::Aside;
pub use self::holdings::Holdings;
use self::item::{Inits, Line, Part, State};
use self::keyring::KeyRing;
use self::laying::Cursor;
use self::lists::Track;

/// A document that has not come after this long is given up;
const LOAD_LIMIT: Duration = Duration::from_secs(20);
/// after this, if it is known from an earlier time.
const DOUBT: Duration = Duration::from_secs(5);

/// The [`Plan`] of one stream.
///
/// ```text
///   entry ──▶ variants ──▶ playlist of the first ──▶ cursor: the next segment to lay
///                                ▲ reload                │ lay: choose the variant, open in the store
///                                │                       ▼
///                             window            line of items: [read] [whole] [coming] [opened]
///                                                        │ announce, in order: runs and their parts
///                                                        │ pump: init ∥ key ∥ segment, as far as there is room
///                                                        ▼
///                                  failed, or too slow: cut off, lay again from there with another variant,
///                                  or leave a gap, or stop
/// ```
///
/// It speaks of time and of segments. A seek lays a new run from the segment that plays at the target; a switch, a
/// discontinuity and another init section begin a new run behind the one before; the decoder splices on the sample.
pub struct HlsPlan {
    url: Url,
    policy: HlsPolicy,
    options: AbrOptions,
    audio: AudioPreference,
    key_options: KeyOptions,
    base_url: Option<Url>,
    names: Option<Names>,
    now: Duration,
    wishes: VecDeque<Wish<HlsEvent>>,
    ids: u64,
    stage: Stage,
    tracks: Vec<Track>,
    /// Where to begin, as the multivariant playlist says.
    start: Option<Start>,
    /// What its media playlists can import, if there was one.
    variables: Option<Variables>,
    abr: Option<AbrController>,
    loads: BTreeMap<FetchId, Loading>,
    /// Why what is kept is played without asking: nobody answers.
    offline: Option<Arc<NetError>>,
    line: Line,
    aside: Aside,
    cursor: Cursor,
    inits: Inits,
    keys: KeyRing,
    demand: Demand,
    /// When the reader was last heard of.
    last_demand: Duration,
    told: Told,
    gaps: failing::Gaps,
    wait: Option<waiting::Wait>,
    rejections: rejecting::Rejections,
    /// When transfers were last looked at.
    looked: Duration,
    /// How long a request takes to be answered, beside what a segment takes to come.
    pace: pumping::Pace,
    meter: meter::Meter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was asked for yet.
    Fresh,
    /// There is no playlist to play from yet.
    Opening,
    Playing,
    /// The last segment is laid.
    Ended,
    /// Until the listener seeks.
    Failed,
}

/// A document on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Loading {
    what: Document,
    since: Duration,
    /// It was refused once, and is asked for again.
    again: bool,
    /// What is kept of it from an earlier time.
    kept: Option<Bytes>,
}

impl Loading {
    fn new(what: Document, since: Duration, again: bool) -> Self {
        Self {
            what,
            since,
            again,
            kept: None,
        }
    }

    /// When it is given up.
    fn limit(&self) -> Duration {
        let limit = if self.kept.is_some() {
            DOUBT
        } else {
            LOAD_LIMIT
        };
        self.since + limit
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Document {
    Entry,
    /// The media playlist of a variant.
    List(usize),
    /// A key, by its place in the ring.
    Key(usize),
}

/// What listeners were told.
#[derive(Debug, Default)]
struct Told {
    window: Option<(std::ops::Range<Duration>, bool)>,
    late: Option<Freshness>,
    edge: Option<Duration>,
    stalled: bool,
    not_kept: bool,
    throughput: Option<u64>,
}

/// Prints no query and no user information.
impl fmt::Debug for HlsPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HlsPlan")
            .field("url", &RedactedUrl::new(&self.url))
            .field("stage", &self.stage)
            .field("cursor", &self.cursor)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl HlsPlan {
    /// A plan for the stream of that configuration.
    pub fn new(config: &HlsConfig) -> Self {
        Self {
            url: config.url.clone(),
            policy: config.policy,
            options: config.abr.clone(),
            audio: config.audio.clone(),
            key_options: config.keys.clone(),
            base_url: config.base_url.clone(),
            names: config.names(),
            now: Duration::ZERO,
            wishes: VecDeque::new(),
            ids: 0,
            stage: Stage::Fresh,
            tracks: Vec::new(),
            start: None,
            variables: None,
            abr: None,
            loads: BTreeMap::new(),
            offline: None,
            line: Line::default(),
            aside: Aside::default(),
            cursor: Cursor::default(),
            inits: Inits::default(),
            keys: KeyRing::default(),
            demand: Demand::default(),
            last_demand: Duration::ZERO,
            told: Told::default(),
            gaps: failing::Gaps::default(),
            wait: None,
            rejections: rejecting::Rejections::default(),
            looked: Duration::ZERO,
            pace: pumping::Pace::default(),
            meter: meter::Meter::default(),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn fetch_id(&mut self) -> FetchId {
        FetchId(self.next_id())
    }

    fn resource_id(&mut self) -> ResourceId {
        ResourceId(self.next_id())
    }

    fn wish(&mut self, wish: Wish<HlsEvent>) {
        self.wishes.push_back(wish);
    }

    fn event(&mut self, event: HlsEvent) {
        self.wishes.push_back(Wish::Event(event));
    }

    /// The stream cannot go on, until the listener seeks.
    fn fail(&mut self, error: HlsError) {
        if self.stage == Stage::Failed {
            return;
        }
        self.stage = Stage::Failed;
        for id in std::mem::take(&mut self.loads).into_keys() {
            self.wish(Wish::Abort(id));
        }
        self.tracks.iter_mut().for_each(Track::forget_loading);
        self.keys.forget_loading();
        self.drop_fetches();
        self.tell_failure(error);
    }

    fn tell_failure(&mut self, error: HlsError) {
        let error = StreamError::from(error);
        let told = error.clone();
        self.event(HlsEvent::Failed { error: told });
        self.wish(Wish::Fail(error));
    }

    /// Does whatever there is to do now.
    fn work(&mut self) {
        self.end_parts();
        self.lay();
        // What can't be asked for is laid again, or left out, at once.
        while let Some(owner) = self.first_part(Part::is_beyond_reach) {
            let error = self.missing(owner);
            self.part_mut(owner).state = State::Postponed;
            self.part_failed(owner, error);
            self.lay();
        }
        self.announce();
        self.look_at_wait();
        self.pump();
        self.tell();
    }

    /// Whether encrypted segments, or those of a playlist that forbids it, are shown to the store.
    fn keeps(&self, encrypted: bool) -> bool {
        !encrypted || self.policy.encrypted == EncryptedCache::Clear
    }

    /// Tells listeners what has changed since they were told last.
    fn tell(&mut self) {
        if let Some(bits_per_second) = self.abr.as_ref().and_then(AbrController::throughput)
            && self.told.throughput != Some(bits_per_second)
        {
            self.told.throughput = Some(bits_per_second);
            self.event(HlsEvent::Throughput { bits_per_second });
        }
        if self.stage != Stage::Playing && self.stage != Stage::Ended {
            return;
        }
        let Some(window) = self.current_window() else {
            return;
        };
        let shown = (window.seekable_range(), window.is_live());
        if self.told.window.as_ref() != Some(&shown) {
            self.told.window = Some(shown.clone());
            let (seekable, live) = shown;
            self.event(HlsEvent::Window { seekable, live });
        }
        let waiting = self.demand.wanted.is_some();
        if waiting != self.told.stalled {
            self.told.stalled = waiting;
            let at = self.playhead();
            self.event(HlsEvent::Stalled { waiting, at });
        }
    }
}

impl Plan for HlsPlan {
    type Event = HlsEvent;
    type Command = HlsCommand;

    fn handle(&mut self, now: Duration, input: Input) {
        self.now = now;
        match input {
            Input::Tick if self.stage == Stage::Fresh => self.load_entry(),
            Input::Tick => self.handle_tick(),
            Input::Demand(demand) => self.handle_demand(demand),
            Input::Seek { to } => self.handle_seek(to),
            Input::Stored { resource, stored } => self.handle_stored(resource, &stored),
            Input::Begun { .. } => {}
            Input::Sent { .. } => self.event(HlsEvent::Requested),
            Input::Taken { fetch } => self.handle_taken(fetch),
            Input::Head { fetch, head } => self.handle_head(fetch, &head),
            Input::Progress { fetch, stored } => self.handle_progress(fetch, stored.end),
            Input::Retrying {
                fetch,
                attempt,
                delay,
                error,
            } => {
                self.note_retry(fetch, StreamError::Net(Arc::clone(&error)));
                self.event(HlsEvent::Retrying {
                    attempt,
                    delay,
                    error,
                });
            }
            Input::Done { fetch, end } => self.handle_done(fetch, end),
            Input::Loaded { fetch, head, bytes } => self.handle_loaded(fetch, &head, bytes),
            Input::Rejected { resource, why } => self.handle_rejected(resource, why),
            Input::Recalled { fetch, bytes } => self.handle_recalled(fetch, bytes),
            Input::Failed { fetch, error } => self.handle_failed(fetch, error),
        }
        self.work();
    }

    fn handle_command(&mut self, now: Duration, command: HlsCommand) {
        self.now = now;
        match command {
            HlsCommand::Mode(mode) => {
                self.options.mode = mode;
                if let Some(abr) = &mut self.abr {
                    abr.set_mode(mode);
                }
            }
        }
        self.work();
    }

    fn poll(&mut self) -> Option<Wish<HlsEvent>> {
        self.wishes.pop_front()
    }

    fn deadline(&self) -> Option<Duration> {
        let loads = self.loads.values().map(Loading::limit);
        let times = [
            self.next_reload(),
            self.next_freshness(),
            self.next_check(),
            self.next_loss_of_patience(),
        ];
        loads.chain(times.into_iter().flatten()).min()
    }
}

/// Where a playlist came from, and what it may refer to.
#[derive(Clone, Debug)]
struct Place {
    base: BaseUrl,
    zone: Zone,
}

/// How a playlist came.
struct Arrival {
    place: Place,
    /// When it was asked for.
    since: Duration,
    /// It may be kept for the next time.
    keep: bool,
}

/// Whether a URL names a file of this machine. Whether that may be read is for the network layer to say.
fn is_file(url: &Url) -> bool {
    url.scheme() == "file"
}

/// A URL as it may be printed.
fn shown(url: &Url) -> String {
    RedactedUrl::new(url).to_string()
}
