//! Decodes any URL or path to PCM, without a sound card.
//!
//! `cargo run --release --example pcm -- [SOURCE] [-o FILE|-] [--format wav|f32le] [--start S] [--len S] [--json] [--events]
//! [--cache DIR|--no-cache]`
//!
//! Without SOURCE it serves a built-in piece of music over a slow link of its own and decodes that.

mod args;
mod output;
mod report;

use std::process::ExitCode;
use std::time::Instant;

use kithara::RecvError;
use kithara::file::FileEvent;
use kithara::prelude::*;
use kithara_examples::Demo;

use args::{Args, Cache};
use output::Output;
use report::{Progress, Report};

/// Frames decoded, written and flushed at a time.
const BLOCK: usize = 1024;

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args = match Args::parse() {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("pcm: {error}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pcm: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), AnyError> {
    let demo = args.source.is_none().then(Demo::start).transpose()?;
    let source = match (&args.source, &demo) {
        (Some(source), _) => source.clone(),
        (None, demo) => demo.as_ref().map(Demo::url).unwrap_or_default(),
    };
    let began = Instant::now();
    let config = ResourceConfig::new(&source)?;
    let config = match &args.cache {
        Cache::Folder(folder) => {
            let options = StoreOptions::at(folder);
            config.with_store(AssetStoreBuilder::new(options).build()?)
        }
        // The demo's server has another address each time: it would be kept for nothing.
        Cache::Default if demo.is_none() => config,
        Cache::Default | Cache::Off => config.without_store(),
    };
    listen(config.events(), args.events);
    let mut resource = Resource::blocking(config)?;
    if args.start.as_nanos() > 0 {
        resource.seek(args.start, SeekMode::Exact)?;
    }
    let mut output = Output::open(args, resource.spec())?;
    let mut report = Report::new(&resource, began);
    let outcome = copy(args, &mut resource, &mut output, &mut report);
    // Whatever happened, what was decoded is written whole.
    output.finish()?;
    report.finish(&resource);
    if args.json {
        let line = report.json();
        // Standard output may be carrying the samples.
        if output.is_stdout() {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    } else {
        eprintln!("{}", report.text());
    }
    outcome
}

fn copy(
    args: &Args,
    resource: &mut Resource,
    output: &mut Output,
    report: &mut Report,
) -> Result<(), AnyError> {
    let spec = resource.spec();
    let channels = usize::from(spec.channels.get());
    let mut left = args.len.map_or(u64::MAX, |len| spec.frames(len));
    let progress = Progress::new(args, resource);
    let mut block = vec![0.0f32; BLOCK * channels];
    while left > 0 {
        let frames = BLOCK.min(usize::try_from(left).unwrap_or(BLOCK));
        let samples = resource.read(&mut block[..frames * channels])?;
        if samples == 0 {
            break;
        }
        output.write(&block[..samples])?;
        let frames = (samples / channels) as u64;
        left -= frames;
        report.add(frames);
        progress.show(resource.position());
    }
    Ok(())
}

/// Prints every event if asked to, and else only what keeps a listener waiting.
fn listen(mut events: Events<ResourceEvent>, all: bool) {
    std::thread::spawn(move || {
        loop {
            match events.recv_blocking() {
                Ok(event) if all => eprintln!("{event:?}"),
                Ok(ResourceEvent::File(FileEvent::Retrying { delay, error, .. })) => {
                    eprintln!("pcm: {error}; trying again in {:.1} s", delay.as_secs_f64());
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) if all => eprintln!("({missed} events missed)"),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
}
