//! The power fails at every moment of every short story, and during the recovery from it.
#![allow(clippy::unwrap_used)] // A test's helpers fail as the test itself does.

mod support;

use kithara_storage::{Access, CrashImage, Disk, Partial, SimDisk, Stored};
use std::path::Path;
use support::*;

const LEN: u64 = 100;
const HALVES: [std::ops::Range<u64>; 2] = [0..40, 40..LEN];
/// The most images of one moment, and of one moment of a recovery.
const LIMIT: usize = 24;
const RECOVERY_LIMIT: usize = 6;
/// From every so many images the recovery is cut too.
const RECOVER_EACH: usize = 61;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    SaveFirst,
    SaveSecond,
    Commit,
    Begin,
    Remove,
    Repair,
}

const STEPS: [Step; 6] = [
    Step::SaveFirst,
    Step::SaveSecond,
    Step::Commit,
    Step::Begin,
    Step::Remove,
    Step::Repair,
];

/// What has been promised to whoever took the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Promise {
    /// This version is there, whole.
    committed: Option<u64>,
    /// But once a block was damaged, and may be again.
    repaired: bool,
}

struct Story {
    disk: SimDisk,
    version: u64,
    stored: Option<Stored>,
    promise: Promise,
}

fn label(version: u64) -> Vec<u8> {
    format!("version {version}").into_bytes()
}

fn begin(disk: &SimDisk, version: u64) -> Partial {
    files(disk)
        .begin(&label(version), GENERATION + version)
        .unwrap()
}

impl Story {
    /// Begins with an empty partial resource, of which nothing is safe, or with a committed one that is.
    fn new(committed: bool) -> Self {
        let disk = SimDisk::new();
        let stored = Some(Stored::Partial(begin(&disk, 1)));
        let mut story = Self {
            disk,
            version: 1,
            stored,
            promise: Promise::default(),
        };
        if committed {
            [Step::SaveFirst, Step::SaveSecond, Step::Commit]
                .into_iter()
                .for_each(|step| story.take(step));
            story.disk.settle();
        }
        story
    }

    /// Takes a step; one that makes no sense where the story stands does nothing.
    fn take(&mut self, step: Step) {
        let version = self.version;
        match (step, self.stored.take()) {
            (Step::Begin, _) => {
                self.promise.committed = None;
                self.version += 1;
                self.stored = Some(Stored::Partial(begin(&self.disk, self.version)));
            }
            (Step::Remove, _) => {
                self.promise.committed = None;
                files(&self.disk).remove().unwrap();
            }
            (Step::SaveFirst | Step::SaveSecond, Some(Stored::Partial(mut partial))) => {
                let range = HALVES[usize::from(step == Step::SaveSecond)].clone();
                save(&mut partial, version, range);
                self.stored = Some(Stored::Partial(partial));
            }
            (Step::Commit, Some(Stored::Partial(partial))) => {
                self.stored = Some(match partial.commit(LEN, &label(version)) {
                    Ok(committed) => {
                        self.promise.committed = Some(version);
                        Stored::Committed(committed)
                    }
                    Err((partial, _)) => Stored::Partial(partial),
                });
            }
            (Step::Repair, Some(Stored::Committed(mut committed))) => {
                self.promise.repaired = true;
                change(&self.disk, "/name", 50, |byte| *byte ^= 1);
                committed.repair(0, &bytes_of(version, 0..LEN)).unwrap();
                self.stored = Some(Stored::Committed(committed));
            }
            (_, stored) => self.stored = stored,
        }
    }
}

/// Opens what the power cut left: it opens, every byte given out is that of the version it says it is, and what was promised
/// is there.
fn check(image: &CrashImage, promise: Promise) {
    let opened = files(&image.disk).open().unwrap_or_else(|error| {
        panic!("{error:?}\n{}", image.story());
    });
    let (generation, label_found, checked) = match &opened {
        None => {
            assert_eq!(
                promise.committed,
                None,
                "nothing is there\n{}",
                image.story()
            );
            return;
        }
        Some(Stored::Partial(partial)) => {
            assert_eq!(promise.committed, None, "not whole\n{}", image.story());
            (partial.generation(), partial.label(), partial.checked())
        }
        Some(Stored::Committed(committed)) => {
            assert_eq!(committed.len(), LEN);
            (
                committed.generation(),
                committed.label(),
                committed.checked(),
            )
        }
    };
    let version = generation - GENERATION;
    assert!(promise.committed.is_none_or(|promised| promised == version));
    assert_eq!(label_found, label(version));
    let (got, _) = read_all(&checked, version, 4096);
    if matches!(opened, Some(Stored::Committed(_))) && !promise.repaired {
        assert_eq!(got.total(), LEN, "a hole\n{}", image.story());
    }
}

/// What a program does that finds the files so: it brings what is missing, and commits.
fn recover(disk: &SimDisk) {
    let mut partial = match files(disk).open().unwrap() {
        None => begin(disk, 7),
        Some(Stored::Partial(partial)) => partial,
        Some(Stored::Committed(mut committed)) => {
            let version = committed.generation() - GENERATION;
            let (_, lost) = read_all(&committed.checked(), version, 4096);
            if !lost.is_empty() {
                committed.repair(0, &bytes_of(version, 0..LEN)).unwrap();
            }
            return;
        }
    };
    let version = partial.generation() - GENERATION;
    read_all(&partial.checked(), version, 4096);
    let gaps: Vec<_> = partial.coverage().gaps(0..LEN).collect();
    for gap in gaps {
        save(&mut partial, version, gap);
    }
    partial
        .commit(LEN, &label(version))
        .map_err(|(_, error)| error)
        .unwrap();
}

/// All images at the moments of the last step; those of earlier steps belong to shorter stories.
fn cut_the_last_step(committed: bool, steps: &[Step], counts: &mut (usize, usize)) {
    let mut story = Story::new(committed);
    let (last, before) = steps.split_last().unwrap();
    before.iter().for_each(|step| story.take(*step));
    let (promised, start) = (story.promise, story.disk.moment());
    story.take(*last);
    let (promise, end) = (story.promise, story.disk.moment());
    if end == start {
        return;
    }
    story.disk.crash_images(start..=end, LIMIT, |image| {
        // While a step is under way, what was promised before counts as long as the step leaves it alone.
        let kept = match last {
            Step::Begin | Step::Remove | Step::Repair => promise,
            _ if image.moment == end => promise,
            _ => promised,
        };
        check(image, kept);
        counts.0 += 1;
        if counts.0.is_multiple_of(RECOVER_EACH) {
            let from = image.disk.moment();
            recover(&image.disk);
            let to = image.disk.moment();
            counts.1 += image
                .disk
                .crash_images(from..=to, RECOVERY_LIMIT, |second| {
                    check(second, kept);
                    recover(&second.disk);
                    let whole = open_committed(&second.disk).unwrap();
                    let version = whole.generation() - GENERATION;
                    assert_eq!(read_all(&whole.checked(), version, 4096).0.total(), LEN);
                });
        }
    });
}

/// The story with this number among those of `len` steps.
fn steps_of(mut number: usize, len: u32) -> Vec<Step> {
    let steps = (0..len).map(|_| {
        let step = STEPS[number % STEPS.len()];
        number /= STEPS.len();
        step
    });
    steps.collect()
}

#[test]
fn after_a_power_cut_at_any_moment_of_up_to_four_steps_everything_opens_and_no_byte_is_wrong() {
    let (mut counts, mut stories) = ((0, 0), 0);
    let (fresh, whole) = (
        [1, 2, 3, 4].map(|len| (false, len)),
        [1, 2, 3].map(|len| (true, len)),
    );
    for (committed, len) in fresh.into_iter().chain(whole) {
        for number in 0..STEPS.len().pow(len) {
            cut_the_last_step(committed, &steps_of(number, len), &mut counts);
            stories += 1;
        }
    }
    println!(
        "{stories} stories, {} images, {} images of recoveries",
        counts.0, counts.1
    );
    assert!(counts.0 > 10_000 && counts.1 > 1000, "{counts:?}");
}

#[test]
fn the_images_show_what_a_commit_without_its_syncs_would_lose() {
    // The oracle itself: without the two syncs, a whole file that isn't whole is found, and one that is gone.
    for (sync_file, sync_directory) in [(true, true), (false, true), (true, false)] {
        let disk = SimDisk::new();
        let file = disk.open(Path::new("/new"), Access::Create).unwrap();
        file.write_at(0, b"contents").unwrap();
        if sync_file {
            file.sync().unwrap();
        }
        disk.rename(Path::new("/new"), Path::new("/name")).unwrap();
        if sync_directory {
            disk.sync_dir(Path::new("/")).unwrap();
        }
        let (mut broken, mut gone) = (0, 0);
        let now = disk.moment();
        disk.crash_images(now..=now, 1000, |image| {
            match exists(&image.disk, "/name") {
                false => gone += 1,
                true => broken += usize::from(contents(&image.disk, "/name") != b"contents"),
            }
        });
        assert_eq!((broken == 0, gone == 0), (sync_file, sync_directory));
    }
}

#[test]
fn a_sync_that_failed_makes_nothing_safe_and_neither_does_the_next() {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("/name"), Access::Create).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, b"contents").unwrap();
    disk.fail_nth(0, std::io::ErrorKind::Other);
    file.sync().unwrap_err();
    file.sync().unwrap();
    let (mut whole, mut broken, now) = (0, 0, disk.moment());
    disk.crash_images(now..=now, 100, |image| {
        match contents(&image.disk, "/name") == b"contents" {
            true => whole += 1,
            false => broken += 1,
        }
    });
    assert_eq!((whole, broken), (1, 4));
}
