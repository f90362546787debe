//! What nothing proves: ends of responses without a length, streams that are never the same twice, and prefetches that
//! are not done yet, in simulated worlds.

// What is stored and asked for is a list of ranges, also of one.
#![allow(clippy::single_range_in_vec_init)]

use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use kithara_file::{Amount, FileEvent, FilePlan, FilePolicy};
use kithara_stream::assets::{AssetStoreBuilder, Facts, Keep, Reason, ResourceKey, StoreOptions};
use kithara_stream::net::Url;
use kithara_stream::sim::{Happening, Link, Move, Outcome, Shelf, World, play_stored};
use kithara_stream::{MediaInfo, StreamError};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const ALL: Move = Move::Read {
    bytes: u64::MAX / 2,
    rate: u64::MAX,
};
const HOUR: [Move; 1] = [Move::Pause(Duration::from_secs(3600))];

fn plan() -> FilePlan {
    static KEY: LazyLock<ResourceKey> = LazyLock::new(|| {
        let store = AssetStoreBuilder::new(StoreOptions::in_memory(MIB)).build();
        store.expect("memory is there").key(&url(), &url())
    });
    FilePlan::new(url(), MediaInfo::default(), FilePolicy::default()).with_key(Some(*KEY))
}

fn url() -> Url {
    "http://origin.test/music.mp3".parse().expect("a URL")
}

fn run(plan: FilePlan, world: &World, shelf: Shelf, moves: &[Move]) -> Outcome<FileEvent> {
    let outcome = play_stored(plan, world, shelf, moves);
    assert_eq!(outcome.asked_again, 0, "a stored byte was asked for again");
    outcome
}

fn count(outcome: &Outcome<FileEvent>, kind: impl Fn(&FileEvent) -> bool) -> usize {
    outcome.events.iter().filter(|event| kind(event)).count()
}

/// A server that sends everything in one response, and says neither how long that is nor when it is over.
fn open_ended(len: u64) -> World {
    let mut world = World::calm(len);
    world.origin.ranges = false;
    world.origin.announces_length = false;
    world.origin.proves_end = false;
    world
}

/// The same, and what it sends has no version.
fn nameless(len: u64) -> World {
    let mut world = open_ended(len);
    world.origin.etag = None;
    world
}

/// What an earlier play of [`open_ended`] left.
fn cut_off(stored: Range<u64>) -> Shelf {
    let mut shelf = Shelf::of(0, &[stored]);
    shelf.end = None;
    shelf.facts = Some(Facts {
        etag: Some("\"v1\"".into()),
        ..Facts::default()
    });
    shelf
}

#[test]
fn an_end_that_nothing_proves_is_one_for_who_hears_it_and_for_nobody_else() {
    let len = 2 * MIB;
    let outcome = run(plan(), &open_ended(len), Shelf::default(), &[ALL]);
    assert!(outcome.refusals.is_empty(), "it plays to its end");
    assert_eq!(outcome.coverage.total(), len);
    assert!(!outcome.completed, "it may have been cut off");
    assert!(
        outcome
            .identified
            .iter()
            .all(|(facts, _)| facts.total.is_none())
    );
    let told =
        |event: &FileEvent| matches!(event, FileEvent::EndUnproven { len: at } if *at == len);
    assert_eq!(count(&outcome, told), 1);
    let whole = |event: &FileEvent| matches!(event, FileEvent::DownloadComplete { .. });
    assert_eq!(count(&outcome, whole), 0);

    // The next play asks what follows, and hears it. An earlier end is a cut, and nothing that was there is gone.
    for longer in [len + MIB, len - MIB] {
        let outcome = run(plan(), &open_ended(longer), cut_off(0..len), &[ALL]);
        assert!(outcome.refusals.is_empty(), "{:?}", outcome.refusals);
        assert_eq!(outcome.requests.len(), 1, "{longer}");
        assert_eq!(outcome.coverage.total(), longer.max(len));
        assert_eq!(outcome.discarded, 0);
        let end = longer.max(len);
        let told =
            |event: &FileEvent| matches!(event, FileEvent::EndUnproven { len } if *len == end);
        assert_eq!(count(&outcome, told), 1, "{longer}: {:?}", outcome.events);
    }
    // A prefetch has as much as came, and does not call it whole.
    let all = plan().with_amount(Amount::All);
    let outcome = run(all, &open_ended(len), Shelf::default(), &HOUR);
    let told = |event: &FileEvent| matches!(event, FileEvent::PrefetchDone { stored, len: None } if *stored == len);
    assert_eq!(count(&outcome, told), 1, "{:?}", outcome.events);
    assert!(!outcome.completed);
}

#[test]
fn an_end_that_is_proven_late_is_kept_with_what_is_known() {
    let mut world = open_ended(2 * MIB);
    world.origin.proves_end = true;
    let outcome = run(plan(), &world, Shelf::default(), &[ALL]);
    assert!(outcome.completed);
    let (facts, keep) = outcome.identified.last().expect("it was heard");
    assert_eq!((facts.total, *keep), (Some(2 * MIB), Keep::Yes));

    // Shorter than what is stored: it is another file.
    let outcome = run(plan(), &world, cut_off(0..3 * MIB), &[ALL]);
    assert_eq!(outcome.discarded, 1);
    assert!(!outcome.completed);
}

/// Somebody else hears the same stream; what that is to him is nothing to this one.
fn heard_by_another(bytes: Range<u64>) -> Shelf {
    let mut shelf = Shelf::default();
    shelf.others.insert(bytes.start..u64::MAX);
    shelf
        .then(100, Happening::Identified(Facts::default()))
        .then(200, Happening::Brought(bytes))
}

#[test]
fn a_stream_that_nothing_could_tell_from_another_is_neither_kept_nor_shared() {
    let not_kept = |event: &FileEvent| {
        let reason = Reason::NoStore;
        matches!(event, FileEvent::NotKept { reason: told } if *told == reason)
    };
    let outcome = run(plan(), &nameless(2 * MIB), Shelf::default(), &[ALL]);
    assert_eq!(outcome.identified[0].1, Keep::No);
    assert_eq!(count(&outcome, not_kept), 1);
    assert_eq!(outcome.coverage.total(), 2 * MIB);

    // One that is stored already, or being heard by somebody else.
    let mut stored = cut_off(0..MIB);
    stored.facts = Some(Facts::default());
    for shelf in [stored, heard_by_another(0..MIB)] {
        let outcome = run(plan(), &nameless(2 * MIB), shelf, &[ALL]);
        assert_eq!(outcome.requests, [0..512 * KIB], "its own, from the front");
        assert_eq!(outcome.coverage.total(), 2 * MIB);
        assert!(outcome.refusals.is_empty(), "{:?}", outcome.refusals);
        assert_eq!(count(&outcome, not_kept), 1);
        assert!(
            outcome.identified.is_empty(),
            "nobody else is to hear of it"
        );
        assert_eq!(outcome.left, 1, "what is the other's stays with him alone");
    }

    let all = plan().with_amount(Amount::All);
    let outcome = run(all, &nameless(2 * MIB), Shelf::default(), &HOUR);
    let failed = |event: &FileEvent| {
        let FileEvent::DownloadFailed { error } = event else {
            return false;
        };
        matches!(error, StreamError::NotKept { .. })
    };
    assert_eq!(count(&outcome, failed), 1, "{:?}", outcome.events);
}

#[test]
fn without_ranges_a_connection_that_breaks_anywhere_is_not_heard() {
    for etag in [Some("\"v1\""), None] {
        let mut all = 0;
        for seed in 1..=40 {
            let mut world = World {
                seed,
                link: Link {
                    losses_per_mib: 0.15,
                    ..Link::default()
                },
                ..World::calm(4 * MIB)
            };
            world.origin.ranges = false;
            world.origin.etag = etag;
            let outcome = run(plan(), &world, Shelf::default(), &[ALL]);
            let refusals = &outcome.refusals;
            assert!(refusals.is_empty(), "{seed}: {refusals:?}");
            assert!(outcome.completed, "{seed}");
            let again = outcome.requests.len() as u64 - 1;
            let compared = if etag.is_none() { 64 * again } else { 0 };
            assert_eq!(outcome.compared, compared, "{seed}");
            all += again;
        }
        assert!(all > 10, "they broke behind what the network layer resumes");
    }
}

#[test]
fn a_server_that_always_breaks_at_the_same_byte_is_asked_a_bounded_number_of_times() {
    let mut world = World::calm(4 * MIB);
    world.origin.ranges = false;
    world.link.outage = Some((Duration::from_secs(2), Duration::MAX));
    let outcome = run(plan(), &world, Shelf::default(), &[ALL]);
    assert_eq!(outcome.refusals.len(), 1);
    assert!(outcome.most_barren <= 7, "{}", outcome.most_barren);
}

#[test]
fn a_prefetch_is_done_when_everything_is_there_however_slow_the_disk() {
    let len = 12 * MIB;
    for ranges in [true, false] {
        let mut world = World::calm(len);
        world.origin.ranges = ranges;
        let slow = Shelf::default()
            .then(1_000, Happening::Slow(8 * MIB))
            .then(100_000, Happening::CaughtUp)
            .then(106_000, Happening::Slow(8 * MIB));
        let all = || plan().with_amount(Amount::All);
        let behind = [Move::Pause(Duration::from_secs(90))];
        let outcome = run(all(), &world, slow.clone(), &behind);
        let stored = outcome.coverage.total();
        assert!(
            stored < 2 * MIB,
            "{ranges}: {stored} while the disk is behind"
        );
        assert_eq!(outcome.told_end_at, None, "{ranges}: it is not done");
        let slow = slow.then(200_000, Happening::CaughtUp);
        let outcome = run(all(), &world, slow, &HOUR);
        assert!(outcome.completed, "{ranges}");
        let done = outcome.told_end_at.expect("it is done");
        assert!(done >= Duration::from_secs(200), "{ranges}: {done:?}");
        assert_eq!(outcome.carried_again, 0, "{ranges}");
        if !ranges {
            assert_eq!(outcome.requests.len(), 1, "nobody closes it for idleness");
        }
    }
}

#[test]
fn what_somebody_takes_over_from_a_prefetch_is_left_to_him() {
    let len = 8 * MIB;
    let facts = Shelf::of(len, &[]).facts.expect("it has");
    let all = || plan().with_amount(Amount::All);
    // Before the server has answered, and while its bytes come; all of a request, its front or its end.
    for (at, taken) in [
        (10, 0..512 * KIB),
        (10, 0..100 * KIB),
        (10, 450 * KIB..460 * KIB),
        (300, 0..512 * KIB),
        (300, 450 * KIB..460 * KIB),
    ] {
        let shelf = Shelf::default()
            .then(at, Happening::Claimed(taken.clone()))
            .then(at, Happening::Identified(facts.clone()))
            .then(60_000, Happening::Brought(taken.clone()));
        let moment = [Move::Pause(Duration::from_secs(50))];
        let outcome = run(all(), &World::calm(len), shelf.clone(), &moment);
        let what = format!("{at} ms, {taken:?}");
        let left: u64 = outcome
            .coverage
            .gaps(taken.clone())
            .map(|gap| gap.end - gap.start)
            .sum();
        // What had come of it before it was taken over.
        let before = at * 1000 * u64::from(at > 10);
        assert!(left + before >= taken.end - taken.start, "{what}: {left}");
        assert_eq!(outcome.told_end_at, None, "{what}: the rest is his");
        let front = outcome.coverage.covered_from(0);
        assert!(front >= taken.start, "{what}: {front}");
        let outcome = run(all(), &World::calm(len), shelf, &HOUR);
        assert!(outcome.told_end_at.is_some() && outcome.completed, "{what}");
    }
}

#[test]
fn a_response_without_a_length_that_ends_before_the_file_does_is_not_its_end() {
    let len = 3 * MIB;
    let mut world = open_ended(2 * MIB);
    let known = || Shelf::of(len, &[0..MIB]);
    let outcome = run(plan(), &world, known(), &[ALL]);
    let (at, error) = &outcome.refusals[0];
    assert_eq!(*at, 2 * MIB);
    assert!(matches!(error, StreamError::Net(_)), "{error:?}");
    let asked = outcome.requests.len();
    assert!((3..=8).contains(&asked), "{asked}");
    assert!(outcome.waited > Duration::from_secs(20), "{asked} at once");
    assert_eq!(outcome.discarded, 0);
    // A proven end is that of another file.
    world.origin.proves_end = true;
    let outcome = run(plan(), &world, known(), &[ALL]);
    assert_eq!((outcome.requests.len(), outcome.discarded), (1, 1));
    // One that comes through in the end is read to the end.
    world.origin.proves_end = false;
    world.origin.len = len;
    let outcome = run(plan(), &world, known(), &[ALL]);
    assert!(outcome.completed && outcome.refusals.is_empty());
}

#[test]
fn a_listener_who_takes_step_after_step_ends_no_prefetch_that_comes_from_the_front() {
    let len = 8 * MIB;
    let mut world = World::calm(len);
    world.origin.ranges = false;
    let mut shelf = Shelf::default();
    // Each step is what the prefetch is about to bring.
    for step in 1..30_u64 {
        let at = step * 200;
        let next = (at - 40) * 1000;
        let taken = next - 20 * KIB..next + 12 * KIB;
        shelf = shelf
            .then(at, Happening::Claimed(taken.clone()))
            .then(at + 60, Happening::Brought(taken));
    }
    let outcome = run(plan().with_amount(Amount::All), &world, shelf, &HOUR);
    assert!(outcome.completed && outcome.told_end_at.is_some());
    assert_eq!(outcome.requests.len(), 1, "{:?}", outcome.requests);
}
