//! What Linux tells about a process: peak memory, context switches, deleted files that still take room.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::AnyError;

/// Voluntary context switches of this process's threads whose names begin with `prefix`, as they stand now.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn voluntary_switches(prefix: &str) -> Result<u64, AnyError> {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end while it is looked at.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        if field("Name:").is_some_and(|name| name.starts_with(prefix)) {
            sum += field("voluntary_ctxt_switches:")
                .ok_or("no count of switches")?
                .parse::<u64>()?;
        }
    }
    Ok(sum)
}

/// The largest resident set of this process so far, in bytes.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn peak_memory() -> Result<u64, AnyError> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak
        .and_then(|text| text.split_whitespace().next())
        .ok_or("no peak")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// Bytes on disk of the files this process has open and that have no name any more.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn nameless_file_bytes() -> Result<u64, AnyError> {
    let mut sum = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        // Following the link of a descriptor leads to the open file itself.
        let facts = fs::metadata(&path)
            .ok()
            .filter(|facts| facts.is_file() && facts.nlink() == 0);
        sum += facts.map_or(0, |facts| facts.blocks() * 512);
    }
    Ok(sum)
}
