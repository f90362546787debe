//! Seeks of a stream that has no store, in a simulated world: what came whole is not asked for again.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use world::{Answer, World};

fn second(second: u64) -> Duration {
    Duration::from_secs(second)
}

/// A stream of so many segments of four seconds and so many bytes.
fn stream(count: usize, size: usize) -> World {
    let origin = move |path: &str, _: usize, _: Duration| match path {
        "list.m3u8" => {
            let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned();
            for number in 0..count {
                text += &format!("#EXTINF:4,\ns{number}\n");
            }
            Answer::Bytes((text + "#EXT-X-ENDLIST\n").into_bytes())
        }
        _ => Answer::Bytes(vec![7; size]),
    };
    World::new("list.m3u8", |config| config, origin)
}

#[test]
fn what_was_played_or_fetched_ahead_is_not_asked_for_again() {
    let mut world = stream(20, 60_000);
    world.play(second(9));
    // Back to what was played, forth to what was fetched ahead, and behind all of it.
    for to in [1, 17, 6, 60, 20, 2] {
        world.seek(second(to)).expect("a run");
        world.play(second(9));
    }
    world.play(second(1000));
    assert!(world.ended && world.failure.is_none());
    for number in 0..20 {
        let name = format!("s{number}");
        assert_eq!(world.count(&name), 1, "{name}");
    }
}

#[test]
fn what_is_set_aside_is_bounded_in_number_and_bytes() {
    for (count, size, most) in [(100, 1000, 32), (40, 5 << 20, 12)] {
        let mut world = stream(count, size);
        world.rate = Box::new(|_| 1e9);
        world.pace = f64::INFINITY;
        world.play(second(10_000));
        assert!(
            world.ended && world.failure.is_none(),
            "{:?}",
            world.failure
        );
        let aside = world.holdings().aside;
        assert!(
            (most - 2..=most).contains(&aside),
            "{aside} of {size} bytes"
        );
    }
}
