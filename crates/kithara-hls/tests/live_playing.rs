//! Live streams, played for half an hour of simulated time against windows that slide, stumble and begin anew.

#[path = "support/world.rs"]
mod world;

use std::ops::Range;
use std::time::Duration;

use kithara_hls::{GapPolicy, HlsConfig, HlsError, HlsEvent, HlsPolicy, Merge};
use kithara_stream::RunCause;
use world::{Answer, World};

const SEGMENT: u64 = 4;
const SECOND: Duration = Duration::from_secs(1);

/// What the origin does with its window.
#[derive(Clone, Copy, Default)]
struct Live {
    /// Segments are listed so much later than they should be, in turn.
    jitter: [f64; 4],
    /// A discontinuity in front of every segment whose number divides by this.
    breaks_every: u64,
    /// From this time on numbers begin anew, at zero.
    resets_at: Option<u64>,
    /// From this time on nothing is added.
    stops_at: Option<u64>,
    /// From this time on the end is announced.
    ends_at: Option<u64>,
    listed: u64,
}

impl Live {
    fn listed(&self, now: Duration) -> u64 {
        let now = now.as_secs_f64() + 60.0;
        let now = self
            .stops_at
            .map_or(now, |stop| now.min(stop as f64 + 60.0));
        let count = (now / SEGMENT as f64) as u64;
        let late = self.jitter[(count % 4) as usize];
        ((now - late) / SEGMENT as f64) as u64
    }

    fn playlist(&self, now: Duration) -> Vec<u8> {
        let (mut end, mut name) = (self.listed(now), "s");
        let window = self.listed.max(6);
        let mut first = end.saturating_sub(window);
        if let Some(reset) = self.resets_at
            && now.as_secs() >= reset
        {
            let before = self.listed(Duration::from_secs(reset));
            end -= before;
            first = first.saturating_sub(before).min(end);
            name = "t";
        }
        let mut text =
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:{SEGMENT}\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        if self.breaks_every > 0 {
            // Those that slid out of the window, the one in front of the first segment apart.
            let passed = first.div_ceil(self.breaks_every);
            text += &format!("#EXT-X-DISCONTINUITY-SEQUENCE:{passed}\n");
        }
        for number in first..end {
            if self.breaks_every > 0 && number % self.breaks_every == 0 {
                text += "#EXT-X-DISCONTINUITY\n";
            }
            text += &format!("#EXTINF:{SEGMENT},\n{name}{number}.aac\n");
        }
        if self.ends_at.is_some_and(|at| now.as_secs() >= at) {
            text += "#EXT-X-ENDLIST\n";
        }
        text.into_bytes()
    }

    fn world(self) -> World {
        let origin = move |path: &str, _: usize, now: Duration| match path {
            "live.m3u8" => Answer::Bytes(self.playlist(now)),
            _ => Answer::Bytes(vec![7; 64_000]),
        };
        World::new("live.m3u8", |config| config, origin)
    }
}

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// The numbers of what was played.
fn numbers(world: &World) -> Vec<u64> {
    let number = |path: &str| {
        path[1..]
            .trim_end_matches(".aac")
            .parse()
            .expect("a number")
    };
    world.played().into_iter().map(number).collect()
}

fn no_gap(world: &World) {
    let gap = world
        .events
        .iter()
        .find(|event| matches!(event, HlsEvent::Gap { .. }));
    assert!(gap.is_none(), "{gap:?}");
}

#[test]
fn half_an_hour_of_a_sliding_window_has_no_gap_that_the_origin_had_not() {
    for jitter in [[0.0; 4], [0.0, 3.0, 1.0, 2.0]] {
        let live = Live {
            jitter,
            ..Live::default()
        };
        let mut world = live.world();
        world.play(HALF_AN_HOUR);
        let played = numbers(&world);
        assert!(played.len() > 440, "{} segments", played.len());
        assert!(
            played.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{played:?}"
        );
        no_gap(&world);
        assert!(world.failure.is_none());
        assert_eq!(world.run_facts().len(), 1);
        // It joins three target durations behind the edge.
        let late = jitter.iter().any(|late| *late > 0.0);
        assert_eq!(played[0], 60 / SEGMENT - 3 - u64::from(late));
        let reloads = world.count("live.m3u8") as u64;
        assert!(reloads < 1800 / 2 + 20, "{reloads} reloads");
        let mut segments: Vec<_> = world.requests.iter().map(|(path, _)| path).collect();
        segments.retain(|path| *path != "live.m3u8");
        let asked = segments.len();
        segments.dedup();
        assert_eq!(segments.len(), asked, "each once");
    }
}

#[test]
fn discontinuities_begin_runs_of_another_clock() {
    let live = Live {
        breaks_every: 5,
        ..Live::default()
    };
    let mut world = live.world();
    world.play(HALF_AN_HOUR);
    let played = numbers(&world);
    assert!(played.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    no_gap(&world);
    let runs = world.run_facts();
    assert!(runs.len() > 80, "{}", runs.len());
    for pair in runs.windows(2) {
        assert_eq!(pair[1].cause, RunCause::Discontinuity);
        assert_ne!(pair[0].timing, pair[1].timing);
        if pair[0].cause == RunCause::Discontinuity {
            assert_eq!(pair[1].start - pair[0].start, Duration::from_secs(20));
        }
    }
}

#[test]
fn numbers_that_begin_anew_are_another_stream_behind_the_one_before() {
    let live = Live {
        resets_at: Some(600),
        ..Live::default()
    };
    let mut world = live.world();
    world.play(HALF_AN_HOUR);
    assert!(world.failure.is_none(), "{:?}", world.failure);
    let played = world.played();
    let anew = played
        .iter()
        .position(|path| path.starts_with('t'))
        .expect("the other stream");
    assert!(
        anew > 130 && played.len() - anew > 270,
        "{anew} of {}",
        played.len()
    );
    let resets = world.events.iter().filter(|event| {
        let HlsEvent::PlaylistLoaded { merge, .. } = event else {
            return false;
        };
        *merge == Some(Merge::Reset)
    });
    assert_eq!(resets.count(), 1, "and that is told");
    let numbers = numbers(&world);
    assert!(
        numbers[anew..]
            .windows(2)
            .all(|pair| pair[0] + 1 == pair[1])
    );
}

#[test]
fn a_window_that_stands_still_is_told_and_then_named() {
    let live = Live {
        stops_at: Some(60),
        ..Live::default()
    };
    let mut world = live.world();
    let is_late = |world: &World| {
        let mut events = world.events.iter();
        events.any(|event| matches!(event, HlsEvent::Late { .. }))
    };
    // The last segment is listed at a minute, and seen by the next reload.
    let target = Duration::from_secs(SEGMENT);
    let stops = Duration::from_secs(60);
    world.play(stops + target * 7 / 2 - SECOND);
    assert!(!is_late(&world), "{:?}", world.events);
    world.play(target + SECOND);
    assert!(is_late(&world), "{:?}", world.events);
    world.play(stops + target * 10 - SECOND - world.now);
    assert!(world.failure.is_none(), "{:?}", world.failure);
    world.play(target + 2 * SECOND);
    let failure = world.failure.as_ref().expect("it is lost");
    assert!(
        matches!(HlsError::from_stream(failure), Some(HlsError::Stuck { .. })),
        "{failure}"
    );
    assert!(world.now < Duration::from_secs(60 + 60), "{:?}", world.now);
    assert_asked_every_second_at_most(&world);
}

#[test]
fn a_live_stream_that_ends_is_one_that_has_ended() {
    let live = Live {
        stops_at: Some(120),
        ends_at: Some(124),
        ..Live::default()
    };
    let mut world = live.world();
    world.play(HALF_AN_HOUR);
    assert!(
        world.ended && world.failure.is_none(),
        "{:?}",
        world.failure
    );
    let told: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            HlsEvent::Window { live, .. } => Some(*live),
            _ => None,
        })
        .collect();
    assert_eq!((told.first(), told.last()), (Some(&true), Some(&false)));
    world.seek(Duration::from_secs(130));
    world.play(HALF_AN_HOUR);
    assert!(world.ended && world.failure.is_none());
}

#[test]
fn a_listener_who_falls_behind_the_window_jumps_into_it_and_is_told() {
    let mut world = Live::default().world();
    world.play(Duration::from_secs(60));
    world.pace = 0.0;
    world.play(Duration::from_secs(300));
    world.pace = 1.0;
    world.play(Duration::from_secs(300));
    assert!(world.failure.is_none());
    let jumped = world
        .events
        .iter()
        .filter(|event| matches!(event, HlsEvent::Gap { silent: false, .. }))
        .count();
    assert_eq!(jumped, 1);
    assert!(
        world
            .run_facts()
            .iter()
            .any(|facts| facts.cause == RunCause::Skip)
    );
}

#[test]
fn a_seek_stays_inside_the_window() {
    let live = Live {
        listed: 40,
        ..Live::default()
    };
    let mut world = live.world();
    world.play(Duration::from_secs(200));
    for to in [0, 100, 150, 5000] {
        let facts = world.seek(Duration::from_secs(to)).expect("a run").clone();
        world.play(Duration::from_secs(20));
        assert!(world.failure.is_none(), "{to}: {:?}", world.failure);
        assert!(facts.start <= world.now + Duration::from_secs(60));
    }
}

#[test]
fn a_seek_is_to_a_time_whatever_reloads_come_meanwhile() {
    // Another window with every reload, and every fourth list is lost.
    let origin = |path: &str, before: usize, now: Duration| match path {
        "live.m3u8" if before % 4 == 3 => Answer::Status(503),
        "live.m3u8" => {
            let first = now.as_secs() / SEGMENT + before as u64 % 3;
            let mut text = format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:{SEGMENT}\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
            );
            for number in first..first + 30 {
                text += &format!("#EXTINF:{SEGMENT},\ns{number}.aac\n");
            }
            Answer::Bytes(text.into_bytes())
        }
        _ => Answer::Bytes(vec![7; 64_000]),
    };
    for offset in [0, 1, 2, 3, 5] {
        let mut world = World::new("live.m3u8", |config| config, origin);
        // Segments come slowly: lists are loaded while the first one sought is on its way.
        world.play(Duration::from_secs(20 + offset));
        world.rate = Box::new(|_| 9e3);
        let before = world.heard.len();
        // Segment 10, wherever it is in the list by then.
        let to = Duration::from_secs(10 * SEGMENT + 1);
        let facts = world.seek(to).expect("a run");
        assert_eq!(facts.start, Duration::from_secs(10 * SEGMENT), "{offset}");
        let lists = world.count("live.m3u8");
        world.rate = Box::new(|_| 20e3);
        world.play(Duration::from_secs(30));
        assert!(world.count("live.m3u8") > lists + 2, "{offset}");
        assert!(world.failure.is_none(), "{offset}: {:?}", world.failure);
        let played = numbers(&world);
        let sought = &played[before..];
        assert_eq!(sought.first(), Some(&10), "{offset}: {sought:?}");
        assert!(
            sought.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{sought:?}"
        );
        assert!(sought.len() > 3, "{offset}: {sought:?}");
        no_gap(&world);
    }
}

/// A live stream that lists its first segment at that time.
fn beginning_at(begins: Duration) -> World {
    let origin = move |path: &str, _: usize, now: Duration| match path {
        "live.m3u8" if now < begins => {
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{SEGMENT}\n");
            Answer::Bytes(text.into_bytes())
        }
        "live.m3u8" => Answer::Bytes(Live::default().playlist(now)),
        _ => Answer::Bytes(vec![7; 64_000]),
    };
    World::new("live.m3u8", |config| config, origin)
}

#[test]
fn a_live_stream_that_has_not_begun_is_waited_for() {
    let mut world = beginning_at(Duration::from_secs(30));
    world.play(Duration::from_secs(60));
    assert!(world.failure.is_none(), "{:?}", world.failure);
    assert!(world.played().len() > 4, "{:?}", world.played());
    no_gap(&world);
}

#[test]
fn a_live_stream_that_never_begins_fails() {
    let mut world = beginning_at(HALF_AN_HOUR);
    world.play(Duration::from_secs(60));
    let failure = world.failure.as_ref().expect("a failure");
    assert!(failure.to_string().contains("has not changed"), "{failure}");
}

/// A live stream with this line for its target duration, in segments of twelve seconds.
fn with_target(line: &'static str, stops_at: u64) -> World {
    const LONG: u64 = 12;
    let origin = move |path: &str, _: usize, now: Duration| match path {
        "live.m3u8" => {
            let end = now.as_secs().min(stops_at) / LONG + 20;
            let first = end - 8;
            let mut text = format!("#EXTM3U\n{line}#EXT-X-MEDIA-SEQUENCE:{first}\n");
            for number in first..end {
                text += &format!("#EXTINF:{LONG},\ns{number}.aac\n");
            }
            Answer::Bytes(text.into_bytes())
        }
        _ => Answer::Bytes(vec![7; 64_000]),
    };
    let mut world = World::new("live.m3u8", |config| config, origin);
    world.length = Box::new(|_| LONG as f64);
    world
}

#[test]
fn a_target_duration_that_is_none_or_too_short_makes_no_storm_and_nothing_late() {
    for line in [
        "#EXT-X-TARGETDURATION:1\n",
        "#EXT-X-TARGETDURATION:0\n",
        "#EXT-X-TARGETDURATION:-1\n",
        "#EXT-X-TARGETDURATION:5.0\n",
        "#EXT-X-TARGETDURATION:0.1\n",
        "#EXT-X-TARGETDURATION:18446744073709551616\n",
        "#EXT-X-TARGETDURATION:\n",
        "",
    ] {
        let mut world = with_target(line, u64::MAX);
        world.play(HALF_AN_HOUR);
        assert!(world.failure.is_none(), "{line}{:?}", world.failure);
        let played = numbers(&world);
        assert!(played.len() > 140, "{line}{} segments", played.len());
        assert!(played.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        no_gap(&world);
        for event in &world.events {
            assert!(!matches!(event, HlsEvent::Late { .. }), "{line}{event:?}");
        }
        // Nobody who stays behind the edge as far as segments are long ever waits there.
        let after_start = world.waited < Duration::from_secs(1);
        assert!(after_start, "{line}waited {:?}", world.waited);
        assert_asked_every_second_at_most(&world);
        // If it stands still, that is told, and named in the end.
        let mut world = with_target(line, 120);
        world.play(HALF_AN_HOUR);
        let failure = world.failure.as_ref().and_then(HlsError::from_stream);
        let lost = matches!(failure, Some(HlsError::Stuck { still, .. }) if still.as_secs() == 120);
        assert!(lost, "{line}{failure:?}");
        assert_asked_every_second_at_most(&world);
    }
}

#[test]
fn a_target_duration_of_years_is_not_waited_for() {
    let mut world = with_target("#EXT-X-TARGETDURATION:300000000\n", 0);
    world.play(Duration::from_secs(3 * 3600));
    let failure = world.failure.as_ref().and_then(HlsError::from_stream);
    assert!(
        matches!(failure, Some(HlsError::Stuck { .. })),
        "{failure:?}"
    );
    assert!(world.count("live.m3u8") > 10);
}

fn assert_asked_every_second_at_most(world: &World) {
    let requests = world.requests.iter();
    let lists = requests.filter(|(path, _)| path == "live.m3u8");
    let times: Vec<_> = lists.map(|(_, at)| *at).collect();
    let pairs = times.windows(2);
    let soonest = pairs.map(|pair| pair[1] - pair[0]).min();
    assert!(soonest >= Some(Duration::from_secs(1)), "{times:?}");
}

/// A live stream of which these segments are announced as missing.
fn without(missing: Range<u64>, policy: Option<GapPolicy>) -> World {
    let origin = move |path: &str, _: usize, now: Duration| {
        let refused = missing.start.checked_sub(1);
        match path {
            "live.m3u8" => {
                let text = Live::default().playlist(now);
                Answer::Bytes(announce_gaps(&text, &missing))
            }
            _ if refused == number(path) => Answer::Status(404),
            _ => Answer::Bytes(vec![7; 64_000]),
        }
    };
    let with_policy = |config: HlsConfig| {
        config.with_policy(HlsPolicy {
            gap: policy,
            ..HlsPolicy::default()
        })
    };
    World::new("live.m3u8", with_policy, origin)
}

fn announce_gaps(text: &[u8], missing: &Range<u64>) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(|line| match number(line) {
        Some(number) if missing.contains(&number) => format!("#EXT-X-GAP\n{line}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect::<String>().into_bytes()
}

fn number(path: &str) -> Option<u64> {
    path.strip_prefix('s')?.strip_suffix(".aac")?.parse().ok()
}

#[test]
fn a_live_stream_that_begins_with_a_long_gap_is_waited_for() {
    let mut world = without(0..40, Some(GapPolicy::Skip));
    world.play(Duration::from_secs(180));
    assert!(world.failure.is_none(), "{:?}", world.failure);
    assert_eq!(numbers(&world).first(), Some(&40));
}

#[test]
fn what_follows_a_long_gap_behind_a_segment_that_is_missing_is_played() {
    let mut world = without(20..40, None);
    world.play(Duration::from_secs(180));
    assert!(world.failure.is_none(), "{:?}", world.failure);
    let played = numbers(&world);
    let behind = played.iter().position(|number| *number == 40);
    assert!(behind.is_some_and(|at| played[at - 1] == 18), "{played:?}");
}
