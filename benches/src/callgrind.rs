//! Instructions of a child process, all its threads together, counted by valgrind.

use std::path::Path;
use std::process::Command;

use crate::{AnyError, child};

/// Whether valgrind can be run.
pub fn is_installed() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// The instructions of a command from its start to its end. The profile is left in `file`, for `callgrind_annotate`.
///
/// # Errors
/// If the command fails under valgrind, or the profile has no total.
pub fn instructions(command: &[String], file: &Path) -> Result<u64, AnyError> {
    let mut line = [
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--fair-sched=yes",
    ]
    .map(String::from)
    .to_vec();
    line.push(format!("--callgrind-out-file={}", file.display()));
    line.extend_from_slice(command);
    child::output(&line)?;
    let profile = std::fs::read_to_string(file)?;
    let total = profile
        .lines()
        .find_map(|line| {
            line.strip_prefix("summary:")
                .or_else(|| line.strip_prefix("totals:"))
        })
        .ok_or("the profile has no total")?;
    Ok(total.trim().parse()?)
}
