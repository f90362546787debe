//! Threads that never come back are counted, and too many of them close the door. Alone in its process, because the
//! count is the process's.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use kithara_decode::{DecodeError, DecoderFactory, DecoderOptions, Guard, WorkerFault};
use kithara_stream::MediaInfo;
use kithara_tests::fixtures::fixture;
use support::trap::trap;
use support::{drain, options, whole};

/// Far more than four threads on one core need.
const HANG: Duration = Duration::from_secs(120);

fn open_another() -> Result<(), DecodeError> {
    let bytes = Box::new(std::io::Cursor::new(fixture("flac-16.flac").bytes()));
    DecoderFactory::open(bytes, &MediaInfo::default(), &options()).map(|_| ())
}

#[test]
fn four_stuck_threads_close_the_door_until_one_comes_back() {
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    let stuck: Vec<_> = (0..4)
        .map(|_| {
            let (stop, tell) = (Arc::clone(&stop), tell.clone());
            let source = trap("mp3-cbr.mp3", move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                Ok(())
            });
            let options = DecoderOptions {
                guard: Guard::new(move || tell.send(()).unwrap_or(())),
                ..options()
            };
            std::thread::spawn(move || {
                let source = Box::new(source);
                let mut decoder = DecoderFactory::open(source, &MediaInfo::default(), &options)
                    .expect("fewer than four are stuck");
                drain(decoder.as_mut(), "stuck").1
            })
        })
        .collect();
    for _ in &stuck {
        told.recv_timeout(HANG).expect("the watchdog notices");
    }
    let refused = open_another().expect_err("four are stuck");
    assert!(
        matches!(
            refused,
            DecodeError::Worker {
                fault: WorkerFault::Quarantined,
                ..
            }
        ),
        "{refused}"
    );
    stop.store(true, Ordering::Relaxed);
    for thread in stuck {
        assert!(thread.join().expect("the thread comes back").is_err());
    }
    open_another().expect("none is stuck any more");
    whole(fixture("flac-16.flac"));
}
