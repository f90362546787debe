//! What decides and what is decided: a [`Plan`] hears facts and utters wishes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kithara_assets::{Facts, Keep, Reason, ResourceKey};
use kithara_net::{
    Attempts, Headers, NetError, Purpose, RedactedUrl, ResponseHead, Validator, Zone,
};
use kithara_storage::Coverage;
use url::Url;

use crate::{MediaDuration, MediaInfo, PartKind, RunCause, StreamError, Timing, Transform};

/// Decides what to fetch next, and nothing else.
///
/// A plan has no clock, socket, file, thread, lock or randomness. Time is the `now` it is given, counted from the
/// moment it began; the world comes in through [`handle`](Self::handle), decisions come out of [`poll`](Self::poll).
/// The driver performs them against the network and the store; tests drive the same plan in a simulated world.
///
/// The contract: after every call of `handle`, the caller calls `poll` until it returns `None`, and carries out the
/// wishes in that order; it calls `handle` with [`Input::Tick`] once `deadline` has passed.
pub trait Plan: Send + 'static {
    /// What the plan tells listeners.
    type Event: Send + 'static;
    /// What the plan is told while it runs; [`Infallible`](std::convert::Infallible) if nothing.
    type Command: Send + 'static;

    /// Hears one fact.
    fn handle(&mut self, now: Duration, input: Input);

    /// Hears what the listener wants changed.
    fn handle_command(&mut self, now: Duration, command: Self::Command) {
        let _ = (now, command);
    }

    /// Utters the next wish, if there is one.
    fn poll(&mut self) -> Option<Wish<Self::Event>>;

    /// When to send a tick if nothing else happens before.
    fn deadline(&self) -> Option<Duration>;
}

/// Names one transfer of a plan, for as long as the plan lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FetchId(pub u64);

/// Names one resource (one byte sequence) of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId(pub u64);

/// Positions of the reader closer together than this are one to a plan: it plans in requests of hundreds of kilobytes and need not
/// be woken for every read.
pub const DEMAND_STEP: u64 = 32 * 1024;

/// What the reader wants: only the newest wish counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The resource being read.
    pub resource: ResourceId,
    /// The next byte the reader will read, told in [steps](DEMAND_STEP).
    pub position: u64,
    /// The bytes the reader is blocked on, if it is.
    pub wanted: Option<Range<u64>>,
}

/// How a resource stands in the store, whoever brought it there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// What can be read now.
    pub coverage: Coverage,
    /// What others are bringing.
    pub others: Coverage,
    /// What the origin said about these bytes, if anything was ever heard of it.
    pub facts: Option<Facts>,
    /// The length in bytes, if it is known.
    pub end: Option<u64>,
    /// Somebody else found that the origin has changed: these bytes are no longer kept.
    pub superseded: bool,
    /// So many bytes are held in memory at most, and the oldest go first. `None` as long as there is no such bound.
    pub memory_only: Option<u64>,
    /// Why these bytes are forgotten once nobody has them open, if they are.
    pub not_kept: Option<Reason>,
    /// Whether it is time to ask the origin if they are still the same: all of them are there, and nobody else in this
    /// process is asking.
    pub due: bool,
    /// The origin was found to have another content: it is to be asked before these bytes are read.
    pub outdated: bool,
}

/// Who waits for the bytes of a [`Fetch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// A listener, now or soon.
    #[default]
    Foreground,
    /// Nobody yet: it moves only while nothing else in the process does, and what it would bring is left to whoever
    /// somebody waits for.
    Background,
}

/// What is wrong with bytes that came as they are at their origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// They are media in which there is nothing to be heard.
    Silent,
    /// They are the last of a title, and shorter than its playlist says.
    Short,
    /// They are fragments of media whose beginning, the init section, does not come before them.
    Headless,
    /// They are something else, or damaged.
    Damaged {
        /// How, in a few words.
        what: String,
    },
}

/// A fact for a [`Plan`].
#[derive(Clone, Debug)]
pub enum Input {
    /// The reader moved, or blocked.
    Demand(Demand),
    /// The listener sought. Whoever waits for bytes that had failed waits again, so they are to be asked for again; a
    /// plan whose runs don't serve every time publishes a new one at once.
    Seek {
        /// The media time sought.
        to: Duration,
    },
    /// What the reader was given does not decode, from the first byte of this resource of a run on. A plan that can do something
    /// about it discards the resource ([`Wish::Discard`]), or cuts the run off there ([`Wish::CutOff`]), and begins another, or
    /// fails; if it does neither, it leaves it at that.
    Rejected {
        /// The resource at fault. The reader may stand behind it, as far as a decoder reads ahead.
        resource: ResourceId,
        /// What is wrong with it.
        why: Rejection,
    },
    /// How a resource stands in the store: the answer to [`Wish::Open`], and again whenever that changes without this
    /// plan's doing: others brought, claimed or gave up bytes, stored ones were lost, the origin was found changed. It
    /// replaces what the plan believed.
    Stored {
        /// The resource.
        resource: ResourceId,
        /// How it stands.
        stored: Stored,
    },
    /// A transfer was started.
    Begun {
        /// The transfer.
        fetch: FetchId,
        /// What it asks for: what was wished for, as far as nobody else brings it.
        range: Range<u64>,
    },
    /// A request of a transfer went out: its first, or another one for the rest after it broke. A redirect that is
    /// followed is none.
    Sent {
        /// The transfer.
        fetch: FetchId,
        /// The bytes asked for; an open end means all there is.
        range: Range<u64>,
    },
    /// A transfer was not started, because somebody else brings its first byte, or has brought it. How the resource stands
    /// is told next.
    Taken {
        /// The transfer.
        fetch: FetchId,
    },
    /// Response headers arrived.
    Head {
        /// The transfer.
        fetch: FetchId,
        /// What they say.
        head: ResponseHead,
    },
    /// Bytes of a transfer were stored and can be read.
    Progress {
        /// The transfer.
        fetch: FetchId,
        /// The stored range.
        stored: Range<u64>,
    },
    /// A transfer broke and is going to be tried again by the network layer.
    Retrying {
        /// The transfer.
        fetch: FetchId,
        /// Which retry this is, from 1.
        attempt: u32,
        /// How long until it is made.
        delay: Duration,
        /// What broke.
        error: Arc<NetError>,
    },
    /// A transfer ended as its response said it would.
    Done {
        /// The transfer.
        fetch: FetchId,
        /// One past the last byte of the resource that it has stored: where a [`Transform`] changes lengths, only this tells.
        end: u64,
    },
    /// A document came, as [`Wish::Load`] asked.
    Loaded {
        /// The transfer.
        fetch: FetchId,
        /// What the headers said.
        head: ResponseHead,
        /// All of it.
        bytes: Bytes,
    },
    /// A note, as [`Wish::Recall`] asked.
    Recalled {
        /// The name of the answer.
        fetch: FetchId,
        /// What was kept; `None` if nothing was, or not all of it.
        bytes: Option<Bytes>,
    },
    /// A transfer failed for good.
    Failed {
        /// The transfer.
        fetch: FetchId,
        /// Why.
        error: StreamError,
    },
    /// The deadline passed.
    Tick,
}

/// Something a [`Plan`] wants done.
#[derive(Clone, Debug)]
pub enum Wish<E> {
    /// Look what the store has of a resource; [`Input::Stored`] answers. A resource that is not opened is shared with nobody
    /// and kept by nobody.
    Open {
        /// The resource.
        resource: ResourceId,
        /// What the store calls it.
        key: ResourceKey,
    },
    /// A resource is the same bytes as another, which is open, or was never to be opened, and was not left: what either has, both
    /// have, and what one brings the other need not. [`Input::Stored`] answers.
    Share {
        /// The new resource.
        resource: ResourceId,
        /// The one whose bytes it is.
        of: ResourceId,
    },
    /// Say what the origin told of a resource; before its first byte is stored. If the store knows otherwise, it answers
    /// with [`Input::Stored`].
    Identify {
        /// The resource.
        resource: ResourceId,
        /// What the origin told.
        facts: Facts,
        /// Whether it lets the bytes be kept.
        keep: Keep,
    },
    /// The origin has just confirmed that the stored bytes are its own.
    Validated {
        /// The resource.
        resource: ResourceId,
    },
    /// The origin has another content now, but these bytes may be read on: who opens them next hears of it
    /// ([`Stored::outdated`]).
    Outdated {
        /// The resource.
        resource: ResourceId,
    },
    /// The origin has another content now, or it is of no use: whoever opens the resource from now on begins with nothing. Who
    /// reads it already keeps the old bytes.
    Discard {
        /// The resource.
        resource: ResourceId,
    },
    /// Let go of a resource: nothing more is heard of it, its transfers are dropped, and it may be removed once nobody reads
    /// it.
    Leave {
        /// The resource.
        resource: ResourceId,
    },
    /// Read a note that was kept beside the title: [`Input::Recalled`] answers.
    Recall {
        /// Names the answer.
        fetch: FetchId,
        /// What the store calls it.
        key: ResourceKey,
    },
    /// Keep a note beside the title, for the next time. Whether it can be kept shows then.
    Remember {
        /// What the store calls it.
        key: ResourceKey,
        /// The note.
        bytes: Bytes,
    },
    /// Load a document into memory; [`Input::Loaded`] or [`Input::Failed`] answers.
    Load(Load),
    /// Start a transfer; [`Input::Begun`] answers. If somebody else brings a part of what it would, it ends there; if that
    /// is its first byte, [`Input::Taken`] answers.
    Fetch(Fetch),
    /// A transfer may store bytes up to here (exclusive), more or fewer than before; it pauses when it gets there. What
    /// lies beyond is left to others.
    Credit {
        /// The transfer.
        fetch: FetchId,
        /// The first byte it may not read yet.
        until: u64,
    },
    /// Drop a transfer. Nothing is heard of it afterwards.
    Abort(FetchId),
    /// A run can be read from now on: of the resource named there, or, if it [extends](RunFacts::extends), of those that
    /// follow. If the one before was still to be extended, it is [cut off](Self::CutOff).
    Publish(RunFacts),
    /// The newest run, published with more to follow, goes on with this resource once those before it are read to their end.
    Extend {
        /// The resource.
        resource: ResourceId,
        /// What it is.
        kind: PartKind,
    },
    /// Nothing follows in the newest run.
    Close,
    /// What was to be read next in the newest run will not come: whoever gets there is told [`StreamError::CutOff`], and goes
    /// on with the next run, which has it again. What lies before is read to its end, and waited for.
    CutOff {
        /// The first resource of the run that does not come, or not whole; `None` if it has all that it goes on with.
        from: Option<ResourceId>,
    },
    /// The length of a resource is known.
    Length {
        /// The resource.
        resource: ResourceId,
        /// Its length in bytes.
        len: u64,
        /// Whether anything proves it. What nothing proves is the end for this stream alone: others that read the same
        /// resource don't hear of it.
        proven: bool,
    },
    /// Every byte of a resource is stored.
    Complete {
        /// The resource.
        resource: ResourceId,
        /// Its length in bytes.
        len: u64,
    },
    /// The reader waiting for this byte must be told that it cannot have it; others go on.
    Refuse {
        /// The resource.
        resource: ResourceId,
        /// The byte.
        offset: u64,
        /// Why.
        error: StreamError,
    },
    /// No further run will come.
    End,
    /// Tell listeners.
    Event(E),
    /// The title cannot go on: transfers are dropped, what is stored stays readable, everything else fails with this
    /// until the listener seeks.
    Fail(StreamError),
}

/// One transfer a [`Plan`] wants: a range of one URL into one resource.
#[derive(Clone)]
pub struct Fetch {
    /// Its name.
    pub id: FetchId,
    /// The resource that takes the bytes; the offset in the resource is the offset in the response's representation, unless
    /// the [terms](Self::terms) say otherwise.
    pub resource: ResourceId,
    /// The URL.
    pub url: Url,
    /// The bytes wanted; an open end means all there is.
    pub range: Range<u64>,
    /// The first byte it may not read yet: the transfer pauses there until [`Wish::Credit`]. A [`Transform`] may make known a
    /// little more than that.
    pub credit: u64,
    /// So many bytes at the start of the range are stored, and are asked for again to be compared: a difference is
    /// [`StreamError::ContentChanged`]. If that is all of the range, nothing of it is stored, and it is done once they
    /// are compared.
    pub overlap: u64,
    /// The version of the resource that earlier bytes came from.
    pub if_range: Option<Validator>,
    /// What the network layer may spend on retries before it comes back with [`Input::Failed`].
    pub attempts: Attempts,
    /// Who waits for it.
    pub priority: Priority,
    /// What is particular about a part of a title, as opposed to a file that is the whole of it.
    pub terms: Terms,
}

/// What is particular about one of the many resources of a title.
#[derive(Clone, Default)]
pub struct Terms {
    /// Where the resource begins in what the URL names, if it is a stretch of that. Ranges, credits and facts count from the
    /// beginning of the resource.
    pub shift: u64,
    /// Nothing is taken but the range that is wished for, whatever the server sends instead: what comes before it is dropped,
    /// and where it ends the transfer is done. Of a stretch that begins where the whole does this has to be said; with a
    /// `shift` or a `transform` it is so anyway. The [`Input::Head`] then speaks of the range, and knows of a length of the
    /// resource only if all of what the URL names was wished for.
    pub exact: bool,
    /// What the bytes become on their way into the resource; without one they are stored as they come. With one, the end of
    /// a range is where the server's bytes end, counted from the `shift`: only all of them can be transformed.
    pub transform: Option<Arc<dyn Transform>>,
    /// Which document named the URL; none if the caller did.
    pub zone: Option<Zone>,
}

impl Terms {
    /// Whether nothing but the wished range is taken.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact || self.shift > 0 || self.transform.is_some()
    }
}

/// A document a [`Plan`] wants to read: a playlist, a key.
#[derive(Clone)]
pub struct Load {
    /// Its name.
    pub id: FetchId,
    /// The URL.
    pub url: Url,
    /// What it is.
    pub purpose: Purpose,
    /// More bytes than this are [`StreamError::TooLarge`].
    pub most: usize,
    /// Headers for the origin of the URL only.
    pub headers: Headers,
    /// Which document named the URL; none if the caller did.
    pub zone: Option<Zone>,
    /// What the network layer may spend on retries.
    pub attempts: Attempts,
}

/// Prints no query and no user information.
impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("id", &self.id)
            .field("url", &RedactedUrl::new(&self.url))
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// Prints no query and no user information.
impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch")
            .field("id", &self.id)
            .field("resource", &self.resource)
            .field("url", &RedactedUrl::new(&self.url))
            .field("range", &self.range)
            .field("credit", &self.credit)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// What a new run is, for those who read it.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// The resource its bytes come from, if it does not [extend](Self::extends).
    pub resource: ResourceId,
    /// The media time of its first frame.
    pub start: Duration,
    /// What is known about it.
    pub info: MediaInfo,
    /// Why it began.
    pub cause: RunCause,
    /// Its length in bytes, if known.
    pub len: Option<u64>,
    /// Whether bytes far from those read before can be had.
    pub seekable: bool,
    /// Its bytes come from many resources, one after another: each is named by [`Wish::Extend`], also the first, until
    /// [`Wish::Close`].
    pub extends: bool,
    /// What its frames are counted from.
    pub timing: Timing,
    /// How long the title is, as far as the protocol knows.
    pub title: Option<MediaDuration>,
    /// Instead of bytes: silence up to this media time.
    pub silence: Option<Duration>,
}

impl RunFacts {
    /// A run of one resource that is the whole title: from its beginning, in its own time.
    #[must_use]
    pub fn whole(resource: ResourceId, info: MediaInfo, len: Option<u64>, seekable: bool) -> Self {
        Self {
            resource,
            start: Duration::ZERO,
            info,
            cause: RunCause::Start,
            len,
            seekable,
            extends: false,
            timing: Timing::Own,
            title: None,
            silence: None,
        }
    }
}
