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
    let store = build(dir);
    let mut dice = Dice(seed);
    // Whole, and on disk after the next settling.
    let mut whole = Vec::new();
    println!("ready");
    loop {
        let title = dice.below(TITLES);
        let name = format!("{title}");
        println!("next {title}");
        match dice.below(10) {
            0 if title < 3 && store.pin(&url(&name)).is_ok() => println!("pinned {title}"),
            1 if title < 3 => {
                println!("unpinning {title}");
                store.unpin(&url(&name)).unwrap();
            }
            2 => {
                store.settle();
                whole.drain(..).for_each(|title| println!("kept {title}"));
            }
            3 => {
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
                    whole.push(title);
                }
            }
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

    /// Kills it some time after it has kept something whole; all it said.
    fn end(&mut self, dice: &mut Dice) -> Vec<String> {
        let mut said = Vec::new();
        let mut more = None;
        while more != Some(0) {
            // It says no more: what happened is told below.
            let Some(line) = self.line() else { break };
            more = match more {
                None => line.starts_with("kept").then(|| dice.below(30)),
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
        let opened = said.iter().any(|line| line.ends_with("ready"));
        assert!(opened, "{said:?}");
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
    let mut pinned = [false; 3];
    let (mut read, mut whole) = (0, 0);
    for kill in 0..kills {
        let mut unsure = [false; 3];
        for line in Life::start(dir.path(), kill).end(&mut Dice(kill)) {
            let mut words = line.split(' ');
            let (what, title) = (
                words.next(),
                words.next().and_then(|title| title.parse::<usize>().ok()),
            );
            let Some(title) = title.filter(|title| *title < 3) else {
                continue;
            };
            match what {
                Some("pinned") => (pinned[title], unsure[title]) = (true, false),
                Some("unpinning" | "removing") => (pinned[title], unsure[title]) = (false, true),
                _ => {}
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
            whole += u64::from(entry.state() == EntryState::Ready);
        }
        for title in 0..3 {
            let now = store.is_pinned(&url(&format!("{title}")));
            assert!(now || !pinned[title], "the pin of {title}, kill {kill}");
            if unsure[title] {
                pinned[title] = now;
            }
        }
    }
    println!(
        "{kills} kills, {read} bytes read afterwards, all of them right; {whole} times a whole title"
    );
    assert!(read > 0 && whole > 0);
}
