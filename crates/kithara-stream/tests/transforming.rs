//! Stretches of what a URL names, and bytes that become others on their way, on the real driver.

#[path = "support/origin.rs"]
mod origin;
#[path = "support/puppet.rs"]
mod puppet;

use std::ops::Range;
use std::sync::Arc;

use kithara_net::ResponseHead;
use kithara_stream::{
    FetchId, Input, ResourceId, StreamError, Terms, Transform, Transforming, Wish,
};
use puppet::*;

/// Each byte is hidden by the one sent before it; two bytes behind the last are their sum.
#[derive(Debug)]
struct Chain;

struct Chaining {
    before: Option<u8>,
    /// Its first byte is there to begin with only.
    skip: bool,
    /// The last two that came, which may be the sum.
    held: Vec<u8>,
}

impl Transform for Chain {
    fn source_start(&self, stored: u64) -> u64 {
        stored.saturating_sub(1)
    }

    fn begin(&self, stored: u64) -> Box<dyn Transforming> {
        Box::new(Chaining {
            before: None,
            skip: stored > 0,
            held: Vec::new(),
        })
    }
}

impl Transforming for Chaining {
    fn update(&mut self, piece: &[u8], stored: &mut Vec<u8>) -> Result<(), String> {
        self.held.extend(piece);
        let known = self.held.len().saturating_sub(2);
        for sent in self.held.drain(..known) {
            if sent == 0xff {
                return Err("a byte that cannot be".into());
            }
            let clear = sent ^ self.before.unwrap_or(0);
            self.before = Some(sent);
            if !std::mem::take(&mut self.skip) {
                stored.push(clear);
            }
        }
        Ok(())
    }

    fn finish(&mut self, _stored: &mut Vec<u8>) -> Result<(), String> {
        match self.held[..] == *b"!!" {
            true => Ok(()),
            false => Err("it has no end".into()),
        }
    }
}

/// What becomes `clear`.
fn hidden(clear: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut before = 0;
    for byte in clear {
        before ^= byte;
        sent.push(before);
    }
    sent.extend(b"!!");
    sent
}

fn clear(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * at / 3) as u8 & 0x7f).collect()
}

/// These bytes between 100 and 100 of another kind.
fn among_others(bytes: &[u8]) -> Vec<u8> {
    [&[0xff; 100][..], bytes, &[0xff; 100]].concat()
}

fn terms(shift: u64, transformed: bool) -> Terms {
    let chain: Arc<dyn Transform> = Arc::new(Chain);
    Terms {
        shift,
        transform: transformed.then_some(chain),
        ..Terms::default()
    }
}

fn head(stage: &mut Stage) -> ResponseHead {
    stage.hear(|input| match input {
        Input::Head { head, .. } => Some(head),
        _ => None,
    })
}

/// What was stored by the transfer 1, which must have been in order and without gaps, and what became of it.
fn stored(stage: &mut Stage) -> (Range<u64>, Result<u64, StreamError>) {
    let mut all: Option<Range<u64>> = None;
    loop {
        let step = stage.hear(|input| match input {
            Input::Progress { stored, .. } => Some(Ok(stored)),
            Input::Done { end, .. } => Some(Err(Ok(end))),
            Input::Failed { error, .. } => Some(Err(Err(error))),
            _ => None,
        });
        match step {
            Ok(stored) => {
                let start = all.map_or(stored.start, |all| {
                    assert_eq!(all.end, stored.start);
                    all.start
                });
                all = Some(start..stored.end);
            }
            Err(outcome) => return (all.unwrap_or(0..0), outcome),
        }
    }
}

/// All the bytes of resource 1, of which `len` are there.
fn read(stage: &mut Stage, len: u64) -> Vec<u8> {
    let resource = ResourceId(1);
    stage.wish(vec![
        publish(),
        extend(1),
        Wish::Close,
        Wish::Complete { resource, len },
    ]);
    let (read, why) = read_all(&mut stage.run());
    assert!(why.is_none(), "{why:?}");
    read
}

#[test]
fn a_stretch_is_taken_and_nothing_else_whatever_the_server_sends() {
    for (whole, announced) in [(false, true), (true, true), (true, false)] {
        let mut stage = Stage::new();
        stage.origin.serve(1, among_others(&clear(3000)));
        stage.origin.change(1, |served| {
            (served.whole, served.announced) = (whole, announced);
        });
        let mut first = fetch(1);
        (first.range, first.credit) = (0..1000, 700);
        first.terms = terms(100, false);
        stage.wish(vec![Wish::Fetch(first.clone())]);
        let heard = head(&mut stage);
        let end = announced.then_some(1000);
        assert_eq!((heard.start, heard.end, heard.total), (0, end, None));
        stage.wish(vec![Wish::Credit {
            fetch: FetchId(1),
            until: 1000,
        }]);
        let (range, outcome) = stored(&mut stage);
        assert_eq!((range, outcome.unwrap()), (0..1000, 1000));
        first.range = 1000..3000;
        first.credit = 3000;
        stage.wish(vec![Wish::Fetch(first)]);
        let (range, outcome) = stored(&mut stage);
        assert_eq!((range, outcome.unwrap()), (1000..3000, 3000));
        let asked = [(100, Some(1100)), (1100, Some(3100))];
        assert_eq!(stage.origin.asked(), asked);
        assert!(read(&mut stage, 3000) == clear(3000));
    }
}

#[test]
fn a_stretch_pauses_where_its_credit_ends() {
    let mut stage = Stage::new();
    stage.origin.serve(1, among_others(&clear(3000)));
    let mut part = fetch(1);
    (part.range, part.credit) = (0..3000, 500);
    part.terms = terms(100, false);
    stage.wish(vec![Wish::Fetch(part)]);
    let last = |input| match input {
        Input::Progress { stored, .. } if stored.end >= 500 => Some(stored.end),
        _ => None,
    };
    assert_eq!(stage.hear(last), 500);
    stage.origin.serve(2, clear(1000));
    stage.bring(2);
    assert!(!stage.heard().iter().any(|input| matches!(
        input,
        Input::Progress { fetch, .. } if *fetch == FetchId(1)
    )));
}

#[test]
fn a_stretch_that_begins_where_the_whole_does_is_no_more_than_itself() {
    let mut stage = Stage::new();
    stage.origin.serve(1, clear(3000));
    stage.origin.change(1, |served| served.whole = true);
    let mut part = fetch(1);
    (part.range, part.credit) = (0..1000, 1000);
    part.terms.exact = true;
    stage.wish(vec![Wish::Fetch(part)]);
    let heard = head(&mut stage);
    assert_eq!((heard.start, heard.end, heard.total), (0, Some(1000), None));
    let (range, outcome) = stored(&mut stage);
    assert_eq!((range, outcome.unwrap()), (0..1000, 1000));
    assert!(read(&mut stage, 1000) == clear(1000));
}

#[test]
fn a_server_that_has_less_than_where_a_stretch_begins_brings_nothing() {
    let mut stage = Stage::new();
    stage.origin.serve(1, clear(50));
    stage.origin.change(1, |served| served.whole = true);
    let mut part = fetch(1);
    (part.range, part.credit) = (0..1000, 1000);
    part.terms = terms(100, false);
    stage.wish(vec![Wish::Fetch(part)]);
    let (range, outcome) = stored(&mut stage);
    assert_eq!((range, outcome.unwrap()), (0..0, 0));
}

#[test]
fn what_is_stored_is_what_was_made_of_what_was_sent() {
    for (shift, whole) in [(0, false), (0, true), (100, false), (100, true)] {
        let mut stage = Stage::new();
        let (made, sent) = (clear(5000), hidden(&clear(5000)));
        let len = sent.len() as u64;
        stage.origin.serve(
            1,
            match shift {
                0 => sent,
                _ => among_others(&sent),
            },
        );
        stage.origin.change(1, |served| served.whole = whole);
        let mut part = fetch(1);
        part.terms = terms(shift, true);
        part.range.end = if shift == 0 { u64::MAX } else { len };
        // Its first half, as if the rest had been lost.
        part.credit = 2000;
        stage.wish(vec![Wish::Fetch(part.clone())]);
        let heard = head(&mut stage);
        assert_eq!((heard.start, heard.end, heard.total), (0, None, None));
        let end = stage.hear(|input| match input {
            Input::Progress { stored, .. } if stored.end >= 1990 => Some(stored.end),
            _ => None,
        });
        assert!(end <= 2000, "{end}");
        stage.wish(vec![Wish::Abort(FetchId(1))]);
        // On from the middle, one byte stored twice.
        (part.range.start, part.credit) = (end, u64::MAX);
        stage.wish(vec![Wish::Fetch(part)]);
        let heard = head(&mut stage);
        assert_eq!((heard.start, heard.end, heard.total), (end, None, None));
        let (range, outcome) = stored(&mut stage);
        assert_eq!((range, outcome.unwrap()), (end..5000, 5000));
        assert_eq!(stage.origin.asked()[1].0, shift + end - 1);
        assert!(read(&mut stage, 5000) == made);
    }
}

#[test]
fn what_cannot_be_transformed_fails_by_name_behind_what_could() {
    let whole = hidden(&clear(1000));
    let damaged = {
        let mut sent = whole.clone();
        sent[900] = 0xff;
        sent
    };
    for (sent, end, what) in [
        (damaged, u64::MAX, "a byte that cannot be"),
        (whole[..900].to_vec(), u64::MAX, "it has no end"),
        (whole[..900].to_vec(), 1002, "it ends 102 bytes too early"),
    ] {
        let mut stage = Stage::new();
        stage.origin.serve(1, sent);
        let mut part = fetch(1);
        part.range.end = end;
        part.terms = terms(0, true);
        stage.wish(vec![Wish::Fetch(part)]);
        let (_, outcome) = stored(&mut stage);
        let error = outcome.unwrap_err();
        assert!(matches!(error, StreamError::Transform { .. }), "{error:?}");
        assert!(error.to_string().ends_with(what), "{error}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[test]
fn what_others_have_stored_in_the_middle_is_no_end_of_what_is_transformed() {
    let dir = tempfile::tempdir().unwrap();
    let store = origin::store(dir.path());
    let key = store.key(&url(1), &url(1));
    let other = store.open(&key);
    let stored_before = &clear(5000)[3000..4000];
    other.write(3000, stored_before).expect("there is room");
    let mut stage = Stage::with_store(Some(store));
    stage.origin.serve(1, hidden(&clear(5000)));
    let resource = ResourceId(1);
    stage.wish(vec![Wish::Open { resource, key }]);
    stage.hear(|input| matches!(input, Input::Stored { .. }).then_some(()));
    let mut part = fetch(1);
    part.terms = terms(0, true);
    stage.wish(vec![Wish::Fetch(part)]);
    let (range, outcome) = stored(&mut stage);
    assert_eq!((range, outcome.unwrap()), (0..5000, 5000));
    assert!(read(&mut stage, 5000) == clear(5000));
}

#[test]
fn requests_are_told_in_the_offsets_of_the_resource() {
    let mut stage = Stage::new();
    stage.origin.serve(1, among_others(&clear(3000)));
    let mut part = fetch(1);
    (part.range, part.credit) = (5..1000, 1000);
    part.terms = terms(100, false);
    stage.wish(vec![Wish::Fetch(part)]);
    stage.outcome(1).expect("it comes");
    let asked = stage.origin.asked.lock()[0].clone();
    asked.observer.report(&kithara_net::NetEvent::RequestSent {
        url: asked.redacted(),
        range: asked.range,
    });
    let sent = stage.hear(|input| match input {
        Input::Sent { range, .. } => Some(range),
        _ => None,
    });
    assert_eq!(sent, 5..1000);
}
