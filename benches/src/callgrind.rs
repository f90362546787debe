//! Instructions of a child process, all its threads together, counted by valgrind.

use std::path::Path;
use std::process::Command;

use crate::{AnyError, child};

/// Valgrind counts a `rep movsb` or `rep stosb`, one instruction to a processor, as one for each byte, and glibc copies
/// blocks of more than 2 KiB by them. This makes it copy by vector loops, which are counted as what they are.
const NO_REP: &str =
    "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000";

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
    let tunables = format!("GLIBC_TUNABLES={NO_REP}");
    let fixed = [
        "env",
        &tunables,
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--fair-sched=yes",
    ];
    let mut line = fixed.map(String::from).to_vec();
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
