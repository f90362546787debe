//! Plays an HLS stream without a sound card, and tells what happens to it.
//!
//! `cargo run --release --example hls -- [SOURCE] [--variant I|--max-bandwidth N] [--seek S] [--seconds N]
//! [--gap silence|skip|stop] [--json] [--cache DIR]`
//!
//! SOURCE is a URL or a path. Without it it serves a built-in stream over a link of its own that is slow, fast, and slow again. Events go to standard
//! error as they come, the summary to standard output.

mod args;
mod news;
mod summary;

use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::Instant;

use kithara::RecvError;
use kithara::prelude::*;
use kithara_examples::{AnyError, Demo, Program, eager};

use args::Args;
use news::News;
use summary::{Summary, Tally};

/// Frames read at a time.
const BLOCK: usize = 1024;

fn main() -> ExitCode {
    let program = Program {
        name: "hls",
        usage: args::USAGE,
    };
    program.run(Args::parse(), |args| run(&args))
}

fn run(args: &Args) -> Result<(), AnyError> {
    let began = Instant::now();
    let config = configure(args)?;
    let listener = listen(config.events(), began);
    let mut summary = Summary::default();
    let outcome = play(args, config, began, &mut summary);
    // The resource is gone, and with it the last of the events.
    let tally = listener.join().unwrap_or_default();
    let figures = if args.json {
        summary.json(&tally)
    } else {
        summary.text(&tally)
    };
    println!("{figures}");
    outcome
}

fn configure(args: &Args) -> Result<ResourceConfig, AnyError> {
    // A playlist may have any name.
    let config = match &args.url {
        Some(url) => ResourceConfig::new(url)?.with_hint("hls"),
        // Its server has another address each time.
        None => ResourceConfig::new(Demo::start()?.hls_url())?.with_cache_name("hls demo"),
    };
    let abr = AbrOptions {
        mode: args.mode,
        ..eager()
    };
    let config = config.with_abr(abr);
    let config = match args.gap {
        Some(policy) => config.with_gap_policy(policy),
        None => config,
    };
    Ok(match &args.cache {
        Some(folder) => {
            config.with_store(AssetStoreBuilder::new(StoreOptions::at(folder)).build()?)
        }
        None => config.without_store(),
    })
}

/// Reads to the end, or as far as asked for. Whatever happens, the summary is that of what was read.
fn play(
    args: &Args,
    config: ResourceConfig,
    began: Instant,
    summary: &mut Summary,
) -> Result<(), AnyError> {
    let mut resource = Resource::blocking(config)?;
    if let Some(to) = args.seek {
        resource.seek(to, SeekMode::Exact)?;
    }
    let (spec, control) = (resource.spec(), resource.control());
    let channels = usize::from(spec.channels.get());
    let most = args.length.map_or(u64::MAX, |length| spec.frames(length));
    let mut block = vec![0.0f32; BLOCK * channels];
    let outcome = loop {
        let wanted = usize::try_from(most - summary.frames)
            .unwrap_or(BLOCK)
            .min(BLOCK);
        if wanted == 0 {
            break Ok(());
        }
        match resource.read(&mut block[..wanted * channels]) {
            Ok(0) => break Ok(()),
            Ok(samples) => {
                summary.first_frame.get_or_insert_with(|| began.elapsed());
                summary.frames += (samples / channels) as u64;
            }
            Err(error) => break Err(error.into()),
        }
    };
    let stats = control.stats();
    summary.seconds = summary.frames as f64 / f64::from(spec.sample_rate.get());
    (summary.bytes, summary.requests) = (stats.bytes_fetched, stats.requests);
    outcome
}

/// Prints what happens as it happens, and counts.
fn listen(mut events: Events<ResourceEvent>, began: Instant) -> JoinHandle<Tally> {
    std::thread::spawn(move || {
        let (mut tally, mut news) = (Tally::default(), News::default());
        loop {
            match events.recv_blocking() {
                Ok(event) => {
                    tally.count(&event);
                    for line in news.line(&event).iter().flat_map(|lines| lines.lines()) {
                        eprintln!("{:7.3} {line}", began.elapsed().as_secs_f64());
                    }
                }
                Err(RecvError::Lagged(missed)) => tally.missed += missed,
                Err(RecvError::Closed) => return tally,
            }
        }
    })
}
