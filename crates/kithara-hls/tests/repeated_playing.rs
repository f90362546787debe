//! One resource named again and again, by a stream that has no store, in a simulated world.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use world::{Answer, World};

const LONG: Duration = Duration::from_secs(100_000);

/// So many segments, of these names in turn.
fn list(count: usize, names: &[&str]) -> Answer {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned();
    for number in 0..count {
        text += "#EXTINF:4,\n";
        text += names[number % names.len()];
        text += "\n";
    }
    Answer::Bytes((text + "#EXT-X-ENDLIST\n").into_bytes())
}

fn plays(world: &mut World, count: usize) {
    world.play(LONG);
    assert!(
        world.ended && world.failure.is_none(),
        "{:?}",
        world.failure
    );
    assert_eq!(world.played().len(), count);
}

#[test]
fn one_segment_named_a_hundred_thousand_times_is_fetched_once() {
    const TIMES: usize = 100_000;
    let origin = |path: &str, _: usize, _: Duration| match path {
        "list.m3u8" => list(TIMES, &["s"]),
        _ => Answer::Bytes(vec![7; 100]),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.pace = f64::INFINITY;
    plays(&mut world, TIMES);
    assert_eq!(world.count("s"), 1);
}

#[test]
fn a_few_segments_in_turn_are_fetched_once_each_at_any_pace() {
    for (pace, latency, size) in [
        (1.0, 40, 20_000),
        (1.0, 900, 20_000),
        (f64::INFINITY, 40, 20_000),
        (f64::INFINITY, 300, 200_000),
    ] {
        let names = ["a", "b", "a", "c"];
        let origin = move |path: &str, _: usize, _: Duration| match path {
            "list.m3u8" => list(100, &names),
            _ => Answer::Bytes(vec![7; size]),
        };
        let mut world = World::new("list.m3u8", |config| config, origin);
        (world.pace, world.latency) = (pace, Duration::from_millis(latency));
        plays(&mut world, 100);
        let expected: Vec<_> = (0..100).map(|number| names[number % 4]).collect();
        assert_eq!(world.played(), expected);
        for name in ["a", "b", "c"] {
            assert_eq!(world.count(name), 1, "{name} at {pace}, {latency} ms");
        }
    }
}

#[test]
fn one_that_breaks_or_is_refused_is_asked_for_as_if_it_were_named_once() {
    let whole = || vec![7; 60_000];
    for (what, first, most) in [
        ("a break", Answer::Broken(whole(), 20_000), 2),
        ("a status", Answer::Status(503), 2),
        ("a refusal", Answer::Status(404), 2),
        ("silence", Answer::Silence, 2),
    ] {
        for latency in [40, 900] {
            let first = first.clone();
            let origin = move |path: &str, before: usize, _: Duration| match path {
                "list.m3u8" => list(50, &["a", "a", "s"]),
                "s" if before == 0 => first.clone(),
                _ => Answer::Bytes(whole()),
            };
            let mut world = World::new("list.m3u8", |config| config, origin);
            world.latency = Duration::from_millis(latency);
            plays(&mut world, 50);
            assert!(world.count("s") <= most, "{what}: {}", world.count("s"));
            // While one that is silent is waited for, nothing else is in front of the reader.
            let most = 1 + usize::from(what == "silence");
            assert!(world.count("a") <= most, "{what}");
        }
    }
}

#[test]
fn one_that_is_left_by_a_seek_in_the_middle_of_its_transfer_is_had_again() {
    let origin = |path: &str, _: usize, _: Duration| match path {
        "list.m3u8" => list(50, &["s"]),
        _ => Answer::Bytes(vec![7; 100_000]),
    };
    let mut world = World::new("list.m3u8", |config| config, origin);
    world.rate = Box::new(|_| 50e3);
    for to in [42, 82, 122, 22] {
        world.play(Duration::from_millis(700));
        world.seek(Duration::from_secs(to)).expect("a run");
    }
    world.play(LONG);
    assert!(world.ended && world.failure.is_none());
    assert_eq!(world.played().len(), 45);
}
