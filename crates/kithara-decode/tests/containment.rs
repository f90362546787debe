//! A decoder that panics, spins or is interrupted ends or resumes its own stream; nobody else notices.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use kithara_decode::{DecodeError, DecoderFactory, Guard, SeekMode, WorkerFault};
use kithara_stream::{MediaInfo, StreamError};
use kithara_tests::fixtures::{self, fixture};
use support::matroska::{Block, film, pcm_tracks};
use support::trap::{slow, trap};
use support::{drain, each, largest_difference, open_source, options, whole};

#[test]
fn a_panic_ends_that_stream_for_good_and_no_other() {
    for file in [
        "mp3-cbr.mp3",
        "flac-16.flac",
        "m4a-alac-first.m4a",
        "mkv-flac.mkv",
    ] {
        let mut healthy = support::open_fixture(fixture(file));
        let mut decoder = open_source(trap(file, || panic!("a defect")), file).expect("opens");
        let (_, end) = drain(decoder.as_mut(), file);
        let is_panic = |error: &DecodeError| matches!(error, DecodeError::Worker { fault: WorkerFault::Panicked(what), .. } if what == "a defect");
        assert!(end.as_ref().is_err_and(is_panic), "{file}: {end:?}");
        assert!(
            decoder.next_chunk().is_err_and(|error| is_panic(&error)),
            "{file}"
        );
        assert!(
            decoder
                .seek(Duration::ZERO, SeekMode::Fast)
                .is_err_and(|error| is_panic(&error)),
            "{file}"
        );
        assert!(drain(healthy.as_mut(), file).1.is_ok(), "{file}");
    }
}

#[test]
fn a_failed_read_is_told_and_the_next_call_goes_on_at_the_same_frame() {
    let playable = fixtures::playable();
    each(
        playable,
        |fixture| fixture.file.clone(),
        |fixture| {
            let samples = whole(fixture);
            let failures = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&failures);
            let source = trap(&fixture.file, move || {
                match count.fetch_add(1, Ordering::Relaxed) {
                    0 | 1 | 4 | 9 => Err(StreamError::Interrupted.into()),
                    _ => Ok(()),
                }
            });
            let mut opened = None;
            let mut source = Some(source);
            // Opening may meet the trap too; it is not repeated here.
            if let Ok(decoder) = open_source(source.take().expect("once"), &fixture.file) {
                opened = Some(decoder);
            }
            let Some(mut decoder) = opened else { return };
            let mut got = Vec::new();
            loop {
                match decoder.next_chunk() {
                    Ok(Some(chunk)) => {
                        let at = chunk.frame as usize * usize::from(fixture.channels);
                        assert_eq!(at, got.len(), "{}: a hole", fixture.file);
                        got.extend_from_slice(&chunk.pcm);
                    }
                    Ok(None) => break,
                    Err(error) => assert!(error.is_interrupted(), "{}: {error:?}", fixture.file),
                }
            }
            assert!(
                failures.load(Ordering::Relaxed) > 0,
                "{}: never interrupted",
                fixture.file
            );
            assert_eq!(got.len(), samples.len(), "{}", fixture.file);
            assert!(
                largest_difference(&got, &samples) <= 1e-4,
                "{}",
                fixture.file
            );
        },
    );
}

#[test]
fn a_thread_that_spins_in_a_codec_is_given_up() {
    let stop = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&stop);
    let source = trap("mp3-cbr.mp3", move || {
        while !released.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        Ok(())
    });
    let (tell, told) = mpsc::channel();
    let mut options = options();
    options.guard = Guard::new(move || tell.send(()).unwrap_or(()));
    let guard = options.guard.clone();
    let spinning = std::thread::spawn(move || {
        let mut decoder =
            DecoderFactory::open(Box::new(source), &MediaInfo::default(), &options).expect("opens");
        let end = drain(decoder.as_mut(), "spin").1;
        (end, decoder.next_chunk().err())
    });
    told.recv_timeout(Duration::from_secs(60))
        .expect("the watchdog notices");
    assert!(guard.is_spun());
    // Others go on meanwhile.
    whole(fixture("flac-16.flac"));
    stop.store(true, Ordering::Relaxed);
    let (end, after) = spinning.join().expect("the thread comes back");
    let spun = |error: &DecodeError| {
        matches!(
            error,
            DecodeError::Worker {
                fault: WorkerFault::Spun,
                ..
            }
        )
    };
    assert!(end.as_ref().is_err_and(spun), "{end:?}");
    assert!(after.as_ref().is_some_and(spun), "{after:?}");
}

#[test]
fn waiting_for_bytes_is_not_spinning() {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let source = trap("mp3-cbr.mp3", move || {
        drop(
            released
                .lock()
                .map(|released| released.recv_timeout(Duration::from_secs(5))),
        );
        Ok(())
    });
    let (tell, told) = mpsc::channel();
    let mut options = options();
    options.guard = Guard::new(move || tell.send(()).unwrap_or(()));
    let waiting = std::thread::spawn(move || {
        let mut decoder =
            DecoderFactory::open(Box::new(source), &MediaInfo::default(), &options).expect("opens");
        drain(decoder.as_mut(), "wait").1
    });
    // Longer than the watchdog would leave a thread in a codec.
    assert!(
        told.recv_timeout(Duration::from_millis(4500)).is_err(),
        "taken for spinning"
    );
    drop(release);
    assert!(waiting.join().expect("the thread ends").is_ok());
}

#[test]
fn a_seek_that_works_through_a_long_file_is_not_stuck() {
    // No cue leads into it, and the times of PCM do not tell the frame: it is decoded from the beginning.
    let block = |second: u64| Block {
        track: 1,
        millis: second * 1000,
        frame: vec![0; 16_000],
    };
    let clusters: Vec<_> = (0..60).map(|second| vec![block(second)]).collect();
    let (decoded, _) = film(&pcm_tracks(8_000), &clusters, &[]);
    // Headers are walked.
    let walked = fixtures::long_mp3(2).bytes;
    // Fragments are passed, of which an edit made many.
    let fragments = fixture("fmp4-aac.mp4").bytes();
    let first = fragments.windows(4).position(|word| word == b"moof");
    let (front, media) = fragments.split_at(first.expect("a fragment") - 4);
    let tail = media.windows(4).position(|word| word == b"mfra");
    let media = &media[..tail.map_or(media.len(), |at| at - 4)];
    let passed = [front, &media.repeat(40)].concat();
    let threads = [
        ("mkv", decoded, 55),
        ("mp3", walked, 110),
        ("mp4", passed, 600),
    ]
    .map(|(name, bytes, second)| {
        std::thread::spawn(move || {
            let source = Box::new(slow(bytes, Duration::from_secs(8)));
            let mut decoder =
                DecoderFactory::open(source, &MediaInfo::default(), &options()).expect(name);
            (
                name,
                decoder.seek(Duration::from_secs(second), SeekMode::Exact),
            )
        })
    });
    for thread in threads {
        let (name, landing) = thread.join().expect("no panic");
        landing.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
