//! What the tests of this crate share: opening fixtures, decoding them whole, sources that watch or misbehave.
#![allow(dead_code)]

pub mod matroska;
pub mod trap;

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use kithara_bufpool::{PcmPool, PoolLimits};
use kithara_decode::{
    DecodeError, DecoderFactory, DecoderOptions, GaplessMode, InnerDecoder, Notice, PcmChunk,
    SeekMode,
};
use kithara_stream::{ByteSource, MediaInfo};
use kithara_tests::fixtures::{self, Fixture};

pub fn options() -> DecoderOptions {
    static POOL: OnceLock<PcmPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        PcmPool::new(PoolLimits {
            bytes_per_buffer: 1 << 20,
            buffers_per_shard: 4,
            idle_bytes: 8 << 20,
        })
    });
    DecoderOptions {
        pool: pool.clone(),
        ..DecoderOptions::default()
    }
}

pub fn open_source(
    source: impl ByteSource + 'static,
    name: &str,
) -> Result<Box<dyn InnerDecoder>, DecodeError> {
    let info = MediaInfo {
        name: name.to_owned(),
        ..MediaInfo::default()
    };
    DecoderFactory::open(Box::new(source), &info, &options())
}

pub fn open(bytes: Vec<u8>, name: &str) -> Result<Box<dyn InnerDecoder>, DecodeError> {
    open_source(Cursor::new(bytes), name)
}

pub fn open_fixture(fixture: &Fixture) -> Box<dyn InnerDecoder> {
    open(fixture.bytes(), &fixture.file).unwrap_or_else(|error| panic!("{}: {error}", fixture.file))
}

/// Opens a fixture with its ends trimmed so.
pub fn open_trimmed(fixture: &Fixture, mode: GaplessMode) -> Box<dyn InnerDecoder> {
    let options = DecoderOptions {
        gapless: mode,
        ..options()
    };
    let bytes = Box::new(Cursor::new(fixture.bytes()));
    DecoderFactory::open(bytes, &MediaInfo::default(), &options)
        .unwrap_or_else(|error| panic!("{}: {error}", fixture.file))
}

/// All samples from here to the end, which every chunk must continue without a hole; how it ended.
pub fn drain(decoder: &mut dyn InnerDecoder, name: &str) -> (Vec<f32>, Result<(), DecodeError>) {
    let (mut samples, mut next) = (Vec::new(), None);
    loop {
        match decoder.next_chunk() {
            Ok(Some(chunk)) => {
                check_chunk(&chunk, next, name);
                next = Some(chunk.frame + chunk.frames() as u64);
                samples.extend_from_slice(&chunk.pcm);
            }
            Ok(None) => return (samples, Ok(())),
            Err(error) => return (samples, Err(error)),
        }
    }
}

fn check_chunk(chunk: &PcmChunk, next: Option<u64>, name: &str) {
    assert!(!chunk.pcm.is_empty(), "{name}: an empty chunk");
    assert_eq!(
        chunk.pcm.len() % usize::from(chunk.spec.channels.get()),
        0,
        "{name}"
    );
    if let Some(next) = next {
        assert_eq!(chunk.frame, next, "{name}: a hole");
    }
}

/// All samples of a fixture, decoded in one go.
pub fn whole(fixture: &Fixture) -> Vec<f32> {
    let mut decoder = open_fixture(fixture);
    let (samples, end) = drain(decoder.as_mut(), &fixture.file);
    end.unwrap_or_else(|error| panic!("{}: {error}", fixture.file));
    samples
}

/// ffmpeg's decode of a lossy fixture, through our own FLAC decoder, which the lossless fixtures prove.
pub fn reference(fixture: &Fixture) -> Vec<f32> {
    let bytes = fixture.reference_bytes().expect("a reference");
    let mut decoder = open(bytes, "reference").expect("opens");
    let (samples, end) = drain(decoder.as_mut(), "reference");
    end.expect("ends");
    samples
}

pub fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    left.iter()
        .zip(right)
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f32::max)
}

/// What a source was asked for.
#[derive(Debug, Default)]
pub struct Touched {
    pub bytes: AtomicU64,
    /// Jumps to places that were not read before, and are not near.
    pub jumps: AtomicU64,
    pub furthest: AtomicU64,
    /// Bytes read, again or not.
    pub all: AtomicU64,
}

impl Touched {
    pub fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn furthest(&self) -> u64 {
        self.furthest.load(Ordering::Relaxed)
    }
}

/// A source far away: it counts what is fetched for the first time.
pub struct Remote {
    inner: Cursor<Vec<u8>>,
    /// Blocks of 4 KiB that were read.
    seen: Vec<bool>,
    last: u64,
    pub touched: Arc<Touched>,
    pub length_known: bool,
    pub seekable: bool,
}

impl Remote {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            seen: vec![false; bytes.len() / 4096 + 1],
            inner: Cursor::new(bytes),
            last: 0,
            touched: Arc::default(),
            length_known: true,
            seekable: true,
        }
    }
}

impl Read for Remote {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let at = self.inner.position();
        let count = self.inner.read(out)?;
        if count == 0 {
            return Ok(0);
        }
        self.touched.all.fetch_add(count as u64, Ordering::Relaxed);
        let blocks = at as usize / 4096..=(at as usize + count - 1) / 4096;
        let mut fresh = blocks.clone().filter(|block| !self.seen[*block]);
        // A request fetches on from where the last one stands; 64 KiB ahead are on their way already.
        let ahead = self.last / 4096 * 4096..self.last + 65_536;
        let first = fresh.next().map(|block| at.max(block as u64 * 4096));
        if first.is_some_and(|first| !ahead.contains(&first)) {
            self.touched.jumps.fetch_add(1, Ordering::Relaxed);
        }
        let fresh = u64::from(first.is_some()) + fresh.count() as u64;
        for block in blocks {
            self.seen[block] = true;
        }
        if fresh > 0 {
            self.last = at + count as u64;
        }
        self.touched
            .bytes
            .fetch_add(fresh * 4096, Ordering::Relaxed);
        self.touched
            .furthest
            .fetch_max(at + count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Remote {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        assert!(self.seekable, "a seek of a source that said it cannot");
        self.inner.seek(to)
    }
}

impl ByteSource for Remote {
    fn byte_len(&self) -> Option<u64> {
        self.length_known.then(|| self.inner.get_ref().len() as u64)
    }

    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// Every sample is the one that belongs there, or silence that was told; whether there is such silence.
pub fn assert_right_or_silent(bytes: Vec<u8>, file: &str, case: &str) -> bool {
    let right = whole(fixtures::fixture(file));
    let mut decoder = open(bytes.clone(), file).unwrap_or_else(|error| panic!("{case}: {error}"));
    let (got, end) = drain(decoder.as_mut(), case);
    end.unwrap_or_else(|error| panic!("{case}: {error}"));
    let notices = decoder.take_notices();
    let mut hole = None;
    let channels = usize::from(fixtures::fixture(file).channels);
    let mut silent = vec![false; right.len()];
    for notice in &notices {
        if let Notice::PacketSkipped { frame, frames } = notice {
            let samples = *frame as usize * channels..(frame + frames) as usize * channels;
            silent[samples].fill(true);
            hole = hole.or(Some(*frame + *frames / 2));
        }
    }
    assert_eq!(got.len(), right.len(), "{case}: the timeline");
    for (at, (got, right)) in got.iter().zip(&right).enumerate() {
        let expected = if silent[at] { 0.0 } else { *right };
        assert!(
            (got - expected).abs() <= 1e-4,
            "{case}: sample {at}: {got} for {expected}"
        );
    }
    let told = silent.iter().filter(|silent| **silent).count();
    assert!(
        told < right.len() * 3 / 4,
        "{case}: {told} of {}",
        right.len()
    );
    // A seek into the hole lands there.
    let Some(hole) = hole else {
        return false;
    };
    let mut decoder = open(bytes, file).expect("opens");
    let to = decoder.spec().time(hole);
    let landing = decoder.seek(to, SeekMode::Exact).expect("seeks");
    assert_eq!((landing.frame, landing.exact), (hole, true), "{case}");
    let (tail, _) = drain(decoder.as_mut(), case);
    assert_eq!(
        tail[..],
        got[hole as usize * channels..],
        "{case}: from the hole"
    );
    true
}

/// A small generator of numbers that are the same on every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below.max(1)
    }
}

/// Runs a check over many cases and tells of all that failed, not only the first.
pub fn each<T>(cases: impl Iterator<Item = T>, name: impl Fn(&T) -> String, check: impl Fn(&T)) {
    let mut failed = Vec::new();
    for case in cases {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&case))).is_err() {
            failed.push(name(&case));
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
