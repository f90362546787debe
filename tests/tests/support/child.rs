//! A second process: this test binary once more, at one test, in another role.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Far more than any child takes; reached only by one that hangs.
const HANG: Duration = Duration::from_secs(150);
const ROLE: &str = "KITHARA_TEST_ROLE";

/// What this process was started to do, if it is a child.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// A running child. Dropping it ends it.
pub struct Other {
    child: Child,
    printed: mpsc::Receiver<String>,
}

impl Other {
    /// Starts this binary at `test`, which finds `role` in [`role`].
    pub fn start(test: &str, role: &str) -> Self {
        Self::start_with(test, role, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_with(test: &str, role: &str, variables: &[(&str, &Path)]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a running binary"))
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        let (print, printed) = mpsc::channel();
        collect(child.stdout.take(), &print);
        collect(child.stderr.take(), &print);
        Self { child, printed }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; what it ended with and what it printed.
    pub fn finish(mut self) -> (ExitStatus, String) {
        let mut text = String::new();
        for _ in 0..2 {
            let part = self.printed.recv_timeout(HANG);
            text += &part.expect("the child hangs");
        }
        (self.child.wait().expect("an ended child"), text)
    }

    /// Waits for its end, which must be that of a test that passed.
    pub fn passes(self) -> String {
        let (status, text) = self.finish();
        assert!(status.success(), "{status}: {text}");
        text
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe to its end, on a thread, so that a child never waits for its reader.
fn collect(pipe: Option<impl Read + Send + 'static>, print: &mpsc::Sender<String>) {
    let mut pipe = pipe.expect("it was asked for");
    let print = print.clone();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has ended.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = print.send(String::from_utf8_lossy(&bytes).into_owned());
    });
}
