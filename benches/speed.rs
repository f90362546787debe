//! Instructions of decoding local and cached files through `Resource`, over those of symphonia alone.
//!
//! Each side decodes the whole file in a child process of its own under callgrind, which counts all its threads. What
//! the process costs without decoding anything is measured in the same way and subtracted; opening the file is counted.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use kithara::file::Amount;
use kithara::net::{HttpClient, NetOptions};
use kithara::{AssetStore, AssetStoreBuilder, Resource, ResourceConfig, ResourceSrc, StoreOptions};
use kithara_benches::inputs::{self, Music};
use kithara_benches::{AnyError, Bounds, callgrind, child, plain};
use kithara_tests::server::{FaultServer, Script};

const BOUND: f64 = 1.05;
/// Set it to a folder to keep the profiles for `callgrind_annotate`.
const KEEP: &str = "KITHARA_PROFILES";
/// Set it to 1 where valgrind has to be there: without it this fails.
const MUST_MEASURE: &str = "KITHARA_MUST_MEASURE";
/// To which the music, of 44.1 kHz, is resampled.
const RATE: NonZeroU32 = NonZeroU32::new(48_000).expect("a rate");
/// Samples that encoders may have put at both ends.
const ENDS: u64 = 16_384;
/// Samples read at a time.
const BLOCK: usize = 8192;

fn main() -> ExitCode {
    if let Some((role, args)) = child::role() {
        return match decode(&role, &args) {
            Ok(samples) => {
                println!("{samples}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{role}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let mut bounds = Bounds::new("speed: instructions through Resource / plain symphonia");
    if !callgrind::is_installed() {
        println!("valgrind is not installed: the ratios were not measured");
        let optional = std::env::var_os(MUST_MEASURE).is_none_or(|value| value != "1");
        return if optional {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let outcome = compare(&mut bounds);
    bounds.verdict(outcome)
}

/// One side's work; without a file, nothing but starting and ending.
fn decode(role: &str, args: &[String]) -> Result<u64, AnyError> {
    match (role, args) {
        ("cached", [folder, rest @ ..]) => through_cache(Path::new(folder), rest.first()),
        (_, []) => Ok(0),
        ("library", [path, ..]) => through_library(ResourceConfig::from_src(local(path))),
        ("resampled", [path, ..]) => {
            let config = ResourceConfig::from_src(local(path));
            through_library(config.with_host_sample_rate(RATE))
        }
        (_, [path, ..]) => Ok(plain::decode(Path::new(path), |_| {})?.samples),
    }
}

fn local(path: &str) -> ResourceSrc {
    ResourceSrc::from(Path::new(path).to_owned())
}

/// A title that is stored whole. Its server is gone by now.
fn through_cache(folder: &Path, url: Option<&String>) -> Result<u64, AnyError> {
    let store = store(folder)?;
    // A client costs a hundred times what opening a title does; a program has one.
    let client = Arc::new(HttpClient::new(NetOptions::default())?);
    let Some(url) = url else { return Ok(0) };
    let config = ResourceConfig::new(url)?.with_client(client);
    through_library(config.with_store(store))
}

fn store(folder: &Path) -> Result<AssetStore, AnyError> {
    let options = StoreOptions::at(folder);
    Ok(AssetStoreBuilder::new(options).require_disk(true).build()?)
}

fn through_library(config: ResourceConfig) -> Result<u64, AnyError> {
    let mut resource = Resource::blocking(config)?;
    let mut block = vec![0.0; BLOCK];
    let mut samples = 0;
    loop {
        let count = resource.read(&mut block)?;
        if count == 0 {
            return Ok(samples);
        }
        std::hint::black_box(&block);
        samples += count as u64;
    }
}

fn compare(bounds: &mut Bounds) -> Result<(), AnyError> {
    let folder = tempfile::tempdir()?;
    let keep = std::env::var_os(KEEP);
    let profiles = keep.as_deref().map_or(folder.path(), Path::new);
    let cache = folder.path().join("cache").display().to_string();
    let idle_library = measure("library", "idle", &[], profiles)?;
    let idle_cached = measure("cached", "idle", &[&cache], profiles)?;
    let idle_plain = measure("plain", "idle", &[], profiles)?;
    for music in inputs::all(folder.path())? {
        check_equal(&music)?;
        let path = music.path.display().to_string();
        let url = fetch(&music, Path::new(&cache))?;
        let library = measure("library", music.name, &[&path], profiles)? - idle_library;
        let cached = measure("cached", music.name, &[&cache, &url], profiles)? - idle_cached;
        let resampled = measure("resampled", music.name, &[&path], profiles)? - idle_library;
        let plain = measure("plain", music.name, &[&path], profiles)? - idle_plain;
        for (what, count) in [("local", library), ("cached", cached)] {
            let name = format!("{}, {what}", music.name);
            let ratio = count / plain.max(1.0);
            let counts = format!("{:.1} M / {:.1} M instructions", count / 1e6, plain / 1e6);
            if music.promised {
                bounds.at_most(&name, ratio, BOUND, &format!("= {counts}"));
            } else {
                bounds.note(&name, &format!("{ratio:.3} = {counts}"));
            }
        }
        let ratio = resampled / plain.max(1.0);
        bounds.note(
            &format!("{}, local, to 48 kHz", music.name),
            &format!("{ratio:.3}"),
        );
    }
    Ok(())
}

/// Stores a file as a title of a server that then ends.
fn fetch(music: &Music, folder: &Path) -> Result<String, AnyError> {
    let server = FaultServer::start();
    server.serve("/music", Script::file(std::fs::read(&music.path)?));
    let url = server.url("/music");
    let store = store(folder)?;
    let config = ResourceConfig::new(&url)?.with_store(store.clone());
    Resource::prefetch_blocking(config, Amount::All)?;
    store.settle();
    Ok(url)
}

/// A ratio means nothing unless both decode the same, give or take the ends of a packet, and of the track what the library trims.
fn check_equal(music: &Music) -> Result<(), AnyError> {
    let (library, plain) = (
        through_library(ResourceConfig::from_src(music.path.clone()))?,
        plain::decode(&music.path, |_| {})?.samples,
    );
    if library.abs_diff(plain) < plain / 1000 + ENDS {
        return Ok(());
    }
    Err(format!(
        "{}: {library} samples through the library, {plain} from symphonia",
        music.name
    )
    .into())
}

fn measure(role: &str, name: &str, args: &[&str], profiles: &Path) -> Result<f64, AnyError> {
    let profile = profiles.join(format!("{role}-{}.callgrind", name.replace(' ', "-")));
    let count = callgrind::instructions(&child::command_line(role, args)?, &profile)?;
    Ok(count as f64)
}
