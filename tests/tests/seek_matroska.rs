//! A long Matroska file over HTTP: a seek outside of what is downloaded takes the cues and the cluster, two requests, and
//! lands on the frame.

#[path = "support/network.rs"]
mod network;

use std::time::Duration;

use kithara::net::NetOptions;
use kithara::{ResourceConfig, SeekMode};
use kithara_tests::fixtures::{Generated, long_flac};
use kithara_tests::server::{FaultServer, LoggedRequest, Script};
use network::*;

const RATE: u64 = 44_100;
const BLOCK: u64 = 4096;
/// Blocks of a cluster: 80 KiB, which is 5 s of ordinary music.
const CLUSTER_BLOCKS: usize = 5;

#[test]
fn a_fast_seek_by_cues_takes_two_requests_and_lands_on_the_frame() {
    const SAMPLES: usize = 20_000;
    let flac = long_flac(60);
    let film = matroska(&flac, Cues::Last);
    let whole = local(&film, "mka");
    assert_eq!(whole.len() as u64, flac.frames * 2);
    for seconds in [57.0, 41.234_567, 30.0, 20.5] {
        let server = FaultServer::start();
        // Slow, so that only what the seek itself asks for is asked for.
        server.serve("/a.mka", Script::file(film.clone()).throttle(300_000));
        let tap = Tap::default();
        let config = ResourceConfig::new(server.url("/a.mka"))
            .expect("a URL")
            .without_store()
            .with_client(tap.on(client(NetOptions::default(), quick())))
            .with_look_ahead_bytes(LOOK_AHEAD);
        let mut listener = Listener::open(config);
        let before = server.requests().len();
        assert_eq!(before, 1, "only the front");
        let to = Duration::from_secs_f64(seconds);
        let (frame, exact) = listener.seek(to, SeekMode::Fast).expect("seeks");
        let asked = places(&server.requests()[before..]);
        assert_eq!(
            asked.len(),
            2,
            "{seconds} s: the cues and the cluster: {asked:?}"
        );
        let (cues, cluster) = (asked[0], asked[1]);
        assert!(
            cluster < cues && cues > film.len() as u64 * 9 / 10,
            "{asked:?}"
        );
        assert_eq!((frame, exact), (listener.resource.spec().frames(to), true));
        listener.read_samples(SAMPLES).expect("plays");
        let at = frame as usize * 2;
        let what = format!("from {seconds} s");
        assert_same(&listener.pcm, &whole[at..at + SAMPLES], &what);

        // The cues are known now: another place is one request.
        let before = server.requests().len();
        let (frame, exact) = listener
            .seek(Duration::from_secs(10), SeekMode::Fast)
            .expect("seeks again");
        assert_eq!((frame, exact), (10 * RATE, true));
        let asked = places(&server.requests()[before..]);
        assert_eq!(asked.len(), 1, "{seconds} s, then 10 s: {asked:?}");
        listener.pcm.clear();
        listener.read_samples(SAMPLES).expect("plays");
        let at = frame as usize * 2;
        assert_same(&listener.pcm, &whole[at..at + SAMPLES], "from 10 s");
        tap.assert_no_byte_twice();
    }
}

#[test]
fn cues_in_front_are_found_without_a_request_of_their_own() {
    let flac = long_flac(60);
    let film = matroska(&flac, Cues::First);
    let whole = local(&film, "mka");
    let server = FaultServer::start();
    server.serve("/a.mka", Script::file(film).throttle(300_000));
    let config = ResourceConfig::new(server.url("/a.mka"))
        .expect("a URL")
        .without_store()
        .with_client(client(NetOptions::default(), quick()))
        .with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    let before = server.requests().len();
    let (frame, exact) = listener
        .seek(Duration::from_secs(45), SeekMode::Fast)
        .expect("seeks");
    assert_eq!((frame, exact), (45 * RATE, true));
    assert_eq!(server.requests().len() - before, 1);
    listener.read_samples(20_000).expect("plays");
    let at = frame as usize * 2;
    assert_same(&listener.pcm, &whole[at..at + 20_000], "from 45 s");
}

/// Where the requests began.
fn places(requests: &[LoggedRequest]) -> Vec<u64> {
    let ranges = requests.iter().filter_map(|request| request.range);
    ranges.map(|range| range.0).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Cues {
    /// Before the clusters, as a tidied file has them.
    First,
    /// Behind the clusters, as they are written in one go.
    Last,
}

/// The frames of a FLAC file in Matroska (RFC 9559), with times in milliseconds and a cue for each
/// cluster.
fn matroska(flac: &Generated, place: Cues) -> Vec<u8> {
    let (header, audio) = flac.bytes.split_at(42);
    let starts: Vec<usize> = flac_frame_starts(audio).collect();
    let millis = |block: usize| (block as u64 * BLOCK * 1000 + RATE / 2) / RATE;
    let mut clusters = Vec::new();
    for (number, blocks) in starts.chunks(CLUSTER_BLOCKS).enumerate() {
        let first = number * CLUSTER_BLOCKS;
        let mut body = element(&[0xe7], &number_bytes(millis(first)));
        for (index, start) in blocks.iter().enumerate() {
            let block = first + index;
            let end = starts.get(block + 1).copied().unwrap_or(audio.len());
            let delta = (millis(block) - millis(first)) as u16;
            // Track 1, the time within the cluster, a key frame without lacing.
            let mut simple = vec![0x81];
            simple.extend_from_slice(&delta.to_be_bytes());
            simple.push(0x80);
            simple.extend_from_slice(&audio[*start..end]);
            body.extend(element(&[0xa3], &simple));
        }
        clusters.push((millis(first), element(&[0x1f, 0x43, 0xb6, 0x75], &body)));
    }
    let info = element(
        &[0x15, 0x49, 0xa9, 0x66],
        &[
            element(&[0x2a, 0xd7, 0xb1], &number_bytes(1_000_000)),
            element(&[0x44, 0x89], &(flac.frames as f64 / 44.1).to_be_bytes()),
        ]
        .concat(),
    );
    let tracks = tracks(header);
    // Every number has eight bytes and every size too, so that lengths are known before places are.
    let seek_head = |cues: u64| {
        let seek = [
            element(&[0x53, 0xab], &[0x1c, 0x53, 0xbb, 0x6b]),
            element(&[0x53, 0xac], &number_bytes(cues)),
        ];
        element(
            &[0x11, 0x4d, 0x9b, 0x74],
            &element(&[0x4d, 0xbb], &seek.concat()),
        )
    };
    let cues = |first_cluster: u64| {
        let mut at = first_cluster;
        let points = clusters.iter().map(|(time, cluster)| {
            let position = [
                element(&[0xf7], &number_bytes(1)),
                element(&[0xf1], &number_bytes(at)),
            ];
            at += cluster.len() as u64;
            let point = [
                element(&[0xb3], &number_bytes(*time)),
                element(&[0xb7], &position.concat()),
            ];
            element(&[0xbb], &point.concat())
        });
        element(
            &[0x1c, 0x53, 0xbb, 0x6b],
            &points.collect::<Vec<_>>().concat(),
        )
    };
    let front = (seek_head(0).len() + info.len() + tracks.len()) as u64;
    let media: Vec<u8> = clusters
        .iter()
        .flat_map(|(_, cluster)| cluster.clone())
        .collect();
    let body = match place {
        Cues::First => {
            let behind = front + cues(0).len() as u64;
            [seek_head(front), info, tracks, cues(behind), media].concat()
        }
        Cues::Last => {
            let behind = front + media.len() as u64;
            [seek_head(behind), info, tracks, media, cues(front)].concat()
        }
    };
    let kind = element(&[0x42, 0x82], b"matroska");
    let file = element(&[0x1a, 0x45, 0xdf, 0xa3], &kind);
    [file, element(&[0x18, 0x53, 0x80, 0x67], &body)].concat()
}

/// One track of FLAC, whose private data are the native header.
fn tracks(header: &[u8]) -> Vec<u8> {
    let audio = [
        element(&[0xb5], &44_100f64.to_be_bytes()),
        element(&[0x9f], &number_bytes(2)),
        element(&[0x62, 0x64], &number_bytes(16)),
    ];
    let entry = [
        element(&[0xd7], &number_bytes(1)),
        element(&[0x73, 0xc5], &number_bytes(1)),
        element(&[0x83], &number_bytes(2)),
        element(&[0x86], b"A_FLAC"),
        element(&[0x63, 0xa2], header),
        element(&[0xe1], &audio.concat()),
    ];
    element(
        &[0x16, 0x54, 0xae, 0x6b],
        &element(&[0xae], &entry.concat()),
    )
}

/// An element whose size is written in eight bytes.
fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = 1u64 << 56 | body.len() as u64;
    [id, &size.to_be_bytes(), body].concat()
}

fn number_bytes(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}

/// Where the frames of a `long_flac` begin: all are verbatim, so that their lengths are known.
fn flac_frame_starts(audio: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let head = audio.get(start..start + 12)?;
        let coded = match head[4] {
            0..0x80 => 1,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let frames = u16::from_be_bytes([head[4 + coded], head[5 + coded]]) as usize + 1;
        at = start + 4 + coded + 2 + 1 + 2 * (1 + frames * 2) + 2;
        Some(start)
    })
}
