//! Lays segments out in front of the reader, one after another, each of the variant that is best then.

use std::ops::Range;
use std::time::Duration;

use kithara_drm::Iv;
use kithara_stream::{RunCause, Wish};
use url::Url;

use super::item::{Cipher, Item, Name, Owner, Part, Source, State};
use super::{HlsPlan, Stage};
use crate::config::GapPolicy;
use crate::event::{GapCause, SegmentSource};
use crate::failure::HlsError;
use crate::{Encrypted, Encryption, HlsEvent, Segment, Window};

/// Playlists of two variants that are cut at the same places agree on when segments begin to no more than this. Where they are
/// cut elsewhere, a switch takes the segment that has what comes next: what is there twice is dropped, and nothing is missing.
const AGREEMENT: Duration = Duration::from_millis(5);

/// So many init sections are held at once.
const INITS: usize = 16;

/// Where the next segment is.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    /// When it begins.
    pub(super) at: Duration,
    /// Variant, epoch and media sequence number of the one that follows the last, if that variant goes on.
    pub(super) follows: Option<Name>,
    /// What the newest run is of: variant, init section, clock.
    pub(super) run: Option<(usize, Option<usize>, u64)>,
    /// A new run begins there, for this reason, even if the newest could go on.
    pub(super) cause: Option<RunCause>,
    /// What is laid next stands for what was to be played first, for this reason.
    pub(super) opens: Option<RunCause>,
}

/// What is at the cursor.
enum Next {
    Segment(Box<Found>),
    /// Nothing yet.
    Edge,
    /// Nothing any more.
    End,
    /// What was there has left the window, which begins here.
    Passed(Duration),
}

/// A segment, out of its playlist.
pub(super) struct Found {
    sequence: u64,
    epoch: u64,
    pub(super) start: Duration,
    pub(super) duration: Duration,
    pub(super) clock: u64,
    pub(super) gap: bool,
    pub(super) source: Option<Where>,
    pub(super) init: Option<Option<Where>>,
}

/// A reference that was resolved; with it the key, if that could not be.
pub(super) struct Where {
    url: Url,
    range: Option<Range<u64>>,
    key: Key,
}

enum Key {
    Clear,
    Aes128(Option<Url>, Iv),
    Unsupported(String),
}

/// The segment that has what comes at a time: one that is as good as over then is not it, and those of no length come first.
fn segment_from(window: &Window, at: Duration) -> Option<(Segment<'_>, Duration)> {
    let (segment, start) = window.segment_at(at)?;
    let end = start.saturating_add(segment.duration);
    if start < at && end <= at.saturating_add(AGREEMENT) {
        return window.segment(segment.sequence + 1);
    }
    let mut found = (segment, start);
    while let Some(before) = found.0.sequence.checked_sub(1)
        && let Some(before) = window.segment(before).filter(|(_, begin)| *begin == start)
    {
        found = before;
    }
    Some(found)
}

impl HlsPlan {
    pub(super) fn lay(&mut self) {
        if self.stage == Stage::Opening {
            self.choose_first();
        }
        while self.stage == Stage::Playing && self.has_room() {
            let Some(variant) = self.choose() else { return };
            if !self.lay_next(variant) {
                return;
            }
        }
    }

    /// Lays what is at the cursor, of this variant; whether there may be more.
    pub(super) fn lay_next(&mut self, variant: usize) -> bool {
        match self.next(variant) {
            None | Some(Next::Edge) => {
                let at = self.cursor.at;
                if self.demand.wanted.is_some() && self.told.edge != Some(at) {
                    self.told.edge = Some(at);
                    self.event(HlsEvent::LiveEdge { at });
                }
                false
            }
            Some(Next::End) => {
                self.stage = Stage::Ended;
                false
            }
            Some(Next::Passed(to)) => {
                let (at, cause) = (self.cursor.at, GapCause::Passed);
                let duration = to.saturating_sub(at);
                self.event(HlsEvent::Gap {
                    at,
                    duration,
                    silent: false,
                    cause,
                });
                self.cursor.at = to;
                self.cursor.follows = None;
                // What comes first behind a seek is what was sought.
                let first = self.cursor.cause.filter(is_first);
                self.cursor.cause = Some(first.unwrap_or(RunCause::Skip));
                true
            }
            Some(Next::Segment(found)) if found.gap => {
                let end = found.start.saturating_add(found.duration);
                let next = (variant, found.epoch, found.sequence + 1);
                let policy = self.policy.gap.unwrap_or(GapPolicy::Silence);
                self.leave_gap(found.start..end, next, policy, GapCause::Announced)
            }
            Some(Next::Segment(found)) => self.lay_segment(variant, *found),
        }
    }

    /// Goes on behind a stretch that is not there; false if the policy forbids it.
    pub(super) fn leave_gap(
        &mut self,
        gap: Range<Duration>,
        next: Name,
        policy: GapPolicy,
        cause: GapCause,
    ) -> bool {
        if policy == GapPolicy::Stop {
            let error = match cause {
                GapCause::Failed(error) => error,
                GapCause::Announced | GapCause::Passed => HlsError::Missing {
                    variant: next.0,
                    sequence: next.2 - 1,
                },
            };
            return self.refuse(error);
        }
        let silent = policy == GapPolicy::Silence;
        self.event(HlsEvent::Gap {
            at: gap.start,
            duration: gap.end.saturating_sub(gap.start),
            silent,
            cause,
        });
        let fresh = self.cursor.run.is_none().then_some(RunCause::Start);
        let stands_for = self.cursor.opens.take();
        let first = stands_for.or(self.cursor.cause).or(fresh).filter(is_first);
        if let Some(cause) = first.filter(|_| silent) {
            self.publish_silence(gap.clone(), cause);
        }
        self.cursor.at = gap.end;
        self.cursor.follows = Some(next);
        self.cursor.cause = Some(match (silent, first) {
            (true, _) => RunCause::Gap,
            // What comes first there is what was sought.
            (false, Some(first)) => first,
            (false, _) => RunCause::Skip,
        });
        true
    }

    /// Whether a variant has nothing from the cursor on, and never will.
    pub(super) fn is_over(&self, variant: usize) -> bool {
        matches!(self.next(variant), Some(Next::End))
    }

    fn next(&self, variant: usize) -> Option<Next> {
        let window = self.window(variant)?;
        let over = |window: &Window| {
            if window.is_live() {
                Next::Edge
            } else {
                Next::End
            }
        };
        let follows = self
            .cursor
            .follows
            .filter(|(of, epoch, _)| *of == variant && *epoch == window.epoch());
        let found = if let Some((.., sequence)) = follows {
            let list = window.playlist();
            if sequence < list.first_sequence() {
                return Some(Next::Passed(window.range().start));
            }
            if sequence >= list.end_sequence() {
                return Some(over(window));
            }
            window.segment(sequence)
        } else {
            let range = window.range();
            if self.cursor.at.saturating_add(AGREEMENT) < range.start {
                return Some(Next::Passed(range.start));
            }
            match segment_from(window, self.cursor.at.max(range.start)) {
                None => return Some(over(window)),
                found => found,
            }
        };
        let (segment, start) = found?;
        let found = self.take_out(variant, window.epoch(), &segment, start);
        Some(Next::Segment(Box::new(found)))
    }

    pub(super) fn take_out(
        &self,
        variant: usize,
        epoch: u64,
        segment: &Segment<'_>,
        start: Duration,
    ) -> Found {
        let list = self.tracks[variant].list.as_ref();
        let resolve = |reference: &str| list.and_then(|list| list.place.base.join(reference));
        let key = |encryption: &Encryption<'_>| match encryption {
            Encryption::Clear => Key::Clear,
            Encryption::Aes128 { key, iv } => Key::Aes128(resolve(key.as_str()), *iv),
            Encryption::Unsupported { method } => Key::Unsupported((*method).to_owned()),
        };
        let place = |reference: &str, range: Option<Range<u64>>, encryption: &Encryption<'_>| {
            resolve(reference).map(|url| Where {
                url,
                range,
                key: key(encryption),
            })
        };
        Found {
            sequence: segment.sequence,
            epoch,
            start,
            duration: segment.duration,
            clock: (epoch << 32) ^ segment.discontinuity_sequence,
            gap: segment.gap,
            source: place(
                segment.reference,
                segment.range.clone(),
                &segment.encryption,
            ),
            init: segment.init.as_ref().map(|init| {
                place(
                    init.reference.as_str(),
                    init.range.clone(),
                    &init.encryption,
                )
            }),
        }
    }

    fn lay_segment(&mut self, variant: usize, found: Found) -> bool {
        let sequence = found.sequence;
        let init = match found.init {
            None => None,
            Some(place) => match self.source(variant, sequence, place, "init section") {
                Ok(source) => Some(self.init(source)),
                Err(error) => return self.refuse(error),
            },
        };
        let source = match self.source(variant, sequence, found.source, "segment") {
            Ok(source) => source,
            Err(error) => return self.refuse(error),
        };
        let run = (variant, init, found.clock);
        let begins = match (self.cursor.cause.take(), self.cursor.run) {
            (Some(cause), _) => Some(cause),
            (None, None) => Some(RunCause::Start),
            (None, Some(old)) if old == run => None,
            (None, Some((old, ..))) if old != variant => Some(RunCause::VariantSwitch),
            (None, Some(_)) => Some(RunCause::Discontinuity),
        };
        self.cursor.run = Some(run);
        self.cursor.at = found.start.saturating_add(found.duration);
        self.cursor.follows = Some((variant, found.epoch, sequence + 1));
        let rejected = self.rejections.contains(&(variant, found.epoch, sequence));
        let shared = self.shared(found.epoch, &source).filter(|_| !rejected);
        let mut part = shared.unwrap_or_else(|| self.open(source));
        // Whatever came of it counts as an attempt.
        part.spent = self.gaps.spent(found.start, variant) + u32::from(rejected);
        self.line.items.push_back(Item {
            part,
            variant,
            epoch: found.epoch,
            sequence,
            start: found.start,
            duration: found.duration,
            clock: found.clock,
            init,
            begins,
            opens: self.cursor.opens.take(),
            leads_in: false,
        });
        let index = self.line.items.len() - 1;
        let part = &self.line.items[index].part;
        if part.is_whole() {
            let bytes = part.stored;
            let (owner, elapsed) = (Owner::Item(index), Duration::ZERO);
            self.part_whole(owner, bytes, elapsed, SegmentSource::Cache);
        }
        self.lead_in();
        true
    }

    /// What is at the cursor cannot be laid. What lies in front of it comes first; then it is looked at again.
    fn refuse(&mut self, error: HlsError) -> bool {
        if self.is_all_there() {
            self.fail(error);
        }
        false
    }

    pub(super) fn source(
        &mut self,
        variant: usize,
        sequence: u64,
        place: Option<Where>,
        what: &'static str,
    ) -> Result<Source, HlsError> {
        let list = self.tracks[variant].list.as_ref();
        let (Some(place), Some(list)) = (place, list) else {
            let name = self.list_name(variant);
            return Err(HlsError::Reference { name, what });
        };
        let zone = list.place.zone;
        let keep = list.window.playlist().allows_cache();
        let cipher = match place.key {
            Key::Clear => Cipher::Clear,
            Key::Aes128(Some(key), iv) => {
                let of = Encrypted { sequence, key, iv };
                match self.key_options.transform(&of) {
                    Some(transform) => Cipher::Callers(transform),
                    None => Cipher::Aes128(self.place_key(of.key, zone), iv),
                }
            }
            Key::Aes128(None, _) => {
                let (name, what) = (self.list_name(variant), "key");
                return Err(HlsError::Reference { name, what });
            }
            Key::Unsupported(method) => return Err(HlsError::Encryption { sequence, method }),
        };
        Ok(Source {
            url: place.url,
            range: place.range,
            cipher,
            zone,
            keep,
        })
    }

    /// Whether a part may be in the store.
    pub(super) fn may_be_kept(&self, source: &Source) -> bool {
        let kept = source.keep && !source.is_file() && self.keeps(!source.is_clear());
        kept && self.names.is_some()
    }

    /// Begins to look for a part in the store, if it may be there.
    pub(super) fn open(&mut self, source: Source) -> Part {
        let resource = self.resource_id();
        let names = self.names.as_ref().filter(|_| self.may_be_kept(&source));
        let key = names.map(|names| names.key(&source.url, source.range.as_ref()));
        if let Some(key) = key {
            self.wish(Wish::Open { resource, key });
        }
        Part::new(resource, source, key.is_some())
    }

    /// The same bytes as those of a part that is laid already, or was: they are there, or on their way.
    fn shared(&mut self, epoch: u64, source: &Source) -> Option<Part> {
        let items = self.line.items.iter().rev().map(|item| &item.part);
        let same = |part: &&Part| {
            let comes = part.is_whole() || part.transfer.is_some() || part.stored == 0;
            part.is_opened() && comes && part.source == *source
        };
        let aside = || self.aside.find(epoch, source);
        let known = { items }.find(same).or_else(aside)?;
        let (of, bytes, kept) = (known.resource, known.bytes, known.kept);
        let end = known.is_whole().then_some(known.stored);
        let resource = self.resource_id();
        self.wish(Wish::Share { resource, of });
        let opens = true;
        let mut part = Part {
            bytes,
            kept,
            ..Part::new(resource, source.clone(), opens)
        };
        if let Some(len) = end {
            // An end that nothing proves is not told with the bytes.
            (part.state, part.stored) = (State::Whole, len);
            let proven = false;
            self.wish(Wish::Length {
                resource,
                len,
                proven,
            });
        }
        Some(part)
    }

    /// The place of an init section.
    fn init(&mut self, source: Source) -> usize {
        if let Some(known) = self.inits.find(&source) {
            return known;
        }
        let part = self.open(source);
        if self.inits.parts.len() < INITS {
            self.inits.parts.push(part);
            return self.inits.parts.len() - 1;
        }
        // A stream that goes on for days has many: one that is not in use gives way.
        let run = self.cursor.run.and_then(|(_, init, _)| init);
        let used = |index: usize| {
            run == Some(index) || self.line.items.iter().any(|item| item.init == Some(index))
        };
        let Some(idle) = (0..self.inits.parts.len()).find(|index| !used(*index)) else {
            self.inits.parts.push(part);
            return self.inits.parts.len() - 1;
        };
        let old = std::mem::replace(&mut self.inits.parts[idle], part);
        if let Some(transfer) = old.transfer {
            self.wish(Wish::Abort(transfer.id));
        }
        self.wish(Wish::Leave {
            resource: old.resource,
        });
        idle
    }
}

/// Whether a run that begins for this reason has nothing before it.
pub(super) fn is_first(cause: &RunCause) -> bool {
    matches!(cause, RunCause::Start | RunCause::Seek)
}
