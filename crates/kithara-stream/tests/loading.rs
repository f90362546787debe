//! Documents on the real driver: whole, bounded, dropped, in front of what nobody waits for.

#[path = "support/puppet.rs"]
mod puppet;

use std::sync::atomic::Ordering;

use kithara_net::{Attempts, Headers, Purpose};
use kithara_stream::{FetchId, Input, Load, Priority, StreamError, Wish};
use puppet::*;

fn load(number: u64, most: usize) -> Load {
    Load {
        id: FetchId(number),
        url: url(number),
        purpose: Purpose::Playlist,
        most,
        headers: Headers::new().with("x-user", "me").expect("a header"),
        zone: None,
        attempts: Attempts::default(),
    }
}

fn loaded(stage: &mut Stage, number: u64) -> Result<Vec<u8>, StreamError> {
    stage.hear(|input| match input {
        Input::Loaded { fetch, bytes, .. } if fetch == FetchId(number) => Some(Ok(bytes.to_vec())),
        Input::Failed { fetch, error } if fetch == FetchId(number) => Some(Err(error)),
        _ => None,
    })
}

#[test]
fn a_document_comes_whole_and_its_request_says_what_it_is_for() {
    let mut stage = Stage::new();
    let text: Vec<u8> = (0..10_000).map(|at| at as u8).collect();
    stage.origin.serve(1, text.clone());
    stage.origin.serve(2, []);
    for (number, most, text) in [(1, 10_000, &text[..]), (2, 0, &[])] {
        stage.wish(vec![Wish::Load(load(number, most))]);
        assert!(loaded(&mut stage, number).expect("it comes") == text);
    }
    let asked = stage.origin.asked.lock();
    assert_eq!(asked[0].purpose, Purpose::Playlist);
    assert_eq!(asked[0].headers.get("x-user"), Some("me"));
    assert!(asked[0].range.is_none());
}

#[test]
fn too_large_a_document_is_refused_as_soon_as_that_is_known() {
    for announced in [true, false] {
        let mut stage = Stage::new();
        stage.origin.serve(1, vec![7; 100_000]);
        stage
            .origin
            .change(1, |served| served.announced = announced);
        stage.wish(vec![Wish::Load(load(1, 1000))]);
        let error = loaded(&mut stage, 1).unwrap_err();
        assert!(
            matches!(&error, StreamError::TooLarge { most: 1000, .. }),
            "{error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("secret"));
        let taken = stage.origin.taken.load(Ordering::SeqCst);
        // At most a chunk more than it may have.
        assert!(taken <= if announced { 0 } else { 1700 }, "{taken}");
    }
}

#[test]
fn a_document_that_cannot_be_had_is_a_failure_of_its_own() {
    let mut stage = Stage::new();
    stage.wish(vec![Wish::Load(load(404, 1000))]);
    let error = loaded(&mut stage, 404).unwrap_err();
    assert!(matches!(error, StreamError::Net(_)), "{error:?}");
}

#[test]
fn nothing_is_heard_of_a_document_that_is_no_longer_wanted() {
    let mut stage = Stage::new();
    let open = stage.origin.serve(1, vec![7; 1000]);
    open.send_replace(0);
    stage.origin.serve(2, vec![8; 1000]);
    stage.wish(vec![Wish::Load(load(1, 1000))]);
    while stage.origin.asked.lock().is_empty() {
        std::thread::yield_now();
    }
    stage.wish(vec![Wish::Abort(FetchId(1))]);
    open.send_replace(u64::MAX);
    stage.wish(vec![Wish::Load(load(2, 1000))]);
    let first = stage.hear(|input| match input {
        Input::Loaded { fetch, .. } | Input::Failed { fetch, .. } => Some(fetch),
        _ => None,
    });
    assert_eq!(first, FetchId(2));
    assert_eq!(open.receiver_count(), 0, "its connection is gone");
}

#[test]
fn a_failed_title_loads_no_more() {
    let mut stage = Stage::new();
    let open = stage.origin.serve(1, vec![7; 1000]);
    open.send_replace(0);
    stage.wish(vec![Wish::Load(load(1, 1000))]);
    while open.receiver_count() == 0 {
        std::thread::yield_now();
    }
    stage.wish(vec![Wish::Fail(StreamError::Closed)]);
    assert_eq!(open.receiver_count(), 0, "its connection is gone");
}

#[test]
fn what_nobody_waits_for_stands_aside_while_a_document_comes() {
    let (mut stage, mut other) = (Stage::new(), Stage::new());
    let open = stage.origin.serve(1, vec![7; 1000]);
    open.send_replace(0);
    stage.wish(vec![Wish::Load(load(1, 1000))]);
    while open.receiver_count() == 0 {
        std::thread::yield_now();
    }
    other.origin.serve(2, vec![8; 1000]);
    other.origin.serve(3, vec![9; 1000]);
    let mut background = fetch(2);
    background.priority = Priority::Background;
    other.wish(vec![Wish::Fetch(background)]);
    // A transfer's whole life gives the I/O thread every opportunity.
    other.bring(3);
    assert_eq!(other.origin.asked.lock().len(), 1, "only that one");
    open.send_replace(u64::MAX);
    loaded(&mut stage, 1).expect("it comes");
    assert_eq!(other.outcome(2).expect("now it may"), 1000);
}
