//! Several readers and fetchers of one resource.

#![allow(clippy::single_range_in_vec_init)] // A list of ranges may have one.
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use kithara_assets::{Conflict, Entry, EntryState, Keep, StoreEvent};
use kithara_storage::{
    Disk, Interrupt, MemDisk, ResourceExt, ResourceStatus, SimDisk, StorageError, StorageResource,
    WaitOutcome,
};

use support::*;

fn disk() -> Arc<dyn Disk> {
    Arc::new(MemDisk::new())
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_first_fills_the_next_join_and_later_ones_find_it_ready() {
    let store = store_on(&disk());
    let one = store.open(&key(&store, "a"));
    assert_eq!(one.state(), EntryState::Fill);
    let two = store.open(&key(&store, "a"));
    assert_eq!(two.state(), EntryState::Join);
    one.identify(facts(1, 100), Keep::Yes).unwrap();
    one.write(0, &bytes(1, 0..100)).unwrap();
    one.complete(100).unwrap();
    assert_eq!(
        (one.state(), two.state()),
        (EntryState::Ready, EntryState::Ready)
    );
    assert_eq!(two.resource().committed_len(), Some(100));
    assert_eq!(assert_true(&two, 1, 100), 100);
    assert_eq!(store.open(&key(&store, "b")).state(), EntryState::Fill);
    drop((one, two));
    store.settle();
    assert_eq!(store.open(&key(&store, "a")).state(), EntryState::Ready);
    assert_whole(&store, "a", 1, 100);
}

#[test]
fn what_one_has_claimed_the_other_does_not_get_until_it_is_given_back() {
    let store = store_on(&disk());
    let (one, two) = (store.open(&key(&store, "a")), store.open(&key(&store, "a")));
    assert_eq!(one.claim(100..200), 100..200);
    assert_eq!(
        one.claim(100..250),
        100..250,
        "one's own claim is no obstacle"
    );
    assert_eq!(two.claim(150..300), 150..150);
    assert_eq!(two.claim(0..300), 0..100, "up to what is claimed");
    assert_eq!(two.claim(250..300), 250..300);
    assert_eq!(two.snapshot().others, [100..250].into_iter().collect());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let cx = &mut Context::from_waker(&waker);
    assert!(two.poll_changed(cx).is_pending());
    one.write(100, &bytes(1, 100..150)).unwrap();
    assert_eq!(two.claim(100..150), 100..100, "it is there");
    drop(one);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "who waits is woken");
    assert!(two.poll_changed(cx).is_ready());
    assert!(two.poll_changed(cx).is_pending());
    assert!(two.snapshot().others.is_empty());
    assert_eq!(two.claim(150..300), 150..300);
}

#[test]
fn an_end_for_one_entry_is_none_for_the_others_and_gives_way_to_the_true_one() {
    for complete in [true, false] {
        let store = store_on(&disk());
        let (one, two) = (store.open(&key(&store, "a")), store.open(&key(&store, "a")));
        one.write(0, &bytes(1, 0..100)).unwrap();
        one.end_here(100);
        let cx = &mut Context::from_waker(Waker::noop());
        let mut behind = |entry: &Entry| entry.resource().poll_range(cx, 100..300);
        assert!(matches!(behind(&one), Poll::Ready(Ok(WaitOutcome::Eof))));
        assert!(behind(&two).is_pending());
        assert_eq!((two.snapshot().end, two.state()), (None, EntryState::Join));
        two.write(100, &bytes(1, 100..300)).unwrap();
        assert!(matches!(behind(&two), Poll::Ready(Ok(WaitOutcome::Ready))));
        assert!(matches!(behind(&one), Poll::Ready(Ok(WaitOutcome::Eof))));
        match complete {
            true => two.complete(300).unwrap(),
            false => two.end_at(300),
        }
        assert!(matches!(behind(&one), Poll::Ready(Ok(WaitOutcome::Ready))));
        one.end_here(100);
        assert_eq!(assert_true(&one, 1, 300), 300);
        one.complete(300).unwrap();
    }
}

#[test]
fn what_stands_back_gives_way_to_whoever_does_not() {
    let store = store_on(&disk());
    let open = || store.open(&key(&store, "a"));
    let (ahead, also, listener) = (open(), open(), open());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let cx = &mut Context::from_waker(&waker);
    assert_eq!(ahead.claim(0..100), 0..100);
    assert!(listener.poll_changed(cx).is_pending());
    assert_eq!(listener.snapshot().others, [0..100].into_iter().collect());
    ahead.stand_back();
    also.stand_back();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "there is more to claim");
    assert!(listener.poll_changed(cx).is_ready());
    assert!(listener.snapshot().others.is_empty());
    assert_eq!(also.claim(50..150), 50..50, "each other they respect");
    assert_eq!(also.claim(100..150), 100..150);

    assert!(ahead.poll_changed(cx).is_pending());
    while also.poll_changed(cx).is_ready() {}
    assert_eq!(listener.claim(20..40), 20..40);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2, "who lost it is told");
    assert!(ahead.poll_changed(cx).is_ready() && also.poll_changed(cx).is_pending());
    let others = [20..40, 100..150].into_iter().collect();
    assert_eq!(ahead.snapshot().others, others);
    assert_eq!(ahead.claim(0..100), 0..20, "the listener's it respects");
    drop(listener);
    assert_eq!(also.claim(20..60), 20..40, "it is free again, the rest not");

    // Also once the origin has changed.
    ahead.discard();
    assert_eq!(ahead.claim(0..100), 0..100);
    assert_eq!(open().claim(0..100), 0..100);
}

#[test]
fn entries_share_the_memory_of_what_is_not_kept_and_hear_who_comes_and_goes() {
    let disk = SimDisk::new();
    let store = store_on(&(Arc::new(disk.clone()) as Arc<dyn Disk>));
    let one = write(&store, "a", 1, 3 * EXTENT, &[]);
    assert_eq!(one.snapshot().memory_only, None);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let cx = &mut Context::from_waker(&waker);
    assert!(one.poll_changed(cx).is_pending());
    let kept = store.open(&key(&store, "a"));
    assert!(one.poll_changed(cx).is_pending(), "all of it is kept");
    drop(kept);
    disk.on_call(|_| Err(std::io::ErrorKind::Other.into()));
    one.write(0, &bytes(1, 0..EXTENT)).unwrap();
    store.settle();
    assert_eq!(one.snapshot().memory_only, Some(8 << 20));
    while one.poll_changed(cx).is_ready() {}
    let other = store.open(&key(&store, "a"));
    assert!(one.poll_changed(cx).is_ready());
    for entry in [&one, &other] {
        assert_eq!(entry.snapshot().memory_only, Some(4 << 20));
    }
    assert!(one.poll_changed(cx).is_pending());
    drop(other);
    assert!(one.poll_changed(cx).is_ready());
    assert_eq!(one.snapshot().memory_only, Some(8 << 20));
}

#[test]
fn a_hundred_entries_never_claim_the_same_byte_and_fetch_all_of_it_once() {
    const TOTAL: u64 = 5 * EXTENT + 77;
    let store = store_on(&disk());
    let fetched = parking_lot::Mutex::new(vec![0_u32; TOTAL as usize]);
    std::thread::scope(|scope| {
        for number in 0..100 {
            let (store, fetched) = (&store, &fetched);
            scope.spawn(move || {
                let entry = store.open(&key(store, "a"));
                entry.identify(facts(1, TOTAL), Keep::Yes).unwrap();
                let mut dice = Dice(number);
                // Some go away in the middle, with claims they never fetched.
                let rounds = if number % 3 == 0 { 5 } else { u64::MAX };
                let mut round = 0;
                while round < rounds && !missing(&entry, TOTAL).is_empty() {
                    round += 1;
                    let from = dice.below(TOTAL);
                    let mine = entry.claim(from..(from + 10_000).min(TOTAL));
                    let mine = mine.start..mine.start + (mine.end - mine.start).min(9_000);
                    {
                        let mut fetched = fetched.lock();
                        for at in mine.clone() {
                            fetched[at as usize] += 1;
                        }
                    }
                    entry.write(mine.start, &bytes(1, mine.clone())).unwrap();
                    entry.release(0..TOTAL);
                    // The last gaps are small: take them in order.
                    for gap in missing(&entry, TOTAL).into_iter().take(1) {
                        let mine = entry.claim(gap.start..gap.end.min(gap.start + 5_000));
                        for at in mine.clone() {
                            fetched.lock()[at as usize] += 1;
                        }
                        entry.write(mine.start, &bytes(1, mine)).unwrap();
                    }
                }
                if rounds == u64::MAX {
                    entry
                        .resource()
                        .wait_range(0..TOTAL, &Interrupt::new())
                        .unwrap();
                    assert_eq!(assert_true(&entry, 1, TOTAL), TOTAL);
                }
            });
        }
    });
    assert!(fetched.lock().iter().all(|times| *times == 1));
}

#[test]
fn one_entry_that_fails_or_closes_takes_no_other_with_it() {
    let store = store_on(&disk());
    let (one, two) = (store.open(&key(&store, "a")), store.open(&key(&store, "a")));
    one.fail(Arc::new(std::fmt::Error));
    assert!(matches!(one.resource().status(), ResourceStatus::Failed(_)));
    two.write(0, &bytes(1, 0..10)).unwrap();
    two.resource().close();
    assert!(matches!(one.resource().status(), ResourceStatus::Failed(_)));
    one.reactivate();
    let waiting = one.resource();
    one.write(10, &bytes(1, 10..20)).unwrap();
    waiting.wait_range(0..20, &Interrupt::new()).unwrap();
    assert_eq!(assert_true(&one, 1, 20), 20);
}

#[test]
fn a_changed_origin_begins_anew_and_who_reads_the_old_keeps_the_old() {
    let store = store_on(&disk());
    let old = write(&store, "a", 1, 3 * EXTENT, &[0..2 * EXTENT]);
    let other = store.open(&key(&store, "a"));
    let found = facts(2, 3 * EXTENT);
    assert_eq!(old.identify(found.clone(), Keep::Yes), Err(Conflict::ETag));
    let (reading, generation) = (old.resource(), old.snapshot().generation);
    old.discard();
    assert_ne!(old.snapshot().generation, generation);
    assert!(old.snapshot().coverage.is_empty() && old.snapshot().facts.is_none());
    assert!(other.snapshot().superseded);
    old.identify(found, Keep::Yes).unwrap();
    old.write(EXTENT, &bytes(2, EXTENT..3 * EXTENT)).unwrap();
    store.settle();
    assert_eq!(assert_true(&old, 2, 3 * EXTENT), 2 * EXTENT);
    // Whatever of the old can still be had is the old.
    other
        .write(2 * EXTENT, &bytes(1, 2 * EXTENT..3 * EXTENT))
        .unwrap();
    assert_true(&other, 1, 3 * EXTENT);
    let mut buf = [0; 100];
    if let Ok(count) = reading.read_at(EXTENT, &mut buf) {
        assert_eq!(buf[..count], bytes(1, EXTENT..EXTENT + count as u64));
    }
    other.discard();
    assert_eq!(
        other.snapshot().generation,
        old.snapshot().generation,
        "it joins"
    );
    assert_eq!(assert_true(&other, 2, 3 * EXTENT), 2 * EXTENT);
}

#[test]
fn who_reads_the_old_keeps_it_also_where_few_files_may_be_open() {
    const TOTAL: u64 = 3 * EXTENT;
    let mut few = options();
    few.open_handles = 4;
    let store = store_with(&disk(), few, &Told::default());
    let entries: Vec<_> = (0..100)
        .map(|number| write(&store, &format!("{number}"), number, TOTAL, &[0..TOTAL]))
        .collect();
    // One that is being fetched, and one that is whole.
    entries[8].complete(TOTAL).unwrap();
    store.settle();
    for number in [7, 8] {
        let reader = store.open(&key(&store, &format!("{number}")));
        let entry = &entries[number as usize];
        entry.discard();
        entry.identify(facts(1000, TOTAL), Keep::Yes).unwrap();
        entry.write(0, &bytes(1000, 0..TOTAL)).unwrap();
        store.settle();
        for (other, entry) in (0..).zip(&entries).filter(|(other, _)| *other < 7) {
            assert_eq!(assert_true(entry, other, TOTAL), TOTAL);
        }
        assert_eq!(assert_true(entry, 1000, TOTAL), TOTAL);
        assert_eq!(assert_true(&reader, number, TOTAL), TOTAL);
    }
}

#[test]
fn bytes_that_differ_from_those_stored_are_refused_when_they_are_to_be_compared() {
    let store = store_on(&disk());
    let entry = write(&store, "a", 1, 4 * EXTENT, &[0..EXTENT + 500]);
    store.settle();
    entry
        .write_checked(EXTENT, &bytes(1, EXTENT..EXTENT + 1000))
        .unwrap();
    let mut wrong = bytes(1, 100..EXTENT + 2000);
    wrong[EXTENT as usize] ^= 2;
    let refused = entry.write_checked(100, &wrong);
    assert!(matches!(refused, Err(StorageError::Differs { .. })));
    assert_eq!(
        entry.snapshot().coverage,
        [0..EXTENT + 1000].into_iter().collect()
    );
    assert!(matches!(entry.complete(9), Ok(())));
}

#[test]
fn what_must_not_be_kept_is_read_and_never_stored() {
    let (disk, told) = (Arc::new(MemDisk::new()), Told::default());
    let shared: Arc<dyn Disk> = disk.clone();
    let store = store_with(&shared, options(), &told);
    let entry = store.open(&key(&store, "a"));
    entry.identify(facts(1, 2 * EXTENT), Keep::No).unwrap();
    entry.write(0, &bytes(1, 0..2 * EXTENT)).unwrap();
    entry.complete(2 * EXTENT).unwrap();
    store.settle();
    assert_eq!(assert_true(&entry, 1, 2 * EXTENT), 2 * EXTENT);
    assert!(store.list().is_empty());
    drop(entry);
    store.settle();
    assert_eq!(store.open(&key(&store, "a")).state(), EntryState::Fill);
    assert_eq!(
        told.count(|event| matches!(event, StoreEvent::Committed { .. })),
        0
    );

    // On a real disk it lies in a file that nobody can name.
    let dir = tempfile::tempdir().unwrap();
    let store = store_at(dir.path());
    let entry = store.open(&key(&store, "a"));
    entry.identify(facts(1, 200 * EXTENT), Keep::No).unwrap();
    for number in 0..200 {
        let range = number * EXTENT..(number + 1) * EXTENT;
        entry.write(range.start, &bytes(1, range)).unwrap();
        if number % 50 == 0 {
            store.settle();
        }
    }
    entry.complete(200 * EXTENT).unwrap();
    store.settle();
    assert_eq!(
        assert_true(&entry, 1, 200 * EXTENT),
        200 * EXTENT,
        "more than memory may hold"
    );
    assert!(store.list().is_empty());
}

/// Random operations of three entries against a model: whatever is read is of the generation its entry is at.
#[test]
fn generations_never_mix_whatever_is_done_in_whatever_order() {
    const TOTAL: u64 = EXTENT + 3000;
    for seed in 0..60 {
        let (mut dice, disk) = (Dice(seed), disk());
        let mut store = store_on(&disk);
        let mut origin = 1;
        let mut entries: Vec<Option<Entry>> = vec![None, None, None];
        // A reader that started on one generation, and which.
        let mut reader: Option<(StorageResource, u64)> = None;
        for _ in 0..120 {
            let at = dice.below(3) as usize;
            let Some(entry) = &entries[at] else {
                entries[at] = Some(store.open(&key(&store, "a")));
                continue;
            };
            match dice.below(13) {
                0 => origin += 1,
                1 => store.settle(),
                2 => entries[at] = None,
                3 if dice.below(3) == 0 => {
                    (entries, reader) = (vec![None, None, None], None);
                    drop(store);
                    store = store_on(&disk);
                }
                4 if missing(entry, TOTAL).is_empty() => entry.complete(TOTAL).unwrap(),
                5..=9 => {
                    while entry.identify(facts(origin, TOTAL), Keep::Yes).is_err() {
                        entry.discard();
                    }
                    let mine = entry.claim(dice.range(TOTAL));
                    entry
                        .write(mine.start, &bytes(origin, mine.clone()))
                        .unwrap();
                    entry.release(mine);
                }
                10 => reader = content(entry).map(|content| (entry.resource(), content)),
                11 => {
                    if let Some((resource, content)) = &reader {
                        let mut buf = [0; 4000];
                        let from = dice.below(TOTAL);
                        // What is gone is gone; what is there is of the generation it started on.
                        let count = resource.read_at(from, &mut buf).unwrap_or(0);
                        assert_eq!(buf[..count], bytes(*content, from..from + count as u64));
                    }
                }
                _ => assert_all_of_one(entry, TOTAL),
            }
        }
        for entry in entries.iter().flatten() {
            assert_all_of_one(entry, TOTAL);
        }
    }
}

/// Which content an entry is at, by what the origin has said of it.
fn content(entry: &Entry) -> Option<u64> {
    let etag = entry.snapshot().facts?.etag?;
    etag.trim_matches('"').parse().ok()
}

fn assert_all_of_one(entry: &Entry, total: u64) {
    match content(entry) {
        Some(content) => {
            assert_true(entry, content, total);
        }
        None => assert_eq!(entry.snapshot().coverage.total(), 0),
    }
}
