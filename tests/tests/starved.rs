//! A title whose server holds its bytes back costs nothing while it waits, whoever waits for it and however.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/network.rs"]
mod network;
#[path = "support/process.rs"]
mod process;

use std::thread;
use std::time::Duration;

use kithara::ReadState;
use kithara_tests::server::{FaultServer, Gate};

use network::*;
use process::*;

/// How long is looked at at a time.
const WINDOW: Duration = Duration::from_secs(2);

/// Waits for a time in which the library's threads, and the one that reads, hardly did anything: a thread that spins or
/// looks again and again never lets it come, and a machine that holds everybody up only lets it come sooner.
fn rests(what: &str) {
    let ours = |name: &str| name.starts_with("kithara") || name == "the-reader";
    eventually(what, || {
        let before = effort(ours);
        // Not to be safe: the time in which nothing happens is what is looked at.
        thread::sleep(WINDOW);
        let after = effort(ours);
        let (switches, ticks) = (after.0 - before.0, after.1 - before.1);
        println!("{what}: {switches} switches, {ticks} ticks in {WINDOW:?}");
        // One percent of a processor, and no rhythm: the decode thread may look once a second whether its reader is back.
        switches <= 8 && ticks <= 2
    });
}

#[test]
fn a_starved_title_costs_no_processor_time() {
    const HELD_AT: u64 = 700_000;
    let (bytes, expected) = long(8);
    let server = FaultServer::start();
    for ranges in [true, false] {
        for blocking in [true, false] {
            let what = format!("ranges: {ranges}, blocking: {blocking}");
            let gate = Gate::new();
            let script = wav(&bytes);
            let script = if ranges {
                script
            } else {
                script.without_ranges()
            };
            server.serve("/a.wav", script.hold_at(HELD_AT, &gate));
            let config = config_with(&server.url("/a.wav"), patient());
            let mut listener = Listener::open(config.with_look_ahead_bytes(LOOK_AHEAD));
            let control = listener.resource.control();
            if !blocking {
                // Nobody reads on: it is dry when the next look says so.
                listener.read_samples(300_000).unwrap();
                while listener.resource.try_read(&mut [0.0; 512]).state != ReadState::Buffering {}
                gate.wait_held();
                rests(&what);
                gate.open();
                continue;
            }
            let expected = expected.clone();
            let name = "the-reader".to_owned();
            let reader = thread::Builder::new().name(name).spawn(move || {
                listener.plays_exactly(&expected, "starved in between");
            });
            gate.wait_held();
            eventually("it runs dry", || control.state() == ReadState::Buffering);
            rests(&what);
            gate.open();
            reader.unwrap().join().unwrap();
        }
    }
}
