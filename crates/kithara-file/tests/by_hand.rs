//! The file plan told facts by hand, for what a polite simulated world never does.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_file::{FileEvent, FilePlan, FilePolicy};
use kithara_stream::assets::{AssetStoreBuilder, Facts, StoreOptions};
use kithara_stream::net::{Etag, NetError, RangeSupport, RedactedUrl, ResponseHead};
use kithara_stream::{
    Coverage, Demand, Fetch, FetchId, Input, MediaInfo, Plan, ResourceId, Stored, StreamError, Wish,
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// A plan and the time it is told.
struct Hand(FilePlan, Duration);

impl Hand {
    fn new() -> Self {
        let url = "http://origin.test/music.mp3?token=secret"
            .parse()
            .expect("a URL");
        let plan = FilePlan::new(url, MediaInfo::default(), FilePolicy::default());
        Self(plan, Duration::ZERO)
    }

    /// A plan that asks the store first, which has just been asked.
    fn opening() -> Self {
        let store = AssetStoreBuilder::new(StoreOptions::in_memory(MIB)).build();
        let key = store.expect("memory is there").key(&url(), &url());
        let Self(plan, now) = Self::new();
        let mut hand = Self(plan.with_key(Some(key)), now);
        hand.hear(Input::Tick);
        hand
    }

    fn stands(&mut self, stored: Stored) -> Vec<Wish<FileEvent>> {
        let resource = ResourceId(0);
        self.hear(Input::Stored { resource, stored })
    }

    /// The reader is at `byte`, and has it.
    fn be(&mut self, byte: u64) -> Vec<Wish<FileEvent>> {
        self.hear(Input::Demand(Demand {
            resource: ResourceId(0),
            position: byte,
            wanted: None,
        }))
    }

    fn retrying(&mut self, fetch: FetchId, attempt: u32) -> Vec<Wish<FileEvent>> {
        self.hear(Input::Retrying {
            fetch,
            attempt,
            delay: Duration::ZERO,
            error: Arc::new(NetError::BodyFailed),
        })
    }

    fn stored(&mut self, fetch: FetchId, stored: Range<u64>) -> Vec<Wish<FileEvent>> {
        self.hear(Input::Progress { fetch, stored })
    }
    fn hear(&mut self, input: Input) -> Vec<Wish<FileEvent>> {
        self.0.handle(self.1, input);
        std::iter::from_fn(|| self.0.poll()).collect()
    }

    fn want(&mut self, byte: u64) -> Vec<Wish<FileEvent>> {
        self.hear(Input::Demand(Demand {
            resource: ResourceId(0),
            position: byte,
            wanted: Some(byte..byte + 1),
        }))
    }
}

fn fetch(wishes: &[Wish<FileEvent>]) -> Fetch {
    let fetch = wishes.iter().find_map(|wish| match wish {
        Wish::Fetch(fetch) => Some(fetch.clone()),
        _ => None,
    });
    fetch.expect("something is fetched")
}

fn url() -> kithara_stream::net::Url {
    "http://origin.test/music.mp3".parse().expect("a URL")
}

#[test]
fn a_server_that_stops_serving_ranges_is_read_in_order() {
    let mut hand = Hand::new();
    let first = fetch(&hand.hear(Input::Tick)).id;
    let head = ResponseHead::partial(&url(), 0, 512 * KIB, Some(20 * MIB));
    hand.hear(Input::Head { fetch: first, head });
    hand.want(19 * MIB);
    let back = fetch(&hand.want(0));
    assert_eq!(back.range.start, 0);
    let mut head = ResponseHead::whole(&url(), 20 * MIB);
    head.ranges = RangeSupport::No;
    let granted = hand.hear(Input::Head {
        fetch: back.id,
        head,
    });
    let credit = granted.iter().find_map(|wish| match wish {
        Wish::Credit { fetch, until } if *fetch == back.id => Some(*until),
        _ => None,
    });
    assert_eq!(
        credit,
        Some(4 * MIB),
        "it may go on beyond the range that was asked for"
    );
}

#[test]
fn what_is_on_its_way_is_not_asked_for_again() {
    let mut hand = Hand::new();
    let first = fetch(&hand.hear(Input::Tick)).id;
    let head = ResponseHead::partial(&url(), 0, 512 * KIB, Some(20 * MIB));
    hand.hear(Input::Head { fetch: first, head });
    let tail = fetch(&hand.want(20 * MIB - 20 * KIB));
    let before = fetch(&hand.want(20 * MIB - 100 * KIB));
    assert_eq!(tail.range.start, 20 * MIB - 20 * KIB);
    assert_eq!(before.range.start, 20 * MIB - 100 * KIB);
    assert_eq!(before.range.end, tail.range.start);
}

#[test]
fn a_length_heard_with_a_416_is_the_length() {
    let mut hand = Hand::new();
    let first = fetch(&hand.hear(Input::Tick)).id;
    let head = ResponseHead::partial(&url(), 0, 512 * KIB, None);
    hand.hear(Input::Head { fetch: first, head });
    let jump = fetch(&hand.want(10 * MIB));
    let error = NetError::RangeNotSatisfiable {
        url: RedactedUrl::new(&url()),
        total: Some(5 * MIB),
    };
    let wishes = hand.hear(Input::Failed {
        fetch: jump.id,
        error: StreamError::Net(Arc::new(error)),
    });
    let told = |wish: &Wish<FileEvent>| matches!(wish, Wish::Length { len, .. } if *len == 5 * MIB);
    assert!(wishes.iter().any(told), "{wishes:?}");
}

#[test]
fn nothing_a_plan_says_shows_the_query() {
    let mut hand = Hand::new();
    let wishes = hand.hear(Input::Tick);
    assert!(!format!("{wishes:?} {:?}", hand.0).contains("secret"));
}

fn busy(seconds: u64) -> StreamError {
    StreamError::Net(Arc::new(NetError::Http {
        url: RedactedUrl::new(&url()),
        status: 503,
        retry_after: Some(Duration::from_secs(seconds)),
    }))
}

fn asks(wishes: &[Wish<FileEvent>]) -> bool {
    wishes.iter().any(|wish| matches!(wish, Wish::Fetch(_)))
}

#[test]
fn a_server_that_wants_to_be_left_alone_is_even_when_the_reader_runs_dry() {
    let mut hand = Hand::new();
    let first = fetch(&hand.hear(Input::Tick)).id;
    let head = ResponseHead::partial(&url(), 0, 512 * KIB, Some(20 * MIB));
    hand.hear(Input::Head { fetch: first, head });
    hand.stored(first, 0..512 * KIB);
    hand.be(64 * KIB);
    let ahead = fetch(&hand.hear(Input::Done {
        fetch: first,
        end: 0,
    }));
    assert_eq!((ahead.attempts.spent, ahead.attempts.until), (0, 2));
    let error = busy(30);
    let fetch_id = ahead.id;
    hand.hear(Input::Failed {
        fetch: fetch_id,
        error,
    });
    assert!(!asks(&hand.want(512 * KIB)), "it said in thirty seconds");
    assert_eq!(hand.0.deadline(), Some(Duration::from_secs(30)));
    hand.1 = Duration::from_secs(29);
    assert!(!asks(&hand.hear(Input::Tick)));
    hand.1 = Duration::from_secs(30);
    let again = fetch(&hand.hear(Input::Tick));
    let until = u32::MAX;
    assert_eq!((again.attempts.spent, again.attempts.until), (1, until));
    assert_eq!(again.range.start, 512 * KIB);
}

#[test]
fn bytes_that_come_again_do_not_win_back_what_was_spent() {
    let mut hand = Hand::new();
    let first = fetch(&hand.hear(Input::Tick)).id;
    let mut head = ResponseHead::whole(&url(), 20 * MIB);
    head.ranges = RangeSupport::No;
    hand.hear(Input::Head {
        fetch: first,
        head: head.clone(),
    });
    hand.stored(first, 0..MIB);
    hand.be(64 * KIB);
    for attempt in 1..=3 {
        hand.retrying(first, attempt);
    }
    let lost = |fetch| Input::Failed {
        fetch,
        error: busy(0),
    };
    let second = fetch(&hand.want(MIB));
    let until = u32::MAX;
    assert_eq!((second.attempts.spent, second.attempts.until), (3, until));
    assert_eq!(
        second.range,
        MIB - 64..u64::MAX,
        "of what is stored, only what tells that it is the same is asked for"
    );
    hand.hear(Input::Head {
        fetch: second.id,
        head: head.clone(),
    });
    // It comes from the front all the same, and breaks; the reader goes back to what it has.
    hand.stored(second.id, 0..512 * KIB);
    hand.be(64 * KIB);
    hand.retrying(second.id, 4);
    let third = fetch(&hand.want(MIB));
    assert_eq!((third.attempts.spent, third.attempts.until), (4, until));
    hand.hear(Input::Head {
        fetch: third.id,
        head,
    });
    let wishes = hand.hear(lost(third.id));
    let told = |wish: &Wish<FileEvent>| matches!(wish, Wish::Fail(_));
    assert!(wishes.iter().any(told), "{wishes:?}");
    // A seek starts over.
    hand.hear(Input::Seek { to: Duration::ZERO });
    let anew = fetch(&hand.want(MIB));
    assert_eq!((anew.attempts.spent, anew.attempts.until), (0, until));
}

/// What is stored of a file, and what others bring.
fn standing(stored: Range<u64>, others: Range<u64>) -> Stored {
    let some = |range: Range<u64>| {
        let mut coverage = Coverage::new();
        coverage.insert(range);
        coverage
    };
    Stored {
        coverage: some(stored),
        others: some(others),
        facts: Some(Facts {
            etag: Some("\"v1\"".into()),
            ..Facts::default()
        }),
        ..Stored::default()
    }
}

#[test]
fn what_was_waited_for_in_vain_while_others_tried_counts() {
    let others = Stored {
        facts: None,
        ..standing(0..0, 0..MIB)
    };
    let mut hand = Hand::opening();
    assert!(!asks(&hand.stands(others.clone())), "somebody brings it");
    hand.1 = Duration::from_secs(17);
    assert!(!asks(&hand.stands(others)), "somebody else now");
    hand.1 = Duration::from_secs(58);
    let asked = fetch(&hand.stands(Stored::default()));
    assert_eq!(asked.attempts.waited, Duration::from_secs(58));

    // The same in the middle of a file, as long as it is needed.
    let mut hand = Hand::opening();
    hand.stands(standing(0..MIB, MIB..2 * MIB));
    hand.1 = Duration::from_secs(100);
    hand.be(512 * KIB);
    hand.1 = Duration::from_secs(200);
    hand.want(MIB);
    hand.1 = Duration::from_secs(230);
    let asked = fetch(&hand.stands(standing(0..MIB, 0..0)));
    assert_eq!(asked.attempts.waited, Duration::from_secs(30));
}

#[test]
fn bytes_that_others_bring_win_back_what_was_spent() {
    let mut hand = Hand::opening();
    let asked = fetch(&hand.stands(Stored::default()));
    for attempt in 1..=2 {
        hand.retrying(asked.id, attempt);
    }
    hand.hear(Input::Taken { fetch: asked.id });
    hand.stands(standing(0..0, 0..MIB));
    hand.1 = Duration::from_secs(30);
    hand.want(0);
    let asked = fetch(&hand.stands(standing(0..MIB, 0..0)));
    assert_eq!(asked.attempts.spent, 0);
    assert_eq!(asked.attempts.waited, Duration::ZERO);
}

/// The ranges of the requests that were told.
fn told(wishes: &[Wish<FileEvent>]) -> Vec<(u64, Option<u64>)> {
    let range = |wish: &Wish<FileEvent>| match wish {
        Wish::Event(FileEvent::Requested { start, end }) => Some((*start, *end)),
        _ => None,
    };
    wishes.iter().filter_map(range).collect()
}

#[test]
fn requests_are_told_when_they_are_made_and_as_they_are_made() {
    let mut hand = Hand::opening();
    let wishes = hand.stands(Stored::default());
    let first = fetch(&wishes).id;
    assert_eq!(told(&wishes), []);
    let wishes = hand.hear(Input::Taken { fetch: first });
    assert_eq!(told(&wishes), [], "it was not made");
    let second = fetch(&hand.stands(Stored::default())).id;
    let sent = |fetch, range| Input::Sent { fetch, range };
    let wishes = hand.hear(sent(second, 0..100 * KIB));
    assert_eq!(told(&wishes), [(0, Some(100 * KIB))]);
    let wishes = hand.hear(sent(second, MIB..u64::MAX));
    assert_eq!(told(&wishes), [(MIB, None)]);
}

#[test]
fn what_others_bring_of_a_transfer_is_not_on_its_way() {
    let mut hand = Hand::new();
    let first = fetch(&hand.hear(Input::Tick)).id;
    let head = ResponseHead::partial(&url(), 0, 512 * KIB, Some(20 * MIB));
    hand.hear(Input::Head { fetch: first, head });
    let jump = fetch(&hand.want(10 * MIB));
    assert!(jump.range.end > 10 * MIB + 20 * KIB);
    let range = 10 * MIB..10 * MIB + 16 * KIB;
    hand.hear(Input::Begun {
        fetch: jump.id,
        range,
    });
    let beyond = fetch(&hand.want(10 * MIB + 20 * KIB));
    assert_eq!(beyond.range.start, 10 * MIB + 20 * KIB);
}

#[test]
fn a_file_that_ends_before_what_is_stored_of_it_is_another_one() {
    for (total, changed) in [(Some(4 * MIB), true), (Some(6 * MIB), false), (None, false)] {
        let mut hand = Hand::opening();
        hand.stands(standing(0..6 * MIB, 0..0));
        let asked = fetch(&hand.want(6 * MIB));
        let url = RedactedUrl::new(&url());
        let error = StreamError::Net(Arc::new(NetError::RangeNotSatisfiable { url, total }));
        let wishes = hand.hear(Input::Failed {
            fetch: asked.id,
            error,
        });
        let discards = wishes
            .iter()
            .any(|wish| matches!(wish, Wish::Discard { .. }));
        let ends = wishes
            .iter()
            .any(|wish| matches!(wish, Wish::Complete { len, .. } if *len == 6 * MIB));
        assert_eq!(
            (discards, ends),
            (changed, !changed),
            "{total:?}: {wishes:?}"
        );
    }
    // Not where it was asked, but somewhere behind.
    let mut hand = Hand::opening();
    let mut stored = standing(0..MIB, 0..0);
    stored.coverage.insert(3 * MIB..4 * MIB);
    let asked = fetch(&hand.stands(stored));
    let url = RedactedUrl::new(&url());
    let total = Some(MIB);
    let error = StreamError::Net(Arc::new(NetError::RangeNotSatisfiable { url, total }));
    let fetch = asked.id;
    let wishes = hand.hear(Input::Failed { fetch, error });
    let discards = |wish: &Wish<FileEvent>| matches!(wish, Wish::Discard { .. });
    assert!(wishes.iter().any(discards), "{wishes:?}");
}

#[test]
fn a_break_too_far_from_the_front_counts_once_and_not_for_ever() {
    let mut hand = Hand::new();
    let first = fetch(&hand.hear(Input::Tick)).id;
    let mut head = ResponseHead::whole(&url(), 20 * MIB);
    head.ranges = RangeSupport::No;
    let begin = |hand: &mut Hand, fetch, head| {
        hand.hear(Input::Head { fetch, head });
    };
    begin(&mut hand, first, head.clone());
    hand.stored(first, 0..2 * MIB);
    hand.want(2 * MIB);
    let mut running = first;
    for failures in 1.. {
        hand.retrying(running, failures);
        let url = RedactedUrl::new(&url());
        let offset = 2 * MIB;
        let error = NetError::RangeUnsupported { url, offset };
        let wishes = hand.hear(Input::Failed {
            fetch: running,
            error: StreamError::Net(Arc::new(error)),
        });
        if !asks(&wishes) {
            assert_eq!(failures, 7);
            let told = |wish: &Wish<FileEvent>| matches!(wish, Wish::Fail(_));
            assert!(wishes.iter().any(told), "{wishes:?}");
            break;
        }
        let again = fetch(&wishes);
        assert_eq!(again.attempts.spent, failures);
        begin(&mut hand, again.id, head.clone());
        running = again.id;
    }
}

/// A response from the front that says nothing of its length, and its bytes up to there.
fn in_order(hand: &mut Hand, until: u64) -> FetchId {
    let first = fetch(&hand.stands(Stored::default())).id;
    let mut head = ResponseHead::whole(&url(), 0);
    (head.total, head.end, head.ranges) = (None, None, RangeSupport::No);
    head.length_proof = false;
    head.validators.etag = Etag::parse("\"v1\"");
    hand.hear(Input::Head { fetch: first, head });
    hand.stored(first, 0..until);
    first
}

#[test]
fn an_end_that_nothing_proves_is_told_as_such_and_gives_way_to_a_proven_one() {
    let mut hand = Hand::opening();
    let first = in_order(&mut hand, MIB);
    let wishes = hand.hear(Input::Done {
        fetch: first,
        end: 0,
    });
    let here = |wish: &Wish<FileEvent>| matches!(wish, Wish::Length { len, proven: false, .. } if *len == MIB);
    assert!(wishes.iter().any(here), "{wishes:?}");
    assert!(!asks(&hand.want(MIB)), "it is the end");
    // Somebody else hears more of it, and then stops.
    let wishes = hand.stands(Stored {
        coverage: std::iter::once(0..MIB + 1).collect(),
        facts: Some(Facts {
            total: Some(2 * MIB),
            ..Facts::default()
        }),
        end: Some(2 * MIB),
        ..Stored::default()
    });
    assert_eq!(fetch(&wishes).range.start, MIB + 1);
}

#[test]
fn a_response_that_begins_again_begins_when_that_was_told() {
    let mut hand = Hand::opening();
    let first = in_order(&mut hand, 2 * MIB);
    let delay = Duration::from_secs(3);
    let error = Arc::new(NetError::BodyFailed);
    hand.hear(Input::Retrying {
        fetch: first,
        attempt: 1,
        delay,
        error,
    });
    let error = NetError::RangeUnsupported {
        url: RedactedUrl::new(&url()),
        offset: 2 * MIB,
    };
    let error = StreamError::Net(Arc::new(error));
    let wishes = hand.hear(Input::Failed {
        fetch: first,
        error,
    });
    assert!(!asks(&wishes) && !asks(&hand.want(2 * MIB)));
    assert_eq!(hand.0.deadline(), Some(delay));
    hand.1 = delay;
    assert!(asks(&hand.hear(Input::Tick)));
}
