//! A process is killed at a random moment while it fills, reads, pins and evicts, and the next one finds its cache.
//!
//! `KITHARA_KILLS` sets how many there are.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use kithara_assets::{AssetStore, AssetStoreBuilder, EntryState, Keep, StoreOptions};

use support::*;

const TEST: &str = "a_killed_process_leaves_nothing_wrong_and_breaks_no_promise";
const DIR: &str = "KITHARA_TEST_DIR";
const SEED: &str = "KITHARA_TEST_SEED";
const TITLES: u64 = 12;
const BUDGET: u64 = 2_000_000;
/// What may lie beyond the budget at the moment of a kill: what was not yet counted.
const SLACK: u64 = 3 * EXTENT;

fn build(dir: &Path) -> AssetStore {
    let mut options = StoreOptions::at(dir);
    options.max_bytes = BUDGET;
    options.min_free = 0;
    AssetStoreBuilder::new(options)
        .require_disk(true)
        .build()
        .unwrap()
}

fn total(title: u64) -> u64 {
    title * 37_000 + 1000
}

/// What the child does until it is killed. It says on its output what it does and what it has been promised.
fn live(dir: &Path, seed: u64) -> ! {
    println!("building");
    let store = build(dir);
    store.list();
    let mut dice = Dice(seed);
    // Whole, and on disk after the next settling.
    let mut whole = Vec::new();
    println!("ready");
    loop {
        // Those that may be pinned come more often.
        let title = match dice.below(2) {
            0 => dice.below(3),
            _ => dice.below(TITLES),
        };
        let name = format!("{title}");
        println!("next {title}");
        match dice.below(10) {
            0 | 5 if title < 3 && store.pin(&url(&name)).is_ok() => println!("pinned {title}"),
            // A promise that is taken back at once is none to be held to.
            1 if title < 3 && dice.below(4) == 0 => {
                println!("unpinning {title}");
                store.unpin(&url(&name)).unwrap();
            }
            2 => {
                store.settle();
                whole.drain(..).for_each(|title| println!("kept {title}"));
            }
            3 if title >= 3 || dice.below(4) == 0 => {
                println!("removing {title}");
                let _ = store.remove(&url(&name));
            }
            4 => drop(store.usage()),
            _ => {
                let entry = store.open(&key(&store, &name));
                entry
                    .identify(facts(title, total(title)), Keep::Yes)
                    .unwrap();
                let range = dice.range(total(title));
                assert_true(&entry, title, total(title));
                entry.write(range.start, &bytes(title, range)).unwrap();
                if missing(&entry, total(title)).len() < 3 {
                    for gap in missing(&entry, total(title)) {
                        entry.write(gap.start, &bytes(title, gap)).unwrap();
                    }
                    entry.complete(total(title)).unwrap();
                    println!("whole {title}");
                    whole.push(title);
                }
            }
        }
    }
}

/// What the children were promised of a title, which holds from one to the next.
#[derive(Default)]
struct Promised {
    pinned: bool,
    /// The pin was being taken back.
    unsure: bool,
    /// It was whole while it was pinned.
    whole: bool,
    /// And all that was done before is on disk.
    kept: bool,
}

impl Promised {
    fn hear(&mut self, what: &str) {
        match what {
            "pinned" => (self.pinned, self.unsure) = (true, false),
            "whole" => self.whole = self.pinned,
            "kept" => self.kept |= self.whole,
            "unpinning" | "removing" => {
                *self = Self {
                    unsure: true,
                    ..Self::default()
                }
            }
            _ => {}
        }
    }
}

/// A child. It is ended, however the test ends.
struct Life {
    child: Child,
    output: BufReader<ChildStdout>,
    complaints: File,
}

impl Drop for Life {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Life {
    fn start(dir: &Path, seed: u64) -> Self {
        let complaints = tempfile::tempfile().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
            .env(DIR, dir)
            .env(SEED, seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone().unwrap())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            output,
            complaints,
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.output.read_line(&mut line).unwrap();
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// Kills it some time after it has kept something whole, and each fourth as it begins; all it said.
    fn end(&mut self, dice: &mut Dice) -> Vec<String> {
        let mut said = Vec::new();
        let gun = if dice.below(4) == 0 {
            "building"
        } else {
            "kept"
        };
        let mut more = None;
        while more != Some(0) {
            // It says no more: what happened is told below.
            let Some(line) = self.line() else { break };
            more = match more {
                // libtest has begun the line.
                None if gun == "building" => line.ends_with(gun).then_some(0),
                None => line.starts_with(gun).then(|| dice.below(30)),
                Some(more) => Some(more - 1),
            };
            said.push(line);
        }
        for _ in 0..dice.below(200_000) {
            std::hint::spin_loop();
        }
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        let mut complaints = String::new();
        self.complaints.rewind().unwrap();
        self.complaints.read_to_string(&mut complaints).unwrap();
        assert_eq!(status.signal(), Some(9), "{status}: {complaints}");
        said.extend(std::iter::from_fn(|| self.line()));
        let begun = said.iter().any(|line| line.ends_with("building"));
        assert!(begun, "{said:?}");
        said
    }
}

#[test]
fn a_killed_process_leaves_nothing_wrong_and_breaks_no_promise() {
    if let (Ok(dir), Ok(seed)) = (std::env::var(DIR), std::env::var(SEED)) {
        live(Path::new(&dir), seed.parse().unwrap());
    }
    let kills: u64 = std::env::var("KITHARA_KILLS").map_or(30, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut promised: [Promised; 3] = Default::default();
    let (mut read, mut whole, mut kept, mut early) = (0, 0, 0, 0);
    for kill in 0..kills {
        promised.iter_mut().for_each(|title| title.unsure = false);
        let said = Life::start(dir.path(), kill).end(&mut Dice(kill));
        early += u64::from(said.iter().all(|line| line != "ready"));
        for line in said {
            let mut words = line.split(' ');
            let (what, title) = (
                words.next().unwrap_or_default(),
                words.next().and_then(|title| title.parse::<usize>().ok()),
            );
            if let Some(title) = title.and_then(|title| promised.get_mut(title)) {
                title.hear(what);
            }
        }
        let store = build(dir.path());
        let usage = store.usage();
        assert!(
            usage.bytes <= BUDGET + SLACK,
            "{} bytes, kill {kill}",
            usage.bytes
        );
        for title in 0..TITLES {
            let entry = store.open(&key(&store, &format!("{title}")));
            let stored = entry.snapshot().coverage.total();
            let found = assert_true(&entry, title, total(title));
            assert_eq!(found, stored, "a kill costs no stored byte, kill {kill}");
            read += found;
            let ready = entry.state() == EntryState::Ready;
            whole += u64::from(ready);
            let Some(promised) = promised.get_mut(title as usize) else {
                continue;
            };
            assert!(ready || !promised.kept, "the bytes of {title}, kill {kill}");
            kept += u64::from(promised.kept);
            let now = store.is_pinned(&url(&format!("{title}")));
            assert!(now || !promised.pinned, "the pin of {title}, kill {kill}");
            if promised.unsure {
                promised.pinned = now;
            }
        }
        // The next life must not find a title still being let go of by this one: the second waits for the first.
        drop(store);
        drop(build(dir.path()));
    }
    println!(
        "{kills} kills, {early} of them at once, {read} bytes read afterwards, all of them right; {whole} times a whole \
         title, {kept} times a promised one"
    );
    assert!(read > 0 && whole > 0 && (kept > 0 || kills < 30));
}
