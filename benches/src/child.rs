//! A bench as a child of itself.

use std::process::{Command, Stdio};

use crate::AnyError;

const MARK: &str = "--child";

/// What this process is to do, if it is a child: a role and its arguments.
pub fn role() -> Option<(String, Vec<String>)> {
    let mut args = std::env::args().skip(1);
    if args.next()? != MARK {
        return None;
    }
    Some((args.next()?, args.collect()))
}

/// The program and arguments that start this bench in a role.
///
/// # Errors
/// If the system does not tell where this program lies.
pub fn command_line(role: &str, args: &[&str]) -> Result<Vec<String>, AnyError> {
    let program = std::env::current_exe()?.display().to_string();
    let fixed = [program, MARK.to_owned(), role.to_owned()];
    let args = args.iter().map(|arg| (*arg).to_owned());
    Ok(fixed.into_iter().chain(args).collect())
}

/// Runs a command and returns what it printed.
///
/// # Errors
/// If it cannot be run or fails; what it said on standard error is in the text.
pub fn output(line: &[String]) -> Result<String, AnyError> {
    let (program, args) = line.split_first().ok_or("an empty command")?;
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} failed ({}): {said}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
