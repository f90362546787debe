//! Stored bytes compared with the origin's: what that tells, and that it brings nothing.

#[path = "support/origin.rs"]
mod origin;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kithara_net::{Attempts, Net};
use kithara_stream::assets::ResourceKey;
use kithara_stream::{
    Backend, BackendConfig, Fetch, FetchId, Input, Plan, Priority, StreamError, Wish,
};

use origin::*;

/// Compares some stored bytes with the origin's, and says how that ended.
struct Comparing {
    key: ResourceKey,
    wishes: VecDeque<Wish<()>>,
    asked: bool,
    verdict: std::sync::mpsc::Sender<Result<(), StreamError>>,
}

impl Plan for Comparing {
    type Event = ();
    type Command = std::convert::Infallible;

    fn handle(&mut self, _now: Duration, input: Input) {
        match input {
            Input::Tick => self.wishes.push_back(Wish::Open {
                resource: RESOURCE,
                key: self.key,
            }),
            Input::Stored { .. } if !std::mem::replace(&mut self.asked, true) => {
                self.wishes.push_back(Wish::Fetch(Fetch {
                    id: FetchId(0),
                    resource: RESOURCE,
                    url: url(),
                    range: 70_000..70_064,
                    credit: 70_064,
                    overlap: 64,
                    if_range: None,
                    attempts: Attempts::default(),
                    priority: Priority::Foreground,
                    terms: kithara_stream::Terms::default(),
                }));
            }
            Input::Progress { .. } => panic!("it brings nothing"),
            Input::Done { .. } => self.verdict.send(Ok(())).expect("somebody asks"),
            Input::Failed { error, .. } => self.verdict.send(Err(error)).expect("somebody asks"),
            _ => {}
        }
    }

    fn poll(&mut self) -> Option<Wish<()>> {
        self.wishes.pop_front()
    }

    fn deadline(&self) -> Option<Duration> {
        None
    }
}

fn compare(dir: &Path, content: u8, whole: bool) -> Result<(), StreamError> {
    let net = FakeNet::new(content);
    net.whole.store(whole, Ordering::SeqCst);
    compare_with(dir, net)
}

fn compare_with(dir: &Path, net: Arc<FakeNet>) -> Result<(), StreamError> {
    let store = store(dir);
    let (verdict, told) = std::sync::mpsc::channel();
    let plan = Comparing {
        key: store.key(&url(), &url()),
        wishes: VecDeque::new(),
        asked: false,
        verdict,
    };
    let net: Arc<dyn Net> = net;
    let config = BackendConfig::new(net).with_store(Some(store));
    let _backend = Backend::start(plan, config).expect("the I/O thread runs");
    told.recv().expect("it ends")
}

#[test]
fn a_comparison_ends_when_it_has_compared_and_says_nothing_of_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    leave(&store(dir.path()), 4, 0..200_000);
    for whole in [false, true] {
        compare(dir.path(), 4, whole).expect("it is the same");
        let error = compare(dir.path(), 5, whole).unwrap_err();
        assert!(
            matches!(&error, StreamError::ContentChanged { .. }),
            "{error:?}"
        );
    }
    // In a folder of its own, which no store has open.
    let dir = tempfile::tempdir().unwrap();
    leave(&store(dir.path()), 4, 0..200_000);
    flip(dir.path(), &content(4)[70_000..70_100]);
    let error = compare(dir.path(), 5, false).unwrap_err();
    assert!(matches!(&error, StreamError::Storage(_)), "{error:?}");
}

#[test]
fn an_answer_that_ends_before_it_could_be_compared_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    leave(&store(dir.path()), 4, 0..200_000);
    let net = FakeNet::new(4);
    net.empty.store(true, Ordering::SeqCst);
    let error = compare_with(dir.path(), net).unwrap_err();
    assert!(matches!(&error, StreamError::Storage(_)), "{error:?}");
}
