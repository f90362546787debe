//! Segments that came whole and are kept by no store: while the stream is open, a seek finds them.

use std::collections::VecDeque;

use kithara_stream::{ResourceId, Wish};

use super::HlsPlan;
use super::item::{Item, Part, Source};

/// Each is a file without a name, and so a descriptor of the process.
const PARTS: usize = 32;
/// What they may take of the disk together.
const BYTES: u64 = 64 << 20;

/// What was let go of last comes last.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// With the epoch of the playlist that named it: a live stream that begins anew may use names again.
    parts: VecDeque<(u64, Part)>,
}

impl Aside {
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn find(&self, epoch: u64, source: &Source) -> Option<&Part> {
        let same = |(of, part): &&(u64, Part)| *of == epoch && part.source == *source;
        Some(&self.parts.iter().find(same)?.1)
    }

    /// Takes a part in; what is to be let go of for it.
    fn put(&mut self, epoch: u64, part: Part) -> Option<ResourceId> {
        if self.find(epoch, &part.source).is_some() {
            return Some(part.resource);
        }
        self.parts.push_back((epoch, part));
        None
    }

    /// Lets go of what is too much, oldest first.
    fn pop_beyond(&mut self) -> Option<ResourceId> {
        let bytes = self.parts.iter().map(|(_, part)| part.stored);
        let bytes = bytes.fold(0, u64::saturating_add);
        if self.parts.len() <= PARTS && bytes <= BYTES {
            return None;
        }
        let (_, part) = self.parts.pop_front()?;
        Some(part.resource)
    }

    fn remove(&mut self, source: &Source) -> Option<ResourceId> {
        let found = self
            .parts
            .iter()
            .position(|(_, part)| part.source == *source)?;
        self.parts.remove(found).map(|(_, part)| part.resource)
    }
}

impl HlsPlan {
    /// Lets go of an item that nobody reads any more.
    pub(super) fn let_go(&mut self, item: Item) {
        let Item { part, epoch, .. } = item;
        if let Some(transfer) = &part.transfer {
            self.wish(Wish::Abort(transfer.id));
        }
        if part.kept || !part.is_whole() {
            let resource = part.resource;
            return self.wish(Wish::Leave { resource });
        }
        let twice = self.aside.put(epoch, part);
        if let Some(resource) = twice {
            self.wish(Wish::Leave { resource });
        }
        while let Some(resource) = self.aside.pop_beyond() {
            self.wish(Wish::Leave { resource });
        }
    }

    /// What an item has is not to be had again, if it is that resource.
    pub(super) fn spoil(&mut self, index: usize, resource: ResourceId) {
        let part = &mut self.line.items[index].part;
        if part.resource != resource {
            return;
        }
        part.kept = true;
        let source = part.source.clone();
        while let Some(resource) = self.aside.remove(&source) {
            self.wish(Wish::Leave { resource });
        }
    }
}
