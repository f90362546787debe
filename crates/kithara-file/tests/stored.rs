//! The file plan over a store: what an earlier run left, and what other streams bring, in simulated worlds.

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
const AT_ONCE: u64 = u64::MAX;
/// The bytes per second of a 128 kb/s stream.
const REAL_TIME: u64 = 16_000;
const ALL: Move = Move::Read {
    bytes: u64::MAX / 2,
    rate: AT_ONCE,
};

fn url() -> Url {
    let url = "http://origin.test/music.mp3?token=secret";
    url.parse().expect("a URL")
}

fn key() -> ResourceKey {
    static KEY: LazyLock<ResourceKey> = LazyLock::new(|| {
        let store = AssetStoreBuilder::new(StoreOptions::in_memory(MIB)).build();
        store.expect("memory is there").key(&url(), &url())
    });
    *KEY
}

fn plan() -> FilePlan {
    FilePlan::new(url(), MediaInfo::default(), FilePolicy::default()).with_key(Some(key()))
}

fn listen(world: &World, shelf: Shelf, moves: &[Move]) -> Outcome<FileEvent> {
    run(plan(), world, shelf, moves)
}

fn run(plan: FilePlan, world: &World, shelf: Shelf, moves: &[Move]) -> Outcome<FileEvent> {
    let outcome = play_stored(plan, world, shelf, moves);
    assert_eq!(outcome.asked_again, 0, "a stored byte was asked for again");
    assert_eq!(outcome.mixed, 0, "bytes of two files met");
    outcome
}

fn count(outcome: &Outcome<FileEvent>, kind: impl Fn(&FileEvent) -> bool) -> usize {
    outcome.events.iter().filter(|event| kind(event)).count()
}

fn is_changed(event: &FileEvent) -> bool {
    matches!(event, FileEvent::Changed { .. })
}

fn is_stale(event: &FileEvent) -> bool {
    matches!(event, FileEvent::Stale { .. })
}

fn at_once(bytes: u64) -> Move {
    Move::Read {
        bytes,
        rate: AT_ONCE,
    }
}

fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

fn dead(mut world: World) -> World {
    world.link.outage = Some((Duration::ZERO, Duration::MAX));
    world
}

#[test]
fn a_cold_open_is_one_request_and_tells_what_it_heard() {
    let outcome = listen(&World::calm(400 * KIB), Shelf::default(), &[ALL]);
    assert_eq!(outcome.requests.len(), 1);
    assert!(outcome.completed);
    let found = |event: &FileEvent| {
        matches!(
            event,
            FileEvent::Found {
                stored: 0,
                len: None,
                complete: false
            }
        )
    };
    assert!(found(&outcome.events[0]), "{:?}", outcome.events[0]);
    let (facts, keep) = &outcome.identified[0];
    assert_eq!(facts.total, Some(400 * KIB));
    assert_eq!(facts.etag.as_deref(), Some("\"v1\""));
    assert_eq!((*keep, outcome.identified.len()), (Keep::Yes, 1));
    assert_eq!(outcome.validated, 1);
}

#[test]
fn a_whole_file_is_played_without_a_request() {
    let len = 3 * MIB + 1;
    let shelf = Shelf::of(len, &[0..len]);
    let outcome = listen(&dead(World::calm(len)), shelf, &[ALL, Move::Jump(7), ALL]);
    assert_eq!(outcome.requests.len(), 0);
    assert_eq!(outcome.published_at, Some(Duration::ZERO));
    assert!(outcome.refusals.is_empty());
    let told = |event: &FileEvent| matches!(event, FileEvent::Found { stored, complete: true, .. } if *stored == len);
    assert_eq!(count(&outcome, told), 1);
    let done = |event: &FileEvent| matches!(event, FileEvent::DownloadComplete { .. });
    assert_eq!(count(&outcome, done), 1);
}

#[test]
fn a_partial_file_is_played_at_once_and_exactly_its_gaps_are_fetched() {
    let len = 3 * MIB;
    let stored = [0..MIB, MIB + 100..MIB + 200, 2 * MIB..3 * MIB - 5];
    let outcome = listen(&World::calm(len), Shelf::of(len, &stored), &[ALL]);
    assert_eq!(outcome.published_at, Some(Duration::ZERO));
    assert!(outcome.completed);
    assert_eq!(total(&outcome.requests), len - total(&stored));
    assert_eq!((outcome.carried_again, outcome.compared), (0, 0));
    assert_eq!(outcome.validated, 1, "the origin answered: it is the same");
}

#[test]
fn what_changed_while_nobody_looked_is_discarded_before_anybody_is_told() {
    let len = 3 * MIB;
    let mut world = World::calm(len);
    world.origin.changes_at_request = Some(0);
    let outcome = listen(&world, Shelf::of(len, &[0..MIB]), &[ALL]);
    let (_, error) = &outcome.refusals[0];
    assert!(
        matches!(error, StreamError::ContentChanged { .. }),
        "{error:?}"
    );
    assert_eq!(outcome.discarded, 1);
    assert_eq!(count(&outcome, is_changed), 1);
    assert_eq!(
        outcome.coverage.total(),
        MIB,
        "none of the new one was stored"
    );
    assert_eq!(outcome.validated, 0);
}

#[test]
fn without_validators_each_join_compares_what_it_joins() {
    let len = 3 * MIB;
    let mut shelf = Shelf::of(len, &[0..MIB, 2 * MIB..2 * MIB + 10]);
    shelf.facts = Some(Facts {
        total: Some(len),
        ..Facts::default()
    });
    let mut world = World::calm(len);
    world.origin.etag = None;
    let outcome = listen(&world, shelf.clone(), &[ALL]);
    assert!(outcome.completed, "{:?}", outcome.refusals);
    let joins = outcome.requests.len() as u64;
    assert!(joins >= 2, "at the end of each of two stored stretches");
    assert_eq!(outcome.compared, 64 * joins, "at each join");
    assert_eq!(outcome.carried_again, 0);
    assert_eq!(outcome.requests[0].start, MIB - 64);

    world.origin.rewritten_at_request = Some(0);
    let outcome = listen(&world, shelf.clone(), &[ALL]);
    let (_, error) = &outcome.refusals[0];
    assert!(
        matches!(error, StreamError::ContentChanged { .. }),
        "{error:?}"
    );
    assert_eq!(outcome.discarded, 1);

    // The length tells too.
    world.origin.rewritten_at_request = None;
    world.origin.changes_at_request = Some(0);
    let outcome = listen(&world, shelf, &[ALL]);
    assert_eq!(outcome.discarded, 1);
}

#[test]
fn offline_half_a_file_plays_to_its_half_and_then_says_what_is_missing() {
    let len = 3 * MIB;
    let world = dead(World::calm(len));
    let outcome = listen(&world, Shelf::of(len, &[0..MIB + 7]), &[ALL]);
    let (at, error) = &outcome.refusals[0];
    assert_eq!(*at, MIB + 7);
    assert!(
        matches!(error, StreamError::Missing { offset, .. } if *offset == MIB + 7),
        "{error:?}"
    );
    assert!(!format!("{error} {error:?}").contains("secret"));
    assert_eq!(outcome.discarded, 0);
}

#[test]
fn offline_a_listener_who_jumps_hears_of_the_byte_he_jumped_to() {
    let len = 3 * MIB;
    let moves = [at_once(KIB), Move::Jump(2 * MIB), at_once(1)];
    let outcome = listen(&dead(World::calm(len)), Shelf::of(len, &[0..MIB]), &moves);
    let (_, error) = &outcome.refusals[0];
    assert!(matches!(error, StreamError::Missing { offset, .. } if *offset == 2 * MIB));
}

#[test]
fn a_network_that_comes_back_continues_an_offline_start() {
    let len = 2 * MIB;
    let mut world = World::calm(len);
    world.link.outage = Some((Duration::ZERO, Duration::from_secs(20)));
    let slowly = Move::Read {
        bytes: len,
        rate: REAL_TIME,
    };
    let outcome = listen(&world, Shelf::of(len, &[0..MIB]), &[slowly]);
    assert!(outcome.completed, "{:?}", outcome.refusals);
    assert_eq!(outcome.waited, Duration::ZERO);
}

#[test]
fn a_file_that_is_due_is_asked_for_once_beside_the_playing() {
    let len = 2 * MIB;
    let mut shelf = Shelf::of(len, &[0..len]);
    shelf.due = true;
    let slowly = Move::Read {
        bytes: 64 * KIB,
        rate: REAL_TIME,
    };
    let outcome = listen(&World::calm(len), shelf.clone(), &[slowly]);
    assert_eq!(outcome.requests, [0..64]);
    assert_eq!(outcome.published_at, Some(Duration::ZERO));
    assert_eq!(
        (outcome.validated, outcome.discarded + outcome.outdated),
        (1, 0)
    );
    assert_eq!(outcome.open_transfers, 0);

    // Another one: it is played to the end all the same.
    let mut world = World::calm(len);
    world.origin.changes_at_request = Some(0);
    let outcome = listen(&world, shelf.clone(), &[slowly, ALL]);
    assert_eq!((outcome.discarded, outcome.outdated), (0, 1));
    assert_eq!(count(&outcome, is_stale), 1);
    assert!(outcome.refusals.is_empty());
    assert_eq!((outcome.validated, outcome.requests.len()), (0, 1));

    // No answer is no reason to do anything.
    let outcome = listen(&dead(World::calm(len)), shelf.clone(), &[slowly, ALL]);
    assert_eq!(outcome.requests.len(), 1, "asked once, not again");
    assert!(outcome.refusals.is_empty());
    assert_eq!(
        (outcome.validated, outcome.discarded + outcome.outdated),
        (0, 0)
    );
    let complaint = |event: &FileEvent| {
        matches!(
            event,
            FileEvent::DownloadFailed { .. } | FileEvent::Retrying { .. }
        )
    };
    assert_eq!(count(&outcome, complaint), 0);

    // Without validators a sample is compared.
    let mut world = World::calm(len);
    world.origin.etag = None;
    shelf.facts = Some(Facts {
        total: Some(len),
        ..Facts::default()
    });
    let outcome = listen(&world, shelf.clone(), &[slowly]);
    assert_eq!((outcome.validated, outcome.compared), (1, 64));
    world.origin.rewritten_at_request = Some(0);
    let outcome = listen(&world, shelf, &[slowly]);
    assert_eq!((outcome.validated, count(&outcome, is_stale)), (0, 1));
}

#[test]
fn a_file_known_as_outdated_is_asked_for_before_it_is_read() {
    let len = 2 * MIB;
    let mut shelf = Shelf::of(len, &[0..len]);
    shelf.outdated = true;
    for amount in [None, Some(Amount::All)] {
        let plan = || match amount {
            None => plan(),
            Some(amount) => plan().with_amount(amount),
        };
        let moves: &[Move] = match amount {
            None => &[Move::Pause(Duration::from_secs(1)), ALL],
            Some(_) => &[Move::Pause(Duration::from_secs(1))],
        };
        // Another one answers: nothing of the old one is heard.
        let mut world = World::calm(len);
        world.origin.changes_at_request = Some(0);
        let outcome = run(plan(), &world, shelf.clone(), moves);
        assert_eq!(outcome.requests, [0..64]);
        assert_eq!(outcome.published_at, None);
        assert_eq!((outcome.discarded, count(&outcome, is_changed)), (1, 1));
        assert_eq!((outcome.outdated, outcome.validated), (0, 0));

        // No answer, or the same one after all: it is there.
        let answered = [(World::calm(len), 1), (dead(World::calm(len)), 0)];
        for (world, validated) in answered {
            let outcome = run(plan(), &world, shelf.clone(), moves);
            assert_eq!(outcome.requests, [0..64]);
            assert_eq!(outcome.published_at.is_some(), amount.is_none());
            assert!(
                outcome.published_at != Some(Duration::ZERO),
                "it is asked first"
            );
            assert!(outcome.told_end_at.is_some());
            assert!(outcome.refusals.is_empty());
            assert_eq!(outcome.validated, validated);
            assert_eq!((outcome.discarded, outcome.outdated), (0, 0));
        }
    }
    // An answer that takes its time keeps nobody waiting, and counts for the next open.
    let mut world = World::calm(len);
    world.link.latency = Duration::from_secs(5);
    world.origin.changes_at_request = Some(0);
    let outcome = listen(&world, shelf, &[Move::Pause(Duration::from_secs(9)), ALL]);
    assert_eq!(outcome.published_at, Some(Duration::from_secs(2)));
    assert_eq!((outcome.outdated, count(&outcome, is_stale)), (1, 1));
    assert!(outcome.refusals.is_empty());
    // What is known to be missing anyway is asked for, and tells.
    let mut half = Shelf::of(len, &[0..MIB]);
    half.outdated = true;
    let outcome = listen(&World::calm(len), half, &[ALL]);
    assert!(outcome.completed);
}

#[test]
fn what_must_not_be_stored_is_played_and_said_not_to_be_kept() {
    let mut world = World::calm(MIB);
    world.origin.no_store = true;
    let outcome = listen(&world, Shelf::default(), &[ALL]);
    assert!(outcome.completed);
    assert_eq!(outcome.identified[0].1, Keep::No);
    let told = |event: &FileEvent| {
        matches!(
            event,
            FileEvent::NotKept {
                reason: Reason::NoStore
            }
        )
    };
    assert_eq!(count(&outcome, told), 1);

    let policy = FilePolicy {
        ignore_no_store: true,
        ..FilePolicy::default()
    };
    let plan = FilePlan::new(url(), MediaInfo::default(), policy).with_key(Some(key()));
    let outcome = run(plan, &world, Shelf::default(), &[ALL]);
    assert_eq!(outcome.identified[0].1, Keep::Yes);
    assert_eq!(count(&outcome, told), 0);
}

#[test]
fn memory_alone_bounds_the_look_ahead_and_loses_nothing_that_is_still_to_be_read() {
    let shelf = Shelf::default().then(0, Happening::MemoryOnly(2 * MIB));
    let steadily = Move::Read {
        bytes: u64::MAX / 2,
        rate: 10 * REAL_TIME,
    };
    let outcome = listen(&World::calm(12 * MIB), shelf, &[steadily]);
    assert!(outcome.refusals.is_empty());
    assert!(
        outcome.farthest_ahead <= MIB + 64 * KIB,
        "{}",
        outcome.farthest_ahead
    );
    assert_eq!(total(&outcome.requests), 12 * MIB, "each byte once");
    let told = |event: &FileEvent| matches!(event, FileEvent::NotKept { .. });
    assert_eq!(count(&outcome, told), 1);
}

#[test]
fn bytes_that_were_lost_are_fetched_again_and_nothing_else() {
    let len = 2 * MIB;
    let slowly = Move::Read {
        bytes: len,
        rate: 20 * REAL_TIME,
    };
    let lost = MIB..MIB + 64 * KIB;
    let shelf = Shelf::of(len, &[0..len]).then(1000, Happening::Lost(lost.clone()));
    let outcome = listen(&World::calm(len), shelf, &[slowly]);
    assert_eq!(outcome.requests, [lost]);
    assert!(outcome.completed && outcome.refusals.is_empty());

    // Behind the listener: only who goes back needs it.
    let shelf = Shelf::of(len, &[0..len]).then(4000, Happening::Lost(0..64 * KIB));
    let outcome = listen(&World::calm(len), shelf.clone(), &[slowly]);
    assert!(outcome.requests.is_empty());
    let outcome = listen(&World::calm(len), shelf, &[slowly, Move::Jump(0), ALL]);
    assert_eq!(outcome.requests, [0..64 * KIB]);
}

#[test]
fn what_somebody_else_brings_is_waited_for() {
    let len = 2 * MIB;
    // He has begun, and the server has not answered him yet.
    let mut shelf = Shelf::default();
    shelf.others.insert(0..512 * KIB);
    let facts = Shelf::of(len, &[]).facts.expect("it has");
    let shelf = shelf
        .then(100, Happening::Identified(facts))
        .then(300, Happening::Brought(0..256 * KIB))
        .then(600, Happening::Brought(256 * KIB..512 * KIB))
        .then(600, Happening::Claimed(512 * KIB..len))
        .then(900, Happening::Brought(512 * KIB..len));
    let outcome = listen(&World::calm(len), shelf, &[ALL]);
    assert!(outcome.completed);
    assert_eq!(outcome.requests.len(), 0);
    assert_eq!(outcome.published_at, Some(Duration::from_millis(100)));
}

#[test]
fn what_somebody_else_gives_up_is_fetched() {
    let len = 2 * MIB;
    for identified in [true, false] {
        let mut shelf = Shelf::default();
        if identified {
            shelf = Shelf::of(len, &[]);
        }
        shelf.others.insert(0..512 * KIB);
        let shelf = shelf.then(2000, Happening::Left(0..512 * KIB));
        let outcome = listen(&World::calm(len), shelf, &[ALL]);
        assert!(outcome.completed);
        assert_eq!(total(&outcome.requests), len);
        assert!(outcome.waited >= Duration::from_secs(1));
    }
}

#[test]
fn a_claim_nobody_told_of_ends_a_request_where_it_begins_and_is_not_fought_over() {
    let len = 2 * MIB;
    let brought = MIB + 64 * KIB..len;
    let mut shelf = Shelf::of(len, &[0..MIB]);
    shelf.untold.insert(brought.clone());
    let shelf = shelf.then(5000, Happening::Brought(brought));
    let outcome = listen(&World::calm(len), shelf.clone(), &[ALL]);
    assert!(outcome.completed);
    assert_eq!(outcome.requests, [MIB..MIB + 64 * KIB]);
    assert_eq!(outcome.taken, 1, "it asked for the rest once");

    // The same claim, given up in the end.
    let mut shelf = Shelf::of(len, &[0..MIB]);
    shelf.untold.insert(MIB..len);
    let shelf = shelf.then(5000, Happening::Left(MIB..len));
    let outcome = listen(&World::calm(len), shelf, &[ALL]);
    assert!(outcome.completed);
    assert_eq!((total(&outcome.requests), outcome.taken), (MIB, 1));
}

#[test]
fn somebody_else_with_another_version_is_not_joined() {
    let len = 2 * MIB;
    let mut other = Shelf::of(len, &[]).facts.expect("it has");
    other.etag = Some("\"another\"".into());
    // He hears his answer while ours is on the way.
    let shelf = Shelf::default().then(20, Happening::Identified(other));
    let outcome = listen(&World::calm(len), shelf, &[ALL]);
    let (_, error) = &outcome.refusals[0];
    assert!(
        matches!(error, StreamError::ContentChanged { .. }),
        "{error:?}"
    );
    assert_eq!(outcome.discarded, 1);
    assert_eq!(outcome.coverage.total(), 0);
}

#[test]
fn a_server_without_ranges_fills_a_partial_file_from_the_front() {
    let len = 2 * MIB;
    let mut world = World::calm(len);
    world.origin.ranges = false;
    let outcome = listen(&world, Shelf::of(len, &[0..MIB]), &[ALL]);
    assert!(outcome.completed, "{:?}", outcome.refusals);
    assert_eq!(outcome.requests.len(), 1);
}

#[test]
fn a_prefetch_brings_what_was_asked_for_in_the_background_and_ends() {
    let len = 3 * MIB;
    let hour = [Move::Pause(Duration::from_secs(600))];
    for (amount, least, most) in [
        (Amount::Head(MIB), MIB, MIB + 512 * KIB),
        (Amount::All, len, len),
        (Amount::Head(1), 1, 512 * KIB),
        (Amount::Head(u64::MAX), len, len),
    ] {
        for ranges in [true, false] {
            let mut world = World::calm(len);
            world.origin.ranges = ranges;
            let outcome = run(plan().with_amount(amount), &world, Shelf::default(), &hour);
            let what = format!("{amount:?}, {ranges}");
            let got = outcome.coverage.total();
            assert!((least..=most).contains(&got), "{what}: {got}");
            assert_eq!(outcome.in_background, outcome.requests.len(), "{what}");
            assert_eq!(outcome.published_at, None, "{what}");
            assert!(outcome.told_end_at.is_some(), "{what}");
            assert_eq!(outcome.open_transfers, 0, "{what}");
            assert_eq!(outcome.most_transfers, 1, "{what}");
            let told = |event: &FileEvent| matches!(event, FileEvent::PrefetchDone { stored, .. } if *stored == got);
            assert_eq!(count(&outcome, told), 1, "{what}");
        }
    }
}

#[test]
fn a_prefetch_of_what_is_there_asks_for_nothing() {
    let len = 3 * MIB;
    let moment = [Move::Pause(Duration::from_secs(1))];
    let mut shelf = Shelf::of(len, &[0..len]);
    shelf.due = true;
    let outcome = run(
        plan().with_amount(Amount::All),
        &World::calm(len),
        shelf,
        &moment,
    );
    assert_eq!(outcome.requests.len(), 0);
    assert_eq!(outcome.told_end_at, Some(Duration::ZERO));
    let shelf = Shelf::of(len, &[0..MIB]);
    let head = plan().with_amount(Amount::Head(MIB));
    let outcome = run(head, &World::calm(len), shelf, &moment);
    assert_eq!(outcome.requests.len(), 0);
}

#[test]
fn a_prefetch_that_cannot_be_kept_or_fetched_fails_and_does_not_hang() {
    let hour = [Move::Pause(Duration::from_secs(3600))];
    let mut no_store = World::calm(8 * MIB);
    no_store.origin.no_store = true;
    let mut lost = World::calm(8 * MIB);
    lost.link.outage = Some((Duration::from_secs(1), Duration::MAX));
    for (world, kept) in [(no_store, false), (lost, true)] {
        let plan = plan().with_amount(Amount::All);
        let outcome = run(plan, &world, Shelf::default(), &hour);
        let failed = |event: &FileEvent| match event {
            FileEvent::DownloadFailed { error } if kept => matches!(error, StreamError::Net(_)),
            FileEvent::DownloadFailed { error } => matches!(error, StreamError::NotKept { .. }),
            _ => false,
        };
        assert_eq!(count(&outcome, failed), 1, "{:?}", outcome.events.last());
        assert_eq!(outcome.open_transfers, 0);
    }
}

#[test]
fn seeded_losses_of_link_and_disk_end_in_the_whole_file() {
    for seed in 1..=100 {
        let len = 2 * MIB;
        let world = World {
            seed,
            link: Link {
                losses_per_mib: 2.0,
                stalls_per_mib: 1.0,
                ..Link::default()
            },
            ..World::calm(len)
        };
        let at = |share: u64| seed * share % len;
        let mut shelf = Shelf::of(len, &[at(7919)..len, 0..at(104_729).min(len / 3)]);
        shelf.others.insert(len / 2..len / 2 + 200 * KIB);
        let shelf = shelf
            .then(700, Happening::Lost(at(31_337)..at(31_337) + 64 * KIB))
            .then(900, Happening::Left(len / 2..len / 2 + 200 * KIB))
            .then(1500, Happening::Lost(0..KIB));
        let slowly = Move::Read {
            bytes: len,
            rate: 20 * REAL_TIME,
        };
        let outcome = listen(&world, shelf, &[slowly, Move::Jump(0), ALL]);
        assert!(
            outcome.refusals.is_empty(),
            "{seed}: {:?}",
            outcome.refusals
        );
        assert!(outcome.coverage.is_complete(len), "{seed}");
        assert_eq!(outcome.carried_again, 0, "{seed}");
    }
}

#[test]
fn no_event_shows_the_query() {
    let mut shelf = Shelf::of(MIB, &[0..MIB]);
    shelf.due = true;
    let outcome = listen(&World::calm(MIB), shelf, &[ALL]);
    assert!(!format!("{:?}", outcome.events).contains("secret"));
}
