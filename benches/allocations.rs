//! Heap allocations per decoded packet of the whole pipeline, all threads together, once it is warm.

use std::path::Path;
use std::process::ExitCode;

use kithara::{Resource, ResourceConfig, ResourceSrc};
use kithara_benches::counting::{Counting, allocations};
use kithara_benches::{AnyError, Bounds, inputs, plain};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Samples read at a time.
const BLOCK: usize = 1024;

fn main() -> ExitCode {
    let mut bounds =
        Bounds::new("allocations per decoded packet, between the 1st and the last third");
    let outcome = measure_all(&mut bounds);
    bounds.verdict(outcome)
}

fn measure_all(bounds: &mut Bounds) -> Result<(), AnyError> {
    let folder = tempfile::tempdir()?;
    for music in inputs::all(folder.path())? {
        let whole = plain::decode(&music.path, |_| {})?;
        let (from, to) = (whole.packets / 3, whole.packets * 2 / 3);
        let mut marks = (0, 0);
        plain::decode(&music.path, |packet| {
            if packet == from {
                marks.0 = allocations();
            } else if packet == to {
                marks.1 = allocations();
            }
        })?;
        let plain = (marks.1 - marks.0) as f64 / (to - from).max(1) as f64;
        let share = library(&music.path, whole.samples / 3, whole.samples * 2 / 3)? as f64;
        let library = share / (whole.packets as f64 / 3.0);
        bounds.note(
            music.name,
            &format!("{library:.3}  (symphonia alone {plain:.3})"),
        );
    }
    Ok(())
}

/// Allocations while the samples `from..to` are read.
fn library(path: &Path, from: u64, to: u64) -> Result<u64, AnyError> {
    let src = ResourceSrc::from(path.to_owned());
    let mut resource = Resource::blocking(ResourceConfig::from_src(src))?;
    let mut block = vec![0.0; BLOCK];
    let (mut samples, mut before) = (0, None);
    while samples < to {
        let count = resource.read(&mut block)?;
        if count == 0 {
            break;
        }
        samples += count as u64;
        if samples >= from && before.is_none() {
            before = Some(allocations());
        }
    }
    Ok(allocations() - before.unwrap_or_default())
}
