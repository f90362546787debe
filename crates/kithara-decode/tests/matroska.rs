//! Seeks in Matroska files that are far away: whose cues count, and what the times of blocks are worth.

mod support;

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kithara_decode::{DecodeError, InnerDecoder, SeekMode};
use kithara_stream::{ByteSource, StreamError};
use kithara_tests::fixtures::fixture;
use support::matroska::{
    Block, Cue, element, film, number, parts, pcm_tracks, video_and_pcm_tracks,
};
use support::{Remote, drain, largest_difference, open_source, whole};

const SECONDS: u64 = 60;
const RATE: usize = 8_000;

/// Interrupts one read behind `from`.
struct Once {
    inner: Remote,
    from: u64,
    pending: Arc<AtomicBool>,
}

impl Read for Once {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let behind = self.inner.stream_position()? >= self.from;
        if behind && self.pending.swap(false, Ordering::Relaxed) {
            return Err(StreamError::Interrupted.into());
        }
        self.inner.read(out)
    }
}

impl Seek for Once {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl ByteSource for Once {
    fn byte_len(&self) -> Option<u64> {
        self.inner.byte_len()
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        true
    }
}

#[test]
fn cues_whose_reading_was_interrupted_are_read_by_the_next_seek() {
    let (file, cues) = a_minute_of_pcm();
    let inner = Remote::new(file);
    let touched = Arc::clone(&inner.touched);
    let pending = Arc::new(AtomicBool::new(true));
    let source = Once {
        inner,
        from: cues,
        pending: Arc::clone(&pending),
    };
    let mut decoder = open_source(source, "pcm.mka").expect("opens");
    let to = Duration::from_secs(50);
    let error = decoder.seek(to, SeekMode::Fast).expect_err("interrupted");
    assert!(error.is_interrupted(), "{error:?}");
    assert!(!pending.load(Ordering::Relaxed), "in the cues");
    let landing = decoder.seek(to, SeekMode::Fast).expect("seeks");
    assert_eq!(landing.frame, 50 * RATE as u64);
    let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
    assert_eq!(chunk.pcm[0], 50.0 / 32_768.0);
    // Without cues it would have been all of fifty seconds, 800 kB.
    assert!(touched.bytes() < 200_000, "{} bytes", touched.bytes());
}

#[test]
fn the_cues_of_a_video_lead_to_its_sound() {
    // By how much the sound of a cluster lies behind its picture, to which the cue points.
    for late in [0, 500] {
        let cluster = |second: u64| {
            let mut blocks = second_of_pcm(second);
            blocks[0].millis += late;
            let picture = Block {
                track: 2,
                millis: second * 1000,
                frame: vec![0x55; 60_000],
            };
            [vec![picture], blocks].concat()
        };
        let clusters: Vec<_> = (0..SECONDS).map(cluster).collect();
        let cues: Vec<Cue> = (0..SECONDS)
            .map(|second| (second * 1000, 2, second as usize))
            .collect();
        let (file, _) = film(&video_and_pcm_tracks(RATE), &clusters, &cues);
        let source = Remote::new(file);
        let touched = Arc::clone(&source.touched);
        let mut decoder = open_source(source, "film.mkv").expect("opens");
        let to = Duration::from_millis(50_200);
        let landing = decoder.seek(to, SeekMode::Fast).expect("seeks");
        assert_eq!(landing.frame, 50_200 * RATE as u64 / 1000, "{late} ms late");
        let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
        let second = if late == 0 { 50.0 } else { 49.0 };
        assert_eq!(chunk.pcm[0], second / 32_768.0, "{late} ms late");
        // The cues, the cluster, and the one before where that begins too late; of 4.5 MB.
        let most = if late == 0 { 2 } else { 3 };
        assert!(
            touched.jumps() <= most,
            "{late} ms late: {} jumps",
            touched.jumps()
        );
        assert!(touched.bytes() < 400_000, "{} bytes", touched.bytes());
    }
}

#[test]
fn clusters_that_were_met_are_found_again_without_cues() {
    let clusters: Vec<_> = (0..SECONDS).map(second_of_pcm).collect();
    let (file, _) = film(&pcm_tracks(RATE), &clusters, &[]);
    let source = Remote::new(file);
    let touched = Arc::clone(&source.touched);
    let mut decoder = open_source(source, "pcm.mka").expect("opens");
    let seek = |decoder: &mut dyn InnerDecoder, second: u64| {
        let before = touched.all.load(Ordering::Relaxed);
        let to = Duration::from_secs(second);
        let landing = decoder.seek(to, SeekMode::Fast).expect("seeks");
        assert_eq!(landing.frame, second * RATE as u64);
        let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
        assert_eq!(chunk.pcm[0], second as f32 / 32_768.0);
        touched.all.load(Ordering::Relaxed) - before
    };
    assert!(seek(decoder.as_mut(), 40) > 600_000, "from the front");
    let again = seek(decoder.as_mut(), 35);
    assert!(again < 100_000, "{again} bytes for what was passed");
    let on = seek(decoder.as_mut(), 42);
    assert!(on < 200_000, "{on} bytes from the last cluster met");
}

#[test]
fn a_seek_behind_the_end_of_the_sound_reads_the_rest_of_a_film_once_or_twice() {
    let picture = |second: u64| Block {
        track: 2,
        millis: second * 1000,
        frame: vec![0x55; 300],
    };
    let cluster = |second: u64| match second {
        0..20 => [vec![picture(second)], second_of_pcm(second)].concat(),
        _ => vec![picture(second)],
    };
    let clusters: Vec<_> = (0..2_000).map(cluster).collect();
    let cues: Vec<Cue> = (0..2_000)
        .map(|second| (second * 1000, 2, second as usize))
        .collect();
    let (file, _) = film(&video_and_pcm_tracks(RATE), &clusters, &cues);
    let length = file.len() as u64;
    let source = Remote::new(file);
    let touched = Arc::clone(&source.touched);
    let mut decoder = open_source(source, "film.mkv").expect("opens");
    for again in 1..=2 {
        let to = Duration::from_secs(1_950);
        let landing = decoder.seek(to, SeekMode::Fast).expect("seeks");
        assert_eq!(landing.frame, 20 * RATE as u64, "the end");
        let all = touched.all.load(Ordering::Relaxed);
        assert!(all < 3 * again * length, "{all} bytes read of {length}");
        assert!(touched.jumps() < 40, "{} jumps", touched.jumps());
    }
    // And what is there is found.
    let to = Duration::from_secs(19);
    let landing = decoder.seek(to, SeekMode::Fast).expect("seeks");
    assert_eq!(landing.frame, 19 * RATE as u64);
    let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
    assert_eq!(chunk.pcm[0], 19.0 / 32_768.0);
}

/// The blocks of a fixture with Vorbis, their times made anew of the frames they begin at.
fn vorbis(millis: impl Fn(f64) -> u64) -> Vec<u8> {
    let (tracks, blocks) = parts(&fixture("mkv-vorbis.mkv").bytes());
    // Blocks begin at multiples of 64 frames behind the first, and the fixture's times are rounded to the nearest.
    let exact = |time: u64, shift: f64| {
        let frames = time as f64 * 44.1 - shift;
        (frames / 64.0).round() * 64.0 + shift
    };
    let shift = (0..64).map(f64::from).min_by_key(|shift| {
        let errors = blocks[3..]
            .iter()
            .map(|block| (exact(block.millis, *shift) - block.millis as f64 * 44.1).abs());
        errors.fold(0.0, f64::max) as u64
    });
    let shift = shift.expect("some");
    let timed: Vec<_> = blocks
        .into_iter()
        .map(|block| Block {
            millis: millis(exact(block.millis, shift).max(0.0) / 44.1),
            ..block
        })
        .collect();
    let clusters: Vec<_> = timed.chunks(6).map(<[Block]>::to_vec).collect();
    let cues: Vec<Cue> = clusters
        .iter()
        .enumerate()
        .map(|(at, blocks)| (blocks[0].millis, 1, at))
        .collect();
    film(&tracks, &clusters, &cues).0
}

#[test]
fn a_time_in_milliseconds_tells_the_frame_of_long_blocks_of_vorbis() {
    let right = whole(fixture("mkv-vorbis.mkv"));
    for (name, file) in [
        ("rounded", vorbis(|millis| millis.round() as u64)),
        ("cut", vorbis(|millis| millis as u64)),
    ] {
        let mut decoder = open_source(Remote::new(file), name).expect("opens");
        for target in (5_000..66_000).step_by(2_777) {
            for mode in [SeekMode::Fast, SeekMode::Exact] {
                let to = decoder.spec().time(target);
                let landing = decoder.seek(to, mode).expect("seeks");
                assert_eq!(landing.frame, target, "{name}");
                assert!(landing.exact, "{name} at {target}, {mode:?}");
                let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
                let apart = largest_difference(&chunk.pcm, &right[target as usize * 2..]);
                assert!(apart <= 1e-4, "{name} at {target}: {apart}");
            }
        }
    }
}

#[test]
fn absurd_times_are_no_reason_to_panic() {
    let scale = |value: u64| {
        let scale = element(&[0x2a, 0xd7, 0xb1], &number(value));
        element(&[0x15, 0x49, 0xa9, 0x66], &scale)
    };
    let (vorbis, packets) = parts(&fixture("mkv-vorbis.mkv").bytes());
    for ticks in [1, 1_000_000, u64::MAX / 2, u64::MAX] {
        for start in [0, 1 << 40, i64::MAX as u64, u64::MAX - 1] {
            let later = |blocks: Vec<Block>| {
                let later = blocks.into_iter().map(|block| Block {
                    millis: start.saturating_add(block.millis),
                    ..block
                });
                later.collect::<Vec<_>>()
            };
            let pcm = (0..4).map(|second| later(second_of_pcm(second))).collect();
            let sound = packets
                .chunks(6)
                .map(|blocks| later(blocks.to_vec()))
                .collect();
            let clusters: [(Vec<u8>, Vec<Vec<Block>>); 2] =
                [(pcm_tracks(RATE), pcm), (vorbis.clone(), sound)];
            for (tracks, clusters) in clusters {
                // Cues that lead to later times than they say.
                let cues = [(1, 1, 1), (2, 1, 2)];
                let (file, _) = film(&[scale(ticks), tracks].concat(), &clusters, &cues);
                let opened = open_source(Remote::new(file), "absurd");
                let Ok(mut decoder) = opened.inspect_err(not_a_panic) else {
                    continue;
                };
                for millis in [1, 1_200, 1 << 40, u64::MAX] {
                    let to = Duration::from_millis(millis);
                    let _ = decoder.seek(to, SeekMode::Fast).inspect_err(not_a_panic);
                    let _ = drain(decoder.as_mut(), "absurd").1.inspect_err(not_a_panic);
                }
            }
        }
    }
}

fn not_a_panic(error: &DecodeError) {
    assert!(!matches!(error, DecodeError::Worker { .. }), "{error}");
}

/// Mono, 16 bits, a cluster a second whose samples are its number; and where its cues begin.
fn a_minute_of_pcm() -> (Vec<u8>, u64) {
    let clusters: Vec<_> = (0..SECONDS).map(second_of_pcm).collect();
    let cues: Vec<Cue> = (0..SECONDS)
        .map(|second| (second * 1000, 1, second as usize))
        .collect();
    film(&pcm_tracks(RATE), &clusters, &cues)
}

fn second_of_pcm(second: u64) -> Vec<Block> {
    vec![Block {
        track: 1,
        millis: second * 1000,
        frame: (second as u16).to_le_bytes().repeat(RATE),
    }]
}
