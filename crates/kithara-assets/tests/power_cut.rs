//! The power fails at every moment of every short story, and once more while the store recovers from that.
//!
//! A story is a sequence of up to four things a program does with its cache. The disk notes every change; then, for every
//! moment of the last step, it is found again as the power cut could have left it: each change that was not made safe is
//! there, or not, or torn, in any combination. Each image is opened by the real code, and everything is read.
//!
//! `KITHARA_IMAGES` sets how many images there are to be at least.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use kithara_assets::{AssetStore, EntryState, Keep};
use kithara_storage::{CrashImage, Disk, SimDisk};

use support::*;

/// Short, so that a story takes microseconds: what a block of 64 KiB is to a file, a stretch given back is to this one.
const TOTAL: u64 = 300;

const STEPS: [Step; 8] = [
    Step::Write("a", 0, 100),
    Step::Write("a", 100, 300),
    Step::Finish("a"),
    Step::Change("a"),
    Step::Pin("a"),
    Step::Unpin("a"),
    Step::Remove("a"),
    Step::Finish("b"),
];

/// What a program does with its cache.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Writes a stretch and lets it be saved.
    Write(&'static str, u64, u64),
    /// Fetches what is missing, and commits.
    Finish(&'static str),
    /// The origin has changed: begins anew, with the first bytes.
    Change(&'static str),
    Pin(&'static str),
    Unpin(&'static str),
    Remove(&'static str),
}

/// What must be true after the power cut.
#[derive(Clone, Debug, Default)]
struct Promises {
    /// Contents that the origin has had, per title.
    contents: BTreeMap<&'static str, u64>,
    /// Told to be committed, and not touched since.
    committed: BTreeMap<&'static str, u64>,
    /// Told to be pinned, or not to be.
    pinned: BTreeMap<&'static str, bool>,
}

impl Promises {
    fn content(&mut self, name: &'static str) -> u64 {
        *self.contents.entry(name).or_insert(1)
    }

    /// What can no longer be promised once this step has begun.
    fn begin(&mut self, step: Step) {
        match step {
            Step::Change(name) => {
                *self.contents.entry(name).or_insert(1) += 1;
                self.committed.remove(name);
            }
            Step::Remove(name) => {
                self.committed.remove(name);
                self.pinned.remove(name);
            }
            Step::Pin(name) | Step::Unpin(name) => {
                self.pinned.remove(name);
            }
            Step::Write(..) | Step::Finish(_) => {}
        }
    }

    /// What is promised once it has been done.
    fn end(&mut self, step: Step) {
        match step {
            Step::Finish(name) => {
                let content = self.content(name);
                self.committed.insert(name, content);
            }
            Step::Pin(name) => drop(self.pinned.insert(name, true)),
            Step::Unpin(name) => drop(self.pinned.insert(name, false)),
            Step::Write(..) | Step::Change(_) | Step::Remove(_) => {}
        }
    }

    /// Opens what was found and reads everything.
    fn check(&mut self, store: &AssetStore, story: &dyn Fn() -> String) {
        assert!(!store.is_memory_only(), "{}", story());
        for name in ["a", "b"] {
            let latest = self.content(name);
            let entry = store.open(&key(store, name));
            let snapshot = entry.snapshot();
            let found = read(&entry, 0..TOTAL);
            // One generation, whichever it is, and nothing else.
            let etag = snapshot.facts.and_then(|facts| facts.etag);
            let content = etag.map(|etag| etag.trim_matches('"').parse::<u64>().unwrap());
            for (at, byte) in (0..).zip(found.iter()) {
                let Some(byte) = byte else { continue };
                let content = content.unwrap_or_else(|| panic!("bytes of nothing: {}", story()));
                assert!(content <= latest);
                assert_eq!(
                    *byte,
                    support::byte(content, at),
                    "byte {at} of {name}: {}",
                    story()
                );
            }
            if let Some(content) = self.committed.get(name) {
                let whole = entry.state() == EntryState::Ready && found.iter().all(Option::is_some);
                assert!(whole, "{name} was committed: {}", story());
                assert_eq!(
                    etag_of(*content),
                    entry.snapshot().facts.unwrap().etag,
                    "{}",
                    story()
                );
            }
            if let Some(pinned) = self.pinned.get(name) {
                assert_eq!(store.is_pinned(&url(name)), *pinned, "{name}: {}", story());
            }
        }
    }
}

fn etag_of(content: u64) -> Option<String> {
    facts(content, TOTAL).etag
}

fn perform(store: &AssetStore, step: Step, promises: &mut Promises) {
    promises.begin(step);
    match step {
        Step::Write(name, from, to) => {
            let entry = store.open(&key(store, name));
            if entry
                .identify(facts(promises.content(name), TOTAL), Keep::Yes)
                .is_err()
            {
                entry.discard();
                entry
                    .identify(facts(promises.content(name), TOTAL), Keep::Yes)
                    .unwrap();
            }
            entry
                .write(from, &bytes(promises.content(name), from..to))
                .unwrap();
        }
        Step::Finish(name) => {
            let entry = store.open(&key(store, name));
            let content = promises.content(name);
            if entry.identify(facts(content, TOTAL), Keep::Yes).is_err() {
                entry.discard();
                entry.identify(facts(content, TOTAL), Keep::Yes).unwrap();
            }
            for gap in missing(&entry, TOTAL) {
                entry.write(gap.start, &bytes(content, gap)).unwrap();
            }
            entry.complete(TOTAL).unwrap();
        }
        Step::Change(name) => {
            let entry = store.open(&key(store, name));
            entry.discard();
            let content = promises.content(name);
            entry.identify(facts(content, TOTAL), Keep::Yes).unwrap();
            entry.write(0, &bytes(content, 0..50)).unwrap();
        }
        Step::Pin(name) => store.pin(&url(name)).unwrap(),
        Step::Unpin(name) => store.unpin(&url(name)).unwrap(),
        Step::Remove(name) => drop(store.remove(&url(name)).unwrap()),
    }
    store.settle();
    promises.end(step);
}

/// All sequences of exactly `len` steps.
fn stories(len: usize) -> Vec<Vec<Step>> {
    (0..len).fold(vec![Vec::new()], |stories, _| {
        stories
            .iter()
            .flat_map(|story| {
                STEPS.iter().map(|step| {
                    let mut longer = story.clone();
                    longer.push(*step);
                    longer
                })
            })
            .collect()
    })
}

/// Opens what a power cut left, and lets it fail once more while it is being recovered from.
fn examine(image: &CrashImage, promises: &mut Promises, again: usize, story: &[Step]) -> usize {
    let disk: Arc<dyn Disk> = Arc::new(image.disk.clone());
    let text = || format!("{story:?} at {}\n{}", image.moment, image.story());
    let store = store_on(&disk);
    promises.check(&store, &text);
    if again == 0 {
        return 1;
    }
    // Go on with what was found, as far as it goes: pins and commits are made again.
    let mut later = promises.clone();
    perform(&store, Step::Finish("a"), &mut later);
    drop(store);
    // Whatever was promised after the first cut must survive the second one, which hits the recovery.
    let mut images = 1;
    let moments = image.disk.moment();
    image.disk.crash_images(0..=moments, again, |second| {
        let disk: Arc<dyn Disk> = Arc::new(second.disk.clone());
        let text = || format!("{}\nand again:\n{}", text(), second.story());
        promises.clone().check(&store_on(&disk), &text);
        images += 1;
    });
    images
}

const OPTIMISED: bool = !cfg!(debug_assertions);
/// How many there are at least, unless `KITHARA_IMAGES` asks for more.
const IMAGES: usize = if OPTIMISED { 500_000 } else { 20_000 };

#[test]
fn no_power_cut_in_any_short_story_costs_a_promise_or_yields_a_wrong_byte() {
    let wanted: usize =
        std::env::var("KITHARA_IMAGES").map_or(IMAGES, |count| count.parse().unwrap());
    // Of the longest, of which there are most, unoptimised only every fifth.
    let longest = stories(4)
        .into_iter()
        .step_by(if OPTIMISED { 1 } else { 5 });
    let all: Vec<Vec<Step>> = (1..=3).flat_map(stories).chain(longest).collect();
    let (next, images) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let recoveries = AtomicU64::new(0);
    let scale = wanted.div_ceil(IMAGES);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(story) = all.get(number) else { break };
                    images.fetch_add(play(story, scale, number, &recoveries), Ordering::Relaxed);
                }
            });
        }
    });
    let images = images.into_inner();
    println!(
        "{} stories, {images} images of power cuts, {} of them with a second cut while recovering",
        all.len(),
        recoveries.into_inner()
    );
    assert!(images >= wanted, "{images}");
}

/// Plays one story, and looks at what a power cut in its last step would leave: those before have stories of their own.
///
/// In every moment; unoptimised, long stories are looked at here and there, each elsewhere.
fn play(story: &[Step], scale: usize, number: usize, recoveries: &AtomicU64) -> usize {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let store = store_on(&disk);
    store.settle();
    let mut promises = Promises::default();
    let (last, before) = story.split_last().unwrap();
    for step in before {
        perform(&store, *step, &mut promises);
    }
    let begun = sim.moment();
    let mut during = promises.clone();
    during.begin(*last);
    perform(&store, *last, &mut promises);
    let done = sim.moment();
    drop(store);
    let (each, limit) = match story.len() {
        1 | 2 => (1, 25),
        3 => (if OPTIMISED { 1 } else { 7 }, 25),
        _ => (if OPTIMISED { 1 } else { 23 }, 8),
    };
    let mut images = 0;
    let mut count = number;
    for moment in begun..=done {
        if !(moment + number).is_multiple_of(each) && moment != done {
            continue;
        }
        // Of four times as many every fourth, so that they are spread over all there are.
        sim.crash_images(moment..=moment, 4 * limit * scale, |image| {
            count += 1;
            if !count.is_multiple_of(4) {
                return;
            }
            // Now and then the power fails again.
            let again = if count.is_multiple_of(388) { 2 } else { 0 };
            recoveries.fetch_add((again > 0).into(), Ordering::Relaxed);
            let promises = if moment == done {
                &mut promises
            } else {
                &mut during
            };
            images += examine(image, promises, again, story);
        });
    }
    images
}
