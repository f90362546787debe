//! Decodes any URL or path to PCM, without a sound card.
//!
//! `cargo run --release --example pcm -- [SOURCE] [-o FILE|-] [--format wav|f32le] [--start S] [--len S] [--rate HZ] [--json]
//! [--events] [--cache DIR|--no-cache] [--demo hls|mp3]`
//!
//! Without SOURCE it serves a built-in piece of music over a slow link of its own and decodes that.

mod args;
mod output;
mod report;
mod title;

use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::Instant;

use kithara::RecvError;
use kithara::file::FileEvent;
use kithara::prelude::*;
use kithara_examples::{AnyError, Demo, Program, eager};

use args::{Args, Cache, Kind};
use output::Output;
use report::{Progress, Report};

/// Frames decoded, written and flushed at a time.
const BLOCK: usize = 1024;

fn main() -> ExitCode {
    let program = Program {
        name: "pcm",
        usage: args::USAGE,
    };
    program.run(Args::parse(), |args| run(&args))
}

fn run(args: &Args) -> Result<(), AnyError> {
    let began = Instant::now();
    let config = configure(args)?;
    let listener = listen(config.events(), args.events);
    let mut resource = Resource::blocking(config)?;
    if args.start.as_nanos() > 0 {
        resource.seek(args.start, SeekMode::Exact)?;
    }
    if !args.json {
        eprint!("{}", title::lines(resource.metadata()));
    }
    let mut output = Output::open(args, resource.spec())?;
    let mut report = Report::new(&resource, began);
    let outcome = copy(args, &mut resource, &mut output, &mut report);
    // Whatever happened, what was decoded is written whole.
    output.finish()?;
    report.finish(&resource);
    // With it the events end.
    drop(resource);
    report.switches = listener.join().unwrap_or_default();
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

fn configure(args: &Args) -> Result<ResourceConfig, AnyError> {
    let config = match (&args.source, args.demo) {
        (Some(source), _) => ResourceConfig::new(source)?,
        (None, Kind::Mp3) => ResourceConfig::new(Demo::start()?.url())?,
        (None, Kind::Hls) => ResourceConfig::new(Demo::start()?.hls_url())?.with_abr(eager()),
    };
    let config = match &args.cache {
        Cache::Folder(folder) => {
            let options = StoreOptions::at(folder);
            config.with_store(AssetStoreBuilder::new(options).build()?)
        }
        // The demo's server has another address each time: it would be kept for nothing.
        Cache::Default if args.source.is_some() => config,
        Cache::Default | Cache::Off => config.without_store(),
    };
    Ok(match args.rate {
        Some(rate) => config.with_host_sample_rate(rate),
        None => config,
    })
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

/// Prints every event if asked to, and else only what keeps a listener waiting. Tells in the end how often the variant changed.
fn listen(mut events: Events<ResourceEvent>, all: bool) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut switches = 0;
        loop {
            let event = match events.recv_blocking() {
                Ok(event) => event,
                Err(RecvError::Lagged(missed)) => {
                    if all {
                        eprintln!("({missed} events missed)");
                    }
                    continue;
                }
                Err(RecvError::Closed) => return switches,
            };
            if all {
                eprintln!("{event:?}");
            }
            match event {
                ResourceEvent::Hls(HlsEvent::VariantChanged { from: Some(_), .. }) => switches += 1,
                ResourceEvent::File(FileEvent::Retrying { delay, error, .. })
                | ResourceEvent::Hls(HlsEvent::Retrying { delay, error, .. })
                    if !all =>
                {
                    let delay = delay.as_secs_f64();
                    eprintln!("pcm: {error}; trying again in {delay:.1} s");
                }
                _ => {}
            }
        }
    })
}
