//! The rule at work: a player with a buffer, on links that change.

#![allow(clippy::unwrap_used)] // A scenario that can't be read is a failed test.

use std::fmt::Write as _;
use std::time::Duration;

use kithara_abr::{
    AbrController, AbrDecision, AbrOptions, AbrReason, SampleSource, SegmentWatch,
    ThroughputSample, Variant,
};

const LADDER: [u64; 4] = [64_000, 128_000, 320_000, 1_000_000];
const SEGMENT: u64 = 6_000;
const STEP: u64 = 100;
/// A player fetches no further ahead than this.
const MOST_BUFFERED: u64 = 30_000;
const ROUND_TRIP: u64 = 100;

/// A link as text: `0 2000, 60 150` carries 2000 kbit/s at first, and 150 from second 60 on.
#[derive(Clone)]
struct Link(Vec<(u64, u64)>);

impl Link {
    fn parse(text: &str) -> Self {
        let change = |part: &str| {
            let (second, kilobits) = part.trim().split_once(' ').unwrap();
            (
                second.parse::<u64>().unwrap() * 1000,
                kilobits.parse().unwrap(),
            )
        };
        Self(text.split(',').map(change).collect())
    }

    fn bits(&self, at: u64) -> u64 {
        let now = self.0.iter().rev().find(|(since, _)| *since <= at);
        now.map_or(0, |(_, kilobits)| kilobits * STEP)
    }
}

struct Transfer {
    variant: usize,
    began: u64,
    size: u64,
    received: u64,
    watch: SegmentWatch,
}

/// What happened, and what must never.
#[derive(Default)]
struct Outcome {
    /// Each switch as `second:variant reason`.
    switches: String,
    ups: Vec<u64>,
    /// Milliseconds in which there was nothing to play, once the first guess could be mended: two segments.
    silence: u64,
    given_up: usize,
    whole: usize,
    /// Given up without a whole one between.
    twice: usize,
    last: usize,
}

struct Player {
    abr: AbrController,
    link: Link,
    now: u64,
    playhead: u64,
    /// Where the whole segments end.
    whole: u64,
    transfer: Option<Transfer>,
    outcome: Outcome,
    given_up_since: bool,
}

impl Player {
    fn new(link: Link, options: AbrOptions) -> Self {
        let variant = |(variant_index, bandwidth_bps): (usize, &u64)| Variant {
            variant_index,
            bandwidth_bps: *bandwidth_bps,
        };
        let variants: Vec<_> = LADDER.iter().enumerate().map(variant).collect();
        Self {
            abr: AbrController::new(options, &variants).unwrap(),
            link,
            now: 0,
            playhead: 0,
            whole: 0,
            transfer: None,
            outcome: Outcome::default(),
            given_up_since: false,
        }
    }

    fn run(mut self, seconds: u64) -> Outcome {
        while self.now < seconds * 1000 {
            if self.transfer.is_none() && self.whole + SEGMENT <= self.playhead + MOST_BUFFERED {
                let buffered = self.whole.saturating_sub(self.playhead);
                let buffered = Duration::from_millis(buffered);
                let decision = self.abr.decide(self.time(), buffered);
                self.follow(decision);
            }
            self.step();
            self.now += STEP;
        }
        self.outcome
    }

    fn follow(&mut self, decision: AbrDecision) {
        let variant = decision.target_variant_index;
        if decision.changed {
            let second = self.now / 1000;
            write!(
                self.outcome.switches,
                "{second}:{variant} {:?}, ",
                decision.reason
            )
            .unwrap();
            self.outcome.last = variant;
            if decision.reason == AbrReason::UpSwitch {
                self.outcome.ups.push(self.now);
            }
        }
        self.abr.apply(self.time(), &decision);
        self.transfer = Some(Transfer {
            variant,
            began: self.now,
            size: LADDER[variant] * SEGMENT / 8000,
            received: 0,
            watch: SegmentWatch::new(self.time(), Duration::from_millis(SEGMENT)),
        });
    }

    fn step(&mut self) {
        let now = Duration::from_millis(self.now + STEP);
        self.play();
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        if self.now < transfer.began + ROUND_TRIP {
            return;
        }
        if transfer.received == 0 {
            transfer.watch.handle_head(now, Some(transfer.size));
        }
        transfer.received += self.link.bits(self.now) / 8;
        transfer.watch.handle_progress(now, transfer.received);
        if transfer.received >= transfer.size {
            self.arrived();
        } else {
            self.maybe_give_up(now);
        }
    }

    /// What is on its way is played while it comes.
    fn play(&mut self) {
        let part = self.transfer.as_ref().map_or(0, |transfer| {
            SEGMENT * transfer.received.min(transfer.size) / transfer.size
        });
        if self.whole + part >= self.playhead + STEP {
            self.playhead += STEP;
        } else if self.whole > 2 * SEGMENT {
            self.outcome.silence += STEP;
        }
    }

    fn arrived(&mut self) {
        let transfer = self.transfer.take().unwrap();
        self.sample(&transfer);
        self.abr.handle_segment();
        self.whole += SEGMENT;
        self.outcome.whole += 1;
        self.given_up_since = false;
    }

    fn maybe_give_up(&mut self, now: Duration) {
        let transfer = self.transfer.as_ref().unwrap();
        let until_end = Duration::from_millis((self.whole + SEGMENT).saturating_sub(self.playhead));
        let Some(decision) = self.abr.abandon(now, until_end, &transfer.watch) else {
            return;
        };
        let transfer = self.transfer.take().unwrap();
        assert!(decision.target_variant_index < transfer.variant, "down");
        self.sample(&transfer);
        self.outcome.given_up += 1;
        self.outcome.twice += usize::from(std::mem::replace(&mut self.given_up_since, true));
        self.follow(decision);
    }

    fn sample(&mut self, transfer: &Transfer) {
        self.abr.handle_sample(&ThroughputSample {
            bytes: transfer.received,
            elapsed: Duration::from_millis(self.now + STEP - transfer.began - ROUND_TRIP),
            source: SampleSource::Network,
        });
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.now)
    }
}

fn check(link: &str, seconds: u64, switches: &str, silence: u64) {
    let outcome = Player::new(Link::parse(link), AbrOptions::default()).run(seconds);
    assert_eq!(outcome.switches.trim_end_matches(", "), switches, "{link}");
    assert_eq!(outcome.silence, silence, "{link}");
    assert_eq!(outcome.twice, 0, "{link}");
}

#[test]
fn on_links_that_change_it_switches_like_this() {
    // Fast enough for all, for some, for the first guess only just, for the lowest only.
    check("0 4000", 600, "0:2 Initial, 1:3 UpSwitch", 0);
    check("0 500", 600, "0:2 Initial", 0);
    check("0 150", 600, "0:2 Initial, 0:1 Abandoned", 0);
    check("0 80", 600, "0:2 Initial, 0:0 Abandoned", 0);
    // Collapses, for good and for two minutes.
    check(
        "0 4000, 60 100",
        600,
        "0:2 Initial, 1:3 UpSwitch, 61:2 Abandoned, 80:0 DownSwitch",
        0,
    );
    check(
        "0 4000, 60 250, 180 4000",
        600,
        "0:2 Initial, 1:3 UpSwitch, 84:1 DownSwitch, 210:2 UpSwitch, 270:3 UpSwitch",
        0,
    );
    // Gets better by and by.
    check(
        "0 300, 60 600, 120 2000",
        600,
        "0:2 Initial, 2:1 Abandoned, 121:2 UpSwitch, 217:3 UpSwitch",
        0,
    );
    // Stands still for ten seconds: what is buffered lasts, and nothing is fetched twice but one segment.
    check(
        "0 4000, 60 0, 70 4000",
        600,
        "0:2 Initial, 1:3 UpSwitch, 61:0 Abandoned, 96:2 UpSwitch, 126:3 UpSwitch",
        0,
    );
    // Hiccups of two seconds are no reason.
    check(
        "0 4000, 100 50, 102 4000, 140 50, 142 4000",
        600,
        "0:2 Initial, 1:3 UpSwitch",
        0,
    );
}

/// Any link of five stretches of any speed.
fn random_link(seed: u64) -> Link {
    let mut state = seed * 2 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    };
    let mut since = 0;
    let stretch = |_| {
        let change = (since, 40 << (next() % 8));
        since += 1000 + next() % 90_000;
        change
    };
    Link((0..8).map(stretch).collect())
}

#[test]
fn on_any_link_it_goes_up_rarely_gives_up_once_and_settles() {
    for seed in 0..120 {
        let mut link = random_link(seed);
        // Quiet minutes at the end.
        let quiet = 400_000;
        link.0.retain(|(since, _)| *since < quiet);
        let speed = link.0.last().unwrap().1;
        let before = Player::new(link.clone(), AbrOptions::default()).run(quiet / 1000 + 300);
        let after = Player::new(link.clone(), AbrOptions::default()).run(quiet / 1000 + 600);
        for outcome in [&before, &after] {
            let close = outcome.ups.windows(2).any(|two| two[1] - two[0] < 30_000);
            assert!(!close, "seed {seed}: {}", outcome.switches);
            assert_eq!(outcome.twice, 0, "seed {seed}");
        }
        // What it carries exactly may drain the buffer for an hour before it is left; then it is, once.
        let more = after.switches.matches(',').count() - before.switches.matches(',').count();
        let settled = after.ups == before.ups && more <= 1;
        assert!(
            settled,
            "seed {seed}: {} then {}",
            before.switches, after.switches
        );
        // In what the link carries, if it carries anything.
        let carried = LADDER
            .iter()
            .rposition(|bps| *bps <= speed * 1000)
            .unwrap_or(0);
        assert!(
            after.last <= carried,
            "seed {seed}: {} at {speed}",
            after.switches
        );
    }
}

#[test]
fn a_link_that_always_carries_twice_the_lowest_never_falls_silent() {
    for seed in 0..120 {
        let mut link = random_link(seed);
        for (_, kilobits) in &mut link.0 {
            *kilobits = (*kilobits).max(160);
        }
        let outcome = Player::new(link, AbrOptions::default()).run(600);
        assert_eq!(outcome.silence, 0, "seed {seed}: {}", outcome.switches);
    }
}
