//! Streams that go on for hours, and titles of thousands of segments: what a plan holds does not grow. The world asserts the
//! bounds in every step; here is what would break them.

#[path = "support/world.rs"]
mod world;

use std::fmt::Write as _;
use std::time::Duration;

use kithara_hls::abr::AbrMode;
use kithara_hls::drm::{DecryptContext, Iv, Key, aes128_cbc_process_chunk};
use kithara_hls::{HlsCommand, HlsEvent};
use world::{Answer, World};

const HOUR: Duration = Duration::from_secs(3600);

const BOTH: &[u8] = b"#EXTM3U\n\
    #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\nlow/list.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\nhigh/list.m3u8\n";

/// Segments of these numbers, each with an init section of its own.
fn list(numbers: std::ops::Range<u64>, seconds: f64, ended: bool) -> Answer {
    let first = numbers.start;
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n",
        seconds.ceil()
    );
    for number in numbers {
        write!(
            text,
            "#EXT-X-MAP:URI=\"i{}.mp4\"\n#EXTINF:{seconds},\ns{number}.mp4\n",
            number % 4000
        )
        .expect("text has room");
    }
    text += if ended { "#EXT-X-ENDLIST\n" } else { "" };
    Answer::Bytes(text.into_bytes())
}

#[test]
fn hours_of_a_live_stream_whose_every_segment_has_another_init_section() {
    let origin = |path: &str, _: usize, now: Duration| match path {
        "m.m3u8" => Answer::Bytes(BOTH.to_vec()),
        _ if path.ends_with(".m3u8") => {
            let end = now.as_secs() / 4 + 15;
            list(end - 6..end, 4.0, false)
        }
        _ => Answer::Bytes(vec![7; 300]),
    };
    let mut world = World::new("m.m3u8", |config| config, origin);
    world.length = Box::new(|path| if path.contains("/i") { 0.0 } else { 4.0 });
    for turn in 0..360 {
        world.play(Duration::from_secs(30));
        let mode = AbrMode::Manual(turn % 2);
        world.command(HlsCommand::Mode(mode));
    }
    assert!(world.failure.is_none(), "{:?}", world.failure);
    assert!(world.now >= 3 * HOUR);
    let runs = world.run_facts().len();
    assert!(runs > 2600, "each segment begins another, of {runs}");
    // As much as it held after the first minute, more or less.
    let holds = world.holdings();
    assert!(holds.segments <= 12, "{holds:?}");
    assert!((16..=24).contains(&holds.init_sections), "{holds:?}");
}

/// What is decrypted of a block by the key that all segments here have.
fn deciphered(block: [u8; 16]) -> [u8; 16] {
    let mut context = DecryptContext::new(Key::new([7; 16]), Iv::new([0; 16]));
    let mut plain = [0; 16];
    let read = aes128_cbc_process_chunk(&block, &mut plain, &mut context, false);
    assert_eq!(read, Ok(16));
    plain
}

#[test]
fn four_thousand_keys_are_fetched_once_each_and_few_are_held() {
    let (requests, most) = play_encrypted(4096, 1);
    assert!(requests.iter().all(|times| *times == 1), "{requests:?}");
    // To look for a key is to look at those.
    assert!(most <= 160, "{most} keys");
}

#[test]
fn a_key_that_fifty_segments_want_is_fetched_once() {
    let (requests, most) = play_encrypted(400, 50);
    assert_eq!(requests, [1; 8]);
    assert!(most <= 8, "{most} keys");
}

/// Plays so many segments, so many of which in a row have one key: how often each key was asked for, and how many were held at most.
fn play_encrypted(segments: usize, of_a_key: usize) -> (Vec<usize>, usize) {
    // Two blocks: the second is padding, and the vector makes the beginning of ADTS of the first.
    let padded = deciphered([7; 16]).map(|byte| byte ^ 16);
    let segment = [padded, [7; 16]].concat();
    let sync = [0xff, 0xf1, 0x50, 0x80];
    let mut vector = deciphered(padded);
    for (byte, wanted) in vector.iter_mut().zip(sync) {
        *byte ^= wanted;
    }
    let vector = u128::from_be_bytes(vector);
    let origin = move |path: &str, _: usize, _: Duration| match path {
        "list.m3u8" => {
            let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
            for number in 0..segments {
                let key = number / of_a_key;
                write!(
                    text,
                    "#EXT-X-KEY:METHOD=AES-128,URI=\"k{key}\",IV=0x{vector:032x}\n#EXTINF:2,\ns{number}.aac\n"
                )
                .expect("text has room");
            }
            Answer::Bytes((text + "#EXT-X-ENDLIST\n").into_bytes())
        }
        _ if path.starts_with('k') => Answer::Bytes(vec![7; 16]),
        _ => Answer::Bytes(segment.clone()),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.length = Box::new(|_| 2.0);
    world.pace = f64::INFINITY;
    world.latency = Duration::ZERO;
    let mut most = 0;
    while !world.is_over() && world.now < HOUR {
        world.play(Duration::from_secs(1));
        most = most.max(world.holdings().keys);
    }
    assert!(
        world.ended && world.failure.is_none(),
        "{:?}",
        world.failure
    );
    assert_eq!(world.played().len(), segments);
    let keys = 0..segments / of_a_key;
    let requests = keys.map(|key| world.count(&format!("k{key}")));
    (requests.collect(), most)
}

#[test]
fn twenty_thousand_segments_and_thousands_of_switches_and_seeks() {
    const SEGMENTS: u64 = 20_000;
    let origin = |path: &str, _: usize, _: Duration| match path {
        "m.m3u8" => Answer::Bytes(BOTH.to_vec()),
        _ if path.ends_with(".m3u8") => list(0..SEGMENTS, 2.0, true),
        // One in a hundred is nowhere.
        _ if path.ends_with("77.mp4") => Answer::Status(404),
        _ => Answer::Bytes(vec![7; 300]),
    };
    let silence = |config: kithara_hls::HlsConfig| {
        config.with_policy(kithara_hls::HlsPolicy {
            gap: Some(kithara_hls::GapPolicy::Silence),
            ..kithara_hls::HlsPolicy::default()
        })
    };
    let mut world = World::new("m.m3u8", silence, origin);
    world.pace = f64::INFINITY;
    world.latency = Duration::ZERO;
    world.play(Duration::from_secs(5));
    for turn in 0..4000_u64 {
        world.play(Duration::from_millis(200));
        let mode = AbrMode::Manual(turn as usize % 2);
        world.command(HlsCommand::Mode(mode));
        if turn % 4 == 0 {
            let to = turn * 7919 % (2 * SEGMENTS);
            world.seek(Duration::from_secs(to));
        }
    }
    assert!(world.failure.is_none(), "{:?}", world.failure);
    assert!(world.played().len() > 5000, "{}", world.played().len());
    let switches = world.events.iter();
    let switches = switches.filter(|event| matches!(event, HlsEvent::VariantChanged { .. }));
    assert!(switches.count() > 2000);
}

#[test]
fn segments_of_a_millisecond_are_not_laid_by_the_thousand() {
    let origin = |path: &str, _: usize, _: Duration| match path {
        "list.m3u8" => list(0..3000, 0.001, true),
        _ => Answer::Bytes(vec![7; 50]),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.length = Box::new(|path| if path.starts_with('i') { 0.0 } else { 0.001 });
    world.pace = 0.0;
    world.play(Duration::from_secs(200));
    assert_eq!(world.holdings().segments, 64);
    world.pace = 1.0;
    world.play(HOUR);
    assert!(world.ended && world.failure.is_none());
    let segments = world.played();
    let segments = segments.iter().filter(|path| path.starts_with('s'));
    assert_eq!(segments.count(), 3000);
}
