//! Streams of which parts cannot be had, are empty, too large, or somewhere else, in a simulated world.

mod support;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use kithara_hls::abr::AbrMode;
use kithara_hls::{GapPolicy, HlsConfig, HlsError, HlsEvent, HlsPolicy};
use kithara_stream::StreamError;
use kithara_stream::net::{NetError, TimeoutPhase};
use world::{Answer, World};

const SEGMENTS: u64 = 10;
const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(600);

/// A playlist of segments of four seconds, with `extra` lines in front of those of that number.
fn list(extra: impl Fn(u64) -> String) -> Vec<u8> {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned();
    for number in 0..SEGMENTS {
        text += &extra(number);
        text += &format!("#EXTINF:4,\ns{number}.mp4\n");
    }
    (text + "#EXT-X-ENDLIST\n").into_bytes()
}

/// One init section, or one for each half.
fn with_init(number: u64) -> String {
    match number {
        0 => "#EXT-X-MAP:URI=\"init0.mp4\"\n".to_owned(),
        5 => "#EXT-X-MAP:URI=\"init5.mp4\"\n".to_owned(),
        _ => String::new(),
    }
}

fn media(path: &str) -> Answer {
    match path {
        _ if path.ends_with(".m3u8") => Answer::Bytes(list(with_init)),
        _ if path.contains("init") => Answer::Bytes(vec![1; 700]),
        _ => Answer::Bytes(vec![7; 32_000]),
    }
}

fn fails(world: &World) -> &HlsError {
    let failure = world.failure.as_ref().expect("it cannot go on");
    HlsError::from_stream(failure).expect("an error of ours")
}

fn policy(gap: GapPolicy) -> impl FnOnce(HlsConfig) -> HlsConfig {
    move |config| {
        config.with_policy(HlsPolicy {
            gap: Some(gap),
            ..HlsPolicy::default()
        })
    }
}

/// The segments that were heard to their end.
fn segments(world: &World) -> Vec<u64> {
    let number = |path: &&str| {
        let (_, name) = path.rsplit_once('s')?;
        name.strip_suffix(".mp4")?.parse().ok()
    };
    world.played().iter().filter_map(number).collect()
}

#[test]
fn an_init_section_that_is_missing_ends_the_stream_in_front_of_its_segments() {
    for (answer, most) in [
        (Answer::Status(404), 2),
        (Answer::Status(400), 1),
        (Answer::Status(503), 7),
        (Answer::Silence, 7),
    ] {
        for lost in [0, 5] {
            let name = format!("init{lost}.mp4");
            let (missing, answer) = (name.clone(), answer.clone());
            let origin = move |path: &str, _: usize, _: Duration| match path == missing {
                true => answer.clone(),
                false => media(path),
            };
            let mut world = World::new("list.m3u8", |config| config, origin);
            world.play(LONG);
            let sequence_of = match fails(&world) {
                HlsError::Segment { sequence, .. } => *sequence,
                other => panic!("{other:?}"),
            };
            assert_eq!(sequence_of, lost);
            assert_eq!(segments(&world), (0..lost).collect::<Vec<_>>());
            assert!(
                world.count(&name) <= most,
                "{} of {name}",
                world.count(&name)
            );
            for number in 0..SEGMENTS {
                assert!(world.count(&format!("s{number}.mp4")) <= 1, "{number}");
            }
            let asked = world.requests.len();
            world.play(Duration::from_secs(60));
            assert_eq!(world.requests.len(), asked, "a stream that failed is quiet");
        }
    }
}

#[test]
fn an_init_section_that_comes_late_is_waited_for() {
    for answer in [Answer::Status(404), Answer::Status(503), Answer::Silence] {
        for lost in [0, 5] {
            let (missing, answer) = (format!("init{lost}.mp4"), answer.clone());
            let origin = move |path: &str, before: usize, _: Duration| match path == missing {
                true if before == 0 => answer.clone(),
                _ => media(path),
            };
            let mut world = World::new("list.m3u8", |config| config, origin);
            world.play(LONG);
            assert!(
                world.ended && world.failure.is_none(),
                "{:?}",
                world.failure
            );
            assert_eq!(segments(&world), (0..SEGMENTS).collect::<Vec<_>>());
        }
    }
}

#[test]
fn an_init_section_that_one_variant_lacks_is_another_variant() {
    const BOTH: &[u8] = b"#EXTM3U\n\
        #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\nlow/list.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\nhigh/list.m3u8\n";
    for status in [404, 503] {
        for lost in [0, 5] {
            let missing = format!("high/init{lost}.mp4");
            let origin = move |path: &str, _: usize, _: Duration| match path {
                "m.m3u8" => Answer::Bytes(BOTH.to_vec()),
                _ if path == missing => Answer::Status(status),
                _ => media(path),
            };
            let auto = |config: HlsConfig| config.with_abr_mode(AbrMode::Auto(Some(1)));
            let mut world = World::new("m.m3u8", auto, origin);
            world.play(LONG);
            assert!(
                world.ended && world.failure.is_none(),
                "{:?}",
                world.failure
            );
            assert_eq!(segments(&world), (0..SEGMENTS).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_key_of_an_init_section_that_is_missing_is_named() {
    let lines = |number| match number {
        0 => "#EXT-X-KEY:METHOD=AES-128,URI=\"key\",IV=0x00000000000000000000000000000001\n\
              #EXT-X-MAP:URI=\"init0.mp4\"\n#EXT-X-KEY:METHOD=NONE\n"
            .to_owned(),
        _ => String::new(),
    };
    for (status, most) in [(404, 2), (503, 14)] {
        let origin = move |path: &str, _: usize, _: Duration| match path {
            "list.m3u8" => Answer::Bytes(list(lines)),
            "key" => Answer::Status(status),
            _ => media(path),
        };
        let mut world = World::new("list.m3u8", |config| config, origin);
        world.play(LONG);
        assert!(matches!(fails(&world), HlsError::KeyLoad { .. }));
        assert!(world.count("key") <= most, "{}", world.count("key"));
    }
}

#[test]
fn what_cannot_even_be_asked_for_ends_the_stream_in_front_of_it() {
    for (lines, kind) in [
        ("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"key\"\n", "Encryption"),
        (
            "#EXT-X-KEY:METHOD=AES-128,URI=\"http://[::1\"\n",
            "Reference",
        ),
        ("#EXT-X-MAP:URI=\"http://[::1\"\n", "Reference"),
        ("#EXT-X-GAP\n", "Missing"),
    ] {
        for at in [0, 1, 4, SEGMENTS - 1] {
            let extra = move |number| if number == at { lines } else { "" }.to_owned();
            let origin = move |path: &str, _: usize, _: Duration| match path {
                "list.m3u8" => Answer::Bytes(list(extra)),
                _ => media(path),
            };
            let mut world = World::new("list.m3u8", policy(GapPolicy::Stop), origin);
            world.play(LONG);
            assert!(
                format!("{:?}", fails(&world)).starts_with(kind),
                "{:?}",
                fails(&world)
            );
            assert_eq!(segments(&world), (0..at).collect::<Vec<_>>(), "{lines}");
        }
    }
}

#[test]
fn a_part_that_is_too_large_is_refused_before_all_of_it_came() {
    const MIB: usize = 1 << 20;
    for (name, most) in [("init5.mp4", MIB), ("s5.mp4", 64 * MIB)] {
        for (size, fits) in [(most, true), (most + 1, false)] {
            // Told by its headers, and not.
            for told in [true, false] {
                let origin = move |path: &str, _: usize, _: Duration| match path == name {
                    true => Answer::Bytes(vec![7; size]),
                    false => media(path),
                };
                let mut world = World::new("list.m3u8", |config| config, origin);
                world.rate = Box::new(|_| 1e9);
                world.tells_length = told;
                world.play(LONG);
                if fits {
                    assert!(world.failure.is_none(), "{:?}", world.failure);
                    assert_eq!(segments(&world).len() as u64, SEGMENTS);
                    continue;
                }
                let HlsError::Segment {
                    sequence: 5,
                    source,
                    ..
                } = fails(&world)
                else {
                    panic!("{:?}", world.failure);
                };
                assert!(matches!(source, StreamError::TooLarge { .. }), "{source:?}");
                assert_eq!(segments(&world), [0, 1, 2, 3, 4]);
                assert_eq!(world.count(name), 1);
            }
        }
    }
}

#[test]
fn a_segment_of_nothing_is_silence_of_its_length() {
    for empty in [0, 4, SEGMENTS - 1] {
        let name = format!("s{empty}.mp4");
        let lost = name.clone();
        let origin = move |path: &str, _: usize, _: Duration| match path == lost {
            true => Answer::Bytes(Vec::new()),
            false => media(path),
        };
        let mut world = World::new("list.m3u8", |config| config, origin);
        world.play(LONG);
        assert!(
            world.ended && world.failure.is_none(),
            "{:?}",
            world.failure
        );
        let mut expected: Vec<_> = (0..SEGMENTS).collect();
        expected.remove(empty as usize);
        assert_eq!(segments(&world), expected);
        let gap = world.events.iter().find_map(|event| match event {
            HlsEvent::Gap {
                at,
                duration,
                silent,
                ..
            } => Some((*at, *duration, *silent)),
            _ => None,
        });
        let second = Duration::from_secs;
        assert_eq!(gap, Some((second(4 * empty), second(4), true)));
        assert!(world.count(&name) <= 2, "{}", world.count(&name));
    }
    // Unless that is not what the listener wants.
    let origin = |path: &str, _: usize, _: Duration| match path {
        "s4.mp4" => Answer::Bytes(Vec::new()),
        _ => media(path),
    };
    let mut world = World::new("list.m3u8", policy(GapPolicy::Stop), origin);
    world.play(LONG);
    assert!(matches!(
        fails(&world),
        HlsError::Segment { sequence: 4, .. }
    ));
}

#[test]
fn a_stream_of_nothing_ends() {
    let origin = |path: &str, _: usize, _: Duration| match path {
        "list.m3u8" => Answer::Bytes(list(|_| String::new())),
        _ => Answer::Bytes(Vec::new()),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.play(LONG);
    assert!(world.ended || world.failure.is_some());
    // Two are on their way beside the one that is nothing.
    assert!(world.requests.len() <= 1 + 3 * SEGMENTS as usize);
}

#[test]
fn a_range_behind_the_end_of_its_file_is_truncated() {
    let lines = |number| format!("#EXT-X-BYTERANGE:100@{}\n", number * 100);
    let origin = move |path: &str, _: usize, _: Duration| match path {
        "list.m3u8" => {
            let text = String::from_utf8(list(lines)).expect("text");
            let text: Vec<_> = text
                .lines()
                .map(|line| {
                    if line.ends_with(".mp4") {
                        "all.mp4"
                    } else {
                        line
                    }
                })
                .collect();
            Answer::Bytes((text.join("\n") + "\n").into_bytes())
        }
        // The fifth is half there, the ones behind it not at all.
        _ => Answer::Bytes(vec![7; 450]),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.length = Box::new(|_| 4.0);
    world.play(LONG);
    let HlsError::Segment {
        sequence: 4,
        source,
        ..
    } = fails(&world)
    else {
        panic!("{:?}", world.failure);
    };
    assert!(
        matches!(
            source,
            StreamError::Truncated {
                expected: 100,
                got: 50,
                ..
            }
        ),
        "{source:?}"
    );
    assert_eq!(world.played().len(), 4);
    assert!(
        world.count("all.mp4") <= 4 + 7 + 1,
        "{}",
        world.count("all.mp4")
    );
}

#[test]
fn a_document_that_does_not_come_within_twenty_seconds_is_given_up() {
    for slow in ["m.m3u8", "list.m3u8", "key"] {
        let origin = move |path: &str, _: usize, _: Duration| match path {
            "m.m3u8" => {
                Answer::Bytes(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nlist.m3u8\n".to_vec())
            }
            "list.m3u8" => Answer::Bytes(list(|number| match number {
                0 => "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n".to_owned(),
                _ => String::new(),
            })),
            "key" => Answer::Bytes(vec![1; 16]),
            _ => media(path),
        };
        let mut world = World::new("m.m3u8", |config| config, origin);
        world.crawls = Some(slow.to_owned());
        while world.failure.is_none() && world.now < Duration::from_secs(50) {
            world.play(SECOND / 10);
        }
        let Some(StreamError::Net(net)) = fails(&world).transfer() else {
            panic!("{slow}: {:?}", world.failure);
        };
        let throughput = TimeoutPhase::Throughput;
        let late = matches!(net.root(), NetError::Timeout { phase, .. } if *phase == throughput);
        assert!(late, "{slow}: {net:?}");
        let of_key = matches!(fails(&world), HlsError::KeyLoad { .. });
        assert_eq!(of_key, slow == "key", "{slow}: {:?}", fails(&world));
        // What came before it took no time.
        let asked = world.requests.iter().find(|(path, _)| path == slow);
        let waited = world.now - asked.expect("it was asked for").1;
        let limit = Duration::from_secs(20);
        assert!(waited.abs_diff(limit) < SECOND, "{slow}: {waited:?}");
    }
}

#[test]
fn what_does_not_decode_behind_a_failure_is_told() {
    let origin = |path: &str, _: usize, _: Duration| match path {
        "s3.mp4" => Answer::Status(404),
        path => media(path),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.play(LONG);
    assert!(world.failure.is_some(), "{:?}", world.events);
    // Whoever says so forgets what was told before.
    world.reject();
    let HlsError::Segment { source, .. } = fails(&world) else {
        panic!("{:?}", world.failure);
    };
    assert!(
        matches!(source, StreamError::WrongContent { .. }),
        "{source}"
    );
}

#[test]
fn a_range_of_which_all_bytes_came_is_not_asked_for_again() {
    let origin = |path: &str, before: usize, now: Duration| match path {
        "init0.mp4" => Answer::Broken(vec![1; 700], 700),
        "list.m3u8" => {
            let init = "#EXT-X-MAP:URI=\"init0.mp4\",BYTERANGE=\"700@0\"\n";
            Answer::Bytes(list(|number| match number {
                0 => init.to_owned(),
                _ => String::new(),
            }))
        }
        // The stream stops before it is told that the init section ends there.
        "s0.mp4" if before < 2 && now < SECOND => Answer::Status(404),
        path => media(path),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.play(SECOND);
    assert!(world.failure.is_some(), "{:?}", world.events);
    world.seek(Duration::ZERO);
    world.play(LONG);
    assert_eq!(segments(&world), (0..SEGMENTS).collect::<Vec<_>>());
    assert_eq!(world.count("init0.mp4"), 1);
}
