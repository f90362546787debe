//! Links that collapse and variants that fail, in a simulated world: what is fetched twice, how long a variant is left alone, and how
//! long a listener waits for what will not come.

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use kithara_hls::abr::AbrMode;
use kithara_hls::{GapPolicy, HlsConfig, HlsError, HlsEvent, HlsPolicy};
use world::{Answer, World};

const SEGMENTS: u64 = 60;
const LONG: Duration = Duration::from_secs(900);

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
    if name != "list.m3u8" {
        return Answer::Bytes(vec![7; size]);
    }
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned();
    for number in 0..SEGMENTS {
        text += &format!("#EXTINF:4,\ns{number}.aac\n");
    }
    Answer::Bytes((text + "#EXT-X-ENDLIST\n").into_bytes())
}

/// The title whose `high` and `mid` answer otherwise, for segments of these numbers.
fn failing(folders: &'static [&str], numbers: std::ops::Range<u64>, answer: Answer) -> World {
    let origin = move |path: &str, _: usize, _: Duration| {
        let (folder, name) = path.split_once('/').unwrap_or(("", path));
        let number = name
            .strip_prefix('s')
            .and_then(|name| name.strip_suffix(".aac"));
        let number = number.and_then(|number| number.parse().ok());
        match number.is_some_and(|number| numbers.contains(&number)) && folders.contains(&folder) {
            true => answer.clone(),
            false => three(path),
        }
    };
    let auto = |config: HlsConfig| config.with_abr_mode(AbrMode::Auto(Some(1)));
    World::new("m.m3u8", auto, origin)
}

/// The names of what was played, without its variant.
fn names(world: &World) -> Vec<String> {
    let name = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
    world.played().into_iter().map(name).collect()
}

fn all() -> Vec<String> {
    (0..SEGMENTS)
        .map(|number| format!("s{number}.aac"))
        .collect()
}

#[test]
fn a_link_that_collapses_inside_a_segment_costs_at_most_that_segment_twice() {
    for collapses_at in [40_u64, 41, 43, 47, 55] {
        let mut world = World::new("m.m3u8", |config| config, |path, _, _| three(path));
        // Enough for the best, and then for hardly more than the least.
        world.rate = Box::new(move |now| match now.as_secs() {
            seconds if seconds < collapses_at => 200e3,
            _ => 12e3,
        });
        world.play(LONG);
        assert!(world.failure.is_none(), "{:?}", world.failure);
        assert_eq!(names(&world), all(), "collapses at {collapses_at} s");
        let mut asked = BTreeMap::<&str, usize>::new();
        let segments = world
            .requests
            .iter()
            .filter_map(|(path, _)| path.split_once('/'));
        for (_, name) in segments.filter(|(_, name)| name.ends_with(".aac")) {
            *asked.entry(name).or_default() += 1;
        }
        let twice: Vec<_> = asked.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.len() <= 1, "collapses at {collapses_at} s: {twice:?}");
        let low = world
            .played()
            .iter()
            .filter(|path| path.starts_with("low/"))
            .count();
        assert!(
            low > 20,
            "collapses at {collapses_at} s: {low} of the least"
        );
        let first = Duration::from_secs(3);
        assert!(world.waited < first, "{collapses_at}: {:?}", world.waited);
    }
}

#[test]
fn a_variant_that_fails_is_left_alone_for_a_minute_and_then_tried_again() {
    for status in [403, 404, 410, 500, 503] {
        let mut world = failing(&["mid"], 20..21, Answer::Status(status));
        // Enough for this variant, and for none above.
        world.rate = Box::new(|_| 30e3);
        world.play(LONG);
        assert!(world.failure.is_none(), "{status}: {:?}", world.failure);
        assert_eq!(names(&world), all(), "{status}");
        let failed = world
            .requests
            .iter()
            .rev()
            .find(|(path, _)| path == "mid/s20.aac");
        let (_, failed) = failed.expect("it was asked for");
        let later = world
            .requests
            .iter()
            .filter(|(path, at)| path.starts_with("mid/s") && at > failed);
        let again = later.map(|(_, at)| *at - *failed).min();
        let minute = Duration::from_secs(60);
        let again = again.unwrap_or_else(|| panic!("{status}: never tried again"));
        assert!(again >= minute, "{status}: tried again after {again:?}");
        assert!(
            again < 3 * minute,
            "{status}: tried again only after {again:?}"
        );
    }
}

#[test]
fn a_variant_without_a_single_segment_is_asked_for_few() {
    let mut world = failing(&["high", "mid"], 0..SEGMENTS, Answer::Status(404));
    world.play(LONG);
    assert!(world.failure.is_none(), "{:?}", world.failure);
    assert_eq!(names(&world), all());
    let missed = world.requests.iter().filter(|(path, _)| {
        path.ends_with(".aac") && (path.starts_with("high/") || path.starts_with("mid/"))
    });
    // Twice each time, and each of the two once a minute.
    let missed = missed.count();
    assert!(missed <= 2 * 2 * (1 + 240 / 60 + 1), "{missed} requests");
}

#[test]
fn what_will_not_come_is_told_within_a_minute_of_waiting_and_then_nothing_is_asked() {
    for answer in [
        Answer::Status(404),
        Answer::Status(500),
        Answer::Status(503),
        Answer::Silence,
        Answer::Broken(vec![7; 32_000], 0),
    ] {
        for lost in [0, 7, SEGMENTS - 1] {
            let all_three = &["low", "mid", "high"];
            let mut world = failing(all_three, lost..lost + 1, answer.clone());
            world.play(LONG);
            let what = format!("{answer:?} at {lost}")
                .chars()
                .take(40)
                .collect::<String>();
            let failure = world.failure.as_ref().and_then(HlsError::from_stream);
            let Some(HlsError::Segment { sequence, .. }) = failure else {
                panic!("{what}: {failure:?}");
            };
            assert_eq!(*sequence, lost, "{what}");
            assert_eq!(names(&world), all()[..lost as usize], "{what}");
            let waited = world.waited;
            assert!(
                waited <= Duration::from_secs(61),
                "{what}: waited {waited:?}"
            );
            for folder in all_three {
                let asked = world.count(&format!("{folder}/s{lost}.aac"));
                let times: Vec<_> = world
                    .requests
                    .iter()
                    .filter(|(path, _)| path.ends_with(&format!("/s{lost}.aac")))
                    .collect();
                assert!(
                    asked <= 7,
                    "{what}: {folder} was asked {asked} times {times:?}"
                );
            }
            let told = world.events.iter();
            let told = told
                .filter(|event| matches!(event, HlsEvent::Failed { .. }))
                .count();
            assert_eq!(told, 1, "{what}");
            let asked = world.requests.len();
            for _ in 0..5000 {
                world.rest();
            }
            assert_eq!(
                world.requests.len(),
                asked,
                "{what}: a stream that failed is quiet"
            );
        }
    }
}

/// A live stream in ranges of one file that grows: each segment is listed so long before all of its bytes are there.
fn growing(early: f64, policy: Option<GapPolicy>) -> World {
    const BYTES: usize = 20_000;
    let origin = move |path: &str, _: usize, now: Duration| {
        let written = now.as_secs_f64() / 4.0 + 15.0;
        if path != "live.m3u8" {
            return Answer::Bytes(vec![7; (written * BYTES as f64) as usize]);
        }
        let end = (written + early / 4.0) as usize;
        let first = end - 8;
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for number in first..end {
            let from = number * BYTES;
            text += &format!("#EXTINF:4,\n#EXT-X-BYTERANGE:{BYTES}@{from}\nall.aac\n");
        }
        Answer::Bytes(text.into_bytes())
    };
    let with_policy = |config: HlsConfig| {
        config.with_policy(HlsPolicy {
            gap: policy,
            ..HlsPolicy::default()
        })
    };
    World::new("live.m3u8", with_policy, origin)
}

#[test]
fn a_range_that_is_not_there_yet_is_waited_for_in_a_live_stream() {
    for policy in [None, Some(GapPolicy::Stop)] {
        for early in [0.5, 2.0, 3.9, 6.0] {
            let mut world = growing(early, policy);
            world.play(Duration::from_secs(300));
            assert!(world.failure.is_none(), "{early}: {:?}", world.failure);
            let gap = |event: &&HlsEvent| matches!(event, HlsEvent::Gap { .. });
            let gap = world.events.iter().find(gap);
            assert!(gap.is_none(), "{early}: {gap:?}");
            assert!(
                world.played().len() > 60,
                "{early}: {}",
                world.played().len()
            );
            let asked = world.count("all.aac");
            assert!(
                asked <= 7 * world.played().len(),
                "{early}: {asked} requests"
            );
        }
    }
}
