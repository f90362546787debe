//! Instructions of decoding local files through `Resource`, over those of symphonia alone.
//!
//! Each side decodes the whole file in a child process of its own under callgrind, which counts all its threads. What
//! the process costs without decoding anything is measured in the same way and subtracted; opening the file is counted.

use std::path::Path;
use std::process::ExitCode;

use kithara::{Resource, ResourceConfig, ResourceSrc};
use kithara_benches::inputs::{self, Music};
use kithara_benches::{AnyError, Bounds, callgrind, child, plain};

const BOUND: f64 = 1.05;
/// Set it to a folder to keep the profiles for `callgrind_annotate`.
const KEEP: &str = "KITHARA_PROFILES";
/// Samples read at a time.
const BLOCK: usize = 8192;

fn main() -> ExitCode {
    if let Some((role, args)) = child::role() {
        return match decode(&role, args.first().map(Path::new)) {
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
        return ExitCode::SUCCESS;
    }
    let outcome = compare(&mut bounds);
    bounds.verdict(outcome)
}

/// One side's work; without a file, nothing but starting and ending.
fn decode(role: &str, path: Option<&Path>) -> Result<u64, AnyError> {
    let Some(path) = path else { return Ok(0) };
    match role {
        "library" => through_library(path),
        _ => Ok(plain::decode(path, |_| {})?.samples),
    }
}

fn through_library(path: &Path) -> Result<u64, AnyError> {
    let src = ResourceSrc::from(path.to_owned());
    let mut resource = Resource::blocking(ResourceConfig::from_src(src))?;
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
    let idle_library = measure("library", None, profiles)?;
    let idle_plain = measure("plain", None, profiles)?;
    for music in inputs::all(folder.path())? {
        check_equal(&music)?;
        let library = measure("library", Some(&music), profiles)?.saturating_sub(idle_library);
        let plain = measure("plain", Some(&music), profiles)?.saturating_sub(idle_plain);
        let ratio = library as f64 / plain.max(1) as f64;
        let counts = format!(
            "{:.1} M / {:.1} M instructions",
            library as f64 / 1e6,
            plain as f64 / 1e6
        );
        if music.promised {
            bounds.at_most(music.name, ratio, BOUND, &format!("= {counts}"));
        } else {
            bounds.note(music.name, &format!("{ratio:.3} = {counts}"));
        }
    }
    Ok(())
}

/// A ratio means nothing unless both decode the same, give or take the ends of a packet.
fn check_equal(music: &Music) -> Result<(), AnyError> {
    let (library, plain) = (
        through_library(&music.path)?,
        decode("plain", Some(&music.path))?,
    );
    if library.abs_diff(plain) < plain / 1000 {
        return Ok(());
    }
    Err(format!(
        "{}: {library} samples through the library, {plain} from symphonia",
        music.name
    )
    .into())
}

fn measure(role: &str, music: Option<&Music>, profiles: &Path) -> Result<u64, AnyError> {
    let path = music.map(|music| music.path.display().to_string());
    let args: Vec<&str> = path.iter().map(String::as_str).collect();
    let name = music.map_or("idle", |music| music.name).replace(' ', "-");
    let profile = profiles.join(format!("{role}-{name}.callgrind"));
    callgrind::instructions(&child::command_line(role, &args)?, &profile)
}
