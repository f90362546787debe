//! The cues of a Matroska file that is far away, when the first read of them is interrupted.

mod support;

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kithara_decode::SeekMode;
use kithara_stream::{ByteSource, StreamError};
use support::{Remote, open_source};

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

/// Mono, 16 bits, a cluster a second whose samples are its number; and where its cues begin.
fn a_minute_of_pcm() -> (Vec<u8>, u64) {
    let number = |value: u64| value.to_be_bytes();
    let audio = [
        element(&[0xb5], &(RATE as f64).to_be_bytes()),
        element(&[0x9f], &number(1)),
        element(&[0x62, 0x64], &number(16)),
    ];
    let entry = [
        element(&[0xd7], &number(1)),
        element(&[0x83], &number(2)),
        element(&[0x86], b"A_PCM/INT/LIT"),
        element(&[0xe1], &audio.concat()),
    ];
    let tracks = element(
        &[0x16, 0x54, 0xae, 0x6b],
        &element(&[0xae], &entry.concat()),
    );
    let seek_head = |at: u64| {
        let seek = [
            element(&[0x53, 0xab], &[0x1c, 0x53, 0xbb, 0x6b]),
            element(&[0x53, 0xac], &number(at)),
        ];
        element(
            &[0x11, 0x4d, 0x9b, 0x74],
            &element(&[0x4d, 0xbb], &seek.concat()),
        )
    };
    let front = seek_head(0).len() + tracks.len();
    let (mut clusters, mut points) = (Vec::new(), Vec::new());
    for second in 0..SECONDS {
        let at = number((front + clusters.len()) as u64);
        let place = [element(&[0xf7], &number(1)), element(&[0xf1], &at)];
        let point = [
            element(&[0xb3], &number(second * 1000)),
            element(&[0xb7], &place.concat()),
        ];
        points.extend(element(&[0xbb], &point.concat()));
        let samples = (second as u16).to_le_bytes().repeat(RATE);
        let block = [&[0x81, 0, 0, 0x80], samples.as_slice()].concat();
        let cluster = [
            element(&[0xe7], &number(second * 1000)),
            element(&[0xa3], &block),
        ];
        clusters.extend(element(&[0x1f, 0x43, 0xb6, 0x75], &cluster.concat()));
    }
    let cues = element(&[0x1c, 0x53, 0xbb, 0x6b], &points);
    let body = [
        seek_head((front + clusters.len()) as u64),
        tracks,
        clusters,
        cues.clone(),
    ];
    let head = element(
        &[0x1a, 0x45, 0xdf, 0xa3],
        &element(&[0x42, 0x82], b"matroska"),
    );
    let file = [head, element(&[0x18, 0x53, 0x80, 0x67], &body.concat())].concat();
    let from = (file.len() - cues.len()) as u64;
    (file, from)
}

/// An element whose size is written in eight bytes (RFC 8794).
fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = 1u64 << 56 | body.len() as u64;
    [id, &size.to_be_bytes(), body].concat()
}
