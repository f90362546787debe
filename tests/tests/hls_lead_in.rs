//! Switches of variants where the segment before is at hand: the new variant is settled by the time it is heard.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use cache::Cache;
use kithara::audio::AudioEvent;
use kithara::{AbrMode, HlsEvent, ResourceEvent};
use network::*;
use streams::*;

/// Frames of every variant of the title.
const FRAMES: usize = 485_100;

/// All that is heard is one of these, from one frame to the next: the frames from which it is another.
#[track_caller]
fn seams(heard: &[f32], variants: &[Vec<f32>]) -> Vec<usize> {
    let is_at =
        |variant: &&Vec<f32>, at: usize| frames(variant, at..at + 1) == frames(heard, at..at + 1);
    let reach = |variant: &Vec<f32>, from: usize| {
        let mut all = from..FRAMES;
        all.find(|at| !is_at(&variant, *at)).unwrap_or(FRAMES)
    };
    let (mut at, mut seams) = (0, Vec::new());
    while at < FRAMES {
        let longest = variants.iter().map(|variant| reach(variant, at)).max();
        let next = longest.expect("variants");
        assert!(next > at, "frame {at} is of no variant, behind {seams:?}");
        seams.push(next);
        at = next;
    }
    seams.pop();
    seams
}

#[test]
fn a_variant_that_was_played_before_is_exact_from_the_switch_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = origin();
    let url = server.url("/lossless.m3u8");
    // All of them are in the store afterwards.
    let variants: Vec<_> = (0..4)
        .map(|variant| {
            let cache = Cache::at(folder.path());
            let config = cache.config(&url).with_abr_mode(AbrMode::Manual(variant));
            let mut listener = Listener::open(config);
            listener.play().expect("it plays");
            let pcm = listener.pcm.clone();
            drop(listener);
            cache.end();
            pcm
        })
        .collect();
    let fetched = media_paths(&server.requests()).len();
    let mut switches = 0;
    let mut orders = [[0, 3, 1, 0], [3, 2, 3, 1], [1, 2, 0, 3]]
        .into_iter()
        .cycle();
    // How soon a choice is heard of is nobody's to say.
    while switches < 6 {
        let order = orders.next().expect("they come again");
        let cache = Cache::at(folder.path());
        let config = cache.config(&url).with_hls_policy(near());
        let mut listener = Listener::open(config.with_abr_mode(AbrMode::Manual(order[0])));
        let control = listener.resource.control();
        for variant in order {
            control.set_abr_mode(AbrMode::Manual(variant));
            listener.read_samples(2 * 120_000).expect("it plays");
        }
        listener.play().expect("it plays");
        assert_eq!(listener.pcm.len() / 2, FRAMES, "{order:?}");
        let told = listener.events();
        let changed =
            |event: &&HlsEvent| matches!(event, HlsEvent::VariantChanged { from: Some(_), .. });
        let changes = hls_events(&told).filter(changed).count();
        let seams = seams(&listener.pcm, &variants);
        assert!(seams.len() <= changes, "{order:?}: {seams:?} for {changes}");
        switches += seams.len();
        for event in &told {
            if let ResourceEvent::Audio(AudioEvent::Spliced { ramp, at }) = event {
                assert!(!ramp, "{order:?}: a ramp at {at:?}");
            }
        }
        drop((listener, told));
        cache.end();
    }
    assert_eq!(media_paths(&server.requests()).len(), fetched);
}
