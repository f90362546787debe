//! HLS segments that came whole and end early, or begin with what came before: what is missing is silence of its exact length,
//! what comes twice is heard once.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::ops::Range;

use kithara::audio::AudioEvent;
use kithara::{ErrorKind, GapPolicy, HlsEvent, ResourceEvent};
use kithara_tests::fixtures::hls::{self, HlsFixture};
use kithara_tests::server::Script;
use network::*;
use streams::*;

/// Frames of a packet of AAC.
const PACKET: usize = 1024;

/// Where the ADTS frames of a packed segment lie.
fn adts(segment: &[u8]) -> Vec<Range<usize>> {
    let mut at = tag_bytes(segment);
    let mut frames = Vec::new();
    while at < segment.len() {
        let head = &segment[at..at + 7];
        let bytes =
            usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
        frames.push(at..at + bytes);
        at += bytes;
    }
    frames
}

/// The bytes of the tag with the time of a packed segment.
fn tag_bytes(segment: &[u8]) -> usize {
    let size = segment[6..10]
        .iter()
        .fold(0, |size, byte| size << 7 | usize::from(*byte));
    10 + size
}

/// What is played of a title of which one segment has these bytes, without a rule for gaps.
fn played(fixture: &HlsFixture, path: &str, bytes: Vec<u8>) -> (Vec<f32>, Vec<ResourceEvent>) {
    let server = origin();
    server.serve(path, Script::file(bytes));
    let mut listener = Listener::open(config(&server.url(&fixture.playlist())));
    let played = listener.play();
    played.unwrap_or_else(|error| panic!("{path}: {error:?}"));
    assert_eq!(count(&server, path), 1, "{path}");
    (listener.pcm.clone(), listener.events())
}

/// Everything is the source's but this stretch, which is silent, and told.
fn has_a_hole(
    fixture: &HlsFixture,
    (pcm, events): &(Vec<f32>, Vec<ResourceEvent>),
    hole: Range<usize>,
    what: &str,
) {
    let all = pcm.len() / 2;
    assert_eq!(all, fixture.frames, "{what}");
    let before = frames(pcm, 0..hole.start);
    assert_eq!(fixture.difference_at(before, 0), None, "{what}, before");
    // What the decoder holds back of the packet before is in the first one.
    let silent = frames(pcm, hole.start + PACKET..hole.end)
        .iter()
        .all(|sample| *sample == 0.0);
    assert!(silent, "{what}: something is heard in {hole:?}");
    let behind = hole.end + 2 * PACKET;
    let after = frames(pcm, behind..all);
    assert_eq!(fixture.difference_at(after, behind), None, "{what}, behind");
    let missing: u64 = events
        .iter()
        .filter_map(|event| match event {
            ResourceEvent::Audio(AudioEvent::PacketSkipped { frames, .. }) => Some(*frames),
            _ => None,
        })
        .sum();
    assert_eq!(missing as usize, hole.len(), "{what}: told");
    let gaps = hls_events(events).filter(|event| matches!(event, HlsEvent::Gap { .. }));
    assert_eq!(gaps.count(), 0, "{what}");
}

#[test]
fn what_a_packed_segment_lacks_at_its_end_is_silence() {
    let fixture = hls::fixture("packed-aac");
    let counts: Vec<_> = (0..6)
        .map(|number| adts(&hls::file(&format!("packed-aac/{number}.aac"))).len())
        .collect();
    for number in [0, 2, 4] {
        let path = format!("/packed-aac/{number}.aac");
        let sound = hls::file(&path[1..]);
        let packets = adts(&sound);
        let before: usize = counts[..number].iter().sum();
        let end = (before + counts[number]) * PACKET;
        // Few packets, many, all but the first; each at its end, and within the next.
        for kept in [1, 20, packets.len() - 3] {
            for more in [0, 5, 40] {
                let cut = (packets[kept - 1].end + more).min(packets[kept].end - 1);
                let what = format!("{cut} bytes of {path}");
                let got = played(fixture, &path, sound[..cut].to_vec());
                has_a_hole(fixture, &got, (before + kept) * PACKET..end, &what);
            }
        }
    }
}

#[test]
fn noise_within_a_packed_segment_moves_nothing() {
    let fixture = hls::fixture("packed-aac");
    let path = "/packed-aac/2.aac";
    let mut sound = hls::file(&path[1..]);
    let packets = adts(&sound);
    let count = |number: usize| adts(&hls::file(&format!("packed-aac/{number}.aac"))).len();
    let before = count(0) + count(1);
    // To its end, so that nothing but the tag of the next one tells how much was there.
    let from = packets[30].start;
    sound.truncate(from + 2000);
    sound[from..].fill(0xaa);
    let hole = (before + 30) * PACKET..(before + packets.len()) * PACKET;
    has_a_hole(fixture, &played(fixture, path, sound), hole, path);
}

#[test]
fn what_a_packed_segment_has_again_is_heard_once() {
    let fixture = hls::fixture("packed-aac");
    for again in [2, 3, 11, 43] {
        let (first, second) = (hls::file("packed-aac/1.aac"), hls::file("packed-aac/2.aac"));
        let packets = adts(&first);
        let from = packets[packets.len() - again].start;
        let tag = tag_bytes(&second);
        let mut longer = second[..tag].to_vec();
        let time = longer.len() - 8;
        let stated = u64::from_be_bytes(longer[time..].try_into().expect("eight bytes"));
        let frames = again * PACKET;
        let earlier = stated - frames as u64 * 90_000 / 44_100;
        longer[time..].copy_from_slice(&earlier.to_be_bytes());
        longer.extend_from_slice(&first[from..]);
        longer.extend_from_slice(&second[tag..]);
        let (pcm, _) = played(fixture, "/packed-aac/2.aac", longer);
        assert_eq!(fixture.difference(&pcm), None, "{again} packets");
    }
}

#[test]
fn what_a_transport_stream_lacks_at_its_end_is_silence() {
    let fixture = hls::fixture("ts-aac");
    let segments = segments(fixture);
    for number in [0, 2, 4] {
        let path = format!("/ts-aac/{number}.ts");
        let sound = hls::file(&path[1..]);
        for cut in [188 * 40, 188 * 40 + 99, 188 * 61] {
            let what = format!("{cut} bytes of {path}");
            let got = played(fixture, &path, sound[..cut].to_vec());
            let end = (segments[number].end + PACKET / 2) / PACKET * PACKET;
            // Where it begins, its event tells, and that is held to the sound around it.
            let begin = got.1.iter().find_map(|event| match event {
                ResourceEvent::Audio(AudioEvent::PacketSkipped { frame, .. }) => Some(*frame),
                _ => None,
            });
            let begin = begin.unwrap_or_else(|| panic!("{what}: nothing is told")) as usize;
            assert!(segments[number].contains(&begin), "{what}: {begin}");
            has_a_hole(fixture, &got, begin..end, &what);
        }
    }
}

#[test]
fn a_fragment_that_is_cut_follows_the_rule_for_gaps_from_where_it_ends() {
    let fixture = hls::fixture("aac-48");
    let segments = segments(fixture);
    for number in [0, 2, 5] {
        let path = format!("/aac-48/{number}.m4s");
        let sound = hls::file(&path[1..]);
        let media = sound
            .windows(4)
            .position(|word| word == b"mdat")
            .expect("media")
            - 4;
        for cut in [
            9,
            media / 2,
            media,
            media + 8,
            media + 2000,
            sound.len() - 1,
        ] {
            let what = format!("{cut} bytes of {path}");
            let gap = &segments[number];
            for policy in [None, Some(GapPolicy::Silence)] {
                let server = origin();
                server.serve(&path, Script::file(sound[..cut].to_vec()));
                let mut config = config(&server.url(&fixture.playlist()));
                if let Some(policy) = policy {
                    config = config.with_gap_policy(policy);
                }
                let opened = Listener::try_open(config);
                let (pcm, result) = match opened {
                    Ok(mut listener) => {
                        let result = listener.play();
                        (listener.pcm, result)
                    }
                    Err(error) => (Vec::new(), Err(error)),
                };
                let all = pcm.len() / 2;
                assert!(count(&server, &path) <= 7, "{what}");
                let sure = frames(&pcm, 0..all.min(gap.start.saturating_sub(64)));
                assert_eq!(fixture.difference_at(sure, 0), None, "{what}, before");
                if policy.is_none() {
                    let error = result.err().unwrap_or_else(|| panic!("{what}: it played"));
                    assert_eq!(error.kind(), ErrorKind::WrongContent, "{what}: {error:?}");
                    let told = format!("{error:?}");
                    assert!(
                        told.contains(&format!("segment {number}")),
                        "{what}: {told}"
                    );
                    let last = frames(&pcm, 0..all);
                    assert_eq!(fixture.difference_at(last, 0), None, "{what}, to its end");
                    assert!(all <= gap.end && all + PACKET >= gap.start, "{what}: {all}");
                    continue;
                }
                result.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                let rounding = if number == 2 { 0 } else { 64 };
                assert!(all.abs_diff(fixture.frames) <= rounding, "{what}: {all}");
                let behind = gap.end + 2 * PACKET;
                if behind < all {
                    let after = frames(&pcm, behind..all);
                    assert_eq!(fixture.difference_at(after, behind), None, "{what}, behind");
                }
            }
        }
    }
}
