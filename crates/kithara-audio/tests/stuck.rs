//! A decode thread that never comes back is noticed, and its reader does not wait for it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fixture::{CHANNELS, FRAME, HEADER, Title, assert_ramp, hang_guard, ramp, run, threads_named};
use kithara_audio::{Audio, AudioConfig, AudioError, PcmReader, ReadState};
use kithara_decode::SeekMode;
use kithara_stream::{ByteSource, Interrupt};

/// Bytes that compute for ever at some offset, until they are released.
struct Spinning {
    bytes: Cursor<Vec<u8>>,
    at: u64,
    released: Arc<AtomicBool>,
}

impl Read for Spinning {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.bytes.position() >= self.at && !self.released.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        // What is read before that offset ends there.
        let before = self.at.saturating_sub(self.bytes.position());
        let count = if before == 0 {
            buf.len()
        } else {
            buf.len().min(usize::try_from(before).unwrap_or(usize::MAX))
        };
        self.bytes.read(&mut buf[..count])
    }
}

impl Seek for Spinning {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl ByteSource for Spinning {
    fn byte_len(&self) -> Option<u64> {
        Some(self.bytes.get_ref().len() as u64)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        false
    }
}

fn open(at: u64, released: &Arc<AtomicBool>) -> kithara_audio::Opening {
    let bytes = Spinning {
        bytes: Cursor::new(ramp(200_000)),
        at,
        released: Arc::clone(released),
    };
    let runs = vec![run(Duration::ZERO, Box::new(bytes))];
    let (interrupt, seeks) = (Interrupt::new(), Arc::default());
    let title = Title {
        runs,
        interrupt,
        seeks,
    };
    Audio::open(move || Ok(Box::new(title)), AudioConfig::new())
}

#[test]
fn a_spinning_decoder_fails_its_own_reader_and_opener_only() {
    let released = Arc::new(AtomicBool::new(false));
    let mut other = open(u64::MAX, &released).wait().unwrap();
    let stuck = open(0, &released);
    let mut audio = open(HEADER + 50_000 * FRAME, &released).wait().unwrap();
    let mut buf = vec![0.0; 4096];
    let mut next = 0;
    let error = loop {
        match audio.read(&mut buf) {
            Ok(count) => {
                assert_ramp(&buf[..count], next);
                next += (count / CHANNELS) as u64;
            }
            Err(error) => break error,
        }
    };
    assert!(next <= 50_000);
    assert!(matches!(error, AudioError::Worker { .. }), "{error:?}");
    assert_eq!(audio.try_read(&mut buf).state, ReadState::Failed);
    let seek = audio.control().seek(Duration::ZERO, SeekMode::Fast);
    assert!(matches!(seek, Err(AudioError::Worker { .. })));
    assert!(matches!(stuck.wait(), Err(AudioError::Worker { .. })));

    let count = other.read(&mut buf).unwrap();
    assert_ramp(&buf[..count], 0);
    drop((audio, other));
    released.store(true, Ordering::Relaxed);
    hang_guard("the decode threads to end", || {
        threads_named("kithara-decode").is_empty()
    });
}
