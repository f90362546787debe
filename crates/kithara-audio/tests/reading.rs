//! What is read is exact, however it is read, up to the end or the error.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::future::Future;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use fixture::{
    CHANNELS, FRAME, Gate, HEADER, RATE, Seeded, Title, assert_ramp, await_event, exact, gated,
    listened, open, open_gated, ramp, run, time_of,
};
use kithara_audio::{Audio, AudioConfig, AudioError, AudioEvent, PcmReader, ReadState};
use kithara_decode::{DecodeError, MediaDuration, SeekMode};
use kithara_stream::{ByteSource, Interrupt, StreamError};

const FRAMES: u32 = 150_000;

fn whole(frames: u32) -> Audio {
    open(ramp(frames), AudioConfig::new()).wait().unwrap()
}

/// Reads to the end in pieces of the sizes that `size` gives, in samples.
fn read_all(
    audio: &mut Audio,
    mut size: impl FnMut() -> usize,
) -> Result<Vec<f32>, (Vec<f32>, AudioError)> {
    let mut all = Vec::new();
    let mut buf = Vec::new();
    loop {
        buf.resize(size(), f32::NAN);
        match audio.read(&mut buf) {
            Ok(0) => return Ok(all),
            Ok(count) => all.extend_from_slice(&buf[..count]),
            Err(error) => return Err((all, error)),
        }
    }
}

#[test]
fn any_slicing_of_reads_yields_the_same_samples() {
    for seed in 0..12 {
        let mut numbers = Seeded::new(seed);
        let limit = [8, 300, 5000, 400_000][seed as usize % 4];
        let mut audio = whole(FRAMES);
        let all = read_all(&mut audio, || CHANNELS + numbers.below(limit) as usize).unwrap();
        assert_eq!(all.len(), FRAMES as usize * CHANNELS);
        assert_ramp(&all, 0);
        assert_eq!(
            audio.position(),
            Duration::from_secs_f64(f64::from(FRAMES) / f64::from(RATE))
        );
    }
}

#[test]
fn every_way_of_reading_yields_the_same_samples() {
    let mut audio = open(ramp(FRAMES), exact()).wait().unwrap();
    let mut numbers = Seeded::new(7);
    let mut next = 0;
    let mut buf = vec![0.0; 6000];
    while next < u64::from(FRAMES) {
        let size = CHANNELS + numbers.below(5000) as usize;
        let frames = match numbers.below(4) {
            0 => {
                let count = audio.read(&mut buf[..size]).unwrap();
                assert_ramp(&buf[..count], next);
                count / CHANNELS
            }
            1 => {
                let count = pollster::block_on(audio.read_async(&mut buf[..size])).unwrap();
                assert_ramp(&buf[..count], next);
                count / CHANNELS
            }
            2 => {
                let (left, right) = buf.split_at_mut(3000);
                let size = size / CHANNELS;
                let frames = audio
                    .read_planar(&mut [&mut left[..size], &mut right[..size + 7]])
                    .unwrap();
                for (frame, (left, right)) in (next..).zip(left.iter().zip(&*right).take(frames)) {
                    assert_eq!(
                        [*left, *right],
                        [fixture::left(frame), -fixture::left(frame)]
                    );
                }
                frames
            }
            _ => {
                buf.fill(f32::NAN);
                let outcome = audio.try_read(&mut buf[..size]);
                let (audible, silent) = buf[..size].split_at(outcome.frames * CHANNELS);
                assert_ramp(audible, next);
                assert!(silent.iter().all(|sample| *sample == 0.0));
                let filled = outcome.frames == size / CHANNELS;
                assert_eq!(outcome.state == ReadState::Playing, filled, "{outcome:?}");
                outcome.frames
            }
        };
        next += frames as u64;
    }
    assert_eq!(audio.read(&mut buf).unwrap(), 0);
    assert_eq!(audio.control().stats().frames_read, u64::from(FRAMES));
}

#[test]
fn blocks_are_whole_and_know_their_frame() {
    let mut audio = whole(FRAMES);
    let mut next = 0;
    for block in audio.blocks() {
        let block = block.unwrap();
        assert_eq!(block.frame, next);
        assert_ramp(&block.pcm, next);
        next += block.frames() as u64;
    }
    assert_eq!(next, u64::from(FRAMES));
}

#[test]
fn what_is_known_at_open_is_told() {
    let (config, mut events) = listened();
    let audio = open(ramp(FRAMES), config).wait().unwrap();
    assert_eq!(audio.spec().sample_rate.get(), RATE);
    assert_eq!(usize::from(audio.spec().channels.get()), CHANNELS);
    let exact = MediaDuration::Exact(Duration::from_secs_f64(f64::from(FRAMES) / f64::from(RATE)));
    assert_eq!(audio.duration(), Some(exact));
    assert_eq!(audio.media_info().name, "ramp");
    assert_eq!(audio.position(), Duration::ZERO);
    let spec = await_event(&mut events, |event| match event {
        AudioEvent::FormatDetected { spec, .. } => Some(*spec),
        _ => None,
    });
    assert_eq!(spec, audio.spec());
}

#[test]
fn a_buffer_that_cannot_hold_a_frame_is_refused() {
    let mut audio = whole(100);
    for size in 0..CHANNELS {
        let error = audio.read(&mut vec![0.0; size]).unwrap_err();
        assert!(
            matches!(error, AudioError::BufferTooSmall { samples, channels: CHANNELS } if samples == size)
        );
        let outcome = audio.try_read(&mut vec![f32::NAN; size]);
        assert_eq!(outcome.frames, 0);
    }
    let error = audio
        .read_planar(&mut [&mut [0.0; 4], &mut []])
        .unwrap_err();
    assert!(matches!(
        error,
        AudioError::BufferTooSmall { samples: 0, .. }
    ));
    let error = audio.read_planar(&mut [&mut [0.0; 4]]).unwrap_err();
    assert!(matches!(
        error,
        AudioError::WrongPlanes {
            planes: 1,
            channels: CHANNELS
        }
    ));
    // Nothing was lost by asking wrongly; an odd sample is left alone.
    let mut buf = [f32::NAN; 5];
    assert_eq!(audio.read(&mut buf).unwrap(), 4);
    assert_ramp(&buf[..4], 0);
    assert!(buf[4].is_nan());
}

#[test]
fn the_end_stays_the_end_and_is_reported_once_read() {
    let (config, mut events) = listened();
    let mut audio = open(ramp(1000), config).wait().unwrap();
    let all = read_all(&mut audio, || 512).unwrap();
    assert_eq!(all.len(), 2000);
    await_event(&mut events, |event| {
        matches!(event, AudioEvent::EndOfStream).then_some(())
    });
    for _ in 0..1000 {
        assert_eq!(audio.read(&mut [0.0; 64]).unwrap(), 0);
        let outcome = audio.try_read(&mut [0.0; 64]);
        assert_eq!((outcome.frames, outcome.state), (0, ReadState::Ended));
    }
    assert_eq!(
        audio.position(),
        Duration::from_secs_f64(1000.0 / f64::from(RATE))
    );
    assert!(events.try_recv().is_err());
}

#[test]
fn preloaded_blocks_are_ready_when_the_open_resolves() {
    let mut audio = open(ramp(FRAMES), AudioConfig::new().with_preload(40))
        .wait()
        .unwrap();
    let mut buf = vec![0.0; 20_000 * CHANNELS];
    let outcome = audio.try_read(&mut buf);
    assert_eq!(
        (outcome.frames, outcome.state),
        (20_000, ReadState::Playing)
    );
    assert_ramp(&buf, 0);
    // More than there is room for, or than there is, resolves as well.
    for frames in [100, 400_000] {
        let config = AudioConfig::new().with_preload(usize::MAX);
        let mut audio = open(ramp(frames), config).wait().unwrap();
        assert!(audio.try_read(&mut [0.0; 64]).frames > 0);
    }
}

#[test]
fn a_truncated_title_yields_its_exact_prefix_and_then_its_error_for_good() {
    let kept = 70_000u64;
    let mut wav = ramp(FRAMES);
    wav.truncate((HEADER + kept * FRAME) as usize);
    let mut audio = open(wav, AudioConfig::new()).wait().unwrap();
    let (all, error) = read_all(&mut audio, || 1500).unwrap_err();
    assert_ramp(&all, 0);
    assert_eq!(all.len() as u64, kept * CHANNELS as u64);
    assert!(
        matches!(error, AudioError::Decode(DecodeError::Truncated { .. })),
        "{error:?}"
    );
    for _ in 0..100 {
        assert!(audio.read(&mut [0.0; 64]).is_err());
        assert_eq!(audio.try_read(&mut [0.0; 64]).state, ReadState::Failed);
    }
    assert_eq!(audio.blocks().count(), 1);
    audio
        .control()
        .seek(time_of(69_000), SeekMode::Exact)
        .unwrap();
    let (all, _) = read_all(&mut audio, || 1500).unwrap_err();
    assert_ramp(&all, 69_000);
    assert_eq!(all.len(), 1000 * CHANNELS);
}

#[test]
fn a_failed_read_of_bytes_keeps_its_kind_and_comes_after_the_exact_prefix() {
    let (config, mut events) = listened();
    let mut bytes = gated(ramp(FRAMES), &Gate::open_to(u64::MAX));
    bytes.fail_at = Some(HEADER + 50_000 * FRAME);
    let mut audio = open_gated(bytes, config).wait().unwrap();
    let (all, error) = read_all(&mut audio, || 4096).unwrap_err();
    assert_ramp(&all, 0);
    assert!(all.len() <= 50_000 * CHANNELS);
    let is_range = |error: &AudioError| {
        matches!(
            error,
            AudioError::Stream(StreamError::RangeUnsupported { .. })
        )
    };
    assert!(is_range(&error), "{error:?}");
    await_event(&mut events, |event| match event {
        AudioEvent::Error(error) => is_range(error).then_some(()),
        _ => None,
    });
}

#[test]
fn a_title_that_is_nothing_does_not_open() {
    for (bytes, what) in [(Vec::new(), "empty"), (vec![b'x'; 5000], "text")] {
        let error = open(bytes, AudioConfig::new()).wait().unwrap_err();
        assert!(matches!(error, AudioError::Decode(_)), "{what}: {error:?}");
    }
    let error = Audio::open(|| Err(StreamError::Cancelled), AudioConfig::new())
        .wait()
        .unwrap_err();
    assert!(matches!(error, AudioError::Stream(StreamError::Cancelled)));
}

#[test]
fn runs_follow_each_other_on_the_sample_and_keep_the_time() {
    let (first, second) = (30_000, 20_000);
    let later = Duration::from_secs(10);
    let runs = vec![
        run(Duration::ZERO, Box::new(Cursor::new(ramp(first)))),
        run(later, Box::new(Cursor::new(ramp(second)))),
    ];
    let (interrupt, seeks) = (Interrupt::new(), Arc::default());
    let title = Title {
        runs,
        interrupt,
        seeks,
    };
    let mut audio = Audio::open(move || Ok(Box::new(title)), AudioConfig::new())
        .wait()
        .unwrap();
    let blocks: Vec<_> = audio.blocks().map(Result::unwrap).collect();
    let (before, after): (Vec<_>, Vec<_>) = blocks
        .iter()
        .partition(|block| block.frame < u64::from(first));
    let join = |blocks: &[&kithara_decode::PcmChunk]| {
        blocks
            .iter()
            .flat_map(|block| block.pcm.to_vec())
            .collect::<Vec<_>>()
    };
    assert_ramp(&join(&before), 0);
    assert_eq!(join(&before).len(), first as usize * CHANNELS);
    assert_eq!(after[0].frame, 10 * u64::from(RATE));
    assert_ramp(&join(&after), 0);
    assert_eq!(join(&after).len(), second as usize * CHANNELS);
    assert_eq!(
        audio.position(),
        later + Duration::from_nanos(u64::from(second) * 1_000_000_000 / u64::from(RATE))
    );
}

#[test]
fn a_waiting_reader_gets_what_arrives_when_it_arrives() {
    let gate = Gate::open_to(HEADER + 30_000 * FRAME);
    let mut audio = open_gated(gated(ramp(FRAMES), &gate), AudioConfig::new())
        .wait()
        .unwrap();
    let mut next = 0;
    let mut buf = vec![0.0; 200_000];
    for arrived in [30_000u64, 60_000, 110_000, 150_000] {
        gate.open(HEADER + arrived * FRAME);
        // What the decoder may have read ahead cannot be demanded.
        while next < arrived - 20_000 {
            // A buffer far larger than what is there must not wait to be filled.
            let count = audio.read(&mut buf).unwrap();
            assert_ramp(&buf[..count], next);
            next += (count / CHANNELS) as u64;
        }
    }
}

/// Bytes of which every read yields a few, as a slow disk or a walk through tags would.
struct Crumbs(Cursor<Vec<u8>>);

impl Read for Crumbs {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Slower than they are read, so that the reader waits for most of them.
        thread::yield_now();
        let count = buf.len().min(16);
        self.0.read(&mut buf[..count])
    }
}

impl Seek for Crumbs {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl ByteSource for Crumbs {
    fn byte_len(&self) -> Option<u64> {
        Some(self.0.get_ref().len() as u64)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        false
    }
}

#[test]
fn a_waiting_reader_is_not_woken_when_there_is_nothing_for_it() {
    struct Counted(AtomicU64, Thread);
    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.unpark();
        }
    }
    let bytes = Box::new(Crumbs(Cursor::new(ramp(FRAMES))));
    let title = Title {
        runs: vec![run(Duration::ZERO, bytes)],
        interrupt: Interrupt::new(),
        seeks: Arc::default(),
    };
    let mut audio = Audio::open(move || Ok(Box::new(title)), AudioConfig::new())
        .wait()
        .unwrap();
    let counted = Arc::new(Counted(AtomicU64::new(0), thread::current()));
    let waker = Waker::from(Arc::clone(&counted));
    let mut context = Context::from_waker(&waker);
    let mut buf = vec![0.0; FRAMES as usize * CHANNELS];
    let (mut next, mut ready) = (0, 0);
    loop {
        let polled = pin!(audio.read_async(&mut buf)).poll(&mut context);
        match polled {
            Poll::Pending => thread::park(),
            Poll::Ready(read) => {
                let read = read.unwrap();
                if read == 0 {
                    break;
                }
                assert_ramp(&buf[..read], next);
                next += (read / CHANNELS) as u64;
                ready += 1;
            }
        }
    }
    assert_eq!(next, u64::from(FRAMES));
    let wakes = counted.0.load(Ordering::SeqCst);
    println!("{wakes} wakes for {ready} reads");
    // What was pushed may be read before its wake comes.
    assert!(wakes <= 2 * ready + 2, "{wakes} wakes for {ready} reads");
}
