//! How often the library's threads wake up while cached music is played, left alone, and paused.
//!
//! Voluntary context switches of the threads whose names begin with `kithara-`, over ten seconds each. This program
//! stands in for the audio device: it takes 10 ms of sound by `try_read` every 10 ms. A local file, a remote one that is
//! fetched whole, and one that is stored in a cache are measured at the same time, each in a process of its own.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use kithara::file::{Amount, FileEvent};
use kithara::{
    AssetStore, AssetStoreBuilder, Events, ReadState, RecvError, Resource, ResourceConfig,
    ResourceEvent, StoreOptions,
};
use kithara_benches::{AnyError, Bounds, child, process};
use kithara_tests::fixtures;
use kithara_tests::server::{FaultServer, Script};

const WINDOW: Duration = Duration::from_secs(10);
/// After a change, before it is measured: the watchdog looks up to three times more, two seconds apart, before it sleeps.
const SETTLE: Duration = Duration::from_secs(7);
const PERIOD: Duration = Duration::from_millis(10);
const PREFIX: &str = "kithara-";
/// Wakes a second: while playing, while nobody reads, while paused.
const PROMISED: [(&str, f64); 3] = [("playing", 5.0), ("not read from", 1.0), ("paused", 0.0)];

fn main() -> ExitCode {
    if let Some((role, _)) = child::role() {
        return match watch(&role) {
            Ok(rates) => {
                println!("{} {} {}", rates[0], rates[1], rates[2]);
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{role}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let mut bounds = Bounds::new("wakes of the library's threads a second");
    let outcome = if cfg!(target_os = "linux") {
        measure(&mut bounds)
    } else {
        println!("not measured: this system does not tell");
        Ok(())
    };
    bounds.verdict(outcome)
}

fn measure(bounds: &mut Bounds) -> Result<(), AnyError> {
    let mut running = Vec::new();
    for role in ["local", "remote", "stored"] {
        let line = child::command_line(role, &[])?;
        let process = Command::new(&line[0])
            .args(&line[1..])
            .stdout(Stdio::piped())
            .spawn()?;
        running.push((role, process));
    }
    for (role, process) in running {
        let output = process.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("the {role} file was not measured").into());
        }
        let text = String::from_utf8(output.stdout)?;
        for ((what, bound), rate) in PROMISED.iter().zip(text.split_whitespace()) {
            bounds.at_most(
                &format!("a {role} file, {what}"),
                rate.parse()?,
                *bound,
                "a second",
            );
        }
    }
    Ok(())
}

fn watch(role: &str) -> Result<[f64; 3], AnyError> {
    // Long enough to play through everything below, small enough for the look-ahead.
    let music = fixtures::long_mp3(2).bytes;
    let folder = tempfile::tempdir()?;
    let server = FaultServer::start();
    let config = match role {
        "local" => {
            let path = folder.path().join("music.mp3");
            std::fs::write(&path, music)?;
            ResourceConfig::from_src(path)
        }
        stored_or_not => {
            server.serve("/music.mp3", Script::file(music).media_type("audio/mpeg"));
            let config = ResourceConfig::new(server.url("/music.mp3"))?;
            match stored_or_not {
                "stored" => config.with_store(filled(folder.path(), &server)?),
                _ => config.without_store(),
            }
        }
    };
    let events = config.events();
    let mut resource = Resource::blocking(config)?;
    if role == "remote" {
        fetched_whole(events)?;
    }
    let asked = server.requests().len();
    play(&mut resource, SETTLE)?;
    let [(_, most_playing), (_, most_left), (_, most_paused)] = PROMISED;
    let playing = lasting(most_playing, || play(&mut resource, WINDOW))?;
    std::thread::sleep(SETTLE);
    let left = lasting(most_left, wait)?;
    play(&mut resource, Duration::from_secs(1))?;
    resource.pause();
    std::thread::sleep(SETTLE);
    let paused = lasting(most_paused, wait)?;
    if server.requests().len() > asked {
        return Err("something was fetched meanwhile".into());
    }
    Ok([playing, left, paused])
}

/// A store, opened anew, in which the music lies whole.
fn filled(folder: &Path, server: &FaultServer) -> Result<AssetStore, AnyError> {
    let options = || StoreOptions::at(folder);
    let store = AssetStoreBuilder::new(options()).build()?;
    let config = ResourceConfig::new(server.url("/music.mp3"))?.with_store(store.clone());
    Resource::prefetch_blocking(config, Amount::All)?;
    store.settle();
    drop(store);
    Ok(AssetStoreBuilder::new(options()).build()?)
}

fn wait() -> Result<(), AnyError> {
    std::thread::sleep(WINDOW);
    Ok(())
}

/// The rate that lasts: what happens once, the end of a thread that has had nothing to do for a while, is over in the next
/// window, and what a busy machine held up is too.
fn lasting(bound: f64, mut during: impl FnMut() -> Result<(), AnyError>) -> Result<f64, AnyError> {
    let mut least = rate(&mut during)?;
    for _ in 0..2 {
        if least > bound {
            least = least.min(rate(&mut during)?);
        }
    }
    Ok(least)
}

/// The library's wakes a second while `during` runs for one window.
fn rate(during: impl FnOnce() -> Result<(), AnyError>) -> Result<f64, AnyError> {
    let before = process::voluntary_switches(PREFIX)?;
    during()?;
    let after = process::voluntary_switches(PREFIX)?;
    Ok((after - before) as f64 / WINDOW.as_secs_f64())
}

/// Takes sound as fast as it sounds.
fn play(resource: &mut Resource, time: Duration) -> Result<(), AnyError> {
    let spec = resource.spec();
    let frames = usize::try_from(spec.frames(PERIOD))?;
    let mut block = vec![0.0; frames * usize::from(spec.channels.get())];
    let began = Instant::now();
    let mut due = Duration::ZERO;
    let mut dry = 0;
    while due < time {
        let outcome = resource.try_read(&mut block);
        match outcome.state {
            ReadState::Playing => {}
            ReadState::Buffering | ReadState::Seeking => dry += 1,
            other => return Err(format!("{other:?} instead of playing").into()),
        }
        due += PERIOD;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    if dry > 0 {
        eprintln!("the reader ran dry {dry} times: the machine is busy");
    }
    Ok(())
}

fn fetched_whole(mut events: Events<ResourceEvent>) -> Result<(), AnyError> {
    loop {
        match events.recv_blocking() {
            Ok(ResourceEvent::File(FileEvent::DownloadComplete { .. })) => return Ok(()),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Err("the file was not fetched whole".into()),
        }
    }
}
