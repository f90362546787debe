//! Many titles at once share one I/O thread and the processor fairly; one title may be commanded from many threads.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/child.rs"]
mod child;
#[path = "support/network.rs"]
mod network;

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use kithara::net::{Net, NetOptions};
use kithara::{ReadState, Resource, ResourceConfig, SeekMode};
use kithara_tests::fixtures::{formula_sample, long_wav};
use kithara_tests::server::{FaultServer, Script};

/// Far more than anything here takes; reached only by something that hangs.
const HANG: Duration = Duration::from_secs(120);
const RATE: usize = 44_100;

/// A title on disk and on a server.
struct Title {
    server: FaultServer,
    file: tempfile::NamedTempFile,
    expected: Vec<f32>,
    client: Arc<dyn Net>,
}

impl Title {
    fn of(seconds: u32) -> Self {
        let media = long_wav(seconds);
        let mut file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
        file.write_all(&media.bytes).unwrap();
        let server = FaultServer::start();
        server.serve("/a.wav", Script::file(media.bytes));
        let samples = (0..media.frames).flat_map(|frame| {
            (0..media.channels).map(move |channel| formula_sample(frame, channel))
        });
        Self {
            server,
            file,
            expected: samples.map(|sample| f32::from(sample) / 32768.0).collect(),
            client: network::client(NetOptions::default(), network::quick()),
        }
    }

    fn local(&self) -> ResourceConfig {
        ResourceConfig::from_src(self.file.path().to_owned())
    }

    fn remote(&self) -> ResourceConfig {
        let config = ResourceConfig::new(self.server.url("/a.wav")).unwrap();
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
    /// Reads what is ready, at most a block, and checks it.
    fn try_on(&mut self, expected: &[f32], buf: &mut [f32]) -> ReadState {
        let outcome = self.resource.try_read(buf);
        let read = outcome.frames * 2;
        self.check(expected, &buf[..read]);
        outcome.state
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
fn spread(samples: impl Iterator<Item = usize> + Clone) -> (usize, usize) {
    (samples.clone().min().unwrap(), samples.max().unwrap())
}

#[test]
fn two_hundred_titles_at_once_all_get_on_and_all_are_exact() {
    const TEST: &str = "two_hundred_titles_at_once_all_get_on_and_all_are_exact";
    const COUNT: usize = 200;
    // Bytes of a title that is open and idle: two seconds of decoded audio, its decoder, its thread.
    const IDLE: usize = 2 << 20;
    // Threads and memory are counted, so no other test may be in the process.
    if child::role().is_none() {
        return print!("{}", child::Other::start(TEST, "alone").passes());
    }
    let title = Title::of(12);
    // The client and the I/O thread are there before.
    drop(Resource::blocking(title.remote()).unwrap());
    #[cfg(target_os = "linux")]
    let before = {
        while threads("kithara-decode") > 0 {
            thread::yield_now();
        }
        resident()
    };
    let mut readers: Vec<_> = (0..COUNT)
        .map(|n| {
            let config = if n % 4 == 0 {
                title.remote()
            } else {
                title.local()
            };
            Reader {
                resource: Resource::blocking(config).unwrap(),
                samples: 0,
            }
        })
        .collect();
    #[cfg(target_os = "linux")]
    {
        let each = resident().saturating_sub(before) / COUNT;
        println!("{each} bytes for each idle title");
        assert!(each < IDLE, "{each} bytes for each idle title");
        assert_eq!(threads("kithara-decode"), COUNT, "one decode thread each");
        assert_eq!(threads("kithara-io"), 1, "one I/O thread for all");
    }

    // All are read in turn, as a mixer would, until the slowest has come well beyond what was decoded in advance.
    let mut buf = vec![0.0; 2048];
    let began = Instant::now();
    while readers.iter().any(|reader| reader.samples < 5 * RATE * 2) {
        for reader in &mut readers {
            let state = reader.try_on(&title.expected, &mut buf);
            assert_ne!(state, ReadState::Failed);
        }
        let (least, most) = spread(readers.iter().map(|reader| reader.samples));
        assert!(began.elapsed() < HANG, "between {least} and {most} samples");
    }
    let (least, most) = spread(readers.iter().map(|reader| reader.samples));
    println!("between {least} and {most} samples when the slowest had five seconds");
    assert!(most <= 2 * least, "between {least} and {most} samples");
    for reader in &mut readers {
        reader.finish(&title.expected, &mut buf);
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

#[test]
fn commands_from_many_threads_never_yield_a_wrong_frame() {
    const SEEKS: usize = 1500;
    let title = Title::of(6);
    let index = Index::of(&title.expected);
    let frames = title.expected.len() / 2;
    for config in [title.local(), title.remote()] {
        let mut resource = Resource::blocking(config).unwrap();
        let (spec, control) = (resource.spec(), resource.control());
        // Seeks go to multiples of this frame only.
        let grid = 1_000;
        let working = AtomicBool::new(true);
        thread::scope(|scope| {
            let seekers: Vec<_> = (0..4_usize)
                .map(|seeker| {
                    let control = control.clone();
                    scope.spawn(move || {
                        for n in 0..SEEKS {
                            let step = (n * (7 + 2 * seeker) + seeker) % (frames / grid);
                            let mode = [SeekMode::Exact, SeekMode::Fast][n % 2];
                            control.seek(spec.time((step * grid) as u64), mode).unwrap();
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
            let working = &working;
            let reader = scope.spawn(|| {
                let (mut next, mut jumps) = (0, 0);
                let mut buf = [0.0; 512];
                while working.load(Ordering::Relaxed) {
                    let read = resource.read(&mut buf).unwrap();
                    if read < 4 {
                        next = frames;
                        continue;
                    }
                    let frame = index.frame(&buf[..read]).expect("frames of the title");
                    assert!(
                        frame == next || frame.is_multiple_of(grid),
                        "frame {frame}: neither the next, {next}, nor one that was asked for"
                    );
                    assert!(buf[..read] == title.expected[frame * 2..frame * 2 + read]);
                    jumps += usize::from(frame != next);
                    next = frame + read / 2;
                }
                (resource, jumps)
            });
            for seeker in seekers {
                seeker.join().unwrap();
            }
            working.store(false, Ordering::Relaxed);
            pauser.join().unwrap();
            // The last word was a resume, so the reader comes to its end.
            let (resource, jumps) = reader.join().unwrap();
            assert!(jumps > 0, "no seek was heard");
            let last = frames - 12_345;
            control
                .seek(spec.time(last as u64), SeekMode::Exact)
                .unwrap();
            let samples = last * 2;
            let mut reader = Reader { resource, samples };
            reader.finish(&title.expected, &mut [0.0; 4096]);
        });
    }
}
