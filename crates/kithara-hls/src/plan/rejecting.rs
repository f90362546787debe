//! What is done about a segment that came whole and does not decode: it is not kept, and had once more.

use std::collections::VecDeque;

use kithara_stream::{Rejection, ResourceId, RunCause, StreamError, Wish};

use super::item::{Item, Name, Owner};
use super::{HlsPlan, Stage};
use crate::failure::HlsError;
use crate::shelved::SCHEME;

/// So many are remembered. A title of which more is bad has ended before, unless the listener seeks on and on.
const REMEMBERED: usize = 256;

/// Segments that came and did not decode.
#[derive(Debug, Default)]
pub(super) struct Rejections(VecDeque<Name>);

impl Rejections {
    pub(super) fn contains(&self, name: &Name) -> bool {
        self.0.contains(name)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is the first time for this one.
    fn note(&mut self, name: Name) -> bool {
        if self.contains(&name) {
            return false;
        }
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(name);
        true
    }
}

impl HlsPlan {
    /// What was read does not decode: it is not kept, and is had from elsewhere, or once more, or not at all.
    pub(super) fn handle_rejected(&mut self, resource: ResourceId, why: Rejection) {
        let Some(index) = self.rejected_item(resource) else {
            return;
        };
        // All before it was decoded, whatever was heard of the reader.
        self.line.reader = index;
        // What begins a run cannot be cut off by its own name: it must go.
        let is_within = self.line.items[index].begins.is_none();
        let is_the_title = why == Rejection::Short || why == Rejection::Silent && is_within;
        let error = self.rejection(index, resource, why);
        let again = self.may_come_again(index, resource) && !is_lists_fault(&error);
        if again || !is_the_title {
            self.wish(Wish::Discard { resource });
            self.spoil(index, resource);
        }
        if self.stage == Stage::Failed {
            // That was told, and is forgotten: this is met first.
            return self.tell_failure(error);
        }
        if self.line.items[index].leads_in && self.line.items[index].part.resource == resource {
            // Nobody needs it.
            return self.lay_again(index, RunCause::Again);
        }
        if self.goes_elsewhere(index, &error) {
            return;
        }
        match again {
            // What was bad may have been one answer, or one server of many.
            true => self.lay_again(index, RunCause::Again),
            false => self.go_without(index, error),
        }
    }

    /// Whether what did not decode is worth another request; each is once.
    fn may_come_again(&mut self, index: usize, resource: ResourceId) -> bool {
        let item = &self.line.items[index];
        let (name, url) = (item.name(), &item.part.source.url);
        let is_listed = url.scheme() != SCHEME;
        let init = item.init.filter(|_| item.part.resource != resource);
        let Some(init) = init else {
            return self.rejections.note(name) && is_listed;
        };
        if std::mem::replace(&mut self.inits.parts[init].rejected, true) {
            return false;
        }
        // It stays, and so it is had anew by whoever needs it next.
        self.open_anew(Owner::Init(init));
        let part = &mut self.inits.parts[init];
        (part.rejected, part.spent) = (true, 1);
        is_listed
    }

    /// What is told of it.
    fn rejection(&self, index: usize, resource: ResourceId, why: Rejection) -> HlsError {
        let item = &self.line.items[index];
        let init = item.init.and_then(|init| self.inits.parts.get(init));
        let part = init.filter(|init| init.resource == resource);
        let name = super::shown(&part.unwrap_or(&item.part).source.url);
        let item = match part {
            Some(_) => self.line.heard_at(index),
            None => item,
        };
        let (variant, sequence, shown) = (item.variant, item.sequence, name.clone());
        match why {
            // Not the segment is at fault, but the playlist.
            Rejection::Headless if item.init.is_none() => HlsError::NoInitSection {
                name: self.list_name(variant),
                sequence,
                segment: shown,
            },
            why => HlsError::Segment {
                variant,
                sequence,
                name,
                source: what_is_wrong(shown, why),
            },
        }
    }

    /// The item with that resource, or the one whose run begins with it, among those that the decoder may stand in.
    fn rejected_item(&mut self, resource: ResourceId) -> Option<usize> {
        let init = self.inits.by_resource(resource);
        let is_it = |item: &Item| {
            item.part.resource == resource
                || init.is_some() && item.init == init && item.begins.is_some()
        };
        if let Some(passed) = self.line.passed.iter().rposition(is_it) {
            self.line.go_back_to(passed);
            return Some(0);
        }
        self.line.items.iter().position(is_it)
    }
}

/// Whether another answer would change nothing.
fn is_lists_fault(error: &HlsError) -> bool {
    matches!(error, HlsError::NoInitSection { .. })
}

/// What came is not what it should be.
fn what_is_wrong(name: String, why: Rejection) -> StreamError {
    let what = match why {
        Rejection::Silent => return StreamError::NoSound { name },
        Rejection::Short => return StreamError::EndsEarly { name },
        Rejection::Headless => "fragments without their beginning".to_owned(),
        Rejection::Damaged { what } => what,
    };
    StreamError::WrongContent { name, what }
}
