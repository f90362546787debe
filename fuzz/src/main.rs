//! Drives the targets on stable Rust: seeded mutations, a time for each, every failure kept.
//!
//! `kithara-fuzz SECONDS` is the parent: it replays the regressions, then runs each target as a child of its own, two at
//! a time. Before each execution the child writes its input down, so that whatever ends the child (a panic, an abort, a
//! stack overflow, too much memory, a hang) leaves it behind. `kithara-fuzz --replay TARGET FILE...` runs saved inputs,
//! `kithara-fuzz --seeds TARGET FOLDER` writes down the inputs a target begins with, for libFuzzer.

mod heap;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kithara_fuzz::mutation::Mutator;
use kithara_fuzz::{TARGETS, Target, is_own};

/// One input may take this long, on a machine that is busy with other things.
const HANG: Duration = Duration::from_secs(30);
/// Kept for a look, but no failure.
const SLOW: Duration = Duration::from_secs(5);
/// Children at a time.
const AT_ONCE: usize = 2;
const SEED: u64 = 0x6b69_7468_6172_6121;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["--child", target, seconds] => {
            seconds_of(seconds).and_then(|time| child(named(target)?, time))
        }
        ["--replay", target, files @ ..] => named(target).and_then(|target| replay(target, files)),
        ["--seeds", target, folder] => named(target).and_then(|target| seeds(target, folder)),
        [seconds] => seconds_of(seconds).and_then(parent),
        _ => Err("kithara-fuzz SECONDS | --replay TARGET FILE... | --seeds TARGET FOLDER".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn seconds_of(text: &str) -> Result<Duration, AnyError> {
    Ok(Duration::from_secs(text.parse()?))
}

fn named(name: &str) -> Result<Target, AnyError> {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.ok_or_else(|| format!("no target is called {name}").into())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Where a child keeps the input it is running.
fn current(target: &str) -> PathBuf {
    folder("artifacts").join(format!("{target}.current"))
}

fn parent(time: Duration) -> Result<(), AnyError> {
    fs::create_dir_all(folder("artifacts"))?;
    let regressions = replay_regressions()?;
    let waiting = Mutex::new(TARGETS.to_vec());
    let failures = Mutex::new(regressions);
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(target) = next() {
                    if let (Err(error), Ok(mut failures)) =
                        (run_child(target, time), failures.lock())
                    {
                        failures.push(format!("{}: {error}", target.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n").into())
    }
}

/// Those that are back.
fn replay_regressions() -> Result<Vec<String>, AnyError> {
    let entries = fs::read_dir(folder("regressions"))?;
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    let mut back = Vec::new();
    for path in paths {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some((target, _)) = name.split_once('-') else {
            continue;
        };
        let replayed = Command::new(std::env::current_exe()?)
            .args(["--replay", target])
            .arg(&path)
            .status()?;
        if !replayed.success() {
            back.push(format!("the regression {name} is back ({replayed})"));
        }
    }
    Ok(back)
}

fn run_child(target: Target, time: Duration) -> Result<(), AnyError> {
    let status = Command::new(std::env::current_exe()?)
        .args(["--child", target.name, &time.as_secs().to_string()])
        .status()?;
    let input = fs::read(current(target.name)).unwrap_or_default();
    fs::remove_file(current(target.name))?;
    if status.success() {
        return Ok(());
    }
    let mark = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let kept = folder("artifacts").join(format!("{}-{mark:016x}", target.name));
    fs::write(&kept, input)?;
    Err(format!("{status}; the input is {}", kept.display()).into())
}

/// When the execution that runs began, in milliseconds since the child did, plus one; 0 between executions.
static BEGAN: AtomicU64 = AtomicU64::new(0);
/// Where panics were, escaped or contained.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn child(target: Target, time: Duration) -> Result<(), AnyError> {
    let (seeds, file) = ((target.seeds)(), File::create(current(target.name))?);
    let mut mutator = Mutator::new(SEED ^ target.name.len() as u64);
    let began = Instant::now();
    note_panics();
    watch(began);
    let (mut executions, mut longest) = (0, Duration::ZERO);
    while began.elapsed() < time && executions < target.most {
        // The seeds as they are come first.
        let input = match seeds.get(executions as usize) {
            Some(seed) => seed.clone(),
            None => mutator.make(&seeds),
        };
        file.write_all_at(&input, 0)?;
        file.set_len(input.len() as u64)?;
        let took = execute(target, &input, began)?;
        if took > SLOW {
            fs::copy(
                current(target.name),
                folder("artifacts").join(format!("{}-slow", target.name)),
            )?;
        }
        longest = longest.max(took);
        executions += 1;
    }
    let contained = PANICS
        .lock()
        .map(|panics| panics.clone())
        .unwrap_or_default();
    println!(
        "{:<12} {executions:>9} executions, longest {longest:.1?}, at most {:.1} MB of heap, {} contained panics",
        target.name,
        heap::peak() as f64 / 1e6,
        contained.len()
    );
    for place in tally(contained) {
        println!("{:<12}   contained: {place}", target.name);
    }
    Ok(())
}

fn execute(target: Target, input: &[u8], began: Instant) -> Result<Duration, AnyError> {
    let start = began.elapsed();
    BEGAN.store(start.as_millis() as u64 + 1, Ordering::Relaxed);
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    BEGAN.store(0, Ordering::Relaxed);
    let last = PANICS.lock().ok().and_then(|panics| panics.last().cloned());
    // Codecs may panic where that is contained. What is ours may not.
    let ours = last.as_deref().is_some_and(is_own);
    if outcome.is_err() || ours {
        return Err(format!("{}: {}", target.name, last.unwrap_or_default()).into());
    }
    if heap::peak() > heap::LIMIT {
        return Err(format!("{}: {} MB of heap", target.name, heap::peak() / 1_000_000).into());
    }
    Ok(began.elapsed() - start)
}

/// Panics that are contained would fill the screen; where they were is told at the end.
fn note_panics() {
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut panics) = PANICS.lock() {
            panics.push(info.to_string().replace('\n', " "));
        }
    }));
}

/// Ends the process when one execution takes too long.
fn watch(began: Instant) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let since = BEGAN.load(Ordering::Relaxed);
            let now = began.elapsed().as_millis() as u64;
            if since > 0 && now.saturating_sub(since) > HANG.as_millis() as u64 {
                eprintln!("an input takes more than {HANG:?}");
                std::process::abort();
            }
        }
    });
}

/// Each place once, with how often it was.
fn tally(mut panics: Vec<String>) -> Vec<String> {
    panics.sort();
    let same = panics.chunk_by(|one, other| place(one) == place(other));
    same.map(|panics| format!("{} times {}", panics.len(), panics[0]))
        .collect()
}

fn place(panic: &str) -> &str {
    // "panicked at FILE:LINE:COLUMN: message"
    panic.split(": ").next().unwrap_or(panic)
}

fn seeds(target: Target, folder: &str) -> Result<(), AnyError> {
    fs::create_dir_all(folder)?;
    for (number, seed) in (target.seeds)().into_iter().enumerate() {
        fs::write(Path::new(folder).join(format!("seed-{number:02}")), seed)?;
    }
    Ok(())
}

fn replay(target: Target, files: &[&str]) -> Result<(), AnyError> {
    for file in files {
        let input = fs::read(file)?;
        let began = Instant::now();
        note_panics();
        watch(began);
        let took = execute(target, &input, began).map_err(|error| format!("{file}: {error}"))?;
        println!(
            "{file}: {took:.1?}, at most {:.1} MB of heap",
            heap::peak() as f64 / 1e6
        );
    }
    Ok(())
}
