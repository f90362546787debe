//! The file plan told facts by hand, for what a polite simulated world never does.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kithara_file::{FileEvent, FilePlan, FilePolicy};
use kithara_stream::net::{NetError, RangeSupport, RedactedUrl, ResponseHead};
use kithara_stream::{
    Demand, Fetch, FetchId, Input, MediaInfo, Plan, ResourceId, StreamError, Wish,
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
    let ahead = fetch(&hand.hear(Input::Done { fetch: first }));
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
        MIB..u64::MAX,
        "what is stored is not asked for"
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
