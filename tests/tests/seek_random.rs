//! Seeks at random in every format, locally and over HTTP: no frame is off, none is from before the seek.
//!
//! A quarter of the seeks are issued while one is under way, from another thread. `KITHARA_SEEKS` says how many there are for
//! each title; each title is compared with its own decode in one go.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/network.rs"]
mod network;

use std::io::Write;
use std::sync::mpsc::{self, Receiver, Sender};

use kithara::audio::{AudioEvent, SeekId};
use kithara::{
    Control, Events, PcmSpec, Resource, ResourceConfig, ResourceEvent, SeekMode, TryRecvError,
};
use kithara_tests::fixtures::{self, Fixture, TransportStream, demo};
use kithara_tests::server::{FaultServer, Script};

use network::{LOOK_AHEAD, config, local};

/// Frames read after a seek.
const FRAMES: usize = 200;
/// Seeks before a title is opened anew, so that it has to be fetched again; of very many, a hundredth.
const PER_OPEN: usize = 40;
/// Bytes a second: slow enough for seeks to be ahead of what has come.
const PACE: u64 = 4_000_000;
/// What decoding from elsewhere may change in a lossy codec.
const TOLERANCE: f32 = 1e-4;

/// How many seeks there are for each title.
fn seeks() -> usize {
    let told = std::env::var("KITHARA_SEEKS").ok();
    let few = if cfg!(debug_assertions) { 40 } else { 1000 };
    told.map_or(few, |count| count.parse().expect("a number of seeks"))
}

fn per_open() -> usize {
    PER_OPEN.max(seeks() / 100)
}

/// A title and every frame of it.
struct Title {
    name: String,
    bytes: Vec<u8>,
    media_type: &'static str,
    pcm: Vec<f32>,
    /// Without an index, a fast seek far away goes by bit rate or table.
    guesses: bool,
}

impl Title {
    fn new(name: &str, bytes: Vec<u8>, media_type: &'static str) -> Self {
        let extension = name.rsplit('.').next().unwrap_or_default();
        Self {
            name: name.to_owned(),
            pcm: local(&bytes, extension),
            bytes,
            media_type,
            guesses: name.contains("vbr") || extension == "aac",
        }
    }

    fn of(fixture: &Fixture) -> Self {
        Self::new(&fixture.file, fixture.bytes(), fixture.media_type())
    }
}

/// Titles of all formats. AAC-LC with noise substitution is left out: after a seek its noise is another.
fn titles() -> Vec<Title> {
    let noisy = |fixture: &&Fixture| fixture.codec == "AacLc" && !fixture.file.contains("nopns");
    let mut titles: Vec<Title> = fixtures::playable()
        .filter(|fixture| !noisy(fixture))
        // The same audio behind a picture, and again in another order.
        .filter(|fixture| !fixture.file.contains("picture") && fixture.file != "mp3-tags.mp3")
        .map(Title::of)
        .collect();
    titles.push(Title::new("demo.mp3", demo(), "audio/mpeg"));
    for (name, media_type) in [
        ("seek-vbr.mp3", "audio/mpeg"),
        ("seek-adts.aac", "audio/aac"),
        ("seek-he.m4a", "audio/mp4"),
        ("seek-he-v2.mp4", "audio/mp4"),
        ("seek-he-v2.mkv", "audio/x-matroska"),
    ] {
        titles.push(Title::new(name, fixtures::unlisted(name), media_type));
    }
    for (name, file, rate) in [
        ("seek-adts.ts", "seek-adts.aac", 44_100),
        ("seek-he.ts", "seek-he.aac", 22_050),
    ] {
        let stream = TransportStream::of_adts(&fixtures::unlisted(file), rate);
        titles.push(Title::new(name, stream, "video/mp2t"));
    }
    titles
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// Mostly anywhere, now and then where things end.
    fn target(&mut self, total: u64) -> u64 {
        match self.below(20) {
            0 => 0,
            1 => self.below(3),
            2 => total,
            3 => total.saturating_sub(1 + self.below(300)),
            4 => total + self.below(1_000_000),
            _ => self.below(total),
        }
    }

    fn mode(&mut self) -> SeekMode {
        match self.below(2) {
            0 => SeekMode::Fast,
            _ => SeekMode::Exact,
        }
    }
}

/// A wish: a frame, and how.
type Wanted = (u64, SeekMode);

/// Somebody else who seeks.
struct Rival {
    ask: Sender<(Control, PcmSpec, Vec<Wanted>)>,
    done: Receiver<SeekId>,
}

impl Rival {
    fn start() -> Self {
        let (ask, asked) = mpsc::channel::<(Control, PcmSpec, Vec<Wanted>)>();
        let (answer, done) = mpsc::channel();
        std::thread::spawn(move || {
            for (control, spec, wanted) in asked {
                let mut last = None;
                for (frame, mode) in wanted {
                    last = Some(control.seek(spec.time(frame), mode).expect("it is open"));
                }
                // Dropped before the answer: the resource may end with its last hand.
                drop(control);
                answer
                    .send(last.expect("a wish"))
                    .expect("it is waited for");
            }
        });
        Self { ask, done }
    }
}

/// A title that is open.
struct Open<'a> {
    title: &'a Title,
    resource: Resource,
    events: Events<ResourceEvent>,
    spec: PcmSpec,
    far: bool,
}

impl<'a> Open<'a> {
    fn new(title: &'a Title, config: ResourceConfig, far: bool) -> Self {
        let events = config.events();
        let resource =
            Resource::blocking(config).unwrap_or_else(|error| panic!("{}: {error:?}", title.name));
        Self {
            spec: resource.spec(),
            title,
            resource,
            events,
            far,
        }
    }

    fn channels(&self) -> usize {
        usize::from(self.spec.channels.get())
    }

    fn total(&self) -> u64 {
        (self.title.pcm.len() / self.channels()) as u64
    }

    /// Seeks, reads at once, and looks whether that is what belongs there.
    fn check(&mut self, dice: &mut Dice, rival: &Rival, what: &str) {
        let last = (dice.target(self.total()), dice.mode());
        let id = if dice.below(4) == 0 {
            let mut wanted: Vec<Wanted> = (0..=dice.below(3))
                .map(|_| (dice.target(self.total()), dice.mode()))
                .collect();
            wanted.push(last);
            let control = self.resource.control();
            rival.ask.send((control, self.spec, wanted)).unwrap();
            rival.done.recv().unwrap()
        } else {
            let to = self.spec.time(last.0);
            self.resource.seek(to, last.1).expect("it is open")
        };
        let mut pcm = vec![0.0; FRAMES * self.channels()];
        let mut have = 0;
        while have < pcm.len() {
            let read = self.resource.read(&mut pcm[have..]);
            match read.unwrap_or_else(|error| panic!("{what} to {last:?}: {error:?}")) {
                0 => break,
                read => have += read,
            }
        }
        let (landed, exact) = self.landed(id, what);
        self.compare(&pcm[..have], landed, exact, &format!("{what} to {last:?}"));
        let target = last.0.min(self.total());
        if exact {
            assert_eq!(landed, target, "{what} to {last:?}");
        } else {
            // Where the end is nobody knows before it was reached.
            let uncertain = self.title.guesses || last.0 >= self.total();
            let guesses = uncertain && self.far && last.1 == SeekMode::Fast;
            assert!(guesses, "{what} to {last:?}: not exact");
        }
        let read = (have / self.channels()) as u64;
        let now = self.spec.frames(self.resource.position());
        assert_eq!(now, landed + read, "{what} to {last:?}: the position");
    }

    /// Where a seek landed, once that is told.
    fn landed(&mut self, id: SeekId, what: &str) -> (u64, bool) {
        loop {
            match self.events.recv_blocking().expect("the resource lives") {
                ResourceEvent::Audio(AudioEvent::SeekDone {
                    id: done,
                    landed,
                    exact,
                    ..
                }) if done == id => {
                    while !matches!(self.events.try_recv(), Err(TryRecvError::Empty)) {}
                    return (self.spec.frames(landed), exact);
                }
                ResourceEvent::Audio(AudioEvent::SeekFailed { error, .. }) => {
                    panic!("{what}: {error:?}")
                }
                _ => {}
            }
        }
    }

    /// What was read is what the title has there; where the place is a guess, it is what it has somewhere near.
    fn compare(&self, got: &[f32], landed: u64, exact: bool, what: &str) {
        let pcm = &self.title.pcm;
        let channels = self.channels();
        let differs = |got: &[f32], at: usize| {
            let there = pcm[at..].iter();
            got.iter()
                .zip(there)
                .position(|(got, there)| (got - there).abs() > TOLERANCE)
        };
        let at = landed as usize * channels;
        if exact {
            let rest = pcm.len().saturating_sub(at).min(FRAMES * channels);
            assert_eq!(got.len(), rest, "{what}: samples from {landed} on");
            if let Some(wrong) = differs(got, at) {
                panic!(
                    "{what}: sample {wrong} from frame {landed} on is {} and not {}",
                    got[wrong],
                    pcm[at + wrong]
                );
            }
        } else if got.len() == FRAMES * channels {
            let places = (0..=pcm.len() - got.len()).step_by(channels);
            let found = places.min_by_key(|place| match differs(got, *place) {
                None => place.abs_diff(at),
                Some(_) => usize::MAX,
            });
            let place = found.filter(|place| differs(got, *place).is_none());
            let off = place.map(|place| place.abs_diff(at) / channels);
            let near = off.is_some_and(|off| off as u64 <= self.total() / 3);
            assert!(near, "{what}: {off:?} frames off from {landed}");
        }
    }
}

fn check_all(titles: &[Title], far: bool, open: impl Fn(&Title, usize) -> ResourceConfig) {
    let rival = Rival::start();
    let (count, per_open) = (seeks(), per_open());
    for title in titles {
        let mut dice = Dice(title.bytes.len() as u64);
        let mut current = None;
        for number in 0..count {
            if number % per_open == 0 {
                drop(current.take());
            }
            let one = current
                .get_or_insert_with(|| Open::new(title, open(title, number / per_open), far));
            one.check(&mut dice, &rival, &format!("{}, seek {number}", title.name));
        }
    }
}

#[test]
fn random_seeks_in_local_files_are_never_a_frame_off() {
    let titles = titles();
    let dir = tempfile::tempdir().unwrap();
    for title in &titles {
        let mut file = std::fs::File::create(dir.path().join(&title.name)).unwrap();
        file.write_all(&title.bytes).unwrap();
    }
    check_all(&titles, false, |title, _| {
        let path = dir.path().join(&title.name);
        ResourceConfig::new(path.to_str().unwrap()).unwrap()
    });
}

#[test]
fn random_seeks_over_http_are_never_a_frame_off() {
    let titles = titles();
    let server = FaultServer::start();
    for title in &titles {
        let file = Script::file(title.bytes.clone()).media_type(title.media_type);
        server.serve(&format!("/{}", title.name), file.throttle(PACE));
    }
    check_all(&titles, true, |title, _| {
        config(&server.url(&format!("/{}", title.name))).with_look_ahead_bytes(LOOK_AHEAD)
    });
}

#[test]
fn random_seeks_in_a_title_that_comes_and_stays_are_never_a_frame_off() {
    // What the cache has kept of where frames lie is used from the second time on.
    let mut titles = titles();
    titles.retain(|title| title.guesses);
    let dir = tempfile::tempdir().unwrap();
    let server = FaultServer::start();
    let path = |title: &Title, number: usize| format!("/{number}/{}", title.name);
    for title in &titles {
        for number in 0..=seeks() / per_open() / 2 {
            let file = Script::file(title.bytes.clone()).media_type(title.media_type);
            server.serve(&path(title, number), file.throttle(PACE / 8));
        }
    }
    let mut options = kithara::StoreOptions::at(dir.path());
    options.min_free = 0;
    let store = kithara::AssetStoreBuilder::new(options).build().unwrap();
    check_all(&titles, true, |title, opened| {
        // A name of its own each second time, and so something to fetch.
        config(&server.url(&path(title, opened / 2)))
            .with_store(store.clone())
            .with_look_ahead_bytes(LOOK_AHEAD)
    });
}
