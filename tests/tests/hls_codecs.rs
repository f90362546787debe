//! HLS titles of codecs that settle slowly, change their format on the way, or are not what their playlist calls them.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::time::Duration;

use kithara::audio::AudioEvent;
use kithara::{AbrMode, ErrorKind, HlsEvent, ResourceConfig, ResourceEvent, SeekMode};
use kithara_tests::fixtures::{fragments, hls, segmented};
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

fn playlist(text: impl Into<String>) -> Script {
    Script::file(text.into().into_bytes()).media_type("application/vnd.apple.mpegurl")
}

/// HE-AAC that goes on for three segments of two seconds: one fixture again and again.
fn serve_he(server: &FaultServer) -> String {
    const FRAMES: u64 = 18_432;
    let title = segmented("fmp4-he.mp4");
    let media = |bytes: Vec<u8>| Script::file(bytes).media_type("audio/mp4");
    server.serve("/he/init.mp4", media(title.init.clone()));
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MAP:URI=\"init.mp4\"\n".to_owned();
    for number in 0..3_u64 {
        let mut segment = Vec::new();
        for turn in 5 * number..5 * number + 5 {
            for one in &title.segments {
                let time = fragments::time(one) + turn * FRAMES;
                segment.extend(fragments::with_time(one, time));
            }
        }
        server.serve(&format!("/he/{number}.m4s"), media(segment));
        let duration = 5.0 * FRAMES as f64 / 44_100.0;
        text += &format!("#EXTINF:{duration:.6},\n{number}.m4s\n");
    }
    server.serve("/he/media.m3u8", playlist(text + "#EXT-X-ENDLIST\n"));
    server.url("/he/media.m3u8")
}

#[test]
fn a_seek_to_just_behind_the_begin_of_a_segment_lands_in_what_a_whole_decode_gives() {
    let server = origin();
    let mut titles = vec![("HE-AAC", serve_he(&server), 92_160.0 / 44_100.0)];
    for folder in [
        "fmp4-opus",
        "fmp4-mp3",
        "ts-mp3",
        "packed-mp3",
        "ts-aac",
        "aac-48",
    ] {
        let fixture = hls::fixture(folder);
        let second = segments(fixture)[1].start as f64 / f64::from(fixture.sample_rate);
        titles.push((folder, server.url(&fixture.playlist()), second));
    }
    for (name, url, begin) in titles {
        let mut whole = Listener::open(config(&url));
        whole.play().expect("it plays");
        let mut listener = Listener::open(config(&url).with_hls_policy(near()));
        for behind in [0, 5, 100, 290, 310, 380, 399, 401, 440, 460] {
            let to = Duration::from_secs_f64(begin) + Duration::from_millis(behind);
            let (landed, exact) = listener.seek(to, SeekMode::Exact).expect("it seeks");
            let frame = listener.resource.spec().frames(to);
            assert!(exact && landed.abs_diff(frame) <= 1, "{name}: {landed}");
            listener.pcm.clear();
            // Later on, replication has noise of its own.
            listener.read_samples(2 * 2048).expect("it plays");
            let at = landed as usize;
            let expected = frames(&whole.pcm, at..at + listener.pcm.len() / 2);
            let pairs = expected.iter().zip(&listener.pcm);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{name}, {behind} ms behind: off by {worst}");
        }
    }
}

#[test]
fn a_change_of_rate_is_told_before_its_first_frame_can_be_read() {
    let server = origin();
    let mut listener = Listener::open(config(&server.url("/discontinuity-rate/media.m3u8")));
    let change = Duration::from_secs_f64(174.0 * 1024.0 / 44_100.0);
    let mut told = Vec::new();
    loop {
        let before = listener.resource.position();
        let had = listener.pcm.len();
        listener.read_samples(2 * 512).expect("it plays");
        let changes = listener
            .events()
            .into_iter()
            .filter_map(|event| match event {
                ResourceEvent::Audio(AudioEvent::FormatChanged { from, to, at }) => {
                    Some((from.sample_rate.get(), to.sample_rate.get(), at))
                }
                _ => None,
            });
        let changes: Vec<_> = changes.collect();
        if changes.len() > told.len() {
            assert!(before <= changes[told.len()].2, "it is told too late");
            told = changes;
        }
        let read = Duration::from_secs_f64(listener.pcm.len() as f64 / 88_200.0);
        assert!(
            read <= change || !told.is_empty(),
            "it is not told by {read:?}"
        );
        // What is read has the layout of the beginning, always.
        assert_eq!(listener.resource.spec().sample_rate.get(), 44_100);
        if listener.pcm.len() == had {
            break;
        }
    }
    let [(44_100, 32_000, at)] = told[..] else {
        panic!("{told:?}");
    };
    assert!(at.abs_diff(change) < Duration::from_millis(1), "{at:?}");
}

#[test]
fn a_variant_of_another_rate_goes_on_in_the_rate_of_the_beginning() {
    const TIMES: usize = 5;
    let server = origin();
    for folder in ["discontinuity", "discontinuity-rate"] {
        // The second half of each, three seconds of the same source, again and again.
        let text = hls::text(&format!("{folder}/media.m3u8"));
        let (_, half) = text
            .split_once("#EXT-X-DISCONTINUITY\n")
            .expect("two halves");
        let half = half.replace("#EXT-X-ENDLIST\n", "#EXT-X-DISCONTINUITY\n");
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n";
        let text = format!("{head}{}#EXT-X-ENDLIST\n", half.repeat(TIMES));
        server.serve(&format!("/{folder}/media.m3u8"), playlist(text));
    }
    let variants = [
        (Some("mp4a.40.2"), "discontinuity"),
        (Some("mp4a.40.2"), "discontinuity-rate"),
    ];
    let whole = |variant: usize| {
        let config = master(&server, &variants).with_abr_mode(AbrMode::Manual(variant));
        let mut listener = Listener::open(config);
        listener.play().expect("it plays");
        listener.pcm.len() / 2
    };
    let config = master(&server, &variants).with_abr_mode(AbrMode::Manual(0));
    let mut listener = Listener::open(config.with_hls_policy(near()));
    listener.read_samples(2 * 44_100).expect("it plays");
    listener.resource.control().set_abr_mode(AbrMode::Manual(1));
    let mut changes = Vec::new();
    loop {
        let had = listener.pcm.len();
        listener.read_samples(2 * 512).expect("it plays");
        let told = listener.events();
        let told = told.iter().filter_map(|event| match event {
            ResourceEvent::Audio(AudioEvent::FormatChanged { from, to, at }) => {
                Some((from.sample_rate.get(), to.sample_rate.get(), *at))
            }
            _ => None,
        });
        for (from, to, at) in told.skip(changes.len()) {
            // Not one frame of it was read yet, but those that came with the last.
            let read = Duration::from_secs_f64((had / 2) as f64 / 44_100.0);
            assert!(read <= at, "told at {read:?}, for {at:?}");
            changes.push((from, to));
        }
        assert_eq!(listener.resource.spec().sample_rate.get(), 44_100);
        if listener.pcm.len() == had {
            break;
        }
    }
    assert_eq!(changes, [(44_100, 32_000)]);
    // Nothing is longer or shorter for it: what is at 32 kHz would be gone in three quarters of its time.
    let played = listener.pcm.len() / 2;
    let rate_of_beginning = whole(0);
    assert!(
        played.abs_diff(rate_of_beginning) <= 2048 * TIMES,
        "{played} of {rate_of_beginning}"
    );
}

/// A multivariant playlist of these variants: their `CODECS`, and where they are.
fn master(server: &FaultServer, variants: &[(Option<&str>, &str)]) -> ResourceConfig {
    let mut text = "#EXTM3U\n".to_owned();
    for (codecs, folder) in variants {
        let codecs = codecs.map_or(String::new(), |codecs| format!(",CODECS=\"{codecs}\""));
        text += &format!("#EXT-X-STREAM-INF:BANDWIDTH=64000{codecs}\n{folder}/media.m3u8\n");
    }
    server.serve("/m.m3u8", playlist(text));
    config(&server.url("/m.m3u8"))
}

#[test]
fn bytes_are_trusted_more_than_what_the_playlist_calls_them() {
    for codecs in [
        None,
        Some(""),
        Some("fLaC"),
        Some("opus"),
        Some("mp4a.40.5"),
        Some("mp4a.40.34"),
        Some("avc1.64001f,mp4a.40.2"),
        Some("MP4A.40.2"),
    ] {
        for folder in ["aac-48", "ts-aac", "fmp4-flac"] {
            let server = origin();
            let mut listener = Listener::open(master(&server, &[(codecs, folder)]));
            listener
                .play()
                .unwrap_or_else(|error| panic!("{codecs:?}: {error:?}"));
            let fixture = hls::fixture(folder);
            assert_eq!(fixture.difference(&listener.pcm), None, "{codecs:?}");
            let codec = listener.resource.media_info().codec.expect("a codec");
            assert_eq!(format!("{codec:?}"), fixture.codec, "{codecs:?}");
        }
    }
}

#[test]
fn what_has_no_sound_or_cannot_be_decoded_is_left_out_and_named_where_nothing_else_is() {
    for (codecs, named) in [
        ("avc1.64001f", None),
        ("hvc1.1.6.L93.B0", None),
        ("ac-3", Some("ac-3")),
        ("avc1.64001f,ec-3", Some("ec-3")),
        ("dtsc", Some("dtsc")),
    ] {
        let server = origin();
        let both = [(Some(codecs), "nowhere"), (Some("mp4a.40.2"), "aac-48")];
        let mut listener = Listener::open(master(&server, &both));
        listener.play().expect("the other plays");
        assert_eq!(hls::fixture("aac-48").difference(&listener.pcm), None);
        assert_eq!(count(&server, "/nowhere/media.m3u8"), 0, "{codecs}");
        let told = listener.events();
        let dropped = hls_events(&told).find_map(|event| match event {
            HlsEvent::Variants { dropped, .. } => Some(format!("{dropped:?}")),
            _ => None,
        });
        let dropped = dropped.expect("variants");
        assert!(named.is_none_or(|name| dropped.contains(name)), "{dropped}");

        let alone = master(&server, &[(Some(codecs), "nowhere")]);
        let error = Listener::try_open(alone).err().expect("nothing is left");
        assert_eq!(error.kind(), ErrorKind::Playlist, "{codecs}: {error:?}");
        let text = format!("{error:?}");
        assert!(named.is_none_or(|name| text.contains(name)), "{text}");
    }
}

#[test]
fn media_of_an_unsupported_codec_is_called_by_its_name() {
    for (code, name) in [(b"ac-3", "AC-3"), (b"ec-3", "E-AC-3"), (b"dtsc", "DTS")] {
        let server = origin();
        let mut init = hls::file("aac-48/init.mp4");
        let at = init
            .windows(4)
            .position(|word| word == b"mp4a")
            .expect("an entry");
        init[at..at + 4].copy_from_slice(code);
        server.serve(
            "/aac-48/init.mp4",
            Script::file(init).media_type("audio/mp4"),
        );
        let error = Listener::try_open(title(&server, "aac-48"))
            .err()
            .expect("it is refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        assert!(format!("{error:?}").contains(name), "{error:?}");
    }
}
