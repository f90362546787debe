//! The real-time sanitizer ends a process whose audio thread does what it may not. What the deeds are, `memory` says.

use std::thread;

use kithara_tests::allocations::touches;
use parking_lot::Mutex;

use crate::child;

/// Each on a thread of its own, which has not touched a lock before.
fn misbehave(role: &str) {
    static LOCK: Mutex<()> = Mutex::new(());
    let call: fn() = match role {
        "memory" => || drop(std::hint::black_box(Box::new(5))),
        "lock" => || drop(LOCK.lock()),
        "wait" => thread::park,
        "yield" => thread::yield_now,
        "nothing" => || (),
        other => panic!("no role is called {other}"),
    };
    thread::spawn(move || touches(call)).join().unwrap();
}

#[test]
fn it_notices_memory_locks_and_waits() {
    const TEST: &str = "sanitizer::it_notices_memory_locks_and_waits";
    if let Some(role) = child::role() {
        return misbehave(&role);
    }
    for role in ["memory", "lock", "wait", "yield"] {
        let (status, text) = child::Other::start(TEST, role).finish();
        assert!(!status.success(), "{role} passes");
        assert!(text.contains("RealtimeSanitizer"), "{role}: {text}");
    }
    child::Other::start(TEST, "nothing").passes();
}
