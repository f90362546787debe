//! Far away, the front of a run is enough for its first sound, and a seek takes few jumps.

mod support;

use std::sync::Arc;

use kithara_decode::{MediaDuration, SeekMode};
use kithara_tests::fixtures::{self, fixture};
use support::{Remote, each, open_source};

#[test]
fn the_first_chunk_needs_the_front_and_nothing_else() {
    let playable = fixtures::playable().filter(|fixture| fixture.container != "MpegTs");
    each(
        playable,
        |fixture| fixture.file.clone(),
        |fixture| {
            let source = Remote::new(fixture.bytes());
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
            assert!(
                touched.bytes() <= 128 * 1024,
                "{}: {} bytes",
                fixture.file,
                touched.bytes()
            );
        },
    );
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

#[test]
fn large_tags_are_jumped_over() {
    let mut bytes = b"ID3\x04\x00\x00".to_vec();
    let size = 2_000_000u32;
    bytes.extend(
        [size >> 21, size >> 14 & 0x7f, size >> 7 & 0x7f, size & 0x7f].map(|part| part as u8),
    );
    bytes.extend(b"TIT2\x00\x00\x00\x05\x00\x00\x03Song");
    bytes.resize(size as usize + 10, 0);
    bytes.extend(fixture("mp3-cbr-notag.mp3").bytes());
    let source = Remote::new(bytes);
    let touched = Arc::clone(&source.touched);
    let mut decoder = open_source(source, "tagged.mp3").expect("opens");
    assert_eq!(decoder.metadata().title.as_deref(), Some("Song"));
    assert!(decoder.next_chunk().expect("decodes").is_some());
    assert_eq!(touched.jumps(), 1);
    assert!(touched.bytes() <= 128 * 1024, "{}", touched.bytes());
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
