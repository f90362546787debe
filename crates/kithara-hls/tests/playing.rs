//! Streams that end, played from the first playlist to the last segment in a simulated world.

mod support;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use kithara_hls::abr::AbrMode;
use kithara_hls::{GapPolicy, HlsCommand, HlsConfig, HlsError, HlsEvent, HlsPolicy};
use kithara_stream::{MediaDuration, RunCause, Timing};
use world::{Answer, World};

const SEGMENTS: u64 = 20;

/// A playlist of `count` segments of four seconds, with `extra` lines in front of those of that number.
fn list(count: u64, extra: impl Fn(u64) -> &'static str) -> Vec<u8> {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned();
    for number in 0..count {
        text += extra(number);
        text += &format!("#EXTINF:4,\ns{number}.aac\n");
    }
    (text + "#EXT-X-ENDLIST\n").into_bytes()
}

const MULTIVARIANT: &[u8] = b"#EXTM3U\n\
    #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\nlow/list.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\nmid/list.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=320000,CODECS=\"mp4a.40.2\"\nhigh/list.m3u8\n";

/// Three variants, whose segments are as large as their bandwidth says.
fn three(path: &str) -> Answer {
    let (folder, name) = path.split_once('/').unwrap_or(("", path));
    let size = match folder {
        "low" => 32_000,
        "mid" => 64_000,
        "high" => 160_000,
        _ => return Answer::Bytes(MULTIVARIANT.to_vec()),
    };
    match name {
        "list.m3u8" => Answer::Bytes(list(SEGMENTS, |_| "")),
        _ => Answer::Bytes(vec![7; size]),
    }
}

fn one(path: &str) -> Answer {
    match path {
        "list.m3u8" => Answer::Bytes(list(SEGMENTS, |_| "")),
        _ => Answer::Bytes(vec![7; 64_000]),
    }
}

fn all_of(folder: &str) -> Vec<String> {
    (0..SEGMENTS)
        .map(|number| format!("{folder}s{number}.aac"))
        .collect()
}

fn manual(variant: usize) -> impl FnOnce(HlsConfig) -> HlsConfig {
    move |config| config.with_abr_mode(AbrMode::Manual(variant))
}

fn gaps(policy: GapPolicy) -> impl FnOnce(HlsConfig) -> HlsConfig {
    move |config| {
        config.with_policy(HlsPolicy {
            gap: Some(policy),
            ..HlsPolicy::default()
        })
    }
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_media_playlist_is_played_from_its_first_segment_to_its_last() {
    let mut world = World::new("list.m3u8", |config| config, |path, _, _| one(path));
    world.play(LONG);
    assert_eq!(world.played(), all_of(""));
    assert!(world.ended && world.failure.is_none());
    // Each once, in order, the playlist first; and nothing to wait for but the first.
    assert_eq!(world.requests.len() as u64, SEGMENTS + 1);
    assert!(
        world.waited < Duration::from_millis(500),
        "{:?}",
        world.waited
    );
    let [run] = world.run_facts()[..] else {
        panic!("one run")
    };
    assert_eq!(run.cause, RunCause::Start);
    assert_eq!(run.timing, Timing::Stamped { clock: 0 });
    let whole = Duration::from_secs(4 * SEGMENTS);
    assert_eq!(run.title, Some(MediaDuration::Estimate(whole)));
}

#[test]
fn what_is_fetched_is_no_further_ahead_than_the_policy_says() {
    let mut world = World::new("list.m3u8", |config| config, |path, _, _| one(path));
    world.play(Duration::from_secs(10));
    // Ten seconds are read, thirty are in front of that, and a segment is whole or not begun.
    let fetched = world.requests.len() - 1;
    assert!((10..=12).contains(&fetched), "{fetched}");
}

#[test]
fn the_first_segment_is_three_requests_deep() {
    let mut world = World::new("m.m3u8", manual(1), |path, _, _| three(path));
    world.play(LONG);
    let first: Vec<_> = world.requests[..3]
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(first, ["m.m3u8", "mid/list.m3u8", "mid/s0.aac"]);
    assert_eq!(world.played(), all_of("mid/"));
    assert_eq!(world.run_facts().len(), 1);
}

#[test]
fn init_section_key_and_segment_are_asked_for_at_once() {
    let lines = |number| match number {
        0 => {
            "#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"key\",IV=0x00000000000000000000000000000001\n"
        }
        _ => "",
    };
    let origin = move |path: &str, _: usize, _: Duration| match path {
        "list.m3u8" => Answer::Bytes(list(3, lines)),
        "key" => Answer::Bytes(vec![1; 16]),
        _ => Answer::Bytes(vec![7; 64_000]),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.play(Duration::from_millis(200));
    let (asked, times): (Vec<_>, Vec<_>) = world.requests.iter().cloned().unzip();
    assert_eq!(asked, ["list.m3u8", "init.mp4", "s0.aac", "key"]);
    assert_eq!(times[1], times[3], "in one round trip");
}

#[test]
fn a_fast_link_goes_up_and_a_slow_one_down() {
    let mut world = World::new("m.m3u8", |config| config, |path, _, _| three(path));
    world.rate = Box::new(|now| match now.as_secs() {
        0..60 => 1e6,
        _ => 12e3,
    });
    world.play(LONG);
    let variants: Vec<_> = world
        .played()
        .iter()
        .map(|path| path.split('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(variants.len() as u64, SEGMENTS, "{variants:?}");
    assert!(variants.contains(&"high".to_owned()), "{variants:?}");
    assert!(world.failure.is_none());
    let names: Vec<_> = world
        .played()
        .iter()
        .map(|path| path.split('/').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        all_of(""),
        "each once and in order, of whatever variant"
    );
}

#[test]
fn a_listener_who_chooses_gets_what_he_chose() {
    let mut world = World::new("m.m3u8", manual(0), |path, _, _| three(path));
    world.pace = f64::INFINITY;
    let mut seen = 0;
    for turn in 0..200 {
        world.play(Duration::from_millis(60));
        world.command(HlsCommand::Mode(AbrMode::Manual(turn % 3)));
        seen = world.run_facts().len();
    }
    world.play(LONG);
    assert!(seen > 6, "{seen} runs");
    let names: Vec<_> = world
        .played()
        .iter()
        .map(|path| path.split('/').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(names, all_of(""));
}

#[test]
fn a_seek_begins_a_run_at_once_and_takes_no_more_than_two_segments() {
    let mut world = World::new("list.m3u8", |config| config, |path, _, _| one(path));
    world.play(Duration::from_secs(2));
    for (to, begins, most) in [
        (50.0, 48, 1),
        (48.1, 44, 2),
        (9.0, 8, 1),
        (79.9, 76, 1),
        (500.0, 76, 1),
        (0.0, 0, 1),
    ] {
        let facts = world.seek(Duration::from_secs_f64(to)).expect("a run");
        assert_eq!(facts.start, Duration::from_secs(begins), "{to}");
        assert_eq!(facts.cause, RunCause::Seek);
        let before = world.requests.len();
        world.play(Duration::from_millis(400));
        let behind = (begins / 4) as usize;
        let needed = world.requests[before..].iter().filter(|(path, _)| {
            (behind..behind + most).any(|number| *path == format!("s{number}.aac"))
        });
        assert!(needed.count() <= most, "{to}");
    }
    world.play(LONG);
    assert!(world.ended && world.failure.is_none());
}

#[test]
fn a_segment_that_is_missing_is_asked_for_twice_and_then_the_rule_decides() {
    for policy in [GapPolicy::Silence, GapPolicy::Skip, GapPolicy::Stop] {
        for missing in [0, 9, SEGMENTS - 1] {
            let name = format!("s{missing}.aac");
            let lost = name.clone();
            let origin = move |path: &str, _: usize, _: Duration| match path == lost {
                true => Answer::Status(404),
                false => one(path),
            };
            let mut world = World::new("list.m3u8", gaps(policy), origin);
            world.play(LONG);
            assert_eq!(world.count(&name), 2, "{policy:?} {missing}");
            let mut expected = all_of("");
            if policy == GapPolicy::Stop {
                expected.truncate(missing as usize);
                let failure = world.failure.as_ref().expect("it stops");
                let error = HlsError::from_stream(failure).expect("an error of ours");
                assert!(
                    matches!(error, HlsError::Segment { sequence, .. } if *sequence == missing)
                );
            } else {
                expected.remove(missing as usize);
                assert!(world.failure.is_none() && world.ended);
                let gap = world.events.iter().find_map(|event| match event {
                    HlsEvent::Gap { at, duration, .. } => Some((*at, *duration)),
                    _ => None,
                });
                let second = Duration::from_secs;
                assert_eq!(gap, Some((second(4 * missing), second(4))));
                let last = world.run_facts().pop().expect("a run").clone();
                if missing == SEGMENTS - 1 && policy == GapPolicy::Silence {
                    assert_eq!(last.silence, Some(second(4 * SEGMENTS)));
                } else if missing == 9 {
                    let cause = if policy == GapPolicy::Silence {
                        RunCause::Gap
                    } else {
                        RunCause::Skip
                    };
                    assert_eq!((last.cause, last.start), (cause, second(40)));
                }
            }
            assert_eq!(world.played(), expected, "{policy:?} {missing}");
        }
    }
}

#[test]
fn a_segment_that_one_variant_cannot_have_comes_from_another() {
    for status in [404, 403, 500, 503] {
        for missing in [0, 9, SEGMENTS - 1] {
            let lost = format!("mid/s{missing}.aac");
            let name = lost.clone();
            let origin = move |path: &str, _: usize, _: Duration| match path == lost {
                true => Answer::Status(status),
                false => three(path),
            };
            let mut world = World::new(
                "m.m3u8",
                |config| config.with_abr_mode(AbrMode::Auto(Some(1))),
                origin,
            );
            world.play(LONG);
            assert!(world.failure.is_none(), "{:?}", world.failure);
            assert!(world.count(&name) <= 7, "{}", world.count(&name));
            let names: Vec<_> = world
                .played()
                .iter()
                .map(|path| path.split('/').nth(1).unwrap().to_owned())
                .collect();
            assert_eq!(names, all_of(""), "{status} {missing}");
            assert!(
                !world
                    .events
                    .iter()
                    .any(|event| matches!(event, HlsEvent::Gap { .. }))
            );
        }
    }
}

#[test]
fn a_seek_into_a_gap_that_nothing_follows_is_the_end() {
    let origin = |path: &str, _: usize, _: Duration| match path {
        "list.m3u8" => Answer::Bytes(list(SEGMENTS, |number| {
            if number + 2 >= SEGMENTS {
                "#EXT-X-GAP\n"
            } else {
                ""
            }
        })),
        _ => one(path),
    };
    for policy in [GapPolicy::Silence, GapPolicy::Skip] {
        let mut world = World::new("list.m3u8", gaps(policy), origin);
        world.play(Duration::from_secs(6));
        let facts = world.seek(Duration::from_secs(4 * (SEGMENTS - 1) + 2));
        assert_eq!(facts.expect("a run").cause, RunCause::Seek);
        world.play(LONG);
        assert!(
            world.ended && world.failure.is_none(),
            "{:?}",
            world.failure
        );
        // What lies before it is heard again as if nothing had been.
        world.seek(Duration::from_secs(4 * (SEGMENTS - 3)));
        world.play(LONG);
        assert!(world.ended && world.failure.is_none());
    }
}

#[test]
fn a_server_that_says_nothing_is_named_after_seven_requests() {
    let origin = |path: &str, _: usize, _: Duration| match path {
        "s3.aac" => Answer::Silence,
        _ => one(path),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.play(LONG);
    assert_eq!(world.played(), all_of("")[..3]);
    assert!(world.failure.is_some());
    assert!(world.count("s3.aac") <= 7, "{}", world.count("s3.aac"));
}

#[test]
fn nothing_is_asked_of_a_stream_that_failed_until_a_seek() {
    let origin = |path: &str, before: usize, _: Duration| match path {
        "s3.aac" if before < 2 => Answer::Status(404),
        _ => one(path),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.play(LONG);
    let asked = world.requests.len();
    world.play(Duration::from_secs(60));
    assert_eq!(world.requests.len(), asked);
    world.seek(Duration::from_secs(13));
    world.play(LONG);
    assert!(world.ended && world.failure.is_none());
    assert_eq!(world.played().last(), Some(&"s19.aac"));
}

#[test]
fn what_does_not_decode_comes_from_another_variant_or_is_a_gap() {
    let second = Duration::from_secs;
    let mut world = World::new(
        "m.m3u8",
        |config| config.with_abr_mode(AbrMode::Auto(Some(1))),
        |path, _, _| three(path),
    );
    world.play(second(10));
    let reading = world.played().len();
    world.reject();
    let facts = world.run_facts().pop().expect("a run").clone();
    assert_eq!(facts.cause, RunCause::VariantSwitch);
    assert_eq!(facts.start, second(4 * reading as u64));
    world.play(LONG);
    assert!(world.ended && world.failure.is_none());
    assert_eq!(world.played().last(), Some(&"high/s19.aac"));

    for policy in [GapPolicy::Silence, GapPolicy::Stop] {
        let mut world = World::new("list.m3u8", gaps(policy), |path, _, _| one(path));
        world.play(second(10));
        for _ in 0..2 {
            world.reject();
            world.play(second(1));
        }
        world.play(LONG);
        assert_eq!(world.count("s2.aac"), 2, "{policy:?}");
        match policy {
            GapPolicy::Stop => {
                let failure = world.failure.as_ref().expect("it stops");
                let error = HlsError::from_stream(failure);
                assert!(matches!(error, Some(HlsError::Segment { sequence: 2, .. })));
            }
            _ => {
                assert!(world.ended && world.failure.is_none());
                let gap = world
                    .run_facts()
                    .into_iter()
                    .find(|facts| facts.cause == RunCause::Gap);
                assert_eq!(gap.expect("a gap").start, second(12));
            }
        }
    }
}

#[test]
fn what_does_not_decode_is_had_once_more_behind_what_came_before_it() {
    let second = Duration::from_secs;
    let mut world = World::new("list.m3u8", |config| config, |path, _, _| one(path));
    world.play(second(10));
    world.reject();
    let facts = world.run_facts().pop().expect("a run").clone();
    // The segment before leads in.
    assert_eq!((facts.cause, facts.start), (RunCause::Again, second(4)));
    world.play(LONG);
    assert!(world.ended && world.failure.is_none());
    for number in 0..20 {
        let expected = if number == 2 { 2 } else { 1 };
        let asked = world.count(&format!("s{number}.aac"));
        // What was on its way behind it may have been dropped with it.
        assert!(
            asked == expected || number > 2 && asked <= 2,
            "s{number}: {asked}"
        );
    }
    assert_eq!(world.played().last(), Some(&"s19.aac"));
    // A seek brings no more attempts.
    world.seek(second(9));
    world.play(second(1));
    world.reject_behind(0);
    world.play(LONG);
    assert!(world.failure.is_some());
}
