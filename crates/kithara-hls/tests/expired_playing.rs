//! Access that is refused from some moment on, in a simulated world: what is there plays, and then the stream has expired.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use kithara_hls::HlsError;
use kithara_stream::StreamError;
use kithara_stream::net::NetError;
use world::{Answer, World};

const SEGMENTS: u64 = 40;
const LONG: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

const BOTH: &[u8] = b"#EXTM3U\n\
    #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\nlow/list.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\nhigh/list.m3u8\n";

fn served(path: &str) -> Answer {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name {
        "m.m3u8" => Answer::Bytes(BOTH.to_vec()),
        "list.m3u8" => {
            let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n".to_owned();
            for number in 0..SEGMENTS {
                text += &format!("#EXTINF:4,\ns{number}.aac\n");
            }
            Answer::Bytes((text + "#EXT-X-ENDLIST\n").into_bytes())
        }
        _ => Answer::Bytes(vec![7; 64_000]),
    }
}

/// A live list that gets a segment every four seconds.
fn live(now: Duration) -> Answer {
    let end = now.as_secs() / 4 + 15;
    let first = end - 6;
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for number in first..end {
        text += &format!("#EXTINF:4,\ns{number}.aac\n");
    }
    Answer::Bytes(text.into_bytes())
}

fn failure(world: &World) -> &HlsError {
    let failure = world.failure.as_ref().expect("it cannot go on");
    HlsError::from_stream(failure).expect("an error of ours")
}

#[track_caller]
fn assert_expired(error: &HlsError, status: u16) {
    let Some(StreamError::Net(net)) = error.transfer() else {
        panic!("{error:?}");
    };
    let expired = matches!(net.root(), NetError::Expired { status: told, .. } if *told == status);
    assert!(expired, "{error:?}");
}

#[test]
fn a_pause_of_an_hour_costs_no_request_and_what_is_there_is_heard_before_the_stream_has_expired() {
    for status in [401, 403] {
        for entry in ["low/list.m3u8", "m.m3u8"] {
            let origin = move |path: &str, _: usize, now: Duration| match now < HOUR {
                true => served(path),
                false => Answer::Status(status),
            };
            let mut world = World::new(entry, |config| config, origin);
            world.play(Duration::from_secs(10));
            world.pace = 0.0;
            world.play(Duration::from_secs(60));
            let asked = world.requests.len();
            world.play(HOUR);
            assert_eq!(world.requests.len(), asked, "nobody reads");
            assert!(world.failure.is_none());
            world.pace = 1.0;
            world.play(LONG);
            let HlsError::Segment { sequence, .. } = failure(&world) else {
                panic!("{:?}", world.failure);
            };
            assert_expired(failure(&world), status);
            // Thirty seconds were there beside the ten that had been heard, each is heard once, and nothing after them.
            let heard = world.played().len() as u64;
            assert_eq!(heard, *sequence);
            assert!((9..=12).contains(&heard), "{heard}");
            // Each variant is asked twice for the segment that is refused first, and no more.
            let variants = if entry == "m.m3u8" { 2 } else { 1 };
            let more = world.requests.len() - asked;
            assert!(more <= 4 * variants, "{more} requests");
        }
    }
}

#[test]
fn a_listener_who_comes_back_with_a_new_access_goes_on_where_it_stopped() {
    let origin = |path: &str, _: usize, now: Duration| match now.as_secs() {
        60..300 => Answer::Status(403),
        _ => served(path),
    };
    let mut world = World::new("low/list.m3u8", |config| config, origin);
    world.play(Duration::from_secs(290));
    assert_expired(failure(&world), 403);
    let HlsError::Segment { sequence, .. } = *failure(&world) else {
        panic!("{:?}", world.failure);
    };
    world.play(Duration::from_secs(300).saturating_sub(world.now));
    while world.now < Duration::from_secs(301) {
        world.rest();
    }
    let facts = world
        .seek(Duration::from_secs(4 * sequence + 2))
        .expect("a run");
    assert_eq!(facts.start, Duration::from_secs(4 * sequence));
    world.play(LONG);
    assert!(world.ended && world.failure.is_none());
    assert_eq!(world.played().len() as u64, SEGMENTS);
}

#[test]
fn a_live_list_that_is_refused_for_ever_has_expired_after_ten_target_durations() {
    for status in [401, 403] {
        let origin = move |path: &str, _: usize, now: Duration| match path {
            "live.m3u8" if now.as_secs() >= 60 => Answer::Status(status),
            "live.m3u8" => live(now),
            _ => Answer::Bytes(vec![7; 64_000]),
        };
        let mut world = World::new("live.m3u8", |config| config, origin);
        world.play(LONG);
        assert!(matches!(failure(&world), HlsError::Load { .. }));
        assert_expired(failure(&world), status);
        assert!(world.now < Duration::from_secs(60 + 50), "{:?}", world.now);
        // Whatever was listed is heard.
        assert_eq!(world.played().last(), Some(&"s28.aac"));
    }
    // One that is refused for a while goes on.
    let origin = |path: &str, _: usize, now: Duration| match (path, now.as_secs()) {
        ("live.m3u8", 60..75) => Answer::Status(403),
        ("live.m3u8", _) => live(now),
        _ => Answer::Bytes(vec![7; 64_000]),
    };
    let mut world = World::new("live.m3u8", |config| config, origin);
    world.play(LONG);
    assert!(world.failure.is_none(), "{:?}", world.failure);
}

#[test]
fn what_is_refused_from_the_beginning_is_told_by_its_status() {
    for status in [401, 403] {
        let mut world = World::new(
            "m.m3u8",
            |config| config,
            move |_, _, _| Answer::Status(status),
        );
        world.play(LONG);
        let Some(StreamError::Net(net)) = failure(&world).transfer() else {
            panic!("{:?}", world.failure);
        };
        let told = matches!(net.root(), NetError::Http { status: told, .. } if *told == status);
        assert!(told, "{net:?}");
    }
}
