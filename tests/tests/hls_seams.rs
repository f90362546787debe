//! Where an HLS title goes on in a variant of another codec: the decoder is another, what is heard is at every frame one of the two, and
//! the step from the last frame of the one to the first of the other is as small as the two are alike.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::ops::Range;
use std::time::Duration;

use kithara::audio::AudioEvent;
use kithara::{AbrMode, ResourceEvent};
use network::*;
use streams::*;

/// Around a seam, to either side: longer than what a packet of AAC leaves to the next.
const NEAR: usize = 2048;

/// The title in one variant of AAC at 48, 96 or 160 kbit/s, or FLAC, to its end.
fn whole(variant: usize) -> Vec<f32> {
    let server = origin();
    let config = config(&server.url("/lossless.m3u8"));
    let mut listener = Listener::open(config.with_abr_mode(AbrMode::Manual(variant)));
    listener.play().expect("it plays");
    listener.pcm
}

/// The title, begun in one variant and continued in the other; where that was, and whether a ramp was told.
fn switched(from: usize, to: usize) -> (Vec<f32>, Vec<(Duration, bool)>) {
    let server = origin();
    let config = config(&server.url("/lossless.m3u8"));
    let config = config.with_abr_mode(AbrMode::Manual(from));
    let mut listener = Listener::open(config.with_hls_policy(near()));
    listener.read_samples(2 * 60_000).expect("it plays");
    let control = listener.resource.control();
    control.set_abr_mode(AbrMode::Manual(to));
    listener.play().expect("it plays");
    let told = listener.events();
    let seams = told.iter().filter_map(|event| match event {
        ResourceEvent::Audio(AudioEvent::Spliced { at, ramp }) => Some((*at, *ramp)),
        _ => None,
    });
    let seams = seams.collect();
    (listener.pcm, seams)
}

/// The largest difference between samples that these are.
fn largest(pairs: impl Iterator<Item = (f32, f32)>) -> f32 {
    pairs
        .map(|(one, other)| (one - other).abs())
        .fold(0.0, f32::max)
}

fn apart(one: &[f32], other: &[f32], part: Range<usize>) -> f32 {
    let (one, other) = (frames(one, part.clone()), frames(other, part));
    largest(one.iter().copied().zip(other.iter().copied()))
}

/// The largest step from a frame to the next.
fn step(pcm: &[f32], part: Range<usize>) -> f32 {
    let held = frames(pcm, part);
    largest(held[2..].iter().copied().zip(held.iter().copied()))
}

#[test]
fn a_seam_between_codecs_is_no_click() {
    let variants = [0, 1, 2, 3].map(whole);
    for (from, to) in [(0, 3), (3, 0), (2, 3), (3, 2), (0, 2), (2, 0)] {
        let what = format!("{from} to {to}");
        let (pcm, seams) = switched(from, to);
        assert_eq!(pcm.len(), variants[from].len(), "{what}");
        // FLAC has nothing to settle, and a segment of AAC begins in front of where one of FLAC ends.
        let [(at, false)] = seams[..] else {
            panic!("{what}: one switch is told, and no ramp: {seams:?}");
        };
        let (old, new) = (&variants[from], &variants[to]);
        let at = (at.as_secs_f64() * 44_100.0).round() as usize;
        // In front of it the one, behind it the other; but a decoder that goes on makes the first packet of what the one before
        // left, as in a stream of one variant.
        assert_eq!(apart(&pcm, old, 0..at), 0.0, "{what}, before {at}");
        let goes_on = from < 3 && to < 3;
        let from_here = if goes_on { at + 1024 } else { at };
        let behind = apart(&pcm, new, from_here..pcm.len() / 2);
        assert!(behind < 1e-6, "{what}, behind {at}: {behind}");
        // The step over the seam is one of either, and by how much the two differ there.
        let near = at - NEAR..at + NEAR;
        let steps = step(old, near.clone()).max(step(new, near.clone()));
        let most = steps + apart(old, new, near.clone());
        let seam = step(&pcm, near);
        assert!(
            seam <= most,
            "{what}: a step of {seam}, where {most} is one of theirs"
        );
    }
}
