//! Music for when there is no network: download, list, pin, evict, play.
//!
//! `cargo run --release --example offline -- [--cache DIR] [fetch URL... | list | pin URL | remove URL | clear | play URL]`
//!
//! Without a command it gives a tour of all of that on a built-in server, in a cache of its own that goes away.

mod args;
mod download;
mod tour;

use std::process::ExitCode;

use kithara::net::Url;
use kithara::prelude::*;
use kithara_examples::{AnyError, Program};

use args::{Args, Command};

fn main() -> ExitCode {
    let program = Program {
        name: "offline",
        usage: args::USAGE,
    };
    program.run(Args::parse(), run)
}

fn run(args: Args) -> Result<(), AnyError> {
    if let Command::Tour = args.command {
        return tour::run();
    }
    let options = args
        .cache
        .map_or_else(StoreOptions::default, StoreOptions::at);
    let store = AssetStoreBuilder::new(options).require_disk(true).build()?;
    match args.command {
        Command::Tour => {}
        Command::Fetch(urls) => download::all(&store, &urls)?,
        Command::List => list(&store),
        Command::Pin(url) => store.pin(&Url::parse(&url)?)?,
        Command::Unpin(url) => store.unpin(&Url::parse(&url)?)?,
        Command::Remove(url) => {
            let found = store.remove(&Url::parse(&url)?)?;
            println!("{}", if found { "removed" } else { "was not there" });
        }
        Command::Clear => println!("{} titles removed", store.clear().removed),
        Command::Play(url) => play(&store, &url)?,
    }
    store.settle();
    Ok(())
}

/// The cache knows no URLs, only what it made of them: `fetch` tells what each title is called here.
fn list(store: &AssetStore) {
    for title in store.list() {
        let part = if title.complete { "whole" } else { "in part" };
        let pin = if title.pinned { ", pinned" } else { "" };
        println!("{}  {:>9} bytes, {part}{pin}", title.id, title.bytes);
    }
    let usage = store.usage();
    println!(
        "{} titles, {} of {} bytes",
        usage.assets, usage.bytes, usage.max_bytes
    );
}

/// Decodes a whole title, and says what it took.
fn play(store: &AssetStore, url: &str) -> Result<(), AnyError> {
    let config = ResourceConfig::new(url)?.with_store(store.clone());
    let mut resource = Resource::blocking(config)?;
    let mut frames = 0;
    for block in resource.blocks() {
        frames += block?.frames();
    }
    let stats = resource.control().stats();
    println!(
        "{:.1} s of music, {} requests",
        frames as f64 / f64::from(resource.spec().sample_rate.get()),
        stats.requests
    );
    Ok(())
}
