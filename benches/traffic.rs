//! Requests and bytes: before the first frame, for a whole file, and for a seek.

use std::path::Path;
use std::process::ExitCode;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use kithara::audio::AudioEvent;
use kithara::{ErrorKind, RecvError, Resource, ResourceConfig, ResourceEvent, SeekMode};
use kithara_benches::{AnyError, Bounds};
use kithara_tests::fixtures;
use kithara_tests::server::{FaultServer, LoggedRequest, Outcome, Script};

/// A slow link, so that what was sent when the first frame came is about what it took.
const SLOW: u64 = 40_000;
/// Fast enough to seek in without much being under way, slow enough to count.
const MEDIUM: u64 = 1_000_000;

fn main() -> ExitCode {
    let mut bounds = Bounds::new("traffic: requests and bytes");
    let outcome = first_frames(&mut bounds).and_then(|()| seeks(&mut bounds));
    bounds.verdict(outcome)
}

/// What one fixture took.
struct Taken {
    requests: usize,
    bytes: u64,
}

impl Taken {
    fn of(requests: &[LoggedRequest]) -> Self {
        Self {
            requests: requests.len(),
            bytes: requests.iter().map(|request| request.sent_body).sum(),
        }
    }
}

/// Bytes before the first frame, however long the file is: what the server has sent by then, most of it still on its way.
const FIRST_FRAME: f64 = 128.0 * 1024.0;

/// A file to hear the first frame of.
struct Title {
    name: String,
    bytes: Vec<u8>,
    media_type: String,
}

impl Title {
    /// Requests before the first frame: one, unless something has to be jumped over or looked up first.
    fn bound(&self) -> usize {
        match self.name.as_str() {
            // A picture lies before the music, and another request is cheaper than the picture.
            "mp3-tags.mp3" | "flac-picture.flac" => 2,
            // The index, or the table of packets, lies behind the media, farther than is worth reading through; then back
            // to the front.
            "m4a-aac-last.m4a" | "m4a-alac-last.m4a" | "music.m4a" | "caf-alac.caf" => 3,
            _ => 1,
        }
    }
}

/// Every fixture, most of which are shorter than the bound; and long files, whose tables are.
fn titles() -> Result<Vec<Title>, AnyError> {
    let mut titles: Vec<Title> = fixtures::playable()
        .map(|fixture| Title {
            name: fixture.file.clone(),
            bytes: fixture.bytes(),
            media_type: fixture.media_type().to_owned(),
        })
        .collect();
    let long = [
        ("long.wav", fixtures::long_wav(60).bytes, "audio/wav"),
        ("long.mp3", fixtures::long_mp3(4).bytes, "audio/mpeg"),
        ("long.flac", fixtures::long_flac(60).bytes, "audio/flac"),
    ];
    titles.extend(long.map(|(name, bytes, media_type)| Title {
        name: name.to_owned(),
        bytes,
        media_type: media_type.to_owned(),
    }));
    let music = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs");
    for (name, media_type) in [
        ("music.m4a", "audio/mp4"),
        ("music.ogg", "audio/ogg"),
        ("music.flac", "audio/flac"),
    ] {
        titles.push(Title {
            name: name.to_owned(),
            bytes: std::fs::read(music.join(name))?,
            media_type: media_type.to_owned(),
        });
    }
    Ok(titles)
}

/// Every title at once, each on a slow link of its own.
fn first_frames(bounds: &mut Bounds) -> Result<(), AnyError> {
    let server = FaultServer::start();
    let (server, titles) = (&server, titles()?);
    let measured: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = titles
            .iter()
            .map(|title| (title, scope.spawn(move || one_title(server, title))))
            .collect();
        let join = |(title, thread): (_, ScopedJoinHandle<'_, _>)| (title, thread.join());
        running.into_iter().map(join).collect()
    });
    println!(
        "{:<20} {:>12} {:>21} {:>21}",
        "", "of", "first frame", "all"
    );
    let mut heard = Vec::new();
    for (title, taken) in measured {
        let Some((first, all)) = taken.map_err(|_| format!("{}: a panic", title.name))?? else {
            println!("{:<20} not supported", title.name);
            continue;
        };
        println!(
            "{:<20} {:>8} B {:>6} req {:>8} B {:>6} req {:>8} B",
            title.name,
            title.bytes.len(),
            first.requests,
            first.bytes,
            all.requests,
            all.bytes,
        );
        heard.push((title, first));
    }
    for most in [1, 2, 3] {
        let of_those = heard.iter().filter(|(title, _)| title.bound() == most);
        let requests = of_those.map(|(_, first)| first.requests).max();
        let what = format!("a first frame that may take {most}");
        let requests = requests.ok_or("none of these was heard")?;
        bounds.at_most(&what, requests as f64, most as f64, "requests");
    }
    let (title, first) = heard
        .iter()
        .max_by_key(|(_, first)| first.bytes)
        .ok_or("nothing was heard")?;
    let unit = format!("bytes, of {}", title.name);
    let what = "the dearest first frame at 40 kB/s";
    bounds.at_most(what, first.bytes as f64, FIRST_FRAME, &unit);
    Ok(())
}

/// What a title took for its first frame over a slow link, and in all over a fast one; `None` if it is refused.
fn one_title(server: &FaultServer, title: &Title) -> Result<Option<(Taken, Taken)>, AnyError> {
    let script = || Script::file(title.bytes.clone()).media_type(&title.media_type);
    let (slow, fast) = (
        format!("/slow/{}", title.name),
        format!("/fast/{}", title.name),
    );
    server.serve(&slow, script().throttle(SLOW));
    let told = |error: kithara::Error| format!("{}: {error}", title.name);
    let resource = match Resource::blocking(ResourceConfig::new(server.url(&slow))?.without_store())
    {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
        opened => opened.map_err(told)?,
    };
    let first = Taken::of(&server.requests_for(&slow));
    drop(resource);
    server.serve(&fast, script());
    let mut resource = Resource::blocking(ResourceConfig::new(server.url(&fast))?.without_store())
        .map_err(told)?;
    let mut block = vec![0.0; 8192];
    while resource.read(&mut block).map_err(told)? > 0 {}
    Ok(Some((first, Taken::of(&server.requests_for(&fast)))))
}

/// One seek to the middle of a file that is too long to be fetched already.
fn seeks(bounds: &mut Bounds) -> Result<(), AnyError> {
    let cases = [
        ("a fast seek in WAV", "wav", fixtures::long_wav(120), 1.0),
        (
            "a fast seek in MP3 of a constant rate",
            "mp3",
            fixtures::long_mp3(20),
            1.0,
        ),
        (
            "a fast seek in FLAC without a seek table",
            "flac",
            fixtures::long_flac(120),
            5.0,
        ),
    ];
    for (what, extension, made, bound) in cases {
        let middle = Duration::from_secs(made.frames / u64::from(made.sample_rate) / 2);
        let path = format!("/seek.{extension}");
        let server = FaultServer::start();
        server.serve(&path, Script::file(made.bytes).throttle(MEDIUM));
        let requests = one_seek(&server, &path, middle)?;
        let taken = Taken::of(&requests);
        let starts: Vec<u64> = requests
            .iter()
            .filter_map(|one| Some(one.range?.0))
            .collect();
        let unit = format!("requests, {} bytes, from {starts:?}", taken.bytes);
        bounds.at_most(what, taken.requests as f64, bound, &unit);
    }
    Ok(())
}

fn one_seek(
    server: &FaultServer,
    path: &str,
    to: Duration,
) -> Result<Vec<LoggedRequest>, AnyError> {
    let config = ResourceConfig::new(server.url(path))?
        .without_store()
        .with_look_ahead_bytes(256 * 1024);
    let mut resource = Resource::blocking(config)?;
    let mut block = vec![0.0; 1024];
    resource.read(&mut block)?;
    let before = quiet(server, path);
    let mut events = resource.events();
    resource.seek(to, SeekMode::Fast)?;
    resource.read(&mut block)?;
    let requests = server.requests_for(path);
    loop {
        match events.recv_blocking() {
            Ok(ResourceEvent::Audio(AudioEvent::SeekDone { .. })) => break,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Err("the seek was not done".into()),
        }
    }
    Ok(requests[before..].to_vec())
}

/// Waits until the look-ahead is full: no transfer runs, and none begins for a while. The requests until then.
fn quiet(server: &FaultServer, path: &str) -> usize {
    loop {
        server.wait_until("the look-ahead", |requests| {
            requests
                .iter()
                .all(|request| request.outcome != Outcome::Running)
        });
        let before = server.requests_for(path).len();
        std::thread::sleep(Duration::from_millis(300));
        if server.requests_for(path).len() == before {
            return before;
        }
    }
}
