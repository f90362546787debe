//! Peak memory of decoding a long file and a long HLS stream from a server, and the bytes kept ahead of a reader that stands still.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use kithara::{Resource, ResourceConfig};
use kithara_benches::{AnyError, Bounds, child, process};
use kithara_tests::fixtures::{self, hls};
use kithara_tests::server::{FaultServer, Script};

const MINUTES: u32 = 20;
/// Megabytes of peak resident memory.
const PEAK: f64 = 20.0;
/// The look-ahead, and the step in which the reader's position is reported.
const AHEAD: f64 = 4.0 * 1024.0 + 64.0;
const PATH: &str = "/long.mp3";
/// So often an HLS title of 11 s is played, one time behind the other: an hour.
const TIMES: usize = 328;
const FOLDER: &str = "aac-96";
const HLS: &str = "/aac-96/hour.m3u8";

fn main() -> ExitCode {
    if let Some((role, args)) = child::role() {
        let outcome = match role.as_str() {
            "serve" => serve(),
            "read" => read(args.first().map_or("", String::as_str)),
            other => Err(format!("no role is called {other}").into()),
        };
        if let Err(error) = &outcome {
            eprintln!("{role}: {error}");
        }
        return outcome.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let mut bounds = Bounds::new("memory");
    let outcome = if cfg!(target_os = "linux") {
        measure(&mut bounds)
    } else {
        println!("not measured: this system does not tell");
        Ok(())
    };
    bounds.verdict(outcome)
}

fn measure(bounds: &mut Bounds) -> Result<(), AnyError> {
    let server = Server::start()?;
    let mp3 = server.url(PATH);
    let frames = fixtures::long_mp3(MINUTES).frames;
    let unit = format!("MB for {MINUTES} minutes of MP3");
    peak(bounds, &mp3, frames, &unit)?;
    let frames = (TIMES * title().frames) as u64;
    peak(bounds, &server.url(HLS), frames, "MB for an hour of HLS")?;
    ahead(bounds, &mp3)
}

/// What is played again and again.
fn title() -> &'static hls::HlsFixture {
    hls::fixture(FOLDER)
}

/// The peak of a process that reads `url` as fast as it comes.
fn peak(bounds: &mut Bounds, url: &str, frames: u64, unit: &str) -> Result<(), AnyError> {
    let folder = tempfile::tempdir()?;
    let (what, line) = match example() {
        Some(program) => {
            let line = [
                program.display().to_string(),
                url.to_owned(),
                "--json".into(),
                "--cache".into(),
                folder.path().display().to_string(),
            ];
            ("peak memory of the example pcm with a cache", line.to_vec())
        }
        None => (
            "peak memory of a reader like pcm",
            child::command_line("read", &[url])?,
        ),
    };
    let report: serde_json::Value = serde_json::from_str(child::output(&line)?.trim())?;
    let peak = report["peak_memory_bytes"]
        .as_u64()
        .ok_or("no peak in the report")?;
    if report["frames"].as_u64() != Some(frames) {
        return Err(format!("{} frames of {frames} were decoded", report["frames"]).into());
    }
    bounds.at_most(what, peak as f64 / 1e6, PEAK, unit);
    Ok(())
}

/// What is fetched for a reader that has read nothing yet.
fn ahead(bounds: &mut Bounds, url: &str) -> Result<(), AnyError> {
    let resource = Resource::blocking(ResourceConfig::new(url)?.without_store())?;
    let mut fetched = 0;
    // Until a whole second brought nothing.
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = resource.control().stats().bytes_fetched;
        if now == fetched {
            break;
        }
        fetched = now;
    }
    let disk = process::nameless_file_bytes()?;
    bounds.at_most(
        "bytes ahead of a reader that stands still",
        fetched as f64 / 1024.0,
        AHEAD,
        "KiB fetched",
    );
    bounds.note(
        "on disk for it",
        &format!("{:.1} KiB", disk as f64 / 1024.0),
    );
    Ok(())
}

/// The program of the example, built now if need be: an old one would be measured otherwise. `None` if it cannot be.
fn example() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO")?;
    let build = [
        "build",
        "--release",
        "--example",
        "pcm",
        "-p",
        "kithara-examples",
        "--locked",
        "--quiet",
    ];
    let built = Command::new(cargo).args(build).status().ok()?;
    // This bench lies in `release/deps`.
    let here = std::env::current_exe().ok()?;
    let program = here.parent()?.parent()?.join("examples/pcm");
    (built.success() && program.is_file()).then_some(program)
}

/// What `pcm` does, in a process of its own.
fn read(url: &str) -> Result<(), AnyError> {
    let mut resource = Resource::blocking(ResourceConfig::new(url)?.without_store())?;
    let channels = usize::from(resource.spec().channels.get());
    let mut block = vec![0.0; 1024 * channels];
    let mut samples = 0;
    loop {
        let count = resource.read(&mut block)?;
        if count == 0 {
            break;
        }
        samples += count;
    }
    let report = serde_json::json!({
        "frames": samples / channels,
        "peak_memory_bytes": process::peak_memory()?,
    });
    println!("{report}");
    Ok(())
}

/// Serves the file and the stream until the parent closes the pipe.
fn serve() -> Result<(), AnyError> {
    let server = FaultServer::with_send_buffer(256 * 1024);
    let file = Script::file(fixtures::long_mp3(MINUTES).bytes);
    server.serve(PATH, file.media_type("audio/mpeg"));
    hls::serve(&server);
    let segments = (TIMES * title().segments) as u64;
    let hour = hls::live(FOLDER, 0..segments, true);
    server.serve(HLS, Script::file(hour.into_bytes()));
    println!("{}", server.url(""));
    std::io::stdout().flush()?;
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// A server in a process of its own, so that neither its memory nor its copy of the file counts.
struct Server {
    process: Child,
    base: String,
}

impl Server {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn start() -> Result<Self, AnyError> {
        let line = child::command_line("serve", &[])?;
        let mut process = Command::new(&line[0])
            .args(&line[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut base = String::new();
        let printed = process.stdout.take().ok_or("no pipe from the server")?;
        BufReader::new(printed).read_line(&mut base)?;
        Ok(Self {
            process,
            base: base.trim().trim_end_matches('/').to_owned(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input is the end of the server.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
