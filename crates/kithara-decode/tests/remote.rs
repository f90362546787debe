//! Far away, the front of a run is enough for its first sound, and a seek takes few jumps.

mod support;

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kithara_decode::{MediaDuration, SeekMode};
use kithara_stream::ByteSource;
use kithara_tests::fixtures::{self, fixture};
use support::{Remote, drain, each, open_source, whole};

#[test]
fn the_first_chunk_needs_the_front_and_nothing_else() {
    let playable = fixtures::playable();
    each(
        playable,
        |fixture| fixture.file.clone(),
        |fixture| {
            let bytes = fixture.bytes();
            let length = bytes.len() as u64;
            let source = Remote::new(bytes);
            let touched = Arc::clone(&source.touched);
            let mut decoder = open_source(source, &fixture.file).expect("opens");
            let chunk = decoder
                .next_chunk()
                .expect("decodes")
                .expect("has not ended");
            assert_eq!(chunk.frame, 0, "{}", fixture.file);
            // The first request is not a jump. A tail costs one to it and one back.
            let tail = fixture.file.contains("-last") || fixture.file == "caf-alac.caf";
            // Tags and pictures are jumped over.
            let skips = fixture.file.contains("picture") || fixture.file.contains("tags");
            let allowed = if tail { 2 } else { u64::from(skips) };
            assert!(
                touched.jumps() <= allowed,
                "{}: {} jumps",
                fixture.file,
                touched.jumps()
            );
            // Of the shorter ones too no more than the front: reading is ahead by 32 KiB at most, and pages of
            // Ogg and frames of FLAC are read whole.
            let ahead = match fixture.container.as_str() {
                "Ogg" => 96,
                // A frame of six channels.
                "Flac" => 72,
                _ => 36,
            };
            let most = (length / 2 + 4096).min(128 * 1024).max(ahead * 1024);
            assert!(
                touched.bytes() <= most,
                "{}: {} bytes of {length}",
                fixture.file,
                touched.bytes()
            );
        },
    );
}

#[test]
fn what_the_headers_of_ogg_let_expect_is_an_estimate_of_its_length() {
    for (file, part) in [("ogg-flac.ogg", 1000), ("ogg-vorbis.ogg", 3)] {
        let fixture = fixture(file);
        let source = Remote::new(fixture.bytes());
        let touched = Arc::clone(&source.touched);
        let mut decoder = open_source(source, file).expect("opens");
        let real = decoder.spec().time(fixture.source_frames);
        let Some(MediaDuration::Estimate(time)) = decoder.duration() else {
            panic!("{file}: {:?}", decoder.duration());
        };
        assert!(time.abs_diff(real) <= real / part, "{file}: {time:?}");
        assert_eq!(touched.jumps(), 0, "{file}");
        drain(decoder.as_mut(), file).1.expect("ends");
        assert_eq!(decoder.duration(), Some(MediaDuration::Exact(real)));
    }
}

#[test]
fn a_seek_in_constant_rate_mp3_takes_one_jump() {
    let bytes = fixtures::long_mp3(3).bytes;
    let source = Remote::new(bytes);
    let touched = Arc::clone(&source.touched);
    let mut decoder = open_source(source, "long.mp3").expect("opens");
    assert!(matches!(
        decoder.duration(),
        Some(MediaDuration::Estimate(_))
    ));
    drop(decoder.next_chunk());
    let before = (touched.jumps(), touched.bytes());
    let landing = decoder
        .seek(std::time::Duration::from_secs(60), SeekMode::Fast)
        .expect("seeks");
    assert_eq!(
        decoder.spec().frames(std::time::Duration::from_secs(60)),
        landing.frame
    );
    assert_eq!(touched.jumps() - before.0, 1);
    assert!(
        touched.bytes() - before.1 <= 64 * 1024,
        "{}",
        touched.bytes() - before.1
    );
}

/// A tag of this size with a title in front, mostly a hole, and audio behind it.
struct Tagged {
    front: Vec<u8>,
    audio: Vec<u8>,
    size: u64,
    pos: u64,
    read: Arc<AtomicU64>,
    remote: bool,
}

impl Tagged {
    fn new(size: u32, remote: bool) -> Self {
        let mut front = b"ID3\x04\x00\x00".to_vec();
        let length = [size >> 21, size >> 14 & 0x7f, size >> 7 & 0x7f, size & 0x7f];
        front.extend(length.map(|part| part as u8));
        front.extend(b"TIT2\x00\x00\x00\x05\x00\x00\x03Song");
        Self {
            front,
            audio: fixture("mp3-cbr-notag.mp3").bytes(),
            size: u64::from(size) + 10,
            pos: 0,
            read: Arc::default(),
            remote,
        }
    }
}

impl Read for Tagged {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let rest = match self.pos.checked_sub(self.size) {
            Some(at) => &self.audio[self.audio.len().min(at as usize)..],
            None => self.front.get(self.pos as usize..).unwrap_or(&[0; 64]),
        };
        let mut count = rest.len().min(out.len());
        if self.pos < self.size {
            count = count.min((self.size - self.pos) as usize);
        }
        out[..count].copy_from_slice(&rest[..count]);
        self.pos += count as u64;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Tagged {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let SeekFrom::Start(pos) = to else {
            panic!("only from the start");
        };
        self.pos = pos;
        Ok(pos)
    }
}

impl ByteSource for Tagged {
    fn byte_len(&self) -> Option<u64> {
        Some(self.size + self.audio.len() as u64)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        self.remote
    }
}

#[test]
fn large_tags_are_jumped_over() {
    const MIB: u32 = 1 << 20;
    // Up to as large as a tag can be.
    for size in [2_000_000, 8 * MIB - 10, 8 * MIB - 9, 256 * MIB - 1] {
        for remote in [true, false] {
            let source = Tagged::new(size, remote);
            let bytes = Arc::clone(&source.read);
            let mut decoder = open_source(source, "tagged.mp3").expect("opens");
            let title = decoder.metadata().title.clone();
            assert_eq!(title.as_deref(), Some("Song"), "{size}");
            let first = decoder.next_chunk().expect("decodes").expect("a chunk");
            let bytes = bytes.load(Ordering::Relaxed);
            assert!(bytes <= 128 * 1024, "{size}: {bytes} bytes");
            let (rest, end) = drain(decoder.as_mut(), "tagged.mp3");
            end.expect("ends");
            let right = whole(fixture("mp3-cbr-notag.mp3"));
            assert!([&first.pcm[..], &rest].concat() == right, "{size}");
        }
    }
}

#[test]
fn a_tag_in_front_of_mp3_costs_one_jump() {
    let mut tagged = Tagged::new(2_000_000, true);
    let mut bytes = std::mem::take(&mut tagged.front);
    bytes.resize(tagged.size as usize, 0);
    bytes.extend(&tagged.audio);
    let source = Remote::new(bytes);
    let touched = Arc::clone(&source.touched);
    let mut decoder = open_source(source, "tagged.mp3").expect("opens");
    assert!(decoder.next_chunk().expect("decodes").is_some());
    assert_eq!(touched.jumps(), 1);
}

#[test]
fn a_constant_rate_that_drifts_is_not_claimed_to_be_exact() {
    // Each repeat starts the padding anew, so frames lie a little before where the rate puts them.
    let bytes = fixture("mp3-cbr-notag.mp3").bytes().repeat(300);
    let source = Remote::new(bytes);
    let touched = Arc::clone(&source.touched);
    let mut decoder = open_source(source, "joined.mp3").expect("opens");
    drop(decoder.next_chunk());
    let before = touched.jumps();
    let landing = decoder
        .seek(std::time::Duration::from_secs(500), SeekMode::Fast)
        .expect("seeks");
    assert!(!landing.exact);
    assert_eq!(touched.jumps() - before, 1);
    let exact = decoder
        .seek(std::time::Duration::from_secs(500), SeekMode::Exact)
        .expect("seeks");
    assert!(exact.exact);
}
