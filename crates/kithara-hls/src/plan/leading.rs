//! What leads into a run that goes on in the middle of a title: the segment before it, for the decoder to settle on, where that is
//! at hand. Nothing is fetched for it, and nothing of it is heard: what comes twice is dropped.

use std::time::Duration;

use kithara_stream::{RunCause, Wish};

use super::HlsPlan;
use super::item::{Item, Name, Part, State};

impl HlsPlan {
    /// Lays the segment before the newest one in front of that, if it begins such a run.
    pub(super) fn lead_in(&mut self) {
        let Some(index) = self.line.items.len().checked_sub(1) else {
            return;
        };
        let item = &self.line.items[index];
        let goes_on = |cause: &RunCause| matches!(cause, RunCause::VariantSwitch | RunCause::Again);
        let (variant, epoch, sequence) = item.name();
        let (Some(cause), Some(before)) = (item.begins.filter(goes_on), sequence.checked_sub(1))
        else {
            return;
        };
        let name = (variant, epoch, before);
        if item.opens.is_some() || self.rejections.contains(&name) {
            return;
        }
        let (clock, init) = (item.clock, item.init);
        let Some((part, start, duration)) =
            self.held(name, index).or_else(|| self.kept(name, index))
        else {
            return;
        };
        self.line.items[index].begins = None;
        let lead_in = Item {
            part,
            variant,
            epoch,
            sequence: before,
            start,
            duration,
            clock,
            init,
            begins: Some(cause),
            opens: None,
            leads_in: true,
        };
        self.line.items.insert(index, lead_in);
    }

    /// The same segment in the line, or behind the reader.
    fn held(&mut self, name: Name, follows: usize) -> Option<(Part, Duration, Duration)> {
        let next = &self.line.items[follows];
        let is_it = |item: &&Item| {
            item.name() == name
                && (item.clock, item.init) == (next.clock, next.init)
                && item.part.is_whole()
        };
        let laid = self.line.items.iter().rev();
        let known = laid.chain(self.line.passed.iter().rev()).find(is_it)?;
        let (start, duration) = (known.start, known.duration);
        let (of, bytes) = (known.part.resource, known.part.bytes);
        let (source, len) = (known.part.source.clone(), known.part.stored);
        let resource = self.resource_id();
        self.wish(Wish::Share { resource, of });
        // An end that nothing proves is not told with the bytes.
        let proven = false;
        self.wish(Wish::Length {
            resource,
            len,
            proven,
        });
        let part = Part {
            bytes,
            state: State::Whole,
            stored: len,
            ..Part::new(resource, source, true)
        };
        Some((part, start, duration))
    }

    /// The same segment in the store, if it is there: that shows later.
    fn kept(
        &mut self,
        (variant, epoch, sequence): Name,
        follows: usize,
    ) -> Option<(Part, Duration, Duration)> {
        let window = self.window(variant)?;
        let (segment, start) = window.segment(sequence)?;
        let found = self.take_out(variant, epoch, &segment, start);
        let next = &self.line.items[follows];
        let (clock, init) = (next.clock, next.init);
        if window.epoch() != epoch || found.gap || found.clock != clock {
            return None;
        }
        let of = match found.init {
            None => None,
            Some(place) => Some(self.source(variant, sequence, place, "init section").ok()?),
        };
        let known = init.map(|init| &self.inits.parts[init].source);
        if of.as_ref() != known {
            return None;
        }
        let source = self
            .source(variant, sequence, found.source, "segment")
            .ok()?;
        let part = self.may_be_kept(&source).then(|| self.open(source))?;
        Some((part, start, found.duration))
    }

    /// What was to lead into a run is not in the store: the run begins without it. Whether it was that.
    pub(super) fn leave_lead_in(&mut self, index: usize) -> bool {
        let item = &self.line.items[index];
        if !item.leads_in || item.part.is_opened() {
            return false;
        }
        let Some(item) = self.line.items.remove(index) else {
            return false;
        };
        if let Some(next) = self.line.items.get_mut(index) {
            next.begins = item.begins;
        }
        self.let_go(item);
        true
    }
}
