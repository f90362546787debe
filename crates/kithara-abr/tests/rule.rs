//! Each sentence of the rule, as a table.

#![allow(clippy::unwrap_used)] // A ladder that can't be made is a failed test.

use std::time::Duration;

use kithara_abr::{
    AbrController, AbrDecision, AbrMode, AbrOptions, AbrReason, Estimator, SegmentWatch,
    ThroughputSample, Variant,
};

/// A network of which everything is known: it carries what it says.
#[derive(Clone, Debug)]
struct Known(Option<u64>);

impl Estimator for Known {
    fn handle_sample(&mut self, sample: &ThroughputSample) {
        self.0 = Some(sample.bytes);
    }

    fn bits_per_second(&self) -> Option<u64> {
        self.0
    }
}

const LADDER: [u64; 4] = [64_000, 128_000, 320_000, 1_000_000];

fn variants(bandwidths: &[u64]) -> Vec<Variant> {
    let variant = |(variant_index, bandwidth_bps): (usize, &u64)| Variant {
        variant_index,
        bandwidth_bps: *bandwidth_bps,
    };
    bandwidths.iter().enumerate().map(variant).collect()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Plays `current` since second 0, on a network that carries so many kilobits per second.
fn playing(current: usize, kilobits: Option<u64>) -> AbrController<Known> {
    let network = Known(kilobits.map(|kilobits| kilobits * 1000));
    let options = AbrOptions::default();
    let mut abr = AbrController::with_estimator(options, &variants(&LADDER), network).unwrap();
    abr.apply(at(0), &decision(current, AbrReason::Initial));
    abr
}

fn decision(target: usize, reason: AbrReason) -> AbrDecision {
    AbrDecision {
        target_variant_index: target,
        reason,
        changed: true,
    }
}

fn check(abr: &AbrController<Known>, now: u64, buffered: u64, target: usize, reason: AbrReason) {
    let expected = AbrDecision {
        changed: abr.current() != Some(target),
        ..decision(target, reason)
    };
    let decided = abr.decide(at(now), at(buffered));
    assert_eq!(
        decided,
        expected,
        "at {now}, {buffered} s, {:?}",
        abr.throughput()
    );
}

#[test]
fn the_buffer_and_the_throughput_decide() {
    use AbrReason::{AlreadyOptimal, BufferTooLowForUpSwitch, DownSwitch, NoEstimate, UpSwitch};
    for (current, kilobits, buffered, target, reason) in [
        (1, None, 60, 1, NoEstimate),
        // Up, by more than one step, only with half as much again in hand.
        (0, Some(1500), 10, 3, UpSwitch),
        (0, Some(1499), 10, 2, UpSwitch),
        (0, Some(192), 10, 1, UpSwitch),
        (0, Some(191), 10, 0, AlreadyOptimal),
        (0, Some(1500), 9, 0, BufferTooLowForUpSwitch),
        // Kept between the two thresholds.
        (2, Some(352), 0, 2, AlreadyOptimal),
        (2, Some(351), 6, 2, AlreadyOptimal),
        (2, Some(256), 6, 2, AlreadyOptimal),
        // Down: with little buffered early, with much late.
        (2, Some(351), 5, 1, DownSwitch),
        (2, Some(255), 6, 1, DownSwitch),
        (2, Some(255), 600, 1, DownSwitch),
        (3, Some(100), 60, 0, DownSwitch),
        // There is nothing below.
        (0, Some(0), 0, 0, AlreadyOptimal),
        (0, Some(1), 60, 0, AlreadyOptimal),
    ] {
        check(&playing(current, kilobits), 1, buffered, target, reason);
    }
}

#[test]
fn a_switch_up_waits_for_the_last_switch_and_one_down_does_not() {
    let mut abr = playing(0, Some(1500));
    // The first one is no switch.
    let up = abr.decide(at(5), at(10));
    assert_eq!(up, decision(3, AbrReason::UpSwitch));
    abr.apply(at(5), &up);
    abr.handle_sample(&sample(300_000));
    let down = abr.decide(at(7), at(20));
    assert_eq!(down, decision(1, AbrReason::DownSwitch));
    abr.apply(at(7), &down);
    abr.handle_sample(&sample(5_000_000));
    check(&abr, 8, 20, 1, AbrReason::MinInterval);
    check(&abr, 36, 20, 1, AbrReason::MinInterval);
    check(&abr, 37, 20, 3, AbrReason::UpSwitch);
}

/// What [`Known`] takes for the throughput itself.
fn sample(bits_per_second: u64) -> ThroughputSample {
    ThroughputSample {
        bytes: bits_per_second,
        elapsed: at(1),
        source: kithara_abr::SampleSource::Network,
    }
}

#[test]
fn it_begins_where_it_is_told_or_with_what_the_first_guess_carries() {
    for (mode, guess, first, reason) in [
        (AbrMode::Auto(None), 500_000, 2, AbrReason::Initial),
        (AbrMode::Auto(None), 400_000, 1, AbrReason::Initial),
        (AbrMode::Auto(None), 0, 0, AbrReason::Initial),
        (AbrMode::Auto(Some(3)), 0, 3, AbrReason::Initial),
        (AbrMode::Auto(Some(9)), 500_000, 2, AbrReason::Initial),
        (AbrMode::Capped(200_000), 9_000_000, 1, AbrReason::Initial),
        (AbrMode::Capped(1), 9_000_000, 0, AbrReason::Initial),
        (AbrMode::Manual(3), 0, 3, AbrReason::ManualOverride),
        (AbrMode::Manual(9), 500_000, 2, AbrReason::Initial),
    ] {
        let options = AbrOptions {
            mode,
            initial_bps: guess,
            ..AbrOptions::default()
        };
        let variants = variants(&LADDER);
        let abr = AbrController::with_estimator(options, &variants, Known(None)).unwrap();
        check(&abr, 0, 0, first, reason);
    }
}

#[test]
fn a_listener_who_chose_is_not_overruled() {
    let mut abr = playing(0, Some(10));
    abr.set_mode(AbrMode::Manual(3));
    check(&abr, 1, 0, 3, AbrReason::ManualOverride);
    abr.apply(at(1), &abr.decide(at(1), at(0)));
    abr.handle_failure(at(2), 3);
    check(&abr, 2, 0, 3, AbrReason::ManualOverride);
    let mut watch = SegmentWatch::new(at(2), at(6));
    watch.handle_progress(at(8), 10);
    assert_eq!(abr.abandon(at(8), at(0), &watch), None);
    // Left to the rule again, it goes where the network lets it.
    abr.set_mode(AbrMode::Auto(None));
    check(&abr, 100, 20, 0, AbrReason::DownSwitch);
}

#[test]
fn a_cap_holds_at_once_and_as_long_as_it_is_there() {
    let mut abr = playing(3, Some(9000));
    abr.set_mode(AbrMode::Capped(320_000));
    check(&abr, 1, 60, 2, AbrReason::Capped);
    abr.apply(at(1), &abr.decide(at(1), at(60)));
    check(&abr, 60, 60, 2, AbrReason::AlreadyOptimal);
    abr.set_mode(AbrMode::Capped(10));
    check(&abr, 60, 60, 0, AbrReason::Capped);
    abr.set_mode(AbrMode::Auto(None));
    check(&abr, 60, 60, 3, AbrReason::UpSwitch);
}

#[test]
fn a_variant_that_failed_is_left_for_a_minute_and_then_taken_again() {
    let mut abr = playing(2, Some(600));
    abr.handle_failure(at(10), 2);
    check(&abr, 10, 60, 1, AbrReason::Failed);
    abr.apply(at(10), &abr.decide(at(10), at(60)));
    check(&abr, 69, 60, 1, AbrReason::AlreadyOptimal);
    assert_eq!(abr.next_retry(at(69)), Some(at(70)));
    check(&abr, 70, 60, 2, AbrReason::UpSwitch);
    assert_eq!(abr.next_retry(at(70)), None);
}

#[test]
fn with_the_lower_ones_gone_a_higher_one_is_better_than_none() {
    let mut abr = playing(0, Some(70));
    abr.handle_failure(at(1), 0);
    check(&abr, 1, 0, 1, AbrReason::Failed);
    abr.handle_failure(at(2), 1);
    check(&abr, 2, 0, 2, AbrReason::Failed);
    abr.handle_failure(at(3), 2);
    abr.handle_failure(at(4), 3);
    check(&abr, 4, 0, 0, AbrReason::NoneAvailable);
    assert_eq!(abr.next_retry(at(4)), Some(at(61)));
    check(&abr, 61, 0, 0, AbrReason::AlreadyOptimal);
}

#[test]
fn a_failed_variant_above_a_cap_stays_gone() {
    let mut abr = playing(1, Some(9000));
    abr.set_mode(AbrMode::Capped(128_000));
    abr.handle_failure(at(1), 0);
    abr.handle_failure(at(1), 1);
    // Nothing under the cap works: the lowest that does.
    check(&abr, 1, 60, 2, AbrReason::Failed);
}

#[test]
fn copies_of_a_variant_stand_in_for_each_other_and_are_not_switched_between() {
    let ladder = variants(&[64_000, 320_000, 320_000]);
    let network = Known(Some(9_000_000));
    let mut abr = AbrController::with_estimator(AbrOptions::default(), &ladder, network).unwrap();
    check(&abr, 0, 0, 1, AbrReason::Initial);
    abr.apply(at(0), &abr.decide(at(0), at(0)));
    abr.handle_failure(at(1), 1);
    check(&abr, 1, 60, 2, AbrReason::Failed);
    abr.apply(at(1), &abr.decide(at(1), at(60)));
    check(&abr, 100, 60, 2, AbrReason::AlreadyOptimal);
}

#[test]
fn a_segment_is_given_up_once_and_not_again_until_one_is_whole() {
    let mut abr = playing(3, Some(9000));
    let mut watch = SegmentWatch::new(at(10), at(6));
    watch.handle_head(at(10), Some(750_000));
    watch.handle_progress(at(10), 0);
    watch.handle_progress(at(12), 50_000);
    let early = Duration::from_millis(10_900);
    assert_eq!(abr.abandon(early, at(0), &watch), None, "not yet");
    assert_eq!(abr.abandon(at(12), at(60), &watch), None, "in time");
    let given_up = abr.abandon(at(12), at(2), &watch).unwrap();
    assert_eq!(given_up, decision(0, AbrReason::Abandoned));
    abr.apply(at(12), &given_up);
    // The one in its place is as slow, and is left alone, even if there were a lower one.
    abr.apply(at(12), &decision(2, AbrReason::UpSwitch));
    assert_eq!(abr.abandon(at(12), at(0), &watch), None);
    abr.handle_segment();
    assert!(abr.abandon(at(12), at(0), &watch).is_some());
}

#[test]
fn no_ladder_is_no_controller_and_any_ladder_is_one() {
    assert!(AbrController::new(AbrOptions::default(), &[]).is_none());
    for ladder in [&[0][..], &[0, 0], &[u64::MAX, 0, u64::MAX], &[7; 300]] {
        let variants = variants(ladder);
        let mut abr = AbrController::new(AbrOptions::default(), &variants).unwrap();
        for now in [0, 10, u64::MAX] {
            let decision = abr.decide(at(now), at(now));
            assert!(decision.target_variant_index < ladder.len());
            abr.apply(at(now), &decision);
            abr.handle_failure(at(now), decision.target_variant_index);
        }
    }
}
