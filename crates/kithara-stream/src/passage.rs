//! Which bytes of a server's a transfer is after, and how what the server says of them is said of the resource.

use std::ops::Range;

use kithara_net::{RangeSpec, ResponseHead};

use crate::Fetch;

/// The bytes of a server's that a transfer is after. A file that is the whole of what its URL names takes whatever the server
/// sends, as it lies there; of a part of something, or of what is transformed, nothing is taken but what was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    /// What was wished for, in offsets of the resource.
    wished: Range<u64>,
    /// Where the resource begins.
    shift: u64,
    /// Whether nothing else is taken.
    exact: bool,
    /// Whether what is stored is something else than what is sent.
    transformed: bool,
    /// The bytes of the server's.
    sent: Range<u64>,
}

impl Passage {
    pub(crate) fn new(fetch: &Fetch) -> Self {
        let (terms, range) = (&fetch.terms, &fetch.range);
        let start = match &terms.transform {
            Some(transform) => transform.source_start(range.start),
            None => range.start,
        };
        // An open end stays one.
        let sent = terms.shift.saturating_add(start)..terms.shift.saturating_add(range.end);
        Self {
            wished: range.clone(),
            shift: terms.shift,
            exact: terms.is_exact(),
            transformed: terms.transform.is_some(),
            sent,
        }
    }

    /// What is asked for.
    pub(crate) fn range(&self) -> RangeSpec {
        RangeSpec {
            start: self.sent.start,
            end: Some(self.sent.end).filter(|end| *end != u64::MAX),
        }
    }

    /// The first byte of the server's that is taken from the body of such a response.
    pub(crate) fn first(&self, head: &ResponseHead) -> u64 {
        match self.exact {
            true => self.sent.start,
            false => head.start,
        }
    }

    /// Where taking them ends, although the body goes on: the first byte that is not taken.
    pub(crate) fn stop(&self, head: &ResponseHead) -> u64 {
        let goes_on = head.end.is_none_or(|end| end > self.sent.end);
        match self.exact && goes_on {
            true => self.sent.end,
            false => u64::MAX,
        }
    }

    /// Where the server's bytes end that were asked for; `u64::MAX` if that is not known.
    pub(crate) fn end(&self) -> u64 {
        self.sent.end
    }

    /// What the head says of the resource. How long that is, the server doesn't know if it has only a stretch of it to send,
    /// or something else than what is stored.
    pub(crate) fn translate(&self, head: ResponseHead) -> ResponseHead {
        if !self.exact {
            return head;
        }
        let start = self.wished.start;
        let is_all = self.shift == 0 && self.wished.end == u64::MAX && !self.transformed;
        let end = head.end.filter(|_| !self.transformed);
        let end = end.map(|end| end.min(self.sent.end).saturating_sub(self.shift).max(start));
        let total = head.total.filter(|_| is_all);
        let mut head = head;
        (head.start, head.end, head.total) = (start, end, total);
        head
    }
}

#[cfg(test)]
mod tests {
    use kithara_net::{Attempts, Url};

    use super::*;
    use crate::{FetchId, Priority, ResourceId, Terms};

    const ALL: u64 = u64::MAX;

    fn url() -> Url {
        Url::parse("http://h.test/a").expect("a literal URL")
    }

    fn passage(range: Range<u64>, shift: u64, exact: bool) -> Passage {
        Passage::new(&Fetch {
            id: FetchId(0),
            resource: ResourceId(0),
            url: url(),
            credit: range.end,
            range,
            overlap: 0,
            if_range: None,
            attempts: Attempts::default(),
            priority: Priority::Foreground,
            terms: Terms {
                shift,
                exact,
                ..Terms::default()
            },
        })
    }

    #[test]
    fn what_the_server_says_is_said_of_the_resource() {
        let part = |start, end| ResponseHead::partial(&url(), start, end, Some(1000));
        let whole = || ResponseHead::whole(&url(), 1000);
        for (passage, head, said, first, stop) in [
            // Not a stretch: as the server says, whatever was asked for.
            (
                passage(5..20, 0, false),
                part(5, 20),
                (5, Some(20), Some(1000)),
                5,
                ALL,
            ),
            (
                passage(5..20, 0, false),
                whole(),
                (0, Some(1000), Some(1000)),
                0,
                ALL,
            ),
            // A stretch from byte 100 on.
            (
                passage(5..20, 100, false),
                part(105, 120),
                (5, Some(20), None),
                105,
                ALL,
            ),
            (
                passage(5..20, 100, false),
                part(105, 110),
                (5, Some(10), None),
                105,
                ALL,
            ),
            (
                passage(5..20, 100, false),
                whole(),
                (5, Some(20), None),
                105,
                120,
            ),
            (
                passage(5..ALL, 100, false),
                part(105, 1000),
                (5, Some(900), None),
                105,
                ALL,
            ),
            (
                passage(5..ALL, 100, false),
                whole(),
                (5, Some(900), None),
                105,
                ALL,
            ),
            // A server that has less than where the stretch begins.
            (
                passage(5..20, 2000, false),
                whole(),
                (5, Some(5), None),
                2005,
                ALL,
            ),
            // A stretch that begins where the whole does.
            (passage(0..20, 0, true), whole(), (0, Some(20), None), 0, 20),
            (
                passage(5..ALL, 0, true),
                whole(),
                (5, Some(1000), Some(1000)),
                5,
                ALL,
            ),
        ] {
            let heard = passage.translate(head.clone());
            assert_eq!((heard.start, heard.end, heard.total), said, "{passage:?}");
            assert_eq!(passage.first(&head), first, "{passage:?}");
            assert_eq!(passage.stop(&head), stop, "{passage:?}");
        }
    }
}
