//! What an audio thread does.

use std::io::Write;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use kithara::{Control, ReadState, Resource, ResourceConfig, RodioSource, SeekMode};
use kithara_tests::fixtures::{Generated, formula_sample, long_wav};
use kithara_tests::server::{FaultServer, Gate, Script};
use rodio::Source;

use crate::network;

const CALLS: u32 = 1_000_000;
/// Where the server holds back the rest of a file.
const HELD_AT: u64 = 400_000;
/// How long what is not compared with the file fades.
const FADES: Duration = Duration::from_millis(10);

/// It is done once, and says what went wrong. What it owns is freed elsewhere, or never.
pub type Deed = Box<dyn FnMut() -> Result<(), &'static str> + Send>;

/// What has to be kept for a resource to stay in its state.
pub type Kept = Option<(FaultServer, Gate)>;

pub const STATES: [ReadState; 6] = [
    ReadState::Playing,
    ReadState::Seeking,
    ReadState::Buffering,
    ReadState::Paused,
    ReadState::Ended,
    ReadState::Failed,
];

/// The names of all deeds of a kind, by which a child can be told.
pub fn named(kind: &str) -> Vec<String> {
    let mut names: Vec<String> = STATES
        .iter()
        .map(|state| format!("{kind} {state:?}"))
        .collect();
    names.push(format!("{kind} closed"));
    names
}

pub fn deed(name: &str) -> Deed {
    let (kind, state) = name.split_once(' ').unwrap();
    let (resource, kept) = match name {
        "reads Playing" => (local_with(&long_wav(30), Duration::ZERO), None),
        _ => resource_named(state),
    };
    let (state, is_open) = (parse(state), state != "closed");
    match kind {
        "reads" => reads(resource, kept, state),
        "commands" => commands(resource, kept, is_open),
        "fades" => fades(resource),
        "source" => source(resource.into_source(), kept, state),
        other => panic!("nothing is called {other}"),
    }
}

/// A resource in the state of this name, or soon to be in it.
pub fn resource_named(name: &str) -> (Resource, Kept) {
    if name == "closed" {
        let resource = local(&long_wav(30));
        resource.control().close();
        return (resource, None);
    }
    resource_in(parse(name))
}

fn parse(name: &str) -> ReadState {
    let found = STATES.iter().find(|state| format!("{state:?}") == name);
    // A closed one says that it failed.
    found.copied().unwrap_or(ReadState::Failed)
}

/// A local file, which needs no name once it is open.
pub fn local(media: &Generated) -> Resource {
    local_with(media, FADES)
}

fn local_with(media: &Generated, fades: Duration) -> Resource {
    let mut file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
    file.write_all(&media.bytes).unwrap();
    let config = ResourceConfig::from_src(file.path().to_owned());
    Resource::blocking(config.with_fades(fades)).unwrap()
}

/// A remote file of which the server sends `first`, and `later` for every other request.
fn remote(first: Script, later: Script) -> (Resource, FaultServer) {
    let server = FaultServer::start();
    server.serve_sequence("/a.wav", [first, later]);
    // However long a million calls take, no clock ends the state.
    let config = network::config_with(&server.url("/a.wav"), network::patient());
    let resource = Resource::blocking(config.with_fades(FADES)).unwrap();
    (resource, server)
}

fn resource_in(state: ReadState) -> (Resource, Kept) {
    let media = long_wav(30);
    let gate = Gate::new();
    let file = || Script::file(media.bytes.clone());
    match state {
        ReadState::Playing => (local(&media), None),
        ReadState::Paused => {
            let resource = local(&media);
            resource.pause();
            (resource, None)
        }
        ReadState::Ended => (local(&long_wav(1)), None),
        ReadState::Buffering => {
            let (resource, server) =
                remote(file().hold_at(HELD_AT, &gate), file().hold_head(&gate));
            (resource, Some((server, gate)))
        }
        ReadState::Seeking => {
            let (resource, server) =
                remote(file().hold_at(HELD_AT, &gate), file().hold_head(&gate));
            resource
                .seek(Duration::from_secs(25), SeekMode::Exact)
                .unwrap();
            (resource, Some((server, gate)))
        }
        ReadState::Failed => {
            let (resource, server) = remote(file().cut_after(HELD_AT), Script::of_status(404));
            (resource, Some((server, gate)))
        }
    }
}

/// A million reads that find `state`; the reads on the way there are not counted.
fn reads(mut resource: Resource, kept: Kept, state: ReadState) -> Deed {
    Box::new(move || {
        let _ = &kept;
        if state == ReadState::Playing {
            return play(&mut resource);
        }
        let mut buf = [0.0; 128];
        let mut found = 0;
        while found < CALLS {
            let now = resource.try_read(&mut buf).state;
            found += u32::from(now == state);
            if now != state && matches!(now, ReadState::Ended | ReadState::Failed) {
                return Err("the audio stopped");
            }
        }
        Ok(())
    })
}

/// A million reads of a frame each. They are faster than it is decoded, so many more find nothing in between.
fn play(resource: &mut Resource) -> Result<(), &'static str> {
    let mut buf = [0.0; 2];
    let mut frame = 0;
    while frame < u64::from(CALLS) {
        let outcome = resource.try_read(&mut buf);
        if outcome.frames == 1 {
            for (channel, sample) in (0..).zip(buf) {
                if sample != f32::from(formula_sample(frame, channel)) / 32768.0 {
                    return Err("a wrong sample");
                }
            }
            frame += 1;
        } else if outcome.state != ReadState::Buffering {
            return Err("the audio stopped");
        }
    }
    Ok(())
}

/// Every command of a control between reads, over and over, then the drop.
fn commands(resource: Resource, kept: Kept, is_open: bool) -> Deed {
    let control = resource.control();
    let mut slot = Some(resource);
    Box::new(move || {
        let _ = &kept;
        let Some(mut resource) = slot.take() else {
            return Err("a second call");
        };
        for round in 0..300 {
            command(&mut resource, &control, is_open, round)?;
            // Now and then it lands.
            for _ in 0..round % 8 * 200 {
                resource.try_read(&mut [0.0; 128]);
            }
        }
        if !is_open {
            control.close();
        }
        drop(resource);
        match control.seek(Duration::ZERO, SeekMode::Fast) {
            Err(_) => Ok(()),
            Ok(_) => Err("a dropped resource was sought"),
        }
    })
}

/// Every command once. Unless it is open, nothing is heeded but answered all the same.
pub fn command(
    resource: &mut Resource,
    control: &Control,
    is_open: bool,
    round: u64,
) -> Result<(), &'static str> {
    let mut buf = [0.0; 128];
    let control = control.clone();
    let target = Duration::from_millis(round % 1000 * 20);
    if control.seek(target, SeekMode::Exact).is_ok() != is_open {
        return Err("a seek was refused, or not");
    }
    if is_open && control.position() != target {
        return Err("a seek was not shown");
    }
    resource.try_read(&mut buf);
    control.set_volume((round % 1000) as f32 / 500.0);
    control.set_muted(round.is_multiple_of(3));
    control.pause();
    // What is heard fades out first.
    let mut reads = (0..10).map(|_| resource.try_read(&mut buf).state);
    if is_open && !reads.any(|state| state == ReadState::Paused) {
        return Err("a pause was not heeded");
    }
    drop(reads);
    std::hint::black_box((control.stats(), control.state(), control.volume()));
    // Each of these starts a conversion anew.
    if round.is_multiple_of(8) {
        change(&control, round / 8);
    }
    control.resume();
    Ok(())
}

/// Everything that fades, over and over: pauses, resumes, seeks, changes of the volume, underruns.
fn fades(mut resource: Resource) -> Deed {
    let control = resource.control();
    Box::new(move || {
        let mut buf = [0.0; 16];
        let (mut paused, mut frames) = (0, 0);
        for round in 0..CALLS {
            match round % 200 {
                0 => control.set_volume((round % 1400) as f32 / 1000.0),
                30 => control.set_muted(round % 1200 == 30),
                50 => control.pause(),
                150 => control.resume(),
                _ => {}
            }
            if round % 10_000 == 90 {
                let target = Duration::from_millis(u64::from(round / 40));
                if control.seek(target, SeekMode::Exact).is_err() {
                    return Err("a seek was refused");
                }
            }
            let outcome = resource.try_read(&mut buf);
            paused += u32::from(outcome.state == ReadState::Paused);
            frames += outcome.frames;
        }
        if paused < CALLS / 10 || frames < 100_000 {
            return Err("hardly anything faded");
        }
        Ok(())
    })
}

/// Wishes for another output, a different one each time.
fn change(control: &Control, round: u64) {
    let odd = round % 2 == 1;
    let rate = if odd { 48_000 } else { 44_100 };
    control.set_host_sample_rate(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN));
    if round.is_multiple_of(3) {
        let channels = if odd { 1 } else { 2 };
        control.set_channels(NonZeroU16::new(channels).unwrap_or(NonZeroU16::MIN));
    }
    if round.is_multiple_of(5) {
        control.set_speed(if odd { 1.5 } else { 1.0 });
    }
    std::hint::black_box(control.speed());
}

/// A source of a mixer: a million samples or ends, a seek, samples from there, the drop.
fn source(source: RodioSource, kept: Kept, state: ReadState) -> Deed {
    let mut slot = Some(source);
    Box::new(move || {
        let _ = &kept;
        let Some(mut source) = slot.take() else {
            return Err("a second call");
        };
        let mut ends = 0;
        for _ in 0..CALLS {
            ends += u32::from(source.next().is_none());
        }
        let ended = matches!(state, ReadState::Ended | ReadState::Failed);
        if !ended && ends > 0 {
            return Err("a false end");
        }
        // Refused if it is closed.
        let sought = source.try_seek(Duration::from_millis(900)).is_ok();
        for _ in 0..CALLS / 10 {
            source.next();
        }
        if state == ReadState::Ended && sought {
            while source.next().is_some() {}
        }
        drop(source);
        Ok(())
    })
}
