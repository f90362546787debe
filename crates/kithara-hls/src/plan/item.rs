//! The segments that are laid out in front of the reader.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_abr::SegmentWatch;
use kithara_drm::Iv;
use kithara_stream::net::Zone;
use kithara_stream::{FetchId, ResourceId, RunCause, Transform};
use url::Url;

/// No decoder reads so many bytes ahead of what it decodes,
const READ_AHEAD: u64 = 256 * 1024;
/// nor so many segments.
const PASSED: usize = 64;

/// One sequence of bytes on its way: a segment, or an init section.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) resource: ResourceId,
    /// The resource that came by these bytes first, where several share them.
    pub(super) bytes: ResourceId,
    pub(super) source: Source,
    pub(super) state: State,
    pub(super) transfer: Option<Transfer>,
    /// Bytes that can be read, from its first on.
    pub(super) stored: u64,
    /// Failed attempts since its last byte.
    pub(super) spent: u32,
    /// It was refused once, and is asked for again.
    pub(super) again: bool,
    /// What came of it once did not decode.
    pub(super) rejected: bool,
    /// When it is let go of it is not set aside: a store has it, it is on this machine, or it is no good.
    pub(super) kept: bool,
}

/// Where bytes are.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) url: Url,
    pub(super) range: Option<Range<u64>>,
    pub(super) cipher: Cipher,
    pub(super) zone: Zone,
    /// The playlist lets it be kept.
    pub(super) keep: bool,
}

/// How bytes are encrypted.
#[derive(Clone)]
pub(super) enum Cipher {
    Clear,
    /// With this key, by its place in the ring.
    Aes128(usize, Iv),
    /// As the caller knows.
    Callers(Arc<dyn Transform>),
}

impl PartialEq for Cipher {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Clear, Self::Clear) => true,
            (Self::Aes128(key, iv), Self::Aes128(other, vector)) => (key, iv) == (other, vector),
            // It makes the same of the same bytes.
            (Self::Callers(_), Self::Callers(_)) => true,
            _ => false,
        }
    }
}

impl Eq for Cipher {}

impl Source {
    /// What the server sends is what is stored.
    pub(super) fn is_clear(&self) -> bool {
        matches!(self.cipher, Cipher::Clear)
    }

    /// The place in the ring of the key that it waits for.
    pub(super) fn key(&self) -> Option<usize> {
        match self.cipher {
            Cipher::Aes128(key, _) => Some(key),
            Cipher::Clear | Cipher::Callers(_) => None,
        }
    }

    /// Whether it is on this machine: then it is not copied into the store, and tells nothing of the network.
    pub(super) fn is_file(&self) -> bool {
        super::is_file(&self.url)
    }
}

/// Prints no query and no user information.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", super::shown(&self.url), self.range)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The store is looking.
    Opening,
    /// Something is missing.
    Wanted,
    /// Others are bringing it.
    Elsewhere,
    /// It could not be had, and nobody needs it yet.
    Postponed,
    Whole,
}

/// A request for a part.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub(super) id: FetchId,
    pub(super) since: Duration,
    pub(super) watch: SegmentWatch,
    /// Where it begins, and how far it has come.
    pub(super) from: u64,
    pub(super) brought: u64,
    /// From the request to the response headers.
    pub(super) latency: Option<Duration>,
    pub(super) total: Option<u64>,
    /// The framing of the body proves its end.
    pub(super) proven: bool,
    /// It has no credit until its key is there.
    pub(super) waits_for_key: bool,
}

impl Part {
    pub(super) fn new(resource: ResourceId, source: Source, opens: bool) -> Self {
        let kept = opens || source.is_file();
        Self {
            resource,
            bytes: resource,
            kept,
            source,
            state: if opens { State::Opening } else { State::Wanted },
            transfer: None,
            stored: 0,
            spent: 0,
            again: false,
            rejected: false,
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Attempts since its last byte, with the one that is under way.
    pub(super) fn all_spent(&self) -> u32 {
        let asks = |transfer: &Transfer| transfer.brought == 0 && !transfer.waits_for_key;
        self.spent + u32::from(self.transfer.as_ref().is_some_and(asks))
    }

    /// Whether it can't be asked for, because nothing but its name is known.
    pub(super) fn is_beyond_reach(&self) -> bool {
        self.state == State::Wanted && self.source.url.scheme() == crate::shelved::SCHEME
    }

    /// How long it is, if all of it came, and nobody was left to say so.
    pub(super) fn unended_len(&self) -> Option<u64> {
        let idle = self.state == State::Wanted && self.transfer.is_none();
        let range = self.source.range.as_ref();
        let range = range.filter(|_| idle && self.source.is_clear())?;
        let len = range.end - range.start;
        (self.stored >= len).then_some(len)
    }

    pub(super) fn is_opened(&self) -> bool {
        self.state != State::Opening
    }

    /// How long it is, where that is known.
    pub(super) fn len(&self) -> Option<u64> {
        match self.state {
            State::Whole => Some(self.stored),
            _ => self.transfer.as_ref()?.total,
        }
    }

    fn is_brought_by(&self, fetch: FetchId) -> bool {
        self.transfer.as_ref().is_some_and(|own| own.id == fetch)
    }
}

/// Which segment of a stream: its variant, the epoch of that, and its media sequence number.
pub(super) type Name = (usize, u64, u64);

/// One segment of one variant, on its way to the reader.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) part: Part,
    pub(super) variant: usize,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    /// When it plays, as the playlist has it.
    pub(super) start: Duration,
    pub(super) duration: Duration,
    /// The clock of its timestamps.
    pub(super) clock: u64,
    /// Its place among the init sections.
    pub(super) init: Option<usize>,
    /// It begins a run, for this reason.
    pub(super) begins: Option<RunCause>,
    /// What was laid in its place first was the first that is played, for this reason.
    pub(super) opens: Option<RunCause>,
    /// It was heard already, or need not be: the decoder of the run settles on it.
    pub(super) leads_in: bool,
}

impl Item {
    pub(super) fn end(&self) -> Duration {
        self.start.saturating_add(self.duration)
    }

    /// Which of all segments it is.
    pub(super) fn name(&self) -> Name {
        (self.variant, self.epoch, self.sequence)
    }
}

/// The items in the order in which they are read.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) items: VecDeque<Item>,
    /// So many of them were announced to the reader.
    pub(super) announced: usize,
    /// The run that the item at `announced` begins is announced.
    pub(super) begun: bool,
    /// And so is its init section.
    pub(super) init_told: bool,
    /// A run is open: more parts may follow.
    pub(super) open_run: bool,
    /// The end is announced.
    pub(super) ended: bool,
    /// The item that is being read.
    pub(super) reader: usize,
    /// Those read before it, as far as a decoder may be behind its reader.
    pub(super) passed: VecDeque<Item>,
}

impl Line {
    pub(super) fn by_resource(&self, resource: ResourceId) -> Option<usize> {
        let of = |item: &Item| item.part.resource == resource;
        self.items.iter().position(of)
    }

    pub(super) fn by_fetch(&self, fetch: FetchId) -> Option<usize> {
        let of = |item: &Item| item.part.is_brought_by(fetch);
        self.items.iter().position(of)
    }

    /// The item that is to be heard there: what only leads into it is never heard itself.
    pub(super) fn heard_at(&self, index: usize) -> &Item {
        let item = &self.items[index];
        let next = self.items.get(index + 1).filter(|_| item.leads_in);
        next.unwrap_or(item)
    }

    /// Takes everything from an item on, for whoever lets go of it; whether the reader may have heard of any of it.
    pub(super) fn split_off(&mut self, from: usize) -> (VecDeque<Item>, bool) {
        let rest = self.items.split_off(from.min(self.items.len()));
        let heard = from < self.announced || (from == self.announced && self.begun);
        if heard {
            self.announced = from;
            (self.begun, self.init_told) = (false, false);
        }
        self.reader = self.reader.min(self.items.len());
        (rest, heard)
    }

    /// Passes the first item, which was read; the transfer that was bringing it, if it is not whole.
    pub(super) fn pass(&mut self) -> Option<Transfer> {
        let mut item = self.items.pop_front()?;
        self.announced = self.announced.saturating_sub(1);
        self.reader = self.reader.saturating_sub(1);
        let transfer = item.part.transfer.take();
        self.passed.push_back(item);
        transfer
    }

    /// An item that no decoder stands in any more.
    pub(super) fn pop_passed(&mut self) -> Option<Item> {
        let behind = self.passed.iter().skip(1).map(|item| item.part.stored);
        let is_far = behind.sum::<u64>() >= READ_AHEAD || self.passed.len() > PASSED;
        is_far.then(|| self.passed.pop_front()).flatten()
    }

    /// Takes back those that were passed, from one of them on: it is the first then.
    pub(super) fn go_back_to(&mut self, passed: usize) {
        let again = self.passed.split_off(passed);
        self.announced += again.len();
        for item in again.into_iter().rev() {
            self.items.push_front(item);
        }
    }
}

/// The init sections of a stream. They stay: going back to a variant costs no request.
#[derive(Debug, Default)]
pub(super) struct Inits {
    pub(super) parts: Vec<Part>,
}

impl Inits {
    pub(super) fn find(&self, source: &Source) -> Option<usize> {
        self.parts.iter().position(|part| part.source == *source)
    }

    pub(super) fn by_resource(&self, resource: ResourceId) -> Option<usize> {
        self.parts.iter().position(|part| part.resource == resource)
    }

    pub(super) fn by_fetch(&self, fetch: FetchId) -> Option<usize> {
        self.parts.iter().position(|part| part.is_brought_by(fetch))
    }
}

/// Whose bytes a transfer brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Item(usize),
    Init(usize),
}
