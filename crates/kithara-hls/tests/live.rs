//! Half an hour of a live stream: a server with jitter, late segments, stale copies and a restart, and a window on it.

#![allow(clippy::unwrap_used)] // A playlist that should be read and isn't is a failed test.

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use kithara_hls::{Freshness, MediaPlaylist, Merge, Window};
use support::media;

const TARGET: u64 = 6_000;
const LISTED: usize = 6;
/// The segment at which the server is started anew.
const RESTART: u64 = 200;
const HALF_AN_HOUR: u64 = 30 * 60 * 1000;

/// A segment as the server has it: its number, its name, its length, when it is published.
#[derive(Clone)]
struct Made {
    number: u64,
    name: u64,
    millis: u64,
    published: u64,
    discontinuity: bool,
}

struct Server {
    made: Vec<Made>,
    noise: u64,
}

impl Server {
    fn new(seed: u64) -> Self {
        let mut server = Self {
            made: Vec::new(),
            noise: seed * 2 + 1,
        };
        let (mut number, mut time) = (1_000, 0);
        for name in 0..HALF_AN_HOUR / 5_000 {
            let millis = 5_000 + server.random(1_000);
            time += millis;
            // Most are on time, some late, a few very late; none is published before the one in front of it.
            let late = [0, 200, 1_500, 5_000][server.random(4) as usize];
            let last = server.made.last().map_or(0, |last| last.published);
            let restart = name == RESTART;
            number = if restart { 0 } else { number + 1 };
            let discontinuity = restart || server.random(20) == 0;
            server.made.push(Made {
                number,
                name,
                millis,
                published: last.max(time + late),
                discontinuity,
            });
        }
        server
    }

    fn random(&mut self, below: u64) -> u64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        (self.noise.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    /// The list at a time, now and then from a copy that is some seconds old.
    fn list(&mut self, mut now: u64) -> MediaPlaylist {
        if self.random(5) == 0 {
            now = now.saturating_sub(TARGET);
        }
        let published = self.made.iter().take_while(|made| made.published <= now);
        let published: Vec<_> = published.cloned().collect();
        let mut listed = &published[published.len().saturating_sub(LISTED)..];
        // After a restart, what was before it is gone.
        if let Some(restart) = listed.iter().position(|made| made.number == 0) {
            listed = &listed[restart..];
        }
        let first = listed.first().map_or(0, |made| made.number);
        let before = published.iter().filter(|made| made.discontinuity).count();
        let within = listed.iter().filter(|made| made.discontinuity).count();
        let mut lines = format!(
            "#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
            before - within
        );
        for made in listed {
            if made.discontinuity {
                lines.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let (seconds, millis) = (made.millis / 1000, made.millis % 1000);
            writeln!(
                lines,
                "#EXTINF:{seconds}.{millis:03},\n{}.ts?{now}",
                made.name
            )
            .unwrap();
        }
        if now >= HALF_AN_HOUR {
            lines.push_str("#EXT-X-ENDLIST\n");
        }
        media(&lines).unwrap()
    }
}

/// Every segment that is seen, once: its name, and where it lies.
fn watch(seed: u64) -> (Server, Vec<(u64, Duration, Duration)>, usize, usize) {
    let mut server = Server::new(seed);
    let mut now = 40_000;
    let millis = Duration::from_millis;
    let mut window = Window::new(server.list(now), millis(now), millis(now));
    let (mut seen, mut requests, mut resets, mut late) = (Vec::new(), 1, 0, 0);
    let mut next = (0, window.playlist().first_sequence());
    loop {
        if window.epoch() != next.0 {
            next = (window.epoch(), window.playlist().first_sequence());
        }
        while let Some((segment, start)) = window.segment(next.1) {
            let name = segment
                .reference
                .split('.')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            seen.push((name, start, segment.duration));
            next.1 += 1;
        }
        let Some(at) = window.next_reload() else {
            return (server, seen, requests, resets);
        };
        assert!(at >= millis(now + 1_000), "asked again too soon");
        now = at.as_millis() as u64;
        // Late segments behind copies that lag behind may be called late, but not often, and never lost.
        late += usize::from(window.freshness(at) == Freshness::Late);
        let second = now / 1000;
        assert!(window.freshness(at) < Freshness::Lost, "second {second}");
        assert!(late < 5, "second {second}");
        requests += 1;
        match window.handle_reload(server.list(now), at, at) {
            Merge::Reset => resets += 1,
            Merge::Skipped { missed } => panic!("{missed} segments went by"),
            _ => {}
        }
    }
}

#[test]
fn half_an_hour_is_seen_whole_in_order_and_without_a_gap() {
    for seed in 0..20 {
        let (server, seen, requests, resets) = watch(seed);
        let first = seen.first().unwrap().0;
        let last = seen.last().unwrap().0;
        let (mut name, mut end) = (first, Duration::ZERO);
        for (found, start, duration) in seen {
            // What the server took off its list at the restart, nobody could have seen for longer than a reload.
            let gone = found == RESTART && (name..name + 3).contains(&found);
            assert!(found == name || gone, "seed {seed}: {found} for {name}");
            assert_eq!(start, end, "seed {seed}");
            let made = &server.made[found as usize];
            assert_eq!(duration, Duration::from_millis(made.millis));
            (name, end) = (found + 1, end + duration);
        }
        assert_eq!(resets, 1, "seed {seed}");
        let late = server
            .made
            .iter()
            .filter(|made| made.published <= HALF_AN_HOUR)
            .count() as u64;
        assert!(last + 2 >= late, "seed {seed}: ended at {last} of {late}");
        // About one for each segment, and some for late ones.
        assert!(requests < 500, "{requests} requests");
    }
}
