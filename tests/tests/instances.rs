//! Many titles at once share one I/O thread and the processor fairly; one title may be commanded from many threads.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/child.rs"]
mod child;
#[path = "support/network.rs"]
mod network;

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use kithara::audio::AudioEvent;
use kithara::net::{Net, NetOptions};
use kithara::{ReadState, RecvError, Resource, ResourceConfig, ResourceEvent, SeekMode};
use kithara_tests::fixtures::{Generated, formula_sample, long_wav};
use kithara_tests::server::{FaultServer, Script};
use network::{KIB, LOOK_AHEAD, Tap};

/// Far more than anything here takes; reached only by something that hangs.
const HANG: Duration = Duration::from_secs(120);

/// A title on disk and on a server.
struct Title {
    /// Samples a second.
    pace: usize,
    server: FaultServer,
    file: tempfile::NamedTempFile,
    expected: Vec<f32>,
    client: Arc<dyn Net>,
}

impl Title {
    fn of(seconds: u32) -> Self {
        Self::from(long_wav(seconds))
    }

    fn from(media: Generated) -> Self {
        let mut file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
        file.write_all(&media.bytes).unwrap();
        let server = FaultServer::start();
        server.serve("/a.wav", Script::file(media.bytes));
        let samples = (0..media.frames).flat_map(|frame| {
            (0..media.channels).map(move |channel| formula_sample(frame, channel))
        });
        Self {
            pace: media.sample_rate as usize * usize::from(media.channels),
            server,
            file,
            expected: samples.map(|sample| f32::from(sample) / 32768.0).collect(),
            client: network::client(NetOptions::default(), network::quick()),
        }
    }

    fn local(&self) -> ResourceConfig {
        ResourceConfig::from_src(self.file.path().to_owned()).with_fades(Duration::ZERO)
    }

    fn remote(&self) -> ResourceConfig {
        let config = ResourceConfig::new(self.server.url("/a.wav"))
            .unwrap()
            .without_store()
            .with_fades(Duration::ZERO);
        config.with_client(Arc::clone(&self.client))
    }
}

#[cfg(target_os = "linux")]
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

/// What the process holds in memory, without what it maps from files, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib: usize = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}

/// A resource that is read, and how far.
struct Reader {
    resource: Resource,
    samples: usize,
}

impl Reader {
    /// Reads what is ready, at most a block, and checks it; at the end begins anew. How many samples there were.
    fn try_round(&mut self, expected: &[f32], buf: &mut [f32]) -> usize {
        let outcome = self.resource.try_read(buf);
        let read = outcome.frames * usize::from(self.resource.spec().channels.get());
        self.check(expected, &buf[..read]);
        assert_ne!(outcome.state, ReadState::Failed);
        if outcome.state == ReadState::Ended {
            assert_eq!(self.samples, expected.len());
            self.resource.seek(Duration::ZERO, SeekMode::Exact).unwrap();
            self.samples = 0;
        }
        read
    }

    /// Reads to the end and checks it.
    fn finish(&mut self, expected: &[f32], buf: &mut [f32]) {
        loop {
            let read = self.resource.read(buf).unwrap();
            if read == 0 {
                break;
            }
            self.check(expected, &buf[..read]);
        }
        assert_eq!(self.samples, expected.len());
    }

    fn check(&mut self, expected: &[f32], read: &[f32]) {
        let until = self.samples + read.len();
        assert!(
            expected.get(self.samples..until) == Some(read),
            "wrong samples at {}",
            self.samples
        );
        self.samples = until;
    }
}

/// Least and most.
fn spread(samples: &[usize]) -> (usize, usize) {
    let (least, most) = (samples.iter().min(), samples.iter().max());
    (*least.unwrap(), *most.unwrap())
}

/// As many titles as an automaton or a game would hold: speech, so that a thousand are affordable.
fn speech(seconds: u32) -> Generated {
    let (sample_rate, channels) = (8_000_u32, 1_u16);
    let frames = seconds * sample_rate;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(frames * 2 + 36).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend_from_slice(&channels.to_le_bytes());
    bytes.extend_from_slice(&sample_rate.to_le_bytes());
    bytes.extend_from_slice(&(sample_rate * 2).to_le_bytes());
    bytes.extend_from_slice(&[2, 0, 16, 0]);
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&(frames * 2).to_le_bytes());
    for frame in 0..u64::from(frames) {
        bytes.extend_from_slice(&formula_sample(frame, 0).to_le_bytes());
    }
    Generated {
        bytes,
        frames: u64::from(frames),
        sample_rate,
        channels,
    }
}

/// Lets this process have so many files and sockets open.
#[cfg(unix)]
fn may_open(files: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    #[allow(unsafe_code)]
    // SAFETY: both calls are given a pointer to a live limit; the first writes it, the second reads it.
    let set = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_cur.max(files).min(limit.rlim_max);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    assert!(
        set && limit.rlim_cur >= files,
        "this machine allows {} open files, and the test needs {files}",
        limit.rlim_cur
    );
}

/// Opens `count` resources of `title`, every fourth over HTTP, and holds each to `budget` bytes of memory.
fn open_many(title: &Title, count: usize, budget: usize) -> Vec<Reader> {
    // The client and the I/O thread are there before.
    drop(Resource::blocking(title.remote()).unwrap());
    #[cfg(target_os = "linux")]
    let before = {
        while threads("kithara-decode") > 0 {
            thread::yield_now();
        }
        resident()
    };
    let readers: Vec<_> = (0..count)
        .map(|n| {
            let config = match n % 4 {
                0 => title.remote(),
                _ => title.local(),
            };
            let resource = Resource::blocking(config).unwrap();
            let samples = 0;
            Reader { resource, samples }
        })
        .collect();
    #[cfg(target_os = "linux")]
    {
        let each = resident().saturating_sub(before) / count;
        println!("{each} bytes for each idle title");
        assert!(each < budget, "{each} bytes for each idle title");
        assert_eq!(threads("kithara-decode"), count, "one decode thread each");
        assert_eq!(threads("kithara-io"), 1, "one I/O thread for all");
    }
    readers
}

/// Reads all of them in turn, as a mixer would, again and again, until there is a time in which the slowest gets on by
/// `seconds` and no other twice as far. Where some are served before others that time never comes; a machine that gives some
/// threads more turns than others only delays it.
fn get_on_evenly(title: &Title, readers: &mut [Reader], seconds: usize) {
    let mut buf = vec![0.0; title.pace / 40];
    let began = Instant::now();
    loop {
        let mut gone = vec![0; readers.len()];
        while gone.iter().any(|gone| *gone < seconds * title.pace) {
            for (reader, gone) in readers.iter_mut().zip(&mut gone) {
                *gone += reader.try_round(&title.expected, &mut buf);
            }
            let (least, most) = spread(&gone);
            assert!(began.elapsed() < HANG, "between {least} and {most} samples");
        }
        let (least, most) = spread(&gone);
        println!("between {least} and {most} samples when the slowest had {seconds} s");
        if most <= 2 * least {
            return;
        }
    }
}

#[test]
fn two_hundred_titles_at_once_all_get_on_and_all_are_exact() {
    const TEST: &str = "two_hundred_titles_at_once_all_get_on_and_all_are_exact";
    // Bytes of a title that is open and idle: two seconds of decoded audio, its decoder, its thread.
    const IDLE: usize = 2 << 20;
    // Threads and memory are counted, so no other test may be in the process.
    if child::role().is_none() {
        return print!("{}", child::Other::start(TEST, "alone").passes());
    }
    let title = Title::of(12);
    let mut readers = open_many(&title, 200, IDLE);
    // Well beyond what was decoded in advance.
    get_on_evenly(&title, &mut readers, 5);
    for reader in &mut readers {
        reader.finish(&title.expected, &mut vec![0.0; 2048]);
    }
}

#[test]
#[cfg(unix)]
fn a_thousand_titles_at_once_get_on_evenly_within_their_budgets() {
    const TEST: &str = "a_thousand_titles_at_once_get_on_evenly_within_their_budgets";
    const COUNT: usize = 1000;
    // The decoder, its window, the thread's stack; two seconds of speech are 64 KB of it.
    const IDLE: usize = 400 << 10;
    if child::role().is_none() {
        return print!("{}", child::Other::start(TEST, "alone").passes());
    }
    // A file each; for every fourth also both ends of its connection.
    may_open(2 * COUNT as u64);
    let title = Title::from(speech(21));
    let mut readers = open_many(&title, COUNT, IDLE);
    get_on_evenly(&title, &mut readers, 10);
    for reader in &mut readers {
        reader.finish(&title.expected, &mut vec![0.0; 2048]);
    }
    // And all of it is given back.
    drop(readers);
    #[cfg(target_os = "linux")]
    {
        let began = Instant::now();
        while threads("kithara-decode") > 0 {
            assert!(began.elapsed() < HANG, "decode threads are left");
            thread::yield_now();
        }
    }
}

#[test]
fn a_hundred_opens_of_one_url_at_once_all_play_exactly() {
    const COUNT: usize = 100;
    let title = Title::of(4);
    let barrier = Barrier::new(COUNT);
    thread::scope(|scope| {
        for _ in 0..COUNT {
            scope.spawn(|| {
                barrier.wait();
                let resource = Resource::blocking(title.remote()).unwrap();
                let samples = 0;
                let mut reader = Reader { resource, samples };
                reader.finish(&title.expected, &mut [0.0; 4096]);
            });
        }
    });
}

/// Finds the frame that a stretch of samples begins at: two frames are like no others.
struct Index {
    places: HashMap<[u32; 4], usize>,
}

impl Index {
    fn of(expected: &[f32]) -> Self {
        let mut places = HashMap::new();
        for (frame, four) in expected.windows(4).step_by(2).enumerate() {
            let double = places.insert(Self::key(four), frame);
            assert_eq!(double, None, "two places sound alike");
        }
        Self { places }
    }

    fn key(four: &[f32]) -> [u32; 4] {
        [0, 1, 2, 3].map(|at| four[at].to_bits())
    }

    fn frame(&self, samples: &[f32]) -> Option<usize> {
        self.places.get(&Self::key(samples)).copied()
    }
}

/// Seeks go to multiples of this frame only.
const GRID: usize = 1_000;

/// Seeks of all kinds from four threads at once, between pauses, while it is read; what is read is always the title's.
fn storm(title: &Title, index: &Index, mut resource: Resource) -> Resource {
    const SEEKS: usize = 1500;
    let frames = title.expected.len() / 2;
    let (spec, control) = (resource.spec(), resource.control());
    let working = AtomicBool::new(true);
    let jumps = AtomicUsize::new(0);
    thread::scope(|scope| {
        let seekers: Vec<_> = (0..4_usize)
            .map(|seeker| {
                let control = control.clone();
                scope.spawn(move || {
                    for n in 0..SEEKS {
                        let step = (n * (7 + 2 * seeker) + seeker) % (frames / GRID);
                        let mode = [SeekMode::Exact, SeekMode::Fast][n % 2];
                        control.seek(spec.time((step * GRID) as u64), mode).unwrap();
                        control.position();
                        control.stats();
                        thread::yield_now();
                    }
                })
            })
            .collect();
        let pauser = {
            let (control, working) = (control.clone(), &working);
            scope.spawn(move || {
                while working.load(Ordering::Relaxed) {
                    control.pause();
                    thread::yield_now();
                    control.resume();
                    thread::yield_now();
                }
            })
        };
        let (working, jumps) = (&working, &jumps);
        let reader = scope.spawn(move || {
            let mut next = 0;
            let mut buf = [0.0; 512];
            while working.load(Ordering::Relaxed) {
                let read = resource.read(&mut buf).unwrap();
                if read < 4 {
                    next = frames;
                    continue;
                }
                let frame = index.frame(&buf[..read]).expect("frames of the title");
                assert!(
                    frame == next || frame.is_multiple_of(GRID),
                    "frame {frame}: neither the next, {next}, nor one that was asked for"
                );
                assert!(buf[..read] == title.expected[frame * 2..frame * 2 + read]);
                jumps.fetch_add(usize::from(frame != next), Ordering::Relaxed);
                next = frame + read / 2;
            }
            resource
        });
        for seeker in seekers {
            seeker.join().unwrap();
        }
        // A storm may be over before its reader had its first turn.
        let last = spec.time(2 * GRID as u64);
        control.seek(last, SeekMode::Exact).unwrap();
        let began = Instant::now();
        while jumps.load(Ordering::Relaxed) == 0 {
            assert!(began.elapsed() < HANG, "no seek was heard");
            thread::yield_now();
        }
        working.store(false, Ordering::Relaxed);
        pauser.join().unwrap();
        // The last word was a resume, so the reader comes to its end.
        reader.join().unwrap()
    })
}

/// Seeks there and plays to the end.
fn plays_from(title: &Title, frame: usize, resource: Resource) -> Resource {
    let time = resource.spec().time(frame as u64);
    resource.seek(time, SeekMode::Exact).unwrap();
    let samples = frame * 2;
    let mut reader = Reader { resource, samples };
    reader.finish(&title.expected, &mut [0.0; 4096]);
    reader.resource
}

#[test]
fn commands_from_many_threads_never_yield_a_wrong_frame() {
    let title = Title::of(6);
    let index = Index::of(&title.expected);
    let resource = Resource::blocking(title.local()).unwrap();
    let resource = storm(&title, &index, resource);
    plays_from(&title, title.expected.len() / 2 - 12_345, resource);
}

#[test]
fn a_storm_over_http_asks_for_no_stored_byte_and_for_none_once_all_is_stored() {
    // Most of it is not there when a storm begins.
    let title = Title::of(20);
    let index = Index::of(&title.expected);
    let tap = Tap::default();
    let net = tap.on(Arc::clone(&title.client));
    let config = title
        .remote()
        .with_client(net)
        .with_look_ahead_bytes(LOOK_AHEAD);
    let mut events = config.events();
    let resource = Resource::blocking(config).unwrap();
    let landed = thread::spawn(move || {
        let mut landed = 0;
        loop {
            match events.recv_blocking() {
                Ok(ResourceEvent::Audio(AudioEvent::SeekDone { .. })) => landed += 1,
                Ok(_) => {}
                // Any of those may have been such.
                Err(RecvError::Lagged(missed)) => landed += missed,
                Err(RecvError::Closed) => return landed,
            }
        }
    });
    let resource = storm(&title, &index, resource);
    let resource = plays_from(&title, title.expected.len() / 2 - 12_345, resource);
    let resource = plays_from(&title, 0, resource);
    tap.assert_nothing_stored_is_asked_for();
    // All of it is stored: no storm asks for anything now.
    let asked = tap.log().len() as u64;
    let resource = storm(&title, &index, resource);
    plays_from(&title, 0, resource);
    assert_eq!(tap.log().len() as u64, asked, "asked for what is stored");
    let len = 44 + title.expected.len() as u64 * 2;
    let given_up = tap.given_up(len);
    let landed = landed.join().unwrap();
    println!("{asked} requests, {given_up} of them given up, {landed} seeks landed");
    // What playing it takes, what each seek that landed may ask for, and what those were asking for that a newer one overtook
    // while they waited: each of these brings the place it asks for, once, or is given up.
    let places = title.expected.len() / 2 / GRID;
    let most = len / (64 * KIB) + landed + given_up + places as u64;
    assert!(asked <= most, "{asked} requests: {:?}", tap.log());
}
