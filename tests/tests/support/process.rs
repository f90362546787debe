//! What the kernel says of this process: the library's threads, and the descriptors.

// Each test binary uses its own part of this.
#![allow(dead_code)]
#![allow(clippy::unwrap_used)] // A kernel that does not say what it always says is a failed test.

#[cfg(target_os = "linux")]
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything here takes; reached only by something that hangs.
const HANG: Duration = Duration::from_secs(60);

/// Waits for something another thread is about to do.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < HANG, "{what}");
        thread::yield_now();
    }
}

/// The library's threads of this process by name, without those of tests and servers. Names are cut to 15 bytes.
#[cfg(target_os = "linux")]
pub fn library_threads() -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        if let Ok(name) = fs::read_to_string(task.path().join("comm"))
            && name.starts_with("kithara")
        {
            *names.entry(name.trim().to_owned()).or_default() += 1;
        }
    }
    names
}

#[cfg(target_os = "linux")]
pub fn decode_threads() -> usize {
    library_threads()
        .iter()
        .filter(|(name, _)| name.starts_with("kithara-decode"))
        .map(|(_, count)| count)
        .sum()
}

/// How often threads of these names were taken from a processor, by waiting or otherwise, and how long they had one, in
/// hundredths of a second.
#[cfg(target_os = "linux")]
pub fn effort(named: impl Fn(&str) -> bool) -> (u64, u64) {
    let (mut switches, mut ticks) = (0, 0);
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file));
        // A thread that ends meanwhile is at rest.
        let (Ok(name), Ok(status), Ok(stat)) = (read("comm"), read("status"), read("stat")) else {
            continue;
        };
        if !named(name.trim()) {
            continue;
        }
        let counted = status.lines().filter_map(|line| {
            let (name, count) = line.split_once("voluntary_ctxt_switches:")?;
            matches!(name, "" | "non").then(|| count.trim().parse::<u64>().unwrap())
        });
        switches += counted.sum::<u64>();
        // Numbered from the one behind the name in brackets, which may hold blanks.
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
        let times = fields.skip(11).take(2);
        ticks += times.map(|time| time.parse::<u64>().unwrap()).sum::<u64>();
    }
    (switches, ticks)
}

/// The most memory this process has had resident so far, in bytes; 0 where the system doesn't tell.
pub fn peak_memory() -> u64 {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.unwrap().parse::<u64>().unwrap() * 1024
}

/// What the descriptors of this process lead to, but the one that finds out.
#[cfg(target_os = "linux")]
pub fn descriptors() -> Vec<String> {
    let listed = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let led = listed.filter_map(|entry| fs::read_link(entry.path()).ok());
    let named = led.map(|path| path.to_string_lossy().into_owned());
    named.filter(|to| !to.ends_with("/fd")).collect()
}
